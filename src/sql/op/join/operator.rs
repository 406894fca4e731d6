//! The join as an operator: rows of both sides come in, pairs leave at once, and the rest when the batch ends.
//!
//! Owns the order of a batch. Knows no bytes of rows. Invariant: marks of event time are taken up when the batch ends.

use super::{closing::Ending, joining::Joining, plan::JoinPlan, time::Side};
use crate::{
    error::Result,
    operator::{Context, Operator, Port},
    record::Chunk,
    sql::{Payload, op::WindowMarks},
    state::{Handle, RowIndex, Table},
};
use std::sync::Arc;

/// A join of the rows that come to its two ports.
pub struct Join {
    joining: Joining,
    /// While the batch ends.
    ending: Option<Ending>,
}

impl Join {
    /// Keeps the rows of both sides in the stores `left` and `right`, and, if time bounds the join, its marks in `marks`.
    ///
    /// # Errors
    /// If the condition reads a column that is not there.
    pub fn new(
        plan: Arc<JoinPlan>,
        [left, right]: [Handle<RowIndex>; 2],
        marks: Option<Handle<Table<u8, WindowMarks>>>,
    ) -> Result<Self> {
        Ok(Join { joining: Joining::new(plan, [left, right], marks)?, ending: None })
    }

    /// Says how far it is to windows behind it, under its durable name.
    #[must_use]
    pub fn sending_marks(mut self, name: Arc<str>) -> Self {
        self.joining.sends_as = Some(name);
        self
    }
}

impl Operator for Join {
    fn process(&mut self, port: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let side = if port == Port(0) { Side::Left } else { Side::Right };
        match payload {
            Payload::Marks(marks) => {
                self.joining.time.iter_mut().for_each(|time| time.heard(marks.clone()));
                Ok(())
            }
            Payload::Rows(delta) => self.joining.take(side, &delta, &stamps, cx),
        }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let ending = match self.ending.take() {
            Some(ending) => ending,
            None => Ending::begin(&mut self.joining, cx)?,
        };
        self.ending = ending.go_on(&mut self.joining, cx)?;
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.joining.memory_bytes()
    }
}
