"""Structured Streaming: readers, writers, queries and who listens to them."""

from tidegate._tidegate import StreamingQueryException
from tidegate.pyspark.sql.streaming.listener import StreamingQueryListener
from tidegate.pyspark.sql.streaming.query import StreamingQuery, StreamingQueryManager
from tidegate.pyspark.sql.streaming.readwriter import DataStreamReader, DataStreamWriter

__all__ = [
    "DataStreamReader",
    "DataStreamWriter",
    "StreamingQuery",
    "StreamingQueryException",
    "StreamingQueryListener",
    "StreamingQueryManager",
]
