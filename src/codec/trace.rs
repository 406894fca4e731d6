//! The structure of a serde type as a short stable string: `(String, Option<u64>)` is `(str,u64?)`.
//!
//! Owns the notation, which is part of a topology's fingerprint. Knows no store. Invariants: names of types and modules
//! do not appear, so moving or renaming them changes nothing; any change of a field's name, type or position changes
//! the string; a recursive type is written as `^n` (the container `n` levels up).
//!
//! It works by deserialising the type from nothing and noting what the type asks for. One run takes one path through
//! each option, sequence and enum; runs are repeated until every path has been taken.

use super::key::Fault;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};
use std::any::type_name;

/// The structural trace of `T`.
///
/// Fields and variants carry their names: `{id:u64,tags:[str]}`, `<Up|Moved(i32,i32)|Named{to:str}>`. A part that
/// cannot be traced, because it accepts none of the sample values, is written as `?`.
///
/// ```
/// use tidegate::codec::format_of;
/// assert_eq!(format_of::<(String, u64)>(), "(str,u64)");
/// assert_eq!(format_of::<std::collections::BTreeMap<char, Vec<[u8; 16]>>>(), "map(char,[(u8*16)])");
/// ```
#[must_use]
pub fn format_of<T: DeserializeOwned>() -> String {
    traced::<T>(false).0.text()
}

/// The trace of a type, and values of it that take every path. With `is_readable` as for a format for people, such as JSON.
pub(super) fn traced<T: DeserializeOwned>(is_readable: bool) -> (Trace, Vec<T>) {
    let mut trace = Trace { nodes: vec![Node::New], open: vec![], last_leaf: None, stop: false, is_readable };
    let (mut values, mut failed) = (vec![], 0);
    for _ in 0..MAX_RUNS {
        trace.open.clear();
        trace.last_leaf = None;
        if let Ok(value) = T::deserialize(Tracer { trace: &mut trace, at: ROOT, exploring: true }) {
            values.push(value);
        } else {
            failed += u32::from(trace.done(ROOT));
            if trace.stop || failed > MAX_FAILED || !trace.next_sample() {
                break;
            }
            continue;
        }
        if trace.stop || trace.done(ROOT) {
            break;
        }
    }
    if trace.is_whole() {
        trace.open.clear();
        let shortest = T::deserialize(Tracer { trace: &mut trace, at: ROOT, exploring: false });
        values.extend(shortest);
    }
    (trace, values)
}

pub(super) const ROOT: usize = 0;
const MAX_RUNS: usize = 10_000;
/// Most samples that are tried for a value once its structure is known.
const MAX_FAILED: u32 = 64;
const MAX_DEPTH: usize = 100;
pub(super) const STRINGS: [&str; 6] = ["", "0", "a", "1970-01-01T00:00:00Z", "1970-01-01", "00:00:00"];
const BYTES: [&[u8]; 4] = [&[], &[0; 16], &[0; 4], &[0; 32]];
const NUMBERS: [u8; 3] = [0, 1, 100];

/// Index into `Trace::nodes`.
pub(super) type At = usize;

#[derive(Clone)]
pub(super) enum Node {
    /// Not reached yet.
    New,
    Leaf {
        name: &'static str,
        sample: usize,
    },
    Option(At),
    Seq(At),
    Map(At, At),
    Wrapper(At),
    Tuple(Vec<At>),
    Struct(Vec<(&'static str, At)>),
    Enum(Vec<Variant>),
    /// A recursion to the container at this place.
    Back(At),
}

#[derive(Clone)]
pub(super) struct Variant {
    pub name: &'static str,
    pub at: At,
    runs: usize,
}

pub(super) struct Trace {
    nodes: Vec<Node>,
    /// Containers being deserialised, by the type of their visitor (used for identity only).
    open: Vec<(&'static str, At)>,
    last_leaf: Option<At>,
    stop: bool,
    is_readable: bool,
}

impl Trace {
    /// The notation.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.render(ROOT, &mut vec![], &mut out);
        out
    }

    /// Whether a part takes its structure from the bytes.
    pub fn is_opaque(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node, Node::Leaf { name: "any", .. }))
    }

