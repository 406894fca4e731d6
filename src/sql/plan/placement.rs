//! By which columns the rows of a node lie in state partitions.
//!
//! Owns what follows from a plan. Knows no operator's code. Invariant: rows with equal cells in these columns, in this order, are in the
//! state partition of the key that the cells make.

use super::stream_plan::{StreamNodeId, StreamOperator, StreamPlan};
use crate::sql::op::JoinKind;
use datafusion_physical_expr::expressions::Column;

/// The columns by which the rows of a node lie, in the order of the key; `None` = they lie anywhere, or it is not known.
pub fn lies_by(plan: &StreamPlan, id: StreamNodeId) -> Option<Vec<usize>> {
    let node = &plan.nodes[id.0];
    match &node.operator {
        // The rows of a table by key are kept by it.
        StreamOperator::Source { .. } => node.properties.unique_key.clone(),
        StreamOperator::Aggregate { keys, .. } if !keys.is_empty() => Some((0..keys.len()).collect()),
        StreamOperator::Calc { columns, .. } => {
            let before = lies_by(plan, *node.inputs.first()?)?;
            let output_of = |wanted: &usize| {
                columns.iter().position(|expr| {
                    expr.downcast_ref::<Column>().is_some_and(|column| column.index() == *wanted)
                })
            };
            before.iter().map(output_of).collect()
        }
        StreamOperator::TopN { ranking, .. } => some(&ranking.partition),
        StreamOperator::SetOperation { keys, .. } | StreamOperator::Deduplicate { keys, .. } => some(keys),
        StreamOperator::Over { partition, .. } => some(partition),
        StreamOperator::AssignWindows { .. } => lies_by(plan, *node.inputs.first()?),
        StreamOperator::AsOf { sides: [first, _], .. } => {
            first.keys.iter().all(|key| *key < first.columns).then(|| first.keys.clone())
        }
        // Rows stay where they are, and their columns come first.
        StreamOperator::StaticJoin { sides: [first, _], .. } => lies_by(plan, *node.inputs.first()?)
            .filter(|columns| columns.iter().all(|column| *column < first.columns)),
        StreamOperator::Join { kind, sides, .. } if *kind != JoinKind::Full => {
            let [first, _] = sides;
            first.keys.iter().all(|key| *key < first.columns).then(|| first.keys.clone())
        }
        _ => None,
    }
}

/// Without columns all rows are one group, and lie in one state partition.
fn some(columns: &[usize]) -> Option<Vec<usize>> {
    (!columns.is_empty()).then(|| columns.to_vec())
}
