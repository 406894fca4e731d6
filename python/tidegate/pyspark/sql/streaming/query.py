"""Queries that run."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from tidegate import _tidegate
from tidegate.pyspark.sql.streaming.listener import StreamingQueryListener, StreamingQueryProgress, tell

if TYPE_CHECKING:
    from tidegate.pyspark.sql.session import SparkSession

__all__ = ["StreamingQuery", "StreamingQueryManager"]


class StreamingQuery:
    """A query that was started. It runs on when nobody holds it."""

    def __init__(self, query: "_tidegate.Query", session: "SparkSession") -> None:
        self._query = query
        self._session = session

    @property
    def id(self) -> str:
        """Which query it is: the same after each restart."""
        return self._query.id()

    @property
    def runId(self) -> str:
        """Which run of it this is."""
        return self._query.run_id()

    @property
    def name(self) -> Optional[str]:
        """The name that it was given."""
        return self._query.name()

    @property
    def isActive(self) -> bool:
        """Whether it is running."""
        return self._query.is_active()

    @property
    def status(self) -> Dict[str, Any]:
        """What it is doing."""
        message, is_available, is_active = self._query.status()
        return {"message": message, "isDataAvailable": is_available, "isTriggerActive": is_active}

    @property
    def lastProgress(self) -> Optional[StreamingQueryProgress]:
        """What it did in the last batch that had rows, with Spark's names; None if there was none."""
        text = self._query.last_progress()
        return None if text is None else StreamingQueryProgress(json.loads(text))

    @property
    def recentProgress(self) -> List[StreamingQueryProgress]:
        """What it did in the last hundred batches that had rows."""
        return [StreamingQueryProgress(json.loads(text)) for text in self._query.recent_progress()]

    def awaitTermination(self, timeout: Optional[float] = None) -> Optional[bool]:
        """Waits until it ends, for ``timeout`` seconds at most: then it says whether it has ended. Ctrl-C raises ``KeyboardInterrupt`` at once;
        SIGTERM, if the program does not handle it itself, ends the query in order.

        Raises
        ------
        StreamingQueryException
            Why it has failed, if it has.
        """
        _check(timeout)
        with _TerminationEnds(self._query.stop):
            has_ended = self._query.wait(timeout)
        return None if timeout is None else has_ended

    def processAllAvailable(self) -> None:
        """Waits until everything is processed that is there now: for tests."""
        self._query.process_all_available()

    def stop(self) -> None:
        """Ends it in order, and waits for that: the batch in flight is committed. From a function of the query it does not wait."""
        try:
            self._query.stop()
        except _tidegate.StreamingError:
            pass  # `exception` and `awaitTermination` tell it

    def exception(self) -> Optional["_tidegate.StreamingQueryException"]:
        """Why it has failed; None if it has not."""
        return self._query.exception()

    def explain(self, extended: bool = False) -> None:
        """Prints its plans."""
        print(self._query.explained())

    def __repr__(self) -> str:
        return f"StreamingQuery(name={self.name!r}, id={self.id}, runId={self.runId})"


class StreamingQueryManager:
    """The queries of a session, and who listens to them."""

    def __init__(self, session: "SparkSession") -> None:
        self._session = session
        self._listeners: List[StreamingQueryListener] = []
        self._is_told = False

    @property
    def active(self) -> List[StreamingQuery]:
        """The queries that run."""
        return [StreamingQuery(query, self._session) for query in self._session._engine.active()]

    def get(self, id: str) -> Optional[StreamingQuery]:
        """The query that runs under this id."""
        return next((query for query in self.active if query.id == id), None)

    def awaitAnyTermination(self, timeout: Optional[float] = None) -> Optional[bool]:
        """Waits until a query has ended since the session was made, or since :meth:`resetTerminated`; as
        :meth:`StreamingQuery.awaitTermination`.
        """
        _check(timeout)
        session = self._session._engine
        with _TerminationEnds(lambda: session.stop(None)):
            has_ended = session.wait_any(timeout)
        return None if timeout is None else has_ended

    def resetTerminated(self) -> None:
        """Forgets the queries that have ended."""
        self._session._engine.reset_terminated()

    def addListener(self, listener: StreamingQueryListener) -> None:
        """Tells a listener of all queries from now on."""
        listener._session = self._session
        self._listeners.append(listener)
        if not self._is_told:
            self._is_told = True
            self._session._engine.add_listener(self._tell)

    def removeListener(self, listener: StreamingQueryListener) -> None:
        """Tells a listener no more."""
        self._listeners = [other for other in self._listeners if other is not listener]

    def _tell(self, what: str, *facts: Any) -> None:
        for listener in self._listeners:
            tell(listener, what, facts)


def _check(timeout: Optional[float]) -> None:
    if timeout is not None and (not isinstance(timeout, (int, float)) or timeout <= 0):
        raise ValueError(f"Value for timeout must be greater than 0, got {timeout!r}.")


class _TerminationEnds:
    """While a program waits in the main thread, SIGTERM ends queries in order, unless the program handles the signal itself."""

    def __init__(self, stop: Callable[[], Any]) -> None:
        self._stop = stop
        self._is_set = False

    def _ended(self) -> None:
        try:
            self._stop()
        except _tidegate.StreamingError:
            pass  # whoever waits is told

    def __enter__(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # On a thread of its own: the handler must not wait for what the program waits for.
            signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self._ended).start())
            self._is_set = True

    def __exit__(self, *_: Any) -> None:
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
