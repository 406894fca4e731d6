//! Event time that is the time of batches: for windows of `PROCTIME()`.
//!
//! Knows no window. Invariants: rows pass unchanged, and the mark behind them is the time of their batch, so no row is ever late; a task
//! without rows says so once, and time goes on for whom waits for it.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, UpstreamMark, UpstreamName},
    record::Chunk,
    sql::Payload,
};

/// Says behind the rows of a task that time is that of the batch.
#[derive(Default)]
pub struct BatchTimeMarks {
    has_rows: bool,
    /// Whether the last mark said that there were no rows; `None` = there was none.
    said_idle: Option<bool>,
}

/// What the marks are called, of a task. It is durable.
const NAME: &str = "batch time";

impl Operator for BatchTimeMarks {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        match input.view::<Payload>() {
            Payload::Rows(_) => {
                self.has_rows = true;
                cx.out.chunk(input);
            }
            // Of event time; it is another one here.
            Payload::Marks(_) => {}
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let idle = !std::mem::take(&mut self.has_rows);
        if idle && self.said_idle == Some(true) && !cx.batch.is_roll_call {
            return Ok(());
        }
        self.said_idle = Some(idle);
        let upstream = UpstreamName::of_part(cx.out.upstream, NAME);
        cx.out.chunk(Payload::marks(vec![UpstreamMark { upstream, time_ms: Some(cx.batch.time.0), idle }]));
        Ok(())
    }
}
