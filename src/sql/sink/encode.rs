//! Rows become keys and values of records.
//!
//! Owns the columns of a table as they are written, and the formats of both. Knows no log and no batch. Invariant: a row that a format has
//! no form for is an error of that row, never a record that says something else.

use crate::{
    error::{Error, Result},
    registry::{RecordPart, SubjectStrategy},
    sql::{
        ColumnKind, MetadataKey, SqlError, SqlResult, TableColumn as Column, TableDefinition,
        connector::{Format, KeyFormat, Registries, RegistryPlace},
        format::{
            AvroEncoder, AvroWriter, CsvEncoder, CsvWriter, JsonEncoder, JsonWriter, ProtobufEncoder,
            ProtobufWriter, Registration, ToRegister, message_of,
        },
        op::times_ms,
        plan,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use std::sync::Arc;

/// The columns of a table that are written, and where a relation has them.
#[derive(Clone, Debug)]
pub struct TableColumns {
    /// Their names and types.
    schema: SchemaRef,
    /// For each of them the column of the input, or none for NULL.
    sources: Vec<Option<usize>>,
    /// Which of them must not be NULL.
    required: Vec<bool>,
    /// The column of the input that is the record's timestamp.
    timestamp: Option<usize>,
}

impl TableColumns {
    /// Of a table that takes these columns of a relation, one for each of its columns that are written.
    ///
    /// # Errors
    /// If a column cannot be written.
    pub fn new(table: &TableDefinition, columns: &[Option<usize>]) -> SqlResult<Self> {
        let (mut fields, mut sources, mut required, mut timestamp) = (vec![], vec![], vec![], None);
        for ((_, column, data_type), source) in plan::written_columns(table).zip(columns) {
            match &column.kind {
                ColumnKind::Metadata { key: MetadataKey::Timestamp, .. } => timestamp = *source,
                ColumnKind::Metadata { .. } => return Err(not_written(column)),
                _ => {
                    fields.push(Field::new(&column.name, data_type.clone(), true));
                    sources.push(*source);
                    required.push(column.is_required);
                }
            }
        }
        Ok(TableColumns { schema: Arc::new(Schema::new(fields)), sources, required, timestamp })
    }

    /// Their names and types.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The same, with what must not be NULL.
    fn fields(&self) -> Vec<Field> {
        let with = |(field, required): (&FieldRef, &bool)| field.as_ref().clone().with_nullable(!required);
        self.schema.fields().iter().zip(&self.required).map(with).collect()
    }

    /// The rows with the columns of the table.
    ///
    /// # Errors
    /// If a column that must not be NULL is.
    pub fn rows(&self, input: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![];
        for ((field, source), required) in self.schema.fields().iter().zip(&self.sources).zip(&self.required)
        {
            let column = match source {
                Some(source) => input.column(*source).clone(),
                None => new_null_array(field.data_type(), input.num_rows()),
            };
            if *required && column.null_count() > 0 {
                return Err(Error::Row(format!("column `{}` is NULL, and it is NOT NULL", field.name())));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(input.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::Row(format!("the columns of the table: {e}")))
    }
}

/// How the rows of one table are written.
pub struct RecordEncoder {
    columns: TableColumns,
    key: Option<Writer>,
    value: Writer,
    /// Whether a text with the character NUL makes a row bad: no column of Postgres can hold it.
    refuses_nul: bool,
}

/// How columns become bytes.
pub(super) enum Writer {
    /// Behind the id of the schema, if it is registered.
    Avro(AvroWriter, Option<Registration>),
    Json(JsonWriter),
    Csv(CsvWriter),
    /// Behind the id of the schema and the message's indexes, if it is registered.
    Protobuf(ProtobufWriter, Option<Registration>),
    /// The bytes of this column.
    Raw(usize),
    /// A row before and after.
    Debezium(JsonWriter),
}

impl RecordEncoder {
    /// For a table that takes these columns of a relation, one for each of its columns that are written. Schemas are registered for `topic`.
    ///
    /// # Errors
    /// If a format has no form for a column.
    pub fn new(
        table: &TableDefinition,
        value: &Format,
        key: Option<&KeyFormat>,
        columns: &[Option<usize>],
        topic: &str,
        registries: &mut Registries,
    ) -> SqlResult<Self> {
        let columns = TableColumns::new(table, columns)?;
        let schema = columns.schema.clone();
        let fields = columns.fields();
        let mut writers = Writers { table, topic, schema: &schema, fields: &fields, registries };
        let position = |name: &String| schema.index_of(name).ok();
        let key_columns: Vec<usize> = key.iter().flat_map(|key| &key.fields).filter_map(position).collect();
        let wrong = |what: String| SqlError::at(table.span, format!("table `{}`: {what}", table.name));
        let in_value =
            |column: &usize| key.is_none_or(|key| key.is_in_value) || !key_columns.contains(column);
        let value_columns = (0..schema.fields().len()).filter(in_value).collect();
        let value = writers.of(value, RecordPart::Value, value_columns).map_err(wrong)?;
        let key = match key {
            Some(key) => Some(writers.of(&key.format, RecordPart::Key, key_columns.clone()).map_err(wrong)?),
            None => None,
        };
        Ok(RecordEncoder { columns, key, value, refuses_nul: false })
    }

    /// For rows on their way to a database: objects by column, and keys of the columns of the primary key.
    ///
    /// # Errors
    /// If a column has no form there.
    #[cfg(feature = "postgres")]
    pub fn for_postgres(table: &TableDefinition, columns: &[Option<usize>]) -> SqlResult<Self> {
        let is_bytes = |column: &&Column| matches!(column.kind, ColumnKind::Physical(DataType::Binary));
        if let Some(column) = table.columns.iter().find(is_bytes) {
            return Err(SqlError::at(column.span, "BYTES cannot be written to a database")
                .next("write text: encode(column, 'hex')"));
        }
        let fields = table.primary_key.clone();
        let key = KeyFormat { format: Format::Json, fields, is_in_value: true };
        let key = Some(&key).filter(|key| !key.fields.is_empty());
        Ok(RecordEncoder {
            refuses_nul: true,
            ..Self::new(table, &Format::Json, key, columns, "", &mut Registries::default())?
        })
    }

    /// The rows with the columns of the table.
    ///
    /// # Errors
    /// If a column that must not be NULL is.
    pub fn rows(&self, input: &RecordBatch) -> Result<RecordBatch> {
        self.columns.rows(input)
    }

    /// The timestamps that rows give their records, milliseconds.
    ///
    /// # Errors
    /// If the column is no time.
    pub fn timestamps(&self, input: &RecordBatch) -> Result<Option<Int64Array>> {
        self.columns.timestamp.map(|column| times_ms(input.column(column))).transpose()
    }

    /// Ready to write rows that [`RecordEncoder::rows`] gave.
    ///
    /// # Errors
    /// If they are not of the table.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<RowEncoder<'a>> {
        let key = self.key.as_ref().map(|key| key.encoder(rows)).transpose()?;
        Ok(RowEncoder {
            key,
            value: self.value.encoder(rows)?,
            is_change: matches!(self.value, Writer::Debezium(_)),
            refuses_nul: self.refuses_nul,
        })
    }

    /// What is to be registered before a row is written.
    pub fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.key.iter().chain([&self.value]).filter_map(|writer| match writer {
            Writer::Avro(_, registration) | Writer::Protobuf(_, registration) => registration.as_ref(),
            _ => None,
        })
    }

    /// Whether values say what a row was before, so that a relation that changes can be written as it is.
    #[must_use]
    pub fn writes_changes(&self) -> bool {
        matches!(self.value, Writer::Debezium(_))
    }
}

fn not_written(column: &Column) -> SqlError {
    SqlError::at(column.span, format!("the log itself says what `{}` is", column.name))
        .next("add VIRTUAL: the column is then only read")
}

/// What makes the writers of a table.
struct Writers<'a> {
    table: &'a TableDefinition,
    topic: &'a str,
    schema: &'a Schema,
    /// The same columns, with what must not be NULL.
    fields: &'a [Field],
    registries: &'a mut Registries,
}

impl Writers<'_> {
    fn of(&mut self, format: &Format, part: RecordPart, columns: Vec<usize>) -> Result<Writer, String> {
        match format {
            Format::Avro(options) => {
                Ok(Writer::Avro(AvroWriter::new(None, self.fields, columns, *options)?, None))
            }
            Format::AvroConfluent(of) => {
                let taken: Vec<Field> = columns.iter().map(|column| self.fields[*column].clone()).collect();
                let schema = of.schema.as_deref();
                let writer = AvroWriter::new(schema, self.fields, columns, of.options)?;
                let schema = match schema {
                    Some(text) => ToRegister::Avro(text.to_owned()),
                    None => ToRegister::AvroOfColumns(taken, of.options, self.table.name.clone()),
                };
                let registration = self.registration(&of.place, part, schema)?;
                Ok(Writer::Avro(writer, Some(registration)))
            }
            Format::Protobuf(of) => {
                Ok(Writer::Protobuf(ProtobufWriter::new(&of.schema, self.fields, columns)?, None))
            }
            Format::ProtobufConfluent(of) => {
                let schema = if let Some(schema) = &of.schema {
                    schema.clone()
                } else {
                    let taken: Vec<Field> =
                        columns.iter().map(|column| self.fields[*column].clone()).collect();
                    message_of(of.message.as_deref().unwrap_or(&self.table.name), &taken)?
                };
                let writer = ProtobufWriter::new(&schema, self.fields, columns)?;
                let registration = self.registration(&of.place, part, ToRegister::Protobuf(schema))?;
                Ok(Writer::Protobuf(writer, Some(registration)))
            }
            format => Writer::new(format, self.schema, columns),
        }
    }

    fn registration(
        &mut self,
        place: &RegistryPlace,
        part: RecordPart,
        schema: ToRegister,
    ) -> Result<Registration, String> {
        let by_name = || SubjectStrategy::TopicName.subject(self.topic, part, "");
        let subject = place.subject.clone().unwrap_or_else(by_name);
        let registry = self.registries.get(&place.registry).map_err(|e| e.to_string())?;
        Ok(Registration::new(&registry, subject, place.registers, schema))
    }
}

