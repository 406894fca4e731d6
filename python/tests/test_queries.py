"""Queries: what is written where, what is told of them, how they end and go on."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import uuid

from tidegate.pyspark.errors import AnalysisException, StreamingQueryException
from tidegate.pyspark.sql import Row, SparkSession
from tidegate.pyspark.sql import functions as F
from tidegate.pyspark.sql.streaming import StreamingQueryListener

try:
    import pandas  # noqa: F401
    import pyarrow
except ImportError:
    pyarrow = None

HERE = pathlib.Path(__file__)
needs_arrow = unittest.skipIf(pyarrow is None, "pyarrow or pandas is not installed")
TICKS = """CREATE TABLE {name} (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '{rows}',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1')"""


def session(**settings):
    builder = SparkSession.builder.appName("queries" + uuid.uuid4().hex).master("local[2]").config("tidegate.admin-bind", "off")
    builder = builder.config("tidegate.log-level", os.environ.get("TIDEGATE_LOG_LEVEL", "off"))
    for key, value in settings.items():
        builder = builder.config("tidegate." + key.replace("_", "-"), value)
    return builder.getOrCreate()


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come")
        time.sleep(0.02)


class Queries(unittest.TestCase):
    def setUp(self):
        self.spark = session()

    def tearDown(self):
        self.spark.stop()

    def ticks(self, rows=10):
        name = "t" + uuid.uuid4().hex
        self.spark.sql(TICKS.format(name=name, rows=rows))
        return self.spark.table(name)

    def test_rows_in_memory(self):
        counts = self.ticks().groupBy((F.col("n") % 2).alias("odd")).count()
        query = counts.writeStream.format("memory").queryName("odds").outputMode("complete").trigger(availableNow=True).start()
        self.assertIsNone(query.awaitTermination())
        rows = self.spark.table("odds")
        self.assertEqual(sorted(rows.collect()), [Row(odd=0, count=5), Row(odd=1, count=5)])
        self.assertEqual(rows.columns, ["odd", "count"])
        if pyarrow is not None:
            self.assertEqual(rows.toPandas().sort_values("odd")["count"].tolist(), [5, 5])
        self.assertFalse(query.isActive)
        self.assertIsNone(query.exception())

    def test_rows_in_memory_are_a_table(self):
        counts = self.ticks().groupBy((F.col("n") % 2).alias("odd")).count()
        query = counts.writeStream.format("memory").queryName("parities").outputMode("complete").trigger(availableNow=True).start()
        query.awaitTermination()
        self.assertEqual(self.spark.sql("SELECT count(*) AS rows FROM parities WHERE count = 5").collect(), [Row(rows=2)])
        self.assertEqual(self.spark.table("parities").orderBy("odd").select("odd").collect(), [Row(odd=0), Row(odd=1)])

    def test_files_that_are_there_are_available_now(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/a.json", "w") as file:
                file.write('{"word": "sea"}\n{"word": "tide"}\n{"word": "sea"}\n')
            counts = self.spark.readStream.schema("word STRING").json(folder).groupBy("word").count()
            query = counts.writeStream.format("memory").queryName("of_files").outputMode("complete").trigger(availableNow=True).start()
            query.awaitTermination()
            self.assertEqual(self.spark.sql("SELECT * FROM of_files ORDER BY count").collect(), [Row(word="tide", count=1), Row(word="sea", count=2)])

    def test_a_query_says_what_it_does(self):
        query = self.ticks(1000).writeStream.format("memory").queryName("told").start()
        until(lambda: query.lastProgress is not None)
        progress = query.lastProgress
        self.assertEqual(progress["name"], "told")
        self.assertEqual((progress["id"], progress["runId"]), (query.id, query.runId))
        self.assertGreater(progress["numInputRows"], 0)
        self.assertEqual((progress.numInputRows, progress.sources[0].description), (progress["numInputRows"], progress["sources"][0]["description"]))
        self.assertEqual(set(progress["durationMs"]) - {"queryPlanning"}, {"addBatch", "walCommit", "commitOffsets", "triggerExecution"})
        self.assertGreater(len(query.recentProgress), 0)
        self.assertEqual(set(query.status), {"message", "isDataAvailable", "isTriggerActive"})
        self.assertEqual([q.id for q in self.spark.streams.active], [query.id])
        self.assertEqual(self.spark.streams.get(query.id).name, "told")
        self.assertIs(query.awaitTermination(0.01), False)
        query.stop()
        self.assertIs(query.awaitTermination(10), True)
        self.assertEqual(query.status["message"], "Stopped")
        self.assertEqual(self.spark.streams.active, [])
        self.assertIs(self.spark.streams.awaitAnyTermination(5), True)
        self.spark.streams.resetTerminated()
        self.assertIs(self.spark.streams.awaitAnyTermination(0.1), False)

    def test_a_function_is_given_each_batch(self):
        got = {}

        def keep(rows, number):
            self.assertFalse(rows.isStreaming)
            got[number] = rows.collect()

        query = self.ticks(50).writeStream.queryName("kept").foreachBatch(keep).trigger(availableNow=True).start()
        query.awaitTermination()
        rows = [row.n for number in sorted(got) for row in got[number]]
        self.assertEqual(rows, list(range(1, 51)))

    @needs_arrow
    def test_batches_are_arrow(self):
        got = []
        query = self.ticks(3).select("n", F.lit("x").alias("s")).writeStream.queryName("arrow")
        query.foreachBatch(lambda rows, _: got.append((rows.toArrow(), pyarrow.table(rows), rows.toPandas()))).trigger(availableNow=True).start().awaitTermination()
        tables = pyarrow.concat_tables([arrow for arrow, _, _ in got])
        self.assertEqual(tables.to_pydict(), {"n": [1, 2, 3], "s": ["x"] * 3})
        self.assertEqual(pyarrow.concat_tables([stream for _, stream, _ in got]), tables)
        self.assertEqual(sum(len(frame) for _, _, frame in got), 3)

    def test_rows_are_given_one_by_one(self):
        got, calls = [], []
        self.ticks(5).writeStream.queryName("f").foreach(lambda row: got.append(row.n)).trigger(availableNow=True).start().awaitTermination()

        class Writer:
            def open(self, partition, epoch):
                calls.append("open")
                return True

            def process(self, row):
                calls.append(row.n)

            def close(self, error):
                calls.append(f"close {error}")

        self.ticks(2).writeStream.queryName("w").foreach(Writer()).trigger(availableNow=True).start().awaitTermination()
        self.assertEqual(sorted(got), [1, 2, 3, 4, 5])
        self.assertEqual([call for call in calls if isinstance(call, int)], [1, 2])
        self.assertEqual((calls[0], calls[-1]), ("open", "close None"))

    def test_what_a_function_raises_ends_the_query_with_its_traceback(self):
        def fails(rows, number):
            1 / 0  # this line

        query = self.ticks().writeStream.queryName("fails").foreachBatch(fails).start()
        with self.assertRaises(StreamingQueryException) as caught:
            query.awaitTermination()
        line = next(n for n, text in enumerate(HERE.read_text().splitlines(), 1) if "# this line" in text)
        told = str(caught.exception)
        self.assertIn("ZeroDivisionError: division by zero", told)
        self.assertIn(f'{HERE.name}", line {line}, in fails', told)
        self.assertIn("foreachBatch", told)
        self.assertIsInstance(query.exception(), StreamingQueryException)
        self.assertIn("ZeroDivisionError", query.status["message"])
        query.stop()  # does not raise

    def test_a_function_may_stop_its_query(self):
        query = None
        started = threading.Event()

        def stops(rows, number):
            started.wait(10)
            query.stop()

        query = self.ticks(1000).writeStream.queryName("stops").foreachBatch(stops).start()
        started.set()
        self.assertIs(query.awaitTermination(30), True)

    def test_listeners_are_told_in_order(self):
        events = []

        class Listener(StreamingQueryListener):
            def onQueryStarted(self, event):
                events.append(("started", event.name, event.id))

            def onQueryProgress(self, event):
                events.append(("progress", event.progress.name, event.progress.numInputRows, event.progress.sink.description))

            def onQueryTerminated(self, event):
                events.append(("terminated", event.id, event.exception))

        listener = Listener()
        self.spark.streams.addListener(listener)
        query = self.ticks(7).writeStream.format("memory").queryName("heard").trigger(availableNow=True).start()
        query.awaitTermination()
        until(lambda: events[-1][0] == "terminated")
        self.assertEqual(events[0], ("started", "heard", query.id))
        self.assertEqual(sum(event[2] for event in events if event[0] == "progress"), 7)
        self.assertEqual(events[1][3], "memory")
        self.assertEqual(events[-1], ("terminated", query.id, None))
        self.spark.streams.removeListener(listener)
        count = len(events)
        self.ticks(1).writeStream.format("memory").queryName("unheard").trigger(availableNow=True).start().awaitTermination()
        self.assertEqual(len(events), count)

    def test_files_are_read_and_written(self):
        with tempfile.TemporaryDirectory() as folder:
            into, out = pathlib.Path(folder, "in"), pathlib.Path(folder, "out")
            into.mkdir()
            (into / "a.csv").write_text("tea;3\ncoffee;4\n")
            read = self.spark.readStream.schema("item STRING, n INT").option("source.settle-time", "0 s").csv(str(into), sep=";")
            query = read.where("n > 3").writeStream.format("json").queryName("files").start(str(out))
            until(lambda: list(out.glob("**/*.json")) or list(out.glob("part-*")))
            query.stop()
            self.assertEqual("".join(path.read_text() for path in sorted(out.rglob("part-*"))), '{"item":"coffee","n":4}\n')

    def test_topics_are_written_and_read(self):
        with tempfile.TemporaryDirectory() as folder:
            log = {"kafka.bootstrap.servers": f"embedded:{folder}/log"}
            rows = self.ticks(20).select(F.col("n").cast("string").alias("key"), F.concat(F.lit("v"), F.col("n").cast("string")).alias("value"))
            state = f"{folder}/state"
            rows.writeStream.format("kafka").options(**log).option("topic", "ticks").option("checkpointLocation", state).queryName("write").trigger(availableNow=True).start().awaitTermination()
            read = self.spark.readStream.format("kafka").options(**log).option("subscribe", "ticks").option("startingOffsets", "earliest").load()
            self.assertEqual(read.columns, ["key", "value", "topic", "partition", "offset", "timestamp"])
            words = read.select(F.col("key").cast("string").cast("int").alias("k"), F.col("value").cast("string").alias("v"), "topic")
            words.writeStream.format("memory").option("checkpointLocation", state).queryName("read").trigger(availableNow=True).start().awaitTermination()
            kept = self.spark.table("read").collect()
            self.assertEqual(sorted(kept), [Row(k=n, v=f"v{n}", topic="ticks") for n in range(1, 21)])

    def test_a_name_is_taken_once(self):
        self.ticks(100000).writeStream.format("blackhole").queryName("same").start()
        with self.assertRaisesRegex(AnalysisException, r"queryName\(\.\.\)"):
            self.ticks().writeStream.format("blackhole").queryName("same").start()

    @needs_arrow
    def test_polars_and_others_take_a_batch_as_it_is(self):
        self.ticks(4).writeStream.format("memory").queryName("held").trigger(availableNow=True).start().awaitTermination()
        rows = self.spark.table("held")
        reader = pyarrow.RecordBatchReader.from_stream(rows)
        self.assertEqual(reader.read_all().column("n").to_pylist(), [1, 2, 3, 4])
        self.assertEqual(rows.first(), Row(n=1))
        self.assertEqual((rows.count(), rows.isEmpty(), len(rows.take(2))), (4, False, 2))
        self.assertEqual(sorted(rows.groupBy("n").count().collect()), [Row(n=n, count=1) for n in range(1, 5)])


PROGRAM = """
import sys, time
from tidegate.pyspark.sql import SparkSession
from tidegate.pyspark.sql.functions import col

spark = SparkSession.builder.appName("program").config("tidegate.admin-bind", "off").config("tidegate.log-level", "off").getOrCreate()
"""


class Processes(unittest.TestCase):
    def process(self, text, *arguments):
        return subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM + textwrap.dedent(text), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def test_ctrl_c_works_at_once(self):
        process = self.process(
            """
            query = spark.readStream.format("rate").option("rowsPerSecond", 10).load().writeStream.format("blackhole").queryName("q").start()
            print("runs")
            try:
                query.awaitTermination()
            except KeyboardInterrupt:
                print("interrupted")
            """
        )
        self.assertEqual(process.stdout.readline(), "runs\n")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        self.assertEqual(process.stdout.readline(), "interrupted\n")
        self.assertLess(time.monotonic() - began, 2)
        process.communicate(timeout=40)
        self.assertEqual(process.returncode, 0)

    def test_sigterm_ends_a_query_in_order(self):
        process = self.process(
            """
            query = spark.readStream.format("rate").load().writeStream.format("blackhole").queryName("q").start()
            print("runs")
            query.awaitTermination()
            print("ended")
            """
        )
        self.assertEqual(process.stdout.readline(), "runs\n")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
        self.assertEqual((out, process.returncode), ("ended\n", 0), err)

    def test_a_query_that_is_killed_goes_on(self):
        """Files are counted exactly once over kill -9, with the checkpoint directory of the query alone."""
        program = """
        source, state = sys.argv[1:]
        lines = spark.readStream.option("source.settle-time", "0 s").text(source)
        counts = lines.groupBy("value").count()
        counts.writeStream.outputMode("complete").queryName("counts").option("checkpointLocation", state).foreachBatch(
            lambda rows, id: print(sorted((row["value"], row["count"]) for row in rows.collect()))).start().awaitTermination()
        """
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "in")
            source.mkdir()
            (source / "a.txt").write_text("tide\ngate\ntide\n")
            first = self.process(program, str(source), f"{folder}/state")
            seen = ""
            while "('tide', 2)" not in seen:
                seen = first.stdout.readline()
                self.assertNotEqual(seen, "", first.stderr.read() if first.poll() is not None else "")
            first.kill()
            first.wait()
            (source / "b.txt").write_text("tide\n")
            second = self.process(program, str(source), f"{folder}/state")
            while "('tide', 3)" not in seen:
                seen = second.stdout.readline()
                self.assertNotEqual(seen, "", second.stderr.read() if second.poll() is not None else "")
            self.assertEqual(seen, "[('gate', 1), ('tide', 3)]\n")
            second.kill()
            second.communicate()
            first.communicate()


if __name__ == "__main__":
    unittest.main()
