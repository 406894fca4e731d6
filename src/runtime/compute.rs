//! Computing a batch: rounds of input through the stages, then the end of the batch in each, then what is sent with it.
//!
//! Owns the routing of what leaves tasks. Knows no operator. Invariants: a round is bounded and the staged bytes are looked at after
//! each; the transaction opens with the first thing that is sent; stages run in order, tasks of a stage in parallel.

use super::{
    engine::{Engine, Observed},
    local_input::LocalInput,
    meta::Meta,
    trigger,
    units::{Progress, SourcePartition, StatePartition},
};
use crate::{
    config::Trigger,
    error::{Error, Reaction, Result},
    operator::{Batch, Output},
    record::{Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, Timestamps, TopicPartition},
    source::{BadRecordAt, BadRecordPolicy, QueueLimits},
    state::changelog,
    task::checkpoint::Event,
};
use std::time::Duration;

/// One pass of all source partitions takes about so many bytes, then the staged bytes are looked at: short words that are all new stage
/// some twenty times as much.
pub(super) const ROUND_BYTES: usize = 2 << 20;
/// An idle batch looks at the group at least this often.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// A batch that took all it may looks at the group so often.
const THROTTLED_PAUSE: Duration = Duration::from_millis(10);
/// A reason in a dead letter's header is cut to this length, bytes.
const REASON_BYTES_MAX: usize = 1024;

impl Engine {
    /// Runs the batch up to everything being sent.
    pub(super) fn compute(&mut self) -> Result<Event> {
        match self.try_compute() {
            Ok(_) if self.accused.is_some() => Ok(self.convict()),
            Ok(true) => Ok(Event::Computed),
            Ok(false) => {
                self.rest_empty();
                Ok(Event::Empty)
            }
            Err(e @ Error::Operator { .. }) => Ok(self.search_failing_record(e)),
            Err(e) => self.failed(e),
        }
    }

    fn try_compute(&mut self) -> Result<bool> {
        let batch = self.cut();
        let longest = self.config.batch_duration_max();
        loop {
            let progressed = self.round(&batch)?;
            self.hear_group()?;
            let (age, now) =
                (self.env.clock.monotonic().saturating_sub(self.flight.began), self.env.clock.now_ms());
            let left = trigger::time_left(self.config.trigger, batch.time, now, age, longest);
            let full =
                self.flight.records >= self.records_max() || self.flight.bytes >= self.config.batch_bytes_max;
            let idle = !progressed && self.ends_now_that_idle();
            let staged = self.staged_bytes() >= self.staging.bytes_max();
            if left.is_zero()
                || full
                || idle
                || staged
                || !self.events.is_empty()
                || self.env.shutdown.is_requested()
                || (!progressed && self.is_drained()?)
            {
                break;
            }
            if !progressed {
                let before = self.env.clock.monotonic();
                if self.rates_are_reached() {
                    self.env.clock.sleep(left.min(THROTTLED_PAUSE)); // records may wait, so the member would not
                } else {
                    self.member.wait(left.min(IDLE_WAIT));
                }
                self.flight.waited += self.env.clock.monotonic().saturating_sub(before);
            }
        }
        let _ = crate::failpoint::passes("after-poll");
        self.input_ended = self.env.clock.monotonic();
        self.flight.staged_bytes = self.staged_bytes();
        self.env.observer.on(&Observed::InputEnded { batch, inputs: &self.flight.inputs });
        self.end_stages(&batch)?;
        let _ = crate::failpoint::passes("during-compute");
        self.send_changes()
    }

    /// About how many bytes the batch holds until it ends.
    fn staged_bytes(&self) -> usize {
        let of_states = self.states.iter().map(StatePartition::staged_bytes).sum::<usize>();
        let of_sources = self.sources.iter().map(|unit| unit.task.staged_bytes()).sum::<usize>();
        of_states + of_sources + self.locals.iter().map(|unit| unit.task.staged_bytes()).sum::<usize>()
    }

