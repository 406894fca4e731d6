//! SELECT DISTINCT, UNION, INTERSECT and EXCEPT, in all ways of running.

use super::parsed;
use expect_test::{Expect, expect};
use tidegate::{StreamingContext, testing::run_every_way};

const CHANGES: &str =
    "k STRING, v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json'";
const APPEND: &str = "k STRING, v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";
const WINDOWS: &str =
    "f TIMESTAMP(3), k STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";

/// A script over the tables `a` and `b`, whose rows may be 5 ms late.
fn script(sink: &str, query: &str) -> String {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
               WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');"
        )
    };
    format!("{}{}CREATE TABLE out ({sink}); INSERT INTO out {query};", table("a"), table("b"))
}

fn row(topic: &str, partition: u32, k: &str, v: i64, ts: i64) -> String {
    format!("{topic} {partition} | - | {{\"k\":\"{k}\",\"v\":{v},\"ts\":{ts}}}\n")
}

fn all_at(ts: i64) -> String {
    ["a", "b"]
        .map(|topic| (0..3).map(|partition| row(topic, partition, "tick", 0, ts)).collect::<String>())
        .concat()
}

fn every_way(script: &str, input: &str, expected: &Expect) {
    let script = parsed(script).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// `x 1` twice and `y 2` in `a`; then `x 1` and `z 3` in `b`; then `x 1` twice and `y 2` in `b`.
fn both() -> String {
    let first = row("a", 0, "x", 1, 1) + &row("a", 1, "x", 1, 2) + &row("a", 2, "y", 2, 3);
    let second = row("b", 0, "x", 1, 1) + &row("b", 1, "z", 3, 3);
    let third = row("b", 0, "x", 1, 1) + &row("b", 1, "x", 1, 1) + &row("b", 2, "y", 2, 3);
    first + "---\n" + &second + "---\n" + &third
}

#[test]
fn rows_of_both_leave_once_or_as_often_as_both_have_them() {
    every_way(
        &script(APPEND, "SELECT k, v FROM a INTERSECT SELECT k, v FROM b"),
        &both(),
        &expect![[r#"
        ---
        out | - | {"k":"x","v":1}
        ---
        out | - | {"k":"y","v":2}
    "#]],
    );
    every_way(
        &script(APPEND, "SELECT k, v FROM a INTERSECT ALL SELECT k, v FROM b"),
        &both(),
        &expect![[r#"
            ---
            out | - | {"k":"x","v":1}
            ---
            out | - | {"k":"x","v":1}
            out | - | {"k":"y","v":2}
        "#]],
    );
    every_way(
        &script(APPEND, "SELECT k, v FROM a UNION SELECT k, v FROM b"),
        &both(),
        &expect![[r#"
        out | - | {"k":"x","v":1}
        out | - | {"k":"y","v":2}
        ---
        out | - | {"k":"z","v":3}
        ---
    "#]],
    );
}

#[test]
fn rows_that_the_second_has_are_taken_back() {
    every_way(
        &script(CHANGES, "SELECT k, v FROM a EXCEPT SELECT k, v FROM b"),
        &both(),
        &expect![[r#"
        out | - | {"before":null,"after":{"k":"x","v":1},"op":"c"}
        out | - | {"before":null,"after":{"k":"y","v":2},"op":"c"}
        ---
        out | - | {"before":{"k":"x","v":1},"after":null,"op":"d"}
        ---
        out | - | {"before":{"k":"y","v":2},"after":null,"op":"d"}
    "#]],
    );
    every_way(
        &script(CHANGES, "SELECT k, v FROM a EXCEPT ALL SELECT k, v FROM b"),
        &both(),
        &expect![[r#"
            out | - | {"before":null,"after":{"k":"x","v":1},"op":"c"}
            out | - | {"before":null,"after":{"k":"x","v":1},"op":"c"}
            out | - | {"before":null,"after":{"k":"y","v":2},"op":"c"}
            ---
            out | - | {"before":{"k":"x","v":1},"after":null,"op":"d"}
            ---
            out | - | {"before":{"k":"x","v":1},"after":null,"op":"d"}
            out | - | {"before":{"k":"y","v":2},"after":null,"op":"d"}
        "#]],
    );
}

#[test]
fn over_rows_that_change_a_row_is_there_while_any_group_has_it() {
    // The counts that there are.
    every_way(
        &script(CHANGES, "SELECT DISTINCT 'n', n FROM (SELECT k, count(*) AS n FROM a GROUP BY k)"),
        &both(),
        &expect![[r#"
            out | - | {"before":null,"after":{"k":"n","v":1},"op":"c"}
            out | - | {"before":null,"after":{"k":"n","v":2},"op":"c"}
            ---
            ---
        "#]],
    );
    every_way(
        &script(
            CHANGES,
            "SELECT k, count(*) FROM a GROUP BY k INTERSECT SELECT k, count(*) FROM b GROUP BY k",
        ),
        &both(),
        &expect![[r#"
            ---
            ---
            out | - | {"before":null,"after":{"k":"y","v":1},"op":"c"}
        "#]],
    );
}

const TUMBLE: &str = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))";

#[test]
fn the_rows_of_windows_leave_when_they_close() {
    let of = |table: &str| {
        format!(
            "SELECT window_start, window_end, k FROM {}",
            TUMBLE.replace("TABLE t", &format!("TABLE {table}"))
        )
    };
    let input = row("a", 0, "x", 1, 1)
        + &row("a", 1, "x", 1, 2)
        + &row("a", 2, "y", 2, 12)
        + &row("b", 2, "x", 2, 3)
        + "---\n"
        + &row("b", 0, "y", 1, 11)
        + &all_at(17)
        + "---\n"
        + &all_at(45);
    every_way(
        &script(WINDOWS, &format!("SELECT window_start, k FROM (SELECT DISTINCT * FROM ({}))", of("a"))),
        &input,
        &expect![[r#"
            ---
            out | - | {"f":"1970-01-01T00:00:00Z","k":"x"} | @9
            ---
            out | - | {"f":"1970-01-01T00:00:00.010Z","k":"tick"} | @19
            out | - | {"f":"1970-01-01T00:00:00.010Z","k":"y"} | @19
        "#]],
    );
    every_way(
        &script(WINDOWS, &format!("SELECT window_start, k FROM ({} INTERSECT {})", of("a"), of("b"))),
        &input,
        &expect![[r#"
            ---
            out | - | {"f":"1970-01-01T00:00:00Z","k":"x"} | @9
            ---
            out | - | {"f":"1970-01-01T00:00:00.010Z","k":"tick"} | @19
            out | - | {"f":"1970-01-01T00:00:00.010Z","k":"y"} | @19
        "#]],
    );
    every_way(
        &script(WINDOWS, &format!("SELECT window_start, k FROM ({} EXCEPT {})", of("a"), of("b"))),
        &input,
        &expect![[r#"
            ---
            ---
        "#]],
    );
}
