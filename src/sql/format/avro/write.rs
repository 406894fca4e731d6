//! Columns to values of a schema.
//!
//! Owns which columns a schema takes, and the bytes. Knows no registry. Invariants: a value is of the schema, or its row has an error and
//! nothing is written; a number, a time or a decimal is written as it is, but for digits of a time that the schema has no place for.

use super::{
    bytes::{put_long, put_sized},
    columns::{SchemaOptions, nodes_of},
    plan::{bounds, decimal, named, time_unit},
};
use crate::{
    error::{Error, Result},
    sql::{
        format::time::in_unit,
        parse::type_name,
        rows::{CellColumn, Cells, range},
    },
};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, TimeUnit},
};
use serde_avro_fast::schema::{LogicalType, RegularType, SchemaKey, SchemaMut, SchemaNode};

/// How one cell becomes a value.
#[derive(Clone, Debug)]
enum Plan {
    Boolean,
    Integer,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Enum(Vec<String>),
    Decimal,
    DecimalFixed(usize),
    Timestamp(TimeUnit, TimeUnit),
    Array(Box<Plan>),
    Map(Box<Plan>),
    Record(Vec<FieldPlan>),
    /// The branch of null, if there is one, and that of the value.
    Union(Option<i64>, i64, Box<Plan>),
}

#[derive(Clone, Debug)]
enum FieldPlan {
    /// The column, of the row or of its part.
    Column(String, usize, Plan),
    /// There is none: the branch of null.
    Null(i64),
}

/// Writes some columns of rows as records of a schema.
#[derive(Clone, Debug)]
pub struct AvroWriter {
    columns: Vec<usize>,
    fields: Vec<FieldPlan>,
}

impl AvroWriter {
    /// Writes these columns of rows as records of this schema, or else of that of the columns.
    ///
    /// # Errors
    /// If the schema is none, cannot take one of the columns, or wants more; or Avro has no form for one.
    pub fn new(
        schema: Option<&str>,
        rows: &[Field],
        columns: Vec<usize>,
        options: SchemaOptions,
    ) -> Result<Self, String> {
        let fields: Vec<Field> = columns.iter().filter_map(|column| rows.get(*column)).cloned().collect();
        let schema = nodes_of(schema, &fields, options)?;
        let fields = Planner { schema: &schema }.record(schema.root(), &fields.iter().collect::<Vec<_>>())?;
        Ok(AvroWriter { columns, fields })
    }

    /// Ready to write the rows of a batch.
    ///
    /// # Errors
    /// If it is not of the columns.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<AvroEncoder<'a>> {
        let cells = |column: &usize| match rows.columns().get(*column) {
            Some(array) => CellColumn::of(array),
            None => Err(Error::Codec(format!("rows have no column {column}"))),
        };
        Ok(AvroEncoder {
            fields: &self.fields,
            cells: self.columns.iter().map(cells).collect::<Result<_>>()?,
        })
    }
}

/// Writes the rows of a batch.
pub struct AvroEncoder<'a> {
    fields: &'a [FieldPlan],
    cells: Vec<CellColumn<'a>>,
}

impl AvroEncoder<'_> {
    /// Appends the record of a row.
    ///
    /// # Errors
    /// Why it has none; nothing is appended then.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        put_record(self.fields, &self.cells, row, out).inspect_err(|_| out.truncate(start))
    }
}

struct Planner<'s> {
    schema: &'s SchemaMut,
}

