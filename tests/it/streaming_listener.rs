//! What a listener is notified of while a real program runs: order, causes, and that nothing it does harms the
//! program.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    BadRecordPolicy, Config, SourceOptions, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
    log,
    observe::listener::{BatchInfo, OutputOperationInfo, ReceiverInfo, StreamingListener, StreamingStarted},
    record::{Headers, Offset, RawChunkBuilder, RawRecord, Text},
    source::Queue,
};

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl StreamingListener for Seen {
    fn on_streaming_started(&self, started: &StreamingStarted) {
        assert!(started.time_ms > 1_600_000_000_000);
        self.add("started".into());
    }
    fn on_receiver_started(&self, receiver: &ReceiverInfo) {
        self.add(format!("receiver {} started", receiver.id));
    }
    fn on_receiver_error(&self, receiver: &ReceiverInfo) {
        let error = receiver.last_error.as_ref().unwrap();
        self.add(format!("receiver {} {}: {}", receiver.id, receiver.status.name(), error.message));
    }
    fn on_receiver_stopped(&self, receiver: &ReceiverInfo) {
        self.add(format!("receiver {} stopped", receiver.id));
    }
    fn on_batch_submitted(&self, batch: &BatchInfo) {
        assert_eq!(batch.processing_end_ms, None);
        self.add(format!("batch {} submitted", batch.id));
    }
    fn on_batch_started(&self, batch: &BatchInfo) {
        self.add(format!("batch {} started", batch.id));
    }
    fn on_output_operation_started(&self, operation: &OutputOperationInfo) {
        assert_eq!(operation.duration, None);
        self.add(format!("operation {} {} started", operation.id, operation.name));
    }
    fn on_output_operation_completed(&self, operation: &OutputOperationInfo) {
        assert!(operation.duration.is_some());
        let ended = if operation.failure_reason.is_some() { "failed" } else { "completed" };
        self.add(format!("operation {} {} {ended}", operation.id, operation.name));
    }
    fn on_batch_completed(&self, batch: &BatchInfo) {
        let (records, moved) = (batch.num_records(), batch.streams[0].ranges.len());
        assert!(
            batch.total_delay.is_some()
                && batch.processing_delay.is_some()
                && batch.scheduling_delay.is_some()
        );
        assert_eq!(moved > 0, records > 0);
        match batch.failure_reason() {
            Some(why) => self.add(format!("batch {} failed: {why}", batch.id)),
            None => self.add(format!("batch {} completed with {records} records", batch.id)),
        }
        panic!("a listener's own mistake");
    }
}

#[test]
fn a_listener_is_notified_of_everything_in_order_and_its_panics_harm_nothing() {
    let log = log::open("memory:listener", &BTreeMap::default()).unwrap();
    let mut records = RawChunkBuilder::default();
    for line in ["a", "b", "bad", "c"] {
        let value = Some(line.as_bytes());
        records.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: 0,
            key: Some(b"k"),
            value,
            headers: Headers::NONE,
        });
    }
    log::write(log.as_ref(), "in", None, &records.build()).unwrap();
    let mut config = Config::new("listened", "memory:listener");
    (config.trigger, config.admin_bind) = (Trigger::AvailableNow, None);
    let ssc = StreamingContext::new(config);
    let options = SourceOptions::topic("in").on_bad_record(BadRecordPolicy::Skip);
    let rows = ssc.source::<Text>(options, Utf8).map(|line| {
        assert!(&*line != "bad", "no good");
        (line, 1u64)
    });
    rows.to_kafka("out", Utf8, AsText);
    let seen = Seen::default();
    ssc.add_streaming_listener(seen.clone());
    ssc.start().unwrap();
    ssc.await_termination().unwrap();

    let seen = seen.0.lock().unwrap().clone();
    assert_eq!(seen[0], "started");
    let receivers = seen.iter().filter(|s| s.ends_with(" started") && s.starts_with("receiver ")).count();
    assert!(receivers > 0, "{seen:#?}");
    assert!(seen[seen.len() - receivers..].iter().all(|s| s.ends_with(" stopped")), "{seen:#?}");
    let batches: Vec<&String> =
        seen.iter().filter(|s| s.starts_with("batch ") || s.starts_with("operation ")).collect();
    let (mut processed, mut failed) = (0, 0);
    for batch in batches.chunks(5) {
        let number = batch[0].split(' ').nth(1).unwrap();
        assert_eq!(*batch[0], format!("batch {number} submitted"));
        assert_eq!(*batch[1], format!("batch {number} started"));
        assert_eq!(batch[2], "operation 0 to_kafka out started");
        if batch[3].ends_with(" failed") {
            failed += 1;
            assert!(
                batch[4].starts_with(&format!("batch {number} failed: ")) && batch[4].contains("no good"),
                "{batch:?}"
            );
        } else {
            assert_eq!(batch[3], "operation 0 to_kafka out completed");
            let records = batch[4].strip_prefix(&format!("batch {number} completed with ")).unwrap();
            processed += records.split(' ').next().unwrap().parse::<usize>().unwrap();
        }
    }
    assert_eq!(processed, 4, "each record in one batch that completed; the bad one too, skipped: {seen:#?}");
    assert_eq!(failed, 1, "with the others; then it is found without another batch: {seen:#?}");
    let errors: Vec<_> = seen.iter().filter(|s| s.contains("bad record at offset 2")).collect();
    assert!(errors.len() == 1 && errors[0].contains(" ACTIVE: "), "it continues: {seen:#?}");
}

#[derive(Clone, Default)]
struct Batches(Arc<Mutex<Vec<BatchInfo>>>);

impl StreamingListener for Batches {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        self.0.lock().unwrap().push(batch.clone());
    }
}

#[test]
fn rows_of_a_queue_are_counted_and_outputs_outside_the_log_are_timed() {
    let mut config = Config::new("queued", "memory:queued");
    (config.trigger, config.admin_bind) = (Trigger::AvailableNow, None);
    let (ssc, queue) = (StreamingContext::new(config), Queue::default());
    queue.push(vec![1u64, 2, 3]);
    queue.push(vec![4u64]);
    ssc.queue_stream(&queue, true).foreach_rdd(|_, _| {
        std::thread::sleep(Duration::from_millis(20));
    });
    let batches = Batches::default();
    ssc.add_streaming_listener(batches.clone());
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    let batches = batches.0.lock().unwrap();
    assert_eq!(batches.iter().map(BatchInfo::num_records).sum::<usize>(), 4);
    for batch in batches.iter().filter(|b| b.num_records() > 0) {
        let (stream, operation) = (&batch.streams[0], &batch.output_operations[0]);
        assert_eq!((&*stream.name, stream.ranges.len(), &*operation.name), ("queue", 0, "foreach_rdd"));
        assert!(operation.duration.unwrap() >= Duration::from_millis(20), "{operation:?}");
        assert!(batch.processing_delay.unwrap() >= Duration::from_millis(20), "{batch:?}");
    }
}
