//! The rows of a table of Postgres.
//!
//! Owns how its rows become columns: as objects of JSON, which the database makes. Knows no connection. Invariant: a row that does not fit is
//! told with the column.

use super::{Loading, schema};
use crate::{
    sink::read_postgres,
    sql::{
        SqlError, SqlResult, TableDefinition,
        connector::JdbcTable,
        format::{RecordFormat, RowReader, Rows},
    },
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::DataType,
};

/// Rows that are read before they are put aside.
const ROWS_MAX: usize = 8_192;
/// Bytes of rows that are read before they are put aside.
const PIECE_BYTES_MAX: usize = 64 << 20;

/// All rows of the table.
pub(super) fn load(table: &TableDefinition, of_database: &JdbcTable) -> SqlResult<RecordBatch> {
    let schema = schema(table);
    let failed = |what: String| SqlError::at(table.span, format!("table `{}`: {what}", table.name));
    if let Some(field) = schema.fields().iter().find(|field| *field.data_type() == DataType::Binary) {
        return Err(failed(format!(
            "column `{}` is BYTES, which cannot be read from a database",
            field.name()
        ))
        .next("leave the column out"));
    }
    let fields = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    let reader = RowReader::new(RecordFormat::Json, fields).map_err(failed)?;
    let told = |e: crate::Error| failed(e.to_string());
    let mut rows = reader.rows(ROWS_MAX).map_err(told)?;
    let mut loading = Loading { table, schema: schema.clone(), pieces: vec![], bytes: 0 };
    // A mistake of ours, which is no text yet.
    let mut mistake = None;
    let (mut number, mut count, mut bytes) = (0_u64, 0, 0);
    let mut put_aside = |rows: &mut Rows, count: usize| -> SqlResult {
        let columns = rows.finish().map_err(told)?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let piece = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
        loading.add(piece.map_err(|e| failed(e.to_string()))?)
    };
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let read = read_postgres(&of_database.url, &of_database.table, &names, |row| {
        number += 1;
        rows.read(Some(row)).map_err(|reason| format!("row {number}: {reason}"))?;
        (count, bytes) = (count + 1, bytes + row.len());
        if count == ROWS_MAX || bytes > PIECE_BYTES_MAX {
            put_aside(&mut rows, count).map_err(|e| {
                let what = e.message.clone();
                mistake = Some(e);
                what
            })?;
            (count, bytes) = (0, 0);
        }
        Ok(())
    });
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    read.map_err(|what| {
        failed(what).next("correct 'url', 'table-name', 'username' and 'password', or the columns")
    })?;
    if count > 0 {
        put_aside(&mut rows, count)?;
    }
    loading.finish()
}
