//! A row of a Python program, as bytes in a form that does not change.
//!
//! Owns the form (`docs/state-format.md`, "Values of Python") and what can be asked of it without Python: whether it is a pair, whether it
//! can be a key. Knows no interpreter. Invariants: equal bytes are equal values; a key is in one form only; bytes that are not exactly
//! one value are told as such and never read as another.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use std::fmt;
use tidegate::record::Bytes;

/// What the first byte of a value says. Durable: a number is never used for something else.
pub mod tag {
    pub const NONE: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    /// Zigzag, in the variable length of unsigned integers.
    pub const INT: u8 = 3;
    /// Length, then two's complement, least byte first, as short as possible; only what does not fit into 64 bits.
    pub const BIG_INT: u8 = 4;
    /// Eight bytes of IEEE 754, least first; all that are not a number are one.
    pub const FLOAT: u8 = 5;
    /// Length and UTF-8.
    pub const STR: u8 = 6;
    /// Length and bytes.
    pub const BYTES: u8 = 7;
    /// Number of elements, then each.
    pub const TUPLE: u8 = 8;
    pub const LIST: u8 = 9;
    /// Number of entries, then key and value of each, in their order.
    pub const DICT: u8 = 10;
    /// Number of elements, then each, in the order of their bytes.
    pub const SET: u8 = 11;
    pub const FROZEN_SET: u8 = 12;
    /// Name of the class, number of fields, then name and value of each.
    pub const NAMED_TUPLE: u8 = 13;
    pub const DATACLASS: u8 = 14;
    /// Length and what `pickle` wrote.
    pub const PICKLE: u8 = 15;
    /// An array of numpy: length and name of its kind of numbers; number of dimensions and the size of each; length and the numbers, least
    /// byte first, the last dimension fastest.
    pub const ARRAY: u8 = 16;
}

/// How deep values may be nested in each other.
pub const DEPTH_MAX: usize = 100;

/// A row.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Bytes);

/// Why bytes are no value.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl From<Malformed> for String {
    fn from(why: Malformed) -> Self {
        why.to_string()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "these bytes are no value of a Python program: {}", self.0)
    }
}

impl Value {
    /// The value that was just written as these bytes.
    pub fn written(bytes: &[u8]) -> Self {
        Value(Bytes::from(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn none() -> Self {
        Value::written(&[tag::NONE])
    }

    pub fn int(number: i64) -> Self {
        let mut out = vec![tag::INT];
        put_varint(zigzag(number), &mut out);
        Value::written(&out)
    }

    pub fn count(number: u64) -> Self {
        Value::int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub fn float(number: f64) -> Self {
        let mut out = vec![];
        put_float(number, &mut out);
        Value::written(&out)
    }

    pub fn text(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 6);
        put_text(tag::STR, text.as_bytes(), &mut out);
        Value(Bytes::from(out))
    }

    pub fn raw(bytes: &[u8]) -> Self {
        let mut out = Vec::with_capacity(bytes.len() + 6);
        put_text(tag::BYTES, bytes, &mut out);
        Value(Bytes::from(out))
    }

    pub fn tuple<'v>(parts: impl IntoIterator<Item = &'v Value, IntoIter: ExactSizeIterator>) -> Self {
        Value::sequence(tag::TUPLE, parts)
    }

    pub fn list<'v>(parts: impl IntoIterator<Item = &'v Value, IntoIter: ExactSizeIterator>) -> Self {
        Value::sequence(tag::LIST, parts)
    }

    fn sequence<'v>(
        tag: u8,
        parts: impl IntoIterator<Item = &'v Value, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let parts = parts.into_iter();
        let mut out = vec![tag];
        put_varint(parts.len() as u64, &mut out);
        for part in parts {
            out.extend_from_slice(part.bytes());
        }
        Value(Bytes::from(out))
    }

