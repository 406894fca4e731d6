//! Writes values as bytes, in two forms: plain (postcard's wire format), and described, in which each part says what it is.
//!
//! Owns the encoder of both forms (`docs/state-format.md`). Knows no store. Invariants: the plain form has no marks, so it is an
//! error if a field is left out or a length is not known; the described form carries every call that the type's `Serialize` made.

use crate::codec::key::Fault;
use serde::{Serialize, ser};

/// What a part of the described form is.
pub(super) mod tag {
    pub const UNIT: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const CHAR: u8 = 2;
    pub const STR: u8 = 3;
    pub const BYTES: u8 = 4;
    pub const NONE: u8 = 5;
    pub const SOME: u8 = 6;
    /// Elements, each after [`MORE`], then [`NO_MORE`].
    pub const SEQ: u8 = 7;
    /// Keys and values, each pair after [`MORE`], then [`NO_MORE`].
    pub const MAP: u8 = 8;
    /// The name of a variant, then what it holds.
    pub const VARIANT: u8 = 9;
    /// As [`SEQ`].
    pub const TUPLE: u8 = 10;
    /// As [`MAP`], with the names of the fields as keys.
    pub const STRUCT: u8 = 11;
    pub const U8: u8 = 16;
    pub const U16: u8 = 17;
    pub const U32: u8 = 18;
    pub const U64: u8 = 19;
    pub const U128: u8 = 20;
    pub const I8: u8 = 21;
    pub const I16: u8 = 22;
    pub const I32: u8 = 23;
    pub const I64: u8 = 24;
    pub const I128: u8 = 25;
    pub const F32: u8 = 26;
    pub const F64: u8 = 27;

    pub const MORE: u8 = 1;
    pub const NO_MORE: u8 = 0;
}

/// Appends the plain form.
#[inline]
pub(super) fn plain<V: Serialize + ?Sized>(value: &V, out: &mut Vec<u8>) -> Result<(), Fault> {
    value.serialize(&mut Encoder::<false> { out, is_readable: false })
}

/// Appends the described form, as a format for people (`is_readable`) or for machines.
pub(super) fn described<V: Serialize + ?Sized>(
    value: &V,
    is_readable: bool,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    value.serialize(&mut Encoder::<true> { out, is_readable })
}

struct Encoder<'a, const DESCRIBED: bool> {
    out: &'a mut Vec<u8>,
    is_readable: bool,
}

type Done = Result<(), Fault>;

impl<const DESCRIBED: bool> Encoder<'_, DESCRIBED> {
    #[inline]
    fn tag(&mut self, tag: u8) {
        if DESCRIBED {
            self.out.push(tag);
        }
    }
    #[inline]
    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.out.push((v & 0x7f) as u8 | 0x80);
            v >>= 7;
        }
        self.out.push((v & 0x7f) as u8);
    }
    fn varint_128(&mut self, mut v: u128) {
        while v >= 0x80 {
            self.out.push((v & 0x7f) as u8 | 0x80);
            v >>= 7;
        }
        self.out.push((v & 0x7f) as u8);
    }
    #[inline]
    fn text(&mut self, v: &[u8]) {
        self.varint(v.len() as u64);
        self.out.extend_from_slice(v);
    }
    #[inline]
    fn variant(&mut self, index: u32, name: &'static str) {
        if DESCRIBED {
            self.out.push(tag::VARIANT);
            self.text(name.as_bytes());
        } else {
            self.varint(u64::from(index));
        }
    }
    #[inline]
    fn length(&mut self, len: Option<usize>) -> Done {
        if !DESCRIBED {
            let len = len.ok_or_else(|| Fault("the number of its elements is not known".into()))?;
            self.varint(len as u64);
        }
        Ok(())
    }
}

/// Unsigned integers as varints, signed ones in zigzag.
macro_rules! integers {
    ($($unsigned:ident $signed:ident $of_unsigned:ident $of_signed:ident $utag:ident $itag:ident),*) => {$(
        #[inline]
        fn $of_unsigned(self, v: $unsigned) -> Done {
            self.tag(tag::$utag);
            self.varint(u64::from(v));
            Ok(())
        }
        #[inline]
        fn $of_signed(self, v: $signed) -> Done {
            self.tag(tag::$itag);
            self.varint(u64::from(((v << 1) ^ (v >> ($signed::BITS - 1))).cast_unsigned()));
            Ok(())
        }
    )*};
}

