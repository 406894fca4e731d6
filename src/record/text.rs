//! Text that is cheap to own: up to 23 bytes inline, longer ones as a slice of a shared buffer.
//!
//! Owns the string type of the typed API. Knows no stream. Invariant: `compact` never keeps a larger buffer alive, and
//! every key that is stored is compacted first.

use hipstr::{HipByt, HipStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Borrow, fmt, hash, ops::Deref};

/// UTF-8 text. Behaves like `&str`; its [`split`](Text::split) returns owned pieces, so `flat_map(|line| line.split('
/// '))` compiles.
///
/// ```
/// use tidegate::Text;
/// let line = Text::from("to be or not");
/// assert_eq!(line.len(), 12); // all methods of `str`
/// let words: Vec<Text> = line.split(' ').collect();
/// assert_eq!(words[3], "not");
/// ```
#[derive(Clone, Default, Eq, PartialOrd, Ord)]
pub struct Text(HipStr<'static>);

impl Text {
    /// The pieces between occurrences of `at`, like [`str::split`], but owned: inline when short, otherwise sharing
    /// this text's buffer.
    pub fn split(self, at: char) -> Split {
        Split { from: Some(0), text: self, at }
    }

    /// The pieces between runs of white space, like [`str::split_whitespace`], but owned.
    pub fn split_whitespace(self) -> impl Iterator<Item = Text> {
        self.split(' ').flat_map(|piece| {
            let pieces: Vec<Text> = str::split_whitespace(&piece).map(|p| piece.piece(p)).collect();
            pieces
        })
    }

    /// A copy that keeps no larger buffer alive than its own bytes.
    #[must_use]
    pub fn compact(&self) -> Text {
        if self.len() <= INLINE_BYTES { self.clone() } else { Text(HipStr::from(String::from(&**self))) }
    }

    /// Text from bytes that share an arena.
    ///
    /// # Errors
    /// Where the bytes are not UTF-8: the position of the first bad byte.
    pub fn from_utf8(bytes: HipByt<'static>) -> Result<Text, std::str::Utf8Error> {
        HipStr::from_utf8(bytes).map(Text).map_err(|e| e.utf8_error())
    }

    fn piece(&self, of_self: &str) -> Text {
        if of_self.len() <= INLINE_BYTES { Text::from(of_self) } else { Text(self.0.slice_ref(of_self)) }
    }
}

const INLINE_BYTES: usize = 23;

/// Iterator of [`Text::split`].
#[derive(Clone, Debug)]
pub struct Split {
    text: Text,
    from: Option<usize>,
    at: char,
}

impl Iterator for Split {
    type Item = Text;
    fn next(&mut self) -> Option<Text> {
        let from = self.from?;
        let rest = &self.text[from..];
        let found = match u8::try_from(self.at) {
            Ok(at) if at.is_ascii() => rest.as_bytes().iter().position(|b| *b == at),
            _ => rest.find(self.at),
        };
        self.from = found.map(|i| from + i + self.at.len_utf8());
        Some(self.text.piece(&rest[..found.unwrap_or(rest.len())]))
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl From<&str> for Text {
    fn from(s: &str) -> Self {
        Text(HipStr::from(s))
    }
}
impl From<String> for Text {
    fn from(s: String) -> Self {
        Text(HipStr::from(s))
    }
}
impl From<Text> for String {
    fn from(s: Text) -> Self {
        String::from(&*s)
    }
}
impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}
impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl hash::Hash for Text {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}
impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self)
    }
}
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl serde::de::Visitor<'_> for Visit {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Text, E> {
                Ok(Text::from(s))
            }
            fn visit_string<E: serde::de::Error>(self, s: String) -> Result<Text, E> {
                Ok(Text::from(s))
            }
        }
        d.deserialize_str(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_agrees_with_str() {
        let long = "x".repeat(40);
        for s in ["", " ", "a", "a b", " a  b ", "ä ö", &format!("{long} {long}y b")] {
            let ours: Vec<Text> = Text::from(s).split(' ').collect();
            assert_eq!(ours, s.split(' ').map(Text::from).collect::<Vec<_>>(), "{s:?}");
            let ours: Vec<Text> = Text::from(s).split_whitespace().collect();
            assert_eq!(ours, s.split_whitespace().map(Text::from).collect::<Vec<_>>(), "{s:?}");
        }
    }

    #[test]
    fn a_compacted_piece_does_not_share() {
        let all = Text::from("y".repeat(1000));
        let piece = all.piece(&all[10..60]);
        assert_eq!(piece.as_ptr(), all[10..].as_ptr());
        assert_ne!(piece.compact().as_ptr(), all[10..].as_ptr());
    }
}
