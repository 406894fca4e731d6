//! Mistakes outside of CREATE TABLE, as they are shown.

use super::seen;
use expect_test::expect;

#[test]
fn a_misspelt_clause() {
    expect![[r#"
        q.sql:3:1: `FORM` is not a word of SQL that can stand here
          3 | FORM bid
            | ^^^^
          next: did you mean `FROM`?
    "#]]
    .assert_eq(&seen(
        r#"INSERT INTO out
SELECT auction, price
FORM bid
WHERE price > 100"#,
    ));
}

#[test]
fn another_misspelt_clause() {
    expect![[r#"
        q.sql:1:41: `WHER` is not a word of SQL that can stand here
          1 | INSERT INTO out SELECT auction FROM bid WHER price > 100
            |                                         ^^^^
          next: did you mean `WHERE`?
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT auction FROM bid WHER price > 100"#));
}

#[test]
fn a_comma_too_many() {
    expect![[r#"
        q.sql:1:38: there is a comma too many before `FROM`
          1 | INSERT INTO out SELECT auction, price, FROM bid
            |                                      ^
          next: take the comma away
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT auction, price, FROM bid"#));
}

#[test]
fn a_mistake_in_a_query_in_from() {
    expect![[r#"
        q.sql:3:35: expected `)`, but here is `GROUP`
          3 |   SELECT max(price) AS m FROM bid GROUP auction
            |                                   ^^^^^
    "#]]
    .assert_eq(&seen(
        r#"INSERT INTO out
SELECT m FROM (
  SELECT max(price) AS m FROM bid GROUP auction
) AS t"#,
    ));
}

#[test]
fn a_parenthesis_too_few() {
    expect![[r#"
        q.sql:1:34: expected `)`, but here is `FROM`
          1 | INSERT INTO out SELECT max(price FROM bid
            |                                  ^^^^
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT max(price FROM bid"#));
}

#[test]
fn a_parenthesis_that_is_not_closed() {
    expect![[r#"
        q.sql:1:41: this `(` is never closed
          1 | INSERT INTO out SELECT a FROM bid WHERE (a > 1
            |                                         ^
          next: add the `)`
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT a FROM bid WHERE (a > 1"#));
}

#[test]
fn a_parenthesis_too_many() {
    expect![[r#"
        q.sql:1:46: this `)` closes nothing
          1 | INSERT INTO out SELECT a FROM bid WHERE a > 1)
            |                                              ^
          next: take it away, or add the `(` that it closes
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT a FROM bid WHERE a > 1)"#));
}

#[test]
fn a_query_that_breaks_off() {
    expect![[r#"
        q.sql:1:40: expected an expression, but the statement ends here
          1 | INSERT INTO out SELECT a FROM bid WHERE
            |                                        ^
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT a FROM bid WHERE"#));
}

#[test]
fn a_string_that_does_not_end() {
    expect![[r#"
        q.sql:2:24: this string does not end
          2 | INSERT INTO out SELECT 'a FROM bid;
            |                        ^
          next: close it with `'`; a quote inside of it is written `''`
    "#]]
    .assert_eq(&seen(
        r#"SHOW TABLES;
INSERT INTO out SELECT 'a FROM bid;
SHOW VIEWS"#,
    ));
}

#[test]
fn a_comment_that_does_not_end() {
    expect![[r#"
        q.sql:1:14: this comment does not end
          1 | SHOW TABLES; /* SELECT
            |              ^
          next: close it with `*/`
    "#]]
    .assert_eq(&seen(r#"SHOW TABLES; /* SELECT"#));
}

#[test]
fn quotes_of_a_word_processor() {
    expect![[r#"
        q.sql:1:24: the character `‘` has no meaning here
          1 | INSERT INTO out SELECT ‘a’ FROM bid
            |                        ^
          next: strings are quoted by `'`
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT ‘a’ FROM bid"#));
}

#[test]
fn a_semicolon_too_few() {
    expect![[r#"
        q.sql:2:1: expected `;`, but here is `INSERT`
          2 | INSERT INTO a SELECT x FORM b
            | ^^^^^^
          next: end the statement before it with `;`
        q.sql:2:24: `FORM` is not a word of SQL that can stand here
          2 | INSERT INTO a SELECT x FORM b
            |                        ^^^^
          next: did you mean `FROM`?
    "#]]
    .assert_eq(&seen(
        r#"CREATE TABLE a (x INT)
INSERT INTO a SELECT x FORM b
"#,
    ));
}

#[test]
fn emit_of_another_system() {
    expect![[r#"
        q.sql:1:40: expected CHANGES, ON WINDOW CLOSE or COMPLETE, but here is `FINAL`
          1 | INSERT INTO out SELECT a FROM bid EMIT FINAL;
            |                                        ^^^^^
          next: write EMIT ON WINDOW CLOSE
        q.sql:2:40: expected CHANGES, ON WINDOW CLOSE or COMPLETE, but here is `CHANGE`
          2 | INSERT INTO out SELECT a FROM bid EMIT CHANGE
            |                                        ^^^^^^
    "#]]
    .assert_eq(&seen(
        r#"INSERT INTO out SELECT a FROM bid EMIT FINAL;
INSERT INTO out SELECT a FROM bid EMIT CHANGE"#,
    ));
}

#[test]
fn emit_of_a_view() {
    expect![[r#"
        q.sql:1:36: a view has no EMIT
          1 | CREATE VIEW v AS SELECT a FROM bid EMIT CHANGES
            |                                    ^^^^
          how changes are written is a matter of the table that they go to
          next: write it behind the INSERT that reads the view
    "#]]
    .assert_eq(&seen(r#"CREATE VIEW v AS SELECT a FROM bid EMIT CHANGES"#));
}

#[test]
fn a_statement_of_others() {
    expect![[r#"
        q.sql:1:1: DELETE is not supported
          1 | DELETE FROM bid;
            | ^^^^^^
          next: a table is a topic: rows change by records that are written to it
        q.sql:2:1: ALTER is not supported
          2 | ALTER TABLE bid ADD x INT;
            | ^^^^^
          next: change the CREATE TABLE of the script instead
        q.sql:3:1: USE is not supported
          3 | USE CATALOG c;
            | ^^^
          next: take it away: a script has no catalogs, modules and jars
        q.sql:4:8: CREATE STREAM is not supported
          4 | CREATE STREAM s (x INT);
            |        ^^^^^^
          next: write CREATE TABLE: a table is read and written
        q.sql:5:8: CREATE FUNCTION is not supported
          5 | CREATE FUNCTION f AS 'x';
            |        ^^^^^^^^
          functions are code of a program, and a script has none
          next: register it in a program of DataFrames: spark.udf().register(..)
        q.sql:6:8: CREATE TALBE is not supported
          6 | CREATE TALBE t (x INT);
            |        ^^^^^
          next: did you mean TABLE?
        q.sql:7:1: no statement begins with `FOO`
          7 | FOO;
            | ^^^
          next: a script is made of CREATE TABLE, CREATE VIEW, INSERT INTO, EXECUTE STATEMENT SET, SET, RESET, SHOW, DESCRIBE, EXPLAIN and DROP
        q.sql:8:1: expected a statement, but here is `42`
          8 | 42
            | ^^
          next: a script is made of CREATE TABLE, CREATE VIEW, INSERT INTO, EXECUTE STATEMENT SET, SET, RESET, SHOW, DESCRIBE, EXPLAIN and DROP
    "#]].assert_eq(&seen(
        r#"DELETE FROM bid;
ALTER TABLE bid ADD x INT;
USE CATALOG c;
CREATE STREAM s (x INT);
CREATE FUNCTION f AS 'x';
CREATE TALBE t (x INT);
FOO;
42"#,
    ));
}

#[test]
fn an_insert_that_replaces() {
    expect![[r#"
        q.sql:1:8: INSERT OVERWRITE is not supported
          1 | INSERT OVERWRITE out SELECT 1;
            |        ^^^^^^^^^
          what was written to a topic stays
          next: write INSERT INTO
        q.sql:2:8: expected `INTO`, but here is `out`
          2 | INSERT out SELECT 1;
            |        ^^^
        q.sql:3:24: the column `a` is written twice
          3 | INSERT INTO out (a, b, a) SELECT 1, 2, 3;
            |                        ^
          next: take one of them away
        q.sql:4:17: PARTITION is not supported
          4 | INSERT INTO out PARTITION (a = 1) SELECT 1;
            |                 ^^^^^^^^^
          next: write the columns in the query
        q.sql:5:13: expected the name of a table, but here is a string
          5 | INSERT INTO 'out' SELECT 1
            |             ^^^^^
          next: write `"out"` or `out`
    "#]]
    .assert_eq(&seen(
        r#"INSERT OVERWRITE out SELECT 1;
INSERT out SELECT 1;
INSERT INTO out (a, b, a) SELECT 1, 2, 3;
INSERT INTO out PARTITION (a = 1) SELECT 1;
INSERT INTO 'out' SELECT 1"#,
    ));
}

#[test]
fn statement_sets() {
    expect![[r#"
        q.sql:2:26: `FORM` is not a word of SQL that can stand here
          2 |   INSERT INTO a SELECT x FORM b;
            |                          ^^^^
          next: did you mean `FROM`?
        q.sql:3:3: a statement set holds INSERT statements only
          3 |   SELECT 1;
            |   ^^^^^^
          next: write it before BEGIN or behind END
        q.sql:5:1: expected `;`, but here is `END`
          5 | END;
            | ^^^
          next: end the statement before it with `;`
        q.sql:6:5: expected TABLES, VIEWS or FUNCTIONS, but the statement ends here
          6 | SHOW
            |     ^
          next: DESCRIBE table shows the columns of a table
    "#]]
    .assert_eq(&seen(
        r#"EXECUTE STATEMENT SET BEGIN
  INSERT INTO a SELECT x FORM b;
  SELECT 1;
  INSERT INTO c SELECT x FROM b
END;
SHOW"#,
    ));
}

#[test]
fn a_statement_set_without_end() {
    expect![[r#"
        q.sql:1:1: this statement set does not end
          1 | BEGIN STATEMENT SET;
            | ^^^^^
          next: write END; behind its last INSERT
    "#]]
    .assert_eq(&seen(
        r#"BEGIN STATEMENT SET;
INSERT INTO a SELECT x FROM b;"#,
    ));
}

#[test]
fn an_empty_statement_set() {
    expect![[r#"
        q.sql:1:1: this statement set is empty
          1 | EXECUTE STATEMENT SET BEGIN END;
            | ^^^^^^^
          next: write INSERT statements between BEGIN and END
    "#]]
    .assert_eq(&seen(r#"EXECUTE STATEMENT SET BEGIN END;"#));
}

#[test]
fn forms_that_are_not_supported() {
    expect![[r#"
        q.sql:2:17: WITH RECURSIVE is not supported
          2 | INSERT INTO out WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x) SELECT * FROM x;
            |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: write the steps as views, as many as there can be
        q.sql:3:31: TABLESAMPLE is not supported
          3 | INSERT INTO out SELECT * FROM bid TABLESAMPLE (10 PERCENT);
            |                               ^^^
          next: take it away, or filter by the hash of a column
        q.sql:4:17: FOR at the end of a query is not supported
          4 | INSERT INTO out SELECT a FROM bid FOR UPDATE;
            |                 ^^^^^^^^^^^^^^^^^
          next: take it away
        q.sql:5:31: MATCH_RECOGNIZE is not supported
          5 | INSERT INTO out SELECT * FROM bid MATCH_RECOGNIZE (ORDER BY ts MEASURES A.x AS x PATTERN (A) DEFINE A AS x > 1)
            |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: write the pattern as joins within a bound of time
    "#]].assert_eq(&seen(
        r#"INSERT INTO out SELECT * FROM o JOIN r FOR SYSTEM_TIME AS OF o.ts AS r ON o.c = r.c;
INSERT INTO out WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x) SELECT * FROM x;
INSERT INTO out SELECT * FROM bid TABLESAMPLE (10 PERCENT);
INSERT INTO out SELECT a FROM bid FOR UPDATE;
INSERT INTO out SELECT * FROM bid MATCH_RECOGNIZE (ORDER BY ts MEASURES A.x AS x PATTERN (A) DEFINE A AS x > 1)"#,
    ));
}

#[test]
fn hints() {
    expect![[r#"
        q.sql:1:17: hints are not supported
          1 | INSERT INTO out /*+ OPTIONS('sink.parallelism' = '2') */ SELECT 1 FROM bid
            |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          next: write it as an option of the table, or as a comment
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out /*+ OPTIONS('sink.parallelism' = '2') */ SELECT 1 FROM bid"#));
}

#[test]
fn settings() {
    expect![[r#"
        q.sql:1:11: the value of an option is a string in single quotes, a number, TRUE or FALSE
          1 | SET 'a' = b;
            |           ^
          next: write 'b'
        q.sql:2:9: expected `=`, but here is `'b'`
          2 | SET 'a' 'b';
            |         ^^^
        q.sql:3:4: expected the key of a setting, but the statement ends here
          3 | SET
            |    ^
          next: write SET 'key' = 'value'
    "#]]
    .assert_eq(&seen(
        r#"SET 'a' = b;
SET 'a' 'b';
SET"#,
    ));
}

#[test]
fn explain_of_others() {
    expect![[r#"
        q.sql:1:9: EXPLAIN ANALYZE is not supported
          1 | EXPLAIN ANALYZE SELECT 1;
            |         ^^^^^^^
          next: write EXPLAIN, or EXPLAIN LOGICAL, EXPLAIN STREAM or EXPLAIN TOPOLOGY for one plan
        q.sql:2:9: expected SELECT, INSERT or STATEMENT SET, but here is `SHOW`
          2 | EXPLAIN SHOW TABLES;
            |         ^^^^
        q.sql:3:8: expected SELECT, INSERT or STATEMENT SET, but the statement ends here
          3 | EXPLAIN
            |        ^
    "#]]
    .assert_eq(&seen(
        r#"EXPLAIN ANALYZE SELECT 1;
EXPLAIN SHOW TABLES;
EXPLAIN"#,
    ));
}

#[test]
fn a_reserved_word_as_a_name() {
    expect![[r#"
        q.sql:1:32: expected an expression, but here is `FROM`
          1 | INSERT INTO out SELECT a, FROM FROM bid
            |                                ^^^^
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT a, FROM FROM bid"#));
}

#[test]
fn an_unfinished_case() {
    expect![[r#"
        q.sql:1:24: this CASE has no END
          1 | INSERT INTO out SELECT CASE WHEN a > 1 THEN 'x' FROM bid
            |                        ^^^^
          next: write CASE WHEN .. THEN .. ELSE .. END
    "#]]
    .assert_eq(&seen(r#"INSERT INTO out SELECT CASE WHEN a > 1 THEN 'x' FROM bid"#));
}
