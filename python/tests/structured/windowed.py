"""Counts the words that a server sends in windows of the time of their receipt, which overlap."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split, window

if __name__ == "__main__":
    size, slide = f"{sys.argv[2]} days", f"{sys.argv[3]} days"
    spark = SparkSession.builder.appName("WordsInWindows").getOrCreate()
    source = spark.readStream.format("socket").option("host", "localhost").option("port", sys.argv[1])
    lines = source.option("includeTimestamp", "true").load()
    words = lines.select(explode(split(lines.value, " ")).alias("word"), lines.timestamp)
    counts = words.groupBy(window(words.timestamp, size, slide), words.word).count().orderBy("window", "word")
    query = counts.writeStream.outputMode("complete").format("console").option("truncate", "false").start()
    query.awaitTermination()
