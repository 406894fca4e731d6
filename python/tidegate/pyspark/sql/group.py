"""Rows by groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing_attribute
from tidegate.pyspark.sql.column import Column

if TYPE_CHECKING:
    from tidegate.pyspark.sql.dataframe import DataFrame

__all__ = ["GroupedData"]

_STATE = "use DStreams: `updateStateByKey`, or aggregates and windows of SQL"

#: What PySpark's GroupedData has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "apply": _STATE,
    "applyInPandas": _STATE,
    "applyInPandasWithState": _STATE,
    "cogroup": "use `join`",
    "pivot": "write an aggregate for each value: `sum(when(col('a') == 'x', col('n')))`",
}


class GroupedData:
    """A DataFrame whose rows are grouped."""

    def __init__(self, df: "DataFrame", keys: List[Any]) -> None:
        self._df = df
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        missing_attribute("GroupedData", name, MISSING)

    def _aggregated(self, aggregates: List[Column]) -> "DataFrame":
        return self._df._then(self._df._frame.aggregated(self._keys, aggregates, caller()))

    def agg(self, *exprs: Any) -> "DataFrame":
        """What is computed of each group: columns, or a dict from names to names of functions."""
        if len(exprs) == 1 and isinstance(exprs[0], dict):
            return self._aggregated([_computed(function, name) for name, function in exprs[0].items()])
        return self._aggregated(list(exprs))

    def count(self) -> "DataFrame":
        """The number of rows of each group, in the column ``count``."""
        return self._aggregated([Column(_tidegate.Column.function("count", ["*"]).alias("count"))])

    def sum(self, *cols: str) -> "DataFrame":
        """The sums of columns; without names, of all numbers."""
        return self._each("sum", cols)

    def avg(self, *cols: str) -> "DataFrame":
        """The means of columns; without names, of all numbers."""
        return self._each("avg", cols)

    def mean(self, *cols: str) -> "DataFrame":
        """The same as :meth:`avg`."""
        return self._each("avg", cols)

    def min(self, *cols: str) -> "DataFrame":
        """The least values of columns; without names, of all numbers."""
        return self._each("min", cols)

    def max(self, *cols: str) -> "DataFrame":
        """The greatest values of columns; without names, of all numbers."""
        return self._each("max", cols)

    def _each(self, function: str, cols: Any) -> "DataFrame":
        from tidegate.pyspark.sql.types import NumericType

        keys = [key for key in self._keys if isinstance(key, str)]
        numbers = [f.name for f in self._df.schema if isinstance(f.dataType, NumericType) and f.name not in keys]
        return self._aggregated([_computed(function, name) for name in cols or numbers])


def _computed(function: str, name: str) -> Column:
    if function == "count" and name == "*":
        return Column(_tidegate.Column.function("count", ["*"]).alias("count(1)"))
    return Column(_tidegate.Column.function(function, [name]).alias(f"{function}({name})"))
