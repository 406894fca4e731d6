//! What the parts of files are as rows: lines as text, records of a fixed length as bytes.
//!
//! Owns these decoders. Knows no file. Invariant: a line is never bad, and a record only if its file ends inside it.

use crate::{
    codec::{BadRecord, Decode},
    record::{Bytes, RawChunk, Text},
};
use std::num::NonZeroU32;

/// Lines as text; bytes that are not UTF-8 become the replacement character.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossyText;

impl Decode<Text> for LossyText {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Text>, _: &mut Vec<BadRecord>) {
        good.extend((0..raw.len()).map(|index| {
            let bytes = raw.shared_value(index).unwrap_or_default();
            let lossy = |_| Text::from(String::from_utf8_lossy(&bytes).as_ref());
            Text::from_utf8(bytes.clone()).unwrap_or_else(lossy)
        }));
    }
}

/// Records of a fixed length, in bytes, as they are: see [`FileOptions::record_bytes`](super::FileOptions::record_bytes). One that is shorter,
/// because its file ends inside it, is a bad record.
#[derive(Clone, Copy, Debug)]
pub struct FixedBytes(pub NonZeroU32);

impl Decode<Bytes> for FixedBytes {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Bytes>, bad: &mut Vec<BadRecord>) {
        for index in 0..raw.len() {
            let bytes = raw.shared_value(index).unwrap_or_default();
            if u32::try_from(bytes.len()) == Ok(self.0.get()) {
                good.push(Bytes::from(bytes));
            } else {
                let reason = format!("the file ends after {} of its {} bytes", bytes.len(), self.0);
                bad.push(BadRecord { index, reason });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Offset, RawChunkBuilder, RawRecord};

    #[test]
    fn a_record_that_is_cut_off_is_bad() {
        let mut raw = RawChunkBuilder::default();
        for value in [&b"abc"[..], b"de"] {
            let (offset, value) = (Offset(0), Some(value));
            raw.push(RawRecord { offset, timestamp_ms: -1, key: None, value, headers: Headers::NONE });
        }
        let (mut good, mut bad) = (vec![], vec![]);
        FixedBytes(NonZeroU32::new(3).unwrap()).decode(&raw.build(), &mut good, &mut bad);
        assert_eq!(good, [Bytes::from("abc")]);
        assert_eq!(bad, [BadRecord { index: 1, reason: "the file ends after 2 of its 3 bytes".into() }]);
    }
}
