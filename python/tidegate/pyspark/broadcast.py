"""A value that all functions of a program read."""

from __future__ import annotations

from typing import Any, Dict, Generic, TypeVar

from tidegate._missing import missing_attribute

T = TypeVar("T")

__all__ = ["Broadcast"]

#: What PySpark's Broadcast has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "dump": "there are no other processes that read it: write the value yourself",
    "load": "there are no other processes that read it: read the value yourself",
    "load_from_path": "there are no other processes that read it: read the value yourself",
}


class Broadcast(Generic[T]):
    """A value, as it is: functions run in the process that made it."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._is_destroyed = False

    @property
    def value(self) -> T:
        """The value."""
        if self._is_destroyed:
            raise RuntimeError("this broadcast was destroyed")
        return self._value

    def __getattr__(self, name: str) -> Any:
        missing_attribute("Broadcast", name, MISSING)

    def unpersist(self, blocking: bool = False) -> None:
        """Has no effect: there are no copies."""

    def destroy(self, blocking: bool = False) -> None:
        """Lets go of the value; it cannot be read any more."""
        self._is_destroyed = True
        del self._value
