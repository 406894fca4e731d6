"""Numbers that functions add to. As in Spark, a batch that is computed again adds again; what must be exact belongs in state."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")

__all__ = ["Accumulator", "AccumulatorParam"]


class AccumulatorParam(Generic[T]):
    """How values of a type are added."""

    def zero(self, value: T) -> T:
        """What changes nothing."""
        raise NotImplementedError

    def addInPlace(self, value1: T, value2: T) -> T:
        """Both together."""
        raise NotImplementedError


class _Plus(AccumulatorParam[T]):
    def zero(self, value: T) -> T:
        return type(value)()

    def addInPlace(self, value1: T, value2: T) -> T:
        return value1 + value2  # type: ignore[operator]


class Accumulator(Generic[T]):
    """A value that is only added to."""

    def __init__(self, aid: int, value: T, accum_param: AccumulatorParam[T]) -> None:
        self.aid = aid
        self._value = value
        self.accum_param = accum_param
        self._lock = threading.Lock()

    @property
    def value(self) -> T:
        """What has been added so far."""
        return self._value

    @value.setter
    def value(self, value: T) -> None:
        self._value = value

    def add(self, term: T) -> None:
        """Adds to it."""
        with self._lock:
            self._value = self.accum_param.addInPlace(self._value, term)

    def __iadd__(self, term: T) -> "Accumulator[T]":
        self.add(term)
        return self

    def __str__(self) -> str:
        return str(self._value)

    def __repr__(self) -> str:
        return "Accumulator<id=%i, value=%s>" % (self.aid, self._value)
