//! Records as rows of a table, in and out.
//!
//! Knows no program and no time. Invariant: a record that is shown as a row and written again is the same record,
//! as far as it is text.

use crate::{
    error::{Error, Result},
    log::{self, Log, TopicSpec},
    record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord, TopicPartition},
};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// Timestamps from here on are the log's, not set by a test.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;

/// Writes the rows of a table to a log; missing topics are created with `partitions` partitions.
///
/// # Errors
/// If a row does not have the form described in the [module](super), or the log refuses it.
pub fn feed(log: &dyn Log, partitions: u32, rows: &str) -> Result {
    let rows = rows.lines().map(str::trim).filter(|row| !row.is_empty());
    rows.into_iter().try_for_each(|row| feed_row(log, partitions, row))
}

fn feed_row(log: &dyn Log, partitions: u32, row: &str) -> Result {
    let wrong = |what: &str| {
        Error::Config(format!(
            "input row `{row}`: {what}\n  next: write it as `topic partition | key | value`"
        ))
    };
    let mut columns = row.split('|').map(str::trim);
    let place = columns.next().and_then(|place| place.split_once(' '));
    let (topic, partition) = place.ok_or_else(|| wrong("it does not begin with topic and partition"))?;
    let number: u32 = partition.trim().parse().map_err(|_| wrong("the partition is not a number"))?;
    make_topic(log, topic, partitions)?;
    let mut bytes = || columns.next().filter(|c| *c != "-").map(|c| c.replace("''", "").into_bytes());
    let (key, value) = (bytes(), bytes());
    let (mut timestamp_ms, mut headers) = (-1, vec![]);
    for column in columns {
        match (column.strip_prefix('@'), column.split_once('=')) {
            (Some(at), _) => timestamp_ms = at.parse().map_err(|_| wrong("the timestamp is not a number"))?,
            (_, Some(header)) => headers.push(header),
            _ => return Err(wrong(&format!("`{column}` is neither `@timestamp` nor `header=value`"))),
        }
    }
    let mut chunk = RawChunkBuilder::default();
    let (key, value) = (key.as_deref(), value.as_deref());
    chunk.push(RawRecord { offset: Offset(0), timestamp_ms, key, value, headers: Headers::NONE });
    for (name, value) in headers {
        chunk.push_header(name, Some(value.as_bytes()));
    }
    log::write(log, topic, Some(Partition(number)), &chunk.build())
}

pub(super) fn make_topic(log: &dyn Log, topic: &str, partitions: u32) -> Result {
    let config = BTreeMap::new();
    log.create(&TopicSpec { name: topic.into(), partitions, replication_factor: None, config })
}

/// How far the topics of a log have been read.
#[derive(Debug, Default)]
pub struct Reading {
    next: BTreeMap<TopicPartition, Offset>,
}

impl Reading {
    /// The committed records of a topic that were not returned before, as rows, partition by partition.
    ///
    /// # Errors
    /// If the topic cannot be read.
    pub fn new_rows(&mut self, log: &dyn Log, topic: &str) -> Result<Vec<String>> {
        let Some(info) = log.describe(&[topic])?.remove(0) else { return Ok(vec![]) };
        let mut rows = vec![];
        for partition in 0..info.partitions {
            let at = TopicPartition::new(topic, partition);
            let end = log.end_offset(&at)?;
            let mut next = self.next.get(&at).copied().unwrap_or_default();
            let mut reader = log.read(&at, next)?;
            while next < end {
                let Some(fetched) = reader.next(Duration::from_secs(5))? else { break };
                rows.extend(fetched.records.iter().map(|record| show(topic, &record)));
                next = fetched.next;
            }
            self.next.insert(at, next);
        }
        Ok(rows)
    }
}

fn show(topic: &str, record: &RawRecord<'_>) -> String {
    let text = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => bytes.escape_ascii().to_string(),
        },
        None => "-".to_owned(),
    };
    let mut row = format!("{topic} | {} | {}", text(record.key), text(record.value));
    if (0..EPOCH_MS).contains(&record.timestamp_ms) {
        let _ = write!(row, " | @{}", record.timestamp_ms);
    }
    for (name, value) in record.headers.iter() {
        let _ = write!(row, " | {name}={}", text(value));
    }
    row
}
