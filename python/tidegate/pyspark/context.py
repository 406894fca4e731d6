"""Where a program begins: its name, its settings, and what its functions read."""

from __future__ import annotations

import getpass
import os
import sys
import threading
import time
import warnings
from typing import Any, Dict, Iterable, List, Optional, Tuple, TypeVar

from tidegate import _tidegate
from tidegate._missing import missing_attribute
from tidegate.pyspark.accumulators import Accumulator, AccumulatorParam, _Plus
from tidegate.pyspark.broadcast import Broadcast
from tidegate.pyspark.conf import SparkConf
from tidegate.pyspark.rdd import RDD, spread

T = TypeVar("T")

__all__ = ["SparkContext"]

#: What PySpark's SparkContext has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "addArchive": "there are no executors: unpack it yourself",
    "addFile": "there are no executors: open the file where it is",
    "addJobTag": "there are no jobs: leave it out",
    "addPyFile": "there are no executors: put its folder into `sys.path`",
    "binaryFiles": "read the files yourself, and pass the rows to `parallelize`",
    "binaryRecords": "read the file yourself, and pass the rows to `parallelize`",
    "cancelAllJobs": "there are no jobs: use `StreamingContext.stop`",
    "cancelJobGroup": "there are no jobs: use `StreamingContext.stop`",
    "cancelJobsWithTag": "there are no jobs: use `StreamingContext.stop`",
    "clearJobTags": "there are no jobs: leave it out",
    "dump_profiles": "use a profiler of the whole process, such as py-spy",
    "getJobTags": "there are no jobs: leave it out",
    "hadoopFile": "read the files yourself, and pass the rows to `parallelize`",
    "hadoopRDD": "read the files yourself, and pass the rows to `parallelize`",
    "listArchives": "there are no executors: leave it out",
    "listFiles": "there are no executors: leave it out",
    "newAPIHadoopFile": "read the files yourself, and pass the rows to `parallelize`",
    "newAPIHadoopRDD": "read the files yourself, and pass the rows to `parallelize`",
    "pickleFile": "use `textFile` with `json.loads`",
    "removeJobTag": "there are no jobs: leave it out",
    "resources": "there are no executors: leave it out",
    "runJob": "use `rdd.mapPartitions(f).collect()`",
    "sequenceFile": "use `textFile`",
    "setInterruptOnCancel": "there are no jobs: leave it out",
    "setJobDescription": "there are no jobs: leave it out",
    "setJobGroup": "there are no jobs: leave it out",
    "setSystemProperty": "there is no Java: use `SparkConf.set`",
    "show_profiles": "use a profiler of the whole process, such as py-spy",
    "statusTracker": "use the streaming page, `sc.uiWebUrl`",
}

#: Settings of Spark that have an effect, with the setting that they are.
SPARK: Dict[str, str] = {
    "spark.streaming.backpressure.enabled": "backpressure",
    "spark.streaming.backpressure.initialRate": "initial_rate",
    "spark.streaming.kafka.maxRatePerPartition": "max_rate_per_partition",
    "spark.streaming.receiver.maxRate": "max_rate_per_partition",
}
_KNOWN = set(SPARK) | {"spark.app.name", "spark.master", "spark.home", "spark.streaming.stopGracefullyOnShutdown"}


