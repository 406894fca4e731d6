//! Queries a broker for the names of its topics and for offsets by timestamp.
//!
//! Knows no group. Invariant: a query that is disturbed by a change of leaders is repeated for a while.

use super::{LEADER_PATIENCE, client::serve, ffi, leader_is_changing, learn_leaders, queries::QueryClient};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    record::{Offset, TopicPartition},
};
use rdkafka::{
    TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::{
    thread,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The names of all topics that the broker lists for us.
pub(super) fn topics(queries: &QueryClient) -> Result<Vec<String>> {
    serve(queries);
    let metadata = queries.client().fetch_metadata(None, TIMEOUT).map_err(|e| {
        let what = format!("the broker does not list its topics: {e}");
        Error::from(Failure::new(Stage::Group, Reaction::RetrySame, what))
    })?;
    Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect())
}

/// The first offset whose record is not older than the timestamp; `None` = there is none.
pub(super) fn offset_at(
    queries: &QueryClient,
    at: &TopicPartition,
    timestamp_ms: i64,
) -> Result<Option<Offset>> {
    let refused = |why: String| Error::Topic {
        topic: at.topic.to_string(),
        what: format!(
            "partition {}: the broker gives no offset for the time {timestamp_ms}: {why}",
            at.partition
        ),
    };
    let started = Instant::now();
    let mut patience = LEADER_PATIENCE;
    loop {
        serve(queries);
        match ask(queries, at, timestamp_ms, patience) {
            Ok(rdkafka::Offset::Offset(found)) => {
                return u64::try_from(found).map(|o| Some(Offset(o))).map_err(|_| refused(found.to_string()));
            }
            Ok(_) => return Ok(None),
            Err(e) if is_silent(&e) && started.elapsed() < TIMEOUT => {
                learn_leaders(queries, &at.topic, patience);
                patience *= 2;
            }
            Err(e) if may_pass(&e) && started.elapsed() < TIMEOUT => thread::sleep(PAUSE),
            Err(e) => return Err(refused(e.to_string())),
        }
    }
}

/// The library also reports a partition without a leader as unknown.
fn may_pass(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    leader_is_changing(code) || code == Some(Code::UnknownPartition)
}

fn is_silent(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(Code::OperationTimedOut)
}

fn ask(
    queries: &QueryClient,
    at: &TopicPartition,
    timestamp_ms: i64,
    patience: Duration,
) -> Result<rdkafka::Offset, KafkaError> {
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(
        &at.topic,
        ffi::partition_number(at),
        rdkafka::Offset::Offset(timestamp_ms),
    )?;
    let answer = queries.offsets_for_times(times, patience)?;
    let of_partition = answer.elements().first().map(|e| (e.error(), e.offset()));
    let (error, offset) = of_partition.ok_or(KafkaError::OffsetFetch(Code::UnknownPartition))?;
    error.map(|()| offset)
}
