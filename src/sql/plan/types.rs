//! The types of SQL: their names for people, what the types of the grammar mean here, and which values a column takes without a cast.
//!
//! Owns these three tables. Knows no plan. Invariant: `TIMESTAMP` without a precision counts milliseconds.

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion_common::{Result as PlanResult, not_impl_err};
use datafusion_expr::planner::TypePlanner;
use datafusion_sql::sqlparser::ast::{DataType as SqlType, ExactNumberInfo, TimezoneInfo};
use std::sync::Arc;

/// How a type is written in SQL.
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float16 | DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTES".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let kind = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            format!("{kind}({})", digits(*unit))
        }
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano)
        | DataType::Duration(_) => "INTERVAL".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", type_name(fields[0].data_type()), type_name(fields[1].data_type()))
            }
            _ => "MAP".to_owned(),
        },
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        DataType::Union(..) => "UNION".to_owned(),
    }
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The form in which rows carry a type between operators: views and large forms, which only some functions answer with, become plain.
#[must_use]
pub fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::List(item) => {
            DataType::List(plain_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain(field.data_type());
    if &data_type == field.data_type() {
        field.clone()
    } else {
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    }
}

/// Whether a value of one type may be written to a column of another without a `CAST` in the query: no value is lost by it, save that
/// decimals are rounded to the scale of the column, and times to its precision.
#[must_use]
pub fn is_assignable(from: &DataType, to: &DataType) -> bool {
    let (from, to) = (&plain(from), &plain(to));
    if from == to || *from == DataType::Null {
        return true;
    }
    let is_decimal =
        |data_type: &DataType| matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..));
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => is_assignable(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| is_assignable(from.data_type(), to.data_type()))
        }
        (DataType::Timestamp(..) | DataType::Date32, DataType::Timestamp(..) | DataType::Date32) => true,
        // Some functions answer with unsigned numbers, which SQL has no words for.
        (DataType::UInt64, DataType::Int64) => true,
        (from, DataType::Decimal128(..)) if from.is_integer() || is_decimal(from) => true,
        (from, DataType::Float64) => from.is_numeric(),
        (from, DataType::Float32) => from.is_integer() || is_decimal(from),
        (from, to) if from.is_integer() && to.is_integer() => {
            let signed = |data_type: &DataType| data_type.is_signed_integer();
            let (from_width, to_width) = (from.primitive_width(), to.primitive_width());
            match (signed(from), signed(to)) {
                (true, true) | (false, false) => from_width <= to_width,
                (false, true) => from_width < to_width,
                (true, false) => false,
            }
        }
        _ => false,
    }
}

/// What the types of the grammar mean, where it is not what DataFusion takes them for.
#[derive(Debug)]
pub struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> PlanResult<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Timestamp(precision, zone) => {
                let has_zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
                timestamp(precision.unwrap_or(3), has_zone)?
            }
            SqlType::Custom(name, arguments) if name.to_string().eq_ignore_ascii_case("timestamp_ltz") => {
                let precision = arguments.first().and_then(|digits| digits.parse().ok()).unwrap_or(3);
                timestamp(precision, true)?
            }
            SqlType::TimestampNtz(precision) => timestamp(precision.unwrap_or(3), false)?,
            SqlType::Datetime(precision) => timestamp(precision.unwrap_or(3), false)?,
            SqlType::Character(_)
            | SqlType::CharacterVarying(_)
            | SqlType::CharVarying(_)
            | SqlType::Nvarchar(_)
            | SqlType::Clob(_)
            | SqlType::TinyText
            | SqlType::MediumText
            | SqlType::LongText => DataType::Utf8,
            SqlType::Bytes(_) | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Blob(_) => {
                DataType::Binary
            }
            SqlType::Double(ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(..)) => {
                DataType::Float64
            }
            SqlType::Dec(ExactNumberInfo::None) => DataType::Decimal128(10, 0),
            SqlType::Decimal(ExactNumberInfo::None) | SqlType::Numeric(ExactNumberInfo::None) => {
                DataType::Decimal128(10, 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

fn timestamp(digits: u64, has_zone: bool) -> PlanResult<DataType> {
    let unit = match digits {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => return not_impl_err!("TIMESTAMP({digits}) is finer than microseconds: write TIMESTAMP(6)"),
    };
    Ok(DataType::Timestamp(unit, has_zone.then(|| "UTC".into())))
}
