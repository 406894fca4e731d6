//! Functions of texts that scripts of Flink SQL use and DataFusion does not have.
//!
//! Owns what they give. Invariants: NULL gives NULL; an expression that is no regular expression is an error of the row.

mod codes;
mod pieces;

pub use pieces::Substring;

use super::{
    json::Node,
    plain::{
        Argument::{Integer, Text},
        function,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray},
    datatypes::{DataType, Int64Type},
};
use datafusion_common::{Result as PlanResult, exec_err};
use datafusion_expr::ScalarUDF;
use regex::Regex;
use serde_json::Value;
use std::sync::Arc;

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let mut all = codes::functions();
    all.extend(pieces::functions());
    all.extend([
        function("split_index", &[&[Text, Text, Integer]], DataType::Utf8, split_index),
        function("regexp_extract", &[&[Text, Text], &[Text, Text, Integer]], DataType::Utf8, regexp_extract),
        function("regexp", &[&[Text, Text]], DataType::Boolean, regexp),
        function("count_char", &[&[Text, Text]], DataType::Int64, count_char),
        function("json_value", &[&[Text, Text]], DataType::Utf8, json_value),
        function("get_json_object", &[&[Text, Text]], DataType::Utf8, get_json_object),
    ]);
    all
}

/// The two texts of each row.
fn pairs(arguments: &[ArrayRef]) -> impl Iterator<Item = Option<(&str, &str)>> {
    let (first, second) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
    first.iter().zip(second.iter()).map(|(first, second)| Some((first?, second?)))
}

/// The part of a text between delimiters, counted from 0.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn split_index(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let numbers = arguments[2].as_primitive::<Int64Type>();
    let part = |(pair, number): (Option<(&str, &str)>, Option<i64>)| {
        let ((text, delimiter), number) = (pair?, usize::try_from(number?).ok()?);
        if delimiter.is_empty() {
            return None;
        }
        text.split(delimiter).nth(number).map(str::to_owned)
    };
    Ok(Arc::new(pairs(arguments).zip(numbers.iter()).map(part).collect::<StringArray>()))
}

/// Regular expressions, of which the last one is kept: it is the same in all rows as a rule.
#[derive(Default)]
struct Compiled(Option<(String, Regex)>);

impl Compiled {
    fn get(&mut self, pattern: &str) -> PlanResult<&Regex> {
        if self.0.as_ref().is_none_or(|(known, _)| known != pattern) {
            let regex = match Regex::new(pattern) {
                Ok(regex) => regex,
                Err(e) => return exec_err!("'{pattern}' is no regular expression: {e}"),
            };
            self.0 = Some((pattern.to_owned(), regex));
        }
        if let Some((_, regex)) = &self.0 { Ok(regex) } else { exec_err!("no regular expression") }
    }
}

/// What a group of a regular expression has matched; 0 = all of it.
fn regexp_extract(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let numbers = arguments.get(2).map(AsArray::as_primitive::<Int64Type>);
    let mut compiled = Compiled::default();
    let mut extracted = Vec::with_capacity(arguments[0].len());
    for (row, pair) in pairs(arguments).enumerate() {
        let number = numbers.map_or(Some(0), |numbers| numbers.is_valid(row).then(|| numbers.value(row)));
        let (Some((text, pattern)), Some(number)) = (pair, number) else {
            extracted.push(None);
            continue;
        };
        let captures = compiled.get(pattern)?.captures(text);
        let group = usize::try_from(number).ok().and_then(|number| captures?.get(number));
        extracted.push(group.map(|group| group.as_str().to_owned()));
    }
    Ok(Arc::new(StringArray::from(extracted)))
}

/// Whether a part of a text matches.
fn regexp(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let mut compiled = Compiled::default();
    let matches = pairs(arguments).map(|pair| {
        pair.map(|(text, pattern)| compiled.get(pattern).map(|regex| regex.is_match(text))).transpose()
    });
    Ok(Arc::new(matches.collect::<PlanResult<BooleanArray>>()?))
}

/// How often a character is in a text.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn count_char(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let count = |(text, wanted): (&str, &str)| {
        let wanted = wanted.chars().next()?;
        i64::try_from(text.chars().filter(|c| *c == wanted).count()).ok()
    };
    Ok(Arc::new(pairs(arguments).map(|pair| pair.and_then(count)).collect::<Int64Array>()))
}

/// The value at a path of a text of JSON, as text; NULL if there is none, or an object or array.
fn json_value(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let mut values = Vec::with_capacity(arguments[0].len());
    for pair in pairs(arguments) {
        let Some((text, path)) = pair else {
            values.push(None);
            continue;
        };
        let Some(steps) = json_path(path) else {
            return exec_err!("'{path}' is no path into JSON such as '$.a.b[0]'");
        };
        let document: Option<Value> = serde_json::from_str(text).ok();
        let found = document.as_ref().and_then(|document| {
            steps.iter().try_fold(document, |value, step| match step {
                Step::Field(name) => value.get(name),
                Step::Item(number) => value.get(number),
            })
        });
        values.push(match found {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Bool(value)) => Some(value.to_string()),
            _ => None,
        });
    }
    Ok(Arc::new(StringArray::from(values)))
}

/// What is at a path of a text of JSON, as text: of a string what it says, of an object or list its JSON; NULL if there is nothing, or `null`.
fn get_json_object(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let mut values = Vec::with_capacity(arguments[0].len());
    for pair in pairs(arguments) {
        let Some((text, path)) = pair else {
            values.push(None);
            continue;
        };
        let Some(steps) = json_path(path) else {
            return exec_err!("'{path}' is no path into JSON such as '$.a.b[0]'");
        };
        let document = Node::parse(text);
        let found = document.as_ref().and_then(|document| {
            steps.iter().try_fold(document, |value, step| match (step, value) {
                (Step::Field(name), value) => value.field(name),
                (Step::Item(number), Node::List(items)) => items.get(*number),
                _ => None,
            })
        });
        values.push(found.and_then(|found| found.text().map(std::borrow::Cow::into_owned)));
    }
    Ok(Arc::new(StringArray::from(values)))
}

enum Step {
    Field(String),
    Item(usize),
}

/// The steps of `$.a.b[0]['c']`; a leading `lax` changes nothing.
fn json_path(path: &str) -> Option<Vec<Step>> {
    let path = path.trim();
    let mut rest = path.strip_prefix("lax").unwrap_or(path).trim_start().strip_prefix('$')?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, others) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Field(name.to_owned()));
            rest = others;
        } else {
            let (inner, others) = rest.strip_prefix('[')?.split_once(']')?;
            let inner = inner.trim();
            let quoted = inner.strip_prefix('\'').and_then(|name| name.strip_suffix('\''));
            steps.push(match quoted {
                Some(name) => Step::Field(name.to_owned()),
                None => Step::Item(inner.parse().ok()?),
            });
            rest = others;
        }
    }
    Some(steps)
}
