"""Settings of a program.

``tidegate.<flag>`` is the flag of that name: ``tidegate.bootstrap`` is ``--bootstrap`` (docs/operations.md lists them, with the environment
variables that set them too), and ``tidegate.kafka.<property>`` a property of the Kafka client. Of Spark's settings those have an effect that
``docs/python.md`` lists; a warning names any other one.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from tidegate._missing import missing

__all__ = ["SparkConf"]


class SparkConf:
    """The settings of a program, with PySpark's methods."""

    def __init__(self, loadDefaults: bool = True, _jvm: object = None, _jconf: object = None) -> None:
        self._settings: Dict[str, str] = {}

    def set(self, key: str, value: object) -> "SparkConf":
        """Sets one."""
        self._settings[key] = _text(value)
        return self

    def setIfMissing(self, key: str, value: object) -> "SparkConf":
        """Sets one that is not set yet."""
        self._settings.setdefault(key, _text(value))
        return self

    def setMaster(self, value: str) -> "SparkConf":
        """``local[n]`` is n worker threads. There is no cluster: several processes of one program share its work."""
        return self.set("spark.master", value)

    def setAppName(self, value: str) -> "SparkConf":
        """The name of the application: the consumer group, and the prefix of its topics."""
        return self.set("spark.app.name", value)

    def setSparkHome(self, value: str) -> "SparkConf":
        """Has no effect: there is no Spark."""
        return self.set("spark.home", value)

    def setExecutorEnv(
        self, key: Optional[str] = None, value: Optional[str] = None, pairs: Optional[List[Tuple[str, str]]] = None
    ) -> "SparkConf":
        """Not supported."""
        missing("SparkConf.setExecutorEnv", "there are no executors: set os.environ")

    def setAll(self, pairs: List[Tuple[str, str]]) -> "SparkConf":
        """Sets several."""
        for key, value in pairs:
            self.set(key, value)
        return self

    def get(self, key: str, defaultValue: Optional[str] = None) -> Optional[str]:
        """What is set, or the default."""
        return self._settings.get(key, defaultValue)

    def getAll(self) -> List[Tuple[str, str]]:
        """All that are set."""
        return list(self._settings.items())

    def contains(self, key: str) -> bool:
        """Whether it is set."""
        return key in self._settings

    def toDebugString(self) -> str:
        """All that are set, a line for each."""
        return "\n".join("%s=%s" % pair for pair in sorted(self._settings.items()))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
