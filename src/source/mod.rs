//! Where records come in: records of a partition become typed chunks.
//!
//! Owns the description of a source and the record queue of a partition. Knows no task and no plan. Invariants:
//! decoding keeps the order of the partition; a record that cannot be decoded is kept with its reason, never lost.

mod budget;
mod decode;
mod file_ranges;
mod file_rows;
mod files;
mod local;
pub mod receiver;
mod record_queue;
mod socket;
mod topics;

pub use local::{LocalSource, MakeLocal, Queue, QueueSource, RateSource};
pub use receiver::{Receiver, ReceiverContext, ReceiverError, ReceiverSpec, StorageLevel};
pub use record_queue::{BadRecordAt, HeldUp, QueueLimits, RecordQueue, Taken};

use crate::{
    codec::{BadRecord, Decode},
    error::Result,
    record::{Chunk, Data, RawChunk, Stamps, StampsBuilder, Timestamps},
};
use std::{marker::PhantomData, sync::Arc};

pub use file_rows::{FixedBytes, LossyText};
pub use files::{FileOptions, FileSource};
pub use socket::SocketReceiver;
pub use topics::{Starting, TopicPattern};

/// What to do with a record that cannot be decoded or processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRecordPolicy {
    /// Stop with a message that names topic, partition, offset and reason.
    #[default]
    Fail,
    /// Count it, log it at a limited rate, continue.
    Skip,
    /// Write it with the reason to `<application.id>-dlq`, in the batch's transaction.
    DeadLetter,
}

/// A source in the plan.
#[derive(Clone)]
pub struct SourceSpec {
    /// The topics it reads.
    pub topics: Vec<String>,
    /// Further topics that it reads, including those that appear later.
    pub pattern: Option<TopicPattern>,
    /// Turns records into typed chunks.
    pub decoder: Arc<dyn DecodeChunk>,
    /// What to do with bad records.
    pub policy: BadRecordPolicy,
    /// The format of its records, if this program writes them in the form of stored values.
    pub format: Option<String>,
    /// Where the first start begins; `None` = as the program is configured.
    pub starting: Option<Starting>,
}

impl SourceSpec {
    /// Whether it reads a topic.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|t| t == topic) || self.pattern.as_ref().is_some_and(|p| p.matches(topic))
    }
}

/// Decodes whole chunks into the type of the stream, whatever it is.
pub trait DecodeChunk: Send + Sync {
    /// The rows that could be decoded, in order, and those that could not.
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>);

    /// Gets what decoding these records needs besides them.
    ///
    /// # Errors
    /// What is missing now: the records are to wait.
    fn prepare(&self, records: &RawChunk) -> Result {
        let _ = records;
        Ok(())
    }

    /// Whether there is anything to get, so that it may take long.
    fn prepares(&self) -> bool {
        false
    }

    /// Roughly how many bytes the rows of these records take.
    fn bytes(&self, records: &RawChunk) -> usize {
        records.bytes()
    }

    /// Most records in a chunk: fewer if each of them becomes many rows.
    fn chunk_records_max(&self) -> usize {
        usize::MAX
    }
}

/// A decoder whose chunks know the timestamps of their records: that of each row, if `each` and a record becomes one row; otherwise
/// the greatest.
#[must_use]
pub fn stamping(decoder: Arc<dyn DecodeChunk>, each: bool) -> Arc<dyn DecodeChunk> {
    struct Stamping(Arc<dyn DecodeChunk>, bool);
    impl DecodeChunk for Stamping {
        fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
            let (chunk, bad) = self.0.decode(records);
            if *chunk.stamps() != Stamps::Unknown {
                return (chunk, bad); // it knows which record each row is of
            }
            let Some(Timestamps { least_ms, greatest_ms }) = records.timestamps() else {
                return (chunk, bad);
            };
            if !self.1 || least_ms == greatest_ms || chunk.len() + bad.len() != records.len() {
                return (chunk.stamped(Stamps::Greatest(greatest_ms)), bad);
            }
            let mut others = bad.iter().map(|bad| bad.index).peekable();
            let of_rows = (0..).zip(records.each_timestamp());
            let of_rows = of_rows.filter(|(index, _)| others.next_if_eq(index).is_none());
            let stamps = of_rows.map(|(_, ms)| ms).collect::<StampsBuilder>();
            (chunk.stamped(stamps.build()), bad)
        }
        fn prepare(&self, records: &RawChunk) -> Result {
            self.0.prepare(records)
        }
        fn prepares(&self) -> bool {
            self.0.prepares()
        }
        fn bytes(&self, records: &RawChunk) -> usize {
            self.0.bytes(records)
        }
        fn chunk_records_max(&self) -> usize {
            self.0.chunk_records_max()
        }
    }
    Arc::new(Stamping(decoder, each))
}

/// A typed decoder in the form that the plan keeps.
pub fn decoder<T: Data>(decode: impl Decode<T> + 'static) -> Arc<dyn DecodeChunk> {
    struct Typed<T, D>(D, PhantomData<fn() -> T>);
    impl<T: Data, D: Decode<T>> DecodeChunk for Typed<T, D> {
        fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
            let (mut good, mut bad) = (Vec::with_capacity(records.len()), vec![]);
            decode::all(&self.0, records, &mut good, &mut bad);
            (Chunk::rows(good), bad)
        }
        fn prepare(&self, records: &RawChunk) -> Result {
            decode::prepare(&self.0, records)
        }
        fn prepares(&self) -> bool {
            self.0.prepares()
        }
    }
    Arc::new(Typed(decode, PhantomData))
}
