//! Sessions: what an aggregate makes of the rows of `SESSION`.
//!
//! Owns which groupings those are. Knows no operator's code. Invariant: the columns of PARTITION BY and those of GROUP BY are the same, so
//! a session has one row.

use super::Lower;
use crate::{
    operator::Gives,
    sql::{
        SqlResult,
        agg::AggregateCall,
        op::SessionColumn,
        plan::{
            stream_plan::{StreamNodeId, StreamOperator},
            windows::{origin, session_column, session_mistake as mistake},
        },
    },
};
use std::collections::BTreeSet;

/// The sessions that rows are grouped by.
pub(super) struct SessionKeys {
    /// What each key is.
    pub columns: Vec<SessionColumn>,
    /// The columns of the input that tell groups apart.
    pub group: Vec<usize>,
    /// The column of the input with a time of each row's own session, and how far that is behind the row.
    pub time: (usize, i64),
    /// How far apart rows of one session are at most.
    pub gap_ms: i64,
    /// Whether a watermark closes them.
    pub closes: bool,
}

impl Lower<'_> {
    /// What the keys of an aggregate mean; `None` if none of them is of a session.
    pub(super) fn session_keys(
        &self,
        input: StreamNodeId,
        keys: &[usize],
        calls: &[AggregateCall],
    ) -> SqlResult<Option<SessionKeys>> {
        let times = keys
            .iter()
            .enumerate()
            .filter_map(|(at, key)| Some((at, session_column(self.plan, input, *key)?)));
        let times: Vec<(usize, SessionColumn)> = times.collect();
        let Some((first, time)) = times.first() else { return Ok(None) };
        let (id, _) = origin(self.plan, input, keys[*first]);
        let node = self.node(id);
        let StreamOperator::SessionWindows { gap_ms, partition_by, .. } = &node.operator else {
            return Ok(None);
        };
        let wrong = |what: &str| mistake(self.query, what);
        if !node.properties.is_append_only {
            return Err(wrong("SESSION of rows that change")
                .because("a row that goes could take a session apart")
                .next("make sessions of rows that only come"));
        }
        let mut at = input;
        while at != id {
            if let StreamOperator::Calc { predicate: Some(_), .. } = &self.node(at).operator {
                return Err(wrong("a condition between SESSION and its GROUP BY")
                    .because("rows that do not meet it would still hold sessions together")
                    .next("put it inside: SESSION((SELECT * FROM t WHERE ..), ..), or into HAVING"));
            }
            at = self.node(at).inputs[0];
        }
        let mut reads = calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
        if reads.any(|column| session_column(self.plan, input, *column).is_some()) {
            return Err(wrong("an aggregate of the start or the end of its session")
                .next("name window_start or window_end itself"));
        }
        let is_time = |at: usize| times.iter().find(|(time, _)| *time == at).map(|(_, column)| *column);
        let (mut columns, mut group) = (vec![], vec![]);
        for (at, key) in keys.iter().enumerate() {
            columns.push(is_time(at).unwrap_or_else(|| {
                group.push(*key);
                SessionColumn::Group(group.len() - 1)
            }));
        }
        if let Some(partition_by) = partition_by {
            let grouped: BTreeSet<(StreamNodeId, usize)> =
                group.iter().map(|key| origin(self.plan, input, *key)).collect();
            let partitioned: BTreeSet<_> = partition_by.iter().map(|column| (id, *column)).collect();
            if grouped != partitioned {
                return Err(wrong("SESSION is partitioned by other columns than its rows are grouped by")
                    .because("a session with several rows, or several sessions in one row, are not supported")
                    .next("name the same columns in PARTITION BY and in GROUP BY, beside window_start and window_end"));
            }
        }
        let behind_ms = match time {
            SessionColumn::End => *gap_ms,
            SessionColumn::Time => gap_ms - 1,
            SessionColumn::Start | SessionColumn::Group(_) => 0,
        };
        let closes = node.properties.window_end.is_some();
        Ok(Some(SessionKeys { columns, group, time: (keys[*first], behind_ms), gap_ms: *gap_ms, closes }))
    }
}

impl SessionKeys {
    /// Which rows leave: sessions that never close have changes only.
    pub(super) fn gives(&self, wanted: Gives) -> Gives {
        if self.closes { wanted } else { Gives::Updates }
    }
}
