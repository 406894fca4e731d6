//! How rows become bytes where they travel through the exchange topic.
//!
//! Owns the formats of pairs and of rows without a key. Knows no log and no record. Invariant: rows come back as they were, or encoding
//! or decoding them is an error.

use super::{EncodedRow, RowReader, RowWriter};
use crate::{
    codec::{decode_key, decode_value, format_of, key_refusal, value_refusal},
    error::{Error, Result},
    record::{Chunk, Data, Key, Value},
};
use std::{fmt, marker::PhantomData};

/// Turns the rows of chunks into bytes and back. A running program does not use the bytes yet: its rows are handed over in memory. The
/// names are part of fingerprints.
pub trait ExchangeFormat: Send + Sync {
    /// Structural name; part of the fingerprint.
    fn name(&self) -> String;
    /// Why its rows could not be handed over exactly; such a program does not start.
    fn refusal(&self) -> Option<String>;
    /// Appends each row of a chunk, in order: as many as its length says.
    ///
    /// # Errors
    /// If a row cannot be encoded.
    fn encode(&self, chunk: &Chunk, out: &mut RowWriter<'_>) -> Result;
    /// The rows that `encode` wrote, all that there are.
    ///
    /// # Errors
    /// If one is not of this format.
    fn decode(&self, rows: &mut RowReader<'_>) -> Result<Chunk>;
}

impl fmt::Debug for dyn ExchangeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Pairs: key = ordered key bytes, value = versioned value bytes.
pub struct Pairs<K, V>(PhantomData<fn() -> (K, V)>);

/// Rows without a key: null key, value = versioned value bytes.
pub struct Rows<T>(PhantomData<fn() -> T>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Pairs(PhantomData)
    }
}
impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows(PhantomData)
    }
}

impl<K: Key, V: Value> ExchangeFormat for Pairs<K, V> {
    fn name(&self) -> String {
        format_of::<(K, V)>()
    }
    fn refusal(&self) -> Option<String> {
        key_refusal::<K>().or_else(value_refusal::<V>)
    }
    fn encode(&self, chunk: &Chunk, out: &mut RowWriter<'_>) -> Result {
        chunk.view::<Vec<(K, V)>>().iter().try_for_each(|(key, value)| out.pair(key, value))
    }
    fn decode(&self, rows: &mut RowReader<'_>) -> Result<Chunk> {
        decoded(rows, |key, value| {
            let key = key.ok_or_else(|| Error::Codec("the key of a pair is missing".into()))?;
            Ok((decode_key::<K>(key)?, decode_value::<V>(value)?))
        })
    }
}

impl<T: Value> ExchangeFormat for Rows<T> {
    fn name(&self) -> String {
        format_of::<T>()
    }
    fn refusal(&self) -> Option<String> {
        value_refusal::<T>()
    }
    fn encode(&self, chunk: &Chunk, out: &mut RowWriter<'_>) -> Result {
        chunk.view::<Vec<T>>().iter().try_for_each(|row| out.value(row))
    }
    fn decode(&self, rows: &mut RowReader<'_>) -> Result<Chunk> {
        decoded(rows, |key, value| match key {
            None => decode_value::<T>(value),
            Some(_) => Err(Error::Codec("a row without a key has one".into())),
        })
    }
}

fn decoded<T: Data>(
    rows: &mut RowReader<'_>,
    decode: impl Fn(Option<&[u8]>, &[u8]) -> Result<T>,
) -> Result<Chunk> {
    let mut all = Vec::with_capacity(rows.size_hint().1.unwrap_or_default());
    for row in rows {
        let EncodedRow { key, value } = row?;
        all.push(decode(key, value.unwrap_or_default())?);
    }
    Ok(Chunk::rows(all))
}
