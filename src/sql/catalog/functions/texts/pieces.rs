//! `CONCAT`, `SUBSTR` and `REGEXP_REPLACE` as Spark and Flink SQL have them, where DataFusion's, which are Postgres's, give something else.
//!
//! Owns what they give: NULL in `CONCAT` gives NULL; `SUBSTR` counts from the end with a negative number; `REGEXP_REPLACE` replaces each match.

use crate::sql::catalog::functions::plain::{
    Argument::{Integer, Text},
    function,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    datatypes::{DataType, Field, Int64Type},
};
use datafusion_common::{Result as PlanResult, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
    planner::{ExprPlanner, PlannerResult},
};
use datafusion_functions_nested::concat::array_concat_udf;
use std::sync::Arc;

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    vec![
        ScalarUDF::from(Concat { signature: signature.clone() }),
        ScalarUDF::from(RegexpReplace { signature }),
        substr_function(),
    ]
}

fn substr_function() -> ScalarUDF {
    function("substr", &[&[Text, Integer], &[Text, Integer, Integer]], DataType::Utf8, substr)
        .with_aliases(["substring"])
}

/// Plans `SUBSTRING(text FROM a FOR b)`, which is no call to the parser.
#[derive(Debug)]
pub struct Substring;

impl ExprPlanner for Substring {
    fn plan_substring(&self, arguments: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        let call = ScalarFunction::new_udf(Arc::new(substr_function()), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// The characters from a place on, which is counted from 1, or from the end if it is negative; 0 is as 1.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn substr(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let (texts, places) = (arguments[0].as_string::<i32>(), arguments[1].as_primitive::<Int64Type>());
    let lengths = arguments.get(2).map(AsArray::as_primitive::<Int64Type>);
    let part = |row: usize| {
        if texts.is_null(row) || places.is_null(row) || lengths.is_some_and(|lengths| lengths.is_null(row)) {
            return None;
        }
        let (text, place) = (texts.value(row), places.value(row));
        let start = match place {
            1.. => place - 1,
            0 => 0,
            _ => i64::try_from(text.chars().count()).unwrap_or(i64::MAX).saturating_add(place),
        };
        let end = lengths.map_or(i64::MAX, |lengths| start.saturating_add(lengths.value(row)));
        let byte = |character: i64| {
            let character = usize::try_from(character.max(0)).unwrap_or(usize::MAX);
            text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
        };
        let (from, to) = (byte(start), byte(end));
        Some(if from < to { &text[from..to] } else { "" })
    };
    Ok(Arc::new((0..texts.len()).map(part).collect::<StringArray>()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Concat {
    signature: Signature,
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> PlanResult<DataType> {
        if given.iter().any(DataType::is_list) {
            array_concat_udf().return_type(given)
        } else {
            Ok(DataType::Utf8)
        }
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        if given.iter().any(DataType::is_list) {
            return Ok(given.to_vec());
        }
        if given.is_empty() || given.iter().any(DataType::is_nested) {
            return plan_err!("`concat` is called as concat(STRING, ..) or concat(ARRAY, ..)");
        }
        Ok(vec![DataType::Utf8; given.len()])
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        if arguments.return_field.data_type().is_list() {
            return array_concat_udf().invoke_with_args(arguments);
        }
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let texts: Vec<&StringArray> = arrays.iter().map(AsArray::as_string::<i32>).collect();
        let rows = arrays.first().map_or(0, Array::len);
        let mut joined = StringBuilder::new();
        let mut text = String::new();
        for row in 0..rows {
            if texts.iter().any(|texts| texts.is_null(row)) {
                joined.append_null();
                continue;
            }
            text.clear();
            texts.iter().for_each(|texts| text.push_str(texts.value(row)));
            joined.append_value(&text);
        }
        let joined = joined.finish();
        if arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) && rows == 1 {
            return ScalarValue::try_from_array(&joined, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RegexpReplace {
    signature: Signature,
}

impl ScalarUDFImpl for RegexpReplace {
    fn name(&self) -> &'static str {
        "regexp_replace"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let are_texts = given.iter().all(|given| given.is_string() || given.is_null());
        if are_texts && (3..=4).contains(&given.len()) {
            return Ok(vec![DataType::Utf8; given.len()]);
        }
        plan_err!("`regexp_replace` is called as regexp_replace(STRING, regex, STRING [, flags])")
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        if arguments.args.len() == 3 {
            arguments.args.push(ColumnarValue::Scalar(ScalarValue::Utf8(Some("g".to_owned()))));
            arguments.arg_fields.push(Arc::new(Field::new("flags", DataType::Utf8, false)));
        }
        datafusion_functions::regex::regexp_replace().invoke_with_args(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    /// The right answers are PySpark's (4.1.1).
    #[test]
    fn parts_of_texts_are_counted_as_in_spark() {
        let part = |text: &str, place: i64, length: Option<i64>| {
            let mut arguments: Vec<ArrayRef> =
                vec![Arc::new(StringArray::from(vec![text])), Arc::new(Int64Array::from(vec![place]))];
            arguments.extend(length.map(|length| Arc::new(Int64Array::from(vec![length])) as ArrayRef));
            substr(&arguments).unwrap().as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(part("hello", -3, None), "llo");
        assert_eq!(part("hello", 0, Some(2)), "he");
        assert_eq!(part("hello", -3, Some(2)), "ll");
        assert_eq!(part("hello", -9, Some(6)), "he");
        assert_eq!(part("h\u{e9}llo", 2, Some(2)), "\u{e9}l");
        assert_eq!((part("hello", 9, None), part("hello", 2, Some(-1))), (String::new(), String::new()));
    }
}
