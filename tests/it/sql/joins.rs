//! Joins, from SQL: which rows leave when, what is late, what is kept, across restarts, crashes and other numbers of tasks.

#![allow(clippy::too_many_lines, reason = "golden texts")]

use super::{driver_with, mistakes, parsed};
use expect_test::{Expect, expect};
use tidegate::{
    StreamingContext,
    testing::{Crash, Settings, run_every_way},
};

/// A script over `orders` and `payments`, whose rows may be 5 ms late.
fn script(sink: &str, query: &str) -> String {
    format!(
        "CREATE TABLE orders (id BIGINT, item STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE payments (order_id BIGINT, cents BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'p', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE out ({sink});
         INSERT INTO out {query};"
    )
}

const APPEND: &str =
    "id BIGINT, item STRING, cents BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json'";
const CHANGES: &str = "id BIGINT, item STRING, cents BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json'";

fn order(partition: u32, id: &str, item: &str, ts: i64) -> String {
    format!("o {partition} | - | {{\"id\":{id},\"item\":\"{item}\",\"ts\":{ts}}}\n")
}

fn payment(partition: u32, id: &str, cents: i64, ts: i64) -> String {
    format!("p {partition} | - | {{\"order_id\":{id},\"cents\":{cents},\"ts\":{ts}}}\n")
}

/// Rows without a key at one time in all partitions of both tables, so that the watermark reaches it, less the delay.
fn all_at(ts: i64) -> String {
    (0..3)
        .map(|partition| order(partition, "null", "tick", ts) + &payment(partition, "null", 0, ts))
        .collect()
}

fn every_way(script: &str, input: &str, expected: &Expect) {
    let script = parsed(script).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// Orders and payments: some meet in a batch, some later, some never.
fn three_batches() -> String {
    let first = order(0, "1", "tea", 3) + &order(1, "2", "salt", 4) + &payment(2, "1", 150, 5);
    let second = payment(0, "2", 70, 12) + &payment(1, "2", 30, 13) + &order(0, "3", "milk", 14);
    let third = payment(2, "9", 10, 21) + &order(1, "null", "nothing", 20) + &order(2, "1", "tea", 22);
    first + "---\n" + &second + "---\n" + &third
}

fn joined(kind: &str) -> String {
    format!("SELECT o.id, o.item, p.cents FROM orders AS o {kind} payments AS p ON o.id = p.order_id")
}

#[test]
fn pairs_leave_when_the_second_of_both_comes() {
    every_way(
        &script(APPEND, &joined("JOIN")),
        &three_batches(),
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":150}
        ---
        out | - | {"id":2,"item":"salt","cents":30}
        out | - | {"id":2,"item":"salt","cents":70}
        ---
        out | - | {"id":1,"item":"tea","cents":150}
    "#]],
    );
}

/// A column that two conditions name, of which one is met by an expression: the other column is the one that is the same.
#[test]
fn a_column_that_meets_a_column_and_an_expression_has_its_own_values() {
    let input = "o 0 | - | {\"id\":4,\"item\":\"4\",\"ts\":1}\no 1 | - | {\"id\":5,\"item\":\"6\",\"ts\":1}\np 0 | - | {\"order_id\":4,\"cents\":7,\"ts\":1}\np 0 | - | {\"order_id\":5,\"cents\":8,\"ts\":1}\n";
    let mut conditions =
        ["o.id = p.order_id", "CAST(o.item AS BIGINT) = p.order_id", "abs(o.id) = p.order_id"];
    for _ in 0..conditions.len() {
        conditions.rotate_left(1);
        let condition = conditions.join(" AND ");
        let query = "SELECT p.order_id, o.item, p.cents FROM orders AS o JOIN payments AS p ON";
        every_way(
            &script(APPEND, &format!("{query} {condition}")),
            input,
            &expect![[r#"
        out | - | {"id":4,"item":"4","cents":7}
    "#]],
        );
    }
}

#[test]
fn an_outer_join_takes_back_what_has_found_a_partner() {
    every_way(
        &script(CHANGES, &joined("LEFT JOIN")),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":null},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":30},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":70},"op":"c"}
        out | - | {"before":null,"after":{"id":3,"item":"milk","cents":null},"op":"c"}
        out | - | {"before":{"id":2,"item":"salt","cents":null},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"nothing","cents":null},"op":"c"}
    "#]],
    );
    every_way(
        &script(CHANGES, &joined("RIGHT JOIN")),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":30},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":70},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":null,"cents":10},"op":"c"}
    "#]],
    );
    every_way(
        &script(CHANGES, &joined("FULL JOIN")),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":null},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":30},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":70},"op":"c"}
        out | - | {"before":null,"after":{"id":3,"item":"milk","cents":null},"op":"c"}
        out | - | {"before":{"id":2,"item":"salt","cents":null},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"nothing","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":null,"cents":10},"op":"c"}
    "#]],
    );
}

