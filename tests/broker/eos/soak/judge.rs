//! The judge of `programs::stages`: whatever batch times the lines got, everything that the program wrote must follow from
//! everything else.
//!
//! Knows only what was written and what was read. Each row says of which batch time it is. Invariants that it checks: the lines of
//! each input partition pass once and in their order; the counts of the batches add up to the truth; the running counts rise by
//! exactly these; each window has the sum of the batches that it covers, and none is missing; the second stage has taken each
//! result of the first one once.

use super::{
    super::{client::Row, words::Truth},
    INPUTS, SLIDE_MS, WINDOW_MS,
};
use std::collections::{BTreeMap, BTreeSet};

/// The values of one key, in the order in which they were read.
type Series = Vec<(i64, u64)>;
/// The values that are expected at each time.
type Expected = BTreeMap<i64, u64>;

/// The group of a word in the second stage.
pub fn group(word: &str) -> u64 {
    word.bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % 11)
}

/// What was written, by kind and key.
#[derive(Default)]
struct Given {
    kinds: BTreeMap<String, BTreeMap<String, Series>>,
    wrong: Vec<String>,
}

impl Given {
    fn of(rows: &[Row]) -> Given {
        let mut given = Given::default();
        for row in rows {
            let value = row.value.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let (Some((kind, key)), Some(value)) = (row.key.split_once(':'), value) else {
                given.wrong.push(format!("no value: {row:?}"));
                continue;
            };
            given.kinds.entry(kind.into()).or_default().entry(key.into()).or_default().push(value);
        }
        given
    }

    fn take(&mut self, kind: &str) -> BTreeMap<String, Series> {
        self.kinds.remove(kind).unwrap_or_default()
    }
}

/// All violations in what was read, if so many lines were written that have these words.
pub fn violations(lines: u64, truth: &Truth, rows: &[Row]) -> Vec<String> {
    let mut given = Given::of(rows);
    let mut wrong = std::mem::take(&mut given.wrong);
    lines_in_order(lines, &given.take("line"), &mut wrong);

    let batches = given.take("batch");
    for (word, series) in &batches {
        let (sum, written) = (series.iter().map(|(_, count)| count).sum::<u64>(), truth.get(word).copied());
        if Some(sum) != written {
            wrong.push(format!("batch:{word}: counted {sum} times, written {written:?}"));
        }
    }
    let missing = truth.keys().filter(|word| !batches.contains_key(*word));
    wrong.extend(missing.map(|word| format!("batch:{word}: it is missing")));

    let counts = by_time(batches.iter().map(|(word, series)| (word.clone(), series)));
    let updates: BTreeMap<String, Series> = batches
        .iter()
        .map(|(word, series)| (word.clone(), series.iter().map(|(time, _)| (*time, 1)).collect()))
        .collect();
    let groups = by_time(batches.iter().map(of_group));
    let updates = by_time(updates.iter().map(of_group));

    let exact = |time: i64| time;
    // A window that was passed over is given by the next batch.
    let instant = |time: i64| time.div_euclid(SLIDE_MS) * SLIDE_MS;
    compare("running", &each(&counts, running), &given.take("running"), exact, &mut wrong);
    compare("updates", &each(&updates, running), &given.take("updates"), exact, &mut wrong);
    compare("window", &each(&counts, windows), &given.take("window"), instant, &mut wrong);
    compare("groups", &each(&groups, windows), &given.take("groups"), instant, &mut wrong);
    compare("batch", &counts, &batches, exact, &mut wrong);
    wrong.extend(given.kinds.keys().map(|kind| format!("nothing writes {kind}")));
    wrong
}

/// Each line says which one came before it in its partition.
fn lines_in_order(lines: u64, given: &BTreeMap<String, Series>, wrong: &mut Vec<String>) {
    for partition in 0..INPUTS {
        let key = partition.to_string();
        let numbers = (partition..lines).step_by(usize::try_from(INPUTS).expect("few"));
        let mut expected =
            numbers.map(|n| (i64::try_from(n).expect("few"), n.checked_sub(INPUTS).unwrap_or(n)));
        let found = given.get(&key).map_or(&[][..], Vec::as_slice);
        for (at, pair) in found.iter().enumerate() {
            let next = expected.next();
            if next != Some(*pair) {
                wrong.push(format!("line:{key}: number {at} is {pair:?} in place of {next:?}"));
                break; // all that follow are shifted
            }
        }
        if found.len() as u64 != (lines + INPUTS - 1 - partition) / INPUTS {
            wrong.push(format!("line:{key}: {} lines of {lines} in all partitions", found.len()));
        }
    }
}

fn of_group<'a>((word, series): (&String, &'a Series)) -> (String, &'a Series) {
    (group(word).to_string(), series)
}

/// The sums of each key at each time.
fn by_time<'a>(all: impl Iterator<Item = (String, &'a Series)>) -> BTreeMap<String, Expected> {
    let mut sums: BTreeMap<String, Expected> = BTreeMap::new();
    for (key, series) in all {
        let of_key = sums.entry(key).or_default();
        series.iter().for_each(|(time, count)| *of_key.entry(*time).or_default() += count);
    }
    sums
}

