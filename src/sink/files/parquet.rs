//! Rows as Parquet.
//!
//! Owns the conversion of rows to columns and to a file. Knows no file name. Invariant: a row that does not
//! fit the columns is an error that names the column; nothing is left out silently.

use super::{
    content::{Content, FileFormat},
    shape::Shape,
};
use crate::{
    error::{Error, Result},
    record::Value,
};
use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use arrow_schema::{Schema, SchemaRef};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde_json::{Map as Object, Value as Json};
use std::{fs::File, sync::Arc};

/// The columns of rows of one type.
pub(super) struct Columns {
    shape: Shape,
    schema: SchemaRef,
    /// Whether a row is the single column `value`.
    single: bool,
}

impl Columns {
    /// The columns of rows of the type `T`; `Err` = the part that has no column.
    pub fn of<T: Value>() -> Result<Self, String> {
        let shape = Shape::of::<T>()?;
        let schema = Arc::new(Schema::new(shape.fields()));
        Ok(Columns { schema, single: Shape::wraps_single::<T>(), shape })
    }
}

impl<T: Value> FileFormat<T> for Columns {
    fn encode(&self, rows: &[&T]) -> Result<Content> {
        let mut fitted = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = serde_json::to_value(row)
                .map_err(|e| Error::Codec(format!("a row cannot be converted to columns: {e}")))?;
            if self.single {
                row = Json::Object(Object::from_iter([("value".to_owned(), row)]));
            }
            fitted.push(self.shape.fit(row, "")?);
        }
        let columns = || {
            let builder = ReaderBuilder::new(self.schema.clone()).with_batch_size(fitted.len());
            let mut decoder = builder.build_decoder()?;
            decoder.serialize(&fitted)?;
            decoder.flush()
        };
        let batch = columns().map_err(|e| Error::Row(format!("rows cannot be converted to columns: {e}")))?;
        Ok(Content::Columns(batch.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone()))))
    }

    fn extension(&self) -> &'static str {
        "parquet"
    }
}

/// Writes columns to a file, compressed with Snappy as Spark does.
pub(super) fn write(batches: &[&RecordBatch], file: &mut File) -> Result {
    let write = || {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties))?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.close()
    };
    write().map(drop).map_err(|e| Error::Output(format!("writing a Parquet file: {e}")))
}
