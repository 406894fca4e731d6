//! The columns of files for which nobody has said them.
//!
//! Owns what follows from the files: the schema of a Parquet file, the heading of a CSV file, the values in files of JSON. Knows no query.
//! Invariant: a value that does not fit what the others are is told, never forced into a type.

use super::files::{self, Lines};
use crate::sql::{
    SqlError, SqlResult, TableDefinition,
    connector::{Connector, FilesTable, Format},
    format::csv_fields,
};
use arrow::datatypes::{DataType, Field};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
};

/// The columns of the files that a table stands for, whatever it declares; those of JSON in alphabetical order, as Spark has them.
///
/// # Errors
/// If there are no files, or the columns do not follow from them.
pub fn columns(table: &TableDefinition) -> SqlResult<Vec<Field>> {
    let files = files_of(table)?;
    let paths = files::paths(table, &files)?;
    let Some(first) = paths.first() else {
        return Err(unknown(table, &files.path, "there is no file to take the columns from"));
    };
    let failed = |path: &Path, what: &dyn Display| unknown(table, path, what);
    let open = |path: &Path| File::open(path).map_err(|e| failed(path, &e));
    let found = match &files.format {
        Format::Parquet => parquet(open(first)?).map_err(|e| failed(first, &e.message))?,
        Format::Csv(options) => {
            let mut lines = Lines::of(open(first)?);
            if !lines.next().map_err(|e| failed(first, &e))? {
                return Err(failed(first, &"an empty file has no columns"));
            }
            let fields = csv_fields(&lines.line, options).map_err(|e| failed(first, &e))?;
            let name = |(at, text): (usize, String)| {
                if files.ignores_first_line { text } else { format!("_c{at}") }
            };
            let names = fields.into_iter().enumerate().map(name);
            names.map(|name| Field::new(name, DataType::Utf8, true)).collect()
        }
        Format::Json => {
            let mut all = Kind::Row(BTreeMap::new());
            for path in &paths {
                let mut lines = Lines::of(open(path)?);
                while lines.next().map_err(|e| failed(path, &e))? {
                    if !lines.line.is_empty() {
                        let at = |what: String| failed(path, &format!("line {}: {what}", lines.number));
                        let value = serde_json::from_slice(&lines.line).map_err(|e| at(e.to_string()))?;
                        all = all.with(Kind::of(&value), "").map_err(at)?;
                    }
                }
            }
            all.fields()
        }
        _ => vec![Field::new("value", DataType::Utf8, true)],
    };
    if found.is_empty() {
        return Err(failed(first, &"there is no column"));
    }
    Ok(found)
}

/// The names in the names of the folders that the files are in, such as `day` of `day=2026-11-29`.
///
/// # Errors
/// If the table does not stand for files, or the folders cannot be read.
pub fn folder_names(table: &TableDefinition) -> SqlResult<Vec<String>> {
    let files = files_of(table)?;
    let paths: Vec<PathBuf> = files::paths(table, &files)?;
    let Some(below) = paths.first().and_then(|path| path.strip_prefix(&files.path).ok()) else {
        return Ok(vec![]);
    };
    let folders = below.parent().into_iter().flat_map(Path::components);
    let name = |folder: std::path::Component<'_>| {
        folder.as_os_str().to_str()?.split_once('=').map(|(name, _)| name.to_owned())
    };
    Ok(folders.filter_map(name).collect())
}

fn files_of(table: &TableDefinition) -> SqlResult<FilesTable> {
    match Connector::of(table)? {
        Connector::Files(files) => Ok(files),
        _ => Err(SqlError::at(table.span, format!("table `{}` does not stand for files", table.name))),
    }
}

fn unknown(table: &TableDefinition, path: &Path, what: impl Display) -> SqlError {
    SqlError::at(table.span, format!("{}: {what}", path.display()))
        .because("the columns are not said, so they are taken from the files")
        .next("say them: schema(\"name TYPE, ..\")")
}

#[cfg(feature = "parquet")]
fn parquet(file: File) -> SqlResult<Vec<Field>> {
    super::columns::schema(file)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: File) -> SqlResult<Vec<Field>> {
    Err(SqlError::at(None, "this build has no Parquet"))
}

