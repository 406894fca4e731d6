//! Events with numbers for a program without state, and the judge of what comes out: each number once.
//!
//! Knows no program.

use super::client::{Client, Row};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

/// Writes events that `filter_project` passes on to four partitions until it is told to finish.
pub struct Events {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Events {
    pub fn start(client: &Client, topic: &str) -> Events {
        let producer: BaseProducer = client.config().set("enable.idempotence", "true").create().unwrap();
        let (topic, stop) = (topic.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut next = 0;
            while !stopped.load(Ordering::Relaxed) {
                for id in next..next + 4 {
                    let value =
                        format!(r#"{{"id":{id},"user":"u","item":"i","price":99.0,"ts":{id},"page":"p"}}"#);
                    let to = BaseRecord::<(), _>::to(&topic).partition(i32::try_from(id % 4).unwrap());
                    producer.send(to.payload(value.as_str())).map_err(|(e, _)| e).unwrap();
                }
                next += 4;
                producer.poll(Duration::ZERO);
                sleep(Duration::from_millis(8));
            }
            producer.flush(Duration::from_secs(60)).unwrap();
            next
        });
        Events { stop, thread }
    }

    /// Ends the writing; how many were written.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Fails unless each number below `written` came out once.
pub fn judge(what: &str, written: u64, rows: &[Row]) {
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows {
        let event: serde_json::Value = serde_json::from_str(&row.value).unwrap();
        *times.entry(event["id"].as_u64().unwrap()).or_default() += 1;
    }
    let missing: Vec<u64> = (0..written).filter(|id| !times.contains_key(id)).take(20).collect();
    let wrong: Vec<(&u64, &u64)> =
        times.iter().filter(|(id, n)| **n > 1 || **id >= written).take(20).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "{what}: missing {missing:?}, more than once {wrong:?}");
    assert!(written > 0, "{what}: nothing was tested");
}
