"""Types of columns, and rows."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type, Union

__all__ = [
    "ArrayType",
    "AtomicType",
    "BinaryType",
    "BooleanType",
    "ByteType",
    "CharType",
    "DataType",
    "DateType",
    "DecimalType",
    "DoubleType",
    "FloatType",
    "FractionalType",
    "IntegerType",
    "IntegralType",
    "LongType",
    "MapType",
    "NullType",
    "NumericType",
    "Row",
    "ShortType",
    "StringType",
    "StructField",
    "StructType",
    "TimestampNTZType",
    "TimestampType",
    "VarcharType",
]

_INTERVALS = "write intervals in `expr(..)`: `ts + INTERVAL '1' DAY`"

#: What `pyspark.sql.types` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {"DayTimeIntervalType": _INTERVALS, "YearMonthIntervalType": _INTERVALS}


class DataType:
    """A type of a column."""

    #: Its name in Spark's JSON, and in a text such as ``a bigint``.
    _name: str = ""
    _simple: str = ""
    #: Its name in SQL.
    _words: str = ""

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, type(self)) and self.__dict__ == other.__dict__

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @classmethod
    def typeName(cls) -> str:
        """The name of the type."""
        return cls._name or cls.__name__[: -len("Type")].lower()

    def simpleString(self) -> str:
        """The type as in ``a bigint``."""
        return self._simple or self.typeName()

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return self.typeName()

    def json(self) -> str:
        """The type as JSON."""
        return json.dumps(self.jsonValue(), separators=(",", ":"), sort_keys=True)

    def needConversion(self) -> bool:
        """Whether values have another form inside: they have none."""
        return False

    def toInternal(self, obj: Any) -> Any:
        """The value itself."""
        return obj

    def fromInternal(self, obj: Any) -> Any:
        """The value itself."""
        return obj

    def _sql(self) -> str:
        """The type in SQL."""
        return self._words or self.typeName().upper()


class AtomicType(DataType):
    """A type without parts."""


class NumericType(AtomicType):
    """Numbers."""


class IntegralType(NumericType):
    """Integers."""


class FractionalType(NumericType):
    """Numbers with a fraction."""


class NullType(DataType):
    """Nothing but NULL."""

    _name, _words = "void", "STRING"


class StringType(AtomicType):
    """Texts."""


class VarcharType(AtomicType):
    """Texts; lengths are not enforced."""

    _words = "STRING"

    def __init__(self, length: int) -> None:
        self.length = length

    def simpleString(self) -> str:
        """The type as in ``varchar(10)``."""
        return f"{self.typeName()}({self.length})"

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return self.simpleString()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length})"


class CharType(VarcharType):
    """Texts; lengths are not enforced."""


class BinaryType(AtomicType):
    """Byte strings."""

    _words = "BYTES"


class BooleanType(AtomicType):
    """Truth values."""


class DateType(AtomicType):
    """Dates."""


class TimestampType(AtomicType):
    """Times in microseconds, shown in UTC. Rows have them as datetimes without a zone."""

    _words = "TIMESTAMP(6)"


class TimestampNTZType(AtomicType):
    """Times in microseconds without a zone."""

    _name, _words = "timestamp_ntz", "TIMESTAMP(6)"


class ByteType(IntegralType):
    """Integers of 8 bits."""

    _simple, _words = "tinyint", "TINYINT"


class ShortType(IntegralType):
    """Integers of 16 bits."""

    _simple, _words = "smallint", "SMALLINT"


class IntegerType(IntegralType):
    """Integers of 32 bits."""

    _simple, _words = "int", "INT"


class LongType(IntegralType):
    """Integers of 64 bits."""

    _simple, _words = "bigint", "BIGINT"


class FloatType(FractionalType):
    """Numbers of 32 bits."""


class DoubleType(FractionalType):
    """Numbers of 64 bits."""


class DecimalType(FractionalType):
    """Decimals of up to 38 digits, ``scale`` of them behind the point."""

    def __init__(self, precision: int = 10, scale: int = 0) -> None:
        self.precision = precision
        self.scale = scale
        self.hasPrecisionInfo = True

    def simpleString(self) -> str:
        """The type as in ``decimal(10,2)``."""
        return f"decimal({self.precision},{self.scale})"

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return self.simpleString()

    def __repr__(self) -> str:
        return f"DecimalType({self.precision},{self.scale})"

    def _sql(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


class ArrayType(DataType):
    """Lists."""

    def __init__(self, elementType: DataType, containsNull: bool = True) -> None:
        self.elementType = elementType
        self.containsNull = containsNull

    def simpleString(self) -> str:
        """The type as in ``array<int>``."""
        return f"array<{self.elementType.simpleString()}>"

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return {"type": "array", "elementType": self.elementType.jsonValue(), "containsNull": self.containsNull}

    def __repr__(self) -> str:
        return f"ArrayType({self.elementType!r}, {self.containsNull})"

    def _sql(self) -> str:
        return f"ARRAY<{self.elementType._sql()}{'' if self.containsNull else ' NOT NULL'}>"


class MapType(DataType):
    """Maps."""

    def __init__(self, keyType: DataType, valueType: DataType, valueContainsNull: bool = True) -> None:
        self.keyType = keyType
        self.valueType = valueType
        self.valueContainsNull = valueContainsNull

    def simpleString(self) -> str:
        """The type as in ``map<string,int>``."""
        return f"map<{self.keyType.simpleString()},{self.valueType.simpleString()}>"

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return {
            "type": "map",
            "keyType": self.keyType.jsonValue(),
            "valueType": self.valueType.jsonValue(),
            "valueContainsNull": self.valueContainsNull,
        }

    def __repr__(self) -> str:
        return f"MapType({self.keyType!r}, {self.valueType!r}, {self.valueContainsNull})"

    def _sql(self) -> str:
        required = "" if self.valueContainsNull else " NOT NULL"
        return f"MAP<{self.keyType._sql()}, {self.valueType._sql()}{required}>"


class StructField(DataType):
    """A column, or a field of a row."""

    def __init__(
        self, name: str, dataType: DataType, nullable: bool = True, metadata: Optional[Dict[str, Any]] = None
    ) -> None:
        self.name = name
        self.dataType = dataType
        self.nullable = nullable
        self.metadata = metadata or {}

    def simpleString(self) -> str:
        """The field as in ``a:int``."""
        return f"{self.name}:{self.dataType.simpleString()}"

    def jsonValue(self) -> Any:
        """The field as Spark's JSON has it."""
        return {
            "name": self.name,
            "type": self.dataType.jsonValue(),
            "nullable": self.nullable,
            "metadata": self.metadata,
        }

    @classmethod
    def fromJson(cls, json: Dict[str, Any]) -> "StructField":
        """The field of Spark's JSON."""
        return cls(json["name"], _type_of_json(json["type"]), json.get("nullable", True), json.get("metadata"))

    def typeName(self) -> str:  # type: ignore[override]
        """Not of a field."""
        raise TypeError("StructField does not have typeName. Use typeName on its type explicitly instead")

    def __repr__(self) -> str:
        return f"StructField('{self.name}', {self.dataType!r}, {self.nullable})"

    def _sql(self) -> str:
        return f"{_quoted(self.name)} {self.dataType._sql()}{'' if self.nullable else ' NOT NULL'}"


