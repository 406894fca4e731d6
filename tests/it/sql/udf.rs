//! Functions of the program in queries: what they compute, what is said of mistakes, and what becomes of a function that fails.

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray},
    datatypes::Int64Type,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tidegate::{
    StreamingContext,
    sql::{
        ArgumentTypes, Column, DataFrame, StreamSession, Trigger, UserDefinedFunction,
        functions::{call_udf, col, count, explode, expr, lit, sum},
    },
    testing::{Driver, run_every_way},
};

/// A session of its own on a log in memory, without a page.
fn session(name: &str) -> StreamSession {
    let builder = StreamSession::builder(name).threads(1);
    builder.configure(|config| config.admin_bind = None).get_or_create().unwrap()
}

/// Rows of the topic `sales`.
fn sales(spark: &StreamSession, policy: &str) -> DataFrame {
    let reader =
        spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json");
    let reader = reader.option("startingOffsets", "earliest").option("on-bad-record", policy);
    reader.schema("item STRING, n BIGINT").load().unwrap()
}

fn sale(item: &str, n: &str) -> String {
    format!("sales 0 | - | {{\"item\":{item},\"n\":{n}}}\n")
}

/// A driver of a query that writes this column as text.
#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn driver_of(frame: &DataFrame, value: Column) -> Driver<'static> {
    let frame = frame.select([value.cast("STRING").alias("value")]).unwrap();
    let writer = frame.write_stream().format("kafka").option("topic", "out");
    Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap())
}

/// What this column is for these rows.
fn computed(frame: &DataFrame, value: Column, rows: &[(&str, &str)]) -> Vec<String> {
    let rows: String = rows.iter().map(|(item, n)| sale(item, n)).collect();
    let written = driver_of(frame, value).batch(&rows).unwrap().to_string();
    let mut values: Vec<String> =
        written.lines().map(|row| row.rsplit(" | ").next().unwrap().to_owned()).collect();
    values.sort();
    values
}

fn shout(item: &str, n: Option<i64>) -> String {
    item.to_uppercase() + &"!".repeat(usize::try_from(n.unwrap_or(1)).unwrap_or(0))
}

/// A function over columns that counts its calls.
fn twice(spark: &StreamSession, calls: &Arc<AtomicUsize>) -> UserDefinedFunction {
    let calls = calls.clone();
    let twice = move |columns: &[ArrayRef]| {
        calls.fetch_add(1, Ordering::Relaxed);
        let numbers = columns[0].as_primitive::<Int64Type>().iter().map(|n| n.map(|n| 2 * n));
        Ok::<_, String>(Arc::new(numbers.collect::<Int64Array>()) as ArrayRef)
    };
    spark.udf().register_arrow("twice", ["BIGINT"], "BIGINT", twice).unwrap()
}

const ROWS: [(&str, &str); 3] = [("\"tea\"", "2"), ("\"sea\"", "null"), ("null", "3")];

#[test]
fn a_function_stands_wherever_a_function_of_sql_does() {
    let spark = session("udf everywhere");
    let of_rows = spark.udf().register("Shout", shout).unwrap();
    let rows = sales(&spark, "fail");
    let expected = ["-", "SEA!", "TEA!!"];
    assert_eq!(computed(&rows, of_rows.call(["item", "n"]), &ROWS), expected);
    assert_eq!(computed(&rows, call_udf("shout", ["item", "n"]), &ROWS), expected);
    assert_eq!(computed(&rows, expr("SHOUT(item, n)"), &ROWS), expected);
    assert_eq!(computed(&rows, expr("shout('a', 1) || shout(item, 0)"), &ROWS), ["-", "A!SEA", "A!TEA"]);
    let few = rows.filter(of_rows.call(["item", "n"]).eq("TEA!!")).unwrap();
    assert_eq!(computed(&few, col("item"), &ROWS), ["tea"]);
    rows.create_or_replace_temp_view("rows").unwrap();
    let text = "SELECT shout(item, n) AS loud FROM rows WHERE CASE WHEN n IS NULL THEN false ELSE shout(item, 0) <> 'X' END";
    assert_eq!(computed(&spark.sql(text).unwrap(), col("loud"), &ROWS), ["TEA!!"]);
    assert_eq!(spark.sql("SELECT Shout(item, n) FROM rows").unwrap().columns().len(), 1);
    let letters = |item: String| item.chars().map(|c| c.to_string()).collect::<Vec<_>>();
    let letters = spark.udf().register("letters", letters).unwrap();
    let exploded = rows.select([explode(letters.call(["item"])).alias("letter")]).unwrap();
    assert_eq!(computed(&exploded, col("letter"), &ROWS), ["a", "a", "e", "e", "s", "t"]);
    assert_eq!(of_rows.call(["item", "n"]).to_string(), "Shout(item, n)");
}

