//! Queries whose rows have an end, in stages: what needs all rows of its input at once gets them as a table.
//!
//! Owns where a plan is cut, and what is done there: rows are sorted and counted, a row stands for no rows at all. Knows no engine: what runs a
//! stage is given to it. Invariants: an order holds until something changes it; what runs is a plan that streams can have, too.
//!
//! ```text
//! Projection(Sort(Aggregate(t)))   Aggregate(t) runs -> rows, sorted -> Projection(rows) runs
//! ```

mod order;
mod result;

pub use result::{RESULT, Stage};

pub(super) use result::add_sink;

use super::{
    lower::is_static,
    mistakes::plain_text,
    optimize::{DeduplicateNode, RowsNode, reads_once},
};
use crate::{
    Result,
    sql::{SqlError, SqlResult},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, Schema},
};
use datafusion_common::{
    DFSchemaRef, DataFusionError,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Aggregate, EmptyRelation, Expr, Extension, FetchType, Join, Limit, LogicalPlan, SkipType,
    expr::AggregateFunction,
};
use order::sorted;
use std::sync::Arc;

/// Takes a plan apart, and has its stages run.
pub struct Stages<'r> {
    /// Gives the rows of a plan that nothing cuts.
    pub run: &'r mut dyn FnMut(&LogicalPlan) -> Result<RecordBatch>,
    /// Makes an error of a mistake.
    pub told: &'r dyn Fn(SqlError) -> crate::Error,
}

type Replaced = Transformed<LogicalPlan>;

impl Stages<'_> {
    /// All rows of a plan that reads tables that are read once.
    ///
    /// # Errors
    /// The first mistake, or why a stage could not be run.
    pub fn rows(&mut self, plan: LogicalPlan) -> Result<RecordBatch> {
        let last = self.each(plan, Self::cut)?;
        self.stage(&last)
    }

    /// A plan of streams, with the rows in the place of what they are joined with, where that is more than a table with a condition.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn beside_streams(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.each(plan, |stages, node| {
            let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
            let is_known = |side: &LogicalPlan| reads_once(side) && !is_static(side);
            let (left, right) = (reads_once(&join.left), reads_once(&join.right));
            if left == right || !is_known(if left { &join.left } else { &join.right }) {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            }
            let side = if left { &mut join.left } else { &mut join.right };
            let rows = stages.rows(side.as_ref().clone())?;
            let schema = side.schema().clone();
            *side = Arc::new(stages.there(&rows, schema)?);
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        })
    }

    /// Replaces each node, those that are read before those that read them.
    fn each(
        &mut self,
        plan: LogicalPlan,
        replace: impl Fn(&mut Self, LogicalPlan) -> Result<Replaced>,
    ) -> Result<LogicalPlan> {
        let mut failure = None;
        let replaced = plan.transform_up(|node| {
            replace(self, node).map_err(|error| {
                failure = Some(error);
                DataFusionError::Internal("a stage failed".to_owned())
            })
        });
        match (replaced, failure) {
            (_, Some(error)) => Err(error),
            (Ok(replaced), None) => Ok(replaced.data),
            (Err(e), None) => Err((self.told)(SqlError::at(None, plain_text(&e)))),
        }
    }

    fn stage(&mut self, plan: &LogicalPlan) -> Result<RecordBatch> {
        (self.run)(plan)
    }

    /// Rows as a node of a plan, which knows them by these names.
    fn there(&self, rows: &RecordBatch, schema: DFSchemaRef) -> Result<LogicalPlan> {
        let node = RowsNode::new(rows, schema);
        let node = node.map_err(|e| (self.told)(SqlError::at(None, e.to_string())))?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn known(&self, rows: SqlResult<RecordBatch>, schema: &DFSchemaRef) -> Result<Replaced> {
        let rows = rows.map_err(self.told)?;
        Ok(Transformed::yes(self.there(&rows, schema.clone())?))
    }

    /// The rows of an input as a node.
    fn input(&mut self, input: &Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let rows = self.stage(input)?;
        Ok(Arc::new(self.there(&rows, input.schema().clone())?))
    }

    fn cut(&mut self, node: LogicalPlan) -> Result<Replaced> {
        match node {
            LogicalPlan::Sort(sort) => {
                let rows = self.stage(&sort.input)?;
                self.known(sorted(&rows, &sort), sort.input.schema())
            }
            LogicalPlan::Limit(limit) => {
                let rows = self.stage(&limit.input)?;
                self.known(limited(&rows, &limit), limit.input.schema())
            }
            LogicalPlan::EmptyRelation(empty) => self.known(nothing(&empty), &empty.schema),
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => self.of_all(aggregate),
            LogicalPlan::Join(join) if needs_rows(&join) => {
                let right = self.input(&join.right)?;
                Ok(Transformed::yes(LogicalPlan::Join(Join { right, ..join })))
            }
            // A value that is another one each time is computed once.
            LogicalPlan::Projection(mut projection)
                if projection.expr.iter().any(Expr::is_volatile) && !is_static(&projection.input) =>
            {
                projection.input = self.input(&projection.input)?;
                Ok(Transformed::yes(LogicalPlan::Projection(projection)))
            }
            LogicalPlan::Extension(extension) => {
                let Some(of) = extension.node.as_any().downcast_ref::<DeduplicateNode>() else {
                    return Ok(Transformed::no(LogicalPlan::Extension(extension)));
                };
                if is_static(&of.input) {
                    return Ok(Transformed::no(LogicalPlan::Extension(extension)));
                }
                let input = Arc::unwrap_or_clone(self.input(&Arc::new(of.input.clone()))?);
                let node = Arc::new(DeduplicateNode { input, ..of.clone() });
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
            }
            other => Ok(Transformed::no(other)),
        }
    }

    /// Aggregates of all rows: one row, also of no rows.
    fn of_all(&mut self, mut aggregate: Aggregate) -> Result<Replaced> {
        let rows = self.stage(&aggregate.input)?;
        let schema = aggregate.schema.clone();
        if rows.num_rows() == 0 {
            return self.known(of_nothing(&aggregate), &schema);
        }
        aggregate.input = Arc::new(self.there(&rows, aggregate.input.schema().clone())?);
        let row = self.stage(&LogicalPlan::Aggregate(aggregate))?;
        self.known(Ok(row), &schema)
    }
}