    pub fn node(&self, at: At) -> &Node {
        &self.nodes[at]
    }

    /// Whether every path was taken, and every sample accepted.
    pub fn is_whole(&self) -> bool {
        let is_sampled = |node: &Node| match node {
            Node::Leaf { name, sample } => *sample < samples_of(name),
            _ => true,
        };
        !self.stop && self.done(ROOT) && self.nodes.iter().all(is_sampled)
    }

    fn add(&mut self) -> At {
        self.nodes.push(Node::New);
        self.nodes.len() - 1
    }

    fn children(&self, at: At) -> Vec<At> {
        match &self.nodes[at] {
            Node::New | Node::Leaf { .. } | Node::Back(_) => vec![],
            Node::Option(a) | Node::Seq(a) | Node::Wrapper(a) => vec![*a],
            Node::Map(k, v) => vec![*k, *v],
            Node::Tuple(parts) => parts.clone(),
            Node::Struct(fields) => fields.iter().map(|(_, at)| *at).collect(),
            Node::Enum(variants) => variants.iter().map(|v| v.at).collect(),
        }
    }

    /// Whether every path below has been taken.
    fn done(&self, at: At) -> bool {
        !matches!(self.nodes[at], Node::New) && self.children(at).into_iter().all(|child| self.done(child))
    }

    /// Whether a value can be made without endless recursion.
    fn finite(&self, at: At) -> bool {
        match &self.nodes[at] {
            Node::New | Node::Back(_) => false,
            Node::Leaf { .. } | Node::Option(_) | Node::Seq(_) | Node::Map(..) => true,
            Node::Wrapper(_) | Node::Tuple(_) | Node::Struct(_) => {
                self.children(at).into_iter().all(|child| self.finite(child))
            }
            Node::Enum(variants) => variants.iter().any(|v| self.finite(v.at)),
        }
    }

    /// After a value was rejected: another sample at the place that was asked last; `false` = there is none.
    fn next_sample(&mut self) -> bool {
        let Some(Node::Leaf { name, sample }) = self.last_leaf.map(|at| &mut self.nodes[at]) else {
            return true;
        };
        *sample += 1;
        *sample < samples_of(name)
    }

    fn render(&self, at: At, above: &mut Vec<At>, out: &mut String) {
        above.push(at);
        match &self.nodes[at] {
            Node::New => out.push('?'),
            Node::Leaf { name, .. } => out.push_str(name),
            Node::Option(inner) => {
                self.render(*inner, above, out);
                out.push('?');
            }
            Node::Seq(inner) => {
                out.push('[');
                self.render(*inner, above, out);
                out.push(']');
            }
            Node::Map(key, value) => {
                out.push_str("map(");
                self.render(*key, above, out);
                out.push(',');
                self.render(*value, above, out);
                out.push(')');
            }
            Node::Wrapper(inner) => self.render(*inner, above, out),
            Node::Tuple(parts) => self.render_tuple(parts, above, out),
            Node::Struct(fields) => {
                out.push('{');
                for (i, (name, field)) in fields.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(name);
                    out.push(':');
                    self.render(*field, above, out);
                }
                out.push('}');
            }
            Node::Enum(variants) => {
                out.push('<');
                for (i, variant) in variants.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "|" });
                    out.push_str(variant.name);
                    self.render_variant(variant.at, above, out);
                }
                out.push('>');
            }
            Node::Back(target) => {
                let levels = above.iter().rev().position(|at| at == target).unwrap_or_default();
                out.push('^');
                out.push_str(&levels.to_string());
            }
        }
        above.pop();
    }

    /// `Name`, `Name(u64)`, `Name{field:u64}`.
    fn render_variant(&self, at: At, above: &mut Vec<At>, out: &mut String) {
        match &self.nodes[at] {
            Node::Leaf { name: "()", .. } => {}
            Node::Tuple(_) | Node::Struct(_) => self.render(at, above, out),
            _ => {
                out.push('(');
                self.render(at, above, out);
                out.push(')');
            }
        }
    }

    /// Four or more equal neighbours are written as a count: `(u8*16)`.
    fn render_tuple(&self, parts: &[At], above: &mut Vec<At>, out: &mut String) {
        let text = |part: &At, above: &mut Vec<At>| {
            let mut one = String::new();
            self.render(*part, above, &mut one);
            one
        };
        let parts: Vec<String> = parts.iter().map(|part| text(part, above)).collect();
        let runs: Vec<String> = parts
            .chunk_by(PartialEq::eq)
            .map(|run| if run.len() < 4 { run.join(",") } else { format!("{}*{}", run[0], run.len()) })
            .collect();
        out.push('(');
        out.push_str(&runs.join(","));
        out.push(')');
    }
}

