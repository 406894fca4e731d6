//! The join with versions as an operator.
//!
//! Owns the order of a batch: rows and versions come in; when it ends, versions are added, rows that the watermark has passed leave, and
//! versions that no row can meet any more are forgotten. Knows no bytes of rows. Invariants: rows that come too late are left out and counted; a
//! version that comes too late counts for the rows that have not left.

use super::{
    plan::AsOfPlan,
    rows::{Rows, looks_at_versions},
    versions::{Arrived, Versions},
};
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        op::{
            join::{
                pairs::Condition,
                plan::{put_prefix, put_row_hash},
                side::{Arena, SideRows},
            },
            window::{Closing, WindowMarks, time_bytes, times_ms},
        },
    },
    state::{Handle, RowIndex},
};
use arrow::array::{Array, ArrayRef, Int64Array};
use std::sync::Arc;

/// Rows that leave in one step, more or less.
const ROWS_PER_STEP: usize = 4_096;

/// The stores of a join with versions.
#[derive(Clone, Copy)]
pub struct AsOfStores {
    /// Rows that wait.
    pub waiting: Handle<RowIndex>,
    /// Versions.
    pub versions: Handle<RowIndex>,
    /// When versions are passed.
    pub passing: Handle<RowIndex>,
}

/// Joins rows with the versions that were valid at their times.
pub struct AsOf {
    plan: Arc<AsOfPlan>,
    condition: Option<Condition>,
    waiting: SideRows,
    versions: Versions,
    closing: Closing,
    arrived: Arrived,
    ending: Option<Ending>,
}

/// While the batch ends.
struct Ending {
    /// The watermark before the batch.
    before: Option<i64>,
    marks: WindowMarks,
    step: Step,
}

/// What is to be done next.
enum Step {
    /// Versions are added, from the key of this number on.
    Add(usize),
    /// Rows leave, from this key on.
    Leave(Vec<u8>),
    /// Versions are forgotten, from this key on.
    Forget(Vec<u8>),
    Done,
}

impl AsOf {
    /// Keeps what it needs in these stores.
    ///
    /// # Errors
    /// If the condition reads a column that is not there, or the kind of join is none that looks at versions.
    pub fn new(plan: Arc<AsOfPlan>, stores: AsOfStores, closing: Closing) -> Result<Self> {
        if !looks_at_versions(plan.join.kind) {
            return Err(Error::Plan("versions are looked at by inner and left joins".into()));
        }
        Ok(AsOf {
            condition: Condition::of(&plan.join)?,
            waiting: SideRows::new(stores.waiting),
            versions: Versions { rows: stores.versions, passing: stores.passing },
            closing,
            arrived: Arrived::default(),
            ending: None,
            plan,
        })
    }

    /// Rows of the stream wait.
    fn wait(&mut self, delta: Delta, stamps: Stamps, cx: &mut Context<'_>) -> Result {
        let plan = self.plan.clone();
        let of_side = &plan.join.sides[0];
        // A row at a time waits until the watermark is behind it, as the last row of a window does.
        let ends = |delta: &Delta| -> Result<Int64Array> {
            let times = times_ms(delta.rows.column(plan.times[0]))?;
            if times.null_count() > 0 {
                let name = of_side.schema.field(plan.times[0]).name();
                return Err(Error::Row(format!(
                    "the event time `{name}` is NULL, so no version is valid at it"
                )));
            }
            Ok(times.unary(|ms| ms.saturating_add(1)))
        };
        let all = ends(&delta)?;
        let (delta, _) = self.closing.in_time(delta, stamps, &all, cx)?;
        let ends = ends(&delta)?;
        let keys: Vec<ArrayRef> =
            of_side.side.keys.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let store = cx.stores.open(self.waiting.store);
        let keys = of_side.key_format.encoder(&keys)?;
        let columns = &delta.rows.columns()[..of_side.side.columns];
        let rows = of_side.row_format.encoder(store.formats().present(), columns)?;
        let (mut keys_of_store, mut rows_of_store, mut key) = (Arena::default(), Arena::default(), vec![]);
        for row in 0..delta.rows.num_rows() {
            key.clear();
            keys.encode(row, &mut key);
            rows.encode(row, &mut rows_of_store.bytes);
            put_prefix(&mut keys_of_store.bytes, Some(ends.value(row)), &key);
            put_row_hash(&mut keys_of_store.bytes, rows_of_store.open());
            keys_of_store.end();
            rows_of_store.end();
        }
        store.touch(keys_of_store.iter())?;
        for row in 0..delta.rows.num_rows() {
            let stored = (keys_of_store.get(row), rows_of_store.get(row));
            self.waiting.add(of_side, store, stored, delta.weight(row))?;
        }
        Ok(())
    }

