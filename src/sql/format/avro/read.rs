//! Values of a schema into columns, as the plan says.
//!
//! Owns the conversions. Knows no topic and no registry. Invariants: a record gives each column one cell, or a fault that names field and
//! byte; what is passed over is checked like what is read,
//! but for its text and for blocks that say how long they are.

use super::{
    bytes::Cursor,
    plan::{self, DecimalWire, FieldPlan, Plan, RecordPlan, Wire},
};
use crate::sql::{
    format::{fault::Fault, time::in_unit},
    rows::{ColumnBuilder, Store},
};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, Field};
use serde_avro_fast::schema::{RegularType, SchemaKey, SchemaMut};

/// How deep values may be nested that are passed over.
const DEPTH_MAX: usize = 128;

/// How the records of one schema become rows of some columns.
#[derive(Debug)]
pub struct ReadPlan {
    schema: SchemaMut,
    record: RecordPlan,
}

impl ReadPlan {
    /// For records of this schema, and these columns.
    ///
    /// # Errors
    /// Why the schema cannot give one of them.
    pub fn new<'f>(schema: SchemaMut, columns: impl IntoIterator<Item = &'f Field>) -> Result<Self, String> {
        let record = plan::record(&schema, columns)?;
        Ok(ReadPlan { schema, record })
    }

    /// Appends a cell to each column: from `bytes`, whose value begins at byte `at`.
    ///
    /// # Errors
    /// What is wrong. The columns must then be cut back.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8], at: usize, columns: &mut [ColumnBuilder]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(bytes, at);
        self.record(&self.record, &mut cursor, columns)?;
        match cursor.left() {
            0 => Ok(()),
            left => Err(Fault::at(cursor.at, format!("{left} bytes are left behind the record"))),
        }
    }

    fn record(
        &self,
        plan: &RecordPlan,
        cursor: &mut Cursor<'_>,
        columns: &mut [ColumnBuilder],
    ) -> Result<(), Fault> {
        for field in &plan.fields {
            match field {
                FieldPlan::Column { name, column, plan } => {
                    self.value(plan, cursor, &mut columns[*column]).map_err(|fault| fault.within(name))?;
                }
                FieldPlan::Skip { name, key } => {
                    self.skip(*key, cursor, 0).map_err(|fault| fault.within(name))?;
                }
            }
        }
        plan.missing.iter().for_each(|column| columns[*column].push_null());
        Ok(())
    }

    #[inline]
    fn value(&self, plan: &Plan, cursor: &mut Cursor<'_>, column: &mut ColumnBuilder) -> Result<(), Fault> {
        let at = cursor.at;
        match (plan, &mut column.store) {
            (Plan::Null, _) => {
                column.push_null();
                return Ok(());
            }
            (Plan::Union(branches), _) => {
                return match &branches[cursor.position(branches.len(), "branch")?] {
                    Ok(plan) => self.value(plan, cursor, column),
                    Err(why) => Err(Fault::at(at, why.clone())),
                };
            }
            (Plan::Boolean, Store::Boolean(cells)) => cells.push(cursor.boolean()?),
            (Plan::Integer(wire, least, most), Store::Integer(cells)) => {
                let value = if *wire == Wire::Int { cursor.int()? } else { cursor.long()? };
                if value < *least || value > *most {
                    return Err(Fault::at(at, format!("{value} is not from {least} to {most}")));
                }
                cells.push(value.cast_unsigned());
            }
            (Plan::Float(wire), Store::Float32(cells)) => cells.push(float(cursor, *wire)?),
            (Plan::Double(wire), Store::Float64(cells)) => cells.push(double(cursor, *wire)?),
            (Plan::Decimal { from, scale, precision, column_scale }, Store::Decimal(cells)) => {
                let value = decimal(cursor, from)?;
                let exact = rescaled(value, i32::from(*column_scale) - scale, *precision);
                cells.push(exact.ok_or_else(|| {
                    let form = format!("DECIMAL({precision}, {column_scale})");
                    let what = "digits behind the point has no exact form as";
                    Fault::at(at, format!("{value} with {scale} {what} {form}"))
                })?);
            }
            (Plan::Text, Store::Bytes(_, bytes)) => {
                bytes.extend_from_slice(text(cursor.sized()?, cursor.at)?);
            }
            (Plan::Bytes, Store::Bytes(_, bytes)) => bytes.extend_from_slice(cursor.sized()?),
            (Plan::Fixed(size), Store::Bytes(_, bytes)) => bytes.extend_from_slice(cursor.take(*size)?),
            (Plan::Enum(symbols), Store::Bytes(_, bytes)) => {
                let symbol = cursor.position(symbols.len(), "symbol")?;
                bytes.extend_from_slice(symbols[symbol].as_bytes());
            }
            (Plan::Date, Store::Integer(cells)) => {
                cells.push(cursor.int()?.cast_unsigned());
            }
            (Plan::Timestamp(from, to), Store::Integer(cells)) => {
                let value = cursor.long()?;
                let value = in_unit(value, *from, *to)
                    .ok_or_else(|| Fault::at(at, format!("{value} is a time too far away for its unit")))?;
                cells.push(value.cast_unsigned());
            }
            (Plan::Array(item), Store::List(_, items)) => {
                let mut index = 0;
                loop {
                    let (count, _) = cursor.block()?;
                    if count == 0 {
                        break;
                    }
                    for _ in 0..count {
                        self.value(item, cursor, items).map_err(|fault| fault.within_item(index))?;
                        index += 1;
                    }
                }
            }
            (Plan::Map(value), Store::Map(_, parts)) => self.map(value, cursor, parts)?,
            (Plan::Record(record), Store::Struct(parts)) => self.record(record, cursor, parts)?,
            _ => return Err(Fault::at(at, "bug: the column has another type")),
        }
        column.end_cell().map_err(|e| Fault::at(at, e.to_string()))
    }

    fn map(&self, plan: &Plan, cursor: &mut Cursor<'_>, parts: &mut [ColumnBuilder; 2]) -> Result<(), Fault> {
        let start = cursor.at;
        let [keys, values] = parts;
        let mut names: Vec<&[u8]> = vec![];
        loop {
            let (count, _) = cursor.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let at = cursor.at;
                let name = text(cursor.sized()?, cursor.at)?;
                names.push(name);
                keys.push_bytes(name).map_err(|e| Fault::at(at, e.to_string()))?;
                let within = |fault: Fault| fault.within(&String::from_utf8_lossy(name));
                self.value(plan, cursor, values).map_err(within)?;
            }
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Fault::at(start, "an entry of the map is there twice"));
        }
        Ok(())
    }

    /// Passes a value over.
    fn skip(&self, key: SchemaKey, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        let at = cursor.at;
        if depth > DEPTH_MAX {
            return Err(Fault::at(at, format!("values are nested deeper than {DEPTH_MAX}")));
        }
        let Some(node) = self.schema.get(key) else {
            return Err(Fault::at(at, "bug: the schema has a hole"));
        };
        let skip = |key, cursor: &mut Cursor<'_>| self.skip(key, cursor, depth + 1);
        match &node.type_ {
            RegularType::Null => Ok(()),
            RegularType::Boolean => cursor.boolean().map(drop),
            RegularType::Int => cursor.int().map(drop),
            RegularType::Long => cursor.long().map(drop),
            RegularType::Float => cursor.take(4).map(drop),
            RegularType::Double => cursor.take(8).map(drop),
            RegularType::Bytes | RegularType::String => cursor.sized().map(drop),
            RegularType::Fixed(of) => cursor.take(of.size).map(drop),
            RegularType::Enum(of) => cursor.position(of.symbols.len(), "symbol").map(drop),
            RegularType::Union(of) => {
                let branch = cursor.position(of.variants.len(), "branch")?;
                skip(of.variants[branch], cursor)
            }
            RegularType::Record(of) => {
                let within = |name: &str| {
                    let name = name.to_owned();
                    move |fault: Fault| fault.within(&name)
                };
                of.fields.iter().try_for_each(|field| skip(field.type_, cursor).map_err(within(&field.name)))
            }
            RegularType::Array(of) => skip_blocks(cursor, |cursor| skip(of.items, cursor)),
            RegularType::Map(of) => skip_blocks(cursor, |cursor| {
                cursor.sized()?;
                skip(of.values, cursor)
            }),
        }
    }
}

