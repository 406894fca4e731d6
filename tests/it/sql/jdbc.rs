//! Rows in tables of a real Postgres.

use super::parsed;
use crate::{
    driver::{PLAIN, Session},
    postgres::Postgres,
};
use tidegate::StreamingContext;

#[test]
fn rows_are_appended_replaced_and_deleted() {
    let postgres = Postgres::start();
    postgres.run("CREATE TABLE places (place text PRIMARY KEY, n bigint, points bigint, last timestamptz); CREATE TABLE seen (id bigint, tags text[], price numeric(10, 2))");
    let jdbc = format!(
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{}/postgres', 'username' = 'postgres', 'password' = 'p@ss/word'",
        postgres.port
    );
    let script = format!(
        "CREATE TABLE users (id BIGINT, place STRING, points BIGINT, at TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED)
           WITH ('connector' = 'upsert-kafka', 'topic' = 'users', 'format' = 'json');
         CREATE TABLE sales (id BIGINT, tags ARRAY<STRING>, price DECIMAL(10, 2)) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json');
         CREATE TABLE places (place STRING, n BIGINT, points BIGINT, last TIMESTAMP(3), PRIMARY KEY (place) NOT ENFORCED) WITH ({jdbc}, 'table-name' = 'places');
         CREATE TABLE seen (id BIGINT, tags ARRAY<STRING>, price DECIMAL(10, 2)) WITH ({jdbc}, 'table-name' = 'public.seen');
         INSERT INTO places SELECT place, count(*), sum(points), max(at) FROM users GROUP BY place;
         INSERT INTO seen SELECT id, tags, price FROM sales;"
    );
    let script = parsed(&script).unwrap();
    let build = move |ssc: &StreamingContext| ssc.sql(&script);
    let mut session = Session::new(PLAIN);
    session.feed("users 0 | {\"id\":1} | {\"place\":\"sea\",\"points\":5,\"at\":\"2026-11-29T20:35:00Z\"}\nusers 1 | {\"id\":2} | {\"place\":\"it's \\\"x\\\"\",\"points\":7}\nsales 0 | - | {\"id\":1,\"tags\":[\"a\",null],\"price\":2.50}\n");
    session.run(&build).unwrap();
    let show = "SELECT concat_ws(' ', place, n, points, last AT TIME ZONE 'UTC') FROM places ORDER BY place";
    assert_eq!(postgres.texts(show), ["it's \"x\" 1 7", "sea 1 5 2026-11-29 20:35:00"]);
    // A group that has no row left is deleted, in the order of batches.
    session.feed("users 1 | {\"id\":2} | -\nusers 0 | {\"id\":1} | {\"place\":\"sea\",\"points\":6}\nsales 1 | - | {\"id\":2,\"tags\":null,\"price\":0}\n");
    session.run(&build).unwrap();
    assert_eq!(postgres.texts(show), ["sea 1 6"]);
    session.feed(
        "users 1 | {\"id\":2} | {\"place\":\"it's \\\"x\\\"\",\"points\":1}\nusers 0 | {\"id\":1} | -\n",
    );
    session.run(&build).unwrap();
    session.run(&build).unwrap();
    assert_eq!(postgres.texts(show), ["it's \"x\" 1 1"]);
    let seen = "SELECT concat_ws(' ', id, tags, price) FROM seen ORDER BY id";
    assert_eq!(postgres.texts(seen), ["1 {a,NULL} 2.50", "2 0.00"]);
}
