"""Lists the names of PySpark that a program of DStreams uses, with what they take. Run with PySpark:

    python python/tests/record/api.py > python/tests/golden/pyspark-api.txt
"""

import inspect

import pyspark
import pyspark.streaming
from pyspark import RDD, Accumulator, AccumulatorParam, Broadcast, SparkConf, SparkContext, StorageLevel
from pyspark.sql import SparkSession
from pyspark.streaming import DStream, StreamingContext, StreamingListener

CLASSES = [
    StreamingContext,
    DStream,
    StreamingListener,
    SparkContext,
    SparkConf,
    RDD,
    Broadcast,
    Accumulator,
    AccumulatorParam,
    StorageLevel,
    SparkSession,
    SparkSession.Builder,
]


def taken(member):
    parameters = inspect.signature(member).parameters.values()
    return [p.name if p.default is p.empty else p.name + "=" for p in parameters if p.name not in ("self", "cls")]


print("PySpark", pyspark.__version__)
for module in (pyspark, pyspark.streaming):
    for name in sorted(set(module.__all__) - {"__version__"}):
        print(f"{module.__name__}.{name}")
for owner in CLASSES:
    name = owner.__qualname__
    print(f"{name}({', '.join(taken(owner.__init__))})")
    for member in sorted(dir(owner)):
        value = getattr(owner, member, None)
        if member.startswith("_") or inspect.isclass(value):
            continue
        print(f"{name}.{member}({', '.join(taken(value))})" if callable(value) else f"{name}.{member}")
