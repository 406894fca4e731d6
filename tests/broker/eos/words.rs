//! Lines of known words into a topic, and the judge of the counts that come out.
//!
//! Every line has one word that occurs nowhere else, so that a line processed twice, or not at all, is noticed
//! whatever the batches were; the other words are frequent, so that their counts must increase in every batch.
//! Knows no program.

use super::{
    Random,
    client::{Client, Row},
};
use rdkafka::{
    ClientContext,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

/// How often each word was written.
pub type Truth = BTreeMap<String, u64>;

#[derive(Default)]
pub struct Delivered {
    good: AtomicU64,
    bad: AtomicU64,
}

impl ClientContext for Delivered {
    fn error(&self, error: KafkaError, reason: &str) {
        eprintln!("writer of lines: {error}: {reason}"); // such as a broker that is down on purpose
    }
}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A producer of lines that knows what it wrote.
pub struct Lines {
    producer: BaseProducer<Delivered>,
    topic: String,
    random: Random,
    /// The number of the next line.
    pub number: u64,
    written: u64,
    pub truth: Truth,
}

impl Lines {
    pub fn new(client: &Client, topic: &str, seed: u64) -> Lines {
        let mut config = client.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", "0").set("linger.ms", "1");
        // With several requests in flight librdkafka 2.12 may wait for ever to drain a partition whose leader was away.
        config.set("max.in.flight.requests.per.connection", "1");
        let producer = config.create_with_context(Delivered::default()).unwrap();
        Lines {
            producer,
            topic: topic.into(),
            random: Random(seed),
            number: 0,
            written: 0,
            truth: Truth::new(),
        }
    }

    /// Continues where another producer has stopped; all lines of that one are acknowledged.
    pub fn continue_after(&mut self, before: Lines) {
        self.number = before.number;
        self.truth = before.truth;
    }

    /// A line with one word of its own and up to six frequent ones.
    pub fn line(random: &mut Random, number: u64) -> String {
        let mut words = vec![format!("only-{number}")];
        for _ in 0..random.below(6) {
            // Some words are much more frequent than others.
            let most = 1 + random.below(40);
            words.push(format!("w{}", random.below(most)));
        }
        words.join(" ")
    }

    /// Writes one line to a partition.
    pub fn write_to(&mut self, partition: i32) {
        let line = Self::line(&mut self.random, self.number);
        (self.number, self.written) = (self.number + 1, self.written + 1);
        count(&line, &mut self.truth);
        let mut record = BaseRecord::<(), _>::to(&self.topic).payload(line.as_str()).partition(partition);
        while let Err((e, again)) = self.producer.send(record) {
            assert_eq!(e.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{e}");
            self.producer.poll(Duration::from_millis(20));
            record = again;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Writes this line to a partition, without counting its words.
    pub fn write_text(&mut self, partition: i32, line: &str) {
        let record = BaseRecord::<(), _>::to(&self.topic).payload(line).partition(partition);
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.written += 1;
    }

    /// Writes lines to all of `partitions` in turn.
    pub fn write(&mut self, lines: u64, partitions: u64) {
        for _ in 0..lines {
            self.write_to(i32::try_from(self.number % partitions).unwrap());
        }
    }

    /// Writes JSON events that pass `filter_project` to four partitions in turn, without counting them.
    pub fn write_events(&mut self, events: u64) {
        for id in 0..events {
            let value = format!(r#"{{"id":{id},"user":"u","item":"i","price":99.0,"ts":{id},"page":"p"}}"#);
            let partition = i32::try_from(id % 4).unwrap();
            let record = BaseRecord::<(), _>::to(&self.topic).payload(value.as_str()).partition(partition);
            self.producer.send(record).map_err(|(e, _)| e).unwrap();
            self.written += 1;
        }
    }

    /// Waits until the broker has everything.
    pub fn flush(&mut self) {
        super::until("all lines are acknowledged", || {
            let _ = self.producer.flush(Duration::from_secs(1));
            self.producer.in_flight_count() == 0
        });
        let delivered = self.producer.context();
        assert_eq!(delivered.bad.load(Ordering::Relaxed), 0, "a line was refused");
        assert_eq!(delivered.good.load(Ordering::Relaxed), self.written);
    }
}

pub fn count(line: &str, truth: &mut Truth) {
    for word in line.split(' ') {
        *truth.entry(word.to_owned()).or_default() += 1;
    }
}

/// Writes lines to four partitions until it is told to finish.
pub struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Truth>,
}

impl Stream {
    pub fn start(lines: Lines) -> Stream {
        Stream::start_with(lines, Duration::from_millis(8))
    }

    /// With this pause after every four lines.
    pub fn start_with(lines: Lines, pause: Duration) -> Stream {
        Stream::start_over(lines, 4, pause)
    }

    /// Writes to so many partitions, with this pause after a line for each.
    pub fn start_over(mut lines: Lines, partitions: u64, pause: Duration) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                lines.write(partitions, partitions);
                sleep(pause);
            }
            lines.flush();
            lines.truth
        });
        Stream { stop, thread }
    }

    /// Ends the writing; returns everything that was written.
    pub fn finish(self) -> Truth {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// All violations in the counts: those of each word must increase and end at the truth, and no other word may be
/// there.
pub fn violations(truth: &Truth, rows: &[Row]) -> Vec<String> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = vec![];
    for row in rows {
        let Ok(count) = row.value.parse::<u64>() else {
            wrong.push(format!("`{}` is not a count: {row:?}", row.value));
            continue;
        };
        let before = last.insert(&row.key, count).unwrap_or(0);
        if count <= before {
            wrong.push(format!("{}: {count} after {before} at {}-{}", row.key, row.partition, row.offset));
        }
        if !truth.contains_key(&row.key) {
            wrong.push(format!("{}: nobody wrote this word", row.key));
        }
    }
    for (word, written) in truth {
        let counted = last.get(word.as_str()).copied().unwrap_or(0);
        if counted != *written {
            wrong.push(format!("{word}: written {written} times, counted {counted}"));
        }
    }
    wrong
}

/// All shortfalls in at-least-once counts: a word may be counted again, and its count may go back on the way, but
/// in the end none may be below the truth, and no other word may be there.
pub fn shortfalls(truth: &Truth, rows: &[Row]) -> Vec<String> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = vec![];
    for row in rows {
        match row.value.parse::<u64>() {
            Ok(count) => drop(last.insert(&row.key, count)),
            Err(_) => wrong.push(format!("`{}` is not a count: {row:?}", row.value)),
        }
    }
    let strange = last.keys().filter(|word| !truth.contains_key(**word));
    wrong.extend(strange.map(|word| format!("{word}: nobody wrote this word")));
    for (word, written) in truth {
        let counted = last.get(word.as_str()).copied().unwrap_or(0);
        if counted < *written {
            wrong.push(format!("{word}: written {written} times, counted {counted}"));
        }
    }
    wrong
}