/// What values of JSON are.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Null,
    Bool,
    Long,
    Double,
    /// A whole number that is none of 64 bits.
    Large,
    Text,
    List(Box<Kind>),
    Row(BTreeMap<String, Kind>),
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Number(number) if number.is_i64() => Kind::Long,
            Value::Number(number) if number.is_u64() => Kind::Large,
            Value::Number(_) => Kind::Double,
            Value::String(_) => Kind::Text,
            Value::Array(items) => {
                let same = |all: Result<Kind, String>, item: &Value| all?.with(Kind::of(item), "");
                Kind::List(Box::new(items.iter().fold(Ok(Kind::Null), same).unwrap_or(Kind::Large)))
            }
            Value::Object(fields) => {
                Kind::Row(fields.iter().map(|(name, value)| (name.clone(), Kind::of(value))).collect())
            }
        }
    }

    /// What has room for both.
    fn with(self, other: Kind, name: &str) -> Result<Kind, String> {
        let what = || if name.is_empty() { "the value".to_owned() } else { format!("field `{name}`") };
        Ok(match (self, other) {
            (Kind::Large, _) | (_, Kind::Large) => {
                return Err(format!("{} is a number or a list that has no type by itself", what()));
            }
            (Kind::Null, kind) | (kind, Kind::Null) => kind,
            (Kind::Long, Kind::Double) | (Kind::Double, Kind::Long) => Kind::Double,
            (Kind::List(a), Kind::List(b)) => Kind::List(Box::new(a.with(*b, name)?)),
            (Kind::Row(mut all), Kind::Row(more)) => {
                for (field, kind) in more {
                    let before = all.remove(&field).unwrap_or(Kind::Null);
                    let path = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    all.insert(field, before.with(kind, &path)?);
                }
                Kind::Row(all)
            }
            (a, b) if a == b => a,
            (a, b) => return Err(format!("{} is {}, and {} before", what(), b.what(), a.what())),
        })
    }

    fn what(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Long | Kind::Double | Kind::Large => "a number",
            Kind::Text => "a text",
            Kind::List(_) => "a list",
            Kind::Row(_) => "an object",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            // What was null everywhere is a text in Spark.
            Kind::Null | Kind::Text | Kind::Large => DataType::Utf8,
            Kind::Bool => DataType::Boolean,
            Kind::Long => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::List(item) => DataType::new_list(item.data_type(), true),
            Kind::Row(_) => DataType::Struct(self.fields().into()),
        }
    }

    fn fields(self) -> Vec<Field> {
        let Kind::Row(fields) = self else { return vec![] };
        fields.into_iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Result<Vec<String>, String> {
        let row = Kind::Row(BTreeMap::new());
        let mut values = lines.iter().map(|line| Kind::of(&serde_json::from_str(line).unwrap()));
        let all = values.try_fold(row, |all, kind| all.with(kind, ""))?;
        Ok(all.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect())
    }

    #[test]
    fn columns_have_room_for_all_values() {
        let lines =
            ["{\"n\":1,\"b\":null,\"tags\":[]}", "{\"a\":{\"x\":true},\"n\":2.5,\"tags\":[\"sea\",null]}"];
        let found = of(&lines).unwrap();
        assert_eq!(found.len(), 4);
        assert!(found[0].starts_with("a Struct(") && found[0].contains("Boolean"), "{found:?}");
        assert_eq!(found[1..3], ["b Utf8", "n Float64"]);
        assert!(found[3].starts_with("tags List(") && found[3].contains("Utf8"), "{found:?}");
    }

    #[test]
    fn values_of_two_kinds_are_told() {
        let told = |lines: &[&str]| of(lines).unwrap_err();
        assert_eq!(
            told(&["{\"a\":{\"n\":1}}", "{\"a\":{\"n\":\"one\"}}"]),
            "field `a.n` is a text, and a number before"
        );
        assert_eq!(told(&["{\"n\":1}", "[1]"]), "the value is a list, and an object before");
        let large = "field `n` is a number or a list that has no type by itself";
        assert_eq!(told(&["{\"n\":18446744073709551615}", "{\"n\":1}"]), large);
    }
}
