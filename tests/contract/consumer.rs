//! A group member that handles its events as the engine does: fetches what it is assigned, releases what is revoked.

use super::{PATIENCE, texts};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tidegate::{
    error::Failure,
    log::{Fetch, FetchSpec, Fetcher, GroupEvent, GroupSpec, Log, Member},
    record::{Offset, TopicPartition},
};

/// A handle that expects a few partitions.
pub fn fetch(log: &Arc<dyn Log>) -> Box<dyn Fetch> {
    log.fetch(&FetchSpec { buffer_bytes: 8 << 20, partitions: 4 }).unwrap()
}

pub struct TestConsumer {
    pub member: Box<dyn Member>,
    pub fetch: Box<dyn Fetch>,
    pub fetchers: BTreeMap<TopicPartition, Box<dyn Fetcher>>,
    /// All events, in order.
    pub events: Vec<GroupEvent>,
    pub member_id: Option<String>,
}

impl TestConsumer {
    pub fn join(log: &Arc<dyn Log>, group: &str, instance: &str, topics: &[&str]) -> TestConsumer {
        let spec = GroupSpec {
            group: group.to_owned(),
            instance: instance.to_owned(),
            topics: topics.iter().map(|t| (*t).to_owned()).collect(),
            session_timeout: Duration::from_secs(10),
        };
        let fetch = fetch(log);
        let member = log.join(&spec, fetch.wake()).unwrap();
        TestConsumer { member, fetch, fetchers: BTreeMap::new(), events: vec![], member_id: None }
    }

    /// Serves the group once.
    pub fn step(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.fetch.wait(timeout);
        for event in self.member.poll()? {
            self.events.push(event.clone());
            match event {
                GroupEvent::Assigned(at) => self.take_up(&at)?,
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    self.fetchers.retain(|tp, _| !at.contains(tp));
                    self.member.release(&at)?;
                }
                GroupEvent::Connection(_) => {}
            }
        }
        Ok(())
    }

    fn take_up(&mut self, at: &[TopicPartition]) -> Result<(), Failure> {
        let from = self.member.committed(at)()?;
        let start: Vec<(TopicPartition, Offset)> =
            at.iter().zip(from).map(|(tp, c)| (tp.clone(), c.map_or(Offset(0), |c| c.offset))).collect();
        self.member.accept()?;
        let fetchers = self.fetch.start(&start)?;
        assert_eq!(fetchers.len(), at.len());
        self.fetchers.extend(at.iter().cloned().zip(fetchers));
        self.member_id = Some(self.member.membership()?.member_id);
        Ok(())
    }

    pub fn holds(&self) -> BTreeSet<TopicPartition> {
        self.fetchers.keys().cloned().collect()
    }

    pub fn until(&mut self, what: &str, holds: impl Fn(&TestConsumer) -> bool) {
        self.try_until(what, holds).unwrap();
    }

    pub fn try_until(&mut self, what: &str, holds: impl Fn(&TestConsumer) -> bool) -> Result<(), Failure> {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}; events: {:?}", self.events);
            self.step(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// The records that arrive in the time it takes to get `count` of them, by partition.
    pub fn take(&mut self, count: usize) -> BTreeMap<TopicPartition, Vec<(String, String)>> {
        let start = Instant::now();
        let mut all: BTreeMap<TopicPartition, Vec<(String, String)>> = BTreeMap::new();
        while all.values().map(Vec::len).sum::<usize>() < count {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {count} records, got {all:?}");
            self.step(Duration::from_millis(50)).unwrap();
            for (at, fetcher) in &mut self.fetchers {
                while let Some(fetched) = fetcher.take(1000, 1 << 20).unwrap() {
                    all.entry(at.clone()).or_default().extend(texts(&fetched.records));
                }
            }
        }
        all
    }
}
