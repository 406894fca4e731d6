"""Where rows are kept. A stream is computed once per batch however many operations read it, so a level changes nothing but where the
lines of a socket wait: in a topic of the log, or, at the levels in memory alone, in the process."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["StorageLevel"]


class StorageLevel:
    """A storage level, with PySpark's parts."""

    DISK_ONLY: ClassVar["StorageLevel"]
    DISK_ONLY_2: ClassVar["StorageLevel"]
    DISK_ONLY_3: ClassVar["StorageLevel"]
    MEMORY_AND_DISK: ClassVar["StorageLevel"]
    MEMORY_AND_DISK_2: ClassVar["StorageLevel"]
    MEMORY_AND_DISK_DESER: ClassVar["StorageLevel"]
    MEMORY_ONLY: ClassVar["StorageLevel"]
    MEMORY_ONLY_2: ClassVar["StorageLevel"]
    NONE: ClassVar["StorageLevel"]
    OFF_HEAP: ClassVar["StorageLevel"]

    def __init__(
        self, useDisk: bool, useMemory: bool, useOffHeap: bool, deserialized: bool, replication: int = 1
    ) -> None:
        self.useDisk = useDisk
        self.useMemory = useMemory
        self.useOffHeap = useOffHeap
        self.deserialized = deserialized
        self.replication = replication

    def _parts(self) -> tuple:
        return (self.useDisk, self.useMemory, self.useOffHeap, self.deserialized, self.replication)

    def __repr__(self) -> str:
        return "StorageLevel(%s, %s, %s, %s, %s)" % self._parts()

    def __str__(self) -> str:
        kinds = [(self.useDisk, "Disk "), (self.useMemory, "Memory "), (self.useOffHeap, "OffHeap ")]
        form = "Deserialized " if self.deserialized else "Serialized "
        return "".join(name for used, name in kinds if used) + form + "%sx Replicated" % self.replication

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageLevel) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())


StorageLevel.NONE = StorageLevel(False, False, False, False, 1)
StorageLevel.DISK_ONLY = StorageLevel(True, False, False, False, 1)
StorageLevel.DISK_ONLY_2 = StorageLevel(True, False, False, False, 2)
StorageLevel.DISK_ONLY_3 = StorageLevel(True, False, False, False, 3)
StorageLevel.MEMORY_ONLY = StorageLevel(False, True, False, False, 1)
StorageLevel.MEMORY_ONLY_2 = StorageLevel(False, True, False, False, 2)
StorageLevel.MEMORY_AND_DISK = StorageLevel(True, True, False, False, 1)
StorageLevel.MEMORY_AND_DISK_2 = StorageLevel(True, True, False, False, 2)
StorageLevel.MEMORY_AND_DISK_DESER = StorageLevel(True, True, False, True, 1)
StorageLevel.OFF_HEAP = StorageLevel(True, True, True, False, 1)
