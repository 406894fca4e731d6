//! Aggregates that need the values of their groups: over rows that come, rows that change, windows and sessions.

#![allow(clippy::format_collect, clippy::too_many_lines, reason = "inputs and answers are texts")]

use super::{driver, input, mistakes, parsed};
use expect_test::{Expect, expect};
use tidegate::{StreamingContext, testing::run_every_way};

const VISITS: &str = "
CREATE TABLE visits (who STRING, page STRING, ms BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '0.005' SECOND)
  WITH ('connector' = 'kafka', 'topic' = 'visits', 'format' = 'json');
CREATE TABLE pages (id BIGINT, page STRING, ms BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'pages', 'format' = 'json');
";

fn every_way(script: &str, input: &str, expected: &Expect) {
    let script = parsed(&format!("{VISITS}{script}")).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

fn visit(who: &str, page: &str, ms: &str, at: i64) -> String {
    format!("{{\"who\":\"{who}\",\"page\":{page},\"ms\":{ms},\"at\":{at}}}")
}

/// A row at this time in each partition, so that the watermark follows.
fn ticks(at: i64) -> String {
    let row = visit("eve", "\"quay\"", "1", at);
    (0..3).map(|partition| format!("visits {partition} | - | {row}\n")).collect()
}

fn visits(rows: &[String]) -> String {
    input("visits", &rows.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn rows_that_change_are_listed_as_they_are() {
    let row = |id: u8, page: &str, ms: &str| {
        format!("pages 0 | {{\"id\":{id}}} | {{\"id\":{id},\"page\":{page},\"ms\":{ms}}}\n")
    };
    let batches = row(1, "\"tea\"", "5")
        + &row(2, "\"sea\"", "9")
        + &row(3, "null", "7")
        + "---\n"
        + &row(2, "\"tea\"", "1")
        + "---\n"
        + "pages 0 | {\"id\":1} | -\n"
        + "---\n"
        + "pages 0 | {\"id\":2} | -\npages 0 | {\"id\":3} | -\n";
    every_way(
        "CREATE TABLE seen (n BIGINT, pages ARRAY<STRING>, different ARRAY<STRING>, words STRING, by_time ARRAY<BIGINT>, half DOUBLE, most BIGINT,
           first_page STRING, last_page STRING, least BIGINT) WITH ('connector' = 'print');
         INSERT INTO seen SELECT count(*), array_agg(page), collect_set(page), string_agg(page, '-' ORDER BY ms DESC), array_agg(ms ORDER BY ms DESC),
           median(ms), percentile_disc(0.9) WITHIN GROUP (ORDER BY ms), first_value(page ORDER BY ms), last_value(page) IGNORE NULLS, first(ms) FROM pages;",
        &batches,
        &expect![[r#"
            console | +I[3, [null, sea, tea], [sea, tea], sea-tea, [9, 7, 5], 7.0, 9, tea, tea, 5]
            ---
            console | +U[3, [null, tea, tea], [tea], tea-tea, [7, 5, 1], 5.0, 7, tea, tea, 1]
            console | -U[3, [null, sea, tea], [sea, tea], sea-tea, [9, 7, 5], 7.0, 9, tea, tea, 5]
            ---
            console | +U[2, [null, tea], [tea], tea, [7, 1], 4.0, 7, tea, tea, 1]
            console | -U[3, [null, tea, tea], [tea], tea-tea, [7, 5, 1], 5.0, 7, tea, tea, 1]
            ---
            console | +U[0, null, [], null, null, null, null, null, null, null]
            console | -U[2, [null, tea], [tea], tea, [7, 1], 4.0, 7, tea, tea, 1]
        "#]],
    );
}

#[test]
fn windows_give_the_values_that_they_have_and_forget_them() {
    let query = "CREATE TABLE out (e BIGINT, pages ARRAY<STRING>, half DOUBLE, newest STRING) WITH ('connector' = 'print');
         INSERT INTO out SELECT CAST(window_end AS BIGINT), array_agg(page), median(ms), last_value(page ORDER BY at)
         FROM TABLE(HOP(TABLE visits, DESCRIPTOR(at), INTERVAL '0.010' SECOND, INTERVAL '0.020' SECOND)) GROUP BY window_start, window_end";
    let batches = visits(&[
        visit("ann", "\"tea\"", "4", 3),
        visit("ann", "null", "null", 12),
        visit("bob", "\"sea\"", "5", 14),
    ]) + "---\n"
        + &visits(&[visit("eve", "\"bay\"", "2", 11), visit("eve", "\"bay\"", "8", 26)])
        + "---\n"
        + &ticks(31)
        + "---\n"
        + &ticks(70);
    every_way(
        &format!("{query};"),
        &batches,
        &expect![[r#"
        ---
        ---
        console | +I[10, [tea], 4.0, tea]
        console | +I[20, [null, bay, sea, tea], 4.0, sea]
        ---
        console | +I[30, [null, bay, bay, sea], 5.0, bay]
        console | +I[40, [bay, quay, quay, quay], 1.0, quay]
        console | +I[50, [quay, quay, quay], 1.0, quay]
    "#]],
    );
    every_way(
        &format!("{query} EMIT CHANGES;"),
        &batches,
        &expect![[r#"
        console | +I[10, [tea], 4.0, tea]
        console | +I[20, [null, sea, tea], 4.5, sea]
        console | +I[30, [null, sea], 5.0, sea]
        ---
        console | +I[20, [null, bay, sea, tea], 4.0, sea]
        console | +I[30, [null, bay, bay, sea], 5.0, bay]
        console | +I[40, [bay], 8.0, bay]
        console | -D[20, [null, sea, tea], 4.5, sea]
        console | -D[30, [null, sea], 5.0, sea]
        ---
        console | +I[40, [bay, quay, quay, quay], 1.0, quay]
        console | +I[50, [quay, quay, quay], 1.0, quay]
        console | -D[40, [bay], 8.0, bay]
        ---
        console | +I[80, [quay, quay, quay], 1.0, quay]
        console | +I[90, [quay, quay, quay], 1.0, quay]
    "#]],
    );
}

#[test]
fn a_session_has_the_values_of_those_that_it_was_made_of() {
    let query = "CREATE TABLE out (s BIGINT, e BIGINT, who STRING, pages STRING, half DOUBLE, oldest STRING) WITH ('connector' = 'print');
         INSERT INTO out SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), who, string_agg(page, ' '), median(ms), first_value(page ORDER BY at)
         FROM TABLE(SESSION(TABLE visits PARTITION BY who, DESCRIPTOR(at), INTERVAL '0.010' SECOND)) GROUP BY window_start, window_end, who";
    let batches = visits(&[
        visit("ann", "\"tea\"", "4", 3),
        visit("ann", "\"sea\"", "6", 20),
        visit("bob", "null", "5", 14),
    ]) + "---\n"
        + &visits(&[visit("ann", "\"bay\"", "9", 12)])
        + "---\n"
        + &ticks(31)
        + "---\n"
        + &ticks(70);
    every_way(
        &format!("{query};"),
        &batches,
        &expect![[r#"
        ---
        ---
        console | +I[14, 24, bob, null, 5.0, null]
        ---
        console | +I[3, 30, ann, bay sea tea, 6.0, tea]
        console | +I[31, 41, eve, quay quay quay, 1.0, quay]
    "#]],
    );
    every_way(
        &format!("{query} EMIT CHANGES;"),
        &batches,
        &expect![[r#"
        console | +I[14, 24, bob, null, 5.0, null]
        console | +I[20, 30, ann, sea, 6.0, sea]
        console | +I[3, 13, ann, tea, 4.0, tea]
        ---
        console | +I[3, 30, ann, bay sea tea, 6.0, tea]
        console | -D[20, 30, ann, sea, 6.0, sea]
        console | -D[3, 13, ann, tea, 4.0, tea]
        ---
        console | +I[31, 41, eve, quay quay quay, 1.0, quay]
        ---
        console | +I[70, 80, eve, quay quay quay, 1.0, quay]
    "#]],
    );
}

#[test]
fn the_first_and_the_last_that_came() {
    let mut driver = driver(&format!(
        "{VISITS} CREATE TABLE ends (who STRING, a STRING, b STRING, c STRING, d BIGINT, PRIMARY KEY (who) NOT ENFORCED)
           WITH ('connector' = 'upsert-kafka', 'topic' = 'ends', 'format' = 'json');
         INSERT INTO ends SELECT who, first(page), last(page), any_value(page), last_value(ms) IGNORE NULLS FROM visits GROUP BY who;"
    ));
    let first =
        driver.batch(&visits(&[visit("ann", "null", "7", 1), visit("ann", "\"tea\"", "null", 2)])).unwrap();
    let row = |rest: &str| format!("ends | {{\"who\":\"ann\"}} | {{\"who\":\"ann\",{rest}}}\n");
    assert_eq!(first.to_string(), row("\"a\":null,\"b\":\"tea\",\"c\":\"tea\",\"d\":7"));
    let second = driver.batch(&visits(&[visit("ann", "\"sea\"", "3", 3)])).unwrap();
    assert_eq!(second.to_string(), row("\"a\":null,\"b\":\"sea\",\"c\":\"tea\",\"d\":3"));
}

#[test]
fn the_plan_says_what_is_kept() {
    let script = parsed(&format!(
        "{VISITS} CREATE TABLE out (a STRING, b STRING, c ARRAY<BIGINT>, d DOUBLE, e BIGINT) WITH ('connector' = 'print');
         INSERT INTO out SELECT page, first_value(who ORDER BY ms DESC), array_agg(DISTINCT ms), percentile_cont(0.9) WITHIN GROUP (ORDER BY ms DESC),
           min(ms) FROM visits GROUP BY page;
         INSERT INTO out SELECT page, string_agg(page, ', ' ORDER BY ms NULLS LAST), collect_list(ms) FILTER (WHERE ms > 1), median(ms), last_value(ms) FROM pages GROUP BY page;
         EXPLAIN STREAM SELECT page, first_value(who ORDER BY ms DESC), array_agg(DISTINCT ms), percentile_cont(0.9) WITHIN GROUP (ORDER BY ms DESC) FROM visits GROUP BY page;"
    ))
    .unwrap();
    expect![[r#"
        stream plan:
          Aggregate query.aggregate: first_value(who ORDER BY ms DESC), array_agg(DISTINCT ms), percentile_cont(CAST(ms AS Float64), 0.9) by (page)
              rows: change, key (page)
              state: one row per (page), kept for ever
              state: one row per group and value of (ms), kept for ever
              state: one row per group and value of (CAST(ms AS Float64)), kept for ever
            Calc: page, who, ms, CAST(ms AS Float64)
                rows: only added
              Source visits: who, page, ms
                  rows: only added
    "#]].assert_eq(&(script.answers().join("\n") + "\n"));
    expect![[r#"
        topology:
          stage 0, one task per source partition
             0  source visits
             1  select  <- 0
             2  group (out.aggregate.exchange)  <- 1
             5  source pages
             6  key (pages.rows.exchange)  <- 5
          stage 1, one task per state partition
             3  aggregate  <- 2  [store out.aggregate: rows key(page str) -> #1 weight i64, #2 "first_value(who order by ms desc).row" bytes, #3 "min(ms).min" i64]  [store out.aggregate.values: row-index key(length, page str, call, value: 1 array_agg(distinct ms), 2 percentile_cont(CAST(ms AS Float64) fraction 0.09999999999999998)) -> #1 weight i64]
             4  insert  <- 3
             7  upsert  <- 6  [store pages.rows: rows key(id i64) -> #2 page str, #3 ms i64]
             8  select  <- 7
             9  group (out.aggregate-2.exchange)  <- 8
          stage 2, one task per state partition
            10  aggregate  <- 9  [store out.aggregate-2: rows key(page str) -> #1 weight i64, #2 "last_value(ms).row" bytes]  [store out.aggregate-2.values: row-index key(length, page str, call, value: 0 string_agg(page order by ms null greatest ignore nulls separator ", "), 1 collect_list(ms ignore nulls where ms > 1), 2 median(CAST(ms AS Float64)), 3 last_value(ms)) -> #1 weight i64]
            11  select  <- 10
            12  insert  <- 11
    "#]].assert_eq(&format!("topology:\n{}", script.topology()));
}

#[test]
fn what_they_cannot_say_is_refused() {
    let told = |call: &str| {
        mistakes(&format!(
            "CREATE TABLE t (k STRING, n BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE out (k STRING, x STRING) WITH ('connector' = 'print');
INSERT INTO out SELECT k, CAST({call} AS STRING) FROM t GROUP BY k;"
        )) + "\n"
    };
    let calls = [
        "array_agg(DISTINCT n ORDER BY k)",
        "string_agg(k, k)",
        "percentile_cont(1.5) WITHIN GROUP (ORDER BY n)",
        "percentile(n, n)",
        "listagg(k, ',') WITHIN GROUP (ORDER BY k)",
        "string_agg(k SEPARATOR ',')",
        "median(n ORDER BY k)",
        "approx_percentile_cont(n, 0.5)",
        "array_agg(sum(n))",
    ];
    let all: String = calls.map(told).concat();
    expect![[r#"
        q.sql:3:32: `array_agg` orders different values by something else
          3 | INSERT INTO out SELECT k, CAST(array_agg(DISTINCT n ORDER BY k) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^
          a value that is there several times has several places in such an order
          next: order by the value itself, or leave DISTINCT or ORDER BY out
        q.sql:3:32: `string_agg` has a separator that is another one in each row
          3 | INSERT INTO out SELECT k, CAST(string_agg(k, k) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^^
          next: write a text: string_agg(x, ', ')
        q.sql:3:32: `percentile_cont` takes a number from 0 to 1
          3 | INSERT INTO out SELECT k, CAST(percentile_cont(1.5) WITHIN GROUP (ORDER BY n) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^^^^^^^
          next: write percentile_cont(0.9) WITHIN GROUP (ORDER BY x), or percentile(x, 0.9)
        q.sql:3:32: `percentile` takes a number from 0 to 1
          3 | INSERT INTO out SELECT k, CAST(percentile(n, n) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^^
          next: write percentile_cont(0.9) WITHIN GROUP (ORDER BY x), or percentile(x, 0.9)
        q.sql:3:32: `listagg` with WITHIN GROUP is not supported
          3 | INSERT INTO out SELECT k, CAST(listagg(k, ',') WITHIN GROUP (ORDER BY k) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^
          next: put the order inside: listagg(.. ORDER BY ..)
        q.sql:3:32: clauses other than ORDER BY inside of `string_agg` are not supported
          3 | INSERT INTO out SELECT k, CAST(string_agg(k SEPARATOR ',') AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^^
          next: a separator is the second argument: string_agg(x, ', ')
        q.sql:3:32: ORDER BY and other clauses inside of `median` are not supported
          3 | INSERT INTO out SELECT k, CAST(median(n ORDER BY k) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^
          its answer does not depend on the order of rows
        q.sql:3:32: the aggregate `approx_percentile_cont` is not supported
          3 | INSERT INTO out SELECT k, CAST(approx_percentile_cont(n, 0.5) AS STRING) FROM t GROUP BY k;
            |                                ^^^^^^^^^^^^^^^^^^^^^^
          what it keeps of a group has no durable form yet
          next: write percentile_cont(..) WITHIN GROUP (ORDER BY ..), which is exact
        q.sql:3:42: the aggregate `sum` cannot stand inside of `array_agg`
          3 | INSERT INTO out SELECT k, CAST(array_agg(sum(n)) AS STRING) FROM t GROUP BY k;
            |                                          ^^^
          one SELECT groups once
          next: compute the inner one in a query in FROM, or in a view
    "#]].assert_eq(&all);
    let over = mistakes(
        "CREATE TABLE t (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE out (k STRING, x DOUBLE) WITH ('connector' = 'print');
INSERT INTO out SELECT k, median(n) OVER (ORDER BY ts) FROM t;",
    );
    expect![[r#"
        q.sql:3:27: `median` with OVER is not supported
          3 | INSERT INTO out SELECT k, median(n) OVER (ORDER BY ts) FROM t;
            |                           ^^^^^^
          next: there are row_number, rank, dense_rank, lag, first_value, last_value, and the aggregates that keep no values
    "#]].assert_eq(&(over + "\n"));
}

#[test]
fn the_value_of_the_greatest_and_of_the_least_row() {
    let row = |id: u8, page: &str, ms: &str| {
        format!("pages 0 | {{\"id\":{id}}} | {{\"id\":{id},\"page\":{page},\"ms\":{ms}}}\n")
    };
    let batches = row(1, "\"tea\"", "5")
        + &row(2, "\"sea\"", "9")
        + &row(3, "\"bay\"", "null")
        + "---\n"
        + &row(2, "\"sea\"", "1")
        + "---\n"
        + "pages 0 | {\"id\":1} | -\n"
        + "---\n"
        + "pages 0 | {\"id\":2} | -\n";
    every_way(
        "CREATE TABLE seen (most STRING, least STRING, most_of_some STRING) WITH ('connector' = 'print');
         INSERT INTO seen SELECT max_by(page, ms), min_by(page, ms), max_by(page, ms) FILTER (WHERE ms < 9) FROM pages;",
        &batches,
        &expect![[r#"
            console | +I[sea, tea, tea]
            ---
            console | +U[tea, sea, tea]
            console | -U[sea, tea, tea]
            ---
            console | +U[sea, sea, sea]
            console | -U[tea, sea, tea]
            ---
            console | +U[null, null, null]
            console | -U[sea, sea, sea]
        "#]],
    );
}

#[test]
fn a_value_and_its_conversion_are_two_aggregates() {
    every_way(
        "CREATE TABLE seen (whole BIGINT, broken DOUBLE, half DOUBLE, n BIGINT, texts BIGINT) WITH ('connector' = 'print');
         INSERT INTO seen SELECT sum(ms), sum(CAST(ms AS DOUBLE)), sum(CAST(ms AS DOUBLE) / 2), count(TRY_CAST(page AS BIGINT)), count(page) FROM visits;",
        &visits(&[visit("ann", "\"7\"", "4", 3), visit("ann", "\"tea\"", "5", 12)]),
        &expect![[r#"
            console | +I[9, 9.0, 4.5, 1, 2]
        "#]],
    );
}
