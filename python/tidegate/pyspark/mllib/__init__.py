"""The names of ``pyspark.mllib`` for models that learn from streams. As in PySpark, vectors need numpy."""

from typing import Any

from tidegate._missing import unsupported

try:
    import numpy  # noqa: F401
except ImportError as error:
    raise ImportError("tidegate.pyspark.mllib needs numpy\n  next: pip install numpy") from error

__all__ = ["classification", "clustering", "linalg", "regression", "util"]

_TRAINED = "train the model elsewhere, for instance by scikit-learn, and answer by `mapPartitions`"
#: What `pyspark.mllib` has and this package has not, with what to write instead.
MISSING = {
    "evaluation": "use `sklearn.metrics` on what `foreachRDD` is given",
    "feature": _TRAINED,
    "fpm": _TRAINED,
    "random": "use `numpy.random`",
    "recommendation": _TRAINED,
    "stat": "use numpy or scipy on what `foreachRDD` is given",
    "tree": _TRAINED,
}


def __getattr__(name: str) -> Any:
    unsupported(__name__, name, MISSING)
