//! How a record names its schema: before the value, or in a header.
//!
//! Owns these bytes, which are Confluent's: a byte 0 and the id in four bytes, big-endian, before the value; or a header
//! `__value_schema_id` (of a key `__key_schema_id`) with the same five bytes, or with a byte 1 and the 16 bytes of a globally unique id.
//! Knows no schema.

use crate::{
    codec::null,
    record::RawRecord,
    registry::{RecordPart, SchemaId, SchemaKey},
};

const OF_ID: u8 = 0;
const OF_GUID: u8 = 1;
/// Bytes before the value.
pub(crate) const PREFIX_LEN: usize = 5;

/// What is written before a value.
pub(crate) fn prefix(SchemaId(id): SchemaId) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = id.to_be_bytes();
    [OF_ID, a, b, c, d]
}

/// The schema of a part of a record, the part without its prefix, and how long that is.
///
/// # Errors
/// Why there is none.
#[inline]
pub(super) fn split<'r>(
    record: &RawRecord<'r>,
    part: RecordPart,
) -> Result<(SchemaKey, &'r [u8], usize), String> {
    let (value, what, header) = match part {
        RecordPart::Key => (record.key, "key", "__key_schema_id"),
        RecordPart::Value => (record.value, "value", "__value_schema_id"),
    };
    let value = value.ok_or_else(|| null(what))?;
    if let Some((name, id)) = record.headers.iter().filter(|(name, _)| *name == header).last() {
        return Ok((of_header(name, id.unwrap_or_default())?, value, 0));
    }
    match value {
        [] => Err(format!("the {what} is empty: it has no id of a schema")),
        [OF_ID, a, b, c, d, body @ ..] => {
            Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])).into(), body, PREFIX_LEN))
        }
        [OF_ID, ..] => {
            Err(format!("the {what} ends after {} bytes, within the id of its schema", value.len()))
        }
        [first, ..] => Err(format!(
            "the {what} begins with the byte 0x{first:02x} and not with 0, which is before the id of a schema: was it written without a registry?"
        )),
    }
}

fn of_header(name: &str, bytes: &[u8]) -> Result<SchemaKey, String> {
    match bytes {
        [OF_ID, a, b, c, d] => Ok(SchemaId(u32::from_be_bytes([*a, *b, *c, *d])).into()),
        [OF_GUID, guid @ ..] if guid.len() == 16 => {
            Ok(SchemaKey::Guid(std::array::from_fn(|index| guid[index])))
        }
        _ => Err(format!(
            "the header `{name}` has {} bytes that name no schema: a byte 0 and 4 more, or a byte 1 and 16 more, do",
            bytes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RawChunk, RawChunkBuilder};

    fn split_of(value: Option<&[u8]>, header: Option<&[u8]>) -> Result<(String, usize), String> {
        let mut records = RawChunkBuilder::default();
        let write = |out: &mut Vec<u8>| {
            out.extend(value.unwrap_or_default());
            Ok::<_, ()>(value.is_some())
        };
        records.push_with(0, None, write).unwrap();
        if let Some(header) = header {
            records.push_header("__value_schema_id", Some(&b"\x09"[..])); // the last one counts
            records.push_header("__value_schema_id", Some(header));
        }
        let records = records.build();
        split(&records.get(0), RecordPart::Value).map(|(key, body, _)| (key.to_string(), body.len()))
    }

    #[test]
    fn a_record_names_its_schema_before_its_value_or_in_a_header() {
        assert_eq!(split_of(Some(&prefix(SchemaId(258))), None), Ok(("258".into(), 0)));
        assert_eq!(split_of(Some(b"\0\xff\xff\xff\xffab"), None), Ok(("4294967295".into(), 2)));
        assert_eq!(split_of(Some(b"{}"), Some(b"\0\0\0\0\x07")), Ok(("7".into(), 2)));
        let guid = [&[OF_GUID][..], &[0xab; 16]].concat();
        assert_eq!(split_of(Some(b""), Some(&guid)), Ok(("abababab-abab-abab-abab-abababababab".into(), 0)));
        let told = |value: Option<&[u8]>, header: Option<&[u8]>| split_of(value, header).unwrap_err();
        assert_eq!(told(None, None), null("value"));
        assert!(told(Some(b""), None).contains("is empty"));
        assert!(told(Some(b"\0\0\0"), None).contains("ends after 3 bytes"));
        assert!(told(Some(b"{\"a\":1}"), None).contains("byte 0x7b"));
        assert!(told(Some(b"{}"), Some(b"")).contains("has 0 bytes"));
        assert!(told(Some(b"{}"), Some(&guid[..16])).contains("has 16 bytes"));
    }

    #[test]
    fn a_key_has_an_id_and_a_header_of_its_own() {
        let mut records = RawChunkBuilder::default();
        records.push_with(0, Some(b"\0\0\0\0\x05k"), |_| Ok::<_, ()>(false)).unwrap();
        records.push_header("__value_schema_id", Some(b"\0\0\0\0\x07"));
        let of_key = |records: &RawChunk| {
            split(&records.get(0), RecordPart::Key).map(|(key, body, _)| (key.to_string(), body.len()))
        };
        assert_eq!(of_key(&records.build()), Ok(("5".into(), 1)));
        let mut records = RawChunkBuilder::default();
        records.push_with(0, Some(b"k"), |_| Ok::<_, ()>(false)).unwrap();
        records.push_header("__key_schema_id", Some(b"\0\0\0\0\x07"));
        assert_eq!(of_key(&records.build()), Ok(("7".into(), 1)));
        let mut records = RawChunkBuilder::default();
        records.push_with(0, None, |_| Ok::<_, ()>(false)).unwrap();
        assert_eq!(of_key(&records.build()), Err(null("key")));
    }
}
