//! Decodes keys from their ordered bytes: the counterpart of `encode.rs`.
//!
//! Owns the decoder. Knows no store. Invariant: bytes that are not exactly one key of the type are an error, never a panic.

use super::layout::{END, ESCAPED_ZERO, Fault, MORE, NO_MORE, WIDE_VARIANT};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};

pub(super) fn decode<K: DeserializeOwned>(bytes: &[u8]) -> Result<K, Fault> {
    let mut decoder = Decoder { rest: bytes };
    let key = K::deserialize(&mut decoder)?;
    match decoder.rest.len() {
        0 => Ok(key),
        n => Err(Fault(format!("{n} bytes are left over"))),
    }
}

struct Decoder<'de> {
    rest: &'de [u8],
}

fn short<T>() -> Result<T, Fault> {
    Err(Fault("the bytes end too early".into()))
}

impl<'de> Decoder<'de> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((head, rest)) = self.rest.split_first_chunk() else { return short() };
        self.rest = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            NO_MORE => Ok(false),
            MORE => Ok(true),
            other => Err(Fault(format!("{other:#04x} where 0 or 1 was expected"))),
        }
    }

    fn variant(&mut self) -> Result<u32, Fault> {
        match self.byte()? {
            WIDE_VARIANT => Ok(u32::from_be_bytes(self.array()?)),
            index => Ok(u32::from(index)),
        }
    }

    /// The bytes up to the end mark; borrowed if none is escaped.
    #[inline]
    fn string(&mut self) -> Result<Unescaped<'de>, Fault> {
        let Some(zero) = self.rest.iter().position(|byte| *byte == 0) else { return short() };
        let (piece, rest) = self.rest.split_at(zero);
        if rest.starts_with(&END) {
            self.rest = &rest[END.len()..];
            return Ok(Unescaped::Borrowed(piece));
        }
        let mut all = piece.to_vec();
        self.rest = rest;
        while let Some(rest) = self.rest.strip_prefix(&ESCAPED_ZERO) {
            let Some(zero) = rest.iter().position(|byte| *byte == 0) else { return short() };
            all.push(0);
            all.extend_from_slice(&rest[..zero]);
            self.rest = &rest[zero..];
        }
        match self.rest.strip_prefix(&END) {
            Some(rest) => self.rest = rest,
            None if self.rest.len() < END.len() => return short(),
            None => return Err(Fault("a zero byte is neither escaped nor an end mark".into())),
        }
        Ok(Unescaped::Owned(all))
    }
}

enum Unescaped<'de> {
    Borrowed(&'de [u8]),
    Owned(Vec<u8>),
}

macro_rules! integers {
    ($($unsigned:ident $signed:ident $of_unsigned:ident $of_signed:ident $visit_unsigned:ident $visit_signed:ident),*) => {$(
        #[inline]
        fn $of_unsigned<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit_unsigned($unsigned::from_be_bytes(self.array()?))
        }
        #[inline]
        fn $of_signed<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let flipped = $unsigned::from_be_bytes(self.array()?) ^ (1 << ($unsigned::BITS - 1));
            visitor.$visit_signed(flipped.cast_signed())
        }
    )*};
}

macro_rules! floats {
    ($($float:ident $unsigned:ident $of_float:ident $visit:ident),*) => {$(
        fn $of_float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let bits = $unsigned::from_be_bytes(self.array()?);
            let sign = 1 << ($unsigned::BITS - 1);
            visitor.$visit($float::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign }))
        }
    )*};
}

/// Types whose structure the bytes do not carry.
macro_rules! refused {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
            Err(Fault("a type that takes its structure from the bytes (untagged, flatten) cannot be a key".into()))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Fault;

    integers!(
        u8 i8 deserialize_u8 deserialize_i8 visit_u8 visit_i8,
        u16 i16 deserialize_u16 deserialize_i16 visit_u16 visit_i16,
        u32 i32 deserialize_u32 deserialize_i32 visit_u32 visit_i32,
        u64 i64 deserialize_u64 deserialize_i64 visit_u64 visit_i64,
        u128 i128 deserialize_u128 deserialize_i128 visit_u128 visit_i128
    );
    floats!(f32 u32 deserialize_f32 visit_f32, f64 u64 deserialize_f64 visit_f64);
    refused!(deserialize_any deserialize_ignored_any deserialize_identifier);

    fn is_human_readable(&self) -> bool {
        false
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(self.flag()?)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let code = u32::from_be_bytes(self.array()?);
        match char::from_u32(code) {
            Some(c) => visitor.visit_char(c),
            None => Err(Fault(format!("{code:#x} is not a character"))),
        }
    }
    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let utf8 = |e: std::str::Utf8Error| Fault(format!("not UTF-8: {e}"));
        match self.string()? {
            Unescaped::Borrowed(s) => visitor.visit_borrowed_str(std::str::from_utf8(s).map_err(utf8)?),
            Unescaped::Owned(s) => {
                visitor.visit_string(String::from_utf8(s).map_err(|e| utf8(e.utf8_error()))?)
            }
        }
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.string()? {
            Unescaped::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
            Unescaped::Owned(bytes) => visitor.visit_byte_buf(bytes),
        }
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Elements(self))
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Elements(self))
    }
    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, parts: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Parts { decoder: self, left: parts })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        parts: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(parts, visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(fields.len(), visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }
}

/// Elements, each preceded by a marker byte.
struct Elements<'a, 'de>(&'a mut Decoder<'de>);

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.0.flag()? { seed.deserialize(&mut *self.0).map(Some) } else { Ok(None) }
    }
}
impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Fault;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(&mut *self.0)
    }
}

/// A known number of parts.
struct Parts<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Fault;
    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Decoder<'de> {
    type Error = Fault;
    type Variant = Self;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Fault> {
        let index: U32Deserializer<Fault> = self.variant()?.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}
impl<'de> VariantAccess<'de> for &mut Decoder<'de> {
    type Error = Fault;
    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, parts: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_tuple(parts, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
