"""DataFrames, columns, functions, types and rows; and what is said of mistakes."""

import datetime
import decimal
import io
import pathlib
import pickle
import tempfile
import unittest
import uuid
from contextlib import redirect_stdout

from tidegate.pyspark.errors import AnalysisException
from tidegate.pyspark.sql import Row, SparkSession, Window
from tidegate.pyspark.sql import functions as F
from tidegate.pyspark.sql import types as T

HERE = pathlib.Path(__file__)


def session():
    builder = SparkSession.builder.appName("frames").master("local[1]").config("tidegate.admin-bind", "off")
    return builder.config("tidegate.log-level", "error").getOrCreate()


def line_of(text):
    """The line of this file that has a text."""
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if text in line)


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.spark = session()
        cls.spark.sql(
            """CREATE TABLE sales (item STRING, price DECIMAL(10, 2), n BIGINT, tags ARRAY<STRING>, at TIMESTAMP(3), part ROW<a INT, b STRING>)
               WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json')"""
        )
        cls.sales = cls.spark.table("sales")

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()

    def computed(self, select, rows, schema):
        """What a query makes of rows that stand in a file of JSON."""
        name = "q" + uuid.uuid4().hex
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "rows.json").write_text("\n".join(rows) + "\n")
            read = self.spark.readStream.schema(schema).option("source.settle-time", "0 s").json(folder)
            query = select(read).writeStream.format("memory").queryName(name).start()
            deadline = datetime.datetime.now() + datetime.timedelta(seconds=60)
            while self.spark.table(name).count() == 0 and datetime.datetime.now() < deadline and query.isActive:
                query.awaitTermination(0.05)
            query.stop()
        return self.spark.table(name)

    def test_columns_and_types_are_known_before_a_query_runs(self):
        self.assertEqual(self.sales.columns, ["item", "price", "n", "tags", "at", "part"])
        self.assertEqual(self.sales.dtypes[:4], [("item", "string"), ("price", "decimal(10,2)"), ("n", "bigint"), ("tags", "array<string>")])
        self.assertTrue(self.sales.isStreaming)
        self.assertEqual(self.sales.schema["at"].dataType, T.TimestampType())
        with redirect_stdout(io.StringIO()) as out:
            self.sales.select("item", "tags", "part").printSchema()
        self.assertEqual(
            out.getvalue(),
            "root\n |-- item: string (nullable = true)\n |-- tags: array (nullable = true)\n |    |-- element: string (containsNull = true)\n"
            " |-- part: struct (nullable = true)\n |    |-- a: integer (nullable = true)\n |    |-- b: string (nullable = true)\n\n",
        )

    def test_columns_by_attribute_by_name_by_number(self):
        sales = self.sales
        for one in (sales.item, sales["item"], sales[0], F.col("item")):
            self.assertEqual(sales.select(one).columns, ["item"])
        self.assertEqual(sales[["item", "n"]].columns, ["item", "n"])
        self.assertEqual(sales[sales.n > 3].columns, sales.columns)
        self.assertEqual(sales.select(sales.part.b.alias("b"), sales["part"]["a"].alias("a")).columns, ["b", "a"])
        with self.assertRaises(AttributeError):
            sales.prise
        with self.assertRaisesRegex(AnalysisException, "there is no column `prise`"):
            sales["prise"]

    def test_methods_give_dataframes(self):
        sales = self.sales
        cases = {
            "select": sales.select("item", F.col("n") * 2).columns,
            "selectExpr": sales.selectExpr("item", "n * 2 AS m").columns,
            "withColumn": sales.select("item").withColumn("m", F.lit(1)).columns,
            "withColumns": sales.select("item", "n").withColumns({"n": F.col("n") + 1, "m": F.col("n")}).columns,
            "renamed": sales.select("item", "n").withColumnRenamed("n", "m").columns,
            "several renamed": sales.select("item", "n").withColumnsRenamed({"n": "m", "item": "i"}).columns,
            "toDF": sales.select("item", "n").toDF("a", "b").columns,
            "drop": sales.drop("price", sales.tags, "nothing").columns,
            "alias": sales.alias("s").select("s.item").columns,
            "groupBy": sales.groupBy("item").count().columns,
            "agg": sales.groupBy(sales.item).agg(F.sum("n"), F.max("price").alias("most")).columns,
            "dict": sales.groupBy("item").agg({"n": "max", "*": "count"}).columns,
            "sum": sales.groupBy("item").sum("n").columns,
            "numbers": sales.select("item", "n", "price").groupBy("item").avg().columns,
            "all": sales.agg(F.count("*").alias("rows")).columns,
            "window": sales.withWatermark("at", "1 minute").groupBy(F.window("at", "1 hour"), "item").count().columns,
            "union": sales.select("item").union(sales.select("item")).columns,
            "unionByName": sales.select("item").unionByName(sales.select("n"), allowMissingColumns=True).columns,
            "join": sales.alias("a").join(sales.alias("b"), F.expr("a.item = b.item")).select("a.item", "b.n").columns,
            "using": sales.select("item", "n").join(sales.select("item", "price"), "item", "left").columns,
            "duplicates": sales.dropDuplicates(["item"]).columns,
            "watermark": sales.withWatermark("at", "1 minute").dropDuplicatesWithinWatermark(["item"]).columns,
            "session": sales.withWatermark("at", "1 minute").groupBy(F.session_window("at", "1 minute"), "item").count().columns,
            "distinct": sales.select("item").distinct().columns,
            "order": sales.select("n", "item").orderBy(F.desc("n"), "item").limit(3).columns,
            "transform": sales.transform(lambda df, name: df.select(name), "item").columns,
        }
        self.assertEqual(
            cases,
            {
                "select": ["item", "(n * 2)"],
                "selectExpr": ["item", "m"],
                "withColumn": ["item", "m"],
                "withColumns": ["item", "n", "m"],
                "renamed": ["item", "m"],
                "several renamed": ["i", "m"],
                "toDF": ["a", "b"],
                "drop": ["item", "n", "at", "part"],
                "alias": ["item"],
                "groupBy": ["item", "count"],
                "agg": ["item", "sum(n)", "most"],
                "dict": ["item", "max(n)", "count(1)"],
                "sum": ["item", "sum(n)"],
                "numbers": ["item", "avg(n)", "avg(price)"],
                "all": ["rows"],
                "window": ["window", "item", "count"],
                "union": ["item"],
                "unionByName": ["item", "n"],
                "join": ["item", "n"],
                "using": ["item", "n", "price"],
                "duplicates": sales.columns,
                "watermark": sales.columns,
                "session": ["session_window", "item", "count"],
                "distinct": ["item"],
                "order": ["n", "item"],
                "transform": ["item"],
            },
        )

    def test_columns_are_sql(self):
        n, item = F.col("n"), F.col("item")
        cases = [
            (n + 1 - 2 * n, "(n + 1) - 2 * n"),
            ((n > 3) & ~(item == "tea") | item.isNull(), None),
            (n.between(1, 5), "n BETWEEN 1 AND 5"),
            (item.isin("a", "b"), "item IN ('a', 'b')"),
            (item.isin(["a"]), "item IN ('a')"),
            (item.like("a%"), "item LIKE 'a%'"),
            (item.startswith("a"), "starts_with(item, 'a')"),
            (n.cast("string"), "CAST(n AS STRING)"),
            (n.cast(T.DecimalType(10, 2)), "CAST(n AS DECIMAL(10,2))"),
            (n / 2, "CAST(n AS DOUBLE) / 2"),
            (F.when(n > 1, "many").otherwise("few"), "CASE WHEN n > 1 THEN 'many' ELSE 'few' END"),
            (n.eqNullSafe(None), "n IS NOT DISTINCT FROM NULL"),
            (item.substr(1, 2), "substr(item, 1, 2)"),
            (item[1:2], "substr(item, 1, 2)"),
            (F.lit("it's"), "'it''s'"),
        ]
        for column, text in cases:
            self.sales.select(column.alias("x"))
            if text is not None:
                self.assertEqual(repr(column), f"Column<'{text}'>")
        with self.assertRaisesRegex(ValueError, "Cannot convert column into bool"):
            bool(n > 1 and n < 3)
        with self.assertRaises(TypeError):
            n + object()

    def test_every_function_is_planned(self):
        """Each function stands in a query that the planner takes."""
        of_numbers = "abs acos acosh asin asinh atan atanh cbrt ceil ceiling cos cosh cot degrees exp factorial floor isnan ln log10 log2 negate negative positive radians round sign signum sin sinh sqrt sum sumDistinct sum_distinct tan tanh avg mean max min std stddev stddev_pop stddev_samp var_pop var_samp variance".split()
        of_lists = "array_append array_compact array_contains array_distinct array_join array_max array_min array_position array_prepend array_remove array_size cardinality explode flatten get size sort_array".split()
        of_times = "day dayofmonth dayofweek dayofyear hour minute month quarter second weekofyear year".split()
        calls = {name: (lambda f=getattr(F, name): f("n")) for name in of_numbers}
        calls.update({name: (lambda f=getattr(F, name): f("at")) for name in of_times})
        for name in of_lists:
            extra = {"array_append": ["x"], "array_contains": ["x"], "array_join": [","], "array_position": ["x"], "array_prepend": ["x"], "array_remove": ["x"], "get": [0]}.get(name, [])
            calls[name] = lambda f=getattr(F, name), extra=extra: f(F.array("tags") if f is F.flatten else "tags", *extra)
        calls.update(
            {
                "col": lambda: F.col("n"), "column": lambda: F.column("n"), "lit": lambda: F.lit(1), "expr": lambda: F.expr("n + 1"),
                "call_function": lambda: F.call_function("levenshtein", "item", "item"), "when": lambda: F.when(F.col("n") > 1, 2),
                "coalesce": lambda: F.coalesce("n", F.lit(1)), "asc": lambda: F.asc("n"), "desc": lambda: F.desc("n"),
                "asc_nulls_first": lambda: F.asc_nulls_first("n"), "asc_nulls_last": lambda: F.asc_nulls_last("n"),
                "desc_nulls_first": lambda: F.desc_nulls_first("n"), "desc_nulls_last": lambda: F.desc_nulls_last("n"),
                "count": lambda: F.count("*"), "count_distinct": lambda: F.count_distinct("n"), "countDistinct": lambda: F.countDistinct("n"),
                "bool_and": lambda: F.bool_and(F.col("n") > 1), "every": lambda: F.every(F.col("n") > 1), "bool_or": lambda: F.bool_or(F.col("n") > 1),
                "median": lambda: F.median("n"), "percentile": lambda: F.percentile("n", 0.9), "percentile_approx": lambda: F.percentile_approx("item", 0.5, 100),
                "approx_percentile": lambda: F.approx_percentile("n", F.lit(0.5)), "first": lambda: F.first("n", ignorenulls=True),
                "some": lambda: F.some(F.col("n") > 1), "count_if": lambda: F.count_if(F.col("n") > 1),
                "lpad": lambda: F.lpad("item", 5, "-"), "rpad": lambda: F.rpad("item", 5, "-"), "repeat": lambda: F.repeat("item", 2),
                "instr": lambda: F.instr("item", "a"), "locate": lambda: F.locate("a", "item"), "substring": lambda: F.substring("item", 1, 2),
                "substr": lambda: F.substr("item", F.lit(1), F.lit(2)), "replace": lambda: F.replace("item", F.lit("a"), F.lit("b")),
                "translate": lambda: F.translate("item", "a", "b"), "split": lambda: F.split("item", r"\."), "split_part": lambda: F.split_part("item", F.lit(","), F.lit(1)),
                "substring_index": lambda: F.substring_index("item", ".", 1), "concat": lambda: F.concat("item", F.lit("!")), "concat_ws": lambda: F.concat_ws("-", "item", "item"),
                "regexp_extract": lambda: F.regexp_extract("item", "(a)", 1), "regexp_replace": lambda: F.regexp_replace("item", "a", "b"),
                "rlike": lambda: F.rlike("item", F.lit("a")), "regexp": lambda: F.regexp("item", F.lit("a")), "regexp_like": lambda: F.regexp_like("item", F.lit("a")),
                "regexp_count": lambda: F.regexp_count("item", F.lit("a")), "levenshtein": lambda: F.levenshtein("item", "item"),
                "left": lambda: F.left("item", F.lit(1)), "right": lambda: F.right("item", F.lit(1)), "contains": lambda: F.contains("item", F.lit("a")),
                "startswith": lambda: F.startswith("item", F.lit("a")), "endswith": lambda: F.endswith("item", F.lit("a")),
                "pow": lambda: F.pow("n", 2), "power": lambda: F.power(2, "n"), "log": lambda: F.log(2.0, "n"), "atan2": lambda: F.atan2("n", 1.0), "pi": F.pi,
                "greatest": lambda: F.greatest("n", "n", F.lit(1)), "least": lambda: F.least("n", "n", F.lit(1)), "nanvl": lambda: F.nanvl(F.col("n").cast("double"), F.lit(1.0)),
                "nvl": lambda: F.nvl("n", F.lit(1)), "ifnull": lambda: F.ifnull("n", F.lit(1)), "nvl2": lambda: F.nvl2("n", F.lit(1), F.lit(2)), "nullif": lambda: F.nullif("n", F.lit(1)),
                "to_timestamp": lambda: F.to_timestamp("item", "yyyy-MM-dd"), "to_date": lambda: F.to_date("item"), "date_format": lambda: F.date_format("at", "yyyy"),
                "date_trunc": lambda: F.date_trunc("hour", "at"), "unix_timestamp": lambda: F.unix_timestamp("at"), "from_unixtime": lambda: F.from_unixtime("n"),
                "current_timestamp": F.current_timestamp, "now": F.now, "current_date": F.current_date, "curdate": F.curdate, "make_date": lambda: F.make_date(F.lit(2026), F.lit(1), F.lit(2)),
                "date_add": lambda: F.date_add("at", 1), "dateadd": lambda: F.dateadd("at", "n"), "date_sub": lambda: F.date_sub("at", 1), "datediff": lambda: F.datediff("at", "at"),
                "date_diff": lambda: F.date_diff("at", "at"), "add_months": lambda: F.add_months("at", 1), "months_between": lambda: F.months_between("at", "at"), "next_day": lambda: F.next_day("at", "Mon"),
                "last_day": lambda: F.last_day("at"), "weekday": lambda: F.weekday("at"), "trunc": lambda: F.trunc("at", "mon"), "max_by": lambda: F.max_by("n", "at"), "min_by": lambda: F.min_by("n", "at"),
                "hypot": lambda: F.hypot("n", 2.0), "log1p": lambda: F.log1p("n"), "expm1": lambda: F.expm1("n"), "pmod": lambda: F.pmod("n", F.lit(3)), "equal_null": lambda: F.equal_null("n", "n"),
                "create_map": lambda: F.create_map("item", "n"), "element_at": lambda: F.element_at("tags", -1), "slice": lambda: F.slice("tags", 1, "n"), "array_sort": lambda: F.array_sort("tags"),
                "array": lambda: F.array("n", "n"), "array_repeat": lambda: F.array_repeat("n", 2), "array_union": lambda: F.array_union("tags", "tags"),
                "array_intersect": lambda: F.array_intersect("tags", "tags"), "array_except": lambda: F.array_except("tags", "tags"), "arrays_overlap": lambda: F.arrays_overlap("tags", "tags"),
                "map_from_arrays": lambda: F.map_from_arrays("tags", "tags"), "struct": lambda: F.struct("n", "item"), "get_json_object": lambda: F.get_json_object("item", "$.a"),
                "from_json": lambda: F.from_json("item", "a INT"), "to_json": lambda: F.to_json(F.struct("n")), "sha2": lambda: F.sha2("item", 256), "bin": lambda: F.bin("n"),
                "map_keys": lambda: F.map_keys(F.map_from_arrays("tags", "tags")), "map_values": lambda: F.map_values(F.map_from_arrays("tags", "tags")),
            }
        )
        aggregates = set("sum sumDistinct sum_distinct avg mean max min std stddev stddev_pop stddev_samp var_pop var_samp variance count count_distinct countDistinct bool_and every bool_or some count_if any_value approx_percentile array_agg collect_list collect_set first first_value last last_value max_by median min_by percentile percentile_approx".split())
        elsewhere = {"window", "session_window", "broadcast", "udf", "call_udf", "pandas_udf", "PandasUDFType", "row_number", "rank", "dense_rank", "lag"}
        wrong = []
        for name in F.__all__:
            if name in elsewhere:
                continue
            call = calls.get(name) or (lambda f=getattr(F, name): f("item"))
            try:
                column = call().alias("x")
                self.sales.groupBy("item").agg(column) if name in aggregates else self.sales.select(column)
            except Exception as e:
                wrong.append(f"{name}: {e}")
        self.assertEqual(wrong, [])

    def test_functions_compute_what_spark_computes(self):
        row = '{"word":"Tide Gate","n":7,"x":2.5,"list":["b","a","b"],"at":"2026-03-04T05:06:07.5Z"}'
        schema = "word STRING, n INT, x DOUBLE, list ARRAY<STRING>, at TIMESTAMP"
        expected = {
            "upper": (F.upper("word"), "TIDE GATE"),
            "split": (F.split("word", " "), ["Tide", "Gate"]),
            "division": (F.col("n") / 2, 3.5),
            "remainder": (F.col("n") % 4, 3),
            "round": (F.round("x", 1), 2.5),
            "substring": (F.substring("word", 1, 4), "Tide"),
            "instr": (F.instr("word", "Gate"), 6),
            "locate": (F.locate("x", "word"), 0),
            "regexp_replace": (F.regexp_replace("word", "[aeiou]", "."), "T.d. G.t."),
            "regexp_extract": (F.regexp_extract("word", "(\\w+) (\\w+)", 2), "Gate"),
            "concat_ws": (F.concat_ws("-", "word", F.lit(None).cast("string"), F.lit("x")), "Tide Gate-x"),
            "date_format": (F.date_format("at", "yyyy/MM/dd HH:mm"), "2026/03/04 05:06"),
            "hour": (F.hour("at"), 5),
            "dayofweek": (F.dayofweek("at"), 4),
            "unix_timestamp": (F.unix_timestamp("at"), 1772600767),
            "to_timestamp": (F.to_timestamp(F.lit("04.03.2026 05:06"), "dd.MM.yyyy HH:mm"), datetime.datetime(2026, 3, 4, 5, 6)),
            "to_date": (F.to_date(F.lit("2026-03-04")), datetime.date(2026, 3, 4)),
            "array_distinct": (F.array_distinct("list"), ["b", "a"]),
            "sort_array": (F.sort_array("list"), ["a", "b", "b"]),
            "array_position": (F.array_position("list", "z"), 0),
            "element": (F.col("list")[1], "a"),
            "size": (F.size("list"), 3),
            "array_contains": (F.array_contains("list", "a"), True),
            "greatest": (F.greatest("n", F.lit(3), F.lit(9)), 9),
            "when": (F.when(F.col("n") > 9, "a").when(F.col("n") > 5, "b").otherwise("c"), "b"),
            "between": (F.col("n").between(1, 7), True),
            "decimal": (F.lit(decimal.Decimal("1.50")), decimal.Decimal("1.50")),
            "time": (F.lit(datetime.datetime(2026, 1, 2, 3, 4, 5, 6)), datetime.datetime(2026, 1, 2, 3, 4, 5, 6)),
            "bytes": (F.lit(b"\x00\xff"), b"\x00\xff"),
            "null": (F.lit(None).cast("int"), None),
            "struct": (F.struct("n", "word"), Row(n=7, word="Tide Gate")),
            "at": (F.col("at"), datetime.datetime(2026, 3, 4, 5, 6, 7, 500000)),
            "of a map": (F.map_from_arrays(F.array(F.lit("k")), F.array("n"))["k"], 7),
            "map": (F.map_keys(F.map_from_arrays(F.array(F.lit("k")), F.array("n"))), ["k"]),
        }
        names = list(expected)
        rows = self.computed(lambda df: df.select(*(expected[name][0].alias(name) for name in names)), [row], schema).collect()
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0].asDict(), {name: value for name, (_, value) in expected.items()})

    def test_the_first_rows_of_groups_are_kept(self):
        best = Window.partitionBy("shop").orderBy(F.desc("cents"))
        sales = self.spark.createDataFrame([("quay", 5), ("quay", 9), ("mill", 1), ("quay", 7)], "shop STRING, cents INT")
        kept = sales.withColumn("place", F.row_number().over(best)).filter("place <= 2")
        self.assertEqual(sorted(kept.collect()), [Row(shop="mill", cents=1, place=1), Row(shop="quay", cents=7, place=2), Row(shop="quay", cents=9, place=1)])
        self.assertEqual(repr(F.sum("n").over(Window.orderBy("at").rowsBetween(-2, 0))), "Column<'sum(n) OVER (ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)'>")
        self.assertEqual(repr(F.lag("n").over(Window.orderBy("at").rangeBetween(Window.unboundedPreceding, 0))), "Column<'lag(n, 1) OVER (ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)'>")
        with self.assertRaisesRegex(AnalysisException, "`n` is no function"):
            self.sales.select(F.col("n").over(best))

    def test_explode_makes_rows(self):
        rows = self.computed(lambda df: df.select("n", F.explode("list")), ['{"n":1,"list":["a","b"]}', '{"n":2,"list":[]}'], "n INT, list ARRAY<STRING>")
        self.assertEqual(sorted(rows.collect()), [Row(n=1, col="a"), Row(n=1, col="b")])

    def test_a_mistake_is_told_at_its_line_with_the_next_step(self):
        with self.assertRaises(AnalysisException) as caught:
            self.sales.select("itme")  # here
        told = str(caught.exception)
        self.assertIn(f"{HERE.name}:{line_of('# here')}", told)
        self.assertIn("there is no column `itme`", told)
        self.assertIn("`item`", told)

    def test_a_mistake_in_sql_has_its_place_and_caret(self):
        with self.assertRaises(AnalysisException) as caught:
            self.spark.sql("SELECT item,\n  prise FROM sales")
        told = str(caught.exception)
        self.assertIn(":2:3: there is no column `prise`", told)
        self.assertIn("  2 |   prise FROM sales\n    |   ^^^^^", told)

    def test_what_cannot_be_is_told_in_the_words_of_python(self):
        counts = self.sales.groupBy("item").count()
        with self.assertRaises(AnalysisException) as caught:
            counts.writeStream.format("console").start()
        self.assertIn('outputMode("update")', str(caught.exception))
        self.assertIn("withWatermark", str(caught.exception))
        with self.assertRaisesRegex(AnalysisException, "readStream|the format of the source"):
            self.spark.readStream.load()
        with self.assertRaises(AnalysisException) as caught:
            counts.show()
        told = str(caught.exception)
        self.assertIn("queries with streaming sources must be executed with writeStream.start()", told)
        self.assertIn("trigger(availableNow=True)", told)
        self.assertIn("test_frames.py:", told)
        with self.assertRaisesRegex(AnalysisException, "call schema"):
            self.spark.readStream.json("/nowhere")
        with self.assertRaisesRegex(AnalysisException, "both sides of the join have a column `item`"):
            counts.join(counts, counts["item"] == counts["item"])
        with self.assertRaisesRegex(ValueError, "Multiple triggers"):
            counts.writeStream.trigger(once=True, availableNow=True)

    def test_views_and_tables(self):
        self.sales.select("item").createOrReplaceTempView("items")
        self.assertEqual(self.spark.sql("SELECT upper(item) AS i FROM items").columns, ["i"])
        self.assertTrue(self.spark.catalog.tableExists("items"))
        with self.assertRaisesRegex(AnalysisException, "createOrReplaceTempView"):
            self.sales.createTempView("items")
        self.assertTrue(self.spark.catalog.dropTempView("items"))
        self.assertFalse(self.spark.catalog.dropTempView("items"))
        with self.assertRaisesRegex(AnalysisException, "did you mean `sales`"):
            self.spark.table("sale")


