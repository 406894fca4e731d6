//! Numbers, texts and enums of Protobuf, one by one.
//!
//! Owns how each is written. Knows no column.

use super::bytes::{BYTES, FIXED32, FIXED64, Raw, VARINT, low, low64, put_varint, unzigzag, zigzag};
use prost_reflect::{EnumDescriptor, Kind, Value};
use std::collections::BTreeMap;

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Enum,
    /// A text or bytes.
    Bytes,
}

impl Scalar {
    /// `None` = a message.
    pub fn of(kind: &Kind) -> Option<Scalar> {
        Some(match kind {
            Kind::Bool => Scalar::Bool,
            Kind::Int32 => Scalar::Int32,
            Kind::Int64 => Scalar::Int64,
            Kind::Uint32 => Scalar::Uint32,
            Kind::Uint64 => Scalar::Uint64,
            Kind::Sint32 => Scalar::Sint32,
            Kind::Sint64 => Scalar::Sint64,
            Kind::Fixed32 => Scalar::Fixed32,
            Kind::Fixed64 => Scalar::Fixed64,
            Kind::Sfixed32 => Scalar::Sfixed32,
            Kind::Sfixed64 => Scalar::Sfixed64,
            Kind::Float => Scalar::Float,
            Kind::Double => Scalar::Double,
            Kind::Enum(_) => Scalar::Enum,
            Kind::String | Kind::Bytes => Scalar::Bytes,
            Kind::Message(_) => return None,
        })
    }

    pub fn wire(self) -> u8 {
        match self {
            Scalar::Fixed32 | Scalar::Sfixed32 | Scalar::Float => FIXED32,
            Scalar::Fixed64 | Scalar::Sfixed64 | Scalar::Double => FIXED64,
            Scalar::Bytes => BYTES,
            _ => VARINT,
        }
    }

    /// The least and the greatest number, of an integer.
    pub fn bounds(self) -> Option<(i128, i128)> {
        Some(match self {
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 | Scalar::Enum => {
                (i32::MIN.into(), i32::MAX.into())
            }
            Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
            Scalar::Uint32 | Scalar::Fixed32 => (0, u32::MAX.into()),
            Scalar::Uint64 | Scalar::Fixed64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }

    /// The integer that is written so. Of a varint that is too long the low bits count, as in other readers.
    #[inline]
    pub fn integer(self, raw: Raw<'_>) -> Option<i128> {
        Some(match (self, raw) {
            (Scalar::Int32 | Scalar::Enum, Raw::Varint(value)) => low(value).cast_signed().into(),
            (Scalar::Int64, Raw::Varint(value)) => value.cast_signed().into(),
            (Scalar::Uint32, Raw::Varint(value)) => low(value).into(),
            (Scalar::Uint64, Raw::Varint(value)) | (Scalar::Fixed64, Raw::Fixed64(value)) => value.into(),
            (Scalar::Sint32, Raw::Varint(value)) => unzigzag(u64::from(low(value))).into(),
            (Scalar::Sint64, Raw::Varint(value)) => unzigzag(value).into(),
            (Scalar::Fixed32, Raw::Fixed32(value)) => value.into(),
            (Scalar::Sfixed32, Raw::Fixed32(value)) => value.cast_signed().into(),
            (Scalar::Sfixed64, Raw::Fixed64(value)) => value.cast_signed().into(),
            _ => return None,
        })
    }

    /// Appends an integer that is within the bounds.
    #[inline]
    pub fn put(self, value: i128, out: &mut Vec<u8>) -> Result<(), String> {
        match self.bounds() {
            Some((least, most)) if value < least || value > most => {
                return Err(format!("{value} is not from {least} to {most}"));
            }
            Some(_) => {}
            None => return Err("bug: the field is no integer".into()),
        }
        let bits = low64(value);
        match self {
            Scalar::Sint32 | Scalar::Sint64 => put_varint(zigzag(bits.cast_signed()), out),
            Scalar::Fixed32 | Scalar::Sfixed32 => out.extend_from_slice(&low(bits).to_le_bytes()),
            Scalar::Fixed64 | Scalar::Sfixed64 => out.extend_from_slice(&bits.to_le_bytes()),
            _ => put_varint(bits, out),
        }
        Ok(())
    }
}

/// What a field has that is not written.
#[derive(Debug)]
pub(super) struct Default {
    wire: u8,
    bits: u64,
    bytes: Vec<u8>,
}

impl Default {
    /// The value of a scalar, as it would be written.
    pub fn of(scalar: Scalar, value: &Value) -> Default {
        let (mut bits, mut bytes) = (0, vec![]);
        match value {
            Value::Bool(value) => bits = u64::from(*value),
            Value::I32(value) | Value::EnumNumber(value) => bits = i64::from(*value).cast_unsigned(),
            Value::I64(value) => bits = value.cast_unsigned(),
            Value::U32(value) => bits = u64::from(*value),
            Value::U64(value) => bits = *value,
            Value::F32(value) => bits = u64::from(value.to_bits()),
            Value::F64(value) => bits = value.to_bits(),
            Value::String(value) => bytes = value.clone().into_bytes(),
            Value::Bytes(value) => bytes = value.to_vec(),
            Value::Message(_) | Value::List(_) | Value::Map(_) => {}
        }
        if matches!(scalar, Scalar::Sint32 | Scalar::Sint64) {
            bits = zigzag(bits.cast_signed());
        }
        Default { wire: scalar.wire(), bits, bytes }
    }

    /// What a scalar has that nothing else is said of.
    pub fn zero(scalar: Scalar) -> Default {
        Default { wire: scalar.wire(), bits: 0, bytes: vec![] }
    }

    /// A message without fields.
    pub fn message() -> Default {
        Default { wire: BYTES, bits: 0, bytes: vec![] }
    }

    pub fn wire(&self) -> u8 {
        self.wire
    }

    pub fn raw(&self) -> Raw<'_> {
        match self.wire {
            VARINT => Raw::Varint(self.bits),
            FIXED64 => Raw::Fixed64(self.bits),
            FIXED32 => Raw::Fixed32(low(self.bits)),
            _ => Raw::Bytes(&self.bytes),
        }
    }
}

/// The names of an enum. A number without a name is its digits, which no name is.
#[derive(Clone, Debug)]
pub(super) struct Names {
    by_number: BTreeMap<i32, String>,
    by_name: BTreeMap<String, i32>,
}

impl Names {
    pub fn of(descriptor: &EnumDescriptor) -> Names {
        let (mut by_number, mut by_name) = (BTreeMap::new(), BTreeMap::new());
        // Of several names for a number the first one that is declared.
        for value in &descriptor.enum_descriptor_proto().value {
            by_number.entry(value.number()).or_insert_with(|| value.name().to_owned());
            by_name.insert(value.name().to_owned(), value.number());
        }
        Names { by_number, by_name }
    }

    /// Appends the name of a number.
    pub fn put_name(&self, number: i32, out: &mut Vec<u8>) {
        match self.by_number.get(&number) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => out.extend_from_slice(number.to_string().as_bytes()),
        }
    }

    /// The number of a name, or of digits.
    pub fn number(&self, name: &[u8]) -> Result<i32, String> {
        let text = std::str::from_utf8(name).ok();
        let found = text.and_then(|name| self.by_name.get(name).copied().or_else(|| name.parse().ok()));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.by_name.keys().take(20).map(String::as_str).collect();
            format!("'{}' is none of the values {}", name.escape_ascii(), known.join(", "))
        })
    }
}
