"""Functions of the place of a row among others; :meth:`Column.over` says among which."""

from __future__ import annotations

from typing import Any, Optional

from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _sql


def row_number() -> Column:
    """The number of a row, from 1 on."""
    return _sql("row_number")


def rank() -> Column:
    """The number of a row; rows that are equal in the order have that of the first of them."""
    return _sql("rank")


def dense_rank() -> Column:
    """As :func:`rank`, where the next number follows."""
    return _sql("dense_rank")


def lag(col: ColumnOrName, offset: int = 1, default: Optional[Any] = None) -> Column:
    """The value of the row that is so many rows before; the default, or NULL, if there is none."""
    more = () if default is None else (default,)
    return _sql("lag", _column(col), offset, *more)
