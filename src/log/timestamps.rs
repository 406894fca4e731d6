//! Finds an offset by time in logs that keep no index of times.
//!
//! Knows no group. Invariant: the answer is that of Kafka: the first record, in the order of offsets, that is not older.

use super::Log;
use crate::{
    error::Result,
    record::{Offset, TopicPartition},
};
use std::time::Duration;

/// A reader that gives nothing before the end is asked again so often.
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
            tries_left -= 1; // an open transaction may stand before the end
            continue;
        };
        if let Some(found) = fetched.records.iter().find(|r| r.timestamp_ms >= timestamp_ms) {
            return Ok(found.offset);
        }
        next = fetched.next;
    }
    Ok(end)
}
