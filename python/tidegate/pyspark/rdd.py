"""The rows of a batch, or of a list, with the methods of PySpark's RDD.

An RDD here is a list for each partition, in this process. What is asked of it is computed when it is first needed, and then once. It is meant
for what a program does with a batch: streams of many rows belong into the methods of :class:`~tidegate.pyspark.streaming.DStream`.
"""

from __future__ import annotations

import bisect
import functools
import heapq
import itertools
import math
import os
import random
from collections import defaultdict
from typing import Any, Callable, Dict, Generic, Iterable, Iterator, List, Optional, Tuple, TypeVar

from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.storagelevel import StorageLevel

T = TypeVar("T")

__all__ = ["RDD"]

Partitions = List[List[Any]]

#: What PySpark's RDD has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "barrier": "there are no stages of several processes: run the function itself",
    "cleanShuffleDependencies": "nothing is shuffled: leave it out",
    "countApprox": "use `count`, which is exact",
    "countApproxDistinct": "use `distinct().count()`, which is exact",
    "getResourceProfile": "there are no executors: leave it out",
    "meanApprox": "use `mean`, which is exact",
    "pipe": "use `subprocess.run` in `mapPartitions`",
    "sampleByKey": "use `filter` with `random`",
    "saveAsHadoopDataset": "use `DStream.saveAsTextFiles`, or a writer of your own in `foreachPartition`",
    "saveAsHadoopFile": "use `DStream.saveAsTextFiles`, or a writer of your own in `foreachPartition`",
    "saveAsNewAPIHadoopDataset": "use `DStream.saveAsTextFiles`, or a writer of your own in `foreachPartition`",
    "saveAsNewAPIHadoopFile": "use `DStream.saveAsTextFiles`, or a writer of your own in `foreachPartition`",
    "saveAsPickleFile": "use `saveAsTextFile` with `json.dumps`",
    "saveAsSequenceFile": "use `saveAsTextFile`",
    "sumApprox": "use `sum`, which is exact",
    "toDF": "use `collect()`, and for instance `pandas.DataFrame(rows)`",
    "withResources": "there are no executors: leave it out",
}


