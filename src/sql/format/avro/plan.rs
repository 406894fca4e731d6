//! How values of a schema become cells of columns.
//!
//! Owns which types of Avro give which types of columns. Knows no bytes. Invariants: fields are found by their names; a plan that exists
//! fills each column, or says of a branch of a union why it does not; what no column asks for is passed over.

use crate::sql::parse::type_name;
use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_avro_fast::schema::{LogicalType, RegularType, SchemaKey, SchemaMut, SchemaNode};

/// How one value becomes a cell.
#[derive(Debug)]
pub(super) enum Plan {
    Null,
    Boolean,
    /// An integer within these bounds.
    Integer(Wire, i64, i64),
    Float(Wire),
    Double(Wire),
    /// Digits behind the point of the value, and of the column, with its precision.
    Decimal {
        from: DecimalWire,
        scale: i32,
        precision: u8,
        column_scale: i8,
    },
    /// Text, from text or from bytes that must be text.
    Text,
    Bytes,
    Fixed(usize),
    /// The symbols.
    Enum(Vec<String>),
    /// Days.
    Date,
    Timestamp(TimeUnit, TimeUnit),
    Array(Box<Plan>),
    Map(Box<Plan>),
    Record(RecordPlan),
    /// The branches; why not, where one cannot be in the column.
    Union(Vec<Result<Plan, String>>),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Int,
    Long,
    Float,
    Double,
}

/// How a decimal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalWire {
    Bytes,
    Fixed(usize),
    Int,
    Long,
}

/// How the fields of a record become columns.
#[derive(Debug)]
pub(super) struct RecordPlan {
    /// In the order in which they are written.
    pub fields: Vec<FieldPlan>,
    /// Columns that no field gives, which are NULL.
    pub missing: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum FieldPlan {
    /// Fills this column.
    Column { name: String, column: usize, plan: Plan },
    /// Is passed over.
    Skip { name: String, key: SchemaKey },
}

/// How the records of a schema become rows of these columns.
///
/// # Errors
/// Why they cannot.
pub(super) fn record<'f>(
    schema: &SchemaMut,
    fields: impl IntoIterator<Item = &'f Field>,
) -> Result<RecordPlan, String> {
    let node = schema.root();
    if !matches!(node.type_, RegularType::Record(_)) {
        return Err(format!("the schema is {}, not a record with a field for each column", named(node)));
    }
    Planner { schema }.record(node, &fields.into_iter().collect::<Vec<_>>())
}

struct Planner<'s> {
    schema: &'s SchemaMut,
}

impl Planner<'_> {
    fn record(&self, node: &SchemaNode, columns: &[&Field]) -> Result<RecordPlan, String> {
        let RegularType::Record(record) = &node.type_ else { return Err("it is no record".into()) };
        let mut missing: Vec<usize> = (0..columns.len()).collect();
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let name = field.name.clone();
            let Some(column) = columns.iter().position(|column| *column.name() == name) else {
                fields.push(FieldPlan::Skip { name, key: field.type_ });
                continue;
            };
            let before = missing.len();
            missing.retain(|index| *index != column);
            if missing.len() == before {
                return Err(format!("the schema has the field `{name}` twice"));
            }
            let plan = self.value(field.type_, columns[column]);
            let plan = plan.map_err(|why| format!("column `{name}`: {why}"))?;
            fields.push(FieldPlan::Column { name, column, plan });
        }
        match missing.iter().find(|index| !columns[**index].is_nullable()) {
            Some(index) => Err(format!(
                "column `{}` is NOT NULL, and {} has no such field",
                columns[*index].name(),
                named(node)
            )),
            None => Ok(RecordPlan { fields, missing }),
        }
    }

    fn node(&self, key: SchemaKey) -> Result<&SchemaNode, String> {
        self.schema.get(key).ok_or_else(|| "the schema has a hole".into())
    }

    fn value(&self, key: SchemaKey, column: &Field) -> Result<Plan, String> {
        let node = self.node(key)?;
        match &node.type_ {
            RegularType::Null if column.is_nullable() => Ok(Plan::Null),
            RegularType::Null => Err("it is null, and the column is NOT NULL".into()),
            RegularType::Union(union) => {
                let branches: Vec<_> =
                    union.variants.iter().map(|branch| self.value(*branch, column)).collect();
                let is_value = |branch: &&Result<Plan, String>| !matches!(branch, Ok(Plan::Null));
                // What every value would be told is told at once.
                if branches.iter().filter(is_value).all(Result::is_err)
                    && let Some(Err(why)) = branches.iter().find(is_value)
                {
                    return Err(why.clone());
                }
                Ok(Plan::Union(branches))
            }
            _ => self.of(node, column),
        }
    }

    fn of(&self, node: &SchemaNode, column: &Field) -> Result<Plan, String> {
        let wanted = column.data_type();
        let refused = || Err(format!("{} cannot be {}", named(node), type_name(wanted)));
        let logical = node.logical_type.as_ref().map(LogicalType::as_str);
        Ok(match (wanted, &node.type_) {
            (DataType::Boolean, RegularType::Boolean) => Plan::Boolean,
            (DataType::Float32, of) => match number(of) {
                Some(wire) if wire != Wire::Double => Plan::Float(wire),
                _ => return refused(),
            },
            (DataType::Float64, of) => match number(of) {
                Some(wire) => Plan::Double(wire),
                None => return refused(),
            },
            (DataType::Utf8, RegularType::String | RegularType::Bytes) if decimal(node).is_none() => {
                Plan::Text
            }
            (DataType::Utf8, RegularType::Enum(of)) => Plan::Enum(of.symbols.clone()),
            (DataType::Binary, RegularType::Bytes | RegularType::String) if decimal(node).is_none() => {
                Plan::Bytes
            }
            (DataType::Binary, RegularType::Fixed(of)) if decimal(node).is_none() => Plan::Fixed(of.size),
            (DataType::Decimal128(precision, scale), _) => {
                let Some((from, of)) = decimal_wire(node) else { return refused() };
                Plan::Decimal { from, scale: of, precision: *precision, column_scale: *scale }
            }
            (DataType::Date32, RegularType::Int) if matches!(logical, None | Some("date")) => Plan::Date,
            (DataType::Timestamp(unit, _), RegularType::Long) => match time_unit(logical) {
                Some(from) => Plan::Timestamp(from, *unit),
                None => return refused(),
            },
            (DataType::List(item), RegularType::Array(of)) => {
                let plan = self.value(of.items, item).map_err(|why| format!("item: {why}"))?;
                Plan::Array(Box::new(plan))
            }
            (DataType::Map(entries, _), RegularType::Map(of)) => {
                let DataType::Struct(parts) = entries.data_type() else { return refused() };
                let [key, value] = &parts[..] else { return refused() };
                if *key.data_type() != DataType::Utf8 {
                    return Err("keys of a map are strings in Avro".into());
                }
                Plan::Map(Box::new(self.value(of.values, value).map_err(|why| format!("value: {why}"))?))
            }
            (DataType::Struct(parts), RegularType::Record(_)) => {
                Plan::Record(self.record(node, &parts.iter().map(|part| &**part).collect::<Vec<_>>())?)
            }
            (wanted, of) => match (bounds(wanted), number(of)) {
                (Some((least, most)), Some(wire @ (Wire::Int | Wire::Long))) => {
                    Plan::Integer(wire, least, most)
                }
                _ => return refused(),
            },
        })
    }
}