#[test]
fn a_function_over_columns_is_called_once_for_the_rows_that_come_together() {
    let spark = session("udf columns");
    let calls = Arc::new(AtomicUsize::new(0));
    let twice = twice(&spark, &calls);
    let rows = sales(&spark, "fail");
    let mut driver = driver_of(&rows, twice.call(["n"]));
    let input: String = ROWS.iter().map(|(item, n)| sale(item, n)).collect();
    assert_eq!(driver.batch(&input).unwrap().to_string(), "out | - | -\nout | - | 4\nout | - | 6\n");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let type_of = |columns: &[ArrayRef]| {
        let name = columns[0].data_type().to_string();
        Ok::<_, String>(Arc::new(StringArray::from(vec![name; columns[0].len()])) as ArrayRef)
    };
    let any = spark.udf().register_arrow("type_of", ArgumentTypes::any(0..=1), "STRING", type_of).unwrap();
    let of = |column: Column| computed(&rows, column, &ROWS[..1]);
    assert_eq!(of(any.call(["n"])), ["Int64"]);
    assert_eq!(of(any.call([lit("x")])), ["Utf8"]);
    assert_eq!(of(any.call([lit(None::<i64>)])), ["Utf8"]);
    assert_eq!(of(any.call::<&str>([])), ["Null"]);
    assert_eq!(of(any.call([expr("make_array(item)")])), ["List(Utf8)"]);
}

#[test]
fn values_have_the_types_that_were_said() {
    let spark = session("udf types");
    let rows = sales(&spark, "fail");
    spark.udf().register("small", |n: i32, x: f64| f64::from(n) * x).unwrap();
    spark.udf().register("octets", |bytes: &[u8], is: bool| is.then(|| bytes.to_vec())).unwrap();
    spark.udf().register("reals", |x: f32| vec![f64::from(x), 1.0]).unwrap();
    let of = |text: &str| computed(&rows, expr(text), &ROWS[..1]);
    assert_eq!(of("small(n, 0.5)"), ["1.0"]);
    assert_eq!(of("small(3, n)"), ["6.0"]);
    assert_eq!(of("CAST(octets(CAST(item AS BYTES), true) AS STRING)"), ["tea"]);
    assert_eq!(of("octets(CAST(item AS BYTES), false) IS NULL"), ["true"]);
    assert_eq!(of("array_element(reals(n), 1)"), ["2.0"]);
    let frame =
        rows.select_expr(["small(n, 1) AS a", "reals(n) AS b", "octets(CAST(item AS BYTES), true) AS c"]);
    let schema = frame.unwrap().schema();
    let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types, ["Float64", "List(Float64)", "Binary"]);
}

