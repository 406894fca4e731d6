//! What the outside sees of the loop: metrics, process status, console, progress line.
//!
//! Owns no facts: everything comes from the loop. Invariants: never blocks for long; bad records are logged at a
//! limited rate and always counted; a listener that panics ends nothing.

mod seldom;
mod stalled;

use self::{seldom::Seldom, stalled::Stalled};
use super::{
    bad_records::BadRecords,
    history::{History, Position},
    listener::ReceiverStatus,
    listeners::{GIVEN_UP, Listeners},
    metrics::{Metrics, Outcome},
    progress::{self, Snapshot},
    restores::{Restore, Told},
    status::{Checkpoint, Phase, Status},
};
use crate::{
    error::panic_text,
    host,
    log::GroupMember,
    operator::{Batch, Heading, NodeId, Printed},
    record::{BatchId, BatchTime, Offset, TopicPartition},
    runtime::{BatchReport, InputRange, Observed, Observer, SourcePosition, clock::Clock, ends::Ends},
    sink::RefusedRow,
};
use chrono::{DateTime, Local, TimeZone};
use std::{
    collections::BTreeMap,
    io::IsTerminal,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How often the progress line is shown and the lag is read.
const PROGRESS_MS: i64 = 10_000;
const LAG_MS: i64 = 1_000;

/// Called after each batch.
pub type AfterBatch = Arc<dyn Fn(&BatchReport) + Send + Sync>;

/// Reports to metrics, status, console, terminal and listeners.
pub struct Reporter {
    ends: Ends,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    history: Arc<History>,
    listeners: Mutex<Listeners>,
    after_batch: Vec<AfterBatch>,
    progress_line: bool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    shown: Snapshot,
    last_checkpoint_ms: Option<i64>,
    lag_at_ms: i64,
    bad: BadRecords,
    late: Late,
    /// Batches whose times were ahead of the clock.
    ahead: Seldom,
    waiting: String,
    totals: (u64, u64),
    batch: u64,
    /// Positions after the last batch.
    positions: Vec<SourcePosition>,
    stalled: Stalled,
    restores: Told,
    /// A batch is taking input.
    takes_input: bool,
    /// How many batches each output has printed.
    printed: BTreeMap<NodeId, u64>,
}

impl Seen {
    fn print(&mut self, node: NodeId, time: BatchTime, printed: &Printed) {
        let count = self.printed.entry(node).or_default();
        show(&console(time, *count, printed));
        *count += 1;
    }
}

/// Records that came too late for their windows.
#[derive(Default)]
struct Late {
    records: Seldom,
    /// How far event time was when it was last told, milliseconds since the epoch.
    watermark_ms: Option<i64>,
}

impl Seen {
    fn report_late(&mut self, now_ms: i64) {
        if let Some(records) = self.late.records.due(now_ms) {
            let event_time = self.late.watermark_ms.map_or("unknown".into(), utc);
            tracing::warn!(
                "{records} records came after their windows were closed, and were left out of them; event time is {event_time} (UTC), or further\n  next: let windows wait longer (`EventWindow::lateness`), or find the partition that is behind; the metric tidegate_late_records_dropped_total counts all of them"
            );
        }
    }

    fn report_ahead(&mut self, report: &BatchReport, now_ms: i64) {
        self.ahead.add(u64::from(report.ahead_ms > 0));
        if self.ahead.due(now_ms).is_some() {
            tracing::warn!(
                "batch times are {} s ahead of the clock: it was ahead when an earlier batch was made, or has gone back; batches go on from interval to interval, a tenth slower than the clock, until it has caught up\n  next: check the clocks of the machines that run this program; to go on at the right time at once, stop it until {} (UTC)",
                report.ahead_ms / 1_000,
                utc(report.time_ms)
            );
        }
    }

    /// A batch begins to read there: where nothing was read before, the lag is known from now on.
    fn begin(&mut self, inputs: &[InputRange]) {
        for InputRange { at, from, .. } in inputs {
            let Some(at) = at.as_ref().filter(|at| self.positions.iter().all(|p| p.at != **at)) else {
                continue;
            };
            self.positions.push(SourcePosition { at: at.clone(), next: *from, newest_ms: None });
        }
    }

    /// Reports how many bad records were not logged, once their second is over.
    fn report_suppressed(&mut self, now_ms: i64) {
        if let Some(suppressed) = self.bad.suppressed(now_ms) {
            tracing::warn!(
                "and {suppressed} more bad or refused records since; the metric tidegate_records_failed_total counts all of them"
            );
        }
    }
}

impl Reporter {
    pub fn new(
        ends: Ends,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        history: Arc<History>,
        listeners: Listeners,
    ) -> Self {
        let shown = Snapshot { at_ms: clock.now_ms(), ..Snapshot::default() };
        let seen = Mutex::new(Seen { shown, ..Seen::default() });
        let (listeners, after_batch) = (Mutex::new(listeners), vec![]);
        Reporter { ends, metrics, status, clock, history, listeners, after_batch, progress_line: false, seen }
    }

    /// Also reports to these, and to the terminal.
    pub fn reporting_to(self, after_batch: Vec<AfterBatch>, progress_line: bool) -> Self {
        Reporter { after_batch, progress_line, ..self }
    }

    /// The loop has ended.
    pub fn ended(&self) {
        let mut seen = self.seen();
        seen.report_suppressed(i64::MAX);
        seen.report_late(i64::MAX);
        drop(seen);
        self.listeners().waiting();
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports batches and receivers to the listeners, through which the other observers learn of them.
    fn report_to_listeners(&self, event: &Observed<'_>) {
        let now = self.clock.now_ms();
        let mut listeners = self.listeners();
        match event {
            Observed::Waiting(_) => listeners.waiting(),
            Observed::Running { owned } => listeners.running(owned, now),
            Observed::ReceiverFailed { at, why } => {
                listeners.partition_error(at, ReceiverStatus::Error, why, now);
            }
            Observed::HeldUp { at, held_up } => {
                listeners.partition_error(at, ReceiverStatus::Error, &held_up.why, now);
            }
            Observed::Connection(why) => listeners.connection(*why, now),
            Observed::Receiver { name, state, message } => {
                tracing::debug!(receiver = name, ?state, message);
                listeners.named_receiver(name, *state, message, now);
            }
            Observed::InputEnded { batch, inputs } => listeners.input_ended(*batch, inputs, now),
            Observed::Batch(report) => listeners.ended(report, None, now),
            Observed::Replayed { report: Some(report), why, .. } => {
                listeners.ended(report, Some(why.unwrap_or(GIVEN_UP)), now);
            }
            _ => return,
        }
        self.metrics.receivers(|status| listeners.receivers_in(status));
    }

    fn cut(&self, seen: &mut Seen, batch: Batch, inputs: &[InputRange]) {
        seen.takes_input = true;
        seen.begin(inputs);
        let time_ms = self.listeners().time_of(batch);
        self.history.takes_input(batch.id.0, time_ms, self.clock.now_ms());
    }

    fn batch(&self, seen: &mut Seen, report: &BatchReport) {
        tracing::debug!(target: "tidegate::batch", id = report.id, records = report.counters.records_in, total = ?report.total, checkpoint = ?report.checkpoint, phases = ?report.phases);
        let now = self.clock.now_ms();
        self.metrics.batch(report, now);
        seen.totals.0 += report.counters.records_in as u64;
        seen.totals.1 += report.counters.records_out() as u64;
        if report.committed {
            self.status.checkpoint(Checkpoint { batch: BatchId(report.id), at_ms: now });
            seen.last_checkpoint_ms = Some(now);
        }
        seen.late.records.add(report.counters.late as u64);
        seen.late.watermark_ms = report.counters.watermark_ms.or(seen.late.watermark_ms);
        seen.report_ahead(report, now);
        self.history.state_bytes(&report.state_bytes);
        seen.batch = report.id;
        seen.positions.clone_from(&report.positions);
        seen.stalled.after_batch(&report.positions, now);
        seen.takes_input = false;
        self.progress(seen);
    }

    /// Runs even while batches fail, or none is run: then the lag grows.
    fn progress(&self, seen: &mut Seen) {
        let now = self.clock.now_ms();
        seen.report_suppressed(now);
        seen.report_late(now);
        for (at, end) in self.ends.answers() {
            if let Some(position) = seen.positions.iter().find(|known| known.at == at) {
                self.lag(position, end, now);
                if let Some(why) = seen.stalled.why(position, end, now, seen.takes_input) {
                    tracing::warn!("{why}");
                }
            }
        }
        if now - seen.lag_at_ms >= LAG_MS {
            seen.lag_at_ms = now;
            self.ends.ask(seen.positions.iter().map(|p| p.at.clone()).collect());
        }
        if now - seen.shown.at_ms < PROGRESS_MS {
            return;
        }
        let snapshot = Snapshot {
            at_ms: now,
            records_in: seen.totals.0,
            records_out: seen.totals.1,
            lag: self.metrics.totals().lag,
            last_checkpoint_ms: seen.last_checkpoint_ms,
            batch: BatchId(seen.batch),
        };
        let line = progress::line(&seen.shown, &snapshot);
        if self.progress_line && std::io::stderr().is_terminal() {
            eprintln!("{line}");
        }
        self.status.progress(line);
        seen.shown = snapshot;
    }

    fn lag(&self, position: &SourcePosition, end: Offset, now_ms: i64) {
        let SourcePosition { ref at, next, newest_ms } = *position;
        let records = end.0.saturating_sub(next.0);
        let age_ms =
            newest_ms.map(|newest| if records == 0 { 0 } else { now_ms.saturating_sub(newest).max(0) });
        self.metrics.lag(at, records, age_ms);
        self.history.position(at, Position { next, end });
    }

    fn stands_by(&self, seen: &mut Seen, holder: &GroupMember, help: Option<&str>) {
        let at = if holder.host.is_empty() { String::new() } else { format!(" at {}", holder.host) };
        let owner = format!("instance `{}`{at}", holder.instance);
        if seen.waiting != owner {
            tracing::warn!(
                "{owner} of this application is running: this program runs in one process, so this one stands by and takes over when that one ends{}",
                help.map_or_else(String::new, |help| format!("\n  help: {help}"))
            );
            seen.waiting.clone_from(&owner);
        }
        self.status.phase(Phase::Standby { owner });
    }

    fn connection(&self, why: Option<&str>) {
        let was_reached = self.status.disconnected(why.map(str::to_owned));
        if let Some(why) = why {
            tracing::warn!("the log cannot be reached: {why}; waiting");
        } else if !was_reached {
            tracing::info!("the log can be reached again");
        }
    }

    fn bad_row(&self, seen: &mut Seen, place: &str, reason: &str, dead_letter: bool) {
        seen.report_suppressed(self.clock.now_ms());
        if seen.bad.is_logged() {
            tracing::warn!(dead_letter, "{place}: {reason}");
        }
    }

    fn refused_record(&self, seen: &mut Seen, reason: &str) {
        seen.report_suppressed(self.clock.now_ms());
        if seen.bad.is_logged() {
            tracing::warn!(dead_letter = true, "refused record: {reason}");
        }
    }

    fn refused_row(&self, seen: &mut Seen, at: &TopicPartition, row: &RefusedRow) {
        self.metrics.refused_row(row.kept);
        seen.report_suppressed(self.clock.now_ms());
        if seen.bad.is_logged() {
            tracing::warn!(%at, offset = %row.offset, dead_letter = row.kept, "passed over: {}", row.reason);
        }
    }

    fn bad_record(
        &self,
        seen: &mut Seen,
        at: &TopicPartition,
        offset: Offset,
        reason: &str,
        dead_letter: bool,
    ) {
        seen.report_suppressed(self.clock.now_ms());
        if seen.bad.is_logged() {
            tracing::warn!(%at, %offset, dead_letter, "bad record: {reason}");
            let why = format!("bad record at offset {offset}: {reason}");
            self.listeners().partition_error(at, ReceiverStatus::Active, &why, self.clock.now_ms());
        }
    }
}

fn show(text: &str) {
    if let Err(e) = host::print(text) {
        tracing::debug!("the console is gone: {e}");
    }
}

fn notify(listener: &AfterBatch, report: &BatchReport) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(report))) {
        tracing::error!("a listener panicked after batch {}: {}", report.id, panic_text(panic.as_ref()));
    }
}

