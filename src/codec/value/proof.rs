//! Whether the values of a type come back as they were, shown on values that the type's own trace gives.
//!
//! Owns the choice between the plain and the described form. Knows no store. Invariants: the plain form is used unchecked only for a
//! type whose `Serialize` writes exactly what its `Deserialize` asks for, part by part; whatever else is written was read back first.

use super::{
    decode_plain,
    encode::{described, plain, tag},
    read,
    shape::LEAVES,
};
use crate::{
    codec::{
        key::{decode_key, encode_key},
        trace::{At, Node, ROOT, Trace, traced},
    },
    record::Map,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::{TypeId, type_name},
    cell::RefCell,
};

/// How the values of a type are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// In the plain form.
    Plain,
    /// In the plain form where it is read back as the same value, which is tried for each: nothing was shown at the start.
    PlainIfItComesBack,
    /// In the described form, which is read back for each value.
    Described,
}

thread_local! {
    static KNOWN: RefCell<Map<TypeId, Carrier>> = RefCell::default();
}

/// How values of this type are written; found out once per thread.
pub(super) fn carrier_of<V: Serialize + DeserializeOwned + 'static>() -> Carrier {
    let id = TypeId::of::<V>();
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&id).copied()) {
        return known;
    }
    let carrier = find_carrier::<V>();
    KNOWN.with_borrow_mut(|known| known.insert(id, carrier));
    carrier
}

fn find_carrier<V: Serialize + DeserializeOwned>() -> Carrier {
    let (trace, samples) = traced::<V>(false);
    let comes_back = |value: &V| {
        let mut bytes = vec![];
        plain(value, &mut bytes).is_ok() && decode_plain::<V>(&bytes).is_ok_and(|back| same(value, &back))
    };
    if trace.is_opaque() || !samples.iter().all(comes_back) {
        Carrier::Described
    } else if trace.is_whole() && !samples.is_empty() && samples.iter().all(|value| asks_for(&trace, value)) {
        Carrier::Plain
    } else {
        Carrier::PlainIfItComesBack
    }
}

/// Why values of this type cannot be kept; `None` = they can, or it shows only when they are written.
pub(crate) fn value_refusal<V: Serialize + DeserializeOwned + 'static>() -> Option<String> {
    if carrier_of::<V>() != Carrier::Described {
        return None;
    }
    let why = traced::<V>(true).1.iter().find_map(|value| {
        let mut bytes = vec![];
        let read = described(value, true, &mut bytes).map_err(|e| e.to_string());
        match read.and_then(|()| read::described::<V>(&bytes).map_err(|e| e.to_string())) {
            Ok(back) if same(value, &back) => None,
            Ok(back) => Some(difference(value, &back)),
            Err(e) => Some(e),
        }
    });
    why.map(|why| format!("`{}` does not come back as it was written: {why}", type_name::<V>()))
}

/// Why values of this type cannot be keys; `None` = they can, or it shows only when they are written.
pub(crate) fn key_refusal<K: Serialize + DeserializeOwned>() -> Option<String> {
    const OPAQUE: &str =
        "serde has to look at the value (`untagged`, `tag`, `flatten`, or a type such as a JSON value)";
    let (trace, samples) = traced::<K>(false);
    let failing = |key: &K| {
        let mut bytes = vec![];
        match encode_key(key, &mut bytes).and_then(|()| decode_key::<K>(&bytes)) {
            Ok(back) if same(key, &back) => None,
            Ok(back) => Some(difference(key, &back)),
            Err(e) => Some(e.to_string()),
        }
    };
    let why = if trace.is_opaque() { Some(OPAQUE.into()) } else { samples.iter().find_map(failing) };
    why.map(|why| format!("`{}` cannot be a key: {why}", type_name::<K>()))
}

/// Whether the type's `Serialize` writes this value as its `Deserialize` asks for it.
fn asks_for<V: Serialize>(trace: &Trace, value: &V) -> bool {
    let mut bytes = vec![];
    let mut rest = match described(value, false, &mut bytes) {
        Ok(()) => &bytes[..],
        Err(_) => return false,
    };
    fits(trace, ROOT, &mut rest).is_some() && rest.is_empty()
}

