"""Counts the words that a server sends, over all lines so far."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

if __name__ == "__main__":
    spark = SparkSession.builder.appName("NetworkWords").getOrCreate()
    lines = spark.readStream.format("socket").option("host", "localhost").option("port", int(sys.argv[1])).load()
    words = lines.select(explode(split(lines.value, " ")).alias("word"))
    counts = words.groupBy("word").count()
    query = counts.writeStream.outputMode("complete").format("console").start()
    query.awaitTermination()
