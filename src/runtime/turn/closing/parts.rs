//! Intervals with more input than a batch may hold, or in which the group moves partitions: their input is sent through the exchange topic in
//! parts, a transaction each.
//!
//! Owns which programs can do that, and when. Knows no rows. Invariants: a part has the time of its batch, and says of no source that it
//! has ended; only the last one does. A process that has handed rows over in memory gives the batch up and sends all of it through
//! the topic, so a result never has a part of an interval.

use crate::{
    config::{ExchangeThrough, Guarantee, Trigger},
    runtime::{batch::in_flight::Content, turn::Loop},
    task::checkpoint::Event,
};

impl Loop {
    /// Whether an interval that must be one batch can be sent on in parts: rows go through the topic, and nothing before it depends on how
    /// often a batch ends there.
    pub(in crate::runtime::turn) fn may_send_parts(&self) -> bool {
        self.in_flight.content == Content::Input && self.in_flight.is_whole && self.can_have_parts()
    }

    /// Whether the batch, in memory so far, can be given up so that its interval goes through the topic.
    pub(in crate::runtime::turn) fn may_spill(&self) -> bool {
        self.in_flight.content == Content::Whole
            && self.app.config.exchange == ExchangeThrough::Shared
            && self.app.config.guarantee == Guarantee::ExactlyOnce
            && self.app.plan.is_keyed()
            && self.has_all_states()
            && self.can_have_parts()
    }

    fn can_have_parts(&self) -> bool {
        matches!(self.app.config.trigger, Trigger::Interval(_)) && self.partitions.take_parts()
    }

    /// Gives the batch up: its interval goes through the exchange topic.
    pub(in crate::runtime::turn) fn spill(&mut self) -> Event {
        let batch = self.in_flight.batch();
        tracing::info!(
            "the batch of {} holds all that it may ({}): what its interval has goes through the exchange topic, in parts",
            batch.time,
            self.what_is_full()
        );
        self.pace.spill.ask(self.app.now());
        self.checkpoint.failure = None;
        Event::GivenUp
    }
}