/// Takes a described part that is as the trace says; `None` = it is not.
fn fits(trace: &Trace, at: At, input: &mut &[u8]) -> Option<()> {
    let mut here = |tag| (byte(input)? == tag).then_some(());
    match trace.node(at) {
        Node::New => None,
        Node::Back(at) | Node::Wrapper(at) => fits(trace, *at, input),
        Node::Leaf { name, .. } => {
            let (_, tag) = LEAVES.iter().find(|(leaf, _)| leaf == name)?;
            here(*tag)?;
            take_leaf(*tag, input).map(drop)
        }
        Node::Option(inner) => match byte(input)? {
            tag::NONE => Some(()),
            tag::SOME => fits(trace, *inner, input),
            _ => None,
        },
        Node::Seq(each) => {
            here(tag::SEQ)?;
            while byte(input)? == tag::MORE {
                fits(trace, *each, input)?;
            }
            Some(())
        }
        Node::Map(key, value) => {
            here(tag::MAP)?;
            while byte(input)? == tag::MORE {
                fits(trace, *key, input)?;
                fits(trace, *value, input)?;
            }
            Some(())
        }
        Node::Tuple(parts) => {
            here(tag::TUPLE)?;
            for part in parts {
                (byte(input)? == tag::MORE).then_some(())?;
                fits(trace, *part, input)?;
            }
            (byte(input)? == tag::NO_MORE).then_some(())
        }
        Node::Struct(fields) => {
            here(tag::STRUCT)?;
            for (name, part) in fields {
                (byte(input)? == tag::MORE && byte(input)? == tag::STR).then_some(())?;
                (read::text(input).ok()? == name.as_bytes()).then_some(())?;
                fits(trace, *part, input)?;
            }
            (byte(input)? == tag::NO_MORE).then_some(())
        }
        Node::Enum(variants) => {
            here(tag::VARIANT)?;
            let name = read::text(input).ok()?;
            let variant = variants.iter().find(|variant| variant.name.as_bytes() == name)?;
            fits(trace, variant.at, input)
        }
    }
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    read::byte(input).ok()
}

/// The bytes of a leaf, behind its tag.
fn take_leaf<'a>(tag: u8, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let before = *input;
    match tag {
        tag::UNIT | tag::NONE => {}
        tag::BOOL | tag::U8 | tag::I8 => drop(byte(input)?),
        tag::CHAR | tag::STR | tag::BYTES => drop(read::text(input).ok()?),
        tag::F32 => drop(read::bytes(input, 4).ok()?),
        tag::F64 => drop(read::bytes(input, 8).ok()?),
        _ => drop(read::varint(input).ok()?),
    }
    Some(&before[..before.len() - input.len()])
}

/// Whether `Serialize` writes the same for both, in any order of elements and entries.
pub(super) fn same<V: Serialize>(a: &V, b: &V) -> bool {
    let (mut of_a, mut of_b) = (vec![], vec![]);
    let written = described(a, true, &mut of_a).is_ok() && described(b, true, &mut of_b).is_ok();
    written && (of_a == of_b || sorted(&of_a).is_some_and(|a| sorted(&of_b) == Some(a)))
}

/// A described value with elements and entries in the order of their bytes.
fn sorted(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![];
    sort(&mut bytes, &mut out)?;
    Some(out)
}

fn sort(input: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let tag = byte(input)?;
    out.push(tag);
    match tag {
        tag::SOME => sort(input, out)?,
        tag::VARIANT => {
            out.extend_from_slice(take_leaf(tag::STR, input)?);
            sort(input, out)?;
        }
        tag::SEQ | tag::TUPLE | tag::MAP | tag::STRUCT => {
            let mut parts = vec![];
            while byte(input)? == tag::MORE {
                let mut part = vec![];
                sort(input, &mut part)?;
                if matches!(tag, tag::MAP | tag::STRUCT) {
                    sort(input, &mut part)?;
                }
                parts.push(part);
            }
            if tag != tag::TUPLE {
                parts.sort_unstable();
            }
            out.extend(parts.concat());
        }
        leaf => out.extend_from_slice(take_leaf(leaf, input)?),
    }
    Some(())
}

/// Both values in JSON, shortened, for a message.
pub(super) fn difference<V: Serialize>(wrote: &V, read: &V) -> String {
    let show = |value: &V| {
        let json = serde_json::to_string(value).unwrap_or_else(|_| "a value without a JSON form".into());
        if json.chars().count() > 200 { json.chars().take(200).collect::<String>() + ".." } else { json }
    };
    format!("{} is read back as {}", show(wrote), show(read))
}
