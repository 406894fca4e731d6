//! Records of CSV, keys in several formats, and what the log says of a record.

use super::driver;
use expect_test::expect;

#[test]
fn records_of_csv_are_read_and_written() {
    let mut driver = driver(
        "CREATE TABLE a (id BIGINT NOT NULL, name STRING, price DECIMAL(6, 2), at TIMESTAMP(3), ok BOOLEAN) WITH (
           'connector' = 'kafka', 'topic' = 'a', 'format' = 'csv', 'csv.field-delimiter' = ';', 'on-bad-record' = 'skip');
         CREATE TABLE b (name STRING, at TIMESTAMP(3), price DECIMAL(6, 2), id BIGINT) WITH (
           'connector' = 'kafka', 'topic' = 'b', 'value.format' = 'csv', 'value.csv.null-literal' = 'n/a');
         INSERT INTO b SELECT name, at, price * 2, id FROM a;",
    );
    let written = driver
        .batch(
            "a 0 | - | 1;\"tea; green\";2.5;2026-11-29 20:35:00;true
a 0 | - | 2;;;;
a 0 | - | x;tea;1;;
a 0 | - | 3;tea
a 0 | - | 4;\"say \"\"hi\"\", you\";0;1500;false
",
        )
        .unwrap();
    expect![[r#"
        b | - | "say ""hi"", you",1970-01-01T00:00:01.500Z,0.00,4
        b | - | n/a,n/a,n/a,2
        b | - | tea; green,2026-11-29T20:35:00Z,5.00,1
        a-0 2: value: field `id` at byte 0: "x" is no integer
        a-0 3: value: at byte 5: expected 5 fields, found 2
    "#]]
    .assert_eq(&(written.to_string() + &driver.take_bad_records().join("\n") + "\n"));
}

#[test]
fn keys_may_be_csv_or_raw_and_headers_are_read() {
    let mut driver = driver(
        "CREATE TABLE a (k STRING, n INT, v STRING, h MAP<STRING, BYTES> METADATA FROM 'headers') WITH (
           'connector' = 'kafka', 'topic' = 'a', 'key.format' = 'csv', 'key.fields' = 'k;n', 'value.format' = 'text', 'value.fields-include' = 'EXCEPT_KEY');
         CREATE TABLE b (k STRING, v STRING, n INT) WITH (
           'connector' = 'kafka', 'topic' = 'b', 'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'csv', 'value.fields-include' = 'EXCEPT_KEY');
         INSERT INTO b SELECT k, v, n FROM a;",
    );
    let written = driver.batch("a 0 | x,7 | hello, you\n").unwrap();
    assert_eq!(written.to_string(), "b | x | \"hello, you\",7\n");
}
