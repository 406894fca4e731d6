//! `INTERSECT` and `EXCEPT`.
//!
//! Owns the order of the columns of their keys. Knows no operator's code. Invariant: rows of windows close only where both inputs have them
//! in the same column.

use super::{Lower, Relation};
use crate::{
    operator::Gives,
    sql::{
        SqlResult,
        plan::{
            optimize::SetNode,
            stream_plan::{Properties, StreamOperator},
            types::plain,
        },
    },
};
use arrow::datatypes::Field;
use datafusion_expr::UserDefinedLogicalNodeCore;
use std::sync::Arc;

impl Lower<'_> {
    /// The rows that a set operation leaves.
    pub(super) fn set_operation(&mut self, node: &SetNode) -> SqlResult<Relation> {
        let mut inputs = vec![];
        for input in &node.inputs {
            let relation = self.lower(input)?;
            if relation.predicate.as_ref().is_some_and(super::is_volatile)
                || self.is_volatile_below(relation.node)
            {
                return Err(self.volatile_mistake(&format!("below {}", node.kind.name())));
            }
            inputs.push(self.exact(&relation));
        }
        let [first, second] = [inputs[0], inputs[1]].map(|input| self.node(input).properties.clone());
        let (keys, windows) = if first.window_end == second.window_end {
            self.window_first(inputs[0], (0..node.schema().fields().len()).collect())
        } else {
            ((0..node.schema().fields().len()).collect(), None)
        };
        let is_final = windows.is_some_and(|windows| windows.gives == Gives::Finals);
        let grows = node.kind.grows() && first.is_append_only && second.is_append_only;
        let properties = Properties {
            is_append_only: is_final || windows.is_none() && grows,
            unique_key: node.kind.is_distinct().then(|| (0..keys.len()).collect()),
            time_column: first
                .time_column
                .filter(|time| windows.is_some() && second.time_column == Some(*time)),
            window_end: first.window_end.filter(|_| windows.is_some()),
        };
        let field = |field: &Arc<Field>| {
            Arc::new(Field::new(field.name(), plain(field.data_type()), field.is_nullable()))
        };
        let fields = node.schema().fields().iter().map(field).collect();
        let name = self.state_name("set");
        let operator = StreamOperator::SetOperation { name, kind: node.kind, keys, windows };
        let added = self.add(operator, inputs, fields, properties);
        let columns = (0..node.schema().fields().len()).collect();
        Ok(Relation { node: added, columns, predicate: None, schema: node.schema().clone() })
    }
}
