//! The end of a batch of a join: what leaves because rows have met a partner or have none, and what goes because time has passed.
//!
//! Owns the steps of the end. Knows no pair. Invariants: what leaves is the difference between what was committed and what is there now; a
//! row that goes leaves, if it has met no partner and nothing was said of it before; nothing that goes is taken back.

use super::{
    entries::{each_row, entries},
    joining::Joining,
    plan::{JoinPlan, Singles, put_time, time_of},
    recompute::Groups,
    side::SideRows,
    singles::{SingleRows, send_change},
    time::Side,
};
use crate::{error::Result, operator::Context, sql::op::WindowMarks};

/// Touched rows that are looked at, or rows that go, in one step.
const ROWS_PER_STEP: usize = 4_096;

/// While the batch ends.
pub(super) struct Ending {
    marks: Option<WindowMarks>,
    step: Step,
}

/// What is to be done next.
enum Step {
    /// Touched keys, for which rows that leave by themselves are computed anew.
    Groups(Groups),
    /// Touched rows of a side from this one on, which know whether they have met a partner.
    Rows(Side, usize),
    /// Rows of a side that go, from this key on.
    Go(Side, Vec<u8>),
    Done,
}

impl Ending {
    /// The first step of the end of a batch.
    pub fn begin(join: &mut Joining, cx: &mut Context<'_>) -> Result<Self> {
        join.sides.iter().try_for_each(SideRows::settle)?;
        let marks = join.time.as_mut().map(|time| time.advance(cx)).transpose()?;
        let step = if join.recomputes() && !join.groups.is_empty() {
            Step::Groups(Groups::of(join))
        } else if join.plan.uses_flags() && join.plan.kind.singles(Side::Left).is_some() {
            Step::Rows(Side::Left, 0)
        } else {
            first_to_go(marks.as_ref())
        };
        Ok(Ending { marks, step })
    }

    /// Takes a step; `None` = it was the last one.
    pub fn go_on(self, join: &mut Joining, cx: &mut Context<'_>) -> Result<Option<Self>> {
        let Ending { mut marks, step } = self;
        let step = match step {
            Step::Groups(groups) => match groups.step(join, cx)? {
                Some(groups) => Step::Groups(groups),
                None => first_to_go(marks.as_ref()),
            },
            Step::Rows(side, at) => match (join.touched_rows(side, at, cx)?, side) {
                (Some(at), _) => Step::Rows(side, at),
                (None, Side::Left) if join.plan.kind.singles(Side::Right).is_some() => {
                    Step::Rows(Side::Right, 0)
                }
                (None, _) => first_to_go(marks.as_ref()),
            },
            Step::Go(side, from) => {
                let watermark = marks.as_ref().and_then(|marks| marks.time.get());
                match (join.rows_that_go(side, &from, watermark, cx)?, side) {
                    (Some(next), _) => Step::Go(side, next),
                    (None, Side::Left) => Step::Go(Side::Right, first_key(marks.as_ref())),
                    (None, Side::Right) => {
                        marks.iter_mut().for_each(|marks| marks.deleted_to_ms = watermark);
                        Step::Done
                    }
                }
            }
            Step::Done => Step::Done,
        };
        if !matches!(step, Step::Done) {
            return Ok(Some(Ending { marks, step }));
        }
        join.clear();
        if let Some(marks) = marks {
            join.report(&marks, cx);
            join.time.iter_mut().try_for_each(|time| time.end(marks.clone(), cx))?;
        }
        Ok(None)
    }
}

impl Joining {
    /// What has become of touched rows that know whether they have met a partner; returns where the next step begins.
    fn touched_rows(&self, side: Side, from: usize, cx: &mut Context<'_>) -> Result<Option<usize>> {
        let of_side = &self.sides[side.index()];
        let Some(singles) = self.plan.kind.singles(side) else { return Ok(None) };
        let store = cx.stores.open(of_side.store);
        let to = of_side.touched.keys.len().min(from + ROWS_PER_STEP);
        let mut leaving = SingleRows::new(&self.plan, side, store.formats().present())?;
        for at in from..to {
            let key = of_side.touched.keys.get(at);
            let lists = [store.old(key), store.new_value(key)].map(Option::unwrap_or_default);
            each_row(lists, self.plan.side(side).has_flags, |row, old, new| {
                let [old, new] =
                    [old, new].map(|(weight, is_matched)| said(&self.plan, singles, weight, is_matched));
                send_change(&mut leaving, row, [old, new], of_side.touched.newest_ms[at], &mut cx.out)
            })
            .map_err(store.failed())?;
        }
        leaving.flush(&mut cx.out)?;
        Ok((to < of_side.touched.keys.len()).then_some(to))
    }

    /// Deletes rows of a side that go; those leave of which nothing was said. Returns where the next step begins.
    fn rows_that_go(
        &self,
        side: Side,
        from: &[u8],
        watermark: Option<i64>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let Some(watermark) = watermark else { return Ok(None) };
        let mut to = vec![];
        let early_ms = if crate::failpoint::passes("mutant-goes-early") { 20 } else { 0 };
        put_time(&mut to, watermark.saturating_add(1 + early_ms));
        let store = cx.stores.open(self.sides[side.index()].store);
        let of_side = self.plan.side(side);
        let waits = matches!(self.plan.kind.singles(side), Some(Singles::Unmatched | Singles::Marked));
        if !(waits && self.plan.is_append_only) {
            return store.delete_range(from, &to, ROWS_PER_STEP);
        }
        let mut leaving = SingleRows::new(&self.plan, side, store.formats().present())?;
        let next = store.take_range(from, &to, ROWS_PER_STEP, |key, value| {
            for entry in entries(value, of_side.has_flags) {
                let entry = entry?;
                if !entry.is_matched {
                    leaving.push(entry.row, entry.weight, false, time_of(key) - 1, &mut cx.out)?;
                }
            }
            Ok(())
        });
        let next = next.map_err(store.failed())?;
        leaving.flush(&mut cx.out)?;
        Ok(next)
    }
}

fn first_to_go(marks: Option<&WindowMarks>) -> Step {
    match marks {
        Some(marks) if marks.time.get() > marks.deleted_to_ms => Step::Go(Side::Left, first_key(Some(marks))),
        _ => Step::Done,
    }
}

/// The first key that can be there, as those before are deleted.
fn first_key(marks: Option<&WindowMarks>) -> Vec<u8> {
    let mut key = vec![];
    if let Some(deleted_to_ms) = marks.and_then(|marks| marks.deleted_to_ms) {
        put_time(&mut key, deleted_to_ms.saturating_add(1));
    }
    key
}

/// What has been said of a row, once the batch has ended: how often it has left, and with which word on its partner. If only added rows
/// may leave, a row without a partner waits until it goes.
fn said(plan: &JoinPlan, singles: Singles, weight: i64, is_matched: bool) -> (i64, bool) {
    if plan.is_append_only && !is_matched && singles != Singles::Matched {
        return (0, false);
    }
    (singles.leaves(weight, is_matched), is_matched)
}
