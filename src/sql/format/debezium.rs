//! Changes of rows as Debezium writes them in JSON: the row before and after, and what happened.
//!
//! Owns the envelope, with and without `payload` around it. Knows no topic and no state. Invariants: a record gives the rows that it takes away and
//! adds, or one reason; what the envelope says besides `op`, `before` and `after` is passed over.

use super::json::{JsonReader, JsonRows};
use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray, UInt32Array},
    compute::interleave,
    datatypes::{DataType, Field, Fields},
};

/// Reads records of Debezium into rows.
pub struct DebeziumReader {
    envelope: JsonReader,
    fields: Fields,
    /// The names of the columns of the key, if rows are known by their key: then what was before is not needed.
    by_key: bool,
}

/// Records that were read, one after the other.
pub struct DebeziumRows {
    envelope: JsonRows,
    fields: Fields,
    by_key: bool,
}

/// What records have become.
pub struct Changes {
    /// The columns.
    pub columns: Vec<ArrayRef>,
    /// For each row: added or taken away.
    pub weights: Vec<i64>,
    /// For each row the record that it is of.
    pub records: UInt32Array,
    /// Records that say no change, each with the reason.
    pub bad: Vec<(usize, String)>,
}

/// What happened to a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Came,
    Changed,
    Went,
}

impl DebeziumReader {
    /// Looks for these fields in the rows. `by_key` = the last row of a key is its row, and only the columns in `keys` are needed of one that
    /// went.
    ///
    /// # Errors
    /// Why JSON cannot give one of them.
    pub fn new(fields: impl IntoIterator<Item = Field>, keys: Option<&[String]>) -> Result<Self, String> {
        let fields: Fields = fields.into_iter().collect();
        // The row that went may be the key alone.
        let is_needed = |field: &Field| keys.is_none_or(|keys| keys.contains(field.name()));
        let of_before = fields.iter().map(|field| {
            let field = field.as_ref().clone();
            let is_nullable = field.is_nullable() || !is_needed(&field);
            field.with_nullable(is_nullable)
        });
        let before = Field::new("before", DataType::Struct(of_before.collect()), true);
        let after = Field::new("after", DataType::Struct(fields.clone()), true);
        let op = Field::new("op", DataType::Utf8, true);
        let payload = Fields::from(vec![before.clone(), after.clone(), op.clone()]);
        let payload = Field::new("payload", DataType::Struct(payload), true);
        let envelope = JsonReader::new([before, after, op, payload])?;
        Ok(DebeziumReader { envelope, fields, by_key: keys.is_some() })
    }

    /// No record yet, with room for so many.
    ///
    /// # Errors
    /// None that `new` has not told before.
    pub fn rows(&self, records: usize) -> Result<DebeziumRows> {
        let envelope = self.envelope.rows(records)?;
        Ok(DebeziumRows { envelope, fields: self.fields.clone(), by_key: self.by_key })
    }
}

impl DebeziumRows {
    /// Takes a record.
    ///
    /// # Errors
    /// Why it is none; nothing is taken then.
    pub fn read(&mut self, record: &[u8]) -> Result<(), String> {
        self.envelope.read(record)
    }

    /// Keeps the first `records` records.
    pub fn truncate(&mut self, records: usize) {
        self.envelope.truncate(records);
    }

    /// What all records have become; there are none then.
    ///
    /// # Errors
    /// If they do not fit their types, which is a bug.
    pub fn finish(&mut self) -> Result<Changes> {
        let columns = self.envelope.finish()?;
        let (plain, payload) = (&columns[..3], columns[3].as_struct());
        let wrapped = payload.columns();
        let (mut picks, mut weights, mut records, mut bad) = (vec![], vec![], vec![], vec![]);
        for record in 0..payload.len() {
            // Of each: the row before and after, of a record without and one with payload.
            let is_wrapped = payload.is_valid(record);
            let [before, after, op] = (if is_wrapped { wrapped } else { plain }) else {
                return Err(other_type());
            };
            let from = if is_wrapped { 2 } else { 0 };
            match self.change(before, after, op, record) {
                Ok(change) => {
                    let number = u32::try_from(record).unwrap_or(u32::MAX);
                    if change != Change::Came && !(self.by_key && change == Change::Changed) {
                        picks.push((from, record));
                        weights.push(-1);
                        records.push(number);
                    }
                    if change != Change::Went {
                        picks.push((from + 1, record));
                        weights.push(1);
                        records.push(number);
                    }
                }
                Err(reason) => bad.push((record, reason)),
            }
        }
        let sides: Vec<&StructArray> =
            [&plain[0], &plain[1], &wrapped[0], &wrapped[1]].map(AsArray::as_struct).to_vec();
        let mut picked = vec![];
        for at in 0..self.fields.len() {
            let of_sides: Vec<&dyn Array> = sides.iter().map(|side| side.column(at).as_ref()).collect();
            let column = interleave(&of_sides, &picks);
            picked.push(column.map_err(|e| Error::Codec(format!("rows of changes: {e}")))?);
        }
        Ok(Changes { columns: picked, weights, records: records.into(), bad })
    }

