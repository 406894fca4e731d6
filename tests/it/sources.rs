//! Sources through the public interface: topics and where they begin, receivers, directories, rate limits.

mod back_pressure;
mod directories;
mod programs;
mod receivers;
mod topics;
mod with_state;

use crate::contract::unique;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tidegate::{
    Config, StreamingContext,
    log::{self, Log, TopicSpec},
    record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A fresh name for a log in memory.
fn new_log() -> String {
    format!("memory:{}", unique("sources"))
}

/// A context with short batches on a log in memory.
fn context_on(
    bootstrap: &str,
    name: &str,
    more: impl FnOnce(&mut Config),
) -> (StreamingContext, Arc<dyn Log>) {
    let log = log::open(bootstrap, &BTreeMap::new()).unwrap();
    let ssc = StreamingContext::builder(name)
        .log(bootstrap)
        .batch_interval(Duration::from_millis(50))
        .threads(2)
        .configure(|c| {
            c.admin_bind = None;
            c.metadata_refresh = Duration::from_millis(100);
        })
        .configure(more)
        .build();
    (ssc, log)
}

/// A context with short batches on a log in memory of its own.
fn context(name: &str) -> (StreamingContext, Arc<dyn Log>) {
    context_on(&new_log(), name, |_| {})
}

fn create(log: &Arc<dyn Log>, name: &str, partitions: u32) {
    let config = BTreeMap::new();
    log.create(&TopicSpec { name: name.into(), partitions, replication_factor: None, config }).unwrap();
}

/// Writes values with times to a partition.
fn write(log: &Arc<dyn Log>, topic: &str, partition: u32, values: &[(&str, i64)]) {
    let mut chunk = RawChunkBuilder::default();
    for (value, timestamp_ms) in values {
        let value = Some(value.as_bytes());
        chunk.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: *timestamp_ms,
            key: None,
            value,
            headers: Headers::NONE,
        });
    }
    log::write(&**log, topic, Some(Partition(partition)), &chunk.build()).unwrap();
}

/// Rows that a program emitted, as they were committed.
#[derive(Clone)]
struct Rows<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Rows<T> {
    fn get(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    fn until(&self, ssc: &StreamingContext, count: usize) -> Vec<T> {
        let begun = Instant::now();
        while self.0.lock().unwrap().len() < count {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain for {count} rows, got {}",
                self.0.lock().unwrap().len()
            );
            if !ssc.is_running() {
                let rows = self.0.lock().unwrap().len();
                panic!("it ended with {rows} rows: {:?}", ssc.await_termination());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.get()
    }
}

/// The rows of a stream in the order of their batches.
fn collect<T: tidegate::Value>(stream: &tidegate::DStream<T>) -> Rows<T> {
    let rows = Rows(Arc::default());
    let into = rows.clone();
    stream.foreach_rdd(move |rdd, _| {
        into.0.lock().unwrap().extend(rdd.collect());
    });
    rows
}

fn stop(ssc: &StreamingContext, graceful: bool) {
    ssc.stop(graceful);
    ssc.await_termination().unwrap();
}
