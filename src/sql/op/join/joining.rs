//! A join while a batch is computed: rows of both sides come in, and pairs leave at once.
//!
//! Owns what a batch has touched. Knows not how it ends. Invariants: a row is in the store before it looks for partners; a key with NULL meets
//! nothing, unless NULL equals NULL; late rows are left out and counted; the mark of event time that goes on comes behind the rows.

use super::{
    entries::entries,
    pairs::{Condition, Leaving, Pairs, Seeker, Seekers},
    plan::{JoinPlan, Singles, put_prefix, put_row_hash},
    side::{Arena, SideRows},
    singles::single_columns,
    time::{Side, times_of},
};
use crate::{
    error::Result,
    operator::{Context, UpstreamMark, UpstreamName},
    record::Stamps,
    sql::{
        Delta, Payload,
        op::{WindowMarks, exchange::failed, window::WindowTime},
        rows::KeyTable,
    },
    state::{Handle, RowIndex, Table, View},
};
use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::take,
};
use std::sync::Arc;

/// A join and what a batch has touched of it.
pub(super) struct Joining {
    pub plan: Arc<JoinPlan>,
    pub condition: Option<Condition>,
    pub sides: [SideRows; 2],
    /// What the keys of the rows of each touched key begin with, where rows that leave by themselves are computed anew for a key.
    pub groups: KeyTable,
    /// For each of them the greatest timestamp of the records behind what has touched it.
    pub groups_ms: Vec<i64>,
    pub time: Option<WindowTime>,
    /// Under which name it says how far it is, if something behind it asks.
    pub sends_as: Option<Arc<str>>,
    /// What was said last: the mark's time, and whether no row comes unless one comes in.
    reported: Option<(Option<i64>, bool)>,
}

/// The rows of a chunk that take part.
#[derive(Default)]
struct Kept {
    seekers: Vec<Seeker>,
    /// The keys of the store, and the rows.
    keys: Arena,
    rows: Arena,
    /// Each prefix under which partners are looked for, and by whom.
    prefixes: KeyTable,
    wanted: Vec<(u32, u32)>,
    /// Rows that meet nothing, by their numbers in the chunk.
    lone: Vec<u32>,
}

impl Joining {
    /// Keeps the rows of both sides in the stores `left` and `right`, and, if time bounds the join, its marks in `marks`.
    ///
    /// # Errors
    /// If the condition reads a column that is not there.
    pub fn new(
        plan: Arc<JoinPlan>,
        [left, right]: [Handle<RowIndex>; 2],
        marks: Option<Handle<Table<u8, WindowMarks>>>,
    ) -> Result<Self> {
        let condition = Condition::of(&plan)?;
        let time = plan.time.zip(marks).map(|(time, marks)| WindowTime::new(time.steps(), marks));
        Ok(Joining {
            plan,
            condition,
            sides: [SideRows::new(left), SideRows::new(right)],
            groups: KeyTable::default(),
            groups_ms: vec![],
            time,
            sends_as: None,
            reported: None,
        })
    }

    /// Whether rows that leave by themselves are computed anew for each touched key.
    pub fn recomputes(&self) -> bool {
        !self.plan.uses_flags() && Side::BOTH.iter().any(|side| self.plan.kind.singles(*side).is_some())
    }

