//! Windows over event time, from SQL: what leaves when, what is late, what is kept, across restarts, crashes and other numbers of tasks.

use super::{driver, driver_with, parsed};
use expect_test::{Expect, expect};
use tidegate::{
    StreamingContext,
    testing::{Crash, Driver, Settings, run_every_way, ways},
};

/// A script over the table `bid`, whose rows may be 5 ms late.
fn script(sink: &str, query: &str) -> String {
    format!(
        "CREATE TABLE bid (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE out ({sink});
         INSERT INTO out {query};"
    )
}

const APPEND: &str = "f BIGINT, t BIGINT, k STRING, n BIGINT, s BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";
const UPSERT: &str = "f TIMESTAMP(3), t TIMESTAMP(3), k STRING, n BIGINT, s BIGINT, PRIMARY KEY (f, t, k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'out', 'format' = 'json'";

/// The counts and sums of each key and window of `windows`.
fn counts(windows: &str) -> String {
    format!(
        "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), k, count(*), sum(v) FROM TABLE({windows}) GROUP BY window_start, window_end, k"
    )
}

/// The same, with each change of them.
fn changes(windows: &str) -> String {
    format!(
        "SELECT window_start, window_end, k, count(*), sum(v) FROM TABLE({windows}) GROUP BY window_start, window_end, k EMIT CHANGES"
    )
}

/// A script of both kinds, and whether rows leave when their window closes.
fn both(windows: &str) -> [(String, bool); 2] {
    [(script(APPEND, &counts(windows)), true), (script(UPSERT, &changes(windows)), false)]
}

const TUMBLE: &str = "TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND)";
const HOP: &str = "HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND, INTERVAL '0.020' SECOND)";
const CUMULATE: &str =
    "CUMULATE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND, INTERVAL '0.030' SECOND)";

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

/// The rows, without the timestamps of records.
fn sorted(written: &impl ToString) -> Vec<String> {
    let bare = |row: &str| row.split(" | @").next().unwrap_or(row).to_owned();
    let mut lines: Vec<String> = written.to_string().lines().map(bare).collect();
    lines.sort();
    lines
}

fn late(driver: &Driver<'_>) -> usize {
    driver.take_reports().iter().filter(|report| report.committed).map(|report| report.counters.late).sum()
}

/// Three batches: rows, some more and later ones, and ones that close all before 40.
fn three_batches() -> String {
    let first = row(0, "a", 1, 3) + &row(1, "a", 2, 9) + &row(2, "b", 4, 14);
    let second = row(0, "a", 8, 12) + &row(1, "b", 16, 4) + &all_at(21);
    first + "---\n" + &second + "---\n" + &all_at(45)
}

#[test]
fn a_window_leaves_once_when_the_watermark_has_passed_its_end() {
    every_way(
        &script(APPEND, &counts(TUMBLE)),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":0,"t":10,"k":"a","n":2,"s":3} | @9
        out | - | {"f":0,"t":10,"k":"b","n":1,"s":16} | @9
        ---
        out | - | {"f":10,"t":20,"k":"a","n":1,"s":8} | @19
        out | - | {"f":10,"t":20,"k":"b","n":1,"s":4} | @19
        out | - | {"f":20,"t":30,"k":"tick","n":3,"s":0} | @29
    "#]],
    );
    every_way(
        &script(APPEND, &counts(HOP)),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":-10,"t":10,"k":"a","n":2,"s":3} | @9
        out | - | {"f":-10,"t":10,"k":"b","n":1,"s":16} | @9
        ---
        out | - | {"f":0,"t":20,"k":"a","n":3,"s":11} | @19
        out | - | {"f":0,"t":20,"k":"b","n":2,"s":20} | @19
        out | - | {"f":10,"t":30,"k":"a","n":1,"s":8} | @29
        out | - | {"f":10,"t":30,"k":"b","n":1,"s":4} | @29
        out | - | {"f":10,"t":30,"k":"tick","n":3,"s":0} | @29
        out | - | {"f":20,"t":40,"k":"tick","n":3,"s":0} | @39
    "#]],
    );
    every_way(
        &script(APPEND, &counts(CUMULATE)),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":0,"t":10,"k":"a","n":2,"s":3} | @9
        out | - | {"f":0,"t":10,"k":"b","n":1,"s":16} | @9
        ---
        out | - | {"f":0,"t":20,"k":"a","n":3,"s":11} | @19
        out | - | {"f":0,"t":20,"k":"b","n":2,"s":20} | @19
        out | - | {"f":0,"t":30,"k":"a","n":3,"s":11} | @29
        out | - | {"f":0,"t":30,"k":"b","n":2,"s":20} | @29
        out | - | {"f":0,"t":30,"k":"tick","n":3,"s":0} | @29
    "#]],
    );
}

