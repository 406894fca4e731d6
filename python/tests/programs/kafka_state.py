"""Counts the values of each key of a topic over all batches, into a topic, and writes each record once more with the name of its process.

The state of a key also has a checksum over its values in their order, so that a value that is lost, comes twice or too early shows.
"""

import os
import sys
import time
import zlib

from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext, StreamingListener
from tidegate.streaming.kafka import KafkaUtils

bootstrap, name, state_dir = sys.argv[1:4]
conf = SparkConf().setMaster("local[2]").setAppName(name).set("tidegate.bootstrap", bootstrap).set("tidegate.state-partitions", "4")
conf.set("tidegate.session-timeout-ms", "6000")
conf.set("spark.streaming.kafka.maxRatePerPartition", "4000")
sc = SparkContext(conf=conf)
ssc = StreamingContext(sc, 0.2)
ssc.checkpoint(state_dir)


def more(values, state):
    count, checksum = state or (0, 0)
    for value in values:
        count, checksum = count + 1, zlib.crc32(value.encode(), checksum)
    return count, checksum


pairs = KafkaUtils.createDirectStream(ssc, [f"{name}-in"])
pairs.updateStateByKey(more).mapValues(lambda state: "%d %d" % state).toKafka(f"{name}-states")
pid = str(os.getpid())
pairs.mapValues(lambda value: f"{value} {pid}").toKafka(f"{name}-seen")


def elsewhere(rdd):
    """Something else that is written to, at least once: the transaction stays open meanwhile."""
    with open(os.path.join(os.path.dirname(state_dir), "elsewhere.txt"), "a") as file:
        file.write("".join(f"{value}\n" for value in rdd.values().collect()))
    print("writes elsewhere", flush=True)
    time.sleep(0.1)


pairs.foreachRDD(elsewhere)


class Completed(StreamingListener):
    def onBatchCompleted(self, batchCompleted):
        print("a batch is complete", flush=True)


ssc.addStreamingListener(Completed())
ssc.start()
ssc.awaitTermination()
