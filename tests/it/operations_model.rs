//! Random streams, cut into random batches, over partitions, threads, crashes and restarts, against plain models of the operations.
//!
//! Complements `topology_model`: operations that combine rows within a batch, and state with timeouts.

use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};
use tidegate::{
    BatchTime, DStream, State, StateSpec, StreamingContext,
    codec::{AsText, Utf8},
    testing::{Between, Crash, Driver, Settings},
};

/// Records of one batch: partition, key, value.
type Records = Vec<(u32, u8, i64)>;

fn batches() -> impl Strategy<Value = Vec<Records>> {
    prop::collection::vec(prop::collection::vec((0..3u32, 0..6u8, -9..9i64), 0..10), 1..8)
}

fn settings() -> impl Strategy<Value = Settings> {
    let between = prop_oneof![
        Just(Between::GoesOn),
        Just(Between::Restart),
        Just(Between::RestartWithoutState),
        Just(Between::CrashBeforeCommit),
        Just(Between::CrashAfterCommit),
    ];
    let partitions = prop_oneof![Just(1u32), Just(3), Just(8)];
    (between, partitions, prop_oneof![Just(0usize), Just(2)]).prop_map(
        |(between, state_partitions, threads)| Settings {
            between,
            state_partitions,
            threads,
            ..Settings::default()
        },
    )
}

fn table(topic: &str, records: &[(u32, u8, i64)]) -> String {
    let rows = records.iter().map(|(p, key, value)| format!("{topic} {p} | - | {key}:{value}\n"));
    rows.collect::<Vec<_>>().concat()
}

fn pairs(ssc: &StreamingContext, topic: &str) -> DStream<(u8, i64)> {
    ssc.text(topic).map(|line| {
        let (key, value) = line.split_once(':').unwrap();
        (key.parse().unwrap(), value.parse().unwrap())
    })
}

/// What each batch writes; the driver must have crashed if it should have.
fn written(settings: Settings, program: &dyn Fn(&StreamingContext), inputs: &[String]) -> Vec<Vec<String>> {
    let mut driver = Driver::with(settings, program);
    let written = inputs.iter().map(|rows| driver.batch(rows).unwrap().batches.remove(0).rows).collect();
    let crashes = matches!(settings.between, Between::CrashBeforeCommit | Between::CrashAfterCommit);
    // The first batch commits where the program begins, with or without rows.
    assert_eq!(driver.crashes() > 0, crashes, "{settings:?}");
    written
}

fn sorted(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().collect();
    rows.sort();
    rows
}

/// Values of each key on both sides, sorted.
fn grouped(left: &Records, right: &Records) -> BTreeMap<u8, (Vec<i64>, Vec<i64>)> {
    let mut all: BTreeMap<u8, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    left.iter().for_each(|(_, k, v)| all.entry(*k).or_default().0.push(*v));
    right.iter().for_each(|(_, k, v)| all.entry(*k).or_default().1.push(*v));
    for (left, right) in all.values_mut() {
        left.sort_unstable();
        right.sort_unstable();
    }
    all
}

/// Every pair of rows of a batch with the same key, by the textbook definition.
fn joined(left: &Records, right: &Records) -> Vec<String> {
    let mut rows = vec![];
    for (_, key, value) in left {
        let partners: Vec<i64> = right.iter().filter(|r| r.1 == *key).map(|r| r.2).collect();
        rows.extend(partners.iter().map(|w| format!("inner | {key} | {value} {w}")));
        rows.extend(partners.iter().map(|w| format!("left | {key} | {value} Some({w})")));
        rows.extend(partners.iter().map(|w| format!("right | {key} | Some({value}) {w}")));
        rows.extend(partners.iter().map(|w| format!("full | {key} | Some({value}) Some({w})")));
        if partners.is_empty() {
            rows.push(format!("left | {key} | {value} None"));
            rows.push(format!("full | {key} | Some({value}) None"));
        }
    }
    for (_, key, value) in right.iter().filter(|r| left.iter().all(|l| l.1 != r.1)) {
        rows.push(format!("right | {key} | None {value}"));
        rows.push(format!("full | {key} | None Some({value})"));
    }
    for (key, (l, r)) in grouped(left, right) {
        rows.push(format!("group | {key} | {l:?} {r:?}"));
    }
    sorted(rows)
}

