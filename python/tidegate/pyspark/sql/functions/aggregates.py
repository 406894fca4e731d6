"""Functions of all rows of a group."""

from __future__ import annotations

from typing import Tuple

from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _of, _function
from tidegate.pyspark.sql.functions.columns import when


def _one(name: str, col: ColumnOrName, cols: Tuple[ColumnOrName, ...]) -> Column:
    if cols:
        missing(f"functions.{name} of several columns", "count the different rows of `struct(..)`")
    return _function(name, col)


def count(col: ColumnOrName) -> Column:
    """The number of rows, of ``*``, or of those with a value."""
    return _function("count", col)


def count_distinct(col: ColumnOrName, *cols: ColumnOrName) -> Column:
    """The number of different values."""
    return _one("count_distinct", col, cols)


def countDistinct(col: ColumnOrName, *cols: ColumnOrName) -> Column:
    """The same as :func:`count_distinct`."""
    return _one("count_distinct", col, cols)


def sum(col: ColumnOrName) -> Column:
    """The sum."""
    return _function("sum", col)


def sum_distinct(col: ColumnOrName) -> Column:
    """The sum of the different values."""
    return _function("sum_distinct", col)


def sumDistinct(col: ColumnOrName) -> Column:
    """The same as :func:`sum_distinct`."""
    return _function("sum_distinct", col)


def avg(col: ColumnOrName) -> Column:
    """The mean."""
    return _function("avg", col)


def mean(col: ColumnOrName) -> Column:
    """The mean."""
    return _function("mean", col)


def min(col: ColumnOrName) -> Column:
    """The least value."""
    return _function("min", col)


def max(col: ColumnOrName) -> Column:
    """The greatest value."""
    return _function("max", col)


def bool_and(col: ColumnOrName) -> Column:
    """Whether all are true."""
    return _function("bool_and", col)


def every(col: ColumnOrName) -> Column:
    """Whether all are true."""
    return _function("bool_and", col)


def bool_or(col: ColumnOrName) -> Column:
    """Whether one is true."""
    return _function("bool_or", col)


def some(col: ColumnOrName) -> Column:
    """Whether one is true."""
    return _function("bool_or", col)


def stddev(col: ColumnOrName) -> Column:
    """The standard deviation of a sample."""
    return _function("stddev", col)


def stddev_samp(col: ColumnOrName) -> Column:
    """The standard deviation of a sample."""
    return _function("stddev", col)


def std(col: ColumnOrName) -> Column:
    """The standard deviation of a sample."""
    return _function("stddev", col)


def stddev_pop(col: ColumnOrName) -> Column:
    """The standard deviation."""
    return _function("stddev_pop", col)


def variance(col: ColumnOrName) -> Column:
    """The variance of a sample."""
    return _function("variance", col)


def var_samp(col: ColumnOrName) -> Column:
    """The variance of a sample."""
    return _function("variance", col)


def var_pop(col: ColumnOrName) -> Column:
    """The variance."""
    return _function("var_pop", col)


def count_if(col: ColumnOrName) -> Column:
    """How often a condition holds."""
    return _function("count", when(_of(col), 1))
