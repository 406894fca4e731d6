"""What is read once, and files that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.sql.dataframe import DataFrame
from tidegate.pyspark.sql.types import StructType, _parse_columns

if TYPE_CHECKING:
    from tidegate.pyspark.sql.session import SparkSession

__all__ = ["DataFrameReader", "DataFrameWriter"]

#: What PySpark's DataFrameReader has and this one has not, with what to write instead.
MISSING_OF_READER: Dict[str, str] = {
    "orc": "use `parquet`, `json`, `csv` or `text`",
}
#: What PySpark's DataFrameWriter has and this one has not, with what to write instead.
MISSING_OF_WRITER: Dict[str, str] = {
    "bucketBy": "use `partitionBy`",
    "insertInto": "use `save`, or a stream's `writeStream.toTable(..)`",
    "jdbc": "use a stream's `writeStream.format(\"jdbc\")`, which writes exactly once; or a driver of Python in `foreachBatch`",
    "orc": "use `parquet`, `json`, `csv` or `text`",
    "saveAsTable": "use `save`, and `createOrReplaceTempView` of what is read",
    "sortBy": "use `orderBy` before",
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class DataFrameReader:
    """Reads files, or a table of a database, as they are when a query begins."""

    def __init__(self, spark: "SparkSession") -> None:
        self._spark = spark
        self._format = "parquet"
        self._schema: Optional[str] = None
        self._options: Dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        missing_attribute("DataFrameReader", name, MISSING_OF_READER)

    def format(self, source: str) -> "DataFrameReader":
        """``parquet`` (the default), ``json``, ``csv``, ``text`` or ``jdbc``."""
        self._format = source
        return self

    def schema(self, schema: Union[StructType, str]) -> "DataFrameReader":
        """The columns: a StructType, or a text such as ``word STRING, n INT``."""
        if isinstance(schema, StructType):
            self._schema = schema._columns()
            return self
        try:
            self._schema = _parse_columns(schema)._columns()
        except ValueError:
            self._schema = schema  # the engine knows more, and says what is wrong
        return self

    def option(self, key: str, value: Any) -> "DataFrameReader":
        """An option of the format."""
        if value is not None:
            self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> "DataFrameReader":
        """Options of the format."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def load(
        self,
        path: Union[str, List[str], None] = None,
        format: Optional[str] = None,
        schema: Union[StructType, str, None] = None,
        **options: Any,
    ) -> DataFrame:
        """The rows of the files at a path, or of what the options say."""
        if format is not None:
            self.format(format)
        if schema is not None:
            self.schema(schema)
        self.options(**options)
        paths: List[Optional[str]] = list(path) if isinstance(path, (list, tuple)) else [path]
        frames = [self._loaded(one) for one in paths]
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.union(frame)
        return whole

    def _loaded(self, path: Optional[str]) -> DataFrame:
        options = dict(self._options) if path is None else {**self._options, "path": str(path)}
        frame = self._spark._engine.read_once(self._format, self._schema, options, caller())
        return DataFrame(frame, self._spark)

    def json(self, path: Union[str, List[str]], schema: Union[StructType, str, None] = None, **options: Any) -> DataFrame:
        """The objects in the lines of files."""
        return self.load(path, "json", schema, **options)

    def csv(self, path: Union[str, List[str]], schema: Union[StructType, str, None] = None, **options: Any) -> DataFrame:
        """The rows in the lines of files."""
        return self.load(path, "csv", schema, **options)

    def text(self, paths: Union[str, List[str]], wholetext: bool = False, **options: Any) -> DataFrame:
        """The lines of files, in the column ``value``."""
        if wholetext:
            missing("DataFrameReader.text of whole files", "files are read line by line: leave `wholetext` out")
        return self.load(paths, "text", **options)

    def parquet(self, *paths: str, **options: Any) -> DataFrame:
        """The rows of Parquet files."""
        return self.load(list(paths), "parquet", **options)

    def jdbc(
        self,
        url: str,
        table: str,
        column: Optional[str] = None,
        lowerBound: Any = None,
        upperBound: Any = None,
        numPartitions: Optional[int] = None,
        predicates: Optional[List[str]] = None,
        properties: Optional[Dict[str, str]] = None,
    ) -> DataFrame:
        """The rows of a table of Postgres, which is read by one statement; its columns are said by :meth:`schema`."""
        if predicates is not None:
            missing("DataFrameReader.jdbc with predicates", "read the table, and use `filter`")
        self.options(**(properties or {}))
        return self.option("url", url).option("dbtable", table).load(None, "jdbc")

    def table(self, tableName: str) -> DataFrame:
        """A table or view that was declared."""
        return DataFrame(self._spark._engine.table(tableName, caller()), self._spark)


class DataFrameWriter:
    """Writes rows that have an end into files of a folder."""

    def __init__(self, df: DataFrame) -> None:
        self._df = df
        self._format = "parquet"
        self._mode = "error"
        self._options: Dict[str, str] = {}
        self._partition_by: List[str] = []

    def __getattr__(self, name: str) -> Any:
        missing_attribute("DataFrameWriter", name, MISSING_OF_WRITER)

    def format(self, source: str) -> "DataFrameWriter":
        """``parquet`` (the default), ``json``, ``csv`` or ``text``."""
        self._format = source
        return self

    def mode(self, saveMode: Optional[str]) -> "DataFrameWriter":
        """What is done if there is something already: ``error`` (the default), ``append``, ``overwrite`` or ``ignore``."""
        if saveMode is not None:
            self._mode = saveMode
        return self

    def option(self, key: str, value: Any) -> "DataFrameWriter":
        """An option of the format."""
        if value is not None:
            self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> "DataFrameWriter":
        """Options of the format."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def partitionBy(self, *cols: Any) -> "DataFrameWriter":
        """Columns by whose values files are put into folders."""
        self._partition_by = list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, tuple)) else list(cols)
        return self

    def save(
        self,
        path: Optional[str] = None,
        format: Optional[str] = None,
        mode: Optional[str] = None,
        partitionBy: Union[str, List[str], None] = None,
        **options: Any,
    ) -> None:
        """Writes the rows into files of a folder."""
        if format is not None:
            self.format(format)
        if partitionBy is not None:
            self.partitionBy(partitionBy)
        self.mode(mode).options(**options)
        rest = dict(self._options)
        path = rest.pop("path", None) if path is None else path
        if path is None:
            raise _tidegate.AnalysisException("the folder to write to is not said\n  next: call save(path)")
        self._df._frame.write(self._format, self._mode, rest, self._partition_by, str(path), caller())

    def json(self, path: str, mode: Optional[str] = None, **options: Any) -> None:
        """Writes an object for each row."""
        self.save(path, "json", mode, **options)

    def csv(self, path: str, mode: Optional[str] = None, **options: Any) -> None:
        """Writes a line for each row."""
        self.save(path, "csv", mode, **options)

    def text(self, path: str, **options: Any) -> None:
        """Writes the only column, a text, as lines."""
        self.save(path, "text", **options)

    def parquet(self, path: str, mode: Optional[str] = None, **options: Any) -> None:
        """Writes files of Parquet."""
        self.save(path, "parquet", mode, **options)
