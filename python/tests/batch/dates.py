"""Functions of dates, of maps and lists, and of the greatest row, over rows of the program."""

import datetime
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

if __name__ == "__main__":
    spark = SparkSession.builder.appName("Dates").getOrCreate()
    at = datetime.datetime
    rows = spark.createDataFrame(
        [("a", at(2026, 1, 31, 10, 30), at(2024, 2, 29), 1), ("b", at(2026, 3, 31, 23, 59, 59), at(2026, 2, 28, 1), -2), ("c", None, at(2026, 1, 1), None)],
        "name string, x timestamp, y timestamp, n int",
    )
    rows.createOrReplaceTempView("t")

    print("days")
    rows.select(F.date_add("x", 30).alias("later"), F.date_sub("x", "n").alias("sooner"), F.datediff("x", "y").alias("days"), F.weekday("x").alias("w")).show()
    print("months")
    rows.select(F.add_months("x", 1).alias("later"), F.add_months("x", "n").alias("moved"), F.last_day("y").alias("last"), F.trunc("x", "mon").alias("month"), F.trunc("y", "year").alias("year")).show()
    rows.select(F.months_between("x", "y").alias("months"), F.next_day("x", "SA").alias("sa"), F.next_day("y", "monday").alias("mon")).show()
    print("SQL")
    spark.sql("SELECT timestampadd(HOUR, 2, x) AS h, timestampadd(MONTH, n, x) AS m, dateadd(DAY, 1, y) AS d FROM t").show(truncate=False)
    spark.sql("SELECT timestampdiff(HOUR, y, x) AS h, timestampdiff(MONTH, y, x) AS m, datediff(WEEK, x, y) AS w, timestampdiff(YEAR, x, y) AS y FROM t").show()
    spark.sql("SELECT date_add(x, n) AS d, datediff(y, x) AS n, last_day('2026-02-03') AS l FROM t").show()
    print("the greatest row")
    rows.agg(F.max_by("name", "n").alias("most"), F.min_by("name", "x").alias("first"), F.max_by("n", "y").alias("n")).show()
    spark.sql("SELECT max_by(name, y) FILTER (WHERE n > 0) AS a, min_by(x, y) AS b FROM t").show()
    print("lists and maps")
    lists = spark.createDataFrame([([3, None, 1], "k", 2)], "l array<int>, k string, n int")
    lists.select(F.array_sort("l").alias("s"), F.slice("l", 2, 2).alias("p"), F.element_at("l", -1).alias("e"), F.create_map("k", "n", F.lit("z"), F.lit(9))["z"].alias("z")).show()
    lists.select(F.hypot("n", F.lit(3.0)).alias("h"), F.pmod(F.lit(-7), "n").alias("p"), F.equal_null("k", F.lit(None).cast("string")).alias("q"), F.log1p(F.lit(0.0)).alias("l"), F.expm1(F.lit(0.0)).alias("e")).show()
    sys.stdout.flush()
