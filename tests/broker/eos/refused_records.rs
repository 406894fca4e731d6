//! Records that a topic does not accept: named with their cause, written to the dead letters if that is the policy, and
//! never the reason for a replay without end.

use super::{
    client::{Client, Row},
    program::{App, Run},
    until,
};
use crate::subject::bootstrap;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const DAY_MS: i64 = 86_400_000;
/// What Kafka accepts in a batch of records by default, bytes.
const DEFAULT_BYTES_MAX: usize = 1_048_588;

struct Writer(BaseProducer);

impl Writer {
    fn new(client: &Client) -> Writer {
        let mut config = client.config();
        config.set("enable.idempotence", "true").set("message.max.bytes", "10000000").set("batch.size", "1");
        Writer(config.create().unwrap())
    }

    fn write(&self, topic: &str, partition: i32, key: &str, value: &str, timestamp_ms: Option<i64>) {
        let mut record = BaseRecord::to(topic).payload(value).partition(partition);
        record.timestamp = timestamp_ms;
        record.key = Some(key).filter(|key| !key.is_empty());
        self.0.send(record).map_err(|(e, _)| e).unwrap();
        self.0.poll(Duration::ZERO);
    }

    fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).unwrap();
        assert_eq!(self.0.in_flight_count(), 0);
    }
}

fn event(id: u64, user: &str) -> String {
    format!(r#"{{"id":{id},"user":"{user}","item":"i","price":99.5,"ts":{id},"page":"p"}}"#)
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn ids(rows: &[Row]) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for row in rows {
        let id = serde_json::from_str::<serde_json::Value>(&row.value).unwrap()["id"].as_u64().unwrap();
        *times.entry(id).or_default() += 1;
    }
    times
}

fn once(ids: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    ids.map(|id| (id, 1)).collect()
}

fn stops_with(run: &mut Run, parts: &[&str]) {
    assert_eq!(run.exit_code(), 1, "{}", run.text());
    let text = run.text();
    for part in parts.iter().chain(&["next:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let given_up = text.matches("batch given up").count();
    assert!(given_up <= 3, "{given_up} batches were given up:\n{text}");
}

fn letter<'a>(letters: &'a [Row], name: &str) -> &'a str {
    &letters[0].headers[&format!("__tidegate.errors.{name}")]
}

fn letters(client: &Client, app: &App) -> Vec<Row> {
    client.read(&format!("{}-dlq", app.id))
}

/// Many small events from one partition for all partitions of the output, and one that is too large.
fn small_ones_and_a_large_one(client: &Client, app: &App) -> Writer {
    let writer = Writer::new(client);
    for id in 0..5_000 {
        let user = if id == 3_333 { "u".repeat(30_000) } else { format!("u{id}") };
        writer.write(&app.input, 0, &format!("key-{id}"), &event(id, &user), None);
    }
    writer.flush();
    writer
}

#[test]
fn a_record_that_is_too_large_for_its_topic_is_named_or_goes_to_the_dead_letters() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    client.alter(&app.output, &[("max.message.bytes", "20000")]);
    let _writer = small_ones_and_a_large_one(&client, &app);
    let place = format!("topic `{}`, partition ", app.output);
    let parts = [
        &place,
        "with the key `key-3333`",
        "too large",
        "`max.message.bytes` is 20000",
        "--on-refused-record",
    ];
    stops_with(&mut app.start(""), &parts);
    let app = app.with("on-refused-record", "dead-letter");
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let log = run.stop();
    assert!(log.contains("refused record: topic"), "{log}");
    assert_eq!(ids(&client.read(&app.output)), once((0..5_000).filter(|id| *id != 3_333)));
    let letters = letters(&client, &app);
    assert_eq!((letters.len(), letters[0].key.as_str()), (1, "key-3333"));
    assert_eq!((letter(&letters, "output"), letter(&letters, "application")), (&*app.output, &*app.id));
    assert!(
        letter(&letters, "message").contains("too large") && letters[0].value.contains(&"u".repeat(30_000))
    );
    println!(
        "too large for the output: named, or written to the dead letters; small ones are never too large together"
    );
}

