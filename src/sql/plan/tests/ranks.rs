//! Plans of top-N, deduplication, set operations and OVER, and what is said of those that cannot be.

use super::check;
use expect_test::expect;

#[test]
fn the_first_rows_of_each_partition() {
    check(
        "EXPLAIN SELECT channel, price, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY price DESC) AS n FROM bid) WHERE n <= 3 AND price > 5",
        &expect![[r#""#]],
    );
    check(
        "EXPLAIN SELECT channel, price FROM (SELECT *, RANK() OVER (PARTITION BY channel ORDER BY lower(url), price NULLS LAST) AS n FROM bid) WHERE 3 > n",
        &expect![[r#""#]],
    );
    check("EXPLAIN SELECT channel FROM bid ORDER BY price DESC LIMIT 5 OFFSET 2", &expect![[r#""#]]);
    check(
        "EXPLAIN SELECT channel, c FROM (SELECT channel, count(*) AS c FROM bid GROUP BY channel) ORDER BY c DESC, channel LIMIT 5",
        &expect![[r#""#]],
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
        &expect![[r#""#]],
    );
}

#[test]
fn the_first_and_the_last_row_of_a_key() {
    check(
        "EXPLAIN SELECT channel, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY date_time) AS n FROM bid) WHERE n = 1",
        &expect![[r#""#]],
    );
    check(
        "EXPLAIN SELECT channel, price FROM bid QUALIFY ROW_NUMBER() OVER (PARTITION BY channel ORDER BY date_time DESC) = 1",
        &expect![[r#""#]],
    );
}

#[test]
fn set_operations() {
    check("EXPLAIN SELECT channel FROM bid INTERSECT SELECT line FROM lines", &expect![[r#""#]]);
    check(
        "EXPLAIN SELECT channel, price FROM bid EXCEPT ALL SELECT channel, CAST(bidder AS INT) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid EXCEPT SELECT channel, auction FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM bid INTERSECT SELECT line FROM lines",
        &expect![[r#""#]],
    );
}

#[test]
fn functions_by_event_time() {
    check(
        "EXPLAIN SELECT channel, LAG(price, 2) OVER (PARTITION BY channel ORDER BY date_time),
           sum(price) FILTER (WHERE auction > 1) OVER (PARTITION BY channel ORDER BY date_time),
           avg(price) OVER (PARTITION BY channel ORDER BY date_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) FROM bid",
        &expect![[r#""#]],
    );
    check("EXPLAIN SELECT price, ROW_NUMBER() OVER (ORDER BY date_time) FROM bid", &expect![[r#""#]]);
}

#[test]
fn an_order_that_is_not_that_of_event_time() {
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (PARTITION BY channel ORDER BY price) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time DESC) FROM bid",
        &expect![[r#""#]],
    );
    check("INSERT INTO screen SELECT 'all', count(*) OVER () FROM bid", &expect![[r#""#]]);
    check("INSERT INTO screen SELECT 'all', sum(amount) OVER (ORDER BY at) FROM trade", &expect![[r#""#]]);
    check(
        "INSERT INTO screen SELECT channel, row_number() OVER (PARTITION BY channel ORDER BY price) FROM bid",
        &expect![[r#""#]],
    );
}

#[test]
fn rows_that_change_below_over() {
    check(
        "INSERT INTO screen SELECT channel, lag(price) OVER (PARTITION BY channel ORDER BY date_time)
         FROM (SELECT * FROM bid ORDER BY price LIMIT 3)",
        &expect![[r#""#]],
    );
}

#[test]
fn frames_that_cannot_be() {
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, sum(price) OVER (ORDER BY date_time GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, lag(price, auction) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, lead(price) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, sum(DISTINCT price) OVER (ORDER BY date_time) FROM bid",
        &expect![[r#""#]],
    );
}

#[test]
fn tables_that_cannot_take_first_rows() {
    check("INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 3", &expect![[r#""#]]);
    check(
        "INSERT INTO counts SELECT channel, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY price) AS n FROM bid) WHERE n <= 2",
        &expect![[r#""#]],
    );
    check("INSERT INTO words SELECT channel, price FROM bid ORDER BY price OFFSET 3", &expect![[r#""#]]);
    check("INSERT INTO words SELECT channel, price FROM bid ORDER BY price LIMIT 0", &expect![[r#""#]]);
    check(
        "INSERT INTO words SELECT channel, price FROM bid ORDER BY price FETCH FIRST 3 ROWS ONLY",
        &expect![[r#""#]],
    );
    check(
        "INSERT INTO words SELECT channel, price FROM (SELECT * FROM bid ORDER BY price) AS b",
        &expect![[r#""#]],
    );
    check("INSERT INTO screen SELECT channel, price FROM bid ORDER BY random() LIMIT 3", &expect![[r#""#]]);
}
