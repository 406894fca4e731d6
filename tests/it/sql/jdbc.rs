//! Rows in tables of a real Postgres.

use super::{mistakes, parsed};
use crate::{
    driver::{PLAIN, Session},
    postgres::Postgres,
};
use tidegate::StreamingContext;

#[test]
fn rows_are_appended_replaced_and_deleted() {
    let postgres = Postgres::start();
    postgres.run("CREATE TABLE places (place text PRIMARY KEY, n bigint, points bigint, last timestamptz); CREATE TABLE seen (id bigint, tags text[], price numeric(10, 2))");
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "p@ss/word\n").unwrap();
    let jdbc = format!(
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{}/postgres', 'username' = 'postgres', 'password.file' = '{}'",
        postgres.port,
        password.path().display()
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

#[test]
fn a_table_is_read_once_and_joined() {
    let postgres = Postgres::start();
    postgres.run("CREATE SCHEMA shop; CREATE TABLE shop.places (id bigint PRIMARY KEY, \"the name\" text, price numeric(10, 2), ratio double precision, is_open boolean, opened timestamp, seen timestamptz, day date, tags text[], other bytea);
        INSERT INTO shop.places VALUES (1, E'it''s \"x\"\\n', 2.50, 0.1, true, '2026-11-29 20:35:00.25', '2026-11-29 20:35:00+02', '2026-11-29', '{a,NULL}', 'x'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)");
    let jdbc = format!(
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{}/postgres', 'username' = 'postgres', 'password' = 'p@ss/word'",
        postgres.port
    );
    let columns = "id BIGINT, `the name` STRING, price DECIMAL(10, 2), ratio DOUBLE, is_open BOOLEAN, opened TIMESTAMP(3), seen TIMESTAMP_LTZ(3), day DATE, tags ARRAY<STRING>";
    let script = |columns: &str, table: &str| {
        format!(
            "CREATE TABLE sales (place BIGINT) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json');
             CREATE TABLE places ({columns}) WITH ({jdbc}, 'table-name' = '{table}');
             CREATE TABLE out (place BIGINT, {columns}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
             INSERT INTO out SELECT s.place, p.* FROM sales AS s JOIN places AS p ON s.place = p.id;"
        )
    };
    let read = parsed(&script(columns, "shop.places")).unwrap();
    let mut driver = tidegate::testing::Driver::new(move |ssc: &StreamingContext| ssc.sql(&read));
    let written = driver
        .batch("sales 0 | - | {\"place\":1}\nsales 0 | - | {\"place\":2}\nsales 0 | - | {\"place\":3}\n")
        .unwrap();
    expect_test::expect![[r#"
        out | - | {"place":1,"id":1,"the name":"it's \"x\"\n","price":2.50,"ratio":0.1,"is_open":true,"opened":"2026-11-29T20:35:00.250Z","seen":"2026-11-29T18:35:00Z","day":"2026-11-29","tags":["a",null]}
        out | - | {"place":2,"id":2,"the name":null,"price":null,"ratio":null,"is_open":null,"opened":null,"seen":null,"day":null,"tags":null}
    "#]].assert_eq(&written.to_string());
    let mut told = String::new();
    for (columns, table) in [
        (columns, "shop.nowhere"),
        ("id BIGINT, missing STRING", "shop.places"),
        ("id BIGINT, `the name` BIGINT", "shop.places"),
        ("id BIGINT, price BIGINT NOT NULL", "shop.places"),
        ("id BIGINT, other BYTES", "shop.places"),
    ] {
        let said = mistakes(&script(columns, table)).replace(&postgres.port.to_string(), "PORT");
        let plain: Vec<&str> = said.lines().filter(|line| !line.contains('|')).collect();
        told.push_str(&plain.join("\n"));
        told.push_str("\n\n");
    }
    assert!(!told.contains("p@ss"), "{told}");
    expect_test::expect![[r#"
        q.sql:2:27: table `places`: Postgres at 127.0.0.1:PORT/postgres: relation "shop.nowhere" does not exist
          next: correct 'url', 'table-name', 'username' and 'password', or the columns

        q.sql:2:27: table `places`: Postgres at 127.0.0.1:PORT/postgres: column "missing" does not exist
          next: correct 'url', 'table-name', 'username' and 'password', or the columns

        q.sql:2:27: table `places`: row 1: field `the name` at byte 19: expected an integer, found a string
          next: correct 'url', 'table-name', 'username' and 'password', or the columns

        q.sql:2:27: table `places`: row 1: field `price` at byte 16: 2.50 is no integer
          next: correct 'url', 'table-name', 'username' and 'password', or the columns

        q.sql:2:27: table `places`: column `other` is BYTES, which cannot be read from a database
          next: leave the column out

    "#]].assert_eq(&told);
}

#[test]
fn a_password_in_a_file_that_is_not_there_is_a_mistake_and_so_are_two() {
    let with = |more: &str| {
        format!(
            "CREATE TABLE g (a INT) WITH ('connector' = 'datagen');
             CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://h/db', 'table-name' = 't', 'username' = 'u', {more});
             INSERT INTO t SELECT a FROM g;"
        )
    };
    let told = mistakes(&with("'password.file' = '/nowhere/at all'"));
    assert!(told.contains("the file /nowhere/at all cannot be read"), "{told}");
    let told = mistakes(&with("'password' = 'canary', 'password.file' = '/nowhere'"));
    assert!(told.contains("'password' and 'password.file' are the same option"), "{told}");
}