    /// The fields of a named tuple of this class.
    pub fn named_tuple(class: &str, fields: &[(&str, Value)]) -> Self {
        let mut out = vec![tag::NAMED_TUPLE];
        put_bytes(class.as_bytes(), &mut out);
        put_varint(fields.len() as u64, &mut out);
        for (name, value) in fields {
            put_bytes(name.as_bytes(), &mut out);
            out.extend_from_slice(value.bytes());
        }
        Value(Bytes::from(out))
    }

    /// The parts, if it has exactly two in an order: a tuple, a list or a named tuple.
    pub fn into_pair(self) -> Result<(Value, Value), Value> {
        let mut reader = Reader::new(&self.0);
        let Some((first, second)) = reader.pair() else { return Err(self) };
        Ok((Value(self.0.part(first)), Value(self.0.part(second))))
    }

    /// The fields of a named tuple of this class; `None` = it is something else.
    pub fn fields_of(&self, class: &str) -> Option<Vec<(&str, &[u8])>> {
        let mut reader = Reader::new(&self.0);
        if reader.byte().ok()? != tag::NAMED_TUPLE || reader.bytes().ok()? != class.as_bytes() {
            return None;
        }
        let count = reader.varint().ok()?;
        let mut fields = vec![];
        for _ in 0..count {
            let name = std::str::from_utf8(reader.bytes().ok()?).ok()?;
            let from = reader.at;
            reader.skip(0).ok()?;
            fields.push((name, &self.0[from..reader.at]));
        }
        Some(fields)
    }

    /// Whether the bytes are exactly one value.
    fn is_whole(&self) -> bool {
        let mut reader = Reader::new(&self.0);
        reader.skip(0).is_ok() && reader.is_at_end()
    }

    /// The same as a key.
    ///
    /// # Errors
    /// The name of the type that cannot be a key.
    pub fn into_key(self) -> Result<Value, &'static str> {
        if let Some(&(tag::NONE..=tag::BIG_INT | tag::STR | tag::BYTES)) = self.0.first() {
            return Ok(self);
        }
        let mut zeros = vec![];
        Reader::new(&self.0).check_key(&mut zeros)?;
        if zeros.is_empty() {
            return Ok(self);
        }
        // Of the two zeros, which are equal, a key has the positive one.
        let mut key = self.0.to_vec();
        for at in zeros {
            key[at + 7] = 0;
        }
        Ok(Value(Bytes::from(key)))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?})", self.0)
    }
}

/// For people as Python's `str` shows it (bytes that are no value, as they are); otherwise the bytes.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if !s.is_human_readable() {
            return self.0.serialize(s);
        }
        if !self.is_whole() {
            return s.collect_str(&format_args!("{:?}", self.0));
        }
        s.serialize_str(&crate::function::shown(self).map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Bytes::deserialize(d).map(Value)
    }
}

pub fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

pub fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub fn put_text(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

pub fn put_float(number: f64, out: &mut Vec<u8>) {
    out.push(tag::FLOAT);
    out.extend_from_slice(&if number.is_nan() { f64::NAN } else { number }.to_le_bytes());
}

/// Reads values from left to right.
pub struct Reader<'b> {
    all: &'b [u8],
    pub at: usize,
}

type Read<T> = Result<T, Malformed>;

impl<'b> Reader<'b> {
    pub fn new(all: &'b [u8]) -> Self {
        Reader { all, at: 0 }
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.all.len()
    }

    pub fn byte(&mut self) -> Read<u8> {
        let byte = self.all.get(self.at).copied().ok_or(Malformed("they end too early"))?;
        self.at += 1;
        Ok(byte)
    }

