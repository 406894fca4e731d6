//! Fetching without a group: one client for all partitions, a queue for each.
//!
//! Owns the clients that fetch, and how the buffer is divided. Knows no group, so a rebalance neither stops nor delays
//! what is fetched. Invariants: all queues together hold about as much as the buffer may; partitions come and go while
//! others go on.

mod client;
mod partition;
mod reader;

pub(super) use reader::Readers;

use self::{
    client::Client,
    partition::{PartitionFetcher, Slot},
};
use super::{config::Settings, ffi::Waker};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Fetch, FetchSpec, Fetcher, Wake},
    record::{Offset, TopicPartition},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// See [`Fetch`].
pub(super) struct KafkaFetch {
    settings: Settings,
    /// What `client` was made for.
    spec: FetchSpec,
    client: Arc<Client>,
    waker: Arc<Waker>,
    slots: Vec<Weak<Mutex<Slot>>>,
}

impl KafkaFetch {
    pub(super) fn new(settings: &Settings, spec: &FetchSpec) -> Result<KafkaFetch> {
        let client = Client::new(&settings.fetch(spec))?;
        let (settings, waker) = (settings.clone(), Arc::new(Waker::default()));
        Ok(KafkaFetch { settings, spec: *spec, client, waker, slots: vec![] })
    }

    /// A client takes the size of its queues once, so more partitions than were expected get another client, with room
    /// for as many again as half of them; those that are fetched already go over to it.
    fn divide(&mut self, partitions: usize, kept: &[Arc<Mutex<Slot>>]) -> Result<(), Failure> {
        let spec = FetchSpec { partitions: partitions + partitions / 2, ..self.spec };
        let cannot = |e| Failure::new(Stage::Fetch, Reaction::StopPipeline, format!("fetching: {e}"));
        let client = Client::new(&self.settings.fetch(&spec)).map_err(cannot)?;
        kept.iter().try_for_each(|slot| lock(slot).go_over_to(&client))?;
        (self.spec, self.client) = (spec, client);
        Ok(())
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fetch for KafkaFetch {
    fn start(&mut self, at: &[(TopicPartition, Offset)]) -> Result<Vec<Box<dyn Fetcher>>, Failure> {
        self.slots.retain(|slot| slot.strong_count() > 0);
        let kept: Vec<_> = self.slots.iter().filter_map(Weak::upgrade).collect();
        let partitions = kept.len() + at.len();
        if partitions > self.spec.partitions {
            self.divide(partitions, &kept)?;
        } else if !kept.is_empty() {
            self.client.learn();
        }
        let begin = |(at, from): &(TopicPartition, Offset)| {
            Slot::begin(&self.client, at, *from, &self.waker).map(|slot| Arc::new(Mutex::new(slot)))
        };
        let slots = at.iter().map(begin).collect::<Result<Vec<_>, Failure>>()?;
        self.slots.extend(slots.iter().map(Arc::downgrade));
        Ok(slots.into_iter().map(|slot| Box::new(PartitionFetcher(slot)) as Box<dyn Fetcher>).collect())
    }

    fn wait(&mut self, timeout: Duration) {
        self.client.serve();
        self.waker.wait(timeout);
    }

    fn wake(&self) -> Wake {
        let waker = Arc::clone(&self.waker);
        Arc::new(move || waker.wake())
    }
}
