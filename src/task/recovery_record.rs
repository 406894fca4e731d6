//! What is committed with each offset: enough to recover a partition with one fetch of committed offsets.
//!
//! Owns the record and its text form (JSON, at most 4,096 bytes: the broker's default limit for offset metadata). Knows
//! no log and no database; both keep copies. Invariant: a record of a later version is refused; its content is never
//! guessed.

use crate::{
    error::{Error, Result},
    record::{BatchTime, Offset, Token},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that this build writes.
const VERSION: u32 = 1;
/// The broker's default limit for offset metadata, in bytes.
const BYTES_MAX: usize = 4096;

/// The state of one partition after one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    #[serde(rename = "v")]
    version: u32,
    /// The batch that committed it.
    #[serde(rename = "t")]
    pub token: Token,
    /// Time of that batch.
    #[serde(rename = "bt")]
    pub time: BatchTime,
    /// Whether more input of that time may follow: its end is not told yet.
    #[serde(rename = "open", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
    /// Fingerprint of the topology that ran.
    #[serde(rename = "fp")]
    pub fingerprint: String,
    /// For state partitions: at most the offset after the last changelog row of the batch; a roll forward begins here.
    #[serde(rename = "cl", default, skip_serializing_if = "Option::is_none")]
    pub changelog_end: Option<Offset>,
    /// Where rows go through the exchange topic: the last time that each stage has closed, from 1 on.
    #[serde(rename = "cd", default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<BatchTime>,
    /// The next offset of each source partition when the batch was committed: a witness against lost group offsets.
    /// Kept only with the state, not in the group's metadata.
    #[serde(rename = "in", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Offset>,
}

impl RecoveryRecord {
    /// A record of this build's version.
    #[must_use]
    pub fn new(token: Token, time: BatchTime, fingerprint: &str) -> Self {
        RecoveryRecord {
            version: VERSION,
            token,
            time,
            is_open: false,
            fingerprint: fingerprint.into(),
            changelog_end: None,
            closed: vec![],
            inputs: BTreeMap::new(),
        }
    }

    /// The same record of a batch of which more input may follow, if it is.
    #[must_use]
    pub fn with_open(self, is_open: bool) -> Self {
        RecoveryRecord { is_open, ..self }
    }

    /// The same record for a state partition whose changelog ends here.
    #[must_use]
    pub fn with_changelog_end(&self, end: Offset) -> Self {
        RecoveryRecord { changelog_end: Some(end), ..self.clone() }
    }

    /// The text that is committed as offset metadata.
    ///
    /// # Errors
    /// If it is longer than a broker accepts.
    pub fn to_metadata(&self) -> Result<String> {
        let text = self.to_text();
        if text.len() > BYTES_MAX {
            let what = format!("a recovery record of {} bytes is over the limit of {BYTES_MAX}", text.len());
            return Err(Error::State(what));
        }
        Ok(text)
    }

    /// The text that is kept with the state; it has no limit.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Reads a record; `place` names where it was found.
    ///
    /// # Errors
    /// If it was not written by tidegate, or was written by a later version.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let foreign = |e: serde_json::Error| {
            Error::Refused(format!(
                "the metadata of {place} is not tidegate's ({e}); is the group used by another program?\n  next: choose another application id"
            ))
        };
        let Version { v } = serde_json::from_str(text).map_err(foreign)?;
        if v > VERSION {
            let what = format!(
                "{place} was written by a later version (format {v}, this build reads up to {VERSION})\n  next: upgrade"
            );
            return Err(Error::Refused(what));
        }
        serde_json::from_str(text).map_err(foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchId, Incarnation, InstanceId};

    fn record() -> RecoveryRecord {
        let token =
            Token { instance: InstanceId("i-1".into()), incarnation: Incarnation(3), batch: BatchId(17) };
        let mut r = RecoveryRecord::new(token, BatchTime(1_700_000_000_000), "00ff");
        r.changelog_end = Some(Offset(42));
        r.inputs.insert("lines-0".into(), Offset(7));
        r
    }

    #[test]
    fn the_text_is_stable_and_survives_a_round_trip() {
        let text = record().to_metadata().unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"t":{"instance":"i-1","incarnation":3,"batch":17},"bt":1700000000000,"fp":"00ff","cl":42,"in":{"lines-0":7}}"#
        );
        assert_eq!(RecoveryRecord::parse(&text, "x").unwrap(), record());
    }

    #[test]
    fn foreign_later_and_oversized_records_are_refused() {
        assert!(RecoveryRecord::parse("", "lines-0").unwrap_err().to_string().contains("lines-0"));
        let later = record().to_text().replace("\"v\":1", "\"v\":2");
        assert!(RecoveryRecord::parse(&later, "x").unwrap_err().to_string().contains("format 2"));
        let mut big = record();
        big.inputs = (0..500).map(|i| (format!("topic-{i}"), Offset(i))).collect();
        assert!(big.to_metadata().unwrap_err().to_string().contains("over the limit"));
    }
}
