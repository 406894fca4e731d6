//! The values of one store: their present format, and the earlier ones in which rows may still be.
//!
//! Owns the numbers of formats. Knows no name and no database. Invariant: a row says by its first byte in which of the store's formats
//! it is; the number of a format never changes.

use super::{
    DESCRIBED, decode_other, decode_plain, encode,
    proof::{self, Carrier},
    read,
    shape::Shape,
    undecodable,
};
use crate::{
    codec::trace::{format_of, traced},
    error::Result,
    record::Value,
};
use std::{marker::PhantomData, sync::Arc};

/// Stands before the format of values that are described.
const MARK: &str = "described ";

/// The format of a type's stored values.
#[must_use]
pub(crate) fn stored_format<V: Value>() -> String {
    match proof::carrier_of::<V>() {
        Carrier::Described => format!("{MARK}{}", traced::<V>(true).0.text()),
        Carrier::Plain | Carrier::PlainIfItComesBack => format_of::<V>(),
    }
}

/// Values up to this size are read back as samples.
const SAMPLE_BYTES: usize = 4096;

/// An earlier format of a store's values.
struct Earlier {
    shape: Option<Shape>,
    format: String,
}

/// How the values of one store are written and read.
pub(crate) struct Stored<V> {
    carrier: Carrier,
    number: u8,
    /// By number, from 1; the present one is among them.
    formats: Arc<[Earlier]>,
    value: PhantomData<fn(V) -> V>,
}

impl<V: Value> Stored<V> {
    /// The values of a store that has had these formats, in the order of their numbers; if the present one is not among them it has
    /// the next number.
    pub fn new(present: &str, formats: &[String]) -> Self {
        let index = formats.iter().position(|format| *format == present).unwrap_or(formats.len());
        let number = u8::try_from(index + 1).unwrap_or(DESCRIBED);
        let shape = |format: &String| Shape::parse(format.strip_prefix(MARK).unwrap_or(format));
        let earlier = |format: &String| Earlier { shape: shape(format), format: format.clone() };
        Stored {
            carrier: if number == DESCRIBED { Carrier::Described } else { proof::carrier_of::<V>() },
            number,
            formats: formats.iter().map(earlier).collect(),
            value: PhantomData,
        }
    }

    /// Appends the encoding of `value` to `out`.
    ///
    /// # Errors
    /// As [`encode_value`](super::encode_value).
    #[inline]
    pub fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result {
        encode(value, self.number, self.carrier, out)
    }

    /// Decodes a value of any of the store's formats.
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) if the bytes are not exactly one of them.
    #[inline]
    pub fn decode(&self, bytes: &[u8]) -> Result<V> {
        match bytes.split_first() {
            Some((number, body)) if *number == self.number && *number != DESCRIBED => decode_plain(body),
            other => self.decode_earlier(other),
        }
        .map_err(|what| undecodable(bytes, &what))
    }

    #[cold]
    fn decode_earlier(&self, bytes: Option<(&u8, &[u8])>) -> Result<V, String> {
        let number = bytes.map_or(0, |(number, _)| usize::from(*number));
        match (self.formats.get(number.wrapping_sub(1)), bytes) {
            (Some(Earlier { shape: Some(shape), format }), Some((_, body))) => {
                let value = read::shaped(body, shape, false);
                value.map_err(|e| format!("in its earlier format {format}: {e}"))
            }
            (Some(Earlier { shape: None, format }), _) => {
                Err(format!("its earlier format {format} is not known in full"))
            }
            (_, bytes) => decode_other(bytes),
        }
    }

    /// Fails if the encoded `value` is read back as another one: for samples of what the proof at the start cannot see. Large values
    /// are not tried.
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) with both values.
    pub fn comes_back(&self, value: &V, bytes: &[u8]) -> Result {
        if bytes.len() > SAMPLE_BYTES {
            return Ok(());
        }
        let back = self.decode(bytes)?;
        if proof::same(value, &back) {
            return Ok(());
        }
        Err(crate::Error::Codec(format!(
            "value of type `{}` would come back as another value: {}\n  next: make its `Serialize` and `Deserialize` agree, or keep another type",
            std::any::type_name::<V>(),
            proof::difference(value, &back)
        )))
    }

    /// What differs between an earlier format of a store and that of `V`.
    ///
    /// # Errors
    /// Why rows in that format cannot be read exactly as `V`.
    pub fn changes_since(format: &str) -> Result<Vec<String>, String> {
        let (was_described, present) = (format.starts_with(MARK), stored_format::<V>());
        let shape = |format: &str| Shape::parse(format.strip_prefix(MARK).unwrap_or(format));
        let (Some(was), Some(is)) = (shape(format), shape(&present)) else {
            // What was not traced, or describes itself, is judged value by value; a recursion is not compared.
            let opaque = |format: &str| format.starts_with(MARK) && !format.contains('^');
            return if opaque(format) && opaque(&present) {
                Ok(vec!["what a value holds is seen when it is read".into()])
            } else {
                Err("a format with a recursion, or of a type that is not known before values come, must stay as it is".into())
            };
        };
        let mut changes = was.changes_to(&is)?;
        for sample in 0..6 {
            for bytes in was.samples(sample) {
                if let Err(e) = read::shaped::<V>(&bytes, &was, was_described)
                    && e.is_structural
                {
                    return Err(format!(
                        "{e}\n    help: give the new field `#[serde(default)]`, or keep the old one"
                    ));
                }
            }
        }
        if was_described != present.starts_with(MARK) {
            changes.push("values are described from now on, or no longer".into());
        }
        Ok(changes)
    }
}

impl<V> Clone for Stored<V> {
    fn clone(&self) -> Self {
        Stored {
            carrier: self.carrier,
            number: self.number,
            formats: self.formats.clone(),
            value: PhantomData,
        }
    }
}
