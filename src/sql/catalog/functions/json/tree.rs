//! A text of JSON as a tree of its values.
//!
//! Owns the grammar, which is Spark's: that of RFC 8259, and strings between single quotes, `NaN` and infinities. Knows no column. Invariants:
//! numbers keep their text; what stands behind the value is passed over; values are nested 128 deep at most.

use std::borrow::Cow;

const DEPTH_MAX: usize = 128;

/// A value.
pub enum Node<'t> {
    Null,
    Boolean(bool),
    /// As it is written.
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    /// In the order of the text.
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
}

impl<'t> Node<'t> {
    /// The value that a text begins with; `None` = it is no JSON.
    pub fn parse(text: &'t str) -> Option<Self> {
        let mut parser = Parser { text, at: 0 };
        parser.whitespace();
        parser.value(0)
    }

    /// The last field of this name.
    pub fn field(&self, name: &str) -> Option<&Node<'t>> {
        let Node::Object(fields) = self else { return None };
        fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// What a column of texts has of it; `None` = NULL.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Node::Null => None,
            Node::Text(text) => Some(Cow::Borrowed(text)),
            Node::Number(number) => Some(Cow::Borrowed(number)),
            Node::Boolean(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Node::List(_) | Node::Object(_) => {
                let mut text = String::new();
                self.put(&mut text);
                Some(Cow::Owned(text))
            }
        }
    }

    /// Appends it as JSON without whitespace.
    fn put(&self, out: &mut String) {
        match self {
            Node::Null => out.push_str("null"),
            Node::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Node::Number(number) => out.push_str(number),
            Node::Text(text) => put_quoted(text, out),
            Node::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    item.put(out);
                }
                out.push(']');
            }
            Node::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    put_quoted(name, out);
                    out.push(':');
                    value.put(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a string between quotes.
pub fn put_quoted(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c)); // a text takes everything
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn word(&mut self, word: &str) -> bool {
        let is_there = self.rest().starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' | b'\'' => self.string().map(Node::Text),
            b'n' if self.word("null") => Some(Node::Null),
            b't' if self.word("true") => Some(Node::Boolean(true)),
            b'f' if self.word("false") => Some(Node::Boolean(false)),
            _ => self.number().map(Node::Number),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node<'t>> {
        self.at += 1;
        let mut fields = vec![];
        self.whitespace();
        if self.eat(b'}') {
            return Some(Node::Object(fields));
        }
        loop {
            matches!(self.peek()?, b'"' | b'\'').then_some(())?;
            let name = self.string()?;
            self.whitespace();
            self.eat(b':').then_some(())?;
            self.whitespace();
            fields.push((name, self.value(depth + 1)?));
            self.whitespace();
            if self.eat(b'}') {
                return Some(Node::Object(fields));
            }
            self.eat(b',').then_some(())?;
            self.whitespace();
        }
    }

    fn list(&mut self, depth: usize) -> Option<Node<'t>> {
        self.at += 1;
        let mut items = vec![];
        self.whitespace();
        if self.eat(b']') {
            return Some(Node::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.whitespace();
            if self.eat(b']') {
                return Some(Node::List(items));
            }
            self.eat(b',').then_some(())?;
            self.whitespace();
        }
    }

    /// A string; the quote is here.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let quote = char::from(self.peek()?);
        let start = self.at + 1;
        let is_special = |c: char| c == quote || c == '\\' || c < ' ';
        let plain = self.text[start..].find(is_special)?;
        self.at = start + plain;
        if self.eat(quote as u8) {
            return Some(Cow::Borrowed(&self.text[start..start + plain]));
        }
        let mut string = self.text[start..start + plain].to_owned();
        loop {
            let c = self.rest().chars().next()?;
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Some(Cow::Owned(string)),
                '\\' => string.push(self.escaped()?),
                c if c < ' ' => return None,
                c => string.push(c),
            }
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(match c {
            '"' | '\\' | '/' | '\'' => c,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let high = self.hex()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high);
                }
                self.word("\\u").then_some(())?;
                let low = self.hex().filter(|low| (0xdc00..0xe000).contains(low))?;
                char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Option<&'t str> {
        let start = self.at;
        let is_negative = self.eat(b'-');
        if self.word("Infinity") || (!is_negative && (self.word("NaN"))) {
            return Some(&self.text[start..self.at]);
        }
        let first = self.at;
        self.digits()?;
        if self.text.as_bytes()[first] == b'0' && self.at > first + 1 {
            return None;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'-') || self.eat(b'+');
            self.digits()?;
        }
        Some(&self.text[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        (count > 0).then_some(())
    }
}
