"""Where a program begins: a session, with its tables and its queries."""

from __future__ import annotations

import atexit
import os
import warnings
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.conf import SparkConf
from tidegate.pyspark.context import SparkContext, settings_of
from tidegate.pyspark.sql.dataframe import DataFrame
from tidegate.pyspark.sql.infer import rows_of
from tidegate.pyspark.sql.readwriter import DataFrameReader

if TYPE_CHECKING:
    from tidegate.pyspark.sql.streaming import DataStreamReader, StreamingQueryManager
    from tidegate.pyspark.sql.udf import UDFRegistration, UserDefinedFunction

__all__ = ["SparkSession"]

_TAGS = "there are no jobs: use `StreamingQuery.stop`"

#: What PySpark's SparkSession has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "addArtifact": "the program runs in this process: put the folder into `sys.path`",
    "addArtifacts": "the program runs in this process: put the folders into `sys.path`",
    "addTag": "there are no jobs: leave it out",
    "clearTags": "there are no jobs: leave it out",
    "client": "there is no server: the program runs in this process",
    "copyFromLocalToFs": "use `shutil.copy`",
    "getTags": "there are no jobs: leave it out",
    "interruptAll": _TAGS,
    "interruptOperation": _TAGS,
    "interruptTag": _TAGS,
    "newSession": "a process has one session",
    "removeTag": "there are no jobs: leave it out",
    "udtf": "there are no functions of Python that make rows: use `explode` of what a `udf` gives, or `DStream.flatMap`",
}

#: How long the end of the process waits for batches in flight.
_EXIT_SECONDS = 20.0


class RuntimeConfig:
    """The settings of a session."""

    def __init__(self, conf: SparkConf) -> None:
        self._conf = conf

    def set(self, key: str, value: Any) -> None:
        """Keeps a setting. Settings are read when the session makes its first DataFrame: later ones have no effect."""
        if not key.startswith("tidegate."):
            warnings.warn(f"settings without an effect in tidegate: {key}", stacklevel=2)
        self._conf.set(key, str(value).lower() if isinstance(value, bool) else value)

    def get(self, key: str, default: Any = None) -> Optional[str]:
        """A setting."""
        return self._conf.get(key, default)

    def unset(self, key: str) -> None:
        """Takes a setting back."""
        self._conf._settings.pop(key, None)

    def isModifiable(self, key: str) -> bool:
        """Whether a setting can be changed while the session runs."""
        return False


class Table(NamedTuple):
    """A table or view of a session."""

    name: str
    catalog: Optional[str] = None
    namespace: Optional[List[str]] = None
    description: Optional[str] = None
    tableType: str = "TEMPORARY"
    isTemporary: bool = True


class Catalog:
    """The tables and views of a session."""

    def __init__(self, session: "SparkSession") -> None:
        self._session = session

    def listTables(self, dbName: Optional[str] = None, pattern: Optional[str] = None) -> List[Table]:
        """The tables and views that were declared."""
        return [Table(name) for name in self._session._engine.tables()]

    def tableExists(self, tableName: str, dbName: Optional[str] = None) -> bool:
        """Whether there is a table or view of this name."""
        return tableName in self._session._engine.tables()

    def dropTempView(self, viewName: str) -> bool:
        """Forgets a view; whether there was one."""
        if viewName not in self._session._engine.tables():
            return False
        self._session._engine.sql("DROP VIEW `" + viewName.replace("`", "``") + "`", caller())
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        missing(f"Catalog.{name}", "there are tables and views of the session: `listTables`, `tableExists`, `dropTempView`")