/// Passes a sequence over; a block that says how long it is, at once.
fn skip_blocks(
    cursor: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    loop {
        match cursor.block()? {
            (0, _) => return Ok(()),
            (_, Some(bytes)) => drop(cursor.take(bytes)?),
            (count, None) => (0..count).try_for_each(|_| item(cursor))?,
        }
    }
}

fn decimal(cursor: &mut Cursor<'_>, from: &DecimalWire) -> Result<i128, Fault> {
    let at = cursor.at;
    Ok(match from {
        DecimalWire::Bytes => whole(cursor.sized()?, at)?,
        DecimalWire::Fixed(size) => whole(cursor.take(*size)?, at)?,
        DecimalWire::Int => cursor.int()?.into(),
        DecimalWire::Long => cursor.long()?.into(),
    })
}

#[inline]
fn text(bytes: &[u8], end: usize) -> Result<&[u8], Fault> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(Fault::at(end - bytes.len() + e.valid_up_to(), "it is not UTF-8")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "Avro says so")]
fn float(cursor: &mut Cursor<'_>, wire: Wire) -> Result<f32, Fault> {
    Ok(match wire {
        Wire::Int => cursor.int()? as f32,
        Wire::Long => cursor.long()? as f32,
        _ => cursor.float()?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "Avro says so")]
fn double(cursor: &mut Cursor<'_>, wire: Wire) -> Result<f64, Fault> {
    Ok(match wire {
        Wire::Int => cursor.int()? as f64,
        Wire::Long => cursor.long()? as f64,
        Wire::Float => cursor.float()?.into(),
        Wire::Double => cursor.double()?,
    })
}

/// The digits of a decimal: a whole number in two's complement, the highest byte first.
fn whole(bytes: &[u8], at: usize) -> Result<i128, Fault> {
    let Some(first) = bytes.first() else { return Err(Fault::at(at, "a decimal has no bytes")) };
    let fill = if *first < 0x80 { 0 } else { 0xff };
    let more = bytes.len().saturating_sub(16);
    let (ahead, low) = bytes.split_at(more);
    let is_sign = low.first().is_some_and(|byte| (*byte < 0x80) == (fill == 0));
    if !ahead.iter().all(|byte| *byte == fill) || !is_sign {
        return Err(Fault::at(at, format!("a decimal of {} bytes has too many digits", bytes.len())));
    }
    let mut whole = [fill; 16];
    whole[16 - low.len()..].copy_from_slice(low);
    Ok(i128::from_be_bytes(whole))
}

/// With so many more digits behind the point, if it is then still exact, and has no more digits than it may have.
pub(in crate::sql) fn rescaled(value: i128, digits: i32, precision: u8) -> Option<i128> {
    let power = 10i128.checked_pow(digits.unsigned_abs());
    let value = match (value, power) {
        (0, _) => 0,
        (_, Some(power)) if digits >= 0 => value.checked_mul(power)?,
        (_, Some(power)) if value % power == 0 => value / power,
        _ => return None,
    };
    let limit = 10u128.pow(u32::from(precision.min(DECIMAL128_MAX_PRECISION)));
    (value.unsigned_abs() < limit).then_some(value)
}
