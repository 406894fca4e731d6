//! Transactions as a broker keeps them: whose epoch is current, what is open, what happens at its end.
//!
//! Knows no producer's buffers. Invariants: of two producers with one transactional id only the newer can write;
//! offsets of an open transaction are pending, so nobody reads the older ones; a transaction ends once, as a whole.

use super::{
    files::{Entry, GroupOffset, Reserved},
    group::{Group, Refusal},
    store::State,
};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::Committed,
    record::{RawChunk, TopicPartition},
};
use std::{collections::BTreeMap, time::Duration};

/// Largest metadata of an offset: the default of Kafka's brokers.
const MAX_METADATA_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub epoch: u64,
    open: Option<Open>,
    /// How many markers of the last one are on their way; in simulation only.
    on_the_way: usize,
}

/// What ends a transaction in one partition, or for the offsets of the group.
#[derive(Debug)]
pub(crate) struct Marker {
    id: String,
    commits: bool,
    written: Vec<(TopicPartition, u64)>,
    offsets: Vec<GroupOffset>,
}

#[derive(Debug)]
struct Open {
    deadline: Duration,
    batches: Vec<Reserved>,
    offsets: Vec<GroupOffset>,
}

/// The identity of a producer: a transactional id and the epoch that it got at its init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProducerId {
    pub id: String,
    pub epoch: u64,
}

impl State {
    /// Starts a new epoch of a transactional id; what was open under it is aborted.
    pub fn init_producer(&mut self, id: &str) -> Result<ProducerId, Failure> {
        let transaction = self.transactions.entry(id.to_owned()).or_default();
        transaction.epoch += 1;
        let epoch = transaction.epoch;
        if let Some(open) = transaction.open.take() {
            self.drop_open(&open, Stage::Init)?;
        }
        Ok(ProducerId { id: id.to_owned(), epoch })
    }

    pub fn begin(&mut self, producer: &ProducerId, deadline: Duration) -> Result<(), Failure> {
        let transaction = self.of(producer, Stage::Begin)?;
        if transaction.open.is_some() {
            let what = format!("`{}` already has an open transaction", producer.id);
            return Err(Failure::new(Stage::Begin, Reaction::StopPipeline, what));
        }
        transaction.open = Some(Open { deadline, batches: vec![], offsets: vec![] });
        Ok(())
    }

    /// Writes into the open transaction; returns the offset after the last record of each partition.
    pub fn produce(
        &mut self,
        producer: &ProducerId,
        chunks: Vec<(TopicPartition, RawChunk)>,
        now_ms: i64,
    ) -> Result<BTreeMap<TopicPartition, u64>, Failure> {
        self.open_of(producer, Stage::Produce)?;
        let mut ends = BTreeMap::new();
        for (at, rows) in chunks {
            let reserved = self.reserve(at, rows, now_ms)?;
            ends.insert(reserved.at.clone(), reserved.first + reserved.rows.len() as u64);
            self.open_of(producer, Stage::Produce)?.batches.push(reserved);
        }
        Ok(ends)
    }

    /// Writes without a transaction: visible at once.
    pub fn produce_now(
        &mut self,
        chunks: Vec<(TopicPartition, RawChunk)>,
        now_ms: i64,
    ) -> Result<BTreeMap<TopicPartition, u64>, Failure> {
        let (mut ends, mut batches) = (BTreeMap::new(), vec![]);
        for (at, rows) in chunks {
            let reserved = self.reserve(at, rows, now_ms)?;
            ends.insert(reserved.at.clone(), reserved.first + reserved.rows.len() as u64);
            batches.push(reserved);
        }
        let written: Vec<_> = batches.iter().map(|b| (b.at.clone(), b.first)).collect();
        let wrote = self.write(batches, vec![]);
        for (at, first) in &written {
            if let Some(partition) = self.partition_mut(at) {
                partition.settle(*first);
            }
        }
        wrote.map_err(|e| Failure::new(Stage::Produce, Reaction::StopPipeline, e.to_string()))?;
        Ok(ends)
    }

