//! Aggregates that a query says twice are computed once.
//!
//! Owns when two nodes give the same rows. Knows no text: names of columns and of states make no difference. Invariants: only aggregates of
//! one query are shared, so that the name of a state depends on no other query; a node is shared only if all that it reads is.

use crate::sql::plan::lower::{Lower, is_volatile};
use crate::sql::plan::stream_plan::{StreamNodeId, StreamOperator};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column};
use std::sync::Arc;

impl Lower<'_> {
    /// An aggregate of this query that gives the same rows, in whose place the nodes from `start` on are not needed.
    pub(super) fn take_shared(
        &mut self,
        operator: &StreamOperator,
        input: StreamNodeId,
        start: usize,
    ) -> Option<StreamNodeId> {
        let shared = self.shared(operator, input, start)?;
        self.plan.nodes.truncate(start);
        Some(shared)
    }

    /// An aggregate of this query among the nodes before `start` that gives the same rows.
    fn shared(&self, operator: &StreamOperator, input: StreamNodeId, start: usize) -> Option<StreamNodeId> {
        let of_query = format!("{}.", self.name);
        let mut before = self.plan.nodes.iter().take(start).enumerate();
        before.find_map(|(at, node)| {
            let is_ours = matches!(&node.operator, StreamOperator::Aggregate { name, .. } if name.starts_with(&of_query));
            let same = is_ours && do_the_same(&node.operator, operator) && self.are_same(node.inputs[0], input);
            same.then_some(StreamNodeId(at))
        })
    }

    fn are_same(&self, a: StreamNodeId, b: StreamNodeId) -> bool {
        let (left, right) = (self.node(a), self.node(b));
        a == b
            || left.inputs.len() == right.inputs.len()
                && do_the_same(&left.operator, &right.operator)
                && left.inputs.iter().zip(&right.inputs).all(|(a, b)| self.are_same(*a, *b))
    }
}

/// Whether two nodes give the same rows of the same input.
fn do_the_same(a: &StreamOperator, b: &StreamOperator) -> bool {
    use StreamOperator::{Aggregate, AssignWindows, Calc, Union, Unnest};
    match (a, b) {
        (Calc { predicate, columns }, Calc { predicate: other, columns: others }) => {
            let (one, two) = (columns.iter().chain(predicate), others.iter().chain(other));
            columns.len() == others.len()
                && predicate.is_some() == other.is_some()
                && one.zip(two).all(|(a, b)| without_names(a).is_some_and(|a| Some(a) == without_names(b)))
        }
        (
            AssignWindows { windows, time_column },
            AssignWindows { windows: other_windows, time_column: other_time },
        ) => windows == other_windows && time_column == other_time,
        (Union, Union) => true,
        (
            Unnest { list, columns, keeps_null },
            Unnest { list: other_list, columns: other_columns, keeps_null: other_keeps },
        ) => (list, columns, keeps_null) == (other_list, other_columns, other_keeps),
        (
            Aggregate { keys, calls, windows, .. },
            Aggregate { keys: other_keys, calls: other_calls, windows: other_windows, .. },
        ) => {
            keys == other_keys
                && windows == other_windows
                && calls.len() == other_calls.len()
                && calls.iter().zip(other_calls).all(|(a, b)| {
                    (a.function, &a.arguments, a.filter, a.is_distinct, &a.data_type, &a.details)
                        == (b.function, &b.arguments, b.filter, b.is_distinct, &b.data_type, &b.details)
                })
        }
        _ => false,
    }
}

fn without_names(expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let renamed = expr.clone().transform(|part| {
        let nameless = part.downcast_ref::<Column>().map(|column| Column::new("", column.index()));
        Ok(nameless.map_or_else(|| Transformed::no(part), |column| Transformed::yes(Arc::new(column) as _)))
    });
    renamed.data().ok().filter(|expr| !is_volatile(expr))
}
