//! One JSON value as the text that a column of Postgres reads.
//!
//! Owns the forms of JSON, bytes and arrays. Knows no connection. Invariants: numbers keep all their digits;
//! JSON `null` becomes SQL's; every other text is passed to the type's input function, so Postgres itself
//! checks it.

use super::parts::elements;
use std::fmt::Write;

/// What determines the text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Bytes,
    Array,
    Other,
}

/// The text of a value; `None` = null.
pub(super) fn text(raw: &str, kind: Kind) -> Option<String> {
    match (raw.as_bytes().first()?, kind) {
        (b'n', _) => None,
        (_, Kind::Json) => Some(raw.to_owned()),
        (b'"', Kind::Bytes) => Some(hex(unquoted(raw).bytes())),
        (b'[', Kind::Bytes) => match serde_json::from_str::<Vec<u8>>(raw) {
            Ok(bytes) => Some(hex(bytes.into_iter())),
            Err(_) => Some(raw.to_owned()),
        },
        (b'[', Kind::Array) => Some(array(raw)),
        (b'"', _) => Some(unquoted(raw)),
        _ => Some(raw.to_owned()),
    }
}

/// The text of a JSON string.
fn unquoted(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    let mut text = String::from("\\x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // writing to a string cannot fail
    }
    text
}

/// `[1,[null,"a\"b"]]` as `{1,{NULL,"a\"b"}}`.
fn array(raw: &str) -> String {
    let Ok(elements) = elements(raw) else { return raw.to_owned() };
    let element = |element: &&str| match element.as_bytes().first() {
        Some(b'[') => array(element),
        Some(b'n') => "NULL".to_owned(),
        _ => {
            let text = text(element, Kind::Other).unwrap_or_default();
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
}

/// A value in the text form of COPY.
pub(super) fn push_copied(value: Option<&str>, out: &mut Vec<u8>) {
    let Some(value) = value else { return out.extend_from_slice(b"\\N") };
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, kind: Kind) -> Option<String> {
        text(json, kind)
    }

    #[test]
    fn values_become_what_a_column_reads() {
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(of("null", Kind::Json), None);
        assert_eq!(of("18446744073709551615", Kind::Other), some("18446744073709551615"));
        assert_eq!(of(r#""a\n\"b\"""#, Kind::Other), some("a\n\"b\""));
        assert_eq!(of(r#""a""#, Kind::Json), some("\"a\""));
        assert_eq!(of("[1,255]", Kind::Bytes), some("\\x01ff"));
        assert_eq!(of(r#""é""#, Kind::Bytes), some("\\xc3a9"));
        assert_eq!(of(r#"[1,[null,"a\"b\\"],"NULL"]"#, Kind::Array), some(r#"{"1",{NULL,"a\"b\\"},"NULL"}"#));
        assert_eq!(of(r#"{"a":[1]}"#, Kind::Other), some(r#"{"a":[1]}"#));
    }

    #[test]
    fn copied_text_is_escaped() {
        let mut out = vec![];
        push_copied(Some("a\tb\\.\n\r"), &mut out);
        push_copied(None, &mut out);
        assert_eq!(out, b"a\\tb\\\\.\\n\\r\\N");
    }
}