#[test]
fn what_is_constant_is_computed_by_the_query_and_not_by_the_planner() {
    let spark = session("udf constant");
    let calls = Arc::new(AtomicUsize::new(0));
    let twice = twice(&spark, &calls);
    let rows = sales(&spark, "fail").filter(col("n").isin([twice.call([lit(1)])])).unwrap();
    let plans = rows.select([twice.call([lit(21)]).alias("m")]).unwrap().explained().unwrap();
    let mut driver = driver_of(&rows, twice.call([lit(21)]));
    assert_eq!(calls.load(Ordering::Relaxed), 0, "{plans}");
    assert!(plans.contains("twice("), "{plans}");
    let input: String = [("null", "2"), ("null", "3"), ("null", "2")].map(|(item, n)| sale(item, n)).concat();
    assert_eq!(driver.batch(&input).unwrap().to_string(), "out | - | 42\nout | - | 42\n");
}

#[test]
fn state_is_kept_of_what_functions_give_in_every_way_of_running() {
    let spark = session("udf state");
    spark.udf().register("size_of", |n: i64| if n > 9 { "large" } else { "small" }).unwrap();
    spark.udf().register("half", |n: i64| n / 2).unwrap();
    let rows = sales(&spark, "fail").filter(expr("half(n) >= 0")).unwrap();
    let sums = rows
        .group_by([call_udf("size_of", ["n"]).alias("key")])
        .agg([sum(call_udf("half", ["n"])).alias("total"), count("*").alias("sales")]);
    let text = "CAST(half(total) AS STRING) || '/' || CAST(sales AS STRING) AS value";
    let text = sums.unwrap().select([col("key"), expr(text)]).unwrap();
    let writer = text.write_stream().format("kafka").option("topic", "sizes").output_mode("update");
    let program = move |ssc: &StreamingContext| writer.add_to(ssc).unwrap();
    let row = |partition: usize, n: i64| format!("sales {partition} | - | {{\"item\":\"tea\",\"n\":{n}}}\n");
    let batch = |rows: &[i64]| -> String { rows.iter().enumerate().map(|(at, n)| row(at % 3, *n)).collect() };
    let input = [batch(&[1, 8, 20]), batch(&[40, -7]), batch(&[]), batch(&[9, 10, 11, 12])].join("---\n");
    let written = run_every_way(program, &input);
    assert_eq!(
        written,
        "sizes | large | 5/1\nsizes | small | 2/2\n---\nsizes | large | 15/2\n---\n---\nsizes | large | 23/5\nsizes | small | 4/3\n"
    );
}

#[test]
fn a_function_that_fails_makes_its_record_a_bad_one() {
    let even = |n: i64| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) };
    let input: String = ["2", "3", "8", "5"].map(|n| sale("\"tea\"", n)).concat();
    let place = |told: &str| {
        told.replace("sales-0", "sales-N").replace("sales-1", "sales-N").replace("sales-2", "sales-N")
    };
    for policy in ["skip", "dead-letter"] {
        let spark = session(&format!("udf {policy}"));
        let half = spark.udf().register("half", even).unwrap();
        let mut driver = driver_of(&sales(&spark, policy), half.call(["n"]));
        let written = driver.batch(&input).unwrap();
        let rows: Vec<&str> = written.rows().filter(|row| row.starts_with("out | ")).collect();
        assert_eq!(rows, ["out | - | 1", "out | - | 4"], "{policy}");
        let mut bad: Vec<String> = driver.take_bad_records().iter().map(|bad| place(bad)).collect();
        bad.sort();
        bad.dedup();
        let expected = [
            ("sales-N 1: ", "the function `half` failed: 3 is odd"),
            ("sales-N 3: ", "the function `half` failed: 5 is odd"),
        ];
        let is_said =
            bad.iter().zip(expected).all(|(bad, (place, why))| bad.starts_with(place) && bad.ends_with(why));
        assert!(bad.len() == 2 && is_said, "{policy}: {bad:?}");
    }
    let spark = session("udf fail");
    let half = spark.udf().register("half", even).unwrap();
    let told = driver_of(&sales(&spark, "fail"), half.call(["n"])).batch(&input).unwrap_err().to_string();
    let expected = "the function `half` failed: 3 is odd\n  next: fix the producer, or choose the policy `skip` or `dead-letter` for this source";
    let told = place(&told);
    assert!(told.starts_with("bad record in sales-N at offset 1: ") && told.ends_with(expected), "{told}");
    let panicking = spark.udf().register("never", |n: i64| -> i64 { panic!("not {n}") }).unwrap();
    let mut driver = driver_of(&sales(&spark, "skip"), panicking.call(["n"]));
    assert_eq!(driver.batch(&sale("null", "7")).unwrap().to_string(), "");
    assert!(driver.take_bad_records()[0].contains("not 7"));
}

