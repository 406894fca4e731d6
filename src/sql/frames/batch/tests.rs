//! What queries over rows that have an end give and show, and what is said of those that cannot be.

use crate::{
    Error,
    sql::{
        DataFrame, StreamSession,
        functions::{
            avg, col, count, count_distinct, explode, expr, lit, session_window, split, sum, window,
        },
    },
};
use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::Int64Type,
};
use std::{fs, path::Path, sync::Arc};

/// A session of its own, without a page.
fn session(name: &str) -> StreamSession {
    let builder = StreamSession::builder(name).threads(2);
    builder.configure(|config| config.admin_bind = None).get_or_create().unwrap()
}

/// Sales, some of them twice, with NULLs.
fn sales() -> RecordBatch {
    let number =
        |of: i64| -> Int64Array { (0..200_i64).map(|n| (n % of != 3).then_some(n * n % of)).collect() };
    let items = (0..200_usize).map(|n| (n % 9 != 4).then_some(["tea", "oil", "salt", "sea"][n * n % 7 % 4]));
    let columns = [
        ("place", Arc::new(number(11)) as ArrayRef),
        ("item", Arc::new(items.collect::<StringArray>()) as _),
        ("cents", Arc::new(number(97)) as _),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn places() -> RecordBatch {
    let ids = Int64Array::from(vec![Some(0), Some(1), Some(2), Some(2), None, Some(77)]);
    let names = StringArray::from(vec![
        Some("quay"),
        Some("mill"),
        Some("fair"),
        Some("market"),
        Some("nowhere"),
        None,
    ]);
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names) as _)]).unwrap()
}

fn text(frame: &DataFrame) -> String {
    frame.shown(20, Some(20), false).unwrap()
}

/// A folder with a file.
fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn lines(lines: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([("line", Arc::new(StringArray::from(lines.to_vec())) as ArrayRef)]).unwrap()
}

#[test]
fn files_are_read_whenever_rows_are_asked_for_and_keep_their_order() {
    let spark = session("batch files");
    let folder = folder("places.csv", "id,name\n2,quay\n1,\"a, b\"\n3,\n");
    let places = spark.read().schema("id BIGINT, name STRING").option("header", true);
    let places = places.csv(&path(folder.path(), "places.csv")).unwrap();
    assert!(!places.is_streaming());
    assert_eq!(
        text(&places),
        "+---+----+\n| id|name|\n+---+----+\n|  2|quay|\n|  1|a, b|\n|  3|NULL|\n+---+----+\n"
    );
    let upper =
        places.select([expr("upper(name)").alias("n"), col("id")]).unwrap().filter(col("id").leq(2)).unwrap();
    assert_eq!(text(&upper), "+----+---+\n|   n| id|\n+----+---+\n|QUAY|  2|\n|A, B|  1|\n+----+---+\n");
    fs::write(folder.path().join("places.csv"), "id,name\n9,mill\n").unwrap();
    assert_eq!(text(&upper), "+---+---+\n|  n| id|\n+---+---+\n+---+---+\n");
    assert_eq!((places.count().unwrap(), places.is_empty().unwrap()), (1, false));
    assert_eq!(places.shown(20, Some(20), true).unwrap(), "-RECORD 0----\n id   | 9    \n name | mill \n");
    let told = spark.read().schema("id BIGINT").json(&path(folder.path(), "places.csv")).unwrap().collect();
    let told = told.unwrap_err().to_string();
    assert!(told.contains("places.csv: line 1: ") && told.contains("tests.rs:"), "{told}");
}

