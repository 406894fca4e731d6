"""Gives the rows of each batch to a function."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, length


def told(rows, number):
    print(f"{rows.count()} rows of {rows.columns}")
    rows.show()


if __name__ == "__main__":
    spark = SparkSession.builder.appName("Batches").getOrCreate()
    lines = spark.readStream.format("socket").option("host", "localhost").option("port", sys.argv[1]).load()
    long = lines.filter(length("value") > 3).select(col("value"), length("value").alias("n"), (col("value") == "tide").alias("is_tide"))
    query = long.writeStream.foreachBatch(told).trigger(processingTime="100 milliseconds").start()
    query.awaitTermination()
