"""Numbers from a queue of RDDs, counted by their last digit."""

from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "NumbersOfAQueue")
ssc = StreamingContext(sc, 1)
rdds = [sc.parallelize(list(range(1, 51 + n)), 4) for n in range(4)]
numbers = ssc.queueStream(rdds)
numbers.map(lambda n: (n % 10, 1)).reduceByKey(lambda a, b: a + b).pprint()
ssc.start()
ssc.awaitTermination()
