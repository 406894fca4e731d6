"""Functions of Python over columns: what they are given and give, how they are called, and what is told of them."""

import array
import collections
import datetime
import decimal
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
import uuid
from typing import Iterator, Tuple
from unittest import mock

from worlds import World, written

import tidegate
from tidegate import _calls
from tidegate.pyspark.errors import AnalysisException, StreamingQueryException
from tidegate.pyspark.sql import Row, SparkSession
from tidegate.pyspark.sql import functions as F
from tidegate.pyspark.sql import types as T

try:
    import pandas as pd
    import pyarrow
except ImportError:
    pyarrow = None

HERE = pathlib.Path(__file__)
needs_pandas = unittest.skipIf(pyarrow is None, "pyarrow or pandas is not installed")
TICKS = """CREATE TABLE {name} (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '{rows}',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1')"""


def session(**settings):
    builder = SparkSession.builder.appName("udf" + uuid.uuid4().hex).master("local[2]").config("tidegate.admin-bind", "off")
    builder = builder.config("tidegate.log-level", os.environ.get("TIDEGATE_LOG_LEVEL", "off"))
    for key, value in settings.items():
        builder = builder.config("tidegate." + key.replace("_", "-"), value)
    return builder.getOrCreate()


def line_of(text):
    """The line of this file that has a text."""
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if text in line)


def shown(kind, column):
    """A column that a sink in memory takes: of maps their values."""
    return F.map_values(column) if kind.startswith("map<") else column


def inverse(n):
    return 1 / n  # divides


class Queries(unittest.TestCase):
    def setUp(self):
        self.spark = session()

    def tearDown(self):
        self.spark.stop()

    def ticks(self, rows=3):
        name = "t" + uuid.uuid4().hex
        self.spark.sql(TICKS.format(name=name, rows=rows))
        return self.spark.table(name)

    def rows(self, frame):
        """The rows of a query that ends."""
        name = "q" + uuid.uuid4().hex
        frame.writeStream.format("memory").queryName(name).trigger(availableNow=True).start().awaitTermination()
        return self.spark.table(name).collect()

    def column(self, *columns, rows=3):
        """The values of the first of these columns, in the order of the numbers."""
        kept = self.rows(self.ticks(rows).select(F.col("n").alias("number"), *columns))
        return [row[1] for row in sorted(kept, key=lambda row: row[0])]