#[test]
fn columns_that_are_not_said_are_those_of_the_files() {
    let spark = session("batch inferred");
    let lines = "{\"n\":1,\"tags\":[\"a\"]}\n\n{\"name\":\"sea\",\"n\":2.5}\n";
    let folder = folder("a.json", lines);
    let json = spark.read().json(&path(folder.path(), "a.json")).unwrap();
    assert_eq!(json.columns(), ["n", "name", "tags"]);
    assert_eq!(
        text(&json),
        "+---+----+----+\n|  n|name|tags|\n+---+----+----+\n|1.0|NULL| [a]|\n|2.5| sea|NULL|\n+---+----+----+\n"
    );
    fs::write(folder.path().join("b.csv"), "x;\"the name\"\n007;sea\n").unwrap();
    let csv = spark.read().option("sep", ";");
    let named = csv.clone().option("header", true).csv(&path(folder.path(), "b.csv")).unwrap();
    assert_eq!(
        text(&named),
        "+---+--------+\n|  x|the name|\n+---+--------+\n|007|     sea|\n+---+--------+\n"
    );
    assert_eq!(csv.csv(&path(folder.path(), "b.csv")).unwrap().columns(), ["_c0", "_c1"]);
    let to = path(folder.path(), "parquet");
    spark.create_data_frame([places()]).unwrap().write().parquet(&to).unwrap();
    assert_eq!(spark.read().parquet(&to).unwrap().collect().unwrap().columns(), places().columns());
    let lines = spark.read().text(&path(folder.path(), "b.csv")).unwrap();
    assert_eq!((lines.columns(), lines.count().unwrap()), (vec!["value".to_owned()], 2));
}

#[test]
fn values_in_the_names_of_folders_are_columns() {
    let spark = session("batch folders");
    let folder = tempfile::tempdir().unwrap();
    for (day, n) in [("2026-11-29", 1), ("2026-11-30", 2)] {
        let of_day = folder.path().join(format!("day={day}"));
        fs::create_dir(&of_day).unwrap();
        fs::write(of_day.join("part.json"), format!("{{\"n\":{n}}}\n")).unwrap();
    }
    let root = folder.path().display().to_string();
    let days = spark.read().schema("n BIGINT, day DATE").json(&root).unwrap();
    let later = days.filter(col("day").gt(expr("DATE '2026-11-29'"))).unwrap();
    assert_eq!(
        text(&later),
        "+---+----------+\n|  n|       day|\n+---+----------+\n|  2|2026-11-30|\n+---+----------+\n"
    );
    let told = spark.read().json(&root).unwrap_err().to_string();
    assert!(told.contains("the files are in folders of values, such as `day=..`"), "{told}");
}