#[test]
fn with_changes_a_window_leaves_at_each_batch_that_changes_it_and_is_not_taken_back() {
    let changes = |windows: &str| script(UPSERT, &changes(windows));
    every_way(
        &changes(TUMBLE),
        &three_batches(),
        &expect![[r#"
        out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"b"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"b","n":1,"s":4}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"a","n":2,"s":3}
        ---
        out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"a"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"a","n":1,"s":8}
        out | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.030Z","k":"tick"} | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.030Z","k":"tick","n":3,"s":0}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"b","n":1,"s":16}
        ---
        out | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.050Z","k":"tick"} | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.050Z","k":"tick","n":3,"s":0}
    "#]],
    );
    every_way(
        &changes(HOP),
        &three_batches(),
        &expect![[r#"
        out | {"f":"1969-12-31T23:59:59.990Z","t":"1970-01-01T00:00:00.010Z","k":"a"} | {"f":"1969-12-31T23:59:59.990Z","t":"1970-01-01T00:00:00.010Z","k":"a","n":2,"s":3}
        out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"b"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"b","n":1,"s":4}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a","n":2,"s":3}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b","n":1,"s":4}
        ---
        out | {"f":"1969-12-31T23:59:59.990Z","t":"1970-01-01T00:00:00.010Z","k":"b"} | {"f":"1969-12-31T23:59:59.990Z","t":"1970-01-01T00:00:00.010Z","k":"b","n":1,"s":16}
        out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"a"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"a","n":1,"s":8}
        out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"tick"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.030Z","k":"tick","n":3,"s":0}
        out | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.040Z","k":"tick"} | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.040Z","k":"tick","n":3,"s":0}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a","n":3,"s":11}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b","n":2,"s":20}
        ---
        out | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.050Z","k":"tick"} | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.050Z","k":"tick","n":3,"s":0}
        out | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.060Z","k":"tick"} | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.060Z","k":"tick","n":3,"s":0}
    "#]],
    );
    every_way(
        &changes(CUMULATE),
        &three_batches(),
        &expect![[r#"
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"a","n":2,"s":3}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a","n":2,"s":3}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b","n":1,"s":4}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"a","n":2,"s":3}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"b","n":1,"s":4}
        ---
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"b","n":1,"s":16}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"a","n":3,"s":11}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.020Z","k":"b","n":2,"s":20}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"a"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"a","n":3,"s":11}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"b"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"b","n":2,"s":20}
        out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"tick"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.030Z","k":"tick","n":3,"s":0}
        ---
        out | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.050Z","k":"tick"} | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.050Z","k":"tick","n":3,"s":0}
        out | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.060Z","k":"tick"} | {"f":"1970-01-01T00:00:00.030Z","t":"1970-01-01T00:00:00.060Z","k":"tick","n":3,"s":0}
    "#]],
    );
}

