"""Counts words that it makes itself, with state, until it is stopped."""

from tidegate.pyspark import SparkContext
from tidegate.pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext(), 0.2)
words = ssc.queueStream([], default=["tide", "gate", "tide"])
words.map(lambda word: (word, 1)).runningReduceByKey(lambda a, b: a + b).pprint()
ssc.start()
ssc.awaitTermination()
print("ended in order")
