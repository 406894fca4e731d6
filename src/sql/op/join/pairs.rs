//! Pairs: rows of a chunk with the rows of the other side that have the same key.
//!
//! Owns how pairs are put together, tried and sent on. Knows no store. Invariants: at most so many pairs are held at once; the columns of
//! the left come first, whichever side came second; a pair carries the newer timestamp of its two rows.

use super::{entries::Entry, plan::JoinPlan, side::Arena, time::Side};
use crate::{
    error::{Error, Result},
    operator::Emitter,
    sql::{
        Delta,
        op::{
            calc,
            exchange::{batch, failed, stamped},
        },
        rows::ValueDecoder,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array},
    compute::{prep_null_mask_filter, take},
    datatypes::{Schema, SchemaRef},
};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns};
use std::{collections::BTreeSet, ops::Range, sync::Arc};

/// Pairs that are put together at a time, and rows that leave in one chunk.
pub(super) const ROWS_PER_CHUNK: usize = 8_192;

/// What must hold of a pair besides equal keys.
pub(super) struct Condition {
    expr: Arc<dyn PhysicalExpr>,
    /// The columns that it reads: those of the left, and those of the right behind them.
    read: Vec<usize>,
    schema: SchemaRef,
    of_left: usize,
}

impl Condition {
    pub fn of(plan: &JoinPlan) -> Result<Option<Self>> {
        let Some(expr) = &plan.condition else { return Ok(None) };
        let of_left = plan.sides[0].side.columns;
        let read: Vec<usize> =
            collect_columns(expr).iter().map(Column::index).collect::<BTreeSet<_>>().into_iter().collect();
        if read.iter().any(|column| *column >= plan.pair_columns()) {
            return Err(Error::Plan("a condition of a join reads a column that is not there".into()));
        }
        let field = |column: &usize| match column.checked_sub(of_left) {
            None => plan.sides[0].schema.field(*column).clone(),
            Some(column) => plan.sides[1].schema.field(column).clone(),
        };
        let schema = Arc::new(Schema::new(read.iter().map(field).collect::<Vec<_>>()));
        Ok(Some(Condition { expr: calc::moved(expr, &read)?, read, schema, of_left }))
    }

    /// For which pairs it holds: rows of these columns of both sides.
    pub fn holds(&self, columns: [&[ArrayRef]; 2], rows: [&UInt32Array; 2]) -> Result<BooleanArray> {
        let taken = |column: &usize| match column.checked_sub(self.of_left) {
            None => take(&columns[0][*column], rows[0], None),
            Some(column) => take(&columns[1][column], rows[1], None),
        };
        let read = self.read.iter().map(taken).collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
        let pairs: RecordBatch = batch(&self.schema, read, rows[0].len())?;
        let value = self.expr.evaluate(&pairs).map_err(|e| calc::failed(&e))?;
        let array = value.into_array(rows[0].len()).map_err(|e| calc::failed(&e))?;
        let mask = array.as_boolean_opt().cloned();
        let mask = mask.ok_or_else(|| Error::Codec("a condition of a join is no BOOLEAN".into()))?;
        Ok(if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask })
    }
}

/// The rows of a chunk that look for partners.
pub(super) struct Seekers<'a> {
    pub side: Side,
    /// The columns of the chunk that are kept.
    pub columns: &'a [ArrayRef],
    /// For each row that takes part its number in the chunk, weight and timestamp.
    pub rows: &'a [Seeker],
    /// For each prefix that is looked for, in order: which of `rows` look for it.
    pub by_prefix: Vec<Range<usize>>,
    /// These rows, by their position in `rows`.
    pub order: Vec<u32>,
}

#[derive(Clone, Copy)]
pub(super) struct Seeker {
    pub number: u32,
    pub weight: i64,
    pub ms: i64,
}

/// A row of the other side that was found.
struct Found {
    prefix: usize,
    weight: i64,
    ms: i64,
}

