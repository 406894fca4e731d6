//! Runs the writers of internal topics: a thread for each outbox of the plan, or none where everything runs
//! on the thread of the loop.
//!
//! Owns those threads, their pauses, and their progress. Knows no batch and no destination. Invariants: a
//! writer runs in the process that owns the very first partition (a second writer, of a process that does not
//! yet know that it lost this partition, is refused by the destination); it reads committed records only;
//! what is refused stops the program, unless the writer went on behind it, which is reported.

use crate::{
    error::{Error, Failure, Reaction, Result},
    log::{Log, Reader},
    record::{Offset, RawChunk, TopicPartition},
    runtime::{
        clock::Clock,
        events::{Observed, Observer},
    },
    sink::outbox::{OutboxFailure, OutboxSource, OutboxSpec, OutboxWriter},
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// About how many records and bytes one write holds.
const RECORDS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long one poll for new records takes: the end of the program waits for it.
const LOOK: Duration = Duration::from_millis(100);
/// Once no row has come for this long, the destination's position also moves past what lies between rows,
/// such as the ends of transactions: otherwise it would one day lie before the start of the topic.
const IDLE: Duration = Duration::from_secs(5);
/// How long the end of a program waits for its writers.
const FAREWELL: Duration = Duration::from_secs(5);

/// The writers of a program.
pub struct Outboxes {
    specs: Vec<OutboxSpec>,
    running: Vec<Option<Running>>,
    /// Whether each writer has a thread; otherwise it writes on every turn of the loop.
    threads: bool,
    application: String,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    failed: Arc<Mutex<Option<Error>>>,
}

enum Running {
    OnThread {
        stop: Sender<()>,
        thread: JoinHandle<()>,
        /// Everything before this offset is written.
        written: Arc<AtomicU64>,
    },
    /// Told to stop, but still in the middle of a write: until it has ended no other one may begin.
    Ending(JoinHandle<()>),
    InTheLoop(Box<Writer>),
}

impl Outboxes {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(
        specs: Vec<OutboxSpec>,
        application: &str,
        threads: bool,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let running = specs.iter().map(|_| None).collect();
        Outboxes {
            specs,
            running,
            threads,
            application: application.into(),
            log,
            clock,
            observer,
            failed: Arc::default(),
        }
    }

    /// Runs the writers if `ours`, otherwise stops them.
    ///
    /// # Errors
    /// Why a writer could not continue.
    pub fn run(&mut self, ours: bool) -> Result {
        if let Some(failed) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failed);
        }
        for index in 0..self.specs.len() {
            self.running[index] = match (ours, self.running[index].take()) {
                (_, Some(Running::Ending(thread))) if !thread.is_finished() => Some(Running::Ending(thread)),
                (true, None | Some(Running::Ending(_))) => Some(self.start(index)?),
                (true, running) => running,
                (false, Some(Running::OnThread { stop, thread, .. })) => {
                    drop(stop);
                    Some(Running::Ending(thread))
                }
                (false, _) => None,
            };
            if let Some(Running::InTheLoop(writer)) = &mut self.running[index] {
                writer.catch_up()?;
            }
        }
        Ok(())
    }

    fn start(&self, index: usize) -> Result<Running> {
        let spec = self.specs[index].clone();
        let written = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            at: TopicPartition::new(spec.topic.clone(), 0),
            application: self.application.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            observer: self.observer.clone(),
            written: written.clone(),
            pause: PAUSE_MIN,
            open: None,
            spec,
        };
        if !self.threads {
            return Ok(Running::InTheLoop(Box::new(writer)));
        }
        let (stop, stopped) = bounded(0);
        let failed = self.failed.clone();
        let name = format!("drain-{}", self.specs[index].name);
        let work = move || {
            if let Err(e) = writer.run(&stopped) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            }
        };
        let thread = std::thread::Builder::new().name(name.clone());
        let thread = thread.spawn(work).map_err(Error::io(format!("starting the thread {name}")))?;
        Ok(Running::OnThread { stop, thread, written })
    }

    /// Asks whether the writers that run here have written everything committed.
    pub fn have_caught_up(&self) -> impl FnOnce(&dyn Log) -> Result<bool> + Send + use<> {
        let written = |(spec, running): (&OutboxSpec, &Option<Running>)| {
            let written = match running.as_ref()? {
                Running::Ending(_) => None,
                Running::OnThread { written, .. } => Some(written.clone()),
                Running::InTheLoop(writer) => Some(writer.written.clone()),
            };
            Some((TopicPartition::new(spec.topic.clone(), 0), written))
        };
        let running: Vec<_> = self.specs.iter().zip(&self.running).filter_map(written).collect();
        move |log| {
            for (at, written) in running {
                let Some(written) = written else { return Ok(false) };
                if written.load(Ordering::Acquire) < log.end_offset(&at)?.0 {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }

    /// Stops all writers; what is not written is written after the next start.
    pub fn stop(&mut self) {
        let stop = |running| match running {
            Running::OnThread { stop, thread, .. } => {
                drop(stop);
                Some(thread)
            }
            Running::Ending(thread) => Some(thread),
            Running::InTheLoop(_) => None,
        };
        let threads: Vec<JoinHandle<()>> =
            self.running.iter_mut().filter_map(Option::take).filter_map(stop).collect();
        let until = self.clock.monotonic() + FAREWELL;
        while threads.iter().any(|t| !t.is_finished()) && self.clock.monotonic() < until {
            self.clock.sleep(Duration::from_millis(5));
        }
    }
}

struct Writer {
    spec: OutboxSpec,
    at: TopicPartition,
    application: String,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    written: Arc<AtomicU64>,
    pause: Duration,
    open: Option<Open>,
}

/// A destination from its opening to its first failure.
struct Open {
    drain: Box<dyn OutboxWriter>,
    reader: Box<dyn Reader>,
    /// Everything before this offset is written.
    from: Offset,
    /// Everything before this offset was read.
    seen: Offset,
    last_write: Duration,
}

impl Writer {
    /// Writes until the other end of the channel is dropped.
    fn run(mut self, stopped: &Receiver<()>) -> Result {
        let is_stopped = |wait: Duration| stopped.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
        while !is_stopped(Duration::ZERO) {
            if let Err(failure) = self.turn(LOOK) {
                is_stopped(self.back_off(failure)?);
            }
        }
        Ok(())
    }

    /// Writes what is available; what fails is tried again next time.
    fn catch_up(&mut self) -> Result {
        loop {
            match self.turn(Duration::ZERO) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) => return self.back_off(failure).map(drop),
            }
        }
    }

    /// Closes the destination. Returns how long to wait before it is opened again.
    fn back_off(&mut self, failure: OutboxFailure) -> Result<Duration> {
        self.open = None;
        let why = match failure {
            OutboxFailure::Broken(e) => return Err(e),
            OutboxFailure::Superseded => "another process has written in the meantime".to_owned(),
            OutboxFailure::Unavailable(why) | OutboxFailure::Record(why) => why,
        };
        let pause = self.pause;
        let (output, retry_in_ms) = (&self.spec.name, pause.as_millis());
        tracing::warn!(output, retry_in_ms, "not written yet: {why}");
        self.pause = (pause * 2).min(PAUSE_MAX);
        Ok(pause)
    }

    /// Reads some records, waiting at most `wait` for the first, and writes them. Returns whether anything
    /// was read.
    fn turn(&mut self, wait: Duration) -> Result<bool, OutboxFailure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.opened()?,
        };
        let (chunks, next) = read_some(open.reader.as_mut(), wait).map_err(|f| of_log(f.into()))?;
        let last = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.iter().enumerate() {
            let end = if index == last { next } else { chunk.last_offset().map(Offset::next) };
            open.from = self.write(open.drain.as_mut(), chunk, open.from, end.unwrap_or(open.from))?;
        }
        let now = self.clock.monotonic();
        if !chunks.is_empty() {
            open.last_write = now;
            let passed = open.drain.read_again_from(open.from);
            self.log.passed(&self.at.topic, &self.at, passed).map_err(of_log)?;
        }
        open.seen = next.unwrap_or(open.seen);
        self.written.store(open.seen.0, Ordering::Release);
        if open.seen > open.from && now.saturating_sub(open.last_write) > IDLE {
            open.drain.write(&RawChunk::default(), open.from, open.seen)?;
            open.from = open.seen;
        }
        self.open = Some(open);
        Ok(next.is_some())
    }

    fn opened(&self) -> Result<Open, OutboxFailure> {
        let mut drain = (self.spec.make)();
        let described = self.log.describe(&[&self.at.topic]).map_err(of_log)?.remove(0);
        let source = OutboxSource {
            application: self.application.clone(),
            topic: self.at.topic.to_string(),
            topic_id: described.map(|info| info.id).unwrap_or_default(),
        };
        let from = drain.open(&source, self.log.as_ref())?;
        self.check(drain.as_ref(), from)?;
        let reader = self.log.read(&self.at, from).map_err(of_log)?;
        self.written.store(from.0, Ordering::Release);
        Ok(Open { drain, reader, from, seen: from, last_write: self.clock.monotonic() })
    }

    /// Everything before `from` is written, so the rows after it must still exist.
    fn check(&self, drain: &dyn OutboxWriter, from: Offset) -> Result<(), OutboxFailure> {
        let start = self.log.start_offset(&self.at).map_err(of_log)?;
        let end = self.log.end_offset(&self.at).map_err(of_log)?;
        let what = if from < start {
            format!(
                "rows from offset {from} on are not written, but the topic begins at {start}: they were deleted by its retention"
            )
        } else if from > end {
            format!(
                "rows up to offset {from} are written, but the topic ends at {end}: it lost its end, or was deleted and recreated"
            )
        } else {
            return Ok(());
        };
        let (name, topic) = (&self.spec.name, &self.at.topic);
        Err(OutboxFailure::Broken(Error::Refused(format!(
            "output `{name}` from {topic}: {what}\n  next: {}",
            drain.reposition(start)
        ))))
    }

    /// Writes a chunk; if one of its records is refused, in smaller and smaller parts until that record is
    /// alone, and behind it in larger and larger ones.
    fn write(
        &mut self,
        drain: &mut dyn OutboxWriter,
        chunk: &RawChunk,
        mut from: Offset,
        end: Offset,
    ) -> Result<Offset, OutboxFailure> {
        let (mut done, mut part) = (0, chunk.len());
        while done < chunk.len() {
            let until = (done + part).min(chunk.len());
            let to = if until == chunk.len() { end } else { chunk.get(until).offset };
            match drain.write(&chunk.slice(done..until), from, to) {
                Err(OutboxFailure::Record(why)) if until - done > 1 => {
                    tracing::info!(
                        output = self.spec.name,
                        rows = until - done,
                        "a row is refused; searching for it: {why}"
                    );
                    part = (until - done) / 2;
                }
                written => {
                    written?;
                    for row in drain.take_refused() {
                        self.observer.on(&Observed::RefusedRow { at: &self.at, row: &row });
                    }
                    (done, from, part) = (until, to, part.saturating_mul(2));
                    self.pause = PAUSE_MIN;
                }
            }
        }
        Ok(from)
    }
}

