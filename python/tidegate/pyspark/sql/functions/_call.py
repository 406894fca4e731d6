"""How functions are called, and what they take."""

from __future__ import annotations

from typing import Any, List, Tuple, Union

from tidegate import _tidegate
from tidegate.pyspark.sql.column import Column

ColumnOrName = Union[Column, str]


def _column(column: Any) -> Any:
    """A column of a name; what is no name stays."""
    return _tidegate.Column.named(column) if isinstance(column, str) else column


def _of(column: ColumnOrName) -> Column:
    return column if isinstance(column, Column) else Column(_tidegate.Column.named(column))


def _function(name: str, *arguments: Any) -> Column:
    """A function of the engine's DataFrames."""
    return Column(_tidegate.Column.function(name, list(arguments)))


def _sql(name: str, *arguments: Any) -> Column:
    """A function of SQL; a text is a value."""
    return Column(_tidegate.Column.call(name, list(arguments)))


def _flat(cols: Tuple[Any, ...]) -> List[Any]:
    return list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, set, tuple)) else list(cols)
