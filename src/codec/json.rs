//! JSON values.
//!
//! Knows no topic. Invariant: a null value and the JSON `null` are the same in both directions; a type that has no null
//! rejects it. A number that is not finite has no JSON: it is an error, never a null.

use super::{BadRecord, Decode, Encode, decode_each, finite, null};
use crate::{
    error::{Error, Result},
    record::{Data, RawChunk},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::ser::Formatter;
use std::io;

/// Each value is one JSON document. Unknown fields are ignored unless the type says otherwise. A null value is `None`, in both
/// directions. A row with a number that is NaN or infinite, which JSON does not have, cannot be written: it is a bad record.
///
/// ```
/// use tidegate::codec::{Encode, Json};
/// let mut out = vec![];
/// assert!(Json.encode(&("tide", 3), &mut out).unwrap());
/// assert_eq!(out, br#"["tide",3]"#);
/// assert!(!Json.encode(&None::<u8>, &mut out).unwrap()); // a null value, which deletes a key of a compacted topic
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Data + DeserializeOwned> Decode<T> for Json {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        decode_each(raw, good, bad, |index| match raw.get(index).value {
            Some(json) => serde_json::from_slice(json).map_err(|e| format!("not the expected JSON: {e}")),
            None => serde_json::from_slice(b"null").map_err(|_| null("value")),
        });
    }
}

impl<T: Serialize> Encode<T> for Json {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        let no_form = |e: &dyn std::fmt::Display| Error::Codec(format!("value has no JSON form: {e}"));
        let mut has_null = false;
        let mut json = serde_json::Serializer::with_formatter(&mut *out, NoticeNull(&mut has_null));
        value.serialize(&mut json).map_err(|e| no_form(&e))?;
        if has_null {
            finite::check(value).map_err(|e| no_form(&e))?; // a number that is not finite is written as null, too
        }
        let null = &out[start..] == b"null";
        if null {
            out.truncate(start);
        }
        Ok(!null)
    }
}

/// Compact JSON; notices whether there is a null anywhere.
struct NoticeNull<'a>(&'a mut bool);

impl Formatter for NoticeNull<'_> {
    fn write_null<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        *self.0 = true;
        writer.write_all(b"null")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RawChunkBuilder;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_that_are_not_finite_are_refused_and_nulls_are_not() {
        fn json(value: impl Serialize) -> Result<Option<String>> {
            let mut out = b"before".to_vec();
            let some = Json.encode(&value, &mut out)?;
            let text = String::from_utf8(out).unwrap();
            Ok(some.then(|| text.strip_prefix("before").unwrap().to_owned()))
        }
        assert_eq!(json((1.5, None::<f64>, "null")).unwrap().as_deref(), Some(r#"[1.5,null,"null"]"#));
        assert_eq!(json(None::<f64>).unwrap(), None);
        assert_eq!(json(()).unwrap(), None);
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(json(number).unwrap_err().to_string().contains(&format!("JSON has no number {number}")));
            assert!(json((1, vec![Some(number)])).unwrap_err().to_string().contains("in `[1][0]`"));
        }
        let keyed = BTreeMap::from([("a", f64::NAN)]);
        assert!(json(keyed).unwrap_err().to_string().contains("in `[\"a\"]`"));
    }
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Click {
        page: String,
        ms: u64,
    }

    #[test]
    fn bad_documents_are_reported_with_position_and_field_and_the_rest_is_read() {
        let mut b = RawChunkBuilder::default();
        for value in [
            Some(&br#"{"page":"/a","ms":1,"more":true}"#[..]),
            Some(b"{\"page\":\"/b\",\n \"ms\":-1}"),
            Some(br#"{"ms":2}"#),
            Some(b""),
            None,
            Some(br#"{"page":"/c","ms":3}"#),
        ] {
            b.push_with(0, None, |v| {
                v.extend(value.unwrap_or_default());
                Ok::<_, ()>(value.is_some())
            })
            .unwrap();
        }
        let raw = b.build();
        let (mut good, mut bad): (Vec<Click>, _) = (vec![], vec![]);
        Json.decode(&raw, &mut good, &mut bad);
        assert_eq!(good, [Click { page: "/a".into(), ms: 1 }, Click { page: "/c".into(), ms: 3 }]);
        let reasons: Vec<_> = bad.iter().map(|b| (b.index, b.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                (1, "not the expected JSON: invalid value: integer `-1`, expected u64 at line 2 column 8"),
                (2, "not the expected JSON: missing field `page` at line 1 column 8"),
                (3, "not the expected JSON: EOF while parsing a value at line 1 column 0"),
                (4, null("value").as_str()),
            ]
        );
        let (mut good, mut bad): (Vec<Option<Click>>, _) = (vec![], vec![]);
        Decode::<Option<Click>>::decode(&Json, &raw, &mut good, &mut bad);
        assert_eq!((good.len(), bad.len(), &good[1]), (3, 3, &None));
    }
}
