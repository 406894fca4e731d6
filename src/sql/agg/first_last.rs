//! `first_value` and `last_value` over rows that are only added, and what is stored of them over others.
//!
//! Owns one row of each group. Invariants: the state is the key of the row, whose order is the one that is asked for, so the least key
//! wins and ties are broken by the value; without an order the row that came first or last is kept, and of partial states the one that
//! arrives so; a row cannot be taken away: over rows that change, the values themselves must be kept.

use super::{AggregateCall, AggregateFunction, AggregateRows, GroupStates, StateColumn};
use crate::{
    error::{Error, Result},
    sql::rows::KeyFormat,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, UInt32Array},
    compute::take,
    datatypes::DataType,
};
use std::{ops::Range, sync::Arc};

/// The key of one row of each group.
pub(super) struct OneRow {
    wins: Wins,
    ignores_nulls: bool,
    /// The columns of the key, as positions among the arguments.
    columns: Vec<usize>,
    key: KeyFormat,
    rows: Vec<Option<Box<[u8]>>>,
    encoded: Vec<u8>,
}

/// Which of two rows stays.
#[derive(Clone, Copy, PartialEq)]
enum Wins {
    LeastKey,
    Earlier,
    Later,
}

impl OneRow {
    pub fn new(call: &AggregateCall, columns: Vec<usize>, key: KeyFormat) -> Self {
        let wins = match call.function {
            _ if !call.details.order.is_empty() => Wins::LeastKey,
            AggregateFunction::Last => Wins::Later,
            _ => Wins::Earlier,
        };
        OneRow {
            wins,
            ignores_nulls: call.details.ignores_nulls,
            columns,
            key,
            rows: vec![],
            encoded: vec![],
        }
    }

    fn offer(&mut self, group: usize, key: &[u8]) {
        let kept = &mut self.rows[group];
        let wins = match (&kept, self.wins) {
            (None, _) | (_, Wins::Later) => true,
            (Some(_), Wins::Earlier) => false,
            (Some(kept), Wins::LeastKey) => key < &kept[..],
        };
        if wins {
            *kept = Some(key.into());
        }
    }
}

impl GroupStates for OneRow {
    fn columns(&self) -> Vec<StateColumn> {
        vec![StateColumn { name: "row", data_type: DataType::Binary }]
    }

    fn resize(&mut self, groups: usize) {
        self.rows.resize(groups, None);
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|at| rows.arguments[*at].clone()).collect();
        let key = self.key.clone();
        let encoder = key.encoder(&columns)?;
        let counted = if self.ignores_nulls { &rows.arguments[..1] } else { &[] };
        let mut encoded = std::mem::take(&mut self.encoded);
        let counting = AggregateRows { arguments: counted, ..*rows };
        counting.each(|row, group, weight| {
            if weight < 0 {
                let what =
                    "a row was taken away, which the state of one row cannot do; this is a bug in the plan";
                return Err(Error::Codec(what.into()));
            }
            encoded.clear();
            encoder.encode(row, &mut encoded);
            self.offer(group, &encoded);
            Ok(())
        })?;
        self.encoded = encoded;
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        let rows = states[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate() {
            if rows.is_valid(row) {
                self.offer(*group as usize, rows.value(row));
            }
        }
        Ok(())
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.rows[groups].iter().map(Option::as_deref).collect::<BinaryArray>())])
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let mut decoder = self.key.decoder(groups.len())?;
        let mut at: Vec<Option<u32>> = Vec::with_capacity(groups.len());
        let mut count = 0;
        for row in &self.rows[groups] {
            if let Some(key) = row {
                decoder.push(key)?;
                at.push(Some(count));
                count += 1;
            } else {
                at.push(None);
            }
        }
        // The value is the last column of the key.
        let values = decoder.finish()?.pop().ok_or_else(|| Error::Codec("a row without a value".into()))?;
        take(&values, &UInt32Array::from(at), None)
            .map_err(|e| Error::Codec(format!("an operation on columns failed: {e}")))
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.rows[..]) + self.rows.iter().flatten().map(|key| key.len()).sum::<usize>()
    }
}
