//! Plans of joins: what they meet by, what bounds them, and what is known of the rows that leave.

#![allow(clippy::too_many_lines, reason = "golden texts")]
use super::check;
use expect_test::{Expect, expect};

const TABLES: &str = "CREATE TABLE person (id BIGINT, name STRING, city STRING, state STRING, date_time TIMESTAMP(3), WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
  WITH ('connector' = 'kafka', 'topic' = 'person', 'format' = 'json');
CREATE TABLE auction (id BIGINT, item STRING, seller BIGINT, category BIGINT, date_time TIMESTAMP(3), expires TIMESTAMP(3), WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
  WITH ('connector' = 'kafka', 'topic' = 'auction', 'format' = 'json');
CREATE TABLE out3 (a STRING, b STRING, c BIGINT) WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
CREATE TABLE seen (a STRING, b STRING, c BIGINT) WITH ('connector' = 'print');
CREATE TABLE keyed (id BIGINT, n BIGINT, m BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'k', 'value.format' = 'json');
";

fn plan(query: &str, expected: &Expect) {
    check(&format!("{TABLES}{query}"), expected);
}

#[test]
fn nexmark_3_and_20() {
    plan(
        "EXPLAIN INSERT INTO out3 SELECT p.name, p.city, a.id FROM auction AS a INNER JOIN person AS p ON a.seller = p.id
         WHERE a.category = 10 AND (p.state = 'or' OR p.state = 'ca');
         INSERT INTO out3 SELECT b.channel, a.item, b.price FROM bid AS b, auction AS a WHERE b.auction = a.id AND a.category = 10;",
        &expect![[r#"
            logical plan:
              Projection: p.name AS a, p.city AS b, a.id AS c
                Inner Join: a.seller = p.id
                  SubqueryAlias: a
                    Projection: auction.id, auction.seller
                      Filter: auction.category = Int64(10)
                        TableScan: auction projection=[id, seller, category]
                  SubqueryAlias: p
                    Projection: person.id, person.name, person.city
                      Filter: person.state = Utf8("or") OR person.state = Utf8("ca")
                        TableScan: person projection=[id, name, city, state]

            stream plan:
              Sink out3: name AS a, city AS b, id AS c (append)
                Join out3.join: inner, seller = id
                    rows: only added
                    state: all rows of the first input, by (seller), kept for ever
                    state: all rows of the second input, by (id), kept for ever
                    state grows for ever: nothing says when a row can no longer meet another one
                  Calc: id, seller where category = 10
                      rows: only added
                    Source auction: id, seller, category
                        rows: only added
                  Calc: id, name, city where state = 'or' OR state = 'ca'
                      rows: only added
                    Source person: id, name, city, state
                        rows: only added
            Sink out3: channel AS a, item AS b, price AS c (append)
              Join out3.join: inner, auction = id
                  rows: only added
                  state: all rows of the first input, by (auction), kept for ever
                  state: all rows of the second input, by (id), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: auction, price, channel
                    rows: only added
                  Source bid: auction, price, channel
                      rows: only added
                Calc: id, item where category = 10
                    rows: only added
                  Source auction: id, item, category
                      rows: only added
        "#]],
    );
}

#[test]
fn nexmark_4_and_9_have_one_bound_only() {
    plan(
        "CREATE TABLE averages (category BIGINT, price DOUBLE, PRIMARY KEY (category) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'k', 'value.format' = 'json');
         INSERT INTO averages SELECT q.category, avg(q.final) FROM (
             SELECT max(b.price) AS final, a.category FROM auction AS a, bid AS b
             WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires GROUP BY a.id, a.category) AS q GROUP BY q.category;",
        &expect![[r#"
            Sink averages: category, avg(CAST(max(price) AS Float64)) AS price (update by (category))
              Aggregate averages.aggregate-2: avg(CAST(max(price) AS Float64)) by (category)
                  rows: change, key (category)
                  state: one row per (category), kept for ever
                Calc: category, CAST(max(price) AS Float64)
                    rows: change
                  Aggregate averages.aggregate: max(price) by (id, category)
                      rows: change, key (id, category)
                      state: one row per (id, category), kept for ever
                    Join averages.join: inner, id = auction where date_time >= date_time AND date_time <= expires
                        rows: only added
                        state: all rows of the first input, by (id), kept for ever
                        state: all rows of the second input, by (auction), kept for ever
                        state grows for ever: nothing says when a row can no longer meet another one
                      Calc: id, category, date_time, expires
                          rows: only added, event time date_time
                        Source auction: id, category, date_time, expires
                            rows: only added, event time date_time
                      Calc: auction, price, date_time
                          rows: only added, event time date_time
                        Source bid: auction, price, date_time
                            rows: only added, event time date_time
        "#]],
    );
}

#[test]
fn nexmark_5() {
    plan(
        "INSERT INTO out3 (c) SELECT ab.auction FROM (
           SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
           FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end
         ) AS ab JOIN (
           SELECT max(cb.num) AS maxn, cb.starttime, cb.endtime FROM (
             SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
             FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end
           ) AS cb GROUP BY cb.starttime, cb.endtime
         ) AS mb ON ab.starttime = mb.starttime AND ab.endtime = mb.endtime AND ab.num >= mb.maxn;",
        &expect![[r#"
            Sink out3: NULL AS a, NULL AS b, auction AS c (append)
              Join out3.join: inner, endtime = endtime and starttime = starttime where num >= maxn
                  rows: only added, key (endtime, auction, starttime)
                  state: all rows of the first input, by (endtime, starttime), kept until the watermark passes endtime
                  state: one row of the second input per (endtime, starttime), kept until the watermark passes endtime
                Calc: auction, count(*) AS num, window_start AS starttime, window_end AS endtime
                    rows: only added, key (endtime, auction, starttime)
                  Aggregate out3.aggregate: count(*) by (window_end, auction, window_start)
                      rows: only added, key (window_end, auction, window_start)
                      a row leaves when its window closes
                      state: one row per (window_end, auction, window_start), kept until the watermark passes window_end
                    Windows: HOP size 10 s slide 2 s of date_time
                        rows: only added, event time window_time
                      Calc: auction, date_time
                          rows: only added, event time date_time
                        Source bid: auction, date_time
                            rows: only added, event time date_time
                            watermark: date_time - 4 s, of the slowest partition
                Calc: max(count(*)) AS maxn, starttime, endtime
                    rows: only added, key (endtime, starttime)
                  Aggregate out3.aggregate-2: max(count(*)) by (endtime, starttime)
                      rows: only added, key (endtime, starttime)
                      a row leaves when its window closes
                      state: one row per (endtime, starttime), kept until the watermark passes endtime
                    Aggregate out3.aggregate: count(*) by (window_end, auction, window_start)
                        rows: only added, key (window_end, auction, window_start)
                        a row leaves when its window closes
                        state: one row per (window_end, auction, window_start), kept until the watermark passes window_end
                      Windows: HOP size 10 s slide 2 s of date_time
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
fn nexmark_7_and_8() {
    plan(
        "INSERT INTO out3 SELECT b.channel, b.url, b.price FROM bid AS b JOIN (
             SELECT max(price) AS maxprice, window_end AS date_time FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
             GROUP BY window_start, window_end) AS b1
           ON b.price = b1.maxprice WHERE b.date_time BETWEEN b1.date_time - INTERVAL '10' SECOND AND b1.date_time;
         INSERT INTO out3 SELECT p.name, CAST(p.starttime AS STRING), p.id FROM (
             SELECT id, name, window_start AS starttime, window_end AS endtime
             FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(date_time), INTERVAL '10' SECOND)) GROUP BY id, name, window_start, window_end
           ) AS p JOIN (
             SELECT seller, window_start AS starttime, window_end AS endtime
             FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND)) GROUP BY seller, window_start, window_end
           ) AS a ON p.id = a.seller AND p.starttime = a.starttime AND p.endtime = a.endtime;",
        &expect![[r#"
            Sink out3: channel AS a, url AS b, price AS c (append)
              Join out3.join: inner, price = maxprice where date_time >= date_time - INTERVAL '10.000000000 secs' AND date_time <= date_time
                  rows: only added, event time date_time
                  state: all rows of the first input, by (price), kept until the watermark passes date_time + 10 s
                  state: all rows of the second input, by (maxprice), kept until the watermark passes date_time
                Calc: price, channel, url, date_time
                    rows: only added, event time date_time
                  Source bid: price, channel, url, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
                Calc: max(price) AS maxprice, window_end AS date_time
                    rows: only added
                  Aggregate out3.aggregate: max(price) by (window_end, window_start)
                      rows: only added, key (window_end, window_start)
                      a row leaves when its window closes
                      state: one row per (window_end, window_start), kept until the watermark passes window_end
                    Windows: TUMBLE size 10 s of date_time
                        rows: only added, event time window_time
                      Calc: price, date_time
                          rows: only added, event time date_time
                        Source bid: price, channel, url, date_time
                            rows: only added, event time date_time
                            watermark: date_time - 4 s, of the slowest partition
            Sink out3: a, b, c (append)
              Calc: name AS a, CAST(starttime AS Utf8) AS b, id AS c
                  rows: only added
                Join out3.join-2: inner, endtime = endtime and id = seller and starttime = starttime
                    rows: only added, key (endtime, id, name, starttime)
                    state: all rows of the first input, by (endtime, id, starttime), kept until the watermark passes endtime
                    state: one row of the second input per (endtime, seller, starttime), kept until the watermark passes endtime
                  Calc: id, name, window_start AS starttime, window_end AS endtime
                      rows: only added, key (endtime, id, name, starttime)
                    Aggregate out3.aggregate-2: distinct by (window_end, id, name, window_start)
                        rows: only added, key (window_end, id, name, window_start)
                        a row leaves when its window closes
                        state: one row per (window_end, id, name, window_start), kept until the watermark passes window_end
                      Windows: TUMBLE size 10 s of date_time
                          rows: only added, event time window_time
                        Calc: id, name, date_time
                            rows: only added, event time date_time
                          Source person: id, name, date_time
                              rows: only added, event time date_time
                              watermark: date_time - 4 s, of the slowest partition
                  Calc: seller, window_start AS starttime, window_end AS endtime
                      rows: only added, key (endtime, seller, starttime)
                    Aggregate out3.aggregate-3: distinct by (window_end, seller, window_start)
                        rows: only added, key (window_end, seller, window_start)
                        a row leaves when its window closes
                        state: one row per (window_end, seller, window_start), kept until the watermark passes window_end
                      Windows: TUMBLE size 10 s of date_time
                          rows: only added, event time window_time
                        Calc: seller, date_time
                            rows: only added, event time date_time
                          Source auction: seller, date_time
                              rows: only added, event time date_time
                              watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
}

#[test]
fn bounds_of_time_are_found_in_the_condition() {
    plan(
        "INSERT INTO out3 SELECT a.item, b.channel, b.price FROM auction AS a LEFT JOIN bid AS b
           ON a.id = b.auction AND b.date_time BETWEEN a.date_time - INTERVAL '5' SECOND AND a.date_time + INTERVAL '1' MINUTE;
         INSERT INTO out3 SELECT a.item, b.channel, b.price FROM auction AS a JOIN bid AS b
           ON a.id = b.auction AND a.date_time = b.date_time;
         INSERT INTO out3 SELECT a.item, b.channel, b.price FROM auction AS a RIGHT JOIN bid AS b
           ON a.id = b.auction AND a.date_time > b.date_time - INTERVAL '2' HOUR AND a.date_time + INTERVAL '1' HOUR <= b.date_time;
         INSERT INTO seen SELECT a.item, b.channel, b.price FROM auction AS a LEFT JOIN bid AS b
           ON a.id = b.auction AND a.date_time < b.date_time;",
        &expect![[r#"
            Sink out3: item AS a, channel AS b, price AS c (append)
              Join out3.join: rows of the first input stay, id = auction where date_time >= date_time - INTERVAL '5.000000000 secs' AND date_time <= date_time + INTERVAL '1 mins'
                  rows: only added, event time date_time
                  a row without a partner leaves when the watermark shows that none will come
                  state: all rows of the first input, by (id), kept until the watermark passes date_time + 1 min
                  state: all rows of the second input, by (auction), kept until the watermark passes date_time + 5 s
                Calc: id, item, date_time
                    rows: only added, event time date_time
                  Source auction: id, item, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
                Calc: auction, price, channel, date_time
                    rows: only added, event time date_time
                  Source bid: auction, price, channel, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
            Sink out3: item AS a, channel AS b, price AS c (append)
              Join out3.join-2: inner, id = auction and date_time = date_time
                  rows: only added, event time date_time
                  state: all rows of the first input, by (id, date_time), kept until the watermark passes date_time
                  state: all rows of the second input, by (auction, date_time), kept until the watermark passes date_time
                Calc: id, item, date_time
                    rows: only added, event time date_time
                  Source auction: id, item, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
                Calc: auction, price, channel, date_time
                    rows: only added, event time date_time
                  Source bid: auction, price, channel, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
            Sink out3: item AS a, channel AS b, price AS c (append)
              Join out3.join-3: rows of the first input stay, auction = id where date_time > date_time - INTERVAL '2 hours' AND date_time + INTERVAL '1 hours' <= date_time
                  rows: only added, event time date_time
                  a row without a partner leaves when the watermark shows that none will come
                  state: all rows of the first input, by (auction), kept until the watermark passes date_time - 1 h
                  state: all rows of the second input, by (id), kept until the watermark passes date_time + 2 h
                Calc: auction, price, channel, date_time
                    rows: only added, event time date_time
                  Source bid: auction, price, channel, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
                Calc: id, item, date_time
                    rows: only added, event time date_time
                  Source auction: id, item, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
            Sink seen: item AS a, channel AS b, price AS c (changes)
              Join seen.join: rows of the first input stay, id = auction where date_time < date_time
                  rows: change
                  state: all rows of the first input, by (id), kept for ever
                  state: all rows of the second input, by (auction), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: id, item, date_time
                    rows: only added, event time date_time
                  Source auction: id, item, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
                Calc: auction, price, channel, date_time
                    rows: only added, event time date_time
                  Source bid: auction, price, channel, date_time
                      rows: only added, event time date_time
                      watermark: date_time - 4 s, of the slowest partition
        "#]],
    );
}

#[test]
fn subqueries_become_joins() {
    plan(
        "INSERT INTO out3 SELECT channel, url, price FROM bid WHERE auction IN (SELECT id FROM auction WHERE category = 10);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE NOT EXISTS (SELECT 1 FROM auction AS a WHERE a.id = b.auction AND a.category > b.price);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE price > 10 OR EXISTS (SELECT 1 FROM auction AS a WHERE a.id = b.auction);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE price > (SELECT avg(price) FROM bid AS o WHERE o.auction = b.auction);",
        &expect![[r#"
            Sink out3: channel AS a, url AS b, price AS c (append)
              Join out3.join: rows of the first input with a partner, auction = id
                  rows: only added
                  state: all rows of the first input, by (auction), kept for ever
                  state: how many rows of the second input have each (id), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: auction, price, channel, url
                    rows: only added
                  Source bid: auction, price, channel, url
                      rows: only added
                Calc: id where category = 10
                    rows: only added
                  Source auction: id, category
                      rows: only added
            Sink seen: channel AS a, url AS b, price AS c (changes)
              Join seen.join: rows of the first input without a partner, auction = id where category > price
                  rows: change
                  state: all rows of the first input, by (auction), kept for ever
                  state: all rows of the second input, by (id), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: auction, price, channel, url
                    rows: only added
                  Source bid: auction, price, channel, url
                      rows: only added
                Calc: category, id
                    rows: only added
                  Source auction: id, category
                      rows: only added
            Sink seen: a, b, c (changes)
              Calc: channel AS a, url AS b, price AS c where price > 10 OR mark
                  rows: change
                Join seen.join-2: rows of the first input, and whether they have a partner, auction = id
                    rows: change
                    state: all rows of the first input, by (auction), kept for ever
                    state: how many rows of the second input have each (id), kept for ever
                    state grows for ever: nothing says when a row can no longer meet another one
                  Calc: auction, price, channel, url
                      rows: only added
                    Source bid: auction, price, channel, url
                        rows: only added
                  Calc: id
                      rows: only added
                    Source auction: id, category
                        rows: only added
            Sink seen: channel AS a, url AS b, price AS c (changes)
              Join seen.join-3: inner, auction = auction where CAST(price AS Float64) > avg(price)
                  rows: change
                  state: all rows of the first input, by (auction), kept for ever
                  state: one row of the second input per (auction), kept for ever
                  state grows for ever: nothing says when a row can no longer meet another one
                Calc: auction, price, channel, url
                    rows: only added
                  Source bid: auction, price, channel, url
                      rows: only added
                Calc: avg(CAST(price AS Float64)) AS avg(price), auction
                    rows: change, key (auction)
                  Aggregate seen.aggregate: avg(CAST(price AS Float64)) by (auction)
                      rows: change, key (auction)
                      state: one row per (auction), kept for ever
                    Calc: auction, CAST(price AS Float64)
                        rows: only added
                      Source bid: auction, price, channel, url
                          rows: only added
        "#]],
    );
}

#[test]
fn keys_of_joined_aggregates_and_rows_that_lie_where_they_meet() {
    plan(
        "CREATE VIEW bids AS SELECT auction, count(*) AS n FROM bid GROUP BY auction;
         CREATE VIEW sellers AS SELECT seller, count(*) AS m FROM auction GROUP BY seller;
         INSERT INTO keyed SELECT b.auction, b.n, s.m FROM bids AS b JOIN sellers AS s ON b.auction = s.seller;
         INSERT INTO keyed SELECT b.auction, b.n, s.m FROM bids AS b LEFT JOIN sellers AS s ON b.n = s.seller;
         INSERT INTO keyed SELECT s.seller, sum(b.n), 0 FROM bids AS b JOIN sellers AS s ON b.auction = s.seller GROUP BY s.seller;",
        &expect![[r#"
            Sink keyed: auction AS id, count(*) AS n, count(*) AS m (update by (auction))
              Join keyed.join: inner, auction = seller
                  rows: change, key (auction)
                  state: one row of the first input per (auction), kept for ever
                  state: one row of the second input per (seller), kept for ever
                Aggregate keyed.aggregate: count(*) by (auction)
                    rows: change, key (auction)
                    state: one row per (auction), kept for ever
                  Source bid: auction
                      rows: only added
                Aggregate keyed.aggregate-2: count(*) by (seller)
                    rows: change, key (seller)
                    state: one row per (seller), kept for ever
                  Source auction: seller
                      rows: only added
            Sink keyed: auction AS id, count(*) AS n, count(*) AS m (update by (auction))
              Join keyed.join-2: rows of the first input stay, count(*) = seller
                  rows: change, key (auction)
                  state: all rows of the first input, by (count(*)), kept for ever
                  state: one row of the second input per (seller), kept for ever
                Aggregate keyed.aggregate: count(*) by (auction)
                    rows: change, key (auction)
                    state: one row per (auction), kept for ever
                  Source bid: auction
                      rows: only added
                Aggregate keyed.aggregate-2: count(*) by (seller)
                    rows: change, key (seller)
                    state: one row per (seller), kept for ever
                  Source auction: seller
                      rows: only added
            Sink keyed: id, n, m (update by (id))
              Calc: seller AS id, sum(count(*)) AS n, 0 AS m
                  rows: change, key (id)
                Aggregate keyed.aggregate-4: sum(count(*)) by (seller)
                    rows: change, key (seller)
                    state: one row per (seller), kept for ever
                  Join keyed.join-3: inner, auction = seller
                      rows: change, key (auction)
                      state: one row of the first input per (auction), kept for ever
                      state: one row of the second input per (seller), kept for ever
                      state grows for ever: nothing says when a row can no longer meet another one
                    Aggregate keyed.aggregate: count(*) by (auction)
                        rows: change, key (auction)
                        state: one row per (auction), kept for ever
                      Source bid: auction
                          rows: only added
                    Aggregate keyed.aggregate-3: distinct by (seller)
                        rows: only added, key (seller)
                        state: one row per (seller), kept for ever
                      Source auction: seller
                          rows: only added
        "#]],
    );
}
