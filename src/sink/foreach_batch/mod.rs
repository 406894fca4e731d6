//! `foreach_batch`: committed batches, passed to a user function.
//!
//! Owns the form of a batch in the internal topic: blocks of encoded rows, each with the number of its task,
//! then one record that ends the batch and carries its time. Knows no engine. Invariants: all records of a
//! batch are in one transaction, so whoever reads committed data reads the whole batch; the offset of the
//! last one permanently identifies the batch.

mod collect;
mod deliver;

use super::{
    Rdd,
    gather::{CollectGathered, Gather},
    outbox::{OutboxSpec, topic_of},
    rdd::Outcome,
    shape::{Sink, SinkContext, SinkShape},
};
use crate::{
    codec::{decode_value, encode_value, stored_format, value_refusal},
    error::{Error, Result},
    operator::Rows,
    record::{BatchTime, Partition, RawRecord, Value},
};
use collect::{EncodeRows, SendBatch};
use deliver::Deliver;
use serde::{Deserialize, Serialize};
use std::{marker::PhantomData, panic::Location, sync::Arc};

/// A function that is called with each committed batch: see
/// [`DStream::foreach_batch`](crate::DStream::foreach_batch).
pub struct ForeachBatch<R, F> {
    name: String,
    function: Arc<F>,
    at: &'static Location<'static>,
    outcome: PhantomData<fn() -> R>,
}

impl<R, F> ForeachBatch<R, F> {
    /// Calls `function`, which the program passes at `at`; `name` is durable.
    pub fn new(name: &str, function: F, at: &'static Location<'static>) -> Self {
        ForeachBatch { name: name.to_owned(), function: Arc::new(function), at, outcome: PhantomData }
    }
}

impl<T: Value, R: Outcome, F> Sink<T> for ForeachBatch<R, F>
where
    F: Fn(Rdd<T>, CommittedBatch) -> R + Send + Sync + 'static,
{
    /// An outbox whose records the loop sends, as the end of a batch must be marked there.
    fn shape(self, context: &SinkContext) -> Result<SinkShape<T>, String> {
        let ForeachBatch { name, function, at, .. } = self;
        if let Some(why) = value_refusal::<T>() {
            return Err(why);
        }
        let topic = topic_of(&context.application, "foreach", &name)?;
        let positions: Arc<str> = format!("{}-delivered", context.application).into();
        let to = positions.clone();
        let make = move || Box::new(Deliver::<T, R, _>::new(function.clone(), at, to.clone())) as _;
        let outbox = OutboxSpec {
            name: format!("foreach-{name}"),
            topic: topic.clone(),
            positions: Some(positions),
            make: Arc::new(make),
        };
        let name = topic.to_string();
        let format = stored_format::<T>();
        let send = move |context: &_| SendBatch::new(topic.clone(), &format, context);
        let shape = SinkShape::encoded_two_phase(&name, || EncodeRows::<T>::new(None), send);
        let shape = shape.gathered(Gather {
            exchange: Arc::new(|home| Box::new(EncodeRows::<T>::new(Some(home.clone())))),
            format: Arc::new(Rows::<Vec<u8>>::default()),
            sink: Arc::new(|_| Box::new(CollectGathered { sees_batches: false })),
        });
        Ok(SinkShape { outbox: Some(outbox), ..shape })
    }
}

/// A committed batch, as [`DStream::foreach_batch`](crate::DStream::foreach_batch) passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommittedBatch {
    /// Identifies the batch: whenever its rows are passed again they are the same rows, with the same id and
    /// time. Greater than the ids of all earlier batches of this output, but not consecutive.
    pub id: i64,
    /// The time of the batch; two processes of one program may have batches of the same time.
    pub time: BatchTime,
}

/// A block ends with the row that brings it to this size: far below the size limit of a record.
const BLOCK_BYTES: usize = 64 << 10;
/// Name of a header: the task of a block.
const TASK: &str = "task";
/// Name of a header: the record ends the batch.
const END: &str = "end";

/// The value of the record that ends a batch.
#[derive(Serialize, Deserialize)]
struct End {
    time_ms: i64,
    blocks: usize,
    /// The format of the rows; earlier versions did not write it.
    #[serde(default)]
    format: String,
}

/// What a record of the topic is.
enum Part {
    /// Rows of a task.
    Block(Partition),
    /// Nothing more of the batch follows.
    End(End),
}

impl Part {
    /// `None` = the record is not one of ours.
    fn of(record: &RawRecord<'_>) -> Option<Self> {
        let (name, value) = record.headers.iter().next()?;
        match name {
            TASK => {
                let task = std::str::from_utf8(value?).ok()?.parse().ok()?;
                Some(Part::Block(Partition(task)))
            }
            END => Some(Part::End(serde_json::from_slice(record.value?).ok()?)),
            _ => None,
        }
    }
}

/// Appends a row to a block: its length, four bytes with the least significant first, then its value.
fn push_row<T: Value>(row: &T, block: &mut Vec<u8>) -> Result {
    let start = block.len();
    block.extend([0; 4]);
    let encoded = encode_value(row, block).and_then(|()| {
        let too_long = |_| Error::Codec("a row of more than 4 GB cannot be encoded".into());
        u32::try_from(block.len() - start - 4).map_err(too_long)
    });
    match encoded {
        Ok(bytes) => block[start..start + 4].copy_from_slice(&bytes.to_le_bytes()),
        Err(e) => {
            block.truncate(start);
            return Err(e);
        }
    }
    Ok(())
}

/// The rows of a block.
fn rows<T: Value>(mut block: &[u8], rows: &mut Vec<T>) -> Result {
    while !block.is_empty() {
        let cut = || Error::Codec("a block of rows ends within a row".into());
        let (length, rest) = block.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (row, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        rows.push(decode_value(row)?);
        block = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_from_a_block_and_a_truncated_one_is_reported() {
        let mut block = vec![];
        let given = [("a".to_owned(), 1u64), (String::new(), u64::MAX)];
        given.iter().for_each(|row| push_row(row, &mut block).unwrap());
        let mut read: Vec<(String, u64)> = vec![];
        rows(&block, &mut read).unwrap();
        assert_eq!(read, given);
        for cut in [2, 5, block.len() - 1] {
            let told = rows::<(String, u64)>(&block[..cut], &mut vec![]).unwrap_err().to_string();
            assert!(told.contains("ends within a row"), "{cut}: {told}");
        }
        assert!(rows::<(u64, u64)>(&block, &mut vec![]).is_err(), "rows of another type");
    }
}
