//! Sessions over event time: which rows are one, what is late, what is kept, across restarts, crashes and other numbers of tasks.

use super::{driver_with, mistakes, parsed};
use expect_test::{Expect, expect};
use tidegate::{
    StreamingContext,
    testing::{Driver, Settings, run_every_way},
};

/// A script over the table `visit`, whose rows may be 5 ms late.
fn script(sink: &str, query: &str) -> String {
    format!(
        "CREATE TABLE visit (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE out ({sink});
         INSERT INTO out {query};"
    )
}

const APPEND: &str = "f BIGINT, t BIGINT, k STRING, n BIGINT, s BIGINT, d BIGINT, a DOUBLE) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";
const CHANGES: &str =
    "f BIGINT, t BIGINT, k STRING, n BIGINT, s BIGINT, d BIGINT, a DOUBLE) WITH ('connector' = 'print'";

/// Sessions with a gap of 10 ms of each key.
const SESSIONS: &str = "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), k, count(*), sum(v), count(DISTINCT v), avg(v)
    FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '0.010' SECOND)) GROUP BY window_start, window_end, k";

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

/// Two sessions of `a` that a row between them makes one; `b` at exactly the gap; then all of them close.
fn batches() -> String {
    let first = row(0, "a", 1, 3) + &row(1, "a", 2, 20) + &row(2, "b", 4, 10);
    let second = row(0, "a", 2, 12) + &row(1, "b", 4, 20) + &row(2, "b", 5, 31);
    first + "---\n" + &second + "---\n" + &all_at(40) + "---\n" + &all_at(60)
}

