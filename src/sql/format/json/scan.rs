//! The grammar of JSON, byte by byte.
//!
//! Owns strings, numbers and how values are passed over. Knows no column. Invariants: what it takes is JSON to the letter of RFC 8259;
//! nothing recurses, and what is passed over is checked like what is read.

use crate::sql::format::fault::Fault;

/// How deep values may be nested that are passed over.
const DEPTH_MAX: u32 = 128;

/// Bytes of a record, and how far they are read.
pub(super) struct Cursor<'b> {
    pub bytes: &'b [u8],
    pub at: usize,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
pub(super) struct RawString<'b> {
    pub raw: &'b [u8],
    /// Where it begins.
    pub at: usize,
    has_escapes: bool,
}

/// A `u64` has room for any so many digits.
const DIGITS_MAX: usize = 19;

/// A number, with as many digits as a `u64` has room for.
pub(super) struct Number<'b> {
    pub text: &'b [u8],
    pub at: usize,
    pub is_negative: bool,
    /// All digits, without a point, if `is_exact`.
    pub digits: u64,
    pub is_exact: bool,
    /// The number is digits * 10^exponent.
    pub exponent: i32,
    /// It has neither a point nor an exponent.
    pub is_integer: bool,
    /// Digits so far.
    count: usize,
}

impl Number<'_> {
    /// Appends digits, as long as there is room.
    #[cold]
    fn take_checked(&mut self, digits: &[u8]) {
        for digit in digits {
            let more = self.digits.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
            self.is_exact &= more.is_some();
            self.digits = more.unwrap_or(self.digits);
        }
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The high bit of each byte that is 0; above the first one there may be others.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// The high bit of each byte that ends the plain part of a string: a quote, a backslash or a control character; as above.
const fn specials(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c)) | control
}

impl<'b> Cursor<'b> {
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    #[inline]
    pub fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// What stands here, as a reason names it.
    pub fn found(&self) -> String {
        match self.peek() {
            None => "the end".into(),
            Some(b'"') => "a string".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b't' | b'f') => "a boolean".into(),
            Some(b'n') => "null".into(),
            Some(b'-' | b'0'..=b'9') => "a number".into(),
            Some(byte) => format!("`{}`", byte.escape_ascii()),
        }
    }

    #[cold]
    pub fn expected<T>(&self, what: &str) -> Result<T, Fault> {
        Err(Fault::at(self.at, format!("expected {what}, found {}", self.found())))
    }

    /// Takes a word such as `null`, if it is there.
    #[inline]
    pub fn word(&mut self, word: &[u8]) -> bool {
        let is_there = self.rest().starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    /// Takes a string; the quote is here.
    #[inline]
    pub fn string(&mut self) -> Result<RawString<'b>, Fault> {
        let start = self.at + 1;
        let (mut at, mut high, mut has_escapes) = (start, 0, false);
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let (word, step) = match rest.first_chunk::<8>() {
                Some(word) => (u64::from_le_bytes(*word), 8),
                None => (last_word(rest), rest.len()),
            };
            let special = specials(word);
            if special == 0 {
                high |= word & HIGH;
                at += step;
                continue;
            }
            high |= word & HIGH & (special & special.wrapping_neg()).wrapping_sub(1);
            at += (special.trailing_zeros() / 8) as usize;
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                }
                Some(byte) => {
                    let shown = byte.escape_ascii();
                    return Err(Fault::at(
                        at,
                        format!("the control character `{shown}` in a string is not escaped"),
                    ));
                }
                None => return Err(Fault::at(self.bytes.len(), "the string has no end")),
            }
        }
        let raw = self.bytes.get(start..at).unwrap_or_default();
        if high != 0 || has_escapes {
            let utf8 = std::str::from_utf8(raw);
            utf8.map_err(|e| Fault::at(start + e.valid_up_to(), "the string is not UTF-8"))?;
        }
        self.at = at + 1;
        Ok(RawString { raw, at: start, has_escapes })
    }

    /// Takes a number.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'b>, Fault> {
        let start = self.at;
        let is_negative = self.eat(b'-');
        let mut number = Number {
            text: &[],
            at: start,
            is_negative,
            digits: 0,
            is_exact: true,
            exponent: 0,
            count: 0,
            is_integer: true,
        };
        let first = self.at;
        self.digits(&mut number)?;
        if self.bytes[first] == b'0' && self.at > first + 1 {
            return Err(Fault::at(first, "a number begins with a superfluous 0"));
        }
        if self.eat(b'.') {
            let point = self.at;
            self.digits(&mut number)?;
            number.exponent = i32::try_from(point).unwrap_or(0) - i32::try_from(self.at).unwrap_or(i32::MAX);
            number.is_integer = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let is_negative = self.eat(b'-');
            let _ = !is_negative && self.eat(b'+');
            let mut power = Number { is_exact: true, digits: 0, count: 0, text: &[], ..number };
            self.digits(&mut power)?;
            let power =
                if power.is_exact { i32::try_from(power.digits).unwrap_or(i32::MAX) } else { i32::MAX };
            number.exponent = number.exponent.saturating_add(if is_negative { -power } else { power });
            number.is_integer = false;
        }
        number.text = &self.bytes[start..self.at];
        Ok(number)
    }

    /// Takes one digit or more.
    #[inline]
    fn digits(&mut self, number: &mut Number<'_>) -> Result<(), Fault> {
        let rest = self.rest();
        let (mut value, mut count) = (number.digits, 0);
        while let Some(digit) = rest.get(count).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        if count == 0 {
            return self.expected("a digit");
        }
        self.at += count;
        number.count += count;
        if number.count <= DIGITS_MAX {
            number.digits = value;
        } else {
            number.take_checked(&rest[..count]);
        }
        Ok(())
    }

    /// Passes over a value of any kind; it begins here.
    pub fn skip_value(&mut self) -> Result<(), Fault> {
        // Whether each value around this one is an object; the innermost in the lowest bit.
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.whitespace();
                    let is_object = open == b'{';
                    if !self.eat(if is_object { b'}' } else { b']' }) {
                        depth += 1;
                        if depth > DEPTH_MAX {
                            return Err(Fault::at(
                                self.at,
                                format!("values are nested more than {DEPTH_MAX} deep"),
                            ));
                        }
                        objects = objects << 1 | u128::from(is_object);
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ if self.word(b"null") || self.word(b"true") || self.word(b"false") => {}
                _ => return self.expected("a value"),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.whitespace();
                let is_object = objects & 1 == 1;
                if self.eat(b',') {
                    self.whitespace();
                    if is_object {
                        self.skip_key()?;
                    }
                    break;
                }
                if !self.eat(if is_object { b'}' } else { b']' }) {
                    return self.expected(if is_object { "`,` or `}`" } else { "`,` or `]`" });
                }
                (objects, depth) = (objects >> 1, depth - 1);
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        let string = self.string()?;
        if string.has_escapes { string.unescape(|_| ()) } else { Ok(()) }
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return self.expected("the name of a field");
        }
        self.skip_string()?;
        self.colon()
    }

    /// Takes the colon behind a name, and the whitespace around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.whitespace();
        if !self.eat(b':') {
            return self.expected("`:`");
        }
        self.whitespace();
        Ok(())
    }
}