    /// Takes rows of one side, and sends the pairs that they make.
    pub fn take(&mut self, side: Side, delta: &Delta, stamps: &Stamps, cx: &mut Context<'_>) -> Result {
        let plan = self.plan.clone();
        let of_side = plan.side(side);
        let columns: Vec<ArrayRef> = delta.rows.columns()[..of_side.side.columns].to_vec();
        let kept = self.keep(side, delta, stamps, &columns, cx)?;
        self.send_lone(side, (delta, stamps), &columns, &kept.lone, cx)?;
        if kept.seekers.is_empty() {
            return Ok(());
        }
        let handles = [self.sides[0].store, self.sides[1].store];
        let (mine, theirs) = match side {
            Side::Left => cx.stores.open2(handles[0], handles[1]),
            Side::Right => cx.stores.open2(handles[1], handles[0]),
        };
        mine.touch(kept.keys.iter())?;
        for (at, seeker) in kept.seekers.iter().enumerate() {
            let row = (kept.keys.get(at), kept.rows.get(at));
            self.sides[side.index()].add(of_side, mine, row, seeker.weight)?;
        }
        if !plan.kind.gives_pairs() && !plan.uses_flags() {
            return Ok(());
        }
        // Partners of all rows with one visit, by prefix.
        let mut sorted: Vec<u32> = (0u32..).zip(kept.prefixes.iter()).map(|(at, _)| at).collect();
        sorted.sort_unstable_by(|a, b| kept.prefixes.get(*a as usize).cmp(kept.prefixes.get(*b as usize)));
        let mut rank = vec![0_usize; sorted.len()];
        sorted.iter().enumerate().for_each(|(at, prefix)| rank[*prefix as usize] = at);
        let mut wanted: Vec<(usize, u32)> =
            kept.wanted.iter().map(|(prefix, seeker)| (rank[*prefix as usize], *seeker)).collect();
        wanted.sort_unstable();
        let mut by_prefix = vec![0..0; sorted.len()];
        for (at, (prefix, _)) in wanted.iter().enumerate() {
            let range = &mut by_prefix[*prefix];
            *range = if range.end == 0 { at..at + 1 } else { range.start..at + 1 };
        }
        let order = wanted.into_iter().map(|(_, seeker)| seeker).collect();
        let seekers = Seekers { side, columns: &columns, rows: &kept.seekers, by_prefix, order };
        let mut pairs = Pairs::new(&plan, self.condition.as_ref(), seekers, theirs.formats().present())?;
        let prefixes: Vec<&[u8]> = sorted.iter().map(|at| kept.prefixes.get(*at as usize)).collect();
        let (other, touched) = (plan.side(side.other()), &self.sides[side.other().index()].touched);
        theirs.visit_prefixes(View::Staged, &prefixes, &mut |prefix, key, value| {
            let ms = touched.ms_of(key);
            for entry in entries(value, other.has_flags) {
                pairs.push(prefix, key, entry.map_err(theirs.failed())?, ms, &mut cx.out)?;
            }
            Ok(true)
        })?;
        pairs.flush(&mut cx.out)?;
        let met = pairs.met;
        for (at, newest_ms) in met.seekers.iter().enumerate() {
            if let Some(newest_ms) = newest_ms {
                let key = kept.keys.get(at);
                self.sides[side.index()].set_matched(of_side, mine, key, kept.rows.get(at))?;
                self.sides[side.index()].touched.touch(key, 0, *newest_ms);
            }
        }
        let (keys, rows, newest_ms) = &met.found;
        theirs.touch(keys.iter())?;
        for (at, ms) in newest_ms.iter().enumerate() {
            let rows_of = &mut self.sides[side.other().index()];
            rows_of.set_matched(other, theirs, keys.get(at), rows.get(at))?;
            rows_of.touched.touch(keys.get(at), 0, *ms);
        }
        Ok(())
    }

    /// Says which rows of a chunk take part, and notes what they touch.
    fn keep(
        &mut self,
        side: Side,
        delta: &Delta,
        stamps: &Stamps,
        columns: &[ArrayRef],
        cx: &mut Context<'_>,
    ) -> Result<Kept> {
        let plan = self.plan.clone();
        let of_side = plan.side(side);
        let watermark = match &mut self.time {
            Some(time) => time.before(cx)?.time.get(),
            None => None,
        };
        let keys: Vec<ArrayRef> =
            of_side.side.keys.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let keys_encoder = of_side.key_format.encoder(&keys)?;
        let format = cx.stores.open(self.sides[side.index()].store).formats().present();
        let rows_encoder = of_side.row_format.encoder(format, columns)?;
        let times = plan.time.map(|time| times_of(delta.rows.column(time.column(side)))).transpose()?;
        let (recomputes, is_unique) = (self.recomputes(), of_side.side.is_unique);
        let (mut kept, mut key, mut prefix) = (Kept::default(), vec![], vec![]);
        let mut stamps = stamps.each();
        for (number, row) in (0u32..).zip(0..delta.rows.num_rows()) {
            let (ms, weight) = (stamps.next_ms(), delta.weight(row));
            let time_ms = times.as_ref().map(|times| times.is_valid(row).then(|| times.value(row)));
            if let (Some(time), Some(Some(time_ms))) = (plan.time, time_ms)
                && time.is_late(time_ms, watermark)
            {
                cx.counters.late += usize::try_from(weight.unsigned_abs()).unwrap_or(usize::MAX);
                continue;
            }
            let is_null = !plan.nulls_match && keys.iter().any(|key| key.is_null(row));
            if is_null || time_ms == Some(None) {
                kept.lone.push(number);
                continue;
            }
            let bound = plan.time.zip(time_ms.flatten());
            // What could go already, as all that it can meet was there, goes with the next step of the watermark.
            let earliest = watermark.map_or(i64::MIN, |watermark| watermark.saturating_add(1));
            let goes_at = bound.map(|(time, time_ms)| time.goes_at(side, time_ms).max(earliest));
            if let (Some(time), Some(goes_at)) = (&mut self.time, goes_at) {
                time.saw(goes_at);
            }
            let seeker = u32::try_from(kept.seekers.len()).unwrap_or(u32::MAX);
            key.clear();
            keys_encoder.encode(row, &mut key);
            rows_encoder.encode(row, &mut kept.rows.bytes);
            put_prefix(&mut kept.keys.bytes, goes_at, &key);
            let group = if recomputes { self.group(kept.keys.open(), ms) } else { 0 };
            if !is_unique {
                put_row_hash(&mut kept.keys.bytes, kept.rows.open());
            }
            self.sides[side.index()].touched.touch(kept.keys.open(), group, ms);
            kept.keys.end();
            kept.rows.end();
            let mut want = |at: Option<i64>| {
                prefix.clear();
                put_prefix(&mut prefix, at, &key);
                let slot = kept.prefixes.insert(&prefix);
                kept.wanted.push((u32::try_from(slot.index).unwrap_or(u32::MAX), seeker));
            };
            match bound {
                Some((time, time_ms)) => time.partners(time_ms).for_each(|at| want(Some(at))),
                None => want(None),
            }
            kept.seekers.push(Seeker { number, weight, ms });
        }
        Ok(kept)
    }

