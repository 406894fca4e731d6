//! A format as a structure: read from its notation, compared with another, and filled with samples.
//!
//! Owns what a store's type may become without losing what is stored. Knows no store and no type. Invariants: only changes after
//! which every stored value is still read exactly are allowed; a recursive format has no shape, so it may not change.

use super::encode::tag;
use crate::codec::trace::STRINGS;

/// The structure of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The bytes say it.
    Any,
    /// A tag of the described form.
    Leaf(u8),
    Option(Box<Shape>),
    Seq(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    Tuple(Vec<Shape>),
    Struct(Vec<(String, Shape)>),
    Enum(Vec<(String, Shape)>),
}

pub(super) const LEAVES: [(&str, u8); 17] = [
    ("()", tag::UNIT),
    ("bool", tag::BOOL),
    ("char", tag::CHAR),
    ("str", tag::STR),
    ("bytes", tag::BYTES),
    ("u8", tag::U8),
    ("u16", tag::U16),
    ("u32", tag::U32),
    ("u64", tag::U64),
    ("u128", tag::U128),
    ("i8", tag::I8),
    ("i16", tag::I16),
    ("i32", tag::I32),
    ("i64", tag::I64),
    ("i128", tag::I128),
    ("f32", tag::F32),
    ("f64", tag::F64),
];

impl Shape {
    /// Reads the notation; `None` if it is recursive, was not traced to its end, or has names that make it ambiguous.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let shape = parse(&mut rest)?;
        rest.is_empty().then_some(shape)
    }

    /// Plain values of this shape that take every path through it; texts are the sample of this number.
    pub fn samples(&self, sample: usize) -> Vec<Vec<u8>> {
        match self {
            Shape::Any => vec![vec![tag::UNIT]],
            Shape::Leaf(tag::UNIT) => vec![vec![]],
            Shape::Leaf(tag::CHAR) => vec![vec![1, b'a']],
            Shape::Leaf(tag::STR) => {
                let text = STRINGS[sample % STRINGS.len()];
                let length = u8::try_from(text.len()).unwrap_or_default();
                vec![[&[length], text.as_bytes()].concat()]
            }
            Shape::Leaf(tag::F32) => vec![vec![0; 4]],
            Shape::Leaf(tag::F64) => vec![vec![0; 8]],
            Shape::Leaf(_) => vec![vec![0]],
            Shape::Option(inner) | Shape::Seq(inner) => {
                let some = inner.samples(sample).into_iter().map(|bytes| [vec![1], bytes].concat());
                std::iter::once(vec![0]).chain(some).collect()
            }
            Shape::Map(key, value) => {
                let pairs = side_by_side(&[key.samples(sample), value.samples(sample)]);
                let some = pairs.into_iter().map(|bytes| [vec![1], bytes].concat());
                std::iter::once(vec![0]).chain(some).collect()
            }
            Shape::Tuple(parts) => {
                side_by_side(&parts.iter().map(|part| part.samples(sample)).collect::<Vec<_>>())
            }
            Shape::Struct(fields) => {
                side_by_side(&fields.iter().map(|(_, part)| part.samples(sample)).collect::<Vec<_>>())
            }
            Shape::Enum(variants) => {
                let numbered = (0u8..0x80).zip(variants);
                let each = numbered.flat_map(|(index, (_, held))| {
                    held.samples(sample).into_iter().map(move |bytes| [vec![index], bytes].concat())
                });
                each.collect()
            }
        }
    }

    /// What becomes of stored values if this shape becomes `now`: the differences, one per entry.
    ///
    /// # Errors
    /// Why stored values can no longer be read exactly.
    pub fn changes_to(&self, now: &Shape) -> Result<Vec<String>, String> {
        let mut changes = vec![];
        compare(self, now, "", &mut changes)?;
        Ok(changes)
    }
}

/// The first of each, the second of each, and so on, until every sample was used; short lists begin again.
fn side_by_side(lists: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let most = lists.iter().map(Vec::len).max().unwrap_or(1);
    (0..most)
        .map(|row| lists.iter().filter(|l| !l.is_empty()).flat_map(|l| l[row % l.len()].clone()).collect())
        .collect()
}

