//! Functions with OVER in the order of event time, in all ways of running.

use super::{driver_with, parsed};
use expect_test::{Expect, expect};
use tidegate::{
    StreamingContext,
    testing::{Driver, Settings, run_every_way},
};

/// A script over the table `bid`, whose rows may be 5 ms late.
fn script(sink: &str, query: &str) -> String {
    format!(
        "CREATE TABLE bid (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE out ({sink}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         INSERT INTO out {query};"
    )
}

fn row(partition: u32, k: &str, v: i64, ts: i64) -> String {
    format!("in {partition} | - | {{\"k\":\"{k}\",\"v\":{v},\"ts\":{ts}}}\n")
}

/// Rows at one time in all partitions, so that the watermark reaches it, less the delay.
fn all_at(ts: i64) -> String {
    (0..3).map(|partition| row(partition, "tick", 0, ts)).collect()
}

fn every_way(script: &str, input: &str, expected: &Expect) {
    let script = parsed(script).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// Three batches: rows out of order, one in between and a later one, and ones that let all of these leave.
fn three_batches() -> String {
    let first = row(0, "a", 1, 3) + &row(1, "a", 2, 9) + &row(2, "b", 4, 14) + &row(0, "a", 5, 3);
    let second = row(0, "a", 8, 12) + &row(1, "b", 16, 4) + &all_at(18);
    first + "---\n" + &second + "---\n" + &all_at(45)
}

#[test]
fn a_row_leaves_with_what_came_before_it_when_the_watermark_has_passed_it() {
    every_way(
        &script(
            "k STRING, v BIGINT, n BIGINT, before BIGINT, so_far BIGINT, two BIGINT, near BIGINT",
            &"SELECT k, v, ROW_NUMBER() OVER w, LAG(v) OVER w, sum(v) OVER w,
               sum(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),
               count(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '0.006' SECOND PRECEDING AND CURRENT ROW)
             FROM bid"
                .replace("OVER w", "OVER (PARTITION BY k ORDER BY ts)"),
        ),
        &three_batches(),
        &expect![[r#"
            ---
            out | - | {"k":"a","v":1,"n":1,"before":null,"so_far":6,"two":1,"near":2} | @3
            out | - | {"k":"a","v":2,"n":3,"before":5,"so_far":8,"two":7,"near":3} | @9
            out | - | {"k":"a","v":5,"n":2,"before":1,"so_far":6,"two":6,"near":2} | @3
            out | - | {"k":"a","v":8,"n":4,"before":2,"so_far":16,"two":10,"near":2} | @12
            out | - | {"k":"b","v":16,"n":1,"before":null,"so_far":16,"two":16,"near":1} | @4
            ---
            out | - | {"k":"b","v":4,"n":2,"before":16,"so_far":20,"two":20,"near":1} | @14
            out | - | {"k":"tick","v":0,"n":1,"before":null,"so_far":0,"two":0,"near":3} | @18
            out | - | {"k":"tick","v":0,"n":2,"before":0,"so_far":0,"two":0,"near":3} | @18
            out | - | {"k":"tick","v":0,"n":3,"before":0,"so_far":0,"two":0,"near":3} | @18
        "#]],
    );
}

#[test]
fn all_rows_can_be_one_partition_and_more_be_made_of_the_answer() {
    every_way(
        &script(
            "opened TIMESTAMP(3), n BIGINT, most BIGINT",
            "SELECT window_start, count(*), max(rise) FROM TABLE(TUMBLE(
               (SELECT ts, v - LAG(v, 1, v) OVER (ORDER BY ts) AS rise FROM bid), DESCRIPTOR(ts), INTERVAL '0.010' SECOND))
             GROUP BY window_start, window_end",
        ),
        &three_batches(),
        &expect![[r#"
            ---
            out | - | {"opened":"1970-01-01T00:00:00Z","n":4,"most":11} | @9
            ---
            out | - | {"opened":"1970-01-01T00:00:00.010Z","n":5,"most":6} | @19
        "#]],
    );
}

#[test]
fn the_first_row_of_each_key_by_event_time_leaves_once() {
    every_way(
        &script(
            "k STRING, v BIGINT, ts TIMESTAMP(3)",
            "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS n FROM bid) WHERE n = 1",
        ),
        &three_batches(),
        &expect![[r#"
            ---
            out | - | {"k":"a","v":1,"ts":"1970-01-01T00:00:00.003Z"} | @3
            out | - | {"k":"b","v":16,"ts":"1970-01-01T00:00:00.004Z"} | @4
            ---
            out | - | {"k":"tick","v":0,"ts":"1970-01-01T00:00:00.018Z"} | @18
        "#]],
    );
}

#[test]
fn many_rows_leave_at_once_and_late_ones_are_left_out() {
    // No time is ahead of the clock.
    let settings = Settings { state_partitions: 1, interval_ms: 10_000, ..Settings::default() };
    let lagging = script(
        "k STRING, v BIGINT, before BIGINT",
        "SELECT k, v, LAG(v, 2) OVER (PARTITION BY k ORDER BY ts) FROM bid",
    );
    let mut driver: Driver<'_> = driver_with(settings, &lagging);
    let many: String = (0..3_000).map(|n| row(0, "a", n, n)).collect();
    driver.batch(&many).unwrap();
    let written = driver.batch(&all_at(4_000)).unwrap();
    assert_eq!(written.rows().count(), 3_000);
    let written = written.to_string();
    assert!(written.contains(r#"{"k":"a","v":2999,"before":2997}"#), "{written}");
    let _ = driver.take_reports();
    driver.batch(&row(0, "a", 7, 3_990)).unwrap();
    let late: usize = driver.take_reports().iter().map(|report| report.counters.late).sum();
    assert_eq!(late, 1);
}
