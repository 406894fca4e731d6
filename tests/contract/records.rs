//! Topics and records: what is written comes back, in order, in the right place.

use super::*;
use tidegate::{error::Reaction, log::partitioner};

pub fn topics_are_described_and_created_once(log: &Arc<dyn Log>) {
    let (name, missing) = (unique("created"), unique("missing"));
    let spec = TopicSpec {
        name: name.clone(),
        partitions: 3,
        replication_factor: Some(1),
        config: BTreeMap::from([("cleanup.policy".into(), "compact".into())]),
    };
    log.create(&spec).unwrap();
    until("the topic is there", || log.describe(&[&name]).unwrap()[0].is_some());
    let again = TopicSpec { partitions: 5, config: BTreeMap::new(), ..spec };
    log.create(&again).unwrap();
    let found = log.describe(&[&missing, &name]).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], None);
    let info = found[1].as_ref().unwrap();
    assert_eq!((info.partitions, info.replication_factor), (3, 1));
    assert_eq!(info.config.get("cleanup.policy").map(String::as_str), Some("compact"));
    assert!(info.config.contains_key("max.message.bytes"));
    assert!(info.config.contains_key("min.insync.replicas"));
    let end = log.end_offset(&tp(&name, 2)).unwrap();
    assert_eq!((log.start_offset(&tp(&name, 2)).unwrap(), end), (Offset(0), Offset(0)));
    assert!(log.end_offset(&tp(&name, 3)).is_err(), "there is no partition 3");
    assert!(log.end_offset(&tp(&missing, 0)).is_err());
}

pub fn records_come_back_as_they_were_written(log: &Arc<dyn Log>) {
    let name = topic(log, 2);
    write(log, &tp(&name, 1), &[("a", "1"), ("b", "2")]);
    write(log, &tp(&name, 1), &[("c", "3")]);
    assert_eq!(read_all(log, &tp(&name, 1)), owned(&[("a", "1"), ("b", "2"), ("c", "3")]));
    assert_eq!(log.end_offset(&tp(&name, 0)).unwrap(), Offset(0));
}

pub fn nulls_are_not_empty_values(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut chunk = RawChunkBuilder::default();
    chunk.push(record(None, None));
    chunk.push_header("null", None);
    chunk.push_header("empty", Some(b""));
    chunk.push_header("twice", Some(b"1"));
    chunk.push_header("twice", Some(&[0, 255]));
    chunk.push(record(Some(b""), Some(b"")));
    chunk.push(record(Some(&[0]), None));
    tidegate::log::write(&**log, &name, at(0), &chunk.build()).unwrap();
    let mut reader = log.read(&tp(&name, 0), Offset(0)).unwrap();
    let mut seen = vec![];
    until("three records", || {
        if let Some(fetched) = reader.next(Duration::from_millis(500)).unwrap() {
            for r in fetched.records.iter() {
                let headers: Vec<_> =
                    r.headers.iter().map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect();
                seen.push((r.offset.0, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), headers));
            }
        }
        seen.len() == 3
    });
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let headers = vec![
        header("null", None),
        header("empty", Some(b"")),
        header("twice", Some(b"1")),
        header("twice", Some(&[0, 255])),
    ];
    assert_eq!(seen[0], (0, None, None, headers));
    assert_eq!(seen[1], (1, Some(vec![]), Some(vec![]), vec![]));
    assert_eq!(seen[2], (2, Some(vec![0]), None, vec![]));
}

pub fn timestamps_are_kept_and_missing_ones_are_stamped(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut chunk = RawChunkBuilder::default();
    chunk.push(RawRecord { timestamp_ms: 1_000_000_000_123, ..record(None, Some(b"old")) });
    chunk.push(record(None, Some(b"now")));
    let now = || i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let before = now();
    tidegate::log::write(&**log, &name, at(0), &chunk.build()).unwrap();
    let after = now();
    let mut reader = log.read(&tp(&name, 0), Offset(0)).unwrap();
    let mut stamps = vec![];
    until("two records", || {
        if let Some(fetched) = reader.next(Duration::from_millis(500)).unwrap() {
            stamps.extend(fetched.records.iter().map(|r| r.timestamp_ms));
        }
        stamps.len() == 2
    });
    assert_eq!(stamps[0], 1_000_000_000_123);
    assert!((before - 1..=after + 1).contains(&stamps[1]), "{before} {} {after}", stamps[1]);
}

pub fn keys_are_placed_as_java_clients_place_them(log: &Arc<dyn Log>) {
    let name = topic(log, 5);
    let keys: Vec<String> = (0..50).map(|i| format!("key {i}")).collect();
    let list: Vec<(&str, &str)> = keys.iter().map(|k| (k.as_str(), "v")).collect();
    tidegate::log::write(&**log, &name, None, &rows(&list)).unwrap();
    let mut found = 0;
    for partition in 0..5 {
        for (key, _) in read_all(log, &tp(&name, partition)) {
            assert_eq!(partitioner::of_key(key.as_bytes(), 5), Partition(partition), "{key}");
            found += 1;
        }
    }
    assert_eq!(found, 50);
}