class Functions(Queries):
    def test_a_function_is_made_in_each_way_of_pyspark(self):
        @F.udf
        def text(n):
            """Says it."""
            return f"<{n}>"

        @F.udf("int")
        def twice(n):
            return 2 * n

        @F.udf(T.LongType())
        def thrice(n):
            return 3 * n

        @F.udf(returnType="array<string>", useArrow=True)
        def both(a, b=None):
            return [str(a), b]

        half = F.udf(lambda n: n / 2, T.DoubleType())
        self.assertEqual((text.__name__, text.__doc__, text.returnType, twice.returnType), ("text", "Says it.", T.StringType(), T.IntegerType()))
        self.assertEqual((text.func(1), text.evalType, both.evalType, text.deterministic), ("<1>", 100, 101, True))
        self.assertEqual(self.column(text("n")), ["<1>", "<2>", "<3>"])
        self.assertEqual(self.column(twice(F.col("n"))), [2, 4, 6])
        self.assertEqual(self.column(thrice("n") + 1), [4, 7, 10])
        self.assertEqual(self.column(half(twice("n"))), [1.0, 2.0, 3.0])
        self.assertEqual(self.column(both("n", F.lit("x"))), [["1", "x"], ["2", "x"], ["3", "x"]])
        self.assertEqual(self.column(both("n"))[0], ["1", None])
        self.assertEqual(self.column(F.udf(len, "int")(text("n"))), [3, 3, 3])
        self.assertEqual(self.column(F.udf(lambda: "same")()), ["same"] * 3)
        frame = self.ticks().select(text("n"), half("n"), twice("n") * 2, F.udf(text.func, "string")("n").alias("other"))
        self.assertEqual(frame.columns, ["text(n)", "<lambda>(n)", "(twice(n) * 2)", "other"])
        self.assertEqual([kind for _, kind in frame.dtypes], ["string", "double", "bigint", "string"])
        self.assertEqual(repr(text("n")), "Column<'text(n)'>")
        with self.assertRaisesRegex(TypeError, "should be a callable, got int"):
            F.udf(3)
        with self.assertRaisesRegex(TypeError, "should be a Column or str, got int"):
            text(3)
        with self.assertRaisesRegex(ValueError, "is no type"):
            F.udf(text.func, "strin")

    def test_functions_of_one_name_are_told_apart(self):
        def made(by):
            def add(n):
                return n + by

            return F.udf(add, "long")

        one, ten = made(1), made(10)
        frame = self.ticks().select("n", one("n").alias("a"), ten("n").alias("b"), (one("n") - ten("n")).alias("c"))
        self.assertEqual(sorted(self.rows(frame))[0], Row(n=1, a=2, b=11, c=-9))
        self.assertEqual(self.ticks().select(ten("n")).columns, ["add(n)"])

    def test_texts_of_sql_call_what_is_registered(self):
        shout = self.spark.udf.register("Shout", lambda n: f"{n}!")
        self.spark.udf.register("twice", lambda n: 2 * n, "bigint")
        self.spark.udf.register("thrice", F.udf(lambda n: 3 * n, "bigint"))
        self.assertEqual(self.column(F.expr("shout(twice(n))")), ["2!", "4!", "6!"])
        self.assertEqual(self.column(F.call_udf("thrice", "n")), [3, 6, 9])
        self.assertEqual(self.column(F.call_function("SHOUT", F.col("n"))), ["1!", "2!", "3!"])
        self.assertEqual(self.column(shout("n")), ["1!", "2!", "3!"])
        self.ticks().createOrReplaceTempView("ticks")
        self.assertEqual(self.rows(self.spark.sql("SELECT twice(n) AS m FROM ticks WHERE shout(n) = '3!'")), [Row(m=6)])
        frame = self.spark.table("ticks").groupBy(F.expr("thrice(n) % 2").alias("odd")).agg(F.sum(F.call_udf("twice", "n")).alias("m"))
        query = frame.writeStream.format("memory").queryName("sums").outputMode("complete").trigger(availableNow=True).start()
        query.awaitTermination()
        self.assertEqual(sorted(self.spark.table("sums").collect()), [Row(odd=0, m=4), Row(odd=1, m=8)])
        self.spark.udf.register("twice", lambda n: 20 * n, "bigint")
        self.assertEqual(self.column(F.expr("twice(n)")), [20, 40, 60])
        with self.assertRaisesRegex(TypeError, "returnType can not be specified when f is a user-defined function"):
            self.spark.udf.register("x", shout, "string")
        with self.assertRaisesRegex(NotImplementedError, "there is no JVM"):
            self.spark.udf.registerJavaFunction("x", "org.example.X")

    def test_values_are_those_of_rows(self):
        seen = []

        @F.udf("string")
        def keep(*values):
            seen.append(values)
            return None

        given = F.expr("CAST(n AS INT)"), F.lit("a"), F.lit(None), F.lit(True), F.lit(b"\x00"), F.lit(decimal.Decimal("1.50"))
        times = F.lit(datetime.date(2026, 1, 2)), F.lit(datetime.datetime(2026, 1, 2, 3, 4, 5, 6))
        nested = F.array(F.lit(1), F.col("n")), F.struct(F.col("n").alias("x")), F.map_from_arrays(F.array(F.lit("k")), F.array("n"))
        self.assertEqual(self.column(keep(*given, *times, *nested), rows=1), [None])
        expected = (1, "a", None, True, b"\x00", decimal.Decimal("1.50"), datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 6))
        self.assertEqual(seen, [(*expected, [1, 1], Row(x=1), {"k": 1})])
        self.assertIsInstance(seen[0][9], Row)

    def test_what_is_returned_is_of_the_type_or_null_as_in_pyspark(self):
        day, time = datetime.date(1970, 1, 2), datetime.datetime(1970, 1, 2, 0, 0, 1, 5)
        values = [None, True, 1, "a", day, time, 1.0, array.array("i", [1]), [1], (1,), bytearray(b"ABC"), decimal.Decimal(1), {"a": 1}]
        fails = object()
        expected = {
            "boolean": [None, True] + [None] * 11,
            "tinyint": [None, None, 1] + [None] * 10,
            "smallint": [None, None, 1] + [None] * 10,
            "int": [None, None, 1] + [None] * 10,
            "bigint": [None, None, 1] + [None] * 10,
            "float": [None] * 6 + [1.0] + [None] * 6,
            "double": [None] * 6 + [1.0] + [None] * 6,
            "binary": [None, None, None, b"a"] + [None] * 6 + [b"ABC", None, None],
            "decimal(10,0)": [None] * 11 + [decimal.Decimal(1), None],
            "array<int>": [None] * 7 + [[1], [1], [1], [65, 66, 67], None, None],
            "map<string,int>": [None] * 12 + [[1]],
            "date": [None, fails, fails, fails, day, day] + [fails] * 7,
            "timestamp": [None, fails, fails, fails, fails, time] + [fails] * 7,
            "struct<a:int>": [None, fails, fails, fails, fails, fails, fails, fails, Row(a=1), Row(a=1), fails, fails, Row(a=1)],
            # Java shows some of them otherwise.
            "string": [None, "true", "1", "a", "1970-01-02", "1970-01-02 00:00:01.000005", "1.0", "array('i', [1])", "[1]", "(1,)", "bytearray(b'ABC')", "1", "{'a': 1}"],
        }
        for kind, results in expected.items():
            good = [(value, result) for value, result in zip(values, results) if result is not fails]
            give = F.udf(lambda n: good[n - 1][0], kind)
            self.assertEqual(self.column(shown(kind, give("n")), rows=len(good)), [result for _, result in good], kind)
            bad = next((value for value, result in zip(values, results) if result is fails), None)
            if bad is not None:
                with self.assertRaisesRegex(StreamingQueryException, "TypeError: the function has returned .*, which is no .*\n  next: return"):
                    self.column(F.udf(lambda n: bad, kind)("n"), rows=1)

    def test_values_that_have_parts_or_do_not_fit(self):
        zone = datetime.timezone(datetime.timedelta(hours=2))
        Point = collections.namedtuple("Point", "a b")

        class Thing:
            def __init__(self):
                self.b, self.c = "t", 3

        row = "a int, b string"
        cases = [
            ("timestamp", datetime.datetime(2026, 1, 1, 2, tzinfo=zone), datetime.datetime(2026, 1, 1)),
            ("timestamp", datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)),
            ("date", datetime.date(1, 1, 1), datetime.date(1, 1, 1)),
            ("decimal(5,2)", decimal.Decimal("-1.005"), decimal.Decimal("-1.01")),
            ("decimal(38,0)", decimal.Decimal("9" * 38), decimal.Decimal("9" * 38)),
            (row, Point(1, "x"), Row(a=1, b="x")),
            (row, Row(a=1, b="x"), Row(a=1, b="x")),
            (row, [None, 2], Row(a=None, b="2")),
            (row, {"b": "y", "z": 1}, Row(a=None, b="y")),
            (row, Thing(), Row(a=None, b="t")),
            ("array<array<string>>", [["a", None], None, []], [["a", None], None, []]),
            ("array<struct<a:int,b:string>>", [(1, "x"), None], [Row(a=1, b="x"), None]),
            ("map<string,array<double>>", {"a": [1.5], "b": None}, [[1.5], None]),
            ("bigint", 2**63 - 1, 2**63 - 1),
        ]
        for kind, value, expected in cases:
            self.assertEqual(self.column(shown(kind, F.udf(lambda n: value, kind)("n")), rows=1), [expected], f"{kind} {value}")
        for kind, value, told in [
            ("int", 2**31, "2147483648, which does not fit into INT"),
            ("bigint", 2**63, "which does not fit into BIGINT"),
            ("decimal(5,2)", decimal.Decimal(1000), "which does not fit into DECIMAL\\(5, 2\\)"),
            ("decimal(5,2)", decimal.Decimal("NaN"), "which does not fit into DECIMAL\\(5, 2\\)"),
            (row, (1,), "1 values for 2 fields"),
            ("map<string,int>", {None: 1}, "null"),
            ("array<int>", [1, 2**40], "which does not fit into INT"),
        ]:
            with self.assertRaisesRegex(StreamingQueryException, told):
                self.column(shown(kind, F.udf(lambda n: value, kind)("n")), rows=1)

    @needs_pandas
    def test_numbers_of_numpy_are_numbers(self):
        import numpy

        cases = [
            ("int", numpy.int64(3), 3), ("boolean", numpy.bool_(True), True), ("double", numpy.float64(0.5), 0.5), ("float", numpy.float32(0.5), 0.5),
            ("array<int>", numpy.array([1, 2]), [1, 2]), ("string", numpy.str_("x"), "x"), ("int", numpy.float64(0.5), None),
        ]
        for kind, value, expected in cases:
            self.assertEqual(self.column(F.udf(lambda n: value, kind)("n"), rows=1), [expected], f"{kind} {value!r}")

    def test_the_interpreter_is_called_for_the_rows_that_come_together(self):
        calls = []
        plain = _calls.of_rows

        def counted(function, columns, rows):
            calls.append(rows)
            return plain(function, columns, rows)

        with mock.patch.object(_calls, "of_rows", counted):
            rows = self.column(F.udf(lambda n: n + 1, "long")("n"), rows=2000)
        self.assertEqual(rows, list(range(2, 2002)))
        self.assertEqual(sum(calls), 2000)
        self.assertLess(len(calls), 1500)

    def test_a_condition_decides_which_rows_a_function_is_given(self):
        given = []

        @F.udf("long")
        def half(n):
            given.append(n)
            return n // 2

        even = self.ticks(6).where("n % 2 = 0").select("n", half("n").alias("half"))
        self.assertEqual(sorted(self.rows(even)), [Row(n=2, half=1), Row(n=4, half=2), Row(n=6, half=3)])
        self.assertEqual(sorted(given), [2, 4, 6])

    def test_mistakes_are_told_at_their_line(self):
        one = F.udf(lambda n: n, "long")
        self.spark.udf.register("one_of", lambda a, b=0, *more: a, "long")
        self.spark.udf.register("two_of", lambda a, b=0: a, "long")
        ticks = self.ticks()
        for build, told in [
            (lambda: ticks.select(one()), "`<lambda>` needs arguments\n  next: it is called as <lambda>(value)"),
            (lambda: ticks.select(one("n", "n")), "`<lambda>` does not take (BIGINT, BIGINT)\n  next: it is called as <lambda>(value)"),
            (lambda: ticks.selectExpr("one_of()"), "`one_of` needs arguments\n  next: it is called as one_of(value, ..)"),
            (lambda: ticks.selectExpr("two_of(1, 2, 3)"), "next: it is called as two_of(value[, value])"),
            (lambda: ticks.selectExpr("tow_of(n)"), "there is no function `tow_of`\n  next: did you mean `two_of`?"),
            (lambda: self.spark.udf.register("upper", str), "`upper` is a function of SQL"),
            (lambda: self.spark.udf.register("a b", str), "`a b` cannot be the name of a function"),
        ]:
            with self.assertRaises(AnalysisException) as caught:
                build()
            self.assertIn(told, str(caught.exception))
            self.assertRegex(str(caught.exception), rf"^{HERE.parent}/{HERE.name}:\d+")

    def test_a_function_that_gives_other_values_stands_where_its_value_is_needed_once(self):
        token = F.udf(lambda: uuid.uuid4().hex).asNondeterministic()
        self.assertFalse(token.deterministic)
        tokens = self.column(token(), rows=5)
        self.assertEqual(len(set(tokens)), 5)
        counts = self.ticks().groupBy(token().alias("token")).count()
        with self.assertRaisesRegex(AnalysisException, "cannot stand below an aggregate"):
            counts.writeStream.format("console").outputMode("complete").start()

    def test_without_a_session_there_is_no_column(self):
        one = F.udf(lambda n: n, "long")
        self.assertEqual(self.column(one("n")), [1, 2, 3])
        self.spark.stop()
        with self.assertRaisesRegex(RuntimeError, "should be created first"):
            one("n")
        self.spark = session()
        self.assertEqual(self.column(one("n")), [1, 2, 3])

    def test_queries_are_planned_and_run_on_many_threads_at_once(self):
        constant = F.udf(lambda n: n, "long")
        failed = []

        def plan():
            try:
                for _ in range(20):
                    self.ticks().select(constant(F.lit(1)), F.udf(lambda n: n)("n").alias("x")).filter(constant(F.lit(1)) == 1)
            except Exception as e:
                failed.append(e)

        query = self.ticks(3000).select(constant(F.lit(1)).alias("c")).where("c = 1").writeStream.format("blackhole").queryName("runs").start()
        threads = [threading.Thread(target=plan) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertFalse(any(thread.is_alive() for thread in threads))
        self.assertEqual(failed, [])
        query.stop()


class Failures(unittest.TestCase):
    def test_a_record_whose_function_raises_is_a_bad_one(self):
        with tempfile.TemporaryDirectory() as directory:
            log = f"embedded:{directory}/log"
            written(log, "numbers", [("k", "4"), ("k", "0"), ("k", "2")])

            def run(name, policy):
                spark = session(bootstrap=log, state_dir=f"{directory}/state")
                try:
                    read = spark.readStream.format("kafka").option("subscribe", "numbers").option("startingOffsets", "earliest")
                    read = read.option("value.format", "raw").option("on-bad-record", policy).schema("value STRING").load()
                    frame = read.select(F.udf(inverse, "double")(F.col("value").cast("int")).alias("x"))
                    frame.writeStream.format("memory").queryName(name).trigger(availableNow=True).start().awaitTermination()
                    return sorted(row.x for row in spark.table(name).collect())
                finally:
                    spark.stop()

            with self.assertRaises(tidegate.BadRecordError) as caught:
                run("failing", "fail")
            bad = caught.exception
            self.assertEqual((bad.topic, bad.offset), ("numbers", 1))
            self.assertIn("the function `inverse` failed: Traceback (most recent call last):\n", bad.reason)
            self.assertIn(f'{HERE.name}", line {line_of("# divides")}, in inverse', bad.reason)
            self.assertTrue(bad.reason.endswith("ZeroDivisionError: division by zero"), bad.reason)
            self.assertNotIn("_calls.py", bad.reason)
            self.assertEqual(run("skipping", "skip"), [0.25, 0.5])
            self.assertEqual(run("lettering", "dead-letter"), [0.25, 0.5])
            letters = []
            with World("letters", bootstrap=log) as world:
                world.ssc.kafkaStream("lettering-dlq", part="record", startingOffsets="earliest").foreachRDD(lambda rdd: letters.extend(rdd.collect()))
                world.ssc.start()
                for _ in range(500):
                    if letters or world.ssc.awaitTerminationOrTimeout(0.02):
                        break
            (letter,) = letters
            self.assertEqual(letter.value, "0")
            self.assertIn(b"ZeroDivisionError", dict(letter.headers)["__tidegate.errors.message"])

    def test_a_query_that_is_killed_goes_on_with_its_functions(self):
        program = """
        import sys
        from tidegate.pyspark.sql import SparkSession
        from tidegate.pyspark.sql.functions import udf

        source, state = sys.argv[1:]
        spark = SparkSession.builder.appName("killed").config("tidegate.admin-bind", "off").config("tidegate.log-level", "off").getOrCreate()
        first = udf(lambda text: text[0])
        counts = spark.readStream.option("source.settle-time", "0 s").text(source).groupBy(first("value").alias("letter")).count()
        counts.writeStream.outputMode("complete").queryName("letters").option("checkpointLocation", state).foreachBatch(
            lambda rows, id: print(sorted((row["letter"], row["count"]) for row in rows.collect()))).start().awaitTermination()
        """
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "in")
            source.mkdir()
            (source / "a.txt").write_text("tide\ngate\ntea\n")

            def process():
                command = [sys.executable, "-u", "-c", textwrap.dedent(program), str(source), f"{folder}/state"]
                return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

            def until(running, text):
                seen = ""
                while text not in seen:
                    seen = running.stdout.readline()
                    self.assertNotEqual(seen, "", running.stderr.read() if running.poll() is not None else "")
                return seen

            first = process()
            until(first, "('t', 2)")
            first.kill()
            first.communicate()
            (source / "b.txt").write_text("tower\n")
            second = process()
            self.assertEqual(until(second, "('t', 3)"), "[('g', 1), ('t', 3)]\n")
            second.kill()
            second.communicate()


