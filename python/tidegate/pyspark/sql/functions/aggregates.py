"""Functions of all rows of a group."""

from __future__ import annotations

from typing import Any, Optional, Tuple

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


def first(col: ColumnOrName, ignorenulls: bool = False) -> Column:
    """The value of the row that came first; over rows that change, the least value."""
    return _function("first_ignoring_nulls", col) if ignorenulls else _function("first", col)


def first_value(col: ColumnOrName, ignoreNulls: Optional[bool] = None) -> Column:
    """The same as :func:`first`."""
    return first(col, bool(ignoreNulls))


def any_value(col: ColumnOrName, ignoreNulls: Optional[bool] = None) -> Column:
    """The same as :func:`first`."""
    return first(col, bool(ignoreNulls))


def last(col: ColumnOrName, ignorenulls: bool = False) -> Column:
    """The value of the row that came last; over rows that change, the greatest value."""
    return _function("last_ignoring_nulls", col) if ignorenulls else _function("last", col)


def last_value(col: ColumnOrName, ignoreNulls: Optional[bool] = None) -> Column:
    """The same as :func:`last`."""
    return last(col, bool(ignoreNulls))


def collect_list(col: ColumnOrName) -> Column:
    """All values, in their order."""
    return _function("collect_list", col)


def array_agg(col: ColumnOrName) -> Column:
    """The same as :func:`collect_list`."""
    return _function("collect_list", col)


def collect_set(col: ColumnOrName) -> Column:
    """All different values, in their order."""
    return _function("collect_set", col)


def median(col: ColumnOrName) -> Column:
    """The value in the middle, or the mean of the two that are there."""
    return _function("median", col)


def _part(name: str, percentage: Any) -> Any:
    if isinstance(percentage, (list, tuple)):
        missing(f"functions.{name} of several percentages", "call it for each")
    return percentage


def percentile(col: ColumnOrName, percentage: Any, frequency: Any = 1) -> Column:
    """What a part of the values is below."""
    if isinstance(frequency, Column) or frequency != 1:
        missing("functions.percentile with a frequency", "repeat the rows: `explode(array_repeat(..))`")
    return _function("percentile", col, _part("percentile", percentage))


def percentile_approx(col: ColumnOrName, percentage: Any, accuracy: Any = 10000) -> Column:
    """The first value that a part of the values does not exceed; it is exact, whatever accuracy is asked for."""
    return _function("percentile_approx", col, _part("percentile_approx", percentage))


def approx_percentile(col: ColumnOrName, percentage: Any, accuracy: Any = 10000) -> Column:
    """The same as :func:`percentile_approx`."""
    return percentile_approx(col, percentage, accuracy)


def max_by(col: ColumnOrName, ord: ColumnOrName) -> Column:
    """The value in the row where the other one is the greatest."""
    return _function("max_by", col, ord)


def min_by(col: ColumnOrName, ord: ColumnOrName) -> Column:
    """The value in the row where the other one is the least."""
    return _function("min_by", col, ord)
