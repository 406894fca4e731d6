//! Plans of windows, and mistakes in them.

use super::check;
use expect_test::expect;

const OUT: &str = "CREATE TABLE per_window (f TIMESTAMP(3), t TIMESTAMP(3), auction BIGINT, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'w', 'format' = 'json');
CREATE TABLE changes (f TIMESTAMP(3), t TIMESTAMP(3), auction BIGINT, n BIGINT, PRIMARY KEY (f, t, auction) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'c', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE untimed (auction BIGINT, at TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 'u', 'format' = 'json');
";

fn windowed(table: &str, from: &str, rest: &str) -> String {
    format!(
        "{OUT}INSERT INTO {table} SELECT window_start, window_end, auction, count(*)\nFROM {from}\n{rest}"
    )
}

const ALL: &str = "GROUP BY window_start, window_end, auction";

#[test]
fn a_tumbling_count_leaves_when_its_window_closes() {
    let query =
        windowed("per_window", "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))", ALL);
    check(
        &query.replace("INSERT", "EXPLAIN INSERT"),
        &expect![[r#"
        logical plan:
          Projection: window_start AS f, window_end AS t, bid.auction AS auction, count(Int64(1)) AS n
            Aggregate: groupBy=[[window_start, window_end, bid.auction]], aggr=[[count(Int64(1))]]
              Projection: bid.auction, window_start, window_end
                Windows: TUMBLE size 10 s of bid.date_time
                  TableScan: bid projection=[auction, date_time]

        stream plan:
          Sink per_window: window_start AS f, window_end AS t, auction, count(*) AS n (append)
            Aggregate per_window.aggregate: count(*) by (window_end, window_start, auction)
                rows: only added, key (window_end, window_start, auction)
                a row leaves when its window closes
                state: one row per (window_end, window_start, auction), kept until the watermark passes window_end
              Windows: TUMBLE size 10 s of date_time
                  rows: only added, event time window_time
                Calc: auction, date_time
                    rows: only added, event time date_time
                  Source bid: auction, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
    "#]],
    );
}

#[test]
fn hops_with_changes_and_a_filter_below() {
    let from = "TABLE(HOP((SELECT * FROM bid WHERE price > 10), DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) AS w";
    check(
        &windowed("changes", from, &format!("{ALL} EMIT CHANGES")),
        &expect![[r#"
          Sink changes: window_start AS f, window_end AS t, auction, count(*) AS n (update by (window_start, window_end, auction))
            Aggregate changes.aggregate: count(*) by (window_end, window_start, auction)
                rows: change, key (window_end, window_start, auction)
                a row leaves at each batch that changes it
                state: one row per (window_end, window_start, auction), kept until the watermark passes window_end
              Windows: HOP size 10 s slide 2 s of date_time
                  rows: only added, event time window_time
                Calc: auction, date_time where price > 10
                    rows: only added, event time date_time
                  Source bid: auction, price, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
    "#]],
    );
}

#[test]
fn windows_of_a_column_without_watermark_never_close() {
    let from = "TABLE(CUMULATE(TABLE untimed, DESCRIPTOR(at), INTERVAL '1' MINUTE, INTERVAL '1' HOUR))";
    check(
        &windowed("changes", from, ALL),
        &expect![[r#"
          Sink changes: window_start AS f, window_end AS t, auction, count(*) AS n (update by (window_start, window_end, auction))
            Aggregate changes.aggregate: count(*) by (window_start, window_end, auction)
                rows: change, key (window_start, window_end, auction)
                state: one row per (window_start, window_end, auction), kept for ever
              Windows: CUMULATE size 1 h step 1 min of at
                  rows: only added
                Calc: auction, at
                    rows: only added
                  Source untimed: auction, at
                      rows: only added
    "#]],
    );
    check(
        &windowed("per_window", from, ALL),
        &expect![[r#"
        q.sql:5:13: rows of this query change later, and table `per_window` only takes new rows
          5 | INSERT INTO per_window SELECT window_start, window_end, auction, count(*)
            |             ^^^^^^^^^^
          `at` has no watermark, so a window never closes
          next: add WATERMARK FOR at AS at - INTERVAL '5' SECOND to its table"#]],
    );
    check(
        &windowed("changes", from, &format!("{ALL} EMIT ON WINDOW CLOSE")),
        &expect![[r#"
        q.sql:7:44: rows of this query change later, and table `changes` only takes new rows
          7 | GROUP BY window_start, window_end, auction EMIT ON WINDOW CLOSE
            |                                            ^^^^^^^^^^^^^^^^^^^^
          `at` has no watermark, so a window never closes
          next: add WATERMARK FOR at AS at - INTERVAL '5' SECOND to its table"#]],
    );
}

#[test]
fn a_group_without_the_end_of_its_window_never_closes() {
    let query = windowed(
        "per_window",
        "TUMBLE(bid, date_time, INTERVAL '10' SECOND)",
        "GROUP BY window_start, auction",
    );
    check(
        &query.replace(
            "window_start, window_end, auction, count",
            "window_start, window_start, auction, count",
        ),
        &expect![[r#"
        q.sql:5:13: rows of this query change later, and table `per_window` only takes new rows
          5 | INSERT INTO per_window SELECT window_start, window_start, auction, count(*)
            |             ^^^^^^^^^^
          rows are grouped without `window_end`, so a group never closes
          next: add window_start and window_end to GROUP BY"#]],
    );
}

#[test]
fn changes_of_windows_need_a_table_that_takes_them() {
    let from = "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))";
    check(
        &windowed("per_window", from, &format!("{ALL} EMIT CHANGES")),
        &expect![[r#"
        q.sql:7:44: rows of this query change later, and table `per_window` only takes new rows
          7 | GROUP BY window_start, window_end, auction EMIT CHANGES
            |                                            ^^^^^^^^^^^^
          `count(*)` of a group changes with each new row
          next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (t, f, auction) NOT ENFORCED"#]],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "golden texts")]
fn mistakes_in_arguments() {
    for (from, expected) in [
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(datetime), INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:41: there is no column `datetime` to take the time from
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(datetime), INTERVAL '10' SECOND))
                |                                         ^^^^^^^^
              next: did you mean `date_time`?"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(price), INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:41: windows need a time, and column `price` is BIGINT
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(price), INTERVAL '10' SECOND))
                |                                         ^^^^^
              next: name a column of type TIMESTAMP(3): DESCRIPTOR(..)"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bit, DESCRIPTOR(date_time), INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:25: there is no table or view `bit`
              6 | FROM TABLE(TUMBLE(TABLE bit, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
                |                         ^^^
              next: did you mean `bid`?"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0' SECOND))",
            expect![[r#"
            q.sql:6:62: the size of a window must be longer than nothing
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0' SECOND))
                |                                                              ^^^"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), '10 seconds'))",
            expect![[r#"
            q.sql:6:53: the size of a window is an interval
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), '10 seconds'))
                |                                                     ^^^^^^^^^^^^
              next: write, for instance, INTERVAL '10' SECOND"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '1' MONTH))",
            expect![[r#"
            q.sql:6:62: an interval in `month` has no fixed length
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '1' MONTH))
                |                                                              ^^^
              months and years differ in their days
              next: write it in days, such as INTERVAL '30' DAY"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time)))",
            expect![[r#"
            q.sql:6:12: TUMBLE lacks its argument SIZE
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time)))
                |            ^^^^^^
              next: write TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))"#]],
        ),
        (
            "TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '3' SECOND, INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:80: the size of a window must be a whole number of its slides
              6 | FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '3' SECOND, INTERVAL '10' SECOND))
                |                                                                                ^^^^
              next: write, for instance, INTERVAL '5' SECOND, INTERVAL '10' SECOND; the size comes last"#]],
        ),
        (
            "TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0.001' SECOND, INTERVAL '1' DAY))",
            expect![[r#"
            q.sql:6:84: each row would lie in 86400000 windows
              6 | FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0.001' SECOND, INTERVAL '1' DAY))
                |                                                                                    ^^^
              a row is counted once in each of its windows; 10000 are allowed
              next: choose longer slides, or a shorter size"#]],
        ),
        (
            "TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(date_time), SIZ => INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:72: TUMBLE has no argument SIZ
              6 | FROM TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(date_time), SIZ => INTERVAL '10' SECOND))
                |                                                                        ^^^
              next: they are DATA, TIMECOL, SIZE, OFFSET"#]],
        ),
        (
            "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), SIZE => INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:12: some arguments of TUMBLE have a name, and some have none
              6 | FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), SIZE => INTERVAL '10' SECOND))
                |            ^^^^^^
              next: give all of them names, or none: DATA, TIMECOL, SIZE, OFFSET"#]],
        ),
        (
            "TABLE(SESSION(TABLE bid PARTITION BY auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND))",
            expect![[r#"
                Sink per_window: window_start AS f, window_end AS t, auction, count(*) AS n (append)
                  Sessions per_window.sessions: count(*) by (auction), gap 10 s
                      rows: only added, key (window_start, window_end, auction)
                      a row leaves when its session closes
                      state: one row per (auction) and session, kept until the watermark passes its end
                    Sessions of rows: gap 10 s of date_time
                        rows: only added, event time window_time
                      Calc: auction, date_time
                          rows: only added, event time date_time
                        Source bid: auction, date_time
                            rows: only added, event time date_time
                            watermark: date_time - 4 s, of the slowest partition
            "#]],
        ),
        (
            "TABLE(TUMBEL(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))",
            expect![[r#"
            q.sql:6:12: there is no table function `tumbel`
              6 | FROM TABLE(TUMBEL(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
                |            ^^^^^^
              next: did you mean `tumble`?"#]],
        ),
    ] {
        check(&windowed("per_window", from, ALL), &expected);
    }
}