    /// Adds offsets to the open transaction: from now on they are pending for every reader.
    pub fn add_offsets(&mut self, producer: &ProducerId, offsets: Vec<GroupOffset>) -> Result<(), Failure> {
        self.open_of(producer, Stage::SendOffsets)?;
        for offset in &offsets {
            let group = self.groups.entry(offset.group.clone()).or_default();
            *group.pending.entry(offset.at.clone()).or_default() += 1;
        }
        self.open_of(producer, Stage::SendOffsets)?.offsets.extend(offsets);
        Ok(())
    }

    /// Ends the open transaction.
    pub fn end(&mut self, producer: &ProducerId, commit: bool) -> Result<(), Failure> {
        let stage = if commit { Stage::Commit } else { Stage::Abort };
        let Some(open) = self.of(producer, stage)?.open.take() else {
            // An abort after a failed begin has nothing to end; a commit without a transaction is an error.
            return if commit { self.open_of(producer, stage).map(|_| ()) } else { Ok(()) };
        };
        if !commit {
            return self.drop_open(&open, stage);
        }
        let written: Vec<_> = open.batches.iter().map(|b| (b.at.clone(), b.first)).collect();
        let offsets = open.offsets.clone();
        let wrote = self.write(open.batches, open.offsets);
        self.settle(&written, &offsets);
        wrote.map_err(|e| Failure::new(stage, Reaction::StopPipeline, e.to_string()))
    }

    /// Ends the open transaction, in memory: what becomes of it is decided, but until each of its markers has
    /// [landed](State::land), readers stop before what it wrote there, and its offsets are pending.
    pub fn end_apart(&mut self, producer: &ProducerId, commit: bool) -> Result<Vec<Marker>, Failure> {
        let stage = if commit { Stage::Commit } else { Stage::Abort };
        let Some(open) = self.of(producer, stage)?.open.take() else { return Ok(vec![]) };
        let mut written: BTreeMap<&TopicPartition, Vec<(TopicPartition, u64)>> = BTreeMap::new();
        for batch in &open.batches {
            written.entry(&batch.at).or_default().push((batch.at.clone(), batch.first));
        }
        let marker = |written, offsets| Marker { id: producer.id.clone(), commits: commit, written, offsets };
        let mut markers: Vec<Marker> = written.into_values().map(|of| marker(of, vec![])).collect();
        if !open.offsets.is_empty() {
            markers.push(marker(vec![], open.offsets));
        }
        self.of(producer, stage)?.on_the_way = markers.len();
        if commit {
            let wrote = self.write(open.batches, vec![]);
            wrote.map_err(|e| Failure::new(stage, Reaction::StopPipeline, e.to_string()))?;
        }
        Ok(markers)
    }

    /// A marker reaches its partition.
    pub fn land(&mut self, marker: &Marker) {
        if marker.commits {
            let wrote = self.write(vec![], marker.offsets.clone());
            wrote.expect("a log in memory has no file to write to");
        }
        self.settle(&marker.written, &marker.offsets);
        if let Some(transaction) = self.transactions.get_mut(&marker.id) {
            transaction.on_the_way -= 1;
        }
    }

    /// Whether markers of the last transaction under this id have not landed.
    pub fn has_markers_on_the_way(&self, id: &str) -> bool {
        self.transactions.get(id).is_some_and(|transaction| transaction.on_the_way > 0)
    }

    /// Ends open transactions and empty places whose time is over; returns whether there were any.
    pub fn expire(&mut self, now: Duration) -> Result<bool, Failure> {
        let mut any = false;
        let mut over = vec![];
        for transaction in self.transactions.values_mut() {
            if let Some(open) = transaction.open.take_if(|o| now >= o.deadline) {
                transaction.epoch += 1;
                over.push(open);
            }
        }
        for open in over {
            any = true;
            self.drop_open(&open, Stage::Abort)?;
        }
        let over = |(name, group): (&String, &Group)| (name.clone(), group.over(now));
        let over: Vec<_> = self.groups.iter().map(over).filter(|(_, gone)| !gone.is_empty()).collect();
        for (name, gone) in over {
            any = true;
            let counts = self.counts();
            let Some(group) = self.groups.get_mut(&name) else { continue };
            for instance in gone {
                group.remove(&instance, &counts);
            }
        }
        Ok(any)
    }

