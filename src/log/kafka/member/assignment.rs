//! Which partitions the members of a group hold, according to the broker.
//!
//! Owns the decoding of a member's assignment. Knows no policy. Invariant: bytes that cannot be decoded, or a group
//! that is not stable, give no answer; so nothing is reported as unassigned by mistake.

use crate::record::TopicPartition;
use rdkafka::groups::GroupInfo;
use std::collections::BTreeSet;

/// The partitions of these topics that no member holds; `None` = the group is not stable, or its members cannot be
/// decoded.
pub(super) fn unassigned(group: &GroupInfo, topics: &[(String, u32)]) -> Option<Vec<TopicPartition>> {
    if group.state() != "Stable" || group.members().is_empty() {
        return None;
    }
    let mut held = BTreeSet::new();
    for member in group.members() {
        held.extend(assignment(member.assignment()?)?);
    }
    let all = topics.iter().flat_map(|(topic, n)| (0..*n).map(|p| TopicPartition::new(topic.as_str(), p)));
    Some(all.filter(|at| !held.contains(at)).collect())
}

/// A member's assignment: `version:int16 [topic:string [partition:int32]] user_data`, like `ConsumerProtocolAssignment`
/// of Apache Kafka 4.1 (`clients/src/main/resources/common/message`).
fn assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut bytes = Bytes(bytes);
    let version = i16::from_be_bytes(bytes.take()?);
    let topics = u32::try_from(i32::from_be_bytes(bytes.take()?)).ok()?;
    let mut held = vec![];
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(bytes.take()?)).ok()?;
        let topic = std::str::from_utf8(bytes.next(length)?).ok()?;
        let partitions = u32::try_from(i32::from_be_bytes(bytes.take()?)).ok()?;
        for _ in 0..partitions {
            let partition = u32::try_from(i32::from_be_bytes(bytes.take()?)).ok()?;
            held.push(TopicPartition::new(topic, partition));
        }
    }
    (version >= 0).then_some(held)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.next(N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\0\x01\0\0\0\x02\0\x02in\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x01x\0\0\0\0\xff\xff\xff\xff";

    #[test]
    fn an_assignment_is_decoded_completely_or_not_at_all() {
        let held = assignment(TWO).unwrap();
        assert_eq!(held, [TopicPartition::new("in", 0), TopicPartition::new("in", 3)]);
        assert_eq!(assignment(b"\0\0\0\0\0\0"), Some(vec![]));
        for end in 0..TWO.len() - 4 {
            assert_eq!(assignment(&TWO[..end]), None, "cut at {end}");
        }
        assert_eq!(assignment(b"\xff\xff\0\0\0\0"), None, "a negative version");
        assert_eq!(assignment(b"\0\x01\xff\xff\xff\xff"), None, "a negative count");
    }
}
