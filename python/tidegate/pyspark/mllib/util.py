"""Vectors and labelled points from files, and such as are made up."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TYPE_CHECKING

import numpy as np

from tidegate._missing import missing, unsupported
from tidegate.pyspark.mllib.linalg import DenseVector, SparseVector, Vector, Vectors, converted
from tidegate.pyspark.mllib.regression import LabeledPoint
from tidegate.pyspark.rdd import RDD

if TYPE_CHECKING:
    from tidegate.pyspark.context import SparkContext

__all__ = ["LinearDataGenerator", "MLUtils"]

_SAVED = "a model over streams is state of its program: leave it out"
#: What `pyspark.mllib.util` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {"JavaLoader": _SAVED, "JavaSaveable": _SAVED, "Loader": _SAVED, "Saveable": _SAVED}
_NO_ML = "there is no `pyspark.ml`: leave it out"
#: Methods of MLUtils that are not supported.
MISSING_OF_UTILS: Dict[str, str] = {
    "convertMatrixColumnsFromML": _NO_ML,
    "convertMatrixColumnsToML": _NO_ML,
    "convertVectorColumnsFromML": _NO_ML,
    "convertVectorColumnsToML": _NO_ML,
    "loadLibSVMFile": "use `sklearn.datasets.load_svmlight_file`",
    "saveAsLibSVMFile": "use `sklearn.datasets.dump_svmlight_file`",
}


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)


class _Utils(type):
    def __getattr__(cls, name: str) -> Any:
        if name in MISSING_OF_UTILS:
            missing(f"MLUtils.{name}", MISSING_OF_UTILS[name])
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")


class MLUtils(metaclass=_Utils):
    """Vectors and labelled points in files, a line for each."""

    @staticmethod
    def appendBias(data: Any) -> Vector:
        """The vector with a 1 at its end."""
        vector = converted(data)
        if isinstance(vector, SparseVector):
            return SparseVector(vector.size + 1, np.append(vector.indices, vector.size), np.append(vector.values, 1.0))
        return DenseVector(np.append(vector.toArray(), 1.0))

    @staticmethod
    def loadVectors(sc: "SparkContext", path: str) -> RDD[Vector]:
        """Reads ``[1.0,2.0]`` or ``(4,[0,1],[4.0,5.0])``."""
        return sc.textFile(path).map(Vectors.parse)

    @staticmethod
    def loadLabeledPoints(sc: "SparkContext", path: str, minPartitions: Optional[int] = None) -> RDD[LabeledPoint]:
        """Reads ``(label,vector)``."""
        return sc.textFile(path).map(_labelled)


def _labelled(line: str) -> LabeledPoint:
    text = line.strip()
    label, comma, vector = text[1:-1].partition(",")
    if not (text.startswith("(") and text.endswith(")") and comma):
        raise ValueError(f"{line!r} is not of the form `(label,vector)`")
    return LabeledPoint(float(label), Vectors.parse(vector))


class LinearDataGenerator:
    """Makes points up whose labels follow from weights, with noise. The numbers are numpy's, and not those of PySpark for the same seed."""

    @staticmethod
    def generateLinearInput(
        intercept: float, weights: Any, xMean: Any, xVariance: Any, nPoints: int, seed: int, eps: float
    ) -> List[LabeledPoint]:
        """Points that are spread evenly around ``xMean``."""
        random = np.random.RandomState(seed)
        weights, mean, variance = (np.asarray(numbers, dtype=float) for numbers in (weights, xMean, xVariance))
        points = (random.rand(nPoints, len(weights)) - 0.5) * np.sqrt(12 * variance) + mean
        labels = points @ weights + intercept + eps * random.randn(nPoints)
        return [LabeledPoint(label, point) for label, point in zip(labels, points)]

    @staticmethod
    def generateLinearRDD(
        sc: "SparkContext", nexamples: int, nfeatures: int, eps: float, nParts: int = 2, intercept: float = 0.0
    ) -> RDD[LabeledPoint]:
        """An RDD of such points, with weights that are made up, too."""
        weights = np.random.RandomState(42).rand(nfeatures) - 0.5
        zeros, thirds = np.zeros(nfeatures), np.full(nfeatures, 1 / 3)
        return sc.parallelize(LinearDataGenerator.generateLinearInput(intercept, weights, zeros, thirds, nexamples, 42, eps), nParts)