    fn group(&mut self, prefix: &[u8], ms: i64) -> u32 {
        let slot = self.groups.insert(prefix);
        match self.groups_ms.get_mut(slot.index) {
            Some(newest_ms) => *newest_ms = ms.max(*newest_ms),
            None => self.groups_ms.push(ms),
        }
        u32::try_from(slot.index).unwrap_or(u32::MAX)
    }

    /// Rows that meet nothing leave at once, or never.
    fn send_lone(
        &self,
        side: Side,
        (delta, stamps): (&Delta, &Stamps),
        columns: &[ArrayRef],
        lone: &[u32],
        cx: &mut Context<'_>,
    ) -> Result {
        let leave = matches!(self.plan.kind.singles(side), Some(Singles::Unmatched | Singles::Marked));
        if lone.is_empty() || !leave {
            return Ok(());
        }
        let mut leaving = Leaving::new(self.plan.is_append_only);
        let (mut rows, mut lone, mut stamps) = (vec![], lone.iter().peekable(), stamps.each());
        for (number, row) in (0u32..).zip(0..delta.rows.num_rows()) {
            let ms = stamps.next_ms();
            if lone.next_if_eq(&&number).is_some() {
                for _ in 0..leaving.times(delta.weight(row)) {
                    rows.push(number);
                    leaving.push(delta.weight(row), ms);
                }
            }
        }
        let rows = UInt32Array::from(rows);
        let columns = columns.iter().map(|column| take(column, &rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
        let matched = std::iter::repeat_n(false, rows.len());
        let columns = single_columns(&self.plan, side, columns, matched);
        leaving.send(&self.plan.output, columns, &mut cx.out)
    }

    pub fn report(&mut self, marks: &WindowMarks, cx: &mut Context<'_>) {
        let (Some(name), Some(time)) = (&self.sends_as, self.plan.time) else { return };
        let lag_ms = time.lag_ms(self.plan.is_append_only && self.plan.kind.waits_for_absence());
        let (time_ms, idle) = (marks.time.get().map(|ms| ms.saturating_sub(lag_ms)), marks.is_quiet());
        if self.reported == Some((time_ms, idle)) && !cx.batch.is_roll_call {
            return;
        }
        self.reported = Some((time_ms, idle));
        let upstream = UpstreamName::of_part(cx.out.upstream, name);
        cx.out.chunk(Payload::marks(vec![UpstreamMark { upstream, time_ms, idle }]));
    }

    pub fn clear(&mut self) {
        self.sides.iter_mut().for_each(SideRows::clear);
        self.groups.clear();
        self.groups_ms.clear();
    }

    /// About how much it takes in memory, bytes.
    pub fn memory_bytes(&self) -> usize {
        let sides: usize = self.sides.iter().map(|side| side.touched.memory_bytes()).sum();
        sides + self.groups.memory_bytes() + size_of_val(&self.groups_ms[..])
    }
}
