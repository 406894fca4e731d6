//! The words of a `.proto` file.
//!
//! Knows no grammar. Invariant: a word knows where it begins, so that each mistake has a line and a column.

/// A mistake in the text, at a byte.
#[derive(Debug)]
pub(super) struct Mistake {
    pub at: usize,
    pub what: String,
}

impl Mistake {
    pub fn new<T>(at: usize, what: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { at, what: what.into() })
    }

    /// With line and column.
    pub fn told(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{line}:{column}: {}", self.what)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    /// A name or a keyword.
    Name(&'t str),
    /// Digits, as they are written.
    Number(&'t str),
    /// A text without quotes, its escapes resolved.
    Text(Vec<u8>),
    Symbol(char),
    End,
}

impl Word<'_> {
    /// As it is named in a mistake.
    pub fn shown(&self) -> String {
        match self {
            Word::Name(name) => format!("`{name}`"),
            Word::Number(number) => format!("`{number}`"),
            Word::Text(text) => format!("\"{}\"", text.escape_ascii()),
            Word::Symbol(symbol) => format!("`{symbol}`"),
            Word::End => "the end of the text".to_owned(),
        }
    }
}

/// Reads words from front to back.
pub(super) struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    pub fn new(text: &'t str) -> Self {
        Words { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next word, and where it begins.
    pub fn next(&mut self) -> Result<(usize, Word<'t>), Mistake> {
        self.skip_blanks()?;
        let (at, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else { return Ok((at, Word::End)) };
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let taken = |is_part: &dyn Fn(char) -> bool| {
            rest.find(|c: char| !is_part(c)).map_or(rest, |end| &rest[..end])
        };
        let word = match first {
            c if c == '_' || c.is_ascii_alphabetic() => Word::Name(taken(&is_name)),
            c if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) => {
                Word::Number(number(rest))
            }
            '"' | '\'' => return self.text(first),
            c if c.is_ascii_punctuation() => Word::Symbol(c),
            c => return Mistake::new(at, format!("the character {c:?} has no place here")),
        };
        self.at += match &word {
            Word::Name(word) | Word::Number(word) => word.len(),
            _ => first.len_utf8(),
        };
        Ok((at, word))
    }

    fn skip_blanks(&mut self) -> Result<(), Mistake> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\u{b}', '\u{c}']);
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                match trimmed.find("*/") {
                    Some(end) => self.at += end + 2,
                    None => return Mistake::new(self.at, "the comment does not end"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn text(&mut self, quote: char) -> Result<(usize, Word<'t>), Mistake> {
        let (start, mut out) = (self.at, vec![]);
        self.at += 1;
        loop {
            let at = self.at;
            let mut rest = self.rest().chars();
            match rest.next() {
                None | Some('\n') => return Mistake::new(start, "the text has no closing quote"),
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok((start, Word::Text(out)));
                }
                Some('\\') => {
                    self.at += 1;
                    self.escape(at, &mut out)?;
                }
                Some(c) => {
                    self.at += c.len_utf8();
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, start: usize, out: &mut Vec<u8>) -> Result<(), Mistake> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or('\n');
        let digits = |text: &str, radix: u32, most: usize| {
            text.bytes().take(most).take_while(|byte| char::from(*byte).is_digit(radix)).count()
        };
        let (length, value) = match first {
            '0'..='7' => {
                let length = digits(rest, 8, 3);
                (length, u32::from_str_radix(&rest[..length], 8))
            }
            'x' | 'X' => {
                let length = digits(&rest[1..], 16, 2);
                (length + 1, u32::from_str_radix(&rest[1..=length], 16))
            }
            'u' | 'U' => {
                let most = if first == 'u' { 4 } else { 8 };
                let length = digits(&rest[1..], 16, most);
                let value = u32::from_str_radix(&rest[1..=length], 16).ok().and_then(char::from_u32);
                let Some(value) = value else { return Mistake::new(start, "the escape is no character") };
                out.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length + 1;
                return Ok(());
            }
            _ => {
                let byte = match first {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 11,
                    '\\' => b'\\',
                    '\'' => b'\'',
                    '"' => b'"',
                    '?' => b'?',
                    _ => return Mistake::new(start, "there is no such escape"),
                };
                (1, Ok(u32::from(byte)))
            }
        };
        match value.ok().and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => out.push(byte),
            None => return Mistake::new(start, "the escape is no byte"),
        }
        self.at += length;
        Ok(())
    }
}

/// Digits, a point, and an exponent with its sign.
fn number(rest: &str) -> &str {
    let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut before = ' ';
    let end = rest.find(|c: char| {
        let is_sign = !is_hex && matches!(before, 'e' | 'E') && matches!(c, '+' | '-');
        let is_part = c == '.' || c == '_' || c.is_ascii_alphanumeric() || is_sign;
        before = c;
        !is_part
    });
    end.map_or(rest, |end| &rest[..end])
}
