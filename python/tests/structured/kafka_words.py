"""Counts the words of a topic's records, over all so far."""

import os
import sys
import tempfile

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

if __name__ == "__main__":
    servers, topic = sys.argv[1:]
    spark = SparkSession.builder.appName("KafkaWords").getOrCreate()
    records = spark.readStream.format("kafka").option("kafka.bootstrap.servers", servers)
    lines = records.option("subscribe", topic).option("startingOffsets", "earliest").load().selectExpr("CAST(value AS STRING) AS value", "topic")
    words = lines.select(explode(split(lines.value, " ")).alias("word"), "topic")
    counts = words.groupBy("word").count()
    checkpoint = tempfile.mkdtemp(dir=os.path.dirname(os.path.abspath(__file__)))
    query = counts.writeStream.outputMode("complete").format("console").option("checkpointLocation", checkpoint).start()
    query.awaitTermination()
