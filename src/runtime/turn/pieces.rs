//! Takes a batch in pieces, once a record has failed behind an exchange: a few records at a time go through all stages
//! to their end, as if they were a batch. A piece that fails is undone and halved until the record is alone.
//!
//! Decides nothing about a commit. Invariants: what pieces changed and sent is what so many small batches would have,
//! but is committed as one; a piece that fails leaves no trace; a record is bad only if it fails alone, and no record
//! at all does not.

use super::Loop;
use crate::{
    error::{Error, Result},
    operator::{Batch, Port},
    record::{Chunk, RawChunk},
    runtime::batch::{source_partition::Progress, state_partition::StatePartition},
    source::{BadRecordAt, BadRecordPolicy, Taken},
};
use std::time::Duration;

impl Loop {
    /// Whether the records of the next batches can be taken in pieces: where results depend on batches, and for rows of
    /// this process, which cannot be left out, failing ones are searched for by smaller batches.
    pub(super) fn may_take_pieces(&self) -> bool {
        !self.in_flight.is_whole
            && self.partitions.locals.is_empty()
            && self.partitions.sources.iter().any(|source| source.policy != BadRecordPolicy::Fail)
    }

    /// One bounded pass over all sources, in turn. `false` = there was nothing.
    pub(super) fn round_of_pieces(&mut self, batch: &Batch) -> Result<bool> {
        let mut moved = false;
        for index in 0..self.partitions.sources.len() {
            let (limits, room) = (self.queue_limits(), self.room());
            let source = &mut self.partitions.sources[index];
            let taken = source.take_chunk(limits, room.min(source.left_in_interval()));
            let Some(taken) = taken.inspect_err(|e| self.report_failed_receiver(index, e))? else { continue };
            let mut progress = Progress::default();
            self.partitions.sources[index].took(&taken, &mut progress);
            let Taken { chunk, raw, bad, .. } = taken;
            progress.bad.extend(bad);
            match raw {
                Some(records) => self.take_records(batch, index, &records, &mut progress.bad)?,
                // It was decoded before, and cannot be divided.
                None => self.try_piece(batch, index, chunk)?.map_or(Ok(()), Err)?,
            }
            moved |= progress.records > 0;
            self.take_progress(index, progress)?;
        }
        Ok(moved)
    }

    fn take_records(
        &mut self,
        batch: &Batch,
        index: usize,
        records: &RawChunk,
        bad: &mut Vec<BadRecordAt>,
    ) -> Result {
        let mut start = 0;
        while start < records.len() {
            let Loop { app, group, attention, .. } = self;
            attention.attend(app, group, Duration::ZERO)?; // pieces may be many
            let end = records.len().min(start + self.pieces.records());
            self.take_piece(batch, index, &records.slice(start..end), false, bad)?;
            start = end;
        }
        Ok(())
    }

    /// Takes a piece, but for those of its records that cannot be decoded or processed; whether none of the latter was
    /// there. `is_suspect` = most probably one is, so the piece is divided without trying it.
    fn take_piece(
        &mut self,
        batch: &Batch,
        index: usize,
        records: &RawChunk,
        is_suspect: bool,
        bad: &mut Vec<BadRecordAt>,
    ) -> Result<bool> {
        if is_suspect && records.len() > 1 {
            return self.divide(batch, index, records, bad);
        }
        let (chunk, undecodable) = self.partitions.sources[index].queue.decoder().decode(records);
        let chunk = chunk.made_from(records.size());
        let Some(error) = self.try_piece(batch, index, chunk)? else {
            bad.extend(undecodable.into_iter().map(|b| BadRecordAt::of(records, b.index, b.reason)));
            self.pieces.passed(records.len());
            return Ok(true);
        };
        if records.len() > 1 {
            return self.divide(batch, index, records, bad);
        }
        let is_fatal = self.partitions.sources[index].policy == BadRecordPolicy::Fail;
        if is_fatal || self.fails_without_records(batch)? {
            return Err(error); // a search over batches commits what comes before, and tells what it is
        }
        bad.push(BadRecordAt::of(records, 0, error.to_string()));
        self.pieces.failed();
        Ok(false)
    }

    fn divide(
        &mut self,
        batch: &Batch,
        index: usize,
        records: &RawChunk,
        bad: &mut Vec<BadRecordAt>,
    ) -> Result<bool> {
        let middle = records.len() / 2;
        let has_passed = self.take_piece(batch, index, &records.slice(0..middle), false, bad)?;
        self.take_piece(batch, index, &records.slice(middle..records.len()), has_passed, bad)?;
        self.pieces.failed();
        Ok(false)
    }

    /// Takes rows of a source through all stages. If an operator fails, all of that is undone, and the failure returned.
    fn try_piece(&mut self, batch: &Batch, index: usize, chunk: Chunk) -> Result<Option<Error>> {
        self.in_flight.sent_by_piece = Some(vec![]);
        match self.compute_piece(batch, Some((index, chunk))) {
            Ok(()) => {
                self.in_flight.counters += self.partitions.take_counters();
                self.partitions.states.iter_mut().for_each(StatePartition::keep_piece);
                self.in_flight.has_pieces = true;
                let sent = self.in_flight.sent_by_piece.take().unwrap_or_default();
                self.route(sent)?;
                Ok(None)
            }
            Err(e @ Error::Operator { .. }) => {
                self.undo_piece();
                Ok(Some(e))
            }
            Err(e) => Err(e),
        }
    }

    fn fails_without_records(&mut self, batch: &Batch) -> Result<bool> {
        self.in_flight.sent_by_piece = Some(vec![]);
        let result = self.compute_piece(batch, None);
        self.undo_piece();
        match result {
            Ok(()) => Ok(false),
            Err(Error::Operator { .. }) => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn compute_piece(&mut self, batch: &Batch, rows: Option<(usize, Chunk)>) -> Result {
        if let Some((index, chunk)) = rows.filter(|(_, chunk)| !chunk.is_empty()) {
            let (facts, at) = (*batch, self.partitions.sources[index].at.clone());
            let Loop { app, group, partitions, attention, .. } = self;
            let processed = attention.each(app, group, &mut partitions.sources, move |source| {
                if source.at == at {
                    source.task.process(&facts, source.node, Port(0), chunk.clone())
                } else {
                    Ok(())
                }
            })?;
            processed.into_iter().collect::<Result<()>>()?;
        }
        self.end_stages(batch)?;
        self.seal()
    }

    fn undo_piece(&mut self) {
        self.in_flight.sent_by_piece = None;
        self.partitions.sources.iter_mut().for_each(|source| source.task.abort());
        self.partitions.states.iter_mut().for_each(StatePartition::undo_piece);
    }
}