/// A time to read.
fn utc(time_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(time_ms);
    time.map_or_else(|| format!("{time_ms} ms"), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The rows of a batch under its header, as Spark prints them; `count` batches of this output were printed before.
fn console(time: BatchTime, count: u64, printed: &Printed) -> String {
    let Printed { heading, rows, rows_max } = printed;
    let line = "-".repeat(43);
    let mut text = match heading {
        Heading::Time => format!("{line}\nTime: {}\n{line}\n", shown_time(time)),
        Heading::Count => format!("{line}\nBatch: {count}\n{line}\n"),
        Heading::None => String::new(),
    };
    for row in rows.iter().take(*rows_max) {
        text.push_str(row);
        text.push('\n');
    }
    if rows.len() > *rows_max {
        text.push_str("...\n");
    }
    if *heading != Heading::None {
        text.push('\n');
    }
    text
}

/// In the time zone of the process, as Python shows it: with microseconds if they are not zero.
fn shown_time(time: BatchTime) -> String {
    let format = if time.0 % 1000 == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
    let when = Local.timestamp_millis_opt(time.0).single();
    when.map_or_else(|| format!("{} ms", time.0), |t| t.format(format).to_string())
}

impl Observer for Reporter {
    fn on(&self, event: &Observed<'_>) {
        self.status.turned();
        if matches!(event, Observed::Alive) {
            return self.progress(&mut self.seen());
        }
        self.report_to_listeners(event);
        let mut seen = self.seen();
        match event {
            Observed::Cut { batch, inputs } => self.cut(&mut seen, *batch, inputs),
            Observed::Progress { records, running } => self.history.progress(*records, *running),
            Observed::Waiting(why) => {
                self.status.phase(Phase::WaitingForAssignment { why: (*why).to_owned() });
                if seen.waiting != *why {
                    tracing::info!("{why}");
                    (*why).clone_into(&mut seen.waiting);
                }
            }
            Observed::StandingBy { holder, help } => self.stands_by(&mut seen, holder, *help),
            Observed::InputsMissing(topics) => self.status.missing_inputs(topics),
            Observed::HeldUp { at, held_up } => seen.stalled.held_up(at, held_up),
            Observed::Restores { restores, awaited } => {
                let restores: Vec<Restore> = restores.iter().map(Restore::of).collect();
                self.metrics.restores(&restores);
                let lines = seen.restores.lines(&restores, self.clock.now_ms());
                lines.iter().for_each(|line| tracing::info!("{line}"));
                self.status.restores(restores);
                if let Some((done, of)) = *awaited {
                    self.status.phase(Phase::Restoring { done, of });
                }
            }
            Observed::Restored(restoring) => seen.restores.ended(restoring),
            Observed::Quarantined(why) => {
                self.metrics.quarantined();
                tracing::warn!("a state database was moved aside and is restored from the log: {why}");
            }
            Observed::Closed => {
                seen.stalled = Stalled::default();
                self.metrics.restarted();
                self.history.closed();
            }
            Observed::Running { owned } => {
                self.metrics.assigned(owned);
                seen.waiting.clear();
                seen.positions.retain(|p| owned.contains(&p.at));
                self.history.owned(owned);
                self.status.phase(Phase::Running);
            }
            Observed::BadRecord { at, offset, reason, dead_letter } => {
                self.bad_record(&mut seen, at, *offset, reason, *dead_letter);
            }
            Observed::BadRow { place, reason, is_kept } => {
                self.bad_row(&mut seen, place, reason, *is_kept);
            }
            Observed::RefusedRecord { reason } => self.refused_record(&mut seen, reason),
            Observed::RefusedRow { at, row } => self.refused_row(&mut seen, at, row),
            Observed::Batch(report) => {
                self.batch(&mut seen, report);
                drop(seen);
                self.after_batch.iter().for_each(|listener| notify(listener, report));
            }
            Observed::Replayed { unknown, took, .. } => {
                let outcome = if *unknown { Outcome::Unknown } else { Outcome::Aborted };
                self.metrics.checkpoint_done(outcome, *took, self.clock.now_ms());
            }
            Observed::Console { node, time, printed } => seen.print(*node, *time, printed),
            Observed::NoProgress(why) => self.status.stuck(why.map(str::to_owned)),
            Observed::Connection(why) => self.connection(*why),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, dstream::StreamBuilder, observe::listeners::program};
    use std::{
        collections::BTreeMap,
        io::Seek,
        sync::atomic::{AtomicI64, Ordering},
        time::Duration,
    };

    struct Still(AtomicI64);
    impl Clock for Still {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) {}
    }

    /// A reporter before anything was computed.
    fn new_reporter(clock: Arc<Still>) -> Reporter {
        let plan = StreamBuilder::default().topology();
        let program = program(&plan, &Config::new("app", "memory:"), "one".into(), 0);
        let log = crate::log::open("memory:", &BTreeMap::new()).unwrap();
        let (ends, metrics) = (Ends::new(log, None).unwrap(), Arc::new(Metrics::new("app")));
        let status = Arc::new(Status::new("app", "one", "memory"));
        let history = Arc::new(History::new(program.clone()));
        Reporter::new(ends, metrics, status, clock, history, Listeners::new(&plan, program, vec![]))
    }

    #[test]
    fn what_the_loop_waits_for_is_what_is_missing_for_readiness() {
        let reporter = new_reporter(Arc::new(Still(AtomicI64::new(5_000))));
        reporter.on(&Observed::Waiting("waiting for 3 source partitions"));
        assert_eq!(reporter.status.snapshot().missing(), ["waiting for 3 source partitions"]);
        reporter.on(&Observed::Running { owned: &[] });
        assert!(reporter.status.snapshot().missing().is_empty());
    }

    #[test]
    fn a_thousand_bad_records_make_only_a_few_lines() {
        let (clock, mut file) = (Arc::new(Still(AtomicI64::new(5_000))), tempfile::tempfile().unwrap());
        let writer = file.try_clone().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let reporter = new_reporter(clock.clone());
            let at = TopicPartition::new("n", 0);
            for offset in (0..1_000).map(Offset) {
                reporter.on(&Observed::BadRecord {
                    at: &at,
                    offset,
                    reason: "no number",
                    dead_letter: false,
                });
            }
            for now_ms in [5_999, 6_000, 6_500, 8_000] {
                clock.0.store(now_ms, Ordering::Relaxed);
                reporter.on(&Observed::Batch(&BatchReport::default()));
            }
            for offset in (0..7).map(Offset) {
                reporter.on(&Observed::BadRecord {
                    at: &at,
                    offset,
                    reason: "no number",
                    dead_letter: false,
                });
            }
            reporter.ended();
            reporter.ended();
        });
        file.rewind().unwrap();
        let lines = std::io::read_to_string(file).unwrap();
        let of = |part: &str| lines.lines().filter(|line| line.contains(part)).count();
        assert_eq!(
            (of("bad record: no number"), of("and 995 more"), of("and 2 more")),
            (10, 1, 1),
            "{lines}"
        );
    }

    #[test]
    fn late_records_and_times_ahead_of_the_clock_are_told_now_and_then() {
        let (clock, mut file) = (Arc::new(Still(AtomicI64::new(5_000))), tempfile::tempfile().unwrap());
        let writer = file.try_clone().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let reporter = new_reporter(clock.clone());
            for n in 0..20 {
                let mut report =
                    BatchReport { time_ms: 3_605_000, ahead_ms: 3_600_000, ..BatchReport::default() };
                report.counters.late = 3;
                report.counters.watermark_ms = Some(60_000 + n);
                clock.0.store(5_000 + n * 1_000, Ordering::Relaxed);
                reporter.on(&Observed::Batch(&report));
            }
            reporter.ended();
        });
        file.rewind().unwrap();
        let lines = std::io::read_to_string(file).unwrap();
        let of = |part: &str| lines.lines().filter(|line| line.contains(part)).count();
        let late = |n| {
            of(&format!("WARN tidegate::observe::reporter: {n} records came after their windows were closed"))
        };
        assert_eq!((late(3), late(30), late(27)), (1, 1, 1), "{lines}");
        assert_eq!(of("event time is 1970-01-01 00:01:00 (UTC), or further"), 3, "{lines}");
        assert_eq!(of("batch times are 3600 s ahead of the clock"), 2, "{lines}");
        assert_eq!(of("stop it until 1970-01-01 01:00:05 (UTC)"), 2, "{lines}");
    }

    /// The block of Spark's programming guide, in whatever time zone the test runs.
    #[test]
    fn a_printed_batch_is_the_block_of_the_guide() {
        let of = |rows: &[&str], rows_max| Printed {
            heading: Heading::Time,
            rows: rows.iter().map(|row| (*row).to_owned()).collect(),
            rows_max,
        };
        let console = |time, rows: &[&str], rows_max| console(time, 0, &of(rows, rows_max));
        let rows = ["(hello,1)", "(world,1)"];
        let time = Local.with_ymd_and_hms(2014, 10, 14, 15, 25, 21).single().unwrap().timestamp_millis();
        let text = console(BatchTime(time), &rows, 10);
        let guide = "\
-------------------------------------------
Time: 2014-10-14 15:25:21
-------------------------------------------
(hello,1)
(world,1)

";
        assert_eq!(text, guide);
        let header = guide.split_inclusive('\n').take(3).collect::<String>();
        assert_eq!(console(BatchTime(time), &[], 10), format!("{header}\n"), "an empty batch");
        assert_eq!(console(BatchTime(time), &rows, 2), guide, "as many as are shown");
        assert_eq!(console(BatchTime(time), &rows, 1), format!("{header}(hello,1)\n...\n\n"));
        assert_eq!(console(BatchTime(time), &rows, 0), format!("{header}...\n\n"));
        let text = console(BatchTime(time + 40), &[], 10);
        assert_eq!(
            text.lines().nth(1),
            Some("Time: 2014-10-14 15:25:21.040000"),
            "batches of less than a second"
        );
    }

    #[test]
    fn other_outputs_print_their_count_or_nothing_above_rows() {
        let counted = Printed { heading: Heading::Count, rows: vec!["+I[1]".into()], rows_max: 1 };
        let line = "-".repeat(43);
        assert_eq!(console(BatchTime(0), 7, &counted), format!("{line}\nBatch: 7\n{line}\n+I[1]\n\n"));
        assert_eq!(console(BatchTime(0), 7, &Printed { heading: Heading::None, ..counted }), "+I[1]\n");
    }

    /// The time zone is read once per process, so each zone gets a process of its own.
    #[test]
    fn the_time_is_shown_in_the_time_zone_of_the_process() {
        if let Ok(expected) = std::env::var("TIDEGATE_TEST_PRINTED") {
            let text =
                console(BatchTime(1_413_300_321_000), 0, &Printed { rows_max: 10, ..Printed::default() });
            assert_eq!(text.lines().nth(1), Some(expected.as_str()));
            return;
        }
        for (zone, time) in [
            ("UTC", "2014-10-14 15:25:21"),
            ("IST-5:30", "2014-10-14 20:55:21"),
            ("EST5EDT,M3.2.0,M11.1.0", "2014-10-14 11:25:21"),
        ] {
            let name = "observe::reporter::tests::the_time_is_shown_in_the_time_zone_of_the_process";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", name]).env("TZ", zone);
            let output = child.env("TIDEGATE_TEST_PRINTED", format!("Time: {time}")).output().unwrap();
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && shown.contains("1 passed"), "{zone}: {shown}");
        }
    }
}