impl Planner<'_> {
    fn node(&self, key: SchemaKey) -> Result<&SchemaNode, String> {
        self.schema.get(key).ok_or_else(|| "the schema has a hole".into())
    }

    fn record(&self, node: &SchemaNode, columns: &[&Field]) -> Result<Vec<FieldPlan>, String> {
        let RegularType::Record(record) = &node.type_ else {
            return Err(format!("the schema is {}, not a record with a field for each column", named(node)));
        };
        if let Some(column) =
            columns.iter().find(|column| record.fields.iter().all(|f| f.name != *column.name()))
        {
            return Err(format!("{} has no field for the column `{}`", named(node), column.name()));
        }
        let mut fields = vec![];
        for field in &record.fields {
            let Some(column) = columns.iter().position(|column| *column.name() == field.name) else {
                let null = self.null_of(field.type_)?;
                let null = null.ok_or_else(|| {
                    format!(
                        "there is no column for the field `{}` of {}, which cannot be null",
                        field.name,
                        named(node)
                    )
                })?;
                fields.push(FieldPlan::Null(null));
                continue;
            };
            let plan = self.value(field.type_, columns[column].data_type());
            let plan = plan.map_err(|why| format!("column `{}`: {why}", field.name))?;
            fields.push(FieldPlan::Column(field.name.clone(), column, plan));
        }
        Ok(fields)
    }

    /// The branch of null.
    fn null_of(&self, key: SchemaKey) -> Result<Option<i64>, String> {
        let RegularType::Union(union) = &self.node(key)?.type_ else { return Ok(None) };
        for (branch, key) in union.variants.iter().enumerate() {
            if matches!(self.node(*key)?.type_, RegularType::Null) {
                return Ok(i64::try_from(branch).ok());
            }
        }
        Ok(None)
    }

    fn value(&self, key: SchemaKey, column: &DataType) -> Result<Plan, String> {
        let node = self.node(key)?;
        let RegularType::Union(union) = &node.type_ else { return self.of(node, column) };
        let mut values = vec![];
        for (branch, key) in union.variants.iter().enumerate() {
            let node = self.node(*key)?;
            if !matches!(node.type_, RegularType::Null) {
                values.push((branch, node));
            }
        }
        let [(branch, node)] = values[..] else {
            return Err(format!("a union of {} types besides null is not written", values.len()));
        };
        let branch = i64::try_from(branch).map_err(|e| e.to_string())?;
        Ok(Plan::Union(self.null_of(key)?, branch, Box::new(self.of(node, column)?)))
    }

    fn of(&self, node: &SchemaNode, column: &DataType) -> Result<Plan, String> {
        let refused = || Err(format!("{} cannot be {}", type_name(column), named(node)));
        let logical = node.logical_type.as_ref().map(LogicalType::as_str);
        Ok(match (column, &node.type_) {
            (DataType::Boolean, RegularType::Boolean) => Plan::Boolean,
            (DataType::Float32, RegularType::Float) => Plan::Float,
            (DataType::Float32 | DataType::Float64, RegularType::Double) => Plan::Double,
            (DataType::Utf8, RegularType::String) => Plan::Bytes,
            (DataType::Utf8, RegularType::Enum(of)) => Plan::Enum(of.symbols.clone()),
            (DataType::Binary, RegularType::Bytes) if decimal(node).is_none() => Plan::Bytes,
            (DataType::Binary, RegularType::Fixed(of)) if decimal(node).is_none() => Plan::Fixed(of.size),
            (DataType::Decimal128(precision, scale), of) => match (decimal(node), of) {
                (Some((of_schema, digits)), of)
                    if of_schema == i32::from(*scale) && digits >= usize::from(*precision) =>
                {
                    match of {
                        RegularType::Fixed(of) => Plan::DecimalFixed(of.size),
                        _ => Plan::Decimal,
                    }
                }
                _ => return refused(),
            },
            (DataType::Date32, RegularType::Int) if matches!(logical, None | Some("date")) => Plan::Integer,
            (DataType::Timestamp(unit, _), RegularType::Long) => match time_unit(logical) {
                Some(to) => Plan::Timestamp(*unit, to),
                None => return refused(),
            },
            (DataType::List(item), RegularType::Array(of)) => {
                let plan = self.value(of.items, item.data_type()).map_err(|why| format!("item: {why}"))?;
                Plan::Array(Box::new(plan))
            }
            (DataType::Map(entries, _), RegularType::Map(of)) => {
                let DataType::Struct(parts) = entries.data_type() else { return refused() };
                let [key, value] = &parts[..] else { return refused() };
                if *key.data_type() != DataType::Utf8 {
                    return Err("keys of a map are strings in Avro".into());
                }
                let plan = self.value(of.values, value.data_type()).map_err(|why| format!("value: {why}"))?;
                Plan::Map(Box::new(plan))
            }
            (DataType::Struct(parts), RegularType::Record(_)) => {
                Plan::Record(self.record(node, &parts.iter().map(|part| &**part).collect::<Vec<_>>())?)
            }
            (column, RegularType::Int | RegularType::Long) if !matches!(column, DataType::UInt64) => {
                let most =
                    if matches!(node.type_, RegularType::Int) { i64::from(i32::MAX) } else { i64::MAX };
                match bounds(column) {
                    Some((_, most_of_column)) if most_of_column <= most => Plan::Integer,
                    _ => return refused(),
                }
            }
            _ => return refused(),
        })
    }
}

