//! What a join computes: its kind, its sides, and its condition.
//!
//! Owns the stores of a join and their formats, and which rows of a side leave by themselves. Knows no row. Invariant: the bytes of keys
//! and values are durable.
//!
//! A row is kept under the length of its key (varint), the key, and XXH3 of the row (8 bytes, big-endian), unless the key alone identifies
//! it; where time bounds the join, the time from which on it can go comes first (8 bytes, big-endian, sign flipped).

use super::time::{JoinTime, Side};
use crate::{
    error::{Error, Result},
    record::{hash_bytes, varint::put_varint},
    sql::{
        op::WindowMarks,
        rows::{KeyFormat, RowFormat, quoted, type_name},
    },
    state::{Placement, RowIndex, StoreSpec},
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use std::sync::Arc;

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and rows of the left without a partner, beside NULLs.
    Left,
    /// Pairs, and rows of both sides without a partner, beside NULLs.
    Full,
    /// Rows of the left with a partner.
    Semi,
    /// Rows of the left without one.
    Anti,
    /// Rows of the left, and whether they have one.
    Mark,
}

/// Which rows of one side leave by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Singles {
    /// Those without a partner.
    Unmatched,
    /// Those with one.
    Matched,
    /// All, with whether they have one.
    Marked,
}

impl Singles {
    /// How often a row leaves, and what is said of its partner.
    pub fn leaves(self, weight: i64, is_matched: bool) -> i64 {
        match self {
            Singles::Unmatched if is_matched => 0,
            Singles::Matched if !is_matched => 0,
            _ => weight,
        }
    }
}

impl JoinKind {
    /// Whether pairs leave.
    #[must_use]
    pub fn gives_pairs(self) -> bool {
        matches!(self, JoinKind::Inner | JoinKind::Left | JoinKind::Full)
    }

    pub(super) fn singles(self, side: Side) -> Option<Singles> {
        match (self, side) {
            (JoinKind::Left | JoinKind::Full | JoinKind::Anti, Side::Left)
            | (JoinKind::Full, Side::Right) => Some(Singles::Unmatched),
            (JoinKind::Semi, Side::Left) => Some(Singles::Matched),
            (JoinKind::Mark, Side::Left) => Some(Singles::Marked),
            _ => None,
        }
    }

    /// Whether rows leave because they have no partner.
    #[must_use]
    pub fn waits_for_absence(self) -> bool {
        !matches!(self, JoinKind::Inner | JoinKind::Semi)
    }
}

/// One side of a join.
#[derive(Clone, Debug)]
pub struct JoinSide {
    /// The columns of the key.
    pub keys: Vec<usize>,
    /// The columns that are kept and given: the first of the input, up to this one.
    pub columns: usize,
    /// Whether the key identifies a row.
    pub is_unique: bool,
}

/// What is known of a side when it runs.
#[derive(Clone, Debug)]
pub(super) struct SidePlan {
    pub side: JoinSide,
    pub key_format: KeyFormat,
    pub row_format: RowFormat,
    pub schema: SchemaRef,
    /// Whether rows are kept with whether they have met a partner.
    pub has_flags: bool,
}

/// What a join computes.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    pub(super) kind: JoinKind,
    pub(super) sides: [SidePlan; 2],
    /// What must hold of a pair besides equal keys, over the columns of the left and those of the right behind them.
    pub(super) condition: Option<Arc<dyn PhysicalExpr>>,
    pub(super) time: Option<JoinTime>,
    pub(super) nulls_match: bool,
    pub(super) output: SchemaRef,
    /// The output only grows.
    pub(super) is_append_only: bool,
    /// Whether both inputs only grow.
    pub(super) inputs_grow: bool,
}

impl JoinPlan {
    /// Joins rows of `inputs` by the keys of `sides`, which have the same types, and gives rows of `output`. `inputs_grow` says whether rows
    /// are only added to both inputs, `is_append_only` whether only added ones may leave.
    ///
    /// # Errors
    /// [`Error::Plan`] if a type cannot be a key or be kept, or the keys differ.
    pub fn new(
        kind: JoinKind,
        inputs: [&SchemaRef; 2],
        sides: [JoinSide; 2],
        output: SchemaRef,
    ) -> Result<Self> {
        let [left, right] = sides;
        let sides = [side_plan(inputs[0], left)?, side_plan(inputs[1], right)?];
        if sides[0].key_format != sides[1].key_format {
            return Err(Error::Plan("the keys of both sides of a join have different types".into()));
        }
        Ok(JoinPlan {
            kind,
            sides,
            condition: None,
            time: None,
            nulls_match: false,
            output,
            is_append_only: false,
            inputs_grow: false,
        })
    }