pub fn records_of_a_partition_keep_their_order(log: &Arc<dyn Log>) {
    let name = topic(log, 3);
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    let mut expected: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
    let mut number = 0;
    for _ in 0..5 {
        producer.begin().unwrap();
        for _ in 0..40 {
            let partition = number % 3;
            let value = number.to_string();
            producer.send(&name, at(partition), &rows(&[("k", &value)])).unwrap();
            expected.entry(partition).or_default().push(("k".into(), value));
            number += 1;
        }
        producer.commit(&[], &nobody()).unwrap();
    }
    for (partition, expected) in expected {
        assert_eq!(read_all(log, &tp(&name, partition)), expected);
    }
}

pub fn a_record_that_is_too_large_stops_the_pipeline(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    producer.begin().unwrap();
    let mut chunk = RawChunkBuilder::default();
    chunk.push(record(None, Some(&vec![b'x'; 3 << 20])));
    let refused = producer.send(&name, at(0), &chunk.build()).and_then(|()| producer.flush());
    assert_eq!(refused.unwrap_err().reaction, Reaction::StopPipeline);
    producer.abort().unwrap();
    assert_eq!(visible(log, &tp(&name, 0)), []);
}

pub fn an_offset_out_of_range_is_reported_with_its_partition(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    write(log, &tp(&name, 0), &[("a", "1")]);
    let mut reader = log.read(&tp(&name, 0), Offset(1000)).unwrap();
    let mut failure = None;
    until("the reader fails", || {
        failure = reader.next(Duration::from_millis(500)).err();
        failure.is_some()
    });
    let failure = failure.unwrap();
    assert_eq!(failure.reaction, Reaction::StopPipeline, "{failure}");
    assert!(failure.message.contains(&format!("{name}-0")), "{failure}");
}

pub fn records_without_a_transaction_are_visible_after_flush(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut producer = log.producer(&producer_spec(None, &unique("none"))).unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("a", "1"), ("b", "2")])).unwrap();
    producer.flush().unwrap();
    assert_eq!(read_all(log, &tp(&name, 0)), owned(&[("a", "1"), ("b", "2")]));
    producer.commit(&[], &nobody()).unwrap();
    assert_eq!(read_all(log, &tp(&name, 0)).len(), 2);
}

pub fn a_reader_starts_anywhere(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let list = [("a", "0"), ("b", "1"), ("c", "2"), ("d", "3")];
    tidegate::log::write(&**log, &name, at(0), &rows(&list)).unwrap();
    for (from, left) in (0..4u64).map(|from| (from, &list[usize::try_from(from).unwrap()..])) {
        let mut reader = log.read(&tp(&name, 0), Offset(from)).unwrap();
        let mut first = None;
        until("a record", || {
            let fetched = reader.next(Duration::from_millis(500)).unwrap();
            first = fetched.filter(|f| !f.records.is_empty());
            first.is_some()
        });
        let first = first.unwrap();
        assert_eq!(first.records.get(0).offset, Offset(from));
        assert_eq!(texts(&first.records), owned(left));
    }
    let mut reader = log.read(&tp(&name, 0), Offset(4)).unwrap();
    assert!(reader.next(Duration::from_millis(100)).unwrap().is_none_or(|f| f.records.is_empty()));
}

pub fn an_offset_is_found_by_time(log: &Arc<dyn Log>) {
    let name = topic(log, 2);
    let place = tp(&name, 1);
    assert_eq!(log.offset_at(&place, 0).unwrap(), Offset(0), "of an empty partition");
    let mut chunk = RawChunkBuilder::default();
    for time in [1_000, 3_000, 2_000, 5_000] {
        chunk.push(RawRecord { timestamp_ms: time, ..record(Some(b"k"), Some(b"v")) });
    }
    tidegate::log::write(&**log, &name, at(1), &chunk.build()).unwrap();
    let found = [0, 1_000, 1_001, 3_000, 3_001, 5_000].map(|ms| log.offset_at(&place, ms).unwrap().0);
    assert_eq!(found, [0, 0, 1, 1, 3, 3]);
    assert_eq!(log.offset_at(&place, 5_001).unwrap(), Offset(4), "nothing is that new: the end");
    assert!(log.offset_at(&tp(&name, 2), 0).is_err(), "there is no partition 2");
}

pub fn topics_are_listed(log: &Arc<dyn Log>) {
    let (one, other) = (topic(log, 1), topic(log, 2));
    let listed = log.topics().unwrap();
    assert!(listed.contains(&one) && listed.contains(&other), "{listed:?}");
    assert!(!listed.contains(&unique("missing")));
}
