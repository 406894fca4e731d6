//! Random streams, windows and accidents against a plain model of each window operation.

use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    testing::{Driver, Settings, ways},
};

/// A batch: how many intervals are skipped before it, and rows of partition, key, value.
type Batch = (i64, Vec<(u32, u8, i64)>);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let skipped = prop_oneof![6 => Just(0i64), 1 => 1..4i64, 1 => 4..15i64];
    let rows = prop::collection::vec((0..3u32, 0..4u8, -9..9i64), 0..5);
    prop::collection::vec((skipped, rows), 1..14)
}

fn program(length: i64, slide: i64) -> impl Fn(&StreamingContext) {
    let ms = |n: i64| Duration::from_secs(n.unsigned_abs());
    let (length, slide) = (ms(length), ms(slide));
    move |ssc| {
        let rows = ssc.text("n").map(|line| {
            let (key, value) = line.split_once(' ').unwrap();
            (key.parse::<u8>().unwrap(), value.parse::<i64>().unwrap())
        });
        let add = |a: i64, b: i64| a + b;
        let lists = rows.window_by(length, slide).map(|(k, v)| (0u8, vec![(k, v)]));
        show(&lists.reduce_by_key(joined), "rows");
        show(&rows.group_by_key_and_window(length, slide), "groups");
        rows.reduce_by_key_and_window(add, length, slide).to_kafka("sums", AsText, AsText);
        let inverse = rows.reduce_by_key_and_window_inverse(add, |a, b| a - b, length, slide);
        inverse.to_kafka("inverse", AsText, AsText);
        let keep = |_: &u8, n: &i64| *n > 0;
        let filtered = rows.reduce_by_key_and_window_filtered(add, |a, b| a - b, length, slide, keep);
        filtered.to_kafka("positive", AsText, AsText);
        rows.count_by_window(length, slide).map(|n| (0, n)).to_kafka("count", AsText, AsText);
        let values = rows.map(|(_, v)| v);
        values.reduce_by_window(i64::max, length, slide).map(|n| (0, n)).to_kafka("max", AsText, AsText);
        let sum = values.reduce_by_window_inverse(add, |a, b| a - b, length, slide);
        sum.map(|n| (0, n)).to_kafka("sum", AsText, AsText);
        values.count_by_value_and_window(length, slide).to_kafka("values", AsText, AsText);
    }
}

fn joined<T>(mut a: Vec<T>, b: Vec<T>) -> Vec<T> {
    a.extend(b);
    a
}

fn show<T: Ord + std::fmt::Debug + Clone + Send + Sync + 'static>(
    lists: &tidegate::DStream<(u8, Vec<T>)>,
    topic: &str,
) {
    let text = lists.map(|(key, mut list)| {
        list.sort();
        (key, format!("{list:?}"))
    });
    text.to_kafka(topic, AsText, Utf8);
}

/// Recomputes every window from all rows that ever came.
#[derive(Clone, Default)]
struct Model {
    rows: Vec<(i64, u8, i64)>,
    emitted: Option<i64>,
    /// Keys of the windows with an inverse: they stay.
    keys: BTreeSet<u8>,
}

impl Model {
    fn batch(&mut self, time: i64, new: &[(u32, u8, i64)], length: i64, slide: i64) -> Vec<String> {
        self.rows.extend(new.iter().map(|(_, k, v)| (time, *k, *v)));
        let instant = time.div_euclid(slide) * slide;
        let due = match self.emitted {
            None => instant == time,
            Some(before) => instant > before,
        };
        if !due {
            if !new.is_empty() {
                self.emitted.get_or_insert(instant);
            }
            return vec![];
        }
        self.emitted = Some(instant);
        let covers = |t: i64| t > instant - length && t <= instant;
        let window: Vec<(i64, u8, i64)> = self.rows.iter().copied().filter(|r| covers(r.0)).collect();
        self.show(&window)
    }

