//! A script of the benchmark's kind: nested rows, views over one topic, windows, joins, top rows.

use super::{
    good,
    statements::{shown, table},
};
use crate::sql::parse::Statement;
use expect_test::expect;

const EVENTS: &str = "
CREATE TABLE nexmark (
    event_type INT,
    person ROW<id BIGINT, name VARCHAR, `emailAddress` VARCHAR, city VARCHAR, state VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
    auction ROW<id BIGINT, `itemName` VARCHAR, `initialBid` BIGINT, expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
    event_time AS CASE WHEN event_type = 0 THEN person.`dateTime` ELSE bid.`dateTime` END,
    WATERMARK FOR event_time AS event_time - INTERVAL '4' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'nexmark', 'scan.startup.mode' = 'earliest-offset',
    'properties.group.id' = 'nexmark', 'format' = 'json'
)";

#[test]
fn the_table_of_events() {
    expect![[r#"
        nexmark
          event_type INT
          person ROW<id BIGINT, name STRING, emailAddress STRING, city STRING, state STRING, dateTime TIMESTAMP(3), extra STRING>
          auction ROW<id BIGINT, itemName STRING, initialBid BIGINT, expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>
          bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING>
          event_time AS CASE WHEN event_type = 0 THEN person.`dateTime` ELSE bid.`dateTime` END
          watermark event_time - 4000 ms
          connector = kafka
          format = json
          properties.group.id = nexmark
          scan.startup.mode = earliest-offset
          topic = nexmark
    "#]].assert_eq(&shown(&table(EVENTS).definition));
}

#[test]
fn queries_come_out_as_they_went_in() {
    let queries = [
        "SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid",
        "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0",
        "SELECT p.name, p.city, a.id FROM auction AS a INNER JOIN person AS p ON a.seller = p.id WHERE a.category = 10 AND (p.state = 'or' OR p.state = 'ca')",
        "SELECT q.category, AVG(q.final) FROM (SELECT MAX(b.price) AS final, a.category FROM auction AS a, bid AS b WHERE a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires GROUP BY a.id, a.category) AS q GROUP BY q.category",
        "SELECT auction, count(*) AS num, window_start, window_end FROM TABLE(HOP(TABLE(bid), DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end",
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS rank_number FROM bid) WHERE rank_number <= 10",
        "SELECT COUNT(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders FROM bid GROUP BY channel",
        "SELECT CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime' WHEN HOUR(`dateTime`) <= 6 THEN 'nightTime' ELSE 'otherTime' END AS bid_time_type FROM bid",
        "SELECT id FROM auction WHERE id NOT IN (SELECT auction FROM bid) AND EXISTS (SELECT 1 FROM person WHERE person.id = seller)",
        "SELECT bidder, count(*) FROM bid GROUP BY bidder, window(ts, '10 minutes', '5 minutes')",
        "SELECT bidder, t.word FROM bid CROSS JOIN UNNEST(words) AS t (word)",
    ];
    for query in queries {
        let text = query.replace("TABLE(bid)", "TABLE bid");
        let [Statement::CreateView(view), Statement::Insert(insert)] =
            &good(&format!("CREATE VIEW v AS {text};\nINSERT INTO out {text}"))[..]
        else {
            panic!("{text}")
        };
        assert_eq!(view.query.to_string(), query);
        assert_eq!(insert.query.to_string(), query);
    }
}
