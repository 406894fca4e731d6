"""Digests, and other ways to write bytes and numbers."""

from __future__ import annotations

from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _sql


def md5(col: ColumnOrName) -> Column:
    """The MD5 digest of a text or of bytes, in hexadecimal digits."""
    return _sql("md5", _column(col))


def sha2(col: ColumnOrName, numBits: int) -> Column:
    """The SHA-2 digest of 224, 256, 384 or 512 bits of a text or of bytes, in hexadecimal digits; 0 means 256."""
    if numBits not in (0, 224, 256, 384, 512):
        raise ValueError(f"`numBits` is 0, 224, 256, 384 or 512, not {numBits!r}")
    return _sql("sha2", _column(col), numBits)


def crc32(col: ColumnOrName) -> Column:
    """The checksum CRC-32 of a text or of bytes."""
    return _sql("crc32", _column(col))


def hex(col: ColumnOrName) -> Column:
    """The hexadecimal digits of an integer, of a text or of bytes."""
    return _sql("hex", _column(col))


def unhex(col: ColumnOrName) -> Column:
    """The bytes of hexadecimal digits; NULL if there is another character."""
    return _sql("unhex", _column(col))


def base64(col: ColumnOrName) -> Column:
    """A text or bytes in base64."""
    return _sql("base64", _column(col))


def unbase64(col: ColumnOrName) -> Column:
    """The bytes of a text in base64."""
    return _sql("unbase64", _column(col))


def bin(col: ColumnOrName) -> Column:
    """The binary digits of an integer."""
    return _sql("bin", _column(col))