#[test]
fn rows_with_and_without_a_partner() {
    let rows = |condition: &str| format!("SELECT id, item, 0 FROM orders AS o WHERE {condition}");
    let exists = "EXISTS (SELECT 1 FROM payments AS p WHERE p.order_id = o.id AND p.cents > 40)";
    every_way(
        &script(APPEND, &rows(exists)),
        &three_batches(),
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":0}
        ---
        out | - | {"id":2,"item":"salt","cents":0}
        ---
        out | - | {"id":1,"item":"tea","cents":0}
    "#]],
    );
    every_way(
        &script(APPEND, &rows("id IN (SELECT order_id FROM payments)")),
        &three_batches(),
        &expect![[r#"
            out | - | {"id":1,"item":"tea","cents":0}
            ---
            out | - | {"id":2,"item":"salt","cents":0}
            ---
            out | - | {"id":1,"item":"tea","cents":0}
        "#]],
    );
    every_way(
        &script(CHANGES, &rows(&format!("NOT {exists}"))),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":0},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":3,"item":"milk","cents":0},"op":"c"}
        out | - | {"before":{"id":2,"item":"salt","cents":0},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"id":null,"item":"nothing","cents":0},"op":"c"}
    "#]],
    );
    every_way(
        &script(CHANGES, &rows("item = 'milk' OR id IN (SELECT order_id FROM payments)")),
        &three_batches(),
        &expect![[r#"
            out | - | {"before":null,"after":{"id":1,"item":"tea","cents":0},"op":"c"}
            ---
            out | - | {"before":null,"after":{"id":2,"item":"salt","cents":0},"op":"c"}
            out | - | {"before":null,"after":{"id":3,"item":"milk","cents":0},"op":"c"}
            ---
            out | - | {"before":null,"after":{"id":1,"item":"tea","cents":0},"op":"c"}
        "#]],
    );
}

#[test]
fn joins_of_aggregates_and_aggregates_of_joins() {
    let totals = "SELECT o.id, max(o.item), sum(p.cents) FROM orders AS o LEFT JOIN payments AS p ON o.id = p.order_id GROUP BY o.id";
    every_way(
        &script(CHANGES, totals),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":null},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":100},"op":"c"}
        out | - | {"before":null,"after":{"id":3,"item":"milk","cents":null},"op":"c"}
        out | - | {"before":{"id":2,"item":"salt","cents":null},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":300},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"nothing","cents":null},"op":"c"}
        out | - | {"before":{"id":1,"item":"tea","cents":150},"after":null,"op":"d"}
    "#]],
    );
    let both = "SELECT o.id, o.item, p.cents FROM (SELECT id, max(item) AS item FROM orders GROUP BY id) AS o
        JOIN (SELECT order_id, sum(cents) AS cents FROM payments GROUP BY order_id) AS p ON o.id = p.order_id";
    every_way(
        &script(CHANGES, both),
        &three_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":150},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":100},"op":"c"}
        ---
    "#]],
    );
    // The row of a key moves to another key of the join, so to another state partition.
    let by_sum = "SELECT p.order_id, o.item, p.cents FROM (SELECT order_id, sum(cents) AS cents FROM payments GROUP BY order_id) AS p
        JOIN (SELECT id * 50 AS cents, max(item) AS item FROM orders GROUP BY id) AS o ON o.cents = p.cents";
    let upsert = "id BIGINT, item STRING, cents BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'out', 'format' = 'json'";
    let moving = order(0, "1", "tea", 1) + &order(0, "2", "salt", 1) + &payment(0, "7", 50, 1);
    let moving = moving + "---\n" + &payment(1, "7", 50, 2) + "---\n" + &payment(2, "7", 1, 3);
    let by_sum = by_sum
        .replace("SELECT p.order_id, o.item, p.cents", "SELECT p.order_id, max(o.item), max(p.cents)")
        + " GROUP BY p.order_id";
    every_way(
        &script(upsert, &by_sum),
        &moving,
        &expect![[r#"
        out | {"id":7} | {"id":7,"item":"tea","cents":50}
        ---
        out | {"id":7} | {"id":7,"item":"salt","cents":100}
        ---
        out | {"id":7} | -
    "#]],
    );
}

#[test]
fn a_table_joins_itself() {
    let pairs =
        "SELECT a.id, a.item, b.id FROM orders AS a JOIN orders AS b ON a.item = b.item AND a.id < b.id";
    let input = order(0, "1", "tea", 1)
        + &order(1, "2", "tea", 2)
        + "---\n"
        + &order(2, "3", "tea", 3)
        + &order(0, "4", "salt", 3);
    every_way(
        &script(APPEND, pairs),
        &input,
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":2}
        ---
        out | - | {"id":1,"item":"tea","cents":3}
        out | - | {"id":2,"item":"tea","cents":3}
    "#]],
    );
}

/// A bound of time: payments from 5 ms before to 10 ms behind the order.
/// The first join leaves its rows by one column twice; the second one meets by that column and by another.
#[test]
fn rows_that_lie_by_a_column_twice_meet_by_all_columns_that_are_asked_for() {
    let script = "CREATE TABLE t (id BIGINT, k BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)
           WITH ('connector' = 'upsert-kafka', 'topic' = 't', 'format' = 'json');
         CREATE TABLE out (id BIGINT, k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json');
         INSERT INTO out SELECT a.id, b.k FROM
           (SELECT a.k, a.id FROM t AS a WHERE NOT EXISTS (SELECT 1 FROM t AS b WHERE a.k = b.id AND a.k = b.v)) AS a
           JOIN t AS b ON a.k = b.k AND a.id = b.k;";
    let row = |id: i64, k: i64| format!("t 0 | {{\"id\":{id}}} | {{\"id\":{id},\"k\":{k},\"v\":0}}\n");
    let expected = expect![[r#"
        out | - | {"before":null,"after":{"id":5,"k":5},"op":"c"}
    "#]];
    every_way(script, &(row(3, 1) + &row(5, 5)), &expected);
}

fn timed(kind: &str) -> String {
    joined(kind) + " AND p.ts BETWEEN o.ts - INTERVAL '0.005' SECOND AND o.ts + INTERVAL '0.010' SECOND"
}

fn timed_batches() -> String {
    let first = order(0, "1", "tea", 10) + &payment(1, "1", 5, 4) + &payment(2, "1", 7, 20);
    let second = payment(0, "1", 9, 21) + &order(1, "2", "salt", 22) + &all_at(26);
    let third = payment(2, "2", 11, 32) + &all_at(41);
    first + "---\n" + &second + "---\n" + &third + "---\n" + &all_at(80)
}

#[test]
fn with_a_bound_of_time_rows_without_a_partner_leave_once() {
    every_way(
        &script(APPEND, &timed("JOIN")),
        &timed_batches(),
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":7}
        ---
        ---
        out | - | {"id":2,"item":"salt","cents":11}
        ---
    "#]],
    );
    every_way(
        &script(APPEND, &timed("LEFT JOIN")),
        &timed_batches(),
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":7}
        ---
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        ---
        out | - | {"id":2,"item":"salt","cents":11}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        ---
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
    "#]],
    );
    every_way(
        &script(APPEND, &timed("FULL JOIN")),
        &timed_batches(),
        &expect![[r#"
        out | - | {"id":1,"item":"tea","cents":7}
        ---
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":5} | @11
        ---
        out | - | {"id":2,"item":"salt","cents":11}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":9} | @27
        ---
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":"tick","cents":null}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
        out | - | {"id":null,"item":null,"cents":0}
    "#]],
    );
    let changes = script(CHANGES, &(timed("LEFT JOIN") + " EMIT CHANGES"));
    every_way(
        &changes,
        &timed_batches(),
        &expect![[r#"
        out | - | {"before":null,"after":{"id":1,"item":"tea","cents":7},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        ---
        out | - | {"before":null,"after":{"id":2,"item":"salt","cents":11},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":{"id":2,"item":"salt","cents":null},"after":null,"op":"d"}
        ---
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
        out | - | {"before":null,"after":{"id":null,"item":"tick","cents":null},"op":"c"}
    "#]],
    );
}

#[test]
fn what_can_no_longer_meet_a_row_is_deleted() {
    for kind in ["JOIN", "LEFT JOIN", "FULL JOIN"] {
        let settings = Settings { state_partitions: 1, ..Settings::default() };
        let mut driver = driver_with(settings, &script(APPEND, &timed(kind)));
        let many: String = (0..5_000).map(|id| order(0, &id.to_string(), "x", 10)).collect();
        driver.batch(&(many + &all_at(10))).unwrap();
        driver.batch(&all_at(15)).unwrap();
        let before =
            driver.new_rows("app-changelog").unwrap().iter().filter(|row| row.ends_with("| -")).count();
        assert_eq!(before, 0, "{kind}");
        let written = driver.batch(&all_at(60)).unwrap();
        let gone =
            driver.new_rows("app-changelog").unwrap().iter().filter(|row| row.ends_with("| -")).count();
        assert_eq!(gone, 5_000, "{kind}");
        assert_eq!(
            written.rows().filter(|row| row.contains("\"item\":\"x\"")).count(),
            if kind == "JOIN" { 0 } else { 5_000 }
        );
        let late = driver.batch(&order(0, "7", "late", 11)).unwrap();
        assert_eq!(late.rows().count(), 0, "{kind}");
        let counted: usize = driver.take_reports().iter().map(|report| report.counters.late).sum();
        assert_eq!(counted, 1, "{kind}");
    }
}

/// The same with a payment in the window of its order.
fn windowed_batches() -> String {
    payment(2, "1", 3, 16) + &timed_batches()
}

#[test]
fn windows_meet_and_go_together() {
    let windowed =
        |table: &str| format!("TABLE(TUMBLE(TABLE {table}, DESCRIPTOR(ts), INTERVAL '0.010' SECOND))");
    let of = |kind: &str| {
        format!(
            "SELECT o.id, o.item, p.cents FROM {} AS o {kind} {} AS p
             ON o.window_start = p.window_start AND o.window_end = p.window_end AND o.id = p.order_id",
            windowed("orders"),
            windowed("payments")
        )
    };
    for kind in ["JOIN", "LEFT JOIN", "FULL JOIN"] {
        every_way(
            &script(APPEND, &of(kind)),
            &windowed_batches(),
            match kind {
                "JOIN" => &expect![[r#"
                    out | - | {"id":1,"item":"tea","cents":3}
                    ---
                    ---
                    ---
                "#]],
                "LEFT JOIN" => &expect![[r#"
                    out | - | {"id":1,"item":"tea","cents":3}
                    ---
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    ---
                    out | - | {"id":2,"item":"salt","cents":null} | @29
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    ---
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                "#]],
                _ => &expect![[r#"
                    out | - | {"id":1,"item":"tea","cents":3}
                    ---
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":5} | @9
                    ---
                    out | - | {"id":2,"item":"salt","cents":null} | @29
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":7} | @29
                    out | - | {"id":null,"item":null,"cents":9} | @29
                    ---
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":"tick","cents":null}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":0}
                    out | - | {"id":null,"item":null,"cents":11} | @39
                "#]],
            },
        );
    }
    let count = |kind: &str| {
        of(kind).replace("SELECT o.id, o.item, p.cents", "SELECT count(*), max(o.item), sum(p.cents)")
            + " GROUP BY o.window_start, o.window_end"
    };
    every_way(
        &script(APPEND, &count("JOIN")),
        &windowed_batches(),
        &expect![[r#"
            ---
            out | - | {"id":1,"item":"tea","cents":3} | @19
            ---
            ---
        "#]],
    );
    every_way(
        &script(APPEND, &count("LEFT JOIN")),
        &windowed_batches(),
        &expect![[r#"
            ---
            out | - | {"id":1,"item":"tea","cents":3} | @19
            ---
            out | - | {"id":4,"item":"tick","cents":null} | @29
            ---
            out | - | {"id":3,"item":"tick","cents":null} | @49
        "#]],
    );
    let anti = format!(
        "SELECT id, item, 0 FROM {} AS o WHERE NOT EXISTS (
           SELECT 1 FROM {} AS p WHERE o.window_end = p.window_end AND o.id = p.order_id)",
        windowed("orders"),
        windowed("payments")
    );
    every_way(
        &script(APPEND, &anti),
        &windowed_batches(),
        &expect![[r#"
            ---
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
            ---
            out | - | {"id":2,"item":"salt","cents":0} | @29
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
            ---
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
            out | - | {"id":null,"item":"tick","cents":0}
        "#]],
    );
}

#[test]
fn the_most_frequent_of_each_window() {
    // The shape of a benchmark's query: counts of windows, and those that are the greatest of theirs.
    let counts = "SELECT id, count(*) AS n, window_start, window_end
        FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '0.010' SECOND, INTERVAL '0.020' SECOND)) WHERE id IS NOT NULL
        GROUP BY id, window_start, window_end";
    let query = format!(
        "SELECT a.id, CAST(a.window_end AS STRING), a.n FROM ({counts}) AS a
         JOIN (SELECT max(n) AS n, window_start, window_end FROM ({counts}) AS c GROUP BY window_start, window_end) AS m
         ON a.window_start = m.window_start AND a.window_end = m.window_end AND a.n >= m.n"
    );
    let input = order(0, "1", "a", 3)
        + &order(1, "1", "b", 4)
        + &order(2, "2", "c", 5)
        + &order(0, "2", "d", 14)
        + "---\n"
        + &all_at(29)
        + "---\n"
        + &all_at(60);
    every_way(
        &script(APPEND, &query),
        &input,
        &expect![[r#"
        ---
        out | - | {"id":1,"item":"1970-01-01T00:00:00.010","cents":2} | @9
        out | - | {"id":1,"item":"1970-01-01T00:00:00.020","cents":2} | @19
        out | - | {"id":2,"item":"1970-01-01T00:00:00.020","cents":2} | @19
        ---
        out | - | {"id":2,"item":"1970-01-01T00:00:00.030","cents":1} | @29
    "#]],
    );
}

#[test]
fn a_crash_changes_nothing() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
        let mut plain = driver_with(Settings::default(), &script(APPEND, &timed("FULL JOIN")));
        let mut crashed = driver_with(Settings::default(), &script(APPEND, &timed("FULL JOIN")));
        for batch in timed_batches().split("---\n") {
            crashed.crash_at(crash);
            let rows =
                |written: &tidegate::testing::Written| written.rows().map(str::to_owned).collect::<Vec<_>>();
            let expected = rows(&plain.batch(batch).unwrap());
            assert_eq!(rows(&crashed.batch(batch).unwrap()), expected);
        }
        assert_eq!(crashed.crashes(), 4);
    }
}

#[test]
fn what_cannot_be_joined_is_told() {
    let told = |query: &str| mistakes(&script(APPEND, query));
    let all = [
        "SELECT o.id, o.item, p.cents FROM orders AS o CROSS JOIN payments AS p",
        "SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.ts < p.ts",
        "SELECT o.id, o.item, p.cents FROM orders AS o LEFT JOIN payments AS p ON o.id = p.order_id",
        "SELECT id, item, 0 FROM orders WHERE id NOT IN (SELECT order_id FROM payments)",
        "SELECT id, item, 0 FROM orders WHERE id > (SELECT avg(cents) FROM payments)",
        "SELECT id, item, 0 FROM orders WHERE id > ALL (SELECT cents FROM payments)",
        "SELECT id, item, CASE WHEN EXISTS (SELECT 1 FROM payments WHERE order_id = id) THEN 1 ELSE 0 END FROM orders",
        "SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.id = p.order",
        "SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.item = p.order_id + o.id OR o.itm",
        "SELECT id, item, cents FROM orders AS o JOIN payments AS p ON id = order_id AND ts = ts",
        "SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.id = p.order_id AND random() < 0.5",
    ];
    expect![[r#"
        q.sql:6:83: a join without an equality
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o CROSS JOIN payments AS p;
            |                                                                                   ^^^^^^^^^^^^^
          each row would meet every row of the other side, and all of them would be kept
          next: add a condition such as a.id = b.id
        q.sql:6:77: a join without an equality
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.ts < p.ts;
            |                                                                             ^^^^^^^^^^^^^
          each row would meet every row of the other side, and all of them would be kept
          next: add a condition such as a.id = b.id
        q.sql:6:22: rows of this query change later, and table `out` only takes new rows
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o LEFT JOIN payments AS p ON o.id = p.order_id;
            |                      ^^^
          that a row has no partner is only known when time has passed
          next: add a bound of time, a.ts BETWEEN b.ts - INTERVAL .. AND b.ts + INTERVAL .., and WATERMARK to both tables
        q.sql:6:74: NOT IN over columns that can be NULL is not supported
          6 |          INSERT INTO out SELECT id, item, 0 FROM orders WHERE id NOT IN (SELECT order_id FROM payments);
            |                                                                          ^^^^^^
          one NULL in the subquery would take away all rows, and each row would have to know of it
          next: write NOT EXISTS (SELECT .. WHERE a = b), or declare the columns NOT NULL
        q.sql:6:69: a query inside of an expression is not supported
          6 |          INSERT INTO out SELECT id, item, 0 FROM orders WHERE id > (SELECT avg(cents) FROM payments);
            |                                                                     ^^^^^^
          each change of its answer would touch every row that was compared with it
          next: join with a query that is grouped by a column of both
        q.sql:6:73: a comparison with ANY or ALL rows of a query is not supported
          6 |          INSERT INTO out SELECT id, item, 0 FROM orders WHERE id > ALL (SELECT cents FROM payments);
            |                                                                         ^^^^^^
          each change of its answer would touch every row that was compared with it
          next: write IN, EXISTS or NOT EXISTS, with an equality of columns of both queries
        q.sql:6:61: a query inside of an expression is not supported
          6 |          INSERT INTO out SELECT id, item, CASE WHEN EXISTS (SELECT 1 FROM payments WHERE order_id = id) THEN 1 ELSE 0 END FROM orders;
            |                                                             ^^^^^^
          EXISTS and IN become joins only as conditions of WHERE, with equalities of columns of both queries
          next: write it as a condition of WHERE, or as a LEFT JOIN
        q.sql:6:101: there is no column `order` in `p`
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.id = p.order;
            |                                                                                                     ^^^^^^^
          next: there are: `order_id`, `cents`, `ts`
        q.sql:6:124: there is no column `itm` in `o`
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.item = p.order_id + o.id OR o.itm;
            |                                                                                                                            ^^^^^
          next: did you mean `item`?
        q.sql:6:106: column `ts` is in more than one table
          6 |          INSERT INTO out SELECT id, item, cents FROM orders AS o JOIN payments AS p ON id = order_id AND ts = ts;
            |                                                                                                          ^^
          next: write `o.ts` or `p.ts`
        q.sql:6:116: `random` cannot stand below a join
          6 |          INSERT INTO out SELECT o.id, o.item, p.cents FROM orders AS o JOIN payments AS p ON o.id = p.order_id AND random() < 0.5;
            |                                                                                                                    ^^^^^^
          a change could not be taken back, as the function gives another value each time
          next: compute it in the last query, from rows that only grow"#]].assert_eq(&all.map(told).join("\n"));
}
