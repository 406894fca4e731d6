//! Writes a value for `print`: tuples, strings, numbers and structs as Scala's `toString` shows them,
//! `(hello,1)`, strings without quotes; or everything as Python's `str` does: `('hello', 1)`, `[1, 2]`.
//!
//! In the first form sequences, maps, and floats from 10^7 on or under 10^-3 are shorter or plainer than in
//! Scala: `[1,2]` and not `List(1, 2)`, `{1->a}` and not `Map(1 -> a)`, `10000000.0` and `1e16` and not
//! `1.0E7` and `1.0E16`, `inf` and not `Infinity`. A struct with one unnamed field looks like that field.
//! `Display` does not exist for tuples and `Debug` quotes strings, so this is a small serde serializer. Owns
//! the text form of `print` only. Invariant: every serde value has a text form; nothing fails except a
//! `Serialize` that itself fails.

use crate::error::{Error, Result};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt::{Display, Write};

/// What a printed row looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintFormat {
    /// As Scala, and Spark's guide, show tuples, strings, numbers and structs: `(hello,1)`. Sequences are
    /// `[3,1]`, maps `{1->a}`, large numbers `1e16`.
    #[default]
    Scala,
    /// As Python shows it: `('hello', 1)`.
    Python,
}

/// How many rows of a batch are printed, and in which form.
///
/// ```
/// # use tidegate::{PrintOptions, StreamingContext};
/// # let ssc = StreamingContext::builder("app").build();
/// let pairs = ssc.text("words").map(|word| (word, 1));
/// pairs.pprint(20); // (hello,1)
/// pairs.pprint(PrintOptions::rows(20).python()); // ('hello', 1)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintOptions {
    pub(crate) rows_max: usize,
    pub(crate) format: PrintFormat,
}

impl PrintOptions {
    /// At most this many rows.
    #[must_use]
    pub fn rows(rows_max: usize) -> Self {
        PrintOptions { rows_max, format: PrintFormat::Scala }
    }

    /// In Python's form.
    #[must_use]
    pub fn python(self) -> Self {
        PrintOptions { format: PrintFormat::Python, ..self }
    }
}

impl From<usize> for PrintOptions {
    fn from(rows_max: usize) -> Self {
        PrintOptions::rows(rows_max)
    }
}

/// The text of a value as Scala shows it.
///
/// # Errors
/// The error of the value's own `Serialize`.
pub fn to_display<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    shown(value, PrintFormat::Scala)
}

/// The text of a value.
///
/// # Errors
/// As [`to_display`].
pub fn shown<T: Serialize + ?Sized>(value: &T, format: PrintFormat) -> Result<String> {
    let mut text = String::new();
    let serialized = value.serialize(Text { out: &mut text, format, inner: false });
    serialized.map_err(|e| Error::Codec(format!("a row cannot be shown: {e}")))?;
    Ok(text)
}

struct Text<'a> {
    out: &'a mut String,
    format: PrintFormat,
    /// Whether this is inside another value: there Python quotes strings.
    inner: bool,
}

/// Writes elements with a separator and a closing mark.
struct List<'a> {
    text: &'a mut String,
    format: PrintFormat,
    elements: usize,
    end: &'static str,
}

#[derive(Debug)]
struct Failed(String);
impl Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
impl std::error::Error for Failed {}
impl serde::ser::Error for Failed {
    fn custom<T: Display>(message: T) -> Self {
        Failed(message.to_string())
    }
}

