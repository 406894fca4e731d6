"""Logistic regression over streams."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional

from tidegate._missing import unsupported
from tidegate.pyspark.mllib.linalg import converted
from tidegate.pyspark.mllib.regression import LabeledPoint, LinearModel, StreamingLinearAlgorithm
from tidegate.pyspark.rdd import RDD
from tidegate.pyspark.streaming.dstream import DStream

__all__ = ["LogisticRegressionModel", "StreamingLogisticRegressionWithSGD"]

_TRAINED = "train the model elsewhere, for instance by scikit-learn, and answer by `mapPartitions`"
#: What `pyspark.mllib.classification` has and this module has not, with what to write instead.
MISSING: Dict[str, str] = {
    name: _TRAINED
    for name in ("LogisticRegressionWithLBFGS", "NaiveBayes", "NaiveBayesModel", "SVMModel", "SVMWithSGD")
}
MISSING["LogisticRegressionWithSGD"] = "use `StreamingLogisticRegressionWithSGD`; or " + _TRAINED


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)


class LogisticRegressionModel(LinearModel):
    """What a logistic regression of two classes has learnt."""

    def __init__(self, weights: Any, intercept: float, numFeatures: int, numClasses: int) -> None:
        super().__init__(weights, intercept)
        if numFeatures != len(self._coeff):
            raise ValueError(f"{len(self._coeff)} weights for {numFeatures} features")
        if numClasses != 2:
            raise ValueError(f"{numClasses} classes: a logistic regression over streams tells two apart")
        self._threshold: Optional[float] = 0.5

    @property
    def numFeatures(self) -> int:
        """How many features a vector has."""
        return len(self._coeff)

    @property
    def numClasses(self) -> int:
        """How many classes are told apart: two."""
        return 2

    @property
    def threshold(self) -> Optional[float]:
        """The probability above which the label is 1; None: :meth:`predict` gives the probability."""
        return self._threshold

    def setThreshold(self, value: float) -> None:
        """Sets the probability above which the label is 1."""
        self._threshold = value

    def clearThreshold(self) -> None:
        """From now on :meth:`predict` gives the probability of label 1."""
        self._threshold = None

    def predict(self, x: Any) -> Any:
        """The label, 0 or 1, or, without a threshold, the probability of label 1; of a vector, or of each of an RDD."""
        if isinstance(x, RDD):
            return x.map(self.predict)
        margin = self._margin(x)
        # Of a large number only the inverse is taken, which does not overflow.
        part = math.exp(-abs(margin))
        probability = 1 / (1 + part) if margin > 0 else part / (1 + part)
        if self._threshold is None:
            return probability
        return 1 if probability > self._threshold else 0


class StreamingLogisticRegressionWithSGD(StreamingLinearAlgorithm):
    """Learns to tell the labels 0 and 1 apart, by gradient descent over all examples of each batch, from the weights before.

    As :class:`~tidegate.pyspark.mllib.regression.StreamingLinearRegressionWithSGD`; ``regParam`` keeps weights small (L2).
    """

    def __init__(
        self,
        stepSize: float = 0.1,
        numIterations: int = 50,
        miniBatchFraction: float = 1.0,
        regParam: float = 0.0,
        convergenceTol: float = 0.001,
    ) -> None:
        super().__init__(None)
        self.stepSize = stepSize
        self.numIterations = numIterations
        self.regParam = regParam
        self.miniBatchFraction = miniBatchFraction
        self.convergenceTol = convergenceTol

    def setInitialWeights(self, initialWeights: Any) -> "StreamingLogisticRegressionWithSGD":
        """Sets where learning begins."""
        self._must_not_learn_yet("setInitialWeights")
        self._model = LogisticRegressionModel(initialWeights, 0, len(converted(initialWeights)), 2)
        return self

    def trainOn(self, dstream: DStream[LabeledPoint]) -> None:
        """Learns from the labelled points of each batch. All of them come to one task."""
        self._train(dstream, "logistic", self.regParam)

    def _made(self, centers: List[List[float]], weights: List[float]) -> LogisticRegressionModel:
        return LogisticRegressionModel(weights, 0, len(weights), 2)
