//! Plans of top-N, deduplication, set operations and OVER, and what is said of those that cannot be.

use super::check;
use expect_test::expect;

#[test]
fn the_first_rows_of_each_partition() {
    check(
        "EXPLAIN SELECT channel, price, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY price DESC) AS n FROM bid) WHERE n <= 3 AND price > 5",
        &expect![[r#"
            logical plan:
              Projection: bid.channel, bid.price, row_number() PARTITION BY [bid.channel] ORDER BY [bid.price DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS n
                Filter: row_number() PARTITION BY [bid.channel] ORDER BY [bid.price DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW <= Int64(3) AND bid.price > Int64(5)
                  WindowAggr: windowExpr=[[row_number() PARTITION BY [bid.channel] ORDER BY [bid.price DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                    TableScan: bid projection=[price, channel]

            stream plan:
              Calc: channel, price, row_number() AS n where price > 5
                  rows: change, key (channel, n)
                TopN query.top-n: row_number 1 to 3 of each (channel) by price DESC
                    rows: change, key (channel, row_number())
                    state: the first rows of each (channel), kept for ever
                  Calc: price, channel
                      rows: only added
                    Source bid: price, channel
                        rows: only added
        "#]],
    );
    check(
        "EXPLAIN SELECT channel, price FROM (SELECT *, RANK() OVER (PARTITION BY channel ORDER BY lower(url), price NULLS LAST) AS n FROM bid) WHERE 3 > n",
        &expect![[r#"
            logical plan:
              Projection: bid.channel, bid.price
                Filter: rank() PARTITION BY [bid.channel] ORDER BY [lower(bid.url) ASC NULLS FIRST, bid.price ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW < Int64(3)
                  Projection: bid.price, bid.channel, rank() PARTITION BY [bid.channel] ORDER BY [lower(bid.url) ASC NULLS FIRST, bid.price ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    WindowAggr: windowExpr=[[rank() PARTITION BY [bid.channel] ORDER BY [lower(bid.url) ASC NULLS FIRST, bid.price ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                      TableScan: bid projection=[price, channel, url]

            stream plan:
              Calc: channel, price
                  rows: change
                TopN query.top-n: rank 1 to 2 of each (channel) by lower(url), price NULLS LAST
                    rows: change
                    state: the first rows of each (channel), kept for ever
                  Calc: price, channel, url, lower(url)
                      rows: only added
                    Source bid: price, channel, url
                        rows: only added
        "#]],
    );
}

#[test]
fn the_first_rows_of_all() {
    check(
        "EXPLAIN SELECT channel FROM bid ORDER BY price DESC LIMIT 5 OFFSET 2",
        &expect![[r#"
        logical plan:
          Limit: skip=2, fetch=5
            Projection: bid.channel
              Sort: bid.price DESC NULLS LAST
                Projection: bid.channel, bid.price
                  TableScan: bid projection=[price, channel]

        stream plan:
          Calc: channel
              rows: change
            TopN query.top-n: row_number 3 to 7 by price DESC
                rows: change
                state: the first rows, kept for ever
                one partition does all of this
              Calc: channel, price
                  rows: only added
                Source bid: price, channel
                    rows: only added
    "#]],
    );
    check(
        "EXPLAIN SELECT channel, c FROM (SELECT channel, count(*) AS c FROM bid GROUP BY channel) ORDER BY c DESC, channel LIMIT 5",
        &expect![[r#"
            logical plan:
              Limit: skip=0, fetch=5
                Sort: c DESC NULLS LAST, bid.channel ASC NULLS FIRST
                  Projection: bid.channel, count(Int64(1)) AS c
                    Aggregate: groupBy=[[bid.channel]], aggr=[[count(Int64(1))]]
                      TableScan: bid projection=[channel]

            stream plan:
              TopN query.top-n: row_number 1 to 5 by count(*) DESC, channel
                  rows: change, key (channel)
                  state: all rows, kept for ever
                  one partition does all of this
                Aggregate query.aggregate: count(*) by (channel)
                    rows: change, key (channel)
                    state: one row per (channel), kept for ever
                  Source bid: channel
                      rows: only added
        "#]],
    );
}

#[test]
fn the_first_rows_of_windows_that_close() {
    check(
        "EXPLAIN SELECT window_start, channel, c FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY c DESC) AS n FROM (
             SELECT window_start, window_end, channel, count(*) AS c
             FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, channel))
         WHERE n <= 2",
        &expect![[r#"
            logical plan:
              Projection: window_start, bid.channel, c
                Filter: row_number() PARTITION BY [window_start, window_end] ORDER BY [c DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW <= Int64(2)
                  Projection: window_start, bid.channel, c, row_number() PARTITION BY [window_start, window_end] ORDER BY [c DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    WindowAggr: windowExpr=[[row_number() PARTITION BY [window_start, window_end] ORDER BY [c DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                      Projection: window_start, window_end, bid.channel, count(Int64(1)) AS count(*) AS c
                        Aggregate: groupBy=[[window_start, window_end, bid.channel]], aggr=[[count(Int64(1))]]
                          Projection: bid.channel, window_start, window_end
                            Windows: TUMBLE size 1 min of bid.date_time
                              TableScan: bid projection=[channel, date_time]

            stream plan:
              Calc: window_start, channel, c
                  rows: only added
                TopN query.top-n: row_number 1 to 2 of each (window_end, window_start) by c DESC
                    rows: only added, key (window_end, window_start, channel)
                    a row leaves when its window closes
                    state: the first rows of each (window_end, window_start), kept until the watermark passes window_end
                  Calc: window_start, window_end, channel, count(*) AS c
                      rows: only added, key (window_end, window_start, channel)
                    Aggregate query.aggregate: count(*) by (window_end, window_start, channel)
                        rows: only added, key (window_end, window_start, channel)
                        a row leaves when its window closes
                        state: one row per (window_end, window_start, channel), kept until the watermark passes window_end
                      Windows: TUMBLE size 1 min of date_time
                          rows: only added, event time window_time
                        Calc: channel, date_time
                            rows: only added, event time date_time
                          Source bid: channel, date_time
                              rows: only added, event time date_time
                              watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
}

#[test]
fn the_first_and_the_last_row_of_a_key() {
    check(
        "EXPLAIN SELECT channel, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY date_time) AS n FROM bid) WHERE n = 1",
        &expect![[r#"
            logical plan:
              Projection: bid.channel, bid.price
                Filter: row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW = Int64(1)
                  Projection: bid.price, bid.channel, row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    WindowAggr: windowExpr=[[row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                      TableScan: bid projection=[price, channel, date_time]

            stream plan:
              Calc: channel, price where row_number() = 1
                  rows: only added
                Over query.over: row_number() of each (channel) by date_time
                    rows: only added, event time date_time
                    a row leaves when the watermark has passed it
                    state: one row per (channel), kept for ever; rows that wait for the watermark
                  Calc: price, channel, date_time
                      rows: only added, event time date_time
                    Source bid: price, channel, date_time
                        rows: only added, event time date_time
                        watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
    check(
        "EXPLAIN SELECT channel, price FROM bid QUALIFY ROW_NUMBER() OVER (PARTITION BY channel ORDER BY date_time DESC) = 1",
        &expect![[r#"
            logical plan:
              Projection: bid.channel, bid.price
                Filter: row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW = Int64(1)
                  Projection: bid.price, bid.channel, row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    WindowAggr: windowExpr=[[row_number() PARTITION BY [bid.channel] ORDER BY [bid.date_time DESC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                      TableScan: bid projection=[price, channel, date_time]

            stream plan:
              Calc: channel, price
                  rows: change, key (channel)
                TopN query.top-n: row_number 1 of each (channel) by date_time DESC
                    rows: change, key (channel)
                    state: the first rows of each (channel), kept for ever
                  Calc: price, channel, date_time
                      rows: only added, event time date_time
                    Source bid: price, channel, date_time
                        rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn set_operations() {
    check(
        "EXPLAIN SELECT channel FROM bid INTERSECT SELECT line FROM lines",
        &expect![[r#"
        logical plan:
          SetOperation: INTERSECT
            TableScan: bid projection=[channel]
            TableScan: lines projection=[line]

        stream plan:
          SetOperation query.set: INTERSECT
              rows: only added, key (channel)
              state: each row of both, once, kept for ever
            Calc: channel
                rows: only added
              Source bid: channel
                  rows: only added
            Calc: line
                rows: only added
              Source lines: line
                  rows: only added
    "#]],
    );
    check(
        "EXPLAIN SELECT channel, price FROM bid EXCEPT ALL SELECT channel, CAST(bidder AS INT) FROM bid",
        &expect![[r#"
            logical plan:
              SetOperation: EXCEPT ALL
                SubqueryAlias: left
                  Projection: bid.channel, bid.price
                    TableScan: bid projection=[price, channel]
                Projection: right.channel, CAST(right.bidder AS Int64) AS bidder
                  SubqueryAlias: right
                    Projection: bid.channel, CAST(bid.bidder AS Int32) AS bidder
                      TableScan: bid projection=[bidder, channel]

            stream plan:
              SetOperation query.set: EXCEPT ALL
                  rows: change
                  state: each row of both, once, kept for ever
                Calc: channel, price
                    rows: only added
                  Source bid: price, channel, bidder
                      rows: only added
                Calc: channel, CAST(CAST(bidder AS Int32) AS Int64) AS bidder
                    rows: only added
                  Source bid: price, channel, bidder
                      rows: only added
        "#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid EXCEPT SELECT channel, auction FROM bid",
        &expect![[r#"
            q.sql:1:13: rows of this query change later, and table `words` only takes new rows
              1 | INSERT INTO words SELECT channel, price FROM bid EXCEPT SELECT channel, auction FROM bid
                |             ^^^^^
              EXCEPT takes a row back when the second query has it
              next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (word, n) NOT ENFORCED"#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid INTERSECT SELECT line FROM lines",
        &expect![[r#"
            q.sql:1:60: UNION of 2 columns and 1 column
              1 | INSERT INTO words SELECT channel, price FROM bid INTERSECT SELECT line FROM lines
                |                                                            ^^^^^^
              next: let both queries give as many columns"#]],
    );
}

#[test]
fn functions_by_event_time() {
    check(
        "EXPLAIN SELECT channel, LAG(price, 2) OVER (PARTITION BY channel ORDER BY date_time),
           sum(price) FILTER (WHERE auction > 1) OVER (PARTITION BY channel ORDER BY date_time),
           avg(price) OVER (PARTITION BY channel ORDER BY date_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) FROM bid",
        &expect![[r#"
            logical plan:
              Projection: bid.channel, lag(bid.price,Int64(2)) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS lag(price, 2) OVER (PARTITION BY channel ORDER BY date_time), sum(bid.price) FILTER (WHERE bid.auction > Int64(1)) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS sum(price) FILTER (WHERE (auction > 1)) OVER (PARTITION BY channel ORDER BY date_time), avg(bid.price) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN 1 HOUR PRECEDING AND CURRENT ROW AS avg(price) OVER (PARTITION BY channel ORDER BY date_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)
                WindowAggr: windowExpr=[[lag(bid.price, Int64(2)) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW, sum(bid.price) FILTER (WHERE bid.auction > Int64(1)) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW, avg(CAST(bid.price AS Float64)) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 3600000000000 } PRECEDING AND CURRENT ROW AS avg(bid.price) PARTITION BY [bid.channel] ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN 1 HOUR PRECEDING AND CURRENT ROW]]
                  TableScan: bid projection=[auction, price, channel, date_time]

            stream plan:
              Calc: channel, lag(price) AS lag(price, 2) OVER (PARTITION BY channel ORDER BY date_time), sum(price) FILTER (WHERE auction > 1) AS sum(price) FILTER (WHERE (auction > 1)) OVER (PARTITION BY channel ORDER BY date_time), avg(CAST(price AS Float64)) AS avg(price) OVER (PARTITION BY channel ORDER BY date_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)
                  rows: only added
                Over query.over: lag(price), sum(price) FILTER (WHERE auction > 1), avg(CAST(price AS Float64)) of each (channel) by date_time
                    rows: only added, event time date_time
                    a row leaves when the watermark has passed it
                    state: one row per (channel), and its last 2 rows, its rows of the last 1 h, kept for ever; rows that wait for the watermark
                  Calc: auction, price, channel, date_time, auction > 1, CAST(price AS Float64)
                      rows: only added, event time date_time
                    Source bid: auction, price, channel, date_time
                        rows: only added, event time date_time
                        watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
    check(
        "EXPLAIN SELECT price, ROW_NUMBER() OVER (ORDER BY date_time) FROM bid",
        &expect![[r#"
            logical plan:
              Projection: bid.price, row_number() ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS row_number() OVER (ORDER BY date_time)
                WindowAggr: windowExpr=[[row_number() ORDER BY [bid.date_time ASC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]]
                  TableScan: bid projection=[price, date_time]

            stream plan:
              Calc: price, row_number() AS row_number() OVER (ORDER BY date_time)
                  rows: only added
                Over query.over: row_number() by date_time
                    rows: only added, event time date_time
                    a row leaves when the watermark has passed it
                    state: one row, kept for ever; rows that wait for the watermark
                    one partition does all of this
                  Calc: price, date_time
                      rows: only added, event time date_time
                    Source bid: price, date_time
                        rows: only added, event time date_time
                        watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
}

#[test]
fn an_order_that_is_not_that_of_event_time() {
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (PARTITION BY channel ORDER BY price) FROM bid",
        &expect![[r#"
            q.sql:1:35: `sum` with OVER is not in the order of event time
              1 | INSERT INTO words SELECT channel, sum(price) OVER (PARTITION BY channel ORDER BY price) FROM bid
                |                                   ^^^
              rows that never end have no other order that is known when a row leaves
              next: add a column of time with WATERMARK to its table, and order by it"#]],
    );
    check(
        "INSERT INTO words SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time DESC) FROM bid",
        &expect![[r#"
            q.sql:1:35: `lag` with OVER is not in the order of event time
              1 | INSERT INTO words SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time DESC) FROM bid
                |                                   ^^^
              rows that never end have no other order that is known when a row leaves
              next: write ORDER BY and the column of the table's WATERMARK, ascending"#]],
    );
    check(
        "INSERT INTO screen SELECT 'all', count(*) OVER () FROM bid",
        &expect![[r#"
        q.sql:1:34: `count` with OVER has no ORDER BY
          1 | INSERT INTO screen SELECT 'all', count(*) OVER () FROM bid
            |                                  ^^^^^
          rows that never end have an order by event time only
          next: write ORDER BY and the column of the table's WATERMARK"#]],
    );
    check(
        "INSERT INTO screen SELECT 'all', sum(amount) OVER (ORDER BY at) FROM trade",
        &expect![[r#"
        q.sql:1:34: `sum` with OVER is not in the order of event time
          1 | INSERT INTO screen SELECT 'all', sum(amount) OVER (ORDER BY at) FROM trade
            |                                  ^^^
          rows that never end have no other order that is known when a row leaves
          next: add WATERMARK FOR at AS at - INTERVAL '5' SECOND to its table, and write ORDER BY at"#]],
    );
    check(
        "INSERT INTO screen SELECT channel, row_number() OVER (PARTITION BY channel ORDER BY price) FROM bid",
        &expect![[r#"
            q.sql:1:36: `row_number` with OVER is not in the order of event time
              1 | INSERT INTO screen SELECT channel, row_number() OVER (PARTITION BY channel ORDER BY price) FROM bid
                |                                    ^^^^^^^^^^
              rows that never end have no other order that is known when a row leaves
              next: for the first rows put a bound on it: SELECT .. FROM (SELECT *, ROW_NUMBER() OVER (..) AS n FROM ..) WHERE n <= 10"#]],
    );
}

#[test]
fn rows_that_change_below_over() {
    check(
        "INSERT INTO screen SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time)
         FROM (SELECT * FROM bid ORDER BY price LIMIT 3)",
        &expect![[r#"
            q.sql:1:36: `lag` with OVER reads rows that change
              1 | INSERT INTO screen SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time)
                |                                    ^^^
              a row leaves once, when the watermark has passed it, and could not be taken back
              next: compute it from a table that grows, or from windows that close"#]],
    );
}

#[test]
fn frames_that_cannot_be() {
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM bid",
        &expect![[r#"
            q.sql:1:35: `sum` sees rows behind the current one
              1 | INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM bid
                |                                   ^^^
              a row would have to wait for others that may never come
              next: end the frame with it: ROWS BETWEEN 10 PRECEDING AND CURRENT ROW"#]],
    );
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM bid",
        &expect![[r#"
            q.sql:1:35: `sum` with GROUPS is not supported
              1 | INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM bid
                |                                   ^^^
              next: write ROWS or RANGE"#]],
    );
    check(
        "INSERT INTO words SELECT channel, lag(price, auction) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#"
            q.sql:1:35: `lag` goes back by something else than a number
              1 | INSERT INTO words SELECT channel, lag(price, auction) OVER (ORDER BY date_time) FROM bid
                |                                   ^^^
              next: write lag(column, 1)"#]],
    );
    check(
        "INSERT INTO words SELECT channel, lead(price) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#"
            q.sql:1:35: `lead` with OVER is not supported
              1 | INSERT INTO words SELECT channel, lead(price) OVER (ORDER BY date_time) FROM bid
                |                                   ^^^^
              next: there are row_number, rank, dense_rank, lag, first_value, last_value, and the aggregates that keep no values"#]],
    );
    check(
        "INSERT INTO words SELECT channel, sum(DISTINCT price) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#"
            q.sql:1:35: `sum` with DISTINCT and OVER is not supported
              1 | INSERT INTO words SELECT channel, sum(DISTINCT price) OVER (ORDER BY date_time) FROM bid
                |                                   ^^^"#]],
    );
}

#[test]
fn tables_that_cannot_take_first_rows() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 3",
        &expect![[r#"
        q.sql:1:13: rows of this query change later, and table `words` only takes new rows
          1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 3
            |             ^^^^^
          the first rows of all change with each better one
          next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (..) NOT ENFORCED"#]],
    );
    check(
        "INSERT INTO counts SELECT channel, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY price) AS n FROM bid) WHERE n <= 2",
        &expect![[r#"
            q.sql:1:13: no columns of this query say which row a change is of
              1 | INSERT INTO counts SELECT channel, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY price) AS n FROM bid) WHERE n <= 2
                |             ^^^^^^
              PRIMARY KEY (word) of table `counts` would mix changes of several rows
              next: add the columns of PARTITION BY and the number of the row to the query"#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price OFFSET 3",
        &expect![[r#"
        q.sql:1:19: OFFSET without LIMIT
          1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price OFFSET 3
            |                   ^^^^^^
          a stream has no end, so the rows behind the first ones have none either
          next: add LIMIT"#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 0",
        &expect![[r#"
        q.sql:1:19: LIMIT 0 leaves no rows
          1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 0
            |                   ^^^^^^
          next: give a number from 1 on"#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price FETCH FIRST 3 ROWS ONLY",
        &expect![[r#"
            q.sql:1:77: FETCH FIRST is not supported
              1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price FETCH FIRST 3 ROWS ONLY
                |                                                                             ^
              next: write LIMIT and the number of rows"#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM (SELECT * FROM bid ORDER BY price) AS b",
        &expect![[r#"
            q.sql:1:74: ORDER BY over rows that never end
              1 | INSERT INTO words SELECT channel, price FROM (SELECT * FROM bid ORDER BY price) AS b
                |                                                                          ^^^^^
              a stream has no end to sort by
              next: add LIMIT, or leave ORDER BY out; a table WITH ('connector' = 'console', 'output_mode' = 'complete') shows all rows in order"#]],
    );
    check(
        "INSERT INTO screen SELECT channel, price FROM bid ORDER BY random() LIMIT 3",
        &expect![[r#"
        q.sql:1:60: `random` cannot stand below a top-N
          1 | INSERT INTO screen SELECT channel, price FROM bid ORDER BY random() LIMIT 3
            |                                                            ^^^^^^
          a change could not be taken back, as the function gives another value each time
          next: compute it in the last query, from rows that only grow"#]],
    );
}

#[test]
fn first_rows_into_a_table_that_grows() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 10",
        &expect![[r#"
            q.sql:1:13: rows of this query change later, and table `words` only takes new rows
              1 | INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 10
                |             ^^^^^
              the first rows of all change with each better one
              next: declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY (..) NOT ENFORCED"#]],
    );
}

#[test]
fn limit_without_an_order() {
    check(
        "INSERT INTO words SELECT channel, price FROM bid LIMIT 10",
        &expect![[r#"
            q.sql:1:56: LIMIT without ORDER BY
              1 | INSERT INTO words SELECT channel, price FROM bid LIMIT 10
                |                                                        ^^
              which rows it keeps is a matter of chance, and would change with every restart
              next: add ORDER BY, or leave LIMIT out"#]],
    );
}

#[test]
fn row_number_without_a_bound() {
    check(
        "INSERT INTO words SELECT channel, row_number() OVER (PARTITION BY channel ORDER BY date_time) FROM bid",
        &expect![[r#"
            Sink words: channel AS word, row_number() AS n (append)
              Over words.over: row_number() of each (channel) by date_time
                  rows: only added, event time date_time
                  a row leaves when the watermark has passed it
                  state: one row per (channel), kept for ever; rows that wait for the watermark
                Calc: channel, date_time
                    rows: only added, event time date_time
                  Source bid: channel, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
}
