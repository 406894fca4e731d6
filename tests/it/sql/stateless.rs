//! Queries that keep nothing.

use super::{driver, input, mistakes};

const EVENTS: &str = "
CREATE TABLE events (
    id BIGINT, user_id STRING, price DOUBLE, ts TIMESTAMP(3),
    at BIGINT METADATA FROM 'offset' VIRTUAL
) WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json');
";

#[test]
fn a_filter_and_a_projection_write_a_topic() {
    let mut driver = driver(&format!(
        "{EVENTS}
        CREATE TABLE dear (id BIGINT, who STRING, cents BIGINT) WITH ('connector' = 'kafka', 'topic' = 'dear', 'format' = 'json');
        INSERT INTO dear SELECT id, upper(user_id), CAST(price * 100 AS BIGINT) FROM events WHERE price > 10;"
    ));
    let rows = [
        r#"{"id":1,"user_id":"ann","price":12.5,"other":[1,{"a":2}]}"#,
        r#"{"id":2,"user_id":"bob","price":3}"#,
        r#"{"price":99,"user_id":null,"id":3}"#,
        r#"{"id":4,"user_id":"no price"}"#,
    ];
    let written = driver.batch(&input("events", &rows)).unwrap();
    assert_eq!(
        written.to_string(),
        "dear | - | {\"id\":1,\"who\":\"ANN\",\"cents\":1250}\ndear | - | {\"id\":3,\"who\":null,\"cents\":9900}\n"
    );
}

#[test]
fn two_queries_share_a_source_and_a_transaction() {
    let mut driver = driver(&format!(
        "{EVENTS}
        CREATE TABLE a (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
        CREATE TABLE b (price DOUBLE) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json');
        EXECUTE STATEMENT SET BEGIN
            INSERT INTO a SELECT id FROM events;
            INSERT INTO b SELECT price FROM events WHERE id > 1;
        END;"
    ));
    let rows = [r#"{"id":1,"price":1}"#, r#"{"id":2,"price":2.5}"#];
    let written = driver.batch(&input("events", &rows)).unwrap().to_string();
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a | - | {\"id\":1}", "a | - | {\"id\":2}", "b | - | {\"price\":2.5}"]);
}

#[test]
fn a_view_and_a_union_and_what_the_log_says_of_a_record() {
    let mut driver = driver(&format!(
        "{EVENTS}
        CREATE VIEW cheap AS SELECT id, at FROM events WHERE price <= 10;
        CREATE TABLE out (id BIGINT, at BIGINT, kind STRING) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
        INSERT INTO out SELECT id, at, 'cheap' FROM cheap UNION ALL SELECT id, at, 'dear' FROM events WHERE price > 10;"
    ));
    let rows = [r#"{"id":7,"price":1}"#, r#"{"id":8,"price":20}"#];
    let written = driver.batch(&input("events", &rows)).unwrap().to_string();
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    let expected = [
        "out | - | {\"id\":7,\"at\":0,\"kind\":\"cheap\"}",
        "out | - | {\"id\":8,\"at\":1,\"kind\":\"dear\"}",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_record_that_is_no_row_is_told_with_its_field() {
    let script = |policy: &str| {
        format!(
            "CREATE TABLE numbers (n BIGINT NOT NULL) WITH ('connector' = 'kafka', 'topic' = 'numbers', 'format' = 'json'{policy});
             CREATE TABLE out (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
             INSERT INTO out SELECT 100 / n FROM numbers;"
        )
    };
    let rows = [r#"{"n":1}"#, r#"{"n":"seven"}"#, "not JSON", r#"{"m":1}"#, r#"{"n":0}"#, r#"{"n":50}"#];
    let mut skipping = driver(&script(", 'on-bad-record' = 'skip'"));
    let written = skipping.batch(&input("numbers", &rows)).unwrap();
    assert_eq!(written.to_string(), "out | - | {\"n\":100}\nout | - | {\"n\":2}\n");
    let bad = skipping.take_bad_records();
    assert_eq!(bad.len(), 4, "{bad:?}");
    assert!(bad.iter().any(|record| record.contains("`n`")), "{bad:?}");
    assert!(bad.iter().any(|record| record.contains("division by zero")), "{bad:?}");

    let failing = driver(&script("")).batch(&input("numbers", &rows)).unwrap_err().to_string();
    assert!(failing.contains("numbers-0 at offset"), "{failing}");
}

#[test]
fn changes_are_shown_on_the_console() {
    let mut driver = driver(&format!(
        "{EVENTS}
        CREATE TABLE seen (id BIGINT, user_id STRING) WITH ('connector' = 'print');
        INSERT INTO seen SELECT id, user_id FROM events;"
    ));
    let written = driver.batch(&input("events", &[r#"{"id":1,"user_id":"ann"}"#])).unwrap();
    assert_eq!(written.to_string(), "console | +I[1, ann]\n");
}

#[test]
fn generated_rows_come_at_their_rate() {
    let mut driver = driver(
        "CREATE TABLE numbers (n BIGINT, word STRING) WITH (
            'connector' = 'datagen', 'rows-per-second' = '2', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3',
            'fields.word.length' = '3');
         CREATE TABLE seen (n BIGINT, letters BIGINT) WITH ('connector' = 'print');
         INSERT INTO seen SELECT n, character_length(word) FROM numbers;",
    );
    assert_eq!(driver.batch("").unwrap().to_string(), "");
    assert_eq!(driver.batch("").unwrap().to_string(), "console | +I[1, 3]\nconsole | +I[2, 3]\n");
    assert_eq!(driver.batch("").unwrap().to_string(), "console | +I[3, 3]\n");
    assert_eq!(driver.batch("").unwrap().to_string(), "", "the sequence has ended");
}

#[test]
fn all_mistakes_of_a_script_are_told_at_once_with_their_places() {
    let told = mistakes(
        "CREATE TABLE a (n INT) WITH ('connector' = 'kafak', 'topic' = 'a', 'format' = 'json');
CREATE TABLE b (n INT) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json', 'scan.startup.mod' = 'latest-offset');
CREATE TABLE c (n INT) WITH ('connector' = 'print');
INSERT INTO c SELECT m FROM c;
SELECT 1;",
    );
    for part in [
        "q.sql:1:44: there is no connector 'kafak'",
        "next: did you mean 'kafka'?",
        "q.sql:2:",
        "the connector 'kafka' has no option 'scan.startup.mod'",
        "next: did you mean 'scan.startup.mode'?",
        "q.sql:4:",
        "q.sql:5:1: the rows of this SELECT go nowhere",
    ] {
        assert!(told.contains(part), "`{part}` is missing:\n{told}");
    }
}

#[test]
fn a_list_becomes_rows() {
    let mut driver = driver(
        "CREATE TABLE lines (line STRING, n INT) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'json');
         CREATE TABLE words (word STRING, n INT) WITH ('connector' = 'kafka', 'topic' = 'words', 'format' = 'json');
         INSERT INTO words SELECT * FROM (SELECT unnest(string_to_array(line, ' ')) AS word, n FROM lines) WHERE word <> 'not';",
    );
    let rows = [r#"{"line":"to be or","n":1}"#, r#"{"n":2}"#, r#"{"line":"not to","n":3}"#];
    let expected = [("be", 1), ("or", 1), ("to", 1), ("to", 3)];
    let line = |(word, n): &(&str, i32)| format!("words | - | {{\"word\":\"{word}\",\"n\":{n}}}\n");
    let expected = expected.iter().map(line).collect::<Vec<_>>().concat();
    assert_eq!(driver.batch(&input("lines", &rows)).unwrap().to_string(), expected);
}