class SparkContext:
    """The context of a program. There is no cluster: the program runs in this process."""

    _active_spark_context: Optional["SparkContext"] = None
    _lock = threading.RLock()
    PACKAGE_EXTENSIONS: Tuple[str, ...] = (".zip", ".egg", ".jar")

    def __init__(
        self,
        master: Optional[str] = None,
        appName: Optional[str] = None,
        sparkHome: Optional[str] = None,
        pyFiles: Optional[List[str]] = None,
        environment: Optional[Dict[str, Any]] = None,
        batchSize: int = 0,
        serializer: Any = None,
        conf: Optional[SparkConf] = None,
        gateway: Any = None,
        jsc: Any = None,
        profiler_cls: Any = None,
        udf_profiler_cls: Any = None,
        memory_profiler_cls: Any = None,
    ) -> None:
        with SparkContext._lock:
            if SparkContext._active_spark_context is not None:
                raise ValueError(
                    "Cannot run multiple SparkContexts at once; existing SparkContext(app=%s, master=%s)"
                    % (SparkContext._active_spark_context.appName, SparkContext._active_spark_context.master)
                )
            self._conf = SparkConf().setAll(conf.getAll()) if conf is not None else SparkConf()
            if master is not None:
                self._conf.setMaster(master)
            if appName is not None:
                self._conf.setAppName(appName)
            self._conf.setIfMissing("spark.master", "local[*]")
            self._conf.setIfMissing("spark.app.name", _default_name())
            self.master = self._conf.get("spark.master") or ""
            self.appName = self._conf.get("spark.app.name") or ""
            self.environment = environment or {}
            self._start_time = int(time.time() * 1000)
            self._accumulators = 0
            self._checkpoint_dir: Optional[str] = None
            self._properties: Dict[str, Optional[str]] = {}
            self._page: Optional[str] = None
            _warn_of_settings(self._conf)
            level = os.environ.get("TIDEGATE_LOG_LEVEL") or os.environ.get("RUST_LOG") or "warn"
            log_format = self._conf.get("tidegate.log-format") or os.environ.get("TIDEGATE_LOG_FORMAT") or "text"
            _tidegate.log_to_stderr(self._conf.get("tidegate.log-level", level) or level, log_format)
            SparkContext._active_spark_context = self

    def __getattr__(self, name: str) -> Any:
        missing_attribute("SparkContext", name, MISSING)

    def __repr__(self) -> str:
        return f"<SparkContext master={self.master} appName={self.appName}>"

    def __enter__(self) -> "SparkContext":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    @classmethod
    def getOrCreate(cls, conf: Optional[SparkConf] = None) -> "SparkContext":
        """The context of this process, which is made if there is none."""
        with SparkContext._lock:
            return SparkContext._active_spark_context or SparkContext(conf=conf)

    @property
    def version(self) -> str:
        """The version of the API that these names follow."""
        from tidegate.pyspark import __version__

        return __version__

    @property
    def applicationId(self) -> str:
        """The name of the application: the consumer group, and the prefix of its topics."""
        return _application_id(self._conf)

    @property
    def startTime(self) -> int:
        """When it was made, milliseconds since the epoch."""
        return self._start_time

    @property
    def uiWebUrl(self) -> Optional[str]:
        """The address of the streaming page, once a stream runs."""
        return self._page

    @property
    def defaultParallelism(self) -> int:
        """Worker threads."""
        return _threads(self.master) or os.cpu_count() or 1

    @property
    def defaultMinPartitions(self) -> int:
        """The partitions of a text file."""
        return min(self.defaultParallelism, 2)

    def getConf(self) -> SparkConf:
        """A copy of the settings."""
        return SparkConf().setAll(self._conf.getAll())

    def sparkUser(self) -> str:
        """Who runs the program."""
        return getpass.getuser()

    def setLogLevel(self, logLevel: str) -> None:
        """Has no effect once the log is set up: use ``TIDEGATE_LOG_LEVEL``, or the setting ``tidegate.log-level``."""
        if logLevel.upper() not in ("ALL", "DEBUG", "ERROR", "FATAL", "INFO", "OFF", "TRACE", "WARN"):
            raise ValueError(f"no log level is called {logLevel}")

    def setCheckpointDir(self, dirName: str) -> None:
        """Where streams that have no directory of their own (``StreamingContext.checkpoint``) keep their state while they run. Of RDDs it has no
        effect."""
        self._checkpoint_dir = dirName

    def getCheckpointDir(self) -> Optional[str]:
        """What :meth:`setCheckpointDir` was given."""
        return self._checkpoint_dir

    def setLocalProperty(self, key: str, value: Optional[str]) -> None:
        """Keeps it; nothing reads it."""
        self._properties[key] = value

    def getLocalProperty(self, key: str) -> Optional[str]:
        """What :meth:`setLocalProperty` kept."""
        return self._properties.get(key)

    def parallelize(self, c: Iterable[T], numSlices: Optional[int] = None) -> "RDD[T]":
        """The rows of a list."""
        rows = list(c)
        partitions = numSlices or self.defaultParallelism
        return RDD(lambda: spread(rows, partitions), self)

    def range(self, start: int, end: Optional[int] = None, step: int = 1, numSlices: Optional[int] = None) -> "RDD[int]":
        """Numbers."""
        return self.parallelize(range(start) if end is None else range(start, end, step), numSlices)

    def emptyRDD(self) -> "RDD[Any]":
        """No rows."""
        return RDD(lambda: [], self)

    def union(self, rdds: List["RDD[T]"]) -> "RDD[T]":
        """The rows of all of them."""
        return RDD(lambda: [rows for rdd in rdds for rows in rdd._partitions], self)

    def textFile(self, name: str, minPartitions: Optional[int] = None, use_unicode: bool = True) -> "RDD[Any]":
        """The lines of a file, or of the files of a folder."""

        def lines() -> List[List[Any]]:
            rows: List[Any] = []
            for path in _files(name):
                with open(path, "rb") as file:
                    rows.extend(line.rstrip(b"\r\n") for line in file)
            return spread(
                [row.decode() for row in rows] if use_unicode else rows, minPartitions or self.defaultMinPartitions
            )

        return RDD(lines, self)

    def wholeTextFiles(
        self, path: str, minPartitions: Optional[int] = None, use_unicode: bool = True
    ) -> "RDD[Tuple[str, Any]]":
        """The name and the text of each file of a folder."""

        def texts() -> List[List[Any]]:
            rows: List[Any] = []
            for file_path in _files(path):
                with open(file_path, "rb") as file:
                    text = file.read()
                rows.append((file_path, text.decode() if use_unicode else text))
            return spread(rows, minPartitions or self.defaultMinPartitions)

        return RDD(texts, self)

    def broadcast(self, value: T) -> "Broadcast[T]":
        """A value that all functions read."""
        return Broadcast(value)

    def accumulator(self, value: T, accum_param: Optional["AccumulatorParam[T]"] = None) -> "Accumulator[T]":
        """A number that functions add to."""
        self._accumulators += 1
        return Accumulator(self._accumulators, value, accum_param or _Plus())

    def stop(self) -> None:
        """Ends the context, and a stream that runs in it."""
        from tidegate.pyspark.streaming.context import StreamingContext

        active = StreamingContext.getActive()
        if active is not None and active.sparkContext is self:
            active.stop(stopSparkContext=False)
        with SparkContext._lock:
            if SparkContext._active_spark_context is self:
                SparkContext._active_spark_context = None


