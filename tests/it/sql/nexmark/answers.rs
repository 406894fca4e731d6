//! What a batch engine answers to the queries: texts of DataFusion, which share no window, no function of Flink and no view with the
//! queries themselves. `{watermark}` is the time up to which windows are closed.

/// The answer to a query of Nexmark, over the tables `person`, `auction`, `bid` and `side_input`; its columns are called as those of the
/// query's table. `bid` has a further column `p_time`: when the bid was read.
pub fn answer(query: u32) -> &'static str {
    let found = ANSWERS.iter().find(|(of, _)| *of == query);
    found.unwrap_or_else(|| panic!("query {query} has no answer")).1
}

const ANSWERS: &[(u32, &str)] = &[
    (0, "SELECT auction, bidder, price, dateTime, extra FROM bid"),
    (1, "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid"),
    (2, "SELECT auction, price FROM bid WHERE auction % 123 = 0"),
    (3, "SELECT name, city, state, auction.id AS id FROM auction JOIN person ON seller = person.id
            WHERE category = 10 AND state IN ('OR', 'ID', 'CA')"),
    (4, "SELECT category AS id, CAST(avg(best) AS BIGINT) AS final FROM (
                SELECT auction.id AS id, category, max(price) AS best FROM auction JOIN bid ON bid.auction = auction.id
                WHERE bid.dateTime >= auction.dateTime AND bid.dateTime <= expires GROUP BY auction.id, category
            ) GROUP BY category"),
    (5, "WITH counts AS (
                SELECT auction, opened, count(*) AS num FROM (
                    SELECT auction, date_bin(INTERVAL '2 seconds', dateTime) - back AS opened FROM bid CROSS JOIN (VALUES
                        (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'), (INTERVAL '8 seconds')
                    ) AS slides(back)
                ) GROUP BY auction, opened
            )
            SELECT auction, num FROM counts JOIN (SELECT opened AS at, max(num) AS most FROM counts GROUP BY opened) ON opened = at AND num = most
            WHERE opened + INTERVAL '10 seconds' <= {watermark}"),
    (7, "SELECT auction, price AS bidder, bidder AS price, dateTime, extra FROM bid JOIN (
                SELECT max(price) AS most, date_bin(INTERVAL '10 seconds', dateTime) + INTERVAL '10 seconds' AS closes FROM bid
                GROUP BY date_bin(INTERVAL '10 seconds', dateTime)
            ) ON price = most WHERE dateTime >= closes - INTERVAL '10 seconds' AND dateTime <= closes AND closes <= {watermark}"),
    (8, "SELECT id, name, arrow_cast(stime, 'Timestamp(Millisecond, None)') AS stime FROM
                (SELECT DISTINCT id, name, date_bin(INTERVAL '10 seconds', dateTime) AS stime FROM person)
            JOIN (SELECT DISTINCT seller, date_bin(INTERVAL '10 seconds', dateTime) AS at FROM auction) ON id = seller AND stime = at
            WHERE stime + INTERVAL '10 seconds' <= {watermark}"),
    (9, "SELECT id, itemName, description, initialBid, reserve, dateTime, expires, seller, category, extra,
                auction, bidder, price, bid_dateTime, bid_extra FROM (
                SELECT auction.*, bid.auction, bidder, price, bid.dateTime AS bid_dateTime, bid.extra AS bid_extra,
                    row_number() OVER (PARTITION BY id ORDER BY price DESC, bid.dateTime) AS place
                FROM auction JOIN bid ON bid.auction = id AND bid.dateTime BETWEEN auction.dateTime AND expires
            ) WHERE place = 1"),
    (10, "SELECT auction, bidder, price, dateTime, extra, to_char(dateTime, '%Y-%m-%d') AS dt, to_char(dateTime, '%H:%M') AS hm FROM bid"),
    (11, "SELECT bidder, count(*) AS bid_count, arrow_cast(min(ms), 'Timestamp(Millisecond, None)') AS starttime,
                arrow_cast(max(ms) + 10000, 'Timestamp(Millisecond, None)') AS endtime FROM (
                SELECT bidder, ms, sum(begins) OVER (PARTITION BY bidder ORDER BY ms) AS session FROM (
                    SELECT bidder, ms, CASE WHEN ms - lag(ms) OVER (PARTITION BY bidder ORDER BY ms) <= 10000 THEN 0 ELSE 1 END AS begins
                    FROM (SELECT bidder, CAST(dateTime AS BIGINT) AS ms FROM bid)
                )
            ) GROUP BY bidder, session HAVING arrow_cast(max(ms) + 10000, 'Timestamp(Millisecond, None)') <= {watermark}"),
    (12, "SELECT bidder, count(*) AS bid_count, arrow_cast(at, 'Timestamp(Millisecond, None)') AS starttime,
                arrow_cast(at + INTERVAL '10 seconds', 'Timestamp(Millisecond, None)') AS endtime
            FROM (SELECT bidder, date_bin(INTERVAL '10 seconds', p_time) AS at FROM bid) GROUP BY bidder, at
            HAVING at + INTERVAL '10 seconds' <= {now}"),
    (13, "SELECT auction, bidder, price, dateTime, value FROM bid JOIN side_input ON auction % 10000 = key"),
    (14, "SELECT auction, bidder, 0.908 * price AS price, CASE
                    WHEN date_part('hour', dateTime) BETWEEN 8 AND 18 THEN 'dayTime'
                    WHEN date_part('hour', dateTime) <= 6 OR date_part('hour', dateTime) >= 20 THEN 'nightTime'
                    ELSE 'otherTime'
                END AS bidTimeType, dateTime, extra, CAST(character_length(extra) - character_length(replace(extra, 'c', '')) AS BIGINT) AS c_counts
            FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000"),
    (15, "SELECT to_char(dateTime, '%Y-%m-%d') AS day,
                count(*) AS total_bids, sum(CASE WHEN price < 10000 THEN 1 ELSE 0 END) AS rank1_bids,
                sum(CASE WHEN price >= 10000 AND price < 1000000 THEN 1 ELSE 0 END) AS rank2_bids,
                sum(CASE WHEN price >= 1000000 THEN 1 ELSE 0 END) AS rank3_bids,
                count(DISTINCT bidder) AS total_bidders, count(DISTINCT CASE WHEN price < 10000 THEN bidder END) AS rank1_bidders,
                count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END) AS rank2_bidders,
                count(DISTINCT CASE WHEN price >= 1000000 THEN bidder END) AS rank3_bidders,
                count(DISTINCT auction) AS total_auctions, count(DISTINCT CASE WHEN price < 10000 THEN auction END) AS rank1_auctions,
                count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN auction END) AS rank2_auctions,
                count(DISTINCT CASE WHEN price >= 1000000 THEN auction END) AS rank3_auctions
            FROM bid GROUP BY to_char(dateTime, '%Y-%m-%d')"),
    (16, "SELECT channel, to_char(dateTime, '%Y-%m-%d') AS day, max(to_char(dateTime, '%H:%M')) AS minute,
                count(*) AS total_bids, sum(CASE WHEN price < 10000 THEN 1 ELSE 0 END) AS rank1_bids,
                sum(CASE WHEN price >= 10000 AND price < 1000000 THEN 1 ELSE 0 END) AS rank2_bids,
                sum(CASE WHEN price >= 1000000 THEN 1 ELSE 0 END) AS rank3_bids,
                count(DISTINCT bidder) AS total_bidders, count(DISTINCT CASE WHEN price < 10000 THEN bidder END) AS rank1_bidders,
                count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END) AS rank2_bidders,
                count(DISTINCT CASE WHEN price >= 1000000 THEN bidder END) AS rank3_bidders,
                count(DISTINCT auction) AS total_auctions, count(DISTINCT CASE WHEN price < 10000 THEN auction END) AS rank1_auctions,
                count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN auction END) AS rank2_auctions,
                count(DISTINCT CASE WHEN price >= 1000000 THEN auction END) AS rank3_auctions
            FROM bid GROUP BY channel, to_char(dateTime, '%Y-%m-%d')"),
    (17, "SELECT auction, to_char(dateTime, '%Y-%m-%d') AS day,
                count(*) AS total_bids, sum(CASE WHEN price < 10000 THEN 1 ELSE 0 END) AS rank1_bids,
                sum(CASE WHEN price >= 10000 AND price < 1000000 THEN 1 ELSE 0 END) AS rank2_bids,
                sum(CASE WHEN price >= 1000000 THEN 1 ELSE 0 END) AS rank3_bids,
                min(price) AS min_price, max(price) AS max_price, sum(price) / count(*) AS avg_price, sum(price) AS sum_price
            FROM bid GROUP BY auction, to_char(dateTime, '%Y-%m-%d')"),
    (18, "SELECT auction, bidder, price, channel, url, dateTime, extra FROM bid AS b
            WHERE NOT EXISTS (SELECT 1 FROM bid AS later WHERE later.auction = b.auction AND later.bidder = b.bidder AND later.dateTime > b.dateTime)"),
    (19, "SELECT * FROM (
                SELECT auction, bidder, price, channel, url, dateTime, extra, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS rank_number
                FROM bid
            ) WHERE rank_number <= 10"),
    (20, "SELECT auction, bidder, price, channel, url, bid.dateTime AS bid_dateTime, bid.extra AS bid_extra, itemName, description, initialBid,
                reserve, auction.dateTime AS auction_dateTime, expires, seller, category, auction.extra AS auction_extra
            FROM bid JOIN auction ON auction = id WHERE category = 10"),
    (21, "SELECT * FROM (
                SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
                    WHEN 'baidu' THEN '3' ELSE regexp_match(url, '(&|^)channel_id=([^&]*)')[2] END AS channel_id FROM bid
            ) WHERE channel_id IS NOT NULL"),
    (22, "SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2, split_part(url, '/', 6) AS dir3
            FROM bid"),
];
