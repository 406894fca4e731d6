//! How a record names its schema: before the value, or in a header.
//!
//! Owns these bytes, which are Confluent's: a byte 0 and the id in four bytes, big-endian, before the value; or a header
//! `__value_schema_id` (of a key `__key_schema_id`) with the same five bytes, or with a byte 1 and the 16 bytes of a globally unique id.
//! Of a schema that has several messages (Protobuf), their indexes follow the id, wherever that is. Knows no schema.

#[cfg(feature = "protobuf")]
use super::message_indexes;
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
#[cfg(any(feature = "avro", feature = "json-schema"))]
#[inline]
pub(super) fn split<'r>(
    record: &RawRecord<'r>,
    part: RecordPart,
) -> Result<(SchemaKey, &'r [u8], usize), String> {
    match framed(record, part)? {
        (key, body, Place::Value) => Ok((key, body, PREFIX_LEN)),
        (key, body, Place::Header(_, [])) => Ok((key, body, 0)),
        (_, _, Place::Header(name, rest)) => Err(format!(
            "the header `{name}` has {} bytes more than the id of a schema: is it Protobuf?",
            rest.len()
        )),
    }
}

/// A part of a record that is one of several messages of its schema.
#[cfg(feature = "protobuf")]
pub(crate) struct FramedMessage<'r> {
    pub key: SchemaKey,
    /// Which message it is, as it is written.
    pub indexes: &'r [u8],
    pub body: &'r [u8],
}

/// The same as [`split`], where message indexes follow the id.
#[cfg(feature = "protobuf")]
#[inline]
pub(super) fn split_message<'r>(
    record: &RawRecord<'r>,
    part: RecordPart,
) -> Result<FramedMessage<'r>, String> {
    let (key, body, place) = framed(record, part)?;
    match place {
        Place::Value => {
            let (indexes, body) = message_indexes::split(body)?;
            Ok(FramedMessage { key, indexes, body })
        }
        Place::Header(name, rest) => match message_indexes::split(rest) {
            Ok((indexes, [])) => Ok(FramedMessage { key, indexes, body }),
            Ok((_, rest)) => {
                Err(format!("the header `{name}` has {} bytes behind the message indexes", rest.len()))
            }
            Err(why) => Err(format!("the header `{name}`: {why}")),
        },
    }
}

/// The schema of a part of a record, whatever follows its id.
///
/// # Errors
/// Why there is none.
#[inline]
pub(super) fn key(record: &RawRecord<'_>, part: RecordPart) -> Result<SchemaKey, String> {
    framed(record, part).map(|(key, ..)| key)
}

/// Where the id of a schema is.
enum Place<'r> {
    Value,
    /// In the header of this name, and so much follows there.
    Header(&'static str, &'r [u8]),
}

/// The schema of a part of a record, the part without an id, and where that is.
#[inline]
fn framed<'r>(record: &RawRecord<'r>, part: RecordPart) -> Result<(SchemaKey, &'r [u8], Place<'r>), String> {
    let (value, what, header) = match part {
        RecordPart::Key => (record.key, "key", "__key_schema_id"),
        RecordPart::Value => (record.value, "value", "__value_schema_id"),
    };
    let value = value.ok_or_else(|| null(what))?;
    if let Some((_, id)) = record.headers.iter().filter(|(name, _)| *name == header).last() {
        let (key, rest) = of_header(header, id.unwrap_or_default())?;
        return Ok((key, value, Place::Header(header, rest)));
    }
    match value {
        [] => Err(format!("the {what} is empty: it has no id of a schema")),
        [OF_ID, a, b, c, d, body @ ..] => {
            Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])).into(), body, Place::Value))
        }
        [OF_ID, ..] => {
            Err(format!("the {what} ends after {} bytes, within the id of its schema", value.len()))
        }
        [first, ..] => Err(format!(
            "the {what} begins with the byte 0x{first:02x} and not with 0, which is before the id of a schema: was it written without a registry?"
        )),
    }
}

/// The schema that a header names, and what follows.
fn of_header<'r>(name: &str, bytes: &'r [u8]) -> Result<(SchemaKey, &'r [u8]), String> {
    match bytes {
        [OF_ID, a, b, c, d, rest @ ..] => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])).into(), rest)),
        [OF_GUID, rest @ ..] if rest.len() >= 16 => {
            let (guid, rest) = rest.split_at(16);
            Ok((SchemaKey::Guid(std::array::from_fn(|index| guid[index])), rest))
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

    #[cfg(feature = "protobuf")]
    #[test]
    fn a_message_has_its_indexes_behind_the_id_wherever_that_is() {
        let of = |value: &[u8], header: Option<&[u8]>| {
            let mut records = RawChunkBuilder::default();
            let write = |out: &mut Vec<u8>| {
                out.extend(value);
                Ok::<_, ()>(true)
            };
            records.push_with(0, None, write).unwrap();
            if let Some(header) = header {
                records.push_header("__value_schema_id", Some(header));
            }
            let records = records.build();
            let framed = split_message(&records.get(0), RecordPart::Value)?;
            Ok((framed.key.to_string(), framed.indexes.to_vec(), framed.body.to_vec()))
        };
        let found =
            |key: &str, indexes: &[u8], body: &[u8]| Ok((key.to_owned(), indexes.to_vec(), body.to_vec()));
        assert_eq!(of(b"\0\0\0\0\x07\0ab", None), found("7", &[0], b"ab"));
        assert_eq!(of(b"\0\0\0\0\x07\x04\0\x02ab", None), found("7", &[4, 0, 2], b"ab"));
        assert_eq!(of(b"ab", Some(b"\0\0\0\0\x07\x02\x02")), found("7", &[2, 2], b"ab"));
        let guid = [&[OF_GUID][..], &[0xab; 16], &[0]].concat();
        assert_eq!(of(b"", Some(&guid)), found("abababab-abab-abab-abab-abababababab", &[0], b""));
        let told = |value: &[u8], header: Option<&[u8]>| -> String { of(value, header).unwrap_err() };
        assert_eq!(told(b"\0\0\0\0\x07", None), "it ends within the message indexes");
        let header = "the header `__value_schema_id`";
        assert_eq!(told(b"ab", Some(&guid[..17])), format!("{header}: it ends within the message indexes"));
        assert_eq!(
            told(b"ab", Some(b"\0\0\0\0\x07\0\0")),
            format!("{header} has 1 bytes behind the message indexes")
        );
        let no_message = split_of(Some(b"ab"), Some(b"\0\0\0\0\x07\0")).unwrap_err();
        assert_eq!(no_message, format!("{header} has 1 bytes more than the id of a schema: is it Protobuf?"));
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
