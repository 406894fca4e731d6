//! Finds the records of a partition that make its task fail, without giving a batch up for each.
//!
//! Owns a second task, on which records are tried before the task of the batch gets them: a few at a time, and one at
//! a time where some of them fail. Computing is pure, so what passes there passes in the batch too. Knows no policy.
//! Invariants: the task of the batch gets the same rows in the same order as without this, but for those of failing
//! records; what only fails together with other records is left to pieces, or to the search over batches.

use crate::{
    error::{Error, Result},
    operator::{Batch, NodeId, Port},
    record::RawChunk,
    source::{BadRecordAt, DecodeChunk},
    task::Task,
};

/// So many records are tried at a time.
const GROUP: usize = 32;
/// After so many records without a failure, records are no longer tried.
const CLEAN_RECORDS: usize = 1_000_000;

/// A partition some of whose records fail.
pub struct Careful {
    trial: Task,
    /// Records since the last one that failed.
    clean: usize,
}

impl Careful {
    /// Tries records on `trial`, a task like the one of the batch.
    #[must_use]
    pub fn new(mut trial: Task) -> Self {
        trial.set_quiet(true); // the panic that led here was shown
        Careful { trial, clean: 0 }
    }

    /// Whether there was no failure for so long that trying is no longer worth its time.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.clean >= CLEAN_RECORDS
    }

    /// Passes the rows of `records` through `task`, and those records that cannot be decoded or processed to `bad`.
    ///
    /// # Errors
    /// If the task fails all the same.
    pub fn process(
        &mut self,
        (batch, node): (&Batch, NodeId),
        records: &RawChunk,
        decoder: &dyn DecodeChunk,
        task: &mut Task,
        bad: &mut Vec<BadRecordAt>,
    ) -> Result {
        for start in (0..records.len()).step_by(GROUP) {
            let group = records.slice(start..records.len().min(start + GROUP));
            if self.fails(batch, node, &group, decoder)?.is_none() {
                good(batch, node, &group, decoder, task, bad)?;
                self.clean += group.len();
                continue;
            }
            self.clean = 0;
            let mut first = 0;
            for index in 0..group.len() {
                if let Some(reason) = self.fails(batch, node, &group.slice(index..index + 1), decoder)? {
                    good(batch, node, &group.slice(first..index), decoder, task, bad)?;
                    bad.push(BadRecordAt::of(&group, index, reason));
                    first = index + 1;
                }
            }
            good(batch, node, &group.slice(first..group.len()), decoder, task, bad)?;
        }
        self.trial.abort();
        Ok(())
    }

    /// Why the trial task fails on these records; `None` = it does not.
    fn fails(
        &mut self,
        batch: &Batch,
        node: NodeId,
        records: &RawChunk,
        decoder: &dyn DecodeChunk,
    ) -> Result<Option<String>> {
        let (chunk, _) = decoder.decode(records);
        if chunk.is_empty() {
            return Ok(None);
        }
        let result = self.trial.process(batch, node, Port(0), chunk);
        drop(self.trial.take_outputs());
        match result {
            Ok(()) => Ok(None),
            Err(e @ Error::Operator { .. }) => {
                self.trial.abort();
                Ok(Some(e.to_string()))
            }
            Err(e) => Err(e),
        }
    }
}

/// Records that passed.
fn good(
    batch: &Batch,
    node: NodeId,
    records: &RawChunk,
    decoder: &dyn DecodeChunk,
    task: &mut Task,
    bad: &mut Vec<BadRecordAt>,
) -> Result {
    if records.is_empty() {
        return Ok(());
    }
    let (chunk, undecodable) = decoder.decode(records);
    bad.extend(undecodable.into_iter().map(|b| BadRecordAt::of(records, b.index, b.reason)));
    if chunk.is_empty() {
        Ok(())
    } else {
        task.process(batch, node, Port(0), chunk.made_from(records.size()))
    }
}
