//! Order and completeness of a million records, in large transactions.

use crate::{
    contract::{TestConsumer, at, nobody, producer_spec, topic, tp, unique},
    subject::kafka,
};
use std::time::{Duration, Instant};
use tidegate::record::RawChunkBuilder;

const RECORDS: usize = 1_000_000;
const PARTITIONS: u32 = 4;
const CHUNK: usize = 4_096;

fn produce(name: &str) {
    let log = kafka();
    let mut spec = producer_spec(Some(&unique("writer")), "none");
    spec.buffer_bytes = 32 << 20;
    let mut producer = log.producer(&spec).unwrap();
    producer.init().unwrap();
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
}

fn consume(name: &str) {
    let log = kafka();
    log.describe(&[name]).unwrap();
    let mut consumer = TestConsumer::join(&log, &unique("group"), "a", &[name]);
    consumer.until("all partitions are held", |s| s.holds().len() == PARTITIONS as usize);
    let begun = Instant::now();
    let mut last = [None; PARTITIONS as usize];
    let mut count = 0;
    while count < RECORDS {
        assert!(begun.elapsed() < Duration::from_secs(120), "{count} of {RECORDS}");
        consumer.step(Duration::from_millis(100)).unwrap();
        for (at, fetcher) in &mut consumer.fetchers {
            while let Some(fetched) = fetcher.take(CHUNK, 1 << 20).unwrap() {
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
    assert_eq!(count, RECORDS, "none duplicated, none missing");
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