    /// One bounded pass: input through stage 0, then what it made through the later stages. `false` = nothing was there.
    fn round(&mut self, batch: &Batch) -> Result<bool> {
        let (limits, batch) = (self.limits(), *batch);
        let room = self.room();
        let round_bytes = ROUND_BYTES / self.sources.len().max(1);
        let mut moved = false;
        let results = if self.probe.is_some() {
            self.advance_one_by_one(&batch, limits, room)
        } else {
            let sources = std::mem::take(&mut self.sources);
            let work = move |unit: &mut SourcePartition| {
                let room = room.min(unit.left_in_interval());
                unit.advance(&batch, limits, room, round_bytes)
            };
            let (units, results): (Vec<_>, Vec<_>) = self.pool.run(sources, work).into_iter().unzip();
            self.sources = units;
            results
        };
        for (index, progress) in results.into_iter().enumerate() {
            let progress = progress.inspect_err(|e| self.tell_failed_receiver(index, e))?;
            moved |= progress.records > 0;
            self.take_progress(index, progress)?;
        }
        moved |= self.round_of_locals(&batch)?;
        for stage in 1..self.plan.stages() as usize {
            self.run_stage(&batch, stage, false)?;
        }
        Ok(moved)
    }

    fn round_of_locals(&mut self, batch: &Batch) -> Result<bool> {
        if self.locals.is_empty() {
            return Ok(false);
        }
        let (batch, rows_max) = (*batch, self.batch_room(self.config.batch_records_max));
        let work = move |unit: &mut LocalInput| unit.advance(&batch, rows_max);
        let (units, results): (Vec<_>, Vec<_>) =
            self.pool.run(std::mem::take(&mut self.locals), work).into_iter().unzip();
        self.locals = units;
        let mut moved = false;
        for (index, progress) in results.into_iter().enumerate() {
            let Progress { records, outputs, .. } = progress?;
            moved |= records > 0;
            self.flight.records += records;
            self.flight.inputs[self.sources.len() + index].records += records;
            self.flight.read.entry(self.locals[index].name.clone()).or_default().0 += records;
            self.route(0, outputs)?;
        }
        Ok(moved)
    }

    /// While a failing record is searched, partitions are taken in turn, so that the last record taken is the one that failed.
    fn advance_one_by_one(
        &mut self,
        batch: &Batch,
        limits: QueueLimits,
        mut room: usize,
    ) -> Vec<Result<Progress>> {
        let mut results = vec![];
        for unit in &mut self.sources {
            if room == 0 {
                results.push(Ok(Progress::default()));
                continue;
            }
            let limits = QueueLimits { chunk_records: limits.chunk_records.min(room), ..limits };
            let result = unit.advance(batch, limits, room, ROUND_BYTES);
            if let Some(first) = unit.taken_first.take() {
                self.flight.suspect = Some((unit.at.clone(), first));
            }
            room = result.as_ref().map_or(0, |p| room.saturating_sub(p.records));
            results.push(result);
        }
        results
    }

    /// What an operator does to a record is no failure of its receiver.
    fn tell_failed_receiver(&self, source: usize, error: &Error) {
        if let Error::Log(failure) = error {
            let at = &self.sources[source].at;
            self.env.observer.on(&Observed::ReceiverFailed { at, why: &failure.message });
        }
    }

    fn take_progress(&mut self, source: usize, progress: Progress) -> Result {
        let input = &mut self.flight.inputs[source];
        (input.until, input.records) = (self.sources[source].next, input.records + progress.records);
        let read = self.flight.read.entry(self.sources[source].at.topic.clone()).or_default();
        *read = (read.0 + progress.records, read.1 + progress.bytes);
        self.flight.records += progress.records;
        self.flight.bytes += progress.bytes;
        let timestamps = self.flight.timestamps.into_iter().chain(progress.timestamps);
        self.flight.timestamps = timestamps.reduce(Timestamps::and);
        for bad in progress.bad {
            self.bad_record(source, &bad)?;
        }
        self.route(self.topics.first_task(&self.sources[source].at.topic), progress.outputs)
    }

    fn run_stage(&mut self, batch: &Batch, stage: usize, end: bool) -> Result {
        if !end && self.states.iter().all(|s| s.inbox[stage - 1].is_empty()) {
            return Ok(());
        }
        let batch = *batch;
        self.advance_states(move |unit| unit.advance(&batch, stage, end))?;
        // A window may be larger than memory: what came out goes on its way before more is made.
        while end && self.states.iter().any(|s| s.is_ending) {
            for later in stage + 1..self.plan.stages() as usize {
                self.run_stage(&batch, later, false)?;
            }
            self.advance_states(
                move |unit| {
                    if unit.is_ending { unit.advance(&batch, stage, true) } else { Ok(vec![]) }
                },
            )?;
        }
        Ok(())
    }

