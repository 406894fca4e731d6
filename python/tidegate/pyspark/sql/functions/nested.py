"""Functions of lists, maps and rows."""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.types import DataType, StructType
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _of, _function, _sql, _flat


def explode(col: ColumnOrName) -> Column:
    """A row for each element of a list."""
    return _function("explode", col)


def size(col: ColumnOrName) -> Column:
    """The number of elements of a list."""
    return _function("size", col)


def cardinality(col: ColumnOrName) -> Column:
    """The number of elements of a list."""
    return _function("size", col)


def array_size(col: ColumnOrName) -> Column:
    """The number of elements of a list."""
    return _function("size", col)


def array(*cols: ColumnOrName) -> Column:
    """A list of these."""
    return _function("array", *_flat(cols))


def array_contains(col: ColumnOrName, value: Any) -> Column:
    """Whether a value is in a list."""
    return _function("array_contains", col, value)


def array_distinct(col: ColumnOrName) -> Column:
    """The different elements of a list."""
    return _function("array_distinct", col)


def array_join(col: ColumnOrName, delimiter: str, null_replacement: Optional[str] = None) -> Column:
    """The elements of a list as one text."""
    return _function("array_join", col, delimiter) if null_replacement is None else _sql("array_to_string", _column(col), delimiter, null_replacement)


def sort_array(col: ColumnOrName, asc: bool = True) -> Column:
    """The elements of a list in order."""
    return _function("sort_array", col) if asc else _sql("array_sort", _column(col), "DESC", "NULLS LAST")


def array_max(col: ColumnOrName) -> Column:
    """The greatest element of a list."""
    return _sql("array_max", _column(col))


def array_min(col: ColumnOrName) -> Column:
    """The least element of a list."""
    return _sql("array_min", _column(col))


def array_compact(col: ColumnOrName) -> Column:
    """A list without NULLs."""
    return _sql("array_compact", _column(col))


def flatten(col: ColumnOrName) -> Column:
    """The elements of lists as one list."""
    return _sql("flatten", _column(col))


def array_append(col: ColumnOrName, value: Any) -> Column:
    """A list and one more."""
    return _sql("array_append", _column(col), value)


def array_prepend(col: ColumnOrName, value: Any) -> Column:
    """One more, and a list."""
    return _sql("array_prepend", value, _column(col))


def array_position(col: ColumnOrName, value: Any) -> Column:
    """Where a value is in a list, from 1 on; 0 = nowhere."""
    return _sql("coalesce", _sql("array_position", _column(col), value), 0)


def array_remove(col: ColumnOrName, element: Any) -> Column:
    """A list without a value."""
    return _sql("array_remove_all", _column(col), element)


def array_repeat(col: ColumnOrName, count: Union[ColumnOrName, int]) -> Column:
    """A list of a value so many times."""
    return _sql("array_repeat", _column(col), _column(count))


def array_union(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """What both lists have, or one of them; each once."""
    return _sql("array_union", _column(col1), _column(col2))


def array_intersect(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """What both lists have, or one of them; each once."""
    return _sql("array_intersect", _column(col1), _column(col2))


def array_except(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """What both lists have, or one of them; each once."""
    return _sql("array_except", _column(col1), _column(col2))


def arrays_overlap(a1: ColumnOrName, a2: ColumnOrName) -> Column:
    """Whether two lists have an element in common."""
    return _sql("arrays_overlap", _column(a1), _column(a2))


def get(col: ColumnOrName, index: Union[ColumnOrName, int]) -> Column:
    """An element of a list, from 0 on."""
    return _of(col).getItem(_column(index))


def map_keys(col: ColumnOrName) -> Column:
    """The keys of a map."""
    return _function("map_keys", col)


def map_values(col: ColumnOrName) -> Column:
    """The values of a map."""
    return _function("map_values", col)


def map_from_arrays(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """A map of keys and values."""
    return _sql("map", _column(col1), _column(col2))


def struct(*cols: ColumnOrName) -> Column:
    """A row of these columns."""
    return _function("struct_", *_flat(cols))


def get_json_object(col: ColumnOrName, path: str) -> Column:
    """What a text of JSON has at a path such as ``$.a.b``, as a text."""
    return _function("get_json_object", col, path)


def from_json(col: ColumnOrName, schema: Any, options: Optional[Dict[str, Any]] = None) -> Column:
    """What texts of JSON are, with the columns of a StructType or of a text such as ``a INT, b STRING``, or of an ArrayType or MapType."""
    for option, value in (options or {}).items():
        if option.lower() != "mode" or str(value).upper() != "PERMISSIVE":
            missing(f"functions.from_json with the option {option!r}", "leave it out: what is no JSON is NULL, and dates and times are ISO 8601")
    if isinstance(schema, StructType):
        schema = schema._columns()
    elif isinstance(schema, DataType):
        schema = schema._sql()
    return _function("from_json", col, schema)


def to_json(col: ColumnOrName, options: Optional[Dict[str, Any]] = None) -> Column:
    """A row, a list or a map as a text of JSON, without the fields that are NULL."""
    for option, value in (options or {}).items():
        if option != "ignoreNullFields" or str(value).lower() != "true":
            missing(f"functions.to_json with the option {option!r}", "leave it out: fields that are NULL are left out, and times are ISO 8601")
    return _function("to_json", col)


def create_map(*cols: ColumnOrName) -> Column:
    """A map of keys and values, which take turns."""
    flat = _flat(cols)
    return _sql("map", _function("array", *flat[::2]), _function("array", *flat[1::2]))


def element_at(col: ColumnOrName, extraction: Any) -> Column:
    """An element of a list, from 1 on, or from its end with a negative number; or the value of a key of a map."""
    return _sql("element_at", _column(col), extraction)


def slice(x: ColumnOrName, start: Union[ColumnOrName, int], length: Union[ColumnOrName, int]) -> Column:
    """Some elements of a list, from one on, which is counted from 1."""
    first = _of(start) if isinstance(start, (str, Column)) else start
    count = _of(length) if isinstance(length, (str, Column)) else length
    return _sql("array_slice", _column(x), first, first + count - 1)


def array_sort(col: ColumnOrName, comparator: Any = None) -> Column:
    """The elements of a list in order, NULL last."""
    if comparator is not None:
        missing("functions.array_sort with a function", "use `udf`, or `array_sort` of rows whose first field is what is compared")
    return _sql("array_sort", _column(col), "ASC", "NULLS LAST")
