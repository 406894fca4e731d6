"""Words of a server with what a list says of them, the best first."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "JoinedWords")
ssc = StreamingContext(sc, 1)
worth = sc.parallelize(["tide 3", "gate 2", "mud -1"]).map(lambda line: tuple(line.split(" "))).cache()
lines = ssc.socketTextStream("localhost", int(sys.argv[1]))
counts = lines.flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
joined = counts.transform(lambda rdd: worth.join(rdd)).map(lambda row: (row[0], int(row[1][0]) * row[1][1]))
best = joined.map(lambda row: (row[1], row[0])).transform(lambda rdd: rdd.sortByKey(False))
best.map(lambda row: "%s is worth %d" % (row[1], row[0])).pprint()
ssc.start()
ssc.awaitTermination()