    fn advance_states(
        &mut self,
        advance: impl Fn(&mut StatePartition) -> Result<Vec<Output>> + Send + Sync + 'static,
    ) -> Result {
        let results = self.pool.run(std::mem::take(&mut self.states), advance);
        let (units, outputs): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.states = units;
        for (index, outputs) in outputs.into_iter().enumerate() {
            let outputs = outputs?;
            self.states[index].touched |= !outputs.is_empty();
            self.route(0, outputs)?;
        }
        Ok(())
    }

    /// Ends the batch in every stage, in order.
    fn end_stages(&mut self, batch: &Batch) -> Result {
        let facts = *batch;
        let results = self.pool.run(std::mem::take(&mut self.sources), move |unit| {
            unit.task.end_batch(&facts)?;
            Ok::<_, Error>(unit.task.take_outputs())
        });
        let mut outputs = vec![];
        for (unit, output) in results {
            outputs.push((self.topics.first_task(&unit.at.topic), output));
            self.sources.push(unit);
        }
        let results = self.pool.run(std::mem::take(&mut self.locals), move |unit| {
            unit.task.end_batch(&facts)?;
            Ok::<_, Error>(unit.task.take_outputs())
        });
        for (unit, output) in results {
            self.locals.push(unit);
            outputs.push((0, output));
        }
        for (first_task, outputs) in outputs {
            self.route(first_task, outputs?)?;
        }
        for stage in 1..self.plan.stages() as usize {
            self.run_stage(batch, stage, true)?;
        }
        Ok(())
    }

