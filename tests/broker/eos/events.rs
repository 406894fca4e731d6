//! Numbered events for a program without state, and the judge of what comes out: each number once.
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

/// Writes events that pass `filter_project` to four partitions until it is told to finish.
pub struct Events {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Events {
    pub fn start(client: &Client, topic: &str) -> Events {
        Events::start_at(client, topic, 0)
    }

    /// The same, with numbers from `first` on.
    pub fn start_at(client: &Client, topic: &str, first: u64) -> Events {
        let producer: BaseProducer = client.config().set("enable.idempotence", "true").create().unwrap();
        let (topic, stop) = (topic.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut next = first;
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

    /// Ends the writing; returns the number after the last one.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// All violations: each number below `written` must have come out once, and no other.
pub fn violations(written: u64, rows: &[Row]) -> Vec<String> {
    assert!(written > 0, "nothing was tested");
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows {
        let event: serde_json::Value = serde_json::from_str(&row.value).unwrap();
        *times.entry(event["id"].as_u64().unwrap()).or_default() += 1;
    }
    let missing =
        (0..written).filter(|id| !times.contains_key(id)).map(|id| format!("event {id} is missing"));
    let wrong = times.iter().filter(|(id, n)| **n > 1 || **id >= written);
    missing.chain(wrong.map(|(id, n)| format!("event {id} is there {n} times"))).collect()
}

/// Fails with the first violations.
pub fn judge(what: &str, written: u64, rows: &[Row]) {
    let wrong = violations(written, rows);
    let first: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{what}: {} violations, such as {first:#?}", wrong.len());
}

#[test]
fn the_judge_of_events_sees_each_kind_of_mistake() {
    let row = |id: u64| Row {
        partition: 0,
        offset: 0,
        key: String::new(),
        value: format!(r#"{{"id":{id}}}"#),
        headers: BTreeMap::new(),
    };
    assert_eq!(violations(2, &[row(1), row(0)]), Vec::<String>::new());
    assert_eq!(violations(2, &[row(1)]), ["event 0 is missing"]);
    assert_eq!(violations(1, &[row(0), row(0)]), ["event 0 is there 2 times"]);
    assert_eq!(violations(1, &[row(0), row(1)]), ["event 1 is there 1 times"]);
}