#[test]
fn settings_that_change_while_the_program_runs_are_learned_from_the_first_refusal() {
    let client = Client::new(&bootstrap());
    for policy in ["fail", "dead-letter"] {
        let app = App::new("filter_project", &client).with("on-refused-record", policy);
        let mut run = app.start("");
        app.has_committed(&client, &mut run);
        client.alter(&app.output, &[("max.message.bytes", "20000")]);
        let writer = small_ones_and_a_large_one(&client, &app);
        if policy == "fail" {
            stops_with(&mut run, &["with the key `key-3333`", "`max.message.bytes` is 20000"]);
            continue;
        }
        app.catch_up(&client, &mut run);
        assert_eq!(ids(&client.read(&app.output)), once((0..5_000).filter(|id| *id != 3_333)));
        assert_eq!(letters(&client, &app).len(), 1);
        // Records without a key are refused by all partitions of a compacted topic at once.
        client.alter(&app.output, &[("max.message.bytes", "20000"), ("cleanup.policy", "compact")]);
        for id in 5_000..6_000 {
            writer.write(&app.input, 1, if id % 10 == 0 { "" } else { "key" }, &event(id, "u"), None);
        }
        writer.flush();
        app.catch_up(&client, &mut run);
        run.stop();
        let letters = letters(&client, &app);
        assert_eq!(letters.len(), 101);
        let refused = ids(&letters[1..]);
        assert_eq!(refused, once((5_000..6_000).step_by(10)));
        assert!(
            letters[1].headers["__tidegate.errors.message"].contains("no key, and the topic is compacted")
        );
    }
    println!("settings changed while the program ran: learned from the first refusal, under both policies");
}

#[test]
fn a_record_without_a_key_for_a_compacted_topic_is_named() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    client.alter(&app.output, &[("cleanup.policy", "compact")]);
    let writer = Writer::new(&client);
    (0..500).for_each(|id| writer.write(&app.input, 0, "", &event(id, "u"), None));
    writer.flush();
    let place = format!("topic `{}`", app.output);
    stops_with(
        &mut app.start(""),
        &[&place, "with the key null", "it has no key, and the topic is compacted"],
    );
    println!("no key for a compacted topic: named");
}

#[test]
fn a_timestamp_from_the_future_stops_no_counts_and_is_named_where_it_belongs_to_the_record() {
    let client = Client::new(&bootstrap());
    let ahead = now_ms() + 2 * DAY_MS;
    let writer = Writer::new(&client);
    let counts = App::new("kafka_word_count", &client);
    let events = App::new("filter_project", &client).with("on-bad-record", "dead-letter");
    for app in [&counts, &events] {
        client.alter(&app.input, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    }
    for (word, time) in [("a", None), ("b", Some(ahead)), ("c", None)] {
        writer.write(&counts.input, 0, "", word, time);
    }
    writer.flush();
    let mut run = counts.start("");
    counts.catch_up(&client, &mut run);
    run.stop();
    let rows: BTreeMap<_, _> =
        client.read(&counts.output).into_iter().map(|row| (row.key, row.value)).collect();
    assert_eq!(rows, ["a", "b", "c"].map(|word| (word.to_owned(), "1".to_owned())).into());

    writer.write(&events.input, 0, "early", &event(1, "u"), Some(ahead));
    writer.write(&events.input, 0, "bad", "no event", Some(ahead));
    writer.write(&events.input, 0, "now", &event(2, "u"), None);
    writer.flush();
    let place = format!("topic `{}`, partition ", events.output);
    let parts = [&place, "with the key `early`", &format!("its timestamp {ahead} is"), "ahead of the clock"];
    stops_with(&mut events.start(""), &parts);
    let events = events.with("on-refused-record", "dead-letter");
    let mut run = events.start("");
    events.catch_up(&client, &mut run);
    run.stop();
    assert_eq!(ids(&client.read(&events.output)), once([2].into_iter()));
    let letters = letters(&client, &events);
    let keys: BTreeSet<_> = letters.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["bad", "early"].into());
    for letter in &letters {
        assert_eq!(letter.headers["__tidegate.errors.timestamp-ms"], ahead.to_string());
    }
    println!(
        "timestamps ahead: counts carry the clock; a record's own time is named or goes to the dead letters"
    );
}

#[test]
fn a_row_of_state_that_is_too_large_for_the_changelog_is_named_with_its_store() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let writer = Writer::new(&client);
    (0..30).for_each(|n| writer.write(&app.input, 0, "", &format!("w{n}"), None));
    writer.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let changelog = format!("{}-changelog", app.id);
    client.alter(
        &changelog,
        &[("cleanup.policy", "compact"), ("delete.retention.ms", "604800000"), ("max.message.bytes", "300")],
    );
    // Together the new rows are larger than the topic accepts; alone, only one is.
    (30..2_000).for_each(|n| writer.write(&app.input, 0, "", &format!("w{n}"), None));
    writer.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let long = format!("long{}", "g".repeat(400));
    writer.write(&app.input, 0, "", &long, None);
    writer.flush();
    let place = format!("topic `{changelog}`");
    stops_with(
        &mut run,
        &["store `", "key `long", &place, "too large", "`max.message.bytes` is 300", "keep less"],
    );
    // The next step that it names does help.
    client.alter(&changelog, &[("cleanup.policy", "compact"), ("delete.retention.ms", "604800000")]);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows: BTreeMap<_, _> = client.read(&app.output).into_iter().map(|row| (row.key, row.value)).collect();
    assert_eq!(rows.len(), 2_001);
    assert!(rows.values().all(|count| count == "1"));
    println!(
        "a row of state too large for the changelog: named with store and key; counted once after the setting is raised"
    );
}

