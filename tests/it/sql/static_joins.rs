//! Joins of a stream with a table that is read once, at the start.

#![allow(clippy::too_many_lines, reason = "golden texts")]

use super::{driver_with, mistakes, parsed};
use datafusion::arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use expect_test::{Expect, expect};
use parquet::arrow::ArrowWriter;
use std::{fs, path::Path, sync::Arc};
use tidegate::{
    StreamingContext,
    testing::{Crash, Settings, run_every_way},
};

const PLACES: &str = "1,quay,2\n2,market,5\n2,fair,7\n,nowhere,0\n4,mill,1\n";

/// A folder with the file `places.csv`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("places.csv"), PLACES).unwrap();
    folder
}

/// Sales, places, and a table that takes rows or changes.
fn script(folder: &Path, query: &str, format: &str) -> String {
    format!(
        "CREATE TABLE sales (place BIGINT, cents BIGINT) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json');
         CREATE TABLE places (id BIGINT, name STRING, least BIGINT)
           WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE TABLE out (cents BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = '{format}');
         INSERT INTO out {query};",
        folder.join("places.csv").display()
    )
}

const SALES: &str = "sales 0 | - | {\"place\":1,\"cents\":1}
sales 1 | - | {\"place\":2,\"cents\":6}
sales 0 | - | {\"place\":3,\"cents\":3}
---
sales 2 | - | {\"place\":null,\"cents\":4}
sales 2 | - | {\"place\":4,\"cents\":5}
";

fn gives(query: &str, expected: &Expect) {
    let folder = folder();
    let script = parsed(&script(folder.path(), query, "json")).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), SALES));
}

#[test]
fn pairs_leave_when_a_row_of_the_stream_comes() {
    gives(
        "SELECT cents, name FROM sales JOIN places ON place = id",
        &expect![[r#"
        out | - | {"cents":1,"name":"quay"}
        out | - | {"cents":6,"name":"fair"}
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
    gives(
        "SELECT cents, name FROM places, sales WHERE place = id AND cents >= least",
        &expect![[r#"
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
}

#[test]
fn rows_of_the_stream_stay_without_a_partner() {
    let query = "SELECT cents, name FROM sales LEFT JOIN places ON place = id AND cents >= least";
    gives(
        query,
        &expect![[r#"
        out | - | {"cents":1,"name":null}
        out | - | {"cents":3,"name":null}
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":4,"name":null}
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
    gives(
        "SELECT cents, name FROM places RIGHT JOIN sales ON place = id AND cents >= least",
        &expect![[r#"
        out | - | {"cents":1,"name":null}
        out | - | {"cents":3,"name":null}
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":4,"name":null}
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
}

#[test]
fn rows_of_the_stream_with_and_without_a_partner() {
    let rows = |condition: &str| format!("SELECT cents, CAST(place AS STRING) FROM sales WHERE {condition}");
    gives(
        &rows("place IN (SELECT id FROM places WHERE name <> 'quay')"),
        &expect![[r#"
        out | - | {"cents":6,"name":"2"}
        ---
        out | - | {"cents":5,"name":"4"}
    "#]],
    );
    gives(
        &rows("EXISTS (SELECT 1 FROM places WHERE id = place AND cents >= least)"),
        &expect![[r#"
        out | - | {"cents":6,"name":"2"}
        ---
        out | - | {"cents":5,"name":"4"}
    "#]],
    );
    gives(
        &rows("NOT EXISTS (SELECT 1 FROM places WHERE id = place)"),
        &expect![[r#"
        out | - | {"cents":3,"name":"3"}
        ---
        out | - | {"cents":4,"name":null}
    "#]],
    );
    gives(
        &rows("cents = 3 OR place IN (SELECT id FROM places)"),
        &expect![[r#"
        out | - | {"cents":1,"name":"1"}
        out | - | {"cents":3,"name":"3"}
        out | - | {"cents":6,"name":"2"}
        ---
        out | - | {"cents":5,"name":"4"}
    "#]],
    );
}

#[test]
fn without_an_equality_each_row_meets_each_of_a_small_table() {
    gives(
        "SELECT cents, name FROM sales CROSS JOIN places WHERE cents = 4",
        &expect![[r#"
        ---
        out | - | {"cents":4,"name":"fair"}
        out | - | {"cents":4,"name":"market"}
        out | - | {"cents":4,"name":"mill"}
        out | - | {"cents":4,"name":"nowhere"}
        out | - | {"cents":4,"name":"quay"}
    "#]],
    );
    gives(
        "SELECT cents, name FROM sales LEFT JOIN places ON cents < least",
        &expect![[r#"
        out | - | {"cents":1,"name":"fair"}
        out | - | {"cents":1,"name":"market"}
        out | - | {"cents":1,"name":"quay"}
        out | - | {"cents":3,"name":"fair"}
        out | - | {"cents":3,"name":"market"}
        out | - | {"cents":6,"name":"fair"}
        ---
        out | - | {"cents":4,"name":"fair"}
        out | - | {"cents":4,"name":"market"}
        out | - | {"cents":5,"name":"fair"}
    "#]],
    );
}

#[test]
fn what_is_computed_of_the_table_is_computed_at_the_start() {
    let query = "SELECT cents, n FROM sales JOIN (SELECT id + 0 AS k, upper(name) AS n FROM places WHERE least > 1) AS p ON place = k";
    gives(
        query,
        &expect![[r#"
        out | - | {"cents":1,"name":"QUAY"}
        out | - | {"cents":6,"name":"FAIR"}
        out | - | {"cents":6,"name":"MARKET"}
        ---
    "#]],
    );
}

#[test]
fn times_of_the_clock_make_no_difference() {
    let query = "SELECT cents, name FROM (SELECT *, PROCTIME() AS at FROM sales) AS s JOIN places FOR SYSTEM_TIME AS OF s.at AS p ON s.place = p.id";
    gives(
        query,
        &expect![[r#"
        out | - | {"cents":1,"name":"quay"}
        out | - | {"cents":6,"name":"fair"}
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
    let query = "SELECT cents, name FROM sales AS s LEFT JOIN places FOR SYSTEM_TIME AS OF PROCTIME() AS p ON s.place = p.id";
    gives(
        query,
        &expect![[r#"
        out | - | {"cents":1,"name":"quay"}
        out | - | {"cents":3,"name":null}
        out | - | {"cents":6,"name":"fair"}
        out | - | {"cents":6,"name":"market"}
        ---
        out | - | {"cents":4,"name":null}
        out | - | {"cents":5,"name":"mill"}
    "#]],
    );
}

#[test]
fn rows_that_are_taken_back_take_back_their_pairs() {
    let folder = folder();
    let path = folder.path().join("places.csv").display().to_string();
    let script = parsed(&format!(
        "CREATE TABLE users (id BIGINT, place BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'u', 'format' = 'json');
         CREATE TABLE places (id BIGINT, name STRING, least BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv');
         CREATE TABLE out (id BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json');
         CREATE TABLE counts (name STRING, n BIGINT, PRIMARY KEY (name) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'format' = 'json');
         INSERT INTO out SELECT u.id, name FROM users AS u LEFT JOIN places AS p ON place = p.id;
         INSERT INTO counts SELECT name, count(*) FROM users AS u JOIN places AS p ON place = p.id GROUP BY name;"
    ))
    .unwrap();
    let input = "u 0 | {\"id\":1} | {\"place\":2}\nu 1 | {\"id\":2} | {\"place\":1}\n---\nu 0 | {\"id\":1} | {\"place\":9}\nu 1 | {\"id\":2} | -\n";
    expect![[r#"
        counts | {"name":"fair"} | {"name":"fair","n":1}
        counts | {"name":"market"} | {"name":"market","n":1}
        counts | {"name":"quay"} | {"name":"quay","n":1}
        out | - | {"before":null,"after":{"id":1,"name":"fair"},"op":"c"}
        out | - | {"before":null,"after":{"id":1,"name":"market"},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"name":"quay"},"op":"c"}
        ---
        counts | {"name":"fair"} | -
        counts | {"name":"market"} | -
        counts | {"name":"quay"} | -
        out | - | {"before":null,"after":{"id":1,"name":null},"op":"c"}
        out | - | {"before":{"id":1,"name":"fair"},"after":null,"op":"d"}
        out | - | {"before":{"id":1,"name":"market"},"after":null,"op":"d"}
        out | - | {"before":{"id":2,"name":"quay"},"after":null,"op":"d"}
    "#]]
    .assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

#[test]
fn a_declared_key_makes_rows_known_by_that_of_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.csv");
    let script = |path: &Path| {
        format!(
            "CREATE TABLE users (id BIGINT, place BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'u', 'format' = 'json');
             CREATE TABLE places (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
             CREATE TABLE out (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'out', 'format' = 'json');
             INSERT INTO out SELECT u.id, name FROM users AS u JOIN places AS p ON place = p.id;",
            path.display()
        )
    };
    fs::write(&path, "1,quay\n2,market\n").unwrap();
    let of_key = parsed(&script(&path)).unwrap();
    let input = "u 0 | {\"id\":1} | {\"place\":2}\n---\nu 0 | {\"id\":1} | {\"place\":1}\n---\nu 0 | {\"id\":1} | {\"place\":7}\n";
    expect![[r#"
        out | {"id":1} | {"id":1,"name":"market"}
        ---
        out | {"id":1} | {"id":1,"name":"quay"}
        ---
        out | {"id":1} | -
    "#]]
    .assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&of_key), input));
    fs::write(&path, "1,quay\n2,market\n1,mill\n").unwrap();
    expect![[r#"
        q.sql:2:27: table `places` has two rows with id = 1
          2 |              CREATE TABLE places (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = 'FOLDER/places.csv', 'format' = 'csv');
            |                           ^^^^^^
          its PRIMARY KEY says that there is one
          next: correct the rows, or leave PRIMARY KEY out"#]].assert_eq(&mistakes(&script(&path)).replace(&folder.path().display().to_string(), "FOLDER"));
}

/// A table of lines, one of objects, and one of columns.
#[test]
fn tables_of_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| folder.path().join(name);
    fs::write(of("words.txt"), "sea\ntide\n").unwrap();
    fs::create_dir(of("objects")).unwrap();
    fs::write(of("objects/b.json"), "{\"word\":\"tide\",\"n\":2}\n").unwrap();
    fs::write(of("objects/a.json"), "{\"word\":\"sea\",\"n\":1}\n\n").unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("word", DataType::Utf8, true),
        Field::new("m", DataType::Int64, true),
    ]));
    let columns = vec![
        Arc::new(StringArray::from(vec!["sea", "sea"])) as _,
        Arc::new(Int64Array::from(vec![8, 9])) as _,
    ];
    let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(of("m.parquet")).unwrap(), schema, None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let script = parsed(&format!(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
         CREATE TABLE words (word STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'text');
         CREATE TABLE objects (word STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
         CREATE TABLE columns (word STRING, m BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'parquet');
         CREATE TABLE out (line STRING, n BIGINT, m BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         INSERT INTO out SELECT line, n, m FROM lines JOIN words AS w ON line = w.word JOIN objects AS o ON line = o.word LEFT JOIN columns AS c ON line = c.word;",
        of("words.txt").display(),
        of("objects").display(),
        of("m.parquet").display()
    ))
    .unwrap();
    let input = "lines 0 | - | sea\nlines 1 | - | tide\nlines 1 | - | lake\n";
    expect![[r#"
        out | - | {"line":"sea","n":1,"m":8}
        out | - | {"line":"sea","n":1,"m":9}
        out | - | {"line":"tide","n":2,"m":null}
    "#]]
    .assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// What was computed before stays as it is; rows that come later meet the new contents, also those that are computed again.
#[test]
fn a_table_that_was_changed_is_read_anew_at_the_next_start() {
    let folder = folder();
    let query = "SELECT cents, name FROM sales JOIN places ON place = id";
    let text = script(folder.path(), query, "json");
    let settings = Settings { state_partitions: 2, ..Settings::default() };
    let mut driver = tidegate::testing::Driver::with(settings, move |ssc: &StreamingContext| {
        ssc.sql(&parsed(&text).unwrap());
    });
    let sale = "sales 0 | - | {\"place\":1,\"cents\":1}\n";
    assert_eq!(driver.batch(sale).unwrap().to_string(), "out | - | {\"cents\":1,\"name\":\"quay\"}\n");
    fs::write(folder.path().join("places.csv"), "1,harbour,2\n").unwrap();
    assert_eq!(driver.batch(sale).unwrap().to_string(), "out | - | {\"cents\":1,\"name\":\"quay\"}\n");
    driver.crash_at(Crash::BeforeCommit);
    assert_eq!(driver.batch(sale).unwrap().to_string(), "out | - | {\"cents\":1,\"name\":\"harbour\"}\n");
}

#[test]
fn rows_in_memory_are_told() {
    let folder = folder();
    let text = format!(
        "{}\nEXPLAIN STREAM INSERT INTO out SELECT cents, name FROM sales JOIN places ON place = id AND cents >= least;",
        script(folder.path(), "SELECT cents, name FROM sales JOIN places ON place = id", "json")
    );
    let script = parsed(&text).unwrap();
    expect![[r#"
        stream plan:
          Sink out: cents, name (append)
            StaticJoin places: inner, place = id where cents >= least
                rows: only added
                in memory: 5 rows of table places, 130 bytes
              Calc: place, cents
                  rows: only added
                Source sales: place, cents
                    rows: only added"#]]
    .assert_eq(&script.answers().join("\n"));
    expect![[r#"
        topology:
          stage 0, one task per source partition
             0  source sales
             1  select  <- 0
             2  lookup  <- 1
             3  insert out  <- 2
    "#]]
    .assert_eq(&format!("topology:\n{}", script.topology()));
}

#[test]
fn what_such_a_join_cannot_be_is_refused() {
    let folder = folder();
    let large = (0..1_001).map(|n| format!("{n},x,1\n")).collect::<Vec<_>>().concat();
    fs::write(folder.path().join("large.csv"), large).unwrap();
    let mut told = String::new();
    for query in [
        "SELECT cents, name FROM sales RIGHT JOIN places ON place = id",
        "SELECT cents, name FROM sales FULL JOIN places ON place = id",
        "SELECT a.least, b.name FROM places AS a JOIN places AS b ON a.id = b.id",
        "SELECT least, name FROM places",
        "SELECT count(*), name FROM places GROUP BY name",
        "SELECT cents, name FROM sales JOIN (SELECT DISTINCT id, name FROM places) AS p ON place = id",
        "SELECT cents, name FROM sales, large WHERE cents < large.id",
        "SELECT cents, name FROM sales JOIN (SELECT id, name, random() AS r FROM places) AS p ON place = id AND r < 0.5",
        "SELECT cents, name FROM sales JOIN (SELECT 1 / id AS k, name FROM zero) AS p ON place = k",
        "SELECT cents, name FROM sales AS s JOIN places FOR SYSTEM_TIME AS OF s.cents AS p ON s.place = p.id",
        "SELECT cents, name FROM sales AS s JOIN places FOR SYSTEM_TIME AS OF s.at AS p ON s.place = p.id",
        "SELECT least, name FROM places FOR SYSTEM_TIME AS OF PROCTIME()",
        "SELECT cents, name FROM sales AS s JOIN missing ON place = id",
    ] {
        let tables = format!(
            "CREATE TABLE large (id BIGINT, name STRING, x INT) WITH ('connector' = 'filesystem', 'path' = '{0}/large.csv', 'format' = 'csv');
             CREATE TABLE zero (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = '{0}/zero.csv', 'format' = 'csv');
             CREATE TABLE missing (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = '{0}/missing.csv', 'format' = 'csv');\n",
            folder.path().display()
        );
        fs::write(folder.path().join("zero.csv"), "0,x\n").unwrap();
        let said = mistakes(&(tables + &script(folder.path(), query, "json")));
        told += &said.replace(&folder.path().display().to_string(), "FOLDER");
        told += "\n\n";
    }
    expect![[r#"
        q.sql:8:67: rows of a table that is read once cannot leave without a row of the stream
          8 |          INSERT INTO out SELECT cents, name FROM sales RIGHT JOIN places ON place = id;
            |                                                                   ^^^^^^
          it is looked up for each row of a stream, which never ends
          next: write FROM stream JOIN table, or FROM stream LEFT JOIN table

        q.sql:8:66: rows of a table that is read once cannot leave without a row of the stream
          8 |          INSERT INTO out SELECT cents, name FROM sales FULL JOIN places ON place = id;
            |                                                                  ^^^^^^
          it is looked up for each row of a stream, which never ends
          next: write FROM stream JOIN table, or FROM stream LEFT JOIN table

        q.sql:8:71: a join of two tables that are read once is not supported
          8 |          INSERT INTO out SELECT a.least, b.name FROM places AS a JOIN places AS b ON a.id = b.id;
            |                                                                       ^^^^^^^^^^^
          it is looked up for each row of a stream, which never ends
          next: write FROM stream JOIN table, or FROM stream LEFT JOIN table

        q.sql:8:26: table `places` is read once, at the start, and only a stream can join it
          8 |          INSERT INTO out SELECT least, name FROM places;
            |                          ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:8:22: rows of this query change later, and table `out` only takes new rows
          8 |          INSERT INTO out SELECT count(*), name FROM places GROUP BY name;
            |                      ^^^
          `count(*)` of a group changes with each new row
          next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (name) NOT ENFORCED

        q.sql:8:26: table `places` is read once, at the start, and only a stream can join it
          8 |          INSERT INTO out SELECT cents, name FROM sales JOIN (SELECT DISTINCT id, name FROM places) AS p ON place = id;
            |                          ^^^^^^
          its rows do not come one after the other, so nothing says when an answer changes
          next: write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'

        q.sql:8:57: a join without an equality with table `large`, which has 1001 rows
          8 |          INSERT INTO out SELECT cents, name FROM sales, large WHERE cents < large.id;
            |                                                         ^^^^^
          each row of the stream would meet each of them; it can be done with up to 1000
          next: add a condition such as a.id = b.id

        q.sql:8:79: `random` cannot stand over a table that is read once
          8 |          INSERT INTO out SELECT cents, name FROM sales JOIN (SELECT id, name, random() AS r FROM places) AS p ON place = id AND r < 0.5;
            |                                                                               ^^^^^^
          a change could not be taken back, as the function gives another value each time
          next: compute it in the last query, from rows that only grow

        q.sql:8:26: a row of table `zero`, which is read once: division by zero
          8 |          INSERT INTO out SELECT cents, name FROM sales JOIN (SELECT 1 / id AS k, name FROM zero) AS p ON place = k;
            |                          ^^^^^^
          next: correct the row, or leave it out with WHERE

        q.sql:8:22: FOR SYSTEM_TIME AS OF something that is no TIMESTAMP(3)
          8 |          INSERT INTO out SELECT cents, name FROM sales AS s JOIN places FOR SYSTEM_TIME AS OF s.cents AS p ON s.place = p.id;
            |                      ^^^
          next: name a column of event time, or one that is PROCTIME()

        q.sql:8:95: there is no column `at` in `s`
          8 |          INSERT INTO out SELECT cents, name FROM sales AS s JOIN places FOR SYSTEM_TIME AS OF s.at AS p ON s.place = p.id;
            |                                                                                               ^^^^
          next: there are: `place`, `cents`

        q.sql:8:50: FOR SYSTEM_TIME AS OF behind a table that nothing joins
          8 |          INSERT INTO out SELECT least, name FROM places FOR SYSTEM_TIME AS OF PROCTIME();
            |                                                  ^^^^^^
          it says at which time each row of the table before it looks at this one
          next: write FROM stream JOIN table FOR SYSTEM_TIME AS OF stream.ts ON ..

        q.sql:3:27: table `missing`: FOLDER/missing.csv: No such file or directory (os error 2)
          3 |              CREATE TABLE missing (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'FOLDER/missing.csv', 'format' = 'csv');
            |                           ^^^^^^^
          next: correct 'path': it is a file, or a folder of files

    "#]].assert_eq(&told);
}

#[test]
fn a_driver_of_threads_gives_the_same() {
    let folder = folder();
    let text = script(folder.path(), "SELECT cents, name FROM sales JOIN places ON place = id", "json");
    let settings = Settings { threads: 3, state_partitions: 4, ..Settings::default() };
    let mut driver = driver_with(settings, &text);
    let sales: String = (0..200)
        .map(|n| format!("sales {} | - | {{\"place\":{},\"cents\":{n}}}\n", n % 3, n % 5))
        .collect::<Vec<_>>()
        .concat();
    let written = driver.batch(&sales).unwrap().to_string();
    assert_eq!(written.lines().count(), 160, "two rows of place 2, one of 1 and of 4, none of the others");
}