/// Who has met a partner, where that is kept.
#[derive(Default)]
pub(super) struct Met {
    /// For each seeker the timestamp of its newest pair.
    pub seekers: Vec<Option<i64>>,
    /// Rows of the other side: their keys, their bytes, and the timestamp of their newest pair.
    pub found: (Arena, Arena, Vec<i64>),
}

/// Collects what is found, and sends pairs on.
pub(super) struct Pairs<'a> {
    plan: &'a JoinPlan,
    condition: Option<&'a Condition>,
    seekers: Seekers<'a>,
    decoder: ValueDecoder,
    found: Vec<Found>,
    /// The keys and bytes of what was found, where it is kept that they have met a partner.
    names: Option<(Arena, Arena)>,
    /// How many pairs wait to be tried.
    waiting: usize,
    pub met: Met,
}

impl<'a> Pairs<'a> {
    pub fn new(
        plan: &'a JoinPlan,
        condition: Option<&'a Condition>,
        seekers: Seekers<'a>,
        format: u8,
    ) -> Result<Self> {
        let other = plan.side(seekers.side.other());
        let decoder = other.row_format.decoder(format, 64)?;
        let names = other.has_flags.then(Default::default);
        let met = Met { seekers: vec![None; seekers.rows.len()], ..Met::default() };
        Ok(Pairs { plan, condition, seekers, decoder, found: vec![], names, waiting: 0, met })
    }

    /// A row of the other side, under the prefix of this number.
    pub fn push(
        &mut self,
        prefix: usize,
        key: &[u8],
        entry: Entry<'_>,
        ms: i64,
        out: &mut Emitter<'_>,
    ) -> Result {
        self.decoder.push(entry.row)?;
        self.found.push(Found { prefix, weight: entry.weight, ms });
        if let Some((keys, rows)) = &mut self.names {
            keys.push(key);
            rows.push(entry.row);
        }
        self.waiting += self.seekers.by_prefix[prefix].len();
        if self.waiting >= ROWS_PER_CHUNK { self.flush(out) } else { Ok(()) }
    }

    /// Tries the pairs of what was found so far, and sends those on for which the condition holds.
    pub fn flush(&mut self, out: &mut Emitter<'_>) -> Result {
        if self.found.is_empty() {
            return Ok(());
        }
        let theirs = self.decoder.finish()?;
        let found = std::mem::take(&mut self.found);
        self.waiting = 0;
        // Of each pair the seeker and what it found.
        let mut pairs: Vec<(u32, u32)> = vec![];
        for (at, Found { prefix, .. }) in (0u32..).zip(&found) {
            let seekers = &self.seekers.order[self.seekers.by_prefix[*prefix].clone()];
            pairs.extend(seekers.iter().map(|seeker| (*seeker, at)));
        }
        if let Some(condition) = self.condition {
            let number = |(seeker, _): &(u32, u32)| self.seekers.rows[*seeker as usize].number;
            let mine: UInt32Array = pairs.iter().map(number).collect();
            let others: UInt32Array = pairs.iter().map(|(_, at)| *at).collect();
            let ours = self.seekers.columns;
            let holds = match self.seekers.side {
                Side::Left => condition.holds([ours, &theirs], [&mine, &others])?,
                Side::Right => condition.holds([&theirs, ours], [&others, &mine])?,
            };
            let mut at = 0;
            pairs.retain(|_| {
                at += 1;
                holds.value(at - 1)
            });
        }
        self.note(&pairs, &found);
        if let Some((keys, rows)) = &mut self.names {
            keys.clear();
            rows.clear();
        }
        if self.plan.kind.gives_pairs() { self.send(&pairs, &found, &theirs, out) } else { Ok(()) }
    }

