"""Functions of times, and windows."""

from __future__ import annotations

from typing import Optional, Union

from tidegate._missing import missing
from tidegate.pyspark.sql.column import Column
from tidegate.pyspark.sql.functions._call import ColumnOrName, _column, _function, _of, _sql


def _unix(timestamp: Optional[ColumnOrName], format: Optional[str]) -> Column:
    if timestamp is None:
        return _sql("unix_timestamp")
    if format is None:
        return _function("unix_timestamp", timestamp)
    return _sql("unix_timestamp", _column(timestamp), format)


def _window(time: ColumnOrName, size: str, slide: Optional[str], start: Optional[str]) -> Column:
    if start is not None and start.split()[:1] != ["0"]:
        missing("functions.window with a start", "windows begin at multiples of their slide since 1970: leave it out")
    if slide is None:
        return _function("window", time, size)
    return _function("sliding_window", time, size, slide)


def _session(time: ColumnOrName, gap: Union[Column, str]) -> Column:
    if isinstance(gap, Column):
        missing("functions.session_window with a gap of each row", "write a gap such as `5 minutes`")
    return _function("session_window", time, gap)


def to_timestamp(col: ColumnOrName, format: Optional[str] = None) -> Column:
    """The time that a text says, with or without a pattern such as ``dd/MM/yyyy HH:mm``."""
    return _function("to_timestamp", col) if format is None else _function("to_timestamp_in", col, format)


def to_date(col: ColumnOrName, format: Optional[str] = None) -> Column:
    """The date that a text says."""
    return _function("to_date", col) if format is None else _function("to_timestamp_in", col, format).cast("date")


def date_format(date: ColumnOrName, format: str) -> Column:
    """A time as a text, by a pattern such as ``yyyy-MM-dd``."""
    return _function("date_format", date, format)


def date_trunc(format: str, timestamp: ColumnOrName) -> Column:
    """A time without what is smaller than a unit."""
    return _function("date_trunc", format, timestamp)


def year(col: ColumnOrName) -> Column:
    """The year of a time."""
    return _function("year", col)


def month(col: ColumnOrName) -> Column:
    """The month of a time."""
    return _function("month", col)


def dayofmonth(col: ColumnOrName) -> Column:
    """The day of the month."""
    return _function("dayofmonth", col)


def day(col: ColumnOrName) -> Column:
    """The day of the month."""
    return _function("dayofmonth", col)


def hour(col: ColumnOrName) -> Column:
    """The hour of a time."""
    return _function("hour", col)


def minute(col: ColumnOrName) -> Column:
    """The minute of a time."""
    return _function("minute", col)


def second(col: ColumnOrName) -> Column:
    """The second of a time."""
    return _function("second", col)


def quarter(col: ColumnOrName) -> Column:
    """The quarter of a time."""
    return _sql("quarter", _column(col))


def dayofweek(col: ColumnOrName) -> Column:
    """The day of the week; Sunday is 1."""
    return _sql("dayofweek", _column(col))


def dayofyear(col: ColumnOrName) -> Column:
    """The day of the year."""
    return _sql("dayofyear", _column(col))


def weekofyear(col: ColumnOrName) -> Column:
    """The week of the year."""
    return _sql("weekofyear", _column(col))


def unix_timestamp(timestamp: Optional[ColumnOrName] = None, format: Optional[str] = None) -> Column:
    """Seconds since 1970."""
    return _unix(timestamp, format)


def from_unixtime(timestamp: ColumnOrName, format: str = "yyyy-MM-dd HH:mm:ss") -> Column:
    """Seconds since 1970 as a text."""
    return _sql("from_unixtime", _column(timestamp), format)


def current_timestamp() -> Column:
    """The time of the batch, the same whenever the batch is computed."""
    return _function("current_timestamp")


def now() -> Column:
    """The time of the batch, the same whenever the batch is computed."""
    return _function("current_timestamp")


def current_date() -> Column:
    """The date of the batch."""
    return _sql("current_date")


def curdate() -> Column:
    """The date of the batch."""
    return _sql("current_date")


def make_date(year: ColumnOrName, month: ColumnOrName, day: ColumnOrName) -> Column:
    """A date of its parts."""
    return _sql("make_date", _column(year), _column(month), _column(day))


def window(timeColumn: ColumnOrName, windowDuration: str, slideDuration: Optional[str] = None, startTime: Optional[str] = None) -> Column:
    """Windows of event time, to be grouped by: the column ``window`` has the fields ``start`` and ``end``."""
    return _window(timeColumn, windowDuration, slideDuration, startTime)


def session_window(timeColumn: ColumnOrName, gapDuration: Union[Column, str]) -> Column:
    """Windows of event time that end when no row has come for so long."""
    return _session(timeColumn, gapDuration)


def date_add(start: ColumnOrName, days: Union[ColumnOrName, int]) -> Column:
    """A date some days later."""
    return _sql("date_add", _column(start), _column(days))


def dateadd(start: ColumnOrName, days: Union[ColumnOrName, int]) -> Column:
    """A date some days later."""
    return date_add(start, days)


def date_sub(start: ColumnOrName, days: Union[ColumnOrName, int]) -> Column:
    """A date some days earlier."""
    return _sql("date_sub", _column(start), _column(days))


def datediff(end: ColumnOrName, start: ColumnOrName) -> Column:
    """The days from the second date to the first one."""
    return _sql("datediff", _column(end), _column(start))


def date_diff(end: ColumnOrName, start: ColumnOrName) -> Column:
    """The days from the second date to the first one."""
    return datediff(end, start)


def add_months(start: ColumnOrName, months: Union[ColumnOrName, int]) -> Column:
    """A date some months later; in a month that is too short, its last day."""
    return _sql("add_months", _column(start), _column(months))


def months_between(date1: ColumnOrName, date2: ColumnOrName, roundOff: bool = True) -> Column:
    """The months from the second time to the first one, of 31 days each, with 8 digits."""
    if roundOff is not True:
        missing("functions.months_between that is not rounded", "leave roundOff out")
    return _sql("months_between", _column(date1), _column(date2))


def last_day(date: ColumnOrName) -> Column:
    """The last day of the month of a date."""
    return _sql("last_day", _column(date))


def next_day(date: ColumnOrName, dayOfWeek: str) -> Column:
    """The first date after a date that is this day of the week, such as ``Mon``."""
    return _sql("next_day", _column(date), dayOfWeek)


def weekday(col: ColumnOrName) -> Column:
    """The day of the week; Monday is 0."""
    return _sql("weekday", _column(col))


def trunc(date: ColumnOrName, format: str) -> Column:
    """The first day of the year, quarter, month or week of a date."""
    unit = {"yyyy": "year", "yy": "year", "mon": "month", "mm": "month"}.get(format.lower(), format.lower())
    return _sql("date_trunc", unit, _of(date).cast("date")).cast("date")
