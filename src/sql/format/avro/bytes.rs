//! The bytes of a value in Avro, from front to back.
//!
//! Owns the place in them. Knows no schema. Invariants: nothing is read beyond the end; a number that no writer writes is a fault; the items
//! of all sequences of a value are bounded by its length, whatever they say of themselves.

use crate::sql::format::fault::Fault;

/// A value may have so many items however short it is: items may take no bytes.
const ITEMS_MIN: usize = 1_000;

pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    pub at: usize,
    /// How many more items there may be.
    items_left: usize,
}

impl<'b> Cursor<'b> {
    /// Reads these bytes from byte `at` on.
    pub fn new(bytes: &'b [u8], at: usize) -> Self {
        Cursor { bytes, at, items_left: bytes.len() + ITEMS_MIN }
    }

    /// How many bytes were not read.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next bytes, so many.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'b [u8], Fault> {
        match self.bytes[self.at..].split_at_checked(length) {
            Some((taken, _)) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.ended(length)),
        }
    }

    #[cold]
    fn ended(&self, length: usize) -> Fault {
        Fault::at(
            self.at,
            format!("the record ends: {length} more bytes are expected, {} are there", self.left()),
        )
    }

    /// A byte that is 0 or 1.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(Fault::at(self.at - 1, format!("the byte 0x{:02x} is no boolean", other[0]))),
        }
    }

    /// An integer of 64 bits: zigzag, seven bits a byte.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Fault> {
        if let Some(byte) = self.bytes.get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(unzigzag(u64::from(*byte)));
        }
        self.long_of_several()
    }

    fn long_of_several(&mut self) -> Result<i64, Fault> {
        let start = self.at;
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
                return Ok(unzigzag(value));
            }
        }
        Err(Fault::at(start, "a number has more than 64 bits"))
    }

    /// An integer of 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i64, Fault> {
        let start = self.at;
        let value = self.long()?;
        if i32::try_from(value).is_ok() {
            Ok(value)
        } else {
            Err(Fault::at(start, format!("{value} is no `int` of 32 bits")))
        }
    }

    #[inline]
    pub fn float(&mut self) -> Result<f32, Fault> {
        let bytes = self.take(4)?;
        Ok(f32::from_le_bytes(std::array::from_fn(|index| bytes[index])))
    }

    #[inline]
    pub fn double(&mut self) -> Result<f64, Fault> {
        let bytes = self.take(8)?;
        Ok(f64::from_le_bytes(std::array::from_fn(|index| bytes[index])))
    }

    /// A length, and as many bytes.
    #[inline]
    pub fn sized(&mut self) -> Result<&'b [u8], Fault> {
        let start = self.at;
        let length = self.long()?;
        let length =
            usize::try_from(length).map_err(|_| Fault::at(start, format!("{length} is no length")))?;
        self.take(length)
    }

    /// A position in a list of so many: a branch of a union, a symbol of an enum.
    #[inline]
    pub fn position(&mut self, count: usize, what: &str) -> Result<usize, Fault> {
        let start = self.at;
        let number = self.long()?;
        match usize::try_from(number) {
            Ok(position) if position < count => Ok(position),
            _ => Err(Fault::at(start, format!("there is no {what} {number} among {count}"))),
        }
    }

    /// How many items the next block of a sequence has, and how many bytes, if it says so; 0 = the sequence ends.
    #[inline]
    pub fn block(&mut self) -> Result<(usize, Option<usize>), Fault> {
        let start = self.at;
        let count = self.long()?;
        let bytes = if count < 0 {
            let bytes = self.long()?;
            let length = usize::try_from(bytes);
            Some(length.map_err(|_| Fault::at(start, format!("{bytes} is no length of a block")))?)
        } else {
            None
        };
        let too_many = || Fault::at(start, format!("{count} items are more than the record can have"));
        let count = usize::try_from(count.unsigned_abs()).map_err(|_| too_many())?;
        self.items_left = self.items_left.checked_sub(count).ok_or_else(too_many)?;
        Ok((count, bytes))
    }
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends an integer: zigzag, seven bits a byte.
#[inline]
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Appends a length and as many bytes.
#[inline]
pub(super) fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out); // no slice is longer
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(fault: Fault) -> String {
        fault.into_reason()
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        let known: [(i64, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8_192, &[0x80, 0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for (value, bytes) in known {
            let mut out = vec![];
            put_long(value, &mut out);
            assert_eq!(out, bytes);
            let mut cursor = Cursor::new(bytes, 0);
            assert_eq!((cursor.long().unwrap(), cursor.left()), (value, 0));
        }
    }

    #[test]
    fn what_no_writer_writes_is_told_with_its_byte() {
        let long = |bytes: &[u8]| reason(Cursor::new(bytes, 0).long().unwrap_err());
        assert_eq!(long(&[]), "at byte 0: the record ends within a number");
        assert_eq!(long(&[0x80; 3]), "at byte 0: the record ends within a number");
        assert_eq!(long(&[0xff; 11]), "at byte 0: a number has more than 64 bits");
        let last = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        assert_eq!(long(&last), "at byte 0: a number has more than 64 bits");
        let mut cursor = Cursor::new(&[5, 0x80, 0x80, 0x80, 0x80, 0x20, 9], 1);
        assert_eq!(reason(cursor.int().unwrap_err()), "at byte 1: 4294967296 is no `int` of 32 bits");
        assert_eq!(
            reason(Cursor::new(&[2], 0).boolean().unwrap_err()),
            "at byte 0: the byte 0x02 is no boolean"
        );
        assert_eq!(reason(Cursor::new(&[1], 0).sized().unwrap_err()), "at byte 0: -1 is no length");
        assert_eq!(
            reason(Cursor::new(&[8, b'a'], 0).sized().unwrap_err()),
            "at byte 1: the record ends: 4 more bytes are expected, 1 are there"
        );
        assert_eq!(
            reason(Cursor::new(&[4], 0).position(2, "branch").unwrap_err()),
            "at byte 0: there is no branch 2 among 2"
        );
        let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(
            reason(Cursor::new(&endless, 0).block().unwrap_err()).contains("more than the record can have")
        );
        assert!(reason(Cursor::new(&[1, 1], 0).block().unwrap_err()).contains("-1 is no length of a block"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_numbers_or_faults(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let mut cursor = Cursor::new(&bytes, 0);
            while cursor.left() > 0 && cursor.long().is_ok() {}
        }

        #[test]
        fn numbers_come_back(value in any::<i64>()) {
            let mut out = vec![];
            put_long(value, &mut out);
            prop_assert_eq!(Cursor::new(&out, 0).long().unwrap(), value);
        }
    }
}
