//! DataFrames: what they compute, what is said of their mistakes, and the life of their queries.

use super::driver;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    record::{Headers, Offset, RawChunkBuilder, RawRecord},
    sql::{
        DataFrame, QueryProgressEvent, QueryStartedEvent, QueryTerminatedEvent, StreamSession,
        StreamingQueryListener, Trigger,
        functions::{
            col, count, count_distinct, explode, expr, length, lit, lower, session_window, split, sum, when,
            window,
        },
    },
    testing::Driver,
};

/// A session of its own on a log in memory, without a page.
fn session(name: &str) -> StreamSession {
    let builder = StreamSession::builder(name).threads(1);
    builder.configure(|config| config.admin_bind = None).get_or_create().unwrap()
}

fn lines(spark: &StreamSession) -> DataFrame {
    let reader = spark.read_stream().format("kafka").option("subscribe", "lines");
    let reader = reader.option("startingOffsets", "earliest").option("value.format", "raw");
    reader.schema("line STRING").load().unwrap()
}

fn words(spark: &StreamSession) -> DataFrame {
    let words = lines(spark).select([explode(split("line", " ")).alias("word")]).unwrap();
    words.filter(col("word").neq("")).unwrap()
}

/// Writes lines into the log of a session.
fn write(log: &str, lines: &[&str]) {
    let log = tidegate::log::open(log, &BTreeMap::new()).unwrap();
    let mut chunk = RawChunkBuilder::default();
    for line in lines {
        let value = Some(line.as_bytes());
        chunk.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value,
            headers: Headers::NONE,
        });
    }
    tidegate::log::write(log.as_ref(), "lines", None, &chunk.build()).unwrap();
}

/// Rows of a text and a number.
fn counted(batches: &[RecordBatch]) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for batch in batches {
        let (words, counts) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        rows.extend((0..batch.num_rows()).map(|row| (words.value(row).to_owned(), counts.value(row))));
    }
    rows
}

fn map(rows: &[(&str, i64)]) -> BTreeMap<String, i64> {
    rows.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect()
}

const SECONDS: Duration = Duration::from_secs(60);

#[test]
fn word_counts_of_streams_of_sql_and_of_data_frames_are_the_same_rows() {
    let spark = session("same rows");
    let counts = words(&spark).group_by(["word"]).agg([count("*").alias("n")]).unwrap();
    let keyed = counts.select([col("word").alias("key"), col("n").cast("STRING").alias("value")]).unwrap();
    let writer = keyed.write_stream().format("kafka").option("topic", "counts").output_mode("update");
    let mut frames = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let mut streams = Driver::new(|ssc: &StreamingContext| {
        let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
        words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
    });
    let mut sql = driver(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
         CREATE TABLE counts (key STRING, value STRING, PRIMARY KEY (key) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
             'topic' = 'counts', 'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');
         CREATE VIEW words AS SELECT unnest(string_to_array(line, ' ')) AS word FROM lines;
         INSERT INTO counts SELECT word, CAST(count(*) AS STRING) FROM words WHERE word <> '' GROUP BY word;",
    );
    for batch in
        ["lines 0 | - | to be or not to be\n", "", "lines 1 | - | be  that as it may\nlines 0 | - | or\n"]
    {
        let rows = streams.batch(batch).unwrap().to_string();
        assert_eq!(rows.is_empty(), batch.is_empty());
        assert_eq!(sql.batch(batch).unwrap().to_string(), rows);
        assert_eq!(frames.batch(batch).unwrap().to_string(), rows);
    }
}