class StructType(DataType):
    """Columns of rows, or fields of a row."""

    def __init__(self, fields: Optional[List[StructField]] = None) -> None:
        self.fields: List[StructField] = list(fields or [])

    @property
    def names(self) -> List[str]:
        """The names of the fields."""
        return [field.name for field in self.fields]

    def add(
        self,
        field: Union[str, StructField],
        data_type: Union[str, DataType, None] = None,
        nullable: bool = True,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> "StructType":
        """With one more field."""
        if isinstance(field, str):
            if data_type is None:
                raise ValueError("Must specify DataType if passing name of struct_field to create.")
            kind = _parse_type(data_type) if isinstance(data_type, str) else data_type
            field = StructField(field, kind, nullable, metadata)
        self.fields.append(field)
        return self

    def fieldNames(self) -> List[str]:
        """The names of the fields."""
        return self.names

    def __iter__(self) -> Iterator[StructField]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, key: Union[str, int, slice]) -> Any:
        if isinstance(key, str):
            for field in self.fields:
                if field.name == key:
                    return field
            raise KeyError(f"No StructField named {key}")
        return StructType(self.fields[key]) if isinstance(key, slice) else self.fields[key]

    def simpleString(self) -> str:
        """The type as in ``struct<a:int>``."""
        return f"struct<{','.join(field.simpleString() for field in self.fields)}>"

    def jsonValue(self) -> Any:
        """The type as Spark's JSON has it."""
        return {"type": "struct", "fields": [field.jsonValue() for field in self.fields]}

    @classmethod
    def fromJson(cls, json: Dict[str, Any]) -> "StructType":
        """The type of Spark's JSON."""
        return cls([StructField.fromJson(field) for field in json["fields"]])

    def treeString(self) -> str:
        """The columns as a tree, as ``printSchema`` shows it."""
        return "root\n" + "".join(_tree(field.name, field.dataType, field.nullable, 1) for field in self.fields)

    def __repr__(self) -> str:
        return f"StructType([{', '.join(map(repr, self.fields))}])"

    def _sql(self) -> str:
        return f"ROW<{', '.join(field._sql() for field in self.fields)}>"

    def _columns(self) -> str:
        """The columns as in `CREATE TABLE`."""
        return ", ".join(field._sql() for field in self.fields)


