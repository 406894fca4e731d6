//! Which fields of nested columns are read: those that some expression takes.
//!
//! Owns the narrower types of a source's columns. Knows no format. Invariants: an expression finds a field by its name, so it need not
//! change; a column of which anything but single fields is taken is read as a whole.

use crate::sql::plan::stream_plan::{StreamNodeId, StreamOperator, StreamPlan, TableRows};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion_physical_expr::{
    PhysicalExpr, ScalarFunctionExpr,
    expressions::{Column, Literal},
};
use std::{collections::BTreeMap, sync::Arc};

/// What is taken of a value.
#[derive(Default)]
enum Taken {
    #[default]
    Nothing,
    Whole,
    Fields(BTreeMap<String, Taken>),
}

impl Taken {
    /// Takes what is at the end of a path.
    fn take(&mut self, path: &[&str]) {
        match (path, &mut *self) {
            (_, Taken::Whole) => {}
            ([], _) => *self = Taken::Whole,
            ([name, rest @ ..], Taken::Fields(fields)) => {
                fields.entry((*name).to_owned()).or_default().take(rest);
            }
            ([..], Taken::Nothing) => {
                *self = Taken::Fields(BTreeMap::new());
                self.take(path);
            }
        }
    }

    fn narrow(&self, field: &FieldRef) -> FieldRef {
        let (Taken::Fields(taken), DataType::Struct(fields)) = (self, field.data_type()) else {
            return field.clone();
        };
        let kept = fields.iter().filter_map(|field| Some(taken.get(field.name())?.narrow(field)));
        let kept: Fields = kept.collect();
        if kept.len() < taken.len() {
            return field.clone();
        }
        Arc::new(Field::clone(field).with_data_type(DataType::Struct(kept)))
    }
}

/// The plan with sources that read of each column only what is taken of it.
pub(super) fn narrowed(plan: &StreamPlan) -> StreamPlan {
    let mut narrow = plan.clone();
    if plan.is_bounded {
        return narrow; // the rows are there
    }
    for (at, node) in plan.nodes.iter().enumerate() {
        let StreamOperator::Source { table, columns, event_time } = &node.operator else { continue };
        // What is kept of the row of a key does not follow from what queries take.
        if TableRows::of(table) == TableRows::ByKey {
            continue;
        }
        let mut taken: Vec<Taken> = columns.iter().map(|_| Taken::Nothing).collect();
        if let Some(time) = event_time {
            let of_source = |read: usize| columns.iter().position(|column| *column == time.reads[read]);
            visit(&time.expr, &mut |read, path| {
                of_source(read).into_iter().for_each(|column| taken[column].take(path));
            });
        }
        for reader in plan.nodes.iter().filter(|reader| reader.inputs.contains(&StreamNodeId(at))) {
            if let StreamOperator::Calc { predicate, columns } = &reader.operator {
                let exprs = columns.iter().chain(predicate);
                exprs.for_each(|expr| visit(expr, &mut |column, path| taken[column].take(path)));
            } else {
                taken.iter_mut().for_each(|column| column.take(&[]));
            }
        }
        let fields = node.schema.fields().iter().zip(&taken);
        let fields: Vec<_> = fields.map(|(field, taken)| taken.narrow(field)).collect();
        narrow.nodes[at].schema = Arc::new(Schema::new(fields));
    }
    narrow
}

/// Tells of each column that an expression reads which path of fields it takes.
fn visit(expr: &Arc<dyn PhysicalExpr>, take: &mut dyn FnMut(usize, &[&str])) {
    let mut path = vec![];
    match column_of(expr, &mut path) {
        Some(column) => take(column, &path),
        None => expr.children().into_iter().for_each(|part| visit(part, take)),
    }
}

/// The column that an expression is a field of, or is itself; the path to the field is added to `path`.
fn column_of<'e>(expr: &'e Arc<dyn PhysicalExpr>, path: &mut Vec<&'e str>) -> Option<usize> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some(column.index());
    }
    let call = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.fun().name() == "get_field")?;
    let (of, names) = call.args().split_first()?;
    let column = column_of(of, path)?;
    for name in names {
        path.push(name.downcast_ref::<Literal>()?.value().try_as_str()??);
    }
    Some(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_far_as_it_is_taken() {
        let int = |name: &str| Field::new(name, DataType::Int64, true);
        let inner = Field::new("c", DataType::Struct(vec![int("d"), int("e")].into()), true);
        let row = Arc::new(Field::new("row", DataType::Struct(vec![int("a"), int("b"), inner].into()), true));
        let narrowed = |paths: &[&[&str]]| {
            let mut taken = Taken::default();
            paths.iter().for_each(|path| taken.take(path));
            let DataType::Struct(fields) = taken.narrow(&row).data_type().clone() else { panic!() };
            let name = |field: &FieldRef| match field.data_type() {
                DataType::Struct(inner) => format!("{}({})", field.name(), inner.len()),
                _ => field.name().clone(),
            };
            fields.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(narrowed(&[&["b"]]), "b");
        assert_eq!(narrowed(&[&["c", "e"], &["a"]]), "a c(1)", "in the order of the declaration");
        assert_eq!(narrowed(&[&["c", "e"], &["c"]]), "c(2)");
        assert_eq!(narrowed(&[&["c"], &["c", "e"]]), "c(2)");
        assert_eq!(narrowed(&[&["a"], &[]]), "a b c(2)");
        assert_eq!(narrowed(&[&["none"]]), "a b c(2)", "a name that is not there narrows nothing");
        assert_eq!(narrowed(&[]), "a b c(2)");
    }
}