fn samples_of(leaf: &str) -> usize {
    match leaf {
        "str" => STRINGS.len(),
        "bytes" => BYTES.len(),
        "bool" | "char" | "()" => 1,
        _ => NUMBERS.len(),
    }
}

/// Deserialises what is at one place of the trace.
struct Tracer<'t> {
    trace: &'t mut Trace,
    at: At,
    /// `false` = only make a value, because the structure of this place is already known.
    exploring: bool,
}

impl Tracer<'_> {
    fn child(&mut self, at: At) -> Tracer<'_> {
        Tracer { trace: self.trace, at, exploring: self.exploring }
    }

    fn sample(&mut self, name: &'static str) -> usize {
        if let Node::New = self.trace.nodes[self.at] {
            self.trace.nodes[self.at] = Node::Leaf { name, sample: 0 };
        }
        self.trace.last_leaf = Some(self.at);
        match self.trace.nodes[self.at] {
            Node::Leaf { sample, .. } => sample,
            _ => 0,
        }
    }

    /// Notes the structure of this place at the first visit.
    fn note(&mut self, node: impl FnOnce(&mut Trace) -> Node) -> Result<Node, Fault> {
        if self.trace.open.len() > MAX_DEPTH {
            self.trace.stop = true;
            return Err(Fault("nested too deeply".into()));
        }
        if let Node::New = self.trace.nodes[self.at] {
            let node = node(self.trace);
            self.trace.nodes[self.at] = node;
        }
        Ok(self.trace.nodes[self.at].clone())
    }

    /// Runs `body` inside a container. A container that is already open (recognised by the type of its visitor) is a
    /// recursion: it is noted as such, and a value is made the shortest way.
    fn inside<V, R>(
        mut self,
        node: impl FnOnce(&mut Trace) -> Node,
        body: impl FnOnce(Tracer<'_>, Node) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let visitor = type_name::<V>();
        if let Node::New = self.trace.nodes[self.at]
            && let Some((_, target)) = self.trace.open.iter().find(|(open, _)| *open == visitor)
        {
            self.trace.nodes[self.at] = Node::Back(*target);
        }
        while let Node::Back(target) = self.trace.nodes[self.at] {
            self.at = target;
            self.exploring = false;
            if !self.trace.finite(target) {
                return Err(Fault("a circle".into()));
            }
        }
        let node = self.note(node)?;
        self.trace.open.push((visitor, self.at));
        let done = body(self.child(self.at), node);
        if done.is_ok() {
            self.trace.open.pop();
        }
        done
    }

    fn parts(&self, node: Node) -> Vec<At> {
        match node {
            Node::Tuple(parts) => parts,
            Node::Struct(fields) => fields.into_iter().map(|(_, at)| at).collect(),
            _ => self.trace.children(self.at),
        }
    }
}

fn tuple(len: usize) -> impl FnOnce(&mut Trace) -> Node {
    move |trace| Node::Tuple((0..len).map(|_| trace.add()).collect())
}

fn named(fields: &'static [&'static str]) -> impl FnOnce(&mut Trace) -> Node {
    move |trace| Node::Struct(fields.iter().map(|name| (*name, trace.add())).collect())
}

macro_rules! numbers {
    ($($name:literal $method:ident $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
            let sample = self.sample($name);
            visitor.$visit(NUMBERS[sample.min(NUMBERS.len() - 1)].into())
        }
    )*};
}

