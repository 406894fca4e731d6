//! What is durable in a topology, and what changed since it last ran.
//!
//! Owns names and formats of stores and edges, and the number of state partitions. Knows no closure: code may change freely.
//! Invariant: equal fingerprints mean that state and rows in flight of one program can be read by the other.

use super::{Role, Topology};
use crate::record::hash_bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of key placement; a change moves keys between state partitions.
const PLACEMENT: &str = "xxh3/1";

/// The durable part of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of state partitions; 0 = stateless.
    pub state_partitions: u32,
    /// How keys are placed.
    pub placement: String,
    /// Format of each store by name.
    pub stores: BTreeMap<String, String>,
    /// Format of each exchange edge by name.
    pub edges: BTreeMap<String, String>,
}

/// What happens to a store when a changed program starts over existing state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// Same name and format.
    Keep(String),
    /// A store that was not there: starts empty.
    New(String),
    /// A store that is no longer used: its rows stay in the changelog.
    Unused(String),
    /// Same name, another format: cannot be read.
    Incompatible {
        /// The store.
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
        let stores = plan.nodes.iter().flat_map(|n| &n.stores).map(|s| (s.name.clone(), s.format.clone()));
        let edges = plan.iter().filter_map(|(id, n)| match &n.role {
            Role::Exchange(_, format) => Some((plan.edge_name(id), format.name())),
            _ => None,
        });
        Fingerprint {
            state_partitions: if plan.is_keyed() { state_partitions } else { 0 },
            placement: PLACEMENT.into(),
            stores: stores.collect(),
            edges: edges.collect(),
        }
    }

    /// Short form, 16 hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        let text = serde_json::to_string(self).expect("strings and numbers only");
        format!("{:016x}", hash_bytes(text.as_bytes()))
    }

    /// What each store meets when `self` starts over the state of `before`.
    #[must_use]
    pub fn changes_since(&self, before: &Fingerprint) -> Vec<StoreChange> {
        let mut changes = vec![];
        for (name, is) in &self.stores {
            changes.push(match before.stores.get(name) {
                None => StoreChange::New(name.clone()),
                Some(was) if was == is => StoreChange::Keep(name.clone()),
                Some(was) => {
                    StoreChange::Incompatible { name: name.clone(), was: was.clone(), is: is.clone() }
                }
            });
        }
        let gone = before.stores.keys().filter(|n| !self.stores.contains_key(*n));
        changes.extend(gone.map(|n| StoreChange::Unused(n.clone())));
        changes
    }

    /// Why `self` cannot start over the state of `before`, with a line per store; `None` = it can.
    #[must_use]
    pub fn conflict_with(&self, before: &Fingerprint) -> Option<String> {
        let changes = self.changes_since(before);
        let moved = before.state_partitions != self.state_partitions
            && before.state_partitions != 0
            && self.state_partitions != 0;
        let placed = before.placement != self.placement;
        if !moved && !placed && !changes.iter().any(|c| matches!(c, StoreChange::Incompatible { .. })) {
            return None;
        }
        let mut lines = vec!["this program cannot go on from the existing state:".to_owned()];
        if moved {
            lines.push(format!(
                "  state partitions: was {}, is {}; their number is fixed for the life of an application",
                before.state_partitions, self.state_partitions
            ));
        }
        if placed {
            lines.push(format!("  placement of keys: was {}, is {}", before.placement, self.placement));
        }
        lines.extend(changes.iter().map(|c| match c {
            StoreChange::Keep(n) => format!("  keep          {n}"),
            StoreChange::New(n) => format!("  new           {n} (starts empty)"),
            StoreChange::Unused(n) => format!("  unused        {n}"),
            StoreChange::Incompatible { name, was, is } => {
                format!("  incompatible  {name}: rows are {was}, the program reads {is}")
            }
        }));
        lines.push("  next: give a changed store a new name (it is then built from new records), or start under a new application id".into());
        Some(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(stores: &[(&str, &str)], partitions: u32) -> Fingerprint {
        let stores = stores.iter().map(|(n, f)| ((*n).to_owned(), (*f).to_owned())).collect();
        Fingerprint {
            state_partitions: partitions,
            placement: PLACEMENT.into(),
            stores,
            edges: BTreeMap::new(),
        }
    }

    #[test]
    fn added_and_removed_stores_are_fine_and_a_changed_format_or_partition_count_is_not() {
        let before = with(&[("a", "(str,u64)"), ("b", "(str,u64)")], 8);
        assert_eq!(with(&[("a", "(str,u64)"), ("c", "(u8,u8)")], 8).conflict_with(&before), None);
        let why = with(&[("a", "(str,i64)"), ("b", "(str,u64)")], 8).conflict_with(&before).unwrap();
        assert!(
            why.contains("incompatible  a: rows are (str,u64), the program reads (str,i64)")
                && why.contains("keep          b"),
            "{why}"
        );
        let why = with(&[("a", "(str,u64)")], 4).conflict_with(&before).unwrap();
        assert!(why.contains("was 8, is 4"), "{why}");
        assert_ne!(before.short(), with(&[("a", "(str,u64)")], 8).short());
    }
}
