//! UTF-8 values.
//!
//! Knows no topic. Invariant: a decoded text shares the arena of its chunk, so decoding copies at most 23 bytes.

use super::{BadRecord, Decode, Encode, decode_each, null};
use crate::{
    error::Result,
    record::{Data, RawChunk, Text},
};
use std::{any::Any, fmt::Display, str::FromStr};

/// How much of a text that is no value is shown.
const SHOWN_MAX: usize = 100;

/// Each value is one text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8;

/// [`Text`] itself, or a type of your own that can be made from it; with `Option<Text>`, a null value is `None`.
impl<T: Data + From<Text>> Decode<T> for Utf8 {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        let none = (&None::<Text> as &dyn Any).downcast_ref::<T>();
        decode_each(raw, good, bad, |index| match raw.shared_value(index) {
            Some(bytes) => Text::from_utf8(bytes).map(T::from).map_err(|e| format!("not UTF-8: {e}")),
            None => none.cloned().ok_or_else(|| null("value")),
        });
    }
}

impl<T: AsRef<str>> Encode<T> for Utf8 {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        out.extend_from_slice(value.as_ref().as_bytes());
        Ok(true)
    }
}

/// Writes values as their `Display` form, and reads what `FromStr` does: numbers in decimal, strings as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsText;

impl<T: Display> Encode<T> for AsText {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        use std::io::Write;
        write!(out, "{value}")
            .map_err(|e| crate::Error::State(format!("a value cannot be formatted as text: {e}")))?;
        Ok(true)
    }
}

impl<T: Data + FromStr<Err: Display>> Decode<T> for AsText {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        decode_each(raw, good, bad, |index| {
            let bytes = raw.get(index).value.ok_or_else(|| null("value"))?;
            let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
            let shown = || text.chars().take(SHOWN_MAX).collect::<String>();
            text.parse().map_err(|e| format!("`{}`: {e}", shown()))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RawChunkBuilder;

    #[test]
    fn texts_share_the_arena_and_bad_bytes_are_reported_with_their_position() {
        let mut b = RawChunkBuilder::default();
        let long = "to be, or not to be, that is the question";
        for value in [long.as_bytes(), b"ab\xff", b""] {
            b.push_with(0, None, |v| {
                v.extend(value);
                Ok::<_, ()>(true)
            })
            .unwrap();
        }
        b.push_with(0, None, |_| Ok::<_, ()>(false)).unwrap();
        let raw = b.build();
        let (mut good, mut bad): (Vec<Text>, _) = (vec![], vec![]);
        Utf8.decode(&raw, &mut good, &mut bad);
        assert_eq!(good, [long, ""]);
        assert_eq!(good[0].as_ptr(), raw.get(0).value.unwrap().as_ptr());
        assert_eq!(
            bad,
            [
                BadRecord {
                    index: 1,
                    reason: "not UTF-8: invalid utf-8 sequence of 1 bytes from index 2".into()
                },
                BadRecord { index: 3, reason: null("value") },
            ]
        );
    }
}
