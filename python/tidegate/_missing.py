"""What PySpark has and this package has not: told by an error that says what to write instead."""

from __future__ import annotations

from typing import Any, Dict, NoReturn, Optional


def missing(name: str, instead: str) -> NoReturn:
    """Raises the error of a name that is not supported."""
    raise NotImplementedError(f"{name} is not supported by tidegate\n  next: {instead}")


def missing_attribute(owner: str, name: str, table: Dict[str, str]) -> NoReturn:
    """Raises the error of an attribute: of one that PySpark has, what to write instead; of any other one, Python's own."""
    instead: Optional[str] = table.get(name)
    if instead is not None:
        missing(f"{owner}.{name}", instead)
    raise AttributeError(f"'{owner}' object has no attribute '{name}'")


class Missing:
    """A class of PySpark that is not supported: an attempt to make an object of it says what to write instead."""

    _instead: str = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        missing(type(self).__name__, self._instead)


def unsupported(module: str, name: str, table: Dict[str, str]) -> NoReturn:
    """Raises the error of a name that a module has not: of one that PySpark's has, what to write instead; of any other one, Python's own."""
    instead = table.get(name)
    if instead is not None:
        of_pyspark = module.replace("tidegate.", "", 1)
        raise ImportError(f"{of_pyspark}.{name} is not supported by tidegate\n  next: {instead}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
