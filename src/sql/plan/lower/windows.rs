//! Windows over event time: where rows get them, and the aggregates that close with them.
//!
//! Owns when a window is known to close. Knows no operator's code. Invariant: only windows of a column that watermarks follow ever close.

use super::{Lower, Relation};
use crate::sql::{
    SqlResult,
    catalog::ClockFunction,
    op::WindowKind,
    plan::{
        stream_plan::{ClosingWindows, Properties, StreamNode, StreamNodeId, StreamOperator, WindowEnd},
        windows::{LateNode, WatermarkNode, WindowsNode, origin},
    },
};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use std::sync::Arc;

/// What is left of the grouping of a windowed aggregate, once the end of its window is its first key.
pub(super) struct WindowedKeys {
    /// For each key, in the new order, its place in the old one.
    pub order: Vec<usize>,
    /// What the aggregate does with its windows; `None` = it has none that close.
    pub windows: Option<ClosingWindows>,
}

impl Lower<'_> {
    /// Rows whose times windows follow.
    pub(super) fn watermark(&mut self, node: &WatermarkNode) -> SqlResult<Relation> {
        let input = self.lower(&node.input)?;
        if self.is_bounded {
            return Ok(input); // nothing waits: all rows are there
        }
        let lost = |_| self.refused("the column of event time is not among those of the input");
        let column = node.input.schema().index_of_column(&node.time).map_err(lost)?;
        let exact = self.exact(&input);
        if self.is_grouped(exact) {
            return Err(self
                .refused("a watermark of rows that were computed from several others")
                .because("how far a source is in event time is seen in its own rows")
                .next("say it before rows are grouped, joined and sorted"));
        }
        let before = self.node(exact);
        let (properties, fields) = (before.properties.clone(), before.schema.fields().to_vec());
        let properties = Properties { time_column: Some(column), ..properties };
        let is_watermark = |node: &&StreamNode| matches!(node.operator, StreamOperator::Watermark { .. });
        let number = self.plan.nodes.iter().filter(is_watermark).count() + 1;
        let name = format!("{}.watermark-{number}", self.name);
        let width = fields.len();
        let operator = StreamOperator::Watermark { name, column, delay_ms: node.delay_ms };
        let id = self.add(operator, vec![exact], fields, properties);
        let schema = datafusion_expr::UserDefinedLogicalNodeCore::schema(node).clone();
        Ok(Relation { node: id, columns: (0..width).collect(), predicate: None, schema })
    }

    /// Whether rows of a node were made from several of a source.
    fn is_grouped(&self, node: StreamNodeId) -> bool {
        let node = self.node(node);
        match &node.operator {
            StreamOperator::Source { .. } => false,
            StreamOperator::Calc { .. }
            | StreamOperator::Unnest { .. }
            | StreamOperator::Union
            | StreamOperator::Watermark { .. } => node.inputs.iter().any(|input| self.is_grouped(*input)),
            _ => true,
        }
    }

    /// Rows with their windows.
    pub(super) fn windows(&mut self, node: &WindowsNode) -> SqlResult<Relation> {
        let input = self.lower(&node.input)?;
        let time_column = node
            .input
            .schema()
            .index_of_column(&node.time)
            .map_err(|_| self.refused("the column of event time is not among those of the input"))?;
        let exact = self.exact(&input);
        let exact = self.with_batch_time(exact, time_column);
        let before = self.node(exact);
        let (properties, columns) = (before.properties.clone(), before.schema.fields().len());
        let mut fields: Vec<FieldRef> = before.schema.fields().to_vec();
        let zone = match before.schema.field(time_column).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        for (name, zone) in [("window_start", None), ("window_end", None), ("window_time", zone)] {
            fields.push(Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, zone), false)));
        }
        let closes = properties.time_column == Some(time_column);
        let properties = Properties {
            is_append_only: properties.is_append_only,
            unique_key: None,
            time_column: closes.then_some(columns + 2),
            window_end: closes.then(|| WindowEnd { column: columns + 1, ends: node.windows.ends() }),
        };
        let partition_by = node.partition_by.as_ref().map(|columns| {
            let index = |column| node.input.schema().index_of_column(column);
            columns.iter().map(index).collect::<Result<Vec<usize>, _>>()
        });
        let partition_by =
            partition_by.transpose().map_err(|_| self.refused("a column of PARTITION BY is not there"))?;
        let operator = match node.windows.kind {
            WindowKind::Session { gap_ms } => {
                StreamOperator::SessionWindows { gap_ms, time_column, partition_by }
            }
            _ => StreamOperator::AssignWindows { windows: node.windows, time_column },
        };
        let id = self.add(operator, vec![exact], fields, properties);
        let schema = datafusion_expr::UserDefinedLogicalNodeCore::schema(node).clone();
        Ok(Relation { node: id, columns: (0..columns + 3).collect(), predicate: None, schema })
    }

    /// The rows of a node whose time in a column is the time of batches say so, as nothing else moves that time.
    fn with_batch_time(&mut self, node: StreamNodeId, column: usize) -> StreamNodeId {
        let before = self.node(node);
        let properties = before.properties.clone();
        if self.is_bounded || properties.time_column == Some(column) || !self.is_batch_time(node, column) {
            return node;
        }
        let fields = before.schema.fields().to_vec();
        let properties = Properties { time_column: Some(column), ..properties };
        self.add(StreamOperator::BatchTime { column }, vec![node], fields, properties)
    }

    /// Whether a column is the time of the batch.
    fn is_batch_time(&self, node: StreamNodeId, column: usize) -> bool {
        let (node, column) = origin(self.plan, node, column);
        match &self.node(node).operator {
            StreamOperator::Calc { columns, .. } => {
                columns.get(column).and_then(ClockFunction::called_by).is_some_and(ClockFunction::is_time)
            }
            _ => false,
        }
    }

    /// The late rows of a table.
    pub(super) fn late(&mut self, node: &LateNode) -> SqlResult<Relation> {
        if self.is_bounded {
            return Err(self
                .refused("no row of a table that is read once is late")
                .next("read the table itself"));
        }
        let input = self.lower(&node.input)?;
        let schema = node.input.schema();
        let time = schema.index_of_column(&node.time);
        let time_column =
            time.map_err(|_| self.refused("the column of event time is not among those of the input"))?;
        let exact = self.exact(&input);
        let before = self.node(exact);
        let fields: Vec<FieldRef> = before.schema.fields().to_vec();
        // What windows would be made of it is late as well.
        let properties = Properties { time_column: None, window_end: None, ..before.properties.clone() };
        let operator = StreamOperator::Late { name: self.state_name("late"), time_column };
        let count = fields.len();
        let id = self.add(operator, vec![exact], fields, properties);
        Ok(Relation { node: id, columns: (0..count).collect(), predicate: None, schema: schema.clone() })
    }

    /// The keys of an aggregate with the end of the window in front, if it is one of them.
    pub(super) fn windowed_keys(&self, input: StreamNodeId, keys: &[usize]) -> WindowedKeys {
        let all = (0..keys.len()).collect();
        let Some(end) = self.node(input).properties.window_end else {
            return WindowedKeys { order: all, windows: None };
        };
        let Some(first) = keys.iter().position(|key| *key == end.column) else {
            return WindowedKeys { order: all, windows: None };
        };
        let others = (0..keys.len()).filter(|key| *key != first);
        let windows = ClosingWindows { ends: end.ends, gives: self.gives };
        WindowedKeys { order: std::iter::once(first).chain(others).collect(), windows: Some(windows) }
    }
}