#[test]
fn a_session_leaves_once_when_the_watermark_has_passed_its_end() {
    every_way(
        &script(APPEND, SESSIONS),
        &batches(),
        &expect![[r#"
        ---
        ---
        out | - | {"f":10,"t":30,"k":"b","n":2,"s":8,"d":1,"a":4.0} | @29
        out | - | {"f":3,"t":30,"k":"a","n":3,"s":5,"d":2,"a":1.6666666666666667} | @29
        ---
        out | - | {"f":31,"t":41,"k":"b","n":1,"s":5,"d":1,"a":5.0} | @40
        out | - | {"f":40,"t":50,"k":"tick","n":3,"s":0,"d":1,"a":0.0} | @49
    "#]],
    );
}

#[test]
fn with_changes_a_session_takes_the_place_of_those_that_it_was_made_of() {
    every_way(
        &script(CHANGES, &format!("{SESSIONS} EMIT CHANGES")),
        &batches(),
        &expect![[r#"
        console | +I[10, 20, b, 1, 4, 1, 4.0]
        console | +I[20, 30, a, 1, 2, 1, 2.0]
        console | +I[3, 13, a, 1, 1, 1, 1.0]
        ---
        console | +I[10, 30, b, 2, 8, 1, 4.0]
        console | +I[3, 30, a, 3, 5, 2, 1.6666666666666667]
        console | +I[31, 41, b, 1, 5, 1, 5.0]
        console | -D[10, 20, b, 1, 4, 1, 4.0]
        console | -D[20, 30, a, 1, 2, 1, 2.0]
        console | -D[3, 13, a, 1, 1, 1, 1.0]
        ---
        console | +I[40, 50, tick, 3, 0, 1, 0.0]
        ---
        console | +I[60, 70, tick, 3, 0, 1, 0.0]
    "#]],
    );
}

#[test]
fn sparks_and_flinks_older_forms_are_the_same_sessions() {
    let expected = every(&script(APPEND, SESSIONS));
    let spark = "SELECT CAST(session_window.start AS BIGINT), CAST(session_window.end AS BIGINT), k, count(*), sum(v), count(DISTINCT v), avg(v)
        FROM visit GROUP BY session_window(ts, '10 milliseconds'), k";
    assert_eq!(every(&script(APPEND, spark)), expected);
    let flink = "SELECT CAST(SESSION_START(ts, INTERVAL '0.010' SECOND) AS BIGINT), CAST(SESSION_END(ts, INTERVAL '0.010' SECOND) AS BIGINT), k, count(*), sum(v), count(DISTINCT v), avg(v)
        FROM visit GROUP BY k, SESSION(ts, INTERVAL '0.010' SECOND)";
    assert_eq!(every(&script(APPEND, flink)), expected);
}

fn every(script: &str) -> String {
    let script = parsed(script).unwrap();
    run_every_way(|ssc: &StreamingContext| ssc.sql(&script), &batches())
}

#[test]
fn a_late_row_joins_a_session_that_is_open_and_is_left_out_otherwise() {
    let mut driver = driver_with(Settings::default(), &script(APPEND, SESSIONS));
    driver.batch(&(all_at(30) + &row(0, "a", 1, 21) + &row(1, "b", 1, 28))).unwrap();
    // The watermark is at 25. Alone, a row at 12 would have ended at 22; it touches the open session of `a`, and not one of `b`.
    driver.batch(&(row(0, "a", 2, 12) + &row(0, "b", 8, 12) + &row(1, "a", 4, 3))).unwrap();
    let late: usize = driver.take_reports().iter().map(|report| report.counters.late).sum();
    assert_eq!(late, 1, "that of b: the row at 3 touches the one at 12");
    driver.restart_without_state();
    let written = driver.batch(&all_at(60)).unwrap().to_string();
    let rows: Vec<&str> = written.lines().filter(|line| !line.contains("tick")).collect();
    assert_eq!(
        rows,
        [
            r#"out | - | {"f":28,"t":38,"k":"b","n":1,"s":1,"d":1,"a":1.0} | @37"#,
            r#"out | - | {"f":3,"t":31,"k":"a","n":3,"s":7,"d":3,"a":2.3333333333333335} | @30"#,
        ]
    );
}

#[test]
fn closed_sessions_and_their_values_are_deleted_from_state() {
    for emit in ["", " EMIT CHANGES"] {
        let sink = if emit.is_empty() { APPEND } else { CHANGES };
        let script = script(sink, &format!("{SESSIONS}{emit}"));
        let settings = Settings { state_partitions: 1, ..Settings::default() };
        let mut driver = driver_with(settings, &script);
        let live = |driver: &mut Driver<'_>, rows: &mut i64| {
            for row in driver.new_rows("app-changelog").unwrap() {
                *rows += if row.ends_with("| -") { -1 } else { 1 };
            }
        };
        let mut rows = 0;
        let many: String = (0..5_000).map(|n| row(0, &n.to_string(), 1, 9)).collect();
        driver.batch(&many).unwrap();
        live(&mut driver, &mut rows);
        assert_eq!(rows, 3 * 5_000 + 1, "a session, its end and a value of each; and the marks");
        driver.batch(&all_at(60)).unwrap();
        for _ in 0..3 {
            driver.batch("").unwrap();
        }
        live(&mut driver, &mut rows);
        // Marks are written again and again.
        assert!((0..20).contains(&(rows - 3)), "{emit}: {rows}");
    }
}

#[test]
fn mistakes_with_sessions_are_told() {
    let of = |query: &str| mistakes(&script(APPEND, query));
    let session = |rest: &str| {
        of(&format!(
            "SELECT 1, 2, k, count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) {rest}"
        ))
    };
    let all = [
        of(
            "SELECT CAST(window_start AS BIGINT), 2, k, v, 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
        ),
        session("WHERE v > 1 GROUP BY window_start, window_end, k"),
        session("GROUP BY window_end, k, v"),
        of(
            "SELECT 1, 2, k, count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k",
        ),
        of(
            "SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY lower(k), DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_end",
        ),
        of("SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM visit GROUP BY session_window(ts)"),
        of(
            "SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM visit GROUP BY session_window(ts + INTERVAL '1' SECOND, '5 minutes')",
        ),
    ];
    expect![[r#"
        q.sql:4:93: the rows of SESSION are not grouped
          4 |          INSERT INTO out SELECT CAST(window_start AS BIGINT), 2, k, v, 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND));
            |                                                                                             ^^^^^^^
          where a session ends is known when no more rows join it
          next: write GROUP BY window_start, window_end and the columns of PARTITION BY, and read the result in a query around it
        q.sql:4:73: a condition between SESSION and its GROUP BY
          4 |          INSERT INTO out SELECT 1, 2, k, count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE v > 1 GROUP BY window_start, window_end, k;
            |                                                                         ^^^^^^^
          rows that do not meet it would still hold sessions together
          next: put it inside: SESSION((SELECT * FROM t WHERE ..), ..), or into HAVING
        q.sql:4:73: SESSION is partitioned by other columns than its rows are grouped by
          4 |          INSERT INTO out SELECT 1, 2, k, count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_end, k, v;
            |                                                                         ^^^^^^^
          a session with several rows, or several sessions in one row, are not supported
          next: name the same columns in PARTITION BY and in GROUP BY, beside window_start and window_end
        q.sql:4:73: SESSION is partitioned by other columns than its rows are grouped by
          4 |          INSERT INTO out SELECT 1, 2, k, count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k;
            |                                                                         ^^^^^^^
          a session with several rows, or several sessions in one row, are not supported
          next: name the same columns in PARTITION BY and in GROUP BY, beside window_start and window_end
        q.sql:4:108: sessions are partitioned by columns
          4 |          INSERT INTO out SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM TABLE(SESSION(TABLE visit PARTITION BY lower(k), DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_end;
            |                                                                                                            ^^^^^^^
          next: compute the column in a query or view before, and name it
        q.sql:4:84: `session_window` in GROUP BY cannot have 1 arguments
          4 |          INSERT INTO out SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM visit GROUP BY session_window(ts);
            |                                                                                    ^^^^^^^^^^^^^^
          next: write session_window(ts, '5 minutes')
        q.sql:4:99: the time of `session_window` is a column
          4 |          INSERT INTO out SELECT 1, 2, 'a', count(*), 3, 4, 5.0 FROM visit GROUP BY session_window(ts + INTERVAL '1' SECOND, '5 minutes');
            |                                                                                                   ^^^^^^^^^^^^^^^^^
          an expression has no watermark
          next: compute it in the table that has the WATERMARK: ts AS .."#]].assert_eq(&all.join("\n"));
}
