//! The columns of a Parquet file, from the type of the rows.
//!
//! Owns the conversion of a type's trace (`codec::format_of`) to fields, and of the JSON form of a row to one
//! that has these fields. Knows no file. Invariant: the columns follow from the type alone, so they are the
//! same in every file of a program.

use crate::{
    codec::format_of,
    error::{Error, Result},
    record::Value,
};
use arrow_schema::{DataType, Field, Fields};
use serde_json::{Map as Object, Value as Json};
use std::sync::Arc;

/// The structure of a value, as far as columns express it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A value of one column.
    Leaf(DataType),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// Fields by name; those of a tuple are `_1`, `_2` and so on.
    Struct {
        fields: Vec<(String, Shape)>,
        is_tuple: bool,
    },
}

impl Shape {
    /// The shape of rows of the type `T`: always a struct; for a single value, one with the field `value`.
    pub fn of<T: Value>() -> Result<Shape, String> {
        let trace = format_of::<T>();
        let mut rest = trace.as_str();
        let shape = parse(&mut rest, "")?;
        if !rest.is_empty() {
            return Err(format!("`{trace}` cannot be read after `{rest}`"));
        }
        Ok(match shape {
            Shape::Struct { .. } => shape,
            single => Shape::Struct { fields: vec![("value".into(), single)], is_tuple: false },
        })
    }

    /// Whether rows are not structs themselves.
    pub fn wraps_single<T: Value>() -> bool {
        !format_of::<T>().starts_with(['{', '('])
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Shape::Leaf(data_type) => data_type.clone(),
            Shape::List(element) => {
                DataType::List(Arc::new(Field::new("element", element.data_type(), true)))
            }
            Shape::Map(value) => {
                let fields =
                    [Field::new("key", DataType::Utf8, false), Field::new("value", value.data_type(), true)];
                let entries = Field::new("key_value", DataType::Struct(Fields::from(fields.to_vec())), false);
                DataType::Map(Arc::new(entries), false)
            }
            Shape::Struct { .. } => DataType::Struct(self.fields()),
        }
    }

    /// The fields of a struct.
    pub fn fields(&self) -> Fields {
        let Shape::Struct { fields, .. } = self else { return Fields::empty() };
        fields.iter().map(|(name, shape)| Field::new(name, shape.data_type(), true)).collect()
    }

    /// Converts the JSON form of a row to the form of the columns: parts of tuples get names, bytes become
    /// hexadecimal digits.
    pub fn fit(&self, row: Json, at: &str) -> Result<Json> {
        let wrong = |row: &Json| {
            let mut text = row.to_string();
            text.truncate(text.char_indices().nth(60).map_or(text.len(), |(at, _)| at));
            Error::Row(format!(
                "column `{}`: {text} does not fit into {}",
                at.trim_start_matches('.'),
                self.data_type()
            ))
        };
        match (self, row) {
            (_, Json::Null) => Ok(Json::Null),
            (Shape::Leaf(DataType::Binary), Json::Array(bytes)) => {
                let hex = |byte: &Json| byte.as_u64().filter(|b| *b < 256).map(|b| format!("{b:02x}"));
                let digits: Option<String> = bytes.iter().map(hex).collect();
                digits.map(Json::String).ok_or_else(|| wrong(&Json::Array(bytes)))
            }
            (Shape::List(element), Json::Array(elements)) => {
                elements.into_iter().map(|e| element.fit(e, at)).collect::<Result<_>>().map(Json::Array)
            }
            (Shape::Map(value), Json::Object(entries)) => {
                let fit = |(k, v): (String, Json)| Ok((k, value.fit(v, at)?));
                entries.into_iter().map(fit).collect::<Result<Object<_, _>>>().map(Json::Object)
            }
            (Shape::Struct { fields, is_tuple: true }, Json::Array(values))
                if values.len() == fields.len() =>
            {
                let fit = |((name, shape), value): (&(String, Shape), Json)| {
                    Ok((name.clone(), shape.fit(value, &format!("{at}.{name}"))?))
                };
                fields.iter().zip(values).map(fit).collect::<Result<Object<_, _>>>().map(Json::Object)
            }
            (Shape::Struct { fields, is_tuple: false }, Json::Object(mut values)) => {
                let mut fitted = Object::new();
                for (name, shape) in fields {
                    let value = values.remove(name).unwrap_or(Json::Null);
                    fitted.insert(name.clone(), shape.fit(value, &format!("{at}.{name}"))?);
                }
                match values.keys().next() {
                    Some(name) => Err(Error::Row(format!("there is no column for the field `{name}`"))),
                    None => Ok(Json::Object(fitted)),
                }
            }
            (Shape::Leaf(data_type), row) if fits(data_type, &row) => Ok(row),
            (_, row) => Err(wrong(&row)),
        }
    }
}

