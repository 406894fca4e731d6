//! `'connector' = 'filesystem'`: rows become lines or columns of files.
//!
//! Owns which folder a row goes to and how it is encoded. Knows no file. Invariants: a row is one line, or one row of a Parquet file; the values
//! of the columns of `PARTITIONED BY` are in the names of folders, and not in the files.

use super::{TableColumns, encode::Writer};
use crate::{
    error::{Error, Result},
    record::{Chunk, Map},
    sink::{EncodeBlocks, FileBlock, FileContent},
    sql::{
        Payload, SqlError, SqlResult, TableDefinition,
        connector::{FilesTable, Format, push_folder},
        format::{CsvOptions, CsvWriter},
    },
};
use arrow::{array::RecordBatch, datatypes::Schema};

/// Encodes the rows of a table for files.
pub struct FileRows {
    columns: TableColumns,
    /// Writes the values of the columns in the names of folders.
    folders: CsvWriter,
    folder_names: Vec<String>,
    null_name: String,
    content: Form,
}

/// What is in a file.
enum Form {
    /// A line for each row; whether a value may hold a line break, as the format escapes it.
    Lines(Writer, bool),
    /// These columns.
    #[cfg(feature = "parquet")]
    Columns(Vec<usize>),
}

impl FileRows {
    /// For a table that takes these columns of a relation, one for each of its columns that are written.
    ///
    /// # Errors
    /// If the format has no form for a column.
    pub fn new(table: &TableDefinition, files: &FilesTable, columns: &[Option<usize>]) -> SqlResult<Self> {
        let columns = TableColumns::new(table, columns)?;
        let schema = columns.schema();
        let wrong = |what: String| SqlError::at(table.span, format!("table `{}`: {what}", table.name));
        let is_folder = |at: &usize| table.partitioned_by.contains(schema.field(*at).name());
        let in_files: Vec<usize> = (0..schema.fields().len()).filter(|at| !is_folder(at)).collect();
        let of_folders: Vec<usize> =
            table.partitioned_by.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let folders = CsvWriter::new(CsvOptions::default(), schema, of_folders).map_err(wrong)?;
        let content = form(&files.format, schema, in_files).map_err(wrong)?;
        let (folder_names, null_name) = (table.partitioned_by.clone(), files.null_name.clone());
        Ok(FileRows { columns, folders, folder_names, null_name, content })
    }

    /// The folder of a row.
    fn folder(
        &self,
        values: &crate::sql::format::CsvEncoder<'_>,
        row: usize,
        text: &mut Vec<u8>,
    ) -> Result<String> {
        let mut folder = String::new();
        for (at, name) in self.folder_names.iter().enumerate() {
            if at > 0 {
                folder.push('/');
            }
            text.clear();
            let has_value = values.value(at, row, text).map_err(Error::Row)?;
            let value =
                if has_value { String::from_utf8_lossy(text) } else { self.null_name.as_str().into() };
            push_folder(name, &value, &mut folder);
        }
        Ok(folder)
    }

    fn content(&self, rows: &RecordBatch, of_folder: &[u32]) -> Result<FileContent> {
        match &self.content {
            Form::Lines(writer, escapes_breaks) => {
                let (encoder, mut lines) = (writer.encoder(rows)?, vec![]);
                for row in of_folder {
                    let start = lines.len();
                    encoder.encode(*row as usize, &mut lines)?;
                    if !escapes_breaks && lines[start..].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                        let what = "a value has a line break, which would end its line in the file";
                        return Err(Error::Row(what.into()));
                    }
                    lines.push(b'\n');
                }
                Ok(FileContent::Lines(lines))
            }
            #[cfg(feature = "parquet")]
            Form::Columns(columns) => {
                let failed = |e: arrow::error::ArrowError| Error::Codec(format!("columns of a file: {e}"));
                let rows = rows.project(columns).map_err(failed)?;
                let of_folder = arrow::array::UInt32Array::from(of_folder.to_vec());
                Ok(FileContent::Columns(
                    arrow::compute::take_record_batch(&rows, &of_folder).map_err(failed)?,
                ))
            }
        }
    }
}

fn form(format: &Format, schema: &Schema, columns: Vec<usize>) -> Result<Form, String> {
    #[cfg(feature = "parquet")]
    if *format == Format::Parquet {
        return Ok(Form::Columns(columns));
    }
    Ok(Form::Lines(Writer::new(format, schema, columns)?, *format == Format::Json))
}

impl EncodeBlocks for FileRows {
    fn blocks(&self, chunk: &Chunk) -> Result<Vec<FileBlock>> {
        let Payload::Rows(delta) = chunk.view::<Payload>() else { return Ok(vec![]) };
        let rows = self.columns.rows(&delta.rows)?;
        let (values, mut text) = (self.folders.encoder(&rows)?, vec![]);
        let mut folders: Map<String, Vec<u32>> = Map::default();
        for row in 0..rows.num_rows() {
            let weight = usize::try_from(delta.weight(row))
                .map_err(|_| Error::Row("plan bug: a row was taken away from files that only grow".into()))?;
            let number =
                u32::try_from(row).map_err(|_| Error::Codec("a chunk of more than 2^32 rows".into()))?;
            let folder = self.folder(&values, row, &mut text)?;
            folders.entry(folder).or_default().extend(std::iter::repeat_n(number, weight));
        }
        let block = |(folder, of_folder): (String, Vec<u32>)| {
            let content = self.content(&rows, &of_folder)?;
            Ok(FileBlock { folder, content, rows: of_folder.len() })
        };
        folders.into_iter().map(block).collect()
    }
}
