//! A join with a table that does not change: its rows are in memory, and each row of the stream finds its partners at once.
//!
//! Owns the table, by key. Knows no store and no source. Invariants: a row of the stream keeps its weight and its timestamp in all that is made
//! of it, so rows that are taken back take back the same; marks of event time go on.

use crate::{
    error::Result,
    operator::{Context, Operator, Port},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        op::{
            exchange::{batch, failed, stamped},
            join::{
                pairs::{Condition, ROWS_PER_CHUNK},
                plan::{JoinPlan, Singles},
                singles::single_columns,
                time::Side,
            },
        },
        rows::KeyTable,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::take,
    datatypes::Int64Type,
};
use std::sync::Arc;

/// The rows of a table, by the key of a join.
pub struct StaticTable {
    columns: Vec<ArrayRef>,
    keys: KeyTable,
    /// For each key its rows.
    rows: Vec<Vec<u32>>,
}

impl StaticTable {
    /// The second side of a join, from all its rows.
    ///
    /// # Errors
    /// If they have other columns than the join was made for.
    pub fn new(plan: &JoinPlan, table: &RecordBatch) -> Result<Self> {
        let side = plan.side(Side::Right);
        let key_columns: Vec<ArrayRef> =
            side.side.keys.iter().map(|column| table.column(*column).clone()).collect();
        let encoder = side.key_format.encoder(&key_columns)?;
        let (mut keys, mut rows, mut key) = (KeyTable::default(), vec![], vec![]);
        for (number, row) in (0u32..).zip(0..table.num_rows()) {
            if !plan.nulls_match && key_columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            key.clear();
            encoder.encode(row, &mut key);
            let slot = keys.insert(&key);
            if slot.is_new {
                rows.push(vec![]);
            }
            rows[slot.index].push(number);
        }
        let columns = table.columns()[..side.side.columns].to_vec();
        Ok(StaticTable { columns, keys, rows })
    }
}

/// Joins the rows that come with those of a table.
pub struct StaticJoin {
    plan: Arc<JoinPlan>,
    condition: Option<Condition>,
    table: Arc<StaticTable>,
}

/// A chunk of the stream while its partners are found.
struct Stream<'a> {
    delta: &'a Delta,
    columns: &'a [ArrayRef],
    newest_ms: Vec<i64>,
}

impl StaticJoin {
    /// Joins with this table.
    ///
    /// # Errors
    /// If the condition reads a column that is not there.
    pub fn new(plan: Arc<JoinPlan>, table: Arc<StaticTable>) -> Result<Self> {
        Ok(StaticJoin { condition: Condition::of(&plan)?, plan, table })
    }

    fn take(&self, delta: &Delta, stamps: &Stamps, cx: &mut Context<'_>) -> Result {
        let side = self.plan.side(Side::Left);
        let rows = delta.rows.num_rows();
        let key_columns: Vec<ArrayRef> =
            side.side.keys.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let encoder = side.key_format.encoder(&key_columns)?;
        let mut each = stamps.each();
        let stream = Stream {
            delta,
            columns: &delta.rows.columns()[..side.side.columns],
            newest_ms: (0..rows).map(|_| each.next_ms()).collect(),
        };
        let (mut key, mut matched) = (vec![], vec![false; rows]);
        let (mut mine, mut theirs): (Vec<u32>, Vec<u32>) = (vec![], vec![]);
        for (number, row) in (0u32..).zip(0..rows) {
            if !self.plan.nulls_match && key_columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            key.clear();
            encoder.encode(row, &mut key);
            let Some(found) = self.table.keys.find(&key) else { continue };
            for partner in &self.table.rows[found] {
                mine.push(number);
                theirs.push(*partner);
                if mine.len() >= ROWS_PER_CHUNK {
                    self.pairs(
                        &stream,
                        std::mem::take(&mut mine),
                        std::mem::take(&mut theirs),
                        &mut matched,
                        cx,
                    )?;
                }
            }
        }
        self.pairs(&stream, mine, theirs, &mut matched, cx)?;
        self.singles(&stream, &matched, cx)
    }

    fn pairs(
        &self,
        stream: &Stream<'_>,
        mine: Vec<u32>,
        theirs: Vec<u32>,
        matched: &mut [bool],
        cx: &mut Context<'_>,
    ) -> Result {
        let (mut mine, mut theirs) = (UInt32Array::from(mine), UInt32Array::from(theirs));
        if let Some(condition) = &self.condition {
            let holds = condition.holds([stream.columns, &self.table.columns], [&mine, &theirs])?;
            (mine, theirs) = (kept(&mine, &holds), kept(&theirs, &holds));
        }
        mine.values().iter().for_each(|row| matched[*row as usize] = true);
        if mine.is_empty() || !self.plan.kind.gives_pairs() {
            return Ok(());
        }
        let mut columns = taken(stream.columns, &mine)?;
        columns.extend(taken(&self.table.columns, &theirs)?);
        self.send(stream, &mine, columns, cx)
    }

    /// Rows of the stream that leave by themselves.
    fn singles(&self, stream: &Stream<'_>, matched: &[bool], cx: &mut Context<'_>) -> Result {
        let Some(singles) = self.plan.kind.singles(Side::Left) else { return Ok(()) };
        let leaves = |row: &u32| match singles {
            Singles::Unmatched => !matched[*row as usize],
            Singles::Matched => matched[*row as usize],
            Singles::Marked => true,
        };
        let rows: UInt32Array = (0u32..).take(matched.len()).filter(leaves).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let columns = taken(stream.columns, &rows)?;
        let words = rows.values().iter().map(|row| matched[*row as usize]);
        let columns = single_columns(&self.plan, Side::Left, columns, words);
        self.send(stream, &rows, columns, cx)
    }

    fn send(
        &self,
        stream: &Stream<'_>,
        rows: &UInt32Array,
        columns: Vec<ArrayRef>,
        cx: &mut Context<'_>,
    ) -> Result {
        let weights = stream.delta.weights.as_ref().map(|weights| take(weights, rows, None)).transpose();
        let weights = weights.map_err(|e| failed(&e))?;
        let weights = weights.map(|weights| weights.as_primitive::<Int64Type>().clone());
        let newest_ms: Vec<i64> = rows.values().iter().map(|row| stream.newest_ms[*row as usize]).collect();
        let delta = Delta { rows: batch(&self.plan.output, columns, rows.len())?, weights };
        cx.out.chunk(stamped(delta, &newest_ms));
        Ok(())
    }
}

fn kept(rows: &UInt32Array, holds: &BooleanArray) -> UInt32Array {
    rows.values().iter().zip(holds.values()).filter(|(_, holds)| *holds).map(|(row, _)| *row).collect()
}

fn taken(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    let columns = columns.iter().map(|column| take(column, rows, None));
    columns.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))
}

impl Operator for StaticJoin {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if matches!(input.view::<Payload>(), Payload::Marks(_)) {
            cx.out.chunk(input);
            return Ok(());
        }
        let (payload, stamps) = input.take_stamped::<Payload>();
        match payload {
            Payload::Rows(delta) => self.take(&delta, &stamps, cx),
            Payload::Marks(_) => Ok(()),
        }
    }
}
