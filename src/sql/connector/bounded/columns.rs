//! The rows of a Parquet file.
//!
//! Owns the match of the file's columns with those of the table, by name. Knows no folder. Invariant: a column becomes the type of the table
//! without loss, or it is an error that names it; one that the file does not have is NULL.

use crate::sql::{SqlError, SqlResult, plan};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{Field, Schema},
    error::ArrowError,
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use std::fs::File;

/// Reads these columns, piece by piece. Errors of the file have no place.
pub(super) fn read(
    file: File,
    fields: &[Field],
    mut each: impl FnMut(Vec<ArrayRef>, usize) -> SqlResult,
) -> SqlResult {
    let broken = |e: parquet::errors::ParquetError| SqlError::at(None, e.to_string());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
    for field in fields {
        check(field, builder.schema())?;
    }
    let wanted = fields.iter().filter_map(|field| builder.schema().index_of(field.name()).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().map_err(broken)?;
    for rows in reader {
        let rows = rows.map_err(|e| SqlError::at(None, e.to_string()))?;
        let columns = fields.iter().map(|field| column(field, &rows)).collect::<SqlResult<Vec<_>>>()?;
        each(columns, rows.num_rows())?;
    }
    Ok(())
}

/// The columns of a file. Errors of the file have no place.
pub(super) fn schema(file: File) -> SqlResult<Vec<Field>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file);
    let builder = builder.map_err(|e| SqlError::at(None, e.to_string()))?;
    Ok(builder.schema().fields().iter().map(|field| field.as_ref().clone()).collect())
}

/// Whether the file's column becomes the table's without loss.
fn check(field: &Field, file: &Schema) -> SqlResult {
    let Ok(of_file) = file.field_with_name(field.name()) else {
        return if field.is_nullable() {
            Ok(())
        } else {
            Err(SqlError::at(None, format!("it has no column `{}`, which is NOT NULL", field.name())))
        };
    };
    if plan::is_assignable(of_file.data_type(), field.data_type()) {
        return Ok(());
    }
    let (is, wanted) = (plan::type_name(of_file.data_type()), plan::type_name(field.data_type()));
    Err(SqlError::at(None, format!("its column `{}` is {is}, and the table's {wanted}", field.name())))
}

fn column(field: &Field, rows: &RecordBatch) -> SqlResult<ArrayRef> {
    let failed = |e: ArrowError| SqlError::at(None, format!("column `{}`: {e}", field.name()));
    let Some(column) = rows.column_by_name(field.name()) else {
        return Ok(new_null_array(field.data_type(), rows.num_rows()));
    };
    if !field.is_nullable() && column.null_count() > 0 {
        return Err(SqlError::at(None, format!("column `{}` is NULL, and it is NOT NULL", field.name())));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options).map_err(failed)
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use std::{fs::File, path::Path};

    /// Writes a file of these rows.
    pub fn write(path: &Path, rows: &RecordBatch) {
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
    }
}