#[test]
fn late_rows_are_left_out_and_counted_also_after_a_restart() {
    for settings in ways() {
        for (script, _) in both(TUMBLE) {
            let mut driver = driver_with(settings, &script);
            driver.batch(&(all_at(25) + &row(0, "a", 1, 12))).unwrap();
            assert_eq!(late(&driver), 0, "in the batch that moves the watermark nothing is late yet");
            let late_rows = row(0, "a", 777, 9) + &row(1, "a", 777, 11);
            let mut written = driver.batch(&(late_rows + &row(2, "a", 2, 22))).unwrap().to_string();
            if settings.between != tidegate::testing::Between::CrashAfterCommit {
                assert_eq!(late(&driver), 2, "{settings:?}"); // a process that died reported nothing
            }
            driver.restart_without_state();
            written += &driver.batch(&(row(0, "a", 777, 19) + &all_at(35))).unwrap().to_string();
            assert!(written.contains(r#""k":"a","n":1,"s":2"#), "{settings:?}: {written}");
            assert!(!written.contains("77"), "{settings:?}: {written}");
        }
    }
}

#[test]
fn what_is_closed_is_deleted_from_state() {
    for (script, is_final) in both(TUMBLE) {
        let settings = Settings { state_partitions: 1, ..Settings::default() };
        let mut driver = driver_with(settings, &script);
        let tombstones = |driver: &mut Driver<'_>| {
            let rows = driver.new_rows("app-changelog").unwrap();
            rows.iter().filter(|row| row.ends_with("| -")).count()
        };
        let many: String = (0..5_000).map(|n| row(0, &n.to_string(), 1, 9)).collect();
        driver.batch(&many).unwrap();
        assert_eq!(tombstones(&mut driver), 0);
        let written = driver.batch(&all_at(15)).unwrap();
        assert_eq!(written.rows().count(), if is_final { 5_000 } else { 1 }, "{script}");
        assert_eq!(tombstones(&mut driver), 5_000, "{script}");
        driver.batch(&all_at(45)).unwrap();
        assert_eq!(tombstones(&mut driver), 1, "{script}");
    }
}

#[test]
fn a_crash_changes_nothing() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
        let mut driver = driver(&script(APPEND, &counts(TUMBLE)));
        let mut rows = vec![];
        for batch in three_batches().split("---\n") {
            driver.crash_at(crash);
            rows.extend(sorted(&driver.batch(batch).unwrap()));
        }
        assert_eq!(driver.crashes(), 3);
        let expected = [
            r#"out | - | {"f":0,"t":10,"k":"a","n":2,"s":3}"#,
            r#"out | - | {"f":0,"t":10,"k":"b","n":1,"s":16}"#,
            r#"out | - | {"f":10,"t":20,"k":"a","n":1,"s":8}"#,
            r#"out | - | {"f":10,"t":20,"k":"b","n":1,"s":4}"#,
            r#"out | - | {"f":20,"t":30,"k":"tick","n":3,"s":0}"#,
        ];
        assert_eq!(rows, expected);
    }
}

#[test]
fn windows_close_when_the_input_stops() {
    for threads in [0, 2] {
        let settings = Settings { threads, state_partitions: 4, ..Settings::default() };
        let mut driver = driver_with(settings, &script(APPEND, &counts(TUMBLE)));
        driver.batch(&(all_at(12) + &row(0, "a", 7, 13))).unwrap();
        let mut rows = vec![];
        for _ in 0..20 {
            rows.extend(sorted(&driver.batch("").unwrap()));
        }
        let expected = [
            r#"out | - | {"f":10,"t":20,"k":"a","n":1,"s":7}"#,
            r#"out | - | {"f":10,"t":20,"k":"tick","n":3,"s":0}"#,
        ];
        rows.sort();
        assert_eq!(rows, expected);
        let committed: Vec<bool> = driver.take_reports().iter().map(|report| report.committed).collect();
        assert!(!committed[committed.len() - 5..].contains(&true), "nothing is left to do: {committed:?}");
    }
}

#[test]
fn a_partition_without_rows_holds_windows_back_until_it_is_idle() {
    let settings = Settings { input_partitions: 2, ..Settings::default() };
    let mut driver = driver_with(settings, &script(APPEND, &counts(TUMBLE)));
    driver.batch(&(row(0, "a", 1, 3) + &row(1, "b", 1, 3))).unwrap();
    let mut batches = 0;
    let rows = loop {
        batches += 1;
        let written = driver.batch(&row(0, "a", 1, 30 + batches)).unwrap().to_string();
        if !written.is_empty() {
            break written;
        }
        assert!(batches < 20);
    };
    assert!((5..9).contains(&batches), "idle after 5 s: {batches}");
    let expected = [
        r#"out | - | {"f":0,"t":10,"k":"a","n":1,"s":1}"#,
        r#"out | - | {"f":0,"t":10,"k":"b","n":1,"s":1}"#,
    ];
    assert_eq!(sorted(&rows), expected);
}

