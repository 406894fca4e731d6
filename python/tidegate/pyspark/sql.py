"""Where many programs begin today: a session. Of it there is what a program of DStreams takes, its SparkContext."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from tidegate._missing import missing, missing_attribute
from tidegate.pyspark.conf import SparkConf
from tidegate.pyspark.context import SparkContext

__all__ = ["SparkSession"]

_SQL = "write a script of SQL and run it with `tidegate run` (docs/sql.md), or use DStreams"

#: What PySpark's SparkSession has and this one has not, with what to write instead.
MISSING: Dict[str, str] = {
    "addArtifact": "the program runs in this process: put the folder into `sys.path`",
    "addArtifacts": "the program runs in this process: put the folders into `sys.path`",
    "addTag": "there are no jobs: leave it out",
    "catalog": _SQL,
    "clearTags": "there are no jobs: leave it out",
    "client": "there is no server: the program runs in this process",
    "copyFromLocalToFs": "use `shutil.copy`",
    "createDataFrame": "use `sparkContext.parallelize`",
    "getTags": "there are no jobs: leave it out",
    "interruptAll": "there are no jobs: use `StreamingContext.stop`",
    "interruptOperation": "there are no jobs: use `StreamingContext.stop`",
    "interruptTag": "there are no jobs: use `StreamingContext.stop`",
    "newSession": "a process has one session",
    "removeTag": "there are no jobs: leave it out",
    "range": "use `sparkContext.range`",
    "read": "use `sparkContext.textFile`",
    "readStream": _SQL,
    "sql": _SQL,
    "streams": _SQL,
    "table": _SQL,
    "stream": _SQL,
    "udf": "call the function in `DStream.map`",
    "udtf": "call the function in `DStream.flatMap`",
}


class SparkSession:
    """A session of this process."""

    _active: Optional["SparkSession"] = None

    class Builder:
        """Settings of a session."""

        def __init__(self) -> None:
            self._conf = SparkConf()

        def appName(self, name: str) -> "SparkSession.Builder":
            """The name of the application."""
            self._conf.setAppName(name)
            return self

        def master(self, master: str) -> "SparkSession.Builder":
            """``local[n]``: n worker threads."""
            self._conf.setMaster(master)
            return self

        def config(
            self,
            key: Optional[str] = None,
            value: Optional[Any] = None,
            conf: Optional[SparkConf] = None,
            *,
            map: Optional[Dict[str, Any]] = None,
        ) -> "SparkSession.Builder":
            """A setting, or several."""
            pairs: List[Tuple[str, Any]] = conf.getAll() if conf is not None else list((map or {}).items())
            for name, setting in pairs:
                self._conf.set(name, setting)
            if key is not None:
                self._conf.set(key, value)
            return self

        def enableHiveSupport(self) -> "SparkSession.Builder":
            """Not supported."""
            missing("SparkSession.builder.enableHiveSupport", "there is no Hive: leave it out")

        def create(self) -> "SparkSession":
            """Not supported."""
            missing("SparkSession.builder.create", "a process has one session: use `getOrCreate`")

        def remote(self, url: str) -> "SparkSession.Builder":
            """Not supported."""
            missing("SparkSession.builder.remote", "there is no server: the program runs in this process")

        def getOrCreate(self) -> "SparkSession":
            """The session of this process, which is made if there is none."""
            active = SparkSession._active
            if active is None or SparkContext._active_spark_context is not active.sparkContext:
                SparkSession._active = active = SparkSession(SparkContext.getOrCreate(self._conf))
            return active

    class _Builders:
        def __get__(self, *_: Any) -> "SparkSession.Builder":
            return SparkSession.Builder()

    builder = _Builders()

    def __init__(self, sparkContext: SparkContext, *_: Any, **__: Any) -> None:
        self._sc = sparkContext

    def __getattr__(self, name: str) -> Any:
        missing_attribute("SparkSession", name, MISSING)

    def __enter__(self) -> "SparkSession":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    @classmethod
    def getActiveSession(cls) -> Optional["SparkSession"]:
        """The session of this process, if there is one."""
        return cls._active

    @classmethod
    def active(cls) -> "SparkSession":
        """The session of this process."""
        if cls._active is None:
            raise RuntimeError("there is no session: SparkSession.builder.getOrCreate() makes one")
        return cls._active

    @property
    def sparkContext(self) -> SparkContext:
        """The context of the session."""
        return self._sc

    @property
    def version(self) -> str:
        """The version of the API that these names follow."""
        return self._sc.version

    @property
    def conf(self) -> SparkConf:
        """The settings of the session."""
        return self._sc._conf

    def stop(self) -> None:
        """Ends the session, and what runs in it."""
        self._sc.stop()
        SparkSession._active = None


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(f"{__name__}.{name} is not supported by tidegate\n  next: {_SQL}")
