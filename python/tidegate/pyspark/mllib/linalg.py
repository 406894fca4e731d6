"""Vectors: what models learn from, and answer.

They may be rows and states; the numbers are in arrays of numpy, and so are results of arithmetic.
"""

from __future__ import annotations

import array
import dataclasses
import operator
from typing import Any, Callable, Dict, Iterable, List, Tuple

import numpy as np

from tidegate._missing import missing, unsupported

__all__ = ["DenseVector", "SparseVector", "Vector", "Vectors"]

_MATRIX = "use an array of numpy with two dimensions"
#: What `pyspark.mllib.linalg` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {
    "DenseMatrix": _MATRIX,
    "Matrices": _MATRIX,
    "Matrix": _MATRIX,
    "QRDecomposition": "use `numpy.linalg.qr`",
    "SparseMatrix": _MATRIX,
}


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)


class Vector:
    """A vector of numbers."""

    def toArray(self) -> np.ndarray:
        """All its numbers."""
        raise NotImplementedError

    def asML(self) -> Any:
        """Not supported."""
        missing(f"{type(self).__name__}.asML", "there is no `pyspark.ml`: use `toArray()`")

    def __len__(self) -> int:
        raise NotImplementedError

    def _entries(self) -> Tuple[np.ndarray, np.ndarray]:
        """The places of the numbers that are not zero, and these numbers."""
        raise NotImplementedError

    def numNonzeros(self) -> int:
        """How many numbers are not zero."""
        return len(self._entries()[0])

    def norm(self, p: Any) -> float:
        """The norm of order ``p``: a number, or infinity."""
        return np.linalg.norm(self.toArray(), p)

    def dot(self, other: Any) -> Any:
        """The product with a vector, or with an array of one or two dimensions."""
        right = other if isinstance(other, np.ndarray) else converted(other).toArray()
        _must_match(self, right)
        return np.dot(self.toArray(), right)

    def squared_distance(self, other: Any) -> float:
        """The square of the distance from a vector."""
        right = converted(other).toArray()
        _must_match(self, right)
        apart = self.toArray() - right
        return np.dot(apart, apart)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Vector) or len(self) != len(other):
            return False
        (places, numbers), (others, of_others) = self._entries(), other._entries()
        return np.array_equal(places, others) and np.array_equal(numbers, of_others)

    def __hash__(self) -> int:
        places, numbers = self._entries()
        return hash((len(self), places[:128].tobytes(), numbers[:128].tobytes()))


@dataclasses.dataclass(init=False, repr=False, eq=False)
class DenseVector(Vector):
    """A vector with all its numbers in ``array``. Arithmetic is that of numpy, number by number."""

    array: np.ndarray

    def __init__(self, ar: Any) -> None:
        numbers = np.frombuffer(ar, dtype=np.float64) if isinstance(ar, bytes) else np.asarray(_listed(ar))
        self.array = numbers.astype(np.float64)

    @staticmethod
    def parse(s: str) -> "DenseVector":
        """Reads ``[1.0,2.0]``."""
        return DenseVector(_numbers(_between(s, "[", "]"), float))

    def toArray(self) -> np.ndarray:
        """All its numbers."""
        return self.array

    @property
    def values(self) -> np.ndarray:
        """All its numbers."""
        return self.array

    def _entries(self) -> Tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(self.array)
        return places.astype(np.int64), self.array[places]

    def __getitem__(self, item: Any) -> Any:
        return self.array[item]

    def __len__(self) -> int:
        return len(self.array)

    def __str__(self) -> str:
        return f"[{','.join(str(number) for number in self.array.tolist())}]"

    def __repr__(self) -> str:
        return f"DenseVector([{', '.join(_short(number) for number in self.array.tolist())}])"

    def __getattr__(self, name: str) -> Any:
        if name == "array":  # of an object that is being made
            raise AttributeError(name)
        return getattr(self.array, name)

    def __neg__(self) -> "DenseVector":
        return DenseVector(-self.array)


def _by_numpy(of: Callable[[Any, Any], Any], is_reflected: bool) -> Callable[[DenseVector, Any], DenseVector]:
    def result(self: DenseVector, other: Any) -> DenseVector:
        other = other.array if isinstance(other, DenseVector) else other
        return DenseVector(of(other, self.array) if is_reflected else of(self.array, other))

    return result


for _name, _of in [("add", operator.add), ("sub", operator.sub), ("mul", operator.mul), ("truediv", operator.truediv), ("mod", operator.mod)]:
    setattr(DenseVector, f"__{_name}__", _by_numpy(_of, False))
    setattr(DenseVector, f"__r{_name}__", _by_numpy(_of, True))


