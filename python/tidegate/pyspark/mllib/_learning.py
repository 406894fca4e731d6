"""What streaming algorithms have in common: the model that is trained, and where it is."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

from tidegate import _tidegate
from tidegate._missing import missing
from tidegate.pyspark.mllib.linalg import converted
from tidegate.pyspark.streaming.dstream import DStream

__all__ = ["Learning", "vectors_of"]


class Learning:
    """An algorithm that learns from one stream, and answers others.

    The model is state of the program: it is committed with the batch that taught it, so it learns each example once, and goes on after a
    restart. A batch is answered by the model as it was before that batch.
    """

    _model: Any = None
    #: The model in the program, once it is trained.
    _learner: Optional[_tidegate.Model] = None
    _state_name: Optional[str] = None
    #: Whether a stream is answered by the initial model for good.
    _is_fixed: bool = False

    def named(self, name: str) -> Any:
        """Gives the model's state a name, under which it is found again when the program changes. Call it before ``trainOn``."""
        self._must_not_learn_yet("named")
        self._state_name = name
        return self

    def _must_not_learn_yet(self, method: str) -> None:
        if self._learner is not None:
            raise _tidegate.ConfigError(f"`{method}` after `trainOn` is not supported\n  next: call it before `trainOn`")

    def _validate(self, dstream: Any) -> None:
        """That the stream is one."""
        if not isinstance(dstream, DStream):
            raise TypeError(f"dstream should be a DStream object, got {type(dstream)}")

    def _learn(self, dstream: DStream[Any], begin: Callable[[Any, Tuple[str, int]], _tidegate.Model]) -> None:
        if self._learner is not None:
            missing(f"{type(self).__name__}.trainOn of a second stream", "train on one: `model.trainOn(a.union(b))`")
        if self._is_fixed:
            missing(f"{type(self).__name__}.trainOn after `predictOn`", "call `trainOn` before `predictOn`")

        def learner(at: Tuple[str, int]) -> None:
            self._learner = begin(dstream._stream, at)

        dstream._end(learner)
        dstream._ssc._may_lose_state = True

    def predictOn(self, dstream: DStream[Any]) -> "DStream[Any]":
        """The answer for each vector. Without ``trainOn`` before, the model stays as it is."""
        self._validate(dstream)
        learner = self._learner
        if learner is None:
            self._is_fixed = True
            return dstream.map(self._model.predict)
        return dstream._then(lambda at: learner.predict_on(dstream._stream, at))

    def predictOnValues(self, dstream: DStream[Any]) -> "DStream[Any]":
        """The answer for the vector of each pair, with its key. Without ``trainOn`` before, the model stays as it is."""
        self._validate(dstream)
        learner = self._learner
        if learner is None:
            self._is_fixed = True
            return dstream.mapValues(self._model.predict)
        return dstream._then(lambda at: learner.predict_on_values(dstream._stream, at))

    def latestModel(self) -> Any:
        """The newest model that this process knows: before a first batch was committed the initial one, if one was set; where several processes
        share the state, one of them has it."""
        latest = self._learner.latest() if self._learner is not None else None
        return self._model if latest is None else self._made(*latest)

    def _made(self, centers: List[List[float]], weights: List[float]) -> Any:
        """The model with these numbers."""
        raise NotImplementedError


def vectors_of(rows: Any) -> List[List[float]]:
    """Lists of the numbers of vectors."""
    return [converted(row).toArray().tolist() for row in rows]
