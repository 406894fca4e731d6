//! DataFrames at their ends: files, sockets, the log of a query, and the end of a session.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::TimestampMillisecondType,
};
use std::{
    io::Write,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tidegate::sql::{DataFrame, StreamSession, StreamingQuery, Trigger, functions::col};

const SECONDS: Duration = Duration::from_secs(60);

/// A session without a log of its own and without a page.
fn session(name: &str) -> StreamSession {
    let builder = StreamSession::builder(name).threads(1);
    builder.configure(|config| config.admin_bind = None).get_or_create().unwrap()
}

/// Waits until something holds.
fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SECONDS, "it did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn kept(frame: &DataFrame, name: &str) -> StreamingQuery {
    frame.write_stream().format("memory").query_name(name).start().unwrap()
}

fn texts_of(dir: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts_of(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with("part-") {
            let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            found.push(format!("{folder}: {}", std::fs::read_to_string(&path).unwrap().trim()));
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_read_as_they_come_and_written_into_folders_of_values() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a.csv"), "tea;3\ncoffee;4\n").unwrap();
    let spark = session("frames files");
    let reader = spark.read_stream().format("csv").option("path", source.display()).option("sep", ";");
    let reader = reader.option("source.settle-time", "0 s").option("header", "false");
    let sales = reader.schema("item STRING, n INT").load().unwrap();
    assert_eq!(sales.columns(), ["item", "n"]);
    let writer = sales.write_stream().format("json").option("path", out.display()).partition_by(["item"]);
    let query = writer.query_name("files").start().unwrap();
    until(|| texts_of(&out).len() == 2);
    std::fs::write(source.join("b.csv"), "tea;5\n").unwrap();
    until(|| texts_of(&out).len() == 3);
    query.stop().unwrap();
    assert_eq!(texts_of(&out), ["item=coffee: {\"n\":4}", "item=tea: {\"n\":3}", "item=tea: {\"n\":5}"]);
}

#[test]
fn files_that_are_there_are_available_now() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.json"), "{\"n\":3}\n{\"n\":4}\n").unwrap();
    let spark = session("frames files now");
    let reader = spark.read_stream().format("json").option("path", dir.path().display());
    let numbers = reader.option("source.settle-time", "0 s").schema("n INT").load().unwrap();
    let writer = numbers.write_stream().format("memory").query_name("numbers").trigger(Trigger::AvailableNow);
    writer.start().unwrap().await_termination().unwrap();
    assert_eq!(rows(&spark.memory("numbers").unwrap()), 2);
}

#[test]
fn what_files_cannot_be_is_told() {
    let spark = session("frames files refused");
    let read = |format: &str, options: &[(&str, &str)], schema: Option<&str>| {
        let mut reader = spark.read_stream().format(format).options(options.iter().copied());
        if let Some(schema) = schema {
            reader = reader.schema(schema);
        }
        reader.load().map(|frame| frame.columns()).map_err(|e| e.to_string())
    };
    assert_eq!(read("text", &[("path", "/data")], None).unwrap(), ["value"]);
    let wrong = |told: Result<Vec<String>, String>, what: &str| {
        let told = told.unwrap_err();
        assert!(told.contains(what) && told.contains("next: "), "{told}");
    };
    wrong(read("json", &[("path", "/data")], None), "the columns of files of `json` are not said");
    wrong(read("json", &[], Some("n INT")), "the folder to read is not said");
    let first = [("path", "/data"), ("maxFilesPerTrigger", "1")];
    wrong(read("json", &first, Some("n INT")), "the option `maxFilesPerTrigger` is not supported");
    let header = [("path", "/data"), ("header", "true")];
    wrong(read("csv", &header, Some("n INT")), "without their first lines");
}

#[test]
fn lines_of_a_socket_have_the_time_of_their_receipt() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let spark = session("frames socket");
    let reader = spark.read_stream().format("socket").option("host", "127.0.0.1").option("port", port);
    let lines = reader.option("includeTimestamp", true).load().unwrap();
    assert_eq!(lines.columns(), ["value", "timestamp"]);
    let now_ms = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let before = now_ms();
    let query = kept(&lines, "receipt");
    let mut client = server.accept().unwrap().0;
    client.write_all(b"tide\n").unwrap();
    until(|| rows(&spark.memory("receipt").unwrap()) == 1);
    let kept = spark.memory("receipt").unwrap();
    let batch = kept.iter().find(|batch| batch.num_rows() > 0).unwrap();
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "tide");
    let at = batch.column(1).as_primitive::<TimestampMillisecondType>().value(0);
    assert!((before..=now_ms()).contains(&at), "{at} is not between {before} and now");
    query.stop().unwrap();
}

