//! What every log must do, as tests: run on the embedded logs, on the simulated one and on a real broker.
//!
//! Each case takes a subject and creates topics and groups of its own, so all may share one broker. A factory is a
//! function `fn() -> Subject`; `contract_tests!(factory)` generates one test per case. Waits are bounded and
//! generous (a real group needs seconds to settle); nothing here measures speed.

#![allow(dead_code, reason = "each test binary uses a part of it")]

mod consumer;
mod fetch;
mod group;
mod records;
mod transactions;

pub use consumer::{TestConsumer, fetch};
pub use fetch::*;
pub use group::*;
pub use records::*;
pub use transactions::*;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tidegate::{
    log::{Committed, Log, Membership, Producer, ProducerSpec, RequestSizes, TopicSpec},
    record::{Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, TopicPartition},
};

/// A log to test, and what must live as long as it does.
pub struct Subject {
    pub log: Arc<dyn Log>,
    pub keep: Box<dyn Any>,
}

/// How long a case waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One test per case of the contract for a factory of subjects.
#[macro_export]
macro_rules! contract_tests {
    ($subject:path) => {
        $crate::contract_tests!($subject;
            topics_are_described_and_created_once,
            records_come_back_as_they_were_written,
            nulls_are_not_empty_values,
            timestamps_are_kept_and_missing_ones_are_stamped,
            keys_are_placed_as_java_clients_place_them,
            records_of_a_partition_keep_their_order,
            a_record_that_is_too_large_stops_the_pipeline,
            an_offset_out_of_range_is_reported_with_its_partition,
            records_without_a_transaction_are_visible_after_flush,
            a_reader_starts_anywhere,
            an_offset_is_found_by_time,
            topics_are_listed,
            nothing_is_visible_before_the_commit,
            an_abort_leaves_no_trace,
            the_high_watermark_counts_open_transactions,
            offsets_and_metadata_come_back,
            offsets_of_an_aborted_transaction_are_discarded,
            an_empty_batch_commits_its_metadata,
            a_newer_producer_fences_the_older,
            init_ends_the_open_transaction_of_a_dead_producer,
            one_member_gets_everything,
            the_members_of_a_group_are_known_to_others,
            a_newer_member_of_an_instance_fences_the_older,
            a_static_member_that_comes_back_keeps_its_partitions,
            two_members_share_and_hand_over_cleanly,
            a_commit_of_an_older_generation_is_refused,
            a_commit_of_an_unknown_member_is_refused,
            a_fetcher_takes_within_bounds_and_seeks,
            a_partition_can_be_started_again,
            partitions_come_and_go_while_others_are_fetched,
            a_fetcher_passes_what_was_aborted,
            a_fetcher_out_of_range_says_so_with_its_partition,
            waiting_ends_when_records_arrive_or_it_is_woken,
            offsets_of_other_topics_are_committed_in_the_group,
            a_late_answer_holds_up_only_what_moves,
            waiting_ends_when_there_is_an_event,
        );
    };
    ($subject:path; $($case:ident,)*) => {
        $(#[test]
        fn $case() {
            let subject = $subject();
            $crate::contract::$case(&subject.log);
        })*
    };
}

/// A name that no other case of this run and no earlier run has used.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{start}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic.
pub fn topic(log: &Arc<dyn Log>, partitions: u32) -> String {
    let name = unique("contract");
    let spec =
        TopicSpec { name: name.clone(), partitions, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    until("the topic is there", || log.describe(&[&name]).unwrap()[0].is_some());
    name
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Records of keys and values.
pub fn rows(list: &[(&str, &str)]) -> RawChunk {
    let mut all = RawChunkBuilder::default();
    for (key, value) in list {
        all.push(record(Some(key.as_bytes()), Some(value.as_bytes())));
    }
    all.build()
}

pub fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RawRecord<'a> {
    RawRecord { offset: Offset(0), timestamp_ms: -1, key, value, headers: Headers::NONE }
}

/// Keys and values as text.
pub fn texts(chunk: &RawChunk) -> Vec<(String, String)> {
    let text = |b: Option<&[u8]>| String::from_utf8(b.unwrap_or(b"null").to_vec()).unwrap();
    chunk.iter().map(|r| (text(r.key), text(r.value))).collect()
}

pub fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn producer_spec(transactional_id: Option<&str>, group: &str) -> ProducerSpec {
    ProducerSpec {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout: Duration::from_secs(30),
        group: group.to_owned(),
        buffer_bytes: 16 << 20,
        sizes: RequestSizes::default(),
    }
}

/// A transactional producer that is ready.
pub fn transactional(log: &Arc<dyn Log>, id: &str, group: &str) -> Box<dyn Producer> {
    let mut producer = log.producer(&producer_spec(Some(id), group)).unwrap();
    producer.init().unwrap();
    producer
}

/// For nobody: for transactions without offsets.
pub fn nobody() -> Membership {
    Membership { member_id: String::new(), generation: -1, handle: Arc::new(()) }
}

/// Writes in a transaction of its own.
pub fn write(log: &Arc<dyn Log>, at: &TopicPartition, list: &[(&str, &str)]) {
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    producer.begin().unwrap();
    producer.send(&at.topic, Some(at.partition), &rows(list)).unwrap();
    producer.commit(&[], &nobody()).unwrap();
}

/// All committed records of a partition up to its high watermark; each call must advance.
pub fn read_all(log: &Arc<dyn Log>, at: &TopicPartition) -> Vec<(String, String)> {
    let mut reader = log.read(at, log.start_offset(at).unwrap()).unwrap();
    let (mut all, mut position) = (vec![], log.start_offset(at).unwrap());
    let end = log.end_offset(at).unwrap();
    let start = std::time::Instant::now();
    while position < end {
        assert!(start.elapsed() < PATIENCE, "{at}: the reader is stuck at {position} before {end}");
        if let Some(fetched) = reader.next(Duration::from_millis(500)).unwrap() {
            assert!(fetched.next > position, "{at}: a reader only moves forward");
            assert!(fetched.records.last_offset().is_none_or(|last| last < fetched.next));
            all.extend(texts(&fetched.records));
            position = fetched.next;
        }
    }
    all
}

/// What a reader returns that is there now.
pub fn visible(log: &Arc<dyn Log>, at: &TopicPartition) -> Vec<(String, String)> {
    let mut reader = log.read(at, Offset(0)).unwrap();
    let mut all = vec![];
    while let Some(fetched) = reader.next(Duration::from_millis(700)).unwrap() {
        all.extend(texts(&fetched.records));
    }
    all
}

pub fn committed(offset: u64, metadata: &str) -> Committed {
    Committed { offset: Offset(offset), leader_epoch: None, metadata: metadata.to_owned() }
}

#[expect(clippy::unnecessary_wraps, reason = "the argument of `send` is an option")]
pub fn at(partition: u32) -> Option<Partition> {
    Some(Partition(partition))
}
