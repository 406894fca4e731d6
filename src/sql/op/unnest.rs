//! `UNNEST`: a row for each element of a list.
//!
//! Owns how rows are repeated. Knows no store. Invariants: elements keep their order; a row that is made of one keeps its weight and its
//! timestamp; an empty list makes no row.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, Stamps, StampsBuilder},
    sql::{Delta, Payload},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::take,
    datatypes::SchemaRef,
    error::ArrowError,
};
use std::sync::Arc;

/// Takes a list apart.
#[derive(Clone)]
pub struct Unnest {
    /// The column of the input that is a list.
    pub list: usize,
    /// For each column of the result the column of the input that it comes from.
    pub columns: Vec<usize>,
    /// Whether a list that is NULL makes a row.
    pub keeps_null: bool,
    /// The columns of the result.
    pub schema: SchemaRef,
}

fn failed(e: &ArrowError) -> Error {
    Error::Row(e.to_string())
}

impl Unnest {
    fn rows(&self, delta: &Delta, stamps: &Stamps) -> Result<Chunk> {
        let too_many = |_| Error::Row("a chunk of more than 2^32 elements".into());
        let lists = delta.rows.column(self.list).as_list_opt::<i32>();
        let lists = lists.ok_or_else(|| Error::Row("plan bug: UNNEST of what is no list".into()))?;
        // Of each row of the result: the row it comes from, and its element.
        let (mut from, mut elements): (Vec<u32>, Vec<Option<u32>>) = (vec![], vec![]);
        let (mut of_rows, mut each) = (StampsBuilder::default(), stamps.each());
        for (row, range) in lists.value_offsets().windows(2).enumerate() {
            let (number, before) = (u32::try_from(row).map_err(too_many)?, from.len());
            if lists.is_valid(row) {
                for element in range[0]..range[1] {
                    from.push(number);
                    elements.push(Some(u32::try_from(element).map_err(too_many)?));
                }
            } else if self.keeps_null {
                from.push(number);
                elements.push(None);
            }
            of_rows.repeat(each.next_ms(), from.len() - before);
        }
        let (from, elements) = (UInt32Array::from(from), UInt32Array::from(elements));
        let column = |index: &usize| -> Result<ArrayRef> {
            let (values, indices) = if *index == self.list {
                (lists.values(), &elements)
            } else {
                (delta.rows.column(*index), &from)
            };
            take(values, indices, None).map_err(|e| failed(&e))
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| failed(&e))?;
        let weights = delta.weights.as_ref().map(|weights| {
            let weights: ArrayRef = Arc::new(weights.clone());
            take(&weights, &from, None).map(|weights| weights.as_primitive().clone()).map_err(|e| failed(&e))
        });
        let stamps = if matches!(stamps, Stamps::Runs(_)) { of_rows.build() } else { stamps.clone() };
        Ok(Delta { rows, weights: weights.transpose()? }.into_chunk().stamped(stamps))
    }
}

impl Operator for Unnest {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        match input.view::<Payload>() {
            Payload::Rows(delta) => {
                let rows = self.rows(delta, input.stamps())?;
                cx.out.chunk(rows);
            }
            Payload::Marks(_) => cx.out.chunk(input),
        }
        Ok(())
    }
}
