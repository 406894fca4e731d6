//! A dead letter, taken apart: the record as it came, and why it is there.
//!
//! Knows no log. Invariant: a letter with headers that this version does not know, or without any, is still a letter.

use crate::{
    cli::display::{hexadecimal, readable, time},
    record::{Headers, RawChunk, RawChunkBuilder, RawRecord, TopicPartition},
};
use serde_json::{Value, json};

/// How the headers begin that say why a record is here.
const WHY: &str = "__tidegate.errors.";
/// The header of a record that was written back: the letter that it comes from.
pub(super) const REPLAYED: &str = "__tidegate.replayed";

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A record of an input.
    Record { at: TopicPartition, offset: u64 },
    /// A record of an output, which its topic did not accept.
    Output { topic: String },
    /// A row on its way between processes, in the form of stored state.
    Row { edge: String },
    /// It does not say.
    Unknown,
}

impl Origin {
    pub(super) fn topic(&self) -> Option<&str> {
        match self {
            Origin::Record { at, .. } => Some(&at.topic),
            Origin::Output { topic } => Some(topic),
            Origin::Row { .. } | Origin::Unknown => None,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Origin::Record { at, offset } => format!("{at} at {offset}"),
            Origin::Output { topic } => format!("for {topic}"),
            Origin::Row { edge } => format!("a row of `{edge}`"),
            Origin::Unknown => "-".into(),
        }
    }
}

/// One dead letter.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its offset in the dead-letter topic.
    pub(super) offset: u64,
    /// When it was written there, milliseconds since the epoch.
    pub(super) written_ms: i64,
    pub(super) origin: Origin,
    /// Why it is here.
    pub(super) message: String,
    /// What was cut off, if anything.
    pub(super) cut: Option<String>,
    /// The time of the record itself.
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// The headers of the record itself.
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    pub(super) fn of(record: &RawRecord<'_>) -> Letter {
        let why = |name: &str| {
            let wanted = |(found, _): &(&str, Option<&[u8]>)| found.strip_prefix(WHY) == Some(name);
            let (_, value) = record.headers.iter().find(wanted)?;
            Some(String::from_utf8_lossy(value.unwrap_or_default()).into_owned())
        };
        let number = |name: &str| why(name)?.parse().ok();
        let partition = why("partition").and_then(|text| text.parse().ok());
        let origin = match (why("topic"), partition, number("offset"), why("output"), why("edge")) {
            (Some(topic), Some(partition), Some(offset), ..) => {
                let offset = u64::try_from(offset).unwrap_or_default();
                Origin::Record { at: TopicPartition::new(topic, partition), offset }
            }
            (_, _, _, Some(topic), _) => Origin::Output { topic },
            (_, _, _, _, Some(edge)) => Origin::Row { edge },
            _ => Origin::Unknown,
        };
        let own = record.headers.iter().filter(|(name, _)| !name.starts_with(WHY));
        Letter {
            offset: record.offset.0,
            written_ms: record.timestamp_ms,
            origin,
            message: why("message").unwrap_or_default(),
            cut: why("cut"),
            timestamp_ms: number("timestamp-ms"),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: own.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// The record as it came, with a header that names the letter `place`.
    pub(super) fn record(&self, place: &str) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        rows.push(RawRecord {
            offset: crate::record::Offset(0),
            timestamp_ms: self.timestamp_ms.unwrap_or(-1),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers::NONE,
        });
        let own = self.headers.iter().filter(|(name, _)| name != REPLAYED);
        own.for_each(|(name, value)| rows.push_header(name, value.as_deref()));
        rows.push_header(REPLAYED, Some(place.as_bytes()));
        rows.build()
    }

    pub(super) fn key_text(&self, max: usize) -> String {
        self.key.as_ref().map_or_else(|| "-".into(), |key| readable(key, max))
    }

    pub(super) fn value_text(&self, max: usize) -> String {
        self.value.as_ref().map_or_else(|| "-".into(), |value| readable(value, max))
    }

    /// All of it, a line each.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            ("letter".to_owned(), self.offset.to_string()),
            ("written".to_owned(), time(self.written_ms)),
            ("from".to_owned(), self.origin.text()),
            ("why".to_owned(), self.message.clone()),
        ];
        lines.extend(self.cut.iter().map(|cut| ("cut".to_owned(), cut.clone())));
        lines.extend(self.timestamp_ms.map(|ms| ("timestamp".to_owned(), time(ms))));
        let headers = self.headers.iter();
        lines.extend(headers.map(|(name, value)| {
            let value = value.as_ref().map_or_else(|| "-".into(), |value| readable(value, usize::MAX));
            (format!("header {name}"), value)
        }));
        lines.push(("key".to_owned(), self.key_text(usize::MAX)));
        lines.push(("value".to_owned(), self.value_text(usize::MAX)));
        lines
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "letter": self.offset,
            "writtenMs": self.written_ms,
            "why": self.message,
            "cut": self.cut,
            "timestampMs": self.timestamp_ms,
            "key": bytes(self.key.as_deref()),
            "value": bytes(self.value.as_deref()),
            "headers": self.headers.iter().map(|(name, value)| json!([name, bytes(value.as_deref())])).collect::<Vec<_>>(),
        });
        match &self.origin {
            Origin::Record { at, offset } => {
                json["from"] = json!({"topic": &*at.topic, "partition": at.partition.0, "offset": offset});
            }
            Origin::Output { topic } => json["for"] = json!({ "topic": topic }),
            Origin::Row { edge } => json["row"] = json!({ "edge": edge }),
            Origin::Unknown => {}
        }
        json
    }
}

/// Text as it is; what is no text as an object with its digits.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => Value::Null,
        Some((Ok(text), _)) => text.into(),
        Some((Err(_), bytes)) => json!({ "hex": hexadecimal(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Offset;

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let mut rows = RawChunkBuilder::default();
        let (key, value) = (Some(&b"k"[..]), Some(&[0xff, 0x00][..]));
        rows.push(RawRecord { offset: Offset(9), timestamp_ms: 5, key, value, headers: Headers::NONE });
        headers.iter().for_each(|(name, value)| rows.push_header(name, Some(value.as_bytes())));
        Letter::of(&rows.build().placed(Offset(9), 5).get(0))
    }

    #[test]
    fn a_letter_says_where_it_came_from_and_gives_the_record_back() {
        let input = [
            ("h", "x"),
            ("__tidegate.errors.topic", "a-b"),
            ("__tidegate.errors.partition", "3"),
            ("__tidegate.errors.offset", "17"),
            ("__tidegate.errors.timestamp-ms", "44"),
            ("__tidegate.errors.message", "no number"),
        ];
        let one = letter(&input);
        assert_eq!(one.origin.text(), "a-b-3 at 17");
        assert_eq!((&*one.message, one.json()["value"]["hex"].as_str()), ("no number", Some("ff00")));
        let back = one.record("app-dlq-0@9");
        let back = back.get(0);
        let headers: Vec<_> = back
            .headers
            .iter()
            .map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v.unwrap())))
            .collect();
        assert_eq!(headers, ["h=x", "__tidegate.replayed=app-dlq-0@9"]);
        assert_eq!((back.timestamp_ms, back.key, back.value), (44, Some(&b"k"[..]), Some(&[0xff, 0x00][..])));
        assert_eq!(letter(&[("__tidegate.errors.output", "o")]).origin, Origin::Output { topic: "o".into() });
        assert_eq!(letter(&[("__tidegate.errors.edge", "e")]).origin, Origin::Row { edge: "e".into() });
        assert_eq!(letter(&[]).origin, Origin::Unknown);
    }
}