/// The sum of a key; below -9 it is removed. A value of 0 emits no row.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form of a function of `map_with_state`")]
fn sum(time: BatchTime, key: &u8, value: Option<i64>, state: &mut State<i64>) -> Option<(u8, String)> {
    let Some(value) = value else {
        return Some((*key, format!("{} out {:?}", time.0, state.get())));
    };
    let now = state.get().unwrap_or(&0) + value;
    match (now < -9, state.exists()) {
        (true, true) => state.remove(),
        (true, false) => {}
        (false, _) => state.update(now),
    }
    (value != 0).then(|| (*key, now.to_string()))
}

/// Sum and time of the last row of each key.
type Sums = BTreeMap<u8, (i64, i64)>;

/// What `map_with_state` over [`sum`] emits for one batch, if the rows of a key come in this order.
fn model(states: &mut Sums, time: i64, records: &[(u8, i64)], timeout_ms: i64) -> Vec<String> {
    let mut rows = vec![];
    for (key, value) in records {
        let now = states.get(key).map_or(0, |s| s.0) + value;
        rows.extend((*value != 0).then(|| format!("mapped | {key} | {now}")));
        if now < -9 {
            states.remove(key);
        } else {
            states.insert(*key, (now, time));
        }
    }
    let idle: Vec<u8> = states.iter().filter(|(_, s)| s.1 < time - timeout_ms).map(|(k, _)| *k).collect();
    for key in idle {
        let (sum, _) = states.remove(&key).unwrap();
        rows.push(format!("mapped | {key} | {time} out Some({sum})"));
    }
    rows.extend(states.iter().map(|(key, (sum, _))| format!("states | {key} | {sum}")));
    sorted(rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joins_agree_with_nested_loops(left in batches(), right in batches(), settings in settings()) {
        let program = |ssc: &StreamingContext| {
            let (l, r) = (pairs(ssc, "l"), pairs(ssc, "r"));
            l.join(&r).map_values(|(l, r)| format!("{l} {r}")).to_kafka("inner", AsText, Utf8);
            l.left_outer_join(&r).map_values(|(l, r)| format!("{l} {r:?}")).to_kafka("left", AsText, Utf8);
            l.right_outer_join(&r).map_values(|(l, r)| format!("{l:?} {r}")).to_kafka("right", AsText, Utf8);
            l.full_outer_join(&r).map_values(|(l, r)| format!("{l:?} {r:?}")).to_kafka("full", AsText, Utf8);
            let groups = l.cogroup(&r).map_values(|(mut l, mut r)| {
                l.sort_unstable();
                r.sort_unstable();
                format!("{l:?} {r:?}")
            });
            groups.to_kafka("group", AsText, Utf8);
        };
        let nothing = vec![];
        let both: Vec<(&Records, &Records)> = (0..left.len().max(right.len()))
            .map(|n| (left.get(n).unwrap_or(&nothing), right.get(n).unwrap_or(&nothing)))
            .collect();
        let inputs: Vec<String> = both.iter().map(|(l, r)| table("l", l) + &table("r", r)).collect();
        let expected: Vec<_> = both.iter().map(|(l, r)| joined(l, r)).collect();
        prop_assert_eq!(written(settings, &program, &inputs), expected);
    }

    #[test]
    fn map_with_state_times_out_like_a_model(batches in batches(), timeout in 1..4i64, settings in settings()) {
        let timeout_ms = timeout * 1_000;
        let program = move |ssc: &StreamingContext| {
            let timeout = Duration::from_secs(timeout.unsigned_abs());
            let mapped = pairs(ssc, "n").map_with_state(StateSpec::function(sum).idle_timeout(timeout));
            mapped.to_kafka("mapped", AsText, Utf8);
            mapped.state_snapshots().to_kafka("states", AsText, AsText);
        };
        // All rows of a key are in one partition, so their order is defined.
        let batches: Vec<Records> = batches
            .into_iter()
            .map(|records| records.into_iter().map(|(_, key, value)| (u32::from(key % 3), key, value)).collect())
            .collect();
        let inputs: Vec<String> = batches.iter().map(|b| table("n", b)).collect();
        let mut states = Sums::new();
        let expected: Vec<_> = batches
            .iter()
            .zip(1i64..)
            .map(|(batch, n)| {
                let records: Vec<(u8, i64)> = batch.iter().map(|(_, key, value)| (*key, *value)).collect();
                model(&mut states, n * 1_000, &records, timeout_ms)
            })
            .collect();
        prop_assert_eq!(written(settings, &program, &inputs), expected);
    }

    #[test]
    fn any_split_into_batches_gives_the_same_state(batches in batches(), settings in settings(), crash in any::<bool>()) {
        // Sums and sets depend neither on the order nor, therefore, on the cut.
        let program = |ssc: &StreamingContext| {
            let numbers = pairs(ssc, "n");
            numbers.running_reduce_by_key(|a, b| a + b).to_kafka("running", AsText, AsText);
            let kept = numbers.update_state_by_key(|new: Vec<i64>, sum: Option<i64>| {
                Some(sum.unwrap_or(0) + new.into_iter().sum::<i64>())
            });
            kept.to_kafka("kept", AsText, AsText);
            let add = |_: BatchTime, key: &u8, value: Option<i64>, sum: &mut State<i64>| {
                sum.update(sum.get().unwrap_or(&0) + value?);
                Some((*key, *sum.get()?))
            };
            let mapped = numbers.map_with_state(StateSpec::function(add));
            mapped.state_snapshots().to_kafka("mapped", AsText, AsText);
        };
        // The last row of each key: sums are written in the order of batches.
        let last = |inputs: &[String], settings: Settings| {
            let mut driver = Driver::with(settings, program);
            let mut last = BTreeMap::new();
            for (n, rows) in inputs.iter().enumerate() {
                if crash && n == inputs.len() / 2 {
                    driver.crash_at(Crash::BeforeCommit);
                }
                for row in driver.batch(rows).unwrap().rows() {
                    let (key, value) = row.rsplit_once(" | ").unwrap();
                    last.insert(key.to_owned(), value.to_owned());
                }
            }
            last
        };
        let as_given: Vec<String> = batches.iter().map(|b| table("n", b)).collect();
        let whole = vec![as_given.concat()];
        let each: Vec<String> = whole[0].split_inclusive('\n').map(str::to_owned).collect();
        let mut sums: BTreeMap<u8, i64> = BTreeMap::new();
        batches.iter().flatten().for_each(|(_, key, value)| *sums.entry(*key).or_default() += value);
        let expected: BTreeMap<String, String> = sums
            .iter()
            .flat_map(|(key, sum)| ["running", "kept", "mapped"].map(|topic| (format!("{topic} | {key}"), sum.to_string())))
            .collect();
        prop_assert_eq!(&last(&as_given, settings), &expected);
        prop_assert_eq!(&last(&whole, Settings::default()), &expected);
        prop_assert_eq!(&last(&each, Settings::default()), &expected);
    }

    #[test]
    fn global_results_cover_the_whole_batch(batches in batches(), settings in settings()) {
        let program = |ssc: &StreamingContext| {
            let numbers = pairs(ssc, "n").values();
            numbers.count().map(|n| ("count", n)).to_kafka("out", Utf8, AsText);
            numbers.reduce(|a, b| a + b).map(|n| ("sum", n)).to_kafka("out", Utf8, AsText);
            let sorted = numbers.transform(|mut rows, time| {
                rows.sort_unstable();
                [("sorted", format!("{} {rows:?}", time.0))]
            });
            sorted.to_kafka("out", Utf8, Utf8);
            let sizes = numbers.repartition(2).glom().map(|rows| rows.len() as u64).reduce(|a, b| a + b);
            sizes.map(|n| ("spread", n)).to_kafka("out", Utf8, AsText);
        };
        let inputs: Vec<String> = batches.iter().map(|b| table("n", b)).collect();
        let expected: Vec<_> = batches.iter().zip(1i64..).map(|(batch, n)| {
            let mut values: Vec<i64> = batch.iter().map(|r| r.2).collect();
            values.sort_unstable();
            let sum = (!values.is_empty()).then(|| format!("out | sum | {}", values.iter().sum::<i64>()));
            let count = [format!("out | count | {}", values.len()), format!("out | spread | {}", values.len())];
            sorted(count.into_iter().chain(sum).chain([format!("out | sorted | {} {values:?}", n * 1_000)]))
        }).collect();
        let mut driver = Driver::with(settings, program);
        let rows: Vec<_> = inputs.iter().map(|rows| driver.batch(rows).unwrap().batches.remove(0).rows).collect();
        prop_assert_eq!(rows, expected);
    }
}
