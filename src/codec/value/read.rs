//! Reads values by their structure: that of a format, or the one that described bytes carry.
//!
//! Owns the decoder for everything but the present format of a store. Knows no store. Invariants: parts are matched by name, so fields
//! may come, go and move; bytes that do not fit give an error, never a panic.

use super::{encode::tag, shape::Shape};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::fmt;

/// Why a value was not read.
#[derive(Debug)]
pub(super) struct Misfit {
    what: String,
    /// The type asks for another structure, whatever the values are.
    pub is_structural: bool,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
impl std::error::Error for Misfit {}

fn structural(what: String) -> Misfit {
    Misfit { what, is_structural: true }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Misfit { what: what.to_string(), is_structural: false }
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        structural(format!("{found} instead of {expected}"))
    }
    fn invalid_length(found: usize, expected: &dyn de::Expected) -> Self {
        structural(format!("{found} parts instead of {expected}"))
    }
    fn unknown_variant(name: &str, _: &'static [&'static str]) -> Self {
        structural(format!("there is no variant `{name}`"))
    }
    fn unknown_field(name: &str, _: &'static [&'static str]) -> Self {
        structural(format!("there is no field `{name}`"))
    }
    fn missing_field(name: &'static str) -> Self {
        structural(format!("field `{name}` has no default"))
    }
}

fn cut() -> Misfit {
    de::Error::custom("the bytes end within the value")
}

static DESCRIBED: Shape = Shape::Any;

/// A value of described bytes.
pub(super) fn described<'de, V: de::Deserialize<'de>>(bytes: &'de [u8]) -> Result<V, Misfit> {
    shaped(bytes, &DESCRIBED, true)
}

/// A value of bytes in this shape.
pub(super) fn shaped<'de, V: de::Deserialize<'de>>(
    mut bytes: &'de [u8],
    shape: &Shape,
    is_readable: bool,
) -> Result<V, Misfit> {
    let value = V::deserialize(Reader { input: &mut bytes, shape, is_readable })?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(de::Error::custom(format!("{} bytes are left over", bytes.len())))
    }
}

pub(super) fn byte(input: &mut &[u8]) -> Result<u8, Misfit> {
    let (first, rest) = input.split_first().ok_or_else(cut)?;
    *input = rest;
    Ok(*first)
}

pub(super) fn bytes<'de>(input: &mut &'de [u8], len: usize) -> Result<&'de [u8], Misfit> {
    let (found, rest) = input.split_at_checked(len).ok_or_else(cut)?;
    *input = rest;
    Ok(found)
}

pub(super) fn varint(input: &mut &[u8]) -> Result<u128, Misfit> {
    let mut v = 0;
    for shift in (0..128).step_by(7) {
        let byte = byte(input)?;
        v |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(v);
        }
    }
    Err(de::Error::custom("a number is too long"))
}

fn number<T: TryFrom<u128>>(input: &mut &[u8]) -> Result<T, Misfit> {
    T::try_from(varint(input)?).map_err(|_| de::Error::custom("a number is too large"))
}

fn signed<T: TryFrom<i128>>(input: &mut &[u8]) -> Result<T, Misfit> {
    let v = varint(input)?;
    let v = (v >> 1).cast_signed() ^ -((v & 1).cast_signed());
    T::try_from(v).map_err(|_| de::Error::custom("a number is too large"))
}

pub(super) fn text<'de>(input: &mut &'de [u8]) -> Result<&'de [u8], Misfit> {
    let len = number(input)?;
    bytes(input, len)
}

fn utf8<'de>(input: &mut &'de [u8]) -> Result<&'de str, Misfit> {
    std::str::from_utf8(text(input)?).map_err(|_| de::Error::custom("a text is not UTF-8"))
}

/// Reads one value.
struct Reader<'a, 'de> {
    input: &'a mut &'de [u8],
    shape: &'a Shape,
    is_readable: bool,
}

