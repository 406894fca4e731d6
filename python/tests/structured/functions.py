"""Calls functions of Python, over values and over Series of pandas, for the lines that a server sends."""

import datetime
import decimal
import sys
from typing import Iterator

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import call_udf, col, expr, pandas_udf, udf
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, LongType, StringType, StructField, StructType


@udf
def shout(text):
    return text.upper() + "!"


@udf(IntegerType())
def size(text, least=0):
    return len(text) if len(text) > least else None


@udf(returnType=StructType([StructField("first", StringType()), StructField("more", LongType())]))
def cut(text):
    return text[:1], len(text) - 1


@udf(ArrayType(StringType()))
def words(text):
    return text.split(" ")


@pandas_udf(DoubleType())
def half(n: pd.Series) -> pd.Series:
    return n / 2


@pandas_udf(StringType())
def joined(text: pd.Series, n: pd.Series) -> pd.Series:
    return text + "-" + n.astype(str)


@pandas_udf(LongType())
def plus_one(parts: Iterator[pd.Series]) -> Iterator[pd.Series]:
    for part in parts:
        yield part + 1


#: What a function returns for each type.
RETURNED = [
    ("string", 1),
    ("string", True),
    ("int", "1"),
    ("int", 1.5),
    ("int", True),
    ("double", 1),
    ("double", 0.5),
    ("boolean", 1),
    ("decimal(5,2)", decimal.Decimal("1.005")),
    ("date", datetime.date(2026, 1, 2)),
    ("array<int>", (1, 2)),
    ("binary", "a"),
]

if __name__ == "__main__":
    spark = SparkSession.builder.appName("Functions").getOrCreate()
    spark.udf.register("twice", lambda n: 2 * n, "bigint")
    lines = spark.readStream.format("socket").option("host", "localhost").option("port", sys.argv[1]).load()
    sized = lines.where(shout("value") != "A!").withColumn("n", size("value"))
    computed = sized.select(
        shout("value"),
        size(col("value")),
        cut("value").alias("cut"),
        words("value")[0].alias("word"),
        half("n"),
        joined("value", "n").alias("joined"),
        plus_one("n").alias("plus_one"),
        expr("twice(n)").alias("twice"),
        call_udf("twice", col("n") + 1).alias("more"),
        *(udf(lambda _, value=value: value, kind)("n").alias(f"r{at}") for at, (kind, value) in enumerate(RETURNED)),
    )
    query = computed.writeStream.format("console").option("truncate", "false").start()
    query.awaitTermination()