/// Fewer than 8 bytes; those that are missing end the string, as control characters.
#[cold]
fn last_word(rest: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(word)
}

impl RawString<'_> {
    /// Appends what the string says.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.has_escapes {
            return self.unescape(|piece| out.extend_from_slice(piece));
        }
        out.extend_from_slice(self.raw);
        Ok(())
    }

    fn unescape(&self, mut piece: impl FnMut(&[u8])) -> Result<(), Fault> {
        let mut rest = self.raw;
        while let Some(backslash) = rest.iter().position(|byte| *byte == b'\\') {
            let (plain, escape) = rest.split_at(backslash);
            piece(plain);
            let at = self.at + self.raw.len() - escape.len();
            let plain: &[u8] = match escape.get(1) {
                Some(b'n') => b"\n",
                Some(b't') => b"\t",
                Some(b'r') => b"\r",
                Some(b'b') => b"\x08",
                Some(b'f') => b"\x0c",
                Some(b'u') => {
                    let (char, left) = unicode(&escape[2..])
                        .ok_or_else(|| Fault::at(at, "the escape in a string is no character"))?;
                    piece(char.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = left;
                    continue;
                }
                Some(b'"' | b'\\' | b'/') => &escape[1..2],
                _ => return Err(Fault::at(at, "a string has an escape that JSON does not know")),
            };
            piece(plain);
            rest = &escape[2..];
        }
        piece(rest);
        Ok(())
    }
}

/// The character of `XXXX`, or of `XXXX\uXXXX` if that is a pair of surrogates; and the bytes behind it.
fn unicode(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (high, rest) = hex4(bytes)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, rest));
    }
    let (low, rest) = hex4(rest.strip_prefix(b"\\u")?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, rest))
}

fn hex4(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let digit = |code: u32, byte: &u8| Some(code << 4 | char::from(*byte).to_digit(16)?);
    Some((digits.iter().try_fold(0, digit)?, rest))
}
