//! Empties state through its changelog: each key that has a value gets a tombstone.
//!
//! Knows no database. Why not delete the topic: a state directory that nobody thought of, on any machine, rolls forward along the
//! changelog when it is used again, and so becomes empty, too; a new topic with the old offsets it would take for its own. Invariant:
//! memory is bounded however large the state is; a key may be deleted twice, which changes nothing.

use crate::{
    cli::reading,
    error::Result,
    log::{Log, Producer},
    record::{Map, Offset, RawChunkBuilder, TopicPartition},
};
use std::convert::Infallible;

/// How many bytes of keys are remembered as deleted; then it begins anew.
const KNOWN_BYTES_MAX: usize = 128 << 20;

/// Sends a tombstone for each key of a changelog partition that has a value, in the producer's open transaction. Returns how many.
/// `attend` is called every now and then.
///
/// # Errors
/// If the changelog cannot be read or written, or `attend` fails.
pub(super) fn empty(
    log: &dyn Log,
    changelog: &TopicPartition,
    producer: &mut dyn Producer,
    attend: &mut dyn FnMut() -> Result,
) -> Result<u64> {
    let (mut deleted, mut known, mut known_bytes) = (0, Map::default(), 0);
    reading::through(log, changelog, Offset(0), &mut |records| {
        let mut tombstones = RawChunkBuilder::default();
        for record in records.iter() {
            let Some(key) = record.key.filter(|_| record.value.is_some()) else { continue };
            if known_bytes > KNOWN_BYTES_MAX {
                known.clear();
                known_bytes = 0;
            }
            if known.insert(key.to_vec(), ()).is_none() {
                let Ok(()) = tombstones.push_with(-1, Some(key), |_| Ok::<bool, Infallible>(false));
                (deleted, known_bytes) = (deleted + 1, known_bytes + key.len() + KEY_BYTES);
            }
        }
        producer.send(&changelog.topic, Some(changelog.partition), &tombstones.build())?;
        attend()
    })?;
    Ok(deleted)
}

/// What a remembered key takes besides its bytes, about.
const KEY_BYTES: usize = 48;
