//! What methods take where they take a column.
//!
//! Owns the two meanings of a text there, which are Spark's: where columns are chosen, it is the name of one; where values are compared and
//! computed, it is a value. Knows no method.

use super::{Column, literal};
use datafusion_sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Value};

/// A column, or the name of one: of `"a.b"` the column `b` of the DataFrame called `a`, or the field `b` of the row `a`; of `"*"` all columns.
pub trait ColumnOrName {
    /// As a column.
    fn into_column(self) -> Column;
}

impl ColumnOrName for Column {
    fn into_column(self) -> Column {
        self
    }
}

impl ColumnOrName for &Column {
    fn into_column(self) -> Column {
        self.clone()
    }
}

impl ColumnOrName for &str {
    fn into_column(self) -> Column {
        Column::named(self)
    }
}

impl ColumnOrName for &String {
    fn into_column(self) -> Column {
        Column::named(self)
    }
}

impl ColumnOrName for String {
    fn into_column(self) -> Column {
        Column::named(&self)
    }
}

/// A column, or a value: a number, a text, a truth value, or NULL (`None`).
pub trait ColumnOrLiteral {
    /// As a column.
    fn into_operand(self) -> Column;
}

impl ColumnOrLiteral for Column {
    fn into_operand(self) -> Column {
        self
    }
}

impl ColumnOrLiteral for &Column {
    fn into_operand(self) -> Column {
        self.clone()
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl ColumnOrLiteral for $type {
            fn into_operand(self) -> Column {
                let number = literal(Value::Number(self.unsigned_abs().to_string(), false));
                if self.is_negative() { -Column::of(number) } else { Column::of(number) }
            }
        }
    )*};
}
integers!(i8, i16, i32, i64);

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl ColumnOrLiteral for $type {
            fn into_operand(self) -> Column {
                Column::of(literal(Value::Number(self.to_string(), false)))
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64);

impl ColumnOrLiteral for f64 {
    fn into_operand(self) -> Column {
        let text = literal(Value::SingleQuotedString(format!("{self:?}")));
        Column::of(Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(text),
            data_type: DataType::Double(ExactNumberInfo::None),
            array: false,
            format: None,
        })
    }
}

impl ColumnOrLiteral for bool {
    fn into_operand(self) -> Column {
        Column::of(literal(Value::Boolean(self)))
    }
}

impl ColumnOrLiteral for &str {
    fn into_operand(self) -> Column {
        Column::of(literal(Value::SingleQuotedString(self.to_owned())))
    }
}

impl ColumnOrLiteral for String {
    fn into_operand(self) -> Column {
        Column::of(literal(Value::SingleQuotedString(self)))
    }
}

impl<T: ColumnOrLiteral> ColumnOrLiteral for Option<T> {
    fn into_operand(self) -> Column {
        self.map_or_else(|| Column::of(literal(Value::Null)), T::into_operand)
    }
}