fn each(of: &BTreeMap<String, Expected>, f: fn(&Expected) -> Expected) -> BTreeMap<String, Expected> {
    of.iter().map(|(key, counts)| (key.clone(), f(counts))).collect()
}

fn running(counts: &Expected) -> Expected {
    let add = |sum: &mut u64, (time, count): (&i64, &u64)| {
        *sum += count;
        Some((*time, *sum))
    };
    counts.iter().scan(0, add).collect()
}

/// The sum of `(instant - length, instant]` at each instant at which there is one.
fn windows(counts: &Expected) -> Expected {
    let mut sums = Expected::new();
    for (time, count) in counts {
        let first = (time + SLIDE_MS - 1).div_euclid(SLIDE_MS) * SLIDE_MS;
        let instants = (0..).map(|n| first + n * SLIDE_MS).take_while(|instant| instant - WINDOW_MS < *time);
        instants.for_each(|instant| *sums.entry(instant).or_default() += count);
    }
    sums
}

/// Each key has what is expected, once, in the order of time. `of` says which time a value is for that was written at another one.
fn compare(
    kind: &str,
    expected: &BTreeMap<String, Expected>,
    found: &BTreeMap<String, Series>,
    of: impl Fn(i64) -> i64,
    wrong: &mut Vec<String>,
) {
    let mut given: BTreeSet<(&str, i64)> = BTreeSet::new();
    for (key, series) in found {
        let expected = expected.get(key);
        let mut last = i64::MIN;
        for (time, value) in series {
            let due = expected.and_then(|expected| expected.get(&of(*time)));
            if due != Some(value) {
                wrong.push(format!("{kind}:{key}: {value} at {time} in place of {due:?}"));
            }
            if of(*time) <= last {
                wrong.push(format!("{kind}:{key}: {time} after {last}"));
            }
            last = of(*time);
            given.insert((key, last));
        }
    }
    for (key, expected) in expected {
        let missing = expected.keys().filter(|time| !given.contains(&(key.as_str(), **time)));
        wrong.extend(missing.map(|time| format!("{kind}:{key}: nothing at {time}")));
    }
}

#[cfg(test)]
fn rows(text: &str) -> Vec<Row> {
    let of = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Some(Row { partition: 0, offset: 0, key, value, headers: BTreeMap::new() })
    };
    text.lines().filter_map(of).collect()
}

/// Two lines with the word `w`, of partitions 0 and 1, in two batches.
#[cfg(test)]
const GOOD: &str = "line:0 = 0 0
    line:1 = 1 1
    batch:w = 1000 1
    batch:w = 2250 1
    running:w = 1000 1
    running:w = 2250 2
    updates:9 = 1000 1
    updates:9 = 2250 2
    window:w = 1000 1
    window:w = 2000 1
    window:w = 3250 2
    window:w = 4000 1
    window:w = 5000 1
    groups:9 = 1000 1
    groups:9 = 2000 1
    groups:9 = 3000 2
    groups:9 = 4000 1
    groups:9 = 5000 1";

#[test]
fn the_judge_of_stages_sees_each_kind_of_mistake() {
    assert_eq!((group("w"), WINDOW_MS, SLIDE_MS), (9, 3_000, 1_000), "what the rows here are made for");
    let truth = Truth::from([("w".to_owned(), 2)]);
    let found = |text: &str| violations(2, &truth, &rows(text));
    assert_eq!(found(GOOD), Vec::<String>::new());
    for row in GOOD.lines() {
        let without = GOOD.replace(row, "");
        assert!(!found(&without).is_empty(), "nothing is wrong without {row}");
        let twice = GOOD.replace(row, &format!("{row}\n{row}"));
        assert!(!found(&twice).is_empty(), "nothing is wrong with two of {row}");
        let (start, value) = row.rsplit_once(' ').unwrap();
        let other = GOOD.replace(row, &format!("{start} {}", value.parse::<u64>().unwrap() + 1));
        assert!(!found(&other).is_empty(), "nothing is wrong with another value of {row}");
    }
    let swapped = GOOD
        .replace("updates:9 = 1000 1\n    updates:9 = 2250 2", "updates:9 = 2250 2\n    updates:9 = 1000 1");
    assert_eq!(found(&swapped), ["updates:9: 1000 after 2250"]);
    let strange = format!("{GOOD}\n batch:x = 1000 1");
    assert!(found(&strange).iter().any(|wrong| wrong.contains("batch:x: counted 1 times, written None")));
    assert!(found(&GOOD.replace("2250 1", "late")).iter().any(|wrong| wrong.contains("no value")));
    let truth = Truth::from([("w".to_owned(), 2), ("x".to_owned(), 1)]);
    assert_eq!(violations(2, &truth, &rows(GOOD)), ["batch:x: it is missing"]);
    assert!(!violations(3, &truth, &rows(GOOD)).is_empty(), "a third line is missing");
}
