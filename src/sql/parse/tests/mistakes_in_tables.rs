//! Mistakes in CREATE TABLE, as they are shown.

use super::seen;
use expect_test::expect;

#[test]
fn an_unknown_type_names_the_nearest() {
    expect![[r#"
        q.sql:1:27: there is no type `BIGNIT`
          1 | CREATE TABLE bid (auction BIGNIT, note TEXT, at TIME, x FOO) WITH (connector = 'kafka')
            |                           ^^^^^^
          next: did you mean BIGINT?
        q.sql:1:40: there is no type `TEXT`
          1 | CREATE TABLE bid (auction BIGNIT, note TEXT, at TIME, x FOO) WITH (connector = 'kafka')
            |                                        ^^^^
          next: write STRING
        q.sql:1:49: there is no type `TIME`
          1 | CREATE TABLE bid (auction BIGNIT, note TEXT, at TIME, x FOO) WITH (connector = 'kafka')
            |                                                 ^^^^
          a time of day without its day is no point in time
          next: write INT for milliseconds of the day, or STRING
        q.sql:1:57: there is no type `FOO`
          1 | CREATE TABLE bid (auction BIGNIT, note TEXT, at TIME, x FOO) WITH (connector = 'kafka')
            |                                                         ^^^
          next: the types are BOOLEAN, TINYINT, SMALLINT, INT, INTEGER, BIGINT, FLOAT, DOUBLE, DECIMAL, NUMERIC, STRING, VARCHAR, CHAR, BYTES, VARBINARY, BINARY, DATE, TIMESTAMP, TIMESTAMP_LTZ, ARRAY, MAP, ROW, STRUCT, DEC
    "#]].assert_eq(&seen(
        r#"CREATE TABLE bid (auction BIGNIT, note TEXT, at TIME, x FOO) WITH (connector = 'kafka')"#,
    ));
}

#[test]
fn types_that_hold_too_much() {
    expect![[r#"
        q.sql:1:19: there is no DECIMAL(50, 2)
          1 | CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))
            |                   ^^^^^^^
          a decimal has 1 to 38 digits, and no more of them behind the point
          next: write DECIMAL(38, 2)
        q.sql:1:37: there is no TIMESTAMP(9)
          1 | CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))
            |                                     ^^^^^^^^^
          times are kept in milliseconds or microseconds
          next: write TIMESTAMP(3) or TIMESTAMP(6)
        q.sql:1:53: there is no type that keeps a time zone with each value
          1 | CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))
            |                                                     ^^^^^^^^^
          next: write TIMESTAMP_LTZ(3), a point in time that is shown in UTC
        q.sql:1:88: there are no types without sign
          1 | CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))
            |                                                                                        ^^^^^^^^
          next: write BIGINT, which holds all values of INT UNSIGNED
        q.sql:1:100: there is no DECIMAL(4, 5)
          1 | CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))
            |                                                                                                    ^^^^^^^
          a decimal has 1 to 38 digits, and no more of them behind the point
          next: write DECIMAL(38, 5)
    "#]].assert_eq(&seen(
        r#"CREATE TABLE t (a DECIMAL(50, 2), b TIMESTAMP(9), c TIMESTAMP(3) WITH TIME ZONE, d INT UNSIGNED, e DECIMAL(4, 5))"#,
    ));
}

#[test]
fn nested_types() {
    expect![[r#"
        q.sql:2:22: the field `x` is declared twice
          2 |   a ARRAY<ROW<x INT, x STRING>>,
            |                      ^
          next: give it another name
        q.sql:3:16: expected `,`, but here is `INT`
          3 |   b MAP<STRING INT>,
            |                ^^^
        q.sql:4:14: expected `>`, but here is `,`
          4 |   c ARRAY<INT,
            |              ^
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  a ARRAY<ROW<x INT, x STRING>>,
  b MAP<STRING INT>,
  c ARRAY<INT,
  d ROW<y INT>>,
  e BIGINT
)"#,
    ));
}

