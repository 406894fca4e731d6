//! Records that are meant to hurt: broken text, endless nesting, numbers and times beyond all bounds, and records of
//! producers that have changed their schema. Each comes out or is a dead letter, once; none ends the program.

use super::{
    client::{Client, Row},
    program::App,
};
use crate::subject::bootstrap;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{collections::BTreeMap, time::Duration};

/// 31 December 9999, in milliseconds.
const YEAR_9999_MS: i64 = 253_402_214_400_000;

/// Whether `filter_project` passes the value on.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Out,
    FilteredOut,
    DeadLetter,
}
use Fate::{DeadLetter, FilteredOut, Out};

struct Hostile {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp_ms: Option<i64>,
    headers: usize,
    fate: Fate,
}

fn event(id: &str, price: &str, ts: &str, more: &str) -> String {
    format!(r#"{{"id":{id},"user":"u","price":{price},"ts":{ts}{more}}}"#)
}

fn of(value: impl Into<Vec<u8>>, fate: Fate) -> Hostile {
    Hostile { key: Some(b"k".to_vec()), value: Some(value.into()), timestamp_ms: None, headers: 0, fate }
}

fn corpus() -> Vec<Hostile> {
    let good = || event("1", "99.5", "1", "");
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let mut all = vec![
        of(good(), Out),
        // Text that is none.
        of(
            [b"{\"id\":1,\"user\":\"".as_slice(), &[0xff, 0xfe, 0xc0], b"\",\"price\":99.5,\"ts\":1}"]
                .concat(),
            DeadLetter,
        ),
        of([&[0xef, 0xbb, 0xbf], good().as_bytes()].concat(), DeadLetter),
        of([0u8; 64], DeadLetter),
        of("", DeadLetter),
        of("null", DeadLetter),
        of(&good()[..20], DeadLetter),
        of(format!("{} {}", good(), good()), DeadLetter),
        of(r#"{"id":1,"user":"\ud800","price":99.5,"ts":1}"#, DeadLetter),
        of(event("2", "99.5", "1", r#","id":3"#), DeadLetter),
        // Nesting.
        of(nested(100_000), DeadLetter),
        of(r#"{"id":"#.repeat(20_000), DeadLetter),
        of(event("4", "99.5", "1", &format!(r#","page":{}"#, nested(100))), Out),
        // Numbers.
        of(event("18446744073709551615", "99.5", "-9223372036854775808", ""), Out),
        of(event("18446744073709551616", "99.5", "1", ""), DeadLetter),
        of(event("-1", "99.5", "1", ""), DeadLetter),
        of(event("5", "1e400", "1", ""), DeadLetter),
        of(event("6", "NaN", "1", ""), DeadLetter),
        of(event("7", "-1e308", "1", ""), FilteredOut),
        of(event("8", "99.5", "9223372036854775808", ""), DeadLetter),
        // Producers of another schema: a field more, less, of another type, of another name.
        of(event("9", "99.5", "1", r#","colour":{"name":"red"}"#), Out),
        of(r#"{"id":10,"user":"u","price":99.5}"#, DeadLetter),
        of(event("\"11\"", "99.5", "1", ""), DeadLetter),
        of(event("12", "\"99.5\"", "1", ""), DeadLetter),
        of(r#"{"id":13,"name":"u","price":99.5,"ts":1}"#, DeadLetter),
        of(event("14", "100", "1", ""), Out),
    ];
    let with = |change: &dyn Fn(&mut Hostile)| {
        let mut record = of(good(), Out);
        change(&mut record);
        record
    };
    all.push(with(&|r| r.key = None));
    all.push(with(&|r| r.key = Some(vec![0xff; 300])));
    all.push(with(&|r| (r.value, r.fate) = (None, DeadLetter)));
    all.push(with(&|r| r.headers = 5_000));
    all.push(with(&|r| r.timestamp_ms = Some(YEAR_9999_MS)));
    all.push(with(&|r| r.timestamp_ms = Some(0)));
    all
}

fn write(client: &Client, topic: &str, corpus: &[Hostile]) {
    let producer: BaseProducer = client.config().set("message.max.bytes", "2000000").create().unwrap();
    for (n, hostile) in corpus.iter().enumerate() {
        let partition = i32::try_from(n % 4).unwrap();
        let mut record = BaseRecord::<Vec<u8>, Vec<u8>>::to(topic).partition(partition);
        (record.key, record.payload) = (hostile.key.as_ref(), hostile.value.as_ref());
        record.timestamp = hostile.timestamp_ms;
        let header = || Header { key: "h", value: Some("v") };
        let headers = (0..hostile.headers).fold(OwnedHeaders::new(), |all, _| all.insert(header()));
        producer.send(record.headers(headers)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// How often each value is there, as far as it is text.
fn values<'a>(all: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    all.for_each(|value| *times.entry(value.to_owned()).or_default() += 1);
    times
}

#[test]
fn each_hostile_record_comes_out_or_is_a_dead_letter() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client)
        .with("on-bad-record", "dead-letter")
        .with("on-refused-record", "dead-letter");
    for topic in [&app.input, &app.output] {
        client.alter(topic, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    }
    let corpus = corpus();
    write(&client, &app.input, &corpus);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.kill();
    write(&client, &app.input, &corpus);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let with = |fate: Fate| corpus.iter().filter(move |r| r.fate == fate);
    let text = |r: &Hostile| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()).into_owned();
    let dead: Vec<String> = with(DeadLetter).map(text).collect();
    let dead = values(dead.iter().chain(&dead).map(String::as_str));
    let letters: Vec<Row> = client.read(&format!("{}-dlq", app.id));
    assert_eq!(values(letters.iter().map(|row| row.value.as_str())), dead);
    let id = |value: &str| serde_json::from_str::<serde_json::Value>(value).unwrap()["id"].to_string();
    let out: Vec<String> = with(Out).map(|r| id(&text(r))).collect();
    let out = values(out.iter().chain(&out).map(String::as_str));
    let rows: Vec<String> = client.read(&app.output).iter().map(|row| id(&row.value)).collect();
    assert_eq!(values(rows.iter().map(String::as_str)), out);
    println!("hostile records: {} came out, {} are dead letters", rows.len(), letters.len());
}

/// A program that counts words takes any text, and refuses what is none.
#[test]
fn hostile_lines_do_not_disturb_the_counts_of_others() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    client.alter(&app.input, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    let is_text = |r: &Hostile| r.value.as_ref().is_some_and(|v| std::str::from_utf8(v).is_ok());
    let lines: Vec<Hostile> = corpus().into_iter().filter(is_text).collect();
    write(&client, &app.input, &lines);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.kill();
    write(&client, &app.input, &lines);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let mut truth = super::words::Truth::new();
    for line in lines.iter().chain(&lines) {
        let text = String::from_utf8(line.value.clone().unwrap()).unwrap();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            *truth.entry(word.to_owned()).or_default() += 1;
        }
    }
    super::words::judge("hostile lines", &truth, &client.read(&app.output));
    println!("hostile lines: {} words, none lost, none twice", truth.len());
}
