//! Stored values as bytes: a format version, then postcard.
//!
//! Owns the value layout (`docs/state-format.md`). Knows no store. Invariant: bytes of another version, or with bytes
//! left over, are an error, never a wrong value.

use crate::error::{Error, Result};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// The first byte of every stored value.
pub const VALUE_VERSION: u8 = 1;

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// [`Error::Codec`] if the type's own `Serialize` fails; `out` is then unchanged.
#[inline]
pub fn encode_value<V: Serialize + ?Sized>(value: &V, out: &mut Vec<u8>) -> Result {
    let before = out.len();
    out.push(VALUE_VERSION);
    postcard::serialize_with_flavor(value, Append(out)).map_err(|e| {
        out.truncate(before);
        Error::Codec(format!("value cannot be encoded: {e}"))
    })
}

/// Decodes a value.
///
/// # Errors
/// [`Error::Codec`] if the bytes are not exactly one encoded `V` of this version.
#[inline]
pub fn decode_value<V: DeserializeOwned>(bytes: &[u8]) -> Result<V> {
    let fault =
        |what: String| Error::Codec(format!("value of {} bytes cannot be decoded: {what}", bytes.len()));
    match bytes.split_first() {
        Some((&VALUE_VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(fault(format!("{} bytes are left over", rest.len()))),
            Err(e) => Err(fault(e.to_string())),
        },
        Some((version, _)) => {
            Err(fault(format!("it has format version {version}, this program knows version {VALUE_VERSION}")))
        }
        None => Err(fault("it is empty".into())),
    }
}

/// About how many bytes [`encode_value`] would append; 0 for a value that cannot be encoded.
pub(crate) fn value_bytes<V: Serialize + ?Sized>(value: &V) -> usize {
    postcard::experimental::serialized_size(value).unwrap_or(0)
}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();
    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }
    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_round_trip_and_nothing_else_is_accepted() {
        let value = ("words".to_owned(), Some(7u64), vec![-1i32]);
        let mut out = b"before".to_vec();
        encode_value(&value, &mut out).unwrap();
        let bytes = &out[6..];
        assert_eq!(decode_value::<(String, Option<u64>, Vec<i32>)>(bytes).unwrap(), value);
        assert_eq!(bytes.len(), 1 + value_bytes(&value));
        for (broken, reason) in [
            (&bytes[..0], "it is empty"),
            (&bytes[..4], "end of buffer"),
            (&[&[9], &bytes[1..]].concat(), "format version 9, this program knows version 1"),
            (&[bytes, &[0]].concat(), "1 bytes are left over"),
        ] {
            let e = decode_value::<(String, Option<u64>, Vec<i32>)>(broken).unwrap_err().to_string();
            assert!(e.to_lowercase().contains(reason), "{e}");
        }
    }
}
