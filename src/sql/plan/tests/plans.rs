//! Plans of good statements, as EXPLAIN shows them.

#![allow(clippy::too_many_lines, reason = "golden texts")]
use super::check;
use expect_test::expect;

#[test]
fn word_count() {
    check(
        "EXPLAIN INSERT INTO counts SELECT lower(line) AS word, count(*) FROM lines GROUP BY lower(line)",
        &expect![[r#"
            logical plan:
              Projection: lower(lines.line) AS word, count(Int64(1)) AS n
                Aggregate: groupBy=[[lower(lines.line)]], aggr=[[count(Int64(1))]]
                  TableScan: lines projection=[line]

            stream plan:
              Sink counts: lower(line) AS word, count(*) AS n (update by (lower(line)))
                Aggregate counts.aggregate: count(*) by (lower(line))
                    rows: change, key (lower(line))
                    state: one row per (lower(line)), kept for ever
                  Calc: lower(line)
                      rows: only added
                    Source lines: line
                        rows: only added
        "#]],
    );
}

#[test]
fn filter_and_project() {
    check(
        "EXPLAIN INSERT INTO out_bid SELECT auction, bidder, 0.908 * price, date_time FROM bid WHERE price > 50 AND channel = 'web'",
        &expect![[r#"
            logical plan:
              Projection: bid.auction AS auction, bid.bidder AS bidder, CAST(Decimal128(0.908,3,3) * CAST(bid.price AS Decimal128(20, 0)) AS Decimal128(23, 3)) AS price, bid.date_time AS date_time
                Filter: bid.price > Int64(50) AND bid.channel = Utf8("web")
                  TableScan: bid projection=[auction, bidder, price, channel, date_time]

            stream plan:
              Sink out_bid: auction, bidder, price, date_time (append)
                Calc: auction, bidder, CAST(0.908 * CAST(price AS Decimal128(20, 0)) AS Decimal128(23, 3)) AS price, date_time where price > 50 AND channel = 'web'
                    rows: only added, event time date_time
                  Source bid: auction, bidder, price, channel, date_time
                      rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn nexmark_0_to_2() {
    check(
        "INSERT INTO out_bid SELECT auction, bidder, price, date_time FROM bid;
         INSERT INTO out_bid SELECT auction, bidder, 0.908 * price, date_time FROM bid;
         CREATE TABLE q2 (auction BIGINT, price BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO q2 SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;",
        &expect![[r#"
              Sink out_bid: auction, bidder, price, date_time (append)
                Calc: auction, bidder, CAST(price AS Decimal128(23, 3)) AS price, date_time
                    rows: only added, event time date_time
                  Source bid: auction, bidder, price, date_time
                      rows: only added, event time date_time
              Sink out_bid: auction, bidder, price, date_time (append)
                Calc: auction, bidder, CAST(0.908 * CAST(price AS Decimal128(20, 0)) AS Decimal128(23, 3)) AS price, date_time
                    rows: only added, event time date_time
                  Source bid: auction, bidder, price, date_time
                      rows: only added, event time date_time
              Sink q2: auction, price (append)
                Calc: auction, price where auction % 123 = 0
                    rows: only added
                  Source bid: auction, bidder, price, date_time
                      rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn nexmark_14_21_22() {
    check(
        "CREATE TABLE q14 (auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), kind STRING, date_time TIMESTAMP(3), extra STRING)
           WITH ('connector' = 'blackhole');
         INSERT INTO q14 SELECT auction, bidder, 0.908 * price AS price,
           CASE WHEN extract(HOUR FROM date_time) >= 8 AND extract(HOUR FROM date_time) <= 18 THEN 'dayTime'
                WHEN extract(HOUR FROM date_time) <= 6 OR extract(HOUR FROM date_time) >= 20 THEN 'nightTime'
                ELSE 'otherTime' END AS kind, date_time, extra
         FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
         INSERT INTO wide (a, b, c) SELECT channel, CASE WHEN lower(channel) = 'apple' THEN '0' ELSE regexp_match(url, '(&|^)channel_id=([^&]*)')[2] END,
           url FROM bid WHERE regexp_match(url, '(&|^)channel_id=([^&]*)')[2] IS NOT NULL OR lower(channel) IN ('apple', 'google');
         INSERT INTO wide SELECT channel, split_part(url, '/', 4), split_part(url, '/', 5), split_part(url, '/', 6) FROM bid;",
        &expect![[r#"
              Sink q14: auction, bidder, price, kind, date_time, extra (append)
                Calc: auction, bidder, CAST(0.908 * CAST(price AS Decimal128(20, 0)) AS Decimal128(23, 3)) AS price, CASE WHEN __common_expr_1 >= 8 AND __common_expr_1 <= 18 THEN 'dayTime' WHEN __common_expr_1 <= 6 OR __common_expr_1 >= 20 THEN 'nightTime' ELSE 'otherTime' END AS kind, date_time, extra
                    rows: only added, event time date_time
                  Calc: date_part('HOUR', date_time) AS __common_expr_1, auction, bidder, price, date_time, extra where __common_expr_4 > 1000000.000 AND __common_expr_4 < 50000000.000
                      rows: only added, event time date_time
                    Calc: 0.908 * CAST(price AS Decimal128(20, 0)) AS __common_expr_4, auction, bidder, price, date_time, extra
                        rows: only added, event time date_time
                      Source bid: auction, bidder, price, date_time, extra, channel, url
                          rows: only added, event time date_time
              Sink wide: a, b, c, NULL AS d (append)
                Calc: channel AS a, CASE WHEN lower(channel) = 'apple' THEN '0' ELSE array_element(regexp_match(url, '(&|^)channel_id=([^&]*)'), 2) END AS b, url AS c where array_element(regexp_match(url, '(&|^)channel_id=([^&]*)'), 2) IS NOT NULL OR lower(channel) IN ('apple', 'google')
                    rows: only added
                  Source bid: auction, bidder, price, date_time, extra, channel, url
                      rows: only added, event time date_time
              Sink wide: a, b, c, d (append)
                Calc: channel AS a, split_part(url, '/', 4) AS b, split_part(url, '/', 5) AS c, split_part(url, '/', 6) AS d
                    rows: only added
                  Source bid: auction, bidder, price, date_time, extra, channel, url
                      rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn aggregates_with_filter_and_having() {
    check(
        "CREATE TABLE stats (auction BIGINT, n BIGINT, dear BIGINT, s BIGINT, a DOUBLE, lo BIGINT, hi BIGINT, people BIGINT,
           PRIMARY KEY (auction) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 's', 'key.format' = 'json', 'value.format' = 'json');
         EXPLAIN INSERT INTO stats
           SELECT auction, count(*), count(*) FILTER (WHERE price > 100), sum(price), avg(price), min(price), max(price), count(DISTINCT bidder)
           FROM bid WHERE channel <> 'x' GROUP BY auction HAVING count(*) > 1",
        &expect![[r#"
            logical plan:
              Projection: bid.auction AS auction, count(Int64(1)) AS n, count(Int64(1)) FILTER (WHERE bid.price > Int64(100)) AS dear, sum(bid.price) AS s, avg(bid.price) AS a, min(bid.price) AS lo, max(bid.price) AS hi, count(DISTINCT bid.bidder) AS people
                Filter: count(Int64(1)) > Int64(1)
                  Aggregate: groupBy=[[bid.auction]], aggr=[[count(Int64(1)), count(Int64(1)) FILTER (WHERE bid.price > Int64(100)), sum(bid.price), avg(CAST(bid.price AS Float64)), min(bid.price), max(bid.price), count(DISTINCT bid.bidder)]]
                    Projection: bid.auction, bid.bidder, bid.price
                      Filter: bid.channel != Utf8("x")
                        TableScan: bid projection=[auction, bidder, price, channel]

            stream plan:
              Sink stats: auction, n, dear, s, a, lo, hi, people (update by (auction))
                Calc: auction, count(*) AS n, count(*) FILTER (WHERE price > 100) AS dear, sum(price) AS s, avg(CAST(price AS Float64)) AS a, min(price) AS lo, max(price) AS hi, count(DISTINCT bidder) AS people where count(*) > 1
                    rows: change, key (auction)
                  Aggregate stats.aggregate: count(*), count(*) FILTER (WHERE price > 100), sum(price), avg(CAST(price AS Float64)), min(price), max(price), count(DISTINCT bidder) by (auction)
                      rows: change, key (auction)
                      state: one row per (auction), kept for ever
                      state: one row per group and value of (bidder), kept for ever
                    Calc: auction, price > 100, price, CAST(price AS Float64), bidder where channel != 'x'
                        rows: only added
                      Source bid: auction, bidder, price, channel
                          rows: only added
        "#]],
    );
}

#[test]
fn an_aggregate_of_an_aggregate() {
    check(
        "CREATE VIEW per_user AS SELECT bidder, count(*) AS n FROM bid GROUP BY bidder;
         CREATE TABLE histogram (n BIGINT, users BIGINT, PRIMARY KEY (n) NOT ENFORCED)
           WITH ('connector' = 'upsert-kafka', 'topic' = 'h', 'key.format' = 'json', 'value.format' = 'json');
         CREATE TABLE shown (word STRING, n BIGINT) WITH ('connector' = 'console');
         INSERT INTO histogram SELECT n, count(*) FROM per_user GROUP BY n;
         INSERT INTO shown SELECT 'all', max(n) FROM per_user EMIT COMPLETE;",
        &expect![[r#"
              Sink histogram: n, count(*) AS users (update by (n))
                Aggregate histogram.aggregate-2: count(*) by (n)
                    rows: change, key (n)
                    state: one row per (n), kept for ever
                  Aggregate histogram.aggregate: count(*) by (bidder)
                      rows: change, key (bidder)
                      state: one row per (bidder), kept for ever
                    Source bid: bidder
                        rows: only added
              Sink shown: word, n (complete)
                Calc: 'all' AS word, max(count(*)) AS n
                    rows: change, one row
                  Aggregate shown.aggregate-2: max(count(*))
                      rows: change, one row
                      state: one row, kept for ever
                      one partition does all of this
                    Aggregate shown.aggregate: count(*) by (bidder)
                        rows: change, key (bidder)
                        state: one row per (bidder), kept for ever
                      Source bid: bidder
                          rows: only added
        "#]],
    );
}

#[test]
fn unions_and_distinct() {
    check(
        "INSERT INTO words SELECT line, 1 FROM lines UNION ALL SELECT channel, price FROM bid WHERE price > 3;
         INSERT INTO words (word) SELECT DISTINCT channel FROM bid;
         INSERT INTO screen SELECT word, sum(n) FROM (SELECT line AS word, 1 AS n FROM lines UNION SELECT url, 2 FROM bid) GROUP BY word;",
        &expect![[r#"
            Sink words: line AS word, 1 AS n (append)
              Union
                  rows: only added
                Calc: line, 1
                    rows: only added
                  Source lines: line
                      rows: only added
                Calc: channel AS line, price AS 1 where price > 3
                    rows: only added
                  Source bid: price, channel, url
                      rows: only added
            Sink words: channel AS word, NULL AS n (append)
              Aggregate words.aggregate: distinct by (channel)
                  rows: only added, key (channel)
                  state: one row per (channel), kept for ever
                Source bid: price, channel, url
                    rows: only added
            Sink screen: word, sum(n) AS n (changes)
              Aggregate screen.aggregate-2: sum(n) by (word)
                  rows: change, key (word)
                  state: one row per (word), kept for ever
                Aggregate screen.aggregate: distinct by (word, n)
                    rows: only added, key (word, n)
                    state: one row per (word, n), kept for ever
                  Union
                      rows: only added
                    Calc: line AS word, 1 AS n
                        rows: only added
                      Source lines: line
                          rows: only added
                    Calc: url AS word, 2 AS n
                        rows: only added
                      Source bid: price, channel, url
                          rows: only added
        "#]],
    );
}

#[test]
fn computed_and_metadata_columns() {
    check(
        "CREATE TABLE totals (id BIGINT, total DECIMAL(20, 2), at TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
         EXPLAIN INSERT INTO totals SELECT id, total, at FROM trade WHERE total > 10",
        &expect![[r#"
            logical plan:
              Projection: trade.id AS id, CAST(trade.total AS Decimal128(20, 2)) AS total, trade.at AS at
                SubqueryAlias: trade
                  Projection: trade.id, trade.at, trade.price * CAST(trade.amount AS Decimal128(10, 0)) AS total
                    Filter: trade.price * CAST(trade.amount AS Decimal128(10, 0)) > Decimal128(10.00,21,2)
                      TableScan: trade projection=[id, price, amount, at]

            stream plan:
              Sink totals: id, total, at (append)
                Calc: id, CAST(price * CAST(amount AS Decimal128(10, 0)) AS Decimal128(20, 2)) AS total, at where price * CAST(amount AS Decimal128(10, 0)) > 10.00
                    rows: only added
                  Source trade: id, price, amount, at
                      rows: only added
        "#]],
    );
}

#[test]
fn one_row_for_all() {
    check(
        "INSERT INTO screen (n) SELECT count(*) FROM lines;
         INSERT INTO screen SELECT 'sum', sum(amount + 1) + sum(amount + 2) + sum(amount + 3) FROM trade EMIT CHANGES;",
        &expect![[r#"
            Sink screen: NULL AS word, count(*) AS n (changes)
              Aggregate screen.aggregate: count(*)
                  rows: change, one row
                  state: one row, kept for ever
                  one partition does all of this
                Source lines: no columns
                    rows: only added
            Sink screen: word, n (changes)
              Calc: 'sum' AS word, sum(__common_expr_1 + 1) + sum(__common_expr_1 + 2) + sum(__common_expr_1 + 3) AS n
                  rows: change, one row
                Aggregate screen.aggregate-2: sum(__common_expr_1 + 1), sum(__common_expr_1 + 2), sum(__common_expr_1 + 3)
                    rows: change, one row
                    state: one row, kept for ever
                    one partition does all of this
                  Calc: __common_expr_1 + 1, __common_expr_1 + 2, __common_expr_1 + 3
                      rows: only added
                    Calc: CAST(amount AS Int64) AS __common_expr_1
                        rows: only added
                      Source trade: amount
                          rows: only added
        "#]],
    );
}

#[test]
fn common_table_expressions_and_random() {
    check(
        "EXPLAIN WITH dear AS (SELECT auction, price FROM bid WHERE price > 100), twice AS (SELECT auction, price * 2 AS p FROM dear)
           SELECT auction, p, uuid() AS id FROM twice WHERE random() < 0.1",
        &expect![[r#"
            logical plan:
              Projection: twice.auction, twice.p, uuid() AS id
                SubqueryAlias: twice
                  Projection: dear.auction, dear.price * Int64(2) AS p
                    SubqueryAlias: dear
                      Filter: bid.price > Int64(100) AND random() < Float64(0.1)
                        TableScan: bid projection=[auction, price]

            stream plan:
              Calc: auction, price * 2 AS p, uuid() AS id where price > 100 AND random() < 0.1
                  rows: only added
                Source bid: auction, price
                    rows: only added
        "#]],
    );
}

#[test]
fn doubles_with_decimals() {
    check(
        "CREATE TABLE m (name STRING, x DOUBLE) WITH ('connector' = 'kafka', 'topic' = 'm', 'format' = 'json');
         CREATE TABLE m_out (name STRING, x DOUBLE) WITH ('connector' = 'kafka', 'topic' = 'mo', 'format' = 'json');
         INSERT INTO m_out SELECT name, x * 0.5 + 1 FROM m WHERE x > 0.25 AND x NOT BETWEEN 3.5 AND 4.5;",
        &expect![[r#"
              Sink m_out: name, x (append)
                Calc: name, x * 0.5 + 1 AS x where x > 0.25 AND (x < 3.5 OR x > 4.5)
                    rows: only added
                  Source m: name, x
                      rows: only added
        "#]],
    );
}

#[test]
fn a_projection_of_a_computed_column_is_one_step() {
    check(
        "INSERT INTO words SELECT CAST(id AS STRING), CAST(total AS BIGINT) FROM trade WHERE is_buy AND at IS NOT NULL;",
        &expect![[r#"
              Sink words: word, n (append)
                Calc: CAST(id AS Utf8) AS word, CAST(price * CAST(amount AS Decimal128(10, 0)) AS Int64) AS n where is_buy AND at IS NOT NULL
                    rows: only added
                  Source trade: id, price, amount, is_buy, at
                      rows: only added
        "#]],
    );
}
