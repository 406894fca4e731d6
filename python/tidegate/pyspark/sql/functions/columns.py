"""Columns, values and orders."""

from __future__ import annotations

from typing import Any, TypeVar

from tidegate import _tidegate
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _of, _function

_Frame = TypeVar("_Frame")


def col(col: str) -> Column:
    """The column of a name: of ``a.b`` the column ``b`` of the DataFrame called ``a``, or the field ``b`` of the row ``a``."""
    return Column(_tidegate.Column.named(col))


def column(col: str) -> Column:
    """The same as :func:`col`."""
    return Column(_tidegate.Column.named(col))


def lit(col: Any) -> Column:
    """A value."""
    return col if isinstance(col, Column) else Column(_tidegate.Column.literal(col))


def expr(str: str) -> Column:
    """What a text of SQL says."""
    return Column(_tidegate.Column.parsed(str))


def call_function(funcName: str, *cols: ColumnOrName) -> Column:
    """A function of SQL by its name: docs/sql.md lists them."""
    return Column(_tidegate.Column.call(funcName, [_column(col) for col in cols]))


def call_udf(udfName: str, *cols: ColumnOrName) -> Column:
    """A function of Python by the name under which ``spark.udf.register`` made it known."""
    return call_function(udfName, *cols)


def when(condition: Column, value: Any) -> Column:
    """The value where a condition holds; see :meth:`Column.when` and :meth:`Column.otherwise`."""
    return _function("when", condition, value)


def coalesce(*cols: ColumnOrName) -> Column:
    """The first of these columns that has a value."""
    return _function("coalesce", *cols)


def asc(col: ColumnOrName) -> Column:
    """In ascending order."""
    return _of(col).asc()


def desc(col: ColumnOrName) -> Column:
    """In descending order."""
    return _of(col).desc()


def asc_nulls_first(col: ColumnOrName) -> Column:
    """In ascending order, NULL first."""
    return _of(col).asc_nulls_first()


def asc_nulls_last(col: ColumnOrName) -> Column:
    """In ascending order, NULL last."""
    return _of(col).asc_nulls_last()


def desc_nulls_first(col: ColumnOrName) -> Column:
    """In descending order, NULL first."""
    return _of(col).desc_nulls_first()


def desc_nulls_last(col: ColumnOrName) -> Column:
    """In descending order, NULL last."""
    return _of(col).desc_nulls_last()


def broadcast(df: _Frame) -> _Frame:
    """Has no effect: a table that is read once is on each process."""
    return df