macro_rules! untraceable {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, _: V) -> Result<V::Value, Fault> {
            self.sample("any");
            self.trace.stop = true;
            Err(Fault("a type that takes its structure from the bytes".into()))
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Fault;

    numbers!(
        "u8" deserialize_u8 visit_u8, "u16" deserialize_u16 visit_u16, "u32" deserialize_u32 visit_u32,
        "u64" deserialize_u64 visit_u64, "u128" deserialize_u128 visit_u128, "i16" deserialize_i16 visit_i16,
        "i32" deserialize_i32 visit_i32, "i64" deserialize_i64 visit_i64, "i128" deserialize_i128 visit_i128,
        "f32" deserialize_f32 visit_f32, "f64" deserialize_f64 visit_f64
    );
    untraceable!(deserialize_any deserialize_ignored_any deserialize_identifier);

    fn is_human_readable(&self) -> bool {
        self.trace.is_readable
    }
    fn deserialize_i8<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let sample = self.sample("i8");
        visitor.visit_i8(NUMBERS[sample.min(NUMBERS.len() - 1)].cast_signed())
    }
    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.sample("bool");
        visitor.visit_bool(false)
    }
    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.sample("char");
        visitor.visit_char('a')
    }
    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let sample = self.sample("str");
        visitor.visit_borrowed_str(STRINGS[sample.min(STRINGS.len() - 1)])
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let sample = self.sample("bytes");
        visitor.visit_borrowed_bytes(BYTES[sample.min(BYTES.len() - 1)])
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }
    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.sample("()");
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.note(|trace| Node::Option(trace.add()))? {
            Node::Option(inner) if self.exploring && !self.trace.done(inner) => {
                visitor.visit_some(self.child(inner))
            }
            _ => visitor.visit_none(),
        }
    }
    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.note(|trace| Node::Seq(trace.add()))? {
            Node::Seq(inner) if self.exploring && !self.trace.done(inner) => {
                visitor.visit_seq(Parts { tracer: self, parts: vec![inner].into_iter() })
            }
            _ => visitor.visit_seq(Parts { tracer: self, parts: vec![].into_iter() }),
        }
    }
    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.note(|trace| Node::Map(trace.add(), trace.add()))? {
            Node::Map(key, value) if self.exploring && !(self.trace.done(key) && self.trace.done(value)) => {
                visitor.visit_map(Parts { tracer: self, parts: vec![key, value].into_iter() })
            }
            _ => visitor.visit_map(Parts { tracer: self, parts: vec![].into_iter() }),
        }
    }
    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let node = self.note(tuple(len))?;
        let parts = self.parts(node).into_iter();
        visitor.visit_seq(Parts { tracer: self, parts })
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside::<V, _>(
            |trace| Node::Wrapper(trace.add()),
            |mut tracer, node| {
                let inner = tracer.parts(node)[0];
                visitor.visit_newtype_struct(tracer.child(inner))
            },
        )
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside::<V, _>(tuple(len), |tracer, node| {
            let parts = tracer.parts(node).into_iter();
            visitor.visit_seq(Parts { tracer, parts })
        })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside::<V, _>(named(fields), |tracer, node| {
            let parts = tracer.parts(node).into_iter();
            visitor.visit_seq(Parts { tracer, parts })
        })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside::<V, _>(
            |trace| {
                Node::Enum(variants.iter().map(|name| Variant { name, at: trace.add(), runs: 0 }).collect())
            },
            |tracer, _| visitor.visit_enum(tracer),
        )
    }
}

/// The elements of one container.
struct Parts<'t> {
    tracer: Tracer<'t>,
    parts: std::vec::IntoIter<At>,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(at) = self.parts.next() else { return Ok(None) };
        seed.deserialize(self.tracer.child(at)).map(Some)
    }
}
impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Fault;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        match SeqAccess::next_element_seed(self, seed)? {
            Some(value) => Ok(value),
            None => Err(Fault("a value was requested before its key".into())),
        }
    }
}

