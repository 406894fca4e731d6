"""Rows of a program: which columns they have."""

from __future__ import annotations

import datetime
import decimal
from typing import Any, Dict, List, Optional, Tuple

from tidegate.pyspark.sql.types import (
    ArrayType,
    AtomicType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    LongType,
    MapType,
    NullType,
    Row,
    StringType,
    StructField,
    StructType,
    TimestampType,
    _parse_columns,
    _parse_type,
)

__all__ = ["rows_of"]

_TYPES = (
    (bool, BooleanType()),
    (int, LongType()),
    (float, DoubleType()),
    (str, StringType()),
    ((bytes, bytearray), BinaryType()),
    (decimal.Decimal, DecimalType(38, 18)),
    (datetime.datetime, TimestampType()),
    (datetime.date, DateType()),
)


def rows_of(data: Any, schema: Any) -> Tuple[StructType, List[Tuple[Any, ...]]]:
    """The columns and the rows of what ``createDataFrame`` is given: tuples, lists, dictionaries, rows, or values of one column.

    Raises
    ------
    ValueError
        If the columns do not follow from the rows.
    TypeError
        If a row is none, or values of a column have several types.
    """
    given = list(data)
    if isinstance(schema, str):
        schema = _columns_or_type(schema)
    if isinstance(schema, DataType) and not isinstance(schema, StructType):
        return StructType([StructField("value", schema)]), [(value,) for value in given]
    if isinstance(schema, StructType):
        return schema, [_values(row, schema.names) for row in given]
    if not given:
        raise ValueError("can not infer schema from empty dataset")
    names = _names(given[0], list(schema) if schema is not None else None)
    rows = [_values(row, names) for row in given]
    columns: List[DataType] = [NullType() for _ in names]
    for row in rows:
        columns = [_merged(kind, _type_of(value), name) for kind, value, name in zip(columns, row, names)]
    for name, kind in zip(names, columns):
        if _has_unknown(kind):
            raise ValueError(f"the type of column `{name}` cannot be determined from its values\n  next: give a schema")
    return StructType([StructField(name, kind) for name, kind in zip(names, columns)]), rows


def _columns_or_type(text: str) -> DataType:
    try:
        return _parse_columns(text)
    except ValueError:
        return _parse_type(text)


def _names(row: Any, given: Optional[List[str]]) -> List[str]:
    """The names of columns: those that are said, or those of the row; the others are ``_1``, ``_2`` and so on."""
    if isinstance(row, dict):
        names = sorted(row)
    elif isinstance(row, Row) and "__fields__" in row.__dict__:
        names = list(row.__fields__)
    elif isinstance(row, (tuple, list)):
        names = [f"_{number}" for number in range(1, len(row) + 1)]
    elif hasattr(row, "__dict__") and not isinstance(row, type):
        names = sorted(vars(row))
    else:
        raise TypeError(f"can not infer schema for type: {type(row).__name__}\n  next: give tuples, or a type as the schema")
    if given is not None:
        names = given + names[len(given) :]
    return names


def _values(row: Any, names: List[str]) -> Tuple[Any, ...]:
    if isinstance(row, dict):
        return tuple(row.get(name) for name in names)
    if isinstance(row, Row) and "__fields__" in row.__dict__ and set(row.__fields__) == set(names):
        return tuple(row[name] for name in names)
    if isinstance(row, (tuple, list)):
        if len(row) != len(names):
            raise ValueError(f"a row has {len(row)} values, and there are {len(names)} columns: {row!r}")
        return tuple(row)
    if hasattr(row, "__dict__"):
        values = vars(row)
        return tuple(values.get(name) for name in names)
    raise TypeError(f"{row!r} is no row: give a tuple, a list, a dictionary or a Row")


def _type_of(value: Any) -> DataType:
    if value is None:
        return NullType()
    for kinds, kind in _TYPES:
        if isinstance(value, kinds):  # type: ignore[arg-type]
            return kind
    if isinstance(value, dict):
        key: DataType = NullType()
        of: DataType = NullType()
        for name, part in value.items():
            key, of = _merged(key, _type_of(name), "key"), _merged(of, _type_of(part), "value")
        return MapType(key, of)
    if isinstance(value, Row) and "__fields__" in value.__dict__:
        return StructType([StructField(name, _type_of(part)) for name, part in zip(value.__fields__, value)])
    if isinstance(value, tuple):
        return StructType([StructField(f"_{at}", _type_of(part)) for at, part in enumerate(value, 1)])
    if isinstance(value, list):
        item: DataType = NullType()
        for part in value:
            item = _merged(item, _type_of(part), "element")
        return ArrayType(item)
    raise TypeError(f"not supported type: {type(value).__name__}")


def _merged(a: DataType, b: DataType, name: str) -> DataType:
    """The type of values of both."""
    if isinstance(a, NullType):
        return b
    if isinstance(b, NullType) or a == b:
        return a
    if isinstance(a, ArrayType) and isinstance(b, ArrayType):
        return ArrayType(_merged(a.elementType, b.elementType, name))
    if isinstance(a, MapType) and isinstance(b, MapType):
        return MapType(_merged(a.keyType, b.keyType, name), _merged(a.valueType, b.valueType, name))
    if isinstance(a, StructType) and isinstance(b, StructType):
        kinds: Dict[str, DataType] = {field.name: field.dataType for field in a}
        for field in b:
            kinds[field.name] = _merged(kinds.get(field.name, NullType()), field.dataType, f"{name}.{field.name}")
        return StructType([StructField(field, kind) for field, kind in kinds.items()])
    raise TypeError(f"column `{name}`: can not merge type {type(a).__name__} and {type(b).__name__}")


def _has_unknown(kind: DataType) -> bool:
    if isinstance(kind, ArrayType):
        return _has_unknown(kind.elementType)
    if isinstance(kind, MapType):
        return _has_unknown(kind.keyType) or _has_unknown(kind.valueType)
    if isinstance(kind, StructType):
        return any(_has_unknown(field.dataType) for field in kind)
    return not isinstance(kind, AtomicType) or isinstance(kind, NullType)
