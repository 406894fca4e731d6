//! Calls decoders, which may be the program's own.
//!
//! Owns the handling of a decoder that panics. Knows no partition and no policy. Invariant: whatever a decoder
//! does, each record becomes either rows or a bad record, and the records around a bad one are decoded.

use crate::{
    codec::{BadRecord, Decode},
    error::Result,
    panics::{self, caught},
    record::{Data, RawChunk},
};

/// Decodes each record into `good`, or into `bad` with the reason, even if the decoder panics on it. A chunk with a
/// panic is decoded again record by record; only the first panic is shown.
pub(super) fn all<T: Data>(
    decode: &impl Decode<T>,
    records: &RawChunk,
    good: &mut Vec<T>,
    bad: &mut Vec<BadRecord>,
) {
    let before = (good.len(), bad.len());
    if caught(false, || decode.decode(records, good, bad)).is_ok() {
        return;
    }
    good.truncate(before.0);
    bad.truncate(before.1);
    for index in 0..records.len() {
        let (mut row, mut why) = (vec![], vec![]);
        let one = records.slice(index..index + 1);
        match caught(true, || decode.decode(&one, &mut row, &mut why)) {
            Ok(()) => {
                good.append(&mut row);
                bad.extend(why.into_iter().map(|b| BadRecord { index, ..b }));
            }
            Err(panic) => {
                let reason = panics::reason(panic.as_ref(), "the decoder panicked");
                bad.push(BadRecord { index, reason });
            }
        }
    }
}

/// Prepares the decoder. One that panics is left to show that again when it decodes.
///
/// # Errors
/// What is missing now.
pub(super) fn prepare<T: Data>(decode: &impl Decode<T>, records: &RawChunk) -> Result {
    caught(false, || decode.prepare(records)).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RawChunkBuilder;

    /// Lengths of values; refuses an empty one, and panics on a `!`.
    struct Lengths;

    impl Decode<usize> for Lengths {
        fn decode(&self, raw: &RawChunk, good: &mut Vec<usize>, bad: &mut Vec<BadRecord>) {
            for index in 0..raw.len() {
                let value = raw.get(index).value.unwrap_or_default();
                assert!(value != b"!", "no exclamations");
                if value.is_empty() {
                    bad.push(BadRecord { index, reason: "empty".into() });
                } else {
                    good.push(value.len());
                }
            }
        }
    }

    #[test]
    fn a_record_that_makes_the_decoder_panic_is_bad_and_the_others_become_rows() {
        let mut records = RawChunkBuilder::default();
        for value in ["a", "", "!", "bb", "!", ""] {
            let write = |out: &mut Vec<u8>| {
                out.extend(value.as_bytes());
                Ok::<_, ()>(true)
            };
            records.push_with(0, None, write).unwrap();
        }
        let refused = |index, reason: &str| BadRecord { index, reason: reason.into() };
        let (mut good, mut bad) = (vec![7], vec![refused(9, "of another chunk")]);
        all(&Lengths, &records.build(), &mut good, &mut bad);
        assert_eq!(good, [7, 1, 2]);
        let panicked = "the decoder panicked: no exclamations";
        let own = [(1, "empty"), (2, panicked), (4, panicked), (5, "empty")];
        let own = own.map(|(index, reason)| refused(index, reason));
        assert_eq!(bad, [&[refused(9, "of another chunk")], &own[..]].concat());
    }
}