    /// Hands on what left tasks: rows to their state partition, records to the producer, lines to the console. Outputs outside the log
    /// see the tasks of all topics counted through, `first_task` being that of partition 0.
    fn route(&mut self, first_task: u32, outputs: Vec<Output>) -> Result {
        for output in outputs {
            match output {
                Output::Rows { node, port, partition, chunk, .. } => {
                    let stage = self.plan.stage(node) as usize;
                    self.states[partition.0 as usize].inbox[stage - 1].push((node, port, chunk));
                }
                Output::Records { topic, records } => {
                    let written = self.flight.written.entry(topic.clone()).or_default();
                    *written = (written.0 + records.len(), written.1 + records.bytes());
                    let records = match self.flight.timestamps {
                        Some(read) if read.greatest_ms > 0 => records.stamped(read.greatest_ms),
                        _ => records,
                    };
                    self.send(&topic, None, &records)?;
                }
                Output::Collected { node, partition, chunk } => {
                    let task = Partition(first_task + partition.0);
                    self.flight.collected.entry(node).or_default().push(task, chunk);
                }
                Output::Late(records) => self.flight.late += records,
                Output::Watermark(ms) => {
                    self.flight.watermark_ms = self.flight.watermark_ms.into_iter().chain([ms]).min();
                }
                Output::Console { node, rows, rows_max } => {
                    let shown = self.flight.console.entry(node).or_insert((vec![], rows_max));
                    let room = (rows_max + 1).saturating_sub(shown.0.len());
                    shown.0.extend(rows.into_iter().take(room));
                }
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result {
        let producer = self.producer.as_mut().expect("ready before the first batch");
        if !self.flight.open {
            producer.begin()?;
            self.flight.open = true;
        }
        producer.send(topic, partition, records)?;
        let _ = crate::failpoint::passes("after-send");
        Ok(())
    }

    /// Seals the staged state and sends it with the rows of the meta topic. `false` = the batch changed nothing at all.
    fn send_changes(&mut self) -> Result<bool> {
        let results = self.pool.run(std::mem::take(&mut self.states), StatePartition::seal);
        let (units, sealed): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.states = units;
        sealed.into_iter().collect::<Result<()>>()?;
        let batch = self.flight.batch.expect("cut");
        self.prepare_two_phase(&batch)?;
        let moved = self.flight.open
            || self.sources.iter().any(SourcePartition::is_touched)
            || self.states.iter().any(|s| s.touched);
        if !moved {
            return Ok(false);
        }
        let changelog = self.names.changelog.clone();
        for index in 0..self.states.len() {
            let (partition, changes) =
                (self.states[index].partition, std::mem::take(&mut self.states[index].changes));
            for rows in &changes {
                self.send(&changelog, Some(partition), rows)?;
                self.states[index].sent_rows += rows.len() as u64;
            }
            self.states[index].changes = changes;
        }
        self.send_meta()?;
        Ok(true)
    }

    /// The first batch tells what runs; every few seconds each partition leaves a witness of its position.
    fn send_meta(&mut self) -> Result {
        let meta = self.names.meta.clone();
        if !self.first_rows_sent {
            let rows = Meta::first_rows(&self.print, &self.topics);
            self.send(&meta, Some(Partition(0)), &rows)?;
        }
        let now = self.env.clock.monotonic();
        if self.last_witness.is_some_and(|last| now.saturating_sub(last) < self.config.witness_interval) {
            return Ok(());
        }
        self.flight.witnessed = true;
        let moved = self.sources.iter().filter(|s| s.witnessed != Some(s.next));
        let rows = Meta::witness_rows(moved.map(|s| (&s.at, s.next)));
        if !rows.is_empty() {
            self.send(&meta, Some(Partition(0)), &rows)?;
        }
        let batch = self.flight.batch.expect("cut");
        for index in 0..self.states.len() {
            if self.states[index].touched {
                let record = self.record(&batch).to_text();
                let mut marker = RawChunkBuilder::default();
                changelog::push_marker(record.as_bytes(), &mut marker);
                let (changelog, partition) = (self.names.changelog.clone(), self.states[index].partition);
                self.send(&changelog, Some(partition), &marker.build())?;
            }
        }
        Ok(())
    }

    fn bad_record(&mut self, source: usize, bad: &BadRecordAt) -> Result {
        let unit = &self.sources[source];
        let (at, policy) = (unit.at.clone(), unit.policy);
        if policy == BadRecordPolicy::Fail {
            return Err(bad_record_error(&at, bad.offset, &bad.reason));
        }
        let dead_letter = policy == BadRecordPolicy::DeadLetter;
        self.flight.dead_letters += usize::from(dead_letter);
        self.flight.skipped += usize::from(!dead_letter);
        if dead_letter {
            let (topic, letter) = (self.names.dead_letters.clone(), self.dead_letter(&at, bad)?);
            self.send(&topic, None, &letter)?;
        }
        self.env.observer.on(&Observed::BadRecord {
            at: &at,
            offset: bad.offset,
            reason: &bad.reason,
            dead_letter,
        });
        Ok(())
    }

    /// The record as it came, with where it came from and why it is here.
    fn dead_letter(&self, at: &TopicPartition, bad: &BadRecordAt) -> Result<RawChunk> {
        let fetched;
        let record = if bad.record.is_empty() {
            fetched = self.fetch_one(at, bad.offset)?;
            fetched.get(0)
        } else {
            bad.record.get(0)
        };
        let mut reason = bad.reason.as_str();
        while reason.len() > REASON_BYTES_MAX {
            reason = &reason[..reason.char_indices().next_back().map_or(0, |(i, _)| i)];
        }
        let mut letter = RawChunkBuilder::default();
        letter.push(RawRecord { headers: Headers::NONE, ..record });
        for (name, value) in record.headers.iter() {
            letter.push_header(name, value);
        }
        let (partition, offset) = (at.partition.to_string(), bad.offset.to_string());
        for (name, value) in [
            ("__tidegate.errors.application", self.config.application_id.as_str()),
            ("__tidegate.errors.topic", &at.topic),
            ("__tidegate.errors.partition", &partition),
            ("__tidegate.errors.offset", &offset),
            ("__tidegate.errors.message", reason),
        ] {
            letter.push_header(name, Some(value.as_bytes()));
        }
        Ok(letter.build())
    }

    /// A record that failed in an operator is read again from its source.
    fn fetch_one(&self, at: &TopicPartition, offset: Offset) -> Result<RawChunk> {
        let mut reader = self.env.log.read(at, offset)?;
        for _ in 0..100 {
            let Some(fetched) = reader.next(Duration::from_millis(100))? else { continue };
            if let Some(record) = fetched.records.iter().find(|r| r.offset == offset) {
                let mut alone = RawChunkBuilder::default();
                alone.push(record);
                return Ok(alone.build());
            }
            break;
        }
        Err(Error::State(format!("{at}: the record at offset {offset} could not be read again")))
    }

    /// An operator failed: replay smaller and smaller batches until the record is alone, then a batch without any record.
    fn search_failing_record(&mut self, error: Error) -> Event {
        let taken = self.flight.records.max(1);
        let suspect = self.flight.suspect.take();
        match self.probe {
            Some(0) => return self.failed_for_good(error), // no record is to blame
            Some(1) => {
                let Some((at, offset)) = suspect else { return self.failed_for_good(error) };
                self.accused = Some((at, offset, error));
                self.probe = Some(0);
                return Event::GivenUp;
            }
            Some(n) => self.probe = Some((n / 2).max(1)),
            None => self.probe = Some((taken.min(self.config.batch_records_max) / 2).clamp(1, 4096)),
        }
        tracing::info!(records = self.probe, "an operator failed; searching the record: {error}");
        self.failure = Some(error);
        Event::GivenUp
    }

    /// The batch without records did not fail: the accused record goes the way of bad records. The trial leaves no trace.
    fn convict(&mut self) -> Event {
        let (at, offset, error) = self.accused.take().expect("asked before");
        self.probe = Some(1);
        let Some(unit) = self.sources.iter_mut().find(|s| s.at == at) else { return Event::GivenUp };
        if unit.policy == BadRecordPolicy::Fail {
            return self.failed_for_good(bad_record_error(&at, offset, &error.to_string()));
        }
        unit.poison = Some((offset, error.to_string()));
        Event::GivenUp
    }

    fn failed_for_good(&mut self, error: Error) -> Event {
        self.failure = Some(error);
        Event::Broken
    }

    /// Without an interval a batch ends when nothing more is there; a single bounded batch only when it has taken everything.
    fn ends_now_that_idle(&self) -> bool {
        match self.config.trigger {
            Trigger::Interval(_) => false,
            Trigger::AsSoonAsPossible => true,
            Trigger::AvailableNow => self.flight.records > 0 || self.has_taken_everything(),
            Trigger::Once => self.has_taken_everything(),
        }
    }

    /// How many records a source may give in the next round. A bound of the rate is shared, as all sources take at once.
    fn room(&self) -> usize {
        let room = self.batch_room(self.records_max());
        if self.rates.batch_records() == usize::MAX {
            return room;
        }
        room.div_ceil(self.sources.len().max(1))
    }

    fn batch_room(&self, records_max: usize) -> usize {
        records_max.min(self.rates.batch_records()).saturating_sub(self.flight.records)
    }

    /// Whether a bound of the rate, not a lack of input, may be why nothing moved.
    fn rates_are_reached(&self) -> bool {
        self.flight.records >= self.rates.batch_records()
            || self.sources.iter().any(SourcePartition::is_at_its_rate)
    }

    fn records_max(&self) -> usize {
        self.probe.unwrap_or(self.config.batch_records_max)
    }

    /// Whether something waits to be computed; takes ahead what is there.
    pub(super) fn has_input(&mut self) -> Result<bool> {
        if self.is_quiet_source() {
            return Ok(true);
        }
        let limits = self.limits();
        let mut there = self.locals.iter().any(LocalInput::has_more);
        let mut lost = false;
        for unit in &mut self.sources {
            if let Err(f) = unit.queue.fill(limits) {
                self.env.observer.on(&Observed::ReceiverFailed { at: &unit.at, why: &f.message });
                match f.reaction {
                    Reaction::RetrySame | Reaction::AbortReplay => tracing::warn!("{f}; trying again"),
                    Reaction::CloseTasks => lost = true,
                    _ => return Err(f.into()),
                }
            }
            there |= unit.queue.has_ready();
        }
        if lost {
            self.close_tasks();
        }
        Ok(there && !lost)
    }

    /// Bounded runs cut batches until the last one has taken everything.
    fn is_quiet_source(&self) -> bool {
        self.config.trigger != Trigger::AsSoonAsPossible
    }
}

fn bad_record_error(at: &TopicPartition, offset: Offset, reason: &str) -> Error {
    Error::BadRecord {
        topic: at.topic.to_string(),
        partition: at.partition.0,
        offset: offset.0,
        reason: reason.into(),
    }
}
