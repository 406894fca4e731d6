//! In which state partition the rows of a store are, and what becomes of them when the number of state partitions changes.
//!
//! Owns the rules and their names. Knows no row. Invariant: a rule says where a row goes by its key alone, or how the rows of all
//! partitions become those of each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// In which state partition the rows of a store are. Part of the topology's fingerprint: a program with another rule for a store does
/// not go on with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// In the one where the store's key is placed.
    Key,
    /// In the one where the part of the key is placed that comes after a time of eight bytes: panes, timeouts.
    KeyAfterTime,
    /// In the one where the part of the key is placed whose length, a varint, comes first: values of groups.
    KeyAfterLength,
    /// In the one where the part of the key is placed whose length, a varint, comes after a time of eight bytes: rows of windows in order,
    /// and rows of joins that go when time has passed.
    KeyAfterTimeAndLength,
    /// All in one, chosen by the name of the operation.
    Home,
    /// Each has its own row under the same key, and this is what becomes of several of them.
    Each(Merge),
    /// Each has blocks of rows by time and number; they may be in any of them under another number.
    Blocks,
}

/// What becomes of the rows that several state partitions have under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// The least: how far something has come that must not be passed over.
    Least,
    /// They are the same everywhere.
    Same,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Key => "by key",
            Placement::KeyAfterTime => "by the key after a time",
            Placement::KeyAfterLength => "by the part of the key whose length comes first",
            Placement::KeyAfterTimeAndLength => "by the part of the key whose length comes after a time",
            Placement::Home => "in one state partition",
            Placement::Each(Merge::Least) => "in each, the least",
            Placement::Each(Merge::Same) => "in each, the same",
            Placement::Blocks => "in blocks",
        })
    }
}
