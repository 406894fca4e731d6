//! Finds an offset by timestamp in logs that keep no time index.
//!
//! Knows no group. Invariant: the answer is the one Kafka gives: the first record, in offset order, that is not older.

use super::Log;
use crate::{
    error::Result,
    record::{Offset, TopicPartition},
};
use std::time::Duration;

/// How often a reader that returns nothing before the end is asked again.
const TRIES: u32 = 30;

/// See [`Log::offset_at`]: reads the partition from its beginning.
pub(super) fn scan(log: &dyn Log, at: &TopicPartition, timestamp_ms: i64) -> Result<Offset> {
    let (mut next, end) = (log.start_offset(at)?, log.end_offset(at)?);
    if next == end {
        return Ok(end);
    }
    let mut reader = log.read(at, next)?;
    let mut tries_left = TRIES;
    while next < end && tries_left > 0 {
        let Some(fetched) = reader.next(Duration::from_millis(100))? else {
            tries_left -= 1; // there may be an open transaction before the end
            continue;
        };
        if let Some(found) = fetched.records.iter().find(|r| r.timestamp_ms >= timestamp_ms) {
            return Ok(found.offset);
        }
        next = fetched.next;
    }
    Ok(end)
}
