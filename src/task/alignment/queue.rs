//! The blocks of a shard that were read and not yet taken, and how much of them is in memory.
//!
//! Knows no stage. Invariants: a block is dropped only when its reader says that it is taken; over the bound, blocks of the latest times
//! are forgotten, which leaves everything known of them but the payload.

use crate::{
    operator::{EdgeId, Upstream},
    record::{BatchTime, Offset},
};
use std::collections::BTreeMap;

/// A record of the exchange partition.
#[derive(Clone, Debug)]
pub struct Record<P> {
    /// Where it was read.
    pub offset: Offset,
    /// Its rows.
    pub blocks: Vec<Block<P>>,
    /// What ends with it. It holds for rows of this record and of earlier ones.
    pub marks: Vec<Mark>,
}

/// Rows of one edge, upstream and time.
#[derive(Clone, Debug)]
pub struct Block<P> {
    /// Which way they come.
    pub edge: EdgeId,
    /// Who sent them.
    pub upstream: Upstream,
    /// The time of their batch.
    pub time: BatchTime,
    /// How much memory they take.
    pub bytes: usize,
    /// The rows, in whatever form.
    pub payload: P,
}

/// The statement of an upstream that no more rows of times up to this one follow.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Who says so.
    pub upstream: Upstream,
    /// The time.
    pub time: BatchTime,
}

/// A block's time, and its place: the offset of its record, and its position there.
pub(super) type Key = (BatchTime, Offset, usize);

/// Blocks in the order of their times.
#[derive(Clone)]
pub(super) struct Queue<P> {
    held: BTreeMap<Key, Block<P>>,
    forgotten: BTreeMap<Key, Block<()>>,
    bytes: usize,
    forgotten_bytes: usize,
    bytes_max: usize,
}

impl<P> Queue<P> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Queue { held: BTreeMap::new(), forgotten: BTreeMap::new(), bytes: 0, forgotten_bytes: 0, bytes_max }
    }

    /// Adds a block, or gives a forgotten one its payload back.
    pub(super) fn hold(&mut self, key: Key, block: Block<P>) {
        self.forgotten_bytes -= self.forgotten.remove(&key).map_or(0, |block| block.bytes);
        self.bytes += block.bytes;
        if let Some(before) = self.held.insert(key, block) {
            self.bytes -= before.bytes;
        }
    }

    /// Whether the block was forgotten.
    pub(super) fn is_forgotten(&self, key: &Key) -> bool {
        self.forgotten.contains_key(key)
    }

    /// Forgets blocks of the latest times as long as there is more than the bound, except those that are needed soon.
    pub(super) fn forget(&mut self, is_needed: impl Fn(&Block<P>) -> bool) {
        while self.bytes > self.bytes_max {
            let last = self.held.iter().rev().find(|(_, block)| !is_needed(block));
            let Some(key) = last.map(|(key, _)| *key) else { return };
            let Some(Block { edge, upstream, time, bytes, .. }) = self.held.remove(&key) else { return };
            self.bytes -= bytes;
            self.forgotten_bytes += bytes;
            self.forgotten.insert(key, Block { edge, upstream, time, bytes, payload: () });
        }
    }

    /// Drops blocks that are taken.
    pub(super) fn retain(&mut self, is_open: impl Fn(&Upstream, EdgeId, BatchTime) -> bool) {
        self.held.retain(|_, block| {
            let stays = is_open(&block.upstream, block.edge, block.time);
            self.bytes -= if stays { 0 } else { block.bytes };
            stays
        });
        self.forgotten.retain(|_, block| {
            let stays = is_open(&block.upstream, block.edge, block.time);
            self.forgotten_bytes -= if stays { 0 } else { block.bytes };
            stays
        });
    }

    /// What is in memory of times up to `time`.
    pub(super) fn held(&self, time: BatchTime) -> impl Iterator<Item = (&Key, &Block<P>)> {
        self.held.range(..=until(time))
    }

    /// What is forgotten of times up to `time`.
    pub(super) fn forgotten(&self, time: BatchTime) -> impl Iterator<Item = (&Key, &Block<()>)> {
        self.forgotten.range(..=until(time))
    }

    /// The first offset of a block for which `is_open` holds.
    pub(super) fn first(&self, is_open: impl Fn(&Upstream, EdgeId, BatchTime) -> bool) -> Option<Offset> {
        let held = self.held.iter().map(|(key, block)| (key.1, &block.upstream, block.edge, block.time));
        let forgotten = &self.forgotten;
        let forgotten = forgotten.iter().map(|(key, block)| (key.1, &block.upstream, block.edge, block.time));
        let open = held.chain(forgotten).filter(|(_, upstream, edge, time)| is_open(upstream, *edge, *time));
        open.map(|(at, ..)| at).min()
    }

    /// Whether reading on from `at` could bring back what is forgotten, and there is room for it.
    pub(super) fn has_room_for_later(&self, at: Offset) -> bool {
        self.bytes < self.bytes_max && self.forgotten.keys().any(|key| key.1 >= at)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes + self.forgotten_bytes
    }
}

fn until(time: BatchTime) -> Key {
    (time, Offset(u64::MAX), usize::MAX)
}
