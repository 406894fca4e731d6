"""K-means over streams."""

from __future__ import annotations

import math
from typing import Any, Dict, List

import numpy as np

from tidegate import _tidegate
from tidegate._missing import missing, unsupported
from tidegate.pyspark.mllib._learning import Learning, vectors_of
from tidegate.pyspark.mllib.linalg import converted
from tidegate.pyspark.rdd import RDD
from tidegate.pyspark.streaming.dstream import DStream

__all__ = ["KMeansModel", "StreamingKMeans", "StreamingKMeansModel"]

_TRAINED = "train the model elsewhere, for instance by scikit-learn, and answer by `mapPartitions`"
#: What `pyspark.mllib.clustering` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {
    name: _TRAINED
    for name in (
        "BisectingKMeans",
        "BisectingKMeansModel",
        "GaussianMixture",
        "GaussianMixtureModel",
        "LDA",
        "LDAModel",
        "PowerIterationClustering",
        "PowerIterationClusteringModel",
    )
}
MISSING["KMeans"] = "use `StreamingKMeans`; or train elsewhere, and give `StreamingKMeansModel` the centers"
#: Methods that are not supported.
MISSING_OF_MODEL: Dict[str, str] = {
    "computeCost": "add up `squared_distance` of each point from its center",
    "load": "read the centers yourself: `StreamingKMeansModel(centers, weights)`",
    "save": "write `centers` and `clusterWeights` yourself",
}


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)


class KMeansModel:
    """Centers of clusters."""

    def __init__(self, centers: Any) -> None:
        self.centers = centers
        self._places = np.array(vectors_of(centers))

    def __getattr__(self, name: str) -> Any:
        if name in MISSING_OF_MODEL:
            missing(f"{type(self).__name__}.{name}", MISSING_OF_MODEL[name])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def clusterCenters(self) -> Any:
        """A vector for each cluster."""
        return self.centers

    @property
    def k(self) -> int:
        """The number of clusters."""
        return len(self.centers)

    def predict(self, x: Any) -> Any:
        """The number of the cluster of a vector, or those of an RDD of vectors."""
        if isinstance(x, RDD):
            return x.map(self.predict)
        apart = self._places - converted(x).toArray()
        return int(np.argmin((apart * apart).sum(axis=1)))


class StreamingKMeansModel(KMeansModel):
    """Centers of clusters, and the weight of each: how many points are behind it."""

    def __init__(self, clusterCenters: Any, clusterWeights: Any) -> None:
        super().__init__(clusterCenters)
        self._weights = [float(weight) for weight in clusterWeights]

    @property
    def clusterWeights(self) -> List[float]:
        """The weight of each center."""
        return self._weights

    def update(self, data: RDD[Any], decayFactor: float, timeUnit: str) -> "StreamingKMeansModel":
        """Learns from the points of an RDD."""
        if not isinstance(data, RDD):
            raise TypeError(f"Data should be of an RDD, got {type(data)}.")
        points = vectors_of(data.collect())
        centers, self._weights = _tidegate.updated_centers(
            self._places.tolist(), self._weights, points, float(decayFactor), _unit(timeUnit)
        )
        self.centers = self._places = np.array(centers)
        return self


class StreamingKMeans(Learning):
    """Learns centers of ``k`` clusters from each batch.

    What was learnt before is multiplied by ``decayFactor``, once per batch, or, with the ``timeUnit`` ``points``, once per point.
    """

    def __init__(self, k: int = 2, decayFactor: float = 1.0, timeUnit: str = "batches") -> None:
        self._k = k
        self._decayFactor = decayFactor
        self._timeUnit = _unit(timeUnit)

    def setK(self, k: int) -> "StreamingKMeans":
        """Sets the number of clusters."""
        self._k = k
        return self

    def setDecayFactor(self, decayFactor: float) -> "StreamingKMeans":
        """Sets how much of what was learnt stays: 1 is all, 0 nothing."""
        self._must_not_learn_yet("setDecayFactor")
        self._decayFactor = decayFactor
        return self

    def setHalfLife(self, halfLife: float, timeUnit: str) -> "StreamingKMeans":
        """Sets the decay factor so that what was learnt counts for half after so many batches or points."""
        self._must_not_learn_yet("setHalfLife")
        self._timeUnit = _unit(timeUnit)
        self._decayFactor = math.exp(math.log(0.5) / halfLife)
        return self

    def setInitialCenters(self, centers: Any, weights: Any) -> "StreamingKMeans":
        """Sets where learning begins."""
        self._must_not_learn_yet("setInitialCenters")
        self._model = StreamingKMeansModel(centers, weights)
        return self

    def setRandomCenters(self, dim: int, weight: float, seed: int) -> "StreamingKMeans":
        """Begins with centers from the standard normal distribution; the same as PySpark's with the same seed."""
        self._must_not_learn_yet("setRandomCenters")
        centers = np.random.RandomState(seed).randn(self._k, dim)
        self._model = StreamingKMeansModel(centers, [weight] * self._k)
        return self

    def _validate(self, dstream: Any) -> None:
        if self._model is None:
            raise ValueError("Initial centers should be set either by setInitialCenters or setRandomCenters.")
        super()._validate(dstream)

    def trainOn(self, dstream: DStream[Any]) -> None:
        """Learns from the vectors of each batch. All of them come to one task."""
        self._validate(dstream)
        model = self._model
        self._learn(
            dstream,
            lambda examples, at: _tidegate.Model.kmeans(
                examples,
                model._places.tolist(),
                model.clusterWeights,
                float(self._decayFactor),
                self._timeUnit,
                self._state_name,
                at,
            ),
        )

    def _made(self, centers: List[List[float]], weights: List[float]) -> StreamingKMeansModel:
        return StreamingKMeansModel(np.array(centers), weights)


def _unit(unit: str) -> str:
    if unit not in ("batches", "points"):
        raise ValueError(f"timeUnit should be 'batches' or 'points', got {unit}.")
    return unit
