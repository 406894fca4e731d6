//! Writes keys as ordered bytes.
//!
//! Owns the encoder. Knows no store. Invariant: after an error the appended bytes must be discarded.

use super::layout::{END, ESCAPED_ZERO, Fault, MORE, NO_MORE, WIDE_VARIANT};
use crate::error::Result;
use serde::{Serialize, ser};

/// Appends the encoding of `key` to `out`.
#[inline]
pub(super) fn encode<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result<(), Fault> {
    key.serialize(&mut Encoder { out })
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

type Done = std::result::Result<(), Fault>;

impl Encoder<'_> {
    fn variant(&mut self, index: u32) {
        match u8::try_from(index) {
            Ok(index) if index < WIDE_VARIANT => self.out.push(index),
            _ => {
                self.out.push(WIDE_VARIANT);
                self.out.extend_from_slice(&index.to_be_bytes());
            }
        }
    }
}

/// Unsigned integers big-endian; signed ones with the sign bit flipped, so negative ones sort first.
macro_rules! integers {
    ($($unsigned:ident $signed:ident $of_unsigned:ident $of_signed:ident),*) => {$(
        #[inline]
        fn $of_unsigned(self, v: $unsigned) -> Done {
            self.out.extend_from_slice(&v.to_be_bytes());
            Ok(())
        }
        #[inline]
        fn $of_signed(self, v: $signed) -> Done {
            self.$of_unsigned(v.cast_unsigned() ^ (1 << ($unsigned::BITS - 1)))
        }
    )*};
}

/// Floats by value: -0 equals 0, and all NaN are equal and sort above infinity. `Key` rejects floats, but a wrapper may
/// allow them.
macro_rules! floats {
    ($($float:ident $unsigned:ident $of_float:ident $of_unsigned:ident),*) => {$(
        fn $of_float(self, v: $float) -> Done {
            let v = if v.is_nan() { $float::NAN } else if v == 0.0 { 0.0 } else { v };
            let bits = v.to_bits();
            let negative = v.is_sign_negative();
            self.$of_unsigned(if negative { !bits } else { bits | 1 << ($unsigned::BITS - 1) })
        }
    )*};
}

impl<'a, 'b> ser::Serializer for &'a mut Encoder<'b> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Elements<'a, 'b>;
    type SerializeTuple = Parts<'a, 'b>;
    type SerializeTupleStruct = Parts<'a, 'b>;
    type SerializeTupleVariant = Parts<'a, 'b>;
    type SerializeMap = Elements<'a, 'b>;
    type SerializeStruct = Parts<'a, 'b>;
    type SerializeStructVariant = Parts<'a, 'b>;

    integers!(
        u8 i8 serialize_u8 serialize_i8, u16 i16 serialize_u16 serialize_i16,
        u32 i32 serialize_u32 serialize_i32, u64 i64 serialize_u64 serialize_i64,
        u128 i128 serialize_u128 serialize_i128
    );
    floats!(f32 u32 serialize_f32 serialize_u32, f64 u64 serialize_f64 serialize_u64);

    fn is_human_readable(&self) -> bool {
        false
    }
    fn serialize_bool(self, v: bool) -> Done {
        self.serialize_u8(u8::from(v))
    }
    fn serialize_char(self, v: char) -> Done {
        self.serialize_u32(u32::from(v))
    }
    #[inline]
    fn serialize_str(self, v: &str) -> Done {
        self.serialize_bytes(v.as_bytes())
    }
    #[inline]
    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.out.reserve(v.len() + END.len());
        let mut pieces = v.split(|byte| *byte == 0);
        self.out.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            self.out.extend_from_slice(&ESCAPED_ZERO);
            self.out.extend_from_slice(piece);
        }
        self.out.extend_from_slice(&END);
        Ok(())
    }
    fn serialize_none(self) -> Done {
        self.serialize_u8(NO_MORE)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Done {
        self.out.push(MORE);
        v.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Done {
        self.variant(index);
        Ok(())
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Done {
        v.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        v: &T,
    ) -> Done {
        self.variant(index);
        v.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a, 'b>, Fault> {
        Ok(Elements(self))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a, 'b>, Fault> {
        Ok(Elements(self))
    }
    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Parts<'a, 'b>, Fault> {
        Ok(Parts(self))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a, 'b>, Fault> {
        Ok(Parts(self))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a, 'b>, Fault> {
        Ok(Parts(self))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a, 'b>, Fault> {
        self.variant(index);
        Ok(Parts(self))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a, 'b>, Fault> {
        self.variant(index);
        Ok(Parts(self))
    }
}

/// Any number of elements, each preceded by a marker byte.
struct Elements<'a, 'b>(&'a mut Encoder<'b>);

impl ser::SerializeSeq for Elements<'_, '_> {
    type Ok = ();
    type Error = Fault;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        self.0.out.push(MORE);
        v.serialize(&mut *self.0)
    }
    fn end(self) -> Done {
        self.0.out.push(NO_MORE);
        Ok(())
    }
}
impl ser::SerializeMap for Elements<'_, '_> {
    type Ok = ();
    type Error = Fault;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        self.0.out.push(MORE);
        v.serialize(&mut *self.0)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        v.serialize(&mut *self.0)
    }
    fn end(self) -> Done {
        self.0.out.push(NO_MORE);
        Ok(())
    }
}

/// A fixed number of parts, one after the other.
struct Parts<'a, 'b>(&'a mut Encoder<'b>);

macro_rules! parts {
    ($($kind:ident $method:ident),*) => {$(
        impl ser::$kind for Parts<'_, '_> {
            type Ok = ();
            type Error = Fault;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
                v.serialize(&mut *self.0)
            }
            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}
parts!(SerializeTuple serialize_element, SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

macro_rules! named_parts {
    ($($kind:ident),*) => {$(
        impl ser::$kind for Parts<'_, '_> {
            type Ok = ();
            type Error = Fault;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, v: &T) -> Done {
                v.serialize(&mut *self.0)
            }
            fn skip_field(&mut self, name: &'static str) -> Done {
                Err(Fault(format!("field `{name}` is left out; every field of a key must always be written")))
            }
            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}
named_parts!(SerializeStruct, SerializeStructVariant);
