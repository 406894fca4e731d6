//! Where the rows of a stage go.
//!
//! Owns the table that stands for them, and the rows that need no operator. Knows no engine. Invariant: of rows that change, those are given
//! that are there in the end.

use crate::sql::{
    ColumnKind, Span, SqlResult, TableColumn, TableDefinition,
    plan::{
        lower::{Lower, rows_of},
        place::place_of_query,
        sink::check_volatile,
        stream_plan::{OutputMode, Properties, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    },
};
use arrow::{array::RecordBatch, datatypes::FieldRef};
use std::{collections::BTreeMap, sync::Arc};

/// What the table is called that takes the rows of a stage.
pub const RESULT: &str = "rows";

/// What is left to do of a plan whose inputs are there.
pub enum Stage {
    /// To compute the rows of a node, of tables alone.
    There(StreamPlan, StreamNodeId),
    /// To run a plan, whose rows go to the table [`RESULT`].
    Runs(StreamPlan),
}

impl Stage {
    /// The rows, if nothing has to run for them; otherwise what has to.
    ///
    /// # Errors
    /// If a row cannot be computed.
    pub fn rows(self) -> SqlResult<Result<RecordBatch, StreamPlan>> {
        match self {
            Stage::There(plan, root) => Ok(Ok(rows_of(&plan, root, &plan.static_tables)?.rows)),
            Stage::Runs(plan) => Ok(Err(plan)),
        }
    }
}

/// Ends a plan at the table that takes its rows.
pub fn add_sink(lower: &mut Lower<'_>, root: StreamNodeId) -> SqlResult {
    let input = lower.plan.nodes[root.0].clone();
    let mode = if input.properties.is_append_only { OutputMode::Append } else { OutputMode::Complete };
    check_volatile(lower, root, mode, &[])?;
    let span = Span::default();
    let column = |(at, field): (usize, &FieldRef)| TableColumn {
        name: format!("c{at}"),
        span,
        is_required: false,
        kind: ColumnKind::Physical(field.data_type().clone()),
    };
    let table = TableDefinition {
        name: RESULT.to_owned(),
        span,
        columns: input.schema.fields().iter().enumerate().map(column).collect(),
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        options: BTreeMap::new(),
    };
    let columns = (0..input.schema.fields().len()).map(Some).collect();
    let table = Arc::new(table);
    let operator = StreamOperator::Sink { table, mode, columns, key: vec![], order: vec![] };
    lower.plan.nodes.push(StreamNode {
        operator,
        inputs: vec![root],
        schema: input.schema,
        properties: Properties { unique_key: None, time_column: None, window_end: None, ..input.properties },
        span: place_of_query(lower.query),
    });
    Ok(())
}
