"""What is in a window of four seconds, every two seconds, in several ways."""

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "Windows")
ssc = StreamingContext(sc, 1)
ssc.checkpoint(sys.argv[2])
words = ssc.socketTextStream("localhost", int(sys.argv[1])).flatMap(lambda line: line.split())
ones = words.map(lambda word: (word, 1))
kept = ones.reduceByKeyAndWindow(lambda a, b: a + b, lambda a, b: a - b, 4, 2, filterFunc=lambda pair: pair[1] > 0)
kept.map(lambda pair: ("inverse",) + pair).pprint()
ones.reduceByKeyAndWindow(lambda a, b: a + b, None, 4, 2).map(lambda pair: ("plain",) + pair).pprint()
words.countByValueAndWindow(4, 2).map(lambda pair: ("values",) + pair).pprint()
words.window(4, 2).map(lambda word: ("rows", word)).pprint()
ssc.start()
ssc.awaitTermination()
