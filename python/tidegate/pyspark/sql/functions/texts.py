"""Functions of texts."""

from __future__ import annotations

from typing import Optional, Union

from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _function, _sql


def _located(text: str, of: ColumnOrName, pos: int) -> Column:
    if pos != 1:
        missing("functions.locate from a position on", "use `instr` of `substring(..)`")
    return _function("instr", of, text)


def _split(of: ColumnOrName, pattern: str, limit: int) -> Column:
    if limit > 0:
        missing("functions.split with a limit", "use `split_part`")
    if any(sign in pattern for sign in "[](){}|*+?^$\\") or (len(pattern) > 1 and "." in pattern):
        plain = pattern.replace("\\", "")
        if pattern in ("\\s+", "\\s*", "[ ]+", " +"):
            missing("functions.split by a regular expression", "use `array_compact(split(regexp_replace(a, '\\\\s+', ' '), ' '))`")
        if len(pattern) != 2 or len(plain) != 1 or plain.isalnum():
            missing("functions.split by a regular expression", "the delimiter is taken as it is; `regexp_replace` makes delimiters equal before")
        pattern = plain
    return _function("split", of, pattern)


def _substring(of: ColumnOrName, pos: int, len: int) -> Column:
    if pos < 1:
        missing("functions.substring from the end", "use `right(..)`")
    return _function("substring", of, pos, len)


def _levenshtein(left: ColumnOrName, right: ColumnOrName, threshold: Optional[int]) -> Column:
    if threshold is not None:
        missing("functions.levenshtein with a threshold", "compare its result")
    return _sql("levenshtein", _column(left), _column(right))


def lower(col: ColumnOrName) -> Column:
    """In small letters."""
    return _function("lower", col)


def lcase(str: ColumnOrName) -> Column:
    """In small letters."""
    return _function("lower", str)


def upper(col: ColumnOrName) -> Column:
    """In capital letters."""
    return _function("upper", col)


def ucase(str: ColumnOrName) -> Column:
    """In capital letters."""
    return _function("upper", str)


def initcap(col: ColumnOrName) -> Column:
    """Each word with a capital letter."""
    return _function("initcap", col)


def length(col: ColumnOrName) -> Column:
    """The number of characters."""
    return _function("length", col)


def char_length(str: ColumnOrName) -> Column:
    """The number of characters."""
    return _function("length", str)


def character_length(str: ColumnOrName) -> Column:
    """The number of characters."""
    return _function("length", str)


def trim(col: ColumnOrName) -> Column:
    """Without spaces at both ends."""
    return _function("trim", col)


def ltrim(col: ColumnOrName) -> Column:
    """Without spaces at the begin."""
    return _function("ltrim", col)


def rtrim(col: ColumnOrName) -> Column:
    """Without spaces at the end."""
    return _function("rtrim", col)


def reverse(col: ColumnOrName) -> Column:
    """Backwards."""
    return _function("reverse", col)


def lpad(col: ColumnOrName, len: int, pad: str) -> Column:
    """Filled up from the left, or cut."""
    return _function("lpad", col, len, pad)


def rpad(col: ColumnOrName, len: int, pad: str) -> Column:
    """Filled up from the right, or cut."""
    return _function("rpad", col, len, pad)


def repeat(col: ColumnOrName, n: int) -> Column:
    """A text so many times."""
    return _function("repeat", col, n)


def instr(str: ColumnOrName, substr: str) -> Column:
    """Where a text first is in another one, from 1 on; 0 = nowhere."""
    return _function("instr", str, substr)


def locate(substr: str, str: ColumnOrName, pos: int = 1) -> Column:
    """Where a text first is in another one, from 1 on; 0 = nowhere."""
    return _located(substr, str, pos)


def substring(str: ColumnOrName, pos: int, len: int) -> Column:
    """A part of a text; positions count from 1."""
    return _substring(str, pos, len)


