//! The bytes of a record as one column: a string, or as they are.
//!
//! Owns that column. Knows no topic. Invariant: a string is UTF-8, or the record is bad.

use crate::{error::Result, sql::rows::ColumnBuilder};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field},
};

/// Reads the bytes of records into one column.
pub struct RawReader {
    field: Field,
}

impl RawReader {
    /// For this column, which is a `STRING` or `BYTES`.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Result<Self, String> {
        let mut fields = fields.into_iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) if matches!(field.data_type(), DataType::Utf8 | DataType::Binary) => {
                Ok(RawReader { field })
            }
            _ => Err("the format 'raw' has exactly one column, of type STRING or BYTES".into()),
        }
    }

    /// An empty column with room for `rows` rows.
    ///
    /// # Errors
    /// None that `new` has not told before.
    pub fn rows(&self, rows: usize) -> Result<RawRows> {
        let column = ColumnBuilder::new(self.field.data_type(), rows)?;
        Ok(RawRows { column, is_required: !self.field.is_nullable() })
    }
}

/// A column that is filled record by record.
pub struct RawRows {
    column: ColumnBuilder,
    is_required: bool,
}

impl RawRows {
    /// Appends the row that a record is; `None` is NULL.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    pub fn read(&mut self, record: Option<&[u8]>) -> Result<(), String> {
        let Some(bytes) = record else {
            if self.is_required {
                return Err("it is null, and its column is NOT NULL".into());
            }
            self.column.push_null();
            return Ok(());
        };
        if *self.column.data_type() == DataType::Utf8 {
            std::str::from_utf8(bytes)
                .map_err(|e| format!("at byte {}: it is not UTF-8", e.valid_up_to()))?;
        }
        let rows = self.column.len();
        self.column.push_bytes(bytes).map_err(|e| {
            self.column.truncate(rows);
            e.to_string()
        })
    }

    /// Appends NULL, also where the column is `NOT NULL`.
    pub fn push_null(&mut self) {
        self.column.push_null();
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.column.truncate(rows);
    }

    /// The column of all rows; there are none then.
    ///
    /// # Errors
    /// If it does not fit its type, which is a bug.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        self.column.finish()
    }
}
