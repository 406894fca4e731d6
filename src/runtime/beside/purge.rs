//! Deletes what has been taken of the exchange topic, without holding up the loop.
//!
//! Owns one thread, unless the log deletes by itself what its groups have passed. Knows no batch. Invariants: what is to be deleted is
//! told by whoever knows that it is committed; a request that comes while one is under way is dropped, as a later one says more;
//! what cannot be deleted is told, and does no harm but to the disks of the brokers.

use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, TopicPartition},
};
use crossbeam_channel::{Sender, bounded};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often something is deleted.
const EVERY: Duration = Duration::from_secs(30);

/// Where what is needed begins.
type Places = Vec<(TopicPartition, Offset)>;

/// Deletes records.
pub struct Purge {
    ask: Option<Sender<Places>>,
    asked: Option<Duration>,
}

impl Purge {
    /// Deletes nothing yet; nothing at all if the log does so by itself.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn new(log: Arc<dyn Log>, is_needed: bool) -> Result<Self> {
        if !is_needed || log.deletes_consumed() {
            return Ok(Purge { ask: None, asked: None });
        }
        let (ask, asked) = bounded::<Places>(1);
        let work = move || {
            let mut deleted = Deleted::default();
            asked.iter().for_each(|places| deleted.before(log.as_ref(), places));
        };
        let thread = std::thread::Builder::new().name("exchange-purge".into());
        thread.spawn(work).map_err(Error::io("starting the thread exchange-purge"))?;
        Ok(Purge { ask: Some(ask), asked: None })
    }

    /// Deletes what lies before these places, if the last time is long enough ago.
    pub fn before(&mut self, now: Duration, places: impl FnOnce() -> Places) {
        let Some(ask) = &self.ask else { return };
        if now.saturating_sub(*self.asked.get_or_insert(now)) >= EVERY {
            self.asked = Some(now);
            drop(ask.try_send(places()));
        }
    }
}

/// What was deleted, and how often that failed since.
#[derive(Default)]
struct Deleted {
    before: BTreeMap<TopicPartition, Offset>,
    failures: u32,
}

impl Deleted {
    fn before(&mut self, log: &dyn Log, mut places: Places) {
        places.retain(|(at, offset)| self.before.get(at) != Some(offset));
        if places.is_empty() {
            return;
        }
        match log.delete_before(&places) {
            Ok(()) => {
                self.failures = 0;
                self.before.extend(places);
            }
            Err(e) => {
                self.failures += 1;
                if self.failures.is_power_of_two() {
                    tracing::warn!("what was taken of the exchange topic is not deleted, so it grows: {e}");
                }
            }
        }
    }
}
