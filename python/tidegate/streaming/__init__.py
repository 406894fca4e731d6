"""The names of ``pyspark.streaming``, under their own: see :mod:`tidegate.pyspark.streaming`."""

from tidegate.pyspark.streaming import DStream, StreamingContext, StreamingListener

__all__ = ["DStream", "StreamingContext", "StreamingListener"]
