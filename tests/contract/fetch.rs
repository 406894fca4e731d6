//! Fetching without a group: within bounds, from anywhere, partition by partition.

use super::*;
use std::time::Instant;
use tidegate::{
    error::Reaction,
    log::{Fetch, Fetcher},
};

/// Takes until `count` records have come.
fn take(fetch: &mut dyn Fetch, fetcher: &mut dyn Fetcher, count: usize) -> Vec<(String, String)> {
    let (start, mut all) = (Instant::now(), vec![]);
    while all.len() < count {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {count} records, got {all:?}");
        match fetcher.take(1000, 1 << 20).unwrap() {
            Some(fetched) => all.extend(texts(&fetched.records)),
            None => fetch.wait(Duration::from_millis(50)),
        }
    }
    all
}

pub fn a_fetcher_takes_within_bounds_and_seeks(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let list: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    for part in list.chunks(7) {
        let part: Vec<(&str, &str)> = part.iter().map(|v| ("k", v.as_str())).collect();
        write(log, &tp(&name, 0), &part);
    }
    let mut fetch = fetch(log);
    let mut fetcher = fetch.start(&[(tp(&name, 0), Offset(0))]).unwrap().remove(0);
    let (mut values, mut seek_to, start) = (vec![], None, Instant::now());
    while values.len() < 100 {
        assert!(start.elapsed() < PATIENCE, "got {} records", values.len());
        fetch.wait(Duration::from_millis(20));
        while let Some(fetched) = fetcher.take(10, 1 << 20).unwrap() {
            assert!(fetched.records.len() <= 10);
            if values.len() < 30 {
                seek_to = Some((values.len() + fetched.records.len(), fetched.next));
            }
            values.extend(texts(&fetched.records).into_iter().map(|(_, v)| v));
        }
    }
    assert_eq!(values, list);
    let (count, next) = seek_to.unwrap();
    for _ in 0..3 {
        fetcher.seek(next);
        let again = take(fetch.as_mut(), fetcher.as_mut(), 100 - count);
        let again: Vec<String> = again.into_iter().map(|(_, v)| v).collect();
        assert_eq!(again, list[count..], "after going back to {next}");
    }
    // Several times before anything has come, and forward.
    (0..5).for_each(|n| fetcher.seek(Offset(n)));
    fetcher.seek(next);
    assert_eq!(take(fetch.as_mut(), fetcher.as_mut(), 100 - count).len(), 100 - count);
}

pub fn partitions_come_and_go_while_others_are_fetched(log: &Arc<dyn Log>) {
    // More than the handle expects.
    let (name, other) = (topic(log, 9), topic(log, 1));
    (0..9).for_each(|p| write(log, &tp(&name, p), &[("k", "1"), ("k", "2")]));
    let mut fetch = fetch(log);
    let mut first = fetch.start(&[(tp(&name, 0), Offset(0))]).unwrap().remove(0);
    assert_eq!(take(fetch.as_mut(), first.as_mut(), 2), owned(&[("k", "1"), ("k", "2")]));
    for _ in 0..2 {
        let rest: Vec<_> = (1..9).map(|p| (tp(&name, p), Offset(1))).collect();
        let mut rest = fetch.start(&rest).unwrap();
        assert_eq!(rest.len(), 8);
        for fetcher in &mut rest {
            assert_eq!(take(fetch.as_mut(), fetcher.as_mut(), 1)[..1], owned(&[("k", "2")]));
        }
    }
    (0..9).for_each(|p| write(log, &tp(&name, p), &[("k", "3")]));
    assert_eq!(take(fetch.as_mut(), first.as_mut(), 1), owned(&[("k", "3")]), "it goes on where it was");
    write(log, &tp(&other, 0), &[("o", "1")]);
    let mut another = fetch.start(&[(tp(&other, 0), Offset(0))]).unwrap().remove(0);
    assert_eq!(take(fetch.as_mut(), another.as_mut(), 1), owned(&[("o", "1")]));
    drop(another);
    assert!(first.take(10, 1000).unwrap().is_none_or(|f| f.records.is_empty()));
}