def substr(str: ColumnOrName, pos: ColumnOrName, len: Optional[ColumnOrName] = None) -> Column:
    """A part of a text; positions count from 1."""
    return _sql("substr", _column(str), _column(pos), *([] if len is None else [_column(len)]))


def replace(src: ColumnOrName, search: ColumnOrName, replace: Optional[ColumnOrName] = None) -> Column:
    """With each text that is searched replaced."""
    return _function("replace", src, _column(search), "" if replace is None else _column(replace))


def translate(srcCol: ColumnOrName, matching: str, replace: str) -> Column:
    """With each character replaced by the one at its place."""
    return _function("translate", srcCol, matching, replace)


def split(str: ColumnOrName, pattern: str, limit: int = -1) -> Column:
    """The parts of a text between delimiters. The delimiter is taken as it is, and not for a regular expression."""
    return _split(str, pattern, limit)


def split_part(src: ColumnOrName, delimiter: ColumnOrName, partNum: ColumnOrName) -> Column:
    """A part of a text between delimiters, from 1 on."""
    return _sql("split_part", _column(src), _column(delimiter), _column(partNum))


def substring_index(str: ColumnOrName, delim: str, count: int) -> Column:
    """The text before the delimiter of this number."""
    return _sql("substring_index", _column(str), delim, count)


def concat(*cols: ColumnOrName) -> Column:
    """Texts one after the other; NULL if one is."""
    return _function("concat", *cols)


def concat_ws(sep: str, *cols: ColumnOrName) -> Column:
    """Texts with a separator between them, without those that are NULL."""
    return _function("concat_ws", sep, *cols)


def regexp_extract(str: ColumnOrName, pattern: str, idx: int) -> Column:
    """What a group of a regular expression matches; NULL if nothing does."""
    return _function("regexp_extract", str, pattern, idx)


def regexp_replace(string: ColumnOrName, pattern: Union[str, Column], replacement: Union[str, Column]) -> Column:
    """With each match of a regular expression replaced."""
    return _sql("regexp_replace", _column(string), pattern, replacement, "g")


def rlike(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """Whether a regular expression matches."""
    return _sql("regexp_like", _column(str), _column(regexp))


def regexp(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """Whether a regular expression matches."""
    return _sql("regexp_like", _column(str), _column(regexp))


def regexp_like(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """Whether a regular expression matches."""
    return _sql("regexp_like", _column(str), _column(regexp))


def regexp_count(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """How often a regular expression matches."""
    return _sql("regexp_count", _column(str), _column(regexp))


def ascii(col: ColumnOrName) -> Column:
    """The number of the first character."""
    return _sql("ascii", _column(col))


def bit_length(col: ColumnOrName) -> Column:
    """The length in bits."""
    return _sql("bit_length", _column(col))


def octet_length(col: ColumnOrName) -> Column:
    """The length in bytes."""
    return _sql("octet_length", _column(col))


def levenshtein(left: ColumnOrName, right: ColumnOrName, threshold: Optional[int] = None) -> Column:
    """How many characters differ."""
    return _levenshtein(left, right, threshold)


def left(str: ColumnOrName, len: ColumnOrName) -> Column:
    """The first characters."""
    return _sql("left", _column(str), _column(len))


def right(str: ColumnOrName, len: ColumnOrName) -> Column:
    """The last characters."""
    return _sql("right", _column(str), _column(len))


def contains(left: ColumnOrName, right: ColumnOrName) -> Column:
    """Whether a text has, begins with, or ends with another one."""
    return _sql("contains", _column(left), _column(right))


def startswith(str: ColumnOrName, prefix: ColumnOrName) -> Column:
    """Whether a text has, begins with, or ends with another one."""
    return _sql("starts_with", _column(str), _column(prefix))


def endswith(str: ColumnOrName, suffix: ColumnOrName) -> Column:
    """Whether a text has, begins with, or ends with another one."""
    return _sql("ends_with", _column(str), _column(suffix))
