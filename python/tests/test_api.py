"""Every name of PySpark is here with the same arguments, or says what to write instead; the table of docs/python.md says which."""

import inspect
import os
import pathlib
import re
import unittest

import tidegate.pyspark as ours
import tidegate.pyspark.streaming as streaming
from tidegate.pyspark import context, rdd
from tidegate.pyspark import broadcast
from tidegate.pyspark.sql import session
from tidegate.pyspark.streaming import context as streaming_context, dstream

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "golden" / "pyspark-api.txt"
DOCS = HERE.parent.parent / "docs" / "python.md"

OWNERS = {
    "StreamingContext": (streaming.StreamingContext, streaming_context.MISSING),
    "DStream": (streaming.DStream, dstream.MISSING),
    "StreamingListener": (streaming.StreamingListener, {}),
    "SparkContext": (ours.SparkContext, context.MISSING),
    "SparkConf": (ours.SparkConf, {"setExecutorEnv": "there are no executors: set `os.environ`"}),
    "RDD": (ours.RDD, rdd.MISSING),
    "Broadcast": (ours.Broadcast, broadcast.MISSING),
    "Accumulator": (ours.Accumulator, {}),
    "AccumulatorParam": (ours.AccumulatorParam, {}),
    "StorageLevel": (ours.StorageLevel, {}),
    "SparkSession": (ours.SparkSession, session.MISSING),
    "SparkSession.Builder": (
        ours.SparkSession.Builder,
        {"enableHiveSupport": "there is no Hive: leave it out", "remote": "there is no server: leave it out", "create": "a process has one session: use `getOrCreate`"},
    ),
}
#: Classes that only the engine makes.
MADE = {"DStream", "RDD", "Broadcast", "SparkSession", "Accumulator", "AccumulatorParam"}
#: What differs, where it is not refused.
NOTES = {
    "StreamingContext.getOrCreate": "the function is always called; state is found again by its name",
    "StreamingContext.getActiveOrCreate": "as `getOrCreate`",
    "StreamingContext.queueStream": "lists work too",
    "StreamingContext.socketTextStream": "lines survive a crash, except at levels in memory alone",
    "StreamingContext.remember": "for `slice`, of each stream that the program holds in a variable",
    "StreamingContext.transform": "all rows of a batch come to one task",
    "StreamingContext.start": "a program with a mistake is refused as a whole",
    "DStream.cache": "no effect: a stream is computed once",
    "DStream.persist": "no effect: a stream is computed once",
    "DStream.checkpoint": "no effect: state is durable with each batch",
    "DStream.groupByKey": "values are a list",
    "DStream.cogroup": "values are lists",
    "DStream.groupByKeyAndWindow": "values are a list",
    "DStream.partitionBy": "without `partitionFunc`",
    "DStream.repartition": "at most as many as there are state partitions",
    "DStream.slice": "after `StreamingContext.remember`, or of a stream that was `remembered()`",
    "DStream.transform": "all rows of a batch come to one task",
    "DStream.transformWith": "all rows of a batch come to one task",
    "DStream.saveAsTextFiles": "exactly once; a batch without rows writes nothing",
    "DStream.foreachRDD": "before the commit: at least once",
    "DStream.reduceByKeyAndWindow": "as in PySpark, `invFunc` is used from five slides on",
    "DStream.reduceByWindow": "as in PySpark, `invReduceFunc` is used from five slides on",
    "DStream.countByWindow": "0 where there are no rows",
    "SparkContext.setLogLevel": "no effect once the log is set up",
    "SparkContext.setCheckpointDir": "as in PySpark, for streams without a checkpoint directory of their own: nothing is found again there",
    "SparkContext.setLocalProperty": "no effect",
    "SparkConf.setMaster": "`local[n]`: n worker threads; there is no cluster",
    "SparkConf.setSparkHome": "no effect",
    "RDD.cache": "no effect",
    "RDD.persist": "no effect",
    "RDD.unpersist": "no effect",
    "RDD.checkpoint": "no effect",
    "RDD.localCheckpoint": "no effect",
    "RDD.groupByKey": "values are a list",
    "RDD.cogroup": "values are lists",
    "RDD.groupWith": "values are lists",
    "RDD.groupBy": "values are a list",
    "Broadcast.unpersist": "no effect",
}


