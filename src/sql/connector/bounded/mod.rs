//! Tables that are read once, at the start, and kept in memory.
//!
//! Owns which tables those are, and how their rows come. Knows no query. Invariants: a table has 256 MiB of rows at most; a record that is no row
//! is told with its file and line, and follows `on-bad-record`.

#[cfg(feature = "parquet")]
mod columns;
mod files;
#[cfg(test)]
mod tests;

use super::Connector;
use crate::sql::{ColumnKind, SqlError, SqlResult, TableDefinition};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// Most bytes that the rows of a table take in memory.
pub const BYTES_MAX: usize = 256 << 20;

/// Whether a table is read once, at the start, instead of growing for ever: then a query can join it, and nothing else.
#[must_use]
pub fn is_bounded(table: &TableDefinition) -> bool {
    let option = |key: &str| table.options.get(key).map(|option| option.value.as_str());
    option("connector") == Some("filesystem") && option("source.monitor-interval").is_none()
}

/// The columns of [`load`]: those of the table that are not computed, in their order.
#[must_use]
pub fn schema(table: &TableDefinition) -> SchemaRef {
    let field = |column: &crate::sql::TableColumn| match &column.kind {
        ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, .. } => {
            let is_required = column.is_required || table.primary_key.contains(&column.name);
            Some(Field::new(&column.name, data_type.clone(), !is_required))
        }
        ColumnKind::Computed(_) => None,
    };
    Arc::new(Schema::new(table.columns.iter().filter_map(field).collect::<Vec<_>>()))
}

/// All rows of a table for which [`is_bounded`] holds, as they are now; the same files give the same rows in the same order.
///
/// # Errors
/// If the table is not of that kind, cannot be read, has a record that is no row, or has more than [`BYTES_MAX`] bytes of rows.
pub fn load(table: &TableDefinition) -> SqlResult<RecordBatch> {
    match Connector::of(table)? {
        Connector::Files(of_files) if is_bounded(table) => files::load(table, &of_files),
        _ => Err(SqlError::at(table.span, format!("table `{}` is not read once, at the start", table.name))
            .next("join it as it changes")),
    }
}

/// Rows as they are collected.
struct Loading<'t> {
    table: &'t TableDefinition,
    schema: SchemaRef,
    pieces: Vec<RecordBatch>,
    bytes: usize,
}

impl Loading<'_> {
    /// Adds rows of all columns.
    fn add(&mut self, rows: RecordBatch) -> SqlResult {
        self.bytes += rows.get_array_memory_size();
        if self.bytes > BYTES_MAX {
            let what =
                format!("table `{}` takes more than {} MiB of memory", self.table.name, BYTES_MAX >> 20);
            return Err(SqlError::at(self.table.span, what)
                .because("a table that is read at the start is kept in memory, by each task that joins it")
                .next("leave out columns that no query needs, or write the rows to a topic and join that: 'connector' = 'upsert-kafka'"));
        }
        self.pieces.push(rows);
        Ok(())
    }

    fn finish(self) -> SqlResult<RecordBatch> {
        arrow::compute::concat_batches(&self.schema, &self.pieces)
            .map_err(|e| SqlError::at(self.table.span, format!("table `{}`: {e}", self.table.name)))
    }
}
