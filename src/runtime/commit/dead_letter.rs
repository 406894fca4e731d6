//! A record on its way to the dead-letter topic: as it came, with headers that say why it is there.
//!
//! Pure. Knows no policy. Invariants: the dead-letter topic accepts what is built here; what had to be cut or changed for
//! that is said in a header.

use crate::{
    log::limits::{RecordLimits, sent_bytes_of},
    record::{Headers, RawChunk, RawChunkBuilder, RawRecord},
};

/// A header is cut to this length, bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// The dead-letter topic accepts this much more than the topics that are read: room for the headers that say why, of which only
/// the message may be long.
pub const HEADERS_BYTES_MAX: usize = 4 << 10;

/// The record with these headers, within the limits of the dead-letter topic. Its own time becomes a header: the topic's
/// retention counts from now.
#[must_use]
pub fn dead_letter(record: RawRecord<'_>, why: &[(&str, &str)], limits: Option<&RecordLimits>) -> RawChunk {
    let mut own: Vec<(&str, String)> = why.iter().map(|(name, text)| (*name, cut(text).to_owned())).collect();
    if record.timestamp_ms >= 0 {
        let before_the_message = own.len().saturating_sub(1);
        own.insert(before_the_message, ("__tidegate.errors.timestamp-ms", record.timestamp_ms.to_string()));
    }
    let fit = Fit::of(&record, &own, limits.and_then(RecordLimits::bytes_max));
    let value = record.value.map(|value| &value[..fit.value_bytes.min(value.len())]);
    own.extend(fit.note(&record));
    let mut letter = RawChunkBuilder::default();
    let key = record.key.filter(|_| fit.has_key);
    letter.push(RawRecord { headers: Headers::NONE, timestamp_ms: -1, key, value, ..record });
    if fit.has_headers {
        record.headers.iter().for_each(|(name, value)| letter.push_header(name, value));
    }
    own.iter().for_each(|(name, text)| letter.push_header(name, Some(text.as_bytes())));
    letter.build()
}

/// What of a record fits into the dead-letter topic.
#[derive(Debug, PartialEq, Eq)]
struct Fit {
    value_bytes: usize,
    has_headers: bool,
    has_key: bool,
}

impl Fit {
    fn of(record: &RawRecord<'_>, own: &[(&str, String)], bytes_max: Option<usize>) -> Fit {
        let value_bytes = record.value.map_or(0, <[u8]>::len);
        let bytes = |value_bytes, has_headers: bool, has_key: bool, noted: bool| {
            let of_record = record.headers.iter().map(|(n, v)| (n.len(), v.map(<[u8]>::len)));
            let of_record = of_record.take(if has_headers { usize::MAX } else { 0 });
            let own = own.iter().map(|(name, text)| (name.len(), Some(text.len())));
            let note = noted.then_some((NOTE.len(), Some(NOTE_BYTES_MAX)));
            let key = record.key.filter(|_| has_key).map(<[u8]>::len);
            sent_bytes_of(key, record.value.map(|_| value_bytes), of_record.chain(own).chain(note))
        };
        let whole = Fit { value_bytes, has_headers: true, has_key: true };
        let Some(max) = bytes_max.filter(|max| bytes(value_bytes, true, true, false) > *max) else {
            return whole;
        };
        for (has_headers, has_key) in [(true, true), (false, true), (false, false)] {
            let rest = bytes(0, has_headers, has_key, true) + 2 * LENGTH_BYTES_MAX;
            if rest <= max {
                return Fit { value_bytes: value_bytes.min(max - rest), has_headers, has_key };
            }
        }
        Fit { value_bytes: 0, has_headers: false, has_key: false }
    }

    /// The header that says what was cut.
    fn note(&self, record: &RawRecord<'_>) -> Option<(&'static str, String)> {
        let value_bytes = record.value.map_or(0, <[u8]>::len);
        let mut cut = vec![];
        if self.value_bytes < value_bytes {
            cut.push(format!("the value, {} of {value_bytes} bytes are left", self.value_bytes));
        }
        if !self.has_headers {
            cut.push("the headers".into());
        }
        if !self.has_key {
            cut.push(format!("the key of {} bytes", record.key.map_or(0, <[u8]>::len)));
        }
        (!cut.is_empty()).then(|| (NOTE, cut.join("; ")))
    }
}

