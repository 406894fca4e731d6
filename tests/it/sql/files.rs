//! Tables of files and of lines that a server sends: what is read, what is written, and what is refused.

use super::{driver, mistakes, parsed};
use crate::{
    outputs::files,
    programs::{Process, put},
};
use expect_test::expect;
use parquet::file::reader::{FileReader, SerializedFileReader};
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
        expect![[r#"
            csv/day=2026-11-29/place=a%2Fb/part-1000-00000.csv: 1,5|
            csv/day=2026-11-29/place=a%2Fb/part-2000-00000.csv: 4,9|
            csv/day=__DEFAULT_PARTITION__/place=x, y/part-1000-00000.csv: 2,7|
            json/day=2026-11-29/place=a%2Fb/part-1000-00000.json: {"id":1,"cents":5}|
            json/day=2026-11-29/place=a%2Fb/part-2000-00000.json: {"id":4,"cents":9}|
            json/day=__DEFAULT_PARTITION__/place=x, y/part-1000-00000.json: {"id":2,"cents":7}|
        "#]]
        .assert_eq(&shown(dir.path()));
    }
}

#[test]
fn columns_of_parquet_files_are_those_that_are_not_in_the_names_of_folders() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = driver(&sink(dir.path(), "parquet"));
    for batch in INPUT {
        driver.batch(batch).unwrap();
    }
    let mut rows = vec![];
    for name in files(dir.path()).keys() {
        let reader = SerializedFileReader::new(fs::File::open(dir.path().join(name)).unwrap()).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            rows.push(format!("{name}: {}\n", row.unwrap()));
        }
    }
    let expected = "\
day=2026-11-29/place=a%2Fb/part-1000-00000.parquet: {id: 1, cents: 5}
day=2026-11-29/place=a%2Fb/part-2000-00000.parquet: {id: 4, cents: 9}
day=__DEFAULT_PARTITION__/place=x, y/part-1000-00000.parquet: {id: 2, cents: 7}
";
    assert_eq!(rows.concat(), expected);
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
             INSERT INTO seen SELECT count(id), max(name) FROM people;",
            input.display()
        ),
    );
    let mut first = run(&file, dir.path());
    first.until("it has read the file", |process| process.out().contains("[2, bob, jr]"));
    let told = "a.csv, the line at byte 19: value: field `id` at byte 0: \"x\" is no integer";
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
#[allow(clippy::too_many_lines, reason = "a golden text")]
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
    expect![[r#"
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:77: 's3://bucket/t' is no path of a file system
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = 's3://bucket/t', 'format' = 'csv');
            |                                                                             ^^^^^^^^^^^^^^^
          files are read and written where the process runs
          next: write a path such as '/data/orders' or 'file:///data/orders'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:14: files that come while the script runs cannot be read as Parquet
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'parquet', 'source.monitor-interval' = '1 s');
            |              ^
          they are read line by line, in parts
          next: leave 'source.monitor-interval' out: the files are then read once, at the start

        q.sql:1:14: 'source.settle-time' without 'source.monitor-interval'
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'source.settle-time' = '1 s');
            |              ^
          files that are read once, at the start, are taken as they are
          next: add 'source.monitor-interval' = '1 s' to read files as they come
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:14: 'on-bad-record' = 'dead-letter' for files that are read at the start
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'on-bad-record' = 'dead-letter');
            |              ^
          dead letters are written with the batch that finds them, and there is none yet
          next: write 'fail' or 'skip'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:106: the option 'sink.rolling-policy.file-size' is not supported
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'sink.rolling-policy.file-size' = '1MB');
            |                                                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          each batch writes files of its own, which readers see complete
          next: leave it out, and choose the batch interval: SET 'batch-interval-ms' = '60000'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:130: '::' cannot be the delimiter of fields
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'csv.field-delimiter' = '::');
            |                                                                                                                                  ^^^^
          it is one character of ASCII, and no line break
          next: write a character such as ',', ';', '|' or '\t'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:106: the option 'csv.escape-character' is not supported
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'csv.escape-character' = '\');
            |                                                                                                          ^^^^^^^^^^^^^^^^^^^^^^
          a quote within quotes is written twice
          next: leave it out, and write "" for a quote in quotes
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:130: fields cannot be told apart by their quote
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv', 'csv.quote-character' = ',');
            |                                                                                                                                  ^^^
          next: choose another quote or another delimiter
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:24: rows of files have no metadata
          1 | CREATE TABLE t (a INT, o BIGINT METADATA FROM 'offset') WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv');
            |                        ^
          next: declare the column without METADATA, or leave it out
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:14: the files of table `t` have no column
          1 | CREATE TABLE t (a INT) PARTITIONED BY (a) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv');
            |              ^
          columns of PARTITIONED BY are in the names of folders, not in the files
          next: leave a column out of PARTITIONED BY
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:47: there is no column `c` in this table
          1 | CREATE TABLE t (a INT, b INT) PARTITIONED BY (c) WITH ('connector' = 'filesystem', 'path' = '/data/t', 'format' = 'csv');
            |                                               ^
          next: declare it, or name one that is

        q.sql:1:14: PARTITIONED BY with the connector 'kafka'
          1 | CREATE TABLE t (a INT, b INT) PARTITIONED BY (a) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
            |              ^
          only files are in folders by the values of columns; records of a topic go by their key
          next: take it away

        q.sql:3:13: rows of table `t` are never replaced
          3 | INSERT INTO t SELECT * FROM i;
            |             ^
          what is in a file stays there
          next: take PRIMARY KEY away, or write to a table with 'connector' = 'upsert-kafka' or 'jdbc'

        q.sql:3:13: rows of this query change later, and table `t` only takes new rows
          3 | INSERT INTO t SELECT count(*) FROM i;
            |             ^
          `count(*)` of all rows changes with each new row
          next: write to a table with 'connector' = 'upsert-kafka' or 'jdbc', or to 'format' = 'debezium-json'

        q.sql:1:14: table `t`: column `a`: CSV has no form for values of type ARRAY<INT>
          1 | CREATE TABLE t (a ARRAY<INT>) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'csv');
            |              ^

        q.sql:1:14: table `t` lacks the option 'hostname'
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'socket', 'port' = '9999', 'format' = 'raw');
            |              ^
          next: add 'hostname' = 'localhost' to WITH (..)

        q.sql:1:14: table `t`: the format 'raw' has exactly one column, of type STRING or BYTES
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'socket', 'hostname' = 'h', 'port' = '9999', 'format' = 'raw');
            |              ^

        q.sql:3:13: `t` can be read, but not written to
          3 | INSERT INTO t SELECT * FROM i;
            |             ^

        q.sql:1:70: this is no URL of a Postgres database
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://h/db', 'table-name' = 't');
            |                                                                      ^^^^^^^^^^^^^^^^^^^
          Postgres is the only database that rows are written to
          next: write 'url' = 'jdbc:postgresql://host:5432/database'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:1:70: a user in the URL
          1 | CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://me:secret@h/db', 'table-name' = 't');
            |                                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: write 'username' = '..' and 'password' = '..' besides 'url'
        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:3:17: table `t` is read once, at the start, and only a stream can join it
          3 | INSERT INTO out SELECT a FROM t;
            |                 ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:3:13: rows of this query change later, and table `t` only takes new rows
          3 | INSERT INTO t SELECT count(*) FROM i;
            |             ^
          `count(*)` of all rows changes with each new row
          next: declare PRIMARY KEY (..) NOT ENFORCED

    "#]].assert_eq(&told);
}
