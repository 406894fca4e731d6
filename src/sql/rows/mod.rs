//! Rows of columns as bytes: keys whose order is that of the values, and values, both durable.
//!
//! Owns the bytes of rows (`docs/state-format.md`), the way into columns and back, and the table of the keys of a batch. Knows no store
//! and no operator. Invariants: the same columns give the same bytes in every release; bytes that are not what was written are an error,
//! never a panic.

mod build;
mod cells;
mod exchange;
mod key;
mod key_decode;
mod keys;
#[cfg(test)]
pub(in crate::sql) mod samples;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod value_decode;

pub use exchange::RowsFormat;
pub use key::{KeyColumn, KeyEncoder, KeyFormat};
pub use key_decode::KeyDecoder;
pub use keys::{KeyTable, Slot};
pub use types::{ColumnId, quoted, type_name, type_refusal};
pub use value::{RowColumn, RowFormat, ValueEncoder};
pub use value_decode::ValueDecoder;

pub(in crate::sql) use build::{ColumnBuilder, Store};
pub(in crate::sql) use cells::{CellColumn, Cells, range};
pub(in crate::sql) use types::map_parts;
