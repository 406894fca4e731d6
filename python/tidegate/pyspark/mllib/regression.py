"""Linear regression over streams."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

from tidegate import _tidegate
from tidegate._missing import missing, unsupported
from tidegate.pyspark.mllib._learning import Learning
from tidegate.pyspark.mllib.linalg import Vector, converted
from tidegate.pyspark.rdd import RDD
from tidegate.pyspark.streaming.dstream import DStream

__all__ = [
    "LabeledPoint",
    "LinearModel",
    "LinearRegressionModel",
    "StreamingLinearAlgorithm",
    "StreamingLinearRegressionWithSGD",
]

_TRAINED = "train the model elsewhere, for instance by scikit-learn, and answer by `mapPartitions`"
#: What `pyspark.mllib.regression` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {
    name: _TRAINED
    for name in (
        "IsotonicRegression",
        "IsotonicRegressionModel",
        "LassoModel",
        "LassoWithSGD",
        "RidgeRegressionModel",
        "RidgeRegressionWithSGD",
    )
}
MISSING["LinearRegressionWithSGD"] = "use `StreamingLinearRegressionWithSGD`; or " + _TRAINED
#: Methods that are not supported.
MISSING_OF_MODEL: Dict[str, str] = {
    "load": "read the weights yourself: `LinearRegressionModel(weights, intercept)`",
    "save": "write `weights` yourself",
}


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)


@dataclasses.dataclass(init=False, repr=False)
class LabeledPoint:
    """An example: what was observed, and what is to be learnt of it. It may be a row."""

    label: float
    features: Vector

    def __init__(self, label: Any, features: Any) -> None:
        self.label = float(label)
        self.features = converted(features)

    def __str__(self) -> str:
        return f"({self.label},{self.features})"

    def __repr__(self) -> str:
        return f"LabeledPoint({self.label}, {self.features})"


class LinearModel:
    """Weights, and what is added to their product with a vector."""

    def __init__(self, weights: Any, intercept: float) -> None:
        self._coeff = converted(weights)
        self._intercept = float(intercept)

    def __getattr__(self, name: str) -> Any:
        if name in MISSING_OF_MODEL:
            missing(f"{type(self).__name__}.{name}", MISSING_OF_MODEL[name])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def weights(self) -> Vector:
        """One for each feature."""
        return self._coeff

    @property
    def intercept(self) -> float:
        """What is added."""
        return self._intercept

    def _margin(self, x: Any) -> float:
        return float(self._coeff.dot(converted(x))) + self._intercept

    def __repr__(self) -> str:
        return f"(weights={self._coeff}, intercept={self._intercept!r})"


class LinearRegressionModel(LinearModel):
    """What a linear regression has learnt."""

    def predict(self, x: Any) -> Any:
        """The number for a vector, or those for an RDD of vectors."""
        return x.map(self.predict) if isinstance(x, RDD) else self._margin(x)


class StreamingLinearAlgorithm(Learning):
    """What regressions over streams have in common."""

    stepSize: float
    numIterations: int
    miniBatchFraction: float
    convergenceTol: float

    def __init__(self, model: Optional[LinearModel]) -> None:
        self._model = model

    def _validate(self, dstream: Any) -> None:
        super()._validate(dstream)
        if self._model is None:
            raise ValueError("Model must be initialized using setInitialWeights")

    def _train(self, dstream: DStream[Any], kind: str, penalty: float) -> None:
        self._validate(dstream)
        if self.miniBatchFraction != 1.0:
            missing(f"{type(self).__name__}(miniBatchFraction)", "leave it out: each step looks at all examples of the batch")
        weights = self._model.weights.toArray().tolist()
        descent = (float(self.stepSize), int(self.numIterations), float(self.convergenceTol), float(penalty))
        self._learn(
            dstream,
            lambda examples, at: _tidegate.Model.regression(kind, examples, weights, descent, self._state_name, at),
        )


class StreamingLinearRegressionWithSGD(StreamingLinearAlgorithm):
    """Learns weights from each batch by gradient descent over all its examples, from the weights before.

    Step ``i`` of a batch is ``stepSize`` divided by the root of ``i``; the descent ends after ``numIterations``, or when a step, from the second on,
    changes the weights by less than ``convergenceTol`` of their length.
    """

    def __init__(
        self,
        stepSize: float = 0.1,
        numIterations: int = 50,
        miniBatchFraction: float = 1.0,
        convergenceTol: float = 0.001,
    ) -> None:
        super().__init__(None)
        self.stepSize = stepSize
        self.numIterations = numIterations
        self.miniBatchFraction = miniBatchFraction
        self.convergenceTol = convergenceTol

    def setInitialWeights(self, initialWeights: Any) -> "StreamingLinearRegressionWithSGD":
        """Sets where learning begins."""
        self._must_not_learn_yet("setInitialWeights")
        self._model = LinearRegressionModel(initialWeights, 0)
        return self

    def trainOn(self, dstream: DStream[LabeledPoint]) -> None:
        """Learns from the labelled points of each batch. All of them come to one task."""
        self._train(dstream, "linear", 0.0)

    def _made(self, centers: List[List[float]], weights: List[float]) -> LinearRegressionModel:
        return LinearRegressionModel(weights, 0)
