"""The names of ``pyspark`` that a program of streams uses."""

from typing import Any, Dict

from tidegate.pyspark.accumulators import Accumulator, AccumulatorParam
from tidegate.pyspark.broadcast import Broadcast
from tidegate.pyspark.conf import SparkConf
from tidegate.pyspark.context import SparkContext
from tidegate.pyspark.rdd import RDD
from tidegate.pyspark.sql import SparkSession
from tidegate.pyspark.storagelevel import StorageLevel

__version__ = "3.5.0"  # the API that these names follow

__all__ = [
    "Accumulator",
    "AccumulatorParam",
    "Broadcast",
    "RDD",
    "SparkConf",
    "SparkContext",
    "SparkSession",
    "StorageLevel",
    "__version__",
]

#: What `pyspark` has and this package has not, with what to write instead.
MISSING: Dict[str, str] = {
    "BarrierTaskContext": "there are no stages of several processes",
    "BarrierTaskInfo": "there are no stages of several processes",
    "BasicProfiler": "use a profiler of the whole process, such as py-spy",
    "CPickleSerializer": "rows have a form of their own: leave it out",
    "InheritableThread": "use `threading.Thread`",
    "MarshalSerializer": "rows have a form of their own: leave it out",
    "Profiler": "use a profiler of the whole process, such as py-spy",
    "RDDBarrier": "there are no stages of several processes",
    "SparkFiles": "there are no executors: open files where they are",
    "SparkJobInfo": "there are no jobs: use the streaming page",
    "SparkStageInfo": "there are no jobs: use the streaming page",
    "StatusTracker": "use the streaming page",
    "TaskContext": "use `mapPartitionsWithIndex` for the number of a partition",
    "inheritable_thread_target": "use `threading.Thread`",
}


def __getattr__(name: str) -> Any:
    if name in MISSING:
        raise ImportError(f"pyspark.{name} is not supported by tidegate\n  next: {MISSING[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
