//! Rows made up by this process.
//!
//! Owns the values of generated columns. Knows no query. Invariants: the values of a row follow from its number, so two starts make the
//! same rows; a time is that at which the row was due; no more rows than are due at the batch's time.

use super::{DatagenTable, FieldGenerator};
use crate::{
    error::Result,
    operator::Batch,
    record::{BatchTime, Chunk, hash_bytes},
    source::LocalSource,
    sql::{Delta, SqlError, SqlResult, TableDefinition, schema::ColumnKind},
};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, PrimitiveArray,
        RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    },
    datatypes::{
        ArrowPrimitiveType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    },
};
use std::{fmt::Write, sync::Arc};

/// Most rows in a chunk.
const CHUNK_ROWS: u64 = 8_192;
/// Characters of a text whose length is not given.
const TEXT_LENGTH: usize = 16;
const MS_A_DAY: i64 = 86_400_000;

/// The values of one column.
#[derive(Clone)]
struct Generated {
    data_type: DataType,
    /// Tells columns of one row apart.
    salt: u64,
    generator: FieldGenerator,
}

/// The generated rows of one table.
#[derive(Clone)]
pub struct Generator {
    table: DatagenTable,
    columns: Vec<Generated>,
    schema: SchemaRef,
    next: u64,
    first: Option<BatchTime>,
}

impl Generator {
    /// Makes the `columns` of a table, by their positions, called as in `schema`.
    ///
    /// # Errors
    /// If a value of a column's type, or with its settings, cannot be made up.
    pub fn new(
        definition: &TableDefinition,
        table: &DatagenTable,
        columns: &[usize],
        schema: SchemaRef,
    ) -> SqlResult<Self> {
        let mut generated = vec![];
        for column in columns.iter().map(|index| &definition.columns[*index]) {
            let ColumnKind::Physical(data_type) = &column.kind else {
                return Err(SqlError::at(column.span, "generated rows have no metadata")
                    .next("declare the column without METADATA"));
            };
            let set = table.fields.iter().find(|(name, _)| *name == column.name).map(|(_, how)| how.clone());
            let generator = set.unwrap_or(FieldGenerator::Random { min: None, max: None, length: None });
            if !is_made_up(data_type, &generator) {
                let text = format!("values of `{}`, which is {data_type}, cannot be made up so", column.name);
                return Err(SqlError::at(column.span, text).next(
                    "generate numbers, texts, booleans, dates or timestamps; a sequence is of integers",
                ));
            }
            let salt = hash_bytes(column.name.as_bytes());
            generated.push(Generated { data_type: data_type.clone(), salt, generator });
        }
        Ok(Generator { table: table.clone(), columns: generated, schema, next: 0, first: None })
    }

    /// As many rows as there can be.
    fn rows_max(&self) -> u64 {
        let of_sequence = |column: &Generated| match column.generator {
            FieldGenerator::Sequence { start, end } => Some(end.abs_diff(start).saturating_add(1)),
            FieldGenerator::Random { .. } => None,
        };
        let sequences = self.columns.iter().filter_map(of_sequence);
        sequences.chain(self.table.rows_max).min().unwrap_or(u64::MAX)
    }

    /// When a row was due, milliseconds since the epoch.
    fn time_of(&self, first: BatchTime, row: u64) -> i64 {
        let after = u128::from(row) * 1_000 / u128::from(self.table.rows_per_second.max(1));
        first.0.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
    }

    fn column(&self, column: &Generated, first: BatchTime, rows: std::ops::Range<u64>) -> ArrayRef {
        let random = |row: u64| mixed(column.salt ^ row);
        let times = rows.clone().map(|row| self.time_of(first, row));
        match &column.data_type {
            DataType::Int8 => integers::<Int8Type>(column, rows),
            DataType::Int16 => integers::<Int16Type>(column, rows),
            DataType::Int32 => integers::<Int32Type>(column, rows),
            DataType::Int64 => integers::<Int64Type>(column, rows),
            DataType::Float32 => {
                #[expect(clippy::cast_possible_truncation, reason = "a number by chance")]
                let values = rows.map(|row| float(column, random(row)) as f32);
                Arc::new(values.collect::<Float32Array>())
            }
            DataType::Float64 => {
                Arc::new(rows.map(|row| float(column, random(row))).collect::<Float64Array>())
            }
            DataType::Decimal128(precision, scale) => {
                let bound = 10i128.pow(u32::from(*precision).min(18));
                let values = rows.map(|row| i128::from(random(row)) % bound);
                let values = values.collect::<Decimal128Array>();
                Arc::new(values.clone().with_precision_and_scale(*precision, *scale).unwrap_or(values))
            }
            DataType::Boolean => {
                Arc::new(rows.map(|row| Some(random(row) % 2 == 1)).collect::<BooleanArray>())
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let values = times.map(|ms| ms.saturating_mul(1_000)).collect::<Vec<_>>();
                let values = TimestampMicrosecondArray::from(values);
                Arc::new(values.with_timezone_opt(zone.clone()))
            }
            DataType::Timestamp(_, zone) => {
                let values = TimestampMillisecondArray::from(times.collect::<Vec<_>>());
                Arc::new(values.with_timezone_opt(zone.clone()))
            }
            DataType::Date32 => {
                let days = times.map(|ms| i32::try_from(ms.div_euclid(MS_A_DAY)).unwrap_or(i32::MAX));
                Arc::new(Date32Array::from(days.collect::<Vec<_>>()))
            }
            _ => Arc::new(rows.map(|row| Some(text(column, random(row)))).collect::<StringArray>()),
        }
    }
}

