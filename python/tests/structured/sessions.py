"""Counts what each visitor does in a session, which ends when nothing comes for ten seconds: lines such as `2026-01-01 00:00:05,ann`."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, session_window, split, to_timestamp

if __name__ == "__main__":
    spark = SparkSession.builder.appName("Sessions").getOrCreate()
    lines = spark.readStream.format("socket").option("host", "localhost").option("port", sys.argv[1]).load()
    parts = lines.select(split("value", ",").alias("part"))
    events = parts.select(to_timestamp(col("part")[0]).alias("at"), col("part").getItem(1).alias("visitor"))
    sessions = events.withWatermark("at", "5 seconds").groupBy(session_window("at", "10 seconds"), "visitor").count()
    shown = sessions.select("session_window.start", "session_window.end", "visitor", "count")
    query = shown.writeStream.outputMode("append").format("console").option("truncate", "false").start()
    query.awaitTermination()
