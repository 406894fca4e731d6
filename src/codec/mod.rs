//! Bytes to rows and rows to bytes: keys, stored values, and the formats of input and output topics.
//!
//! Owns every byte layout of typed data, and the traits that a format implements. Knows no topic, store or operator.
//! Invariant: bad input gives a result, never a panic.

mod finite;
#[cfg(feature = "postgres")]
mod floats;
mod json;
mod key;
mod message;
mod message_at;
mod native;
mod nullable;
mod pairs;
mod raw;
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod schema;
mod text;
mod trace;
mod value;

pub use json::Json;
pub use key::{decode_key, encode_key};
pub use message::{FromRecord, Message, Messages};
pub use message_at::{MessageAt, MessagesAt};
pub use native::Native;
pub use nullable::Nullable;
pub use pairs::Pairs;
pub use raw::Raw;
#[cfg(feature = "avro")]
pub use schema::{AvroReader, AvroSchema, AvroWriter};
#[cfg(feature = "protobuf")]
pub use schema::{DynamicProtobufReader, ProtobufReader, ProtobufSchema, ProtobufWriter};
#[cfg(feature = "sql")]
pub(crate) use schema::{Found, Lookup, ProtobufFile, prefix};
#[cfg(feature = "json-schema")]
pub use schema::{JsonSchema, JsonSchemaReader, JsonSchemaWriter};
pub use text::{AsText, Utf8};
pub use trace::format_of;
pub use value::{VALUE_VERSION, decode_value, encode_value};

#[cfg(feature = "postgres")]
pub(crate) use floats::write_json;
pub(crate) use value::{Stored, key_refusal, stored_format, value_bytes, value_refusal};

use crate::{
    error::Result,
    record::{Data, RawChunk},
};

/// Decodes the records of an input topic. Stateless; one instance serves all tasks.
pub trait Decode<T: Data>: Send + Sync {
    /// Decodes each record in order: into `good`, or into `bad` with the reason. Every record ends up in exactly one of
    /// them, and the indexes in `bad` rise.
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>);

    /// Gets what these records need besides their bytes, such as schemas, so that `decode` depends on nothing else. It is called
    /// before `decode`, on a thread that may wait for a few seconds, if [`prepares`](Self::prepares). What is had once is kept.
    ///
    /// # Errors
    /// What is missing now, but may come: the records stay where they are, neither good nor bad, and this is called again.
    fn prepare(&self, raw: &RawChunk) -> Result {
        let _ = raw;
        Ok(())
    }

    /// Whether [`prepare`](Self::prepare) does anything.
    fn prepares(&self) -> bool {
        false
    }
}

impl<T: Data, D: Decode<T> + ?Sized> Decode<T> for &D {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        (**self).decode(raw, good, bad);
    }
    fn prepare(&self, raw: &RawChunk) -> Result {
        (**self).prepare(raw)
    }
    fn prepares(&self) -> bool {
        (**self).prepares()
    }
}

/// Encodes the values of an output topic. Stateless; one instance serves all tasks.
pub trait Encode<T>: Send + Sync {
    /// Appends the encoding of `value` to `out`; `false` = nothing was appended, because the value is null.
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) if the value has no encoding; the content of `out` must then be ignored.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool>;
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index in the chunk.
    pub index: usize,
    /// The reason, with position and field if there are any.
    pub reason: String,
}

/// Why a null is a bad record where the type has no room for it; `what` is the value or the key.
fn null(what: &str) -> String {
    format!(
        "the {what} is null, which only an `Option` can hold: `Utf8` and `Json` read one, and so does `Nullable(codec)`"
    )
}

/// The records one by one, as `decode` reads them.
fn one_by_one<T: Data, D: Decode<T>>(
    decode: &D,
    raw: &RawChunk,
) -> impl Iterator<Item = Result<T, String>> + use<T, D> {
    let (mut good, mut bad) = (vec![], vec![]);
    decode.decode(raw, &mut good, &mut bad);
    let (mut good, mut bad) = (good.into_iter(), bad.into_iter().peekable());
    (0..raw.len()).map(move |index| match bad.next_if(|b| b.index == index) {
        Some(b) => Err(b.reason),
        None => good.next().ok_or_else(|| "the codec gave neither a row nor a reason".to_owned()),
    })
}

/// Decodes record by record.
fn decode_each<T>(
    raw: &RawChunk,
    good: &mut Vec<T>,
    bad: &mut Vec<BadRecord>,
    one: impl Fn(usize) -> std::result::Result<T, String>,
) {
    good.reserve(raw.len());
    for index in 0..raw.len() {
        match one(index) {
            Ok(value) => good.push(value),
            Err(reason) => bad.push(BadRecord { index, reason }),
        }
    }
}
