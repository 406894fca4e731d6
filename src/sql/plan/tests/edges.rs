//! Names, types and shapes that are easy to get wrong.

use super::check;
use expect_test::expect;

#[test]
fn names_keep_their_letters() {
    check(
        "CREATE TABLE q (userId STRING, other STRING) WITH ('connector' = 'kafka', 'topic' = 'q', 'format' = 'json');
         INSERT INTO screen SELECT userid, 1 FROM q;",
        &expect![[r#"
            q.sql:2:36: there is no column `userid` in `q`
              2 |          INSERT INTO screen SELECT userid, 1 FROM q;
                |                                    ^^^^^^
              next: did you mean `userId`?"#]],
    );
    check(
        "CREATE TABLE q (userId STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'q', 'format' = 'json');
         INSERT INTO screen SELECT UPPER(userId), COUNT(*) FROM q GROUP BY UPPER(userId);",
        &expect![[r#"
            Sink screen: upper(userId) AS word, count(*) AS n (changes)
              Aggregate screen.aggregate: count(*) by (upper(userId))
                  rows: change, key (upper(userId))
                  state: one row per (upper(userId)), kept for ever
                Calc: upper(userId)
                    rows: only added
                  Source q: userId
                      rows: only added
        "#]],
    );
}

#[test]
fn nested_fields() {
    check(
        "CREATE TABLE event (event_type INT, bid ROW<auction BIGINT, price BIGINT>, tags ARRAY<STRING>)
           WITH ('connector' = 'kafka', 'topic' = 'e', 'format' = 'json');
         CREATE VIEW bids AS SELECT bid.auction AS auction, bid.price, tags[1] AS tag FROM event WHERE event_type = 2;
         INSERT INTO words SELECT tag, price FROM bids;
         INSERT INTO words SELECT e.tags[2], e.bid.price FROM event AS e;",
        &expect![[r#"
              Sink words: tag AS word, price AS n (append)
                Calc: get_field(bid, 'price') AS price, array_element(tags, 1) AS tag where event_type = 2
                    rows: only added
                  Source event: event_type, bid, tags
                      rows: only added
              Sink words: word, n (append)
                Calc: array_element(tags, 2) AS word, get_field(bid, 'price') AS n
                    rows: only added
                  Source event: event_type, bid, tags
                      rows: only added
        "#]],
    );
}

#[test]
fn the_same_column_twice() {
    check(
        "INSERT INTO wide SELECT channel, channel, url, channel FROM bid;",
        &expect![[r#"
              Sink wide: channel AS a, channel AS b, url AS c, channel AS d (append)
                Source bid: channel, url
                    rows: only added
        "#]],
    );
}

#[test]
fn strings_stay_plain() {
    check(
        "INSERT INTO counts SELECT substr(line, 2), count(*) FROM lines WHERE substr(line, 1, 1) = '#' GROUP BY substr(line, 2) HAVING substr(line, 2) <> 'x';
         INSERT INTO wide SELECT initcap(line), regexp_replace(line, 'a', 'b'), concat(line, '!'), trim(line) || CAST(1 AS VARCHAR) FROM lines;",
        &expect![[r#"
              Sink counts: substr(line, 2) AS word, count(*) AS n (update by (substr(line, 2)))
                Aggregate counts.aggregate: count(*) by (substr(line, 2))
                    rows: change, key (substr(line, 2))
                    state: one row per (substr(line, 2)), kept for ever
                  Calc: substr(line, 2) where substr(line, 1, 1) = '#' AND substr(line, 2) != 'x'
                      rows: only added
                    Source lines: line
                        rows: only added
              Sink wide: a, b, c, d (append)
                Calc: initcap(line) AS a, regexp_replace(line, 'a', 'b') AS b, concat(line, '!') AS c, btrim(line) || '1' AS d
                    rows: only added
                  Source lines: line
                      rows: only added
        "#]],
    );
}

#[test]
fn a_name_of_with_hides_a_table() {
    check(
        "EXPLAIN WITH bid AS (SELECT line AS price FROM lines) SELECT price FROM bid;",
        &expect![[r#"
        logical plan:
          SubqueryAlias: bid
            Projection: lines.line AS price
              TableScan: lines projection=[line]

        stream plan:
          Calc: line AS price
              rows: only added
            Source lines: line
                rows: only added
    "#]],
    );
}

#[test]
fn times_count_milliseconds() {
    check(
        "CREATE TABLE times (a TIMESTAMP(3), b TIMESTAMP(6), c DATE, d TIMESTAMP_LTZ(3)) WITH ('connector' = 'blackhole');
         INSERT INTO times SELECT date_time + INTERVAL '10' SECOND, date_trunc('hour', date_time), CAST(date_time AS DATE), date_time FROM bid
           WHERE date_time > TIMESTAMP '2026-01-01 00:00:00' AND date_time < '2027-01-01';",
        &expect![[r#"
              Sink times: a, b, c, d (append)
                Calc: date_time + INTERVAL '10.000000000 secs' AS a, CAST(date_trunc('hour', date_time) AS Timestamp(Microsecond, None)) AS b, CAST(date_time AS Date32) AS c, CAST(date_time AS Timestamp(Millisecond, Some("UTC"))) AS d where date_time > TIMESTAMP '2026-01-01T00:00:00' AND date_time < TIMESTAMP '2027-01-01T00:00:00'
                    rows: only added
                  Source bid: date_time
                      rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn names_of_columns_given_to_a_view_and_a_dropped_one() {
    check(
        "CREATE VIEW v (a, b) AS SELECT channel, price FROM bid;
         INSERT INTO words SELECT a, b FROM v WHERE b > 10;
         DROP VIEW v;
         CREATE VIEW v AS SELECT url FROM bid;
         DROP TABLE v;",
        &expect![[r#"
            q.sql:5:21: `v` is a view
              5 |          DROP TABLE v;
                |                     ^
              next: write DROP VIEW"#]],
    );
}

#[test]
fn nothing_is_kept_or_all() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid WHERE 1 = 2;
         INSERT INTO words SELECT channel, price FROM bid WHERE TRUE;",
        &expect![[r#"
            q.sql:1:19: a condition of this query is never true, so a part of it has no rows
              1 | INSERT INTO words SELECT channel, price FROM bid WHERE 1 = 2;
                |                   ^^^^^^
              next: correct the condition"#]],
    );
}

#[test]
fn group_by_position_and_name() {
    check(
        "INSERT INTO counts SELECT upper(channel) AS c, count(*) FROM bid GROUP BY c;
         INSERT INTO counts SELECT upper(channel), count(*) FROM bid GROUP BY 1;
         INSERT INTO screen SELECT channel, bool_or(price > 10)::BIGINT FROM bid GROUP BY channel, 'constant';
         INSERT INTO screen SELECT channel, CAST(stddev(price) + var_pop(price) AS BIGINT) FROM bid GROUP BY channel;",
        &expect![[r#"
            Sink counts: upper(channel) AS word, count(*) AS n (update by (upper(channel)))
              Aggregate counts.aggregate: count(*) by (upper(channel))
                  rows: change, key (upper(channel))
                  state: one row per (upper(channel)), kept for ever
                Calc: upper(channel)
                    rows: only added
                  Source bid: channel, price
                      rows: only added
            Sink counts: upper(channel) AS word, count(*) AS n (update by (upper(channel)))
              Aggregate counts.aggregate: count(*) by (upper(channel))
                  rows: change, key (upper(channel))
                  state: one row per (upper(channel)), kept for ever
                Calc: upper(channel)
                    rows: only added
                  Source bid: channel, price
                      rows: only added
            Sink screen: word, n (changes)
              Calc: channel AS word, CAST(bool_or(price > 10) AS Int64) AS n
                  rows: change, key (word)
                Aggregate screen.aggregate: bool_or(price > 10) by (channel)
                    rows: change, key (channel)
                    state: one row per (channel), kept for ever
                  Calc: channel, price > 10
                      rows: only added
                    Source bid: channel, price
                        rows: only added
            Sink screen: word, n (changes)
              Calc: channel AS word, CAST(stddev_samp(__common_expr_1) + var_pop(__common_expr_1) AS Int64) AS n
                  rows: change, key (word)
                Aggregate screen.aggregate-2: stddev_samp(__common_expr_1), var_pop(__common_expr_1) by (channel)
                    rows: change, key (channel)
                    state: one row per (channel), kept for ever
                  Calc: CAST(price AS Float64) AS __common_expr_1, channel
                      rows: only added
                    Source bid: channel, price
                        rows: only added
        "#]],
    );
}

#[test]
fn names_of_a_view_that_repeat() {
    check(
        "CREATE VIEW v AS SELECT channel, channel, CAST(date_time AS DATE), date_time, b.url, lower(url), lower(url) FROM bid AS b;
         EXPLAIN SELECT * FROM v;",
        &expect![[r#"
            logical plan:
              SubqueryAlias: v
                Projection: b.channel, b.channel AS channel0, CAST(b.date_time AS Date32) AS date_time0, b.date_time, b.url, __common_expr_1 AS lower(url), __common_expr_1 AS EXPR$6
                  Projection: lower(b.url) AS __common_expr_1, b.channel, b.url, b.date_time
                    SubqueryAlias: b
                      TableScan: bid projection=[channel, url, date_time]

            stream plan:
              Calc: channel, channel AS channel0, CAST(date_time AS Date32) AS date_time0, date_time, url, __common_expr_1 AS lower(url), __common_expr_1 AS EXPR$6
                  rows: only added, event time date_time
                Calc: lower(url) AS __common_expr_1, channel, url, date_time
                    rows: only added, event time date_time
                  Source bid: channel, url, date_time
                      rows: only added, event time date_time
        "#]],
    );
}