#[test]
fn methods_of_data_frames_compute_all_rows() {
    let spark = session("batch methods");
    let sales = spark.create_data_frame([sales()]).unwrap();
    let counts =
        sales.group_by(["item"]).count().unwrap().order_by([col("count").desc(), col("item").asc()]).unwrap();
    let rows = counts.collect().unwrap();
    let counted = rows.column(1).as_primitive::<Int64Type>().values();
    assert!(
        counted.windows(2).all(|pair| pair[0] >= pair[1]) && counted.iter().sum::<i64>() == 200,
        "{counted:?}"
    );
    // An order holds over what leaves it as it is.
    let names = counts.select(["item"]).unwrap().collect().unwrap();
    assert_eq!(names.column(0), rows.column(0));
    assert_eq!(counts.limit(2).unwrap().collect().unwrap(), rows.slice(0, 2));
    assert_eq!(counts.first().unwrap().unwrap(), rows.slice(0, 1));
    assert_eq!(
        counts
            .agg([sum("count").alias("n")])
            .unwrap()
            .collect()
            .unwrap()
            .column(0)
            .as_primitive::<Int64Type>()
            .value(0),
        200
    );
    let places = spark.create_data_frame([places()]).unwrap();
    let beside = sales.join(&places, col("place").eq(col("id")), "left_outer").unwrap();
    let by_name = beside.group_by(["name"]).agg([count("*").alias("n"), avg("cents").alias("w")]).unwrap();
    assert_eq!(by_name.count().unwrap(), 3);
    let both = sales.join(&places, col("place").eq(col("id")), "full_outer").unwrap();
    assert!(both.count().unwrap() > beside.count().unwrap());
    let words = spark.create_data_frame([lines(&["to be or", "not to be"])]).unwrap();
    let words = words.select([explode(split("line", " ")).alias("word")]).unwrap();
    assert_eq!(
        words
            .agg([count_distinct("word").alias("n")])
            .unwrap()
            .collect()
            .unwrap()
            .column(0)
            .as_primitive::<Int64Type>()
            .value(0),
        4
    );
    assert_eq!(text(&words.limit(3).unwrap()), "+----+\n|word|\n+----+\n|  to|\n|  be|\n|  or|\n+----+\n");
    assert_eq!(words.drop_duplicates(["word"]).unwrap().count().unwrap(), 4);
    assert_eq!(
        words.group_by(["word"]).count().unwrap().drop_duplicates(["count"]).unwrap().count().unwrap(),
        2
    );
    assert_eq!(words.union(&words).unwrap().distinct().unwrap().count().unwrap(), 4);
    let some = words.filter(col("word").eq("be")).unwrap();
    assert_eq!(words.except(&some).unwrap().count().unwrap(), 3);
    let twice = words.with_column("n", lit(2)).unwrap().create_or_replace_temp_view("words");
    twice.unwrap();
    let sums = spark.sql("SELECT word, sum(n) AS n FROM words GROUP BY word ORDER BY n DESC, word").unwrap();
    assert_eq!(
        text(&sums),
        "+----+---+\n|word|  n|\n+----+---+\n|  be|  4|\n|  to|  4|\n| not|  2|\n|  or|  2|\n+----+---+\n"
    );
}

#[test]
fn watermarks_mean_nothing_where_all_rows_are_there() {
    let spark = session("batch windows");
    let times = TimestampMillisecondArray::from(vec![5_000, 61_000, 1_000, 3_600_000, 2_000]);
    let clicks = RecordBatch::try_from_iter([("ts", Arc::new(times) as ArrayRef)]).unwrap();
    let clicks = spark.create_data_frame([clicks]).unwrap().with_watermark("ts", "1 second").unwrap();
    let counts = clicks.group_by([window("ts", "1 minute")]).count().unwrap().order_by(["window"]).unwrap();
    assert_eq!(
        counts.shown(20, None, false).unwrap(),
        "\
+------------------------------------------+-----+
|window                                    |count|
+------------------------------------------+-----+
|{1970-01-01 00:00:00, 1970-01-01 00:01:00}|3    |
|{1970-01-01 00:01:00, 1970-01-01 00:02:00}|1    |
|{1970-01-01 01:00:00, 1970-01-01 01:01:00}|1    |
+------------------------------------------+-----+
"
    );
    let sessions = clicks.group_by([session_window("ts", "5 minutes")]).count().unwrap();
    assert_eq!(sessions.count().unwrap(), 2);
    let told = clicks.drop_duplicates_within_watermark(["ts"]).unwrap().collect().unwrap_err().to_string();
    assert!(told.contains("`drop_duplicates_within_watermark` of rows that have an end"), "{told}");
}

