//! What an operator of windows tells those behind it: how far event time is.
//!
//! Owns what was told last. Knows no window. Invariant: nothing is told twice, but in a roll call.

use super::WindowMarks;
use crate::{
    operator::{Context, UpstreamMark, UpstreamName},
    sql::Payload,
};
use std::sync::Arc;

/// Sends marks on, if anything behind the operator asks for them.
#[derive(Default)]
pub(super) struct MarksOut {
    /// The durable name under which they are sent.
    name: Option<Arc<str>>,
    /// What was said last: the mark's time, and whether no row comes unless one comes in.
    reported: Option<(Option<i64>, bool)>,
}

impl MarksOut {
    pub fn named(name: Arc<str>) -> Self {
        MarksOut { name: Some(name), reported: None }
    }

    /// Behind the rows of a batch.
    pub fn report(&mut self, marks: &WindowMarks, cx: &mut Context<'_>) {
        let Some(name) = &self.name else { return };
        let (time_ms, idle) = (marks.time.get(), marks.is_quiet());
        if self.reported == Some((time_ms, idle)) && !cx.batch.is_roll_call {
            return;
        }
        self.reported = Some((time_ms, idle));
        let upstream = UpstreamName::of_part(cx.out.upstream, name);
        cx.out.chunk(Payload::marks(vec![UpstreamMark { upstream, time_ms, idle }]));
    }
}
