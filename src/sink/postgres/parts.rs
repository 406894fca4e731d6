//! The parts of a JSON text as they stand in it: numbers keep all their digits.
//!
//! Knows no column. Invariant: a part is a piece of the text, without the white space around it.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Deserializer, Error, Result};

/// The values of an array.
///
/// # Errors
/// If the text is no array.
pub(super) fn elements(text: &str) -> Result<Vec<&str>> {
    let (mut rest, mut elements) = (opened(text, '[')?, vec![]);
    while let Some(at) = next(rest, ']', elements.is_empty())? {
        let (_, value, after) = take::<IgnoredAny>(at)?;
        elements.push(value);
        rest = after;
    }
    Ok(elements)
}

/// The names and values of an object.
///
/// # Errors
/// If the text is no object.
pub(super) fn members(text: &str) -> Result<Vec<(String, &str)>> {
    let (mut rest, mut members) = (opened(text, '{')?, vec![]);
    while let Some(at) = next(rest, '}', members.is_empty())? {
        let (name, _, after) = take::<String>(at)?;
        let at = after.trim_start().strip_prefix(':').ok_or_else(|| wrong("no value behind a name"))?;
        let (_, value, after) = take::<IgnoredAny>(at)?;
        members.push((name, value));
        rest = after;
    }
    Ok(members)
}

fn wrong(what: &str) -> Error {
    serde::de::Error::custom(what)
}

fn opened(text: &str, bracket: char) -> Result<&str> {
    text.trim_start().strip_prefix(bracket).ok_or_else(|| wrong("neither an array nor an object"))
}

/// Where the next part begins; `None` = the bracket closes.
fn next(rest: &str, bracket: char, is_first: bool) -> Result<Option<&str>> {
    let rest = rest.trim_start();
    match rest.strip_prefix(bracket) {
        Some(_) => Ok(None),
        None if is_first => Ok(Some(rest)),
        None => rest.strip_prefix(',').map(Some).ok_or_else(|| wrong("no comma between two values")),
    }
}

/// A value, its text, and what follows.
fn take<'a, T: Deserialize<'a>>(text: &'a str) -> Result<(T, &'a str, &'a str)> {
    let mut values = Deserializer::from_str(text).into_iter::<T>();
    let value = values.next().ok_or_else(|| wrong("the text ends early"))??;
    let (this, rest) = text.split_at(values.byte_offset());
    Ok((value, this.trim(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_text_itself() {
        let object = r#" {"a" : 18446744073709551616.10, "b\"":[1,{"c":"]}"}] ,"d":"x,\u0041", "e":null}"#;
        let parts = members(object).unwrap();
        let expected = [
            ("a", "18446744073709551616.10"),
            ("b\"", r#"[1,{"c":"]}"}]"#),
            ("d", r#""x,\u0041""#),
            ("e", "null"),
        ];
        assert_eq!(parts, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(elements(parts[1].1).unwrap(), ["1", r#"{"c":"]}"}"#]);
        assert_eq!(elements("[]").unwrap(), [""; 0]);
        assert!(members("{ }").unwrap().is_empty());
        for bad in ["", "1", "[1", "[1 2]", "[,]"] {
            assert!(elements(bad).is_err(), "{bad}");
        }
        for bad in ["{", r#"{"a"}"#, r#"{"a":}"#, "{1:2}", r#"{"a":1"#] {
            assert!(members(bad).is_err(), "{bad}");
        }
    }
}
