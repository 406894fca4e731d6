//! Keys and values, each in a format of its own.
//!
//! Knows no format: it wraps two of them. Invariant: a record is a pair if both halves can be read, and otherwise bad with the
//! reason of the first that cannot.

use super::{BadRecord, Decode, null, one_by_one};
use crate::{
    error::Result,
    record::{Data, RawChunk},
};

/// Decodes keys with the format `.0` and values with the format `.1`. In [`Messages`](super::Messages), timestamp and headers stay
/// with the pair: a [`Message<(K, V)>`](super::Message).
///
/// ```
/// use tidegate::{
///     SourceOptions, StreamingContext, Text,
///     codec::{Json, Message, Messages, Pairs, Utf8},
///     testing::Driver,
/// };
/// let mut driver = Driver::new(|ssc: &StreamingContext| {
///     let options = SourceOptions::topics(["eu", "us"]);
///     let orders = ssc.source::<Message<(Text, u64)>>(options, Messages(Pairs(Utf8, Json)));
///     orders.map(|order| (order.value.0, order.value.1, order.timestamp_ms)).print();
/// });
/// let written = driver.batch("eu 0 | tea | 2 | @1000\n")?;
/// assert_eq!(written.to_string(), "console | (tea,2,1000)\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairs<K, V>(pub K, pub V);

impl<K: Data, V: Data, DK: Decode<K>, DV: Decode<V>> Decode<(K, V)> for Pairs<DK, DV> {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<(K, V)>, bad: &mut Vec<BadRecord>) {
        let keys = one_by_one(&self.0, &raw.keys());
        good.reserve(raw.len());
        for (index, pair) in keys.zip(one_by_one(&self.1, raw)).enumerate() {
            let reason = match pair {
                (Ok(key), Ok(value)) => {
                    good.push((key, value));
                    continue;
                }
                (Err(_), _) if raw.get(index).key.is_none() => null("key"),
                (Err(reason), _) => format!("key: {reason}"),
                (_, Err(reason)) => reason,
            };
            bad.push(BadRecord { index, reason });
        }
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        self.0.prepare(&raw.keys())?;
        self.1.prepare(raw)
    }

    fn prepares(&self) -> bool {
        self.0.prepares() || self.1.prepares()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{AsText, Json, Utf8},
        *,
    };
    use crate::record::{RawChunkBuilder, Text};

    #[test]
    fn a_bad_key_or_value_shifts_nothing_and_is_told_from_the_other() {
        let mut records = RawChunkBuilder::default();
        for (key, value) in
            [(Some("1"), "10"), (Some("x"), "20"), (Some("3"), "y"), (None, "40"), (Some("5"), "50")]
        {
            let write = |out: &mut Vec<u8>| {
                out.extend(value.as_bytes());
                Ok::<_, ()>(true)
            };
            records.push_with(0, key.map(str::as_bytes), write).unwrap();
        }
        let raw = records.build();
        let (mut good, mut bad): (Vec<(u64, u64)>, _) = (vec![], vec![]);
        Pairs(AsText, Json).decode(&raw, &mut good, &mut bad);
        assert_eq!(good, [(1, 10), (5, 50)]);
        let reasons: Vec<_> =
            bad.iter().map(|b| (b.index, b.reason.split([',', '`']).next().unwrap())).collect();
        assert_eq!(
            reasons,
            [
                (1, "key: "),
                (2, "not the expected JSON: expected value at line 1 column 1"),
                (3, "the key is null")
            ]
        );
        assert!(bad[0].reason.contains("`x`: invalid digit"), "{bad:?}");
        let mut keyless: Vec<(Option<Text>, Text)> = vec![];
        Pairs(Utf8, Utf8).decode(&raw, &mut keyless, &mut vec![]);
        assert_eq!((keyless.len(), &keyless[3].0), (5, &None));
    }
}
