"""The exceptions of queries, by the names of ``pyspark.sql.utils``."""

from tidegate._tidegate import AnalysisException, StreamingQueryException

__all__ = ["AnalysisException", "StreamingQueryException"]
