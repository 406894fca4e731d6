"""Functions of values that may be NULL."""

from __future__ import annotations

from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _of, _sql


def isnull(col: ColumnOrName) -> Column:
    """Whether it has no value."""
    return _of(col).isNull()


def isnotnull(col: ColumnOrName) -> Column:
    """Whether it has a value."""
    return _of(col).isNotNull()


def nvl(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The first, or the second where the first is NULL."""
    return _sql("coalesce", _column(col1), _column(col2))


def ifnull(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The first, or the second where the first is NULL."""
    return _sql("coalesce", _column(col1), _column(col2))


def nvl2(col1: ColumnOrName, col2: ColumnOrName, col3: ColumnOrName) -> Column:
    """The second where the first has a value, else the third."""
    return _sql("nvl2", _column(col1), _column(col2), _column(col3))


def nullif(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """NULL where both are equal, else the first."""
    return _sql("nullif", _column(col1), _column(col2))


def equal_null(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """Whether both are equal, or both NULL."""
    return _of(col1).eqNullSafe(_of(col2))
