//! Programs that read and write with schemas while the registry comes and goes.

use crate::{
    NEW, OLD, Order, framed, order,
    proxy::{Mode, Proxy},
    registry, server, unique,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tidegate::{
    BadRecordPolicy, Config, SourceOptions, StreamingContext,
    codec::{AvroReader, AvroSchema, AvroWriter, Nullable},
    config::Trigger,
    log::{self, Log, TopicSpec},
    record::{Offset, Partition, RawChunkBuilder, TopicPartition},
    registry::{Registry, RegistryConfig, Subject},
};

pub const PATIENCE: Duration = Duration::from_secs(120);

/// A log in memory with topics of two partitions.
pub fn log_of(name: &str, topics: &[&str]) -> (Config, Arc<dyn Log>) {
    let mut config = Config::new(name, format!("memory:{name}"));
    (config.trigger, config.admin_bind, config.threads) = (Trigger::AvailableNow, None, 2);
    let log = log::open(&config.bootstrap, &config.properties).unwrap();
    for topic in topics {
        let config = [].into();
        log.create(&TopicSpec { name: (*topic).into(), partitions: 2, replication_factor: None, config })
            .unwrap();
    }
    (config, log)
}

pub fn put(log: &dyn Log, topic: &str, partition: u32, values: &[&[u8]]) {
    let mut records = RawChunkBuilder::default();
    for value in values {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(value);
            Ok::<_, ()>(true)
        };
        records.push_with(0, None, write).unwrap();
    }
    log::write(log, topic, Some(Partition(partition)), &records.build()).unwrap();
}

/// The values of a topic, and what a header says of each.
pub fn values(log: &dyn Log, topic: &str, header: &str) -> Vec<(Vec<u8>, String)> {
    let Some(Some(info)) = log.describe(&[topic]).unwrap().pop() else { return vec![] };
    let mut found = vec![];
    for partition in 0..info.partitions {
        let at = TopicPartition::new(topic, partition);
        let (mut next, end) = (Offset(0), log.end_offset(&at).unwrap());
        let mut reader = log.read(&at, next).unwrap();
        while next < end {
            let Some(fetched) = reader.next(Duration::from_millis(100)).unwrap() else { break };
            for record in fetched.records.iter() {
                let why =
                    record.headers.iter().find(|(name, _)| *name == header).and_then(|(_, value)| value);
                let why = String::from_utf8_lossy(why.unwrap_or_default()).into_owned();
                found.push((record.value.unwrap_or_default().to_vec(), why));
            }
            next = fetched.next;
        }
    }
    found
}

pub fn run(config: Config, program: impl Fn(&StreamingContext)) {
    let ssc = StreamingContext::new(config);
    program(&ssc);
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
}

