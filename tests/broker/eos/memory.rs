//! Memory with the default settings while input is at its worst: words that are all new, and a burst of ten times
//! the usual rate.
//!
//! What is bounded is the resident memory of the whole process: see "Memory" in `docs/operations.md`. Both tests compare the counts with an
//! oracle.

use super::{
    client::Client,
    program::{App, Run},
};
use crate::subject::bootstrap;
use rdkafka::{
    Message,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// See "Memory" in `docs/operations.md`: with new keys, and with a burst.
const RESIDENT_BYTES_MAX: [u64; 2] = [384 << 20, 448 << 20];
const WORDS_A_LINE: u64 = 20;

fn send(producer: &BaseProducer, topic: &str, line: u64, text: &str) {
    let partition = i32::try_from(line % 4).unwrap();
    let mut record = BaseRecord::<(), _>::to(topic).payload(text).partition(partition);
    while let Err((_, again)) = producer.send(record) {
        producer.poll(Duration::from_millis(20));
        record = again;
    }
    producer.poll(Duration::ZERO);
}

fn flush(producer: &BaseProducer) {
    super::until("the lines are written", || {
        let _ = producer.flush(Duration::from_secs(1));
        producer.in_flight_count() == 0
    });
}

/// With the flags' defaults, not those of the other tests. State's follows the memory limit of the machine that runs them.
fn with_defaults(app: App) -> App {
    app.with("transaction-timeout-ms", "15000")
        .with("state-memory-bytes", "100663296")
        .with("session-timeout-ms", "10000")
        .with("state-partitions", "8")
}

fn is_bounded(run: &Run, bytes_max: u64, what: &str) {
    let peak = run.peak_resident_bytes();
    println!("memory: {what}: at most {} MiB resident", peak >> 20);
    assert!(peak < bytes_max, "{what}: {} MiB resident", peak >> 20);
}

/// A word with its number, in no order.
fn word(number: u64) -> String {
    format!("w{:07x}", number.wrapping_mul(0x9E37_79B1) & 0xFFF_FFFF)
}

#[test]
fn endless_new_keys_stay_within_memory_and_transactions_within_their_timeout() {
    const LINES: u64 = 100_000;
    let client = Client::new(&bootstrap());
    let app = with_defaults(App::new("kafka_word_count", &client))
        .with("batch-interval-ms", "1000")
        .with("log-level", "debug");
    let producer: BaseProducer = client.config().set("linger.ms", "5").create().unwrap();
    for line in 0..LINES {
        let words = (line * WORDS_A_LINE..(line + 1) * WORDS_A_LINE).map(word).collect::<Vec<_>>();
        send(&producer, &app.input, line, &words.join(" "));
    }
    flush(&producer);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    is_bounded(&run, RESIDENT_BYTES_MAX[0], "two million new words");
    let text = run.stop();
    let largest =
        text.lines().filter_map(|l| l.split_once("records=")?.1.split(' ').next()?.parse::<u64>().ok());
    let largest = largest.max().unwrap();
    println!("memory: the largest batch had {largest} lines of {WORDS_A_LINE} new words");
    assert!(largest < LINES / 4, "no batch ended because it was full: {largest} lines in one");
    assert!(!text.contains("old epoch"), "a transaction took longer than its timeout");
    let (mut counts, mut rows) = (0u64, 0u64);
    client.visit(&app.output, |record| {
        rows += 1;
        counts += u64::from(record.payload() == Some(b"1"));
    });
    assert_eq!((rows, counts), (LINES * WORDS_A_LINE, LINES * WORDS_A_LINE), "each word once");
}

#[test]
fn a_burst_of_ten_times_the_rate_waits_in_the_log() {
    const USUAL: u64 = 1_000;
    let client = Client::new(&bootstrap());
    let app =
        with_defaults(App::new("test:words_with_backpressure", &client)).with("batch-interval-ms", "500");
    let producer: BaseProducer = client.config().set("linger.ms", "5").create().unwrap();
    let mut run = app.start("");
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut line = 0;
    // Lines per second, and for how long.
    for (rate, seconds) in [(USUAL, 5), (10 * USUAL, 60), (USUAL, 5)] {
        let begun = Instant::now();
        for n in 0..rate * seconds {
            let due = Duration::from_micros(n * 1_000_000 / rate);
            if n % 100 == 0 {
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            let words = (0..WORDS_A_LINE).map(|w| word((line * WORDS_A_LINE + w) % 300_000));
            let words: Vec<String> = words.collect();
            words.iter().for_each(|word| *expected.entry(word.clone()).or_default() += 1);
            send(&producer, &app.input, line, &words.join(" "));
            line += 1;
        }
        run.must_run();
    }
    flush(&producer);
    app.catch_up(&client, &mut run);
    is_bounded(&run, RESIDENT_BYTES_MAX[1], "a burst");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    client.visit(&app.output, |record| {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let (word, count) = (text(record.key()), text(record.payload()).parse::<u64>().unwrap());
        let before = last.insert(word.clone(), count);
        assert!(before.is_none_or(|b| b < count), "{word}: {count} after {before:?}");
    });
    assert!(last == expected, "each word of {line} lines once");
    run.stop();
}
