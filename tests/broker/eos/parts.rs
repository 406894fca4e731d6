//! Intervals with more lines than a batch may hold, whose rows go through the exchange topic in parts: each batch time has one count, one
//! header and the rows of one call of a function, all with the same lines, also if the program is killed between two parts.

use super::{
    Random,
    client::{Client, Row},
    program::App,
    programs::PART_RECORDS,
    until,
    words::{Lines, Truth},
};
use crate::subject::bootstrap;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread::sleep,
    time::Duration,
};

/// Lines of a burst: many times what a batch may hold.
const LINES: u64 = 3_000;
const TO_TOPIC: &str = "goes through the exchange topic, in parts";

/// The rows of a kind by key: batch times and counts, in order.
fn of_kind(rows: &[Row], kind: &str) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut found: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for row in rows {
        let (of, key) = row.key.split_once(':').unwrap();
        if of == kind {
            let (time, count) = row.value.split_once(' ').unwrap();
            found.entry(key.into()).or_default().push((time.parse().unwrap(), count.parse().unwrap()));
        }
    }
    found
}

/// The lines of each call of the function, by batch time; the last call for a time counts.
fn calls(path: &Path) -> BTreeMap<i64, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let numbers = |line: &str| {
        let (time, rows) = line.split_once(' ').unwrap();
        (time.parse().unwrap(), rows.parse().unwrap())
    };
    text.lines().map(numbers).filter(|(_, rows)| *rows > 0).collect()
}

fn is_all_there(truth: &Truth, rows: &[Row]) -> bool {
    let counted = of_kind(rows, "word");
    truth.iter().all(|(word, count)| {
        counted.get(word).is_some_and(|rows| rows.iter().map(|(_, n)| n).sum::<u64>() >= *count)
    })
}

#[test]
fn an_interval_with_more_than_a_batch_holds_is_whole_also_after_a_kill_between_its_parts() {
    let seed = Random::seed();
    eprintln!("parts: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("test:bursts", &client).with("batch-interval-ms", "2000");
    let path = app.folder.join("calls");
    let start = |failpoints: &str| app.start_in(failpoints, &[("TIDEGATE_CALLS", path.to_str().unwrap())]);
    let mut lines = Lines::new(&client, &app.input, seed);
    lines.write(LINES, 4);
    lines.flush();

    let run = start("between-parts=kill@1");
    let first_log = run.log.clone();
    run.dies_at_its_failpoint();
    assert!(fs::read_to_string(&first_log).unwrap().contains(TO_TOPIC));
    let taken: i64 = client.committed(&app.id, &app.input).values().sum();
    let before = of_kind(&client.read(&app.output), "count");
    let counted: u64 = before.values().flatten().map(|(_, n)| n).sum();
    assert!(
        counted < u64::try_from(taken).unwrap(),
        "a part is committed: {taken} lines, and {counted} counted"
    );

    let mut run = start("");
    until("the first burst is counted", || {
        run.must_run();
        sleep(Duration::from_millis(300));
        is_all_there(&lines.truth, &client.read(&app.output))
    });
    // Again while it runs: of the same interval, unless that ends meanwhile.
    lines.write(LINES, 4);
    lines.flush();
    until("the second burst is counted", || {
        run.must_run();
        sleep(Duration::from_millis(300));
        is_all_there(&lines.truth, &client.read(&app.output))
    });
    let second_log = run.log.clone();
    run.stop();

    let rows = client.read(&app.output);
    let counts = of_kind(&rows, "count").remove("all").unwrap();
    let times: BTreeSet<i64> = counts.iter().map(|(time, _)| *time).collect();
    assert_eq!(times.len(), counts.len(), "seed {seed}: one count for each batch time: {counts:?}");
    let counts: BTreeMap<i64, u64> = counts.into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(counts.values().sum::<u64>(), 2 * LINES, "seed {seed}: {counts:?}");
    let most = counts.values().max().unwrap();
    assert!(*most > 3 * PART_RECORDS as u64, "seed {seed}: more than a batch holds: {counts:?}");
    assert_eq!(calls(&path), counts, "seed {seed}: the function had the lines of each batch time");
    let words = of_kind(&rows, "word");
    for (word, rows) in &words {
        let times: BTreeSet<i64> = rows.iter().map(|(time, _)| *time).collect();
        assert_eq!(times.len(), rows.len(), "seed {seed}: `{word}` once for each batch time: {rows:?}");
        assert_eq!(rows.iter().map(|(_, n)| n).sum::<u64>(), lines.truth[word], "seed {seed}: `{word}`");
    }
    let mut of_lines: BTreeMap<i64, u64> = BTreeMap::new();
    for (_, rows) in words.iter().filter(|(word, _)| word.starts_with("only-")) {
        rows.iter().for_each(|(time, n)| *of_lines.entry(*time).or_default() += n);
    }
    assert_eq!(of_lines, counts, "seed {seed}: each line has a word of its own");
    let logs = [first_log, second_log].map(|log| fs::read_to_string(log).unwrap()).concat();
    let headers: Vec<&str> = logs.lines().filter(|line| line.starts_with("Time: ")).collect();
    let different: BTreeSet<&&str> = headers.iter().collect();
    assert_eq!(different.len(), headers.len(), "seed {seed}: one header for each batch time: {headers:?}");
    assert!(!headers.is_empty(), "seed {seed}: nothing was printed");
    println!("parts: {} batch times with lines, the largest with {most}", counts.len());
}
