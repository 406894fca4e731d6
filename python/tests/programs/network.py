"""Counts the words of each batch of lines from a server."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

if __name__ == "__main__":
    sc = SparkContext(master="local[2]", appName="WordsOfAServer")
    ssc = StreamingContext(sc, 1)
    lines = ssc.socketTextStream("localhost", int(sys.argv[1]))
    words = lines.flatMap(lambda line: line.split())
    words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b).pprint()
    ssc.start()
    ssc.awaitTermination()