def _default_name() -> str:
    """The name of the program's file."""
    stem = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
    return stem or "pyspark-shell"


def _application_id(conf: SparkConf) -> str:
    given = conf.get("tidegate.application-id") or os.environ.get("TIDEGATE_APPLICATION_ID")
    name = given or conf.get("spark.app.name") or _default_name()
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[:100]


def _threads(master: str) -> Optional[int]:
    """The worker threads that ``local[n]`` asks for; None = one per core."""
    inside = master[len("local[") : -1].split(",")[0] if master.startswith("local[") and master.endswith("]") else ""
    if inside.isdigit():
        return int(inside)
    return 1 if master == "local" else None


def _files(path: str) -> List[str]:
    if path.startswith("file:"):
        path = path[len("file:") :]
        path = "/" + path.lstrip("/")
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if not name.startswith((".", "_")))
    return [os.path.join(path, name) for name in names if os.path.isfile(os.path.join(path, name))]


def _warn_of_settings(conf: SparkConf) -> None:
    """Names the settings that have no effect."""
    master = conf.get("spark.master") or ""
    if not master.startswith("local"):
        warnings.warn(
            f"master {master}: there is no cluster; the program runs in this process, and several processes of it share its work",
            stacklevel=3,
        )
    idle = sorted(key for key, _ in conf.getAll() if not key.startswith("tidegate.") and key not in _KNOWN)
    if idle:
        warnings.warn(f"settings without an effect in tidegate: {', '.join(idle)}", stacklevel=3)


def settings_of(conf: SparkConf, interval_seconds: float) -> Tuple[List[str], Dict[str, str]]:
    """The flags of a program, and the settings that have no flag."""
    flags = ["--application-id", _application_id(conf)]
    others = {"interval_ms": str(round(interval_seconds * 1000))}
    threads = _threads(conf.get("spark.master") or "")
    if threads is not None and conf.get("tidegate.threads") is None and "TIDEGATE_THREADS" not in os.environ:
        others["threads"] = str(threads)
    for key, value in conf.getAll():
        if key in SPARK:
            others[SPARK[key]] = value
        elif key == "tidegate.allow-pickle":
            others["allow_pickle"] = value
        elif key.startswith("tidegate.kafka."):
            flags += ["-X", f"{key[len('tidegate.kafka.'):]}={value}"]
        elif key.startswith("tidegate.") and key not in ("tidegate.application-id", "tidegate.log-level"):
            flag = "--" + key[len("tidegate.") :].replace("_", "-")
            flags += [flag] if value == "true" else [] if value == "false" else [f"{flag}={value}"]
    return flags, others