fn fits(data_type: &DataType, row: &Json) -> bool {
    match data_type {
        DataType::Boolean => row.is_boolean(),
        DataType::Utf8 => row.is_string(),
        DataType::Float32 | DataType::Float64 => row.is_number(),
        DataType::Binary => false,
        _ => row.is_i64() || row.is_u64(),
    }
}

/// Reads one type of the notation of `codec::format_of`.
fn parse(rest: &mut &str, at: &str) -> Result<Shape, String> {
    let shape = if take(rest, "[") {
        let element = parse(rest, at)?;
        expect(rest, "]").map(|()| Shape::List(Box::new(element)))?
    } else if take(rest, "map(") {
        let key = parse(rest, at)?;
        if !matches!(key, Shape::Leaf(_)) {
            return Err(format!("{}the keys of a map are neither text nor numbers", place(at)));
        }
        expect(rest, ",")?;
        let value = parse(rest, at)?;
        expect(rest, ")").map(|()| Shape::Map(Box::new(value)))?
    } else if take(rest, "{") {
        parse_struct(rest, at)?
    } else if take(rest, "()") {
        return Err(format!("{}the unit type has no column", place(at)));
    } else if take(rest, "(") {
        parse_tuple(rest, at)?
    } else if take(rest, "<") {
        parse_enum(rest, at)?
    } else {
        parse_leaf(rest, at)?
    };
    while take(rest, "?") {} // every column is nullable
    Ok(shape)
}

fn parse_struct(rest: &mut &str, at: &str) -> Result<Shape, String> {
    let mut fields = vec![];
    while !take(rest, "}") {
        take(rest, ",");
        let end = rest.find(':').ok_or("a field without a type")?;
        let name = rest[..end].to_owned();
        *rest = &rest[end + 1..];
        let shape = parse(rest, &format!("{at}.{name}"))?;
        fields.push((name, shape));
    }
    if fields.is_empty() {
        return Err(format!("{}a struct without fields has no column", place(at)));
    }
    Ok(Shape::Struct { fields, is_tuple: false })
}

fn parse_tuple(rest: &mut &str, at: &str) -> Result<Shape, String> {
    let mut fields: Vec<(String, Shape)> = vec![];
    while !take(rest, ")") {
        take(rest, ",");
        let shape = parse(rest, &format!("{at}._{}", fields.len() + 1))?;
        let mut count = 1;
        if take(rest, "*") {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            count = rest[..digits].parse().map_err(|_| "a count without a number")?;
            *rest = &rest[digits..];
        }
        for _ in 0..count {
            fields.push((format!("_{}", fields.len() + 1), shape.clone()));
        }
    }
    Ok(Shape::Struct { fields, is_tuple: true })
}

/// An enum whose variants carry nothing is text.
fn parse_enum(rest: &mut &str, at: &str) -> Result<Shape, String> {
    let end = rest.find('>').ok_or("an enum without an end")?;
    if rest[..end].contains(['(', '{', '<']) {
        return Err(format!("{}an enum whose variants carry data has no column", place(at)));
    }
    *rest = &rest[end + 1..];
    Ok(Shape::Leaf(DataType::Utf8))
}

