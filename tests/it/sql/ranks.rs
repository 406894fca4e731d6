//! Top-N, ORDER BY with LIMIT, and keeping the first or last row of each key, in all ways of running.

use super::{driver, driver_with, parsed};
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
         CREATE TABLE out ({sink});
         INSERT INTO out {query};"
    )
}

const APPEND: &str = ") WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";
const CHANGES: &str = ") WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json'";
const UPSERT: &str = ") WITH ('connector' = 'upsert-kafka', 'topic' = 'out', 'format' = 'json'";

fn sink(columns: &str, rest: &str) -> String {
    format!("{columns}{rest}")
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

/// Prices of two keys over three batches.
fn prices() -> String {
    let first = row(0, "a", 5, 1) + &row(1, "a", 3, 2) + &row(2, "b", 4, 3);
    let second = row(0, "a", 7, 4) + &row(1, "b", 4, 3) + &row(2, "a", 1, 5);
    first + "---\n" + &second + "---\n" + &row(0, "b", 9, 6)
}

/// Rows of one key of the table are in one task already, where the first rows of `k` are made.
#[test]
fn changes_of_first_rows_go_to_a_table_by_key_without_another_exchange() {
    let first_two = "SELECT k, n, v FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM bid) WHERE n <= 2";
    let columns = "k STRING, n BIGINT, v BIGINT, PRIMARY KEY (k, n) NOT ENFORCED";
    let parsed = parsed(&script(&sink(columns, UPSERT), first_two)).unwrap();
    expect![[r#"
        topology:
          stage 0, one task per source partition
             0  source in
             1  select  <- 0
             2  group (out.top-n.exchange)  <- 1
          stage 1, one task per state partition
             3  top-n  <- 2  [store out.top-n: row-index key(length, k str; order: v i64 desc nulls last; row: ) -> #1 weight i64]
             4  insert out  <- 3
    "#]].assert_eq(&format!("topology:\n{}", parsed.topology()));
}

#[test]
fn the_first_rows_of_each_key_change_by_key_and_number() {
    every_way(
        &script(
            &sink("k STRING, n BIGINT, v BIGINT, PRIMARY KEY (k, n) NOT ENFORCED", UPSERT),
            "SELECT k, n, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM bid) WHERE n <= 2",
        ),
        &prices(),
        &expect![[r#"
            out | {"k":"a","n":1} | {"k":"a","n":1,"v":5}
            out | {"k":"a","n":2} | {"k":"a","n":2,"v":3}
            out | {"k":"b","n":1} | {"k":"b","n":1,"v":4}
            ---
            out | {"k":"a","n":1} | {"k":"a","n":1,"v":7}
            out | {"k":"a","n":2} | {"k":"a","n":2,"v":5}
            out | {"k":"b","n":2} | {"k":"b","n":2,"v":4}
            ---
            out | {"k":"b","n":1} | {"k":"b","n":1,"v":9}
        "#]],
    );
}

#[test]
fn without_their_number_only_rows_that_come_and_go_leave() {
    let changes = |query: &str| script(&sink("k STRING, v BIGINT", CHANGES), query);
    every_way(
        &changes(
            "SELECT k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM bid) WHERE n < 3",
        ),
        &prices(),
        &expect![[r#"
            out | - | {"before":null,"after":{"k":"a","v":3},"op":"c"}
            out | - | {"before":null,"after":{"k":"a","v":5},"op":"c"}
            out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
            ---
            out | - | {"before":null,"after":{"k":"a","v":7},"op":"c"}
            out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
            out | - | {"before":{"k":"a","v":3},"after":null,"op":"d"}
            ---
            out | - | {"before":null,"after":{"k":"b","v":9},"op":"c"}
            out | - | {"before":{"k":"b","v":4},"after":null,"op":"d"}
        "#]],
    );
    every_way(
        &changes("SELECT k, v FROM bid QUALIFY RANK() OVER (PARTITION BY k ORDER BY v) = 1"),
        &prices(),
        &expect![[r#"
            out | - | {"before":null,"after":{"k":"a","v":3},"op":"c"}
            out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
            ---
            out | - | {"before":null,"after":{"k":"a","v":1},"op":"c"}
            out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
            out | - | {"before":{"k":"a","v":3},"after":null,"op":"d"}
            ---
        "#]],
    );
}

#[test]
fn order_by_with_limit_keeps_the_first_rows_of_all() {
    let changes = |query: &str| script(&sink("k STRING, v BIGINT", CHANGES), query);
    every_way(
        &changes("SELECT k, v FROM bid ORDER BY v DESC, k LIMIT 2 OFFSET 1"),
        &prices(),
        &expect![[r#"
            out | - | {"before":null,"after":{"k":"a","v":3},"op":"c"}
            out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
            ---
            out | - | {"before":null,"after":{"k":"a","v":5},"op":"c"}
            out | - | {"before":{"k":"a","v":3},"after":null,"op":"d"}
            ---
            out | - | {"before":null,"after":{"k":"a","v":7},"op":"c"}
            out | - | {"before":{"k":"b","v":4},"after":null,"op":"d"}
        "#]],
    );
    // By a column that is not shown.
    every_way(
        &changes("SELECT k, v FROM bid ORDER BY ts DESC LIMIT 1"),
        &prices(),
        &expect![[r#"
        out | - | {"before":null,"after":{"k":"b","v":4},"op":"c"}
        ---
        out | - | {"before":null,"after":{"k":"a","v":1},"op":"c"}
        out | - | {"before":{"k":"b","v":4},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"k":"b","v":9},"op":"c"}
        out | - | {"before":{"k":"a","v":1},"after":null,"op":"d"}
    "#]],
    );
}

#[test]
fn over_rows_that_change_the_next_ones_move_up() {
    every_way(
        &script(
            &sink("k STRING, c BIGINT, n BIGINT, PRIMARY KEY (n) NOT ENFORCED", UPSERT),
            "SELECT k, c, n FROM (SELECT k, c, ROW_NUMBER() OVER (ORDER BY c, k) AS n FROM (SELECT k, count(*) AS c FROM bid GROUP BY k)) WHERE n <= 2",
        ),
        &prices(),
        &expect![[r#"
            out | {"n":1} | {"k":"b","c":1,"n":1}
            out | {"n":2} | {"k":"a","c":2,"n":2}
            ---
            out | {"n":1} | {"k":"b","c":2,"n":1}
            out | {"n":2} | {"k":"a","c":4,"n":2}
            ---
            out | {"n":1} | {"k":"b","c":3,"n":1}
        "#]],
    );
}

#[test]
fn the_last_row_of_each_key_replaces_the_one_before() {
    every_way(
        &script(
            &sink("k STRING, v BIGINT, ts TIMESTAMP(3), PRIMARY KEY (k) NOT ENFORCED", UPSERT),
            "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM bid) WHERE n = 1",
        ),
        &prices(),
        &expect![[r#"
            out | {"k":"a"} | {"k":"a","v":3,"ts":"1970-01-01T00:00:00.002Z"}
            out | {"k":"b"} | {"k":"b","v":4,"ts":"1970-01-01T00:00:00.003Z"}
            ---
            out | {"k":"a"} | {"k":"a","v":1,"ts":"1970-01-01T00:00:00.005Z"}
            ---
            out | {"k":"b"} | {"k":"b","v":9,"ts":"1970-01-01T00:00:00.006Z"}
        "#]],
    );
}

/// Three batches: rows, some more and later ones, and ones that close all before 40.
fn three_batches() -> String {
    let first = row(0, "a", 1, 3) + &row(1, "a", 2, 9) + &row(2, "b", 4, 14);
    let second = row(0, "a", 8, 12) + &row(1, "b", 16, 4) + &all_at(21);
    first + "---\n" + &second + "---\n" + &all_at(45)
}

const TUMBLE: &str = "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))";

/// The best row of each window.
fn best() -> String {
    script(
        &sink("f TIMESTAMP(3), k STRING, v BIGINT, n BIGINT", APPEND),
        &format!(
            "SELECT window_start, k, v, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY v DESC) AS n FROM {TUMBLE}) WHERE n <= 2"
        ),
    )
}

#[test]
fn the_first_rows_of_a_window_leave_once_when_it_closes() {
    every_way(
        &best(),
        &three_batches(),
        &expect![[r#"
        ---
        out | - | {"f":"1970-01-01T00:00:00Z","k":"a","v":2,"n":2} | @9
        out | - | {"f":"1970-01-01T00:00:00Z","k":"b","v":16,"n":1} | @9
        ---
        out | - | {"f":"1970-01-01T00:00:00.010Z","k":"a","v":8,"n":1} | @19
        out | - | {"f":"1970-01-01T00:00:00.010Z","k":"b","v":4,"n":2} | @19
        out | - | {"f":"1970-01-01T00:00:00.020Z","k":"tick","v":0,"n":1} | @29
        out | - | {"f":"1970-01-01T00:00:00.020Z","k":"tick","v":0,"n":2} | @29
    "#]],
    );
    let of_groups = format!(
        "SELECT window_start, k, c FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY c DESC, k) AS n
           FROM (SELECT window_start, window_end, k, count(*) AS c FROM {TUMBLE} GROUP BY window_start, window_end, k)) WHERE n = 1"
    );
    every_way(
        &script(&sink("f TIMESTAMP(3), k STRING, c BIGINT", APPEND), &of_groups),
        &three_batches(),
        &expect![[r#"
            ---
            out | - | {"f":"1970-01-01T00:00:00Z","k":"a","c":2} | @9
            ---
            out | - | {"f":"1970-01-01T00:00:00.010Z","k":"a","c":1} | @19
            out | - | {"f":"1970-01-01T00:00:00.020Z","k":"tick","c":3} | @29
        "#]],
    );
    every_way(
        &script(
            &sink("f TIMESTAMP(3), k STRING, c BIGINT, PRIMARY KEY (f, t) NOT ENFORCED", UPSERT)
                .replace("k STRING", "t TIMESTAMP(3), k STRING"),
            &(of_groups.replace(
                "SELECT window_start, k, c FROM (SELECT *",
                "SELECT window_start, window_end, k, c FROM (SELECT *",
            ) + " EMIT CHANGES"),
        ),
        &three_batches(),
        &expect![[r#"
            out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"b","c":1}
            out | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z"} | {"f":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:00.010Z","k":"a","c":2}
            ---
            out | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z"} | {"f":"1970-01-01T00:00:00.010Z","t":"1970-01-01T00:00:00.020Z","k":"a","c":1}
            out | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.030Z"} | {"f":"1970-01-01T00:00:00.020Z","t":"1970-01-01T00:00:00.030Z","k":"tick","c":3}
            ---
            out | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.050Z"} | {"f":"1970-01-01T00:00:00.040Z","t":"1970-01-01T00:00:00.050Z","k":"tick","c":3}
        "#]],
    );
}

#[test]
fn windows_of_the_first_rows_of_windows_close_behind_them() {
    every_way(
        &script(
            &sink("f TIMESTAMP(3), c BIGINT, s BIGINT", APPEND),
            &format!(
                "SELECT window_start, count(*), sum(v) FROM
                   (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC) AS n FROM {TUMBLE})
                 WHERE n = 1 GROUP BY window_start, window_end"
            ),
        ),
        &three_batches(),
        &expect![[r#"
            ---
            out | - | {"f":"1970-01-01T00:00:00Z","c":2,"s":18} | @9
            ---
            out | - | {"f":"1970-01-01T00:00:00.010Z","c":2,"s":12} | @19
            out | - | {"f":"1970-01-01T00:00:00.020Z","c":1,"s":0} | @29
        "#]],
    );
}

#[test]
fn the_rows_of_a_closed_window_are_deleted_and_later_ones_are_late() {
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let mut driver = driver_with(settings, &best());
    let tombstones = |driver: &mut Driver<'_>| {
        let rows = driver.new_rows("app-changelog").unwrap();
        rows.iter().filter(|row| row.ends_with("| -")).count()
    };
    let many: String = (0..5_000).map(|n| row(0, "k", n, 9)).collect();
    driver.batch(&many).unwrap();
    assert_eq!(tombstones(&mut driver), 0, "of rows that never passed nothing is stored");
    let written = driver.batch(&all_at(15)).unwrap();
    assert_eq!(written.rows().count(), 2);
    assert_eq!(tombstones(&mut driver), 2);
    let written = driver.batch(&row(0, "late", 9_999, 9)).unwrap();
    assert_eq!(written.rows().count(), 0);
    let late: usize = driver.take_reports().iter().map(|report| report.counters.late).sum();
    assert_eq!(late, 1);
}

#[test]
fn only_the_first_rows_of_a_table_that_grows_are_kept() {
    let mut driver =
        driver(&script(&sink("k STRING, v BIGINT", CHANGES), "SELECT k, v FROM bid ORDER BY v LIMIT 3"));
    for start in [4_000, 2_000, 0] {
        let many: String = (start..start + 2_000).map(|n| row(0, "k", n, 1)).collect();
        driver.batch(&many).unwrap();
    }
    let rows = driver.new_rows("app-changelog").unwrap();
    let (gone, kept): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.ends_with("| -"));
    assert_eq!((gone.len(), kept.len()), (6, 9), "three of each batch, and those of the last one stay");
}