fn compare(was: &Shape, is: &Shape, at: &str, changes: &mut Vec<String>) -> Result<(), String> {
    let place = || if at.is_empty() { String::new() } else { format!("`{}`: ", at.trim_start_matches('.')) };
    match (was, is) {
        (Shape::Leaf(was), Shape::Leaf(is)) if was == is => Ok(()),
        (Shape::Leaf(was), Shape::Leaf(is)) if widens(*was, *is) => {
            changes.push(format!("{}{} becomes {}", place(), name(*was), name(*is)));
            Ok(())
        }
        (Shape::Any, _) | (_, Shape::Any) => Ok(()), // each value says what it is
        (Shape::Option(was), Shape::Option(is)) | (Shape::Seq(was), Shape::Seq(is)) => {
            compare(was, is, at, changes)
        }
        (was, Shape::Option(is)) => {
            changes.push(format!("{}becomes optional", place()));
            compare(was, is, at, changes)
        }
        (Shape::Map(key, value), Shape::Map(key_is, value_is)) => {
            compare(key, key_is, at, changes)?;
            compare(value, value_is, at, changes)
        }
        (Shape::Tuple(was), Shape::Tuple(is)) if was.len() == is.len() => {
            let mut parts = was.iter().zip(is).enumerate();
            parts.try_for_each(|(i, (was, is))| compare(was, is, &format!("{at}.{i}"), changes))
        }
        (Shape::Struct(was), Shape::Struct(is)) => {
            for (name, shape) in was {
                match is.iter().find(|(other, _)| other == name) {
                    Some((_, now)) => compare(shape, now, &format!("{at}.{name}"), changes)?,
                    None => changes
                        .push(format!("loses field `{}`", format!("{at}.{name}").trim_start_matches('.'))),
                }
            }
            for (name, _) in is.iter().filter(|(name, _)| !was.iter().any(|(other, _)| other == name)) {
                changes.push(format!("gains field `{}`", format!("{at}.{name}").trim_start_matches('.')));
            }
            let kept = |of: &[(String, Shape)], other: &[(String, Shape)]| -> Vec<String> {
                of.iter().map(|(n, _)| n.clone()).filter(|n| other.iter().any(|(o, _)| o == n)).collect()
            };
            if kept(was, is) != kept(is, was) {
                changes.push(format!("{}fields in another order", place()));
            }
            Ok(())
        }
        (Shape::Enum(was), Shape::Enum(is)) => {
            for (name, held) in was {
                let Some((_, now)) = is.iter().find(|(other, _)| other == name) else {
                    return Err(format!("{}variant `{name}` is gone", place()));
                };
                compare(held, now, &format!("{at}.{name}"), changes)?;
            }
            for (name, _) in is.iter().filter(|(name, _)| !was.iter().any(|(other, _)| other == name)) {
                changes.push(format!("gains variant `{}`", format!("{at}.{name}").trim_start_matches('.')));
            }
            let names = |of: &[(String, Shape)]| of.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
            if !names(is).starts_with(&names(was)) {
                changes.push(format!("{}variants in another order", place()));
            }
            Ok(())
        }
        _ => Err(format!("{}is of another type", place())),
    }
}

/// Whether every value of the leaf `was` is one of `is`.
fn widens(was: u8, is: u8) -> bool {
    let is_unsigned = |tag| (tag::U8..=tag::U128).contains(&tag);
    let is_signed = |tag| (tag::I8..=tag::I128).contains(&tag);
    (is_unsigned(was) && is_unsigned(is) && was < is)
        || (is_signed(was) && is_signed(is) && was < is)
        || (is_unsigned(was) && is_signed(is) && was - tag::U8 < is - tag::I8)
        || (was == tag::F32 && is == tag::F64)
}

fn name(tag: u8) -> &'static str {
    LEAVES.iter().find(|(_, leaf)| *leaf == tag).map_or("?", |(name, _)| name)
}

fn parse(rest: &mut &str) -> Option<Shape> {
    let mut shape = if take(rest, "[") {
        let element = parse(rest)?;
        take(rest, "]").then(|| Shape::Seq(Box::new(element)))?
    } else if take(rest, "map(") {
        let key = parse(rest)?;
        take(rest, ",").then_some(())?;
        let value = parse(rest)?;
        take(rest, ")").then(|| Shape::Map(Box::new(key), Box::new(value)))?
    } else if take(rest, "{") {
        Shape::Struct(fields(rest)?)
    } else if take(rest, "()") {
        Shape::Leaf(tag::UNIT)
    } else if take(rest, "(") {
        Shape::Tuple(parts(rest)?)
    } else if take(rest, "<") {
        variants(rest)?
    } else {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        *rest = after;
        match LEAVES.iter().find(|(name, _)| *name == word) {
            Some((_, tag)) => Shape::Leaf(*tag),
            None if word == "any" => Shape::Any,
            None => return None,
        }
    };
    while take(rest, "?") {
        shape = Shape::Option(Box::new(shape));
    }
    Some(shape)
}

/// Up to the closing brace.
fn fields(rest: &mut &str) -> Option<Vec<(String, Shape)>> {
    let mut fields = vec![];
    while !take(rest, "}") {
        if !fields.is_empty() {
            take(rest, ",").then_some(())?;
        }
        let (name, after) = rest.split_once(':')?;
        if name.contains(['{', '}', '(', ')', '<', '>', '[', ']', ',', '|', '?']) {
            return None;
        }
        *rest = after;
        fields.push((name.to_owned(), parse(rest)?));
    }
    Some(fields)
}

/// Up to the closing parenthesis.
fn parts(rest: &mut &str) -> Option<Vec<Shape>> {
    let mut parts = vec![];
    while !take(rest, ")") {
        if !parts.is_empty() {
            take(rest, ",").then_some(())?;
        }
        let part = parse(rest)?;
        let mut count = 1;
        if take(rest, "*") {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            count = rest[..digits].parse().ok()?;
            *rest = &rest[digits..];
        }
        parts.extend(std::iter::repeat_n(part, count));
    }
    Some(parts)
}

/// Up to the closing bracket.
fn variants(rest: &mut &str) -> Option<Shape> {
    let mut variants: Vec<(String, Shape)> = vec![];
    while !take(rest, ">") {
        if !variants.is_empty() {
            take(rest, "|").then_some(())?;
        }
        let end = rest.find(['(', '{', '|', '>', '<', '[', ':', ','])?;
        let name = rest[..end].to_owned();
        *rest = &rest[end..];
        let held = if take(rest, "(") {
            let mut held = parts(rest)?;
            if held.len() == 1 { held.remove(0) } else { Shape::Tuple(held) }
        } else if take(rest, "{") {
            Shape::Struct(fields(rest)?)
        } else {
            Shape::Leaf(tag::UNIT)
        };
        variants.push((name, held));
    }
    Some(Shape::Enum(variants))
}

fn take(rest: &mut &str, token: &str) -> bool {
    let found = rest.strip_prefix(token);
    found.inspect(|after| *rest = after).is_some()
}
