//! How far an incomplete restore has got: kept in the database, written with each piece of rows.
//!
//! Owns the note and its text form (JSON). Knows no log and no database. Invariants: it does not claim any batch (its
//! token is that of the batch that was committed when the restore began, so that a log that went back is noticed); a
//! note of another version is refused; its content is never guessed.

use crate::{
    error::{Error, Result},
    record::{Offset, Token},
};
use serde::{Deserialize, Serialize};

/// The version that this build writes.
const VERSION: u32 = 1;

/// The note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProgress {
    #[serde(rename = "v")]
    version: u32,
    /// Every committed row of the changelog before this offset is in the database.
    #[serde(rename = "next")]
    pub next: Offset,
    /// The high watermark of the changelog that the restore was heading for.
    #[serde(rename = "to")]
    pub target: Offset,
    /// The batch that was committed when the restore began.
    #[serde(rename = "t")]
    pub token: Token,
    /// When the first row was read, in milliseconds since the epoch: whatever is deleted after that leaves its
    /// tombstone in the changelog for as long as the changelog keeps tombstones.
    #[serde(rename = "began")]
    pub began_ms: i64,
}

impl RestoreProgress {
    /// A restore that begins at `next`.
    #[must_use]
    pub fn new(next: Offset, target: Offset, token: Token, began_ms: i64) -> Self {
        RestoreProgress { version: VERSION, next, target, token, began_ms }
    }

    /// The text that is kept with the rows.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Reads a note; `place` names where it was found.
    ///
    /// # Errors
    /// If it is not of this version.
    pub fn parse(text: &[u8], place: &str) -> Result<Self> {
        let read = serde_json::from_slice(text).map_err(|e| e.to_string());
        let known = read.and_then(|p: Self| match p.version {
            VERSION => Ok(p),
            other => Err(format!("format {other}, this build knows {VERSION}")),
        });
        known.map_err(|why| {
            Error::Refused(format!(
                "{place} is part of a restore that another version began ({why})\n  next: run that version, or delete its directory; it is then restored from the changelog again"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchId, Incarnation, InstanceId};

    #[test]
    fn the_text_is_stable_and_another_version_is_refused() {
        let token =
            Token { instance: InstanceId("i-1".into()), incarnation: Incarnation(3), batch: BatchId(17) };
        let progress = RestoreProgress::new(Offset(7), Offset(90), token, 1_700_000_000_000);
        let text = progress.to_text();
        assert_eq!(
            text,
            r#"{"v":1,"next":7,"to":90,"t":{"instance":"i-1","incarnation":3,"batch":17},"began":1700000000000}"#
        );
        assert_eq!(RestoreProgress::parse(text.as_bytes(), "x").unwrap(), progress);
        for other in [&text.replace("\"v\":1", "\"v\":2"), "not JSON"] {
            let e = RestoreProgress::parse(other.as_bytes(), "the place").unwrap_err().to_string();
            assert!(e.contains("the place") && e.contains("next:"), "{e}");
        }
    }
}
