"""Where rows come from, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.sql.dataframe import BatchDataFrame, DataFrame
from tidegate.pyspark.sql.streaming.query import StreamingQuery
from tidegate.pyspark.sql.types import StructType, _parse_columns

if TYPE_CHECKING:
    from tidegate.pyspark.sql.session import SparkSession

__all__ = ["DataStreamReader", "DataStreamWriter"]

#: What PySpark's DataStreamReader has and this one has not, with what to write instead.
MISSING_OF_READER: Dict[str, str] = {
    "orc": "use `json`, `csv` or `text`; or write the files to a topic",
    "parquet": "use `json`, `csv` or `text`; `spark.read.parquet(..)` reads files once, for streams to join",
}
#: What PySpark's DataStreamWriter has and this one has not, with what to write instead.
MISSING_OF_WRITER: Dict[str, str] = {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class DataStreamReader:
    """Reads rows that keep coming."""

    def __init__(self, spark: "SparkSession") -> None:
        self._spark = spark
        self._format: Optional[str] = None
        self._schema: Optional[str] = None
        self._options: Dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        missing_attribute("DataStreamReader", name, MISSING_OF_READER)

    def format(self, source: str) -> "DataStreamReader":
        """``kafka``, ``socket``, ``rate``, ``json``, ``csv``, ``text``, or any connector of docs/sql.md."""
        self._format = source
        return self

    def schema(self, schema: Union[StructType, str]) -> "DataStreamReader":
        """The columns: a StructType, or a text such as ``word STRING, n INT``."""
        if isinstance(schema, StructType):
            self._schema = schema._columns()
            return self
        try:
            self._schema = _parse_columns(schema)._columns()
        except ValueError:
            self._schema = schema  # the engine knows more, and says what is wrong
        return self

    def option(self, key: str, value: Any) -> "DataStreamReader":
        """An option of the source."""
        if value is not None:
            self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> "DataStreamReader":
        """Options of the source."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def load(
        self,
        path: Optional[str] = None,
        format: Optional[str] = None,
        schema: Union[StructType, str, None] = None,
        **options: Any,
    ) -> DataFrame:
        """The rows of the source."""
        if format is not None:
            self.format(format)
        if schema is not None:
            self.schema(schema)
        self.options(**options)
        if path is not None:
            self.option("path", path)
        frame = self._spark._engine.read(self._format, self._schema, self._options, caller())
        return DataFrame(frame, self._spark)

    def json(self, path: str, schema: Union[StructType, str, None] = None, **options: Any) -> DataFrame:
        """The objects in the lines of the files of a folder, as files appear there."""
        return self.load(path, "json", schema, **options)

    def csv(self, path: str, schema: Union[StructType, str, None] = None, **options: Any) -> DataFrame:
        """The rows in the lines of the files of a folder, as files appear there."""
        return self.load(path, "csv", schema, **options)

    def text(self, path: str, wholetext: bool = False, **options: Any) -> DataFrame:
        """The lines of the files of a folder, as files appear there, in the column ``value``."""
        if wholetext:
            missing("DataStreamReader.text of whole files", "files are read line by line: leave `wholetext` out")
        return self.load(path, "text", **options)

    def table(self, tableName: str) -> DataFrame:
        """A table or view that was declared."""
        return DataFrame(self._spark._engine.table(tableName, caller()), self._spark)