def recorded():
    for line in GOLDEN.read_text().splitlines()[1:]:
        name, _, arguments = line.partition("(")
        yield name, arguments.rstrip(")").split(", ") if arguments not in ("", ")") else []


def state_of(name):
    """`yes`, `yes: ...` or `no: ...`."""
    if name.startswith("pyspark."):
        module, _, last = name.rpartition(".")
        if last in ours.MISSING:
            return f"no: {ours.MISSING[last]}"
        found = getattr(streaming if module.endswith("streaming") else ours, last, None)
        return "yes" if found is not None else "unknown"
    owner, _, member = name.rpartition(".")
    if name in OWNERS:
        return "yes"
    kind, missing = OWNERS[owner]
    if member in missing:
        return f"no: {missing[member]}"
    if not has(kind, member):
        return "unknown"
    note = NOTES.get(name)
    return f"yes: {note}" if note else "yes"


def has(kind, member):
    return hasattr(kind, member) or (kind, member) in [(ours.RDD, "ctx")]


def table():
    rows = ["| name in PySpark 3.5 | state |", "|---|---|"]
    rows += [f"| `{name}` | {state_of(name)} |" for name, _ in recorded()]
    return "\n".join(rows)


class Api(unittest.TestCase):
    def test_every_name_is_here_or_says_what_to_write(self):
        unknown = [name for name, _ in recorded() if state_of(name) == "unknown"]
        self.assertEqual(unknown, [])

    def test_arguments_have_the_names_and_places_of_pyspark(self):
        wrong = []
        for name, arguments in recorded():
            owner, _, member = name.rpartition(".")
            if name.startswith("pyspark.") or state_of(name).startswith("no"):
                continue
            if name in OWNERS:
                if name in MADE:
                    continue
                found = OWNERS[name][0].__init__
            else:
                found = getattr(OWNERS[owner][0], member)
            if not callable(found):
                continue
            parameters = [p for p in inspect.signature(found).parameters.values() if p.name not in ("self", "cls")]
            got = [p.name if p.default is p.empty else p.name + "=" for p in parameters]
            if got[: len(arguments)] != arguments:
                wrong.append(f"{name}: {got}, PySpark has {arguments}")
        self.assertEqual(wrong, [])

    def test_what_is_missing_says_what_to_write(self):
        for owner, (kind, missing) in OWNERS.items():
            for member, instead in missing.items():
                if owner in ("SparkConf", "SparkSession.Builder"):
                    continue
                bare = object.__new__(kind)
                with self.assertRaises(NotImplementedError) as caught:
                    getattr(bare, member)
                self.assertIn(instead, str(caught.exception))
        for name in ours.MISSING:
            with self.assertRaises(ImportError) as caught:
                exec(f"from tidegate.pyspark import {name}")
            self.assertIn(ours.MISSING[name], str(caught.exception))
        with self.assertRaises(AttributeError):
            object.__new__(ours.RDD).no_such_name  # noqa: B018

    def test_the_table_of_the_documentation_is_true(self):
        text = DOCS.read_text()
        found = re.search(r"<!-- names -->\n(.*)\n<!-- end of names -->", text, re.S)
        self.assertIsNotNone(found)
        if "UPDATE_EXPECT" in os.environ:
            DOCS.write_text(text.replace(found.group(1), table()))
        else:
            self.assertEqual(found.group(1), table())

    def test_what_is_public_is_documented(self):
        bare = []
        for owner, (kind, _) in OWNERS.items():
            for member, value in vars(kind).items():
                if not member.startswith("_") and callable(value) and not inspect.getdoc(value):
                    bare.append(f"{owner}.{member}")
        self.assertEqual(bare, [])


if __name__ == "__main__":
    unittest.main()
