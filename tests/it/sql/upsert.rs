//! Tables whose records say how rows change: what queries over them write, in every way of running.

use super::{driver, mistakes, parsed};
use expect_test::{Expect, expect};
use tidegate::{
    StreamingContext,
    testing::{Crash, Settings, run_every_way, ways},
};

/// The table `users`, whose key is in the record's key.
const USERS: &str =
    "CREATE TABLE users (id BIGINT, place STRING, points INT NOT NULL, PRIMARY KEY (id) NOT ENFORCED)
    WITH ('connector' = 'upsert-kafka', 'topic' = 'users', 'key.format' = 'json', 'value.format' = 'json');";
const PLACES: &str = "CREATE TABLE places (place STRING, n BIGINT, points BIGINT, least INT, most INT, PRIMARY KEY (place) NOT ENFORCED)
    WITH ('connector' = 'upsert-kafka', 'topic' = 'places', 'format' = 'json');
    INSERT INTO places SELECT place, count(*), sum(points), min(points), max(points) FROM users GROUP BY place;";

/// A record of `users`; `None` = the row is deleted.
fn user(id: i64, row: Option<(&str, i64)>) -> String {
    let value = row.map_or("-".to_owned(), |(place, points)| {
        format!("{{\"place\":\"{place}\",\"points\":{points},\"unknown\":[1]}}")
    });
    format!("users {} | {{\"id\":{id}}} | {value}\n", id % 3)
}

