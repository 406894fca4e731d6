//! Compaction while a directory is in use.
//!
//! Owns when it runs and how its result is applied. Knows no file format. Invariants: files are read and written
//! without the store's lock; a reader that holds a batch of a replaced file continues in the old file; there is only
//! one compaction at a time.

use super::{
    files::{Directory, Segment, compact},
    store::{State, Store},
};
use crate::error::{Error, Result};
use std::{
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

/// Compacts the full segments if at least half of their bytes are new; returns whether it did.
pub(super) fn clean(store: &Store) -> Result<bool> {
    let _one = store.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
    let (job, rules) = {
        let state = store.lock();
        let Some(job) = state.files.as_ref().map(Directory::due).transpose()?.flatten() else {
            return Ok(false);
        };
        (job, state.rules())
    };
    if rules.is_empty() {
        return Ok(false);
    }
    let merged = compact(&job, &rules, &job.full, store.time.now_ms())?;
    let bytes = merged.iter().map(|m| m.bytes).sum();
    let opened = |number| Segment::open(&job.dir, number, job.log_id);
    let segments = merged.iter().map(|m| opened(m.number)).collect::<Result<Vec<_>>>()?;
    store.change(|state| {
        state.forget_segments(&merged.iter().flat_map(|m| m.of.iter().copied()).collect::<Vec<_>>());
        for (segment, merged) in segments.iter().zip(merged) {
            for (at, first, last, records) in merged.batches {
                if let Some(partition) = state.partition_mut(&at) {
                    partition.replace(first, last, segment, records);
                }
            }
        }
        // What was dropped in the meantime has come back with its segment.
        for at in rules.keep_from.keys() {
            if let Some(partition) = state.partition_mut(at) {
                partition.forget_before_start();
            }
        }
        if let Some(files) = &mut state.files {
            files.compacted(&job, bytes);
        }
    });
    Ok(true)
}

impl State {
    fn forget_segments(&mut self, numbers: &[u64]) {
        let partitions = self.topics.values_mut().flat_map(|t| &mut t.partitions);
        partitions.for_each(|p| p.forget_segments(numbers));
    }
}

/// Checks at this interval whether a compaction pays, for as long as the log is open.
pub(super) fn clean_in_background(store: &Arc<Store>, every: Duration) -> Result {
    let store = Arc::downgrade(store);
    let run = move || {
        loop {
            thread::sleep(every);
            let Some(store) = store.upgrade() else { return };
            if let Err(e) = clean(&store) {
                tracing::error!("embedded log: compaction has stopped: {e}");
                return;
            }
        }
    };
    let started = thread::Builder::new().name("log-cleaner".into()).spawn(run);
    started.map(|_| ()).map_err(Error::io("starting the thread that compacts the embedded log"))
}
