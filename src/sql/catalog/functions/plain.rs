//! Functions of our own that are computed value by value.
//!
//! Owns how such a function is declared: which arguments it takes and what it gives. Knows no function. Invariant: the same arguments give
//! the same value, whenever and wherever it is computed.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, TimeUnit},
};
use datafusion_common::{Result as PlanResult, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A text.
    Text,
    /// Bytes; a text is its own.
    Bytes,
    /// An integer, as 64 bits.
    Integer,
    /// A time, as microseconds without a zone; dates and texts become one.
    Time,
}

impl Argument {
    /// The type that an argument of this type gets; `None` = it cannot be one.
    fn taken(self, given: &DataType) -> Option<DataType> {
        let is_text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fits = *given == DataType::Null
            || match self {
                Argument::Text => is_text,
                Argument::Bytes => {
                    is_text
                        || matches!(given, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
                }
                Argument::Integer => given.is_integer(),
                Argument::Time => {
                    is_text || matches!(given, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
                }
            };
        fits.then(|| self.data_type())
    }

    /// Whether an argument of this type can be one.
    pub fn takes(self, given: &DataType) -> bool {
        self.taken(given).is_some()
    }

    fn data_type(self) -> DataType {
        match self {
            Argument::Text => DataType::Utf8,
            Argument::Bytes => DataType::Binary,
            Argument::Integer => DataType::Int64,
            Argument::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Argument::Text => "STRING",
            Argument::Bytes => "BYTES",
            Argument::Integer => "BIGINT",
            Argument::Time => "TIMESTAMP",
        }
    }
}

/// A function: its name, the arguments that it takes, and how it is computed.
struct Plain {
    name: &'static str,
    shapes: &'static [&'static [Argument]],
    result: DataType,
    compute: fn(&[ArrayRef]) -> PlanResult<ArrayRef>,
    signature: Signature,
}

/// A function that takes one of several lists of arguments.
pub fn function(
    name: &'static str,
    shapes: &'static [&'static [Argument]],
    result: DataType,
    compute: fn(&[ArrayRef]) -> PlanResult<ArrayRef>,
) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(Plain { name, shapes, result, compute, signature })
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plain").field(&self.name).finish()
    }
}

impl PartialEq for Plain {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Plain {}

impl Hash for Plain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.result.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        for shape in self.shapes.iter().filter(|shape| shape.len() == given.len()) {
            let taken = shape.iter().zip(given).map(|(argument, given)| argument.taken(given));
            if let Some(taken) = taken.collect::<Option<Vec<_>>>() {
                return Ok(taken);
            }
        }
        let shape = |shape: &&[Argument]| {
            let words: Vec<&str> = shape.iter().map(|argument| argument.in_words()).collect();
            format!("{}({})", self.name, words.join(", "))
        };
        let shapes: Vec<String> = self.shapes.iter().map(shape).collect();
        plan_err!("`{}` is called as {}", self.name, shapes.join(" or "))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let is_one = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let result = (self.compute)(&arrays)?;
        if is_one && result.len() == 1 {
            return datafusion_common::ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}