def _tree(name: str, kind: DataType, nullable: bool, depth: int, word: str = "nullable") -> str:
    indent = " |   " * (depth - 1) + " |-- "
    text = f"{indent}{name}: {kind.typeName() if not isinstance(kind, DecimalType) else kind.simpleString()} ({word} = {str(nullable).lower()})\n"
    if isinstance(kind, StructType):
        return text + "".join(_tree(f.name, f.dataType, f.nullable, depth + 1) for f in kind.fields)
    if isinstance(kind, ArrayType):
        return text + _tree("element", kind.elementType, kind.containsNull, depth + 1, "containsNull")
    if isinstance(kind, MapType):
        key = _tree("key", kind.keyType, False, depth + 1)
        key = key.replace(" (nullable = false)\n", "\n", 1)
        return text + key + _tree("value", kind.valueType, kind.valueContainsNull, depth + 1, "valueContainsNull")
    return text


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


_ATOMIC: List[Type[DataType]] = [
    NullType,
    StringType,
    BinaryType,
    BooleanType,
    DateType,
    TimestampType,
    TimestampNTZType,
    ByteType,
    ShortType,
    IntegerType,
    LongType,
    FloatType,
    DoubleType,
]
_NAMES: Dict[str, Type[DataType]] = {
    name: kind for kind in _ATOMIC for name in (kind.typeName(), kind._simple or kind.typeName())
}
_NAMES.update(dec=DecimalType, decimal=DecimalType, numeric=DecimalType, real=FloatType, bytes=BinaryType)
_NAMES.update(bool=BooleanType, timestamp_ltz=TimestampType)
_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(-?\d+)\s*\)")


def _type_of_json(value: Any) -> DataType:
    if isinstance(value, dict):
        kind = value["type"]
        if kind == "struct":
            return StructType.fromJson(value)
        if kind == "array":
            return ArrayType(_type_of_json(value["elementType"]), value["containsNull"])
        if kind == "map":
            key, of = _type_of_json(value["keyType"]), _type_of_json(value["valueType"])
            return MapType(key, of, value["valueContainsNull"])
        raise ValueError(f"Could not parse datatype: {kind}")
    found = _DECIMAL.fullmatch(value)
    if found:
        return DecimalType(int(found.group(1)), int(found.group(2)))
    if value not in _NAMES:
        raise ValueError(f"Could not parse datatype: {value}")
    return _NAMES[value]()


class _Words:
    """The words of a text of types."""

    _WORD = re.compile(r"\s*(`(?:[^`]|``)*`|'(?:[^']|'')*'|[^\W]\w*|[<>(),:]|\S)")

    def __init__(self, text: str) -> None:
        self.words = self._WORD.findall(text)
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def take(self, *words: str) -> bool:
        if [word.upper() for word in self.words[self.at : self.at + len(words)]] == list(words):
            self.at += len(words)
            return True
        return False

    def need(self, word: str) -> None:
        if not self.take(word):
            raise ValueError(f"`{word}` is missing before `{self.peek()}` in `{self.text}`")

    def kind(self) -> DataType:
        name = self.next().lower()
        if name == "array":
            self.need("<")
            kind = self.kind()
            array = ArrayType(kind, not self.take("NOT", "NULL"))
            self.need(">")
            return array
        if name == "map":
            self.need("<")
            key = self.kind()
            self.need(",")
            kind = self.kind()
            entries = MapType(key, kind, not self.take("NOT", "NULL"))
            self.need(">")
            return entries
        if name in ("struct", "row"):
            self.need("<")
            fields = self.fields(">")
            self.need(">")
            return fields
        if name in ("varchar", "char"):
            self.numbers()
            return StringType()
        if name not in _NAMES:
            raise ValueError(f"`{name}` is no type in `{self.text}`")
        numbers = self.numbers()
        if _NAMES[name] is DecimalType:
            return DecimalType(*numbers)
        if name == "double":
            self.take("PRECISION")
        return _NAMES[name]()

    def numbers(self) -> List[int]:
        numbers: List[int] = []
        if self.take("("):
            while True:
                numbers.append(int(self.next()))
                if not self.take(","):
                    break
            self.need(")")
        return numbers

    def fields(self, end: str) -> StructType:
        fields: List[StructField] = []
        while self.peek() != end:
            name = self.next()
            name = name[1:-1].replace("``", "`") if name.startswith("`") else name
            self.take(":")
            kind = self.kind()
            nullable = not self.take("NOT", "NULL")
            if self.take("COMMENT"):
                self.next()
            fields.append(StructField(name, kind, nullable))
            if not self.take(","):
                break
        return StructType(fields)


