//! The numbers of the rows of a partition, visited in order, and what has become of those that pass.
//!
//! Owns numbering and difference. Knows no store. Invariant: rows come in the order of their keys.

use super::plan::{RankFunction, TopNPlan};
use crate::{error::Result, sql::rows::KeyDecoder};
use std::cmp::Ordering;

/// A row that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranked {
    /// Its number, or 0 if that is not shown.
    pub rank: i64,
    /// Its key in the store.
    pub key: Vec<u8>,
    /// How often it passes.
    pub count: i64,
}

/// Numbers the rows of one partition.
pub(super) struct Ranker<'p> {
    plan: &'p TopNPlan,
    /// Where the order ends in the key of a row, if equal rows have one number.
    orders: Option<KeyDecoder>,
    /// The number of the last row.
    last: i64,
    /// How many rows came before.
    before: i64,
    order: Vec<u8>,
}

/// What a row is for the rows that pass.
pub(super) enum Passes {
    /// It passes.
    Yes(Ranked),
    /// Its number is too small.
    NotYet,
    /// Its number is too great, as are those of all rows that follow.
    NoMore,
}

impl<'p> Ranker<'p> {
    pub fn new(plan: &'p TopNPlan) -> Result<Self> {
        let orders = match plan.ranking.function {
            RankFunction::RowNumber => None,
            RankFunction::Rank | RankFunction::DenseRank => Some(plan.order_key.decoder(0)?),
        };
        Ok(Ranker { plan, orders, last: 0, before: 0, order: vec![] })
    }

    /// The next row is the first one of a partition.
    pub fn begin(&mut self) {
        (self.last, self.before) = (0, 0);
    }

    /// The next row, which is there `weight` times; the key of its partition ends at `shared`.
    pub fn next(&mut self, key: &[u8], shared: usize, weight: i64) -> Result<Passes> {
        let ranking = &self.plan.ranking;
        let first = self.before.saturating_add(1);
        let (from, to, count) = match &mut self.orders {
            None => {
                let last = self.before.saturating_add(weight);
                let (from, to) = (first.max(ranking.from), last.min(ranking.to));
                (first, last, (to - from + 1).max(0))
            }
            Some(orders) => {
                let row = &key[shared..];
                let rest = orders.push_prefix(row)?.len();
                orders.finish()?;
                let order = &row[..row.len() - rest];
                if self.before == 0 || order != self.order {
                    self.last = if ranking.function == RankFunction::Rank {
                        first
                    } else {
                        self.last.saturating_add(1)
                    };
                    self.order.clear();
                    self.order.extend_from_slice(order);
                }
                let passes = (ranking.from..=ranking.to).contains(&self.last);
                (self.last, self.last, if passes { weight } else { 0 })
            }
        };
        self.before = self.before.saturating_add(weight);
        Ok(if from > ranking.to {
            Passes::NoMore
        } else if count == 0 || to < ranking.from {
            Passes::NotYet
        } else {
            let rank = if ranking.shows_rank { from.max(ranking.from) } else { 0 };
            Passes::Yes(Ranked { rank, key: key.to_vec(), count })
        })
    }
}

/// Each row with one number of its own, if numbers are shown.
pub(super) fn push_rows(rows: &mut Vec<Ranked>, ranked: Ranked, plan: &TopNPlan) {
    let is_numbered = plan.ranking.shows_rank && plan.ranking.function == RankFunction::RowNumber;
    if !is_numbered || ranked.count == 1 {
        rows.push(ranked);
        return;
    }
    for further in 0..ranked.count {
        rows.push(Ranked { rank: ranked.rank + further, key: ranked.key.clone(), count: 1 });
    }
}

/// What has become of the rows of a partition: first those that went, then those that came.
pub(super) fn differences<'r>(old: &'r [Ranked], new: &'r [Ranked], out: &mut Vec<(&'r Ranked, i64)>) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut came = vec![];
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => (old.rank, &old.key).cmp(&(new.rank, &new.key)),
        };
        let was = if order == Ordering::Greater { None } else { old.next() };
        let is = if order == Ordering::Less { None } else { new.next() };
        let count = |row: Option<&Ranked>| row.map_or(0, |row| row.count);
        let change = count(is) - count(was);
        match (change.cmp(&0), is.or(was)) {
            (Ordering::Less, Some(row)) => out.push((row, change)),
            (Ordering::Greater, Some(row)) => came.push((row, change)),
            _ => {}
        }
    }
    out.append(&mut came);
}
