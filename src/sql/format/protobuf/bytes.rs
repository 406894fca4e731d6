//! The bytes of a message, from front to back.
//!
//! Owns the place in them, and how numbers are written (protobuf.dev/programming-guides/encoding). Knows no message type. Invariants: nothing
//! is read beyond the end; what no writer writes is a fault.

use crate::sql::format::fault::Fault;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
const START: u8 = 3;
const END: u8 = 4;
pub(super) const FIXED32: u8 = 5;
/// How deep groups may be nested that are passed over.
const DEPTH_MAX: usize = 64;

/// A value as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Text, bytes, a message, or numbers one behind the other.
    Bytes(&'b [u8]),
}

/// What a way of writing is called.
pub(super) fn wire_name(wire: u8) -> &'static str {
    match wire {
        VARINT => "a varint",
        FIXED64 => "8 bytes",
        BYTES => "a length and bytes",
        START | END => "a group",
        FIXED32 => "4 bytes",
        _ => "nothing that exists",
    }
}

pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Where the bytes begin in the record.
    base: usize,
}

impl<'b> Cursor<'b> {
    /// Reads these bytes, which begin at byte `base` of the record.
    pub fn new(bytes: &'b [u8], base: usize) -> Self {
        Cursor { bytes, at: 0, base }
    }

    /// Where the next byte is in the record.
    #[inline]
    pub fn place(&self) -> usize {
        self.base + self.at
    }

    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        if let Some(byte) = self.bytes.get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let start = self.place();
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else {
                return Err(Fault::at(start, "the record ends within a number"));
            };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::at(start, "a number has more than 64 bits"))
    }

    /// The number of the next field, and how it is written; `None` = there is none.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<(u32, u8)>, Fault> {
        if self.is_at_end() {
            return Ok(None);
        }
        let start = self.place();
        let tag = self.varint()?;
        let wire = tag.to_le_bytes()[0] & 7;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok(Some((number, wire))),
            _ => Err(Fault::at(start, format!("{} is no number of a field", tag >> 3))),
        }
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'b [u8], Fault> {
        let left = &self.bytes[self.at..];
        match usize::try_from(length).ok().and_then(|length| left.get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(Fault::at(
                self.place(),
                format!("the record ends: {length} more bytes are expected, {} are there", left.len()),
            )),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N as u64)?;
        Ok(std::array::from_fn(|index| taken[index]))
    }

    /// A value that is written so, and where it begins.
    #[inline]
    pub fn value(&mut self, wire: u8) -> Result<(usize, Raw<'b>), Fault> {
        let start = self.place();
        Ok(match wire {
            VARINT => (start, Raw::Varint(self.varint()?)),
            FIXED64 => (start, Raw::Fixed64(u64::from_le_bytes(self.array()?))),
            FIXED32 => (start, Raw::Fixed32(u32::from_le_bytes(self.array()?))),
            BYTES => {
                let length = self.varint()?;
                (self.place(), Raw::Bytes(self.take(length)?))
            }
            END => return Err(Fault::at(start, "a group ends that did not begin")),
            _ => {
                return Err(Fault::at(
                    start,
                    format!("a value is written in the way {wire}, which does not exist"),
                ));
            }
        })
    }

    /// Passes the value of a field over.
    #[inline]
    pub fn skip(&mut self, number: u32, wire: u8) -> Result<(), Fault> {
        if wire == START { self.skip_group(number, 0) } else { self.value(wire).map(drop) }
    }

    fn skip_group(&mut self, number: u32, depth: usize) -> Result<(), Fault> {
        let start = self.place();
        if depth > DEPTH_MAX {
            return Err(Fault::at(start, format!("groups are nested deeper than {DEPTH_MAX}")));
        }
        loop {
            match self.tag()? {
                None => return Err(Fault::at(start, "the record ends within a group")),
                Some((end, END)) if end == number => return Ok(()),
                Some((inner, START)) => self.skip_group(inner, depth + 1)?,
                Some((_, wire)) => drop(self.value(wire)?),
            }
        }
    }
}

/// The low 32 bits.
#[inline]
pub(super) fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The low 64 bits of two's complement.
#[inline]
pub(super) fn low64(value: i128) -> u64 {
    u64::try_from(value & i128::from(u64::MAX)).unwrap_or_default() // it is not negative, and has 64 bits
}

#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
pub(super) fn put_varint(mut rest: u64, out: &mut Vec<u8>) {
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

#[inline]
pub(super) fn put_tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire), out);
}

/// Puts the length of what was appended since `start` before it.
#[inline]
pub(super) fn put_length(start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    put_varint(length as u64, out);
    let digits = out.len() - start - length;
    out[start..].rotate_right(digits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(bytes: &[u8]) -> String {
        let mut cursor = Cursor::new(bytes, 0);
        loop {
            match cursor.tag() {
                Ok(Some((number, wire))) => {
                    if let Err(fault) = cursor.skip(number, wire) {
                        return fault.into_reason();
                    }
                }
                Ok(None) => return "good".to_owned(),
                Err(fault) => return fault.into_reason(),
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_told_with_its_byte() {
        assert_eq!(reason(&[8, 1, 0x12, 2, b'a', b'b', 0x1b, 8, 1, 0x1c]), "good");
        assert_eq!(reason(&[8]), "at byte 1: the record ends within a number");
        assert_eq!(reason(&[8, 0xff]), "at byte 1: the record ends within a number");
        assert_eq!(reason(&[&[8][..], &[0xff; 10]].concat()), "at byte 1: a number has more than 64 bits");
        assert_eq!(reason(&[0, 1]), "at byte 0: 0 is no number of a field");
        assert_eq!(
            reason(&[0x12, 5, b'a']),
            "at byte 2: the record ends: 5 more bytes are expected, 1 are there"
        );
        assert_eq!(reason(&[0x0d, 1]), "at byte 1: the record ends: 4 more bytes are expected, 1 are there");
        assert_eq!(reason(&[0x0e]), "at byte 1: a value is written in the way 6, which does not exist");
        assert_eq!(reason(&[0x0c]), "at byte 1: a group ends that did not begin");
        assert_eq!(reason(&[0x0b, 8, 1]), "at byte 1: the record ends within a group");
        assert_eq!(reason(&[0x0b; 100]), "at byte 66: groups are nested deeper than 64");
    }

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            reason(&bytes);
        }

        #[test]
        fn numbers_come_back(value in any::<u64>(), signed in any::<i64>()) {
            let mut out = vec![];
            put_varint(value, &mut out);
            let mut cursor = Cursor::new(&out, 0);
            prop_assert_eq!((cursor.varint().unwrap(), cursor.is_at_end()), (value, true));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }
}
