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
        &expect![[""]],
    );
}

#[test]
fn nexmark_4_and_9_have_one_bound_only() {
    plan(
        "CREATE TABLE averages (category BIGINT, price DOUBLE, PRIMARY KEY (category) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'k', 'value.format' = 'json');
         INSERT INTO averages SELECT q.category, avg(q.final) FROM (
             SELECT max(b.price) AS final, a.category FROM auction AS a, bid AS b
             WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires GROUP BY a.id, a.category) AS q GROUP BY q.category;",
        &expect![[""]],
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
        &expect![[""]],
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
        &expect![[""]],
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
        &expect![[""]],
    );
}

#[test]
fn subqueries_become_joins() {
    plan(
        "INSERT INTO out3 SELECT channel, url, price FROM bid WHERE auction IN (SELECT id FROM auction WHERE category = 10);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE NOT EXISTS (SELECT 1 FROM auction AS a WHERE a.id = b.auction AND a.category > b.price);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE price > 10 OR EXISTS (SELECT 1 FROM auction AS a WHERE a.id = b.auction);
         INSERT INTO seen SELECT channel, url, price FROM bid AS b WHERE price > (SELECT avg(price) FROM bid AS o WHERE o.auction = b.auction);",
        &expect![[""]],
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
        &expect![[""]],
    );
}
