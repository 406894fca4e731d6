//! Computes a batch: rounds of input through the stages, then the end of the batch in each stage, then what
//! is sent with it.
//!
//! Knows no operator. Invariants: a round is bounded in bytes and in time, and what the batch holds is checked
//! after each; nothing is sent, so no function of the program runs against the clock of a transaction; stages run
//! in order, tasks of a stage in parallel.

use super::Loop;
use crate::{
    config::Trigger,
    error::{Error, Reaction, Result},
    log::Membership,
    operator::{Batch, Output, Volume},
    record::{BatchTime, Partition},
    runtime::{
        app::RETRY_PAUSE,
        batch::{
            in_flight::{Content, InFlight},
            local_input::LocalInput,
            outgoing::Outgoing,
            pace::trigger,
            partitions::ROUND_BYTES,
            source_partition::{Progress, Round, SourcePartition},
            state_partition::StatePartition,
        },
        events::Observed,
        group::{meta::Meta, peers::Peer},
    },
    sink::two_phase::Collected,
    source::QueueLimits,
    task::checkpoint::Event,
};
use std::time::Duration;

/// An idle batch polls the group at least this often.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Without an interval and input, a program that closes something as event time passes has a batch this often.
const TICK: Duration = Duration::from_secs(1);
/// The same, while other processes wait for what this one has not to say.
const SHARED_TICK: Duration = Duration::from_millis(100);
/// How often a batch that has taken all it may polls the group.
const THROTTLED_PAUSE: Duration = Duration::from_millis(10);

