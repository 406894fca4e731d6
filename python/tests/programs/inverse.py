"""Windows with an inverse function: a key whose rows have all left stays where a window has five slides, and not where it has three."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "InverseWindows")
ssc = StreamingContext(sc, 1)
ssc.checkpoint(sys.argv[2])
ones = ssc.queueStream([sc.parallelize([("tide", 1), ("gate", 1), ("tide", 1)])])
for slides in (3, 5):
    counts = ones.reduceByKeyAndWindow(lambda a, b: a + b, lambda a, b: a - b, slides, 1)
    counts.map(lambda pair, slides=slides: (slides,) + pair).pprint()
ssc.start()
ssc.awaitTermination()
