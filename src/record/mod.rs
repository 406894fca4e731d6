//! The vocabulary of data: ids, records as bytes, chunks of typed rows, text.
//!
//! Used by everything; uses only `error`. Knows no log, no operator, no store.

mod bytes;
mod chunk;
mod ids;
mod map;
mod raw;
mod stamps;
mod text;
pub(crate) mod varint;

pub use bytes::Bytes;
pub use chunk::{Chunk, Data, Key, Size, StampedRows, Value};
pub use ids::{
    BatchId, BatchTime, Incarnation, InstanceId, Offset, Partition, TaskId, Token, TopicPartition,
};
pub use map::{Map, hash_bytes, partition_of, short_hash};
pub use raw::{Headers, RawChunk, RawChunkBuilder, RawRecord, Timestamps};
pub use stamps::{EachStamp, Run, Stamps, StampsBuilder};
pub use text::Text;