@dataclasses.dataclass(init=False, repr=False, eq=False)
class SparseVector(Vector):
    """A vector of ``size`` numbers, of which those at ``indices`` are in ``values``, and all others are zero."""

    size: int
    indices: np.ndarray
    values: np.ndarray

    def __init__(self, size: int, *args: Any) -> None:
        if not 1 <= len(args) <= 2:
            raise TypeError("a SparseVector takes its size, and its entries as a dict, as pairs, or as indices and values")
        self.size = int(size)
        if len(args) == 1:
            pairs = sorted(args[0].items() if isinstance(args[0], dict) else args[0])
            indices, values = [place for place, _ in pairs], [number for _, number in pairs]
        elif isinstance(args[0], bytes):
            indices, values = np.frombuffer(args[0], np.int32), np.frombuffer(args[1], np.float64)
        else:
            indices, values = _listed(args[0]), _listed(args[1])
        self.indices, self.values = np.array(indices, dtype=np.int32), np.array(values, dtype=np.float64)
        if len(self.indices) != len(self.values):
            raise ValueError(f"{len(self.indices)} indices have {len(self.values)} values")
        if len(self.indices) and not (0 <= self.indices[0] and self.indices[-1] < self.size):
            raise ValueError(f"an index is outside of 0 to {self.size - 1}")
        if np.any(np.diff(self.indices) <= 0):
            raise TypeError("indices are not strictly increasing")

    @staticmethod
    def parse(s: str) -> "SparseVector":
        """Reads ``(4,[0,1],[4.0,5.0])``."""
        inside = _between(s, "(", ")")
        size, _, rest = inside.partition(",")
        places, _, numbers = rest.partition("]")
        return SparseVector(
            _numbers(size, int)[0], _numbers(_between(places + "]", "[", "]"), int), _numbers(_between(numbers, "[", "]"), float)
        )

    def toArray(self) -> np.ndarray:
        """All its numbers, with the zeros."""
        whole = np.zeros(self.size)
        whole[self.indices] = self.values
        return whole

    def _entries(self) -> Tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(self.values)
        return self.indices[places].astype(np.int64), self.values[places]

    def __getitem__(self, index: int) -> float:
        if not -self.size <= operator.index(index) < self.size:
            raise IndexError(f"index {index} is out of bounds")
        index %= self.size
        at = int(np.searchsorted(self.indices, index))
        return self.values[at] if at < len(self.indices) and self.indices[at] == index else np.float64(0.0)

    def __len__(self) -> int:
        return self.size

    def __str__(self) -> str:
        indices, values = (",".join(map(str, part.tolist())) for part in (self.indices, self.values))
        return f"({self.size},[{indices}],[{values}])"

    def __repr__(self) -> str:
        entries = zip(self.indices.tolist(), self.values.tolist())
        return f"SparseVector({self.size}, {{{', '.join(f'{place}: {_short(number)}' for place, number in entries)}}})"


class Vectors:
    """Makes vectors."""

    @staticmethod
    def sparse(size: int, *args: Any) -> SparseVector:
        """A sparse one, of a dict ``{index: value}``, of pairs, or of indices and values."""
        return SparseVector(size, *args)

    @staticmethod
    def dense(*elements: Any) -> DenseVector:
        """A dense one, of numbers or of a list of them."""
        is_list = len(elements) == 1 and not isinstance(elements[0], (int, float))
        return DenseVector(elements[0] if is_list else elements)

    @staticmethod
    def fromML(vec: Any) -> DenseVector:
        """Not supported."""
        missing("Vectors.fromML", "there is no `pyspark.ml`: use `Vectors.dense(..)`")

    @staticmethod
    def stringify(vector: Vector) -> str:
        """The text that :meth:`parse` reads."""
        return str(vector)

    @staticmethod
    def squared_distance(v1: Any, v2: Any) -> float:
        """The square of the distance of two vectors."""
        return converted(v1).squared_distance(v2)

    @staticmethod
    def norm(vector: Any, p: Any) -> float:
        """The norm of order ``p``."""
        return converted(vector).norm(p)

    @staticmethod
    def parse(s: str) -> Vector:
        """Reads ``[1.0,2.0]`` or ``(4,[0,1],[4.0,5.0])``."""
        if "(" in s:
            return SparseVector.parse(s)
        if "[" in s:
            return DenseVector.parse(s)
        raise ValueError(f"{s!r} is no vector: it has neither `[` nor `(`")

    @staticmethod
    def zeros(size: int) -> DenseVector:
        """A dense one of zeros."""
        return DenseVector(np.zeros(size))


def converted(vector: Any) -> Vector:
    """A vector of a vector, an array, a list, a tuple, a range, or a column of scipy's sparse matrices."""
    if isinstance(vector, Vector):
        return vector
    if isinstance(vector, (array.array, np.ndarray, list, tuple, range)):
        return DenseVector(vector)
    if hasattr(vector, "tocsc"):
        if vector.shape[1] != 1:
            raise ValueError(f"a matrix of shape {vector.shape} is no column")
        column = vector.tocsc()
        column.sort_indices()
        return SparseVector(vector.shape[0], column.indices, column.data)
    raise TypeError(f"Cannot convert type {type(vector)} into Vector")


def _listed(numbers: Any) -> Any:
    """What numpy takes as numbers."""
    return numbers if isinstance(numbers, (np.ndarray, array.array, list, tuple, range)) else list(numbers)


def _must_match(vector: Vector, other: np.ndarray) -> None:
    if other.ndim == 0 or len(vector) != other.shape[0]:
        raise AssertionError("dimension mismatch")


def _between(text: str, opening: str, closing: str) -> str:
    start, end = text.find(opening), text.rfind(closing)
    if start < 0 or end < start:
        raise ValueError(f"{text!r} is no vector: it has no part in {opening}{closing}")
    return text[start + 1 : end]


def _numbers(text: str, kind: Callable[[str], Any]) -> List[Any]:
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"{text!r} has a part that is no number") from None


def _short(number: float) -> str:
    """With four digits behind the point, as PySpark shows it."""
    text = str(round(number, 4))
    whole, point, digits = text.partition(".")
    return whole + point + digits[:4] if "e" not in text else text
