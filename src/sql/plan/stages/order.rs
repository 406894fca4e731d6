//! Rows in an order.
//!
//! Owns how they are sorted. Knows no plan but the expressions that they are sorted by. Invariant: rows that are equal by them stay in their
//! order.

use crate::sql::{SqlError, SqlResult, plan::mistakes::plain_text};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take_record_batch},
    datatypes::{Field, Schema},
    error::ArrowError,
};
use datafusion_common::{DFSchemaRef, DataFusionError};
use datafusion_expr::{
    Expr, Sort, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::create_physical_expr;
use std::sync::Arc;

/// The rows of the input of a node that sorts, in its order.
pub(super) fn sorted(rows: &RecordBatch, sort: &Sort) -> SqlResult<RecordBatch> {
    let failed = |e: ArrowError| SqlError::at(None, format!("rows cannot be sorted so: {e}"));
    let Ok(count) = u32::try_from(rows.num_rows()) else {
        return Err(
            SqlError::at(None, "these are more rows than can be sorted").next("leave some out before")
        );
    };
    let typed = typed(rows, sort.input.schema())?;
    let mut columns = vec![];
    for by in &sort.expr {
        let values = value(&by.expr, sort.input.schema(), &typed)?;
        let options = Some(SortOptions { descending: !by.asc, nulls_first: by.nulls_first });
        columns.push(SortColumn { values, options });
    }
    let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..count));
    columns.push(SortColumn { values: numbers, options: None });
    let order = lexsort_to_indices(&columns, sort.fetch).map_err(failed)?;
    take_record_batch(rows, &order).map_err(failed)
}

/// The rows with the types that expressions over them expect.
fn typed(rows: &RecordBatch, schema: &DFSchemaRef) -> SqlResult<RecordBatch> {
    let failed = |e: ArrowError| SqlError::at(None, e.to_string());
    let (mut fields, mut columns) = (vec![], vec![]);
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        fields.push(Field::new(field.name(), field.data_type().clone(), true));
        let is_so = column.data_type() == field.data_type();
        columns.push(if is_so { column.clone() } else { cast(column, field.data_type()).map_err(failed)? });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(failed)
}

fn value(expr: &Expr, schema: &DFSchemaRef, rows: &RecordBatch) -> SqlResult<ArrayRef> {
    let failed = |e: DataFusionError| SqlError::at(None, plain_text(&e));
    let context = PhysicalPlanningContext::default();
    let physical = create_physical_expr(expr, schema, &ExecutionProps::new(), &context).map_err(failed)?;
    let value = physical.evaluate(rows).map_err(failed)?;
    value.into_array(rows.num_rows()).map_err(failed)
}
