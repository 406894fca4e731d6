//! `UNNEST`: a row for each element of a list.
//!
//! Owns which column it is and where the others come from. Knows no operator's code.

use super::{Lower, Relation};
use crate::sql::{
    SqlResult,
    plan::{
        stream_plan::{Properties, StreamOperator, WindowEnd},
        types::plain,
    },
};
use arrow::datatypes::Field;
use datafusion_expr::Unnest;
use std::sync::Arc;

impl Lower<'_> {
    /// The rows that the elements of a list become.
    pub(super) fn unnest(&mut self, unnest: &Unnest) -> SqlResult<Relation> {
        let [(list, how)] = &unnest.list_type_columns[..] else {
            return Err(self
                .refused("a query takes one list apart at a time")
                .next("take the other one apart in a view"));
        };
        if how.depth != 1 || !unnest.struct_type_columns.is_empty() {
            return Err(self.refused("lists of lists, and rows, are not taken apart in one step"));
        }
        let input = self.lower(&unnest.input)?;
        let node = self.exact(&input);
        let before = self.node(node).properties.clone();
        let columns = unnest.dependency_indices.clone();
        let at = |wanted: usize| columns.iter().position(|column| *column == wanted && wanted != *list);
        let properties = Properties {
            is_append_only: before.is_append_only,
            unique_key: None,
            time_column: before.time_column.and_then(at),
            window_end: before.window_end.and_then(|end| Some(WindowEnd { column: at(end.column)?, ..end })),
        };
        let fields = unnest.schema.fields().iter();
        let fields = fields
            .map(|field| Arc::new(Field::new(field.name(), plain(field.data_type()), field.is_nullable())));
        let fields: Vec<_> = fields.collect();
        let width = fields.len();
        let keeps_null = unnest.options.preserve_nulls();
        let operator = StreamOperator::Unnest { list: *list, columns, keeps_null };
        let node = self.add(operator, vec![node], fields, properties);
        let columns = (0..width).collect();
        Ok(Relation { node, columns, predicate: None, schema: unnest.schema.clone() })
    }
}