#[test]
fn a_condition_decides_which_rows_a_function_is_given() {
    let spark = session("udf condition");
    let even = |n: i64| if n % 2 == 0 { Ok(n / 2) } else { Err("odd") };
    spark.udf().register("half", even).unwrap();
    let rows = sales(&spark, "fail");
    let input = [("null", "2"), ("null", "3")];
    let guarded = expr("CASE WHEN n % 2 = 0 THEN half(n) ELSE -1 END");
    assert_eq!(computed(&rows, guarded, &input), ["-1", "1"]);
    let filtered = rows.filter(expr("n % 2 = 0")).unwrap();
    assert_eq!(computed(&filtered, expr("half(n)"), &input), ["1"]);
}

#[test]
fn a_function_that_is_registered_again_is_the_new_one_for_queries_that_are_made_then() {
    let spark = session("udf again");
    let rows = sales(&spark, "fail");
    spark.udf().register("plus", |n: i64| n + 1).unwrap();
    spark
        .sql(
            "CREATE TABLE sold (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json')",
        )
        .unwrap();
    spark.sql("CREATE VIEW before AS SELECT plus(n) AS n FROM sold").unwrap();
    let mut running = driver_of(&rows, call_udf("plus", ["n"]));
    assert_eq!(running.batch(&sale("null", "1")).unwrap().to_string(), "out | - | 2\n");
    let after = spark.udf().register("PLUS", |n: i64| n + 100).unwrap();
    assert_eq!(running.batch(&sale("null", "1")).unwrap().to_string(), "out | - | 2\n");
    assert_eq!(computed(&rows, call_udf("plus", ["n"]), &[("null", "1")]), ["101"]);
    let before = spark.table("before").unwrap();
    assert_eq!(computed(&before, (col("n") * 1_000) + after.call(["n"]), &[("null", "1")]), ["2102"]);
}

#[test]
fn a_query_that_is_started_again_goes_on_with_the_functions_that_are_registered_then() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", dir.path().join("log").display());
    let run = |name: &str, by: i64| {
        let builder = StreamSession::builder(name).log(&log).checkpoint(dir.path().join("state")).threads(1);
        let spark = builder.configure(|config| config.admin_bind = None).get_or_create().unwrap();
        let plus = spark.udf().register("plus", move |n: i64| n + by).unwrap();
        let rows = sales(&spark, "fail");
        let sums = rows.group_by(["item"]).agg([sum(plus.call(["n"])).alias("total")]).unwrap();
        let writer = sums.write_stream().format("memory").query_name("sums").output_mode("update");
        writer.trigger(Trigger::AvailableNow).start().unwrap().await_termination().unwrap();
        let batches = spark.memory("sums").unwrap();
        let totals =
            batches.iter().flat_map(|rows| rows.column(1).as_primitive::<Int64Type>().values().to_vec());
        totals.collect::<Vec<i64>>()
    };
    let write = |value: &str| {
        use tidegate::record::{Headers, Offset, RawChunkBuilder, RawRecord};
        let log = tidegate::log::open(&log, &std::collections::BTreeMap::new()).unwrap();
        let mut chunk = RawChunkBuilder::default();
        let value = Some(value.as_bytes());
        chunk.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value,
            headers: Headers::NONE,
        });
        tidegate::log::write(log.as_ref(), "sales", None, &chunk.build()).unwrap();
    };
    write("{\"item\":\"tea\",\"n\":1}");
    assert_eq!(run("udf restart", 10), [11]);
    write("{\"item\":\"tea\",\"n\":2}");
    // What is kept was computed by the function as it was.
    assert_eq!(run("udf restarted", 100), [113]);
}

