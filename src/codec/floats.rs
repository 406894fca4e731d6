//! Floats that are not finite, for which JSON has no form: `serde_json` would write null, which is another value, and a value alone
//! would become a null record.
//!
//! Owns the choice what to do with them. Knows no output. Invariant: everything else is written as `serde_json` does.

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use std::{fmt::Display, marker::PhantomData};

/// What becomes of a float that is not finite.
pub(crate) trait NotFinite {
    /// Writes it, or refuses it.
    fn write<S: Serializer>(value: f64, to: S) -> Result<S::Ok, S::Error>;
}

/// It has no form.
pub(crate) struct Refused;

/// Its name is a text: `NaN`, `Infinity`, `-Infinity`.
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only tables read such names"))]
pub(crate) struct Named;

impl NotFinite for Refused {
    fn write<S: Serializer>(value: f64, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(format!("the number {value} cannot be written as JSON")))
    }
}

impl NotFinite for Named {
    fn write<S: Serializer>(value: f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        })
    }
}

/// Appends `value` as JSON, with `P` for floats that are not finite.
pub(crate) fn write_json<P: NotFinite>(
    value: &(impl Serialize + ?Sized),
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    value.serialize(Floats::<_, P>::of(&mut serde_json::Serializer::new(out)))
}

/// A serializer, or a value on its way to one.
struct Floats<T, P>(T, PhantomData<P>);

impl<T, P> Floats<T, P> {
    fn of(inner: T) -> Self {
        Floats(inner, PhantomData)
    }
}

impl<T: Serialize + ?Sized, P: NotFinite> Serialize for Floats<&T, P> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Floats::<S, P>::of(to))
    }
}

/// Methods that pass on what they are given.
macro_rules! passing {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> { self.0.$method(value) })*
    };
}

impl<S: Serializer, P: NotFinite> Serializer for Floats<S, P> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Floats<S::SerializeSeq, P>;
    type SerializeTuple = Floats<S::SerializeTuple, P>;
    type SerializeTupleStruct = Floats<S::SerializeTupleStruct, P>;
    type SerializeTupleVariant = Floats<S::SerializeTupleVariant, P>;
    type SerializeMap = Floats<S::SerializeMap, P>;
    type SerializeStruct = Floats<S::SerializeStruct, P>;
    type SerializeStructVariant = Floats<S::SerializeStructVariant, P>;

    passing! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8]) serialize_unit_struct(&'static str)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.0.serialize_f32(value) } else { P::write(value.into(), self.0) }
    }
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.0.serialize_f64(value) } else { P::write(value, self.0) }
    }
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Floats::<_, P>::of(value))
    }
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Floats::<_, P>::of(value))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Floats::<_, P>::of(value))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Floats::of)
    }
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Floats::of)
    }
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Floats::of)
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, index, variant, len).map(Floats::of)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Floats::of)
    }
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Floats::of)
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, index, variant, len).map(Floats::of)
    }
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// A compound whose parts are values, or fields with names.
macro_rules! compound {
    ($($of:ident $method:ident $($name:ident)?;)*) => {
        $(impl<S: $of, P: NotFinite> $of for Floats<S, P> {
            type Ok = S::Ok;
            type Error = S::Error;
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), S::Error> {
                self.0.$method($($name,)? &Floats::<_, P>::of(value))
            }
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

compound! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
    SerializeStruct serialize_field name;
    SerializeStructVariant serialize_field name;
}

impl<S: SerializeMap, P: NotFinite> SerializeMap for Floats<S, P> {
    type Ok = S::Ok;
    type Error = S::Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(&Floats::<_, P>::of(key))
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Floats::<_, P>::of(value))
    }
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Shape {
        Point,
        Line(f64),
        Pair(f64, f32),
        Named { x: Option<f64> },
    }

    #[derive(Serialize)]
    struct All {
        shapes: Vec<Shape>,
        tuple: (f64, u128, char, ()),
        map: BTreeMap<String, f64>,
        unit: Unit,
        new: New,
        text: Box<str>,
    }

    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct New(f32);

    fn all(float: f64) -> All {
        #[expect(clippy::cast_possible_truncation, reason = "of the same kind")]
        let small = float as f32;
        All {
            shapes: vec![
                Shape::Point,
                Shape::Line(float),
                Shape::Pair(1.0, small),
                Shape::Named { x: Some(float) },
            ],
            tuple: (float, u128::MAX, 'é', ()),
            map: BTreeMap::from([("a".into(), float)]),
            unit: Unit,
            new: New(small),
            text: "t".into(),
        }
    }

    fn json<P: NotFinite>(value: &impl Serialize) -> serde_json::Result<String> {
        let mut out = vec![];
        write_json::<P>(value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn finite_values_are_written_as_ever_and_others_are_refused_or_named() {
        let plain = serde_json::to_string(&all(0.1)).unwrap();
        assert_eq!(json::<Refused>(&all(0.1)).unwrap(), plain);
        assert_eq!(json::<Named>(&all(0.1)).unwrap(), plain);
        for (float, name) in
            [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")]
        {
            let why = json::<Refused>(&all(float)).unwrap_err().to_string();
            assert!(why.contains("cannot be written as JSON"), "{why}");
            let named = json::<Named>(&all(float)).unwrap();
            assert_eq!(named.matches(&format!("\"{name}\"")).count(), 6, "{named}");
        }
        assert_eq!(json::<Refused>(&None::<f64>).unwrap(), "null");
    }
}
