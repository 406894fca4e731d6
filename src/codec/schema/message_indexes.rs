//! Which message of its schema a record is: the bytes of Confluent's message indexes.
//!
//! Owns these bytes: how many positions there are, and each of them, in zigzag varints; a single byte 0 stands for the first message. Knows
//! no schema. Invariant: nothing is read beyond the end.

/// How deep a message may be in others.
const DEPTH_MAX: usize = 64;

/// Takes the indexes off the front: their bytes, and the rest.
///
/// # Errors
/// Why there are none.
#[inline]
pub(super) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    if let [0, rest @ ..] = bytes {
        return Ok((&bytes[..1], rest));
    }
    let (count, mut at) = number(bytes, 0)?;
    if count > DEPTH_MAX {
        return Err(format!("the message indexes name a message {count} deep: is it Protobuf?"));
    }
    for _ in 0..count {
        (_, at) = number(bytes, at)?;
    }
    Ok(bytes.split_at(at))
}

/// A number that is not negative, and where the next one begins.
///
/// # Errors
/// Why there is none.
pub(super) fn number(bytes: &[u8], start: usize) -> Result<(usize, usize), String> {
    let mut value = 0u64;
    for (shift, byte) in (0..).step_by(7).zip(bytes[start..].iter().take(5)) {
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            let at = start + shift / 7 + 1;
            return match usize::try_from(value >> 1) {
                Ok(positive) if value & 1 == 0 => Ok((positive, at)),
                _ => Err("the message indexes have a negative number: is it Protobuf?".into()),
            };
        }
    }
    Err(match bytes.len() - start {
        0..5 => "it ends within the message indexes".to_owned(),
        _ => "the message indexes have a number of more than 32 bits: is it Protobuf?".to_owned(),
    })
}

/// Appends a number.
pub(super) fn put(number: usize, out: &mut Vec<u8>) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn indexes_are_taken_off_the_front() {
        assert_eq!(split(&[0, 9]), Ok((&[0][..], &[9][..])), "the short form");
        assert_eq!(split(&[2, 0, 9]), Ok((&[2, 0][..], &[9][..])), "the long form of the same");
        assert_eq!(split(&[4, 0x80, 1, 2]), Ok((&[4, 0x80, 1, 2][..], &[][..])));
    }

    #[test]
    fn bytes_that_are_no_indexes_are_told() {
        let told = |bytes: &[u8]| split(bytes).unwrap_err();
        assert_eq!(told(&[]), "it ends within the message indexes");
        assert_eq!(told(&[4, 0]), "it ends within the message indexes");
        assert_eq!(told(&[1]), "the message indexes have a negative number: is it Protobuf?");
        assert_eq!(
            told(&[0xff; 9]),
            "the message indexes have a number of more than 32 bits: is it Protobuf?"
        );
        assert!(told(&[0xc8, 1, 0]).contains("100 deep"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_indexes_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            if let Ok((found, rest)) = split(&bytes) {
                prop_assert_eq!([found, rest].concat(), bytes);
            }
        }
    }
}