impl<'a, 'b, const DESCRIBED: bool> ser::Serializer for &'a mut Encoder<'b, DESCRIBED> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Parts<'a, 'b, DESCRIBED>;
    type SerializeTuple = Parts<'a, 'b, DESCRIBED>;
    type SerializeTupleStruct = Parts<'a, 'b, DESCRIBED>;
    type SerializeTupleVariant = Parts<'a, 'b, DESCRIBED>;
    type SerializeMap = Parts<'a, 'b, DESCRIBED>;
    type SerializeStruct = Parts<'a, 'b, DESCRIBED>;
    type SerializeStructVariant = Parts<'a, 'b, DESCRIBED>;

    integers!(
        u16 i16 serialize_u16 serialize_i16 U16 I16,
        u32 i32 serialize_u32 serialize_i32 U32 I32,
        u64 i64 serialize_u64 serialize_i64 U64 I64
    );

    #[inline]
    fn is_human_readable(&self) -> bool {
        DESCRIBED && self.is_readable
    }
    #[inline]
    fn serialize_u8(self, v: u8) -> Done {
        self.tag(tag::U8);
        self.out.push(v);
        Ok(())
    }
    #[inline]
    fn serialize_i8(self, v: i8) -> Done {
        self.tag(tag::I8);
        self.out.push(v.cast_unsigned());
        Ok(())
    }
    fn serialize_u128(self, v: u128) -> Done {
        self.tag(tag::U128);
        self.varint_128(v);
        Ok(())
    }
    fn serialize_i128(self, v: i128) -> Done {
        self.tag(tag::I128);
        self.varint_128(((v << 1) ^ (v >> 127)).cast_unsigned());
        Ok(())
    }
    #[inline]
    fn serialize_bool(self, v: bool) -> Done {
        self.tag(tag::BOOL);
        self.out.push(u8::from(v));
        Ok(())
    }
    #[inline]
    fn serialize_f32(self, v: f32) -> Done {
        self.tag(tag::F32);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_f64(self, v: f64) -> Done {
        self.tag(tag::F64);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_char(self, v: char) -> Done {
        self.tag(tag::CHAR);
        self.text(v.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_str(self, v: &str) -> Done {
        self.tag(tag::STR);
        self.text(v.as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.tag(tag::BYTES);
        self.text(v);
        Ok(())
    }
    #[inline]
    fn serialize_none(self) -> Done {
        self.out.push(if DESCRIBED { tag::NONE } else { 0 });
        Ok(())
    }
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Done {
        self.out.push(if DESCRIBED { tag::SOME } else { 1 });
        v.serialize(self)
    }
    #[inline]
    fn serialize_unit(self) -> Done {
        self.tag(tag::UNIT);
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }
    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, name: &'static str) -> Done {
        self.variant(index, name);
        self.serialize_unit()
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Done {
        v.serialize(self)
    }
    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        v: &T,
    ) -> Done {
        self.variant(index, name);
        v.serialize(self)
    }
    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Fault> {
        self.tag(tag::SEQ);
        self.length(len)?;
        Ok(Parts(self))
    }
    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Fault> {
        self.tag(tag::MAP);
        self.length(len)?;
        Ok(Parts(self))
    }
    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Fault> {
        self.tag(tag::TUPLE);
        Ok(Parts(self))
    }
    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTuple, Fault> {
        self.tag(tag::TUPLE);
        Ok(Parts(self))
    }
    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Fault> {
        self.tag(tag::STRUCT);
        Ok(Parts(self))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTuple, Fault> {
        self.variant(index, name);
        self.tag(tag::TUPLE);
        Ok(Parts(self))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Fault> {
        self.variant(index, name);
        self.tag(tag::STRUCT);
        Ok(Parts(self))
    }
}

/// What a container holds, one part after the other.
struct Parts<'a, 'b, const DESCRIBED: bool>(&'a mut Encoder<'b, DESCRIBED>);

impl<const DESCRIBED: bool> Parts<'_, '_, DESCRIBED> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        self.0.tag(tag::MORE);
        v.serialize(&mut *self.0)
    }
    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Done {
        if DESCRIBED {
            self.0.out.push(tag::MORE);
            ser::Serializer::serialize_str(&mut *self.0, name)?;
        }
        v.serialize(&mut *self.0)
    }
    #[inline]
    fn close(self) {
        self.0.tag(tag::NO_MORE);
    }
}

macro_rules! parts {
    ($($kind:ident $method:ident),*) => {$(
        impl<const DESCRIBED: bool> ser::$kind for Parts<'_, '_, DESCRIBED> {
            type Ok = ();
            type Error = Fault;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
                self.part(v)
            }
            #[inline]
            fn end(self) -> Done {
                self.close();
                Ok(())
            }
        }
    )*};
}
parts!(
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
);

macro_rules! named_parts {
    ($($kind:ident),*) => {$(
        impl<const DESCRIBED: bool> ser::$kind for Parts<'_, '_, DESCRIBED> {
            type Ok = ();
            type Error = Fault;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Done {
                self.field(name, v)
            }
            fn skip_field(&mut self, name: &'static str) -> Done {
                if DESCRIBED { Ok(()) } else { Err(Fault(format!("field `{name}` is left out"))) }
            }
            #[inline]
            fn end(self) -> Done {
                self.close();
                Ok(())
            }
        }
    )*};
}
named_parts!(SerializeStruct, SerializeStructVariant);

impl<const DESCRIBED: bool> ser::SerializeMap for Parts<'_, '_, DESCRIBED> {
    type Ok = ();
    type Error = Fault;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        self.part(v)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Done {
        v.serialize(&mut *self.0)
    }
    fn end(self) -> Done {
        self.close();
        Ok(())
    }
}