/// Whether one side of a join must be a table, since each row of the other one meets all of its rows.
fn needs_rows(join: &Join) -> bool {
    join.on.is_empty() && !is_static(&join.left) && !is_static(&join.right)
}

fn limited(rows: &RecordBatch, limit: &Limit) -> SqlResult<RecordBatch> {
    let no_number = || SqlError::at(None, "LIMIT and OFFSET are numbers").next("write LIMIT 10");
    let Ok(SkipType::Literal(skip)) = limit.get_skip_type() else { return Err(no_number()) };
    let Ok(FetchType::Literal(fetch)) = limit.get_fetch_type() else { return Err(no_number()) };
    let skip = skip.min(rows.num_rows());
    let rest = rows.num_rows() - skip;
    Ok(rows.slice(skip, fetch.map_or(rest, |fetch| fetch.min(rest))))
}

/// Columns with the names and types of a schema; each may be NULL, as far as their types say.
fn table(schema: &DFSchemaRef, columns: Vec<ArrayRef>, rows: usize) -> SqlResult<RecordBatch> {
    let field =
        |(field, column): (&FieldRef, &ArrayRef)| Field::new(field.name(), column.data_type().clone(), true);
    let fields: Vec<Field> = schema.fields().iter().zip(&columns).map(field).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|e| SqlError::at(None, e.to_string()))
}

/// The rows of a relation of which is known that it has none, or one without columns.
fn nothing(empty: &EmptyRelation) -> SqlResult<RecordBatch> {
    let fields = empty.schema.fields().iter();
    let columns = fields.map(|field| arrow::array::new_empty_array(&super::types::plain(field.data_type())));
    table(&empty.schema, columns.collect(), usize::from(empty.produce_one_row))
}

/// What aggregates are of no rows.
fn of_nothing(aggregate: &Aggregate) -> SqlResult<RecordBatch> {
    let failed = |e: DataFusionError| SqlError::at(None, plain_text(&e));
    let mut columns = vec![];
    for (expr, field) in aggregate.aggr_expr.iter().zip(aggregate.schema.fields()) {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        let data_type = super::types::plain(field.data_type());
        let Expr::AggregateFunction(AggregateFunction { func, .. }) = expr else {
            return Err(SqlError::at(None, "a part of this query has no streaming operator"));
        };
        let value = func.default_value(&data_type).and_then(|value| value.cast_to(&data_type));
        columns.push(value.and_then(|value| value.to_array_of_size(1)).map_err(failed)?);
    }
    table(&aggregate.schema, columns, 1)
}
