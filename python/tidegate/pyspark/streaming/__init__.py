"""The names of ``pyspark.streaming``."""

from tidegate.pyspark.streaming.context import StreamingContext
from tidegate.pyspark.streaming.dstream import DStream
from tidegate.pyspark.streaming.listener import StreamingListener

__all__ = ["DStream", "StreamingContext", "StreamingListener"]
