//! Late rows as a table, and bounds of watermarks.

use super::{driver_with, mistakes, parsed};
use expect_test::expect;
use tidegate::{
    StreamingContext,
    testing::{Settings, run_every_way},
};

/// A script over the table `bid`, whose rows may be 5 ms late.
fn script(options: &str, rest: &str) -> String {
    format!(
        "CREATE TABLE bid (k STRING, v BIGINT, ts TIMESTAMP(3), w AS v * 2, WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json'{options});
         CREATE TABLE late (k STRING, v BIGINT, ts TIMESTAMP(3), w BIGINT) WITH ('connector' = 'kafka', 'topic' = 'late', 'format' = 'json');
         CREATE TABLE out (t BIGINT, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         {rest}"
    )
}

fn row(partition: u32, k: &str, v: i64, ts: i64) -> String {
    format!("in {partition} | - | {{\"k\":\"{k}\",\"v\":{v},\"ts\":{ts}}}\n")
}

fn all_at(ts: i64) -> String {
    (0..3).map(|partition| row(partition, "tick", 0, ts)).collect()
}

const COUNTS: &str = "INSERT INTO out SELECT CAST(window_end AS BIGINT), count(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND)) GROUP BY window_end;";

#[test]
fn late_rows_are_a_table() {
    let script = parsed(&script("", &format!("INSERT INTO late SELECT * FROM bid$late; {COUNTS}"))).unwrap();
    let input = all_at(30)
        + &row(0, "a", 1, 12)
        + "---\n"
        + &row(1, "a", 2, 12)
        + &row(1, "a", 3, 24)
        + &row(2, "b", 4, 26)
        + "---\n"
        + &all_at(50);
    let written = run_every_way(|ssc: &StreamingContext| ssc.sql(&script), &input);
    expect![[r#"
        out | - | {"t":20,"n":1} | @19
        ---
        late | - | {"k":"a","v":2,"ts":"1970-01-01T00:00:00.012Z","w":4}
        late | - | {"k":"a","v":3,"ts":"1970-01-01T00:00:00.024Z","w":6}
        ---
        out | - | {"t":30,"n":2} | @29
        out | - | {"t":40,"n":3} | @39
    "#]]
    .assert_eq(&written);
}

#[test]
fn late_rows_of_a_table_without_a_watermark_are_a_mistake() {
    let without =
        "CREATE TABLE plain (v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'p', 'format' = 'json');
         INSERT INTO out SELECT v, v FROM plain$late;";
    expect![[r#"
        q.sql:6:43: there is no table or view `plain$late`
          6 |          INSERT INTO out SELECT v, v FROM plain$late;
            |                                           ^^^^^^^^^^
          table `plain` has no watermark, so none of its rows is late
          next: add WATERMARK FOR ts AS ts - INTERVAL '5' SECOND to the table"#]]
    .assert_eq(&mistakes(&script("", without)));
}

#[test]
fn a_bound_of_the_clock_moves_the_watermark_of_rows_that_lag_behind() {
    let script =
        script(", 'scan.watermark.wall-clock-bound' = '3 s', 'scan.watermark.idle-timeout' = '1 h'", COUNTS);
    let mut driver = driver_with(Settings::default(), &script);
    driver.set_now_ms(10_000);
    // Rows say 1996; the clock says 11 seconds, of which three are allowed.
    assert_eq!(driver.batch(&all_at(2_001)).unwrap().to_string(), "out | - | {\"t\":2010,\"n\":3} | @2009\n");
    let mut written = String::new();
    for _ in 0..4 {
        written += &driver.batch(&row(0, "a", 1, 9_999)).unwrap().to_string();
    }
    // Partitions 1 and 2 are still at 2001; the third batch was late.
    assert_eq!(written, "out | - | {\"t\":10000,\"n\":2} | @9999\n");
    let late: usize = driver.take_reports().iter().map(|report| report.counters.late).sum();
    assert_eq!(late, 2);
}
