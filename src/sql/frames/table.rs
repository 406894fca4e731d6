//! Tables that readers and writers declare: the same as by `CREATE TABLE`, from options in Spark's words.
//!
//! Owns how columns and options become a declaration. Knows no connector's options: those are checked where a table of SQL is checked.
//! Invariant: what a value contains never becomes a part of the statement.

use super::mistake::told;
use crate::{
    error::Result,
    sql::{
        SourceText, SqlError, SqlResult, TableDefinition,
        connector::{Connector, bounded},
        parse::{Statement, parse, type_name},
    },
};
use arrow::datatypes::{DataType, SchemaRef};
use std::{collections::BTreeMap, panic::Location};

/// A declaration in the making.
#[derive(Clone, Debug, Default)]
pub struct TableText {
    pub name: String,
    /// Each as it stands in the list: a name and a type, or a whole schema.
    pub columns: Vec<String>,
    pub primary_key: Vec<String>,
    pub partitioned_by: Vec<String>,
    pub options: BTreeMap<String, String>,
}

/// The columns of a text such as `word STRING, n BIGINT`, as `schema` of a reader takes it.
///
/// ```
/// use tidegate::sql::parse_schema;
/// let schema = parse_schema("word STRING NOT NULL, n BIGINT")?;
/// assert_eq!((schema.field(0).is_nullable(), schema.field(1).name().as_str()), (false, "n"));
/// # Ok::<(), tidegate::Error>(())
/// ```
///
/// # Errors
/// [`Error::Plan`](crate::Error::Plan) with the first mistake.
#[track_caller]
pub fn parse_schema(columns: &str) -> Result<SchemaRef> {
    let at = Location::caller();
    let text = TableText { name: "rows".into(), columns: vec![columns.to_owned()], ..TableText::default() };
    let definition = text.with("connector", "blackhole").definition();
    definition.map(|table| bounded::schema(&table)).map_err(|mistake| told(at, mistake))
}

/// A name in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The declaration of a column of this type.
pub fn column(name: &str, data_type: &DataType) -> String {
    let data_type = match data_type {
        // SQL has no words for these; each has room in the next one.
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Null => DataType::Utf8,
        other => other.clone(),
    };
    format!("{} {}", quoted(name), type_name(&data_type))
}

impl TableText {
    /// With an option.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.options.insert(key.to_owned(), value.into());
        self
    }

    /// The declaration.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the options and of the schema.
    pub fn definition(&self) -> SqlResult<TableDefinition> {
        let mut columns = self.columns.clone();
        if !self.primary_key.is_empty() {
            let names: Vec<String> = self.primary_key.iter().map(|name| quoted(name)).collect();
            columns.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names.join(", ")));
        }
        let value = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let options: Vec<String> =
            self.options.iter().map(|(key, option)| format!("{} = {}", value(key), value(option))).collect();
        let names: Vec<String> = self.partitioned_by.iter().map(|name| quoted(name)).collect();
        let partitioned =
            if names.is_empty() { String::new() } else { format!(" PARTITIONED BY ({})", names.join(", ")) };
        let text = format!(
            "CREATE TABLE {} ({}){partitioned} WITH ({})",
            quoted(&self.name),
            columns.join(", "),
            options.join(", ")
        );
        let parsed = parse(&SourceText::new("schema", text)).map_err(first)?;
        match parsed.into_iter().next() {
            Some(Statement::CreateTable(create)) => Ok(create.definition),
            _ => Err(SqlError::at(None, "these columns make no table")),
        }
    }

    /// The declaration of a table that a connector stands for.
    ///
    /// # Errors
    /// As [`definition`](Self::definition), and what the connector says of the options.
    pub fn connected(&self) -> SqlResult<TableDefinition> {
        let definition = self.definition()?;
        Connector::of(&definition)?;
        Ok(definition)
    }
}

fn first(mistakes: Vec<SqlError>) -> SqlError {
    mistakes.into_iter().next().unwrap_or_else(|| SqlError::at(None, "these columns make no table"))
}
