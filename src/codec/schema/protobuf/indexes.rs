//! The message that message indexes stand for.
//!
//! Knows no registry. Invariant: entries of maps are not counted, as they are no messages of the text.

use crate::codec::schema::message_indexes::{number, put};
use prost_reflect::{FileDescriptor, MessageDescriptor};

/// The message that indexes stand for.
///
/// # Errors
/// If the file has none there.
pub(super) fn message(file: &FileDescriptor, indexes: &[u8]) -> Result<MessageDescriptor, String> {
    let (count, mut at) = number(indexes, 0)?;
    let mut found: Option<MessageDescriptor> = None;
    for _ in 0..count.max(1) {
        let index = if count == 0 {
            0
        } else {
            let (index, next) = number(indexes, at)?;
            at = next;
            index
        };
        let next = match &found {
            None => file.messages().nth(index),
            Some(outer) => outer.child_messages().filter(|inner| !inner.is_map_entry()).nth(index),
        };
        found = Some(next.ok_or_else(|| {
            let within = found.as_ref().map_or("it", MessageDescriptor::full_name);
            format!("{within} has no message number {index}")
        })?);
    }
    found.ok_or_else(|| "it has no message".to_owned())
}

/// The indexes of a message in its file.
pub(super) fn of(message: &MessageDescriptor) -> Vec<u8> {
    let mut positions = vec![];
    let mut inner = message.clone();
    while let Some(outer) = inner.parent_message() {
        let siblings = outer.child_messages().filter(|sibling| !sibling.is_map_entry());
        positions.push(siblings.take_while(|sibling| *sibling != inner).count());
        inner = outer;
    }
    let file = inner.parent_file();
    positions.push(file.messages().take_while(|sibling| *sibling != inner).count());
    positions.reverse();
    if positions == [0] {
        return vec![0];
    }
    let mut out = vec![];
    put(positions.len(), &mut out);
    positions.iter().for_each(|position| put(*position, &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{ProtobufSchema, schema::message_indexes::split};

    const NESTED: &str = r#"syntax = "proto3"; package p;
        message A { map<string, int32> m = 1; message B { message C {} } message D {} }
        message E {}"#;

    fn indexes(name: &str) -> Vec<u8> {
        of(ProtobufSchema::parse(NESTED, name).unwrap().descriptor())
    }

    #[test]
    fn the_indexes_of_a_message_are_those_of_other_serializers() {
        assert_eq!(indexes("p.A"), [0], "the short form");
        assert_eq!(indexes("p.E"), [2, 2]);
        assert_eq!(indexes("p.A.B"), [4, 0, 0], "the entry of the map is not counted");
        assert_eq!(indexes("p.A.B.C"), [6, 0, 0, 0]);
        assert_eq!(indexes("p.A.D"), [4, 0, 2]);
        let schema = ProtobufSchema::parse(NESTED, "p.A").unwrap();
        let file = schema.descriptor().parent_file();
        for name in ["p.A", "p.E", "p.A.B", "p.A.B.C", "p.A.D"] {
            let bytes = [&indexes(name)[..], b"rest"].concat();
            let (found, rest) = split(&bytes).unwrap();
            assert_eq!((message(&file, found).unwrap().full_name(), rest), (name, &b"rest"[..]));
        }
        assert_eq!(message(&file, &[2, 0]).unwrap().full_name(), "p.A");
        assert_eq!(message(&file, &[2, 10]).unwrap_err(), "it has no message number 5");
        assert_eq!(message(&file, &[4, 0, 10]).unwrap_err(), "p.A has no message number 5");
    }
}