    pub fn varint(&mut self) -> Read<u64> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Malformed("a number is too large"));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub fn int(&mut self) -> Read<i64> {
        self.varint().map(unzigzag)
    }

    /// As many elements as there may be: each takes a byte at least.
    pub fn length(&mut self) -> Read<usize> {
        let length = self.varint()?;
        let left = self.all.len() - self.at;
        usize::try_from(length).ok().filter(|length| *length <= left).ok_or(Malformed("they end too early"))
    }

    pub fn take(&mut self, count: usize) -> Read<&'b [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.all.len());
        let end = end.ok_or(Malformed("they end too early"))?;
        let taken = &self.all[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn bytes(&mut self) -> Read<&'b [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub fn float(&mut self) -> Read<f64> {
        let bytes = self.take(8)?;
        bytes.try_into().map(f64::from_le_bytes).map_err(|_| Malformed("they end too early"))
    }

    /// The places of two parts that are everything there is.
    fn pair(&mut self) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let tag = self.byte().ok()?;
        let is_named = tag == tag::NAMED_TUPLE;
        if is_named {
            self.bytes().ok()?;
        }
        if !(is_named || matches!(tag, tag::TUPLE | tag::LIST)) || self.varint().ok()? != 2 {
            return None;
        }
        let mut part = || {
            if is_named {
                self.bytes().ok()?;
            }
            let from = self.at;
            self.skip(1).ok()?;
            Some(from..self.at)
        };
        let parts = (part()?, part()?);
        self.is_at_end().then_some(parts)
    }

    /// Passes over one value.
    fn skip(&mut self, depth: usize) -> Read<()> {
        if depth > DEPTH_MAX {
            return Err(Malformed("they are nested too deep"));
        }
        match self.byte()? {
            tag::NONE | tag::FALSE | tag::TRUE => {}
            tag::INT => drop(self.varint()?),
            tag::FLOAT => drop(self.take(8)?),
            tag::BIG_INT | tag::STR | tag::BYTES | tag::PICKLE => drop(self.bytes()?),
            tag::TUPLE | tag::LIST | tag::SET | tag::FROZEN_SET => {
                for _ in 0..self.length()? {
                    self.skip(depth + 1)?;
                }
            }
            tag::DICT => {
                for _ in 0..self.length()? {
                    self.skip(depth + 1)?;
                    self.skip(depth + 1)?;
                }
            }
            tag::NAMED_TUPLE | tag::DATACLASS => {
                self.bytes()?;
                for _ in 0..self.length()? {
                    self.bytes()?;
                    self.skip(depth + 1)?;
                }
            }
            tag::ARRAY => {
                self.bytes()?;
                for _ in 0..self.length()? {
                    self.varint()?;
                }
                self.bytes()?;
            }
            _ => return Err(Malformed("a kind of value that this version does not know")),
        }
        Ok(())
    }

    /// Whether the value can be a key; `zeros` are the places of negative zeros.
    fn check_key(&mut self, zeros: &mut Vec<usize>) -> Result<(), &'static str> {
        const MALFORMED: &str = "malformed value";
        let at = self.at;
        match self.byte().map_err(|_| MALFORMED)? {
            tag::FLOAT => {
                let number = self.float().map_err(|_| MALFORMED)?;
                if number == 0.0 && number.is_sign_negative() {
                    zeros.push(at + 1);
                }
                Ok(())
            }
            tag::TUPLE | tag::FROZEN_SET => {
                for _ in 0..self.length().map_err(|_| MALFORMED)? {
                    self.check_key(zeros)?;
                }
                Ok(())
            }
            tag::NAMED_TUPLE | tag::DATACLASS => {
                self.bytes().map_err(|_| MALFORMED)?;
                for _ in 0..self.length().map_err(|_| MALFORMED)? {
                    self.bytes().map_err(|_| MALFORMED)?;
                    self.check_key(zeros)?;
                }
                Ok(())
            }
            tag::LIST => Err("list"),
            tag::DICT => Err("dict"),
            tag::SET => Err("set"),
            tag::PICKLE => Err("pickled object"),
            tag::ARRAY => Err("array"),
            _ => {
                self.at = at;
                self.skip(0).map_err(|_| MALFORMED)
            }
        }
    }
}
