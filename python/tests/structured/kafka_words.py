"""Counts the words of a topic's records, over all so far."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

if __name__ == "__main__":
    servers, topic = sys.argv[1:]
    spark = SparkSession.builder.appName(topic).getOrCreate()
    records = spark.readStream.format("kafka").option("kafka.bootstrap.servers", servers)
    lines = records.option("subscribe", topic).option("startingOffsets", "earliest").load().selectExpr("CAST(value AS STRING)", "topic")
    words = lines.select(explode(split(lines.value, " ")).alias("word"), "topic")
    counts = words.groupBy("word").count()
    query = counts.writeStream.outputMode("complete").format("console").start()
    query.awaitTermination()