#[test]
fn what_cannot_be_is_told_at_its_line() {
    let spark = session("batch mistakes");
    let numbers = spark.range(0, 5, 1).unwrap();
    let told = |result: crate::Result<DataFrame>| result.unwrap_err().to_string();
    let of_stream = spark.read_stream().format("rate").load().unwrap();
    let streamed = of_stream.shown(20, None, false).unwrap_err().to_string();
    assert!(
        streamed.contains("queries with streaming sources must be executed with write_stream().start()"),
        "{streamed}"
    );
    let written = numbers.write_stream().format("console").start().unwrap_err().to_string();
    assert!(written.contains("`write_stream` can be called only on a streaming DataFrame"), "{written}");
    for (told, expected) in [
        (told(spark.range(0, 1, 0)), "a range whose step is 0"),
        (told(spark.create_data_frame([])), "rows without columns"),
        (told(spark.read().load()), "the format is not said"),
        (told(spark.read().format("kafka").load()), "the rows of `kafka` keep coming"),
        (told(spark.read().format("orc").load()), "there is no format `orc` of rows that are read once"),
        (told(spark.read().format("json").load()), "the file or folder to read is not said"),
        (
            told(spark.read().schema("a INT").option("mode", "PERMISSIVE").csv("/x")),
            "the mode `PERMISSIVE` is not supported",
        ),
        (
            told(spark.read().option("inferSchema", true).csv("/x")),
            "the types of columns of CSV are not inferred",
        ),
        (told(spark.read().option("colour", "red").schema("a INT").csv("/x")), "'colour'"),
        (told(spark.read().jdbc("jdbc:postgresql://h/db", "t")), "the columns of the table are not said"),
        (told(spark.read().parquet("/nowhere/at/all")), "/nowhere/at/all"),
    ] {
        assert!(told.contains(expected) && told.contains("tests.rs:"), "{told}");
        assert!(told.contains("next: "), "{told}");
    }
}

#[test]
fn a_row_that_cannot_be_computed_is_an_error_and_nothing_runs_on() {
    let spark = session("batch failing");
    let numbers = spark.range(-2, 3, 1).unwrap();
    let failing = numbers.select([(lit(10) / col("id")).alias("n")]).unwrap();
    for frame in [failing.clone(), failing.group_by(["n"]).count().unwrap()] {
        let told = frame.collect().unwrap_err();
        assert!(told.to_string().to_lowercase().contains("divi"), "{told}");
        assert!(
            matches!(told, Error::Plan(_) | Error::Row(_) | Error::Operator { .. } | Error::BadRecord { .. }),
            "{told:?}"
        );
    }
    assert_eq!(numbers.count().unwrap(), 5);
}