class Types(unittest.TestCase):
    def test_texts_are_types(self):
        cases = {
            "a INT, b STRING NOT NULL": "struct<a:int,b:string>",
            "a: bigint, `b c` decimal(10,2)": "struct<a:bigint,b c:decimal(10,2)>",
            "m MAP<STRING, ARRAY<INT>>, s STRUCT<x: INT, y: TIMESTAMP>": "struct<m:map<string,array<int>>,s:struct<x:int,y:timestamp>>",
            "l long COMMENT 'it''s', t tinyint": "struct<l:bigint,t:tinyint>",
        }
        for text, simple in cases.items():
            self.assertEqual(T._parse_columns(text).simpleString(), simple)
        for text in ("a", "a INT b", "a NO", "a ARRAY<INT"):
            with self.assertRaises(ValueError):
                T._parse_columns(text)

    def test_types_go_to_json_and_back(self):
        kind = T.StructType().add("a", "int").add("b", T.MapType(T.StringType(), T.ArrayType(T.DoubleType(), False)), False)
        kind.add(T.StructField("c", T.DecimalType(38, 18)))
        self.assertEqual(T.StructType.fromJson(kind.jsonValue()), kind)
        self.assertEqual(kind["b"].nullable, False)
        self.assertEqual(kind._columns(), "`a` INT, `b` MAP<STRING, ARRAY<DOUBLE NOT NULL>> NOT NULL, `c` DECIMAL(38, 18)")

    def test_rows_are_tuples_with_names(self):
        row = Row(name="ann", n=3)
        self.assertEqual((row.name, row["n"], row[0], "n" in row, row == ("ann", 3)), ("ann", 3, "ann", True, True))
        self.assertEqual(repr(row), "Row(name='ann', n=3)")
        person = Row("name", "n")
        self.assertEqual(person("bob", 1), Row(name="bob", n=1))
        self.assertEqual(Row(a=Row(b=1)).asDict(True), {"a": {"b": 1}})
        self.assertEqual(pickle.loads(pickle.dumps(row)).name, "ann")
        with self.assertRaises(AttributeError):
            row.other
        with self.assertRaises(RuntimeError):
            row.name = "x"


if __name__ == "__main__":
    unittest.main()
