"""Sales of a day, from files and from rows of the program: joined, grouped and shown; then a stream that is joined with them."""

import datetime
import decimal
import pathlib
import sys
import threading

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F


def title(text):
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    (folder / "sales.csv").write_text(
        "place,item,cents,at\n1,tea,250,2026-11-30 09:10:00\n2,oil,900,2026-11-30 09:59:59\n1,salt,90,2026-11-30 10:00:00\n"
        '9,"tea, green",310,2026-11-30 10:30:00\n,tea,250,2026-11-30 11:00:00\n2,oil,900,2026-11-30 11:05:00\n'
    )
    (folder / "places.json").write_text(
        '{"id":1,"name":"quay","tags":["wet","old"]}\n{"id":2,"name":"mill","tags":[]}\n{"id":3,"name":"a place with a very long name","tags":null}\n'
    )
    (folder / "in").mkdir()
    (folder / "in" / "orders.json").write_text('{"item":"oil","n":2}\n{"item":"tea","n":7}\n{"item":"sand","n":1}\n')

    spark = SparkSession.builder.appName("Sales").getOrCreate()
    sales = spark.read.csv(str(folder / "sales.csv"), header=True, schema="place INT, item STRING, cents BIGINT, at TIMESTAMP")
    places = spark.read.json(str(folder / "places.json"))

    title("files")
    sales.show()
    places.show()
    places.show(2, truncate=False)
    places.select("id", "name").show(3, 8)
    places.printSchema()
    sales.limit(2).show(vertical=True)
    print(sales.isStreaming, sales.count(), sales.first(), places.columns)

    title("groups")
    sums = sales.groupBy("item").agg(F.sum("cents").alias("cents"), F.avg("cents").alias("mean"), F.count("*").alias("n"))
    sums.orderBy(F.desc("cents")).show()
    sales.groupBy(F.window("at", "1 hour")).count().orderBy("window").show(truncate=False)
    sales.agg(F.max("cents"), F.countDistinct("item").alias("items"), F.sum("place")).show()
    sales.filter("cents > 5000").agg(F.count("*").alias("n"), F.sum("cents")).show()
    sales.filter("cents > 5000").show()

    title("joins")
    both = sales.join(places, sales.place == places.id, "left")
    both.orderBy("cents", "item", "name").select("item", "name", F.upper("name").alias("N"), (F.col("cents") / 100).alias("euros")).show()
    places.withColumnRenamed("id", "place").join(sales, "place", "full").groupBy("place").count().orderBy("place").show()
    places.join(sales, sales.place == places.id, "left_anti").select("name").show()
    places.select("id", F.explode("tags").alias("tag")).orderBy("id", "tag").show()

    title("rows of the program")
    rows = [
        Row(n=1, x=0.1, d=decimal.Decimal("12.50"), day=datetime.date(2026, 11, 30), b=True, s="séa"),
        Row(n=-(2**40), x=1e20, d=None, day=None, b=None, s=None),
    ]
    made = spark.createDataFrame(rows, "n BIGINT, x DOUBLE, d DECIMAL(10, 2), day DATE, b BOOLEAN, s STRING")
    made.show()
    print(made.collect())
    spark.createDataFrame([("a", 1), ("b", 2), ("a", 3)], ["k", "v"]).groupBy("k").sum("v").orderBy("k").show()
    spark.range(3).withColumn("square", F.col("id") * F.col("id")).show()
    made.createOrReplaceTempView("made")
    spark.sql("SELECT n, x * 2 AS twice FROM made ORDER BY n LIMIT 1").show()
    print(spark.range(0).isEmpty(), [row.id for row in spark.range(10, 0, -4).collect()], spark.range(4).tail(2))

    title("a stream")
    prices = sales.groupBy("item").agg(F.max("cents").alias("cents"))
    orders = spark.readStream.schema("item STRING, n INT").option("source.settle-time", "0 s").json(str(folder / "in"))
    priced = orders.join(prices, "item", "left").withColumn("all", F.col("n") * F.col("cents"))
    is_shown = threading.Event()

    def show(df, _):
        df.orderBy("item").show()
        is_shown.set()

    query = priced.writeStream.foreachBatch(show).option("checkpointLocation", str(folder / "checkpoint")).start()
    print(is_shown.wait(120))
    query.stop()
    spark.stop()
