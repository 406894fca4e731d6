"""Functions of Python that queries call."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, Tuple, Union

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.types import DataType, StringType, _parse_columns, _parse_type

if TYPE_CHECKING:
    from tidegate.pyspark.sql.session import SparkSession

__all__ = ["UDFRegistration", "UserDefinedFunction"]

#: Kinds of functions, by PySpark's numbers.
SQL_BATCHED_UDF = 100
SQL_ARROW_BATCHED_UDF = 101
SQL_SCALAR_PANDAS_UDF = 200
SQL_SCALAR_PANDAS_ITER_UDF = 204
_OF_PANDAS = (SQL_SCALAR_PANDAS_UDF, SQL_SCALAR_PANDAS_ITER_UDF)
#: As many arguments as a function of Python with ``*args`` may be given.
_ARGUMENTS_MAX = 255

_JAVA = "there is no JVM: write the function in Python, or in Rust (docs/dataframes.md)"


def _return_type(kind: Union[DataType, str]) -> DataType:
    """The type of a text such as ``array<int>``, or a row with fields such as ``a int, b string``."""
    if isinstance(kind, DataType):
        return kind
    try:
        return _parse_type(kind)
    except ValueError:
        return _parse_columns(kind)


def _arity(func: Callable[..., Any]) -> Tuple[int, int]:
    """How many arguments a function takes at least and at most."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        return 0, _ARGUMENTS_MAX  # of C
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    has_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    least = sum(p.default is p.empty for p in by_place)
    return least, _ARGUMENTS_MAX if has_more else len(by_place)


class UserDefinedFunction:
    """A function that makes columns of columns. Made by :func:`functions.udf`, :func:`functions.pandas_udf` and ``spark.udf.register``.

    It must give the same for the same arguments, also after a restart and in another process, as rows are computed again after a failure; one
    that does not says so by :meth:`asNondeterministic`.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        returnType: Union[DataType, str] = StringType(),
        name: Optional[str] = None,
        evalType: int = SQL_BATCHED_UDF,
        deterministic: bool = True,
    ) -> None:
        if not callable(func):
            raise TypeError(f"Argument `func` should be a callable, got {type(func).__name__}.")
        if not isinstance(returnType, (DataType, str)):
            raise TypeError(f"Argument `returnType` should be a DataType or str, got {type(returnType).__name__}.")
        self.func = func
        self.returnType = _return_type(returnType)
        self.evalType = evalType
        self.deterministic = deterministic
        self._name: str = name or getattr(func, "__name__", type(func).__name__)
        functools.update_wrapper(self, func, updated=())

    def __call__(self, *cols: Any) -> Column:
        from tidegate.pyspark.sql.session import SparkSession

        session = SparkSession.getActiveSession()
        if session is None:
            raise RuntimeError("SparkContext or SparkSession should be created first.")
        name = session._name_of(self)
        return Column(_tidegate.Column.call(name, [_column(col) for col in cols]))

    def asNondeterministic(self) -> "UserDefinedFunction":
        """Says that it may give another value for the same arguments: then it stands only where its value is needed once."""
        self.deterministic = False
        return self

    def _add_to(self, engine: "_tidegate.Session", name: str, is_registered: bool) -> str:
        """Makes it known to a session; the name by which columns call it."""
        function: Callable[..., Any] = self.func
        if self.evalType in _OF_PANDAS:
            from tidegate.pyspark.sql import _pandas

            function = functools.partial(_pandas.called, self.func, self.evalType == SQL_SCALAR_PANDAS_ITER_UDF)
        arity = _arity(self.func)
        if self.evalType == SQL_SCALAR_PANDAS_ITER_UDF:
            arity = 1, _ARGUMENTS_MAX
        return engine.add_function(
            name,
            is_registered,
            function,
            self.evalType in _OF_PANDAS,
            arity,
            self.returnType._sql(),
            self.deterministic,
            caller(),
        )

    def __repr__(self) -> str:
        return f"<UserDefinedFunction {self._name}>"


def _column(col: Any) -> Any:
    if isinstance(col, str):
        return _tidegate.Column.named(col)
    if isinstance(col, Column):
        return col
    raise TypeError(f"Argument `col` should be a Column or str, got {type(col).__name__}.")


class UDFRegistration:
    """The functions of Python that queries in SQL may call: ``spark.udf``."""

    def __init__(self, sparkSession: "SparkSession") -> None:
        self.sparkSession = sparkSession

    def register(
        self,
        name: str,
        f: Union[Callable[..., Any], UserDefinedFunction],
        returnType: Union[DataType, str, None] = None,
    ) -> UserDefinedFunction:
        """Makes a function known under a name, which texts of SQL call. A function of the program that had the name is replaced; names of SQL's
        functions are refused.
        """
        if isinstance(f, UserDefinedFunction):
            if returnType is not None:
                raise TypeError(
                    f"returnType can not be specified when f is a user-defined function, but got {returnType}."
                )
            function = UserDefinedFunction(f.func, f.returnType, name, f.evalType, f.deterministic)
        else:
            function = UserDefinedFunction(f, StringType() if returnType is None else returnType, name)
        function._add_to(self.sparkSession._engine, name, True)
        return function

    def registerJavaFunction(
        self, name: str, javaClassName: str, returnType: Union[DataType, str, None] = None
    ) -> NoReturn:
        """Not supported."""
        missing("UDFRegistration.registerJavaFunction", _JAVA)

    def registerJavaUDAF(self, name: str, javaClassName: str) -> NoReturn:
        """Not supported."""
        missing("UDFRegistration.registerJavaUDAF", _JAVA)
