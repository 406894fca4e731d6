"""Expressions over the columns of a DataFrame."""

from __future__ import annotations

from typing import Any, Dict, NoReturn, Union

from tidegate import _tidegate
from tidegate._missing import missing
from tidegate.pyspark.sql.types import DataType, _parse_type

__all__ = ["Column"]

#: What PySpark's Column has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "bitwiseAND": "use `expr('a & b')`",
    "bitwiseOR": "use `expr('a | b')`",
    "bitwiseXOR": "use `expr('a ^ b')`",
    "dropFields": "make the row anew: `struct(col('a.b'), ..)`",
    "withField": "make the row anew: `struct(col('a.b'), ..)`",
}


class Column:
    """An expression over columns. Made by :mod:`tidegate.pyspark.sql.functions`, by ``df.name`` and ``df["name"]``, and put together by operators
    and methods. ``a / b`` is a double, as of integers in Spark.
    """

    def __init__(self, column: "_tidegate.Column") -> None:
        self._column = column

    def _binary(self, operator: str, other: Any) -> "Column":
        return Column(self._column.binary(operator, other))

    def _reversed(self, operator: str, other: Any) -> "Column":
        return Column(_tidegate.Column.literal(other).binary(operator, self._column))

    # ---- operators --------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> "Column":
        return self._binary("+", other)

    def __sub__(self, other: Any) -> "Column":
        return self._binary("-", other)

    def __mul__(self, other: Any) -> "Column":
        return self._binary("*", other)

    def __truediv__(self, other: Any) -> "Column":
        return Column(self._column.cast("DOUBLE").binary("/", other))

    def __mod__(self, other: Any) -> "Column":
        return self._binary("%", other)

    def __radd__(self, other: Any) -> "Column":
        return self._reversed("+", other)

    def __rsub__(self, other: Any) -> "Column":
        return self._reversed("-", other)

    def __rmul__(self, other: Any) -> "Column":
        return self._reversed("*", other)

    def __rtruediv__(self, other: Any) -> "Column":
        return Column(_tidegate.Column.literal(other).cast("DOUBLE").binary("/", self._column))

    def __rmod__(self, other: Any) -> "Column":
        return self._reversed("%", other)

    def __pow__(self, other: Any) -> "Column":
        return Column(_tidegate.Column.call("power", [self._column, other]))

    def __rpow__(self, other: Any) -> "Column":
        return Column(_tidegate.Column.call("power", [other, self._column]))

    def __neg__(self) -> "Column":
        return Column(self._column.unary("-"))

    def __eq__(self, other: Any) -> "Column":  # type: ignore[override]
        return self._binary("=", other)

    def __ne__(self, other: Any) -> "Column":  # type: ignore[override]
        return self._binary("<>", other)

    def __lt__(self, other: Any) -> "Column":
        return self._binary("<", other)

    def __le__(self, other: Any) -> "Column":
        return self._binary("<=", other)

    def __gt__(self, other: Any) -> "Column":
        return self._binary(">", other)

    def __ge__(self, other: Any) -> "Column":
        return self._binary(">=", other)

    def __and__(self, other: Any) -> "Column":
        return self._binary("and", other)

    def __or__(self, other: Any) -> "Column":
        return self._binary("or", other)

    def __rand__(self, other: Any) -> "Column":
        return self._reversed("and", other)

    def __ror__(self, other: Any) -> "Column":
        return self._reversed("or", other)

    def __invert__(self) -> "Column":
        return Column(self._column.unary("not"))

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, item: Any) -> NoReturn:
        raise ValueError(
            "Cannot apply 'in' operator against a column: please use 'contains' in a string column or 'array_contains' function for an array column."
        )

    def __bool__(self) -> NoReturn:
        raise ValueError(
            "Cannot convert column into bool: please use '&' for 'and', '|' for 'or', '~' for 'not' when building DataFrame boolean expressions."
        )

    def __iter__(self) -> NoReturn:
        raise TypeError("Column is not iterable")

    # ---- parts of values --------------------------------------------------------------------------------------

    def __getitem__(self, k: Any) -> "Column":
        if isinstance(k, slice):
            if k.step is not None:
                raise ValueError("slice with step is not supported.")
            return self.substr(k.start, k.stop)
        return self.getItem(k)

    def __getattr__(self, item: Any) -> "Column":
        if item.startswith("__") or item == "_column":
            raise AttributeError(item)
        if item in MISSING:
            missing(f"Column.{item}", MISSING[item])
        return self.getField(item)

    def getField(self, name: Any) -> "Column":
        """A field of a row."""
        return Column(self._column.get_field(str(name)))

    def getItem(self, key: Any) -> "Column":
        """An element of a list, from 0 on, or the value of a key of a map."""
        if isinstance(key, str):
            return self.getField(key)  # a field of a row, or a key of a map
        return self._binary("item", key)

    def substr(self, startPos: Union[int, "Column"], length: Union[int, "Column"]) -> "Column":
        """A part of a text; positions count from 1."""
        return Column(self._column.substr(startPos, length))

    # ---- conditions -------------------------------------------------------------------------------------------

    def eqNullSafe(self, other: Any) -> "Column":
        """Whether both are equal; NULL equals NULL."""
        return self._binary("is", other)

    def isNull(self) -> "Column":
        """Whether it has no value."""
        return Column(self._column.unary("is null"))

    def isNotNull(self) -> "Column":
        """Whether it has a value."""
        return Column(self._column.unary("is not null"))

    def between(self, lowerBound: Any, upperBound: Any) -> "Column":
        """Whether it is from the first to the second."""
        return Column(self._column.between(lowerBound, upperBound))

    def isin(self, *cols: Any) -> "Column":
        """Whether it is one of these values."""
        values = list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, set, tuple)) else list(cols)
        return Column(self._column.isin(values))

    def contains(self, other: Any) -> "Column":
        """Whether a text is in it."""
        return self._binary("contains", other)

    def startswith(self, other: Any) -> "Column":
        """Whether it begins with a text."""
        return self._binary("starts_with", other)

    def endswith(self, other: Any) -> "Column":
        """Whether it ends with a text."""
        return self._binary("ends_with", other)

    def like(self, other: str) -> "Column":
        """Whether it is like a pattern of SQL, with ``%`` and ``_``."""
        return Column(self._column.matches("like", other))

    def ilike(self, other: str) -> "Column":
        """The same, whether letters are small or capital."""
        return Column(self._column.matches("ilike", other))

    def rlike(self, other: str) -> "Column":
        """Whether a regular expression matches in it."""
        return Column(self._column.matches("rlike", other))

    def when(self, condition: "Column", value: Any) -> "Column":
        """Behind :func:`functions.when`: the value where another condition holds."""
        if not isinstance(condition, Column):
            raise TypeError("condition should be a Column")
        return Column(self._column.when(condition, value))

    def otherwise(self, value: Any) -> "Column":
        """Behind :func:`functions.when`: the value where no condition holds."""
        return Column(self._column.otherwise(value))

    # ---- types, names, order ----------------------------------------------------------------------------------

    def cast(self, dataType: Union[DataType, str]) -> "Column":
        """As another type."""
        return Column(self._column.cast(_words_of(dataType)))

    def over(self, window: Any) -> "Column":
        """The function with the rows that it sees: see :class:`tidegate.pyspark.sql.window.Window`."""
        return Column(self._column.over(window._partition_by, window._order_by, window._units, window._between))

    def try_cast(self, dataType: Union[DataType, str]) -> "Column":
        """As another type; None for what cannot be converted."""
        return Column(self._column.try_cast(_words_of(dataType)))

    def astype(self, dataType: Union[DataType, str]) -> "Column":
        """As another type."""
        return self.cast(dataType)

    def alias(self, *alias: str, **kwargs: Any) -> "Column":
        """Under another name."""
        if len(alias) != 1:
            missing("Column.alias of several names", "give each column a name of its own")
        if kwargs.get("metadata"):
            missing("Column.alias with metadata", "leave it out")
        return Column(self._column.alias(alias[0]))

    def name(self, *alias: str, **kwargs: Any) -> "Column":
        """Under another name."""
        return self.alias(*alias, **kwargs)

    def asc(self) -> "Column":
        """In ascending order."""
        return Column(self._column.unary("asc"))

    def desc(self) -> "Column":
        """In descending order."""
        return Column(self._column.unary("desc"))

    def asc_nulls_first(self) -> "Column":
        """In ascending order, NULL first."""
        return self.asc()

    def desc_nulls_last(self) -> "Column":
        """In descending order, NULL last."""
        return self.desc()

    def asc_nulls_last(self) -> "Column":
        """In ascending order, NULL last."""
        return Column(self._column.unary("asc nulls last"))

    def desc_nulls_first(self) -> "Column":
        """In descending order, NULL first."""
        return Column(self._column.unary("desc nulls first"))

    def __repr__(self) -> str:
        return f"Column<'{self._column.text()}'>"


def _words_of(kind: Union[DataType, str]) -> str:
    """A type in SQL."""
    if isinstance(kind, DataType):
        return kind._sql()
    try:
        return _parse_type(kind)._sql()
    except ValueError:
        return kind  # the engine says what is wrong with it


