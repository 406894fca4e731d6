//! Random types and cells for tests, from a seed.

use super::{ColumnBuilder, Store, types::map_parts};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Fields, Schema, TimeUnit},
};
use std::sync::Arc;

/// What the samples are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum For {
    /// Stored values: everything.
    Values,
    /// Keys: no maps.
    Keys,
    /// JSON: no infinity, no NaN, no time that is far away.
    Json,
}

pub(in crate::sql) struct Samples {
    state: u64,
    of: For,
}

impl Samples {
    pub fn new(seed: u64, of: For) -> Self {
        Samples { state: seed, of }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn data_type(&mut self, depth: usize) -> DataType {
        let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
        match self.below(if depth == 0 { 16 } else { 20 }) {
            0 => DataType::Boolean,
            1 => DataType::Int8,
            2 => DataType::Int16,
            3 => DataType::Int32,
            4 => DataType::Int64,
            5 => DataType::UInt8,
            6 => DataType::UInt16,
            7 => DataType::UInt32,
            8 => DataType::UInt64,
            9 => DataType::Float32,
            10 => DataType::Float64,
            11 => DataType::Decimal128(38, i8::try_from(self.below(20)).unwrap() - 3),
            12 => DataType::Binary,
            13 => DataType::Date32,
            14 => DataType::Timestamp(units[self.below(4)], (self.below(2) == 0).then(|| "UTC".into())),
            15 => DataType::Utf8,
            16 if self.of != For::Keys => {
                let value = self.data_type(depth - 1);
                let parts = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(parts.into()), false)), false)
            }
            17 | 18 => DataType::new_list(self.data_type(depth - 1), true),
            _ => DataType::Struct(self.fields(3, depth - 1)),
        }
    }

    pub fn fields(&mut self, most: usize, depth: usize) -> Fields {
        let names = ["a", "b c", "\"é\"", "d"];
        (0..=self.below(most))
            .map(|index| Field::new(names[index % 4], self.data_type(depth), true))
            .collect()
    }

    /// Some rows of up to four columns.
    pub fn batch(&mut self) -> RecordBatch {
        let fields = self.fields(4, 2);
        let rows = self.below(12);
        let columns = fields.iter().map(|field| self.column(field.data_type(), rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).unwrap()
    }

    pub fn column(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let mut builder = ColumnBuilder::new(data_type, 0).unwrap();
        (0..rows).for_each(|_| self.fill(&mut builder));
        builder.finish().unwrap()
    }

    fn text(&mut self) -> String {
        let chars = ['a', 'b', '\0', '"', '\\', '\n', 'é', '😀', '\u{7f}', '/', '\u{1f}', 'z', '€'];
        (0..self.below(14)).map(|_| chars[self.below(chars.len())]).collect()
    }

    fn bits(&mut self, bits: u32, is_signed: bool) -> u64 {
        // Small, any, or at the ends of the range.
        let any = match self.below(3) {
            0 => self.next() % 8,
            1 => self.next(),
            _ => (1 << (bits - 1)) ^ (self.next() % 2).wrapping_neg(),
        };
        let unused = 64 - bits;
        if is_signed {
            (any.cast_signed() << unused >> unused).cast_unsigned()
        } else {
            any << unused >> unused
        }
    }

    fn fill(&mut self, builder: &mut ColumnBuilder) {
        if self.below(5) == 0 {
            return builder.push_null();
        }
        let (data_type, is_json) = (builder.data_type().clone(), self.of == For::Json);
        let text = self.text();
        match &mut builder.store {
            Store::Boolean(cells) => cells.push(self.below(2) == 0),
            Store::Integer(cells) => cells.push(match data_type {
                DataType::Int8 => self.bits(8, true),
                DataType::Int16 => self.bits(16, true),
                DataType::Date32 if is_json => self.bits(28, true),
                DataType::Int32 | DataType::Date32 => self.bits(32, true),
                DataType::UInt8 => self.bits(8, false),
                DataType::UInt16 => self.bits(16, false),
                DataType::UInt32 => self.bits(32, false),
                DataType::Timestamp(..) if is_json => self.bits(44, true),
                _ => self.next(),
            }),
            Store::Float32(cells) => {
                let value = f32::from_bits(u32::try_from(self.bits(32, false)).unwrap());
                cells.push(if is_json && !value.is_finite() { 0.1 } else { value });
            }
            Store::Float64(cells) => {
                let value = f64::from_bits(self.bits(64, false));
                cells.push(if is_json && !value.is_finite() { 0.1 } else { value });
            }
            Store::Decimal(cells) => {
                let value = i128::from(self.next().cast_signed()) * i128::from(self.next() >> self.below(64));
                cells.push(value % 10i128.pow(38));
            }
            Store::Bytes(_, bytes) => bytes.extend_from_slice(text.as_bytes()),
            Store::List(_, items) => (0..self.below(11)).for_each(|_| self.fill(items)),
            Store::Struct(parts) => parts.iter_mut().for_each(|part| self.fill(part)),
            Store::Map(_, parts) => {
                let [keys, values] = &mut **parts;
                assert!(
                    matches!(&data_type, DataType::Map(entries, _) if map_parts(entries.data_type()).is_some())
                );
                for index in 0..self.below(4) {
                    keys.push_bytes(format!("{index}{}", self.text()).as_bytes()).unwrap();
                    self.fill(values);
                }
            }
        }
        builder.end_cell().unwrap();
    }
}
