//! Records of topics as rows, and rows as records.
//!
//! Owns the formats of keys and values that need no function of the program, and the class of a whole record. Knows no client of Kafka.
//! Invariant: what a format cannot read or write is a bad record, with the reason.

use crate::value::{Reader, Value, tag};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidegate::{
    BadRecordPolicy, Error, SourceOptions,
    codec::{BadRecord, Decode},
    record::{RawChunk, RawChunkBuilder, RawRecord},
    sink::{Sink, SinkContext, SinkShape},
    source::Starting,
};

/// The class of whole records.
const RECORD: &str = "tidegate.streaming.kafka:KafkaRecord";

/// How a key or a value is read.
#[derive(Clone, Copy)]
enum Format {
    Text,
    Bytes,
}

/// What of a record becomes a row.
#[derive(Clone, Copy)]
enum Part {
    Value,
    Pair,
    Record,
}

/// Decodes records.
pub struct Records {
    key: Format,
    value: Format,
    part: Part,
}

impl Records {
    /// # Errors
    /// For a format or a part that does not exist.
    pub fn new(key: &str, value: &str, part: &str) -> PyResult<Self> {
        let format = |name: &str| match name {
            "text" => Ok(Format::Text),
            "bytes" => Ok(Format::Bytes),
            other => {
                Err(PyValueError::new_err(format!("no format is called `{other}`: choose `text` or `bytes`")))
            }
        };
        let part = match part {
            "value" => Part::Value,
            "pair" => Part::Pair,
            "record" => Part::Record,
            other => return Err(PyValueError::new_err(format!("no part of a record is called `{other}`"))),
        };
        Ok(Records { key: format(key)?, value: format(value)?, part })
    }

    fn row(&self, raw: &RawChunk, record: &RawRecord<'_>) -> Result<Value, String> {
        let value = self.value.read(record.value, "value")?;
        if matches!(self.part, Part::Value) {
            return Ok(value);
        }
        let key = self.key.read(record.key, "key")?;
        if matches!(self.part, Part::Pair) {
            return Ok(Value::tuple([&key, &value]));
        }
        let (topic, partition) = raw.origin().map_or(("", 0), |at| (&*at.topic, at.partition.0));
        let header = |(name, value): (&str, Option<&[u8]>)| {
            Value::tuple([&Value::text(name), &value.map_or_else(Value::none, Value::raw)])
        };
        let headers: Vec<Value> = record.headers.iter().map(header).collect();
        Ok(Value::named_tuple(
            RECORD,
            &[
                ("key", key),
                ("value", value),
                ("timestamp_ms", Value::int(record.timestamp_ms)),
                ("headers", Value::list(&headers)),
                ("topic", Value::text(topic)),
                ("partition", Value::int(i64::from(partition))),
                ("offset", Value::count(record.offset.0)),
            ],
        ))
    }
}

impl Format {
    fn read(self, bytes: Option<&[u8]>, what: &str) -> Result<Value, String> {
        match (self, bytes) {
            (_, None) => Ok(Value::none()),
            (Format::Bytes, Some(bytes)) => Ok(Value::raw(bytes)),
            (Format::Text, Some(bytes)) => {
                let text = std::str::from_utf8(bytes);
                text.map(Value::text).map_err(|e| format!("the {what} is not UTF-8: {e}"))
            }
        }
    }
}

impl Decode<Value> for Records {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Value>, bad: &mut Vec<BadRecord>) {
        good.reserve(raw.len());
        for (index, record) in raw.iter().enumerate() {
            match self.row(raw, &record) {
                Ok(row) => good.push(row),
                Err(reason) => bad.push(BadRecord { index, reason }),
            }
        }
    }
}

/// The options of a source.
///
/// # Errors
/// For a policy or a start that does not exist.
pub fn options(
    topics: Vec<String>,
    pattern: Option<String>,
    on_bad_record: &str,
    starting: Option<(String, i64)>,
) -> PyResult<SourceOptions> {
    let options = pattern.map_or_else(|| SourceOptions::topics(topics), SourceOptions::pattern);
    let options = options.on_bad_record(match on_bad_record {
        "fail" => BadRecordPolicy::Fail,
        "skip" => BadRecordPolicy::Skip,
        "dead-letter" => BadRecordPolicy::DeadLetter,
        other => {
            let what = format!("no policy is called `{other}`: choose `fail`, `skip` or `dead-letter`");
            return Err(PyValueError::new_err(what));
        }
    });
    Ok(match starting {
        None => options,
        Some((at, ms)) => options.starting(match at.as_str() {
            "earliest" => Starting::Earliest,
            "latest" => Starting::Latest,
            "timestamp" => Starting::Timestamp(ms),
            other => {
                let what = format!("no start is called `{other}`: choose `earliest`, `latest` or a time");
                return Err(PyValueError::new_err(what));
            }
        }),
    })
}

