//! Plans of windows, and mistakes in them.

use super::check;
use expect_test::expect;

const OUT: &str = "CREATE TABLE per_window (f TIMESTAMP(3), t TIMESTAMP(3), auction BIGINT, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'w', 'format' = 'json');
CREATE TABLE changes (f TIMESTAMP(3), t TIMESTAMP(3), auction BIGINT, n BIGINT, PRIMARY KEY (f, t, auction) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'c', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE untimed (auction BIGINT, at TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 'u', 'format' = 'json');
";

fn windowed(table: &str, from: &str, rest: &str) -> String {
    format!("{OUT}INSERT INTO {table} SELECT window_start, window_end, auction, count(*)\nFROM {from}\n{rest}")
}

const ALL: &str = "GROUP BY window_start, window_end, auction";

#[test]
fn a_tumbling_count_leaves_when_its_window_closes() {
    let query = windowed("per_window", "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))", ALL);
    check(&query.replace("INSERT", "EXPLAIN INSERT"), &expect![[r#""#]]);
}

#[test]
fn hops_with_changes_and_a_filter_below() {
    let from = "TABLE(HOP((SELECT * FROM bid WHERE price > 10), DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) AS w";
    check(&windowed("changes", from, &format!("{ALL} EMIT CHANGES")), &expect![[r#""#]]);
}

#[test]
fn windows_of_a_column_without_watermark_never_close() {
    let from = "TABLE(CUMULATE(TABLE untimed, DESCRIPTOR(at), INTERVAL '1' MINUTE, INTERVAL '1' HOUR))";
    check(&windowed("changes", from, ALL), &expect![[r#""#]]);
    check(&windowed("per_window", from, ALL), &expect![[r#""#]]);
    check(&windowed("changes", from, &format!("{ALL} EMIT ON WINDOW CLOSE")), &expect![[r#""#]]);
}

#[test]
fn a_group_without_the_end_of_its_window_never_closes() {
    let query = windowed("per_window", "TUMBLE(bid, date_time, INTERVAL '10' SECOND)", "GROUP BY window_start, auction");
    check(&query.replace("window_start, window_end, auction, count", "window_start, window_start, auction, count"), &expect![[r#""#]]);
}

#[test]
fn changes_of_windows_need_a_table_that_takes_them() {
    let from = "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))";
    check(&windowed("per_window", from, &format!("{ALL} EMIT CHANGES")), &expect![[r#""#]]);
}

#[test]
fn mistakes_in_arguments() {
    for (from, expected) in [
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(datetime), INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(price), INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bit, DESCRIPTOR(date_time), INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), '10 seconds'))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '1' MONTH))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time)))", expect![[r#""#]]),
        ("TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '3' SECOND, INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '0.001' SECOND, INTERVAL '1' DAY))", expect![[r#""#]]),
        ("TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(date_time), SIZ => INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), SIZE => INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(SESSION(TABLE bid PARTITION BY auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND))", expect![[r#""#]]),
        ("TABLE(TUMBEL(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))", expect![[r#""#]]),
    ] {
        check(&windowed("per_window", from, ALL), &expected);
    }
}
