"""tidegate: PySpark's DStreams and Structured Streaming as one plain process, on Kafka or without.

``from pyspark`` becomes ``from tidegate.pyspark``, and the rest of the program stays::

    from tidegate.pyspark import SparkContext
    from tidegate.pyspark.streaming import StreamingContext

    sc = SparkContext("local[2]", "NetworkWordCount")
    ssc = StreamingContext(sc, 1)
    lines = ssc.socketTextStream("localhost", 9999)
    counts = lines.flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
    counts.pprint()
    ssc.start()
    ssc.awaitTermination()
"""

from tidegate._tidegate import (
    AnalysisException,
    BadRecordError,
    ConfigError,
    FencedError,
    StreamingError,
    StreamingQueryException,
    TopicError,
    UnreachableError,
    __version__,
)
from tidegate.pyspark import RDD, SparkConf, SparkContext, SparkSession, StorageLevel

__all__ = [
    "AnalysisException",
    "BadRecordError",
    "ConfigError",
    "FencedError",
    "RDD",
    "SparkConf",
    "SparkContext",
    "SparkSession",
    "StorageLevel",
    "StreamingError",
    "StreamingQueryException",
    "TopicError",
    "UnreachableError",
    "__version__",
]
