//! A computed column of event time, behind the columns of the record.
//!
//! Owns the step that computes it. Knows no connector. Invariant: the columns of a source come in the order of the plan, whether they are
//! read or computed.

use super::Builder;
use crate::{
    operator::NodeId,
    plan::{Factory, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{Calc, CalcPlan},
        plan::stream_plan::{ComputedTime, StreamNode},
        rows::RowsFormat,
    },
};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column};
use std::sync::Arc;

/// What a source reads of its records.
pub(super) struct RecordColumns {
    /// Their positions in the table's declaration.
    pub columns: Vec<usize>,
    /// Their fields.
    pub schema: SchemaRef,
    /// How the columns of the plan follow from them, if one is computed.
    computed: Option<Vec<Arc<dyn PhysicalExpr>>>,
}

impl RecordColumns {
    /// Of a source with these columns.
    pub fn of(node: &StreamNode, columns: &[usize], time: Option<&ComputedTime>) -> Self {
        let Some(time) = time else {
            return RecordColumns { columns: columns.to_vec(), schema: node.schema.clone(), computed: None };
        };
        let read: Vec<usize> = columns.iter().copied().filter(|column| *column != time.position).collect();
        let fields = columns.iter().zip(node.schema.fields());
        let fields = fields.filter(|(column, _)| **column != time.position).map(|(_, field)| field.clone());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let column = |position: usize| -> Arc<dyn PhysicalExpr> {
            let at = read.iter().position(|column| *column == position).unwrap_or(0);
            Arc::new(Column::new(schema.field(at).name(), at))
        };
        let moved = time.expr.clone().transform(|part| {
            let read = part.downcast_ref::<Column>().map(|read| column(time.reads[read.index()]));
            Ok(read.map_or_else(|| Transformed::no(part), Transformed::yes))
        });
        let moved = moved.data().unwrap_or_else(|_| time.expr.clone());
        let of =
            |position: &usize| if *position == time.position { moved.clone() } else { column(*position) };
        let computed = columns.iter().map(of).collect();
        RecordColumns { columns: read, schema, computed: Some(computed) }
    }
}

impl Builder<'_> {
    /// Computes the column of event time, if it is not in the records.
    pub(super) fn event_time(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        reads: &RecordColumns,
        source: NodeId,
    ) -> SqlResult<NodeId> {
        let Some(columns) = &reads.computed else { return Ok(source) };
        let calc = CalcPlan::new(None, columns, node.schema.clone());
        let calc = Arc::new(calc.map_err(|e| SqlError::at(node.span, e.to_string()))?);
        let factory: Factory = Arc::new(move |_| Box::new(Calc::new(calc.clone())));
        let format = RowsFormat::new(reads.schema.clone(), !node.properties.is_append_only);
        let format = format.map_err(|e| SqlError::at(node.span, e.to_string()))?;
        let (path, layout) = (self.topology.node(source).path.clone(), self.topology.node(source).layout);
        let added = Node::new(operation, "event-time", path, Role::Operator(factory));
        Ok(self.topology.add(added.reading([source]).in_formats([Arc::new(format) as _]).laid(layout)))
    }
}
