//! Writes a value as Scala's `toString` shows it: `(hello,1)`, `[1,2]`, plain strings without quotes.
//!
//! `Display` does not exist for tuples and `Debug` quotes strings, so this is a small serde serializer. Owns the text form of
//! `print` only. Invariant: every serde value has a text form; nothing fails but a `Serialize` that fails by itself.

use crate::error::{Error, Result};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt::{Display, Write};

/// The text of a value.
///
/// # Errors
/// What the value's own `Serialize` answers.
pub fn to_display<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let mut text = String::new();
    value.serialize(Text(&mut text)).map_err(|e| Error::Codec(format!("a row cannot be shown: {e}")))?;
    Ok(text)
}

struct Text<'a>(&'a mut String);

/// Writes elements with a separator and a closing mark.
struct List<'a> {
    text: &'a mut String,
    first: bool,
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
        write!(self.0, "{value}").map_err(|e| Failed(e.to_string()))
    }
    fn list(self, name: &str, begin: &str, end: &'static str) -> List<'a> {
        self.0.push_str(name);
        self.0.push_str(begin);
        List { text: self.0, first: true, end }
    }
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> std::result::Result<(), Failed> {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        value.serialize(Text(self.text))
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
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str
    }
    fn serialize_f32(self, v: f32) -> std::result::Result<(), Failed> {
        self.show(format_args!("{v:?}"))
    }
    fn serialize_f64(self, v: f64) -> std::result::Result<(), Failed> {
        self.show(format_args!("{v:?}"))
    }
    fn serialize_bytes(self, v: &[u8]) -> std::result::Result<(), Failed> {
        self.show(String::from_utf8_lossy(v))
    }
    fn serialize_none(self) -> std::result::Result<(), Failed> {
        self.show("None")
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> std::result::Result<(), Failed> {
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
elements!(SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

impl SerializeStruct for List<'_> {
    type Ok = ();
    type Error = Failed;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        self.element(value)
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
        _: &'static str,
        value: &T,
    ) -> std::result::Result<(), Failed> {
        self.element(value)
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
        self.text.push_str("->");
        value.serialize(Text(self.text))
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
    fn values_look_as_in_spark() {
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