    fn drop_open(&mut self, open: &Open, stage: Stage) -> Result<(), Failure> {
        let written: Vec<_> = open.batches.iter().map(|b| (b.at.clone(), b.first)).collect();
        self.settle(&written, &open.offsets);
        let Some(files) = &mut self.files else { return Ok(()) };
        let gap = |b: &Reserved| Entry::Gap { at: b.at.clone(), end: b.first + b.rows.len() as u64 };
        let gaps: Vec<Entry> = open.batches.iter().map(gap).collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let wrote = files.append(&gaps, &[]);
        wrote.map(|_| ()).map_err(|e| Failure::new(stage, Reaction::StopPipeline, e.to_string()))
    }

    fn settle(&mut self, written: &[(TopicPartition, u64)], offsets: &[GroupOffset]) {
        let markers = self.markers;
        for (i, (at, first)) in written.iter().enumerate() {
            let Some(partition) = self.partition_mut(at) else { continue };
            partition.settle(*first);
            if markers && !written[..i].iter().any(|(before, _)| before == at) {
                partition.mark();
            }
        }
        for offset in offsets {
            let Some(group) = self.groups.get_mut(&offset.group) else { continue };
            if let Some(count) = group.pending.get_mut(&offset.at) {
                *count -= 1;
                if *count == 0 {
                    group.pending.remove(&offset.at);
                }
            }
        }
    }

    fn of(&mut self, producer: &ProducerId, stage: Stage) -> Result<&mut Transaction, Failure> {
        match self.transactions.get_mut(&producer.id) {
            Some(transaction) if transaction.epoch == producer.epoch => Ok(transaction),
            _ => {
                let id = &producer.id;
                let what = format!("a newer producer took `{id}` over, or its transaction took too long");
                Err(Failure::new(stage, Reaction::RecreateProducer, what))
            }
        }
    }

    fn open_of(&mut self, producer: &ProducerId, stage: Stage) -> Result<&mut Open, Failure> {
        let open = self.of(producer, stage)?.open.as_mut();
        open.ok_or_else(|| {
            let what = format!("`{}` has no open transaction", producer.id);
            Failure::new(stage, Reaction::StopPipeline, what)
        })
    }

    /// Whether a member may commit these offsets now.
    pub fn check_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Committed)],
        member_id: &str,
        generation: i32,
    ) -> Result<(), Failure> {
        let fail = |reaction, what: String| Err(Failure::new(Stage::SendOffsets, reaction, what));
        if let Some((at, c)) = offsets.iter().find(|(_, c)| c.metadata.len() > MAX_METADATA_BYTES) {
            let bytes = c.metadata.len();
            let what = format!("{at}: {bytes} bytes of metadata, more than {MAX_METADATA_BYTES}");
            return fail(Reaction::StopPipeline, what);
        }
        if let Some((at, _)) = offsets.iter().find(|(at, _)| self.partition(at).is_none()) {
            return fail(Reaction::StopPipeline, format!("{at} does not exist"));
        }
        let nobody = member_id.is_empty() && generation < 0;
        let Some(known) = self.groups.get(group).filter(|g| !(nobody && g.is_empty())) else {
            let what = format!("group `{group}` does not know member `{member_id}`");
            return if nobody { Ok(()) } else { fail(Reaction::CloseTasks, what) };
        };
        match known.check(member_id, generation) {
            Ok(()) => Ok(()),
            Err(Refusal::UnknownMember) => {
                fail(Reaction::CloseTasks, format!("group `{group}` does not know member `{member_id}`"))
            }
            Err(Refusal::IllegalGeneration) => {
                let now = known.generation;
                let what = format!("group `{group}` is in generation {now}, not {generation}");
                fail(Reaction::AbortReplay, what)
            }
        }
    }
}
