//! Values of columns as values of Rust.
//!
//! Owns which types of Rust a function may take and give, and what each is as a column. Knows no function. Invariants: a NULL is `None`, and
//! nothing else is; a value that is given is the value of its row.

use crate::sql::parse::type_name;
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use std::{fmt::Display, sync::Arc};

/// What a function over rows may take: `bool`, `i8`, `i16`, `i32`, `i64`, `f32`, `f64`, `&str`, `String`, `&[u8]`, `Vec<u8>` (`BYTES`), and an
/// `Option` of one of them. Where it takes no `Option` and the value is NULL, the function is not called, and its result is NULL.
pub trait UdfArgument: Sized {
    /// The same, of a row that lives so long.
    #[doc(hidden)]
    type Of<'r>;

    /// The type of its column.
    #[doc(hidden)]
    fn data_type() -> DataType;

    /// The value of a row; `None` = it is NULL, which is not taken.
    #[doc(hidden)]
    fn read(column: &dyn Array, row: usize) -> Option<Self::Of<'_>>;
}

/// What a function over rows may give: `bool`, `i8`, `i16`, `i32`, `i64`, `f32`, `f64`, `String`, `&'static str`, `Vec<u8>` (`BYTES`), a `Vec` of one of
/// them (`ARRAY`), an `Option` (`None` is NULL), and a `Result`, whose error makes the record behind the row a bad one.
pub trait UdfResult: Sized {
    /// The type of its column.
    #[doc(hidden)]
    fn data_type() -> DataType;

    /// A column of these values, `None` for NULL; or why there is none.
    #[doc(hidden)]
    fn column(values: Vec<Option<Self>>) -> Result<ArrayRef, String>;
}

macro_rules! numbers {
    ($($rust:ty: $arrow:ident $name:ident),*) => {$(
        impl UdfArgument for $rust {
            type Of<'r> = $rust;

            fn data_type() -> DataType {
                DataType::$name
            }

            fn read(column: &dyn Array, row: usize) -> Option<$rust> {
                let column = column.as_primitive::<$arrow>();
                column.is_valid(row).then(|| column.value(row))
            }
        }

        impl UdfResult for $rust {
            fn data_type() -> DataType {
                DataType::$name
            }

            fn column(values: Vec<Option<$rust>>) -> Result<ArrayRef, String> {
                Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<$arrow>>()))
            }
        }
    )*};
}
numbers!(
    i8: Int8Type Int8,
    i16: Int16Type Int16,
    i32: Int32Type Int32,
    i64: Int64Type Int64,
    f32: Float32Type Float32,
    f64: Float64Type Float64
);

impl UdfArgument for bool {
    type Of<'r> = bool;

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn read(column: &dyn Array, row: usize) -> Option<bool> {
        let column = column.as_boolean();
        column.is_valid(row).then(|| column.value(row))
    }
}

impl UdfResult for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn column(values: Vec<Option<bool>>) -> Result<ArrayRef, String> {
        Ok(Arc::new(values.into_iter().collect::<BooleanArray>()))
    }
}

impl UdfArgument for &str {
    type Of<'r> = &'r str;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn read(column: &dyn Array, row: usize) -> Option<&str> {
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }
}

impl UdfArgument for String {
    type Of<'r> = String;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn read(column: &dyn Array, row: usize) -> Option<String> {
        <&str>::read(column, row).map(str::to_owned)
    }
}

macro_rules! texts {
    ($($text:ty),*) => {$(
        impl UdfResult for $text {
            fn data_type() -> DataType {
                DataType::Utf8
            }

            fn column(values: Vec<Option<$text>>) -> Result<ArrayRef, String> {
                Ok(Arc::new(values.into_iter().collect::<StringArray>()))
            }
        }
    )*};
}
texts!(String, &'static str);

impl UdfArgument for &[u8] {
    type Of<'r> = &'r [u8];

    fn data_type() -> DataType {
        DataType::Binary
    }

    fn read(column: &dyn Array, row: usize) -> Option<&[u8]> {
        let column = column.as_binary::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }
}

impl UdfArgument for Vec<u8> {
    type Of<'r> = Vec<u8>;

    fn data_type() -> DataType {
        DataType::Binary
    }

    fn read(column: &dyn Array, row: usize) -> Option<Vec<u8>> {
        <&[u8]>::read(column, row).map(<[u8]>::to_vec)
    }
}

impl UdfResult for Vec<u8> {
    fn data_type() -> DataType {
        DataType::Binary
    }

    fn column(values: Vec<Option<Vec<u8>>>) -> Result<ArrayRef, String> {
        Ok(Arc::new(values.into_iter().collect::<BinaryArray>()))
    }
}

impl<T: UdfArgument> UdfArgument for Option<T> {
    type Of<'r> = Option<T::Of<'r>>;

    fn data_type() -> DataType {
        T::data_type()
    }

    fn read(column: &dyn Array, row: usize) -> Option<Option<T::Of<'_>>> {
        Some(T::read(column, row))
    }
}

