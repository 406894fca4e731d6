//! Writing: records are buffered here until `flush`, hold offsets from then on, and are visible to nobody before the
//! commit.
//!
//! Knows no file. Invariants: a crash before the commit leaves nothing behind; the offsets that `flush` returns are
//! those that the records will have. Without a transactional id `flush` itself makes the records visible, and `commit`
//! only commits the offsets.

use super::{
    files::GroupOffset,
    store::Store,
    transaction::{Marker, ProducerId},
};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, Membership, Producer, ProducerSpec, limits::sent_bytes, partitioner},
    record::{Map, Partition, RawChunk, RawChunkBuilder, RawRecord, TopicPartition},
};
use std::sync::Arc;

/// A partition's records are sealed into one chunk at this size.
const CHUNK_BYTES: usize = 16 << 20;

pub(crate) struct EmbeddedProducer {
    store: Arc<Store>,
    spec: ProducerSpec,
    id: Option<ProducerId>,
    ready: bool,
    staged: Map<TopicPartition, RawChunkBuilder>,
    sealed: Vec<(TopicPartition, RawChunk)>,
    staged_bytes: usize,
    turn: u32,
}

impl EmbeddedProducer {
    pub(super) fn new(store: Arc<Store>, spec: ProducerSpec) -> Self {
        EmbeddedProducer {
            store,
            spec,
            id: None,
            ready: false,
            staged: Map::default(),
            sealed: vec![],
            staged_bytes: 0,
            turn: 0,
        }
    }

    fn put(&mut self, at: TopicPartition, record: RawRecord<'_>) {
        let builder = self.staged.entry(at.clone()).or_default();
        builder.push(record);
        if builder.bytes() >= CHUNK_BYTES {
            let chunk = std::mem::take(builder).build();
            self.sealed.push((at, chunk));
        }
    }

    fn forget(&mut self) {
        self.staged.clear();
        self.sealed.clear();
        self.staged_bytes = 0;
    }

    /// The first half of a commit: everything is written and the offsets are pending.
    pub(crate) fn prepare(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
    ) -> Result<(), Failure> {
        self.flush()?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.store.expire()?;
        let of_group = |(at, committed): &(TopicPartition, Committed)| GroupOffset {
            group: self.spec.group.clone(),
            at: at.clone(),
            committed: committed.clone(),
        };
        let list: Vec<GroupOffset> = offsets.iter().map(of_group).collect();
        self.store.change(|state| {
            if !crate::failpoint::passes("mutant-no-group-metadata") {
                state.check_offsets(&self.spec.group, offsets, &member.member_id, member.generation)?;
            }
            if let Some(id) = &self.id {
                return state.add_offsets(id, list);
            }
            let stop =
                |e: crate::Error| Failure::new(Stage::SendOffsets, Reaction::StopPipeline, e.to_string());
            state.write(vec![], list).map_err(stop)
        })
    }

    /// The second half of a commit, or an abort.
    pub(crate) fn end(&mut self, commit: bool) -> Result<(), Failure> {
        self.forget();
        self.store.expire()?;
        match &self.id {
            Some(id) => self.store.change(|state| state.end(id, commit)),
            None => Ok(()),
        }
    }

    /// Like `end`, except that the markers of the transaction are still on their way, to [land](Self::landing) one by one.
    pub(crate) fn end_apart(&mut self, commit: bool) -> Result<Vec<Marker>, Failure> {
        self.forget();
        self.store.expire()?;
        match &self.id {
            Some(id) => self.store.change(|state| state.end_apart(id, commit)),
            None => Ok(vec![]),
        }
    }

    /// Lets a marker land, whenever it is called.
    pub(crate) fn landing(&self, marker: Marker) -> Box<dyn FnOnce() -> bool + Send> {
        let store = self.store.clone();
        Box::new(move || {
            store.change(|state| state.land(&marker));
            true
        })
    }

    /// Whether markers of the last transaction under this id have not landed.
    pub(crate) fn has_markers_on_the_way(&self) -> bool {
        let id = self.spec.transactional_id.as_ref();
        id.is_some_and(|id| self.store.lock().has_markers_on_the_way(id))
    }

    /// Like `end`, for a request that arrives when this producer has moved on or is gone.
    pub(crate) fn late_end(&self, commit: bool) -> Box<dyn FnOnce() -> bool + Send> {
        let (store, id) = (self.store.clone(), self.id.clone());
        Box::new(move || {
            store.expire().is_ok()
                && id.is_some_and(|id| store.change(|state| state.end(&id, commit)).is_ok())
        })
    }

    fn usable(&self, stage: Stage) -> Result<(), Failure> {
        if self.ready {
            return Ok(());
        }
        Err(Failure::new(stage, Reaction::StopPipeline, "the producer was not made ready by `init`"))
    }
}

impl Producer for EmbeddedProducer {
    fn init(&mut self) -> Result<(), Failure> {
        if let Some(id) = &self.spec.transactional_id {
            self.id = Some(self.store.change(|state| state.init_producer(id))?);
        }
        self.forget();
        self.ready = true;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.usable(Stage::Begin)?;
        self.forget();
        let Some(id) = &self.id else { return Ok(()) };
        let deadline = self.store.time.elapsed() + self.spec.transaction_timeout;
        self.store.lock().begin(id, deadline)
    }

    fn send(&mut self, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result<(), Failure> {
        self.usable(Stage::Produce)?;
        let refuse = |what: String| Err(Failure::new(Stage::Produce, Reaction::StopPipeline, what));
        let known = self.store.lock().writable(topic);
        let (partitions, max_bytes) = match known {
            Some(known) => known,
            None => self.store.change(|state| state.make_writable(topic))?,
        };
        if let Some(p) = partition.filter(|p| p.0 >= partitions) {
            return refuse(format!("{topic}-{p} does not exist: the topic has {partitions} partitions"));
        }
        let name: Arc<str> = topic.into();
        for record in records.iter() {
            let bytes = sent_bytes(&record);
            if bytes > max_bytes {
                return refuse(format!("a record of {bytes} bytes for {topic}, which takes {max_bytes}"));
            }
            let to = match (partition, record.key) {
                (Some(p), _) => p,
                (None, Some(key)) => partitioner::of_key(key, partitions),
                (None, None) => {
                    self.turn = self.turn.wrapping_add(1);
                    Partition(self.turn % partitions)
                }
            };
            self.put(TopicPartition { topic: name.clone(), partition: to }, record);
            self.staged_bytes += bytes;
        }
        if self.id.is_none() && self.staged_bytes > self.spec.buffer_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.usable(Stage::Produce)?;
        let mut chunks = std::mem::take(&mut self.sealed);
        let staged = std::mem::take(&mut self.staged);
        let rest = staged.into_iter().filter(|(_, b)| !b.is_empty()).map(|(at, b)| (at, b.build()));
        chunks.extend(rest);
        self.staged_bytes = 0;
        self.store.expire()?;
        if !chunks.is_empty() {
            let now_ms = self.store.time.now_ms();
            self.store.change(|state| match &self.id {
                Some(id) => state.produce(id, chunks, now_ms),
                None => state.produce_now(chunks, now_ms),
            })?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
    ) -> Result<(), Failure> {
        self.usable(Stage::Commit)?;
        self.prepare(offsets, member)?;
        self.end(true)
    }

    fn abort(&mut self) -> Result<(), Failure> {
        self.usable(Stage::Abort)?;
        self.end(false)
    }

    fn suspect(&self) -> bool {
        false
    }
}
