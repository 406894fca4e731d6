//! Filter and projection.
//!
//! Owns how expressions are evaluated over rows. Knows no store. Invariants: a row keeps its weight and its timestamp; only columns
//! that the result needs are filtered.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{BatchTime, Chunk, Stamps},
    sql::{Delta, Payload, catalog::ClockFunction},
};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions},
    buffer::BooleanBuffer,
    compute::{filter, filter_record_batch, prep_null_mask_filter},
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion_common::{DataFusionError, cast::as_boolean_array};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{Column, Literal},
    utils::collect_columns,
};
use std::{collections::BTreeSet, sync::Arc};

/// What a `Calc` computes; shared by its tasks.
pub struct CalcPlan {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of the input that the results read, in order.
    read: Vec<usize>,
    /// One for each column of the result, over the columns of `read`.
    columns: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    /// Whether a column calls a function of the clock.
    asks_clock: bool,
}

impl CalcPlan {
    /// The rows of the input for which `predicate` is true, with these columns, called as in `schema`.
    ///
    /// # Errors
    /// If an expression reads a column that does not exist.
    pub fn new(
        predicate: Option<Arc<dyn PhysicalExpr>>,
        columns: &[Arc<dyn PhysicalExpr>],
        schema: SchemaRef,
    ) -> Result<Self> {
        let all = columns.iter().flat_map(collect_columns).map(|column| column.index());
        let read: Vec<usize> = all.collect::<BTreeSet<_>>().into_iter().collect();
        let moved = columns.iter().map(|column| moved(column, &read)).collect::<Result<_>>()?;
        let moved: Vec<Arc<dyn PhysicalExpr>> = moved;
        let asks_clock = moved.iter().any(asks_clock);
        Ok(CalcPlan { predicate, read, columns: moved, schema, asks_clock })
    }

    /// The same with the time of a batch in the place of functions of the clock.
    fn at(&self, time: BatchTime) -> Result<Self> {
        let columns = self.columns.iter().map(|column| at(column, time)).collect::<Result<_>>()?;
        Ok(CalcPlan {
            predicate: self.predicate.clone(),
            read: self.read.clone(),
            columns,
            schema: self.schema.clone(),
            asks_clock: false,
        })
    }

    /// What it makes of rows that are there once and for all.
    ///
    /// # Errors
    /// If an expression fails for a row.
    pub fn of_table(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let read = rows.project(&self.read).map_err(|e| not_of_schema(&e))?;
        match self.mask(rows)? {
            None => self.rows_of(&read),
            Some(mask) => self.rows_of(&filter_record_batch(&read, &mask).map_err(|e| not_of_schema(&e))?),
        }
    }

    /// For which rows the predicate is true; `None` = for all.
    fn mask(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
        let Some(predicate) = &self.predicate else { return Ok(None) };
        let value = predicate.evaluate(rows).map_err(|e| failed(&e))?;
        let array = value.into_array(rows.num_rows()).map_err(|e| failed(&e))?;
        let mask = as_boolean_array(&array).map_err(|e| failed(&e))?;
        // NULL is not true.
        let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
        Ok((mask.true_count() < rows.num_rows()).then_some(mask))
    }

    fn rows_of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let evaluate = |column: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            let value = column.evaluate(rows).map_err(|e| failed(&e))?;
            value.into_array(rows.num_rows()).map_err(|e| failed(&e))
        };
        let columns = self.columns.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| not_of_schema(&e))
    }
}

/// The expression over the columns `read` alone.
pub(super) fn moved(expression: &Arc<dyn PhysicalExpr>, read: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
    let moved = Arc::clone(expression).transform(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let Ok(index) = read.binary_search(&column.index()) else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
    });
    moved.data().map_err(|e| failed(&e))
}

fn asks_clock(expression: &Arc<dyn PhysicalExpr>) -> bool {
    ClockFunction::called_by(expression).is_some() || expression.children().into_iter().any(asks_clock)
}

