//! Keys as bytes whose order is the order of the values.
//!
//! Owns the key layout (`docs/state-format.md`). Knows no store. Invariants: `a < b` (as in `derive(Ord)`) exactly if
//! the bytes of `a` are less than those of `b`; no encoding is a prefix of another of the same type, so the bytes of a
//! tuple are those of its parts, one after the other.

mod decode;
mod encode;
mod layout;

pub(super) use layout::Fault;

use crate::error::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

/// Appends the encoding of `key` to `out`.
///
/// ```
/// use tidegate::codec::{decode_key, encode_key};
/// let (mut a, mut b) = (vec![], vec![]);
/// encode_key(&("tide", -1i64), &mut a).unwrap();
/// encode_key(&("tide", 10i64), &mut b).unwrap();
/// assert!(a < b);
/// assert_eq!(decode_key::<(String, i64)>(&a).unwrap(), ("tide".to_owned(), -1));
/// ```
///
/// # Errors
/// [`Error::Codec`] if the type's own `Serialize` fails, or leaves out fields (`skip_serializing_if`); `out` is then
/// unchanged.
#[inline]
pub fn encode_key<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result {
    let before = out.len();
    encode::encode(key, out).map_err(|e| {
        out.truncate(before);
        Error::Codec(format!("key cannot be encoded: {e}"))
    })
}

/// Decodes a key; it owns its bytes and shares no buffer.
///
/// # Errors
/// [`Error::Codec`] if the bytes are not exactly one encoded `K`.
#[inline]
pub fn decode_key<K: DeserializeOwned>(bytes: &[u8]) -> Result<K> {
    decode::decode(bytes)
        .map_err(|e| Error::Codec(format!("key b\"{}\" cannot be decoded: {e}", bytes.escape_ascii())))
}
