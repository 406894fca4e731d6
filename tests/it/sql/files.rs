//! Tables of files and of lines that a server sends: what is read, what is written, and what is refused.

use super::{driver, mistakes, parsed};
use crate::{
    outputs::files,
    programs::{Process, put},
};
use expect_test::expect;
use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tidegate::{
    StreamingContext,
    testing::{Driver, ways},
};

const SALES: &str = "CREATE TABLE sales (id BIGINT, day DATE, place STRING, cents BIGINT)
    WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json', 'on-bad-record' = 'skip');";

fn sink(dir: &Path, format: &str) -> String {
    format!(
        "{SALES} CREATE TABLE out (id BIGINT, day DATE, place STRING, cents BIGINT) PARTITIONED BY (day, place)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{format}');
         INSERT INTO out SELECT * FROM sales WHERE cents > 0;",
        dir.display()
    )
}

const INPUT: [&str; 2] = [
    "sales 0 | - | {\"id\":1,\"day\":\"2026-11-29\",\"place\":\"a/b\",\"cents\":5}\nsales 0 | - | {\"id\":2,\"place\":\"x, y\",\"cents\":7}\nsales 1 | - | {\"id\":3,\"cents\":0}\n",
    "sales 0 | - | {\"id\":4,\"day\":\"2026-11-29\",\"place\":\"a/b\",\"cents\":9}\n",
];

/// The files below a folder with their text, in the order of their paths.
fn shown(dir: &Path) -> String {
    files(dir)
        .iter()
        .fold(String::new(), |all, (name, text)| all + name + ": " + &text.replace('\n', "|") + "\n")
}

#[test]
fn each_batch_writes_files_in_folders_by_the_values_of_columns() {
    for settings in ways() {
        let dir = tempfile::tempdir().unwrap();
        for format in ["json", "csv"] {
            let script = parsed(&sink(&dir.path().join(format), format)).unwrap();
            let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
            for batch in INPUT {
                driver.batch(batch).unwrap();
            }
        }
        expect![[r#""#]].assert_eq(&shown(dir.path()));
    }
}

#[test]
fn what_is_written_is_read_back_as_a_table() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["json", "csv", "parquet"] {
        let path = dir.path().join(format);
        let mut driver = driver(&sink(&path, format));
        for batch in INPUT {
            driver.batch(batch).unwrap();
        }
        drop(driver);
        // A folder that is read as files come has no folders below it.
        let folder = path.join("day=2026-11-29/place=a%2Fb");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "{format}");
    }
}

#[test]
fn a_value_that_would_end_its_line_is_a_bad_record() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{SALES} CREATE TABLE out (place STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         INSERT INTO out SELECT place FROM sales;",
        dir.path().display()
    );
    let mut driver = driver(&script);
    driver.batch("sales 0 | - | {\"id\":1,\"place\":\"two\\nlines\"}\nsales 0 | - | {\"id\":2,\"place\":\"say \\\"hi\\\"\"}\n").unwrap();
    assert_eq!(shown(dir.path()), "part-1000-00000.csv: \"say \"\"hi\"\"\"|\n");
    let bad = driver.take_bad_records().join("\n");
    assert!(bad.ends_with("a value has a line break, which would end its line in the file"), "{bad}");
}

fn run(script: &Path, dir: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg(script).args([
        "--log-level",
        "warn",
        "--admin-bind",
        "127.0.0.1:0",
        "--state-dir",
    ]);
    Process::start(command.arg(dir.join("state")))
}

fn script(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("q.sql");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn files_that_come_are_read_once_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    fs::create_dir(&input).unwrap();
    put(&input, "a.csv", "1,ann\n\n2,\"bob, jr\"\nx,bad\n");
    let file = script(
        dir.path(),
        &format!(
            "SET 'batch-interval-ms' = '100';
             CREATE TABLE people (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
               'source.monitor-interval' = '50 ms', 'source.settle-time' = '0 s', 'on-bad-record' = 'skip');
             CREATE TABLE seen (n BIGINT, last STRING) WITH ('connector' = 'print');
             INSERT INTO seen SELECT count(*), max(name) FROM people;",
            input.display()
        ),
    );
    let mut first = run(&file, dir.path());
    first.until("it has read the file", |process| process.out().contains("[2, bob, jr]"));
    let told = "a.csv, the line at byte 19: field `id` at byte 0: \"x\" is no integer";
    first.until("the bad line is told", |process| (process.out() + &process.err()).contains(told));
    drop(first);
    put(&input, "b.csv", "3,eve\n");
    let mut second = run(&file, dir.path());
    second.until("it has read the other file", |process| process.out().contains("+U[3, eve]"));
}

#[test]
fn words_of_a_socket_are_counted_and_shown_as_spark_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap(); // as `nc -lk 9999`
    let example =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sql/socket_word_count.sql"))
            .unwrap();
    assert!(example.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).count() <= 10);
    let port = server.local_addr().unwrap().port().to_string();
    let file = script(dir.path(), &example.replace("localhost", "127.0.0.1").replace("9999", &port));
    let mut process = run(&file, dir.path());
    let mut connection = server.accept().unwrap().0;
    connection.write_all(b"to be or not to be\n").unwrap();
    let first = "\
-------------------------------------------
Batch: 0
-------------------------------------------
+----+-----+
|word|count|
+----+-----+
|  be|    2|
| not|    1|
|  or|    1|
|  to|    2|
+----+-----+