/// Fails with the first violations.
pub fn judge(what: &str, truth: &Truth, rows: &[Row]) {
    let wrong = violations(truth, rows);
    let first: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{what}: {} violations, such as {first:#?}", wrong.len());
    assert!(!truth.is_empty() && rows.len() >= truth.len(), "{what}: nothing was tested");
}

#[cfg(test)]
fn of(key: &str, value: &str) -> Row {
    let (key, value) = (key.into(), value.into());
    Row { partition: 0, offset: 0, key, value, headers: BTreeMap::new() }
}

#[test]
fn the_judge_of_at_least_once_tolerates_repetitions_and_no_loss() {
    let truth = Truth::from([("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let repeated = [of("a", "3"), of("a", "2"), of("b", "1"), of("b", "1"), of("a", "4")];
    assert_eq!(shortfalls(&truth, &repeated), Vec::<String>::new());
    assert!(!violations(&truth, &repeated).is_empty());
    assert_eq!(shortfalls(&truth, &repeated[..4]), ["a: written 3 times, counted 2"]);
    assert_eq!(shortfalls(&truth, &repeated[3..]), Vec::<String>::new());
    assert_eq!(shortfalls(&truth, &repeated[4..]), ["b: written 1 times, counted 0"]);
    let strange = [repeated.to_vec(), vec![of("c", "1")]].concat();
    assert_eq!(shortfalls(&truth, &strange), ["c: nobody wrote this word"]);
    assert!(shortfalls(&truth, &[repeated.to_vec(), vec![of("b", "x")]].concat())[0].contains("not a count"));
}

#[test]
fn the_judge_sees_each_kind_of_mistake() {
    let row = of;
    let truth = Truth::from([("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let good = vec![row("a", "2"), row("b", "1"), row("a", "3")];
    assert_eq!(violations(&truth, &good), Vec::<String>::new());
    let with = |extra: Row| [good.clone(), vec![extra]].concat();
    let part = |wrong: &[String], part: &str| assert!(wrong.iter().any(|w| w.contains(part)), "{wrong:?}");
    part(&violations(&truth, &with(row("a", "3"))), "3 after 3");
    part(&violations(&truth, &with(row("a", "4"))), "written 3 times, counted 4");
    part(&violations(&truth, &with(row("c", "1"))), "nobody wrote");
    part(&violations(&truth, &good[..1]), "b: written 1 times, counted 0");
    part(&violations(&truth, &with(row("b", "x"))), "not a count");
}
