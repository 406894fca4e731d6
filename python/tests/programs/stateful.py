"""Counts words over all batches, beginning with counts from elsewhere."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "StatefulWords")
ssc = StreamingContext(sc, 1)
ssc.checkpoint(sys.argv[2])
before = sc.parallelize([("tide", 10), ("gate", 1)])


def more(new, last):
    return sum(new) + (last or 0)


lines = ssc.socketTextStream("localhost", int(sys.argv[1]))
ones = lines.flatMap(lambda line: line.split()).map(lambda word: (word, 1))
ones.updateStateByKey(more, initialRDD=before).pprint()
ssc.start()
ssc.awaitTermination()