    /// Only pairs for which this is true, over the kept columns of the left and those of the right behind them.
    #[must_use]
    pub fn when(mut self, condition: Option<Arc<dyn PhysicalExpr>>) -> Self {
        self.condition = condition;
        self
    }

    /// NULL equals NULL in keys.
    #[must_use]
    pub fn matching_nulls(mut self, nulls_match: bool) -> Self {
        self.nulls_match = nulls_match;
        self
    }

    /// Whether both inputs, and what leaves, only grow.
    #[must_use]
    pub fn growing(mut self, inputs_grow: bool, is_append_only: bool) -> Self {
        (self.inputs_grow, self.is_append_only) = (inputs_grow, is_append_only);
        self.set_flags();
        self
    }

    /// Rows go when this time has passed.
    #[must_use]
    pub fn bounded(mut self, time: Option<JoinTime>) -> Self {
        self.time = time;
        self.set_flags();
        self
    }

    fn set_flags(&mut self) {
        for side in Side::BOTH {
            self.sides[side.index()].has_flags =
                self.time.is_some() && self.inputs_grow && self.kind.singles(side).is_some();
        }
    }

    /// Whether rows of a side say themselves that they have met a partner: those that go when time has passed and are never taken back.
    /// Their partners may go before them.
    pub(super) fn uses_flags(&self) -> bool {
        self.time.is_some() && self.inputs_grow
    }

    /// How the plan declares the stores of both sides and, if time bounds the join, of marks.
    ///
    /// # Errors
    /// None that was not told when it was made.
    #[must_use]
    pub fn stores(&self, name: &str) -> Vec<StoreSpec> {
        let placement =
            if self.time.is_some() { Placement::KeyAfterTimeAndLength } else { Placement::KeyAfterLength };
        let store = |(side, of): (&SidePlan, &str)| {
            RowIndex::spec(format!("{name}.{of}"), &self.format_line(side)).placed(placement)
        };
        let mut stores: Vec<StoreSpec> = self.sides.iter().zip(["left", "right"]).map(store).collect();
        if self.time.is_some() {
            stores.push(WindowMarks::store(name));
        }
        stores
    }

    fn format_line(&self, of: &SidePlan) -> String {
        let time = if self.time.is_some() { "time, " } else { "" };
        let key = |column: &usize| {
            let field = of.schema.field(*column);
            format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
        };
        let keys: Vec<String> = of.side.keys.iter().map(key).collect();
        let hash = if of.side.is_unique { "" } else { ", row" };
        let flag = if of.has_flags { ", matched" } else { "" };
        format!("key({time}length, {}{hash}) -> [weight{flag}, {}]", keys.join(", "), of.row_format)
    }

    pub(super) fn side(&self, side: Side) -> &SidePlan {
        &self.sides[side.index()]
    }

    /// The columns of a pair.
    pub(super) fn pair_columns(&self) -> usize {
        self.sides[0].side.columns + self.sides[1].side.columns
    }
}

fn side_plan(input: &SchemaRef, side: JoinSide) -> Result<SidePlan> {
    let missing = |column: usize| Error::Plan(format!("there is no column {column} to join by"));
    let field = |column: &usize| input.fields().get(*column).ok_or_else(|| missing(*column));
    let keys = side.keys.iter().map(field).collect::<Result<Vec<_>>>()?;
    let key_format = KeyFormat::new(keys.iter().map(|field| field.data_type()))?;
    let kept: Vec<Arc<Field>> = input.fields().iter().take(side.columns).cloned().collect();
    let row_format = RowFormat::of_schema(&Schema::new(kept))?;
    Ok(SidePlan { side, key_format, row_format, schema: input.clone(), has_flags: false })
}

/// What the keys of the rows of a key begin with.
pub(super) fn put_prefix(out: &mut Vec<u8>, goes_at: Option<i64>, key: &[u8]) {
    if let Some(goes_at) = goes_at {
        put_time(out, goes_at);
    }
    put_varint(out, key.len() as u64);
    out.extend_from_slice(key);
}

/// What the keys of rows begin with that can go from this time on.
pub(super) fn put_time(out: &mut Vec<u8>, goes_at: i64) {
    out.extend_from_slice(&(goes_at ^ i64::MIN).to_be_bytes());
}

/// The time that a key begins with.
pub(super) fn time_of(key: &[u8]) -> i64 {
    let bytes = key.first_chunk::<8>().copied().unwrap_or_default();
    i64::from_be_bytes(bytes) ^ i64::MIN
}

/// What comes behind the prefix where the key does not identify a row.
pub(super) fn put_row_hash(out: &mut Vec<u8>, row: &[u8]) {
    out.extend_from_slice(&hash_bytes(row).to_be_bytes());
}