impl Loop {
    /// Computes the batch. What it sends is held until all of it is computed.
    pub(super) fn compute(&mut self) -> Result<Event> {
        if !self.in_flight.content.has_input() {
            return self.compute_closing();
        }
        match self.try_compute() {
            Ok(_) if self.in_flight.is_spilled => Ok(self.spill()),
            Ok(_) if self.bisection.is_trial() => Ok(self.convict()),
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
        // What has come since the program was down belongs to the batches after the start.
        while !self.pace.is_passed_over(batch) && !self.input_ends(&batch)? {}
        if self.in_flight.is_spilled {
            return Ok(false);
        }
        let _ = crate::failpoint::passes("after-poll");
        self.in_flight.input_ended = self.app.now();
        self.in_flight.staged_bytes = self.bytes();
        self.transaction.input_ended();
        self.app.observe(&Observed::InputEnded { batch, inputs: &self.in_flight.inputs });
        if self.in_flight.content == Content::Input {
            self.end_input(&batch)?;
        } else if !self.in_flight.has_pieces {
            self.end_stages(&batch)?;
        }
        let _ = crate::failpoint::passes("during-compute");
        self.in_flight.counters += self.partitions.take_counters();
        self.hold_changes(batch)
    }

    /// Begins a batch.
    fn cut(&mut self) -> Batch {
        let began_ms = self.app.env.clock.now_ms();
        let is_whole = self.partitions.see_batches();
        let (mut batch, opens_interval) = self.pace.cut(began_ms, is_whole);
        batch.is_roll_call = self.partitions.changes != self.partitions.changes_known;
        self.look_for_ends(batch.time);
        self.bisection.begin();
        self.witness.begin();
        self.transaction.forget(); // whatever ended the batch before: nothing of this one is held
        self.attention.watch(self.partitions.tasks().map(|task| task.running()));
        let of_partition = self.pace.rates.partition_records();
        let is_search = self.bisection.is_active() || self.pieces.are_taken();
        let inputs = self.partitions.begin_batch(batch.time, opens_interval, of_partition, is_search);
        if self.pieces.are_taken() {
            self.partitions.sources.iter_mut().for_each(|source| source.set_in_pieces(true)); // new ones too
        }
        let began = self.app.now();
        let outgoing = self.outgoing();
        self.in_flight = InFlight {
            content: if outgoing.is_some() { Content::Input } else { Content::Whole },
            outgoing,
            batch: Some(batch),
            began,
            began_ms,
            input_ended: began,
            changes: self.partitions.changes,
            is_whole,
            inputs,
            ..InFlight::default()
        };
        self.app.observe(&Observed::Cut { batch, inputs: &self.in_flight.inputs });
        batch
    }

    /// Tells tasks that wait for it that everything in their partitions is read.
    fn look_for_ends(&mut self, now: BatchTime) {
        let (sources, ends) = (&mut self.partitions.sources, &self.beside.input_ends);
        let unknown = sources.iter_mut().filter_map(|s| s.needs_end(now).then(|| s.at.clone()));
        let unknown: Vec<_> = unknown.collect();
        if !unknown.is_empty() {
            ends.ask(unknown);
        }
        for (at, end) in ends.answers() {
            if let Some(source) = sources.iter_mut().find(|s| s.at == at) {
                source.heard_end(end);
            }
        }
        sources.iter_mut().for_each(SourcePartition::catch_up);
    }

    /// Takes one round of input, then waits briefly if there was none. `true` = the batch takes no more.
    fn input_ends(&mut self, batch: &Batch) -> Result<bool> {
        self.look_at_restores()?;
        if !self.must_be_cut_first(batch) && self.close_meanwhile()? {
            return Ok(false);
        }
        let is_full = self.is_full();
        let is_held_up = self.has_too_much_waiting();
        let progressed = !is_full && !is_held_up && self.timed_round(batch)?;
        self.group.hear(&self.app);
        self.group.take_loss()?;
        self.attention.report(&self.app, None);
        let (config, clock) = (&self.app.config, &self.app.env.clock);
        let age = self.app.since(self.in_flight.began);
        let left = trigger::time_left(config.trigger, batch.time, clock.now_ms(), age);
        let is_full = is_full || self.is_full();
        let idle = !progressed && self.ends_now_that_idle();
        // Where an interval must be one batch, what does not fit is sent on in parts, or left for the next one.
        let is_limited = self.bisection.is_active() || self.pace.setbacks.limit().is_some();
        let has_interval = matches!(config.trigger, Trigger::Interval(_));
        let waits = is_full && self.in_flight.is_whole && has_interval && !is_limited;
        let is_over = left.is_zero() || (is_full && !waits) || idle;
        let stops = self.app.env.shutdown.is_requested();
        // Where others have state, they go on with the batch.
        let is_left_to_others =
            stops && !self.has_all_states() && !self.app.env.shutdown.is_drain_requested();
        if is_over || (stops && !is_left_to_others) || (!progressed && self.is_drained()?) {
            return Ok(true);
        }
        // What the group asks is answered between transactions, and need not be the end of an interval that must be one batch.
        let is_disturbed = self.group.has_events() || is_left_to_others;
        self.in_flight.is_part = (waits || (is_disturbed && !is_limited)) && self.may_send_parts();
        self.in_flight.is_spilled = waits && self.may_spill();
        if is_disturbed || self.in_flight.is_part || self.in_flight.is_spilled {
            self.in_flight.has_no_room = waits;
            return Ok(true);
        }
        self.tell_if_full(batch, waits);
        if !progressed {
            let before = self.app.now();
            if waits || is_held_up || self.rates_are_reached() {
                self.app.env.clock.sleep(left.min(THROTTLED_PAUSE)); // records may be waiting, so `wait` would not block
            } else {
                self.group.wait(left.min(IDLE_WAIT));
            }
            self.in_flight.waited += self.app.since(before);
        }
        Ok(false)
    }

    /// Whether its rows and marks go through the exchange topic before state partitions catch up any further: the others, here and
    /// elsewhere, wait for them.
    fn must_be_cut_first(&self, batch: &Batch) -> bool {
        let (trigger, age) = (self.app.config.trigger, self.app.since(self.in_flight.began));
        let left = trigger::time_left(trigger, batch.time, self.app.env.clock.now_ms(), age);
        let is_due = left.is_zero() || (trigger == Trigger::AsSoonAsPossible && age >= SHARED_TICK);
        is_due && self.takes_input_while_catching_up() && self.only_catches_up()
    }

    /// Whether all that can be closed is of state partitions that were restored and catch up.
    pub(super) fn only_catches_up(&self) -> bool {
        let plan = &self.app.plan;
        self.partitions.only_catch_up(1..plan.stages(), plan.may_be_closed_apart())
    }

    /// Whether input is taken while state partitions that were restored catch up.
    pub(super) fn takes_input_while_catching_up(&self) -> bool {
        self.exchange.is_some() && !self.ends_when_closed() && !self.app.is_bounded()
    }

    /// Whether the batch holds all that it may.
    fn is_full(&self) -> bool {
        let (counters, has_state) = (&self.in_flight.counters, self.app.plan.has_state_partitions());
        let is_whole = self.in_flight.is_whole && !self.may_send_parts();
        counters.records_in >= self.records_max()
            || counters.bytes_in >= self.app.config.batch_bytes_max
            || self.bytes() >= self.pace.staging.bytes_max(is_whole, has_state)
    }

    /// Says once that an interval has more than its batch may hold.
    fn tell_if_full(&mut self, batch: &Batch, waits: bool) {
        // What waits in the exchange topic is of this batch alone once everything before it is closed.
        let is_all_of_it = self.in_flight.is_whole && self.has_closed_everything();
        let has_no_room = waits || (self.exchange.as_ref().is_some_and(|e| e.is_held_up) && is_all_of_it);
        if has_no_room && !std::mem::replace(&mut self.in_flight.counters.is_full, true) {
            let what = self.what_is_full();
            tracing::warn!(
                "the batch holds all that it may ({what}): what comes until {} is left for the next one\n  next: raise {what}, or choose a shorter batch interval",
                batch.time,
            );
        }
    }

    /// The setting that is the cause of it.
    pub(super) fn what_is_full(&self) -> &'static str {
        let counters = &self.in_flight.counters;
        if self.exchange.as_ref().is_some_and(|exchange| exchange.is_held_up) {
            "`waiting_bytes_max`"
        } else if counters.records_in >= self.app.config.batch_records_max {
            "`batch_records_max`"
        } else if counters.bytes_in >= self.app.config.batch_bytes_max {
            "`batch_bytes_max`"
        } else if self.pace.staging.is_bound_by_log() {
            "`transaction_timeout`, half of which the log takes for so much"
        } else {
            "`staged_bytes_max`"
        }
    }

