//! What is durable in a topology, and what changed since it last ran.
//!
//! Owns names and formats of stores and edges, and the number of state partitions. Knows no closure: code may change freely.
//! Invariant: equal fingerprints mean that state and rows in flight of one program can be read by the other.

use super::{Role, Topology};
use crate::{record::hash_bytes, state::Placement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of key placement; a change moves keys between state partitions.
const PLACEMENT: &str = "xxh3/1";
/// Version of the rule that says with which state partition a source partition goes.
const SOURCES: &str = "sources/1";

/// The durable part of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of state partitions; 0 = stateless.
    pub state_partitions: u32,
    /// How keys are placed.
    pub placement: String,
    /// How source partitions go with state partitions; empty = they do not: without state, and in versions in which the
    /// group assigned both.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_placement: String,
    /// Format of each store by name.
    pub stores: BTreeMap<String, String>,
    /// Format of each exchange edge by name.
    pub edges: BTreeMap<String, String>,
    /// In which state partition the rows of each store are, by its name; empty in versions that did not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub store_placements: BTreeMap<String, Placement>,
}

/// What happens to the rows of an edge when a changed program starts over what another one left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there: begins empty.
    New(String),
    /// It is no longer used.
    Unused(String),
    /// Same name, another format: cannot be read.
    Incompatible {
        /// The edge.
        name: String,
        /// The format of the existing rows.
        was: String,
        /// The format of this program.
        is: String,
    },
}

impl Fingerprint {
    /// The fingerprint of a topology that runs with so many state partitions.
    #[must_use]
    pub fn of(plan: &Topology, state_partitions: u32) -> Self {
        let stores = || plan.nodes.iter().flat_map(|n| &n.stores);
        let names = plan.edge_names();
        let edges = plan.iter().filter_map(|(id, n)| match &n.role {
            Role::Exchange(_, format) => Some((names[&id].clone(), format.name())),
            _ => None,
        });
        Fingerprint {
            state_partitions: if plan.is_keyed() { state_partitions } else { 0 },
            placement: PLACEMENT.into(),
            source_placement: if plan.has_state_partitions() { SOURCES.into() } else { String::new() },
            stores: stores().map(|s| (s.name.clone(), s.format.clone())).collect(),
            edges: edges.collect(),
            store_placements: stores().map(|s| (s.name.clone(), s.placement)).collect(),
        }
    }

    /// Short form, 16 hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        let text = serde_json::to_string(self).expect("strings and numbers only");
        format!("{:016x}", hash_bytes(text.as_bytes()))
    }

    /// The edges that differ when `self` continues from `before`. They are reported only: no row is on its way from one process to
    /// another, so a change of an edge contradicts nothing.
    #[must_use]
    pub fn edge_changes_since(&self, before: &Fingerprint) -> Vec<Change> {
        let mut changes = vec![];
        for (name, is) in &self.edges {
            match before.edges.get(name) {
                None => changes.push(Change::New(name.clone())),
                Some(was) if was == is => {}
                Some(was) => {
                    let (name, was, is) = (name.clone(), was.clone(), is.clone());
                    changes.push(Change::Incompatible { name, was, is });
                }
            }
        }
        let gone = before.edges.keys().filter(|name| !self.edges.contains_key(*name));
        changes.extend(gone.map(|name| Change::Unused(name.clone())));
        changes
    }

    /// What makes `self` place keys otherwise than `before`, one line each.
    #[must_use]
    pub fn moves_since(&self, before: &Fingerprint) -> Vec<String> {
        let mut lines = vec![];
        if before.state_partitions != self.state_partitions
            && before.state_partitions != 0
            && self.state_partitions != 0
        {
            lines.push(format!(
                "  state partitions: was {}, is {}; their number is fixed for the life of an application",
                before.state_partitions, self.state_partitions
            ));
        }
        if before.placement != self.placement {
            lines.push(format!("  placement of keys: was {}, is {}", before.placement, self.placement));
        }
        let (was, is) = (&before.source_placement, &self.source_placement);
        if was != is && !was.is_empty() && !is.is_empty() {
            lines.push(format!("  placement of source partitions: was {was}, is {is}"));
        }
        for (name, is) in &self.store_placements {
            // Earlier versions said so of windows over event time, whose rows have always been where their window and key are placed.
            let is_same =
                |was: &Placement| was == is || (*was, *is) == (Placement::KeyAfterTime, Placement::Key);
            if let Some(was) = before.store_placements.get(name).filter(|was| !is_same(was)) {
                lines.push(format!("  placement of store `{name}`: was {was}, is {is}"));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Merge;

    fn with(stores: &[(&str, &str)], partitions: u32) -> Fingerprint {
        let stores = stores.iter().map(|(n, f)| ((*n).to_owned(), (*f).to_owned())).collect();
        Fingerprint {
            state_partitions: partitions,
            placement: PLACEMENT.into(),
            source_placement: SOURCES.into(),
            stores,
            edges: BTreeMap::new(),
            store_placements: BTreeMap::from([("a".to_owned(), Placement::Key)]),
        }
    }

    #[test]
    fn changed_edges_are_told_but_refuse_nothing() {
        let edges = |edges: &[(&str, &str)]| -> BTreeMap<String, String> {
            edges.iter().map(|(name, format)| ((*name).to_owned(), (*format).to_owned())).collect()
        };
        let before = Fingerprint {
            edges: edges(&[("a.exchange", "u8"), ("b.exchange", "u8"), ("c.exchange", "u8")]),
            ..with(&[("a", "u8")], 8)
        };
        let now = Fingerprint {
            edges: edges(&[("a.exchange", "u8"), ("b.exchange", "u64"), ("d.exchange", "u8")]),
            ..with(&[("a", "u8")], 8)
        };
        let changed = Change::Incompatible { name: "b.exchange".into(), was: "u8".into(), is: "u64".into() };
        assert_eq!(
            now.edge_changes_since(&before),
            [changed, Change::New("d.exchange".into()), Change::Unused("c.exchange".into())]
        );
        assert_eq!(now.moves_since(&before), Vec::<String>::new());
        let moved = Fingerprint { placement: "other".into(), ..with(&[], 4) }.moves_since(&before);
        assert!(moved[0].contains("was 8, is 4") && moved[1].contains("is other"), "{moved:?}");
        let of = |source_placement: &str| Fingerprint {
            source_placement: source_placement.into(),
            ..with(&[("a", "u8")], 8)
        };
        let moved = of("sources/2").moves_since(&before);
        assert!(moved[0].contains("was sources/1, is sources/2"), "{moved:?}");
        let elsewhere = Fingerprint {
            store_placements: BTreeMap::from([("a".to_owned(), Placement::Each(Merge::Least))]),
            ..with(&[("a", "u8")], 8)
        };
        let moved = elsewhere.moves_since(&before);
        assert_eq!(moved, ["  placement of store `a`: was by key, is in each, the least"]);
        let of_windows = Fingerprint {
            store_placements: BTreeMap::from([("a".to_owned(), Placement::KeyAfterTime)]),
            ..with(&[("a", "u8")], 8)
        };
        assert!(
            before.moves_since(&of_windows).is_empty(),
            "an earlier version, which told another rule than it had"
        );
        assert!(!of_windows.moves_since(&before).is_empty());
        let untold = Fingerprint { store_placements: BTreeMap::new(), ..before.clone() };
        assert!(elsewhere.moves_since(&untold).is_empty(), "an earlier version, which did not tell");
        assert!(
            before.moves_since(&of("")).is_empty(),
            "an earlier version, in which the group assigned both"
        );
    }
}