    /// After a start: the instants that passed while the program was down, as long as a row may reach.
    fn passed_over(&mut self, last: i64, now: i64, length: i64, slide: i64) -> Vec<String> {
        let passed = (last + 1..=now.min(last + length)).filter(|time| time % slide == 0);
        passed.flat_map(|time| self.batch(time, &[], length, slide)).collect()
    }

    fn show(&mut self, window: &[(i64, u8, i64)]) -> Vec<String> {
        let sorted = |rows: &[(i64, u8, i64)]| {
            let mut rows: Vec<(u8, i64)> = rows.iter().map(|r| (r.1, r.2)).collect();
            rows.sort_unstable();
            rows
        };
        let mut written = vec![format!("count | 0 | {}", window.len())];
        let all = sorted(window);
        let (mut groups, mut values) = (BTreeMap::<u8, Vec<i64>>::new(), BTreeMap::<i64, u64>::new());
        for (key, value) in &all {
            groups.entry(*key).or_default().push(*value);
            *values.entry(*value).or_default() += 1;
            self.keys.insert(*key);
        }
        if !all.is_empty() {
            written.push(format!("rows | 0 | {all:?}"));
            written.push(format!("max | 0 | {}", all.iter().map(|r| r.1).max().unwrap()));
        }
        let sum = |key: u8| groups.get(&key).map_or(0, |values| values.iter().sum::<i64>());
        if !self.keys.is_empty() {
            written.push(format!("sum | 0 | {}", all.iter().map(|r| r.1).sum::<i64>()));
        }
        written.extend(groups.iter().map(|(k, v)| format!("groups | {k} | {v:?}")));
        let positive = groups.keys().filter(|k| sum(**k) > 0);
        written.extend(positive.map(|k| format!("positive | {k} | {}", sum(*k))));
        written.extend(groups.keys().map(|k| format!("sums | {k} | {}", sum(*k))));
        written.extend(self.keys.iter().map(|k| format!("inverse | {k} | {}", sum(*k))));
        written.extend(values.iter().map(|(v, n)| format!("values | {v} | {n}")));
        written.sort();
        written
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_window_agrees_with_the_model(
        batches in batches(),
        length in 1..12i64,
        slide in 1..8i64,
        way in 0..7usize,
        shifted in 0..50i64,
    ) {
        let settings = Settings { ..ways()[way] };
        let mut driver = Driver::with(settings, program(length, slide));
        let mut model = Model::default();
        driver.set_now_ms(shifted * 1_000);
        let mut has_run = false;
        // When the last batch was committed, at the earliest: one with rows or results, or the first.
        let mut last = None;
        for (skipped, rows) in &batches {
            let before = driver.now_ms() / 1_000;
            if *skipped > 0 {
                driver.set_now_ms((before + skipped) * 1_000);
            }
            let input: Vec<String> = rows.iter().map(|(p, k, v)| format!("n {p} | - | {k} {v}\n")).collect();
            let written = driver.batch(&input.concat()).unwrap();
            let mut written: Vec<String> = written.rows().map(str::to_owned).collect();
            written.sort();
            let time = driver.now_ms() / 1_000;
            // Batches that only delete are committed, too, so a start may begin with instants that have no rows.
            let lasts = last.filter(|_| *skipped > 0).map_or(before..=before, |last| last..=before);
            let mut possible = lasts.map(|last| {
                let mut model = model.clone();
                let now = time - 1;
                let mut expected =
                    if *skipped > 0 && has_run { model.passed_over(last, now, length, slide) } else { vec![] };
                expected.extend(model.batch(time, rows, length, slide));
                expected.sort();
                (model, expected)
            });
            let first = possible.next().unwrap();
            let (after, expected) = if first.1 == written { first } else { possible.find(|p| p.1 == written).unwrap_or(first) };
            model = after;
            if last.is_none() || !rows.is_empty() {
                last = Some(time);
            } else if !expected.is_empty() {
                last = last.max(model.emitted); // the batch itself may have had nothing, but those of passed instants
            }
            prop_assert_eq!(written, expected, "at {} s", driver.now_ms() / 1_000);
            has_run = true;
        }
    }
}