    /// About how many bytes the batch holds until it is committed.
    fn bytes(&self) -> usize {
        let collected: usize = self.in_flight.collected.values().map(Collected::bytes).sum();
        let outgoing = self.in_flight.outgoing.as_ref().map_or(0, Outgoing::bytes);
        self.partitions.staged_bytes() + self.transaction.held_bytes() + outgoing + collected
    }

    fn timed_round(&mut self, batch: &Batch) -> Result<bool> {
        let (began, before) = (self.app.now(), self.in_flight.counters.records_in);
        let moved = self.round(batch);
        let records = self.in_flight.counters.records_in - before;
        self.pace.round.learn(records, self.app.since(began));
        moved
    }

    /// One bounded pass: input through stage 0, then its results through the later stages. `false` = there
    /// was nothing.
    fn round(&mut self, batch: &Batch) -> Result<bool> {
        if self.pieces.are_taken() {
            return self.round_of_pieces(batch);
        }
        let limits = self.queue_limits();
        let room = self.room();
        let mut moved = false;
        let results = if self.bisection.is_active() {
            self.advance_one_by_one(batch, limits, room)
        } else {
            let (batch, sources) = (*batch, self.partitions.sources.len().max(1));
            let round = Round {
                records_max: self.pace.round.records_max().div_ceil(sources),
                bytes_max: ROUND_BYTES / sources,
            };
            let Loop { app, group, partitions, attention, .. } = self;
            attention.each(app, group, &mut partitions.sources, move |source| {
                source.advance(&batch, limits, room.min(source.left_in_interval()), round)
            })?
        };
        for (index, progress) in results.into_iter().enumerate() {
            let progress = progress.inspect_err(|e| self.report_failed_receiver(index, e))?;
            moved |= progress.records > 0;
            self.take_progress(index, progress)?;
        }
        moved |= self.round_of_locals(batch)?;
        if self.in_flight.content == Content::Input {
            return Ok(moved);
        }
        for stage in 1..self.app.plan.stages() as usize {
            self.run_stage(batch, stage, false)?;
        }
        Ok(moved)
    }