#[test]
fn what_kafka_accepts_by_default_goes_out_by_default_and_a_dead_letter_has_any_size() {
    let client = Client::new(&bootstrap());
    let writer = Writer::new(&client);
    // 61 bytes for the batch, 3 for the record's length, 3 for attributes and deltas, 1 for the null key, 3 for the
    // value's length, 1 for the number of headers.
    let longest = DEFAULT_BYTES_MAX - 61 - 3 - 3 - 1 - 3 - 1;
    let echo = App::new("test:echo", &client);
    let other = Writer::new(&client);
    other.write(&echo.input, 1, "", &"x".repeat(longest + 1), None);
    other.flush();
    writer.write(&echo.input, 0, "", &"x".repeat(longest), None);
    writer.write(&echo.input, 0, "", "short", None);
    writer.flush();
    assert_eq!(client.ends(&echo.input).values().sum::<i64>(), 2, "one byte more is too much");
    let mut run = echo.start("");
    until("both come out", || {
        run.must_run();
        client.read(&echo.output).len() == 2
    });
    assert!(
        client.read(&echo.output).iter().any(|row| row.value.len() == longest),
        "one more is refused: {longest}"
    );
    run.kill();

    let app = App::new("filter_project", &client).with("on-bad-record", "dead-letter");
    writer.write(&app.input, 0, "", &"z".repeat(longest), None);
    writer.write(&app.input, 0, "", &event(1, "u"), None);
    writer.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    assert_eq!((client.read(&app.output).len(), letters(&client, &app)[0].value.len()), (1, longest));
    // A topic that somebody made smaller gets what fits.
    client.alter(&format!("{}-dlq", app.id), &[("max.message.bytes", "5000"), ("retention.ms", "-1")]);
    writer.write(&app.input, 0, "", &"z".repeat(9_000), None);
    writer.flush();
    app.catch_up(&client, &mut run);
    run.stop();
    let last = letters(&client, &app).pop().unwrap();
    let note = format!("the value, {} of 9000 bytes are left", last.value.len());
    assert_eq!(last.headers["__tidegate.errors.cut"], note);
    assert!(last.value.len() > 4_000 && last.headers.contains_key("__tidegate.errors.offset"));
    println!(
        "{DEFAULT_BYTES_MAX} bytes went through; a dead letter of that size was written whole, a larger one than its topic accepts was cut"
    );
}

#[test]
fn the_first_refused_record_of_many_partitions_is_what_the_log_says_it_is() {
    // Nothing is known about the topics, as for a user who may not describe them: only what the broker says is left.
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let mut run = app.start("hide-settings=mutant");
    app.has_committed(&client, &mut run);
    client.alter(&app.output, &[("cleanup.policy", "compact")]);
    let writer = Writer::new(&client);
    for id in 0..4_000 {
        let key = if id % 400 == 399 { String::new() } else { format!("key-{id}") };
        writer.write(&app.input, i32::try_from(id % 4).unwrap(), &key, &event(id, "u"), None);
    }
    writer.flush();
    let place = format!("topic `{}`, partition ", app.output);
    stops_with(&mut run, &[&place, "with the key null", "(InvalidRecord)", "give each record a key"]);
    let app = app.with("on-refused-record", "dead-letter");
    let mut run = app.start("hide-settings=mutant");
    app.catch_up(&client, &mut run);
    run.stop();
    let refused = once((399..4_000).step_by(400));
    assert_eq!(ids(&letters(&client, &app)), refused);
    assert_eq!(ids(&client.read(&app.output)), once((0..4_000).filter(|id| id % 400 != 399)));
    println!("refused by the broker alone: named with its cause at once, or written to the dead letters");
}

#[test]
fn what_a_compressed_record_takes_is_judged_by_the_log() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client).with("properties", "compression.type=lz4");
    let app = app.with("on-refused-record", "dead-letter");
    client.alter(&app.output, &[("max.message.bytes", "1000")]);
    let writer = Writer::new(&client);
    let mut random = super::Random(1);
    let noise: String =
        (0..2_500).map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap())).collect();
    for (id, user) in [(1, "u".repeat(2_500)), (2, noise), (3, "u".into())] {
        writer.write(&app.input, 0, &format!("key-{id}"), &event(id, &user), None);
    }
    writer.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    assert_eq!(ids(&client.read(&app.output)), once([1, 3].into_iter()));
    let letters = letters(&client, &app);
    assert_eq!((letters.len(), letters[0].key.as_str()), (1, "key-2"));
    let why = letter(&letters, "message");
    assert!(
        why.ends_with("with the key `key-2`: MessageSizeTooLarge (Broker: Message size too large)"),
        "{why}"
    );
    println!("compressed: what fits goes out, what does not goes to the dead letters with the log's reason");
}