#[test]
fn each_method_gives_rows() {
    let spark = session("methods");
    let reader =
        spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json");
    let sales = reader
        .option("startingOffsets", "earliest")
        .schema("item STRING, price BIGINT, place STRING")
        .load()
        .unwrap();
    let sized = sales.with_column("size", when(col("price").geq(100), "large").otherwise("small")).unwrap();
    let sized = sized.with_column("price", col("price") * 2 + 1).unwrap().drop(["place"]).unwrap();
    let chosen = sized.filter(col("item").isin(["tea", "sea"]).and(!col("price").eq(7))).unwrap();
    let renamed = chosen.with_column_renamed("item", "thing").unwrap();
    assert_eq!(renamed.columns(), ["thing", "price", "size"]);
    let other = sales.select_expr(["place AS size", "item AS thing", "price"]).unwrap();
    let both = renamed.union_by_name(&other.where_(col("thing").is_null()).unwrap()).unwrap();
    let writer = both.write_stream().format("kafka").option("topic", "out").option("value.format", "json");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let row = |item: &str, price: i64| {
        format!("sales 0 | - | {{\"item\":{item},\"price\":{price},\"place\":\"Bremen\"}}\n")
    };
    let rows: String = [("\"tea\"", 3), ("\"tea\"", 60), ("\"sea\"", 100), ("\"oil\"", 9), ("null", 5)]
        .map(|(item, price)| row(item, price))
        .concat();
    let mut written: Vec<String> =
        driver.batch(&rows).unwrap().to_string().lines().map(str::to_owned).collect();
    written.sort();
    assert_eq!(
        written,
        [
            "out | - | {\"thing\":\"sea\",\"price\":201,\"size\":\"large\"}",
            "out | - | {\"thing\":\"tea\",\"price\":121,\"size\":\"small\"}",
            "out | - | {\"thing\":null,\"price\":5,\"size\":\"Bremen\"}",
        ]
    );
}

/// What a frame writes for two batches.
fn written(frame: &DataFrame, batches: [&str; 2]) -> [Vec<String>; 2] {
    let keyed = frame.select([col("item").alias("key"), col("n").cast("STRING").alias("value")]).unwrap();
    let writer = keyed.write_stream().format("kafka").option("topic", "out").output_mode("update");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    batches.map(|batch| {
        let written = driver.batch(batch).unwrap().to_string();
        let mut rows: Vec<String> = written.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    })
}

#[test]
fn frames_are_joined_compared_and_cut() {
    let spark = session("combined");
    let of = |topic: &str| {
        let reader = spark.read_stream().format("kafka").option("subscribe", topic);
        let reader = reader.option("value.format", "json").option("startingOffsets", "earliest");
        reader.schema("item STRING, n BIGINT").load().unwrap()
    };
    let batches = [
        "sales 0 | - | {\"item\":\"tea\",\"n\":2}\nsales 1 | - | {\"item\":\"sea\",\"n\":5}\nstock 0 | - | {\"item\":\"tea\",\"n\":9}\n",
        "stock 1 | - | {\"item\":\"sea\",\"n\":1}\nsales 0 | - | {\"item\":\"oil\",\"n\":7}\n",
    ];
    let totals = |topic: &str| of(topic).group_by(["item"]).agg([sum("n").alias("n")]).unwrap();
    let (sold, there) = (totals("sales").alias("a").unwrap(), totals("stock").alias("b").unwrap());
    let joined = sold.join(&there, expr("a.item = b.item"), "left_outer").unwrap();
    let left = joined.select([expr("a.item AS item"), expr("coalesce(b.n, 0) - a.n AS n")]).unwrap();
    assert_eq!(
        written(&left, batches),
        [vec!["out | sea | -5", "out | tea | 7"], vec!["out | oil | -7", "out | sea | -4"]]
    );

    let using = totals("sales").join_using(&totals("stock"), ["item"], "left_semi").unwrap();
    assert_eq!(written(&using, batches), [vec!["out | tea | 2"], vec!["out | sea | 5"]]);

    let items = |topic: &str| of(topic).select([col("item"), lit(1).cast("BIGINT").alias("n")]).unwrap();
    let both = items("sales")
        .intersect(&items("stock"))
        .unwrap()
        .group_by(["item"])
        .agg([sum("n").alias("n")])
        .unwrap();
    assert_eq!(written(&both, batches), [vec!["out | tea | 1"], vec!["out | sea | 1"]]);
    let only = items("sales")
        .except(&items("stock"))
        .unwrap()
        .group_by(["item"])
        .agg([sum("n").alias("n")])
        .unwrap();
    assert_eq!(written(&only, batches), [vec!["out | sea | 1"], vec!["out | oil | 1", "out | sea | -"]]);
    let once = items("sales").distinct().unwrap().group_by(["item"]).agg([sum("n").alias("n")]).unwrap();
    assert_eq!(written(&once, batches), [vec!["out | sea | 1", "out | tea | 1"], vec!["out | oil | 1"]]);

    let first = totals("sales").order_by([col("n").desc()]).unwrap().limit(1).unwrap();
    assert_eq!(written(&first, batches), [vec!["out | sea | 5"], vec!["out | oil | 7", "out | sea | -"]]);
}

