//! Values in the layout used for state, for topics that only this program reads and writes.
//!
//! Knows no topic. Invariant: whatever was encoded decodes to the same value; everything else is a bad record.

use super::{BadRecord, Decode, Encode, decode_each, decode_value, encode_value, null};
use crate::{
    error::Result,
    record::{RawChunk, Value},
};

/// The layout of stored values: a version byte, then a compact form of the type (`docs/state-format.md`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl<T: Value> Decode<T> for Native {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        decode_each(raw, good, bad, |index| {
            let value = raw.get(index).value.ok_or_else(|| null("value"))?;
            decode_value(value).map_err(|e| e.to_string())
        });
    }
}

impl<T: Value> Encode<T> for Native {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        encode_value(value, out).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Utf8, *};
    use crate::record::RawChunkBuilder;

    #[test]
    fn values_survive_a_round_trip_and_foreign_bytes_are_bad_records() {
        let mut records = RawChunkBuilder::default();
        records.push_with(-1, None, |out| Native.encode(&(7u64, "seven".to_owned()), out)).unwrap();
        records.push_with(-1, None, |out| Utf8.encode(&"x", out)).unwrap();
        let (mut good, mut bad): (Vec<(u64, String)>, _) = (vec![], vec![]);
        Native.decode(&records.build(), &mut good, &mut bad);
        assert_eq!((good, bad.len()), (vec![(7, "seven".to_owned())], 1));
    }
}