    /// Versions of the table come.
    fn take_versions(&mut self, delta: &Delta, cx: &mut Context<'_>) -> Result {
        let of_side = &self.plan.join.sides[1];
        let times = times_ms(delta.rows.column(self.plan.times[1]))?;
        let keys: Vec<ArrayRef> =
            of_side.side.keys.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let keys = of_side.key_format.encoder(&keys)?;
        let columns = &delta.rows.columns()[..of_side.side.columns];
        let format = cx.stores.open(self.versions.rows).formats().present();
        let rows = of_side.row_format.encoder(format, columns)?;
        let (mut key, mut encoded) = (vec![], vec![]);
        for row in 0..delta.rows.num_rows() {
            let since_ms = times.is_valid(row).then(|| times.value(row));
            let is_there = delta.weight(row) > 0;
            if is_there && since_ms.is_none() {
                let name = of_side.schema.field(self.plan.times[1]).name();
                return Err(Error::Row(format!(
                    "`{name}` is NULL, so nothing says since when the row is valid"
                )));
            }
            key.clear();
            encoded.clear();
            keys.encode(row, &mut key);
            rows.encode(row, &mut encoded);
            self.arrived.push(&key, since_ms, is_there.then_some(&encoded));
        }
        Ok(())
    }

    /// A part of the rows that the watermark has passed leaves; returns where the next part begins.
    fn leave(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let to = time_bytes(watermark.saturating_add(1));
        let store = cx.stores.open(self.waiting.store);
        let mut waiting = vec![];
        let next = store.take_range(from, &to, ROWS_PER_STEP, |key, value| {
            waiting.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        let of_stream = store.formats().present();
        if waiting.is_empty() {
            return Ok(next);
        }
        let rows = Rows::of(&waiting)?;
        let prefixes: Vec<&[u8]> = rows.prefixes.iter().map(Vec::as_slice).collect();
        let versions = self.versions.of(&prefixes, cx)?;
        let formats = [of_stream, cx.stores.open(self.versions.rows).formats().present()];
        if let Some(chunk) = rows.joined(&self.plan, self.condition.as_ref(), &versions, formats)? {
            cx.out.chunk(chunk);
        }
        Ok(next)
    }
}

impl Operator for AsOf {
    fn process(&mut self, port: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        match payload {
            Payload::Marks(marks) => {
                self.closing.heard(marks);
                Ok(())
            }
            Payload::Rows(delta) if port == Port(0) => self.wait(delta, stamps, cx),
            Payload::Rows(delta) => self.take_versions(&delta, cx),
        }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let Ending { before, mut marks, step } = if let Some(ending) = self.ending.take() {
            ending
        } else {
            self.waiting.settle()?;
            let before = self.closing.watermark(cx)?;
            Ending { before, marks: self.closing.advance(cx)?, step: Step::Add(0) }
        };
        let watermark = marks.time.get();
        // What is before was taken by earlier batches.
        let first = |marks: &WindowMarks| {
            marks.deleted_to_ms.map_or(vec![], |ms| time_bytes(ms.saturating_add(1)).to_vec())
        };
        let step = match (step, watermark) {
            (Step::Add(from), _) => match self.versions.add(&self.arrived, from, before, cx)? {
                Some(next) => Step::Add(next),
                None if watermark > marks.deleted_to_ms => Step::Leave(first(&marks)),
                None => Step::Done,
            },
            (Step::Leave(from), Some(watermark)) => match self.leave(&from, watermark, cx)? {
                Some(next) => Step::Leave(next),
                None => Step::Forget(first(&marks)),
            },
            (Step::Forget(from), Some(watermark)) => {
                if let Some(next) = self.versions.forget(&from, watermark, cx)? {
                    Step::Forget(next)
                } else {
                    marks.deleted_to_ms = Some(watermark);
                    Step::Done
                }
            }
            _ => Step::Done,
        };
        if !matches!(step, Step::Done) {
            self.ending = Some(Ending { before, marks, step });
            return Ok(());
        }
        self.arrived.clear();
        self.waiting.clear();
        self.closing.done(marks, cx)
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.arrived.memory_bytes()
    }
}