impl Writer {
    /// Writes these columns of rows of a schema, in a format that needs nothing else.
    pub fn new(format: &Format, schema: &Schema, columns: Vec<usize>) -> Result<Self, String> {
        match (format, &columns[..]) {
            (Format::Json, _) => Ok(Writer::Json(JsonWriter::new(schema, columns)?)),
            (Format::Csv(options), _) => Ok(Writer::Csv(CsvWriter::new(options.clone(), schema, columns)?)),
            (Format::DebeziumJson, _) => Ok(Writer::Debezium(JsonWriter::new(schema, columns)?)),
            (Format::Raw, [column]) if is_raw(schema.field(*column).data_type()) => Ok(Writer::Raw(*column)),
            (Format::Avro(_) | Format::AvroConfluent(_), _) => {
                Err("the format 'avro' is one of topics".into())
            }
            (Format::Protobuf(_) | Format::ProtobufConfluent(_), _) => {
                Err("the format 'protobuf' is one of topics".into())
            }
            (Format::Raw | Format::Parquet, _) => {
                Err("the format 'raw' has exactly one column, of type STRING or BYTES".into())
            }
        }
    }

    /// Ready to write the rows of a batch.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<Encoder<'a>> {
        Ok(match self {
            Writer::Avro(writer, registration) => {
                let prefix = registration.as_ref().map(Registration::prefix).transpose()?;
                Encoder::Avro(prefix.unwrap_or_default(), writer.encoder(rows)?)
            }
            Writer::Protobuf(writer, registration) => {
                let prefix = registration.as_ref().map(Registration::prefix).transpose()?;
                Encoder::Protobuf(prefix.unwrap_or_default(), writer.encoder(rows)?)
            }
            Writer::Json(writer) | Writer::Debezium(writer) => Encoder::Json(writer.encoder(rows)?),
            Writer::Csv(writer) => Encoder::Csv(writer.encoder(rows)?),
            Writer::Raw(column) => Encoder::Raw(rows.column(*column)),
        })
    }
}

