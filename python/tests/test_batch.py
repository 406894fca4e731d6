"""DataFrames whose rows have an end: where they come from, what they compute, and what the program gets."""

import datetime
import decimal
import importlib.util
import io
import pathlib
import tempfile
import unittest
from contextlib import redirect_stdout

import batch_play
from tidegate.pyspark.errors import AnalysisException
from tidegate.pyspark.sql import Row, SparkSession
from tidegate.pyspark.sql import functions as F
from tidegate.pyspark.sql import types as T

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
HAS_PANDAS = HAS_ARROW and importlib.util.find_spec("pandas") is not None


def shown(frame, *args, **kwargs):
    with redirect_stdout(io.StringIO()) as out:
        frame.show(*args, **kwargs)
    return out.getvalue()


class Batch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        builder = SparkSession.builder.appName("batch").master("local[2]").config("tidegate.admin-bind", "off")
        cls.spark = builder.config("tidegate.log-level", "error").getOrCreate()

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()

    def test_rows_of_the_program_are_what_they_were(self):
        at = datetime.datetime(2026, 11, 30, 12, 1, 2, 345_678)
        row = Row(
            n=2**62, x=1.5, s="séa", b=True, raw=b"\x00a", day=at.date(), at=at, d=decimal.Decimal("1.25"), tags=["a", None],
            m={"k": 1}, part=Row(a=1, b=None),
        )
        none = Row(**{name: None for name in row.__fields__})
        schema = T.StructType.fromJson(self.spark.createDataFrame([row.asDict(False) | {"part": Row(a=1, b="c")}]).schema.jsonValue())
        self.assertEqual(schema["d"].dataType, T.DecimalType(38, 18))
        text = "n BIGINT, x DOUBLE, s STRING, b BOOLEAN, raw BINARY, day DATE, at TIMESTAMP, d DECIMAL(10, 2), tags ARRAY<STRING>, m MAP<STRING, BIGINT>, part STRUCT<a: INT, b: STRING>"
        frame = self.spark.createDataFrame([row, none], text)
        self.assertFalse(frame.isStreaming)
        self.assertEqual(frame.collect(), [row, none])
        self.assertEqual(frame.first().part.a, 1)
        aware = datetime.datetime(2026, 1, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
        self.assertEqual(self.spark.createDataFrame([(aware,)], ["at"]).first().at, datetime.datetime(2026, 1, 1, 1))

    def test_columns_follow_from_rows(self):
        create = self.spark.createDataFrame
        self.assertEqual(create([(1, "a"), (2, None)]).columns, ["_1", "_2"])
        self.assertEqual(create([(1, "a")], ["n", "s"]).dtypes, [("n", "bigint"), ("s", "string")])
        self.assertEqual(create([{"s": "a", "n": 1}, {"n": 2}]).collect(), [Row(n=1, s="a"), Row(n=2, s=None)])
        self.assertEqual(create([1, 2], "int").collect(), [Row(value=1), Row(value=2)])
        self.assertEqual(create([], "n INT").collect(), [])
        with self.assertRaisesRegex(ValueError, "can not infer schema from empty dataset"):
            create([])
        with self.assertRaisesRegex(TypeError, "column `_1`: can not merge type LongType and StringType"):
            create([(1,), ("a",)])
        with self.assertRaisesRegex(ValueError, "the type of column `_1` cannot be determined"):
            create([(None,)])
        with self.assertRaisesRegex(TypeError, "column `n`: 'a' is no integer|column `n`: .*integer"):
            create([("a",)], "n INT")
        with self.assertRaisesRegex(ValueError, "column `d`: 1.255 has no room in DECIMAL"):
            create([(decimal.Decimal("1.255"),)], "d DECIMAL(4, 2)")
        with self.assertRaisesRegex(ValueError, "a row has 1 values, and there are 2 columns"):
            create([(1, 2), (3,)])

    def test_what_is_computed_and_shown(self):
        sales = self.spark.createDataFrame([("tea", 3), ("oil", 9), ("tea", 4), (None, 1)], "item STRING, n INT")
        sums = sales.groupBy("item").agg(F.sum("n").alias("sum"), F.avg("n").alias("mean")).orderBy(F.desc("sum"))
        table = "+----+---+----+\n|item|sum|mean|\n+----+---+----+\n| oil|  9| 9.0|\n| tea|  7| 3.5|\n|NULL|  1| 1.0|\n+----+---+----+\n\n"
        self.assertEqual(shown(sums), table)
        self.assertEqual(shown(sums.select("item"), 1, False), "+----+\n|item|\n+----+\n|oil |\n+----+\nonly showing top 1 row\n\n")
        self.assertEqual(shown(sums.limit(1), vertical=True), "-RECORD 0---\n item | oil \n sum  | 9   \n mean | 9.0 \n\n")
        self.assertEqual((sales.count(), sales.isEmpty(), sales.filter("n > 10").isEmpty()), (4, False, True))
        self.assertEqual(sales.take(2), [Row(item="tea", n=3), Row(item="oil", n=9)])
        self.assertEqual((sales.head(), sales.head(1), sales.tail(1)), (Row(item="tea", n=3), [Row(item="tea", n=3)], [Row(item=None, n=1)]))
        self.assertEqual([row.id for row in self.spark.range(5).filter("id % 2 = 0").toLocalIterator()], [0, 2, 4])
        self.assertEqual(self.spark.range(10, 1, -4).collect(), [Row(id=10), Row(id=6), Row(id=2)])
        values = [F.collect_list("n").alias("all"), F.collect_set("item").alias("items"), F.median("n").alias("half"), F.percentile_approx("n", 0.5).alias("below")]
        self.assertEqual(sales.agg(*values).first(), Row(all=[1, 3, 4, 9], items=["oil", "tea"], half=3.5, below=3))
        self.assertEqual(sales.filter("n > 10").agg(F.collect_list("n").alias("all"), F.first("n", True).alias("first")).first(), Row(all=[], first=None))
        sales.createOrReplaceTempView("sales")
        self.assertEqual(self.spark.sql("SELECT max(n) AS most FROM sales ORDER BY most").first(), Row(most=9))
        seen = []
        sales.foreach(lambda row: seen.append(row.n))
        self.assertEqual(seen, [3, 9, 4, 1])
        with self.assertRaisesRegex(AnalysisException, "`writeStream` can be called only on a streaming DataFrame"):
            sales.writeStream.format("console").start()

    def test_files_are_read_once_and_joined_with_a_stream(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "places.csv").write_text("id,name\n1,quay\n2,mill\n")
            places = self.spark.read.option("header", True).csv(folder + "/places.csv", "id INT, name STRING")
            self.assertEqual(places.collect(), [Row(id=1, name="quay"), Row(id=2, name="mill")])
            self.assertEqual(self.spark.read.format("csv").option("header", "true").load(folder).dtypes, [("id", "string"), ("name", "string")])
            self.assertEqual(self.spark.read.text([folder + "/places.csv"] * 2).count(), 6)
            pathlib.Path(folder, "in").mkdir()
            pathlib.Path(folder, "in", "a.json").write_text('{"id":1,"n":5}\n{"id":2,"n":7}\n{"id":9,"n":1}\n')
            self.assertEqual(self.spark.read.json(folder + "/in").columns, ["id", "n"])
            stream = self.spark.readStream.schema("id INT, n INT").option("source.settle-time", "0 s").json(folder + "/in")
            best = places.orderBy(F.desc("id")).limit(1)  # more than a lookup in a file
            got = []
            joined = stream.join(places, "id", "left").join(best.withColumnRenamed("name", "best"), "id", "left")
            writer = joined.writeStream.foreachBatch(lambda df, _: got.extend(df.filter("n > 1").orderBy("id").collect()))
            query = writer.queryName("joined").start()
            deadline = datetime.datetime.now() + datetime.timedelta(seconds=60)
            while len(got) < 2 and query.isActive and datetime.datetime.now() < deadline:
                query.awaitTermination(0.05)
            query.stop()
            self.assertIsNone(query.exception())
            self.assertEqual(got, [Row(id=1, n=5, name="quay", best=None), Row(id=2, n=7, name="mill", best="mill")])
            pathlib.Path(folder, "places.csv").write_text("id,name\nx,quay\n")
            with self.assertRaisesRegex(AnalysisException, "places.csv: line 2: "):
                places.show()

    @unittest.skipUnless(HAS_ARROW, "needs pyarrow")
    def test_arrow_goes_in_and_out(self):
        import pyarrow

        table = pyarrow.table({"n": pyarrow.array([1, None], pyarrow.int32()), "s": ["a", "b"]})
        frame = self.spark.createDataFrame(table)
        self.assertEqual(frame.dtypes, [("n", "int"), ("s", "string")])
        self.assertEqual(frame.toArrow().to_pydict(), {"n": [1, None], "s": ["a", "b"]})
        self.assertEqual(self.spark.createDataFrame(table, ["x", "y"]).columns, ["x", "y"])
        self.assertEqual(pyarrow.table(frame.select("s")).num_rows, 2)

    @unittest.skipUnless(HAS_PANDAS, "needs pandas")
    def test_pandas_goes_in_and_out(self):
        import pandas

        frame = self.spark.createDataFrame(pandas.DataFrame({"n": [1, 2], "s": ["a", None]}))
        self.assertEqual(frame.collect(), [Row(n=1, s="a"), Row(n=2, s=None)])
        self.assertEqual(list(frame.filter("n = 2").toPandas()["n"]), [2])
        self.assertEqual(self.spark.createDataFrame(pandas.DataFrame({"n": [1]}), "n STRING").collect(), [Row(n="1")])


class Programs(unittest.TestCase):
    def test_programs_print_what_pyspark_printed(self):
        for name in batch_play.NAMES:
            golden = (batch_play.GOLDEN / f"{name}.txt").read_text().split("\n\n", 1)[1]
            self.assertEqual(batch_play.play(name), golden)


if __name__ == "__main__":
    unittest.main()
