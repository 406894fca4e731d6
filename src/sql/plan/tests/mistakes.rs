//! Mistakes as users see them.

use super::check;
use expect_test::expect;

#[test]
fn an_unknown_table() {
    check(
        "INSERT INTO words\nSELECT line, 1 FROM line",
        &expect![[r#"
        q.sql:2:21: there is no table or view `line`
          2 | SELECT line, 1 FROM line
            |                     ^^^^
          next: did you mean `lines`?"#]],
    );
}

#[test]
fn an_unknown_column() {
    check(
        "INSERT INTO words SELECT chanel, pric FROM bid",
        &expect![[r#"
        q.sql:1:26: there is no column `chanel` in `bid`
          1 | INSERT INTO words SELECT chanel, pric FROM bid
            |                          ^^^^^^
          next: did you mean `channel`?"#]],
    );
}

#[test]
fn an_unknown_column_of_a_table() {
    check(
        "INSERT INTO words SELECT b.channel, b.prize_money FROM bid AS b",
        &expect![[r#"
        q.sql:1:37: there is no column `prize_money` in `b`
          1 | INSERT INTO words SELECT b.channel, b.prize_money FROM bid AS b
            |                                     ^^^^^^^^^^^^^
          next: there are: `auction`, `bidder`, `price`, `channel`, `url`, `date_time`, `extra`"#]],
    );
}

#[test]
fn an_unknown_alias() {
    check(
        "INSERT INTO words SELECT c.channel, 1 FROM bid AS b",
        &expect![[r#"
        q.sql:1:26: there is no table `c` in this FROM
          1 | INSERT INTO words SELECT c.channel, 1 FROM bid AS b
            |                          ^^^^^^^^^
          next: its columns are those of `b`"#]],
    );
}

#[test]
fn an_unknown_function() {
    check(
        "INSERT INTO words SELECT lowr(line), 1 FROM lines",
        &expect![[r#"
        q.sql:1:26: there is no function `lowr`
          1 | INSERT INTO words SELECT lowr(line), 1 FROM lines
            |                          ^^^^
          next: did you mean `lower`?"#]],
    );
}

#[test]
fn a_function_of_another_dialect() {
    check(
        "INSERT INTO words SELECT len(line), 1 FROM lines",
        &expect![[r#"
        q.sql:1:26: there is no function `len`
          1 | INSERT INTO words SELECT len(line), 1 FROM lines
            |                          ^^^
          next: did you mean `length`?"#]],
    );
}

#[test]
fn wrong_arguments() {
    check(
        "INSERT INTO words SELECT substr(price), 1 FROM bid",
        &expect![[r#"
        q.sql:1:33: `substr` does not take (BIGINT)
          1 | INSERT INTO words SELECT substr(price), 1 FROM bid
            |                                 ^^^^^
          next: it is called as substr(str, start_pos[, length])"#]],
    );
}

#[test]
fn wrong_types() {
    check(
        "INSERT INTO words SELECT channel, price + channel FROM bid",
        &expect![[r#"
        q.sql:1:35: `+` does not take BIGINT and STRING
          1 | INSERT INTO words SELECT channel, price + channel FROM bid
            |                                   ^^^^^^^^^^^^^^^
          next: convert one of them: CAST(.. AS ..)"#]],
    );
}

#[test]
fn types_that_cannot_be_compared() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE date_time > price AND price > 3",
        &expect![[r#"
            q.sql:1:56: TIMESTAMP(3) cannot be compared with BIGINT
              1 | INSERT INTO words SELECT channel, price FROM bid WHERE date_time > price AND price > 3
                |                                                        ^^^^^^^^^^^^^^^^^
              next: convert one of them: CAST(.. AS ..)"#]],
    );
}

#[test]
fn a_condition_that_is_none() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE price",
        &expect![[r#"
        q.sql:1:56: WHERE needs a condition, but this is BIGINT
          1 | INSERT INTO words SELECT channel, price FROM bid WHERE price
            |                                                        ^^^^^
          next: compare it with something"#]],
    );
}

#[test]
fn an_aggregate_in_where() {
    check(
        "INSERT INTO screen SELECT channel, sum(price) FROM bid WHERE sum(price) > 10 GROUP BY channel",
        &expect![[r#"
            q.sql:1:62: the aggregate `sum` cannot stand in WHERE
              1 | INSERT INTO screen SELECT channel, sum(price) FROM bid WHERE sum(price) > 10 GROUP BY channel
                |                                                              ^^^
              WHERE chooses rows before they are grouped
              next: write HAVING behind GROUP BY, or sum(..) FILTER (WHERE ..)"#]],
    );
}

#[test]
fn not_in_group_by() {
    check(
        "INSERT INTO counts SELECT channel, price FROM bid GROUP BY channel",
        &expect![[r#"
        q.sql:1:36: column `price` is not in GROUP BY
          1 | INSERT INTO counts SELECT channel, price FROM bid GROUP BY channel
            |                                    ^^^^^
          a group has many rows, and each may have another value of it
          next: add it to GROUP BY, or take one value of the group: max(price)"#]],
    );
}

#[test]
fn not_in_group_by_of_a_view() {
    check(
        "CREATE VIEW v AS SELECT channel, bidder + 1 AS b, count(*) AS n FROM bid GROUP BY channel",
        &expect![[r#"
            q.sql:1:34: column `bidder` is not in GROUP BY
              1 | CREATE VIEW v AS SELECT channel, bidder + 1 AS b, count(*) AS n FROM bid GROUP BY channel
                |                                  ^^^^^^
              a group has many rows, and each may have another value of it
              next: add it to GROUP BY, or take one value of the group: max(bidder)"#]],
    );
}

#[test]
fn an_aggregate_of_an_aggregate_call() {
    check(
        "INSERT INTO screen SELECT channel, max(sum(price)) FROM bid GROUP BY channel",
        &expect![[r#"
        q.sql:1:40: the aggregate `sum` cannot stand inside of `max`
          1 | INSERT INTO screen SELECT channel, max(sum(price)) FROM bid GROUP BY channel
            |                                        ^^^
          one SELECT groups once
          next: compute the inner one in a query in FROM, or in a view"#]],
    );
}

#[test]
fn an_aggregate_without_state() {
    check(
        "INSERT INTO screen SELECT channel, approx_distinct(bidder) FROM bid GROUP BY channel",
        &expect![[r#"
            q.sql:1:36: the aggregate `approx_distinct` is not supported
              1 | INSERT INTO screen SELECT channel, approx_distinct(bidder) FROM bid GROUP BY channel
                |                                    ^^^^^^^^^^^^^^^
              what it keeps of a group has no durable form yet
              next: write count(DISTINCT ..), which is exact"#]],
    );
}

#[test]
fn too_few_columns() {
    check(
        "INSERT INTO words SELECT channel FROM bid",
        &expect![[r#"
        q.sql:1:19: the query gives 1 column, and table `words` has 2
          1 | INSERT INTO words SELECT channel FROM bid
            |                   ^^^^^^
          columns are matched by position, not by name: (word, n)
          next: give one value for each, or say which: INSERT INTO words (..) SELECT .."#]],
    );
}

#[test]
fn an_unknown_target_column() {
    check(
        "INSERT INTO words (wrd, n) SELECT channel, price FROM bid",
        &expect![[r#"
        q.sql:1:20: table `words` has no column `wrd`
          1 | INSERT INTO words (wrd, n) SELECT channel, price FROM bid
            |                    ^^^
          next: did you mean `word`?"#]],
    );
}

#[test]
fn a_target_column_twice() {
    check(
        "INSERT INTO words (n, n) SELECT price, price + 1 FROM bid",
        &expect![[r#"
        q.sql:1:23: the column `n` is written twice
          1 | INSERT INTO words (n, n) SELECT price, price + 1 FROM bid
            |                       ^
          next: take one of them away"#]],
    );
}

#[test]
fn an_unknown_target() {
    check(
        "INSERT INTO word SELECT channel, price FROM bid",
        &expect![[r#"
        q.sql:1:13: there is no table or view `word`
          1 | INSERT INTO word SELECT channel, price FROM bid
            |             ^^^^
          next: did you mean `words`?"#]],
    );
}

#[test]
fn a_view_as_target() {
    check(
        "CREATE VIEW v AS SELECT line FROM lines; INSERT INTO v SELECT line FROM lines",
        &expect![[r#"
        q.sql:1:54: `v` is a view, and only tables can be written to
          1 | CREATE VIEW v AS SELECT line FROM lines; INSERT INTO v SELECT line FROM lines
            |                                                      ^"#]],
    );
}

#[test]
fn a_type_that_needs_a_cast() {
    check(
        "INSERT INTO words SELECT channel, price * 0.5 FROM bid",
        &expect![[r#"
        q.sql:1:35: column `n` of table `words` is BIGINT, and the query gives DECIMAL(22, 1)
          1 | INSERT INTO words SELECT channel, price * 0.5 FROM bid
            |                                   ^^^^^^^^^^^
          next: convert it: CAST(.. AS BIGINT)"#]],
    );
}

#[test]
fn a_required_column_without_a_value() {
    check(
        "INSERT INTO counts (n) SELECT price FROM bid",
        &expect![[r#"
        q.sql:1:13: no value for column `word` of table `counts`
          1 | INSERT INTO counts (n) SELECT price FROM bid
            |             ^^^^^^
          it is part of the PRIMARY KEY
          next: add it to the columns of INSERT and to the query"#]],
    );
}

#[test]
fn a_null_for_a_key() {
    check(
        "INSERT INTO counts SELECT NULL, price FROM bid",
        &expect![[r#"
        q.sql:1:27: NULL for column `word` of table `counts`, which is NOT NULL
          1 | INSERT INTO counts SELECT NULL, price FROM bid
            |                           ^^^^"#]],
    );
}

#[test]
fn changes_for_a_table_that_grows() {
    check(
        "INSERT INTO words\n  SELECT channel, count(*) FROM bid GROUP BY channel",
        &expect![[r#"
        q.sql:1:13: rows of this query change later, and table `words` only takes new rows
          1 | INSERT INTO words
            |             ^^^^^
          `count(*)` of a group changes with each new row
          next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (word) NOT ENFORCED"#]],
    );
}

#[test]
fn another_key() {
    check(
        "CREATE TABLE days (auction BIGINT, day DATE, n BIGINT, PRIMARY KEY (auction) NOT ENFORCED)\n  WITH ('connector' = 'upsert-kafka', 'topic' = 'd', 'key.format' = 'json', 'value.format' = 'json');\nINSERT INTO days SELECT auction, CAST(date_time AS DATE), count(*) FROM bid GROUP BY auction, CAST(date_time AS DATE)",
        &expect![[r#"
            q.sql:3:13: one row of this query is known by (auction, day); PRIMARY KEY (auction) would overwrite
              3 | INSERT INTO days SELECT auction, CAST(date_time AS DATE), count(*) FROM bid GROUP BY auction, CAST(date_time AS DATE)
                |             ^^^^
              next: declare PRIMARY KEY (auction, day) NOT ENFORCED for table `days`"#]],
    );
}

#[test]
fn a_key_that_is_lost() {
    check(
        "INSERT INTO counts SELECT lower(channel), count(*) FROM bid GROUP BY channel",
        &expect![[r#"
            q.sql:1:13: no columns of this query say which row a change is of
              1 | INSERT INTO counts SELECT lower(channel), count(*) FROM bid GROUP BY channel
                |             ^^^^^^
              PRIMARY KEY (word) of table `counts` would mix changes of several rows
              next: keep the columns of GROUP BY or PARTITION BY, and the number of a row, as they are among the columns of the query"#]],
    );
}

#[test]
fn complete_for_rows_that_grow() {
    check(
        "INSERT INTO screen SELECT channel, price FROM bid EMIT COMPLETE",
        &expect![[r#"
        q.sql:1:51: mode complete for rows that only grow
          1 | INSERT INTO screen SELECT channel, price FROM bid EMIT COMPLETE
            |                                                   ^^^^^^^^^^^^^
          each batch would write all rows since the beginning again
          next: group the rows, or leave the mode out"#]],
    );
}

#[test]
fn order_by() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price",
        &expect![[r#"
            q.sql:1:59: ORDER BY over rows that never end
              1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price
                |                                                           ^^^^^
              a stream has no end to sort by
              next: add LIMIT, or leave ORDER BY out; a table WITH ('connector' = 'console', 'output_mode' = 'complete') shows all rows in order"#]],
    );
}

#[test]
fn the_clock() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE date_time > now() - INTERVAL '1' HOUR",
        &expect![[r#"
            q.sql:1:68: `now` cannot stand in a condition
              1 | INSERT INTO words SELECT channel, price FROM bid WHERE date_time > now() - INTERVAL '1' HOUR
                |                                                                    ^^^
              rows would have to leave the answer as time passes, without any input
              next: group by windows of a column with WATERMARK, or join within bounds of time"#]],
    );
}

#[test]
fn the_clock_without_parentheses() {
    check(
        "INSERT INTO out_bid SELECT auction, bidder, price, CURRENT_TIMESTAMP FROM bid",
        &expect![[r#"
            Sink out_bid: auction, bidder, price, date_time (append)
              Calc: auction, bidder, CAST(price AS Decimal128(23, 3)) AS price, CAST(now() AS Timestamp(Millisecond, None)) AS date_time
                  rows: only added
                Source bid: auction, bidder, price
                    rows: only added
        "#]],
    );
}

#[test]
fn random_below_an_aggregate() {
    check(
        "CREATE VIEW sample AS SELECT channel FROM bid WHERE random() < 0.1;\nINSERT INTO counts SELECT channel, count(*) FROM sample GROUP BY channel",
        &expect![[r#"
            q.sql:1:53: `random` cannot stand below an aggregate
              1 | CREATE VIEW sample AS SELECT channel FROM bid WHERE random() < 0.1;
                |                                                     ^^^^^^
              a change could not be taken back, as the function gives another value each time
              next: compute it in the last query, from rows that only grow"#]],
    );
}

#[test]
fn random_over_changes() {
    check(
        "INSERT INTO counts SELECT channel, n FROM (SELECT channel, count(*) AS n FROM bid GROUP BY channel) WHERE random() < 0.1",
        &expect![[r#"
            q.sql:1:107: `random` cannot stand below an aggregate
              1 | INSERT INTO counts SELECT channel, n FROM (SELECT channel, count(*) AS n FROM bid GROUP BY channel) WHERE random() < 0.1
                |                                                                                                           ^^^^^^
              a change could not be taken back, as the function gives another value each time
              next: compute it in the last query, from rows that only grow"#]],
    );
}

#[test]
fn a_join_without_equality() {
    check(
        "INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction < b.auction",
        &expect![[r#"
            q.sql:1:64: a join without an equality
              1 | INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction < b.auction
                |                                                                ^^^^^^^^
              each row would meet every row of the other side, and all of them would be kept
              next: add a condition such as a.id = b.id"#]],
    );
    check(
        "INSERT INTO words SELECT line, price FROM lines, bid",
        &expect![[r#"
        q.sql:1:50: a join without an equality
          1 | INSERT INTO words SELECT line, price FROM lines, bid
            |                                                  ^^^
          each row would meet every row of the other side, and all of them would be kept
          next: add a condition such as a.id = b.id"#]],
    );
    check(
        "INSERT INTO words SELECT channel, n FROM bid CROSS JOIN (SELECT count(*) AS n FROM lines) AS l",
        &expect![[r#"
            q.sql:1:58: a join without an equality
              1 | INSERT INTO words SELECT channel, n FROM bid CROSS JOIN (SELECT count(*) AS n FROM lines) AS l
                |                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              each change of the one row would touch every row of the other side
              next: join by a column that both sides have, such as that of a GROUP BY"#]],
    );
}

#[test]
fn an_outer_join_that_never_ends() {
    check(
        "INSERT INTO words SELECT a.channel, b.price FROM bid AS a LEFT JOIN bid AS b ON a.auction = b.bidder",
        &expect![[r#"
            q.sql:1:13: rows of this query change later, and table `words` only takes new rows
              1 | INSERT INTO words SELECT a.channel, b.price FROM bid AS a LEFT JOIN bid AS b ON a.auction = b.bidder
                |             ^^^^^
              that a row has no partner is only known when time has passed
              next: add a bound of time, a.ts BETWEEN b.ts - INTERVAL .. AND b.ts + INTERVAL .., and WATERMARK to both tables"#]],
    );
}

#[test]
fn a_condition_of_a_join() {
    check(
        "INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction = b.channel AND b.prize > 1",
        &expect![[r#"
            q.sql:1:102: there is no column `prize` in `b`
              1 | INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction = b.channel AND b.prize > 1
                |                                                                                                      ^^^^^^^
              next: did you mean `price`?"#]],
    );
    check(
        "INSERT INTO words SELECT channel, a.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction",
        &expect![[r#"
            q.sql:1:26: column `channel` is in more than one table
              1 | INSERT INTO words SELECT channel, a.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction
                |                          ^^^^^^^
              next: write `a.channel` or `b.channel`"#]],
    );
    check(
        "INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction AND random() < 0.5",
        &expect![[r#"
            q.sql:1:102: `random` cannot stand below a join
              1 | INSERT INTO words SELECT a.channel, b.price FROM bid AS a JOIN bid AS b ON a.auction = b.auction AND random() < 0.5
                |                                                                                                      ^^^^^^
              a change could not be taken back, as the function gives another value each time
              next: compute it in the last query, from rows that only grow"#]],
    );
}

#[test]
fn not_in() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE channel NOT IN (SELECT line FROM lines)",
        &expect![[r#"
            q.sql:1:72: NOT IN over columns that can be NULL is not supported
              1 | INSERT INTO words SELECT channel, price FROM bid WHERE channel NOT IN (SELECT line FROM lines)
                |                                                                        ^^^^^^
              one NULL in the subquery would take away all rows, and each row would have to know of it
              next: write NOT EXISTS (SELECT .. WHERE a = b), or declare the columns NOT NULL"#]],
    );
}

#[test]
fn a_subquery() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE price > (SELECT avg(price) FROM bid)",
        &expect![[r#"
            q.sql:1:65: a query inside of an expression is not supported
              1 | INSERT INTO words SELECT channel, price FROM bid WHERE price > (SELECT avg(price) FROM bid)
                |                                                                 ^^^^^^
              each change of its answer would touch every row that was compared with it
              next: join with a query that is grouped by a column of both"#]],
    );
}

#[test]
fn in_a_subquery() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE channel IN (SELECT line FROM lines)",
        &expect![[r#"
            Sink words: channel AS word, price AS n (append)
              Join words.join: rows of the first input with a partner, channel = line
                  rows: only added
                  state: all rows of the first input, by (channel), kept for ever
                  state: how many rows of the second input have each (line), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: price, channel
                    rows: only added
                  Source bid: price, channel
                      rows: only added
                Calc: line
                    rows: only added
                  Source lines: line
                      rows: only added
        "#]],
    );
}

#[test]
fn recursion() {
    check(
        "INSERT INTO words WITH RECURSIVE r AS (SELECT line FROM lines UNION ALL SELECT line FROM r) SELECT line, 1 FROM r",
        &expect![[r#"
            q.sql:1:19: WITH RECURSIVE is not supported
              1 | INSERT INTO words WITH RECURSIVE r AS (SELECT line FROM lines UNION ALL SELECT line FROM r) SELECT line, 1 FROM r
                |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              next: write the steps as views, as many as there can be"#]],
    );
}

#[test]
fn grouping_sets() {
    check(
        "INSERT INTO screen SELECT channel, count(*) FROM bid GROUP BY ROLLUP (channel, url)",
        &expect![[r#"
            q.sql:1:71: GROUPING SETS, CUBE and ROLLUP are not supported
              1 | INSERT INTO screen SELECT channel, count(*) FROM bid GROUP BY ROLLUP (channel, url)
                |                                                                       ^^^^^^^^^^^^
              next: write one query for each grouping and put UNION ALL between them"#]],
    );
}

#[test]
fn values() {
    check(
        "INSERT INTO words VALUES ('a', 1)",
        &expect![[r#"
        q.sql:1:26: VALUES is not supported
          1 | INSERT INTO words VALUES ('a', 1)
            |                          ^^^^^^^^
          a query reads at least one table, as rows come from topics"#]],
    );
}

#[test]
fn no_from() {
    check(
        "INSERT INTO words SELECT 'a', 1",
        &expect![[r#"
        q.sql:1:19: this query reads no table
          1 | INSERT INTO words SELECT 'a', 1
            |                   ^^^^^^
          rows come from topics, so every query has a FROM
          next: add FROM and the name of a table or view"#]],
    );
}

#[test]
fn two_columns_of_one_name() {
    check(
        "CREATE VIEW v AS SELECT *, channel FROM bid",
        &expect![[r#"
        q.sql:1:28: two columns of this query are called `channel`
          1 | CREATE VIEW v AS SELECT *, channel FROM bid
            |                            ^^^^^^^
          next: give one of them another name: AS .."#]],
    );
}

#[test]
fn unions_that_differ() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT line FROM lines",
        &expect![[r#"
            q.sql:1:60: UNION of 2 columns and 1 column
              1 | INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT line FROM lines
                |                                                            ^^^^^^
              next: let both queries give as many columns"#]],
    );
}

#[test]
fn union_types() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT line, date_time FROM lines, bid",
        &expect![[r#"
            q.sql:1:60: UNION of column `price`, which is BIGINT, and `date_time`, which is TIMESTAMP(3)
              1 | INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT line, date_time FROM lines, bid
                |                                                            ^^^^^^
              next: convert one of them: CAST(.. AS ..)"#]],
    );
}

#[test]
fn union_types_of_one_table() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT channel, date_time FROM bid",
        &expect![[r#"
            q.sql:1:60: UNION of column `price`, which is BIGINT, and `date_time`, which is TIMESTAMP(3)
              1 | INSERT INTO words SELECT channel, price FROM bid UNION ALL SELECT channel, date_time FROM bid
                |                                                            ^^^^^^
              next: convert one of them: CAST(.. AS ..)"#]],
    );
}

#[test]
fn a_mistake_in_a_cte() {
    check(
        "INSERT INTO words WITH a AS (SELECT channel AS c, price AS p FROM bid) SELECT c, q FROM a",
        &expect![[r#"
            q.sql:1:82: there is no column `q` in `a`
              1 | INSERT INTO words WITH a AS (SELECT channel AS c, price AS p FROM bid) SELECT c, q FROM a
                |                                                                                  ^
              next: there are: `c`, `p`"#]],
    );
}

#[test]
fn a_mistake_in_having() {
    check(
        "INSERT INTO counts SELECT channel, count(*) AS n FROM bid GROUP BY channel HAVING n > 'many' AND m > 1",
        &expect![[r#"
            q.sql:1:98: there is no column `m` in `bid`
              1 | INSERT INTO counts SELECT channel, count(*) AS n FROM bid GROUP BY channel HAVING n > 'many' AND m > 1
                |                                                                                                  ^
              next: there are: `auction`, `bidder`, `price`, `channel`, `url`, `date_time`, `extra`, `n`"#]],
    );
}

#[test]
fn a_computed_column_of_nothing() {
    check(
        "CREATE TABLE t (a INT, b AS c + 1) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json')",
        &expect![[r#"
            q.sql:1:29: there is no column `c` in `t`
              1 | CREATE TABLE t (a INT, b AS c + 1) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json')
                |                             ^
              next: there are: `a`"#]],
    );
}

#[test]
fn a_computed_column_of_wrong_types() {
    check(
        "CREATE TABLE t (a INT, b AS lower(a, a)) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json')",
        &expect![[r#"
            q.sql:1:29: `lower` does not take (INT, INT)
              1 | CREATE TABLE t (a INT, b AS lower(a, a)) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json')
                |                             ^^^^^
              next: it is called as lower(str)"#]],
    );
}

#[test]
fn a_name_that_is_taken() {
    check(
        "CREATE VIEW bid AS SELECT line FROM lines",
        &expect![[r#"
        q.sql:1:13: there is a table `bid` already, in line 3
          1 | CREATE VIEW bid AS SELECT line FROM lines
            |             ^^^
          next: give one of them another name"#]],
    );
}

#[test]
fn an_upsert_table_into_one_that_only_grows() {
    check(
        "INSERT INTO words SELECT word, n FROM counts",
        &expect![[r#"
            q.sql:1:13: rows of this query change later, and table `words` only takes new rows
              1 | INSERT INTO words SELECT word, n FROM counts
                |             ^^^^^
              records of table `counts` say how its rows change
              next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (word) NOT ENFORCED"#]],
    );
}

#[test]
fn a_window_function_that_is_misspelt() {
    check(
        "INSERT INTO words SELECT channel, price FROM TABLE(TUMBL(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))",
        &expect![[r#"
            q.sql:1:52: there is no table function `tumbl`
              1 | INSERT INTO words SELECT channel, price FROM TABLE(TUMBL(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
                |                                                    ^^^^^
              next: did you mean `tumble`?"#]],
    );
}

#[test]
fn a_cast_that_cannot_be() {
    check(
        "INSERT INTO words SELECT CAST(is_buy AS DATE), 1 FROM trade",
        &expect![[r#"
        q.sql:1:31: column `word` of table `words` is STRING, and the query gives DATE
          1 | INSERT INTO words SELECT CAST(is_buy AS DATE), 1 FROM trade
            |                               ^^^^^^
          next: convert it: CAST(.. AS STRING)"#]],
    );
}

#[test]
fn a_text_that_is_no_number() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE price > 'many'",
        &expect![[r#"
        q.sql:1:64: 'many' is no BIGINT
          1 | INSERT INTO words SELECT channel, price FROM bid WHERE price > 'many'
            |                                                                ^^^^^^"#]],
    );
}

#[test]
fn a_text_that_is_no_time() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE date_time > 'yesterday'",
        &expect![[r#"
        q.sql:1:68: 'yesterday' is no TIMESTAMP(9)
          1 | INSERT INTO words SELECT channel, price FROM bid WHERE date_time > 'yesterday'
            |                                                                    ^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_case_of_mixed_types() {
    check(
        "INSERT INTO words SELECT CASE WHEN price > 1 THEN date_time ELSE TRUE END, price FROM bid",
        &expect![[r#"
            q.sql:1:26: the answers of CASE have types that do not agree
              1 | INSERT INTO words SELECT CASE WHEN price > 1 THEN date_time ELSE TRUE END, price FROM bid
                |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              next: convert them to one type: CAST(.. AS ..)"#]],
    );
}

#[test]
fn an_unknown_output_mode() {
    check(
        "CREATE TABLE t (a STRING) WITH ('connector' = 'print', 'output_mode' = 'retract');\nINSERT INTO t SELECT line FROM lines",
        &expect![[r#"
            q.sql:1:72: there is no output mode `retract`
              1 | CREATE TABLE t (a STRING) WITH ('connector' = 'print', 'output_mode' = 'retract');
                |                                                                        ^^^^^^^^^
              next: write append, update or complete"#]],
    );
}
