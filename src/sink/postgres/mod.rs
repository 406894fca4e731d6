//! Rows into a table of Postgres, exactly once.
//!
//! Owns what a user specifies about it, and the form of its rows in the internal topic: a JSON object by
//! column. Knows no engine. Invariant: rows get this form in tasks, so a row that has none is handled as a
//! bad record; what Postgres refuses later stops the program.

mod cell;
mod connect;
mod table;
mod writer;

use super::shape::{Sink, SinkContext, SinkShape};
use crate::{
    codec::Encode,
    error::{Error, Result},
    record::Value,
};
use connect::Address;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use writer::PostgresWriter;

/// A table of Postgres that rows are written to: see [`DStream::to_postgres`](crate::DStream::to_postgres).
///
/// ```
/// # use tidegate::PostgresSink;
/// let orders = PostgresSink::new("postgres://writer@db.example/shop?sslmode=verify-full&sslrootcert=ca.pem", "orders");
/// let counts = PostgresSink::new("host=localhost user=writer dbname=shop", "stats.counts").columns(["word", "n"]).upsert(["word"]);
/// ```
#[derive(Clone, Debug)]
pub struct PostgresSink {
    url: String,
    name: String,
    settings: Settings,
}

/// How rows go into the table.
#[derive(Clone, Debug, Default)]
struct Settings {
    table: String,
    columns: Vec<String>,
    /// Columns of the key; empty = each row is inserted.
    keys: Vec<String>,
}

impl PostgresSink {
    /// Inserts each row into `table`, or `schema.table`, of the database at `url`: a URL or `key=value` pairs
    /// as in libpq, with `sslmode` (`disable`, `prefer`, `require`, `verify-ca`, `verify-full`) and
    /// `sslrootcert`. The table must exist; the fields of a row are its columns. Columns that no row names
    /// get their defaults.
    #[must_use]
    pub fn new(url: &str, table: &str) -> Self {
        let settings = Settings { table: table.into(), ..Settings::default() };
        PostgresSink { url: url.into(), name: table.into(), settings }
    }

    /// The columns of the parts of a tuple, in order; a row that is a single value has one.
    #[must_use]
    pub fn columns<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.columns = columns.into_iter().map(str::to_owned).collect();
        self
    }

    /// A row replaces the one with the same values in these columns, which need a primary key or a unique
    /// index.
    #[must_use]
    pub fn upsert<'a>(mut self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.keys = keys.into_iter().map(str::to_owned).collect();
        self
    }

    /// The durable name of this output, if it should not be that of the table: two outputs may write to one
    /// table.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Where the database is.
    ///
    /// # Errors
    /// What is wrong with the settings; secrets are not revealed.
    fn address(&self) -> Result<Address, String> {
        let missing =
            |key: &&String| !self.settings.columns.is_empty() && !self.settings.columns.contains(key);
        if let Some(key) = self.settings.keys.iter().find(missing) {
            return Err(format!("the key `{key}` is none of the columns"));
        }
        Address::parse(&self.url)
    }
}

impl<T: Value> Sink<T> for PostgresSink {
    fn shape(self, context: &SinkContext) -> Result<SinkShape<T>, String> {
        let (address, settings) = (Arc::new(self.address()?), Arc::new(self.settings));
        let columns = Columns(settings.columns.clone());
        let make = move || PostgresWriter::new(address.clone(), settings.clone());
        SinkShape::outbox_of("postgres", context, &self.name, columns, make)
            .map_err(|why| format!("{why}\n  help: name the output: `.named(\"orders\")`"))
    }
}

/// Writes a row as a JSON object by column.
struct Columns(Vec<String>);

impl<T: Serialize> Encode<T> for Columns {
    fn encode(&self, row: &T, out: &mut Vec<u8>) -> Result<bool> {
        encode(row, &self.0, out).map(|()| true)
    }
}

fn encode<T: Serialize>(row: &T, columns: &[String], out: &mut Vec<u8>) -> Result {
    let failed = |e: serde_json::Error| Error::Codec(format!("a row for Postgres has no JSON form: {e}"));
    if columns.is_empty() {
        let start = out.len();
        serde_json::to_writer(&mut *out, row).map_err(failed)?;
        if out[start] == b'{' {
            return Ok(());
        }
        let what =
            "a row for Postgres has no fields; name the columns of a tuple: `.columns([\"word\", \"n\"])`";
        return Err(Error::Row(what.into()));
    }
    let text = serde_json::to_string(row).map_err(failed)?;
    let values: Vec<&RawValue> = match text.as_bytes()[0] {
        b'[' => serde_json::from_str(&text).map_err(failed)?,
        _ => vec![serde_json::from_str(&text).map_err(failed)?],
    };
    if values.len() != columns.len() {
        let what = format!("a row for Postgres has {} values for {} columns", values.len(), columns.len());
        return Err(Error::Row(what));
    }
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        serde_json::to_writer(&mut *out, column).map_err(failed)?;
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn text<T: Serialize>(row: &T, columns: &[&str]) -> String {
        let (mut out, columns): (_, Vec<String>) = (vec![], columns.iter().map(|c| (*c).into()).collect());
        match encode(row, &columns, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn rows_are_objects_by_column_and_numbers_keep_all_their_digits() {
        assert_eq!(text(&BTreeMap::from([("n", u64::MAX)]), &[]), r#"{"n":18446744073709551615}"#);
        assert_eq!(text(&("a", 0.1f32, None::<u8>), &["w", "x", "q\""]), r#"{"w":"a","x":0.1,"q\"":null}"#);
        assert_eq!(text(&7, &["n"]), r#"{"n":7}"#);
        assert!(text(&("a", 1), &[]).contains("name the columns"));
        assert!(text(&("a", 1), &["w"]).contains("2 values for 1 columns"));
    }

    #[test]
    fn wrong_settings_are_reported_without_the_password() {
        let context = SinkContext::of("app");
        let why = |sink: PostgresSink| Sink::<String>::shape(sink, &context).map(drop).unwrap_err();
        assert!(why(PostgresSink::new("host=a", "t/x")).contains("`.named("));
        assert!(why(PostgresSink::new("host=a", "t").columns(["a"]).upsert(["b"])).contains("`b` is none"));
        let told = why(PostgresSink::new("postgres://u:secret@h/db?sslmode=sometimes", "t"));
        assert!(told.contains("sometimes") && !told.contains("secret"), "{told}");
        let told = why(PostgresSink::new("postgres://u:secret@h:none/db", "t"));
        assert!(!told.contains("secret"), "{told}");
    }
}
