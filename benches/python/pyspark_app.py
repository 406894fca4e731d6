"""The programs in Spark's Structured Streaming: functions of Spark where there are (w1, w2), a function of Python for w0. At least once: Spark's sink for
Kafka has no transactions."""

import glob
import os

from pyspark.sql import SparkSession, functions as F, types as T
from work import counts_of, options

o = options()
session = SparkSession.builder.master("local[2]").appName(o["id"])
for name, value in {
    "spark.jars": ",".join(glob.glob(os.environ["SPARK_JARS"] + "/*.jar")),
    "spark.driver.memory": "3g",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.streaming.stateStore.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}.items():
    session = session.config(name, value)
spark = session.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
spark.sparkContext.addPyFile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "work.py"))  # for w0, in its workers
records = spark.readStream.format("kafka").option("kafka.bootstrap.servers", o["bootstrap"]).option("subscribe", o["in"])
value = records.option("startingOffsets", "earliest").option("kafka.isolation.level", "read_committed").load().select(F.col("value").cast("string"))
mode = "append"
if o["app"] == "w0":
    rows = value.select(F.udf(counts_of)("value").alias("value"))
elif o["app"] == "w1":
    schema = T.StructType.fromDDL("id BIGINT, user STRING, item STRING, price DOUBLE, ts BIGINT, page STRING")
    events = value.select(F.from_json("value", schema).alias("e")).where("e.price > 50.0")
    rows = events.select(F.col("e.user").alias("key"), F.to_json(F.struct("e.id", "e.user", "e.price", "e.ts")).alias("value"))
else:
    words = value.select(F.explode(F.split("value", " ")).alias("key")).groupBy("key").count()
    rows, mode = words.select("key", F.col("count").cast("string").alias("value")), "update"
writer = rows.writeStream.format("kafka").option("kafka.bootstrap.servers", o["bootstrap"]).option("topic", o["out"])
query = writer.option("checkpointLocation", o["state"] + "/checkpoint").outputMode(mode).trigger(processingTime=f"{o['commit']} milliseconds").start()
query.awaitTermination()
