//! Rows of columns as they travel through the exchange topic.
//!
//! Owns the bytes of such a row. Knows no log and no record. Invariant: rows come back as they were, with their weights, or encoding or
//! decoding them is an error.
//!
//! A row has no key: where it goes is decided before it is encoded. A mark of event time has an empty key, and the mark as its value; rows
//! and marks are never in one chunk. The value of a row is the row in the form of stored rows (see `value.rs`), format 1; in front, where the
//! relation has weights, the weight as a varint in zigzag.

use super::{
    types::{quoted, type_name},
    value::RowFormat,
};
use crate::{
    codec::decode_value,
    error::{Error, Result},
    operator::{EncodedRow, ExchangeFormat, RowReader, RowWriter},
    record::{
        Chunk,
        varint::{put_zigzag, take_zigzag},
    },
    sql::{Delta, Payload},
};
use arrow::{
    array::{Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use std::fmt::Write;

/// The number of the format of rows that travel: both ends have the same columns, or the edges differ.
const NUMBER: u8 = 1;

/// Rows of one schema.
#[derive(Clone, Debug)]
pub struct RowsFormat {
    schema: SchemaRef,
    format: RowFormat,
    has_weights: bool,
}

impl RowsFormat {
    /// Rows of these columns, with a weight each or without.
    ///
    /// # Errors
    /// If a column cannot be in a row.
    pub fn new(schema: SchemaRef, has_weights: bool) -> Result<Self> {
        let format = RowFormat::of_schema(&schema)?;
        Ok(RowsFormat { schema, format, has_weights })
    }

    fn encode_rows(&self, delta: &Delta, out: &mut RowWriter<'_>) -> Result {
        let encoder = self.format.encoder(NUMBER, delta.rows.columns())?;
        if delta.weights.is_some() && !self.has_weights {
            return Err(Error::Codec("plan bug: rows with weights where none were planned".into()));
        }
        for row in 0..delta.rows.num_rows() {
            out.bytes(|out| {
                if self.has_weights {
                    put_zigzag(out, delta.weight(row));
                }
                encoder.encode(row, out);
            });
        }
        Ok(())
    }
}

impl ExchangeFormat for RowsFormat {
    fn name(&self) -> String {
        let mut name = if self.has_weights { "changes (".to_owned() } else { "rows (".to_owned() };
        for (index, field) in self.schema.fields().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let data_type = type_name(field.data_type()).unwrap_or_default();
            let _ = write!(name, "{comma}{}:{data_type}", quoted(field.name())); // a string takes everything
        }
        name + ")"
    }

    fn refusal(&self) -> Option<String> {
        None
    }

    fn encode(&self, chunk: &Chunk, out: &mut RowWriter<'_>) -> Result {
        match chunk.view::<Payload>() {
            Payload::Rows(delta) => self.encode_rows(delta, out),
            Payload::Marks(marks) => marks.iter().try_for_each(|mark| out.pair(&(), mark)),
        }
    }

    fn decode(&self, rows: &mut RowReader<'_>) -> Result<Chunk> {
        let expected = rows.size_hint().1.unwrap_or_default();
        let mut decoder = self.format.decoder(NUMBER, expected)?;
        let mut weights = self.has_weights.then(|| Vec::with_capacity(expected));
        let mut marks = vec![];
        for row in rows {
            let EncodedRow { key, value } = row?;
            let mut value = value.ok_or_else(|| Error::Codec("a row of columns has no value".into()))?;
            match key {
                None => {}
                Some([]) => {
                    marks.push(decode_value(value)?);
                    continue;
                }
                Some(_) => return Err(Error::Codec("a row of columns has a key".into())),
            }
            if let Some(weights) = &mut weights {
                let weight = take_zigzag(&mut value).filter(|weight| *weight != 0);
                weights
                    .push(weight.ok_or_else(|| Error::Codec("a row has no weight, or the weight 0".into()))?);
            }
            decoder.push(value)?;
        }
        if !marks.is_empty() {
            let is_mixed = !decoder.is_empty();
            let mixed = || Error::Codec("rows and marks of event time in one chunk".into());
            return if is_mixed { Err(mixed()) } else { Ok(Payload::marks(marks)) };
        }
        let options = RecordBatchOptions::new().with_row_count(Some(decoder.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), decoder.finish()?, &options)
            .map_err(|e| Error::Codec(format!("rows that came do not fit their columns: {e}")))?;
        Ok(Delta { rows, weights: weights.map(Int64Array::from) }.into_chunk())
    }
}
