//! Queries that group rows.

use super::driver;

/// A script that counts words in the mode of its sink.
const WORDS: &str = "
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'json', 'format' = 'json');
INSERT INTO counts SELECT line, count(*) FROM lines GROUP BY line;
";

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_new_count_of_each_word_that_changed_is_written() {
    let mut driver = driver(WORDS);
    let first = driver.batch("lines 0 | - | sea\nlines 1 | - | tide\nlines 0 | - | sea\n").unwrap();
    let expected = [
        "counts | {\"word\":\"sea\"} | {\"word\":\"sea\",\"n\":2}",
        "counts | {\"word\":\"tide\"} | {\"word\":\"tide\",\"n\":1}",
    ];
    assert_eq!(sorted(&first.to_string()), expected);
    let second = driver.batch("lines 1 | - | sea\n").unwrap();
    assert_eq!(second.to_string(), "counts | {\"word\":\"sea\"} | {\"word\":\"sea\",\"n\":3}\n");
}

#[test]
fn a_group_that_no_longer_passes_having_is_deleted() {
    let mut driver = driver(
        "CREATE TABLE moves (who STRING, d BIGINT) WITH ('connector' = 'kafka', 'topic' = 'moves', 'format' = 'json');
         CREATE TABLE high (who STRING, total BIGINT, PRIMARY KEY (who) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'high', 'format' = 'json');
         INSERT INTO high SELECT who, sum(d) FROM moves GROUP BY who HAVING sum(d) > 10;",
    );
    let row = |d: i64| format!("moves 0 | - | {{\"who\":\"ann\",\"d\":{d}}}\n");
    assert_eq!(driver.batch(&row(4)).unwrap().to_string(), "");
    assert_eq!(
        driver.batch(&row(9)).unwrap().to_string(),
        "high | {\"who\":\"ann\"} | {\"who\":\"ann\",\"total\":13}\n"
    );
    assert_eq!(driver.batch(&row(-5)).unwrap().to_string(), "high | {\"who\":\"ann\"} | -\n");
}

#[test]
fn one_row_counts_everything_from_the_first_batch_on() {
    let mut driver = driver(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
         CREATE TABLE seen (n BIGINT, longest BIGINT) WITH ('connector' = 'print');
         INSERT INTO seen SELECT count(*), max(character_length(line)) FROM lines;",
    );
    assert_eq!(driver.batch("lines 0 | - | sea\n").unwrap().to_string(), "console | +I[1, 3]\n");
    let second = driver.batch("lines 0 | - | tide\n").unwrap();
    assert_eq!(sorted(&second.to_string()), ["console | +U[2, 4]", "console | -U[1, 3]"]);
}

#[test]
fn an_aggregate_of_an_aggregate_follows_its_changes() {
    let mut driver = driver(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
         CREATE TABLE sizes (n BIGINT, words BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'sizes', 'format' = 'json');
         CREATE VIEW counts AS SELECT line, count(*) AS n FROM lines GROUP BY line;
         INSERT INTO sizes SELECT n, count(*) FROM counts GROUP BY n;",
    );
    let first = driver.batch("lines 0 | - | a\nlines 0 | - | b\n").unwrap();
    assert_eq!(first.to_string(), "sizes | {\"n\":1} | {\"n\":1,\"words\":2}\n");
    let second = driver.batch("lines 0 | - | a\n").unwrap();
    let expected = ["sizes | {\"n\":1} | {\"n\":1,\"words\":1}", "sizes | {\"n\":2} | {\"n\":2,\"words\":1}"];
    assert_eq!(sorted(&second.to_string()), expected);
    let third = driver.batch("lines 0 | - | b\n").unwrap();
    assert_eq!(
        sorted(&third.to_string()),
        ["sizes | {\"n\":1} | -", "sizes | {\"n\":2} | {\"n\":2,\"words\":2}"]
    );
}

#[test]
fn complete_mode_prints_all_groups_as_spark_does() {
    let mut driver = driver(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
         CREATE TABLE screen (word STRING, count BIGINT) WITH ('connector' = 'console', 'output_mode' = 'complete');
         INSERT INTO screen SELECT word, count(*) FROM (SELECT unnest(string_to_array(line, ' ')) AS word FROM lines) GROUP BY word;",
    );
    let block = |rows: &[&str]| {
        let lines =
            ["+----+-----+", "|word|count|", "+----+-----+"].iter().chain(rows).chain(&["+----+-----+"]);
        lines.map(|line| format!("console | {line}")).collect::<Vec<_>>()
    };
    let shown = |written: &str| written.lines().map(str::to_owned).collect::<Vec<_>>();
    let sorted_block = |rows: &[&str]| {
        let mut lines = block(rows);
        lines.sort();
        lines
    };
    let first = shown(&driver.batch("lines 0 | - | to be or not to be\n").unwrap().to_string());
    assert_eq!(first, sorted_block(&["|  be|    2|", "| not|    1|", "|  or|    1|", "|  to|    2|"]));
    assert_eq!(driver.batch("").unwrap().to_string(), "", "nothing changed");
    let second = shown(&driver.batch("lines 1 | - | be\n").unwrap().to_string());
    assert_eq!(second, sorted_block(&["|  be|    3|", "| not|    1|", "|  or|    1|", "|  to|    2|"]));
}