impl<'a> Text<'a> {
    fn show(self, value: impl Display) -> std::result::Result<(), Failed> {
        write!(self.out, "{value}").map_err(|e| Failed(e.to_string()))
    }
    fn list(self, name: &str, begin: &str, end: &'static str) -> List<'a> {
        self.out.push_str(name);
        self.out.push_str(begin);
        List { text: self.out, format: self.format, elements: 0, end }
    }
    /// The digits are Python's; it differs in the exponent and in values that are not numbers.
    fn float(self, digits: &str) -> std::result::Result<(), Failed> {
        let python = self.format == PrintFormat::Python;
        match digits.split_once('e').filter(|_| python) {
            Some((mantissa, exponent)) => {
                let exponent: i32 =
                    exponent.parse().map_err(|_| Failed(format!("{digits} is not a number")))?;
                self.show(format_args!("{mantissa}e{exponent:+03}"))
            }
            None if python && digits == "NaN" => self.show("nan"),
            None => self.show(digits),
        }
    }
}

/// Text in quotes as Python's `repr` has it.
fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        let _ = match c {
            // Writing to a string does not fail.
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\\' => write!(out, "\\\\"),
            c if c == quote => write!(out, "\\{c}"),
            c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push(quote);
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> {
        self.next();
        self.value(value)
    }
    fn named<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> std::result::Result<(), Failed> {
        self.next();
        if self.format == PrintFormat::Python {
            self.text.push_str(name);
            self.text.push('=');
        }
        self.value(value)
    }
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> {
        value.serialize(Text { out: self.text, format: self.format, inner: true })
    }
    fn next(&mut self) {
        if self.elements > 0 {
            self.text.push_str(if self.format == PrintFormat::Python { ", " } else { "," });
        }
        self.elements += 1;
    }
    fn close(self) {
        self.text.push_str(self.end);
    }
}

macro_rules! show {
    ($($name:ident: $type:ty),*) => { $(
        fn $name(self, value: $type) -> std::result::Result<(), Failed> { self.show(value) }
    )* };
}

impl<'a> Serializer for Text<'a> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = List<'a>;
    type SerializeStruct = List<'a>;
    type SerializeStructVariant = List<'a>;

    show! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128
    }
    fn serialize_bool(self, v: bool) -> std::result::Result<(), Failed> {
        match (self.format, v) {
            (PrintFormat::Scala, _) => self.show(v),
            (PrintFormat::Python, true) => self.show("True"),
            (PrintFormat::Python, false) => self.show("False"),
        }
    }
    fn serialize_char(self, v: char) -> std::result::Result<(), Failed> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, v: &str) -> std::result::Result<(), Failed> {
        if self.format == PrintFormat::Python && self.inner {
            quoted(v, self.out);
            return Ok(());
        }
        self.show(v)
    }
    fn serialize_f32(self, v: f32) -> std::result::Result<(), Failed> {
        self.float(&format!("{v:?}"))
    }
    fn serialize_f64(self, v: f64) -> std::result::Result<(), Failed> {
        self.float(&format!("{v:?}"))
    }
    fn serialize_bytes(self, v: &[u8]) -> std::result::Result<(), Failed> {
        self.serialize_str(&String::from_utf8_lossy(v))
    }
    fn serialize_none(self) -> std::result::Result<(), Failed> {
        self.show("None")
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> std::result::Result<(), Failed> {
        if self.format == PrintFormat::Python {
            return value.serialize(self);
        }
        let mut list = self.list("Some", "(", ")");
        list.element(value)?;
        list.close();
        Ok(())
    }
    fn serialize_unit(self) -> std::result::Result<(), Failed> {
        self.show("()")
    }
    fn serialize_unit_struct(self, name: &'static str) -> std::result::Result<(), Failed> {
        self.show(name)
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> std::result::Result<(), Failed> {
        self.show(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        let mut list = self.list(variant, "(", ")");
        list.element(value)?;
        list.close();
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list("", "[", "]"))
    }
    fn serialize_tuple(self, _: usize) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list("", "(", ")"))
    }
    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list(name, "(", ")"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list(variant, "(", ")"))
    }
    fn serialize_map(self, _: Option<usize>) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list("", "{", "}"))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> std::result::Result<List<'a>, Failed> {
        Ok(self.list(name, "(", ")"))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> std::result::Result<Self::SerializeStructVariant, Failed> {
        Ok(self.list(variant, "(", ")"))
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => { $(
        impl $trait for List<'_> {
            type Ok = ();
            type Error = Failed;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> { self.element(value) }
            fn end(self) -> std::result::Result<(), Failed> { self.close(); Ok(()) }
        }
    )* };
}
elements!(SerializeSeq serialize_element, SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

impl SerializeTuple for List<'_> {
    type Ok = ();
    type Error = Failed;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> {
        self.element(value)
    }
    fn end(self) -> std::result::Result<(), Failed> {
        if self.elements == 1 && self.format == PrintFormat::Python {
            self.text.push(',');
        }
        self.close();
        Ok(())
    }
}