    fn round_of_locals(&mut self, batch: &Batch) -> Result<bool> {
        if self.partitions.locals.is_empty() {
            return Ok(false);
        }
        let (batch, rows_max) = (*batch, self.batch_room(self.app.config.batch_records_max));
        let Loop { app, group, partitions, attention, .. } = self;
        let results = attention
            .each(app, group, &mut partitions.locals, move |local| local.advance(&batch, rows_max))?;
        let mut moved = false;
        for (index, progress) in results.into_iter().enumerate() {
            let Progress { records, outputs, .. } = progress?;
            moved |= records > 0;
            let position = self.partitions.sources.len() + index;
            self.in_flight.inputs[position].records += records;
            let name = self.partitions.locals[index].name.clone();
            self.count_read(name, Volume { records, bytes: 0 });
            self.route(outputs)?;
        }
        Ok(moved)
    }

    /// During the search for a failing record, partitions are taken in turn, so that the last record taken is
    /// the one that failed.
    fn advance_one_by_one(
        &mut self,
        batch: &Batch,
        limits: QueueLimits,
        mut room: usize,
    ) -> Vec<Result<Progress>> {
        let mut results = vec![];
        for source in &mut self.partitions.sources {
            if room == 0 {
                results.push(Ok(Progress::default()));
                continue;
            }
            let limits = QueueLimits { chunk_records: limits.chunk_records.min(room), ..limits };
            let round = Round { records_max: room, bytes_max: ROUND_BYTES };
            let result = source.advance(batch, limits, room, round);
            if let Some(first) = source.taken_first.take() {
                self.bisection.took(&source.at, first);
            }
            room = result.as_ref().map_or(0, |p| room.saturating_sub(p.records));
            results.push(result);
        }
        results
    }

    /// An error of an operator is not a failure of the receiver.
    pub(super) fn report_failed_receiver(&self, source: usize, error: &Error) {
        if let Error::Log(failure) = error {
            let at = &self.partitions.sources[source].at;
            self.app.observe(&Observed::ReceiverFailed { at, why: &failure.message });
        }
    }

    pub(super) fn take_progress(&mut self, index: usize, progress: Progress) -> Result {
        let source = &self.partitions.sources[index];
        let (topic, next) = (source.at.topic.clone(), source.next);
        let input = &mut self.in_flight.inputs[index];
        (input.until, input.records) = (next, input.records + progress.records);
        self.count_read(topic, Volume { records: progress.records, bytes: progress.bytes });
        self.in_flight.counters.saw(progress.timestamps);
        for bad in progress.bad {
            self.bad_record(index, &bad)?;
        }
        if let Some(held_up) = progress.held_up {
            self.app.observe(&Observed::HeldUp { at: &self.partitions.sources[index].at, held_up: &held_up });
        }
        self.route(progress.outputs)
    }

    fn count_read(&mut self, name: std::sync::Arc<str>, volume: Volume) {
        let counters = &mut self.in_flight.counters;
        counters.records_in += volume.records;
        counters.bytes_in += volume.bytes;
        *counters.read.entry(name).or_default() += volume;
    }

    fn run_stage(&mut self, batch: &Batch, stage: usize, end: bool) -> Result {
        if !end && self.partitions.states.iter().all(|s| s.inbox[stage - 1].is_empty()) {
            return Ok(());
        }
        let batch = *batch;
        self.advance_states(move |state| state.advance(&batch, stage, end))?;
        // A window may be larger than memory: what was emitted is routed before more is produced.
        while end && self.partitions.states.iter().any(|s| s.is_ending) {
            for later in stage + 1..self.app.plan.stages() as usize {
                self.run_stage(&batch, later, false)?;
            }
            self.advance_states(move |state| {
                if state.is_ending { state.advance(&batch, stage, true) } else { Ok(vec![]) }
            })?;
        }
        Ok(())
    }

    pub(super) fn advance_states(
        &mut self,
        advance: impl Fn(&mut StatePartition) -> Result<Vec<Output>> + Send + Sync + 'static,
    ) -> Result {
        let Loop { app, group, partitions, attention, .. } = self;
        let outputs = attention.each(app, group, &mut partitions.states, advance)?;
        for (index, outputs) in outputs.into_iter().enumerate() {
            let outputs = outputs?;
            self.partitions.states[index].touched |= !outputs.is_empty();
            self.route(outputs)?;
        }
        Ok(())
    }

    /// Ends the batch in every stage, in order.
    pub(super) fn end_stages(&mut self, batch: &Batch) -> Result {
        self.end_first_stage(batch)?;
        for stage in 1..self.app.plan.stages() as usize {
            self.run_stage(batch, stage, true)?;
        }
        Ok(())
    }