#[test]
fn a_join_by_name_has_the_value_of_whichever_side_has_one() {
    let spark = session("batch by name");
    let side = |ids: [i64; 2], name: &str, texts: [&str; 2]| {
        let columns = [
            ("k", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
            (name, Arc::new(StringArray::from(texts.to_vec())) as _),
        ];
        spark.create_data_frame([RecordBatch::try_from_iter(columns).unwrap()]).unwrap()
    };
    let (a, b) = (side([1, 2], "x", ["a", "b"]), side([2, 3], "y", ["c", "d"]));
    let joined = |how: &str| text(&a.join_using(&b, ["k"], how).unwrap().order_by(["k"]).unwrap());
    let border = "+---+----+----+\n|  k|   x|   y|\n+---+----+----+\n";
    assert_eq!(
        joined("full"),
        format!("{border}|  1|   a|NULL|\n|  2|   b|   c|\n|  3|NULL|   d|\n+---+----+----+\n")
    );
    assert_eq!(
        joined("right"),
        "+---+----+---+\n|  k|   x|  y|\n+---+----+---+\n|  2|   b|  c|\n|  3|NULL|  d|\n+---+----+---+\n"
    );
    assert_eq!(
        joined("left"),
        "+---+---+----+\n|  k|  x|   y|\n+---+---+----+\n|  1|  a|NULL|\n|  2|  b|   c|\n+---+---+----+\n"
    );
    assert_eq!(a.join_using(&b, ["k"], "anti").unwrap().collect().unwrap().num_rows(), 1);
}

#[test]
fn the_columns_of_a_join_by_name_come_first() {
    let spark = session("batch by name, in order");
    let row = |names: [&str; 2]| {
        let columns = names.map(|name| (name, Arc::new(Int64Array::from(vec![1])) as ArrayRef));
        spark.create_data_frame([RecordBatch::try_from_iter(columns).unwrap()]).unwrap()
    };
    let (a, b, c) = (row(["x", "k"]), row(["y", "k"]), row(["z", "y"]));
    let (a, b) = (a.alias("a").unwrap(), b.alias("b").unwrap());
    for how in ["inner", "left", "right", "full"] {
        let joined = a.join_using(&b, ["k"], how).unwrap();
        assert_eq!(joined.columns(), ["k", "x", "y"], "{how}");
        let twice = joined.filter(col("x").eq(1)).unwrap().join_using(&c, ["y"], how).unwrap();
        assert_eq!(twice.columns(), ["y", "k", "x", "z"], "{how}");
        let twice = joined.join_using(&c, ["y"], how).unwrap();
        assert_eq!(twice.columns(), ["y", "k", "x", "z"], "{how}");
        assert_eq!(twice.collect().unwrap().num_rows(), 1, "{how}");
    }
    let none = a.join_using(&b, ["k"], "inner").unwrap().filter(col("x").eq(2)).unwrap();
    let kept = c.join_using(&none, ["y"], "left").unwrap().collect().unwrap();
    assert_eq!(kept.column(0).as_primitive::<Int64Type>().value(0), 1, "of the left side");
    for how in ["left_semi", "left_anti"] {
        assert_eq!(a.join_using(&b, ["k"], how).unwrap().columns(), ["k", "x"], "{how}");
    }
    let named = a.join_using(&b, ["k"], "left").unwrap().select(["a.x", "b.y"]).unwrap();
    assert_eq!(named.columns(), ["x", "y"]);
}

#[test]
fn rows_are_written_into_files_in_each_mode() {
    let spark = session("batch written");
    let folder = tempfile::tempdir().unwrap();
    let to = path(folder.path(), "out");
    let numbers = spark.range(0, 3, 1).unwrap().with_column("odd", (col("id") % 2).eq(1)).unwrap();
    numbers.write().json(&to).unwrap();
    let told = numbers.write().json(&to).unwrap_err().to_string();
    assert!(told.contains("already") && told.contains("mode(\"append\")"), "{told}");
    numbers.write().mode("ignore").json(&to).unwrap();
    let read = || spark.read().schema("id BIGINT, odd BOOLEAN").json(&to).unwrap();
    assert_eq!(read().count().unwrap(), 3);
    numbers.group_by(["odd"]).agg([sum("id").alias("id")]).unwrap().write().mode("append").json(&to).unwrap();
    assert_eq!(read().count().unwrap(), 5);
    // What is read is what is replaced: the rows are there before.
    read().filter(col("odd").eq(true)).unwrap().write().mode("overwrite").json(&to).unwrap();
    assert_eq!(text(&read()), "+---+----+\n| id| odd|\n+---+----+\n|  1|true|\n|  1|true|\n+---+----+\n");
    let parted = path(folder.path(), "parted");
    numbers.write().partition_by(["odd"]).csv(&parted).unwrap();
    let odd = spark
        .read()
        .schema("id BIGINT, odd BOOLEAN")
        .csv(&parted)
        .unwrap()
        .filter(col("odd").eq(true))
        .unwrap();
    assert_eq!(text(&odd), "+---+----+\n| id| odd|\n+---+----+\n|  1|true|\n+---+----+\n");
    let empty = path(folder.path(), "empty");
    numbers.filter(col("id").gt(9)).unwrap().write().parquet(&empty).unwrap();
    assert_eq!(spark.read().schema("id BIGINT").parquet(&empty).unwrap().count().unwrap(), 0);
    for (told, expected) in [
        (
            numbers.write().format("kafka").save("/x").unwrap_err(),
            "rows that have an end are not written to `kafka`",
        ),
        (numbers.write().mode("upsert").json("/x").unwrap_err(), "there is no mode `upsert`"),
        (
            spark.read_stream().format("rate").load().unwrap().write().json("/x").unwrap_err(),
            "`write` can not be called on a streaming DataFrame",
        ),
    ] {
        let told = told.to_string();
        assert!(told.contains(expected) && told.contains("tests.rs:"), "{told}");
    }
}
