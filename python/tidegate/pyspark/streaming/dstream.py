"""Streams: what a program computes in each batch."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any, Callable, Dict, Generic, Iterable, List, Optional, Tuple, TypeVar, Union, TYPE_CHECKING

from tidegate._calls import caller
from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.rdd import RDD, rows_of, spread
from tidegate.pyspark.storagelevel import StorageLevel

if TYPE_CHECKING:
    from tidegate.pyspark.context import SparkContext
    from tidegate.pyspark.streaming.context import StreamingContext

T = TypeVar("T")

__all__ = ["DStream"]

#: What PySpark's DStream has and this one has not, with what to write instead: nothing, but for what a method itself refuses.
MISSING: Dict[str, str] = {}

_HASH = object()


class DStream(Generic[T]):
    """A stream. It is computed once in each batch, however many operations read it.

    ``numPartitions`` is accepted everywhere and has no effect: keyed operations use the state partitions of the program, whose number is the
    setting ``tidegate.state-partitions``.
    """

    def __init__(
        self, stream: Any, ssc: "StreamingContext", slide: Optional[float] = None, partitions: Optional[int] = None
    ) -> None:
        self._stream = stream
        self._ssc = ssc
        self._sc = ssc.sparkContext
        self._slide = slide if slide is not None else ssc._interval
        self._past: Any = None
        #: Of a stream that was spread over fewer partitions than there are: the others have no rows.
        self._partitions = partitions
        self.is_cached = False
        self.is_checkpointed = False
        ssc._streams.add(self)

    def __getattr__(self, name: str) -> Any:
        missing_attribute("DStream", name, MISSING)

    def _then(self, make: Callable[[Tuple[str, int]], Any], slide: Optional[float] = None) -> "DStream[Any]":
        self._ssc._must_build()
        return DStream(make(caller()), self._ssc, self._slide if slide is None else slide)

    def _there(self, make: Callable[[Tuple[str, int]], Any]) -> "DStream[Any]":
        """As :meth:`_then`, where rows stay in their partitions."""
        then = self._then(make)
        then._partitions = self._partitions
        return then

    def _end(self, make: Callable[[Tuple[str, int]], Any]) -> None:
        self._ssc._must_build()
        self._ssc._has_output = True
        make(caller())

    def context(self) -> "StreamingContext":
        """The program that it belongs to."""
        return self._ssc

    # ---- rows to rows -------------------------------------------------------------------------------------------

    def map(self, f: Callable[[T], Any], preservesPartitioning: bool = False) -> "DStream[Any]":
        """What ``f`` makes of each row."""
        return self._there(lambda at: self._stream.map(f, at))

    def flatMap(self, f: Callable[[T], Iterable[Any]], preservesPartitioning: bool = False) -> "DStream[Any]":
        """All that is in what ``f`` makes of each row."""
        return self._there(lambda at: self._stream.flat_map(f, at))

    def filter(self, f: Callable[[T], bool]) -> "DStream[T]":
        """The rows for which ``f`` holds."""
        return self._there(lambda at: self._stream.filter(f, at))

    def mapPartitions(
        self, f: Callable[[Iterable[T]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> "DStream[Any]":
        """What ``f`` makes of all rows of a partition in a batch. A partition is one of the topic, or, behind a keyed operation, a state
        partition."""
        return self.mapPartitionsWithIndex(lambda _, rows: f(rows), preservesPartitioning)

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterable[T]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> "DStream[Any]":
        """As :meth:`mapPartitions`, with the number of the partition."""
        count = self._partitions

        def call(index: int, rows: List[T]) -> Iterable[Any]:
            return f(index, iter(rows)) if count is None or index < count else ()

        return self._there(lambda at: self._stream.map_partitions(call, at))

    def glom(self) -> "DStream[List[T]]":
        """A list of the rows of each partition in a batch."""
        if self._partitions is not None:
            return self.mapPartitions(lambda rows: [list(rows)])
        return self._then(lambda at: self._stream.glom(at))

    def repartition(self, numPartitions: int) -> "DStream[T]":
        """The rows, spread over so many state partitions at most."""
        spread = self._then(lambda at: self._stream.repartition(numPartitions, at))
        spread._partitions = numPartitions
        return spread

    def union(self, other: "DStream[Any]") -> "DStream[Any]":
        """The rows of both streams."""
        if self._slide != other._slide:
            raise ValueError("the two DStream should have same slide duration")
        return self._union([other])

    def _union(self, others: List["DStream[Any]"]) -> "DStream[Any]":
        return self._then(lambda at: self._stream.union([other._stream for other in others], at))

    def transform(
        self, func: Union[Callable[["RDD[T]"], "RDD[Any]"], Callable[[datetime, "RDD[T]"], "RDD[Any]"]]
    ) -> "DStream[Any]":
        """What ``func`` makes of the RDD of each batch, or of its time and the RDD. **All rows of a batch come to one task**: where the rows
        of one partition are enough, :meth:`mapPartitions` runs in parallel."""
        takes_time = takes(func, 2)

        def rows(time_ms: int, rows: List[Any]) -> Iterable[Any]:
            rdd = rdd_of(rows, self._sc)
            return rows_of(func(time_of(time_ms), rdd) if takes_time else func(rdd))  # type: ignore[call-arg, arg-type]

        return self._transform(rows)

    def _transform(self, f: Callable[[int, List[Any]], Any]) -> "DStream[Any]":
        return self._then(lambda at: self._stream.transform(lambda time, rows: rows_of(f(time, rows)), at))

    def _tagged(self, number: int) -> "DStream[Any]":
        return self.map(lambda row: (number, row))

    def transformWith(
        self, func: Callable[..., "RDD[Any]"], other: "DStream[Any]", keepSerializer: bool = False
    ) -> "DStream[Any]":
        """What ``func`` makes of the RDDs of both streams in each batch, or of its time and both. The cost is that of :meth:`transform`."""
        takes_time = takes(func, 3)

        def rows(time_ms: int, left: List[Any], right: List[Any]) -> Iterable[Any]:
            rdds = (rdd_of(left, self._sc), rdd_of(right, self._sc))
            return rows_of(func(time_of(time_ms), *rdds) if takes_time else func(*rdds))

        return self._then(lambda at: self._stream.transform_with(other._stream, rows, at))

    # ---- a batch as one row -------------------------------------------------------------------------------------

    def count(self) -> "DStream[int]":
        """The number of rows of each batch."""
        return self._then(lambda at: self._stream.count(at))

    def reduce(self, func: Callable[[T, T], T]) -> "DStream[T]":
        """All rows of a batch as one."""
        return self._then(lambda at: self._stream.reduce(func, at))

    def countByValue(self) -> "DStream[Tuple[T, int]]":
        """How often each row occurs in a batch."""
        return self._then(lambda at: self._stream.count_by_value(at))

    # ---- keys ---------------------------------------------------------------------------------------------------

    def mapValues(self, f: Callable[[Any], Any]) -> "DStream[Any]":
        """Each key with what ``f`` makes of its value; rows stay where they are."""
        return self._there(lambda at: self._stream.map_values(f, at))

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> "DStream[Any]":
        """Each key with all that is in what ``f`` makes of its value; rows stay where they are."""
        return self._there(lambda at: self._stream.flat_map_values(f, at))

    def partitionBy(self, numPartitions: int, partitionFunc: Any = _HASH) -> "DStream[Any]":
        """Places pairs by key over the state partitions."""
        if partitionFunc is not _HASH:
            missing(
                "DStream.partitionBy(partitionFunc)",
                "keys are always placed as the state is; make what should lie together one key: `map(lambda kv: (f(kv[0]), kv))`",
            )
        return self._then(lambda at: self._stream.partition_by(at))

    def reduceByKey(self, func: Callable[[Any, Any], Any], numPartitions: Optional[int] = None) -> "DStream[Any]":
        """The values of each key in a batch as one."""
        return self._then(lambda at: self._stream.reduce_by_key(func, at))

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: Optional[int] = None,
    ) -> "DStream[Any]":
        """The values of each key in a batch as one of another kind."""
        return self._then(lambda at: self._stream.combine_by_key(createCombiner, mergeValue, mergeCombiners, at))

    def groupByKey(self, numPartitions: Optional[int] = None) -> "DStream[Tuple[Any, List[Any]]]":
        """A list of the values of each key in a batch."""
        return self._then(lambda at: self._stream.group_by_key(at))

    def join(self, other: "DStream[Any]", numPartitions: Optional[int] = None) -> "DStream[Any]":
        """The values of both for each key that both have in a batch."""
        return self._join("join", other)

    def leftOuterJoin(self, other: "DStream[Any]", numPartitions: Optional[int] = None) -> "DStream[Any]":
        """As :meth:`join`, with None where the other has no value."""
        return self._join("leftOuterJoin", other)

    def rightOuterJoin(self, other: "DStream[Any]", numPartitions: Optional[int] = None) -> "DStream[Any]":
        """As :meth:`join`, with None where this one has no value."""
        return self._join("rightOuterJoin", other)

    def fullOuterJoin(self, other: "DStream[Any]", numPartitions: Optional[int] = None) -> "DStream[Any]":
        """As :meth:`join`, with None where one has no value."""
        return self._join("fullOuterJoin", other)

    def cogroup(self, other: "DStream[Any]", numPartitions: Optional[int] = None) -> "DStream[Any]":
        """For each key lists of the values of both in a batch."""
        return self._join("cogroup", other)

    def _join(self, kind: str, other: "DStream[Any]") -> "DStream[Any]":
        return self._then(lambda at: self._stream.join(kind, other._stream, at))

    def updateStateByKey(
        self,
        updateFunc: Callable[[List[Any], Optional[Any]], Optional[Any]],
        numPartitions: Optional[int] = None,
        initialRDD: Optional[Union["RDD[Any]", Iterable[Tuple[Any, Any]]]] = None,
    ) -> "DStream[Any]":
        """The state of each key: ``updateFunc`` is called in every batch, for every key with state, with a list of the new values and the state;
        None drops the key. ``initialRDD``: states that keys have before the first batch. :meth:`runningReduceByKey` costs nothing for keys
        without new values."""
        initial = rows_of(initialRDD) if initialRDD is not None else None
        self._ssc._must_checkpoint = "updateStateByKey"
        return self._then(lambda at: self._stream.update_state_by_key(updateFunc, initial, at))

    # ---- windows ------------------------------------------------------------------------------------------------

    def _window(self, length: float, slide: Optional[float]) -> Tuple[float, float]:
        """Length and slide of a window; the slide is that of the stream if there is none."""
        step = self._slide if slide is None else float(slide)
        for what, seconds in (("windowDuration", float(length)), ("slideDuration", step)):
            if seconds <= 0 or abs(seconds / self._slide - round(seconds / self._slide)) > 1e-9:
                raise ValueError(
                    f"{what} must be multiple of the parent dstream's slide (batch) duration\n  next: {seconds:g} s is no multiple of {self._slide:g} s"
                )
        self._ssc._may_lose_state = True
        return float(length), step

    def window(self, windowDuration: float, slideDuration: Optional[float] = None) -> "DStream[T]":
        """The rows of the last ``windowDuration`` seconds, at each ``slideDuration``."""
        length, slide = self._window(windowDuration, slideDuration)
        given = slide if slideDuration is not None else None
        return self._then(lambda at: self._stream.window(length, given, at), slide)

    def reduceByWindow(
        self,
        reduceFunc: Callable[[T, T], T],
        invReduceFunc: Optional[Callable[[T, T], T]],
        windowDuration: float,
        slideDuration: float,
    ) -> "DStream[T]":
        """All rows of a window as one. With ``invReduceFunc``, a slide costs what enters and leaves, if the window has five slides at least."""
        if invReduceFunc is not None:
            self._ssc._must_checkpoint = "reduceByWindow"
        length, slide = self._window(windowDuration, slideDuration)
        invReduceFunc = invReduceFunc if _is_inverted(length, slide) else None
        return self._then(
            lambda at: self._stream.reduce_by_window(reduceFunc, invReduceFunc, length, slide, at), slide
        )

    def countByWindow(self, windowDuration: float, slideDuration: float) -> "DStream[int]":
        """The number of rows of a window."""
        self._ssc._must_checkpoint = "countByWindow"
        length, slide = self._window(windowDuration, slideDuration)
        return self._then(lambda at: self._stream.count_by_window(length, slide, at), slide)

    def countByValueAndWindow(
        self, windowDuration: float, slideDuration: float, numPartitions: Optional[int] = None
    ) -> "DStream[Tuple[T, int]]":
        """How often each row occurs in a window."""
        self._ssc._must_checkpoint = "countByValueAndWindow"
        length, slide = self._window(windowDuration, slideDuration)
        return self._then(lambda at: self._stream.count_by_value_and_window(length, slide, at), slide)

    def groupByKeyAndWindow(
        self, windowDuration: float, slideDuration: float, numPartitions: Optional[int] = None
    ) -> "DStream[Tuple[Any, List[Any]]]":
        """A list of the values of each key in a window."""
        length, slide = self._window(windowDuration, slideDuration)
        return self._then(lambda at: self._stream.group_by_key_and_window(length, slide, at), slide)

    def reduceByKeyAndWindow(
        self,
        func: Callable[[Any, Any], Any],
        invFunc: Optional[Callable[[Any, Any], Any]],
        windowDuration: float,
        slideDuration: Optional[float] = None,
        numPartitions: Optional[int] = None,
        filterFunc: Optional[Callable[[Tuple[Any, Any]], bool]] = None,
    ) -> "DStream[Any]":
        """The values of each key in a window as one. With ``invFunc``, if the window has five slides at least, a slide costs what enters and
        leaves, and a key whose rows have all left stays, unless ``filterFunc`` drops it: so it is in PySpark."""
        if invFunc is not None:
            self._ssc._must_checkpoint = "reduceByKeyAndWindow"
        length, slide = self._window(windowDuration, slideDuration)
        if filterFunc is None and not _is_inverted(length, slide):
            invFunc = None
        return self._then(
            lambda at: self._stream.reduce_by_key_and_window(func, invFunc, length, slide, filterFunc, at), slide
        )

    # ---- outputs ------------------------------------------------------------------------------------------------

    def pprint(self, num: int = 10) -> None:
        """Prints the first ``num`` rows of each batch, once it is committed."""
        self._end(lambda at: self._stream.print(num, at))

    def foreachRDD(
        self, func: Union[Callable[["RDD[T]"], None], Callable[[datetime, "RDD[T]"], None]]
    ) -> None:
        """Calls ``func`` with the RDD of each batch, or with its time and the RDD, before the batch is committed: after a crash its rows may come
        again. What must be exact belongs into a topic (:meth:`toKafka`) or files (:meth:`saveAsTextFiles`)."""
        takes_time = takes(func, 2)

        def call(time_ms: int, partitions: List[List[Any]]) -> None:
            rdd: RDD[Any] = RDD(lambda: partitions, self._sc)
            func(time_of(time_ms), rdd) if takes_time else func(rdd)  # type: ignore[call-arg, arg-type]

        self._end(lambda at: self._stream.foreach_rdd(call, at))

    def saveAsTextFiles(self, prefix: str, suffix: Optional[str] = None) -> None:
        """Writes each batch with rows into a folder ``prefix-TIME_IN_MS.suffix``, exactly once."""
        self._end(lambda at: self._stream.save_as_text_files(prefix, suffix or "", at))

    # ---- marks --------------------------------------------------------------------------------------------------

    def cache(self) -> "DStream[T]":
        """Has no effect: a stream is computed once per batch in any case."""
        self.is_cached = True
        return self

    def persist(self, storageLevel: StorageLevel) -> "DStream[T]":
        """As :meth:`cache`."""
        return self.cache()

    def checkpoint(self, interval: float) -> "DStream[T]":
        """Has no effect: state is durable with each batch."""
        self.is_checkpointed = True
        return self

    def slice(self, begin: Union[datetime, int], end: Union[datetime, int]) -> List["RDD[T]"]:
        """The RDDs of past batches between two times, both included. The program must have called
        ``StreamingContext.remember``, or :meth:`remembered` of this stream, before the start."""
        if self._past is None:
            missing("DStream.slice of a stream that is not remembered", "call `StreamingContext.remember(seconds)` or `stream.remembered()` before the start")
        batches = self._past.slice(millis_of(begin), millis_of(end))
        return [rdd_of(rows, self._sc) for _, rows in batches]

    # ---- beside PySpark -----------------------------------------------------------------------------------------

    def remembered(self) -> "DStream[T]":
        """Keeps the rows of past batches for :meth:`slice`, for as long as ``StreamingContext.remember`` says; a minute if it says nothing."""
        if self._past is None:
            self._ssc._must_build()
            self._ssc._has_output = True
            self._past = self._stream.remembered(caller())
        return self

    def runningReduceByKey(self, func: Callable[[Any, Any], Any]) -> "DStream[Any]":
        """The values of each key over all batches as one; a row for each key that has new values in a batch."""
        self._ssc._must_checkpoint = "runningReduceByKey"
        return self._then(lambda at: self._stream.running_reduce_by_key(func, at))

    def toKafka(self, topic: str) -> None:
        """Writes each row as a record of a topic, in the transaction of its batch: exactly once. A pair is a key and a value, a
        :class:`~tidegate.streaming.kafka.KafkaRecord` a record with timestamp and headers, any other row a value. Text and bytes are written as
        they are, None as null, numbers and truth as ``str`` shows them; anything else is refused: make text of it, for instance with ``json.dumps``."""
        self._end(lambda at: self._stream.to_kafka(topic, at))

    def named(self, name: str) -> "DStream[T]":
        """Gives the last operation a name, under which its state is found again when the program changes. Call it at once."""
        return DStream(self._stream.named(name), self._ssc, self._slide, self._partitions)


def _is_inverted(length: float, slide: float) -> bool:
    """Whether a window is computed from the one before, as PySpark does from this size on: below it, each window is computed anew."""
    return length >= slide * 5 - 1e-9


def takes(func: Callable[..., Any], count: int) -> bool:
    """Whether a function takes so many arguments without defaults, as PySpark counts them."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters) == count


def time_of(time_ms: int) -> datetime:
    """The time of a batch."""
    return datetime.fromtimestamp(time_ms / 1000.0)


def millis_of(time: Union[datetime, int, float]) -> int:
    """A time in milliseconds since the epoch: a datetime, or seconds."""
    return round(time.timestamp() * 1000) if isinstance(time, datetime) else int(time * 1000)


def rdd_of(rows: List[Any], sc: "SparkContext") -> "RDD[Any]":
    """The rows as an RDD."""
    return RDD(lambda: spread(rows, 1), sc)


def rdds_of(tagged: List[Tuple[int, Any]], count: int, sc: "SparkContext") -> List["RDD[Any]"]:
    """Rows with the numbers of their streams as an RDD for each stream."""
    rows: List[List[Any]] = [[] for _ in range(count)]
    for number, row in tagged:
        rows[number].append(row)
    return [rdd_of(of, sc) for of in rows]