fn is_made_up(data_type: &DataType, generator: &FieldGenerator) -> bool {
    let is_integer = data_type.is_signed_integer();
    match generator {
        FieldGenerator::Sequence { start, end } => is_integer && start <= end,
        FieldGenerator::Random { min, max, .. } => {
            let is_ordered = min.zip(*max).is_none_or(|(min, max)| min <= max);
            let is_known = matches!(
                data_type,
                DataType::Float32
                    | DataType::Float64
                    | DataType::Decimal128(..)
                    | DataType::Boolean
                    | DataType::Utf8
                    | DataType::Date32
                    | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _)
            );
            (is_integer || is_known) && is_ordered
        }
    }
}

/// A number that looks like chance (the finaliser of SplitMix64, Steele, Lea and Flood, 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In `[0, 1)`.
fn unit(random: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let bits = (random >> 11) as f64;
    bits / 9_007_199_254_740_992.0
}

fn float(column: &Generated, random: u64) -> f64 {
    let FieldGenerator::Random { min, max, .. } = column.generator else { return 0.0 };
    let (min, max) = (min.unwrap_or(0.0), max.unwrap_or(1.0));
    min + unit(random) * (max - min)
}

fn integers<T: ArrowPrimitiveType>(column: &Generated, rows: std::ops::Range<u64>) -> ArrayRef
where
    T::Native: TryFrom<i64>,
{
    let bits = 8 * size_of::<T::Native>();
    let greatest = i64::MAX >> (64 - bits);
    let value = |row: u64| -> i64 {
        match column.generator {
            FieldGenerator::Sequence { start, .. } => start.saturating_add_unsigned(row),
            FieldGenerator::Random { min, max, .. } => {
                #[expect(clippy::cast_possible_truncation, reason = "the bounds of an integer column")]
                let bound = |bound: f64| bound as i64;
                let (min, max) = (min.map_or(0, bound), max.map_or(greatest, bound));
                let span = max.abs_diff(min).saturating_add(1);
                min.saturating_add_unsigned(mixed(column.salt ^ row) % span)
            }
        }
    };
    let values = rows.map(|row| T::Native::try_from(value(row)).ok());
    Arc::new(values.collect::<PrimitiveArray<T>>())
}

fn text(column: &Generated, random: u64) -> String {
    let FieldGenerator::Random { length, .. } = column.generator else { return String::new() };
    let length = length.unwrap_or(TEXT_LENGTH);
    let mut text = String::with_capacity(length + 16);
    let mut random = random;
    while text.len() < length {
        let _ = write!(text, "{random:016x}"); // a string takes everything
        random = mixed(random);
    }
    text.truncate(length);
    text
}

impl LocalSource for Generator {
    fn take(&mut self, batch: &Batch) -> Result<Option<Chunk>> {
        let first = *self.first.get_or_insert(batch.time);
        let elapsed_ms = u128::try_from(batch.time.0 - first.0).unwrap_or(0);
        let due = elapsed_ms * u128::from(self.table.rows_per_second) / 1_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(self.rows_max());
        let due = due.min(self.next.saturating_add(CHUNK_ROWS));
        if due <= self.next {
            return Ok(None);
        }
        let rows = self.next..due;
        let columns = self.columns.iter().map(|column| self.column(column, first, rows.clone())).collect();
        let count = usize::try_from(due - self.next).unwrap_or(usize::MAX);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| crate::Error::Row(format!("a generated row: {e}")))?;
        self.next = due;
        Ok(Some(Delta::added(rows).into_chunk()))
    }

    fn has_more(&self) -> bool {
        self.rows_max() < u64::MAX && self.next < self.rows_max()
    }
}
