"""Rows that keep coming, and rows that are there."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NoReturn, Optional, Tuple, Union

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.group import GroupedData
from tidegate.pyspark.sql.types import Row, StructType, _row
from tidegate.pyspark.storagelevel import StorageLevel

if TYPE_CHECKING:
    from tidegate.pyspark.sql.readwriter import DataFrameWriter
    from tidegate.pyspark.sql.session import SparkSession
    from tidegate.pyspark.sql.streaming import DataStreamWriter

__all__ = ["BatchDataFrame", "DataFrame"]

ColumnOrName = Union[Column, str]

_RDD = "use `foreachBatch`; for functions of rows there are DStreams (docs/python.md)"
_GROUPS = "make a query for each grouping, and `union` them"
_SAMPLE = "filter by a hash of a column"
_WHOLE = "use `foreachBatch` with `toPandas()`"
_NULLS = "use `select` with `coalesce`"
_LEAVE = "there are no partitions to choose: leave it out"

#: What PySpark's DataFrame has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "approxQuantile": _WHOLE,
    "checkpoint": "state is durable with each batch: leave it out",
    "coalesce": _LEAVE,
    "corr": _WHOLE,
    "cov": _WHOLE,
    "createGlobalTempView": "use `createTempView`: there is one session",
    "createOrReplaceGlobalTempView": "use `createOrReplaceTempView`: there is one session",
    "crossJoin": "each row would meet every row: use `join` with an equality",
    "crosstab": _WHOLE,
    "cube": _GROUPS,
    "describe": _WHOLE,
    "dropna": "use `filter` with `isNotNull`",
    "exceptAll": "use `subtract`, of distinct rows",
    "fillna": _NULLS,
    "freqItems": _WHOLE,
    "hint": _LEAVE,
    "inputFiles": "the files are those of the folder that is read",
    "intersectAll": "use `intersect`, of distinct rows",
    "isLocal": _LEAVE,
    "localCheckpoint": "state is durable with each batch: leave it out",
    "mapInArrow": _RDD,
    "mapInPandas": _RDD,
    "melt": _WHOLE,
    "na": _NULLS,
    "observe": "use `lastProgress`, or a query of aggregates",
    "offset": "of rows that keep coming none is passed over",
    "pandas_api": _WHOLE,
    "randomSplit": _SAMPLE,
    "rdd": _RDD,
    "repartition": _LEAVE,
    "repartitionByRange": _LEAVE,
    "replace": "use `withColumn` with `when`, or `functions.replace`",
    "rollup": _GROUPS,
    "sameSemantics": "compare `explain()`",
    "sample": _SAMPLE,
    "sampleBy": _SAMPLE,
    "semanticHash": "compare `explain()`",
    "sortWithinPartitions": "use `orderBy` with `limit`",
    "sql_ctx": "use `sparkSession`",
    "stat": _WHOLE,
    "summary": _WHOLE,
    "to": "use `select` with `cast`",
    "to_koalas": _WHOLE,
    "to_pandas_on_spark": _WHOLE,
    "unpivot": _WHOLE,
    "writeTo": "use `writeStream.toTable(..)`",
}


def _flat(cols: Tuple[Any, ...]) -> List[Any]:
    """Columns that are given one by one, or as one list."""
    return list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, tuple)) else list(cols)


def _names(subset: Optional[List[str]]) -> List[str]:
    if isinstance(subset, str):
        raise TypeError("subset is a list or a tuple of names")
    return list(subset or [])


class _Described:
    """What both kinds of DataFrames say of their columns."""

    def _schema_json(self) -> str:
        raise NotImplementedError

    @property
    def schema(self) -> StructType:
        """The columns with their types."""
        return StructType.fromJson(json.loads(self._schema_json()))

    @property
    def columns(self) -> List[str]:
        """The names of the columns."""
        return self.schema.names

    @property
    def dtypes(self) -> List[Tuple[str, str]]:
        """The names of the columns, each with its type."""
        return [(field.name, field.dataType.simpleString()) for field in self.schema.fields]

    def printSchema(self, level: Optional[int] = None) -> None:
        """Prints the columns as a tree."""
        lines = self.schema.treeString().splitlines()
        if level is not None and level > 0:
            lines = [line for line in lines if line.count(" |") <= level]
        print("\n".join(lines) + "\n")


class _Shown(_Described):
    """What a program gets of rows that have an end."""

    def _there(self) -> "BatchDataFrame":
        raise NotImplementedError

    def count(self) -> int:
        """The number of rows."""
        return len(self._there())

    def isEmpty(self) -> bool:
        """Whether there is no row."""
        return not len(self._there())

    def collect(self) -> List[Row]:
        """All rows."""
        there = self._there()
        return there._taken(len(there))

    def take(self, num: int) -> List[Row]:
        """The first rows."""
        return self._there()._taken(num)

    def head(self, n: Optional[int] = None) -> Union[Row, None, List[Row]]:
        """The first row, or the first rows."""
        return self.first() if n is None else self._there()._taken(n)

    def first(self) -> Optional[Row]:
        """The first row, if there is one."""
        rows = self._there()._taken(1)
        return rows[0] if rows else None

    def tail(self, num: int) -> List[Row]:
        """The last rows."""
        return self.collect()[-num:] if num else []

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Iterator[Row]:
        """The rows one by one."""
        return iter(self.collect())

    def foreach(self, f: Callable[[Row], None]) -> None:
        """Calls a function with each row."""
        for row in self.collect():
            f(row)

    def foreachPartition(self, f: Callable[[Iterator[Row]], None]) -> None:
        """Calls a function with all rows."""
        f(iter(self.collect()))

    def show(self, n: int = 20, truncate: Union[bool, int] = True, vertical: bool = False) -> None:
        """Prints the first rows as a table, or with a line for each value."""
        cut_at = (20 if truncate else None) if isinstance(truncate, bool) else truncate or None
        print("\n".join(self._there()._rows.table(n, cut_at, vertical)) + "\n")
        sys.stdout.flush()

    def toArrow(self) -> Any:
        """The rows as a table of pyarrow."""
        try:
            import pyarrow
        except ImportError:
            missing("DataFrame.toArrow without pyarrow", "`pip install pyarrow`, or use `collect()`")
        return pyarrow.ipc.open_stream(self._there()._rows.ipc()).read_all()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.toArrow().__arrow_c_stream__(requested_schema)

    def toPandas(self) -> Any:
        """The rows as a DataFrame of pandas."""
        return self.toArrow().to_pandas()


class DataFrame(_Shown):
    """Rows with the same columns. Made by a session, and from others by methods. Of rows that keep coming it runs once it is written; of rows that
    have an end it runs when they are asked for (:meth:`show`, :meth:`collect`), and a stream can be joined with it.
    """

    def __init__(self, frame: "_tidegate.Frame", session: "SparkSession") -> None:
        self._frame = frame
        self._session = session

    def _then(self, frame: "_tidegate.Frame") -> "DataFrame":
        return DataFrame(frame, self._session)

    def _there(self) -> "BatchDataFrame":
        return BatchDataFrame(self._frame.collect(caller()), self._session)

    def _schema_json(self) -> str:
        return self._frame.schema_json()

    @property
    def sparkSession(self) -> "SparkSession":
        """The session that it was made with."""
        return self._session

    @property
    def columns(self) -> List[str]:
        """The names of the columns."""
        return self._frame.columns()

    @property
    def isStreaming(self) -> bool:
        """Whether its rows keep coming."""
        return self._frame.is_streaming()

    @property
    def write(self) -> "DataFrameWriter":
        """Writes its rows, which have an end, into files."""
        from tidegate.pyspark.sql.readwriter import DataFrameWriter

        return DataFrameWriter(self)

    @property
    def writeStream(self) -> "DataStreamWriter":
        """Writes its rows as they come."""
        from tidegate.pyspark.sql.streaming import DataStreamWriter

        return DataStreamWriter(self)

    def __getattr__(self, name: str) -> Column:
        if not name.startswith("_"):
            if name in MISSING:
                missing_attribute("DataFrame", name, MISSING)
            if name in self._frame.columns():
                return self[name]
        missing_attribute("DataFrame", name, {})

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            names = self._frame.columns()
            if item != "*" and item not in names and item.split(".")[0].strip("`") not in names:
                self._frame.select([item], caller())  # tells which names there are, or that it is one behind an alias
            plain = item if item == "*" or item not in names else "`" + item.replace("`", "``") + "`"
            return Column(_tidegate.Column.named(plain))
        if isinstance(item, int):
            return self[self._frame.columns()[item]]
        if isinstance(item, Column):
            return self.filter(item)
        if isinstance(item, (list, tuple)):
            return self.select(*item)
        raise TypeError(f"a column is named by a str or an int, not {type(item).__name__}")

    def __dir__(self) -> List[str]:
        return sorted({*super().__dir__(), *(name for name in self._frame.columns() if name.isidentifier())})

    def __repr__(self) -> str:
        return f"DataFrame[{', '.join(f'{name}: {kind}' for name, kind in self.dtypes)}]"

    # ---- columns ----------------------------------------------------------------------------------------------

    def select(self, *cols: Any) -> "DataFrame":
        """These columns."""
        return self._then(self._frame.select(_flat(cols), caller()))

    def selectExpr(self, *expr: Any) -> "DataFrame":
        """These columns, each a text of SQL."""
        columns = [_tidegate.Column.parsed(text) for text in _flat(expr)]
        return self._then(self._frame.select(columns, caller()))

    def withColumn(self, colName: str, col: Column) -> "DataFrame":
        """All columns and one more, or another value for the column of this name."""
        if not isinstance(col, Column):
            raise TypeError("col should be Column: use `lit(..)` for a value")
        return self._then(self._frame.with_column(colName, col, caller()))

    def withColumns(self, *colsMap: Dict[str, Column]) -> "DataFrame":
        """All columns and some more, all computed of the columns that there were."""
        added = colsMap[0]
        items: List[Any] = [added[name].alias(name) if name in added else self[name] for name in self.columns]
        items += [column.alias(name) for name, column in added.items() if name not in self.columns]
        return self._then(self._frame.select(items, caller()))

    def withColumnRenamed(self, existing: str, new: str) -> "DataFrame":
        """All columns, one of them under another name."""
        return self._then(self._frame.with_column_renamed(existing, new, caller()))

    def withColumnsRenamed(self, colsMap: Dict[str, str]) -> "DataFrame":
        """All columns, some of them under other names."""
        items = [self[name].alias(colsMap[name]) if name in colsMap else self[name] for name in self.columns]
        return self._then(self._frame.select(items, caller()))

    def withMetadata(self, columnName: str, metadata: Dict[str, Any]) -> "DataFrame":
        """Not supported."""
        missing("DataFrame.withMetadata", "columns have no metadata: leave it out")

    def toDF(self, *cols: str) -> "DataFrame":
        """All columns under these names."""
        if len(cols) != len(self.columns):
            raise ValueError(f"there are {len(self.columns)} columns, and {len(cols)} names")
        items = [self[name].alias(new) for name, new in zip(self.columns, cols)]
        return self._then(self._frame.select(items, caller()))

    def colRegex(self, colName: str) -> Column:
        """Not supported."""
        missing("DataFrame.colRegex", "choose them in Python: `[name for name in df.columns if ..]`")

    def drop(self, *cols: ColumnOrName) -> "DataFrame":
        """All columns but these."""
        names = [col if isinstance(col, str) else col._column.text().strip("`") for col in cols]
        return self._then(self._frame.drop(names, caller()))

    def alias(self, alias: str) -> "DataFrame":
        """The same rows under a name, so that columns can be told from those of others: ``a.id``."""
        return self._then(self._frame.alias(alias, caller()))

    def transform(self, func: Callable[..., "DataFrame"], *args: Any, **kwargs: Any) -> "DataFrame":
        """What a function makes of it."""
        return func(self, *args, **kwargs)

    # ---- rows -------------------------------------------------------------------------------------------------

    def filter(self, condition: ColumnOrName) -> "DataFrame":
        """The rows for which a condition holds: a column, or a text of SQL."""
        condition = Column(_tidegate.Column.parsed(condition)) if isinstance(condition, str) else condition
        return self._then(self._frame.filter(condition, caller()))

    def where(self, condition: ColumnOrName) -> "DataFrame":
        """The same as :meth:`filter`."""
        return self.filter(condition)

    def distinct(self) -> "DataFrame":
        """Each row once."""
        return self._then(self._frame.distinct(caller()))

    def dropDuplicates(self, subset: Optional[List[str]] = None) -> "DataFrame":
        """The first row of each key: of the values of these columns, or of all. Keys are kept for ever."""
        return self._then(self._frame.drop_duplicates(_names(subset), caller()))

    def drop_duplicates(self, subset: Optional[List[str]] = None) -> "DataFrame":
        """The same as :meth:`dropDuplicates`."""
        return self.dropDuplicates(subset)

    def dropDuplicatesWithinWatermark(self, subset: Optional[List[str]] = None) -> "DataFrame":
        """The same, but a key is forgotten once the watermark has passed its first row by as much as rows may be late."""
        return self._then(self._frame.drop_duplicates_within_watermark(_names(subset), caller()))

    def orderBy(self, *cols: Any, **kwargs: Any) -> "DataFrame":
        """In the order of these columns. Of rows that keep coming only the first are known, with :meth:`limit`; in output mode complete to the
        console, all. Rows that have an end are shown so.
        """
        ascending = kwargs.get("ascending", True)
        columns = [self._ordered(col) for col in _flat(cols)]
        orders = ascending if isinstance(ascending, (list, tuple)) else [ascending] * len(columns)
        columns = [column if is_ascending else column.desc() for column, is_ascending in zip(columns, orders)]
        return self._then(self._frame.order_by(columns, caller()))

    def _ordered(self, col: Any) -> Column:
        if isinstance(col, int):
            column = self[self.columns[abs(col) - 1]]
            return column.desc() if col < 0 else column
        return Column(_tidegate.Column.named(col)).asc() if isinstance(col, str) else col

    def sort(self, *cols: Any, **kwargs: Any) -> "DataFrame":
        """The same as :meth:`orderBy`."""
        return self.orderBy(*cols, **kwargs)

    def limit(self, num: int) -> "DataFrame":
        """The first rows; of rows that keep coming, those of an order."""
        return self._then(self._frame.limit(num, caller()))

    # ---- several DataFrames -----------------------------------------------------------------------------------

    def join(self, other: "DataFrame", on: Any = None, how: Optional[str] = None) -> "DataFrame":
        """Pairs of rows: with the same values in columns of these names, or for which a condition holds. Columns that both have are told apart by
        :meth:`alias`: ``a.join(b, expr("a.id = b.id"))``.
        """
        how = how or "inner"
        if on is None:
            missing("DataFrame.join without a condition", "say which columns are equal")
        parts = list(on) if isinstance(on, (list, tuple)) else [on]
        if all(isinstance(part, str) for part in parts):
            return self._then(self._frame.join_using(other._frame, parts, how, caller()))
        condition = parts[0]
        for part in parts[1:]:
            condition = condition & part
        return self._then(self._frame.join(other._frame, condition, how, caller()))

    def union(self, other: "DataFrame") -> "DataFrame":
        """The rows of both; columns are matched by position."""
        return self._then(self._frame.union(other._frame, caller()))

    def unionAll(self, other: "DataFrame") -> "DataFrame":
        """The same as :meth:`union`."""
        return self.union(other)

    def unionByName(self, other: "DataFrame", allowMissingColumns: bool = False) -> "DataFrame":
        """The rows of both; columns are matched by name."""
        if allowMissingColumns:
            for name, kind in other.dtypes:
                if name not in self.columns:
                    self = self.withColumn(name, Column(_tidegate.Column.literal(None)).cast(kind))
            for name, kind in self.dtypes:
                if name not in other.columns:
                    other = other.withColumn(name, Column(_tidegate.Column.literal(None)).cast(kind))
        return self._then(self._frame.union_by_name(other._frame, caller()))

    def intersect(self, other: "DataFrame") -> "DataFrame":
        """The rows that are also rows of the other one, each once."""
        return self._then(self._frame.intersect(other._frame, caller()))

    def subtract(self, other: "DataFrame") -> "DataFrame":
        """The rows that are no rows of the other one, each once."""
        return self._then(self._frame.except_(other._frame, caller()))

    # ---- groups and time --------------------------------------------------------------------------------------

    def groupBy(self, *cols: Any) -> GroupedData:
        """Groups rows by columns; no columns = all rows are one group."""
        return GroupedData(self, _flat(cols))

    def groupby(self, *cols: Any) -> GroupedData:
        """The same as :meth:`groupBy`."""
        return GroupedData(self, _flat(cols))

    def agg(self, *exprs: Any) -> "DataFrame":
        """Aggregates of all rows."""
        return self.groupBy().agg(*exprs)

    def withWatermark(self, eventTime: str, delayThreshold: str) -> "DataFrame":
        """Says which column is the event time, and how late rows may be. It stands before rows are grouped."""
        return self._then(self._frame.with_watermark(eventTime, delayThreshold, caller()))

    # ---- names and plans --------------------------------------------------------------------------------------

    def createOrReplaceTempView(self, name: str) -> None:
        """Gives it a name, which ``spark.sql`` and ``spark.table`` know."""
        self._frame.create_or_replace_temp_view(name, caller())

    def createTempView(self, name: str) -> None:
        """The same, if no view has the name."""
        if name in self._session._engine.tables():
            raise _tidegate.AnalysisException(
                f"there is a table or view `{name}` already\n  next: choose another name, or call createOrReplaceTempView"
            )
        self.createOrReplaceTempView(name)

    def registerTempTable(self, name: str) -> None:
        """The same as :meth:`createOrReplaceTempView`."""
        self.createOrReplaceTempView(name)

    def toJSON(self, use_unicode: bool = True) -> NoReturn:
        """Not supported."""
        missing("DataFrame.toJSON", "write to `kafka` with the option `value.format` = `json`")

    def explain(self, extended: Any = None, mode: Optional[str] = None) -> None:
        """Prints its plans: the logical plan, and the operators with what each keeps in state."""
        print(self._frame.explained(caller()))

    def cache(self) -> "DataFrame":
        """Has no effect: rows are computed once, as they come."""
        return self

    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK) -> "DataFrame":
        """Has no effect: rows are computed once, as they come."""
        return self

    def unpersist(self, blocking: bool = False) -> "DataFrame":
        """Has no effect."""
        return self

    @property
    def storageLevel(self) -> StorageLevel:
        """Of no effect: rows are not kept."""
        return StorageLevel.MEMORY_AND_DISK


class BatchDataFrame(_Shown):
    """Rows that are there: those of a batch, as ``foreachBatch`` is given them, or of a query with the sink ``memory``. What is made of it by the
    methods of a :class:`DataFrame` is one whose rows have an end.

    Arrow's readers take it as it is (``__arrow_c_stream__``), for instance ``polars.from_arrow(df)``; :meth:`toArrow` needs pyarrow, and
    :meth:`toPandas` pandas too.
    """

    isStreaming = False

    def __init__(self, rows: "_tidegate.Rows", session: "SparkSession") -> None:
        self._rows = rows
        self._session = session
        self._made: Optional["_tidegate.Frame"] = None

    def _schema_json(self) -> str:
        return self._rows.schema_json()

    @property
    def sparkSession(self) -> "SparkSession":
        """The session of the query."""
        return self._session

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"DataFrame[{', '.join(f'{name}: {kind}' for name, kind in self.dtypes)}]"

    @property
    def _frame(self) -> "_tidegate.Frame":
        if self._made is None:
            self._made = self._session._engine.of_rows(self._rows, caller())
        return self._made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(DataFrame(self._frame, self._session), name)

    def __getitem__(self, item: Any) -> Any:
        return DataFrame(self._frame, self._session)[item]

    def _there(self) -> "BatchDataFrame":
        return self

    def _taken(self, num: int) -> List[Row]:
        names = tuple(self.columns)
        return [_row(names, values) for values in self._rows.tuples(num)]

    def toJSON(self) -> List[str]:
        """The rows as JSON."""
        return [json.dumps(row.asDict(True), default=str) for row in self.collect()]

    def cache(self) -> "BatchDataFrame":
        """Has no effect: the rows are there."""
        return self

    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK) -> "BatchDataFrame":
        """Has no effect: the rows are there."""
        return self

    def unpersist(self, blocking: bool = False) -> "BatchDataFrame":
        """Has no effect."""
        return self
