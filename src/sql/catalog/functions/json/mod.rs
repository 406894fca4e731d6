//! `FROM_JSON(text, columns)` and `TO_JSON(row)`, as in Spark.
//!
//! Owns how they are planned: which type a text of a schema means. Knows no value. Invariant: what a text is that is no JSON, or has other
//! values than the schema, is NULL or a row of NULLs, never an error.

mod columns;
mod text;
mod tree;

pub use tree::Node;

use crate::sql::parse;
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{Result as PlanResult, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// Both.
pub fn functions() -> Vec<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    vec![ScalarUDF::from(FromJson { signature: signature.clone() }), ScalarUDF::from(ToJson { signature })]
}

const FROM_JSON: &str = "`from_json` is called as from_json(STRING, 'name TYPE, ..'), with a type such as 'ARRAY<INT>' or 'MAP<STRING, INT>' also";

#[derive(Debug, PartialEq, Eq, Hash)]
struct FromJson {
    signature: Signature,
}

impl ScalarUDFImpl for FromJson {
    fn name(&self) -> &'static str {
        "from_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        plan_err!("{FROM_JSON}")
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let Some(Some(ScalarValue::Utf8(Some(schema)))) = arguments.scalar_arguments.get(1).copied() else {
            return plan_err!("{FROM_JSON}: the columns are a text that does not depend on the row");
        };
        match type_of(schema) {
            Ok(data_type) => Ok(Arc::new(Field::new(self.name(), data_type, true))),
            Err(why) => plan_err!("`from_json`: '{schema}' names no columns: {why}"),
        }
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let is_text = |given: &DataType| given.is_string() || given.is_null();
        match given {
            [text, schema] if is_text(text) && is_text(schema) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            _ => plan_err!("{FROM_JSON}"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let data_type = arguments.return_field.data_type();
        computed(&arguments, |array| columns::of_texts(array.as_string::<i32>(), data_type))
    }
}

/// The value of a function of its first argument.
fn computed(
    arguments: &ScalarFunctionArgs,
    compute: impl Fn(&ArrayRef) -> PlanResult<ArrayRef>,
) -> PlanResult<ColumnarValue> {
    match arguments.args.first() {
        Some(ColumnarValue::Array(array)) => compute(array).map(ColumnarValue::Array),
        Some(ColumnarValue::Scalar(value)) => {
            ScalarValue::try_from_array(&compute(&value.to_array()?)?, 0).map(ColumnarValue::Scalar)
        }
        None => exec_err!("a function without an argument"),
    }
}

/// What `from_json` gives for a text of columns, or of one type.
fn type_of(schema: &str) -> Result<DataType, String> {
    let parsed = parse::data_type(schema).or_else(|of_type| {
        // Columns as a table has them are the fields of a row.
        parse::data_type(&format!("ROW<{schema}>")).map_err(|of_columns| {
            let is_a_type = !schema.trim().contains(' ') || schema.contains('<');
            if is_a_type { of_type } else { of_columns }
        })
    });
    let data_type = parsed.map_err(|mistake| mistake.message)?;
    match &data_type {
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => Ok(nullable(&data_type)),
        _ => Err("a row, a list or a map is needed, such as 'a INT, b STRING'".into()),
    }
}

/// The same type where each part can be NULL.
fn nullable(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| {
        let data_type = nullable(field.data_type());
        Arc::new(Field::new(field.name(), data_type, true))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::Map(entries, is_sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let fields =
                fields.iter().enumerate().map(|(at, part)| if at == 0 { part.clone() } else { field(part) });
            let entries = entries.as_ref().clone().with_data_type(DataType::Struct(fields.collect()));
            DataType::Map(Arc::new(entries), *is_sorted)
        }
        other => other.clone(),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToJson {
    signature: Signature,
}

impl ScalarUDFImpl for ToJson {
    fn name(&self) -> &'static str {
        "to_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        if let [DataType::Struct(_) | DataType::List(_) | DataType::Map(..)] = given {
            return Ok(given.to_vec());
        }
        plan_err!("`to_json` is called as to_json(ROW), to_json(ARRAY) or to_json(MAP)")
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        computed(&arguments, |array| {
            let texts = (0..array.len()).map(|row| {
                if array.is_null(row) {
                    return Ok(None);
                }
                let mut text = String::new();
                text::put(array.as_ref(), row, &mut text)?;
                Ok(Some(text))
            });
            Ok(Arc::new(texts.collect::<PlanResult<StringArray>>()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `from_json` makes of texts, as `to_json` writes it.
    fn there_and_back(schema: &str, texts: &[Option<&str>]) -> Vec<Option<String>> {
        let read = columns::of_texts(&StringArray::from(texts.to_vec()), &type_of(schema).unwrap()).unwrap();
        let text = |row| {
            let mut text = String::new();
            (!read.is_null(row)).then(|| text::put(read.as_ref(), row, &mut text).map(|()| text).unwrap())
        };
        (0..read.len()).map(text).collect()
    }

    /// The right answers are PySpark's (4.1.1).
    #[test]
    fn texts_become_rows_as_in_spark() {
        let cases = [
            (r#"{"a":1,"b":"x"}"#, r#"{"a":1,"b":"x"}"#),
            (r#"{"a":"1","b":2}"#, r#"{"b":"2"}"#),
            (r#"{"b":{"c": [1, 2]},"a":1.0}"#, r#"{"b":"{\"c\":[1,2]}"}"#),
            ("bad", "{}"),
            (r#"[{"a":5,"b":"in"}]"#, "{}"),
            (r#"{"a":2"#, "{}"),
            (r#"{"a":9999999999,"b":null}"#, "{}"),
            (r#"{"A":3}"#, "{}"),
            (r#" {"a" : 4 } "#, r#"{"a":4}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("null", "{}"),
            ("3", "{}"),
            (r#"{"a":1} trailing"#, r#"{"a":1}"#),
            ("{'a':7, 'b': 'it\\'s'}", r#"{"a":7,"b":"it's"}"#),
            (r#"{"a":true,"b":true}"#, r#"{"b":"true"}"#),
        ];
        let texts: Vec<_> = cases.iter().map(|(text, _)| Some(*text)).chain([Some("  "), None]).collect();
        let expected = cases.iter().map(|(_, row)| Some((*row).to_owned())).chain([None, None]);
        assert_eq!(there_and_back("a INT, b STRING", &texts), expected.collect::<Vec<_>>());
    }

    #[test]
    fn values_have_the_types_of_the_columns_or_are_null() {
        let schema = "d DATE, ts TIMESTAMP, dec DECIMAL(5,2), f DOUBLE, bo BOOLEAN, l ARRAY<INT>, m MAP<STRING, INT>, s STRUCT<p: INT>";
        let cases = [
            (
                r#"{"d":"2024-02-29","ts":"2024-02-29T10:00:00Z","dec":1.25,"f":1.5,"bo":true,"l":[1,2,null],"m":{"x":1,"y":null},"s":{"p":1}}"#,
                r#"{"d":"2024-02-29","ts":"2024-02-29T10:00:00.000Z","dec":1.25,"f":1.5,"bo":true,"l":[1,2,null],"m":{"x":1,"y":null},"s":{"p":1}}"#,
            ),
            (
                r#"{"d":"2024-2-9","ts":"2024-02-29 10:00:00.5","dec":1.255,"f":1,"bo":"true","l":["1"],"m":{"x":"1"},"s":{"p":"1"}}"#,
                r#"{"d":"2024-02-09","ts":"2024-02-29T10:00:00.500Z","dec":1.26,"f":1.0,"s":{}}"#,
            ),
            (
                r#"{"d":19000,"ts":1700000000,"dec":"1.25","f":"NaN","bo":1,"l":3,"m":[],"s":[]}"#,
                r#"{"ts":"2023-11-14T22:13:20.000Z","dec":1.25,"f":"NaN"}"#,
            ),
            (
                r#"{"d":"x","ts":"x","dec":123456789.5,"f":"Infinity","m":{},"s":null}"#,
                r#"{"f":"Infinity","m":{}}"#,
            ),
            (
                r#"{"d":"2024-02-29T01:00:00","ts":"2024-02-29T10:00:00+02:00","dec":12345,"bo":false,"l":[],"m":{"x":1.5},"s":{}}"#,
                r#"{"d":"2024-02-29","ts":"2024-02-29T08:00:00.000Z","bo":false,"l":[],"s":{}}"#,
            ),
            (r#"{"ts":"2024-02-29"}"#, r#"{"ts":"2024-02-29T00:00:00.000Z"}"#),
        ];
        for (text, row) in cases {
            assert_eq!(there_and_back(schema, &[Some(text)]), [Some(row.to_owned())], "{text}");
        }
    }

    #[test]
    fn lists_and_maps_are_there_as_a_whole_or_not() {
        let texts = [
            Some("[1,2]"),
            Some(r#"{"a":1}"#),
            Some("x"),
            Some("[]"),
            Some("1"),
            Some(r#"{"x":{"a":1}}"#),
            None,
        ];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            there_and_back("array<int>", &texts),
            [some("[1,2]"), None, None, some("[]"), None, None, None]
        );
        assert_eq!(
            there_and_back("map<string, int>", &texts),
            [None, some(r#"{"a":1}"#), None, None, None, None, None]
        );
    }

    #[test]
    fn what_is_no_schema_is_told() {
        assert!(type_of("int").unwrap_err().contains("'a INT, b STRING'"));
        assert!(type_of("a NUMBERS").is_err());
        assert_eq!(type_of("STRUCT<a: INT>").unwrap(), type_of("a INT").unwrap());
    }
}