#[test]
fn a_column_twice() {
    expect![[r#"
        q.sql:3:3: there are two columns `id`
          3 |   id STRING
            |   ^^
          it is declared in line 2 already
          next: give one of them another name
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  id BIGINT,
  id STRING
)"#,
    ));
}

#[test]
fn a_key_of_no_column() {
    expect![[r#"
        q.sql:1:46: there is no column `auktion` in this table
          1 | CREATE TABLE t (auction BIGINT, PRIMARY KEY (auktion) NOT ENFORCED)
            |                                              ^^^^^^^
          next: did you mean `auction`?
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (auction BIGINT, PRIMARY KEY (auktion) NOT ENFORCED)"#));
}

#[test]
fn a_key_that_would_be_enforced() {
    expect![[r#"
        q.sql:1:27: a primary key must be NOT ENFORCED
          1 | CREATE TABLE t (id BIGINT PRIMARY KEY, name STRING)
            |                           ^^^^^^^
          the key says which row a record is the new value of; that keys differ is not checked
          next: write NOT ENFORCED behind it
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (id BIGINT PRIMARY KEY, name STRING)"#));
}

#[test]
fn a_key_of_a_computed_column() {
    expect![[r#"
        q.sql:1:49: `b` can't be part of the key: it is computed
          1 | CREATE TABLE t (a INT, b AS a + 1, PRIMARY KEY (b) NOT ENFORCED)
            |                                                 ^
          next: name columns that are fields of the record
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (a INT, b AS a + 1, PRIMARY KEY (b) NOT ENFORCED)"#));
}

#[test]
fn two_keys() {
    expect![[r#"
        q.sql:1:56: there are two primary keys
          1 | CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, b INT, PRIMARY KEY (a, b) NOT ENFORCED)
            |                                                        ^^^^^^^
          next: write PRIMARY KEY (a, b) NOT ENFORCED once, with all columns of the key
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, b INT, PRIMARY KEY (a, b) NOT ENFORCED)"#,
    ));
}

#[test]
fn metadata_that_is_not_there() {
    expect![[r#"
        q.sql:2:26: there is no metadata `ofset`
          2 |   k BIGINT METADATA FROM 'ofset',
            |                          ^^^^^^^
          next: did you mean `offset`?
        q.sql:3:5: the metadata 'headers' is MAP<STRING, BYTES>, not STRING
          3 |   h STRING METADATA FROM 'headers',
            |     ^^^^^^
          next: write MAP<STRING, BYTES>
        q.sql:4:3: there is no metadata `place`
          4 |   place INT METADATA,
            |   ^^^^^
          next: the keys are 'topic', 'partition', 'offset', 'timestamp' and 'headers'; write METADATA FROM 'key'
        q.sql:5:5: the metadata 'partition' is INT or BIGINT, not STRING
          5 |   p STRING METADATA FROM 'partition'
            |     ^^^^^^
          next: write INT or BIGINT
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  k BIGINT METADATA FROM 'ofset',
  h STRING METADATA FROM 'headers',
  place INT METADATA,
  p STRING METADATA FROM 'partition'
)"#,
    ));
}

#[test]
fn a_watermark_of_no_column() {
    expect![[r#"
        q.sql:1:48: there is no column `tz` in this table
          1 | CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR tz AS tz - INTERVAL '5' SECOND)
            |                                                ^^
          next: did you mean `ts`?
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR tz AS tz - INTERVAL '5' SECOND)"#));
}

#[test]
fn a_watermark_of_a_number() {
    expect![[r#"
        q.sql:1:42: event time is a TIMESTAMP, and `ts` is BIGINT
          1 | CREATE TABLE t (ts BIGINT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
            |                                          ^^
          next: declare `ts TIMESTAMP(3)` (milliseconds since 1970 are read as well), or compute a column from it
    "#]].assert_eq(&seen(
        r#"CREATE TABLE t (ts BIGINT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)"#,
    ));
}

#[test]
fn a_watermark_of_another_form() {
    expect![[r#"
        q.sql:1:54: a watermark is `ts`, or `ts` less an interval
          1 | CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts + INTERVAL '5' SECOND)
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^
          any other expression could go back in time, or wait for ever
          next: write `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND`
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts + INTERVAL '5' SECOND)"#));
}

#[test]
fn a_watermark_of_months() {
    expect![[r#"
        q.sql:1:54: an interval in `month` has no fixed length
          1 | CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MONTH)
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^
          months and years differ in their days
          next: write it in days, such as INTERVAL '30' DAY
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MONTH)"#));
}

#[test]
fn a_watermark_of_odd_lengths() {
    expect![[r#"
        q.sql:1:54: the delay of a watermark is negative
          1 | CREATE TABLE a (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '-5' SECOND);
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^
          a watermark never promises that times to come are past
          next: write the interval without `-`
        q.sql:2:54: an interval is a number with a unit
          2 | CREATE TABLE b (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5');
            |                                                      ^^^^^^^^^^^^^^^^^
          next: write, for instance, INTERVAL '90' SECOND
        q.sql:3:54: this interval is no whole number of milliseconds
          3 | CREATE TABLE c (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.0001' SECOND);
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: round it
        q.sql:4:54: an interval here has one unit
          4 | CREATE TABLE d (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1:30' MINUTE TO SECOND);
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: write, for instance, INTERVAL '90' SECOND
        q.sql:5:54: `parsecs` is no unit of time
          5 | CREATE TABLE e (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5 parsecs')
            |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^
          next: the units are MILLISECOND, SECOND, MINUTE, HOUR, DAY and WEEK
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE a (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '-5' SECOND);
CREATE TABLE b (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5');
CREATE TABLE c (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.0001' SECOND);
CREATE TABLE d (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1:30' MINUTE TO SECOND);
CREATE TABLE e (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5 parsecs')"#,
    ));
}

#[test]
fn a_watermark_without_its_delay() {
    expect![[r#"
        q.sql:1:50: expected `AS`, but here is `)`
          1 | CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts)
            |                                                  ^
          next: write `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND`
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts)"#));
}

#[test]
fn two_watermarks() {
    expect![[r#"
        q.sql:1:58: there are two watermarks
          1 | CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts)
            |                                                          ^^^^^^^^^^^^^^^^^^^^^^
          a table has one event time
          next: take one of them away
    "#]]
    .assert_eq(&seen(r#"CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts)"#));
}

#[test]
fn options_that_are_no_text() {
    expect![[r#"
        q.sql:2:17: the value of an option is a string in single quotes, a number, TRUE or FALSE
          2 |   'connector' = kafka,
            |                 ^^^^^
          next: write 'kafka'
        q.sql:3:13: the value of an option is a string in single quotes, a number, TRUE or FALSE
          3 |   'topic' = "bids",
            |             ^^^^^^
          next: write 'bids'
        q.sql:4:12: expected `=`, but here is `'json'`
          4 |   'format' 'json',
            |            ^^^^^^
        q.sql:6:3: the option `format` is given twice
          6 |   format = 'csv'
            |   ^^^^^^
          it is `json` in line 5
          next: take one of them away
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (a INT) WITH (
  'connector' = kafka,
  'topic' = "bids",
  'format' 'json',
  'format' = 'json',
  format = 'csv'
)"#,
    ));
}

#[test]
fn a_comma_too_many() {
    expect![[r#"
        q.sql:3:11: there is a comma too many before `)`
          3 |   b STRING,
            |           ^
          next: take the comma away
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  a INT,
  b STRING,
) WITH (connector = 'kafka')"#,
    ));
}

#[test]
fn a_comma_too_few() {
    expect![[r#"
        q.sql:3:3: expected `,` or `)`, but here is `b`
          3 |   b STRING,
            |   ^
        q.sql:4:5: there is no type `TXET`
          4 |   c TXET
            |     ^^^^
          next: did you mean STRING?
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  a INT
  b STRING,
  c TXET
) WITH (connector = 'kafka')"#,
    ));
}

#[test]
fn a_parenthesis_too_few() {
    expect![[r#"
        q.sql:1:16: this `(` is never closed
          1 | CREATE TABLE t (
            |                ^
          next: add the `)`
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE t (
  a INT,
  b DECIMAL(10, 2
);
SELECT 1"#,
    ));
}

#[test]
fn clauses_of_others() {
    expect![[r#"
        q.sql:1:23: DEFAULT is not supported for a column
          1 | CREATE TABLE a (x INT DEFAULT 0, UNIQUE (x));
            |                       ^^^^^^^
          next: take it away
        q.sql:1:34: UNIQUE is not supported in a table
          1 | CREATE TABLE a (x INT DEFAULT 0, UNIQUE (x));
            |                                  ^^^^^^
          next: declare columns, a WATERMARK and a PRIMARY KEY only
        q.sql:2:24: DISTRIBUTED BY is not supported
          2 | CREATE TABLE b (x INT) DISTRIBUTED BY (x);
            |                        ^^^^^^^^^^^
          rows are written by the key of the table
          next: take it away
        q.sql:3:17: LIKE is not supported in a table
          3 | CREATE TABLE c (LIKE a);
            |                 ^^^^
          next: declare columns, a WATERMARK and a PRIMARY KEY only
        q.sql:4:24: LIKE is not supported
          4 | CREATE TABLE d (x INT) LIKE a;
            |                        ^^^^
          next: write the columns of the other table here
        q.sql:5:24: CREATE TABLE .. AS SELECT is not supported
          5 | CREATE TABLE e (x INT) AS SELECT 1;
            |                        ^^
          next: declare the columns, then write INSERT INTO .. SELECT
        q.sql:6:16: expected `(` and the columns of the table, but here is `AS`
          6 | CREATE TABLE f AS SELECT 1;
            |                ^^
        q.sql:7:17: the name of a table has one part only
          7 | CREATE TABLE cat.db.g (x INT)
            |                 ^
          there are no catalogs and no databases; the tables of a script are its own
          next: leave out what stands before the last name
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE a (x INT DEFAULT 0, UNIQUE (x));
CREATE TABLE b (x INT) DISTRIBUTED BY (x);
CREATE TABLE c (LIKE a);
CREATE TABLE d (x INT) LIKE a;
CREATE TABLE e (x INT) AS SELECT 1;
CREATE TABLE f AS SELECT 1;
CREATE TABLE cat.db.g (x INT)"#,
    ));
}

#[test]
fn mistakes_of_all_statements() {
    expect![[r#"
        q.sql:1:19: there is no type `BIGNIT`
          1 | CREATE TABLE a (x BIGNIT, y INT, y INT);
            |                   ^^^^^^
          next: did you mean BIGINT?
        q.sql:1:34: there are two columns `y`
          1 | CREATE TABLE a (x BIGNIT, y INT, y INT);
            |                                  ^
          it is declared in line 1 already
          next: give one of them another name
        q.sql:2:28: expected a name, but the statement ends here
          2 | INSERT INTO b SELECT x FROM;
            |                            ^
        q.sql:3:6: expected TABLES, VIEWS or FUNCTIONS, but here is `TABELS`
          3 | SHOW TABELS;
            |      ^^^^^^
          next: DESCRIBE table shows the columns of a table
        q.sql:5:1: no statement begins with `CRAETE`
          5 | CRAETE TABLE c (x INT)
            | ^^^^^^
          next: did you mean CREATE?
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE a (x BIGNIT, y INT, y INT);
INSERT INTO b SELECT x FROM;
SHOW TABELS;
CREATE VIEW v AS SELECT 1;
CRAETE TABLE c (x INT)"#,
    ));
}
