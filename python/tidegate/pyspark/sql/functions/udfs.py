"""Functions of Python over columns."""

from __future__ import annotations

import functools
from typing import Any, Callable, Optional, Union

from tidegate._missing import missing
from tidegate.pyspark.sql import _pandas
from tidegate.pyspark.sql.types import DataType, StringType
from tidegate.pyspark.sql.udf import (
    SQL_ARROW_BATCHED_UDF,
    SQL_BATCHED_UDF,
    SQL_SCALAR_PANDAS_ITER_UDF,
    SQL_SCALAR_PANDAS_UDF,
    UserDefinedFunction,
)


class PandasUDFType:
    """Kinds of functions over pandas, by PySpark's numbers."""

    SCALAR = SQL_SCALAR_PANDAS_UDF
    SCALAR_ITER = SQL_SCALAR_PANDAS_ITER_UDF
    GROUPED_MAP = 201
    GROUPED_AGG = 202


def udf(
    f: Union[Callable[..., Any], DataType, str, None] = None,
    returnType: Union[DataType, str] = StringType(),
    *,
    useArrow: Optional[bool] = None,
) -> Any:
    """Makes a function over columns of one over values: ``udf(f, "int")``, ``@udf``, ``@udf("int")`` or ``@udf(returnType="int")``. It is called for each
    row, and by one call of the interpreter for the rows that come together; ``useArrow`` changes nothing.

    What it returns is a value of ``returnType``. As in PySpark an object of another type is NULL, save that a text is made of anything.
    """
    kind = SQL_ARROW_BATCHED_UDF if useArrow else SQL_BATCHED_UDF
    if f is None or isinstance(f, (str, DataType)):
        return functools.partial(UserDefinedFunction, returnType=returnType if f is None else f, evalType=kind)
    return UserDefinedFunction(f, returnType, evalType=kind)


def pandas_udf(f: Any = None, returnType: Any = None, functionType: Optional[int] = None) -> Any:
    """Makes a function over columns of one from Series of pandas to a Series of the same length, or from an iterator of them to an iterator. It is called once for
    the rows that come together. It needs pandas and pyarrow.
    """
    _pandas.require()
    is_decorator = f is None or isinstance(f, (str, DataType))
    if is_decorator and isinstance(returnType, int):
        returnType, functionType = None, returnType
    kind = f if is_decorator and f is not None else returnType
    if kind is None:
        raise TypeError("Argument `returnType` can not be None.")
    made = functools.partial(_made, kind, functionType)
    return made if is_decorator else made(f)


def _made(returnType: Union[DataType, str], functionType: Optional[int], func: Any) -> UserDefinedFunction:
    if not callable(func):
        raise TypeError(f"Argument `func` should be a callable, got {type(func).__name__}.")
    if functionType in (PandasUDFType.GROUPED_MAP, PandasUDFType.GROUPED_AGG):
        missing("pandas_udf of a group", _pandas._AGGREGATE)
    if functionType not in (None, PandasUDFType.SCALAR, PandasUDFType.SCALAR_ITER):
        raise ValueError(f"Invalid function type: functionType must be one of PandasUDFType, got {functionType}")
    takes_iterator = _pandas.is_of_iterators(func)
    if functionType is not None:
        takes_iterator = functionType == PandasUDFType.SCALAR_ITER
    kind = SQL_SCALAR_PANDAS_ITER_UDF if takes_iterator else SQL_SCALAR_PANDAS_UDF
    return UserDefinedFunction(func, returnType, evalType=kind)