#[test]
fn mistakes_are_told_with_the_next_step() {
    let spark = session("udf mistakes");
    let rows = sales(&spark, "fail");
    spark.udf().register("shout", shout).unwrap();
    spark.udf().register("nothing", || 1_i64).unwrap();
    let any = |columns: &[ArrayRef]| Ok::<_, String>(columns[0].clone());
    spark.udf().register_arrow("same", ArgumentTypes::any(1..=2), "BIGINT", any).unwrap();
    let random = spark.udf().register("random_id", || 4_i64).unwrap().as_nondeterministic();
    let marked = rows.with_column("id", random.call::<&str>([])).unwrap();
    let counts = rows.group_by(["item"]).agg([count("*").alias("n")]).unwrap();
    let changing = counts.filter(random.call::<&str>([]).gt(3)).unwrap();
    let select = |text: &str| rows.select([expr(text)]).unwrap_err().to_string();
    let register = |name: &str| spark.udf().register(name, |n: i64| n).unwrap_err().to_string();
    let arrow = |argument: &str, returns: &str| {
        spark.udf().register_arrow("f", [argument], returns, any).unwrap_err().to_string()
    };
    let numbered = |told: String| {
        let (place, rest) = told.split_once(": ").unwrap();
        assert!(place.starts_with("tests/it/sql/udf.rs:"), "{told}");
        rest.to_owned()
    };
    rows.create_or_replace_temp_view("rows").unwrap();
    let in_sql = spark.sql("SELECT item,\n  shout(n, item) FROM rows").unwrap_err().to_string();
    let (_, in_sql) = in_sql.split_once(":2:3: ").unwrap();
    let updating = changing.write_stream().format("blackhole").output_mode("update").start();
    let told: Vec<String> = [
        select("shuot(item, n)"),
        select("shout(item)"),
        select("shout(n, item)"),
        select("shout()"),
        select("nothing(n)"),
        select("same()"),
        select("same(n, n, n)"),
        register("upper"),
        register("Sum"),
        register("window"),
        register("row_number"),
        register("two words"),
        register("größe"),
        register(""),
        arrow("BIGINTEGER", "STRING"),
        arrow("BIGINT", "TEXT"),
        marked.group_by(["id"]).count().unwrap().explained().unwrap_err().to_string(),
        updating.unwrap_err().to_string(),
    ]
    .map(numbered)
    .into_iter()
    .chain([in_sql.to_owned()])
    .collect();
    expect_test::expect_file!["../golden/udf_mistakes.txt"].assert_eq(&(told.join("\n\n") + "\n"));
}

#[test]
fn a_column_that_does_not_have_its_type_fails_its_rows() {
    let spark = session("udf wrong");
    let rows = sales(&spark, "skip");
    let given = |columns: &[ArrayRef]| Ok::<_, String>(columns[0].slice(0, columns[0].len() - 1));
    spark.udf().register_arrow("fewer", ["BIGINT"], "BIGINT", given).unwrap();
    spark
        .udf()
        .register_arrow("other", ["BIGINT"], "BOOLEAN", |columns| Ok::<_, String>(columns[0].clone()))
        .unwrap();
    for (text, why) in [
        ("fewer(n)", "the function `fewer` has given 0 values for 1 rows"),
        ("other(n)", "the function `other` has given BIGINT, and its type is BOOLEAN"),
    ] {
        let mut driver = driver_of(&rows, expr(text));
        assert_eq!(driver.batch(&sale("null", "7")).unwrap().to_string(), "");
        let bad = driver.take_bad_records();
        assert!(bad.iter().all(|bad| bad.ends_with(why)) && !bad.is_empty(), "{bad:?}");
    }
}
