//! The edge on the left: records of a partition become typed chunks.
//!
//! Owns the description of a source and the receiver of a partition. Knows no task and no plan. Invariants: what is decoded keeps
//! the order of the partition; a record that cannot be decoded is kept with its reason, never lost.

mod budget;
mod decode;
mod file_ranges;
mod files;
mod local;
pub mod receiver;
mod record_queue;
mod socket;
mod topics;

pub use local::{LocalSource, MakeLocal, Queue, QueueSource, RateSource};
pub use receiver::{Receiver, ReceiverContext, ReceiverError, ReceiverSpec, StorageLevel};
pub use record_queue::{BadRecordAt, QueueLimits, RecordQueue, Taken};

use crate::{
    codec::{BadRecord, Decode},
    record::{Chunk, Data, RawChunk},
};
use std::{marker::PhantomData, sync::Arc};

pub use files::{FileOptions, FileSource, LossyText};
pub use socket::SocketReceiver;
pub use topics::{Starting, TopicPattern};

/// What happens to a record that cannot be decoded or processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRecordPolicy {
    /// Stop with a message that names topic, partition, offset and reason.
    #[default]
    Fail,
    /// Count it, log it at a limited rate, go on.
    Skip,
    /// Write it with the reason to `<application.id>-dlq`, in the batch's transaction.
    DeadLetter,
}

/// A source of the plan.
#[derive(Clone)]
pub struct SourceSpec {
    /// The topics it reads.
    pub topics: Vec<String>,
    /// Further topics that it reads, also such as appear later.
    pub pattern: Option<TopicPattern>,
    /// Makes typed chunks of records.
    pub decoder: Arc<dyn DecodeChunk>,
    /// What happens to bad records.
    pub policy: BadRecordPolicy,
    /// Where a first start begins; `None` = as the program is configured.
    pub starting: Option<Starting>,
}

impl SourceSpec {
    /// Whether it reads a topic.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|t| t == topic) || self.pattern.as_ref().is_some_and(|p| p.matches(topic))
    }
}

/// Decodes whole chunks into whatever type the stream has.
pub trait DecodeChunk: Send + Sync {
    /// The rows that could be decoded, in order, and those that could not.
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>);

    /// About how many bytes the rows of these records take.
    fn bytes(&self, records: &RawChunk) -> usize {
        records.bytes()
    }

    /// Most records of a chunk: fewer where each of them becomes many rows.
    fn chunk_records_max(&self) -> usize {
        usize::MAX
    }
}

/// A typed decoder as the plan keeps it.
pub fn decoder<T: Data>(decode: impl Decode<T> + 'static) -> Arc<dyn DecodeChunk> {
    struct Typed<T, D>(D, PhantomData<fn() -> T>);
    impl<T: Data, D: Decode<T>> DecodeChunk for Typed<T, D> {
        fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
            let (mut good, mut bad) = (Vec::with_capacity(records.len()), vec![]);
            decode::all(&self.0, records, &mut good, &mut bad);
            (Chunk::rows(good), bad)
        }
    }
    Arc::new(Typed(decode, PhantomData))
}
