//! State of ten times its memory budget: counted, killed, lost, restored with a kill in the middle, and correct to
//! the last word.
//!
//! What is bounded is the resident memory of the whole process. Besides the budget (16 MiB) it contains what the
//! client library has fetched and not yet sent, one batch of input with its outputs, and the program itself. All of
//! that depends on the size of a batch, not on the state, so the input comes in portions of 12 MiB. The bound is
//! the same for each run of the program; and while the state grows from a quarter to its full size, the peak may
//! grow only by a small part of that.

use super::{
    client::Client,
    program::{App, Run},
    until,
};
use crate::subject::bootstrap;
use rdkafka::{
    Message,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{collections::BTreeMap, fs, ops::Range, path::Path, time::Duration};

const BUDGET_BYTES: u64 = 16 << 20;
const RESIDENT_BYTES_MAX: u64 = 320 << 20;
const PORTION: u64 = 25_000;
const WORDS: u64 = 400_000;
const WORD_BYTES: usize = 512;
const WORDS_A_LINE: u64 = 8;

/// A word with its number and padding that does not compress.
pub fn word(number: u64) -> String {
    let mut word = format!("{number:07}-");
    let mut random = super::Random(number);
    while word.len() < WORD_BYTES {
        for byte in random.next().to_be_bytes() {
            // 64 characters, none of them a space.
            word.push(char::from(b'0' + (byte & 63)));
        }
    }
    word.truncate(WORD_BYTES);
    word
}

/// Counts each of the first `words` words once more, in an order that jumps across all of them, a portion at a
/// time; only those in these places of the order.
fn feed(client: &Client, app: &App, run: &mut Run, words: u64, places: Range<u64>) {
    for first in places.clone().step_by(usize::try_from(PORTION).unwrap()) {
        write(client, &app.input, words, first..places.end.min(first + PORTION));
        app.catch_up(client, run);
    }
}

pub fn write(client: &Client, topic: &str, words: u64, places: Range<u64>) {
    let producer: BaseProducer = client.config().set("linger.ms", "5").create().unwrap();
    for (line, first) in places.clone().step_by(usize::try_from(WORDS_A_LINE).unwrap()).enumerate() {
        let numbers = (first..places.end.min(first + WORDS_A_LINE)).map(|n| n * 7_919 % words);
        let text = numbers.map(word).collect::<Vec<_>>().join(" ");
        let partition = i32::try_from(line % 4).unwrap();
        let mut record = BaseRecord::<(), _>::to(topic).payload(&text).partition(partition);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(20));
            record = again;
        }
    }
    until("the lines are written", || {
        let _ = producer.flush(Duration::from_secs(1));
        producer.in_flight_count() == 0
    });
}

pub fn bytes_below(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => bytes_below(&entry.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

fn is_bounded(run: &Run, what: &str) {
    let peak = run.peak_resident_bytes();
    println!("big_state: {what}: at most {} MiB resident", peak >> 20);
    assert!(peak < RESIDENT_BYTES_MAX, "{what}: {} MiB resident", peak >> 20);
}

#[test]
fn state_of_ten_times_the_memory_is_counted_killed_and_restored() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client)
        .with("state-memory-bytes", &BUDGET_BYTES.to_string())
        .with("transaction-timeout-ms", "30000");
    let mut run = app.start("");
    feed(&client, &app, &mut run, WORDS, 0..WORDS / 4);
    let (quarter, state) = (run.peak_resident_bytes(), bytes_below(&app.folder.join("state")));
    feed(&client, &app, &mut run, WORDS, WORDS / 4..WORDS);
    is_bounded(&run, "filling");
    let grown = run.peak_resident_bytes() - quarter;
    run.kill();
    let on_disk = bytes_below(&app.folder.join("state"));
    println!("big_state: {} MiB of state on disk", on_disk >> 20);
    assert!(on_disk >= 10 * BUDGET_BYTES, "{on_disk} bytes are too few for a test");
    let more = on_disk - state;
    println!("big_state: {} MiB more of state, {} MiB more resident", more >> 20, grown >> 20);
    assert!(more > 6 * BUDGET_BYTES, "{more} bytes more are too few for a test");
    assert!(grown < more / 2, "{grown} more bytes are resident for {more} more bytes of state");

    // Every second word once more, over state that is on disk.
    let mut run = app.start("");
    feed(&client, &app, &mut run, WORDS / 2, 0..WORDS / 2);
    is_bounded(&run, "after a kill");
    assert!(!run.text().contains("from=0 "), "state that was kept was restored from the start");
    run.kill();

    // Lost, and killed again during the restore of the first partitions, with much of them on disk.
    app.lose_state();
    app.start("during-restore=kill@24").dies_at_its_failpoint();
    let mut run = app.start("");
    feed(&client, &app, &mut run, 8, 0..8);
    is_bounded(&run, "after a restore that was killed");
    let (resumed, of) = (restored_from(&run.text()), changelog_rows(&client, &app));
    println!("big_state: the second restore began at {resumed:?} of {of:?} rows");
    // A partition that was complete before the kill is not restored again.
    let kept = resumed.len() < of.len() || resumed.values().any(|from| *from > 0);
    assert!(kept, "the second restore started over: {resumed:?}");
    reports_its_pace(&run.stop(), &resumed);

    let mut last = vec![0u64; usize::try_from(WORDS).unwrap()];
    client.visit(&app.output, |record| {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let (key, count) = (text(record.key()), text(record.payload()).parse::<u64>().unwrap());
        let number: u64 = key[..7].parse().unwrap();
        assert_eq!(key, word(number));
        let before = std::mem::replace(&mut last[usize::try_from(number).unwrap()], count);
        assert!(count > before, "word {number}: {count} after {before}");
    });
    for (number, count) in (0..).zip(&last) {
        let written = 1 + u64::from(number < WORDS / 2) + u64::from(number < 8);
        assert_eq!(*count, written, "word {number}");
    }
}

/// Where the restore of each partition began, according to the log lines of a run.
fn restored_from(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| line.contains("restoring state from the changelog"));
    let field = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}=")).unwrap().1;
        rest.split(' ').next().unwrap().to_owned()
    };
    lines.map(|line| (field(line, "at"), field(line, "from").parse().unwrap())).collect()
}

/// Checks lines such as `restoring state partition 0: 1000 of 2000 rows, 500 rows/s, about 2 s left`, and that the end of
/// each is told.
fn reports_its_pace(text: &str, restored: &BTreeMap<String, u64>) {
    for line in text.lines().filter(|line| line.contains(" rows/s, about ")) {
        let words: Vec<&str> = line.split_once("restoring state partition ").unwrap().1.split(' ').collect();
        let [_, done, "of", total, "rows,", rate, "rows/s,", "about", left, "s", "left"] = words[..] else {
            panic!("{line}");
        };
        let [done, total, rate, left] = [done, total, rate, left].map(|n| n.parse::<u64>().unwrap());
        assert!(done <= total && rate > 0 && left >= (total - done) / rate, "{line}");
    }
    for at in restored.keys() {
        let partition = at.rsplit('-').next().unwrap();
        let end = format!("state partition {partition} is restored: ");
        assert!(text.contains(&end), "`{end}` is missing:\n{text}");
    }
}

fn changelog_rows(client: &Client, app: &App) -> BTreeMap<i32, i64> {
    client.ends(&format!("{}-changelog", app.id))
}
