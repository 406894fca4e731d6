//! Values together with the rest of their record: key, timestamp, headers.
//!
//! Knows no format: it wraps the format that decodes the value. Invariant: key and headers share the arena of the chunk
//! that they came in.

use super::{BadRecord, Decode, Encode, decode_each};
use crate::{
    error::Result,
    record::{Bytes, Data, Headers, RawChunk, RawChunkBuilder, RawRecord, Text},
};
use serde::{Deserialize, Serialize};

/// A decoded value with the rest of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message<T> {
    /// Key as bytes; `None` = null.
    pub key: Option<Bytes>,
    /// The value.
    pub value: T,
    /// Record timestamp, milliseconds since the epoch; -1 = none.
    pub timestamp_ms: i64,
    /// Header names and values, in order.
    pub headers: Vec<(Text, Option<Bytes>)>,
}

impl<T> Message<T> {
    /// The same record with another value.
    ///
    /// ```
    /// use tidegate::{
    ///     SourceOptions, StreamingContext, Text,
    ///     codec::{AsText, Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let words = ssc.source::<Message<Text>>(SourceOptions::topic("words"), Messages(Utf8));
    ///     let lengths = words.map(|word| {
    ///         let length = word.value.len();
    ///         word.with_value(length)
    ///     });
    ///     lengths.to_kafka("lengths", AsText);
    /// });
    /// let written = driver.batch("words 0 | a-key | tide | @7000 | unit=bytes\n")?;
    /// assert_eq!(written.to_string(), "lengths | a-key | 4 | @7000 | unit=bytes\n"); // key, timestamp and headers stay
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn with_value<U>(self, value: U) -> Message<U> {
        Message { key: self.key, value, timestamp_ms: self.timestamp_ms, headers: self.headers }
    }

    /// Appends this message as a record whose value is written by `encode`.
    ///
    /// # Errors
    /// The error of `encode`; nothing is appended then.
    pub fn push(&self, encode: &impl Encode<T>, out: &mut RawChunkBuilder) -> Result {
        out.push_with(self.timestamp_ms, self.key.as_deref(), |bytes| encode.encode(&self.value, bytes))?;
        for (name, value) in &self.headers {
            out.push_header(name, value.as_deref());
        }
        Ok(())
    }
}

/// Decodes values with the format `.0` and keeps key, timestamp and headers with them.
///
/// ```
/// use tidegate::codec::{Decode, Message, Messages, Utf8};
/// use tidegate::record::{RawChunkBuilder, Text};
/// let mut records = RawChunkBuilder::default();
/// records.push_with(5, Some(b"k"), |v| { v.extend(b"hello"); Ok::<_, ()>(true) }).unwrap();
/// let (mut good, mut bad): (Vec<Message<Text>>, _) = (vec![], vec![]);
/// Messages(Utf8).decode(&records.build(), &mut good, &mut bad);
/// assert_eq!((&good[0].value[..], good[0].timestamp_ms), ("hello", 5));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages<D>(pub D);

impl<T: Data, D: Decode<T>> Decode<Message<T>> for Messages<D> {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Message<T>>, bad: &mut Vec<BadRecord>) {
        let (mut values, first_bad) = (vec![], bad.len());
        self.0.decode(raw, &mut values, bad);
        let mut bad = bad[first_bad..].iter().map(|b| b.index).peekable();
        let decoded = (0..raw.len()).filter(|index| bad.next_if_eq(index).is_none());
        good.extend(decoded.zip(values).map(|(index, value)| message(raw, index, value)));
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        self.0.prepare(raw)
    }

    fn prepares(&self) -> bool {
        self.0.prepares()
    }
}

fn message<T>(raw: &RawChunk, index: usize, value: T) -> Message<T> {
    let record = raw.get(index);
    let key = raw.shared_key(index).map(Bytes::from);
    Message { key, value, timestamp_ms: record.timestamp_ms, headers: owned(record.headers) }
}

fn owned(headers: Headers<'_>) -> Vec<(Text, Option<Bytes>)> {
    headers.iter().map(|(name, value)| (Text::from(name), value.map(Bytes::from))).collect()
}

impl<T, E: Encode<T>> Encode<Message<T>> for Messages<E> {
    fn encode(&self, message: &Message<T>, out: &mut Vec<u8>) -> Result<bool> {
        self.0.encode(&message.value, out)
    }
}

/// Decodes with a closure that sees the whole record; `Err` is the reason why the record is bad.
#[derive(Clone, Copy, Debug)]
pub struct FromRecord<F>(pub F);

impl<T: Data, F: Fn(RawRecord<'_>) -> Result<T, String> + Send + Sync> Decode<T> for FromRecord<F> {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        decode_each(raw, good, bad, |index| (self.0)(raw.get(index)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Json, Utf8};
    use super::*;
    use crate::record::Offset;

    fn three() -> RawChunk {
        let mut b = RawChunkBuilder::default();
        for (offset, value) in [(4, &b"1"[..]), (5, b"no"), (9, b"3")] {
            b.push(RawRecord {
                offset: Offset(offset),
                timestamp_ms: 70 + i64::try_from(offset).unwrap(),
                key: (offset != 9).then_some(b"key"),
                value: Some(value),
                headers: Headers::NONE,
            });
            b.push_header("trace", Some(b"\x01"));
        }
        b.build()
    }

    #[test]
    fn a_bad_value_does_not_shift_the_keys_and_timestamps_of_the_others() {
        let raw = three();
        let (mut good, mut bad): (Vec<Message<u64>>, _) =
            (vec![], vec![BadRecord { index: 1, reason: "of another chunk".into() }]);
        Messages(Json).decode(&raw, &mut good, &mut bad);
        assert_eq!(bad.iter().map(|b| b.index).collect::<Vec<_>>(), [1, 1]);
        let facts: Vec<_> = good.iter().map(|m| (m.value, m.timestamp_ms, m.key.as_deref())).collect();
        assert_eq!(facts, [(1, 74, Some(&b"key"[..])), (3, 79, None)]);

        let mut out = RawChunkBuilder::default();
        for message in &good {
            message.push(&Json, &mut out).unwrap();
        }
        let again = out.build();
        let one = again.get(1);
        assert_eq!((one.value, one.timestamp_ms, one.key), (Some(&b"3"[..]), 79, None));
        assert_eq!(one.headers.iter().collect::<Vec<_>>(), [("trace", Some(&b"\x01"[..]))]);
    }

    #[test]
    fn a_closure_sees_the_whole_record() {
        let only_keyed = FromRecord(|r: RawRecord<'_>| match r.key {
            Some(key) => Ok((key.len(), r.offset)),
            None => Err("a record without a key".to_owned()),
        });
        let (mut good, mut bad) = (vec![], vec![]);
        only_keyed.decode(&three(), &mut good, &mut bad);
        assert_eq!(good, [(3, Offset(4)), (3, Offset(5))]);
        assert_eq!(bad, [BadRecord { index: 2, reason: "a record without a key".into() }]);
        let mut texts: Vec<Message<Text>> = vec![];
        Messages(Utf8).decode(&three(), &mut texts, &mut bad);
        assert_eq!(texts.len(), 3);
    }
}