    /// What happened to the row of a record.
    fn change(
        &self,
        before: &ArrayRef,
        after: &ArrayRef,
        op: &ArrayRef,
        record: usize,
    ) -> Result<Change, String> {
        let op = op.as_string::<i32>();
        if op.is_null(record) {
            return Err("it has no `op`, so it is no change of Debezium".into());
        }
        let change = match op.value(record) {
            "c" | "r" => Change::Came,
            "u" => Change::Changed,
            "d" => Change::Went,
            other => {
                let shown: String = other.chars().take(20).collect();
                return Err(format!("`op` is \"{shown}\", not one of c, r, u and d"));
            }
        };
        if change != Change::Went && after.is_null(record) {
            return Err("it says that a row came, but `after` is null".into());
        }
        let needs_before = change == Change::Went || change == Change::Changed && !self.by_key;
        if needs_before && before.is_null(record) {
            return Err(if self.by_key {
                "it says that a row went, but `before` is null, so its key is not known".into()
            } else {
                "`before` is null: let the database write whole rows (in Postgres: REPLICA IDENTITY FULL), or declare a PRIMARY KEY".into()
            });
        }
        Ok(change)
    }
}

fn other_type() -> Error {
    Error::Codec("bug: the envelope has other columns".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::RecordBatch, datatypes::Schema, util::pretty::pretty_format_batches};
    use std::sync::Arc;

    fn read(keys: Option<&[String]>, records: &[&str]) -> (Vec<String>, Vec<(usize, String)>) {
        let fields = [Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, false)];
        let mut rows = DebeziumReader::new(fields.clone(), keys).unwrap().rows(4).unwrap();
        for record in records {
            rows.read(record.as_bytes()).unwrap();
        }
        let changes = rows.finish().unwrap();
        let fields = fields.map(|field| field.with_nullable(true));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), changes.columns).unwrap();
        let shown = pretty_format_batches(&[batch]).unwrap().to_string();
        let lines = shown.lines().skip(3).filter(|line| line.starts_with('|'));
        let line = |(at, line): (usize, &str)| {
            let cells: Vec<&str> = line.split(['|', ' ']).filter(|cell| !cell.is_empty()).collect();
            format!("{} {:+} {}", changes.records.value(at), changes.weights[at], cells.join(","))
        };
        (lines.enumerate().map(line).collect(), changes.bad)
    }

    #[test]
    fn rows_before_and_after_are_taken_with_and_without_payload() {
        let records = [
            r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"lsn":1},"op":"c","ts_ms":5}"#,
            r#"{"schema":{"type":"struct"},"payload":{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}}"#,
            r#"{"op":"r","after":{"id":2,"name":"z"}}"#,
            r#"{"payload":{"before":{"id":1,"name":"b"},"after":null,"op":"d"}}"#,
        ];
        let (rows, bad) = read(None, &records);
        assert_eq!(rows, ["0 +1 1,a", "1 -1 1,a", "1 +1 1,b", "2 +1 2,z", "3 -1 1,b"]);
        assert!(bad.is_empty());
        let keys = ["id".to_owned()];
        let (rows, _) = read(Some(&keys), &records);
        assert_eq!(rows, ["0 +1 1,a", "1 +1 1,b", "2 +1 2,z", "3 -1 1,b"]);
        // By key, what went may be the key alone, and what changed need not say what it was.
        let short =
            [r#"{"before":{"id":7},"op":"d"}"#, r#"{"after":{"id":7,"name":"x"},"op":"u","before":null}"#];
        assert_eq!(read(Some(&keys), &short).0, ["0 -1 7", "1 +1 7,x"]);
    }

    #[test]
    fn what_says_no_change_is_bad() {
        let records = [
            r#"{"after":{"id":1,"name":"a"}}"#,
            r#"{"op":"t"}"#,
            r#"{"op":"c"}"#,
            r#"{"op":"u","after":{"id":1,"name":"a"}}"#,
            r#"{"op":"r","after":{"id":1,"name":"a"}}"#,
        ];
        let (rows, bad) = read(None, &records);
        assert_eq!(rows, ["4 +1 1,a"]);
        let reasons: Vec<&str> = bad.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "it has no `op`, so it is no change of Debezium",
                "`op` is \"t\", not one of c, r, u and d",
                "it says that a row came, but `after` is null",
                "`before` is null: let the database write whole rows (in Postgres: REPLICA IDENTITY FULL), or declare a PRIMARY KEY",
            ]
        );
        assert!(bad.iter().map(|(record, _)| *record).eq(0..4));
        let fields = [Field::new("id", DataType::Int64, false)];
        let mut rows = DebeziumReader::new(fields, None).unwrap().rows(1).unwrap();
        let reason = rows.read(br#"{"op":"c","after":{"id":"x"}}"#).unwrap_err();
        assert_eq!(reason, "field `after.id` at byte 24: expected an integer, found a string");
    }
}