def _parse_columns(text: str) -> StructType:
    """The columns of a text such as ``a INT, b STRING``.

    Raises
    ------
    ValueError
        If it is none.
    """
    words = _Words(text)
    columns = words.fields("")
    if words.peek():
        raise ValueError(f"`{words.peek()}` is not expected in `{text}`")
    return columns


def _parse_type(text: str) -> DataType:
    """The type of a text such as ``array<int>``.

    Raises
    ------
    ValueError
        If it is none.
    """
    words = _Words(text)
    kind = words.kind()
    if words.peek():
        raise ValueError(f"`{words.peek()}` is not expected in `{text}`")
    return kind


class Row(tuple):  # type: ignore[type-arg]
    """A row: a tuple whose values have names. ``Row(a=1)`` is a row, ``Row("a")`` makes rows of values."""

    __fields__: List[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> "Row":
        if args and kwargs:
            raise ValueError("Can not use both args and kwargs to create Row")
        if not kwargs:
            return tuple.__new__(cls, args)
        row = tuple.__new__(cls, list(kwargs.values()))
        row.__fields__ = list(kwargs)
        return row

    def __call__(self, *args: Any) -> "Row":
        if len(args) > len(self):
            raise ValueError(f"Can not create Row with fields {self}, expected {len(self)} values but got {args}")
        return _row(tuple(self), args)

    def asDict(self, recursive: bool = False) -> Dict[str, Any]:
        """The values by their names."""
        names = self._names()

        def plain(value: Any) -> Any:
            if isinstance(value, Row):
                return value.asDict(True)
            if isinstance(value, list):
                return [plain(part) for part in value]
            if isinstance(value, dict):
                return {key: plain(part) for key, part in value.items()}
            return value

        return {name: plain(value) if recursive else value for name, value in zip(names, self)}

    def _names(self) -> List[str]:
        names = self.__dict__.get("__fields__")
        if names is None:
            raise TypeError("Cannot convert a Row class into dict")
        return names

    def __contains__(self, item: Any) -> bool:
        names = self.__dict__.get("__fields__")
        return item in names if names is not None else super().__contains__(item)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, (int, slice)):
            return super().__getitem__(item)
        names = self.__dict__.get("__fields__", [])
        if item not in names:
            raise ValueError(item)
        return super().__getitem__(names.index(item))

    def __getattr__(self, item: str) -> Any:
        if item.startswith("__"):
            raise AttributeError(item)
        names = self.__dict__.get("__fields__", [])
        if item not in names:
            raise AttributeError(item)
        return super().__getitem__(names.index(item))

    def __setattr__(self, key: str, value: Any) -> None:
        if key != "__fields__":
            raise RuntimeError("Row is read-only")
        self.__dict__[key] = value

    def __reduce__(self) -> Tuple[Any, ...]:
        names = self.__dict__.get("__fields__")
        return (_row, (tuple(names), tuple(self))) if names is not None else (Row, tuple(self))

    def __repr__(self) -> str:
        names = self.__dict__.get("__fields__")
        if names is None:
            return f"<Row({', '.join(map(repr, self))})>"
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(names, self))})"


def _row(names: Tuple[str, ...], values: Tuple[Any, ...]) -> Row:
    """A row of these values."""
    row = tuple.__new__(Row, values)
    row.__fields__ = list(names)
    return row




def __getattr__(name: str) -> Any:
    if name in MISSING:
        raise ImportError(f"types.{name} is not supported by tidegate\n  next: {MISSING[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
