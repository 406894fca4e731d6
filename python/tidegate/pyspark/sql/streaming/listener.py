"""Who is told of queries, and of what."""

from __future__ import annotations

import json
import sys
import traceback
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple

__all__ = ["StreamingQueryListener", "StreamingQueryProgress"]


class _Facts(Dict[str, Any]):
    """The facts of Spark's JSON, also as attributes. What the engine does not know is None."""

    _NAMES: Tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._NAMES:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return self.get(name)

    @property
    def json(self) -> str:
        """As JSON in one line."""
        return json.dumps(self, separators=(",", ":"))

    @property
    def prettyJson(self) -> str:
        """As JSON in lines."""
        return json.dumps(self, indent=2)

    def __str__(self) -> str:
        return self.prettyJson


class StateOperatorProgress(_Facts):
    """An operator that keeps state."""

    _NAMES = (
        "operatorName",
        "numRowsTotal",
        "numRowsUpdated",
        "numRowsRemoved",
        "allUpdatesTimeMs",
        "allRemovalsTimeMs",
        "commitTimeMs",
        "memoryUsedBytes",
        "numRowsDroppedByWatermark",
        "numShufflePartitions",
        "numStateStoreInstances",
        "customMetrics",
    )


class SourceProgress(_Facts):
    """A source of a query."""

    _NAMES = (
        "description",
        "startOffset",
        "endOffset",
        "latestOffset",
        "numInputRows",
        "inputRowsPerSecond",
        "processedRowsPerSecond",
        "metrics",
    )


class SinkProgress(_Facts):
    """The sink of a query."""

    _NAMES = ("description", "numOutputRows", "metrics")


class StreamingQueryProgress(_Facts):
    """What a query did in a batch."""

    _NAMES = (
        "id",
        "runId",
        "name",
        "timestamp",
        "batchId",
        "batchDuration",
        "durationMs",
        "eventTime",
        "numInputRows",
        "inputRowsPerSecond",
        "processedRowsPerSecond",
        "observedMetrics",
    )

    @property
    def stateOperators(self) -> List[StateOperatorProgress]:
        """What keeps state."""
        return [StateOperatorProgress(facts) for facts in self["stateOperators"]]

    @property
    def sources(self) -> List[SourceProgress]:
        """What was read."""
        return [SourceProgress(facts) for facts in self["sources"]]

    @property
    def sink(self) -> SinkProgress:
        """What was written to."""
        return SinkProgress(self["sink"])


class QueryStartedEvent:
    """A query was started."""

    def __init__(self, id: str, runId: str, name: Optional[str], time_ms: int) -> None:
        self.id = id
        self.runId = runId
        self.name = name
        time = datetime.fromtimestamp(time_ms / 1000, timezone.utc)
        self.timestamp = time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


class QueryProgressEvent:
    """A batch of a query that had rows was committed."""

    def __init__(self, text: str) -> None:
        self.progress = StreamingQueryProgress(json.loads(text))


class QueryIdleEvent:
    """Never told: a query without rows makes no batch."""


class QueryTerminatedEvent:
    """A query has ended."""

    def __init__(self, id: str, runId: str, exception: Optional[str]) -> None:
        self.id = id
        self.runId = runId
        self.exception = exception
        self.errorClassOnException = None


class StreamingQueryListener:
    """Is told of the queries of a session. Progress is told on a thread of the query: methods must return quickly."""

    _session: Any = None

    @property
    def spark(self) -> Any:
        """The session whose queries it is told of."""
        return self._session

    def onQueryStarted(self, event: QueryStartedEvent) -> None:
        """A query was started; before ``start`` returns."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:
        """A batch that had rows was committed."""

    def onQueryIdle(self, event: QueryIdleEvent) -> None:
        """Never told: a query without rows makes no batch."""

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:
        """A query has ended."""


def tell(listener: StreamingQueryListener, what: str, facts: Tuple[Any, ...]) -> None:
    """Tells a listener what has happened. What it raises is printed, and others are told too."""
    try:
        if what == "started":
            listener.onQueryStarted(QueryStartedEvent(*facts))
        elif what == "progress":
            listener.onQueryProgress(QueryProgressEvent(*facts))
        else:
            listener.onQueryTerminated(QueryTerminatedEvent(*facts))
    except Exception:
        print(f"a listener of queries failed\n{traceback.format_exc()}", file=sys.stderr, end="")