fn every_way(script: &str, input: &str, expected: &Expect) {
    let script = parsed(script).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// Rows that come, change, stay as they are, move to another group, and go.
fn batches() -> String {
    let first = user(1, Some(("sea", 5))) + &user(2, Some(("sea", 7))) + &user(3, Some(("bay", 1)));
    let same = user(2, Some(("sea", 7)));
    let moves = user(1, Some(("bay", 9))) + &user(2, None) + &user(4, Some(("sea", 2)));
    // Within one batch only the last record of a key says anything; a row that is not there is deleted for nothing.
    let last = user(4, None) + &user(5, None) + &user(3, Some(("x", 0))) + &user(3, Some(("bay", 1)));
    [first, same, moves, last].join("---\n")
}

#[test]
fn aggregates_follow_the_rows_of_a_table() {
    every_way(
        &format!("{USERS}{PLACES}"),
        &batches(),
        &expect![[r#"
        places | {"place":"bay"} | {"place":"bay","n":1,"points":1,"least":1,"most":1}
        places | {"place":"sea"} | {"place":"sea","n":2,"points":12,"least":5,"most":7}
        ---
        ---
        places | {"place":"bay"} | {"place":"bay","n":2,"points":10,"least":1,"most":9}
        places | {"place":"sea"} | {"place":"sea","n":1,"points":2,"least":2,"most":2}
        ---
        places | {"place":"sea"} | -
    "#]],
    );
}

#[test]
fn changes_go_through_filters_and_come_out_as_they_are() {
    every_way(
        &format!(
            "{USERS}
             CREATE TABLE many (who BIGINT, place STRING, PRIMARY KEY (who) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'many', 'format' = 'json');
             CREATE TABLE log (who BIGINT, points INT) WITH ('connector' = 'kafka', 'topic' = 'log', 'format' = 'debezium-json');
             CREATE TABLE total (n BIGINT, points BIGINT) WITH ('connector' = 'kafka', 'topic' = 'total', 'format' = 'debezium-json');
             INSERT INTO many SELECT id, place FROM users WHERE points > 4;
             INSERT INTO log SELECT id, points FROM users WHERE place <> 'bay';
             INSERT INTO total SELECT count(*), sum(points) FROM users HAVING count(*) <> 2;"
        ),
        &batches(),
        &expect![[r#"
            log | - | {"before":null,"after":{"who":1,"points":5},"op":"c"}
            log | - | {"before":null,"after":{"who":2,"points":7},"op":"c"}
            many | {"who":1} | {"who":1,"place":"sea"}
            many | {"who":2} | {"who":2,"place":"sea"}
            total | - | {"before":null,"after":{"n":3,"points":13},"op":"c"}
            ---
            ---
            log | - | {"before":null,"after":{"who":4,"points":2},"op":"c"}
            log | - | {"before":{"who":1,"points":5},"after":null,"op":"d"}
            log | - | {"before":{"who":2,"points":7},"after":null,"op":"d"}
            many | {"who":1} | {"who":1,"place":"bay"}
            many | {"who":2} | -
            total | - | {"before":null,"after":{"n":3,"points":12},"op":"c"}
            total | - | {"before":{"n":3,"points":13},"after":null,"op":"d"}
            ---
            log | - | {"before":{"who":4,"points":2},"after":null,"op":"d"}
            total | - | {"before":{"n":3,"points":12},"after":null,"op":"d"}
        "#]],
    );
}

/// A table of Debezium's changes, with a key and without one.
fn debezium(key: &str) -> String {
    format!(
        "CREATE TABLE users (id BIGINT, place STRING, points INT{key}) WITH ('connector' = 'kafka', 'topic' = 'users', 'format' = 'debezium-json', 'on-bad-record' = 'skip');
         {PLACES}"
    )
}

fn change(partition: u32, op: &str, before: &str, after: &str) -> String {
    format!(
        "users {partition} | - | {{\"before\":{before},\"after\":{after},\"source\":{{\"lsn\":7}},\"op\":\"{op}\",\"ts_ms\":3}}\n"
    )
}

#[test]
fn changes_of_debezium_are_rows_before_and_after() {
    let first = change(0, "r", "null", r#"{"id":1,"place":"sea","points":5}"#)
        + &change(0, "c", "null", r#"{"id":2,"place":"sea","points":7}"#)
        + r#"users 1 | - | {"schema":{"type":"struct"},"payload":{"before":null,"after":{"id":3,"place":"bay","points":1},"op":"c"}}"#
        + "\n";
    let second =
        change(0, "u", r#"{"id":1,"place":"sea","points":5}"#, r#"{"id":1,"place":"bay","points":9}"#)
            + &change(0, "d", r#"{"id":2,"place":"sea","points":7}"#, "null")
            + "users 0 | {\"id\":2} | -\n";
    let input = format!("{first}---\n{second}");
    let expected = expect![[r#"
        places | {"place":"bay"} | {"place":"bay","n":1,"points":1,"least":1,"most":1}
        places | {"place":"sea"} | {"place":"sea","n":2,"points":12,"least":5,"most":7}
        ---
        places | {"place":"bay"} | {"place":"bay","n":2,"points":10,"least":1,"most":9}
        places | {"place":"sea"} | -
    "#]];
    every_way(&debezium(""), &input, &expected);
    every_way(&debezium(", PRIMARY KEY (id) NOT ENFORCED"), &input, &expected);
    // With a key what was before is not needed, and of a row that went its key is enough.
    let short = second
        .replace(r#""before":{"id":1,"place":"sea","points":5}"#, r#""before":null"#)
        .replace(r#""before":{"id":2,"place":"sea","points":7}"#, r#""before":{"id":2}"#);
    every_way(&debezium(", PRIMARY KEY (id) NOT ENFORCED"), &format!("{first}---\n{short}"), &expected);
}

#[test]
fn a_change_that_cannot_be_is_a_bad_record() {
    let told = |script: &str, input: &str| {
        let mut driver = driver(script);
        driver.batch(&change(0, "c", "null", r#"{"id":1,"place":"sea","points":5}"#)).unwrap();
        let written = driver.batch(input).unwrap().to_string();
        driver
            .take_bad_records()
            .into_iter()
            .chain(written.lines().map(str::to_owned))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let next = change(0, "c", "null", r#"{"id":2,"place":"sea","points":1}"#);
    // A row that is not there goes; its group never had one, or has another value.
    for gone in [r#"{"id":9,"place":"bay","points":5}"#, r#"{"id":9,"place":"sea","points":6}"#] {
        let told = told(&debezium(""), &(change(0, "d", gone, "null") + &next));
        assert!(told.contains("users-0 1: operator `aggregate"), "{told}");
        assert!(
            told.contains("that does not have it; the source sends changes that contradict each other"),
            "{told}"
        );
        assert!(told.ends_with(r#"{"place":"sea","n":2,"points":6,"least":1,"most":5}"#), "{told}");
    }
    let no_before = change(0, "u", "null", r#"{"id":1,"place":"bay","points":9}"#);
    let told_of = told(&debezium(""), &(no_before + &next));
    assert!(told_of.contains("users-0 1: value: `before` is null: let the database write whole rows (in Postgres: REPLICA IDENTITY FULL), or declare a PRIMARY KEY"), "{told_of}");
    // Without a key a record of an upsert table is no row.
    let script =
        format!("{}{PLACES}", USERS.replace("'key.format'", "'on-bad-record' = 'skip', 'key.format'"));
    let mut driver = driver(&script);
    let input = "users 0 | - | {\"place\":\"sea\",\"points\":1}\nusers 0 | {\"id\":\"x\"} | -\nusers 0 | {\"id\":1} | {\"place\":\"sea\"}\n";
    assert_eq!(driver.batch(input).unwrap().to_string(), "");
    assert_eq!(
        driver.take_bad_records(),
        [
            "users-0 0: key: it is null, which is no object of JSON",
            "users-0 1: key: field `id` at byte 6: expected an integer, found a string",
            "users-0 2: value: field `points` at byte 15: the field is missing, and its column is NOT NULL",
        ]
    );
}

#[test]
fn what_is_kept_does_not_depend_on_what_is_asked() {
    // A second program asks for other columns of the same table, and goes on with its state.
    let first = format!(
        "{USERS} CREATE TABLE a (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'debezium-json'); INSERT INTO a SELECT points FROM users;"
    );
    let second = first.replace("SELECT points", "SELECT id");
    let mut driver = driver(&first);
    let written = driver.batch(&user(1, Some(("sea", 5)))).unwrap().to_string();
    assert!(written.contains("\"after\":{\"n\":5}"), "{written}");
    let (next, script) = (user(1, Some(("bay", 6))), parsed(&second).unwrap());
    driver.restart_as(move |ssc: &StreamingContext| ssc.sql(&script));
    assert_eq!(driver.batch(&next).unwrap().to_string(), "", "the id is the same");
    assert!(driver.batch(&user(1, None)).unwrap().to_string().contains("\"before\":{\"n\":1}"));
}

#[test]
fn a_crash_changes_nothing() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
        for settings in ways() {
            let script = parsed(&format!("{USERS}{PLACES}")).unwrap();
            let mut driver = tidegate::testing::Driver::with(
                Settings { between: tidegate::testing::Between::GoesOn, ..settings },
                move |ssc: &StreamingContext| {
                    ssc.sql(&script);
                },
            );
            let mut rows = vec![];
            for batch in batches().split("---\n") {
                driver.crash_at(crash);
                rows.extend(driver.batch(batch).unwrap().to_string().lines().map(str::to_owned));
            }
            rows.retain(|row| row.contains("bay"));
            let last = "places | {\"place\":\"bay\"} | {\"place\":\"bay\",\"n\":2,\"points\":10,\"least\":1,\"most\":9}";
            assert_eq!(rows.last().map(String::as_str), Some(last), "{settings:?}");
            assert_eq!(rows.len(), 2, "{rows:?}");
        }
    }
}

#[test]
fn the_plan_says_what_is_kept() {
    let script = parsed(&format!("{USERS}{PLACES} EXPLAIN STREAM INSERT INTO places SELECT place, count(*), sum(points), min(points), max(points) FROM users GROUP BY place;")).unwrap();
    expect![[r#"
        stream plan:
          Sink places: place, count(*) AS n, sum(CAST(points AS Int64)) AS points, min(points) AS least, max(points) AS most (update by (place))
            Aggregate places.aggregate: count(*), sum(CAST(points AS Int64)), min(points), max(points) by (place)
                rows: change, key (place)
                state: one row per (place), kept for ever
              Calc: place, CAST(points AS Int64), points
                  rows: change
                Source users: id, place, points
                    rows: change, key (id)
                    state users.rows: one row per (id), kept until it is deleted
    "#]].assert_eq(&(script.answers().join("\n") + "\n"));
    expect![[r#"
        topology:
          stage 0, one task per source partition
             0  source users
             1  key (users.rows.exchange)  <- 0
          stage 1, one task per state partition
             2  upsert  <- 1  [store users.rows: rows key(id i64) -> #2 place str, #3 points i32]
             3  select  <- 2
             4  group (places.aggregate.exchange)  <- 3
          stage 2, one task per state partition
             5  aggregate  <- 4  [store places.aggregate: rows key(place str) -> #1 weight i64, #2 "count().count" i64, #3 "sum(CAST(points AS Int64)).sum" i64, #4 "sum(CAST(points AS Int64)).count" i64, #5 "min(points).min" i32, #6 "max(points).max" i32]  [store places.aggregate.values: row-index key(length, place str, call, value: 2 min(points), 3 max(points)) -> #1 weight i64]
             6  insert places  <- 5
    "#]].assert_eq(&format!("topology:\n{}", script.topology()));
}

#[test]
fn what_is_not_possible_is_refused() {
    let append = format!(
        "{USERS} CREATE TABLE log (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'log', 'format' = 'json');
         INSERT INTO log SELECT id FROM users;"
    );
    expect![[r#"
        q.sql:3:22: rows of this query change later, and table `log` only takes new rows
          3 |          INSERT INTO log SELECT id FROM users;
            |                      ^^^
          records of table `users` say how its rows change
          next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (id) NOT ENFORCED
    "#]]
    .assert_eq(&(mistakes(&append) + "\n"));
    let latest = USERS.replace("'key.format'", "'scan.startup.mode' = 'latest-offset', 'key.format'");
    expect![[r#"
        q.sql:1:14: an upsert table is read from its beginning
          1 | CREATE TABLE users (id BIGINT, place STRING, points INT NOT NULL, PRIMARY KEY (id) NOT ENFORCED)
            |              ^^^^^
          rows that were written before would be missing
          next: leave 'scan.startup.mode' out
    "#]]
    .assert_eq(&(mistakes(&format!("{latest}{PLACES}")) + "\n"));
}
