//! Null values and typed keys: read where a type has room for them, written as tombstones, refused with the way out elsewhere.

use expect_test::expect;
use serde::{Deserialize, Serialize};
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext, Text,
    codec::{AsText, Json, Message, MessageAt, Messages, MessagesAt, Nullable, Pairs, Utf8},
    record::Bytes,
    testing::{Driver, outputs},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    cents: u64,
}

/// A table of prices, in which a tombstone deletes the key: both directions, in text and in JSON.
#[test]
fn tombstones_are_read_kept_and_written() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let texts = ssc.pairs::<Text, Option<u64>>("texts", Utf8, Nullable(AsText));
        let jsons = ssc.pairs::<Text, Option<Price>>("jsons", Utf8, Json);
        let both = texts.union(&jsons.map_values(|price| price.map(|price| price.cents)));
        let newest = both.running_reduce_by_key(|_, new| new);
        newest.map_values(|cents| cents.map(|cents| Price { cents })).to_kafka("prices", Utf8, Json);
        newest.to_kafka("cents", Utf8, Nullable(AsText));
    });
    let written = driver.batch("texts 0 | tea | 250\njsons 0 | rum | {\"cents\":900}\n").unwrap();
    expect![[r#"
        cents | rum | 900
        cents | tea | 250
        prices | rum | {"cents":900}
        prices | tea | {"cents":250}
    "#]]
    .assert_eq(&written.to_string());
    let written = driver.batch("texts 0 | rum | -\njsons 0 | tea | -\n").unwrap();
    expect![[r#"
        cents | rum | -
        cents | tea | -
        prices | rum | -
        prices | tea | -
    "#]]
    .assert_eq(&written.to_string());
}

#[test]
fn a_type_without_room_for_null_names_the_one_that_has() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let skip = |topic: &str| SourceOptions::topic(topic).on_bad_record(BadRecordPolicy::Skip);
        ssc.source::<Text>(skip("text"), Utf8).print();
        ssc.source::<Price>(skip("json"), Json).print();
        ssc.source::<u64>(skip("number"), AsText).print();
        ssc.source::<Bytes>(skip("raw"), tidegate::codec::Raw).print();
        ssc.source::<(Text, Text)>(skip("pairs"), Pairs(Utf8, Utf8)).print();
        ssc.source::<Option<Text>>(skip("optional"), Utf8).print();
    });
    let topics =
        ["text", "json", "number", "raw", "optional"].map(|topic| format!("{topic} 0 | k | -\n")).concat();
    let written = driver.batch(&(topics + "pairs 0 | - | v\npairs 0 | k | -\n")).unwrap();
    assert_eq!(written.to_string(), "console | None\n", "the optional text");
    let told = driver.take_bad_records();
    assert_eq!(told.len(), 6, "{told:?}");
    let of_key = told.iter().filter(|told| told.contains("the key is null")).count();
    assert_eq!(of_key, 1);
    let way = "which only an `Option` can hold: `Utf8` and `Json` read one, and so does `Nullable(codec)`";
    assert!(told.iter().all(|told| told.contains(way)), "{told:?}");
}

/// What `print`, `union`, windows and state need of their rows.
#[test]
fn messages_can_be_printed_united_moved_and_kept() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let read = |topic: &str| ssc.source::<Message<Text>>(SourceOptions::topic(topic), Messages(Utf8));
        let both = read("a").union(&read("b"));
        both.print();
        both.repartition(2).window(std::time::Duration::from_secs(2)).to_kafka("window", Utf8);
        let newest = both.map(|message| (message.key.clone(), message)).running_reduce_by_key(Ord::max);
        newest.map(|(_, message)| message).to_kafka("newest", Utf8);
        let placed = ssc.source::<MessageAt<Text>>(SourceOptions::topic("c"), MessagesAt(Utf8));
        placed.map(|message| (message.at.topic.to_string(), message)).group_by_key().print();
    });
    let written = driver.batch("a 0 | k | x | @5 | h=1\nb 0 | k | y | @6\nc 1 | - | z | @7\n").unwrap();
    let expected = ["newest | k | y | @6", "window | k | x | @5 | h=1", "window | k | y | @6"];
    for row in expected {
        assert!(written.rows().any(|written| written == row), "{row}: {written}");
    }
    assert_eq!(written.rows().filter(|row| row.starts_with("console")).count(), 3, "{written}");
    let kept = driver.batch("").unwrap();
    assert_eq!(kept.rows().filter(|row| row.starts_with("window")).count(), 2, "{kept}");
}

#[test]
fn a_key_of_another_type_than_text_is_read_by_its_codec() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let options = SourceOptions::topic("clicks");
        let clicks = ssc.source::<Message<(u64, Text)>>(options, Messages(Pairs(AsText, Utf8)));
        clicks.map(|click| (click.value.0 + 1, click.timestamp_ms)).to_kafka("users", AsText, AsText);
    });
    assert_eq!(driver.batch("clicks 0 | 41 | home | @7\n").unwrap().to_string(), "users | 42 | 7 | @7\n");
}

#[test]
fn a_topic_per_record_is_one_of_those_that_were_named() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let options = SourceOptions::topic("logs").on_bad_record(BadRecordPolicy::Skip);
        let logs = ssc.source::<(Text, Text)>(options, Pairs(Utf8, Utf8));
        logs.to_kafka_by(["error", "info"], |(level, _)| level.clone(), Utf8, Utf8);
        logs.map(|(_, text)| text).to_kafka_values("all", Utf8);
    });
    let rows = all_rows(&mut driver, "logs 0 | error | a\nlogs 0 | debug | b\nlogs 0 | info | c\n");
    assert_eq!(rows, ["all | - | a", "all | - | c", "error | error | a", "info | info | c"]);
    let told = driver.take_bad_records();
    assert!(told.len() == 1 && told[0].contains("the topic `debug` is none of those"), "{told:?}");
    assert!(told[0].contains("`error`, `info`"), "{told:?}");
}

/// Input of another program must not become something else on the way through.
#[test]
fn a_json_document_is_what_it_says() {
    let hidden = r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#;
    let read = outputs([[Text::from(hidden)]], |lines: tidegate::DStream<Text>| {
        lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string())
    });
    assert_eq!(read.unwrap(), [[hidden]]);
}

#[test]
fn a_number_that_json_lacks_is_no_tombstone() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let options = SourceOptions::topic("measured").on_bad_record(BadRecordPolicy::DeadLetter);
        let measured = ssc.source::<(Text, f64)>(options, Pairs(Utf8, AsText));
        measured.to_kafka("values", Utf8, Json);
    });
    let written = all_rows(&mut driver, "measured 0 | a | 0.5\nmeasured 0 | b | NaN\nmeasured 0 | c | inf\n");
    assert_eq!(
        written.iter().filter(|row| row.starts_with("values")).collect::<Vec<_>>(),
        ["values | a | 0.5"]
    );
    assert_eq!(written.iter().filter(|row| row.starts_with("app-dlq | ")).count(), 2, "{written:?}");
}

/// What is written in the batches that it takes to find the bad records among these.
fn all_rows(driver: &mut Driver<'_>, input: &str) -> Vec<String> {
    let mut rows: Vec<String> = driver.batch(input).unwrap().rows().map(str::to_owned).collect();
    for _ in 0..8 {
        rows.extend(driver.batch("").unwrap().rows().map(str::to_owned));
    }
    rows.sort();
    rows
}