    /// Ends the batch in the tasks of all sources.
    pub(super) fn end_first_stage(&mut self, batch: &Batch) -> Result {
        let facts = *batch;
        let Loop { app, group, partitions, attention, .. } = self;
        let of_sources = attention.each(app, group, &mut partitions.sources, move |source| {
            source.task.end_batch(&facts)?;
            Ok::<_, Error>(source.task.take_outputs())
        })?;
        let of_locals = attention.each(app, group, &mut partitions.locals, move |local| {
            local.task.end_batch(&facts)?;
            Ok::<_, Error>(local.task.take_outputs())
        })?;
        of_sources.into_iter().chain(of_locals).try_for_each(|outputs| self.route(outputs?))
    }

    /// Seals the staged state and holds it with the rows of the meta topic. `false` = the batch changed nothing at all.
    pub(super) fn hold_changes(&mut self, batch: Batch) -> Result<bool> {
        self.seal()?;
        self.prepare_two_phase(batch)?;
        self.hold_outgoing()?;
        let has_input = self.in_flight.content.has_input();
        if self.transaction.holds_nothing() && !self.partitions.have_moved(has_input) {
            return Ok(false);
        }
        if self.in_flight.content == Content::Whole && self.app.is_shared() {
            // Whoever gets a state partition next goes on after this time.
            self.partitions.states.iter_mut().for_each(|state| state.touched = true);
        }
        let mut changes = self.partitions.states.iter().flat_map(|state| &state.changes);
        changes.try_for_each(|rows| self.check_internal(&self.app.names.changelog, rows))?;
        for state in &mut self.partitions.states {
            for rows in &state.changes {
                self.transaction.hold(&self.app.names.changelog, Some(state.partition), rows.clone())?;
                state.sent_rows += rows.len() as u64;
            }
        }
        if !has_input {
            return Ok(true);
        }
        if self.partitions.locals.iter().any(LocalInput::has_given) {
            // No offset says whether they were committed.
            let row = Meta::batch_row(&self.group.identity.token(&self.app, self.in_flight.commit_id()));
            self.transaction.hold(&self.app.names.meta, Some(Partition(0)), row)?;
        }
        let membership =
            self.group.membership().ok().filter(|_| self.witness.is_first() && self.app.is_shared());
        if let Some(Membership { member_id, .. }) = membership {
            let row = Meta::peer_row(&self.app.env.instance, &Peer::of(&self.app, &member_id));
            self.transaction.hold(&self.app.names.meta, Some(Partition(0)), row)?;
        }
        for rows in self.witness.rows(
            &self.app,
            self.group.identity.meta(),
            &self.group.topics,
            &self.partitions.sources,
        ) {
            self.check_internal(&self.app.names.meta, &rows)?;
            self.transaction.hold(&self.app.names.meta, Some(Partition(0)), rows)?;
        }
        Ok(true)
    }

    /// Encodes the staged state.
    pub(super) fn seal(&mut self) -> Result {
        let Loop { app, group, partitions, attention, .. } = self;
        let sealed = attention.each(app, group, &mut partitions.states, StatePartition::seal)?;
        sealed.into_iter().collect()
    }

    /// Hands the rows of the batch to the two-phase sinks, and sends what is needed to finish them. A trial
    /// leaves no trace.
    fn prepare_two_phase(&mut self, batch: Batch) -> Result {
        if self.bisection.is_trial() {
            return Ok(());
        }
        let Loop { app, group, attention, two_phase, in_flight, .. } = self;
        attention.call(two_phase.labels(&app.plan));
        let working = two_phase.start_prepare(app, batch, in_flight);
        let prepared = two_phase.wait(working, &mut |waited| attention.attend(app, group, waited))?;
        attention.call(vec![]);
        let prepared = two_phase.prepared(app, prepared, &mut in_flight.two_phase_times);
        if matches!(prepared, Err(Error::Log(_))) {
            app.env.clock.sleep(RETRY_PAUSE); // what is missing may come
        }
        for (topic, records) in prepared? {
            let records = if self.app.names.is_of_engine(&topic) {
                self.check_internal(&topic, &records)?;
                records
            } else {
                self.accepted(&topic, records)?
            };
            self.transaction.hold(&topic, Some(Partition(0)), records)?;
        }
        if let Some(outgoing) = &mut self.in_flight.outgoing {
            for (home, note) in self.two_phase.notes(&self.app.plan, &batch) {
                outgoing.add(home, &note)?;
            }
        }
        Ok(())
    }