/// The expression with this time in the place of functions of the clock.
fn at(expression: &Arc<dyn PhysicalExpr>, time: BatchTime) -> Result<Arc<dyn PhysicalExpr>> {
    use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
    let known = Arc::clone(expression).transform(|node| {
        Ok(match ClockFunction::value_of(&node, time.0) {
            Some(value) => Transformed::yes(Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    });
    known.data().map_err(|e| failed(&e))
}

/// What a failure of an expression says to the person who looks at the record.
pub(super) fn failed(e: &DataFusionError) -> Error {
    match e.find_root() {
        DataFusionError::ArrowError(e, _) => Error::Row(arrow_text(e)),
        DataFusionError::Execution(what) => Error::Row(what.clone()),
        other => Error::Row(other.strip_backtrace()),
    }
}

fn arrow_text(e: &ArrowError) -> String {
    match e {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::ArithmeticOverflow(what)
        | ArrowError::ComputeError(what)
        | ArrowError::CastError(what)
        | ArrowError::InvalidArgumentError(what)
        | ArrowError::ParseError(what) => what.clone(),
        other => other.to_string(),
    }
}

fn not_of_schema(e: &ArrowError) -> Error {
    match e {
        // The text names the column.
        ArrowError::InvalidArgumentError(what) => Error::Row(what.clone()),
        other => Error::Row(other.to_string()),
    }
}

/// Filters and projects.
pub struct Calc {
    plan: Arc<CalcPlan>,
    /// The plan as it is in the batch, if it asks the clock.
    of_batch: Option<(BatchTime, Arc<CalcPlan>)>,
}

impl Calc {
    /// Computes this.
    #[must_use]
    pub fn new(plan: Arc<CalcPlan>) -> Self {
        Calc { plan, of_batch: None }
    }

    fn plan(&mut self, time: BatchTime) -> Result<Arc<CalcPlan>> {
        if !self.plan.asks_clock {
            return Ok(self.plan.clone());
        }
        if self.of_batch.as_ref().is_none_or(|(of, _)| *of != time) {
            self.of_batch = Some((time, Arc::new(self.plan.at(time)?)));
        }
        Ok(self.of_batch.as_ref().map_or_else(|| self.plan.clone(), |(_, plan)| plan.clone()))
    }
}

impl Operator for Calc {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if matches!(input.view::<Payload>(), Payload::Marks(_)) {
            cx.out.chunk(input);
            return Ok(());
        }
        let (Payload::Rows(Delta { rows, weights }), stamps) = input.take_stamped::<Payload>() else {
            return Ok(());
        };
        let plan = self.plan(cx.batch.time)?;
        let mask = plan.mask(&rows)?;
        let read = rows.project(&plan.read).map_err(|e| not_of_schema(&e))?;
        let (read, weights, stamps) = match mask {
            None => (read, weights, stamps),
            Some(mask) if mask.true_count() == 0 => return Ok(()),
            Some(mask) => {
                let kept = filter_record_batch(&read, &mask).map_err(|e| not_of_schema(&e))?;
                let weights = weights.map(|weights| filter(&weights, &mask)).transpose();
                let weights = weights.map_err(|e| not_of_schema(&e))?;
                let weights = weights.map(|weights| arrow::array::AsArray::as_primitive(&weights).clone());
                (kept, weights, stamps_of_kept(stamps, &mask))
            }
        };
        let rows = plan.rows_of(&read)?;
        cx.out.chunk(Delta { rows, weights }.into_chunk().stamped(stamps));
        Ok(())
    }
}

fn stamps_of_kept(stamps: Stamps, mask: &BooleanArray) -> Stamps {
    if !matches!(stamps, Stamps::Runs(_)) {
        return stamps;
    }
    let values: &BooleanBuffer = mask.values();
    let dropped: Vec<usize> = (0..values.len()).filter(|row| !values.value(*row)).collect();
    stamps.without(&dropped)
}
