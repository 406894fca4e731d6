//! One row of each key.
//!
//! Owns when a key may be forgotten. Knows no operator's code. Invariant: a key is only forgotten if no row of it can come that is not
//! late, or if that was asked for.

use super::{Lower, Relation};
use crate::operator::Gives;
use crate::sql::{
    SqlResult,
    op::{Expiry, WindowEnds},
    plan::{
        optimize::DeduplicateNode,
        stream_plan::{ClosingWindows, Properties, StreamNodeId, StreamOperator},
    },
};
use datafusion_expr::Expr;

impl Lower<'_> {
    /// The first row of each key.
    pub(super) fn deduplicate(&mut self, node: &DeduplicateNode) -> SqlResult<Relation> {
        if self.is_bounded && node.within_watermark {
            return Err(self
                .refused("`drop_duplicates_within_watermark` of rows that have an end")
                .because("it forgets keys as time goes on, and all rows are there at once")
                .next("call drop_duplicates(..)"));
        }
        let input = self.lower(&node.input)?;
        let keys: Vec<Expr> = node.keys.iter().cloned().map(Expr::Column).collect();
        let (added, [keys]) = self.with_columns(&input, &[keys], "below a deduplication")?;
        let before = self.node(added).clone();
        if !before.properties.is_append_only {
            return Err(self
                .refused("a deduplication reads rows that change")
                .because("the first row of a key has left, and could not be taken back")
                .next("number the rows: ROW_NUMBER() OVER (PARTITION BY .. ORDER BY ..) = 1"));
        }
        let time = before.properties.time_column;
        let expiry = match (node.within_watermark, time) {
            (true, None) => {
                return Err(self
                    .refused("a key is forgotten by event time, and its rows have none")
                    .next("declare a WATERMARK for the table, or say `with_watermark` before"));
            }
            (true, Some(time)) => Some(Expiry { time, after_ms: self.delay_ms(added) }),
            (false, Some(time)) if keys.contains(&time) => Some(Expiry { time, after_ms: 0 }),
            (false, _) => None,
        };
        let ends = WindowEnds { step_ms: 1, offset_ms: 0 };
        let windows = expiry.map(|_| ClosingWindows { ends, gives: Gives::Updates });
        let properties = Properties {
            unique_key: if node.within_watermark { before.properties.unique_key } else { Some(keys.clone()) },
            time_column: time.filter(|_| expiry.is_some()),
            window_end: before.properties.window_end.filter(|_| expiry.is_some()),
            is_append_only: true,
        };
        let fields = before.schema.fields().to_vec();
        let name = self.state_name("deduplicate");
        let operator = StreamOperator::Deduplicate { name, keys, expiry, windows };
        let node_id = self.add(operator, vec![added], fields, properties);
        let columns = (0..input.columns.len()).collect();
        Ok(Relation { node: node_id, columns, predicate: None, schema: input.schema })
    }

    /// How late rows of a node may be, milliseconds: those of the source that is given most time.
    fn delay_ms(&self, id: StreamNodeId) -> i64 {
        let node = self.node(id);
        match &node.operator {
            StreamOperator::Watermark { delay_ms, .. } => *delay_ms,
            StreamOperator::Source { table, .. } => table.watermark.as_ref().map_or(0, |it| it.delay_ms),
            _ => node.inputs.iter().map(|input| self.delay_ms(*input)).max().unwrap_or(0),
        }
    }
}
