"""The names of ``pyspark.sql`` that a program of Structured Streaming uses."""

from typing import Any, Dict

from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.dataframe import DataFrame
from tidegate.pyspark.sql.group import GroupedData
from tidegate.pyspark.sql.readwriter import DataFrameReader, DataFrameWriter
from tidegate.pyspark.sql.session import Catalog, SparkSession
from tidegate.pyspark.sql.types import Row
from tidegate.pyspark.sql.udf import UDFRegistration
from tidegate.pyspark.sql.window import Window, WindowSpec

__all__ = ["Catalog", "Column", "DataFrame", "DataFrameReader", "DataFrameWriter", "GroupedData", "Row", "SparkSession", "UDFRegistration", "Window", "WindowSpec"]

_NULLS = "use `select` with `coalesce`"
_WHOLE = "use `foreachBatch` with `toPandas()`"

#: What `pyspark.sql` has and this package has not, with what to write instead.
MISSING: Dict[str, str] = {
    "DataFrameNaFunctions": _NULLS,
    "DataFrameStatFunctions": _WHOLE,
    "DataFrameWriterV2": "use `writeStream.toTable(..)`",
    "HiveContext": "there is no Hive: use `SparkSession`",
    "Observation": "use `lastProgress`, or a query of aggregates",
    "PandasCogroupedOps": "use `join`",
    "SQLContext": "use `SparkSession`",
    "UDTFRegistration": "there are no functions of Python that make rows: use `explode` of what a `udf` gives, or `DStream.flatMap`",
}


def __getattr__(name: str) -> Any:
    if name in MISSING:
        raise ImportError(f"pyspark.sql.{name} is not supported by tidegate\n  next: {MISSING[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
