"""The exceptions of queries, by the names of ``pyspark.errors``."""

from tidegate._tidegate import AnalysisException, StreamingError, StreamingQueryException

#: All that this package raises for what goes wrong in the engine.
PySparkException = StreamingError

__all__ = ["AnalysisException", "PySparkException", "StreamingQueryException"]
