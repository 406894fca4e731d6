//! Random streams, cut into random batches over partitions and restarts, against plain models of the operations.

use crate::driver::{PLAIN, Session, Way};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate::{
    DStream, SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
};

/// Records of one batch: partition, key, value.
type Records = Vec<(u32, u8, i64)>;

fn batches() -> impl Strategy<Value = Vec<Records>> {
    prop::collection::vec(prop::collection::vec((0..3u32, 0..6u8, -9..9i64), 0..12), 1..6)
}

fn ways() -> impl Strategy<Value = Way> {
    let partitions = prop_oneof![Just(1u32), Just(3), Just(8)];
    let fields = (prop_oneof![Just(0usize), Just(2)], partitions, any::<bool>());
    fields.prop_map(|(threads, state_partitions, lose_state)| Way { threads, state_partitions, lose_state })
}

fn table(topic: &str, records: &Records) -> String {
    let row = |(p, key, value): &(u32, u8, i64)| format!("{topic} {p} | {key} | {value}\n");
    records.iter().map(row).collect::<Vec<_>>().concat()
}

fn pairs(ssc: &StreamingContext, topic: &str) -> DStream<(u8, i64)> {
    let messages = ssc.source::<Message<String>>(SourceOptions::topic(topic), Messages(Utf8));
    messages.map(|m| {
        (std::str::from_utf8(m.key.as_deref().unwrap()).unwrap().parse().unwrap(), m.value.parse().unwrap())
    })
}

/// The rows that each batch writes, sorted.
fn written(way: Way, build: &dyn Fn(&StreamingContext), inputs: &[String]) -> Vec<Vec<String>> {
    let mut session = Session::new(way);
    inputs.iter().map(|rows| session.step(build, rows)).collect()
}

fn sorted(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn running_sums_agree_with_a_fold(batches in batches(), way in ways()) {
        let build = |ssc: &StreamingContext| {
            pairs(ssc, "n").running_reduce_by_key(|a, b| a + b).to_kafka("sums", AsText, AsText);
        };
        let inputs: Vec<String> = batches.iter().map(|b| table("n", b)).collect();
        let mut sums: BTreeMap<u8, i64> = BTreeMap::new();
        let expected = batches.iter().map(|batch| {
            let before = sums.clone();
            for (_, key, value) in batch {
                *sums.entry(*key).or_insert(0) += value;
            }
            let changed = sums.iter().filter(|(key, sum)| before.get(*key) != Some(*sum));
            sorted(changed.map(|(k, v)| format!("sums | {k} | {v}")))
        });
        let expected: Vec<_> = expected.collect();
        prop_assert_eq!(written(way, &build, &inputs), expected);
    }

    #[test]
    fn joins_pair_every_value_of_a_key_within_the_batch(left in batches(), right in batches(), way in ways()) {
        let build = |ssc: &StreamingContext| {
            let joined = pairs(ssc, "l").join(&pairs(ssc, "r"));
            joined.map(|(k, (l, r))| (k, format!("{l},{r}"))).to_kafka("joined", AsText, Utf8);
        };
        let nothing = vec![];
        let both = (0..left.len().max(right.len())).map(|n| (left.get(n).unwrap_or(&nothing), right.get(n).unwrap_or(&nothing)));
        let inputs: Vec<String> = both.clone().map(|(l, r)| table("l", l) + &table("r", r)).collect();
        let expected = both.map(|(l, r)| {
            let all = l.iter().flat_map(|l| r.iter().map(move |r| (l, r)));
            let equal = all.filter(|(l, r)| l.1 == r.1);
            sorted(equal.map(|(l, r)| format!("joined | {} | {},{}", l.1, l.2, r.2)))
        });
        let expected: Vec<_> = expected.collect();
        prop_assert_eq!(written(way, &build, &inputs), expected);
    }

    #[test]
    fn update_state_is_a_fold_over_all_keys(batches in batches(), way in ways()) {
        // The sum while it is at least -5; below, the key is dropped.
        let step = |new: &[i64], sum: Option<i64>| {
            Some(sum.unwrap_or(0) + new.iter().sum::<i64>()).filter(|sum| *sum >= -5)
        };
        let build = move |ssc: &StreamingContext| {
            let sums = pairs(ssc, "n").update_state_by_key(move |new: Vec<i64>, sum| step(&new, sum));
            sums.to_kafka("sums", AsText, AsText);
        };
        // Without records no batch runs; so each has a record with a key that no other has.
        let batches: Vec<Records> = batches.into_iter().map(|mut b| { b.push((0, 99, 0)); b }).collect();
        let inputs: Vec<String> = batches.iter().map(|b| table("n", b)).collect();
        let mut sums: BTreeMap<u8, i64> = BTreeMap::new();
        let expected = batches.iter().map(|batch| {
            let mut new: BTreeMap<u8, Vec<i64>> = sums.keys().map(|k| (*k, vec![])).collect();
            for (_, key, value) in batch {
                new.entry(*key).or_default().push(*value);
            }
            let next = new.iter().filter_map(|(k, new)| Some((*k, step(new, sums.get(k).copied())?)));
            sums = next.collect();
            sorted(sums.iter().map(|(k, v)| format!("sums | {k} | {v}")))
        });
        let expected: Vec<_> = expected.collect();
        prop_assert_eq!(written(way, &build, &inputs), expected);
    }
}

#[test]
fn the_model_can_fail() {
    let build = |ssc: &StreamingContext| {
        pairs(ssc, "n").running_reduce_by_key(i64::max).to_kafka("sums", AsText, AsText);
    };
    let rows = written(PLAIN, &build, &["n 0 | 1 | 2\nn 1 | 1 | 3\n".into()]);
    assert_ne!(rows, [["sums | 1 | 5"]]);
}