/// What is available, up to a bound; waits briefly for the first record. `None` = nothing came, not even a
/// control record.
fn read_some(
    reader: &mut dyn Reader,
    mut wait: Duration,
) -> Result<(Vec<RawChunk>, Option<Offset>), Failure> {
    let (mut chunks, mut next): (Vec<RawChunk>, _) = (vec![], None);
    while let Some(fetched) = reader.next(wait)? {
        next = Some(fetched.next);
        wait = Duration::ZERO;
        if !fetched.records.is_empty() {
            chunks.push(fetched.records);
        }
        let (records, bytes) = chunks.iter().fold((0, 0), |(n, b), c| (n + c.len(), b + c.bytes()));
        if records >= RECORDS_MAX || bytes >= BYTES_MAX {
            break;
        }
    }
    Ok((chunks, next))
}

fn of_log(e: Error) -> OutboxFailure {
    match e {
        Error::Log(Failure { reaction: Reaction::StopPipeline | Reaction::Exit, .. }) => {
            OutboxFailure::Broken(e)
        }
        Error::Log(f) => OutboxFailure::Unavailable(f.to_string()),
        other => OutboxFailure::Broken(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{Headers, RawChunkBuilder, RawRecord},
        runtime::clock::SystemClock,
    };
    use std::sync::atomic::{AtomicBool, AtomicU32};

    /// Writes until it is released, and notices if another one writes meanwhile.
    struct Slow {
        writing: Arc<AtomicU32>,
        most: Arc<AtomicU32>,
        released: Arc<AtomicBool>,
    }

    impl OutboxWriter for Slow {
        fn open(&mut self, _: &OutboxSource, _: &dyn Log) -> Result<Offset, OutboxFailure> {
            Ok(Offset(0))
        }
        fn write(&mut self, _: &RawChunk, _: Offset, _: Offset) -> Result<(), OutboxFailure> {
            let now = self.writing.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            while !self.released.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            self.writing.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
        fn reposition(&self, _: Offset) -> String {
            String::new()
        }
    }

    struct Silent;
    impl Observer for Silent {
        fn on(&self, _: &Observed<'_>) {}
    }

    #[test]
    fn a_writer_in_the_middle_of_a_write_is_waited_for_before_another_one_begins() {
        let log = crate::log::open("memory:two-writers", &std::collections::BTreeMap::new()).unwrap();
        let mut rows = RawChunkBuilder::default();
        rows.push_with(0, None, |_| Ok::<_, ()>(true)).unwrap();
        crate::log::write(&*log, "outbox", None, &rows.build()).unwrap();
        let (writing, most, released) = <(Arc<AtomicU32>, Arc<AtomicU32>, Arc<AtomicBool>)>::default();
        let (w, m, r) = (writing.clone(), most.clone(), released.clone());
        let make = Arc::new(move || {
            let slow = Slow { writing: w.clone(), most: m.clone(), released: r.clone() };
            Box::new(slow) as Box<dyn OutboxWriter>
        });
        let spec = OutboxSpec { name: "rows".into(), topic: "outbox".into(), positions: None, make };
        let mut outboxes =
            Outboxes::new(vec![spec], "app", true, log, Arc::new(SystemClock::default()), Arc::new(Silent));
        outboxes.run(true).unwrap();
        while writing.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        outboxes.run(false).unwrap();
        outboxes.run(true).unwrap();
        assert!(matches!(outboxes.running[0], Some(Running::Ending(_))), "it has not ended yet");
        assert!(!outboxes.have_caught_up()(&*outboxes.log).unwrap());
        released.store(true, Ordering::SeqCst);
        while !matches!(outboxes.running[0], Some(Running::OnThread { .. })) {
            outboxes.run(true).unwrap();
        }
        while !outboxes.have_caught_up()(&*outboxes.log).unwrap() {
            std::thread::yield_now();
        }
        outboxes.stop();
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    /// Refuses the row of this offset unless it is alone: then it goes on behind it.
    struct Picky {
        bad: Offset,
        writes: usize,
        written: Vec<(Offset, Offset)>,
    }

    impl OutboxWriter for Picky {
        fn open(&mut self, _: &OutboxSource, _: &dyn Log) -> Result<Offset, OutboxFailure> {
            Ok(Offset(0))
        }
        fn write(&mut self, records: &RawChunk, from: Offset, to: Offset) -> Result<(), OutboxFailure> {
            self.writes += 1;
            if records.len() > 1 && records.iter().any(|record| record.offset == self.bad) {
                return Err(OutboxFailure::Record("it is bad".into()));
            }
            self.written.push((from, to));
            Ok(())
        }
        fn reposition(&self, _: Offset) -> String {
            String::new()
        }
    }

    #[test]
    fn rows_behind_a_refused_one_are_written_together_again() {
        let mut rows = RawChunkBuilder::default();
        for offset in 0..10_000 {
            let (key, value, headers) = (None, None, Headers::NONE);
            rows.push(RawRecord { offset: Offset(offset), timestamp_ms: -1, key, value, headers });
        }
        let log = crate::log::open("memory:a-refused-row", &std::collections::BTreeMap::new()).unwrap();
        let make = Arc::new(|| -> Box<dyn OutboxWriter> { unreachable!("it is open") });
        let mut writer = Writer {
            spec: OutboxSpec { name: "rows".into(), topic: "outbox".into(), positions: None, make },
            at: TopicPartition::new("outbox", 0),
            application: "app".into(),
            log,
            clock: Arc::new(SystemClock::default()),
            observer: Arc::new(Silent),
            written: Arc::default(),
            pause: PAUSE_MIN,
            open: None,
        };
        let mut picky = Picky { bad: Offset(10), writes: 0, written: vec![] };
        let end = writer.write(&mut picky, &rows.build(), Offset(0), Offset(10_001)).unwrap();
        assert_eq!(end, Offset(10_001));
        assert!(picky.written.contains(&(Offset(10), Offset(11))), "{:?}", picky.written);
        let positions = std::iter::once(Offset(0)).chain(picky.written.iter().map(|(_, to)| *to));
        assert!(positions.zip(&picky.written).all(|(at, (from, _))| at == *from), "{:?}", picky.written);
        assert!(picky.writes < 100, "{}", picky.writes);
    }
}
