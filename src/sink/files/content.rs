//! What tasks encode rows into, for files.
//!
//! Owns encoded rows and the trait of formats. Knows no format. Invariant: what tasks encoded is written as it is.

use crate::error::Result;
#[cfg(feature = "parquet")]
use arrow_array::RecordBatch;

/// Encoded rows.
pub enum Content {
    /// Lines of text or JSON.
    Lines(Vec<u8>),
    /// Columns, to be written as Parquet.
    #[cfg(feature = "parquet")]
    Columns(RecordBatch),
}

impl Content {
    /// What it takes in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Content::Lines(lines) => lines.capacity(),
            #[cfg(feature = "parquet")]
            Content::Columns(columns) => columns.get_array_memory_size(),
        }
    }
}

/// Encodes rows in tasks.
pub trait FileFormat<T>: Send + Sync {
    /// Encodes rows, in order.
    ///
    /// # Errors
    /// If a row has no such form.
    fn encode(&self, rows: &[&T]) -> Result<Content>;

    /// The extension of its files.
    fn extension(&self) -> &'static str;
}