/// The least and the greatest number of a type of integers.
pub(super) fn bounds(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN, i64::MAX),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, i64::MAX),
        _ => return None,
    })
}

fn number(of: &RegularType) -> Option<Wire> {
    Some(match of {
        RegularType::Int => Wire::Int,
        RegularType::Long => Wire::Long,
        RegularType::Float => Wire::Float,
        RegularType::Double => Wire::Double,
        _ => return None,
    })
}

/// The scale and the precision of a decimal.
pub(super) fn decimal(node: &SchemaNode) -> Option<(i32, usize)> {
    match &node.logical_type {
        Some(LogicalType::Decimal(of)) => Some((i32::try_from(of.scale).ok()?, of.precision)),
        _ => None,
    }
}

fn decimal_wire(node: &SchemaNode) -> Option<(DecimalWire, i32)> {
    match (&node.type_, decimal(node)) {
        (RegularType::Bytes, Some((scale, _))) => Some((DecimalWire::Bytes, scale)),
        (RegularType::Fixed(of), Some((scale, _))) => Some((DecimalWire::Fixed(of.size), scale)),
        (RegularType::Int, _) => Some((DecimalWire::Int, 0)),
        (RegularType::Long, _) => Some((DecimalWire::Long, 0)),
        _ => None,
    }
}

/// The unit of a `long` that is a time. Without a logical type it is milliseconds, as in JSON.
pub(super) fn time_unit(logical: Option<&str>) -> Option<TimeUnit> {
    Some(match logical {
        None | Some("timestamp-millis" | "local-timestamp-millis") => TimeUnit::Millisecond,
        Some("timestamp-micros" | "local-timestamp-micros") => TimeUnit::Microsecond,
        Some("timestamp-nanos" | "local-timestamp-nanos") => TimeUnit::Nanosecond,
        Some(_) => return None,
    })
}

/// What a type is called in Avro.
pub(super) fn named(node: &SchemaNode) -> String {
    let plain = match &node.type_ {
        RegularType::Null => "null",
        RegularType::Boolean => "boolean",
        RegularType::Int => "int",
        RegularType::Long => "long",
        RegularType::Float => "float",
        RegularType::Double => "double",
        RegularType::Bytes => "bytes",
        RegularType::String => "string",
        RegularType::Array(_) => "an array",
        RegularType::Map(_) => "a map",
        RegularType::Union(_) => "a union",
        RegularType::Record(of) => return format!("the record `{}`", of.name.fully_qualified_name()),
        RegularType::Enum(of) => return format!("the enum `{}`", of.name.fully_qualified_name()),
        RegularType::Fixed(of) => return format!("the fixed `{}`", of.name.fully_qualified_name()),
    };
    match &node.logical_type {
        Some(LogicalType::Decimal(of)) => format!("{plain} (decimal({}, {}))", of.precision, of.scale),
        Some(logical) => format!("{plain} ({})", logical.as_str()),
        None => plain.to_owned(),
    }
}
