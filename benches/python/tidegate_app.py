"""The programs as DStreams of tidegate: exactly once, with state in RocksDB."""

from tidegate.pyspark import SparkConf, SparkContext
from tidegate.pyspark.streaming import StreamingContext
from work import counts_of, options, slim

o = options()
conf = SparkConf().setAppName(o["id"]).setMaster("local[2]").set("tidegate.bootstrap", o["bootstrap"])
conf.set("tidegate.state-partitions", 4).set("tidegate.admin-bind", "off")
ssc = StreamingContext(SparkContext(conf=conf), int(o["commit"]) / 1000)
ssc.checkpoint(o["state"])
values = ssc.kafkaStream(o["in"], startingOffsets="earliest")
if o["app"] == "w0":
    values.map(counts_of).toKafka(o["out"])
elif o["app"] == "w1":
    values.map(slim).filter(lambda row: row is not None).toKafka(o["out"])
else:
    ones = values.flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1))
    ones.runningReduceByKey(lambda a, b: a + b).named("counts").toKafka(o["out"])
ssc.start()
ssc.awaitTermination()