    fn note(&mut self, pairs: &[(u32, u32)], found: &[Found]) {
        if self.plan.side(self.seekers.side).has_flags {
            for (seeker, at) in pairs {
                let ms = self.seekers.rows[*seeker as usize].ms.max(found[*at as usize].ms);
                let newest_ms = &mut self.met.seekers[*seeker as usize];
                *newest_ms = (*newest_ms).max(Some(ms));
            }
        }
        let Some((keys, rows)) = &self.names else { return };
        let (met_keys, met_rows, met_ms) = &mut self.met.found;
        let mut last = None;
        for (seeker, at) in pairs {
            let ms = self.seekers.rows[*seeker as usize].ms.max(found[*at as usize].ms);
            // The pairs of what was found lie together.
            if let Some(newest_ms) = met_ms.last_mut().filter(|_| last == Some(*at)) {
                *newest_ms = ms.max(*newest_ms);
            } else {
                met_keys.push(keys.get(*at as usize));
                met_rows.push(rows.get(*at as usize));
                met_ms.push(ms);
            }
            last = Some(*at);
        }
    }

    fn send(
        &self,
        pairs: &[(u32, u32)],
        found: &[Found],
        theirs: &[ArrayRef],
        out: &mut Emitter<'_>,
    ) -> Result {
        let (mut mine, mut others, mut leaving) = (vec![], vec![], Leaving::new(self.plan.is_append_only));
        for (seeker, at) in pairs {
            let (seeker, found) = (&self.seekers.rows[*seeker as usize], &found[*at as usize]);
            let too_many = || Error::Codec("a pair of rows is there more than 2^63 times".into());
            let weight = seeker.weight.checked_mul(found.weight).ok_or_else(too_many)?;
            for _ in 0..leaving.times(weight) {
                leaving.push(weight, seeker.ms.max(found.ms));
                mine.push(seeker.number);
                others.push(*at);
                if mine.len() >= ROWS_PER_CHUNK {
                    self.send_rows(
                        std::mem::take(&mut mine),
                        std::mem::take(&mut others),
                        theirs,
                        &mut leaving,
                        out,
                    )?;
                }
            }
        }
        self.send_rows(mine, others, theirs, &mut leaving, out)
    }

    fn send_rows(
        &self,
        mine: Vec<u32>,
        others: Vec<u32>,
        theirs: &[ArrayRef],
        leaving: &mut Leaving,
        out: &mut Emitter<'_>,
    ) -> Result {
        let (mine, others) = (UInt32Array::from(mine), UInt32Array::from(others));
        let taken = |columns: &[ArrayRef], rows: &UInt32Array| {
            let columns = columns.iter().map(|column| take(column, rows, None));
            columns.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))
        };
        let (ours, theirs) = (taken(self.seekers.columns, &mine)?, taken(theirs, &others)?);
        let columns = match self.seekers.side {
            Side::Left => [ours, theirs].concat(),
            Side::Right => [theirs, ours].concat(),
        };
        leaving.send(&self.plan.output, columns, out)
    }
}

/// Weights and timestamps of rows that leave.
pub(super) struct Leaving {
    is_append_only: bool,
    weights: Vec<i64>,
    newest_ms: Vec<i64>,
}

impl Leaving {
    pub fn new(is_append_only: bool) -> Self {
        Leaving { is_append_only, weights: vec![], newest_ms: vec![] }
    }

    /// How many times a row of this weight is sent: once, unless the relation has no weights.
    pub fn times(&self, weight: i64) -> i64 {
        if self.is_append_only { weight } else { i64::from(weight != 0) }
    }

    /// The next row.
    pub fn push(&mut self, weight: i64, ms: i64) {
        if !self.is_append_only {
            self.weights.push(weight);
        }
        self.newest_ms.push(ms);
    }

    pub fn len(&self) -> usize {
        self.newest_ms.len()
    }

    /// Sends the rows.
    pub fn send(&mut self, schema: &SchemaRef, columns: Vec<ArrayRef>, out: &mut Emitter<'_>) -> Result {
        let rows = self.len();
        if rows == 0 {
            return Ok(());
        }
        let weights = (!self.is_append_only).then(|| Int64Array::from(std::mem::take(&mut self.weights)));
        let newest_ms = std::mem::take(&mut self.newest_ms);
        out.chunk(stamped(Delta { rows: batch(schema, columns, rows)?, weights }, &newest_ms));
        Ok(())
    }
}
