//! Stored values as bytes: a byte that says how to read the rest, then a plain or a described form.
//!
//! Owns the value layout (`docs/state-format.md`). Knows no store. Invariants: what was written is read back exactly, as far as the
//! type's own `Serialize` shows, or it is an error when it is written; bytes of an unknown form, or with bytes left over, are an
//! error, never a wrong value.

mod encode;
mod proof;
mod read;
mod shape;
mod stored;

pub(crate) use proof::{key_refusal, value_refusal};
pub(crate) use stored::{Stored, stored_format};

use crate::error::{Error, Result};
use encode::{described, plain};
use proof::Carrier;
use serde::{Serialize, de::DeserializeOwned};

/// The first byte of a stored value in the plain form of its type, in the first format of its store.
pub const VALUE_VERSION: u8 = 1;

/// The first byte of a value that says itself what its parts are.
const DESCRIBED: u8 = 0xff;

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// [`Error::Codec`] if the type's own `Serialize` fails, or its `Deserialize` would give another value; `out` is then unchanged.
#[inline]
pub fn encode_value<V: Serialize + DeserializeOwned + 'static>(value: &V, out: &mut Vec<u8>) -> Result {
    encode(value, VALUE_VERSION, proof::carrier_of::<V>(), out)
}

/// Decodes a value.
///
/// # Errors
/// [`Error::Codec`] if the bytes are not exactly one encoded `V` of this version.
#[inline]
pub fn decode_value<V: DeserializeOwned>(bytes: &[u8]) -> Result<V> {
    match bytes.split_first() {
        Some((&VALUE_VERSION, body)) => decode_plain(body),
        other => decode_other(other),
    }
    .map_err(|what| undecodable(bytes, &what))
}

/// About how many bytes [`encode_value`] would append; 0 for a value that cannot be encoded.
pub(crate) fn value_bytes<V: Serialize + ?Sized>(value: &V) -> usize {
    postcard::experimental::serialized_size(value).unwrap_or_else(|_| {
        let mut out = vec![];
        described(value, true, &mut out).map_or(0, |()| out.len())
    })
}

/// `version`, then the plain form; described instead if the type or this value has no plain form that is read back.
#[inline]
fn encode<V: Serialize + DeserializeOwned>(
    value: &V,
    version: u8,
    carrier: Carrier,
    out: &mut Vec<u8>,
) -> Result {
    if carrier == Carrier::Plain {
        let before = out.len();
        out.push(version);
        if plain(value, out).is_ok() {
            return Ok(());
        }
        out.truncate(before);
    }
    encode_slowly(value, version, carrier, out)
}

#[cold]
fn encode_slowly<V: Serialize + DeserializeOwned>(
    value: &V,
    version: u8,
    carrier: Carrier,
    out: &mut Vec<u8>,
) -> Result {
    let before = out.len();
    if carrier == Carrier::PlainIfItComesBack {
        out.push(version);
        if plain(value, out).is_ok()
            && decode_plain::<V>(&out[before + 1..]).is_ok_and(|back| proof::same(value, &back))
        {
            return Ok(());
        }
        out.truncate(before);
    }
    out.push(DESCRIBED);
    let written = described(value, true, out).map_err(|e| e.to_string());
    let checked = written.and_then(|()| match read::described::<V>(&out[before + 1..]) {
        Ok(back) if proof::same(value, &back) => Ok(()),
        Ok(back) => Err(format!("it would come back as another value: {}", proof::difference(value, &back))),
        Err(e) => Err(format!("it could not be read back: {e}")),
    });
    checked.map_err(|what| {
        out.truncate(before);
        Error::Codec(format!(
            "value of type `{}` cannot be encoded: {what}\n  next: make its `Serialize` and `Deserialize` agree, or keep another type",
            std::any::type_name::<V>()
        ))
    })
}

#[inline]
fn decode_plain<V: DeserializeOwned>(body: &[u8]) -> Result<V, String> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
        Err(e) => Err(e.to_string()),
    }
}

#[cold]
fn decode_other<V: DeserializeOwned>(bytes: Option<(&u8, &[u8])>) -> Result<V, String> {
    match bytes {
        Some((&DESCRIBED, body)) => read::described(body).map_err(|e| e.to_string()),
        Some((version, _)) => {
            Err(format!("it has format version {version}, this program knows version {VALUE_VERSION}"))
        }
        None => Err("it is empty".into()),
    }
}

#[cold]
fn undecodable(bytes: &[u8], what: &str) -> Error {
    Error::Codec(format!("value of {} bytes cannot be decoded: {what}", bytes.len()))
}

#[cfg(test)]
mod tests;