fn put_record(
    fields: &[FieldPlan],
    cells: &[CellColumn<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    for field in fields {
        match field {
            FieldPlan::Column(name, column, plan) => {
                put(plan, &cells[*column], row, out).map_err(|why| format!("\"{name}\": {why}"))?;
            }
            FieldPlan::Null(branch) => put_long(*branch, out),
        }
    }
    Ok(())
}

fn put(plan: &Plan, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if let Plan::Union(null, branch, plan) = plan {
        return match null {
            Some(null) if column.is_null(row) => {
                put_long(*null, out);
                Ok(())
            }
            _ => {
                put_long(*branch, out);
                put(plan, column, row, out)
            }
        };
    }
    if column.is_null(row) {
        return Err("it is NULL, and the schema has no null there".into());
    }
    match (plan, &column.cells) {
        (Plan::Boolean, Cells::Boolean(cells)) => out.push(cells.value(row).into()),
        (Plan::Float, Cells::Float32(cells)) => out.extend_from_slice(&cells[row].to_le_bytes()),
        (Plan::Double, Cells::Float32(cells)) => out.extend_from_slice(&f64::from(cells[row]).to_le_bytes()),
        (Plan::Double, Cells::Float64(cells)) => out.extend_from_slice(&cells[row].to_le_bytes()),
        (Plan::Bytes, Cells::Bytes(offsets, bytes)) => put_sized(&bytes[range(offsets, row)], out),
        (Plan::Fixed(size), Cells::Bytes(offsets, bytes)) => {
            let bytes = &bytes[range(offsets, row)];
            if bytes.len() != *size {
                return Err(format!("it has {} bytes, and the schema has {size}", bytes.len()));
            }
            out.extend_from_slice(bytes);
        }
        (Plan::Enum(symbols), Cells::Bytes(offsets, bytes)) => {
            let text = &bytes[range(offsets, row)];
            let symbol = symbols.iter().position(|symbol| symbol.as_bytes() == text).ok_or_else(|| {
                format!("'{}' is none of the symbols {}", text.escape_ascii(), symbols.join(", "))
            })?;
            put_long(i64::try_from(symbol).map_err(|e| e.to_string())?, out);
        }
        (Plan::Decimal, Cells::Decimal(cells)) => {
            let bytes = cells[row].to_be_bytes();
            put_sized(&bytes[redundant(&bytes)..], out);
        }
        (Plan::DecimalFixed(size), Cells::Decimal(cells)) => {
            put_fixed(cells[row], *size, out)?;
        }
        (Plan::Timestamp(from, to), Cells::Int64(cells)) => {
            let value = in_unit(cells[row], *from, *to);
            put_long(
                value.ok_or_else(|| format!("{} is a time too far away for its unit", cells[row]))?,
                out,
            );
        }
        (Plan::Array(plan), Cells::List(offsets, items)) => {
            put_block(range(offsets, row), out, |item, out| put(plan, items, item, out))?;
        }
        (Plan::Map(plan), Cells::Map(offsets, parts)) => {
            put_block(range(offsets, row), out, |entry, out| {
                put(&Plan::Bytes, &parts[0], entry, out)?;
                put(plan, &parts[1], entry, out)
            })?;
        }
        (Plan::Record(fields), Cells::Struct(parts)) => put_record(fields, parts, row, out)?,
        (Plan::Integer, cells) => {
            put_long(integer(cells, row).ok_or("bug: the column has another type")?, out);
        }
        _ => return Err("bug: the column has another type".into()),
    }
    Ok(())
}

/// A decimal of a fixed number of bytes.
fn put_fixed(value: i128, size: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let bytes = value.to_be_bytes();
    let needed = &bytes[redundant(&bytes)..];
    let Some(more) = size.checked_sub(needed.len()) else {
        return Err(format!("it needs {} bytes, and the schema has {size}", needed.len()));
    };
    out.resize(out.len() + more, if value < 0 { 0xff } else { 0 });
    out.extend_from_slice(needed);
    Ok(())
}

/// All items in one block, and the end.
fn put_block(
    items: std::ops::Range<usize>,
    out: &mut Vec<u8>,
    mut put: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if !items.is_empty() {
        put_long(i64::try_from(items.len()).map_err(|e| e.to_string())?, out);
        items.into_iter().try_for_each(|item| put(item, out))?;
    }
    put_long(0, out);
    Ok(())
}

fn integer(cells: &Cells<'_>, row: usize) -> Option<i64> {
    Some(match cells {
        Cells::Int8(cells) => cells[row].into(),
        Cells::Int16(cells) => cells[row].into(),
        Cells::Int32(cells) => cells[row].into(),
        Cells::Int64(cells) => cells[row],
        Cells::UInt8(cells) => cells[row].into(),
        Cells::UInt16(cells) => cells[row].into(),
        Cells::UInt32(cells) => cells[row].into(),
        _ => return None,
    })
}

/// How many bytes in front say only what the sign of the next one says.
fn redundant(bytes: &[u8; 16]) -> usize {
    let fill = if bytes[0] < 0x80 { 0 } else { 0xff };
    let is_redundant = |pair: &&[u8]| pair[0] == fill && (pair[1] < 0x80) == (fill == 0);
    bytes.windows(2).take_while(is_redundant).count()
}
