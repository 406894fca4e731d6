//! Order and completeness of a million records, and what they cost. The numbers are printed, not judged.

use crate::{
    contract::{TestConsumer, at, nobody, producer_spec, topic, tp, unique},
    subject::kafka,
};
use std::time::{Duration, Instant};
use tidegate::record::RawChunkBuilder;

const RECORDS: usize = 1_000_000;
const PARTITIONS: u32 = 4;
const CHUNK: usize = 4_096;

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

struct Cost(Instant, f64);
impl Cost {
    fn begin() -> Cost {
        Cost(Instant::now(), cpu())
    }
    fn print(&self, what: &str) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu() - self.1);
        let rate = f64::from(u32::try_from(RECORDS).unwrap()) / wall / 1000.0;
        println!("{what}: {rate:.0} k records/s, {cpu:.2} CPU s per million");
    }
}

fn produce(name: &str) {
    let log = kafka();
    let mut spec = producer_spec(Some(&unique("writer")), "none");
    spec.buffer_bytes = 32 << 20;
    let mut producer = log.producer(&spec).unwrap();
    producer.init().unwrap();
    let cost = Cost::begin();
    let mut number = 0u64;
    while number < RECORDS as u64 {
        producer.begin().unwrap();
        for chunk in 0..64 {
            let mut rows = RawChunkBuilder::with_capacity(CHUNK, CHUNK * 136);
            let partition = chunk % PARTITIONS;
            for _ in 0..CHUNK.min(RECORDS - usize::try_from(number).unwrap()) {
                let value = |v: &mut Vec<u8>| {
                    v.extend_from_slice(&number.to_be_bytes());
                    v.resize(v.len() + 128, b'.');
                    Ok::<_, ()>(true)
                };
                rows.push_with(1_000, None, value).unwrap();
                number += 1;
            }
            producer.send(name, at(partition), &rows.build()).unwrap();
        }
        producer.flush().unwrap();
        producer.commit(&[], &nobody()).unwrap();
    }
    assert!(!producer.suspect());
    cost.print("produce");
}

fn consume(name: &str) {
    let log = kafka();
    log.describe(&[name]).unwrap();
    let mut consumer = TestConsumer::join(&log, &unique("group"), "a", &[name]);
    consumer.until("all is held", |s| s.holds().len() == PARTITIONS as usize);
    let cost = Cost::begin();
    let mut last = [None; PARTITIONS as usize];
    let (mut count, mut calls) = (0, 0);
    while count < RECORDS {
        assert!(cost.0.elapsed() < Duration::from_secs(120), "{count} of {RECORDS}");
        consumer.step(Duration::from_millis(100)).unwrap();
        for (at, fetcher) in &mut consumer.fetchers {
            while let Some(fetched) = fetcher.take(CHUNK, 1 << 20).unwrap() {
                calls += 1;
                let last = &mut last[at.partition.0 as usize];
                for record in fetched.records.iter() {
                    let number = u64::from_be_bytes(record.value.unwrap()[..8].try_into().unwrap());
                    assert!(last.is_none_or(|l| l < number), "{at}: {number} after {last:?}");
                    *last = Some(number);
                    count += 1;
                }
                assert!(fetched.records.len() <= CHUNK);
            }
        }
    }
    assert_eq!(count, RECORDS, "none twice, none missing");
    cost.print("consume");
    println!("records per call: {}", count / calls);
    consumer.member.close(true);
}

#[test]
fn a_million_records_keep_their_order_and_none_is_lost() {
    let log = kafka();
    let name = topic(&log, PARTITIONS);
    produce(&name);
    consume(&name);
    let ends: u64 = (0..PARTITIONS).map(|p| log.end_offset(&tp(&name, p)).unwrap().0).sum();
    assert!(ends >= RECORDS as u64);
}

/// What every start waits for.
#[test]
fn joining_and_getting_ready_are_quick() {
    let log = kafka();
    let name = topic(&log, 4);
    let (mut inits, mut joins) = (vec![], vec![]);
    for _ in 0..10 {
        let mut producer = log.producer(&producer_spec(Some(&unique("writer")), "none")).unwrap();
        let begun = Instant::now();
        producer.init().unwrap();
        inits.push(begun.elapsed());
        let begun = Instant::now();
        let mut consumer = TestConsumer::join(&log, &unique("group"), "a", &[&name]);
        consumer.until("held", |s| s.holds().len() == 4);
        joins.push(begun.elapsed());
        consumer.member.close(true);
    }
    inits.sort();
    joins.sort();
    println!(
        "init p50 {:?} max {:?}; join to assignment p50 {:?} max {:?}",
        inits[5], inits[9], joins[5], joins[9]
    );
}

/// What a checkpoint costs: a small transaction with offsets, again and again.
#[test]
fn a_small_transaction_is_quick() {
    let log = kafka();
    let (name, group) = (topic(&log, 4), unique("group"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 4);
    let spec = producer_spec(Some(&unique("writer")), &group);
    let mut producer = log.producer(&spec).unwrap();
    let begun = Instant::now();
    producer.init().unwrap();
    let init = begun.elapsed();
    let mut took = vec![];
    for i in 0..200u64 {
        let begun = Instant::now();
        producer.begin().unwrap();
        for partition in 0..4 {
            let rows = crate::contract::rows(&[("k", "v"), ("k", "w"), ("l", "v"), ("m", "v"), ("n", "v")]);
            producer.send(&name, at(partition), &rows).unwrap();
        }
        producer.flush().unwrap();
        let member = consumer.member.membership().unwrap();
        producer.commit(&[(tp(&name, 0), crate::contract::committed(i, "token"))], &member).unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    let (p50, p90, p99) = (took[100], took[180], took[198]);
    println!("init {init:?}, transaction p50 {p50:?} p90 {p90:?} p99 {p99:?}");
    assert!(!producer.suspect(), "nothing was slow");
    consumer.member.close(true);
}
