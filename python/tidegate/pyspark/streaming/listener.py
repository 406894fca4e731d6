"""What a program is told of its batches, with the methods of PySpark's objects."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

__all__ = ["StreamingListener"]


class StreamingListener:
    """Base of listeners: a method that is not overridden does nothing."""

    def onStreamingStarted(self, streamingStarted: Any) -> None:
        """The program runs. ``streamingStarted.time()``: milliseconds since the epoch."""

    def onReceiverStarted(self, receiverStarted: Any) -> None:
        """A source is read. ``receiverStarted.receiverInfo()``."""

    def onReceiverError(self, receiverError: Any) -> None:
        """A receiver has failed. ``receiverError.receiverInfo()``."""

    def onReceiverStopped(self, receiverStopped: Any) -> None:
        """A source is not read any more. ``receiverStopped.receiverInfo()``."""

    def onBatchSubmitted(self, batchSubmitted: Any) -> None:
        """A batch has its input. ``batchSubmitted.batchInfo()``."""

    def onBatchStarted(self, batchSubmitted: Any) -> None:
        """A batch is computed. ``batchSubmitted.batchInfo()``; the name of the argument is PySpark's."""

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        """A batch is committed. ``batchCompleted.batchInfo()``."""

    def onOutputOperationStarted(self, outputOperationStarted: Any) -> None:
        """An output begins. ``outputOperationStarted.outputOperationInfo()``."""

    def onOutputOperationCompleted(self, outputOperationCompleted: Any) -> None:
        """An output has ended. ``outputOperationCompleted.outputOperationInfo()``."""


class Time(int):
    """The time of a batch: milliseconds since the epoch."""

    def milliseconds(self) -> int:
        """As a number."""
        return int(self)


class Facts:
    """Facts, each by a method of its name."""

    def __init__(self, facts: Dict[str, Any]) -> None:
        for name, value in facts.items():
            setattr(self, name, lambda value=value: value)
        self._facts = facts

    def __repr__(self) -> str:
        return "(" + ", ".join(f"{name}={value}" for name, value in self._facts.items()) + ")"


#: What is -1, as in PySpark, until it is known.
_NUMBERS = ("processingStartTime", "processingEndTime", "schedulingDelay", "processingDelay", "totalDelay")


def _batch(facts: Dict[str, Any]) -> Facts:
    streams = {stream["inputStreamId"]: _input(stream) for stream in facts["streamIdToInputInfo"]}
    operations = {operation["id"]: _operation(operation) for operation in facts["outputOperationInfos"]}
    numbers = {name: -1 if facts[name] is None else facts[name] for name in _NUMBERS}
    parts = {"batchTime": Time(facts["batchTime"]), "streamIdToInputInfo": streams, "outputOperationInfos": operations}
    return Facts({**facts, **numbers, **parts})


def _input(facts: Dict[str, Any]) -> Facts:
    return Facts({**facts, "metadata": {}, "metadataDescription": facts["name"]})


def _operation(facts: Dict[str, Any]) -> Facts:
    return Facts({**facts, "batchTime": Time(facts["batchTime"])})


_EVENTS: Dict[str, Callable[[Dict[str, Any]], Facts]] = {
    "onStreamingStarted": Facts,
    "onReceiverStarted": lambda facts: Facts({"receiverInfo": Facts(facts)}),
    "onReceiverError": lambda facts: Facts({"receiverInfo": Facts(facts)}),
    "onReceiverStopped": lambda facts: Facts({"receiverInfo": Facts(facts)}),
    "onBatchSubmitted": lambda facts: Facts({"batchInfo": _batch(facts)}),
    "onBatchStarted": lambda facts: Facts({"batchInfo": _batch(facts)}),
    "onBatchCompleted": lambda facts: Facts({"batchInfo": _batch(facts)}),
    "onOutputOperationStarted": lambda facts: Facts({"outputOperationInfo": _operation(facts)}),
    "onOutputOperationCompleted": lambda facts: Facts({"outputOperationInfo": _operation(facts)}),
}


def teller(listener: Any) -> Callable[[str, Dict[str, Any]], None]:
    """What the engine calls to tell a listener."""

    def tell(event: str, facts: Dict[str, Any]) -> None:
        getattr(listener, event)(_EVENTS[event](facts))

    return tell


EVENTS: List[str] = list(_EVENTS)