impl<'de> EnumAccess<'de> for Tracer<'_> {
    type Error = Fault;
    type Variant = Self;
    /// The variant that has been tried least and is not finished; when all are finished, one that ends.
    fn variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<(T::Value, Self), Fault> {
        let Node::Enum(variants) = self.trace.nodes[self.at].clone() else {
            return Err(Fault("a variant was requested twice".into()));
        };
        let numbered = || variants.iter().enumerate();
        let open =
            numbered().filter(|(_, v)| self.exploring && !self.trace.done(v.at)).min_by_key(|(_, v)| v.runs);
        let Some((index, variant)) = open.or_else(|| numbered().find(|(_, v)| self.trace.finite(v.at)))
        else {
            return Err(Fault("a circle".into()));
        };
        if let Node::Enum(variants) = &mut self.trace.nodes[self.at] {
            variants[index].runs += 1;
        }
        let number: U32Deserializer<Fault> = u32::try_from(index).unwrap_or(u32::MAX).into_deserializer();
        self.at = variant.at;
        Ok((seed.deserialize(number)?, self))
    }
}
impl<'de> VariantAccess<'de> for Tracer<'_> {
    type Error = Fault;
    fn unit_variant(mut self) -> Result<(), Fault> {
        self.sample("()");
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_tuple(len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let node = self.note(named(fields))?;
        let parts = self.parts(node).into_iter();
        visitor.visit_seq(Parts { tracer: self, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Text;
    use serde::Deserialize;
    use std::{collections::BTreeMap, num::NonZeroU32};

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its structure is looked at")]
    struct Visit {
        url: Text,
        at_ms: i64,
        who: Option<(u32, String)>,
    }
    mod moved {
        use super::{Deserialize, Text};
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its structure is looked at")]
        pub struct Renamed {
            url: Text,
            at_ms: i64,
            who: Option<(u32, String)>,
        }
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its structure is looked at")]
    enum Shape {
        Sum(Box<Shape>, Box<Shape>),
        Group(Vec<Shape>),
        Dot,
        Circle { radius: f64, name: Option<String> },
        Tag(u8),
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its structure is looked at")]
    struct Tree {
        left: Option<Box<Tree>>,
        right: Option<Box<Tree>>,
        shape: Shape,
        size: u64,
    }
    #[derive(Deserialize)]
    struct Wrap<T>(T);
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its structure is looked at")]
    struct Pair<T> {
        a: T,
        b: T,
    }

    #[test]
    fn formats_describe_the_structure_and_nothing_else() {
        assert_eq!(format_of::<u64>(), "u64");
        assert_eq!(format_of::<Wrap<Wrap<Text>>>(), "str");
        assert_eq!(format_of::<()>(), "()");
        assert_eq!(format_of::<[i8; 3]>(), "(i8,i8,i8)");
        assert_eq!(format_of::<crate::record::Bytes>(), "bytes");
        assert_eq!(format_of::<BTreeMap<char, Vec<Option<bool>>>>(), "map(char,[bool?])");
        assert_eq!(format_of::<Visit>(), "{url:str,at_ms:i64,who:(u32,str)?}");
        assert_eq!(format_of::<Visit>(), format_of::<moved::Renamed>());
    }

    #[test]
    fn recursive_types_end_and_generic_types_are_distinguished() {
        let shape = "<Sum(^2,^2)|Group([^2])|Dot|Circle{radius:f64,name:str?}|Tag(u8)>";
        assert_eq!(format_of::<Shape>(), shape);
        assert_eq!(format_of::<Tree>(), format!("{{left:^2?,right:^2?,shape:{shape},size:u64}}"));
        assert_eq!(format_of::<Pair<Pair<u8>>>(), "{a:{a:u8,b:u8},b:{a:u8,b:u8}}");
    }

    #[test]
    fn types_that_reject_zero_or_an_empty_string_are_traced_with_another_value() {
        assert_eq!(format_of::<(NonZeroU32, std::net::IpAddr, u8)>(), "(u32,<V4(u8*4)|V6(u8*16)>,u8)");
        assert_eq!(format_of::<(std::time::Duration, u8)>(), "({secs:u64,nanos:u32},u8)");
    }

    #[test]
    fn a_part_that_cannot_be_traced_is_marked_and_tracing_ends() {
        assert_eq!(format_of::<(u8, serde_json::Value, u16)>(), "(u8,any,?)");
    }
}
