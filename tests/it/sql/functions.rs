//! Functions with the names, arguments and results of Flink SQL and Spark.

use super::{driver, input, mistakes};
use expect_test::expect;

/// What expressions over one row give, each as text.
fn values(expressions: &[&str]) -> Vec<String> {
    let list: Vec<String> =
        expressions.iter().enumerate().map(|(at, of)| format!("CAST({of} AS STRING) AS c{at}")).collect();
    let columns: Vec<String> = (0..expressions.len()).map(|at| format!("c{at} STRING")).collect();
    let script = format!(
        "CREATE TABLE t (s STRING, url STRING, j STRING, n BIGINT, ts TIMESTAMP(3), on_day DATE) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json');
         CREATE TABLE out ({}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         INSERT INTO out SELECT {} FROM t;",
        columns.join(", "),
        list.join(", ")
    );
    let row = r#"{"s":"a,bb,,c","url":"https://www.nexmark.com/abo/item.htm?query=1&channel_id=42","j":"{\"a\":{\"b\":[1,\"x\"]},\"c\":true}","n":1796000000,"ts":"2026-03-07T15:04:05.120Z","on_day":"2026-03-07"}"#;
    let written = driver(&script).batch(&input("in", &[row])).unwrap().to_string();
    let value = written.trim_end().splitn(3, " | ").nth(2).unwrap().to_owned();
    let row: serde_json::Value = serde_json::from_str(&value).unwrap();
    let text = |at: usize| row[format!("c{at}")].as_str().map_or("NULL".to_owned(), str::to_owned);
    expressions.iter().enumerate().map(|(at, of)| format!("{of} = {}", text(at))).collect()
}

#[test]
fn functions_of_texts() {
    let given = values(&[
        "SPLIT_INDEX(s, ',', 1)",
        "SPLIT_INDEX(s, ',', 2)",
        "SPLIT_INDEX(s, ',', 9)",
        "SPLIT_INDEX(url, '/', 3)",
        "REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2)",
        "REGEXP_EXTRACT(s, 'b+')",
        "REGEXP_EXTRACT(s, 'x')",
        "REGEXP(s, 'b{2}')",
        "REGEXP_REPLACE(s, ',+', '-', 'g')",
        "count_char(s, ',')",
        "CONCAT_WS('-', s, NULL, 'z')",
        "IF(n > 1, 'large', s)",
        "IF(n < 1, 1 / 0, 7)",
        "JSON_VALUE(j, '$.a.b[1]')",
        "JSON_VALUE(j, 'lax $.a[''b''][0]')",
        "JSON_VALUE(j, '$.c')",
        "JSON_VALUE(j, '$.a')",
        "JSON_VALUE(s, '$.a')",
        "LOWER(UPPER(s))",
        "CHAR_LENGTH(s)",
        "IFNULL(NULL, s)",
        "CASE WHEN lower(s) = 'apple' THEN '0' ELSE SUBSTRING(s, 3, 2) END",
        "MOD(n, 7)",
    ]);
    expect![[r#"
        SPLIT_INDEX(s, ',', 1) = bb
        SPLIT_INDEX(s, ',', 2) = 
        SPLIT_INDEX(s, ',', 9) = NULL
        SPLIT_INDEX(url, '/', 3) = abo
        REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) = 42
        REGEXP_EXTRACT(s, 'b+') = bb
        REGEXP_EXTRACT(s, 'x') = NULL
        REGEXP(s, 'b{2}') = true
        REGEXP_REPLACE(s, ',+', '-', 'g') = a-bb-c
        count_char(s, ',') = 3
        CONCAT_WS('-', s, NULL, 'z') = a,bb,,c-z
        IF(n > 1, 'large', s) = large
        IF(n < 1, 1 / 0, 7) = 7
        JSON_VALUE(j, '$.a.b[1]') = x
        JSON_VALUE(j, 'lax $.a[''b''][0]') = 1
        JSON_VALUE(j, '$.c') = true
        JSON_VALUE(j, '$.a') = NULL
        JSON_VALUE(s, '$.a') = NULL
        LOWER(UPPER(s)) = a,bb,,c
        CHAR_LENGTH(s) = 7
        IFNULL(NULL, s) = a,bb,,c
        CASE WHEN lower(s) = 'apple' THEN '0' ELSE SUBSTRING(s, 3, 2) END = bb
        MOD(n, 7) = 4"#]]
    .assert_eq(&given.join("\n"));
}

#[test]
fn functions_of_times() {
    let given = values(&[
        "DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm')",
        "DATE_FORMAT(on_day, 'EEE d MMM yy')",
        "DATE_FORMAT('2026-03-07 01:02:03', 'HHmmss')",
        "TO_TIMESTAMP('2026-03-07 15:04:05')",
        "TO_TIMESTAMP('07/03/2026 15', 'dd/MM/yyyy HH')",
        "TO_TIMESTAMP('soon')",
        "TO_TIMESTAMP(n)",
        "TO_TIMESTAMP_LTZ(n * 1000, 3)",
        "TO_TIMESTAMP_LTZ(n, 0)",
        "UNIX_TIMESTAMP(ts)",
        "UNIX_TIMESTAMP('2026-03-07 15:04:05')",
        "UNIX_TIMESTAMP('07.03.2026', 'dd.MM.yyyy')",
        "FROM_UNIXTIME(n)",
        "FROM_UNIXTIME(n, 'yyyy/MM')",
        "YEAR(ts)",
        "QUARTER(ts)",
        "MONTH(on_day)",
        "WEEK(ts)",
        "DAYOFYEAR(ts)",
        "DAYOFMONTH(ts)",
        "DAYOFWEEK(ts)",
        "HOUR(ts)",
        "MINUTE(ts)",
        "SECOND(ts)",
        "EXTRACT(HOUR FROM ts)",
        "EXTRACT(DOW FROM ts)",
        "TO_DATE('2026-03-07')",
        "DATE_TRUNC('hour', ts)",
        "ts + INTERVAL '1' DAY",
    ]);
    expect![[r#"
        DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm') = 2026-03-07 15:04
        DATE_FORMAT(on_day, 'EEE d MMM yy') = Sat 7 Mar 26
        DATE_FORMAT('2026-03-07 01:02:03', 'HHmmss') = 010203
        TO_TIMESTAMP('2026-03-07 15:04:05') = 2026-03-07T15:04:05
        TO_TIMESTAMP('07/03/2026 15', 'dd/MM/yyyy HH') = 2026-03-07T15:00:00
        TO_TIMESTAMP('soon') = NULL
        TO_TIMESTAMP(n) = 2026-11-30T00:53:20
        TO_TIMESTAMP_LTZ(n * 1000, 3) = 2026-11-30T00:53:20Z
        TO_TIMESTAMP_LTZ(n, 0) = 2026-11-30T00:53:20Z
        UNIX_TIMESTAMP(ts) = 1772895845
        UNIX_TIMESTAMP('2026-03-07 15:04:05') = 1772895845
        UNIX_TIMESTAMP('07.03.2026', 'dd.MM.yyyy') = 1772841600
        FROM_UNIXTIME(n) = 2026-11-30 00:53:20
        FROM_UNIXTIME(n, 'yyyy/MM') = 2026/11
        YEAR(ts) = 2026
        QUARTER(ts) = 1
        MONTH(on_day) = 3
        WEEK(ts) = 10
        DAYOFYEAR(ts) = 66
        DAYOFMONTH(ts) = 7
        DAYOFWEEK(ts) = 7
        HOUR(ts) = 15
        MINUTE(ts) = 4
        SECOND(ts) = 5
        EXTRACT(HOUR FROM ts) = 15
        EXTRACT(DOW FROM ts) = 6
        TO_DATE('2026-03-07') = 2026-03-07
        DATE_TRUNC('hour', ts) = 2026-03-07T15:00:00
        ts + INTERVAL '1' DAY = 2026-03-08T15:04:05.120"#]]
    .assert_eq(&given.join("\n"));
}

#[test]
fn wrong_arguments_are_told() {
    let of = |expression: &str| {
        mistakes(&format!(
            "CREATE TABLE t (s STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'in', 'format' = 'json');
             CREATE TABLE out (c STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
             INSERT INTO out SELECT {expression} FROM t;"
        ))
    };
    let all = [
        of("SPLIT_INDEX(s, n, 1)"),
        of("DATE_FORMAT(n, 'yyyy')"),
        of("IF(s, 'a', 'b')"),
        of("HOUR(n)"),
        of("CURRENT_TIME"),
        of("UNIX_TIMESTAMP(s, s, s)"),
    ];
    expect![[r#"
        q.sql:3:37: `split_index` does not take (STRING, BIGINT, BIGINT)
          3 |              INSERT INTO out SELECT SPLIT_INDEX(s, n, 1) FROM t;
            |                                     ^^^^^^^^^^^
          next: it is called as split_index(STRING, STRING, BIGINT)
        q.sql:3:37: `date_format` does not take (BIGINT, STRING)
          3 |              INSERT INTO out SELECT DATE_FORMAT(n, 'yyyy') FROM t;
            |                                     ^^^^^^^^^^^
          next: it is called as date_format(TIMESTAMP, STRING)
        q.sql:3:37: `if` does not take (STRING, STRING, STRING)
          3 |              INSERT INTO out SELECT IF(s, 'a', 'b') FROM t;
            |                                     ^^
          next: it is called as if(BOOLEAN, value, value)
        q.sql:3:37: `hour` does not take (BIGINT)
          3 |              INSERT INTO out SELECT HOUR(n) FROM t;
            |                                     ^^^^
          next: it is called as hour(TIMESTAMP) or hour(DATE)
        q.sql:3:37: `current_time` is not supported
          3 |              INSERT INTO out SELECT CURRENT_TIME FROM t;
            |                                     ^^^^^^^^^^^^
          there is no type for a time of day
          next: write CURRENT_TIMESTAMP, and take its parts: HOUR(..), MINUTE(..)
        q.sql:3:37: `unix_timestamp` does not take (STRING, STRING, STRING)
          3 |              INSERT INTO out SELECT UNIX_TIMESTAMP(s, s, s) FROM t;
            |                                     ^^^^^^^^^^^^^^
          next: it is called as unix_timestamp(), unix_timestamp(TIMESTAMP) or unix_timestamp(STRING, STRING)"#]].assert_eq(&all.join("\n"));
}

#[test]
fn functions_of_dates_and_of_the_time_between_two() {
    let given = values(&[
        "TIMESTAMPADD(DAY, 1, ts)",
        "TIMESTAMPADD(MONTH, -1, on_day)",
        "TIMESTAMPDIFF(HOUR, on_day, ts)",
        "TIMESTAMPDIFF(SECOND, ts, '2026-03-07T15:04:00')",
        "DATEADD(WEEK, 2, ts)",
        "DATEDIFF(MINUTE, on_day, ts)",
        "DATEDIFF('2026-04-01', on_day)",
        "DATE_ADD(ts, 30)",
        "DATE_SUB(on_day, 7)",
        "ADD_MONTHS('2026-01-31', 1)",
        "LAST_DAY(on_day)",
        "NEXT_DAY(on_day, 'Mon')",
        "NEXT_DAY(on_day, 'moonday')",
        "WEEKDAY(on_day)",
        "MONTHS_BETWEEN('1997-02-28 10:30:00', '1996-10-30')",
        "ELEMENT_AT(STRING_TO_ARRAY(s, ','), -1)",
        "ELEMENT_AT(MAP(MAKE_ARRAY(s), MAKE_ARRAY(n)), s)",
    ]);
    expect![[r#"
        TIMESTAMPADD(DAY, 1, ts) = 2026-03-08T15:04:05.120
        TIMESTAMPADD(MONTH, -1, on_day) = 2026-02-07T00:00:00
        TIMESTAMPDIFF(HOUR, on_day, ts) = 15
        TIMESTAMPDIFF(SECOND, ts, '2026-03-07T15:04:00') = -5
        DATEADD(WEEK, 2, ts) = 2026-03-21T15:04:05.120
        DATEDIFF(MINUTE, on_day, ts) = 904
        DATEDIFF('2026-04-01', on_day) = 25
        DATE_ADD(ts, 30) = 2026-04-06
        DATE_SUB(on_day, 7) = 2026-02-28
        ADD_MONTHS('2026-01-31', 1) = 2026-02-28
        LAST_DAY(on_day) = 2026-03-31
        NEXT_DAY(on_day, 'Mon') = 2026-03-09
        NEXT_DAY(on_day, 'moonday') = NULL
        WEEKDAY(on_day) = 5
        MONTHS_BETWEEN('1997-02-28 10:30:00', '1996-10-30') = 3.94959677
        ELEMENT_AT(STRING_TO_ARRAY(s, ','), -1) = c
        ELEMENT_AT(MAP(MAKE_ARRAY(s), MAKE_ARRAY(n)), s) = 1796000000"#]]
    .assert_eq(&given.join("\n"));
}