class DataStreamWriter:
    """Writes a DataFrame as its rows come."""

    def __init__(self, df: DataFrame) -> None:
        self._df = df
        self._format: Optional[str] = None
        self._mode: Optional[str] = None
        self._trigger = ("", "")
        self._options: Dict[str, str] = {}
        self._name: Optional[str] = None
        self._partition_by: List[str] = []
        self._batches: Optional[Callable[[BatchDataFrame, int], None]] = None

    def __getattr__(self, name: str) -> Any:
        missing_attribute("DataStreamWriter", name, MISSING_OF_WRITER)

    def format(self, source: str) -> "DataStreamWriter":
        """``console``, ``kafka``, ``memory``, ``json``, ``csv``, ``text``, ``parquet``, or any connector of docs/sql.md."""
        self._format = source
        return self

    def outputMode(self, outputMode: str) -> "DataStreamWriter":
        """``append`` (the default), ``update`` or ``complete``."""
        if not outputMode or not isinstance(outputMode, str):
            raise ValueError("The output mode must be a non-empty string. Got: %s" % outputMode)
        self._mode = outputMode
        return self

    def option(self, key: str, value: Any) -> "DataStreamWriter":
        """An option of the sink; ``checkpointLocation`` is the directory of the query's state."""
        if value is not None:
            self._options[key] = _text(value)
        return self

    def options(self, **options: Any) -> "DataStreamWriter":
        """Options of the sink."""
        for key, value in options.items():
            self.option(key, value)
        return self

    def partitionBy(self, *cols: Any) -> "DataStreamWriter":
        """Columns by whose values files are put into folders."""
        self._partition_by = list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, tuple)) else list(cols)
        return self

    def queryName(self, queryName: str) -> "DataStreamWriter":
        """What the query is called: by its name it finds its state and its offsets again. One query of a session may have none."""
        if not queryName or not isinstance(queryName, str) or not queryName.strip():
            raise ValueError("The queryName must be a non-empty string. Got: %s" % queryName)
        self._name = queryName
        return self

    def trigger(
        self,
        *,
        processingTime: Optional[str] = None,
        once: Optional[bool] = None,
        continuous: Optional[str] = None,
        availableNow: Optional[bool] = None,
    ) -> "DataStreamWriter":
        """When a batch ends: in an interval such as ``1 second``, or ``availableNow``: when all that was there is processed, and then the query ends.
        Without a trigger a batch ends as soon as what has come is processed.
        """
        given = [value for value in (processingTime, once, continuous, availableNow) if value is not None]
        if not given:
            raise ValueError("No trigger provided")
        if len(given) > 1:
            raise ValueError("Multiple triggers not allowed.")
        if continuous is not None:
            missing("DataStreamWriter.trigger(continuous=..)", "leave it out: a batch takes a few milliseconds")
        if processingTime is not None:
            if not isinstance(processingTime, str) or not processingTime.strip():
                raise ValueError(f"Value for processingTime must be a non empty string. Got: {processingTime}")
            self._trigger = ("processingTime", processingTime.strip())
            if processingTime.split()[0].rstrip("s").lstrip("0") == "":
                self._trigger = ("", "")  # `0 seconds`: as soon as possible
            return self
        name = "once" if once is not None else "availableNow"
        if given[0] is not True:
            raise ValueError(f"Value for {name} must be True. Got: {given[0]}")
        self._trigger = (name, "")
        return self

    def foreachBatch(self, func: Callable[[BatchDataFrame, int], None]) -> "DataStreamWriter":
        """Calls a function with the rows of each batch that has any, and its id, after the commit and in the order of ids. After a crash or an
        exception it is called again with exactly the same rows under the same id: a destination that stores the id gets each batch once.
        """
        if not callable(func):
            raise TypeError("func should be callable")
        self._batches = func
        return self

    def foreach(self, f: Any) -> "DataStreamWriter":
        """Calls a function with each row; or an object that has ``process(row)``, and perhaps ``open(partition_id, epoch_id)`` and ``close(error)``."""
        if callable(f):
            return self.foreachBatch(lambda rows, _id: rows.foreach(f))
        if not hasattr(f, "process"):
            raise AttributeError("Provided object does not have a 'process' method")

        def each(rows: BatchDataFrame, id: int) -> None:
            error: Optional[BaseException] = None
            try:
                if not hasattr(f, "open") or f.open(0, id):
                    rows.foreach(f.process)
            except BaseException as e:
                error = e
                raise
            finally:
                if hasattr(f, "close"):
                    f.close(error)

        return self.foreachBatch(each)

    def start(
        self,
        path: Optional[str] = None,
        format: Optional[str] = None,
        outputMode: Optional[str] = None,
        partitionBy: Union[str, List[str], None] = None,
        queryName: Optional[str] = None,
        **options: Any,
    ) -> StreamingQuery:
        """Starts the query."""
        return self._started(None, path, format, outputMode, partitionBy, queryName, options)

    def toTable(
        self,
        tableName: str,
        format: Optional[str] = None,
        outputMode: Optional[str] = None,
        partitionBy: Union[str, List[str], None] = None,
        queryName: Optional[str] = None,
        **options: Any,
    ) -> StreamingQuery:
        """Starts the query, which writes to a table that was declared; columns are matched by name."""
        return self._started(tableName, None, format, outputMode, partitionBy, queryName, options)

    def _started(
        self,
        table: Optional[str],
        path: Optional[str],
        format: Optional[str],
        outputMode: Optional[str],
        partitionBy: Union[str, List[str], None],
        queryName: Optional[str],
        options: Dict[str, Any],
    ) -> StreamingQuery:
        if format is not None:
            self.format(format)
        if outputMode is not None:
            self.outputMode(outputMode)
        if partitionBy is not None:
            self.partitionBy(partitionBy)
        if queryName is not None:
            self.queryName(queryName)
        self.options(**options)
        if path is not None:
            self.option("path", path)
        session, batches = self._df._session, self._batches

        def given(rows: "_tidegate.Rows", id: int) -> None:
            assert batches is not None
            batches(BatchDataFrame(rows, session), id)

        started = self._df._frame.start(
            self._format,
            self._mode,
            self._trigger,
            self._options,
            self._name,
            self._partition_by,
            given if batches is not None else None,
            table,
            caller(),
        )
        session._sc._page = session._engine.page()
        return StreamingQuery(started, session)


