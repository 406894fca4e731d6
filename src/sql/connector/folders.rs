//! The names of folders that say the values of columns, as Hive writes them: `day=2026-11-29`.
//!
//! Owns what is escaped in them. Knows no file system. Invariant: a value that was written is read back as it was.

use std::fmt::Write;

/// Whether a character of a value would mean something else in the name of a folder.
fn is_special(c: char) -> bool {
    c.is_control()
        || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^')
}

/// Appends the name of the folder of a value.
pub fn push_folder(column: &str, value: &str, out: &mut String) {
    let escaped = |text: &str, out: &mut String| {
        for c in text.chars() {
            if is_special(c) {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "%{byte:02X}"); // a string takes everything
                }
            } else {
                out.push(c);
            }
        }
    };
    escaped(column, out);
    out.push('=');
    escaped(value, out);
}

/// The value that the name of a folder says of a column; `None` = it is of another column, or of none.
#[must_use]
pub fn folder_value(folder: &str, column: &str) -> Option<String> {
    let (name, value) = folder.split_once('=')?;
    (unescaped(name) == column).then(|| unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex =
            (*byte == b'%').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(escaped) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(escaped);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_the_names_of_folders() {
        for value in ["2026-11-29", "", "a/b", "100%", "x=y", "günter", "%41", "a:b\\c\n"] {
            let mut folder = String::new();
            push_folder("k", value, &mut folder);
            assert!(!folder.contains('/') && folder.matches('=').count() == 1, "{folder}");
            assert_eq!(folder_value(&folder, "k").as_deref(), Some(value));
        }
        assert_eq!(folder_value("day=1", "hour"), None);
        assert_eq!(folder_value("plain", "plain"), None);
        let mut folder = String::new();
        push_folder("day", "2026-11-29 20:35", &mut folder);
        assert_eq!(folder, "day=2026-11-29 20%3A35");
    }
}