/// Writes rows to a topic: a pair as key and value, a whole record with its timestamp and headers, any other row as a value.
pub struct KafkaSink {
    topic: String,
}

impl KafkaSink {
    pub fn new(topic: &str) -> Self {
        KafkaSink { topic: topic.to_owned() }
    }
}

impl Sink<Value> for KafkaSink {
    fn shape(self, _: &SinkContext) -> Result<SinkShape<Value>, String> {
        Ok(SinkShape::topic(&self.topic, |row: &Value, out: &mut RawChunkBuilder| {
            record_of(row, out).map_err(Error::Row)
        }))
    }
}

fn record_of(row: &Value, out: &mut RawChunkBuilder) -> Result<(), String> {
    let mut key = vec![];
    if let Some(fields) = row.fields_of(RECORD) {
        return whole_record(&fields, out);
    }
    match row.clone().into_pair() {
        Ok((first, second)) => {
            let some = write(first.bytes(), "key", &mut key)?;
            out.push_with(-1, some.then_some(&key[..]), |value| write(second.bytes(), "value", value))
        }
        Err(row) => out.push_with(-1, None, |value| write(row.bytes(), "value", value)),
    }
}

fn whole_record(fields: &[(&str, &[u8])], out: &mut RawChunkBuilder) -> Result<(), String> {
    let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    let none = [tag::NONE];
    let mut key = vec![];
    let some = write(field("key").unwrap_or(&none), "key", &mut key)?;
    let mut stamp = Reader::new(field("timestamp_ms").unwrap_or(&none));
    let timestamp_ms = match stamp.byte() {
        Ok(tag::INT) => stamp.int().map_err(|e| e.to_string())?,
        _ => -1,
    };
    let value = field("value").unwrap_or(&none);
    out.push_with(timestamp_ms, some.then_some(&key[..]), |to| write(value, "value", to))?;
    for (name, value) in headers(field("headers").unwrap_or(&none))? {
        out.push_header(&name, value.as_deref());
    }
    Ok(())
}

fn headers(bytes: &[u8]) -> Result<Vec<(String, Option<Vec<u8>>)>, String> {
    const WRONG: &str = "the headers of a KafkaRecord are a list of pairs of str and bytes";
    let mut reader = Reader::new(bytes);
    match reader.byte() {
        Ok(tag::NONE) => return Ok(vec![]),
        Ok(tag::LIST | tag::TUPLE) => {}
        _ => return Err(WRONG.into()),
    }
    let mut read = || -> Result<_, crate::value::Malformed> {
        let mut found = vec![];
        for _ in 0..reader.length()? {
            let (kind, count, name) = (reader.byte()?, reader.length()?, reader.byte()?);
            if !matches!(kind, tag::TUPLE | tag::LIST) || count != 2 || name != tag::STR {
                return Ok(None);
            }
            let name = String::from_utf8_lossy(reader.bytes()?).into_owned();
            let value = match reader.byte()? {
                tag::NONE => None,
                tag::BYTES | tag::STR => Some(reader.bytes()?.to_vec()),
                _ => return Ok(None),
            };
            found.push((name, value));
        }
        Ok(Some(found))
    };
    read().map_err(|e| e.to_string())?.ok_or_else(|| WRONG.into())
}

/// Writes a key or a value: text and bytes as they are, numbers and truth as `str` shows them; `false` = it is null.
fn write(bytes: &[u8], what: &str, out: &mut Vec<u8>) -> Result<bool, String> {
    let mut reader = Reader::new(bytes);
    match reader.byte().map_err(|e| e.to_string())? {
        tag::NONE => return Ok(false),
        tag::STR | tag::BYTES => out.extend_from_slice(reader.bytes().map_err(|e| e.to_string())?),
        tag::INT => out.extend_from_slice(reader.int().map_err(|e| e.to_string())?.to_string().as_bytes()),
        tag::FALSE | tag::TRUE | tag::FLOAT | tag::BIG_INT => {
            out.extend_from_slice(crate::function::shown(&Value::written(bytes))?.as_bytes());
        }
        _ => {
            return Err(format!(
                "the {what} of a record cannot be {}\n  next: make text or bytes of it, for instance with `json.dumps`",
                crate::function::shown(&Value::written(bytes))?
            ));
        }
    }
    Ok(true)
}