fn parse_leaf(rest: &mut &str, at: &str) -> Result<Shape, String> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let data_type = match &rest[..end] {
        "bool" => DataType::Boolean,
        "i8" => DataType::Int8,
        "i16" => DataType::Int16,
        "i32" => DataType::Int32,
        "i64" => DataType::Int64,
        "u8" => DataType::UInt8,
        "u16" => DataType::UInt16,
        "u32" => DataType::UInt32,
        "u64" => DataType::UInt64,
        "f32" => DataType::Float32,
        "f64" => DataType::Float64,
        "char" | "str" => DataType::Utf8,
        "bytes" => DataType::Binary,
        "" => {
            return Err(format!(
                "{}the type is recursive or cannot be determined before rows come",
                place(at)
            ));
        }
        other => return Err(format!("{}`{other}` has no column", place(at))),
    };
    *rest = &rest[end..];
    Ok(Shape::Leaf(data_type))
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!("field `{}`: ", at.trim_start_matches('.')) }
}

fn take(rest: &mut &str, token: &str) -> bool {
    let found = rest.strip_prefix(token);
    found.inspect(|after| *rest = after).is_some()
}

fn expect(rest: &mut &str, token: &str) -> Result<(), String> {
    if take(rest, token) { Ok(()) } else { Err(format!("`{token}` is missing before `{rest}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Clone, Serialize, Deserialize)]
    enum Kind {
        Up,
        Down,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct Row {
        id: u64,
        tags: Vec<Option<String>>,
        kind: Kind,
        at: (i32, f64),
        sizes: BTreeMap<u8, bool>,
    }
    #[derive(Clone, Serialize, Deserialize)]
    enum Shapeless {
        Of(u8),
    }

    fn names(shape: &Shape) -> Vec<String> {
        shape.fields().iter().map(|f| f.name().clone()).collect()
    }

    #[test]
    fn columns_follow_from_the_type() {
        assert_eq!(names(&Shape::of::<Row>().unwrap()), ["id", "tags", "kind", "at", "sizes"]);
        assert_eq!(names(&Shape::of::<(String, u64)>().unwrap()), ["_1", "_2"]);
        assert_eq!(names(&Shape::of::<[u8; 5]>().unwrap()).len(), 5);
        assert_eq!(names(&Shape::of::<Option<String>>().unwrap()), ["value"]);
        assert!(Shape::wraps_single::<String>() && !Shape::wraps_single::<(String, u64)>());
    }

    #[test]
    fn types_without_columns_are_refused_with_the_field() {
        let why = |shape: Result<Shape, String>| shape.unwrap_err();
        assert_eq!(
            why(Shape::of::<(u8, Shapeless)>()),
            "field `_2`: an enum whose variants carry data has no column"
        );
        assert_eq!(why(Shape::of::<(u8, i128)>()), "field `_2`: `i128` has no column");
        assert_eq!(why(Shape::of::<(u8, serde_json::Value)>()), "field `_2`: `any` has no column");
    }

    #[test]
    fn rows_are_fitted_to_the_columns_or_refused_with_the_column() {
        let shape = Shape::of::<Row>().unwrap();
        let row = Row {
            id: 1,
            tags: vec![None, Some("x".into())],
            kind: Kind::Down,
            at: (2, f64::NAN),
            sizes: BTreeMap::from([(3, true)]),
        };
        let fitted = shape.fit(serde_json::to_value(&row).unwrap(), "").unwrap();
        assert_eq!(
            fitted.to_string(),
            r#"{"at":{"_1":2,"_2":null},"id":1,"kind":"Down","sizes":{"3":true},"tags":[null,"x"]}"#
        );
        let bad = shape.fit(serde_json::json!({"id": 1, "at": ["x", 1]}), "").unwrap_err().to_string();
        assert_eq!(bad, "column `at._1`: \"x\" does not fit into Int32");
        let bad = shape.fit(serde_json::json!({"id": 1, "more": 2}), "").unwrap_err().to_string();
        assert_eq!(bad, "there is no column for the field `more`");
        let _ = Kind::Up;
    }
}
