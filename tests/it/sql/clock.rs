//! The time of the batch in queries: functions of the clock, and windows of `PROCTIME()`.

use super::{driver, driver_with, mistakes, parsed};
use expect_test::expect;
use tidegate::{
    StreamingContext,
    testing::{Crash, Settings, run_every_way},
};

const OUT: &str = "WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json')";

/// Bids with the time at which they are read.
fn bids(sink: &str, query: &str) -> String {
    format!(
        "CREATE TABLE bid (bidder STRING, price BIGINT, p_time AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json');
         CREATE TABLE out ({sink});
         INSERT INTO out {query};"
    )
}

#[test]
fn the_clock_is_the_time_of_the_batch_also_when_it_is_computed_again() {
    let script = format!(
        "CREATE TABLE t (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json');
         CREATE TABLE out (n BIGINT, a TIMESTAMP_LTZ(3), b TIMESTAMP(3), c DATE, d BIGINT, e TIMESTAMP_LTZ(3), f STRING) {OUT};
         INSERT INTO out SELECT n, now(), LOCALTIMESTAMP, CURRENT_DATE, UNIX_TIMESTAMP(), CURRENT_TIMESTAMP, DATE_FORMAT(PROCTIME(), 'HH:mm:ss.SSS') FROM t;"
    );
    let mut driver = driver(&script);
    driver.set_now_ms(1_796_000_000_000);
    let mut all = driver.batch("in 0 | - | {\"n\":1}\nin 1 | - | {\"n\":2}\n").unwrap().to_string();
    driver.crash_at(Crash::BeforeCommit);
    all += &driver.batch("in 0 | - | {\"n\":3}\n").unwrap().to_string();
    driver.crash_at(Crash::AfterCommit);
    all += &driver.batch("in 0 | - | {\"n\":4}\n").unwrap().to_string();
    assert_eq!(driver.crashes(), 2);
    expect![[r#"
        out | - | {"n":1,"a":"2026-11-30T00:53:21Z","b":"2026-11-30T00:53:21Z","c":"2026-11-30","d":1796000001,"e":"2026-11-30T00:53:21Z","f":"00:53:21.000"}
        out | - | {"n":2,"a":"2026-11-30T00:53:21Z","b":"2026-11-30T00:53:21Z","c":"2026-11-30","d":1796000001,"e":"2026-11-30T00:53:21Z","f":"00:53:21.000"}
        out | - | {"n":3,"a":"2026-11-30T00:53:22Z","b":"2026-11-30T00:53:22Z","c":"2026-11-30","d":1796000002,"e":"2026-11-30T00:53:22Z","f":"00:53:22.000"}
        out | - | {"n":4,"a":"2026-11-30T00:53:23Z","b":"2026-11-30T00:53:23Z","c":"2026-11-30","d":1796000003,"e":"2026-11-30T00:53:23Z","f":"00:53:23.000"}
    "#]].assert_eq(&all);
}

#[test]
fn windows_of_processing_time_close_as_batches_pass() {
    let query = "SELECT bidder, count(*), CAST(window_start AS BIGINT), CAST(window_end AS BIGINT)
        FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(p_time), INTERVAL '2' SECOND)) GROUP BY bidder, window_start, window_end";
    let sink = format!("bidder STRING, n BIGINT, f BIGINT, t BIGINT) {OUT}");
    let script = parsed(&bids(sink.trim_end_matches(')'), query)).unwrap();
    let input = "in 0 | - | {\"bidder\":\"a\",\"price\":1}\nin 1 | - | {\"bidder\":\"a\",\"price\":2}\n---\nin 0 | - | {\"bidder\":\"b\",\"price\":2}\n---\n---\nin 2 | - | {\"bidder\":\"a\",\"price\":1}\n---\n---\n---\n";
    expect![[r#"
        ---
        out | - | {"bidder":"a","n":2,"f":0,"t":2000} | @1999
        ---
        ---
        out | - | {"bidder":"b","n":1,"f":2000,"t":4000} | @3999
        ---
        ---
        out | - | {"bidder":"a","n":1,"f":4000,"t":6000} | @5999
        ---
    "#]]
    .assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

#[test]
fn when_input_stops_windows_of_processing_time_close_and_then_nothing_is_written() {
    let query = "SELECT bidder, count(*) FROM bid GROUP BY bidder, TUMBLE(p_time, INTERVAL '3' SECOND)";
    let script = bids("bidder STRING, n BIGINT) WITH ('connector' = 'print'", query);
    let mut driver = driver_with(Settings::default(), &script);
    driver.batch("in 0 | - | {\"bidder\":\"a\",\"price\":1}\n").unwrap();
    let mut written = String::new();
    for _ in 0..8 {
        written += &driver.batch("").unwrap().to_string();
    }
    assert_eq!(written, "console | +I[a, 1]\n");
    let committed: Vec<bool> = driver.take_reports().iter().map(|report| report.committed).collect();
    assert!(!committed[committed.len() - 3..].contains(&true), "{committed:?}");
}

#[test]
fn what_changes_with_the_clock_is_refused() {
    let of = |query: &str| mistakes(&bids("a STRING, b BIGINT) WITH ('connector' = 'print'", query));
    let all = [
        of("SELECT bidder, price FROM bid WHERE p_time > now() - INTERVAL '1' DAY"),
        of("SELECT bidder, count(*) FROM bid GROUP BY bidder HAVING max(p_time) < CURRENT_TIMESTAMP"),
        of(
            "SELECT bidder, UNIX_TIMESTAMP() + n FROM (SELECT bidder, count(*) AS n FROM bid GROUP BY bidder) AS counts",
        ),
        of("SELECT bidder, count(*) FROM bid WHERE CURRENT_DATE = DATE '2026-01-01' GROUP BY bidder"),
    ];
    expect![[r#"
        q.sql:3:71: `now` cannot stand in a condition
          3 |          INSERT INTO out SELECT bidder, price FROM bid WHERE p_time > now() - INTERVAL '1' DAY;
            |                                                                       ^^^
          rows would have to leave the answer as time passes, without any input
          next: group by windows of a column with WATERMARK, or join within bounds of time
        q.sql:3:96: `current_timestamp` cannot stand in a condition
          3 |          INSERT INTO out SELECT bidder, count(*) FROM bid GROUP BY bidder HAVING max(p_time) < CURRENT_TIMESTAMP;
            |                                                                                                ^^^^^^^^^^^^^^^^^
          rows would have to leave the answer as time passes, without any input
          next: group by windows of a column with WATERMARK, or join within bounds of time
        q.sql:3:41: `unix_timestamp` cannot stand in rows that change
          3 |          INSERT INTO out SELECT bidder, UNIX_TIMESTAMP() + n FROM (SELECT bidder, count(*) AS n FROM bid GROUP BY bidder) AS counts;
            |                                         ^^^^^^^^^^^^^^
          a change could not be taken back, as the function gives another value each time
          next: compute it in the last query, from rows that only grow
        q.sql:3:65: `current_date` cannot stand in a condition
          3 |          INSERT INTO out SELECT bidder, count(*) FROM bid WHERE CURRENT_DATE = DATE '2026-01-01' GROUP BY bidder;
            |                                                                 ^^^^^^^^^^^^
          rows would have to leave the answer as time passes, without any input
          next: group by windows of a column with WATERMARK, or join within bounds of time"#]].assert_eq(&all.join("\n"));
}