";
    process.until("the first block is there", |process| process.out().contains("+----+-----+\n\n"));
    assert_eq!(process.out(), first);
    connection.write_all(b"be\n").unwrap();
    process
        .until("the second block is there", |process| process.out().matches("+----+-----+\n\n").count() == 2);
    let second = first.replace("Batch: 0", "Batch: 1").replace("|  be|    2|", "|  be|    3|");
    assert_eq!(process.out(), format!("{first}{second}"));
}

#[test]
fn lines_of_a_socket_may_be_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = script(
        dir.path(),
        &format!(
            "SET 'batch-interval-ms' = '100';
             CREATE TABLE events (n BIGINT NOT NULL) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{}', 'format' = 'json', 'on-bad-record' = 'skip');
             CREATE TABLE seen (total BIGINT) WITH ('connector' = 'print');
             INSERT INTO seen SELECT sum(n) FROM events;",
            server.local_addr().unwrap().port()
        ),
    );
    let mut process = run(&file, dir.path());
    server.accept().unwrap().0.write_all(b"{\"n\":20}\n{\"m\":1}\n{\"n\":22}\n").unwrap();
    process.until("the sum is there", |process| process.out().contains("[42]"));
}

#[test]
fn what_files_and_sockets_cannot_do_is_refused() {
    let of =
        |options: &str, rest: &str| format!("CREATE TABLE t (a INT, b STRING) WITH ({options});\n{rest}");
    let select = "CREATE TABLE out (a INT) WITH ('connector' = 'print');\nINSERT INTO out SELECT a FROM t;";
    let files = "'connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv'";
    let mut told = String::new();
    for script in [
        of(files, select),
        of("'connector' = 'filesystem', 'path' = 's3://bucket/t', 'format' = 'csv'", select),
        of("'connector' = 'filesystem', 'path' = '/data/t', 'format' = 'parquet', 'source.monitor-interval' = '1 s'", select),
        of(&format!("{files}, 'source.settle-time' = '1 s'"), select),
        of(&format!("{files}, 'on-bad-record' = 'dead-letter'"), select),
        of(&format!("{files}, 'sink.rolling-policy.file-size' = '1MB'"), select),
        of(&format!("{files}, 'csv.field-delimiter' = '::'"), select),
        of(&format!("{files}, 'csv.escape-character' = '\\'"), select),
        of(&format!("{files}, 'csv.quote-character' = ','"), select),
        format!("CREATE TABLE t (a INT, o BIGINT METADATA FROM 'offset') WITH ({files});\n{select}"),
        format!("CREATE TABLE t (a INT) PARTITIONED BY (a) WITH ({files});\n{select}"),
        format!("CREATE TABLE t (a INT, b INT) PARTITIONED BY (c) WITH ({files});\n{select}"),
        "CREATE TABLE t (a INT, b INT) PARTITIONED BY (a) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');\nSHOW TABLES;".to_owned(),
        format!("CREATE TABLE t (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED) WITH ({files});\nCREATE TABLE i (a INT, b STRING) WITH ('connector' = 'datagen');\nINSERT INTO t SELECT * FROM i;"),
        format!("CREATE TABLE t (a BIGINT) WITH ({files});\nCREATE TABLE i (a INT) WITH ('connector' = 'datagen');\nINSERT INTO t SELECT count(*) FROM i;"),
        "CREATE TABLE t (a ARRAY<INT>) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'csv');\nCREATE TABLE out (a INT) WITH ('connector' = 'print');\nINSERT INTO out SELECT a[1] FROM t;".to_owned(),
        of("'connector' = 'socket', 'port' = '9999', 'format' = 'raw'", select),
        of("'connector' = 'socket', 'hostname' = 'h', 'port' = '9999', 'format' = 'raw'", select),
        of("'connector' = 'socket', 'hostname' = 'h', 'port' = '9999', 'format' = 'json'", "CREATE TABLE i (a INT, b STRING) WITH ('connector' = 'datagen');\nINSERT INTO t SELECT * FROM i;"),
        of("'connector' = 'jdbc', 'url' = 'jdbc:mysql://h/db', 'table-name' = 't'", select),
        of("'connector' = 'jdbc', 'url' = 'jdbc:postgresql://me:secret@h/db', 'table-name' = 't'", select),
        of("'connector' = 'jdbc', 'url' = 'jdbc:postgresql://h/db', 'table-name' = 't'", select),
        "CREATE TABLE t (a BIGINT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://h/db', 'table-name' = 't');\nCREATE TABLE i (a INT) WITH ('connector' = 'datagen');\nINSERT INTO t SELECT count(*) FROM i;".to_owned(),
    ] {
        told += &mistakes(&script);
        told += "\n\n";
    }
    assert!(!told.contains("secret@h/db', 'table-name' = 't' is"), "{told}");
    expect![[r#""#]].assert_eq(&told);
}
