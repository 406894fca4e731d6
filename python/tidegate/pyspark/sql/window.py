"""Which rows a function sees, and in which order."""

from __future__ import annotations

import sys
from typing import Any, List, Optional, Tuple, Union

from tidegate import _tidegate
from tidegate.pyspark.sql.column import Column

__all__ = ["Window", "WindowSpec"]

ColumnOrName = Union[Column, str]
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


def _columns(cols: Tuple[Any, ...]) -> List[Any]:
    flat = list(cols[0]) if len(cols) == 1 and isinstance(cols[0], (list, tuple)) else list(cols)
    return [col._column if isinstance(col, Column) else _tidegate.Column.named(col) for col in flat]


def _bounds(start: int, end: int) -> Tuple[int, int]:
    return (_FIRST if start <= Window.unboundedPreceding else start, _LAST if end >= Window.unboundedFollowing else end)


class WindowSpec:
    """The rows with the same values of some columns, in an order: see :class:`Window`."""

    def __init__(self) -> None:
        self._partition_by: List[Any] = []
        self._order_by: List[Any] = []
        self._units = "rows"
        self._between: Optional[Tuple[int, int]] = None

    def _copy(self) -> "WindowSpec":
        spec = WindowSpec()
        spec.__dict__.update(self.__dict__)
        return spec

    def partitionBy(self, *cols: Union[ColumnOrName, List[ColumnOrName]]) -> "WindowSpec":
        """The rows with the same values of these columns."""
        spec = self._copy()
        spec._partition_by = _columns(cols)
        return spec

    def orderBy(self, *cols: Union[ColumnOrName, List[ColumnOrName]]) -> "WindowSpec":
        """In this order."""
        spec = self._copy()
        spec._order_by = _columns(cols)
        return spec

    def rowsBetween(self, start: int, end: int) -> "WindowSpec":
        """Of these only some, counted from the row itself: ``-1`` is the one before it."""
        spec = self._copy()
        spec._units, spec._between = "rows", _bounds(start, end)
        return spec

    def rangeBetween(self, start: int, end: int) -> "WindowSpec":
        """Of these only those whose times are so many seconds before and after that of the row itself."""
        spec = self._copy()
        spec._units, spec._between = "range", _bounds(start, end)
        return spec


class Window:
    """Which rows a function sees: ``row_number().over(Window.partitionBy("shop").orderBy(desc("cents")))``. Which there are over streams says docs/sql.md."""

    unboundedPreceding: int = -sys.maxsize
    unboundedFollowing: int = sys.maxsize
    currentRow: int = 0

    @staticmethod
    def partitionBy(*cols: Union[ColumnOrName, List[ColumnOrName]]) -> WindowSpec:
        """The rows with the same values of these columns."""
        return WindowSpec().partitionBy(*cols)

    @staticmethod
    def orderBy(*cols: Union[ColumnOrName, List[ColumnOrName]]) -> WindowSpec:
        """All rows, in this order."""
        return WindowSpec().orderBy(*cols)

    @staticmethod
    def rowsBetween(start: int, end: int) -> WindowSpec:
        """Some rows, counted from the row itself."""
        return WindowSpec().rowsBetween(start, end)

    @staticmethod
    def rangeBetween(start: int, end: int) -> WindowSpec:
        """The rows whose times are so many seconds before and after that of the row itself."""
        return WindowSpec().rangeBetween(start, end)
