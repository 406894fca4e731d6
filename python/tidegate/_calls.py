"""What the extension calls: the loops over rows, and the text of exceptions."""

from __future__ import annotations

import datetime
import os
import sys
import traceback
from types import TracebackType
from typing import Any, Callable, Iterable, List, Optional, Tuple

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def list_of_map(function: Callable[[Any], Any], rows: Iterable[Any]) -> List[Any]:
    """Calls ``function`` for each row."""
    return list(map(function, rows))


def of_rows(function: Callable[..., Any], columns: Tuple[List[Any], ...], rows: int) -> List[Any]:
    """Calls ``function`` for each row of these columns."""
    return list(map(function, *columns)) if columns else [function() for _ in range(rows)]


def utc_of(time: datetime.datetime) -> datetime.datetime:
    """The same point in time in UTC, without a zone."""
    return time.astimezone(datetime.timezone.utc).replace(tzinfo=None)


def traceback_of(error: BaseException, first: Optional[TracebackType]) -> str:
    """The exception as Python prints it, without the frames of this package above the program's own."""
    while first is not None and first.tb_next is not None and is_inside(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return "".join(traceback.format_exception(type(error), error, first)).rstrip("\n")


def is_inside(file: str) -> bool:
    """Whether a file is one of this package."""
    return os.path.abspath(file).startswith(_PACKAGE)


def caller() -> Tuple[str, int]:
    """The line of the program that called into this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and is_inside(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
