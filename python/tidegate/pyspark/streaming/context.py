"""Programs of streams: their inputs, and their run."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import threading
import weakref
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, TypeVar, Union

from tidegate import _tidegate
from tidegate._calls import caller
from tidegate._missing import missing_attribute
from tidegate.pyspark.context import SparkContext, settings_of
from tidegate.pyspark.rdd import RDD, rows_of
from tidegate.pyspark.storagelevel import StorageLevel
from tidegate.pyspark.streaming.dstream import DStream, rdds_of
from tidegate.pyspark.streaming.listener import StreamingListener, teller

T = TypeVar("T")

__all__ = ["StreamingContext"]

#: What PySpark's StreamingContext has and this one has not, with what to write instead: nothing.
MISSING: Dict[str, str] = {}

#: How long the end of the process waits for a batch in flight.
_EXIT_SECONDS = 20.0


class StreamingContext:
    """A program of streams.

    ``batchDuration`` is the batch interval in seconds.
    """

    _activeContext: Optional["StreamingContext"] = None
    _lock = threading.RLock()

    def __init__(self, sparkContext: SparkContext, batchDuration: Optional[float] = None, jssc: Any = None) -> None:
        if batchDuration is None:
            raise TypeError("StreamingContext takes the batch interval in seconds: StreamingContext(sc, 1)")
        self._sc = sparkContext
        self._interval = float(batchDuration)
        flags, others = settings_of(sparkContext._conf, self._interval)
        self._context = _tidegate.Context(flags, others)
        self._is_started = False
        self._is_stopped = False
        self._has_checkpoint = False
        self._has_output = False
        #: The operation that keeps state, for which Spark demands a checkpoint directory.
        self._must_checkpoint: Optional[str] = None
        #: Whether it holds state that PySpark keeps without a checkpoint directory: windows, models.
        self._may_lose_state = False
        self._is_remembering = False
        self._streams: "weakref.WeakSet[DStream[Any]]" = weakref.WeakSet()
        self._scratch: Optional[str] = None

    def __getattr__(self, name: str) -> Any:
        missing_attribute("StreamingContext", name, MISSING)

    # ---- contexts of the process ------------------------------------------------------------------------------

    @classmethod
    def getOrCreate(cls, checkpointPath: str, setupFunc: Callable[[], "StreamingContext"]) -> "StreamingContext":
        """The context that ``setupFunc`` makes, with its checkpoint in ``checkpointPath``. If an earlier run left one there, the program
        continues from it. ``setupFunc`` is always called, so the program may change between runs: state is found again by its name.
        """
        context = setupFunc()
        if not context._has_checkpoint:
            context.checkpoint(checkpointPath)
        return context

    @classmethod
    def getActive(cls) -> Optional["StreamingContext"]:
        """The context that was started and not stopped, if there is one."""
        with cls._lock:
            active = cls._activeContext
            if active is not None and not active._context.is_running():
                cls._activeContext = active = None
            return active

    @classmethod
    def getActiveOrCreate(
        cls, checkpointPath: Optional[str], setupFunc: Callable[[], "StreamingContext"]
    ) -> "StreamingContext":
        """The active context, or as :meth:`getOrCreate`."""
        if not callable(setupFunc):
            raise TypeError("setupFunc should be callable.")
        active = cls.getActive()
        if active is not None:
            return active
        return cls.getOrCreate(checkpointPath, setupFunc) if checkpointPath is not None else setupFunc()

    @property
    def sparkContext(self) -> SparkContext:
        """The SparkContext that it was made with."""
        return self._sc

    # ---- the run ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Checks the program, and starts it."""
        with StreamingContext._lock:
            active = StreamingContext.getActive()
            if active is not None and active is not self:
                raise _tidegate.ConfigError(
                    "only one StreamingContext may be started in this process; another one is running\n  next: stop it first"
                )
            if not self._has_output:
                raise _tidegate.ConfigError(
                    "No output operations registered, so nothing to execute\n  next: end a stream with `pprint()`, `foreachRDD(..)`, `saveAsTextFiles(..)` or `toKafka(..)`"
                )
            self._place_state()
            if self._is_remembering:
                for stream in list(self._streams):
                    stream.remembered()
            self._context.start()
            self._is_started = True
            self._sc._page = self._context.page()
            StreamingContext._activeContext = self
            _end_at_exit(self)

    def _place_state(self) -> None:
        """Without a checkpoint directory, state is in one of the SparkContext's, or, if all that it holds are windows and models, in one that is
        removed at the end."""
        if self._has_checkpoint or not (self._must_checkpoint or self._may_lose_state) or self._has_state_dir():
            return
        of_rdds = self._sc.getCheckpointDir()
        if of_rdds is not None:
            os.makedirs(of_rdds, exist_ok=True)
            self.checkpoint(tempfile.mkdtemp(prefix="streaming-", dir=of_rdds))
        elif self._must_checkpoint is None:
            self._scratch = tempfile.mkdtemp(prefix="tidegate-")
            self.checkpoint(self._scratch)
        else:
            raise _tidegate.ConfigError(
                f"The checkpoint directory has not been set, and `{self._must_checkpoint}` keeps state.\n  next: Please set it by StreamingContext.checkpoint()."
            )

    def _has_state_dir(self) -> bool:
        return self._sc._conf.get("tidegate.state-dir") is not None or "TIDEGATE_STATE_DIR" in os.environ

    def _remove_scratch(self) -> None:
        if self._scratch is not None and not self._context.is_running():
            shutil.rmtree(self._scratch, ignore_errors=True)

    def awaitTermination(self, timeout: Optional[float] = None) -> None:
        """Waits until the program ends, for ``timeout`` seconds at most. SIGTERM, if the program does not handle it itself, ends the program in
        order; Ctrl-C raises ``KeyboardInterrupt`` at once.

        Raises
        ------
        StreamingError
            Why it failed, if it did.
        """
        with _TerminationEnds(self):
            self._context.wait(timeout)

    def awaitTerminationOrTimeout(self, timeout: float) -> bool:
        """Waits for ``timeout`` seconds at most; whether the program has ended."""
        with _TerminationEnds(self):
            return self._context.wait(timeout)

    def stop(self, stopSparkContext: bool = True, stopGraceFully: bool = False) -> None:
        """Ends the program, and waits for its end: the batch in flight is finished and committed. ``stopGraceFully``: so is what was received
        already. From a function of the program it does not wait.
        """
        self._is_stopped = True
        self._context.stop(stopGraceFully)
        if self._is_started:
            try:
                self._context.wait()
            except _tidegate.StreamingError:
                pass  # `awaitTermination` tells it
        self._remove_scratch()
        with StreamingContext._lock:
            if StreamingContext._activeContext is self:
                StreamingContext._activeContext = None
        if stopSparkContext:
            self._sc.stop()

    def checkpoint(self, directory: str) -> None:
        """The directory of the program's state, and of its log if no other one is set."""
        self._must_be_new("checkpoint")
        if directory.startswith("file:"):
            directory = "/" + directory[len("file:") :].lstrip("/")
        self._has_checkpoint = True
        self._context.checkpoint(os.fspath(directory))

    def remember(self, duration: float) -> None:
        """How many seconds the rows of past batches are kept for :meth:`DStream.slice`. It keeps those of each stream that the program holds in
        a variable when it starts."""
        self._must_be_new("remember")
        self._is_remembering = True
        self._context.remember(float(duration))

    def addStreamingListener(self, streamingListener: StreamingListener) -> None:
        """Tells a listener of batches, output operations and receivers."""
        self._must_be_new("addStreamingListener")
        self._context.add_listener(teller(streamingListener))

    def _must_be_new(self, method: str) -> None:
        if self._is_started or self._is_stopped:
            after = "stopping" if self._is_stopped else "starting"
            raise _tidegate.ConfigError(f"`{method}` after {after} a context is not supported")

    # ---- inputs -----------------------------------------------------------------------------------------------

    def _input(self, make: Callable[[Tuple[str, int]], Any]) -> "DStream[Any]":
        self._must_build()
        return DStream(make(caller()), self)

    def _must_build(self) -> None:
        if self._is_started or self._is_stopped:
            after = "stopping" if self._is_stopped else "starting"
            raise _tidegate.ConfigError(
                f"Adding new inputs, transformations, and output operations after {after} a context is not supported"
            )

    def socketTextStream(
        self, hostname: str, port: int, storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2
    ) -> "DStream[str]":
        """The lines that a TCP server sends. They wait in a topic of the log; at a level in memory alone, in the process."""
        in_memory = not storageLevel.useDisk
        return self._input(lambda at: self._context.socket(hostname, port, in_memory, at))

    def textFileStream(self, directory: str) -> "DStream[str]":
        """The lines of files that appear in a directory, each read once. Files that exist at the first start are skipped."""
        if directory.startswith("file:"):
            directory = "/" + directory[len("file:") :].lstrip("/")
        return self._input(lambda at: self._context.files(os.fspath(directory), at))

    def binaryRecordsStream(self, directory: str, recordLength: int) -> "DStream[bytes]":
        """The records, ``recordLength`` bytes each, of files that appear in a directory, each read once. Files that exist at the first start are
        skipped."""
        if directory.startswith("file:"):
            directory = "/" + directory[len("file:") :].lstrip("/")
        return self._input(lambda at: self._context.binary_records(os.fspath(directory), recordLength, at))

    def queueStream(
        self,
        rdds: List[Union["RDD[T]", Iterable[T]]],
        oneAtATime: bool = True,
        default: Optional[Union["RDD[T]", Iterable[T]]] = None,
    ) -> "DStream[T]":
        """The rows of a list of RDDs or lists, one per batch or all together; then those of ``default`` in each batch."""
        batches = [rows_of(rdd) for rdd in rdds]
        otherwise = rows_of(default) if default is not None else None
        return self._input(lambda at: self._context.queue(batches, oneAtATime, otherwise, at)[0])

    def kafkaStream(
        self,
        topics: Union[str, Iterable[str], None] = None,
        *,
        pattern: Optional[str] = None,
        key: str = "text",
        value: str = "text",
        part: str = "value",
        onBadRecord: str = "fail",
        startingOffsets: Union[str, int, None] = None,
    ) -> "DStream[Any]":
        """The records of topics. See :mod:`tidegate.streaming.kafka`.

        Parameters
        ----------
        topics
            Their names; or ``pattern``, a regular expression that whole names match.
        key, value
            How they are read: ``text`` (UTF-8) or ``bytes``. A null is None.
        part
            What becomes a row: ``value``, a ``pair`` of key and value, or the ``record`` as a :class:`KafkaRecord`.
        onBadRecord
            What happens to a record that cannot be read, or that a function raises an exception for: ``fail``, ``skip`` or ``dead-letter``.
        startingOffsets
            Where the first start begins: ``earliest``, ``latest``, or a time in milliseconds since the epoch.
        """
        if part == "record":
            import tidegate.streaming.kafka  # noqa: F401  # the class of the rows
        names = [topics] if isinstance(topics, str) else list(topics or [])
        starting = ("timestamp", startingOffsets) if isinstance(startingOffsets, int) else startingOffsets
        if isinstance(starting, str):
            starting = (starting, 0)
        return self._input(
            lambda at: self._context.topics(names, pattern, key, value, part, onBadRecord, starting, at)
        )

    def transform(
        self, dstreams: List["DStream[Any]"], transformFunc: Callable[..., "RDD[T]"]
    ) -> "DStream[T]":
        """What ``transformFunc`` makes of a list of the RDDs of all streams in each batch. All rows of the batch come to one task."""
        tagged = [stream._tagged(number) for number, stream in enumerate(dstreams)]
        first, others = tagged[0], tagged[1:]
        return first._union(others)._transform(
            lambda _time, rows: transformFunc(rdds_of(rows, len(dstreams), self._sc))
        )

    def union(self, *dstreams: "DStream[T]") -> "DStream[T]":
        """The rows of all streams."""
        if not dstreams:
            raise ValueError("should have at least one DStream to union")
        return dstreams[0]._union(list(dstreams[1:])) if len(dstreams) > 1 else dstreams[0]

    # ---- beside PySpark ---------------------------------------------------------------------------------------

    @property
    def uiWebUrl(self) -> Optional[str]:
        """The address of the streaming page while the program runs."""
        return self._context.page()

    def metrics(self) -> Optional[str]:
        """The metrics of the program as Prometheus reads them, once it was started."""
        return self._context.metrics()

    def explain(self) -> str:
        """The plan of the program as text."""
        return self._context.explain()


class _TerminationEnds:
    """While a program waits in the main thread, SIGTERM ends it in order, unless the program handles the signal itself."""

    def __init__(self, context: StreamingContext) -> None:
        self._context = context
        self._is_set = False

    def __enter__(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            graceful = (self._context._sc._conf.get("spark.streaming.stopGracefullyOnShutdown") or "") == "true"
            signal.signal(signal.SIGTERM, lambda *_: self._context._context.stop(graceful))
            self._is_set = True

    def __exit__(self, *_: Any) -> None:
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


_ending: List[StreamingContext] = []


def _end_at_exit(context: StreamingContext) -> None:
    """The interpreter must not end while threads of the engine call functions."""
    if not _ending:
        atexit.register(_end_all)
    _ending.append(context)


def _end_all() -> None:
    for context in _ending:
        if not context._context.is_running():
            continue
        try:
            context._context.stop(False)
            ended = context._context.wait(_EXIT_SECONDS)
        except _tidegate.StreamingError:
            ended = True
        except KeyboardInterrupt:
            ended = False
        if not ended:
            # A function of the program does not return; what was committed is safe.
            os._exit(130)
    for context in _ending:
        context._remove_scratch()


