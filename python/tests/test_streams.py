"""What each method of a stream gives, batch by batch, as PySpark gives it."""

import contextlib
import dataclasses
import io
import os
import pathlib
import tempfile
import threading
import time
import unittest
from typing import NamedTuple

import worlds
from worlds import World, batches_of, written

import tidegate
from tidegate.pyspark.streaming import StreamingContext, StreamingListener
from tidegate.streaming.kafka import KafkaRecord

PAIRS = [[("a", 1), ("b", 2), ("a", 3)], [("b", 5)]]


class Sale(NamedTuple):
    item: str
    price: float


@dataclasses.dataclass
class Total:
    count: int = 0
    items: list = dataclasses.field(default_factory=list)


def ordered(batches):
    return [sorted(rows, key=repr) for rows in batches]


class Streams(unittest.TestCase):
    def given(self, build, *inputs, **options):
        return ordered(batches_of(build, *inputs, **options))

    def test_rows_to_rows(self):
        words = [["to be", "or"], ["not"]]
        for build, expected in [
            (lambda s: s.map(len), [[2, 5], [3]]),
            (lambda s: s.flatMap(str.split), [["be", "or", "to"], ["not"]]),
            (lambda s: s.flatMap(lambda line: (w for w in line.split())), [["be", "or", "to"], ["not"]]),
            (lambda s: s.filter(lambda line: "o" in line), [["or", "to be"], ["not"]]),
            (lambda s: s.map(lambda x: None), [[None, None], [None]]),
            (lambda s: s.mapPartitions(lambda rows: [sum(map(len, rows))]), [[7], [3]]),
            (lambda s: s.mapPartitionsWithIndex(lambda n, rows: [(n, list(rows))]), [[(0, ["to be", "or"])], [(0, ["not"])]]),
            (lambda s: s.glom(), [[["to be", "or"]], [["not"]]]),
            (lambda s: s.repartition(4), [["or", "to be"], ["not"]]),
            (lambda s: s.union(s.map(str.upper)), [["OR", "TO BE", "or", "to be"], ["NOT", "not"]]),
            (lambda s: s.count(), [[2], [1]]),
            (lambda s: s.map(len).reduce(lambda a, b: a + b), [[7], [3]]),
            (lambda s: s.map(len).countByValue(), [[(2, 1), (5, 1)], [(3, 1)]]),
            (lambda s: s.cache().persist(tidegate.StorageLevel.MEMORY_ONLY).checkpoint(10), [["or", "to be"], ["not"]]),
            (lambda s: s.transform(lambda rdd: rdd.map(len)), [[2, 5], [3]]),
            (lambda s: s.transform(lambda time, rdd: rdd.map(lambda _: time.year > 2000)), [[True, True], [True]]),
        ]:
            with self.subTest(expected=expected):
                self.assertEqual(self.given(build, words), expected)

    def test_keys(self):
        for build, expected in [
            (lambda s: s.reduceByKey(lambda a, b: a + b), [[("a", 4), ("b", 2)], [("b", 5)]]),
            (lambda s: s.groupByKey().mapValues(sorted), [[("a", [1, 3]), ("b", [2])], [("b", [5])]]),
            (lambda s: s.mapValues(lambda v: v * 10), [[("a", 10), ("a", 30), ("b", 20)], [("b", 50)]]),
            (lambda s: s.flatMapValues(range), [[("a", 0), ("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)], [("b", n) for n in range(5)]]),
            (lambda s: s.combineByKey(str, lambda c, v: c + str(v), lambda a, b: a + b).mapValues(len), [[("a", 2), ("b", 1)], [("b", 1)]]),
            (lambda s: s.partitionBy(4).filter(lambda kv: kv[0] == "b"), [[("b", 2)], [("b", 5)]]),
            (lambda s: s.reduceByKey(lambda a, b: a + b).map(lambda kv: kv[0]), [["a", "b"], ["b"]]),
            (lambda s: s.runningReduceByKey(lambda a, b: a + b), [[("a", 4), ("b", 2)], [("b", 7)]]),
        ]:
            with self.subTest(expected=expected):
                self.assertEqual(self.given(build, PAIRS), expected)

    def test_joins(self):
        left, right = [[("a", 1), ("b", 2)]], [[("b", "x"), ("c", "y")]]
        for kind, expected in [
            ("join", [("b", (2, "x"))]),
            ("leftOuterJoin", [("a", (1, None)), ("b", (2, "x"))]),
            ("rightOuterJoin", [("b", (2, "x")), ("c", (None, "y"))]),
            ("fullOuterJoin", [("a", (1, None)), ("b", (2, "x")), ("c", (None, "y"))]),
            ("cogroup", [("a", ([1], [])), ("b", ([2], ["x"])), ("c", ([], ["y"]))]),
        ]:
            with self.subTest(kind=kind):
                self.assertEqual(self.given(lambda a, b: getattr(a, kind)(b), left, right), [expected])

    def test_several_streams(self):
        a, b, c = [[1, 2]], [[3]], [[4]]
        both = lambda a, b: a.transformWith(lambda x, y: x.union(y).map(str), b)  # noqa: E731
        self.assertEqual(self.given(both, a, b), [["1", "2", "3"]])
        timed = lambda a, b: a.transformWith(lambda t, x, y: x.cartesian(y), b)  # noqa: E731
        self.assertEqual(self.given(timed, a, b), [[(1, 3), (2, 3)]])
        many = lambda a, b, c: a.context().transform([a, b, c], lambda rdds: rdds[0].union(rdds[1]).union(rdds[2]))  # noqa: E731
        self.assertEqual(self.given(many, a, b, c), [[1, 2, 3, 4]])
        union = lambda a, b, c: a.context().union(a, b, c)  # noqa: E731
        self.assertEqual(self.given(union, a, b, c), [[1, 2, 3, 4]])

    def test_state(self):
        def update(new, state):
            state = state or Total()
            total = Total(state.count + len(new), state.items + new)
            return None if total.count >= 3 else total

        build = lambda s: s.updateStateByKey(update)  # noqa: E731
        got = self.given(build, [[("a", 1), ("b", 2)], [("a", 3)], [("a", 4)], []])
        first = [("a", Total(1, [1])), ("b", Total(1, [2]))]
        self.assertEqual(got, [first, [("a", Total(2, [1, 3])), first[1]], [first[1]], [first[1]]])

        count = lambda new, state: (state or 0) + sum(new)  # noqa: E731
        for initial in ([("a", 10), ("z", 1)], "rdd"):

            def seeded(s, initial=initial):
                rows = [("a", 10), ("z", 1)]
                return s.updateStateByKey(count, initialRDD=s._sc.parallelize(rows) if initial == "rdd" else rows)

            self.assertEqual(self.given(seeded, [[("a", 1)], [("b", 2)]]), [[("a", 11), ("z", 1)], [("a", 11), ("b", 2), ("z", 1)]])

    def test_windows(self):
        step = worlds.INTERVAL
        numbers = [[1, 2], [3], [], []]
        pairs = [[("a", 1)], [("a", 2), ("b", 1)], [], []]
        add, subtract = lambda a, b: a + b, lambda a, b: a - b
        for build, rows, expected in [
            (lambda s: s.window(2 * step), numbers, [[1, 2], [1, 2, 3], [3], []]),
            (lambda s: s.countByWindow(2 * step, step), numbers, [[2], [3], [1], [0]]),
            (lambda s: s.reduceByWindow(add, None, 2 * step, step), numbers, [[3], [6], [3], []]),
            (lambda s: s.reduceByWindow(add, subtract, 2 * step, step), numbers, [[3], [6], [3], []]),
            (lambda s: s.reduceByWindow(add, subtract, 5 * step, step), [*numbers, [], [], []], [[3], [6], [6], [6], [6], [3], [0]]),
            (lambda s: s.countByValueAndWindow(2 * step, step), numbers, [[(1, 1), (2, 1)], [(1, 1), (2, 1), (3, 1)], [(3, 1)], []]),
            (lambda s: s.reduceByKeyAndWindow(add, None, 2 * step, step), pairs, [[("a", 1)], [("a", 3), ("b", 1)], [("a", 2), ("b", 1)], []]),
            (lambda s: s.reduceByKeyAndWindow(add, subtract, 2 * step), pairs, [[("a", 1)], [("a", 3), ("b", 1)], [("a", 2), ("b", 1)], []]),
            (lambda s: s.reduceByKeyAndWindow(add, subtract, 5 * step), [*pairs, [], [], []], [[("a", 1)], *[[("a", 3), ("b", 1)]] * 4, [("a", 2), ("b", 1)], [("a", 0), ("b", 0)]]),
            (lambda s: s.reduceByKeyAndWindow(add, subtract, 2 * step, step, filterFunc=lambda kv: kv[1] > 0), pairs, [[("a", 1)], [("a", 3), ("b", 1)], [("a", 2), ("b", 1)], []]),
            (lambda s: s.groupByKeyAndWindow(2 * step, step).mapValues(sorted), pairs, [[("a", [1])], [("a", [1, 2]), ("b", [1])], [("a", [2]), ("b", [1])], []]),
        ]:
            with self.subTest(expected=expected):
                self.assertEqual(self.given(build, rows), expected)

    def test_windows_of_other_lengths_over_one_stream_need_no_name(self):
        step = worlds.INTERVAL
        two = lambda s: s.countByWindow(2 * step, step).union(s.countByWindow(3 * step, step))
        self.assertEqual(self.given(two, [[1, 2], [3], []]), [[2, 2], [3, 3], [1, 3]])

        def slower(s):
            s.window(2 * step, 2 * step).foreachRDD(lambda rdd: None)
            return s.window(2 * step)

        self.assertEqual(self.given(slower, [[1], [2], [3]]), [[1], [1, 2], [2, 3]])

    def test_two_windows_of_one_length_over_one_stream_need_a_name(self):
        step = worlds.INTERVAL

        def build(name):
            def two(s):
                again = s.map(lambda row: row).named(name) if name else s
                return s.countByWindow(2 * step, step).union(again.countByWindow(2 * step, step))

            return two

        self.assertEqual(self.given(build("again"), [[1, 2], [3], []]), [[2, 2], [3, 3], [1, 1]])
        with self.assertRaises(tidegate.ConfigError) as caught:
            self.given(build(None), [[1]])
        self.assertIn('name one of them: `.named("...")`', str(caught.exception))

    def test_a_window_that_is_no_multiple_of_the_interval_is_refused(self):
        with World() as world:
            stream = world.ssc.queueStream([[1]])
            with self.assertRaises(ValueError) as caught:
                stream.window(0.07)
            self.assertIn("windowDuration must be multiple of the parent dstream's slide", str(caught.exception))

    def test_rows_of_classes_stay_what_they_are(self):
        sales = [[Sale("tea", 2.5), Sale("ale", 4.0)]]
        build = lambda s: s.map(lambda sale: sale._replace(price=sale.price * 2)).filter(lambda sale: sale.item == "tea")  # noqa: E731
        (rows,) = self.given(build, sales)
        self.assertEqual(rows, [Sale("tea", 5.0)])
        self.assertIs(type(rows[0]), Sale)
        by_key = lambda s: s.map(lambda sale: (sale, 1)).reduceByKey(lambda a, b: a + b)  # noqa: E731
        self.assertEqual(self.given(by_key, [sales[0] * 2]), [[(Sale("ale", 4.0), 2), (Sale("tea", 2.5), 2)]])

    def test_zeros_are_one_key_and_true_is_not_one(self):
        build = lambda s: s.map(lambda key: (key, 1)).reduceByKey(lambda a, b: a + b)  # noqa: E731
        self.assertEqual(self.given(build, [[0.0, -0.0]]), [[(0.0, 2)]])
        self.assertEqual(self.given(build, [[1, True, 1]]), [[(1, 2), (True, 1)]])

    def test_a_queue_with_rows_for_batches_without(self):
        got = []
        with World() as world:
            world.ssc.queueStream([[1]], default=world.sc.parallelize([7, 8])).foreachRDD(lambda rdd: got.append(rdd.collect()))
            world.ssc.start()
            while len(got) < 3 and not world.ssc.awaitTerminationOrTimeout(0.01):
                pass
        self.assertEqual(got[:3], [[1], [7, 8], [7, 8]])

    def test_slices_of_the_past(self):
        with World() as world:
            stream = world.ssc.queueStream([[1], [2]]).remembered()
            other = stream.map(str)
            stream.pprint(0)
            began = time.time()
            with contextlib.redirect_stdout(io.StringIO()):
                world.ssc.start()
                rows = []
                while len(rows) < 2 and time.time() < began + 20:
                    world.ssc.awaitTerminationOrTimeout(0.02)
                    rows = [row for rdd in stream.slice(int(began) - 1, int(began) + 60) for row in rdd.collect()]
            self.assertEqual(rows, [1, 2])
            with self.assertRaises(NotImplementedError) as caught:
                other.slice(0, 1)
            self.assertIn("remembered()", str(caught.exception))

    def test_slices_of_what_the_program_holds(self):
        with World() as world:
            world.ssc.remember(30)
            texts = world.ssc.queueStream([[1], [2]]).map(str)
            texts.count().foreachRDD(lambda rdd: None)
            began, rows = time.time(), []
            world.ssc.start()
            while len(rows) < 2 and time.time() < began + 20:
                world.ssc.awaitTerminationOrTimeout(0.02)
                rows = [row for rdd in texts.slice(int(began) - 1, int(began) + 60) for row in rdd.collect()]
        self.assertEqual(rows, ["1", "2"])

    def test_a_function_is_called_for_the_partitions_that_repartition_leaves(self):
        for build, expected in [
            (lambda s: s.repartition(1).mapPartitions(lambda rows: [len(list(rows))]), [[3], [1]]),
            (lambda s: s.repartition(1).map(str).filter(bool).glom(), [[["0", "1", "2"]], [["3"]]]),
            (lambda s: s.repartition(2).mapPartitionsWithIndex(lambda n, rows: [n]), [[0, 1], [0, 1]]),
        ]:
            self.assertEqual(self.given(build, [[0, 1, 2], [3]]), expected)


class Outputs(unittest.TestCase):
    def test_rows_are_printed_as_python_prints_them(self):
        rows = ["text", 1, 1.5, None, True, ("a", 1), ["x", 2.0], {"k": b"v"}, {1}, Sale("tea", 2.5), 10**30]
        out = io.StringIO()
        with contextlib.redirect_stdout(out), World() as world:
            world.ssc.queueStream([rows]).pprint(20)
            world.ssc.queueStream([[3, 2, 1]]).pprint(2)
            world.ssc.start()
            while out.getvalue().count("Time") < 4 and not world.ssc.awaitTerminationOrTimeout(0.02):
                pass
        line = "-" * 43
        first, second = out.getvalue().split(line + "\nTime: ")[1:3]
        time_of, _, body = first.partition("\n" + line + "\n")
        self.assertEqual(body, "".join(f"{row}\n" for row in rows) + "\n")
        self.assertRegex(time_of, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?$")
        self.assertEqual(second.partition(line + "\n")[2], "3\n2\n...\n\n")

    def test_text_files(self):
        with tempfile.TemporaryDirectory() as directory:
            with World() as world:
                world.ssc.queueStream([[("a", 1), "b"]]).saveAsTextFiles(directory + "/out", "txt")
                world.ssc.start()
                deadline = time.time() + 20
                while not list(pathlib.Path(directory).glob("out-*/_SUCCESS")) and time.time() < deadline:
                    world.ssc.awaitTerminationOrTimeout(0.02)
            (folder,) = pathlib.Path(directory).glob("out-*")
            self.assertRegex(folder.name, r"^out-\d+\.txt$")
            self.assertEqual((folder / "part-00000").read_text(), "('a', 1)\nb\n")

    def test_topics_are_written_and_read_with_keys_timestamps_and_headers(self):
        with tempfile.TemporaryDirectory() as directory:
            log = f"embedded:{directory}/log"
            rows = [("k", "v"), ("n", None), "alone", (1, 2.5), KafkaRecord(b"r", "w", 7_000, [("h", b"1"), ("z", None)])]
            written(log, "out", list(rows))
            got = []
            with World("reader", bootstrap=log) as world:
                world.ssc.kafkaStream("out", part="record", startingOffsets="earliest").foreachRDD(lambda rdd: got.extend(rdd.collect()))
                world.ssc.start()
                deadline = time.time() + 20
                while len(got) < len(rows) and time.time() < deadline:
                    world.ssc.awaitTerminationOrTimeout(0.02)
        by_value = {record.value: record for record in got}
        self.assertEqual({(r.key, r.value) for r in got}, {("k", "v"), ("n", None), (None, "alone"), ("1", "2.5"), ("r", "w")})
        whole = by_value["w"]
        self.assertEqual((whole.timestamp_ms, whole.headers, whole.topic), (7_000, [("h", b"1"), ("z", None)], "out"))

    def test_listeners_are_told(self):
        told, submitted = [], []

        class Listener(StreamingListener):
            def onStreamingStarted(self, streamingStarted):
                told.append(("started", streamingStarted.time() > 0))

            def onBatchCompleted(self, batchCompleted):
                info = batchCompleted.batchInfo()
                told.append(("completed", info.numRecords(), info.processingDelay() >= 0, len(info.outputOperationInfos())))

            def onBatchSubmitted(self, batchSubmitted):
                info = batchSubmitted.batchInfo()
                submitted.append((info.batchTime().milliseconds() > 0, info.processingDelay(), info.totalDelay()))

        with World() as world:
            world.ssc.queueStream([[1, 2]]).foreachRDD(lambda rdd: None)
            world.ssc.addStreamingListener(Listener())
            world.ssc.start()
            while not any(event[0] == "completed" for event in told) and not world.ssc.awaitTerminationOrTimeout(0.02):
                pass
        self.assertEqual(told[:2], [("started", True), ("completed", 2, True, 1)])
        self.assertEqual(submitted[0], (True, -1, -1))


class Contexts(unittest.TestCase):
    def test_where_state_is_without_a_checkpoint_directory(self):
        """Windows need none, as in PySpark; other state does, and the SparkContext may have it."""

        def run(build, checkpoint_dir=None):
            got = []
            with World() as world:
                if checkpoint_dir:
                    world.sc.setCheckpointDir(checkpoint_dir)
                build(world.ssc.queueStream([[("a", 1)], [("a", 2)]])).foreachRDD(lambda rdd: got.append(rdd.collect()))
                world.ssc.start()
                scratch = world.ssc._scratch
                if scratch:
                    self.assertTrue(os.path.isdir(scratch))
                deadline = time.time() + 20
                while len(got) < 2 and time.time() < deadline:
                    world.ssc.awaitTerminationOrTimeout(0.02)
            if scratch:
                self.assertFalse(os.path.exists(scratch))
            return got[:2]

        add = lambda a, b: a + b  # noqa: E731
        step = worlds.INTERVAL
        expected = [[("a", 1)], [("a", 3)]]
        self.assertEqual(run(lambda s: s.reduceByKeyAndWindow(add, None, 2 * step)), expected)
        for name, build in [
            ("updateStateByKey", lambda s: s.updateStateByKey(lambda new, state: sum(new) + (state or 0))),
            ("runningReduceByKey", lambda s: s.runningReduceByKey(add)),
            ("reduceByKeyAndWindow", lambda s: s.reduceByKeyAndWindow(add, lambda a, b: a - b, 5 * step)),
        ]:
            with self.assertRaises(tidegate.ConfigError) as caught:
                run(build)
            self.assertIn(f"`{name}` keeps state", str(caught.exception))
            self.assertIn("Please set it by StreamingContext.checkpoint()", str(caught.exception))
            with tempfile.TemporaryDirectory() as directory:
                self.assertEqual(run(build, directory), expected)
                self.assertEqual(run(build, directory), expected)  # and not found again

    def test_records_of_files(self):
        got = []
        with tempfile.TemporaryDirectory() as directory, World() as world:
            world.ssc.binaryRecordsStream(directory, 3).foreachRDD(lambda rdd: got.extend(rdd.collect()))
            world.ssc.start()
            for number in range(100):
                pathlib.Path(directory, f"{number}.bin").write_bytes(b"abc\n\x00\xff")
                if got or world.ssc.awaitTerminationOrTimeout(1):
                    break
        self.assertEqual(got[:2], [b"abc", b"\n\x00\xff"])
        self.assertEqual(set(got), {b"abc", b"\n\x00\xff"})

    def test_records_of_a_file_that_ends_inside_one(self):
        with tempfile.TemporaryDirectory() as directory:
            with World() as world:
                with self.assertRaises(tidegate.ConfigError):
                    world.ssc.binaryRecordsStream(directory, 0)
                world.ssc.binaryRecordsStream(directory, 4).foreachRDD(lambda rdd: None)
                world.ssc.start()
                with self.assertRaises(tidegate.BadRecordError) as caught:
                    for number in range(100):
                        pathlib.Path(directory, f"{number}.bin").write_bytes(b"abcdef")
                        if world.ssc.awaitTerminationOrTimeout(1):
                            break
            self.assertIn("the record at byte 4: the file ends after 2 of its 4 bytes", str(caught.exception))

    def test_state_is_found_again(self):
        count = lambda new, state: (state or 0) + sum(new)  # noqa: E731

        def run(directory):
            got = []

            def create():
                sc = tidegate.SparkContext(conf=tidegate.SparkConf().setAppName("again").set("tidegate.admin-bind", "off"))
                ssc = StreamingContext(sc, worlds.INTERVAL)
                ssc.queueStream([[("a", 1)]]).updateStateByKey(count).foreachRDD(lambda rdd: got.append(rdd.collect()))
                return ssc

            ssc = StreamingContext.getOrCreate(directory, create)
            self.assertIsNone(StreamingContext.getActive())
            ssc.start()
            self.assertIs(StreamingContext.getActive(), ssc)
            self.assertIs(StreamingContext.getActiveOrCreate(directory, create), ssc)
            while not got and not ssc.awaitTerminationOrTimeout(0.02):
                pass
            ssc.stop(stopSparkContext=True, stopGraceFully=True)
            self.assertIsNone(StreamingContext.getActive())
            return got[0]

        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(run(directory), [("a", 1)])
            self.assertEqual(run(directory), [("a", 2)])

    def test_a_context_can_be_stopped_from_its_own_function(self):
        with World() as world:
            world.ssc.queueStream([[1]]).foreachRDD(lambda rdd: world.ssc.stop(stopSparkContext=False))
            world.ssc.start()
            self.assertTrue(world.ssc.awaitTerminationOrTimeout(20))

    def test_nothing_can_be_added_after_the_start_and_two_do_not_run(self):
        with World() as world:
            stream = world.ssc.queueStream([[1]])
            stream.foreachRDD(lambda rdd: None)
            world.ssc.start()
            for late in (lambda: stream.map(str), lambda: world.ssc.queueStream([]), lambda: world.ssc.checkpoint("x")):
                with self.assertRaises(tidegate.ConfigError):
                    late()
            with self.assertRaises(tidegate.ConfigError) as caught:
                other = StreamingContext(world.sc, 1)
                other.queueStream([[1]]).pprint()
                other.start()
            self.assertIn("another one is running", str(caught.exception))

    def test_mistakes_are_told_with_the_line_of_the_program(self):
        with World() as world:
            with self.assertRaises(tidegate.ConfigError) as caught:
                world.ssc.kafkaStream(pattern="(").pprint()
                world.ssc.start()
            self.assertRegex(str(caught.exception), os.path.basename(__file__) + r":\d+: the pattern `\(` is not a regular expression")
        with World() as world:
            world.ssc.queueStream([[1]]).map(str)
            with self.assertRaises(tidegate.ConfigError) as caught:
                world.ssc.start()
            self.assertIn("pprint()", str(caught.exception))

    def test_a_setting_that_does_not_exist_is_refused(self):
        with self.assertRaises(tidegate.ConfigError) as caught:
            with World(stat_partitions="4"):
                pass
        self.assertIn("--state-partitions", str(caught.exception))
        tidegate.SparkContext._active_spark_context = None

    def test_threads_of_the_program_may_wait_and_stop(self):
        with World() as world:
            world.ssc.queueStream([[1]]).foreachRDD(lambda rdd: None)
            world.ssc.start()
            waiting = threading.Thread(target=world.ssc.awaitTermination)
            waiting.start()
            world.ssc.stop(stopSparkContext=False)
            waiting.join(20)
            self.assertFalse(waiting.is_alive())


if __name__ == "__main__":
    unittest.main()
