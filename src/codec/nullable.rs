//! Null values, for formats that have none.
//!
//! Knows no format: it wraps the one that writes and reads what is not null. Invariant: `None` and a null are the same in both
//! directions, whatever the format makes of a null.

use super::{BadRecord, Decode, Encode, one_by_one};
use crate::{
    error::Result,
    record::{Data, RawChunk},
};

/// `Option`s in the format `.0`: `None` is a null value, which deletes a key of a compacted topic. [`Json`](super::Json) needs no
/// such mark.
///
/// ```
/// use tidegate::{StreamingContext, Text, codec::{AsText, Nullable, Utf8}, testing::Driver};
/// let mut driver = Driver::new(|ssc: &StreamingContext| {
///     let prices = ssc.pairs::<Text, Option<u64>>("prices", Utf8, Nullable(AsText));
///     prices.map_values(|price| price.map(|cents| cents / 100)).to_kafka("euros", Utf8, Nullable(AsText));
/// });
/// let written = driver.batch("prices 0 | tea | 250\nprices 0 | rum | -\n")?; // a null
/// assert_eq!(written.to_string(), "euros | rum | -\neuros | tea | 2\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<C>(pub C);

impl<T: Data, D: Decode<T>> Decode<Option<T>> for Nullable<D> {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Option<T>>, bad: &mut Vec<BadRecord>) {
        for (index, decoded) in one_by_one(&self.0, raw).enumerate() {
            match decoded {
                _ if raw.get(index).value.is_none() => good.push(None),
                Ok(value) => good.push(Some(value)),
                Err(reason) => bad.push(BadRecord { index, reason }),
            }
        }
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        self.0.prepare(raw)
    }

    fn prepares(&self) -> bool {
        self.0.prepares()
    }
}

impl<T, E: Encode<T>> Encode<Option<T>> for Nullable<E> {
    fn encode(&self, value: &Option<T>, out: &mut Vec<u8>) -> Result<bool> {
        value.as_ref().map_or(Ok(false), |value| self.0.encode(value, out))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{AsText, Raw, Utf8},
        *,
    };
    use crate::record::{Bytes, RawChunkBuilder, Text};

    #[test]
    fn nulls_are_none_in_both_directions_and_bad_values_stay_bad() {
        let mut records = RawChunkBuilder::default();
        for value in [Some(7u64), None, Some(8)] {
            records.push_with(0, None, |out| Nullable(AsText).encode(&value, out)).unwrap();
        }
        records.push_with(0, None, |out| Utf8.encode(&"x", out)).unwrap();
        let raw = records.build();
        assert!(raw.get(1).value.is_none());
        let (mut good, mut bad): (Vec<Option<u64>>, _) = (vec![], vec![]);
        Nullable(AsText).decode(&raw, &mut good, &mut bad);
        assert_eq!(good, [Some(7), None, Some(8)]);
        assert_eq!(bad.iter().map(|b| b.index).collect::<Vec<_>>(), [3]);
        let mut texts: Vec<Option<Text>> = vec![];
        Utf8.decode(&raw, &mut texts, &mut bad);
        assert_eq!(
            (texts.len(), &texts[1], bad.len()),
            (4, &None, 1),
            "an optional text needs no mark to be read"
        );
        let mut bytes: Vec<Option<Option<Bytes>>> = vec![];
        Nullable(Raw).decode(&raw, &mut bytes, &mut bad); // a format that takes nulls itself
        assert_eq!((bytes.len(), bytes[1].is_none(), bytes[2].is_some()), (4, true, true));
    }
}
