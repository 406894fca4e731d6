"""Texts of JSON become rows and rows become texts; conditions and orders by columns that a selection has left out."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, LongType, StringType, StructField, StructType

TEXTS = [
    '{"a":1,"b":"x"}',
    '{"a":"1","b":2}',
    '{"b":{"c": [1, 2]},"a":1.0}',
    "bad",
    "",
    None,
    '[{"a":5,"b":"in"}]',
    '{"a":2',
    '{"a":9999999999,"b":null}',
    '{"A":3}',
    ' {"a" : 4 } ',
    '{"a":1,"a":2}',
    "null",
    '{"a":1} trailing',
    "{'a':7}",
    '{"a":true,"b":true}',
]

VALUES = [
    '{"d":"2024-02-29","ts":"2024-02-29T10:00:00Z","dec":1.25,"f":1.5,"bo":true,"l":[1,2,null],"m":{"x":1,"y":null},"s":{"p":1}}',
    '{"d":"2024-2-9","ts":"2024-02-29 10:00:00.5","dec":1.255,"f":1,"bo":"true","l":["1"],"m":{"x":"1"},"s":{"p":"1"}}',
    '{"d":19000,"ts":1700000000,"dec":"1.25","f":"Infinity","bo":1,"l":3,"m":[],"s":[]}',
    '{"d":"x","ts":"x","dec":123456789.5,"bo":null,"l":{},"m":{},"s":null}',
    '{"d":"2024-02-29T01:00:00","ts":"2024-02-29T10:00:00+02:00","dec":12345,"bo":false,"l":[],"m":{"x":1.5},"s":{}}',
]

if __name__ == "__main__":
    spark = SparkSession.builder.appName("JsonTexts").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    texts = spark.createDataFrame(list(enumerate(TEXTS)), "i INT, t STRING")
    schema = StructType([StructField("a", LongType()), StructField("b", StringType())])

    print("texts")
    for row in texts.select("i", F.from_json("t", "a INT, b STRING").alias("j")).select("i", "j", "j.a", F.col("j").isNull()).orderBy("i").collect():
        print(tuple(row))
    print(texts.select(F.from_json(F.col("t"), schema).alias("row")).select("row.*").columns)
    print(sorted(texts.select("i", F.from_json("t", schema).alias("row")).where("row.a > 4").select("i", "row.*").collect()))
    print(texts.select(F.from_json("t", "a INT"), F.to_json(F.struct("i"))).columns)

    print("values")
    values = spark.createDataFrame(list(enumerate(VALUES)), "i INT, t STRING")
    columns = "d DATE, ts TIMESTAMP, dec DECIMAL(5,2), f DOUBLE, bo BOOLEAN, l ARRAY<INT>, m MAP<STRING, INT>, s STRUCT<p: INT>"
    read = values.select("i", F.from_json("t", columns).alias("v"))
    for row in read.select("i", "v.d", "v.dec", "v.f", "v.bo", "v.l", "v.m", "v.s").orderBy("i").collect():
        print(tuple(row))
    for row in read.select("i", F.to_json("v").alias("t")).orderBy("i").collect():
        print(tuple(row))

    print("lists and maps")
    lists = spark.createDataFrame(list(enumerate(["[1,2]", '{"a":1}', "x", "[]", "1", '{"x":{"a":1}}', None])), "i INT, t STRING")
    for row in lists.select("i", F.from_json("t", ArrayType(IntegerType())).alias("l"), F.from_json("t", "map<string,int>").alias("m")).orderBy("i").collect():
        print(tuple(row))
    print(lists.where("i = 0").select(F.to_json(F.array(F.lit(1), F.lit(None))), F.to_json(F.create_map(F.lit("k"), F.lit(2)))).first()[:])

    print("left out")
    print(texts.select("t").where("i > 13").collect())
    print(texts.select(F.upper("t").alias("u")).filter(F.col("i") == 3).collect())
    print(texts.select("t").orderBy(F.desc("i")).limit(2).collect())

    print("digests")
    codes = spark.createDataFrame([("abc", 255), ("", -1), (None, None)], "s STRING, n INT")
    for row in codes.select(F.md5("s"), F.sha2("s", 0), F.sha2("s", 224), F.sha2("s", 512), F.crc32("s"), F.hex("n"), F.hex("s"), F.bin("n"), F.base64("s")).collect():
        print(tuple(row))
    for row in codes.select(F.unhex(F.hex("s")), F.unhex("s"), F.unbase64(F.base64("s")), F.md5(F.unhex(F.hex("s"))), F.get_json_object(F.lit('{"a":{"b":[1,null,"x"]}}'), "$.a"), F.get_json_object(F.lit('{"a":{"b":[1,null,"x"]}}'), "$.a.b[2]")).collect():
        print(tuple(row))
    print(codes.select(F.md5("s"), F.sha2("s", 256), F.hex("n"), F.base64("s"), F.crc32("s"), F.unhex("s"), F.bin("n")).columns)

    print("parts of texts")
    parts = spark.createDataFrame([("hello", "a1b2"), (None, "x")], "s STRING, t STRING")
    parts.createOrReplaceTempView("parts")
    for row in parts.selectExpr("concat(s, t)", "concat(t, '-', 1)", "substr(s, -3)", "substr(s, 0, 2)", "substring(s, -9, 6)", "regexp_replace(t, '[0-9]', 'x')").collect():
        print(tuple(row))
    for row in parts.select(F.concat("s", F.lit("x")), F.concat(F.array(F.lit(1)), F.array(F.lit(2))), F.col("s").substr(-3, 2), F.regexp_replace("t", "[0-9]", "x")).collect():
        print(tuple(row))
    sys.stdout.flush()