class SparkSession:
    """A session of this process: what it has declared, and the queries that it has started."""

    _active: Optional["SparkSession"] = None

    class Builder:
        """Settings of a session."""

        def __init__(self) -> None:
            self._conf = SparkConf()

        def appName(self, name: str) -> "SparkSession.Builder":
            """The name of the application."""
            self._conf.setAppName(name)
            return self

        def master(self, master: str) -> "SparkSession.Builder":
            """``local[n]``: n worker threads."""
            self._conf.setMaster(master)
            return self

        def config(
            self,
            key: Optional[str] = None,
            value: Optional[Any] = None,
            conf: Optional[SparkConf] = None,
            *,
            map: Optional[Dict[str, Any]] = None,
        ) -> "SparkSession.Builder":
            """A setting, or several."""
            pairs: List[Tuple[str, Any]] = conf.getAll() if conf is not None else list((map or {}).items())
            for name, setting in pairs:
                self._conf.set(name, setting)
            if key is not None:
                self._conf.set(key, value)
            return self

        def enableHiveSupport(self) -> "SparkSession.Builder":
            """Not supported."""
            missing("SparkSession.builder.enableHiveSupport", "there is no Hive: leave it out")

        def create(self) -> "SparkSession":
            """Not supported."""
            missing("SparkSession.builder.create", "a process has one session: use `getOrCreate`")

        def remote(self, url: str) -> "SparkSession.Builder":
            """Not supported."""
            missing("SparkSession.builder.remote", "there is no server: the program runs in this process")

        def getOrCreate(self) -> "SparkSession":
            """The session of this process, which is made if there is none."""
            active = SparkSession._active
            if active is None or SparkContext._active_spark_context is not active.sparkContext:
                SparkSession._active = active = SparkSession(SparkContext.getOrCreate(self._conf))
            return active

    class _Builders:
        def __get__(self, *_: Any) -> "SparkSession.Builder":
            return SparkSession.Builder()

    builder = _Builders()

    def __init__(self, sparkContext: SparkContext, *_: Any, **__: Any) -> None:
        self._sc = sparkContext
        self._made: Optional["_tidegate.Session"] = None
        self._streams: Optional["StreamingQueryManager"] = None
        #: The DataFrames that are kept in memory, by the names of their queries.
        #: The names of functions that columns call, each with whether it is deterministic.
        self._functions: Dict[Tuple["UserDefinedFunction", bool], str] = {}

    @property
    def _engine(self) -> "_tidegate.Session":
        """What the session runs on; made with its first DataFrame, so that a program of DStreams has none."""
        if self._made is None:
            flags, others = settings_of(self._sc._conf, 1.0)
            del others["interval_ms"]  # each query has its trigger
            self._made = _tidegate.Session(self._sc.applicationId, flags, others)
            _end_at_exit(self)
        return self._made

    def __getattr__(self, name: str) -> Any:
        missing_attribute("SparkSession", name, MISSING)

    def __enter__(self) -> "SparkSession":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    @classmethod
    def getActiveSession(cls) -> Optional["SparkSession"]:
        """The session of this process, if there is one."""
        return cls._active

    @classmethod
    def active(cls) -> "SparkSession":
        """The session of this process."""
        if cls._active is None:
            raise RuntimeError("there is no session: SparkSession.builder.getOrCreate() makes one")
        return cls._active

    @property
    def sparkContext(self) -> SparkContext:
        """The context of the session."""
        return self._sc

    @property
    def version(self) -> str:
        """The version of the API that these names follow."""
        return self._sc.version

    @property
    def conf(self) -> RuntimeConfig:
        """The settings of the session."""
        return RuntimeConfig(self._sc._conf)

    @property
    def catalog(self) -> Catalog:
        """The tables and views of the session."""
        return Catalog(self)

    @property
    def udf(self) -> "UDFRegistration":
        """The functions of Python that queries in SQL may call."""
        from tidegate.pyspark.sql.udf import UDFRegistration

        return UDFRegistration(self)

    def _name_of(self, function: "UserDefinedFunction") -> str:
        """The name by which columns call a function, which is made known with the first one."""
        key = (function, function.deterministic)
        if key not in self._functions:
            self._functions[key] = function._add_to(self._engine, function._name, False)
        return self._functions[key]

    @property
    def read(self) -> DataFrameReader:
        """Reads what is there, once."""
        return DataFrameReader(self)

    def createDataFrame(
        self,
        data: Any,
        schema: Any = None,
        samplingRatio: Optional[float] = None,
        verifySchema: bool = True,
    ) -> DataFrame:
        """Rows of the program: tuples, lists, dictionaries, rows, a DataFrame of pandas, or what Arrow's readers take. The types of columns follow
        from all rows, unless the schema says them: a StructType, a text such as ``word STRING, n INT``, or names.
        """
        if type(data).__module__.split(".")[0] == "pandas" or hasattr(data, "__arrow_c_stream__"):
            return self._of_arrow(data, schema)
        columns, rows = rows_of(data, schema)
        return DataFrame(self._engine.of_tuples(columns._columns(), rows, caller()), self)

    def _of_arrow(self, data: Any, schema: Any) -> DataFrame:
        try:
            import pyarrow
        except ImportError:
            missing("SparkSession.createDataFrame of columns without pyarrow", "`pip install pyarrow`, or give tuples")
        if type(data).__module__.split(".")[0] == "pandas":
            table = pyarrow.Table.from_pandas(data, preserve_index=False)
        else:
            table = data if isinstance(data, pyarrow.Table) else pyarrow.table(data)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        frame = DataFrame(self._engine.of_ipc(sink.getvalue().to_pybytes(), caller()), self)
        if schema is None:
            return frame
        if isinstance(schema, (list, tuple)):
            return frame.toDF(*schema)
        columns, _ = rows_of([], schema)
        names = frame.columns
        if len(names) != len(columns):
            raise ValueError(f"there are {len(names)} columns, and the schema has {len(columns)}")
        return frame.select([frame[name].cast(field.dataType).alias(field.name) for name, field in zip(names, columns)])

    def range(
        self,
        start: int,
        end: Optional[int] = None,
        step: int = 1,
        numPartitions: Optional[int] = None,
    ) -> DataFrame:
        """Numbers from ``start`` on, or from 0, up to ``end`` and without it, as the column ``id``."""
        first, last = (0, start) if end is None else (start, end)
        return DataFrame(self._engine.range(first, last, step, caller()), self)

    @property
    def readStream(self) -> "DataStreamReader":
        """Reads rows that keep coming."""
        from tidegate.pyspark.sql.streaming import DataStreamReader

        return DataStreamReader(self)

    @property
    def streams(self) -> "StreamingQueryManager":
        """The queries that run."""
        from tidegate.pyspark.sql.streaming import StreamingQueryManager

        if self._streams is None:
            self._streams = StreamingQueryManager(self)
        return self._streams

    def sql(self, sqlQuery: str, args: Optional[Any] = None, **kwargs: Any) -> DataFrame:
        """A query in SQL, or declarations: docs/sql.md."""
        if args or kwargs:
            missing("SparkSession.sql with arguments", "write the values into the text, or use `filter`")
        return DataFrame(self._engine.sql(sqlQuery, caller()), self)

    def table(self, tableName: str) -> DataFrame:
        """A table or view; or the rows that a query of this name has written to ``memory``."""
        return DataFrame(self._engine.table(tableName, caller()), self)

    def stop(self) -> None:
        """Ends the session, and what runs in it."""
        if self._made is not None:
            try:
                self._made.stop(None)
            except _tidegate.StreamingError:
                pass  # `awaitTermination` tells it
            self._made = None
            self._functions.clear()
        self._sc.stop()
        if SparkSession._active is self:
            SparkSession._active = None


_ending: List[SparkSession] = []


def _end_at_exit(session: SparkSession) -> None:
    """The interpreter must not end while threads of the engine call functions."""
    if not _ending:
        atexit.register(_end_all)
    _ending.append(session)


def _end_all() -> None:
    for session in _ending:
        if session._made is None:
            continue
        try:
            ended = session._made.stop(_EXIT_SECONDS)
        except _tidegate.StreamingError:
            ended = True
        except KeyboardInterrupt:
            ended = False
        if not ended:
            # A function of the program does not return; what was committed is safe.
            os._exit(130)
