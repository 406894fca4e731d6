//! Values as plain bytes.
//!
//! Knows no topic. Invariant: nothing is rejected except a null where the type has none.

use super::{BadRecord, Decode, Encode, decode_each, null};
use crate::{
    error::Result,
    record::{Bytes, RawChunk},
};

/// Each value is a byte string; with `Option<Bytes>` also null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Decode<Bytes> for Raw {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Bytes>, bad: &mut Vec<BadRecord>) {
        decode_each(raw, good, bad, |index| {
            raw.shared_value(index).map(Bytes::from).ok_or_else(|| null("value"))
        });
    }
}

impl Decode<Option<Bytes>> for Raw {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<Option<Bytes>>, _: &mut Vec<BadRecord>) {
        good.extend((0..raw.len()).map(|index| raw.shared_value(index).map(Bytes::from)));
    }
}

impl Encode<Bytes> for Raw {
    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<bool> {
        out.extend_from_slice(value);
        Ok(true)
    }
}

impl Encode<Option<Bytes>> for Raw {
    fn encode(&self, value: &Option<Bytes>, out: &mut Vec<u8>) -> Result<bool> {
        match value {
            Some(bytes) => self.encode(bytes, out),
            None => Ok(false),
        }
    }
}