#[test]
fn groups_have_all_that_is_computed_of_them_and_are_seen_by_sql() {
    let spark = session("groups");
    let reader =
        spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json");
    let sales =
        reader.option("startingOffsets", "earliest").schema("item STRING, price BIGINT").load().unwrap();
    sales.create_or_replace_temp_view("sales").unwrap();
    let of_sql = spark.sql("SELECT item, sum(price) AS total FROM sales GROUP BY item").unwrap();
    assert_eq!(of_sql.columns(), ["item", "total"]);
    let groups = sales.group_by([lower("item").alias("item")]);
    let groups = groups
        .agg([sum("price"), count_distinct("price").alias("prices"), expr("max(price) AS most")])
        .unwrap();
    assert_eq!(groups.columns(), ["item", "sum(price)", "prices", "most"]);
    let writer = groups.write_stream().format("console").output_mode("complete");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let row = |item: &str, price: i64| format!("sales 0 | - | {{\"item\":\"{item}\",\"price\":{price}}}\n");
    let rows =
        [("Tea", 3), ("tea", 5), ("sea", 1), ("tea", 3)].map(|(item, price)| row(item, price)).concat();
    let shown = driver.batch(&rows).unwrap().to_string();
    let lines: Vec<&str> = shown.lines().skip_while(|line| line.contains("+-")).collect();
    let expected = [
        "console | | sea|         1|     1|   1|",
        "console | | tea|        11|     2|   5|",
        "console | |item|sum(price)|prices|most|",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn all_rows_are_shown_in_an_order_and_sessions_are_grouped_by() {
    let builder = StreamSession::builder("orders").log("memory:orders").threads(1);
    let spark = builder.configure(|config| config.admin_bind = None).get_or_create().unwrap();
    write("memory:orders", &["b a c b", "c b"]);
    let counts = words(&spark).group_by(["word"]).count().unwrap();
    let ordered = counts.order_by([col("count").desc_nulls_last(), col("word").asc_nulls_first()]).unwrap();
    let writer = ordered.write_stream().format("memory").query_name("ordered").output_mode("complete");
    let query = writer.trigger(Trigger::AvailableNow).start().unwrap();
    assert!(query.await_termination_or_timeout(SECONDS).unwrap());
    let kept = spark.memory("ordered").unwrap();
    let words: Vec<&str> =
        kept.iter().flat_map(|rows| rows.column(0).as_string::<i32>().iter().flatten()).collect();
    assert_eq!(words, ["b", "c", "a"]);
    let told =
        ordered.write_stream().format("console").output_mode("update").start().unwrap_err().to_string();
    assert!(told.contains("ORDER BY over rows that never end"), "{told}");

    let reader =
        spark.read_stream().format("kafka").option("subscribe", "clicks").option("value.format", "json");
    let clicks = reader.schema("page STRING, ts TIMESTAMP(3)").load().unwrap();
    let timed = clicks.with_watermark("ts", "10 seconds").unwrap();
    let sessions = timed.group_by([session_window("ts", "5 seconds"), col("page")]).count().unwrap();
    assert_eq!(sessions.columns(), ["session_window", "page", "count"]);
    assert_eq!(
        sessions.select([col("session_window.start"), col("count")]).unwrap().columns(),
        ["start", "count"]
    );
}

#[test]
fn columns_that_both_sides_of_a_join_have_are_told_apart() {
    let spark = session("told apart");
    let (left, right) = (words(&spark), words(&spark));
    assert_eq!(left.join_using(&right, ["word"], "inner").unwrap().columns(), ["word"]);
    let told = left.join(&right, col("word").eq(col("word")), "inner").unwrap_err().to_string();
    assert!(
        told.contains("both sides of the join have a column `word`") && told.contains("alias(..)"),
        "{told}"
    );
    let named = left.alias("a").unwrap().join(&right.alias("b").unwrap(), expr("a.word = b.word"), "inner");
    assert_eq!(named.unwrap().columns(), ["word", "word"]);
}

#[test]
fn windows_of_a_watermark_close_and_late_rows_are_left_out() {
    let spark = session("windows");
    let reader =
        spark.read_stream().format("kafka").option("subscribe", "clicks").option("value.format", "json");
    let clicks =
        reader.option("startingOffsets", "earliest").schema("page STRING, at BIGINT").load().unwrap();
    let timed = clicks.with_column("ts", expr("to_timestamp_millis(at)")).unwrap();
    let timed = timed.with_watermark("ts", "0 seconds").unwrap();
    let counts = timed.group_by([window("ts", "100 milliseconds"), col("page")]).count().unwrap();
    assert_eq!(counts.columns(), ["window", "page", "count"]);
    let flat = counts.select([col("window.start").alias("opened"), col("page"), col("count")]).unwrap();
    let writer = flat.write_stream().format("kafka").option("topic", "out").option("value.format", "json");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let click = |at: i64| -> String {
        let row = |partition: u32| format!("clicks {partition} | - | {{\"page\":\"home\",\"at\":{at}}}\n");
        (0..3).map(row).collect()
    };
    assert_eq!(driver.batch_at(1_000, &[10, 90].map(click).concat()).unwrap().to_string(), "");
    let closed = driver.batch_at(2_000, &click(150)).unwrap().to_string();
    let expected = "out | - | {\"opened\":\"1970-01-01T00:00:00Z\",\"page\":\"home\",\"count\":6}";
    assert!(closed.starts_with(expected), "{closed}");
    assert_eq!(driver.batch_at(3_000, &click(30)).unwrap().to_string(), "", "they come too late");
}

#[test]
fn duplicates_are_dropped_for_ever_or_as_long_as_the_watermark_needs() {
    let spark = session("duplicates");
    let reader =
        spark.read_stream().format("kafka").option("subscribe", "clicks").option("value.format", "json");
    let clicks =
        reader.option("startingOffsets", "earliest").schema("page STRING, at BIGINT").load().unwrap();
    let timed = clicks.with_column("ts", expr("to_timestamp_millis(at)")).unwrap();
    let timed = timed.with_watermark("ts", "1 second").unwrap().filter(col("page").neq("tick")).unwrap();
    let given = |frame: DataFrame| {
        let flat = frame.select([col("page"), col("at")]).unwrap();
        let writer =
            flat.write_stream().format("kafka").option("topic", "out").option("value.format", "json");
        let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
        let click = |(page, at): (&str, i64)| -> String {
            let row =
                |(partition, page)| format!("clicks {partition} | - | {{\"page\":\"{page}\",\"at\":{at}}}\n");
            [(0, page), (1, "tick"), (2, "tick")].map(row).concat()
        };
        let batches = [
            vec![("a", 1_000), ("a", 1_000), ("a", 1_400)],
            vec![("a", 1_900), ("b", 3_100)], // the watermark: 2,100
            vec![("c", 3_200)],
            vec![("a", 2_500), ("b", 3_600), ("b", 9_000)], // then 8,000
            vec![("b", 9_001), ("a", 8_500)],
        ];
        let mut time_ms = 0;
        batches.map(|batch| {
            time_ms += 10_000;
            let records: Vec<String> = batch.into_iter().map(click).collect();
            let written = driver.batch_at(time_ms, &records.concat()).unwrap().to_string();
            let row = |line: &str| {
                let row: serde_json::Value =
                    serde_json::from_str(line.splitn(3, " | ").nth(2).unwrap().split(" | @").next().unwrap())
                        .unwrap();
                format!("{}{}", row["page"].as_str().unwrap(), row["at"])
            };
            let mut rows: Vec<String> =
                written.lines().filter(|line| line.starts_with("out | ")).map(row).collect();
            rows.sort();
            rows.join(" ")
        })
    };
    let all = given(timed.drop_duplicates(["page"]).unwrap());
    assert_eq!(all, ["a1000", "b3100", "c3200", "", ""]);
    let both = given(timed.drop_duplicates([]).unwrap());
    assert_eq!(both, ["a1000 a1400", "a1900 b3100", "c3200", "a2500 b3600 b9000", "a8500 b9001"]);
    let within = given(timed.drop_duplicates_within_watermark(["page"]).unwrap());
    assert_eq!(within, ["a1000", "b3100", "c3200", "a2500", "a8500 b9001"]);
}

#[test]
fn mistakes_are_told_at_the_line_that_made_them() {
    let spark = session("mistakes");
    let lines = lines(&spark);
    let counts = lines.group_by(["line"]).count().unwrap();
    let refused =
        |frame: &DataFrame| frame.write_stream().format("blackhole").start().unwrap_err().to_string();
    let started = |mode: &str| {
        let writer = counts.write_stream().format("blackhole").query_name("x").output_mode(mode);
        writer.start().unwrap_err().to_string()
    };
    let numbered = |told: String| {
        let (place, rest) = told.split_once(": ").unwrap();
        assert!(place.starts_with("tests/it/sql/frames.rs:"), "{told}");
        rest.to_owned()
    };
    let told: Vec<String> = [
        lines.select(["lime"]).unwrap_err().to_string(),
        lines.filter(col("line") + 1).unwrap_err().to_string(),
        lines.filter(lower("line")).unwrap_err().to_string(),
        lines.select([expr("line LIKE")]).unwrap_err().to_string(),
        lines.select([col("line").cast("TEXTS")]).unwrap_err().to_string(),
        lines.with_watermark("line", "1 second").unwrap_err().to_string(),
        lines.with_watermark("line", "soon").unwrap_err().to_string(),
        lines.union_by_name(&counts).unwrap_err().to_string(),
        lines.drop(["line"]).unwrap_err().to_string(),
        lines.group_by(["lime"]).count().unwrap_err().to_string(),
        lines.limit(3).unwrap_err().to_string(),
        lines.drop_duplicates(["lime"]).unwrap_err().to_string(),
        refused(&counts.drop_duplicates([]).unwrap()),
        refused(&lines.drop_duplicates_within_watermark(["line"]).unwrap()),
        spark.table("lime").unwrap_err().to_string(),
        spark.read_stream().format("kafka").load().unwrap_err().to_string(),
        spark
            .read_stream()
            .format("kafka")
            .option("subscribe", "a")
            .option("value.format", "json")
            .load()
            .unwrap_err()
            .to_string(),
        spark.read_stream().format("rate").option("rows", 3).load().unwrap_err().to_string(),
        lines.write_stream().start().unwrap_err().to_string(),
        lines.write_stream().format("memory").start().unwrap_err().to_string(),
        lines.write_stream().format("kafka").option("topic", "a").start().unwrap_err().to_string(),
        lines.write_stream().format("blackhole").output_mode("complete").start().unwrap_err().to_string(),
        lines.write_stream().format("blackhole").output_mode("all").start().unwrap_err().to_string(),
        started("append"),
        started("complete"),
        spark.memory("nothing").unwrap_err().to_string(),
    ]
    .map(numbered)
    .to_vec();
    expect_test::expect_file!["../golden/frames_mistakes.txt"].assert_eq(&(told.join("\n\n") + "\n"));
}

#[test]
fn a_query_in_memory_has_the_rows_of_its_mode_and_a_restart_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", dir.path().join("log").display());
    let run = |name: &str, expected: &[(&str, i64)]| {
        let builder = StreamSession::builder(name).log(&log).checkpoint(dir.path().join("state")).threads(1);
        let spark = builder.configure(|config| config.admin_bind = None).get_or_create().unwrap();
        let counts = words(&spark).group_by(["word"]).count().unwrap();
        let writer = counts.write_stream().format("memory").query_name("counts").output_mode("complete");
        let query = writer.trigger(Trigger::AvailableNow).start().unwrap();
        assert!(query.await_termination_or_timeout(SECONDS).unwrap(), "available now ends by itself");
        assert!(!query.is_active() && query.exception().is_none());
        assert_eq!(query.status().message, "Stopped");
        assert_eq!(counted(&spark.memory("counts").unwrap()), map(expected));
        (query.id(), query.run_id())
    };
    write(&log, &["to be", "or not to be"]);
    let first = run("first run", &[("to", 2), ("be", 2), ("or", 1), ("not", 1)]);
    write(&log, &["not now"]);
    let second = run("second run", &[("to", 2), ("be", 2), ("or", 1), ("not", 2), ("now", 1)]);
    assert_eq!(first.0, second.0, "the query is the same");
    assert_ne!(first.1, second.1, "the run is another one");
}

/// A condition and an order may name what the last selection has left out; a name of the selection means its own column.
#[test]
fn columns_that_a_selection_has_left_out_are_known_to_the_next_condition() {
    let spark = session("left-out");
    let numbers = spark.range(0, 5, 1).unwrap().with_column("twice", expr("id * 2")).unwrap();
    let shown = |frame: DataFrame| frame.shown(9, None, false).unwrap().replace('\n', " ");
    let twice = numbers.select(["twice"]).unwrap();
    assert_eq!(shown(twice.filter(expr("id > 3")).unwrap()), "+-----+ |twice| +-----+ |8    | +-----+ ");
    assert_eq!(
        shown(twice.order_by([col("id").desc()]).unwrap().limit(1).unwrap()),
        "+-----+ |twice| +-----+ |8    | +-----+ "
    );
    let renamed = numbers.select([col("twice").alias("id")]).unwrap();
    assert_eq!(renamed.filter(expr("id > 3")).unwrap().count().unwrap(), 3, "its own column");
    assert_eq!(renamed.filter(expr("id > 3 AND twice < 8")).unwrap().columns(), ["id"]);
    assert_eq!(renamed.filter(expr("id > 3 AND twice < 8")).unwrap().count().unwrap(), 2);
    let of_a_condition = twice.filter(expr("twice > 3")).unwrap().filter(expr("id < 4"));
    assert!(of_a_condition.unwrap_err().to_string().contains("there is no column `id`"));
    let of_nothing = twice.filter(expr("ids < 4")).unwrap_err().to_string();
    assert!(
        of_nothing.contains("there is no column `ids`") && of_nothing.contains("`twice`"),
        "{of_nothing}"
    );

    let lines = lines(&spark).select(["line", "length(line) AS n"].map(expr)).unwrap();
    let long = lines.select(["line"]).unwrap().filter(expr("n > 3")).unwrap();
    assert_eq!(long.columns(), ["line"]);
    assert!(long.is_streaming());
    let rows = numbers.select_expr(["named_struct('id', id, 'twice', twice) AS row"]).unwrap();
    let fields = rows.select([col("row.*"), expr("row.id + 1 AS next")]).unwrap();
    assert_eq!(fields.columns(), ["id", "twice", "next"]);
    assert_eq!(fields.filter(expr("row.id = 3")).unwrap().count().unwrap(), 1);
}

/// Rows that a query keeps are a table of its name: SQL and DataFrames read what it has at that moment, as Spark's do.
#[test]
fn the_rows_of_a_query_in_memory_are_a_table() {
    let spark = session("kept-rows");
    let log = "memory:session-kept-rows";
    let counts = words(&spark).group_by(["word"]).count().unwrap();
    let writer = counts.write_stream().format("memory").query_name("counted").output_mode("complete");
    let run = |lines: &[&str]| {
        write(log, lines);
        writer.clone().trigger(Trigger::AvailableNow).start().unwrap().await_termination().unwrap();
    };
    tidegate::log::open(log, &BTreeMap::new()).unwrap();
    run(&["to be", "or not to be"]);
    let often = spark.sql("SELECT word FROM counted WHERE count > 1 ORDER BY word").unwrap();
    assert!(!often.is_streaming());
    assert_eq!(often.shown(9, None, false).unwrap(), "+----+\n|word|\n+----+\n|be  |\n|to  |\n+----+\n");
    let all = spark.table("counted").unwrap();
    assert_eq!((all.columns(), all.count().unwrap()), (vec!["word".to_owned(), "count".to_owned()], 4));
    run(&["or"]);
    assert_eq!(often.count().unwrap(), 3, "the table has the rows of the last batch");
    assert_eq!(all.join_using(&often, ["word"], "inner").unwrap().count().unwrap(), 3);
    assert_eq!(spark.tables(), ["counted"]);

    spark.range(0, 9, 1).unwrap().create_or_replace_temp_view("numbers").unwrap();
    let told = all.write_stream().format("memory").query_name("numbers").start().unwrap_err();
    assert!(told.to_string().contains("write_stream"), "{told}");
    let told = counts.write_stream().format("memory").output_mode("complete").query_name("numbers").start();
    let told = told.unwrap_err().to_string();
    assert!(told.contains("there is a table or view `numbers`"), "{told}");
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl StreamingQueryListener for Events {
    fn on_query_started(&self, event: &QueryStartedEvent) {
        self.note(format!("started {}", event.name.as_deref().unwrap_or("-")));
    }

    fn on_query_progress(&self, event: &QueryProgressEvent) {
        let progress = &event.progress;
        self.note(format!(
            "progress {}: {} rows",
            progress.name.as_deref().unwrap_or("-"),
            progress.num_input_rows
        ));
    }

    fn on_query_terminated(&self, event: &QueryTerminatedEvent) {
        self.note(format!("terminated: {}", event.exception.as_deref().unwrap_or("in order")));
    }
}

#[test]
fn two_queries_run_in_one_process_with_progress_listeners_and_a_manager() {
    let spark = session("two queries");
    let log = "memory:session-two-queries";
    write(log, &["to be", "or not"]);
    let events = Events::default();
    spark.streams().add_listener(events.clone());
    let counts = words(&spark).group_by(["word"]).count().unwrap();
    let writer = counts.write_stream().format("memory").output_mode("complete").query_name("counts");
    let counts = writer.trigger(Trigger::processing_time("20 milliseconds").unwrap()).start().unwrap();
    let all = words(&spark).write_stream().format("memory").query_name("words").start().unwrap();
    assert_eq!(spark.streams().active().len(), 2);
    let twice = lines(&spark).write_stream().format("blackhole").query_name("words").start().unwrap_err();
    assert!(twice.to_string().contains("a query `words` is running"), "{twice}");
    counts.process_all_available().unwrap();
    all.process_all_available().unwrap();
    write(log, &["be"]);
    counts.process_all_available().unwrap();
    all.process_all_available().unwrap();
    assert_eq!(counted(&spark.memory("counts").unwrap())["be"], 2);
    assert_eq!(spark.memory("words").unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    let progress: serde_json::Value = serde_json::from_str(&counts.last_progress().unwrap().json()).unwrap();
    assert_eq!(progress["id"], counts.id().to_string());
    assert_eq!(progress["name"], "counts");
    assert_eq!(progress["numInputRows"], 1);
    assert_eq!(progress["stateOperators"][0]["operatorName"], "counts.aggregate");
    assert_eq!(progress["sources"][0]["description"], "KafkaV2[Subscribe[lines]]");
    assert_eq!(progress["sink"]["description"], "memory");
    assert!(progress["durationMs"]["triggerExecution"].is_u64(), "{progress}");
    let read = |of: &str| {
        progress["sources"][0][of]["lines"].as_object().unwrap().values().next().unwrap().as_u64().unwrap()
    };
    assert_eq!(read("startOffset") + 1, read("endOffset"));
    assert_eq!(counts.recent_progress().iter().map(|p| p.num_input_rows).sum::<usize>(), 3);
    assert!(!spark.streams().await_any_termination_or_timeout(Duration::from_millis(5)).unwrap());
    all.stop().unwrap();
    assert_eq!(spark.streams().get(counts.id()).unwrap().run_id(), counts.run_id());
    assert!(spark.streams().get(all.id()).is_none() && counts.is_active());
    assert!(spark.streams().await_any_termination_or_timeout(SECONDS).unwrap());
    spark.stop().unwrap();
    let events = events.0.lock().unwrap().clone();
    assert_eq!(events[0], "started counts");
    let at = |what: &str| events.iter().position(|event| event == what).unwrap();
    assert!(at("started words") < at("terminated: in order"), "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("terminated")).count(), 2);
    assert_eq!(events.last().unwrap(), "terminated: in order");
}

#[test]
fn an_error_of_a_query_is_its_exception() {
    let spark = session("exceptions");
    write("memory:session-exceptions", &["12", "twelve"]);
    let events = Events::default();
    spark.streams().add_listener(events.clone());
    let numbers = lines(&spark).select([col("line").cast("INT").alias("n")]).unwrap();
    let query = numbers.write_stream().format("blackhole").query_name("numbers").start().unwrap();
    let told = query.await_termination().unwrap_err().to_string();
    assert!(told.contains("bad record in lines-") && told.contains("twelve"), "{told}");
    assert_eq!(query.exception().unwrap().to_string(), told);
    assert!(query.status().message.starts_with("Terminated with exception: bad record"));
    assert_eq!(spark.streams().await_any_termination().unwrap_err().to_string(), told);
    spark.streams().reset_terminated();
    assert!(!spark.streams().await_any_termination_or_timeout(Duration::from_millis(5)).unwrap());
    assert_eq!(events.0.lock().unwrap().last().unwrap(), &format!("terminated: {told}"));
}

#[test]
fn foreach_batch_gets_each_committed_batch_once_and_again_under_its_id_after_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", dir.path().join("log").display());
    let given: Arc<Mutex<Vec<(i64, BTreeMap<String, i64>)>>> = Arc::default();
    let run = |name: &str, fails: bool| {
        let builder = StreamSession::builder(name).log(&log).checkpoint(dir.path().join("state")).threads(1);
        let spark = builder.configure(|config| config.admin_bind = None).get_or_create().unwrap();
        let counts = words(&spark).group_by(["word"]).count().unwrap();
        let kept = given.clone();
        let writer =
            counts.write_stream().output_mode("update").query_name("kept").trigger(Trigger::AvailableNow);
        let query = writer.foreach_batch(move |batches, id| {
            kept.lock().unwrap().push((id, counted(&batches)));
            if fails { Err("the table is not there".into()) } else { Ok(()) }
        });
        query.start().unwrap().await_termination()
    };
    write(&log, &["to be or not to be"]);
    let told = run("a", true).unwrap_err().to_string();
    assert!(
        told.contains("the table is not there") && told.contains("foreach_batch at tests/it/sql/frames.rs"),
        "{told}"
    );
    write(&log, &["to"]);
    run("b", false).unwrap();
    let given = given.lock().unwrap();
    let first = map(&[("to", 2), ("be", 2), ("or", 1), ("not", 1)]);
    assert_eq!(given[0], given[1], "the same rows under the same id");
    assert_eq!(given[0].1, first);
    assert!(given[2].0 > given[0].0 && given[2].1 == map(&[("to", 3)]), "{given:?}");
    assert_eq!(given.len(), 3);
}

#[test]
fn rows_are_written_to_tables_that_were_declared_by_name() {
    let spark = session("to table");
    write("memory:session-to-table", &["sea", "tide", "sea"]);
    spark
        .sql(
            "CREATE TABLE counts (n BIGINT, word STRING, PRIMARY KEY (word) NOT ENFORCED)
             WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'format' = 'json')",
        )
        .unwrap();
    let counts = lines(&spark).group_by([col("line").alias("word")]).agg([count(lit(1)).alias("n")]).unwrap();
    let writer =
        counts.write_stream().output_mode("update").query_name("tabled").trigger(Trigger::AvailableNow);
    writer.to_table("counts").unwrap().await_termination().unwrap();
    let reader = spark
        .read_stream()
        .format("kafka")
        .option("subscribe", "counts")
        .option("startingOffsets", "earliest");
    let counts = reader.option("value.format", "json").schema("word STRING, n BIGINT").load().unwrap();
    let query = counts.write_stream().format("memory").query_name("read back").trigger(Trigger::AvailableNow);
    assert!(query.start().unwrap_err().to_string().contains("application id `read back`"));
    let query = counts.write_stream().format("memory").query_name("read-back").trigger(Trigger::AvailableNow);
    query.start().unwrap().await_termination().unwrap();
    assert_eq!(counted(&spark.memory("read-back").unwrap()), map(&[("sea", 2), ("tide", 1)]));
}

#[test]
fn columns_without_a_name_are_called_as_in_spark() {
    let spark = session("names of columns");
    let lines = lines(&spark);
    let named = lines.select([
        col("line").cast("INT"),
        col("line").cast("INT") + 1,
        lower("line").cast("STRING"),
        col("line").eq("x").and(col("line").is_not_null()),
        -length("line"),
        when(col("line").eq("x"), 1).otherwise(lit(2)),
        col("line").cast("BIGINT"),
    ]);
    let names = [
        "line",
        "(CAST(line AS INT) + 1)",
        "CAST(lower(line) AS STRING)",
        "((line = x) AND (line IS NOT NULL))",
        "negative(length(line))",
        "CASE WHEN (line = x) THEN 1 ELSE 2 END",
        "line0",
    ];
    assert_eq!(named.unwrap().columns(), names);
    assert_eq!(
        lines.select_expr(["*", "CAST(line AS INT)"]).unwrap().columns(),
        ["line", "CAST(line AS INT)"]
    );
    let sums = lines.group_by([col("line").cast("INT")]).agg([
        count("*"),
        sum(length("line")),
        count_distinct("line"),
    ]);
    assert_eq!(sums.unwrap().columns(), ["line", "count(1)", "sum(length(line))", "count(DISTINCT line)"]);
    lines.create_or_replace_temp_view("said").unwrap();
    let queried = spark.sql(
        "SELECT CAST(said.line AS INT), 'x', upper(said.line) FROM said GROUP BY line HAVING max(line) > '0'",
    );
    assert_eq!(queried.unwrap().columns(), ["line", "x", "upper(line)"]);
}
