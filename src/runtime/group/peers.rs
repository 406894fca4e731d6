//! What the processes run that share the state of an application.
//!
//! Owns the row that each of them has in the meta topic. Knows no task. Invariants: a process that would move its rows otherwise than
//! one that runs, or cut its batches at other intervals, does not join; what a process ran that has ended binds nobody, so its row
//! counts only while the member that wrote it is in the group.

use crate::{config::Trigger, log::GroupMember, runtime::app::App};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The member that it is in the group.
    member_id: String,
    /// How its rows move, in short.
    edges: String,
    /// Its interval, milliseconds; none = it cuts a batch whenever there is input.
    interval_ms: Option<u64>,
    /// The version of tidegate.
    version: String,
}

impl Peer {
    /// What this process runs, as this member.
    #[must_use]
    pub fn of(app: &App, member_id: &str) -> Self {
        let interval_ms = match app.config.trigger {
            Trigger::Interval(interval) => Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
            _ => None,
        };
        let edges = format!("{:016x}", app.plan.edge_fingerprint());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Peer { member_id: member_id.to_owned(), edges, interval_ms, version }
    }

    /// The version of tidegate.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Why a process that runs `self` must not join those of `members` that are known; by the names of their instances.
    #[must_use]
    pub fn refusal(&self, known: &BTreeMap<String, Peer>, members: &[GroupMember]) -> Option<String> {
        let runs = |(instance, peer): &(&String, &Peer)| {
            members.iter().any(|m| m.instance == **instance && m.member_id == peer.member_id)
        };
        known.iter().filter(runs).find_map(|(instance, peer)| self.difference(instance, peer))
    }

    fn difference(&self, instance: &str, other: &Peer) -> Option<String> {
        let of = |peer: &Peer| match peer.interval_ms {
            Some(ms) => format!("an interval of {ms} ms"),
            None => "no interval".to_owned(),
        };
        if self.edges != other.edges {
            return Some(format!(
                "process `{instance}`, which shares the state of this application, runs a program that moves its rows otherwise (fingerprint {} with tidegate {}, here {} with {})\n  next: run the same version of the program in all processes; to change it, stop all but one, wait until that one hands rows over in memory, stop it, and start the new one",
                other.edges, other.version, self.edges, self.version
            ));
        }
        (self.interval_ms != other.interval_ms).then(|| {
            format!(
                "process `{instance}`, which shares the state of this application, runs with {}, this one with {}\n  next: start all processes with the same interval",
                of(other), of(self)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_is_compared() {
        let peer = |id: &str, edges: &str, interval_ms| Peer {
            member_id: id.into(),
            edges: edges.into(),
            interval_ms,
            version: "1".into(),
        };
        let member =
            |id: &str| GroupMember { member_id: id.into(), instance: "pod-1".into(), host: String::new() };
        let ours = peer("b", "00", Some(1_000));
        let refusal = |theirs: Peer, member_id: &str| {
            ours.refusal(&BTreeMap::from([("pod-1".to_owned(), theirs)]), &[member(member_id)])
        };
        assert_eq!(refusal(peer("a", "00", Some(1_000)), "a"), None);
        let why = refusal(peer("a", "01", Some(1_000)), "a").unwrap();
        assert!(why.contains("`pod-1`") && why.contains("fingerprint 01") && why.contains("next: "), "{why}");
        let why = refusal(peer("a", "00", None), "a").unwrap();
        assert!(why.contains("runs with no interval, this one with an interval of 1000 ms"), "{why}");
        assert_eq!(refusal(peer("a", "01", None), "a2"), None, "that was its run before");
    }
}
