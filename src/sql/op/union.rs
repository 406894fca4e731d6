//! The rows of several relations as one.
//!
//! Knows no store. Invariant: rows of a relation that changes have weights, also those of its parts that only grow.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::Chunk,
    sql::{Delta, Payload},
};
use arrow::{
    array::{Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};

/// Passes rows on under the names of the result.
pub struct Union {
    /// The columns of the result.
    pub schema: SchemaRef,
    /// Whether all parts only grow.
    pub is_append_only: bool,
}

impl Operator for Union {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if matches!(input.view::<Payload>(), Payload::Marks(_)) {
            cx.out.chunk(input);
            return Ok(());
        }
        let (Payload::Rows(Delta { rows, weights }), stamps) = input.take_stamped::<Payload>() else {
            return Ok(());
        };
        // There may be no columns at all, as for a count of the rows.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), rows.columns().to_vec(), &options)
            .map_err(|e| Error::Row(format!("the columns of the union: {e}")))?;
        let weights = if self.is_append_only {
            None
        } else {
            Some(weights.unwrap_or_else(|| Int64Array::from(vec![1; rows.num_rows()])))
        };
        cx.out.chunk(Delta { rows, weights }.into_chunk().stamped(stamps));
        Ok(())
    }
}
