//! Integers in as few bytes as they need: seven bits a byte, the least significant first; signed ones in zigzag.
//!
//! Knows no format. Invariant: what is read is exactly what can be written, apart from superfluous zero bits.

/// Appends an unsigned integer.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed integer.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Takes an unsigned integer from the front; `None` = there is none, and the input is then anywhere.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    if *first < 0x80 { Some(u64::from(*first)) } else { take_more(*first, input) }
}

fn take_more(first: u8, input: &mut &[u8]) -> Option<u64> {
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a signed integer from the front; `None` as above.
pub fn take_zigzag(input: &mut &[u8]) -> Option<i64> {
    let value = take_varint(input)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_too_long_ones_are_refused() {
        for value in [0, 1, 0x7f, 0x80, 300, 1 << 35, u64::MAX >> 1, u64::MAX] {
            let mut out = vec![];
            put_varint(&mut out, value);
            assert_eq!(take_varint(&mut &out[..]), Some(value));
            assert_eq!(take_varint(&mut &out[..out.len() - 1]), None);
            let signed = value.cast_signed();
            for signed in [signed, signed.wrapping_neg(), !signed] {
                let mut out = vec![];
                put_zigzag(&mut out, signed);
                assert_eq!(take_zigzag(&mut &out[..]), Some(signed));
            }
        }
        let mut out = vec![];
        put_zigzag(&mut out, -2);
        assert_eq!(out, [3]);
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
        let too_large = [[0xff; 9].as_slice(), &[2]].concat();
        assert_eq!(take_varint(&mut &too_large[..]), None);
    }
}