const NOTE: &str = "__tidegate.errors.cut";
const NOTE_BYTES_MAX: usize = 128;
/// The lengths of value and record may take this much more once the value is there.
const LENGTH_BYTES_MAX: usize = 5;

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(HEADER_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::{TopicInfo, limits::sent_bytes},
        record::Offset,
    };

    fn limits(bytes_max: usize) -> RecordLimits {
        let config =
            [("max.message.bytes", bytes_max.to_string()), ("message.timestamp.after.max.ms", "10".into())];
        let config = config.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        RecordLimits::of(&TopicInfo {
            id: String::new(),
            partitions: 1,
            replication_factor: 1,
            may_write: None,
            config,
        })
    }

    fn record<'a>(key: &'a [u8], value: &'a [u8], timestamp_ms: i64) -> RawRecord<'a> {
        let (key, value) = (Some(key), Some(value));
        RawRecord { offset: Offset(3), timestamp_ms, key, value, headers: Headers::NONE }
    }

    fn header(letter: &RawChunk, name: &str) -> Option<String> {
        let mut found = letter.get(0).headers.iter().filter(|(n, _)| *n == name);
        found.next().map(|(_, value)| String::from_utf8(value.unwrap().to_vec()).unwrap())
    }

    #[test]
    fn a_record_of_any_size_fits_and_what_was_cut_is_said() {
        let why = [("__tidegate.errors.message", "it is bad")];
        for max in [400, 1_000, 20_000, 1_048_588] {
            for len in [0, 10, max - 200, max - 100, max - 99, max, 2 * max] {
                for key in [3, max / 2, 2 * max] {
                    let (key, value) = (vec![b'k'; key], vec![b'v'; len]);
                    let letter = dead_letter(record(&key, &value, 5), &why, Some(&limits(max)));
                    let got = letter.get(0);
                    assert!(sent_bytes(&got) <= max, "{} of {max}", sent_bytes(&got));
                    let is_whole = got.key == Some(&key[..]) && got.value == Some(&value[..]);
                    assert_eq!(is_whole, header(&letter, NOTE).is_none());
                    assert!(is_whole || sent_bytes(&record(&key, &value, 5)) + 200 > max, "cut without need");
                    assert_eq!(header(&letter, why[0].0).as_deref(), Some("it is bad"));
                }
            }
        }
        let letter = dead_letter(record(b"k", &[b'v'; 900], 5), &why, Some(&limits(500)));
        let left = letter.get(0).value.unwrap().len();
        assert_eq!(header(&letter, NOTE), Some(format!("the value, {left} of 900 bytes are left")));
        assert!(left > 100, "{left}");
    }

    #[test]
    fn headers_stay_if_they_fit_and_the_timestamp_becomes_one() {
        let mut with_header = RawChunkBuilder::default();
        with_header.push(record(b"k", b"v", 100));
        with_header.push_header("trace", Some(&[b't'; 300]));
        let with_header = with_header.build();
        let letter = dead_letter(with_header.get(0), &[], Some(&limits(1_000)));
        assert_eq!((letter.get(0).timestamp_ms, letter.get(0).headers.len()), (-1, 2));
        let letter = dead_letter(with_header.get(0), &[], Some(&limits(300)));
        assert_eq!((letter.get(0).timestamp_ms, header(&letter, "trace")), (-1, None));
        assert_eq!(header(&letter, "__tidegate.errors.timestamp-ms").as_deref(), Some("100"));
        assert_eq!(header(&letter, NOTE).as_deref(), Some("the headers"));
        assert_eq!(letter.get(0).value, Some(&b"v"[..]));
        // Nothing is known about the topic.
        let letter = dead_letter(record(b"k", &vec![0; 2 << 20], 1 << 60), &[("a", &"é".repeat(600))], None);
        assert_eq!((letter.get(0).timestamp_ms, letter.get(0).value.unwrap().len()), (-1, 2 << 20));
        assert_eq!(header(&letter, "a").unwrap().len(), 1024);
    }
}
