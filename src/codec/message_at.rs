//! Messages together with the place where they were read.
//!
//! Knows no format: it wraps the format that decodes the value. Invariant: topic and partition are those of the chunk,
//! the offset is that of the record.

use super::{BadRecord, Decode, Message, Messages};
use crate::{
    error::Result,
    record::{Data, Offset, RawChunk, TopicPartition},
};
use serde::{Deserialize, Serialize};

/// A message and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageAt<T> {
    /// Topic and partition; the topic is empty if the message was not read from a topic.
    pub at: TopicPartition,
    /// Offset in the partition.
    pub offset: Offset,
    /// Value, key, timestamp and headers.
    pub message: Message<T>,
}

/// Like [`Messages`], with topic, partition and offset added to each message.
///
/// ```
/// use tidegate::codec::{Decode, MessageAt, MessagesAt, Utf8};
/// use tidegate::record::{Offset, RawChunkBuilder, Text, TopicPartition};
/// let mut records = RawChunkBuilder::default();
/// records.push_with(5, None, |v| { v.extend(b"hello"); Ok::<_, ()>(true) }).unwrap();
/// let records = records.build().placed(Offset(7), 0).from_partition(&TopicPartition::new("lines", 3));
/// let (mut good, mut bad): (Vec<MessageAt<Text>>, _) = (vec![], vec![]);
/// MessagesAt(Utf8).decode(&records, &mut good, &mut bad);
/// assert_eq!((good[0].at.to_string(), good[0].offset), ("lines-3".to_owned(), Offset(7)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagesAt<D>(pub D);

impl<T: Data, D: Decode<T>> Decode<MessageAt<T>> for MessagesAt<D> {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<MessageAt<T>>, bad: &mut Vec<BadRecord>) {
        let (mut messages, first_bad) = (vec![], bad.len());
        Messages(&self.0).decode(raw, &mut messages, bad);
        let at = raw.origin().cloned().unwrap_or_else(|| TopicPartition::new("", 0));
        let mut bad = bad[first_bad..].iter().map(|b| b.index).peekable();
        let decoded = (0..raw.len()).filter(|index| bad.next_if_eq(index).is_none());
        let place = |(index, message): (usize, _)| MessageAt {
            at: at.clone(),
            offset: raw.get(index).offset,
            message,
        };
        good.extend(decoded.zip(messages).map(place));
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        self.0.prepare(raw)
    }

    fn prepares(&self) -> bool {
        self.0.prepares()
    }
}
