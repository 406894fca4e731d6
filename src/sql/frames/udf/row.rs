//! Functions over the values of a row.
//!
//! Owns how a closure is called for each row. Knows no session. Invariant: it is called once for each row whose values it takes, in their order.

use super::value::{UdfArgument, UdfResult};
use arrow::{array::ArrayRef, datatypes::DataType};

/// A function that [`register`](super::UdfRegistration::register) takes: of up to six [arguments](UdfArgument), each with its type, to a
/// [result](UdfResult). `Types` follows from the function.
pub trait RowFunction<Types>: Send + Sync + 'static {
    /// The types of the columns that it takes.
    #[doc(hidden)]
    fn arguments() -> Vec<DataType>;

    /// The type of the column that it gives.
    #[doc(hidden)]
    fn returns() -> DataType;

    /// What it gives for each row of these columns; without arguments, of a column that says how many rows there are.
    #[doc(hidden)]
    fn column(&self, arguments: &[ArrayRef]) -> Result<ArrayRef, String>;
}

/// What is computed of a row; `None` if it has a NULL that is not taken.
fn of_row<R>(compute: impl FnOnce() -> Option<R>) -> Option<R> {
    compute()
}

macro_rules! row_functions {
    ($($argument:ident $value:ident $place:tt),*) => {
        impl<F, R, $($argument),*> RowFunction<fn($($argument),*) -> R> for F
        where
            F: Send + Sync + 'static,
            R: UdfResult,
            $($argument: UdfArgument,)*
            // A text is borrowed from its row, however long that lives.
            for<'f, 'r> &'f F: Fn($($argument),*) -> R + Fn($(<$argument as UdfArgument>::Of<'r>),*) -> R,
        {
            fn arguments() -> Vec<DataType> {
                vec![$($argument::data_type()),*]
            }

            fn returns() -> DataType {
                R::data_type()
            }

            fn column(&self, arguments: &[ArrayRef]) -> Result<ArrayRef, String> {
                // Which of the two ways to call the function is meant follows from the types of the values here.
                #[allow(clippy::too_many_arguments, reason = "the function has six at most")]
                fn called<R, $($argument),*>(function: impl Fn($($argument),*) -> R, $($value: $argument),*) -> R {
                    function($($value),*)
                }
                let rows = arguments.first().map_or(0, |column| column.len());
                let value = |row: usize| {
                    let _ = row; // without arguments
                    of_row(|| {
                        $(let $value = <$argument as UdfArgument>::read(arguments[$place].as_ref(), row)?;)*
                        Some(called(self, $($value),*))
                    })
                };
                R::column((0..rows).map(value).collect())
            }
        }
    };
}

row_functions!();
row_functions!(A a1 0);
row_functions!(A a1 0, B a2 1);
row_functions!(A a1 0, B a2 1, C a3 2);
row_functions!(A a1 0, B a2 1, C a3 2, D a4 3);
row_functions!(A a1 0, B a2 1, C a3 2, D a4 3, E a5 4);
row_functions!(A a1 0, B a2 1, C a3 2, D a4 3, E a5 4, G a6 5);

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Array, AsArray, Int64Array, NullArray, StringArray},
        datatypes::Int64Type,
    };
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    /// The types of a function, and what it gives.
    #[expect(clippy::needless_pass_by_value, reason = "as it is registered")]
    fn given<T, F: RowFunction<T>>(function: F, arguments: &[ArrayRef]) -> Result<Vec<Option<i64>>, String> {
        assert_eq!(F::returns(), DataType::Int64);
        let types: Vec<DataType> = arguments.iter().map(|column| column.data_type().clone()).collect();
        assert!(F::arguments() == types || F::arguments().is_empty());
        let column = function.column(arguments)?;
        Ok(column.as_primitive::<Int64Type>().iter().collect())
    }

    fn longer(text: &str, by: Option<i64>) -> i64 {
        i64::try_from(text.len()).unwrap() + by.unwrap_or(100)
    }

    #[test]
    fn closures_and_functions_are_called_for_each_row() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("abc")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let both = [texts.clone(), numbers.clone()];
        assert_eq!(given(longer, &both), Ok(vec![Some(2), None, Some(103)]));
        assert_eq!(given(|n: i64| n * 2, &both[1..]), Ok(vec![Some(2), Some(4), None]));
        let known = |text: Option<&str>| text.map(|text| i64::try_from(text.len()).unwrap());
        assert_eq!(given(known, &both[..1]), Ok(vec![Some(1), None, Some(3)]));
        let parsed = |text: String| if text == "a" { Ok(1_i64) } else { Err(format!("`{text}` is no a")) };
        assert_eq!(given(parsed, &both[..1]), Err("`abc` is no a".to_owned()));
        let calls = AtomicI64::new(0);
        let counting = move || calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(given(counting, &[Arc::new(NullArray::new(3))]), Ok(vec![Some(0), Some(1), Some(2)]));
        let six = |n1: i64, n2: i64, n3: i64, n4: i64, n5: i64, n6: i64| n1 + n2 + n3 + n4 + n5 + n6;
        assert_eq!(given(six, &vec![numbers; 6]), Ok(vec![Some(6), Some(12), None]));
    }
}
