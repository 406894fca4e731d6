"""What columns are called that are given no name, by DataFrames and by queries in SQL."""

import sys

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

if __name__ == "__main__":
    spark = SparkSession.builder.appName("Names").getOrCreate()
    rows = spark.createDataFrame([Row(a="1", n=2, l=[1, 2], m={"k": 1}, r=Row(x=1))], "a string, n int, l array<int>, m map<string,int>, r struct<x:int>")
    rows.createOrReplaceTempView("t")
    a, n = F.col("a"), F.col("n")

    print("conversions")
    print(rows.select(a.cast("int"), n.cast("int").cast("string"), F.upper("a").cast("string"), rows.n.cast("long").alias("k")).columns)
    print(rows.selectExpr("CAST(a AS INT)", "CAST(n AS STRING) || 'x'", "TRY_CAST(n AS STRING)", "CAST(l AS STRING) AS k").columns)
    print(rows.select(a.cast("int")).schema[0].name, rows.select(a.cast("int")).first())

    print("operators")
    print(rows.select(n + 1, -n, n / 2, n % 2, (n + 1) * 2, n - F.col("n"), (n > 1) & (n < 2), (n > 1) | ~(n < 2)).columns)
    print(rows.select(a == "x", a != "x", a.isNull(), a.isNotNull(), a.like("x%"), a.isin("x", "y"), ~a.isin("x"), n.between(1, 2), a.eqNullSafe("x")).columns)
    print(rows.select(F.when(n > 1, "x").when(n > 0, "y").otherwise(a), F.lit(3), F.lit("x"), F.lit(True), F.lit(None)).columns)

    print("functions")
    print(rows.select(F.upper("a"), F.concat("a", F.lit("-"), "a"), F.coalesce("a", F.lit("x")), F.round("n", 1), F.length("a"), a.startswith("x")).columns)
    print(rows.select(F.split("a", ","), F.col("l")[0], F.size("l"), F.col("r.x"), F.col("r").getField("x"), F.array("n", "n"), F.struct("a", "n")).columns)
    print(rows.select(F.explode("l")).columns, rows.select("*", F.upper("a")).columns)
    print(rows.select(F.struct(a.cast("int"), n, F.upper("a"), n.alias("k"), F.col("r.x")).alias("s")).schema[0].dataType.simpleString())

    print("aggregates")
    print(rows.groupBy("a").agg(F.sum("n"), F.count("*"), F.count("n"), F.avg("n"), F.max("n").cast("string"), F.countDistinct("n"), F.first("n")).columns)
    print(rows.groupBy(a.cast("int")).agg(F.sum("n"), F.sum(n.cast("long")), F.sum(n * 2), F.collect_list("n")).columns)
    print(rows.groupBy((n + 1)).count().columns, rows.groupBy("a").sum("n").columns, rows.agg({"n": "max"}).columns)
    print(rows.groupBy(a.cast("int")).agg(F.sum("n"), F.sum(n.cast("double"))).collect())

    print("SQL")
    print(spark.sql("SELECT CAST(a AS INT), CAST(t.n AS STRING), r.x, l[0], m['k'], t.n + 1, 1, 'y', TRUE, NULL FROM t").columns)
    print(spark.sql("SELECT count(*), count(n), sum(n), sum(DISTINCT n), avg(t.n) + 1, upper(max(a)), sum(CAST(n AS BIGINT)) FROM t").columns)
    print(spark.sql("SELECT n > 1 AND NOT n < 2, n IN (1, 2), a NOT LIKE 'x%', CASE WHEN n > 1 THEN 'x' END, CASE a WHEN 'x' THEN 1 ELSE 2 END, n IS NULL FROM t").columns)
    print(spark.sql("SELECT CAST(a AS INT), sum(n) FROM t GROUP BY CAST(a AS INT) HAVING sum(n) > 1 AND max(a) > '0' ORDER BY a").columns)
    sys.stdout.flush()
