//! Whether rows go from stage to stage in memory or through the exchange topic.
//!
//! Owns the change from one to the other, at the barrier. Knows no rows. Invariants: rows are handed over in memory only by a
//! process that has all state partitions, and only once nothing in the exchange topic is left to be taken; from the first
//! state partition that goes to another process on, or an interval that has no room in memory, they go through the topic, also to those
//! that stay.

use crate::{
    config::ExchangeThrough,
    error::{Error, Reaction, Result},
    log::Log,
    record::{Offset, TopicPartition},
    runtime::{
        batch::{
            incoming::Incoming,
            state_partition::{Recovered, StatePartition},
        },
        turn::Loop,
    },
};
use std::time::Duration;

/// How often it is tried to hand rows over in memory again.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How long no input is taken for that.
const TRY_FOR: Duration = Duration::from_secs(1);
/// Between two looks at what has arrived meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

impl Loop {
    /// Whether this process has all state partitions.
    pub(in crate::runtime::turn) fn has_all_states(&self) -> bool {
        self.partitions.states.len() == self.app.config.state_partitions as usize
    }

    /// Whether rows go through the exchange topic once these state partitions are added.
    pub(in crate::runtime::turn) fn goes_through_topic(&mut self, added: &[Recovered]) -> Result<bool> {
        let count = self.partitions.states.len() + added.len();
        let is_complete = count == self.app.config.state_partitions as usize;
        match self.app.config.exchange {
            ExchangeThrough::Memory => return Ok(false),
            ExchangeThrough::Topic => return Ok(self.app.plan.has_state_partitions()),
            ExchangeThrough::Shared => {}
        }
        if self.exchange.is_some() || !is_complete || added.is_empty() {
            return Ok(self.exchange.is_some() || (!is_complete && self.app.is_shared()));
        }
        let before = self.partitions.states.iter().map(|state| (state.at.clone(), state.position()));
        let added = added.iter().map(|recovered| (recovered.at.clone(), recovered.exchange_next));
        let (places, nexts): (Vec<_>, Vec<_>) = before.chain(added).unzip();
        let ends = self.ends_of_exchange(places)?;
        Ok(nexts.into_iter().zip(ends).any(|(next, end)| next < end))
    }

    /// Rows go through the exchange topic once another process has some of the state partitions, or an interval has no room in memory.
    pub(in crate::runtime::turn) fn leave_memory(&mut self) -> Result {
        if self.exchange.is_some() {
            self.pace.spill.began();
        }
        let is_alone = self.has_all_states() || !self.app.is_shared();
        let goes = self.exchange.is_some() || self.pace.spill.is_wanted() || !is_alone;
        let in_memory = |state: &&StatePartition| state.incoming.is_none();
        let left = self.partitions.states.iter().filter(in_memory);
        let places: Vec<_> = left.map(|state| (state.at.clone(), state.position())).collect();
        if !goes || places.is_empty() {
            return Ok(());
        }
        let started = self.group.membership().and_then(|m| self.group.start(&places, m, false));
        let fetchers = match started {
            Ok(fetchers) => fetchers,
            Err(f) if f.reaction == Reaction::CloseTasks || f.reaction.may_pass() => {
                tracing::warn!("{f}; all partitions are recovered again");
                self.close_tasks();
                return Ok(());
            }
            Err(f) => return Err(f.into()),
        };
        if !self.has_all_states() {
            tracing::info!(
                "other processes share the state: rows between stages go through the exchange topic"
            );
        }
        self.pace.spill.began();
        let states = std::mem::take(&mut self.partitions.states);
        let (mut opening, mut states): (Vec<_>, Vec<_>) =
            states.into_iter().partition(|state| state.incoming.is_none());
        let opened = self.open_exchange(&mut opening, fetchers);
        states.extend(opening);
        states.sort_by_key(|state| state.partition);
        self.partitions.states = states;
        opened
    }

    /// Rows are handed over in memory again once this process has all state partitions and nothing is left in the exchange
    /// topic. No input is taken while it waits for that, and it does not wait long.
    pub(in crate::runtime::turn) fn return_to_memory(&mut self) -> Result {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let began = self.app.now();
        let is_time = began.saturating_sub(exchange.tried) >= TRY_EVERY
            && self.pace.spill.is_over(began)
            && !self.pace.is_open();
        if self.app.config.exchange != ExchangeThrough::Shared || !is_time {
            return Ok(());
        }
        exchange.tried = began;
        let mut ends = None;
        while self.is_undisturbed() && self.app.since(began) < TRY_FOR {
            self.group.hear(&self.app);
            if self.close_times()? {
                continue;
            }
            if self.has_taken_everything() {
                if ends.is_none() {
                    let places = self.partitions.states.iter().map(|state| state.at.clone()).collect();
                    match self.ends_of_exchange(places) {
                        Ok(found) => ends = Some(found),
                        Err(Error::Log(f)) if f.reaction.may_pass() => return Ok(()),
                        Err(e) => return Err(e),
                    }
                }
                if self.has_read_to(ends.as_deref().unwrap_or_default()) && self.is_undisturbed() {
                    tracing::info!(
                        "this process has all the state: rows between stages are handed over in memory"
                    );
                    self.partitions.states.iter_mut().for_each(StatePartition::stop_exchange);
                    self.exchange = None;
                    self.pace.spill.returned(self.app.now());
                    return Ok(());
                }
            }
            self.group.wait(PAUSE);
        }
        Ok(())
    }

    /// Whether nothing that has come through the exchange topic is left to be taken.
    fn has_taken_everything(&self) -> bool {
        let mut incoming = self.partitions.states.iter().filter_map(|state| state.incoming.as_ref());
        let has_taken = self.has_closed_everything() && incoming.all(Incoming::is_empty);
        has_taken || crate::failpoint::passes("mutant-memory-too-early")
    }

    /// Whether each partition of the exchange topic is read to its end.
    fn has_read_to(&self, ends: &[Offset]) -> bool {
        let incoming = self.partitions.states.iter().filter_map(|state| state.incoming.as_ref());
        incoming.zip(ends).all(|(incoming, end)| incoming.next() >= *end)
            || crate::failpoint::passes("mutant-memory-too-early")
    }

    /// Whether this process has everything, and nothing is to be served first.
    fn is_undisturbed(&self) -> bool {
        let is_asked =
            self.group.has_events() || self.group.has_lost() || self.app.env.shutdown.is_requested();
        self.has_all_states() && self.group.is_settled() && !is_asked
    }

    fn ends_of_exchange(&mut self, places: Vec<TopicPartition>) -> Result<Vec<Offset>> {
        self.ask("the ends of the exchange topic", move |log: &dyn Log| {
            places.iter().map(|at| log.end_offset(at)).collect()
        })
    }
}