pub fn a_partition_can_be_started_again(log: &Arc<dyn Log>) {
    let name = topic(log, 2);
    let places = [tp(&name, 0), tp(&name, 1)];
    places.iter().for_each(|at| write(log, at, &[("k", "1"), ("k", "2")]));
    let mut fetch = fetch(log);
    for _ in 0..3 {
        let mut fetchers = fetch.start(&places.clone().map(|at| (at, Offset(0)))).unwrap();
        for fetcher in &mut fetchers {
            assert_eq!(take(fetch.as_mut(), fetcher.as_mut(), 2), owned(&[("k", "1"), ("k", "2")]));
        }
    }
}

pub fn a_fetcher_passes_what_was_aborted(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    for keep in [true, false, false] {
        producer.begin().unwrap();
        producer.send(&name, at(0), &rows(&[("k", "1"), ("k", "2")])).unwrap();
        producer.flush().unwrap();
        if keep { producer.commit(&[], &nobody()).unwrap() } else { producer.abort().unwrap() }
    }
    let (mut fetch, end) = (fetch(log), log.end_offset(&tp(&name, 0)).unwrap());
    let mut fetcher = fetch.start(&[(tp(&name, 0), Offset(0))]).unwrap().remove(0);
    let (mut next, mut records) = (Offset(0), vec![]);
    until("the end is reached", || {
        while let Some(fetched) = fetcher.take(10, 1000).unwrap() {
            assert!(fetched.next > next, "it only moves forward");
            next = fetched.next;
            records.extend(texts(&fetched.records));
        }
        next >= end
    });
    assert_eq!((next, records), (end, owned(&[("k", "1"), ("k", "2")])));
}

pub fn a_fetcher_out_of_range_says_so_with_its_partition(log: &Arc<dyn Log>) {
    let name = topic(log, 2);
    (0..2).for_each(|p| write(log, &tp(&name, p), &[("a", "1")]));
    let mut fetch = fetch(log);
    let mut fetchers = fetch.start(&[(tp(&name, 0), Offset(0)), (tp(&name, 1), Offset(1000))]).unwrap();
    let mut failure = None;
    until("the fetcher fails", || {
        failure = fetchers[1].take(10, 1000).err();
        failure.is_some()
    });
    let failure = failure.unwrap();
    assert_eq!(failure.reaction, Reaction::StopPipeline, "{failure}");
    assert!(failure.message.contains(&format!("{name}-1")), "{failure}");
    assert_eq!(take(fetch.as_mut(), fetchers[0].as_mut(), 1), owned(&[("a", "1")]));
}

pub fn waiting_ends_when_records_arrive_or_it_is_woken(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut fetch = fetch(log);
    let mut fetcher = fetch.start(&[(tp(&name, 0), Offset(0))]).unwrap().remove(0);
    let wake = fetch.wake();
    let (log, woken) = (log.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let told = woken.clone();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        write(&log, &tp(&name, 0), &[("k", "1")]);
        std::thread::sleep(Duration::from_millis(300));
        told.store(true, std::sync::atomic::Ordering::SeqCst);
        wake();
    });
    let (start, mut got) = (Instant::now(), 0);
    while got == 0 {
        assert!(start.elapsed() < PATIENCE);
        fetch.wait(PATIENCE);
        got = fetcher.take(10, 1000).unwrap().map_or(0, |f| f.records.len());
    }
    while !woken.load(std::sync::atomic::Ordering::SeqCst) {
        fetch.wait(PATIENCE);
        while fetcher.take(10, 1000).unwrap().is_some() {}
    }
    assert!(start.elapsed() < PATIENCE / 2, "woken by its timeout only");
    writer.join().unwrap();
}
