//! Finds numbers that JSON cannot express: NaN and the infinities.
//!
//! Owns a serializer that writes nothing. Knows no format. Invariant: the place that is named leads to the number.

use serde::{
    Serialize, Serializer,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use std::fmt;

/// Fails with the first number that is not finite.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), NotFinite> {
    value.serialize(Finite)
}

/// A number that is not finite, or what the type itself says is wrong.
#[derive(Debug)]
pub(super) struct NotFinite {
    what: String,
    /// From the number outwards.
    path: Vec<String>,
}

impl NotFinite {
    fn within(mut self, place: impl Into<String>) -> Self {
        self.path.push(place.into());
        self
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.path.is_empty() {
            let path: String = self.path.iter().rev().map(String::as_str).collect();
            write!(f, " in `{}`", path.trim_start_matches('.'))?;
        }
        Ok(())
    }
}

impl std::error::Error for NotFinite {}

impl ser::Error for NotFinite {
    fn custom<T: fmt::Display>(what: T) -> Self {
        NotFinite { what: what.to_string(), path: vec![] }
    }
}

type Done = Result<(), NotFinite>;

struct Finite;

/// Inside a sequence, a struct or a map: how many parts came before.
struct Parts(usize);

impl Parts {
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let index = self.0;
        self.0 += 1;
        check(value).map_err(|e| e.within(format!("[{index}]")))
    }
}

fn field<T: Serialize + ?Sized>(name: &str, value: &T) -> Done {
    check(value).map_err(|e| e.within(format!(".{name}")))
}

macro_rules! nothing {
    ($($method:ident($($argument:ty),*)),* $(,)?) => {$(
        fn $method(self, $(_: $argument),*) -> Done {
            Ok(())
        }
    )*};
}

macro_rules! parts {
    ($($method:ident($($argument:ty),*)),* $(,)?) => {$(
        fn $method(self, $(_: $argument),*) -> Result<Parts, NotFinite> {
            Ok(Parts(0))
        }
    )*};
}

impl Serializer for Finite {
    type Ok = ();
    type Error = NotFinite;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    nothing!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    );

    parts!(
        serialize_seq(Option<usize>),
        serialize_tuple(usize),
        serialize_tuple_struct(&'static str, usize),
        serialize_tuple_variant(&'static str, u32, &'static str, usize),
        serialize_map(Option<usize>),
        serialize_struct(&'static str, usize),
        serialize_struct_variant(&'static str, u32, &'static str, usize),
    );

    fn serialize_f32(self, v: f32) -> Done {
        self.serialize_f64(f64::from(v))
    }

    fn serialize_f64(self, v: f64) -> Done {
        if v.is_finite() { Ok(()) } else { Err(ser::Error::custom(format!("JSON has no number {v}"))) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        check(value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        check(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        field(variant, value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Done {
        Ok(())
    }
}

macro_rules! elements {
    ($($of:ident $method:ident),*) => {$(
        impl $of for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.next(value)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}
elements!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($of:ident),*) => {$(
        impl $of for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
                field(name, value)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}
fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Parts {
    type Ok = ();
    type Error = NotFinite;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        check(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.next(value)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(&mut self, key: &K, value: &V) -> Done {
        check(key)?;
        check(value).map_err(|e| e.within(format!("[{}]", serde_json::to_string(key).unwrap_or_default())))
    }

    fn end(self) -> Done {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Sensor {
        Off,
        Single(f64),
        Pair(f32, f32),
        Named { celsius: Option<f64> },
    }

    #[derive(Serialize)]
    struct Reading {
        sensors: Vec<Sensor>,
        by_name: BTreeMap<String, (u8, Option<f64>)>,
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_named_with_its_place() {
        let reading = |sensor, number| Reading {
            sensors: vec![Sensor::Off, sensor],
            by_name: BTreeMap::from([("a".to_owned(), (1, Some(number))), ("b".to_owned(), (2, None))]),
        };
        let said = |value: &Reading| check(value).map_err(|e| e.to_string());
        assert_eq!(said(&reading(Sensor::Pair(1.0, 2.0), 3.0)), Ok(()));
        for (sensor, number, place) in [
            (Sensor::Single(f64::NAN), 0.0, "JSON has no number NaN in `sensors[1].Single`"),
            (Sensor::Pair(0.0, f32::INFINITY), 0.0, "JSON has no number inf in `sensors[1][1]`"),
            (
                Sensor::Named { celsius: Some(f64::NAN) },
                0.0,
                "JSON has no number NaN in `sensors[1].celsius`",
            ),
            (
                Sensor::Named { celsius: None },
                f64::NEG_INFINITY,
                "JSON has no number -inf in `by_name[\"a\"][1]`",
            ),
        ] {
            assert_eq!(said(&reading(sensor, number)), Err(place.to_owned()));
        }
        assert_eq!(check(&f64::NAN).unwrap_err().to_string(), "JSON has no number NaN");
    }
}