fn is_raw(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// Writes rows of one batch with one writer.
pub(super) enum Encoder<'a> {
    /// What stands before each value.
    Avro(&'a [u8], AvroEncoder<'a>),
    Json(JsonEncoder<'a>),
    Csv(CsvEncoder<'a>),
    /// What stands before each value.
    Protobuf(&'a [u8], ProtobufEncoder<'a>),
    Raw(&'a ArrayRef),
}

impl Encoder<'_> {
    /// Appends the bytes of a row; `false` = it is null.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        match self {
            Encoder::Avro(prefix, encoder) => {
                let start = out.len();
                out.extend_from_slice(prefix);
                encoder.encode(row, out).map_err(|why| {
                    out.truncate(start);
                    Error::Row(why)
                })?;
            }
            Encoder::Protobuf(prefix, encoder) => {
                let start = out.len();
                out.extend_from_slice(prefix);
                encoder.encode(row, out).map_err(|why| {
                    out.truncate(start);
                    Error::Row(why)
                })?;
            }
            Encoder::Json(encoder) => encoder.encode(row, out).map_err(Error::Row)?,
            Encoder::Csv(encoder) => encoder.encode(row, out).map_err(Error::Row)?,
            Encoder::Raw(column) if column.is_null(row) => return Ok(false),
            Encoder::Raw(column) => match column.data_type() {
                DataType::Utf8 => out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
                _ => out.extend_from_slice(column.as_binary::<i32>().value(row)),
            },
        }
        Ok(true)
    }
}

