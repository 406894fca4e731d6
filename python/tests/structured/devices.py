"""Reads what devices report from files of JSON: those that are hot, and the mean of each device."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

if __name__ == "__main__":
    spark = SparkSession.builder.appName("Devices").getOrCreate()
    schema = StructType([StructField("device", StringType()), StructField("celsius", DoubleType()), StructField("n", LongType())])
    reports = spark.readStream.schema(schema).json(sys.argv[1])
    reports.printSchema()
    warm = reports.where("celsius > 20").withColumn("size", F.when(F.col("n") >= 10, "many").otherwise("few"))
    means = warm.groupBy("device", "size").agg(
        F.avg("celsius").alias("mean"), F.max(warm["n"]).alias("most"), F.count("*").alias("reports")
    )
    ordered = means.select(F.upper("device").alias("device"), "size", F.round("mean", 1).alias("mean"), "most", "reports").orderBy(
        F.col("mean").desc()
    )
    query = ordered.writeStream.outputMode("complete").format("console").start()
    query.awaitTermination()
