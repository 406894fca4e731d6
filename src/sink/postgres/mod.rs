//! Rows into a table of Postgres, exactly once.
//!
//! Owns what a user specifies about it, and the form of its rows in the internal topic: a JSON object by
//! column. Knows no engine. Invariants: rows get this form in tasks, so a row that has none, or that no table of
//! Postgres could hold, is handled as a bad record; what Postgres refuses later stops the program, unless the sink
//! is told to go on.

mod cell;
mod connect;
mod parts;
#[cfg(feature = "sql")]
mod read;
mod refused;
mod table;
mod writer;

#[cfg(feature = "sql")]
use super::outbox::{OutboxSpec, topic_of};
use super::shape::{Sink, SinkContext, SinkShape};
use crate::{
    codec::{Encode, write_json},
    error::{Error, Result},
    record::Value,
    source::BadRecordPolicy,
};
use connect::Address;
#[cfg(feature = "sql")]
pub(crate) use read::read_rows;
use serde::Serialize;
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
    /// What to do with a row that the table refuses.
    refused: BadRecordPolicy,
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

    /// What to do with a row that the table refuses: a constraint does not hold, a number is too large, a text is no date.
    /// By default the program stops, and the row is written once the table accepts it. `Skip` leaves the row out;
    /// `DeadLetter` puts it into the table `tidegate_dead_letters` of the same database (created if missing), with the
    /// reason, in the transaction that writes the rows around it. Both are logged and counted
    /// (`tidegate_records_failed_total`).
    #[must_use]
    pub fn on_refused_row(mut self, policy: BadRecordPolicy) -> Self {
        self.settings.refused = policy;
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

impl PostgresSink {
    /// The topic, and the writer that takes rows from it: each is an object by column; one that is null deletes the row of its key, which is an object
    /// by the columns of the key.
    ///
    /// # Errors
    /// What is wrong with the settings; secrets are not revealed.
    #[cfg(feature = "sql")]
    pub(crate) fn outbox(self, context: &SinkContext) -> Result<OutboxSpec, String> {
        let (address, settings) = (Arc::new(self.address()?), Arc::new(self.settings));
        let topic = topic_of(&context.application, "postgres", &self.name)?;
        let make = move || PostgresWriter::new(address.clone(), settings.clone());
        let name = format!("postgres-{}", self.name);
        Ok(OutboxSpec { name, topic, positions: None, make: Arc::new(move || Box::new(make())) })
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
    let start = out.len();
    if columns.is_empty() {
        write_json(row, out).map_err(failed)?;
        if out[start] != b'{' {
            let what = "a row for Postgres has no fields; name the columns of a tuple: `.columns([\"word\", \"n\"])`";
            return Err(Error::Row(what.into()));
        }
    } else {
        let mut json = vec![];
        write_json(row, &mut json).map_err(failed)?;
        let text = String::from_utf8_lossy(&json);
        let values = if json[0] == b'[' { parts::elements(&text).map_err(failed)? } else { vec![&*text] };
        if values.len() != columns.len() {
            let what =
                format!("a row for Postgres has {} values for {} columns", values.len(), columns.len());
            return Err(Error::Row(what));
        }
        for (index, (column, value)) in columns.iter().zip(values).enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, column).map_err(failed)?;
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
    }
    if has_nul(&out[start..]) {
        return Err(Error::Row("a text has the character NUL, which no column of Postgres can hold".into()));
    }
    Ok(())
}

/// Whether a text of this JSON has the character NUL, which is always written as an escape.
pub(crate) fn has_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (_, escape) = rest.split_at(at + 1);
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default(); // what is escaped may be a backslash
    }
    false
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
        assert_eq!(text(&(f64::NAN, [f32::INFINITY]), &["a", "b"]), r#"{"a":"NaN","b":["Infinity"]}"#);
        assert_eq!(text(&("\\u0000", 1), &["a", "b"]), r#"{"a":"\\u0000","b":1}"#);
        for nul in ["\0", "a\\\0", "\"\0\""] {
            assert!(text(&(nul, 1), &["a", "b"]).contains("NUL"), "{nul:?}");
            assert!(text(&BTreeMap::from([("a", nul)]), &[]).contains("NUL"), "{nul:?}");
        }
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
