"""Functions over pandas: columns come as Arrow, become Series, and go as Arrow."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from typing import Any, Callable, Dict, List, Optional

from tidegate._missing import missing

_AGGREGATE = "use an aggregate of SQL over what a function gives for each row: `df.groupBy(..).agg(sum(f(..)))`"


def require() -> None:
    """That pandas and pyarrow are there.

    Raises
    ------
    ImportError
        If one of them is not.
    """
    for name in ("pandas", "pyarrow"):
        try:
            __import__(name)
        except ImportError as error:
            raise ImportError(f"pandas_udf needs {name}, which is not installed\n  next: pip install pandas pyarrow") from error


def is_of_iterators(function: Callable[..., Any]) -> bool:
    """Whether the hints of a function say that it takes and gives iterators.

    Raises
    ------
    NotImplementedError
        If they say that it makes one value of a Series.
    ValueError
        If it takes no arguments.
    """
    import pandas

    try:
        hints: Dict[str, Any] = typing.get_type_hints(function)
    except Exception:  # names that cannot be resolved say nothing
        hints = {}
    try:
        names: Optional[List[str]] = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = None
    if names == []:
        raise ValueError(
            "0-arg pandas_udfs are not supported. Instead, create a 1-arg pandas_udf and ignore the arg in your function."
        )
    returns = hints.get("return")
    first = hints.get(names[0]) if names else None
    if any(typing.get_origin(hint) is collections.abc.Iterator for hint in (first, returns)):
        return True
    if isinstance(returns, type) and not issubclass(returns, (pandas.Series, pandas.DataFrame, type(None))):
        missing("pandas_udf from Series to one value", _AGGREGATE)
    return False


def called(function: Callable[..., Any], takes_iterator: bool, rows: bytes, wanted: bytes) -> bytes:
    """What a function gives for rows, as a column of a type: all three are streams of Arrow IPC."""
    import pyarrow

    batch = pyarrow.ipc.open_stream(rows).read_next_batch()
    schema = pyarrow.ipc.open_stream(wanted).schema
    series = [_series(batch.column(at)) for at in range(batch.num_columns)]
    if takes_iterator:
        given = series[0] if len(series) == 1 else tuple(series)
        results = list(function(iter([given])))
    else:
        results = [function(*series)]
    arrays = [_array(result, schema.field(0).type) for result in results]
    array = arrays[0] if len(arrays) == 1 else pyarrow.concat_arrays(arrays)
    if len(array) != batch.num_rows:
        raise RuntimeError(
            f"Result vector from pandas_udf was not the required length: expected {batch.num_rows}, got {len(array)}"
        )
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pyarrow.record_batch([array], schema=schema))
    return sink.getvalue().to_pybytes()


def _series(column: Any) -> Any:
    """A column as a Series; rows as a DataFrame."""
    import pyarrow

    options = {"date_as_object": True, "coerce_temporal_nanoseconds": True, "maps_as_pydicts": "strict"}
    if pyarrow.types.is_struct(column.type):
        fields = [column.type.field(at).name for at in range(column.type.num_fields)]
        return pyarrow.Table.from_arrays(column.flatten(), names=fields).to_pandas(**options)
    return column.to_pandas(**options)


def _array(result: Any, kind: Any) -> Any:
    """What a function has given, as an array of a type."""
    import pandas
    import pyarrow

    if pyarrow.types.is_struct(kind):
        if not isinstance(result, pandas.DataFrame):
            raise TypeError(
                f"Return type of the user-defined function should be pandas.DataFrame, but is {type(result)}"
            )
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if len(result.columns) != len(fields):
            raise RuntimeError(
                f"Number of columns of the returned pandas.DataFrame doesn't match specified schema. Expected: {len(fields)} Actual: {len(result.columns)}"
            )
        by_name = any(isinstance(name, str) for name in result.columns)
        columns = [result[field.name] if by_name else result.iloc[:, at] for at, field in enumerate(fields)]
        parts = [_array(column, field.type) for column, field in zip(columns, fields)]
        return pyarrow.StructArray.from_arrays(parts, fields=fields)
    if not hasattr(result, "__len__") or isinstance(result, (str, bytes)):
        raise TypeError(f"Return type of the user-defined function should be pandas.Series, but is {type(result)}")
    series = result if isinstance(result, pandas.Series) else pandas.Series(result)
    if pyarrow.types.is_timestamp(kind):
        if getattr(series.dtype, "tz", None) is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        times = pyarrow.Array.from_pandas(series)
        plain = times.cast(pyarrow.timestamp(kind.unit), safe=False)
        return plain.cast(kind) if kind.tz is None else plain.cast(pyarrow.int64()).cast(kind)
    if pyarrow.types.is_date(kind) and series.dtype.kind == "M":
        series = series.dt.date
    try:
        array = pyarrow.Array.from_pandas(series, type=kind)
    except (TypeError, ValueError) as error:
        what = f"Exception thrown when converting pandas.Series ({series.dtype}) with name '{series.name}' to Arrow Array ({kind})."
        raise type(error)(what) from error
    return array.combine_chunks() if isinstance(array, pyarrow.ChunkedArray) else array
