//! Reads a partition to its end, once.
//!
//! Knows no meaning of records. Invariant: it ends, also behind a transaction that stays open: with an error that says so.

use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::Log,
    record::{Offset, RawChunk, TopicPartition},
};
use std::time::Duration;

/// How long nothing may come, short of the end, seconds.
const SILENCE_S: u32 = 10;

/// Hands over the committed records of a partition, from an offset to its present end.
///
/// # Errors
/// If the partition cannot be read to its end, or `take` fails.
pub(super) fn through(
    log: &dyn Log,
    at: &TopicPartition,
    from: Offset,
    take: &mut dyn FnMut(&RawChunk) -> Result,
) -> Result {
    let end = log.end_offset(at)?;
    let mut next = from.max(log.start_offset(at)?);
    if next >= end {
        return Ok(());
    }
    let (mut reader, mut silent_s) = (log.read(at, next)?, 0);
    while next < end {
        match reader.next(Duration::from_secs(1))? {
            Some(fetched) => {
                (next, silent_s) = (fetched.next, 0);
                take(&fetched.records)?;
            }
            None if silent_s < SILENCE_S => silent_s += 1,
            None => {
                let what = format!(
                    "{at} can be read only up to {next} of {end}: a transaction is open there\n  next: try again once it has ended; the log ends it after its timeout (kafka-transactions.sh names its producer)"
                );
                return Err(Failure::new(Stage::Fetch, Reaction::RetrySame, what).into());
            }
        }
    }
    Ok(())
}