    /// Without an interval a batch ends when no more input is available; a single bounded batch only when it
    /// has taken everything.
    fn ends_now_that_idle(&self) -> bool {
        match self.app.config.trigger {
            Trigger::Interval(_) => false,
            Trigger::AsSoonAsPossible => true,
            Trigger::AvailableNow => {
                self.in_flight.counters.records_in > 0 || self.partitions.have_taken_everything()
            }
            Trigger::Once => self.partitions.have_taken_everything(),
        }
    }

    pub(super) fn queue_limits(&self) -> QueueLimits {
        let limits = self.partitions.queue_limits(&self.app.config, &self.pace.rates, &self.bisection);
        let of_round = self.pace.round.records_max().div_ceil(self.partitions.sources.len().max(1));
        let of_setbacks = self.pace.setbacks.limit().unwrap_or(usize::MAX);
        QueueLimits { chunk_records: limits.chunk_records.min(of_round).min(of_setbacks), ..limits }
    }

    /// How many records a source may give in the next round. A rate limit is shared, as all sources take at
    /// the same time.
    pub(super) fn room(&self) -> usize {
        let room = self.batch_room(self.records_max());
        if self.pace.rates.batch_records() == usize::MAX {
            return room;
        }
        room.div_ceil(self.partitions.sources.len().max(1))
    }

    fn batch_room(&self, records_max: usize) -> usize {
        records_max.min(self.pace.rates.batch_records()).saturating_sub(self.in_flight.counters.records_in)
    }

    /// Whether a rate limit, rather than a lack of input, may be why nothing moved.
    fn rates_are_reached(&self) -> bool {
        self.in_flight.counters.records_in >= self.pace.rates.batch_records()
            || self.partitions.sources.iter().any(SourcePartition::is_at_its_rate)
    }

    fn records_max(&self) -> usize {
        let limit = self.bisection.limit().unwrap_or(self.app.config.batch_records_max);
        limit.min(self.pace.setbacks.limit().unwrap_or(usize::MAX))
    }

    /// Whether something is waiting to be computed; fetches ahead what is available.
    pub(super) fn has_input(&mut self) -> Result<bool> {
        // Bounded runs cut batches until the last one has taken everything.
        if self.app.config.trigger != Trigger::AsSoonAsPossible {
            return Ok(true);
        }
        let limits = self.queue_limits();
        let since = self.app.since(self.in_flight.began);
        let is_tick = (self.app.plan.closes_by_event_time && since >= TICK)
            || (self.exchange.is_some() && since >= SHARED_TICK);
        let now = BatchTime(self.app.env.clock.now_ms());
        let mut there = is_tick
            || self.partitions.locals.iter().any(LocalInput::has_more)
            || self.partitions.sources.iter().any(|source| source.is_old(now));
        let mut lost = false;
        let filled: Vec<_> = if self.partitions.sources.iter().any(|source| source.queue.prepares()) {
            let Loop { app, group, partitions, attention, .. } = self;
            attention.each(app, group, &mut partitions.sources, move |source| source.queue.fill(limits))?
        } else {
            self.partitions.sources.iter_mut().map(|source| source.queue.fill(limits)).collect()
        };
        for (source, filled) in self.partitions.sources.iter_mut().zip(filled) {
            if let Err(f) = filled {
                self.app.observe(&Observed::ReceiverFailed { at: &source.at, why: &f.message });
                match f.reaction {
                    Reaction::RetrySame | Reaction::AbortReplay => tracing::warn!("{f}; trying again"),
                    Reaction::CloseTasks => lost = true,
                    _ => return Err(f.into()),
                }
            }
            if let Some(held_up) = source.queue.take_held_up() {
                self.app.observe(&Observed::HeldUp { at: &source.at, held_up: &held_up });
            }
            there |= source.queue.has_ready();
        }
        if lost {
            self.close_tasks();
        }
        let there = is_tick || (there && !self.exchange.as_ref().is_some_and(|exchange| exchange.is_held_up));
        Ok(there && !lost)
    }
}