fn ids(log: &dyn Log, topic: &str) -> Vec<i64> {
    let rows = values(log, topic, "").into_iter().map(|(value, _)| String::from_utf8(value).unwrap());
    let mut ids: Vec<i64> = rows.map(|text| text.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn orders_of_all_versions_are_read_and_written_and_poison_costs_only_itself() {
    let proxy = Proxy::new(server::address());
    let registry = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    let name = unique("orders");
    let subject = format!("{name}-value");
    let (config, log) = log_of(&name, &["orders", "notes"]);
    let old = |id| framed(&registry, &subject, OLD, &order(id, None));
    let new = |id| framed(&registry, &subject, NEW, &order(id, Some("soon")));
    let (one, two, three) = (old(1), new(2), old(3));
    let (short, long) = (&two[..two.len() - 2], [&two[..], b"more"].concat());
    let unknown = [&[0, 0x7f, 0xff, 0xff, 0xff], &two[5..]].concat();
    let poison: [(&[u8], &str); 6] = [
        (short, "field `note`"),
        (&long, "4 bytes are left"),
        (b"\x01\0\0\0\x01rest", "0x01"),
        (b"{\"id\":1}", "0x7b"),
        (b"\0\0\x01", "ends after 3 bytes"),
        (&unknown, "schema 2147483647"),
    ];
    let mut all: Vec<&[u8]> = vec![];
    for (bad, _) in poison {
        all.extend([&one[..], bad, &two[..]]);
    }
    put(log.as_ref(), "orders", 0, &all);
    put(log.as_ref(), "orders", 1, &[&three[..]]);
    let output = Subject::new(unique("notes-value"));
    let schema = AvroSchema::parse(NEW).unwrap();
    let registered = proxy.requests("POST");
    run(config, |ssc| {
        let options = SourceOptions::topic("orders").on_bad_record(BadRecordPolicy::DeadLetter);
        let orders = ssc.source::<Order>(options, AvroReader::new(&registry));
        let noted =
            orders.map(|order| Order { note: Some(order.note.unwrap_or_else(|| "none".into())), ..order });
        noted.to_kafka_values("notes", AvroWriter::register(&registry, &output, &schema).unwrap());
    });
    assert_eq!(proxy.requests("POST") - registered, 1, "once at the start, never per record");
    assert_eq!(proxy.requests("/schemas/ids/2147483647"), 1);
    let letters = values(log.as_ref(), &format!("{name}-dlq"), "__tidegate.errors.message");
    assert_eq!(letters.len(), poison.len());
    for (bad, told) in poison {
        let (_, why) = letters.iter().find(|(value, _)| value == bad).expect("it is as it came");
        assert!(why.contains(told), "{told}: {why}");
    }
    // What was written is read back by a program that knows only the registry.
    let (mut config, _) = log_of(&name, &[]);
    config.application_id = format!("{name}-back");
    run(config, |ssc| {
        let notes = ssc.source::<Order>(SourceOptions::topic("notes"), AvroReader::new(&registry));
        notes
            .filter(|order| order.note.as_deref() == Some("none"))
            .map(|order| order.id)
            .to_kafka_values("plain", tidegate::codec::AsText);
        notes
            .filter(|order| order.note.as_deref() == Some("soon"))
            .map(|order| order.id)
            .to_kafka_values("noted", tidegate::codec::AsText);
    });
    assert_eq!(ids(log.as_ref(), "plain"), [1, 1, 1, 1, 1, 1, 3]);
    assert_eq!(ids(log.as_ref(), "noted"), [2; 6]);
}

#[test]
fn a_record_whose_schema_cannot_be_had_waits_and_holds_up_only_its_partition() {
    let proxy = Proxy::new(server::address());
    let there = registry();
    let name = unique("waits");
    let subject = format!("{name}-value");
    let known = framed(&there, &subject, OLD, &order(1, None));
    let later = framed(&there, &subject, NEW, &order(2, Some("x")));
    let through = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    let (mut config, log) = log_of(&name, &["orders"]);
    config.trigger = Trigger::AsSoonAsPossible;
    put(log.as_ref(), "orders", 0, &[&known]);
    let ssc = StreamingContext::new(config);
    let options = SourceOptions::topic("orders").on_bad_record(BadRecordPolicy::Fail);
    let orders = ssc.source::<Option<Order>>(options, Nullable(AvroReader::new(&through)));
    orders.flat_map(|order| order.map(|order| order.id)).to_kafka_values("ids", tidegate::codec::AsText);
    ssc.start().unwrap();
    let until = |what: &str, rows: &[i64]| {
        let begun = Instant::now();
        while ids(log.as_ref(), "ids") != rows {
            assert!(begun.elapsed() < PATIENCE && ssc.is_running(), "{what}: {:?}", ids(log.as_ref(), "ids"));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("the first one is read", &[1]);
    proxy.set(Mode::Away);
    put(log.as_ref(), "orders", 0, &[&known, &later, &known]); // the first of them can be read
    put(log.as_ref(), "orders", 1, &[&known, &known]);
    until("what is known goes on", &[1, 1, 1, 1]);
    let asked = proxy.requests("/schemas/ids/");
    proxy.set(Mode::Answer(503));
    let begun = Instant::now();
    while proxy.requests("/schemas/ids/") < asked + 2 {
        assert!(begun.elapsed() < PATIENCE, "it is asked for again");
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.set(Mode::Answer(401)); // whoever we were
    put(log.as_ref(), "orders", 1, &[&known]);
    until("and goes on", &[1, 1, 1, 1, 1]);
    proxy.set(Mode::Pass);
    until("nothing is lost", &[1, 1, 1, 1, 1, 1, 2]);
    ssc.stop(true);
    ssc.await_termination().unwrap();
    assert!(proxy.requests("/schemas/ids/") < 100, "it is not asked at each turn");
}

#[test]
fn a_stop_does_not_wait_for_the_registry() {
    let proxy = Proxy::new(server::address());
    let name = unique("stops");
    let later = framed(&registry(), &format!("{name}-value"), NEW, &order(2, None));
    let through = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    proxy.set(Mode::Away);
    let (mut config, log) = log_of(&name, &["orders"]);
    config.trigger = Trigger::AsSoonAsPossible;
    put(log.as_ref(), "orders", 0, &[&later]);
    let ssc = StreamingContext::new(config);
    let orders = ssc.source::<Order>(SourceOptions::topic("orders"), AvroReader::new(&through));
    orders.map(|order| order.id).to_kafka_values("ids", tidegate::codec::AsText);
    ssc.start().unwrap();
    let begun = Instant::now();
    while proxy.requests("/schemas/ids/") < 2 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    ssc.stop(false);
    ssc.await_termination().unwrap();
    assert!(begun.elapsed() < PATIENCE);
}