impl SerializeStruct for List<'_> {
    type Ok = ();
    type Error = Failed;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        self.named(name, value)
    }
    fn end(self) -> std::result::Result<(), Failed> {
        self.close();
        Ok(())
    }
}

impl SerializeStructVariant for List<'_> {
    type Ok = ();
    type Error = Failed;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        self.named(name, value)
    }
    fn end(self) -> std::result::Result<(), Failed> {
        self.close();
        Ok(())
    }
}

impl SerializeMap for List<'_> {
    type Ok = ();
    type Error = Failed;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> std::result::Result<(), Failed> {
        self.element(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> {
        self.text.push_str(if self.format == PrintFormat::Python { ": " } else { "->" });
        self.value(value)
    }
    fn end(self) -> std::result::Result<(), Failed> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Text;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Point {
        x: i32,
        y: Option<f64>,
    }
    #[derive(Serialize)]
    enum Shape {
        Unit,
        Of(u8),
        At { x: i32 },
    }

    #[test]
    fn values_look_like_pythons() {
        fn python<T: Serialize + ?Sized>(value: &T) -> String {
            shown(value, PrintFormat::Python).unwrap()
        }
        assert_eq!(python(&(Text::from("hello"), 1u64)), "('hello', 1)");
        assert_eq!(python("a 'b'"), "a 'b'", "a row that is text is printed as it is");
        assert_eq!(python(&("it's", "\"", "'\"", "a\n\\\u{7}")), r#"("it's", '"', '\'"', 'a\n\\\x07')"#);
        assert_eq!(
            python(&(1, (2.0, vec!["x", "y"]), (true, None::<u8>, Some(false)))),
            "(1, (2.0, ['x', 'y']), (True, None, False))"
        );
        assert_eq!(
            python(&(1e16, 1.5e-7, f64::NAN, f64::NEG_INFINITY, 0.1f32)),
            "(1e+16, 1.5e-07, nan, -inf, 0.1)"
        );
        assert_eq!(python(&[(7,)]), "((7,),)", "an array is a tuple to serde");
        assert_eq!(python(&Point { x: 1, y: Some(0.5) }), "Point(x=1, y=0.5)");
        assert_eq!(python(&std::collections::BTreeMap::from([(1, 'a'), (2, 'b')])), "{1: 'a', 2: 'b'}");
        assert_eq!(python(&(Shape::Unit, Shape::Of(3), Shape::At { x: 4 })), "(Unit, Of(3), At(x=4))");
    }

    #[test]
    fn values_look_like_sparks() {
        assert_eq!(to_display(&(Text::from("hello"), 1u64)).unwrap(), "(hello,1)");
        assert_eq!(to_display("a \"b\"").unwrap(), "a \"b\"");
        assert_eq!(to_display(&(1, (2.0, vec!["x", "y"]))).unwrap(), "(1,(2.0,[x,y]))");
        assert_eq!(to_display(&Point { x: 1, y: Some(0.5) }).unwrap(), "Point(1,Some(0.5))");
        let map = std::collections::BTreeMap::from([(1, "a"), (2, "b")]);
        assert_eq!(to_display(&map).unwrap(), "{1->a,2->b}");
        assert_eq!(
            to_display(&(Shape::Unit, Shape::Of(3), Shape::At { x: 4 })).unwrap(),
            "(Unit,Of(3),At(4))"
        );
    }
}
