"""Counts the words of each batch into a file, but for some words; goes on after a restart."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

port, checkpoint, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
kept = {}


def excluded(sc):
    if "excluded" not in kept:
        kept["excluded"] = sc.broadcast(["a", "b", "c"])
    return kept["excluded"]


def dropped(sc):
    if "dropped" not in kept:
        kept["dropped"] = sc.accumulator(0)
    return kept["dropped"]


def create():
    sc = SparkContext("local[2]", "RecoverableWords")
    ssc = StreamingContext(sc, 1)
    lines = ssc.socketTextStream("localhost", port)
    counts = lines.flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)

    def tell(time, rdd):
        words, count = excluded(rdd.context), dropped(rdd.context)

        def keep(pair):
            if pair[0] in words.value:
                count.add(pair[1])
                return False
            return True

        counted = sorted(rdd.filter(keep).collect())
        if counted:
            with open(path, "a") as file:
                file.write("%s dropped %d\n" % (counted, count.value))
            print("Counts of a batch")
            print(counted, count.value, flush=True)

    counts.foreachRDD(tell)
    return ssc


ssc = StreamingContext.getOrCreate(checkpoint, create)
ssc.start()
ssc.awaitTermination()
