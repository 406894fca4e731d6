"""Functions of numbers."""

from __future__ import annotations

from typing import Any, Optional, Union

from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _of, _function, _sql


def _unscaled(name: str, col: ColumnOrName, scale: Any) -> Column:
    if scale is not None:
        missing(f"functions.{name} with a scale", "use `round`")
    return _function(name, col)


def abs(col: ColumnOrName) -> Column:
    """Without its sign."""
    return _function("abs", col)


def exp(col: ColumnOrName) -> Column:
    """e to the power of it."""
    return _function("exp", col)


def ln(col: ColumnOrName) -> Column:
    """The natural logarithm."""
    return _function("ln", col)


def log10(col: ColumnOrName) -> Column:
    """The logarithm to the base of 10."""
    return _function("log10", col)


def signum(col: ColumnOrName) -> Column:
    """-1, 0 or 1."""
    return _function("signum", col)


def sign(col: ColumnOrName) -> Column:
    """-1, 0 or 1."""
    return _function("signum", col)


def sqrt(col: ColumnOrName) -> Column:
    """The square root."""
    return _function("sqrt", col)


def ceil(col: ColumnOrName, scale: Optional[Union[Column, int]] = None) -> Column:
    """The least integer that is not less."""
    return _unscaled("ceil", col, scale)


def ceiling(col: ColumnOrName, scale: Optional[Union[Column, int]] = None) -> Column:
    """The least integer that is not less."""
    return _unscaled("ceil", col, scale)


def floor(col: ColumnOrName, scale: Optional[Union[Column, int]] = None) -> Column:
    """The greatest integer that is not greater."""
    return _unscaled("floor", col, scale)


def round(col: ColumnOrName, scale: int = 0) -> Column:
    """Rounded to so many decimal places."""
    return _function("round", col, scale)


def pow(col1: Union[ColumnOrName, float], col2: Union[ColumnOrName, float]) -> Column:
    """One number to the power of another one."""
    return _sql("power", _column(col1), _column(col2))


def power(col1: Union[ColumnOrName, float], col2: Union[ColumnOrName, float]) -> Column:
    """One number to the power of another one."""
    return _sql("power", _column(col1), _column(col2))


def log(arg1: Union[ColumnOrName, float], arg2: Optional[ColumnOrName] = None) -> Column:
    """The natural logarithm, or the one to a base."""
    return _function("ln", arg1) if arg2 is None else _sql("log", _column(arg1), _column(arg2))


def acos(col: ColumnOrName) -> Column:
    """``acos`` of a number."""
    return _sql("acos", _column(col))


def acosh(col: ColumnOrName) -> Column:
    """``acosh`` of a number."""
    return _sql("acosh", _column(col))


def asin(col: ColumnOrName) -> Column:
    """``asin`` of a number."""
    return _sql("asin", _column(col))


def asinh(col: ColumnOrName) -> Column:
    """``asinh`` of a number."""
    return _sql("asinh", _column(col))


def atan(col: ColumnOrName) -> Column:
    """``atan`` of a number."""
    return _sql("atan", _column(col))


def atanh(col: ColumnOrName) -> Column:
    """``atanh`` of a number."""
    return _sql("atanh", _column(col))


def cbrt(col: ColumnOrName) -> Column:
    """``cbrt`` of a number."""
    return _sql("cbrt", _column(col))


def cos(col: ColumnOrName) -> Column:
    """``cos`` of a number."""
    return _sql("cos", _column(col))


def cosh(col: ColumnOrName) -> Column:
    """``cosh`` of a number."""
    return _sql("cosh", _column(col))


def cot(col: ColumnOrName) -> Column:
    """``cot`` of a number."""
    return _sql("cot", _column(col))


def degrees(col: ColumnOrName) -> Column:
    """``degrees`` of a number."""
    return _sql("degrees", _column(col))


def factorial(col: ColumnOrName) -> Column:
    """``factorial`` of a number."""
    return _sql("factorial", _column(col))


def log2(col: ColumnOrName) -> Column:
    """``log2`` of a number."""
    return _sql("log2", _column(col))


def radians(col: ColumnOrName) -> Column:
    """``radians`` of a number."""
    return _sql("radians", _column(col))


def sin(col: ColumnOrName) -> Column:
    """``sin`` of a number."""
    return _sql("sin", _column(col))


def sinh(col: ColumnOrName) -> Column:
    """``sinh`` of a number."""
    return _sql("sinh", _column(col))


def tan(col: ColumnOrName) -> Column:
    """``tan`` of a number."""
    return _sql("tan", _column(col))


def tanh(col: ColumnOrName) -> Column:
    """``tanh`` of a number."""
    return _sql("tanh", _column(col))


def atan2(col1: Union[ColumnOrName, float], col2: Union[ColumnOrName, float]) -> Column:
    """The angle of a point."""
    return _sql("atan2", _column(col1), _column(col2))


def pi() -> Column:
    """The number pi."""
    return _sql("pi")


def greatest(*cols: ColumnOrName) -> Column:
    """The greatest of these."""
    return _sql("greatest", *map(_column, cols))


def least(*cols: ColumnOrName) -> Column:
    """The least of these."""
    return _sql("least", *map(_column, cols))


def isnan(col: ColumnOrName) -> Column:
    """Whether it is no number."""
    return _sql("isnan", _column(col))


def nanvl(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The first, or the second where the first is no number."""
    return _sql("nanvl", _column(col1), _column(col2))


def negative(col: ColumnOrName) -> Column:
    """With the other sign."""
    return -_of(col)


def negate(col: ColumnOrName) -> Column:
    """With the other sign."""
    return -_of(col)


def positive(col: ColumnOrName) -> Column:
    """As it is."""
    return _of(col)


def log1p(col: ColumnOrName) -> Column:
    """The natural logarithm of one more."""
    return _function("ln", _of(col) + 1)


def expm1(col: ColumnOrName) -> Column:
    """e to the power of it, less one."""
    return _function("exp", col) - 1


def hypot(col1: Union[ColumnOrName, float], col2: Union[ColumnOrName, float]) -> Column:
    """The square root of the sum of both squares."""
    squares = [_sql("pow", _column(col), 2.0) for col in (col1, col2)]
    return _function("sqrt", squares[0] + squares[1])


def pmod(dividend: Union[ColumnOrName, float], divisor: Union[ColumnOrName, float]) -> Column:
    """What is left of a division, never below 0."""
    rest = _sql("mod", _column(dividend), _column(divisor))
    return _sql("mod", rest + _column(divisor), _column(divisor))