impl<T: UdfResult> UdfResult for Option<T> {
    fn data_type() -> DataType {
        T::data_type()
    }

    fn column(values: Vec<Option<Option<T>>>) -> Result<ArrayRef, String> {
        T::column(values.into_iter().map(Option::flatten).collect())
    }
}

impl<T: UdfResult, E: Display> UdfResult for Result<T, E> {
    fn data_type() -> DataType {
        T::data_type()
    }

    fn column(values: Vec<Option<Result<T, E>>>) -> Result<ArrayRef, String> {
        let good = values.into_iter().map(Option::transpose).collect::<Result<Vec<_>, _>>();
        T::column(good.map_err(|e| e.to_string())?)
    }
}

impl<T: UdfResult> UdfResult for Vec<T> {
    fn data_type() -> DataType {
        DataType::List(item(T::data_type()))
    }

    fn column(values: Vec<Option<Vec<T>>>) -> Result<ArrayRef, String> {
        let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
        let lengths = values.iter().map(|list| list.as_ref().map_or(0, Vec::len));
        let total: usize = lengths.clone().sum();
        if i32::try_from(total).is_err() {
            return Err(format!("{total} elements do not fit into one {}", type_name(&Self::data_type())));
        }
        let offsets = OffsetBuffer::from_lengths(lengths);
        let elements = T::column(values.into_iter().flatten().flatten().map(Some).collect())?;
        let lists = ListArray::try_new(item(T::data_type()), offsets, elements, Some(nulls));
        lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(|e| e.to_string())
    }
}

/// The elements of a list, as `ARRAY<..>` declares them.
fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    /// The values of a column that is made of these.
    fn made<T: UdfResult>(values: Vec<Option<T>>) -> String {
        match T::column(values) {
            Ok(column) => {
                assert_eq!(*column.data_type(), T::data_type());
                let text = |row| arrow::util::display::array_value_to_string(&column, row).unwrap();
                (0..column.len()).map(text).collect::<Vec<_>>().join("|")
            }
            Err(why) => format!("no column: {why}"),
        }
    }

    /// What is read of a column that is made of these.
    fn read_back<T: UdfResult + UdfArgument>(values: Vec<Option<T>>) -> String
    where
        for<'r> T::Of<'r>: Debug,
    {
        let column = T::column(values).unwrap();
        assert_eq!(<T as UdfArgument>::data_type(), *column.data_type());
        let values: Vec<_> = (0..column.len()).map(|row| T::read(column.as_ref(), row)).collect();
        format!("{values:?}")
    }

    #[test]
    fn what_is_given_is_read_back() {
        assert_eq!(read_back(vec![Some(-1_i8), None]), "[Some(-1), None]");
        assert_eq!(read_back(vec![Some(i16::MAX), None]), "[Some(32767), None]");
        assert_eq!(read_back(vec![Some(i32::MIN), None]), "[Some(-2147483648), None]");
        assert_eq!(read_back(vec![Some(i64::MAX), None]), "[Some(9223372036854775807), None]");
        assert_eq!(read_back(vec![Some(0.5_f32), None]), "[Some(0.5), None]");
        assert_eq!(read_back(vec![Some(-0.25_f64), None]), "[Some(-0.25), None]");
        assert_eq!(read_back(vec![Some(true), None, Some(false)]), "[Some(true), None, Some(false)]");
        assert_eq!(read_back(vec![Some("sea".to_owned()), None]), "[Some(\"sea\"), None]");
        assert_eq!(read_back(vec![Some(vec![0_u8, 255]), None]), "[Some([0, 255]), None]");
        let options = vec![Some(Some(7_i64)), Some(None), None];
        assert_eq!(read_back(options), "[Some(Some(7)), Some(None), Some(None)]");
        let texts = StringArray::from(vec![Some("tide"), None]);
        assert_eq!(<&str>::read(&texts, 0), Some("tide"));
        assert_eq!(<Option<&str>>::read(&texts, 1), Some(None));
        let bytes = BinaryArray::from(vec![b"tide".as_slice()]);
        assert_eq!(<&[u8]>::read(&bytes, 0), Some(&b"tide"[..]));
    }

    #[test]
    fn results_and_lists_are_columns() {
        assert_eq!(made(vec![Some("a"), None]), "a|");
        assert_eq!(made::<Result<i64, String>>(vec![Some(Ok(3)), None]), "3|");
        assert_eq!(made(vec![Some(Ok(3)), Some(Err("no number"))]), "no column: no number");
        let lists = vec![Some(vec![Some("a"), None]), None, Some(vec![]), Some(vec![Some("b")])];
        assert_eq!(made(lists), "[a, ]||[]|[b]");
        assert_eq!(made(vec![Some(vec![vec![1_i32], vec![]])]), "[[1], []]");
        assert_eq!(type_name(&<Vec<Vec<f64>>>::data_type()), "ARRAY<ARRAY<DOUBLE>>");
    }
}
