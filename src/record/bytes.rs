//! Bytes that are cheap to own: up to 23 bytes inline, longer ones as a slice of a shared buffer.
//!
//! Owns the byte string of the typed API. Knows no codec. Invariant: a clone never copies more than 23 bytes; `compact`
//! never keeps a larger buffer alive.

use hipstr::HipByt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    borrow::Borrow,
    fmt, hash,
    ops::{Deref, Range},
};

/// A byte string that behaves like `&[u8]`; the binary sibling of [`Text`](super::Text).
///
/// ```
/// use tidegate::record::Bytes;
/// let key = Bytes::from("user-7");
/// assert_eq!(&key[..4], b"user");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(HipByt<'static>);

impl Bytes {
    /// A copy that keeps no larger buffer alive than its own bytes.
    #[must_use]
    pub fn compact(&self) -> Bytes {
        Bytes::from(&**self)
    }

    /// A part of it, which shares the buffer (a copy when short).
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Bytes {
        Bytes(self.0.slice(range))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl From<HipByt<'static>> for Bytes {
    fn from(bytes: HipByt<'static>) -> Self {
        Bytes(bytes)
    }
}
impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes(HipByt::from(bytes))
    }
}
impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes::from(text.as_bytes())
    }
}
impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Bytes::from(text.into_bytes())
    }
}
impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Bytes::from(&bytes[..])
    }
}
impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(HipByt::from(bytes))
    }
}
impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}
impl hash::Hash for Bytes {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}
/// Shows printable ASCII as it is and everything else as `\xNN`.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self)
    }
}
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl serde::de::Visitor<'_> for Visit {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::from(bytes))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes::from(bytes))
            }
        }
        d.deserialize_bytes(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compacted_slice_does_not_share() {
        let all = HipByt::from(vec![7u8; 1000]);
        let piece = Bytes::from(all.slice(10..60));
        assert_eq!(piece.as_ptr(), all[10..].as_ptr());
        assert_ne!(piece.compact().as_ptr(), all[10..].as_ptr());
        assert_eq!(format!("{:?}", Bytes::from(&b"a\0"[..])), "b\"a\\x00\"");
    }
}