class RDD(Generic[T]):
    """Rows in partitions."""

    def __init__(self, compute: Callable[[], Partitions], ctx: Any = None) -> None:
        self._compute: Optional[Callable[[], Partitions]] = compute
        self._computed: Partitions = []
        self.ctx = ctx
        self._name: Optional[str] = None
        self.is_cached = False

    @property
    def context(self) -> Any:
        """The SparkContext that it belongs to."""
        return self.ctx

    @property
    def _partitions(self) -> Partitions:
        if self._compute is not None:
            self._computed = self._compute()
            self._compute = None
        return self._computed

    def _then(self, step: Callable[[Partitions], Partitions]) -> "RDD[Any]":
        return RDD(lambda: step(self._partitions), self.ctx)

    def _each(self, step: Callable[[List[Any]], Iterable[Any]]) -> "RDD[Any]":
        return self._then(lambda partitions: [list(step(rows)) for rows in partitions])

    def _rows(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._partitions)

    def _spread(self, rows: Callable[[], Iterable[Any]], numPartitions: Optional[int] = None) -> "RDD[Any]":
        return RDD(lambda: spread(list(rows()), numPartitions or max(len(self._partitions), 1)), self.ctx)

    def __getattr__(self, name: str) -> Any:
        missing_attribute("RDD", name, MISSING)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("'RDD' object is not iterable\n  next: use `collect()` or `toLocalIterator()`")

    def __add__(self, other: "RDD[Any]") -> "RDD[Any]":
        return self.union(other)

    def __repr__(self) -> str:
        return f"RDD of {len(self._partitions)} partitions" if self._compute is None else "RDD"

    # ---- what it is ---------------------------------------------------------------------------------------------

    def id(self) -> int:
        """A number of its own."""
        return id(self)

    def name(self) -> Optional[str]:
        """The name that it was given."""
        return self._name

    def setName(self, name: str) -> "RDD[T]":
        """Gives it a name."""
        self._name = name
        return self

    def cache(self) -> "RDD[T]":
        """Has no effect: it is computed once in any case."""
        self.is_cached = True
        return self

    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_ONLY) -> "RDD[T]":
        """As :meth:`cache`."""
        return self.cache()

    def unpersist(self, blocking: bool = False) -> "RDD[T]":
        """Has no effect."""
        self.is_cached = False
        return self

    def checkpoint(self) -> None:
        """Has no effect: the engine keeps the state of streams."""

    def localCheckpoint(self) -> None:
        """Has no effect."""

    def isCheckpointed(self) -> bool:
        """Never."""
        return False

    def isLocallyCheckpointed(self) -> bool:
        """Never."""
        return False

    def getCheckpointFile(self) -> Optional[str]:
        """None."""
        return None

    def getStorageLevel(self) -> StorageLevel:
        """In memory, if it was cached."""
        return StorageLevel.MEMORY_ONLY if self.is_cached else StorageLevel.NONE

    def getNumPartitions(self) -> int:
        """How many partitions it has."""
        return len(self._partitions)

    def toDebugString(self) -> bytes:
        """What it is, for people."""
        return repr(self).encode()

    # ---- rows to rows -------------------------------------------------------------------------------------------

    def map(self, f: Callable[[T], Any], preservesPartitioning: bool = False) -> "RDD[Any]":
        """What ``f`` makes of each row."""
        return self._each(lambda rows: map(f, rows))

    def flatMap(self, f: Callable[[T], Iterable[Any]], preservesPartitioning: bool = False) -> "RDD[Any]":
        """All that is in what ``f`` makes of each row."""
        return self._each(lambda rows: itertools.chain.from_iterable(map(f, rows)))

    def filter(self, f: Callable[[T], bool]) -> "RDD[T]":
        """The rows for which ``f`` holds."""
        return self._each(lambda rows: filter(f, rows))

    def mapPartitions(
        self, f: Callable[[Iterable[T]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> "RDD[Any]":
        """What ``f`` makes of each partition."""
        return self._each(lambda rows: f(iter(rows)))

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterable[T]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> "RDD[Any]":
        """What ``f`` makes of each partition and its number."""
        return self._then(lambda partitions: [list(f(index, iter(rows))) for index, rows in enumerate(partitions)])

    mapPartitionsWithSplit = mapPartitionsWithIndex

    def glom(self) -> "RDD[List[T]]":
        """A list of the rows of each partition."""
        return self._each(lambda rows: [rows])

    def distinct(self, numPartitions: Optional[int] = None) -> "RDD[T]":
        """Each row once."""
        return self._spread(lambda: dict.fromkeys(self._rows()), numPartitions)

    def sample(self, withReplacement: bool, fraction: float, seed: Optional[int] = None) -> "RDD[T]":
        """A random part of the rows."""
        chance = random.Random(seed)
        if not withReplacement:
            return self._each(lambda rows: [row for row in rows if chance.random() < fraction])
        return self._each(lambda rows: chance.choices(rows, k=round(len(rows) * fraction)) if rows else [])

    def randomSplit(self, weights: List[float], seed: Optional[int] = None) -> List["RDD[T]"]:
        """Several parts, by these weights."""
        total, chance = sum(weights), random.Random(seed)
        bounds = list(itertools.accumulate(weight / total for weight in weights))
        drawn = [(row, chance.random()) for row in self._rows()]
        least = [0.0] + bounds[:-1]

        def part(low: float, high: float) -> "RDD[T]":
            return self._spread(lambda: [row for row, at in drawn if low <= at < high])

        return [part(low, high) for low, high in zip(least, bounds[:-1] + [math.inf])]

    def union(self, other: "RDD[Any]") -> "RDD[Any]":
        """The rows of both."""
        return RDD(lambda: self._partitions + other._partitions, self.ctx)

    def intersection(self, other: "RDD[T]") -> "RDD[T]":
        """The rows that both have, each once."""

        def rows() -> Iterable[T]:
            others = set(other._rows())
            return [row for row in dict.fromkeys(self._rows()) if row in others]

        return self._spread(rows)

    def subtract(self, other: "RDD[T]", numPartitions: Optional[int] = None) -> "RDD[T]":
        """The rows that the other has not."""

        def rows() -> Iterable[T]:
            others = set(other._rows())
            return [row for row in self._rows() if row not in others]

        return self._spread(rows, numPartitions)

    def cartesian(self, other: "RDD[Any]") -> "RDD[Tuple[T, Any]]":
        """Each row with each of the other."""
        return self._each(lambda rows: itertools.product(rows, list(other._rows())))

    def zip(self, other: "RDD[Any]") -> "RDD[Tuple[T, Any]]":
        """Each row with the one at its place in the other."""

        def both(partitions: Partitions) -> Partitions:
            others = other._partitions
            if [len(rows) for rows in partitions] != [len(rows) for rows in others]:
                raise ValueError("Can only zip with RDD which has the same number of partitions and rows")
            return [list(zip(a, b)) for a, b in zip(partitions, others)]

        return self._then(both)

    def zipWithIndex(self) -> "RDD[Tuple[T, int]]":
        """Each row with its number."""

        def numbered(partitions: Partitions) -> Partitions:
            numbers = itertools.count()
            return [[(row, next(numbers)) for row in rows] for rows in partitions]

        return self._then(numbered)

    def zipWithUniqueId(self) -> "RDD[Tuple[T, int]]":
        """Each row with a number that no other one has."""

        def numbered(partitions: Partitions) -> Partitions:
            step = len(partitions)
            return [[(row, at + n * step) for n, row in enumerate(rows)] for at, rows in enumerate(partitions)]

        return self._then(numbered)

    def sortBy(
        self, keyfunc: Callable[[T], Any], ascending: bool = True, numPartitions: Optional[int] = None
    ) -> "RDD[T]":
        """The rows in the order of what ``keyfunc`` makes of them."""
        return self._spread(lambda: sorted(self._rows(), key=keyfunc, reverse=not ascending), numPartitions)

    def repartition(self, numPartitions: int) -> "RDD[T]":
        """The rows in so many partitions."""
        return self._spread(self._rows, numPartitions)

    def coalesce(self, numPartitions: int, shuffle: bool = False) -> "RDD[T]":
        """The rows in so many partitions at most."""
        return self._spread(self._rows, min(numPartitions, max(len(self._partitions), 1)))

    def groupBy(
        self, f: Callable[[T], Any], numPartitions: Optional[int] = None, partitionFunc: Any = None
    ) -> "RDD[Tuple[Any, List[T]]]":
        """The rows for each thing that ``f`` makes of them."""
        return self.map(lambda row: (f(row), row)).groupByKey(numPartitions)

    def keyBy(self, f: Callable[[T], Any]) -> "RDD[Tuple[Any, T]]":
        """Each row with what ``f`` makes of it as its key."""
        return self.map(lambda row: (f(row), row))

    # ---- pairs --------------------------------------------------------------------------------------------------

    def keys(self) -> "RDD[Any]":
        """The keys."""
        return self.map(lambda pair: pair[0])  # type: ignore[index]

    def values(self) -> "RDD[Any]":
        """The values."""
        return self.map(lambda pair: pair[1])  # type: ignore[index]

    def mapValues(self, f: Callable[[Any], Any]) -> "RDD[Any]":
        """Each key with what ``f`` makes of its value."""
        return self.map(lambda pair: (pair[0], f(pair[1])))  # type: ignore[index]

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> "RDD[Any]":
        """Each key with all that is in what ``f`` makes of its value."""
        return self.flatMap(lambda pair: ((pair[0], made) for made in f(pair[1])))  # type: ignore[index]

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: Optional[int] = None,
        partitionFunc: Any = None,
    ) -> "RDD[Tuple[Any, Any]]":
        """The values of each key as one of another kind."""

        def rows() -> Iterable[Tuple[Any, Any]]:
            combined: Dict[Any, Any] = {}
            for key, value in self._rows():
                combined[key] = mergeValue(combined[key], value) if key in combined else createCombiner(value)
            return combined.items()

        return self._spread(rows, numPartitions)

    def reduceByKey(
        self, func: Callable[[Any, Any], Any], numPartitions: Optional[int] = None, partitionFunc: Any = None
    ) -> "RDD[Tuple[Any, Any]]":
        """The values of each key as one."""
        return self.combineByKey(lambda value: value, func, func, numPartitions)

    def reduceByKeyLocally(self, func: Callable[[Any, Any], Any]) -> Dict[Any, Any]:
        """As :meth:`reduceByKey`, as a dict."""
        return dict(self.reduceByKey(func)._rows())

    def foldByKey(
        self,
        zeroValue: Any,
        func: Callable[[Any, Any], Any],
        numPartitions: Optional[int] = None,
        partitionFunc: Any = None,
    ) -> "RDD[Tuple[Any, Any]]":
        """As :meth:`reduceByKey`, beginning with ``zeroValue``."""
        return self.combineByKey(lambda value: func(zeroValue, value), func, func, numPartitions)

    def aggregateByKey(
        self,
        zeroValue: Any,
        seqFunc: Callable[[Any, Any], Any],
        combFunc: Callable[[Any, Any], Any],
        numPartitions: Optional[int] = None,
        partitionFunc: Any = None,
    ) -> "RDD[Tuple[Any, Any]]":
        """The values of each key as one of another kind, beginning with a copy of ``zeroValue``."""
        import copy

        return self.combineByKey(
            lambda value: seqFunc(copy.deepcopy(zeroValue), value), seqFunc, combFunc, numPartitions
        )

    def groupByKey(
        self, numPartitions: Optional[int] = None, partitionFunc: Any = None
    ) -> "RDD[Tuple[Any, List[Any]]]":
        """A list of the values of each key."""

        def rows() -> Iterable[Tuple[Any, List[Any]]]:
            groups: Dict[Any, List[Any]] = defaultdict(list)
            for key, value in self._rows():
                groups[key].append(value)
            return groups.items()

        return self._spread(rows, numPartitions)

    def _groups(self) -> Dict[Any, List[Any]]:
        return dict(self.groupByKey()._rows())

    def cogroup(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """For each key the values here, and those of the other."""
        return self.groupWith(other)

    def groupWith(self, other: "RDD[Any]", *others: "RDD[Any]") -> "RDD[Any]":
        """For each key the values in each RDD."""

        def rows() -> Iterable[Tuple[Any, Tuple[List[Any], ...]]]:
            sides = [rdd._groups() for rdd in (self, other) + others]
            keys = dict.fromkeys(itertools.chain.from_iterable(sides))
            return [(key, tuple(side.get(key, []) for side in sides)) for key in keys]

        return self._spread(rows)

    def _joined(self, other: "RDD[Any]", left: bool, right: bool) -> "RDD[Any]":
        def pairs(row: Tuple[Any, Tuple[List[Any], List[Any]]]) -> Iterable[Any]:
            key, (a, b) = row
            return [(key, both) for both in itertools.product(a or [None] * right, b or [None] * left)]

        return self.cogroup(other).flatMap(pairs)

    def join(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """The values of both for each key that both have."""
        return self._joined(other, False, False)

    def leftOuterJoin(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """As :meth:`join`, with None where the other has no value."""
        return self._joined(other, True, False)

    def rightOuterJoin(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """As :meth:`join`, with None where this one has no value."""
        return self._joined(other, False, True)

    def fullOuterJoin(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """As :meth:`join`, with None where one has no value."""
        return self._joined(other, True, True)

    def subtractByKey(self, other: "RDD[Any]", numPartitions: Optional[int] = None) -> "RDD[Any]":
        """The pairs whose keys the other has not."""

        def rows() -> Iterable[Any]:
            keys = {key for key, _ in other._rows()}
            return [pair for pair in self._rows() if pair[0] not in keys]

        return self._spread(rows, numPartitions)

    def partitionBy(self, numPartitions: int, partitionFunc: Callable[[Any], int] = hash) -> "RDD[Any]":
        """The pairs, each in the partition of its key."""

        def placed(partitions: Partitions) -> Partitions:
            made: Partitions = [[] for _ in range(numPartitions)]
            for pair in itertools.chain.from_iterable(partitions):
                made[partitionFunc(pair[0]) % numPartitions].append(pair)
            return made

        return self._then(placed)

    def repartitionAndSortWithinPartitions(
        self,
        numPartitions: Optional[int] = None,
        partitionFunc: Callable[[Any], int] = hash,
        ascending: bool = True,
        keyfunc: Callable[[Any], Any] = lambda key: key,
    ) -> "RDD[Any]":
        """As :meth:`partitionBy`, in the order of keys."""
        placed = self.partitionBy(numPartitions or max(len(self._partitions), 1), partitionFunc)
        return placed._each(lambda rows: sorted(rows, key=lambda pair: keyfunc(pair[0]), reverse=not ascending))

    def sortByKey(
        self,
        ascending: bool = True,
        numPartitions: Optional[int] = None,
        keyfunc: Callable[[Any], Any] = lambda key: key,
    ) -> "RDD[Any]":
        """The pairs in the order of their keys."""
        return self.sortBy(lambda pair: keyfunc(pair[0]), ascending, numPartitions)  # type: ignore[index]

    # ---- answers ------------------------------------------------------------------------------------------------

    def collect(self) -> List[T]:
        """All rows."""
        return list(self._rows())

    def collectWithJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> List[T]:
        """As :meth:`collect`: there are no jobs."""
        return self.collect()

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Iterator[T]:
        """All rows, one by one."""
        return self._rows()

    def collectAsMap(self) -> Dict[Any, Any]:
        """The pairs as a dict."""
        return dict(self._rows())

    def count(self) -> int:
        """How many rows there are."""
        return sum(len(rows) for rows in self._partitions)

    def isEmpty(self) -> bool:
        """Whether there are none."""
        return self.count() == 0

    def take(self, num: int) -> List[T]:
        """The first rows."""
        return list(itertools.islice(self._rows(), num))

    def first(self) -> T:
        """The first row."""
        for row in self._rows():
            return row
        raise ValueError("RDD is empty")

    def top(self, num: int, key: Optional[Callable[[T], Any]] = None) -> List[T]:
        """The greatest rows, greatest first."""
        return heapq.nlargest(num, self._rows(), key)

    def takeOrdered(self, num: int, key: Optional[Callable[[T], Any]] = None) -> List[T]:
        """The least rows, least first."""
        return heapq.nsmallest(num, self._rows(), key)

    def takeSample(self, withReplacement: bool, num: int, seed: Optional[int] = None) -> List[T]:
        """So many random rows."""
        rows, chance = self.collect(), random.Random(seed)
        if withReplacement:
            return chance.choices(rows, k=num) if rows else []
        return chance.sample(rows, min(num, len(rows)))

    def foreach(self, f: Callable[[T], None]) -> None:
        """Calls ``f`` with each row."""
        for row in self._rows():
            f(row)

    def foreachPartition(self, f: Callable[[Iterator[T]], Any]) -> None:
        """Calls ``f`` with the rows of each partition."""
        for rows in self._partitions:
            made = f(iter(rows))
            if made is not None and hasattr(made, "__next__"):
                for _ in made:
                    pass

    def reduce(self, f: Callable[[T, T], T]) -> T:
        """All rows as one."""
        rows = self.collect()
        if not rows:
            raise ValueError("Can not reduce() empty RDD")
        return functools.reduce(f, rows)

    def treeReduce(self, f: Callable[[T, T], T], depth: int = 2) -> T:
        """As :meth:`reduce`."""
        return self.reduce(f)

    def fold(self, zeroValue: T, op: Callable[[T, T], T]) -> T:
        """All rows as one, beginning with ``zeroValue`` in each partition and once more."""
        return functools.reduce(op, [functools.reduce(op, rows, zeroValue) for rows in self._partitions], zeroValue)

    def aggregate(self, zeroValue: Any, seqOp: Callable[[Any, T], Any], combOp: Callable[[Any, Any], Any]) -> Any:
        """All rows as one of another kind."""
        import copy

        parts = [functools.reduce(seqOp, rows, copy.deepcopy(zeroValue)) for rows in self._partitions]
        return functools.reduce(combOp, parts, zeroValue)

    def treeAggregate(
        self, zeroValue: Any, seqOp: Callable[[Any, T], Any], combOp: Callable[[Any, Any], Any], depth: int = 2
    ) -> Any:
        """As :meth:`aggregate`."""
        return self.aggregate(zeroValue, seqOp, combOp)

    def countByValue(self) -> Dict[T, int]:
        """How often each row occurs."""
        counts: Dict[T, int] = defaultdict(int)
        for row in self._rows():
            counts[row] += 1
        return counts

    def countByKey(self) -> Dict[Any, int]:
        """How often each key occurs."""
        return self.keys().countByValue()

    def lookup(self, key: Any) -> List[Any]:
        """The values of a key."""
        return [value for known, value in self._rows() if known == key]

    def max(self, key: Optional[Callable[[T], Any]] = None) -> T:
        """The greatest row."""
        return max(self._rows(), key=key)  # type: ignore[type-var]

    def min(self, key: Optional[Callable[[T], Any]] = None) -> T:
        """The least row."""
        return min(self._rows(), key=key)  # type: ignore[type-var]

    def sum(self) -> Any:
        """The sum of the rows."""
        return sum(self._rows())

    def stats(self) -> "StatCounter":
        """Count, mean, variance, least and greatest."""
        return StatCounter(self._rows())

    def mean(self) -> float:
        """The mean of the rows."""
        return self.stats().mean()

    def variance(self) -> float:
        """The variance of the rows."""
        return self.stats().variance()

    def stdev(self) -> float:
        """The standard deviation of the rows."""
        return self.stats().stdev()

    def sampleVariance(self) -> float:
        """The variance, of a sample."""
        return self.stats().sampleVariance()

    def sampleStdev(self) -> float:
        """The standard deviation, of a sample."""
        return self.stats().sampleStdev()

    def histogram(self, buckets: Any) -> Tuple[List[Any], List[int]]:
        """How many rows are in each of so many parts of their range, or between these bounds."""
        rows = self.collect()
        if isinstance(buckets, int):
            if not rows:
                raise ValueError("can not generate buckets from empty RDD")
            low, high = min(rows), max(rows)  # type: ignore[type-var]
            if low == high or buckets == 1:
                return [low, high], [len(rows)]
            step = (high - low) / buckets  # type: ignore[operator]
            bounds = [low + step * n for n in range(buckets)] + [high]  # type: ignore[operator]
        else:
            bounds = list(buckets)
        counts = [0] * (len(bounds) - 1)
        for row in rows:
            if bounds[0] <= row <= bounds[-1]:
                counts[min(bisect.bisect_right(bounds, row) - 1, len(counts) - 1)] += 1
        return bounds, counts

    def saveAsTextFile(self, path: str, compressionCodecClass: Optional[str] = None) -> None:
        """Writes a folder with a file for each partition, and an empty file ``_SUCCESS`` at last."""
        if compressionCodecClass is not None:
            missing("RDD.saveAsTextFile(compressionCodecClass)", "compress the files afterwards")
        os.makedirs(path)
        for number, rows in enumerate(self._partitions):
            with open(os.path.join(path, f"part-{number:05}"), "wb") as file:
                for row in rows:
                    text = row if isinstance(row, bytes) else str(row).encode()
                    file.write(text + b"\n")
        with open(os.path.join(path, "_SUCCESS"), "wb"):
            pass


class StatCounter:
    """Count, mean, variance, least and greatest of numbers."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        rows = list(values)
        self.n = len(rows)
        self.mu = math.fsum(rows) / self.n if rows else 0.0
        self.m2 = math.fsum((row - self.mu) ** 2 for row in rows)
        self.maxValue = max(rows, default=-math.inf)
        self.minValue = min(rows, default=math.inf)

    def count(self) -> int:
        """How many there are."""
        return self.n

    def mean(self) -> float:
        """Their mean."""
        return self.mu

    def sum(self) -> float:
        """Their sum."""
        return self.n * self.mu

    def min(self) -> float:
        """The least."""
        return self.minValue

    def max(self) -> float:
        """The greatest."""
        return self.maxValue

    def variance(self) -> float:
        """Their variance."""
        return self.m2 / self.n if self.n else math.nan

    def sampleVariance(self) -> float:
        """Their variance, if they are a sample."""
        return self.m2 / (self.n - 1) if self.n > 1 else math.nan

    def stdev(self) -> float:
        """Their standard deviation."""
        return math.sqrt(self.variance())

    def sampleStdev(self) -> float:
        """Their standard deviation, if they are a sample."""
        return math.sqrt(self.sampleVariance())

    def __repr__(self) -> str:
        return "(count: %s, mean: %s, stdev: %s, max: %s, min: %s)" % (
            self.n,
            self.mu,
            self.stdev(),
            self.maxValue,
            self.minValue,
        )


def spread(rows: List[Any], partitions: int) -> Partitions:
    """Rows in so many partitions, in order, of about the same size."""
    count = len(rows)
    bounds = [count * n // partitions for n in range(partitions + 1)]
    return [rows[low:high] for low, high in zip(bounds, bounds[1:])]


def rows_of(rows: Any) -> List[Any]:
    """The rows of an RDD, or of anything that can be iterated over."""
    return rows.collect() if isinstance(rows, RDD) else list(rows)
