//! What is looked for in records: the columns, as a tree.
//!
//! Owns names, types and what is remembered of the order of fields. Knows no cell. Invariant: what is remembered makes reading faster,
//! never different.

use super::scan::Cursor;
use crate::sql::format::fault::Fault;
use crate::sql::rows::type_name;
use arrow::datatypes::{DataType, Field, TimeUnit};

/// Most names that are remembered of an object.
const MEMOS_MAX: usize = 48;

/// A value.
#[derive(Clone)]
pub(super) struct Shape {
    /// Whether NULL is refused.
    pub is_required: bool,
    pub kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Boolean,
    /// Of so many bits.
    Signed(u32),
    Unsigned(u32),
    Float,
    Double,
    Decimal(u8, i8),
    Text,
    Base64,
    Date,
    Timestamp(TimeUnit),
    List(Box<Shape>),
    Object(Object),
    /// The keys are strings.
    Map(Box<Shape>),
}

/// The fields of an object.
#[derive(Clone)]
pub(super) struct Object {
    pub names: Vec<String>,
    pub shapes: Vec<Shape>,
    /// Names as they stood in the records before, and where they lead.
    memos: Vec<Memo>,
    /// The memo that the next name is likely to be.
    next: usize,
}

#[derive(Clone)]
struct Memo {
    /// From the quote to the colon.
    bytes: Vec<u8>,
    /// Position in `shapes`; `None` = the field is passed over.
    target: Option<usize>,
}

impl Object {
    pub fn new<'f>(fields: impl IntoIterator<Item = &'f Field>) -> Result<Self, String> {
        let (mut names, mut shapes) = (vec![], vec![]);
        for field in fields {
            let name = field.name();
            if names.contains(name) {
                return Err(format!("two columns are called `{name}`"));
            }
            shapes.push(Shape::of(field).map_err(|reason| format!("column `{name}`: {reason}"))?);
            names.push(name.clone());
        }
        Ok(Object { names, shapes, memos: vec![], next: 0 })
    }

    /// At the start of an object.
    #[inline]
    pub fn begin(&mut self) {
        self.next = 0;
    }

    /// Takes a name and the colon behind it: the position of the field, or `None` if it is not wanted.
    #[inline]
    pub fn field(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Fault> {
        if let Some(memo) = self.memos.get(self.next)
            && cursor.rest().starts_with(&memo.bytes)
        {
            self.next += 1;
            cursor.at += memo.bytes.len();
            return Ok(memo.target);
        }
        self.search(cursor)
    }

    fn search(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Fault> {
        if let Some(found) = self.memos.iter().position(|memo| cursor.rest().starts_with(&memo.bytes)) {
            self.next = found + 1;
            cursor.at += self.memos[found].bytes.len();
            return Ok(self.memos[found].target);
        }
        if cursor.peek() != Some(b'"') {
            return cursor.expected("the name of a field");
        }
        let start = cursor.at;
        let mut name = vec![];
        cursor.string()?.append_to(&mut name)?;
        cursor.whitespace();
        if !cursor.eat(b':') {
            return cursor.expected("`:`");
        }
        let target = self.names.iter().position(|wanted| wanted.as_bytes() == name);
        if self.memos.len() < MEMOS_MAX {
            self.memos.push(Memo { bytes: cursor.bytes[start..cursor.at].to_vec(), target });
            self.next = self.memos.len();
        }
        Ok(target)
    }
}

impl Shape {
    pub fn of(field: &Field) -> Result<Self, String> {
        let refused = || Err(format!("JSON has no form for values of type {}", field.data_type()));
        let kind = match field.data_type() {
            other if type_name(other).is_none() => return refused(),
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => Kind::Signed(8),
            DataType::Int16 => Kind::Signed(16),
            DataType::Int32 => Kind::Signed(32),
            DataType::Int64 => Kind::Signed(64),
            DataType::UInt8 => Kind::Unsigned(8),
            DataType::UInt16 => Kind::Unsigned(16),
            DataType::UInt32 => Kind::Unsigned(32),
            DataType::UInt64 => Kind::Unsigned(64),
            DataType::Float32 => Kind::Float,
            DataType::Float64 => Kind::Double,
            DataType::Decimal128(precision, scale) => Kind::Decimal(*precision, *scale),
            DataType::Utf8 => Kind::Text,
            DataType::Binary => Kind::Base64,
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(unit, _) => Kind::Timestamp(*unit),
            DataType::List(item) => Kind::List(Box::new(Shape::of(item)?)),
            DataType::Struct(fields) => Kind::Object(Object::new(fields.iter().map(|field| &**field))?),
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { return refused() };
                let [key, value] = &fields[..] else { return refused() };
                if *key.data_type() != DataType::Utf8 {
                    return Err("keys of a map are strings in JSON".into());
                }
                Kind::Map(Box::new(Shape::of(value)?))
            }
            _ => return refused(),
        };
        Ok(Shape { is_required: !field.is_nullable(), kind })
    }
}
