//! Tables that are read once, at the start, and kept in memory.
//!
//! Owns which tables those are, and how their rows come. Knows no query. Invariants: a table has 256 MiB of rows at most; a record that is no row
//! is told with its file and line, and follows `on-bad-record`; no two rows have the key that the table declares; what was read is told in the
//! log, with a digest that says whether it is what another start has read.

#[cfg(feature = "parquet")]
mod columns;
#[cfg(feature = "postgres")]
mod database;
mod files;
mod infer;
#[cfg(test)]
mod tests;

pub use infer::{columns, folder_names};

use super::Connector;
use crate::{
    record::hash_bytes,
    sql::{
        ColumnKind, SqlError, SqlResult, TableDefinition,
        rows::{KeyFormat, KeyTable, RowFormat},
    },
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{Field, Schema, SchemaRef},
    util::display::array_value_to_string,
};
use std::sync::Arc;

/// The form of rows whose bytes the digest is made of.
const DIGEST_FORMAT: u8 = 1;

/// What a table stands for whose rows the plan has: those that a program gives, and those that were computed before.
pub const ROWS: &str = "#rows";

/// Most bytes that the rows of a table take in memory.
pub const BYTES_MAX: usize = 256 << 20;

/// Whether a table is read once, at the start, instead of growing for ever: then a stream can join it, and queries over such tables alone end.
#[must_use]
pub fn is_bounded(table: &TableDefinition) -> bool {
    let option = |key: &str| table.options.get(key).map(|option| option.value.as_str());
    match option("connector") {
        Some("filesystem") => option("source.monitor-interval").is_none(),
        Some("jdbc" | ROWS) => true,
        _ => false,
    }
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
    let rows = match Connector::of(table)? {
        Connector::Files(of_files) if is_bounded(table) => files::load(table, &of_files)?,
        #[cfg(feature = "postgres")]
        Connector::Jdbc(of_database) => database::load(table, &of_database)?,
        _ => Err(SqlError::at(table.span, format!("table `{}` is not read once, at the start", table.name))
            .next("join it as it changes"))?,
    };
    check_key(table, &rows)?;
    let (count, bytes) = (rows.num_rows(), bytes_of(&rows));
    let digest =
        digest(&rows).map_err(|e| SqlError::at(table.span, format!("table `{}`: {e}", table.name)))?;
    tracing::info!("read table {}: {count} rows, {bytes} bytes, digest {digest:016x}", table.name);
    Ok(rows)
}

/// How many bytes the cells of rows take.
#[must_use]
pub fn bytes_of(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

/// Which rows there are, in whatever order: the sum of the hashes of their bytes, as they are kept in state.
fn digest(rows: &RecordBatch) -> crate::Result<u64> {
    let encoder = RowFormat::of_schema(&rows.schema())?;
    let encoder = encoder.encoder(DIGEST_FORMAT, rows.columns())?;
    let (mut row, mut sum) = (vec![], 0_u64);
    for number in 0..rows.num_rows() {
        row.clear();
        encoder.encode(number, &mut row);
        sum = sum.wrapping_add(hash_bytes(&row));
    }
    Ok(sum)
}

/// That no two rows have the key that the table declares, as plans follow from it.
fn check_key(table: &TableDefinition, rows: &RecordBatch) -> SqlResult {
    let columns: Option<Vec<ArrayRef>> =
        table.primary_key.iter().map(|name| rows.column_by_name(name).cloned()).collect();
    let Some(columns) = columns.filter(|columns| !columns.is_empty()) else { return Ok(()) };
    let failed = |e: crate::Error| SqlError::at(table.span, format!("table `{}`: {e}", table.name));
    let format = KeyFormat::new(columns.iter().map(Array::data_type)).map_err(failed)?;
    let encoder = format.encoder(&columns).map_err(failed)?;
    let (mut keys, mut key) = (KeyTable::default(), vec![]);
    for row in 0..rows.num_rows() {
        key.clear();
        encoder.encode(row, &mut key);
        if !keys.insert(&key).is_new {
            let cell = |column: &ArrayRef| array_value_to_string(column, row).unwrap_or_default();
            let key: Vec<String> = columns.iter().map(cell).collect();
            let names = table.primary_key.join(", ");
            let what = format!("table `{}` has two rows with {names} = {}", table.name, key.join(", "));
            return Err(SqlError::at(table.span, what)
                .because("its PRIMARY KEY says that there is one")
                .next("correct the rows, or leave PRIMARY KEY out"));
        }
    }
    Ok(())
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
        self.bytes += bytes_of(&rows);
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
