//! Late rows: those whose event time the watermark has passed before they came.
//!
//! Owns which rows those are. Knows no window. Invariants: a row is late against the watermark before its batch, so every row that windows
//! leave out is among them, and rows of one batch never make one another late; each late row leaves once.

use super::{WindowEnds, WindowMarks, time::WindowTime, times_ms};
use crate::{
    error::Result,
    operator::{Context, Operator, Port},
    record::Chunk,
    sql::{
        Delta, Payload,
        op::exchange::{failed, stamped},
    },
    state::{Handle, Table},
};
use arrow::{
    array::{Array, AsArray, UInt32Array},
    compute::{take, take_record_batch},
};

/// Lets late rows pass.
pub struct LateRows {
    /// The column of event time.
    column: usize,
    time: WindowTime,
}

impl LateRows {
    /// By this column, with its marks in the store `marks`.
    #[must_use]
    pub fn new(column: usize, marks: Handle<Table<u8, WindowMarks>>) -> Self {
        LateRows { column, time: WindowTime::new(WindowEnds { step_ms: 1, offset_ms: 0 }, marks) }
    }
}

impl Operator for LateRows {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let delta = match payload {
            Payload::Marks(marks) => {
                self.time.heard(marks);
                return Ok(());
            }
            Payload::Rows(delta) => delta,
        };
        let Some(watermark) = self.time.before(cx)?.time.get() else { return Ok(()) };
        let times = times_ms(delta.rows.column(self.column))?;
        let mut stamps = stamps.each();
        let (mut late, mut newest_ms) = (vec![], vec![]);
        for row in 0..times.len() {
            let stamp = stamps.next_ms();
            if times.is_valid(row) && times.value(row) < watermark {
                late.push(u32::try_from(row).unwrap_or(u32::MAX));
                newest_ms.push(stamp);
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        let late = UInt32Array::from(late);
        let rows = take_record_batch(&delta.rows, &late).map_err(|e| failed(&e))?;
        let weights = delta.weights.as_ref().map(|weights| take(weights, &late, None)).transpose();
        let weights = weights.map_err(|e| failed(&e))?.map(|weights| weights.as_primitive().clone());
        cx.out.chunk(stamped(Delta { rows, weights }, &newest_ms));
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let marks = self.time.advance(cx)?;
        self.time.end(marks, cx)
    }
}