#[test]
fn windows_of_windows_close_behind_them() {
    // The key with the most rows of each window: the greatest count, and how many keys there are.
    let nested = "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), 'all', max(n), count(*) FROM (
            SELECT window_start, window_end, k, count(*) AS n FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))
            GROUP BY window_start, window_end, k)
        GROUP BY window_start, window_end";
    every_way(
        &script(APPEND, nested),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":0,"t":10,"k":"all","n":2,"s":2} | @9
        ---
        out | - | {"f":10,"t":20,"k":"all","n":1,"s":2} | @19
        out | - | {"f":20,"t":30,"k":"all","n":3,"s":1} | @29
    "#]],
    );
    let cascade = "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), k, count(*), sum(n)
        FROM TABLE(TUMBLE((SELECT k, window_time AS rowtime, count(*) AS n FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))
                GROUP BY window_start, window_end, window_time, k),
            DESCRIPTOR(rowtime), INTERVAL '0.020' SECOND))
        GROUP BY window_start, window_end, k";
    every_way(
        &script(APPEND, cascade),
        &three_batches(),
        &expect![[r#"
        ---
        ---
        out | - | {"f":0,"t":20,"k":"a","n":2,"s":3} | @19
        out | - | {"f":0,"t":20,"k":"b","n":2,"s":2} | @19
        out | - | {"f":20,"t":40,"k":"tick","n":1,"s":3} | @39
    "#]],
    );
}

#[test]
fn arguments_have_names_too_and_filters_stay_above_windows() {
    let named = counts(
        "TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '0.010' SECOND, OFFSET => INTERVAL '0.003' SECOND)",
    );
    every_way(
        &script(APPEND, &named),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":3,"t":13,"k":"a","n":3,"s":11} | @12
        out | - | {"f":3,"t":13,"k":"b","n":1,"s":16} | @12
        ---
        out | - | {"f":13,"t":23,"k":"b","n":1,"s":4} | @22
        out | - | {"f":13,"t":23,"k":"tick","n":3,"s":0} | @22
    "#]],
    );
    let plain = "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), k, v, 0 FROM HOP(bid, ts, INTERVAL '0.010' SECOND, INTERVAL '0.020' SECOND) WHERE k = 'a' AND window_end > TIMESTAMP '1970-01-01 00:00:00.010'";
    every_way(
        &script(APPEND, plain),
        &three_batches(),
        &expect![[r#"
        out | - | {"f":0,"t":20,"k":"a","n":1,"s":0}
        out | - | {"f":0,"t":20,"k":"a","n":2,"s":0}
        ---
        out | - | {"f":0,"t":20,"k":"a","n":8,"s":0}
        out | - | {"f":10,"t":30,"k":"a","n":8,"s":0}
        ---
    "#]],
    );
}

#[test]
fn event_time_may_be_computed_and_nested() {
    let script = "CREATE TABLE bid (
            k STRING, at ROW<unused STRING, ms BIGINT>, half AS at.ms / 2, ts AS to_timestamp_millis(half * 2),
            WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND
        ) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json');
        CREATE TABLE out (t BIGINT, k STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
        INSERT INTO out SELECT CAST(window_end AS BIGINT), k, count(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))
        GROUP BY window_start, window_end, k;";
    let row = |partition: u32, k: &str, ms: i64| {
        format!("in {partition} | - | {{\"k\":\"{k}\",\"at\":{{\"ms\":{ms},\"unused\":7}}}}\n")
    };
    let all_at = |ms| (0..3).map(|partition| row(partition, "tick", ms)).collect::<String>();
    every_way(
        script,
        &(row(0, "a", 2) + &row(1, "a", 8) + "---\n" + &all_at(16) + "---\n" + &all_at(40)),
        &expect![[r#"
            ---
            out | - | {"t":10,"k":"a","n":2} | @9
            ---
            out | - | {"t":20,"k":"tick","n":3} | @19
        "#]],
    );
}