/// Writes rows of one batch.
pub struct RowEncoder<'a> {
    key: Option<Encoder<'a>>,
    value: Encoder<'a>,
    is_change: bool,
    refuses_nul: bool,
}

impl RowEncoder<'_> {
    /// Appends the key of a row; `false` = records have none.
    ///
    /// # Errors
    /// Why it has no form.
    pub fn key(&self, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        self.key.as_ref().map_or(Ok(false), |key| key.encode(row, out))
    }

    /// Appends the value of a row; `false` = it is null.
    ///
    /// # Errors
    /// Why it has no form.
    pub fn value(&self, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        let has_value = self.value.encode(row, out)?;
        #[cfg(feature = "postgres")]
        if self.refuses_nul && crate::sink::has_nul(&out[start..]) {
            let what = "a text has the character NUL, which no column of Postgres can hold";
            return Err(Error::Row(what.into()));
        }
        let _ = (start, self.refuses_nul);
        Ok(has_value)
    }

    /// Appends the value that says that a row came, or went; a row alone where values say nothing of it.
    ///
    /// # Errors
    /// As [`RowEncoder::value`].
    pub fn change(&self, row: usize, came: bool, out: &mut Vec<u8>) -> Result<bool> {
        if !self.is_change {
            return self.value(row, out);
        }
        out.extend_from_slice(if came { b"{\"before\":null,\"after\":" } else { b"{\"before\":" });
        self.value.encode(row, out)?;
        out.extend_from_slice(if came { b",\"op\":\"c\"}" } else { b",\"after\":null,\"op\":\"d\"}" });
        Ok(true)
    }
}