@needs_pandas
class Pandas(Queries):
    def test_series_become_series(self):
        calls = []

        @F.pandas_udf("long")
        def plus(a: "pd.Series", b: "pd.Series") -> "pd.Series":
            calls.append((len(a), type(a).__name__, str(a.dtype)))
            return a + b

        self.assertEqual(self.column(plus("n", F.col("n") * 10), rows=1000), [11 * n for n in range(1, 1001)])
        self.assertEqual(sum(rows for rows, _, _ in calls), 1000)
        self.assertLess(len(calls), 1500)
        self.assertEqual(calls[0][1:], ("Series", "int64"))
        self.assertEqual(plus.evalType, 200)
        self.spark.udf.register("plus", plus)
        self.assertEqual(self.column(F.expr("plus(n, 1)")), [2, 3, 4])
        text = F.pandas_udf(lambda s: s.astype(str) + "!", returnType=T.StringType())
        self.assertEqual(self.column(text("n")), ["1!", "2!", "3!"])
        self.assertEqual(self.ticks().select(text("n")).columns, ["<lambda>(n)"])
        third = F.pandas_udf(lambda s: s / 3, "double", F.PandasUDFType.SCALAR)
        self.assertEqual(self.column(third("n"))[2], 1.0)

    def test_iterators_become_iterators(self):
        @F.pandas_udf("long")
        def plus_one(parts: Iterator["pd.Series"]) -> Iterator["pd.Series"]:
            for part in parts:
                yield part + 1

        @F.pandas_udf("long")
        def product(parts: Iterator[Tuple["pd.Series", "pd.Series"]]) -> Iterator["pd.Series"]:
            for a, b in parts:
                yield a * b

        self.assertEqual((plus_one.evalType, product.evalType), (204, 204))
        self.assertEqual(self.column(plus_one("n")), [2, 3, 4])
        self.assertEqual(self.column(product("n", plus_one("n"))), [2, 6, 12])

    def test_values_of_all_types_go_there_and_back(self):
        same = {
            "boolean": "n > 1", "tinyint": "CAST(n AS TINYINT)", "int": "CAST(n AS INT)", "float": "CAST(n AS FLOAT)", "string": "CAST(n AS STRING)",
            "binary": "CAST(CAST(n AS STRING) AS BYTES)", "decimal(10,2)": "CAST(n AS DECIMAL(10, 2))", "date": "CAST('2026-01-02' AS DATE)",
            "timestamp": "CAST('2026-01-02 03:04:05.000006' AS TIMESTAMP(6))", "array<bigint>": "make_array(n, 7)", "map<string,bigint>": "MAP(['a'], [n])",
        }
        for kind, text in same.items():
            (plain,) = self.column(shown(kind, F.expr(text)), rows=1)
            (given,) = self.column(shown(kind, F.pandas_udf(lambda s: s, kind)(F.expr(text))), rows=1)
            self.assertEqual(given, plain, kind)
        nothing = F.pandas_udf(lambda s: s.map(lambda n: None if n == 2 else n), "double")
        self.assertEqual(self.column(nothing("n")), [1.0, None, 3.0])

    def test_rows_are_data_frames(self):
        @F.pandas_udf("n long, text string")
        def told(row: "pd.DataFrame") -> "pd.DataFrame":
            return pd.DataFrame({"text": row["a"].astype(str) + row["b"], "n": row["a"]})

        given = F.struct(F.col("n").alias("a"), F.lit("x").alias("b"))
        self.assertEqual(self.column(told(given)), [Row(n=n, text=f"{n}x") for n in (1, 2, 3)])

    def test_what_is_wrong_is_told(self):
        for function, told in [
            (lambda s: 3, "should be pandas.Series, but is <class 'int'>"),
            (lambda s: s[:0], "was not the required length: expected"),
            (lambda s: 1 / 0, "ZeroDivisionError: division by zero"),
            (lambda s: s.map(lambda n: "a"), "Exception thrown when converting pandas.Series"),
        ]:
            with self.assertRaises(StreamingQueryException) as caught:
                self.column(F.pandas_udf(function, "long")("n"))
            self.assertIn(told, str(caught.exception))
            self.assertIn("the function `<lambda>` failed: Traceback", str(caught.exception))
        with self.assertRaisesRegex(ValueError, "0-arg pandas_udfs are not supported"):
            F.pandas_udf(lambda: 1, "long")
        with self.assertRaisesRegex(NotImplementedError, "next: use an aggregate of SQL"):
            F.pandas_udf(lambda s: 1, "long", F.PandasUDFType.GROUPED_AGG)

        def mean(s: pd.Series) -> float:
            return s.mean()

        with self.assertRaisesRegex(NotImplementedError, "next: use an aggregate of SQL"):
            F.pandas_udf(mean, "double")
        with self.assertRaisesRegex(TypeError, "`returnType` can not be None"):
            F.pandas_udf(lambda s: s)


class WithoutPandas(unittest.TestCase):
    def test_what_is_not_installed_is_told(self):
        for name in ("pandas", "pyarrow"):
            with mock.patch.dict(sys.modules, {name: None}):
                with self.assertRaisesRegex(ImportError, "pandas_udf needs (pandas|pyarrow), which is not installed\n  next: pip install pandas pyarrow"):
                    F.pandas_udf("long")


if __name__ == "__main__":
    unittest.main()