#[test]
fn a_query_has_a_log_of_its_own_where_the_session_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", dir.path().join("shared").display());
    let spark = session("frames log");
    spark
        .sql(
            "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '5',
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1')",
        )
        .unwrap();
    let texts = spark.table("ticks").unwrap().select([col("n").cast("STRING").alias("value")]).unwrap();
    let writer = texts.write_stream().format("kafka").option("kafka.bootstrap.servers", &log);
    let writer = writer
        .option("topic", "ticks")
        .option("checkpointLocation", dir.path().join("state of writes").display());
    let writer = writer.query_name("write").trigger(Trigger::AvailableNow);
    writer.start().unwrap().await_termination().unwrap();
    let reader = spark.read_stream().format("kafka").option("kafka.bootstrap.servers", &log);
    let read = reader.option("subscribe", "ticks").option("startingOffsets", "earliest").load().unwrap();
    let writer = read.write_stream().format("memory").query_name("read");
    let query =
        writer.option("checkpointLocation", dir.path().join("state of reads").display()).start().unwrap();
    until(|| rows(&spark.memory("read").unwrap()) == 5);
    query.stop().unwrap();
    // What it has committed is in the directory of the query.
    let state = dir.path().join("state");
    let writer = spark.table("ticks").unwrap().write_stream().format("blackhole").query_name("alone");
    let query = writer.option("checkpointLocation", state.display()).trigger(Trigger::AvailableNow).start();
    query.unwrap().await_termination().unwrap();
    assert!(state.join("log").is_dir(), "the log is in the directory of the query");
    let named =
        StreamSession::builder("frames named log").log("memory:frames named log").get_or_create().unwrap();
    let reader = named.read_stream().format("kafka").option("kafka.bootstrap.servers", &log);
    let read = reader.option("subscribe", "ticks").load().unwrap();
    let told = read.write_stream().format("blackhole").start().unwrap_err().to_string();
    assert!(told.contains("`kafka.bootstrap.servers` is not what the session"), "{told}");
}

#[test]
fn a_query_whose_rows_stay_in_the_process_needs_no_checkpoint_location() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", dir.path().join("log").display());
    let spark = session("frames meanwhile");
    spark
        .sql(
            "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '5',
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1')",
        )
        .unwrap();
    let texts = spark.table("ticks").unwrap().select([col("n").cast("STRING").alias("value")]).unwrap();
    let writer = texts.write_stream().format("kafka").option("kafka.bootstrap.servers", &log);
    let writer = writer.option("checkpointLocation", dir.path().join("state").display());
    let writer = writer.option("topic", "ticks").query_name("write").trigger(Trigger::AvailableNow);
    writer.start().unwrap().await_termination().unwrap();
    let reader = spark.read_stream().format("kafka").option("kafka.bootstrap.servers", &log);
    let read = reader.option("subscribe", "ticks").option("startingOffsets", "earliest").load().unwrap();
    let counts = read.group_by(["value"]).count().unwrap();
    let writer = counts.write_stream().format("memory").query_name("counts").output_mode("complete");
    let query = writer.start().unwrap();
    until(|| rows(&spark.memory("counts").unwrap()) == 5);
    query.stop().unwrap();
    let writer =
        counts.write_stream().format("kafka").option("topic", "counts").option("value.format", "json");
    let told = writer.query_name("kept").output_mode("update").start().unwrap_err().to_string();
    assert!(
        told.contains("frames_io.rs") && told.contains("option(\"checkpointLocation\", \"dir\")"),
        "{told}"
    );
}

#[test]
fn a_session_that_has_ended_is_made_anew() {
    let spark = session("frames anew");
    spark
        .sql("CREATE TABLE a (x INT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json')")
        .unwrap();
    assert_eq!(session("frames anew").tables(), ["a"]);
    spark.stop().unwrap();
    assert!(session("frames anew").tables().is_empty());
    assert_eq!(spark.tables(), ["a"], "who holds the old one still has it");
}