impl<'a, 'de> Reader<'a, 'de> {
    /// The tag of a leaf or container, and how many parts follow if their number is known.
    fn head(&mut self) -> Result<u8, Misfit> {
        Ok(match self.shape {
            Shape::Any => byte(self.input)?,
            Shape::Leaf(tag) => *tag,
            Shape::Option(_) => match byte(self.input)? {
                0 => tag::NONE,
                1 => tag::SOME,
                _ => return Err(de::Error::custom("an option is neither 0 nor 1")),
            },
            Shape::Seq(_) => tag::SEQ,
            Shape::Tuple(_) => tag::TUPLE,
            Shape::Map(..) => tag::MAP,
            Shape::Struct(_) => tag::STRUCT,
            Shape::Enum(_) => tag::VARIANT,
        })
    }

    fn is_option(&self) -> bool {
        match self.shape {
            Shape::Any => matches!(self.input.first(), Some(&(tag::NONE | tag::SOME))),
            shape => matches!(shape, Shape::Option(_)),
        }
    }

    fn at<'b>(&'b mut self, shape: &'b Shape) -> Reader<'b, 'de> {
        Reader { input: self.input, shape, is_readable: self.is_readable }
    }

    fn parts(self) -> Result<Parts<'a, 'de>, Misfit> {
        let left = match self.shape {
            Shape::Seq(_) | Shape::Map(..) => Some(number(self.input)?),
            Shape::Tuple(parts) => Some(parts.len()),
            Shape::Struct(fields) => Some(fields.len()),
            _ => None,
        };
        Ok(Parts { of: self, left, index: 0 })
    }

    /// The name of a variant, and the shape of what it holds.
    fn variant(&mut self) -> Result<(&'a str, &'a Shape), Misfit>
    where
        'de: 'a,
    {
        match self.shape {
            Shape::Enum(variants) => {
                let index: usize = number(self.input)?;
                let (name, held) = variants
                    .get(index)
                    .ok_or_else(|| <Misfit as de::Error>::custom("a variant that there is not"))?;
                Ok((name, held))
            }
            _ => Ok((utf8(self.input)?, &DESCRIBED)),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Misfit;

    fn is_human_readable(&self) -> bool {
        self.is_readable
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Misfit> {
        match self.head()? {
            tag::UNIT => visitor.visit_unit(),
            tag::BOOL => match byte(self.input)? {
                0 => visitor.visit_bool(false),
                1 => visitor.visit_bool(true),
                _ => Err(de::Error::custom("a bool is neither 0 nor 1")),
            },
            tag::CHAR => {
                let mut text = utf8(self.input)?.chars();
                match (text.next(), text.next()) {
                    (Some(c), None) => visitor.visit_char(c),
                    _ => Err(de::Error::custom("not one character")),
                }
            }
            tag::STR => visitor.visit_borrowed_str(utf8(self.input)?),
            tag::BYTES => visitor.visit_borrowed_bytes(text(self.input)?),
            tag::NONE => visitor.visit_none(),
            tag::SOME => match self.shape {
                Shape::Option(inner) => visitor.visit_some(self.at(inner)),
                _ => visitor.visit_some(self),
            },
            tag::SEQ | tag::TUPLE => self.parts()?.all(|parts| visitor.visit_seq(parts)),
            tag::MAP | tag::STRUCT => self.parts()?.all(|parts| visitor.visit_map(parts)),
            tag::VARIANT => {
                let (name, held) = self.variant()?;
                match (held, self.input.first()) {
                    (Shape::Leaf(tag::UNIT), _) => visitor.visit_str(name),
                    (Shape::Any, Some(&tag::UNIT)) => {
                        byte(self.input)?;
                        visitor.visit_str(name)
                    }
                    _ => visitor.visit_map(Single { name: Some(name), held: self.at(held) }),
                }
            }
            tag::U8 => visitor.visit_u8(byte(self.input)?),
            tag::U16 => visitor.visit_u16(number(self.input)?),
            tag::U32 => visitor.visit_u32(number(self.input)?),
            tag::U64 => visitor.visit_u64(number(self.input)?),
            tag::U128 => {
                let v = varint(self.input)?;
                // Where a type looks at the value before it chooses, serde knows 64 bits only.
                match u64::try_from(v) {
                    Ok(v) if self.is_readable => visitor.visit_u64(v),
                    _ => visitor.visit_u128(v),
                }
            }
            tag::I8 => visitor.visit_i8(byte(self.input)?.cast_signed()),
            tag::I16 => visitor.visit_i16(signed(self.input)?),
            tag::I32 => visitor.visit_i32(signed(self.input)?),
            tag::I64 => visitor.visit_i64(signed(self.input)?),
            tag::I128 => {
                let v: i128 = signed(self.input)?;
                match i64::try_from(v) {
                    Ok(v) if self.is_readable => visitor.visit_i64(v),
                    _ => visitor.visit_i128(v),
                }
            }
            tag::F32 => {
                visitor.visit_f32(f32::from_le_bytes(bytes(self.input, 4)?.try_into().map_err(|_| cut())?))
            }
            tag::F64 => {
                visitor.visit_f64(f64::from_le_bytes(bytes(self.input, 8)?.try_into().map_err(|_| cut())?))
            }
            other => Err(de::Error::custom(format!("{other} marks nothing"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.is_option() { self.deserialize_any(visitor) } else { visitor.visit_some(self) }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.head()? {
            tag::VARIANT => {
                let (name, held) = self.variant()?;
                visitor.visit_enum(Variant { name, held: self.at(held) })
            }
            _ => Err(structural("not a variant".into())),
        }
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The parts of a container; all of them are read, also those that the type does not ask for.
struct Parts<'a, 'de> {
    of: Reader<'a, 'de>,
    /// `None` = a mark says whether there are more.
    left: Option<usize>,
    index: usize,
}

impl Parts<'_, '_> {
    fn all<T>(mut self, read: impl FnOnce(&mut Self) -> Result<T, Misfit>) -> Result<T, Misfit> {
        let value = read(&mut self)?;
        if self.is_more()? {
            return Err(structural(format!("more than {} parts", self.index)));
        }
        Ok(value)
    }

    fn is_more(&mut self) -> Result<bool, Misfit> {
        match &mut self.left {
            Some(left) => {
                let is_more = *left > 0;
                *left = left.saturating_sub(1);
                Ok(is_more)
            }
            None => match byte(self.of.input)? {
                tag::NO_MORE => {
                    self.left = Some(0);
                    Ok(false)
                }
                _ => Ok(true),
            },
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Parts<'_, 'de> {
    type Error = Misfit;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        if !self.is_more()? {
            return Ok(None);
        }
        let shape = match self.of.shape {
            Shape::Seq(each) => each,
            Shape::Tuple(parts) => &parts[self.index],
            other => other,
        };
        self.index += 1;
        seed.deserialize(self.of.at(shape)).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Parts<'_, 'de> {
    type Error = Misfit;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        if !self.is_more()? {
            return Ok(None);
        }
        self.index += 1;
        match self.of.shape {
            Shape::Struct(fields) => seed.deserialize(fields[self.index - 1].0.as_str().into_deserializer()),
            Shape::Map(key, _) => seed.deserialize(self.of.at(key)),
            other => seed.deserialize(self.of.at(other)),
        }
        .map(Some)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        let shape = match self.of.shape {
            Shape::Struct(fields) => &fields[self.index.saturating_sub(1)].1,
            Shape::Map(_, value) => value,
            other => other,
        };
        seed.deserialize(self.of.at(shape))
    }
}

/// A variant.
struct Variant<'a, 'de> {
    name: &'a str,
    held: Reader<'a, 'de>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = Misfit;
    type Variant = Reader<'a, 'de>;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), Misfit> {
        Ok((seed.deserialize(self.name.into_deserializer())?, self.held))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, 'de> {
    type Error = Misfit;
    fn unit_variant(self) -> Result<(), Misfit> {
        de::Deserialize::deserialize(self)
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }
}

/// A variant for a type that looks at a value before it chooses: a map of one entry, from its name to what it holds.
struct Single<'a, 'de> {
    name: Option<&'a str>,
    held: Reader<'a, 'de>,
}

impl<'de> MapAccess<'de> for Single<'_, 'de> {
    type Error = Misfit;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        self.name.take().map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        let Reader { shape, is_readable, .. } = self.held;
        seed.deserialize(Reader { input: self.held.input, shape, is_readable })
    }
}
