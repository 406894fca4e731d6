//! Writes generated lines to the log at a steady rate.
//!
//! Owns one thread. Knows no stream. Invariants: the lines continue after the last one in the log; the generator waits
//! while the program is more than a few seconds behind, so that the stored lines stay bounded.

use super::{LINES, PARTITIONS, lines::Lines};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tidegate::{
    Error, Result,
    log::{self, Log},
    record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord, TopicPartition},
};

const PAUSE: Duration = Duration::from_millis(25);
/// How far the program may fall behind, in seconds of lines.
const BEHIND_MAX_S: u64 = 5;

/// A thread that generates until it is stopped.
pub struct Generator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result>,
}

impl Generator {
    /// Starts to write `rate` lines per second; `counted` = lines that the program has committed, 0 = not known yet.
    pub fn start(log: Arc<dyn Log>, rate: u32, counted: Arc<AtomicU64>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = thread::Builder::new().name("generator".into());
        let thread = thread.spawn(move || generate(log.as_ref(), u64::from(rate), &counted, &asked));
        Ok(Generator { stop, thread: thread.map_err(Error::io("starting the generator's thread"))? })
    }

    /// Whether the thread ended before it was stopped.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops the thread; returns the reason if it had failed.
    pub fn stop(self) -> Result {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn generate(log: &dyn Log, rate: u64, counted: &AtomicU64, stop: &AtomicBool) -> Result {
    let lines = Lines::new();
    let mut n = 0;
    for partition in 0..PARTITIONS {
        n += log.end_offset(&TopicPartition::new(LINES, partition))?.0;
    }
    let first = n;
    let (mut began, mut written, mut text, mut turn) = (Instant::now(), 0, String::new(), 0);
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(PAUSE);
        let elapsed_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let count = (elapsed_us / 100 * rate / 10_000).saturating_sub(written);
        let behind = n - first.max(counted.load(Ordering::SeqCst)).min(n);
        if behind > BEHIND_MAX_S * rate || count > rate {
            (began, written) = (Instant::now(), 0); // the machine is too slow, or was asleep
            continue;
        }
        written += count;
        if count == 0 {
            continue;
        }
        let mut rows = RawChunkBuilder::with_capacity(usize::try_from(count).unwrap_or(0), 0);
        for n in n..n + count {
            text.clear();
            lines.append(n, &mut text);
            let value = Some(text.as_bytes());
            rows.push(RawRecord {
                offset: Offset(0),
                timestamp_ms: -1,
                key: None,
                value,
                headers: Headers::NONE,
            });
        }
        turn = (turn + 1) % PARTITIONS;
        log::write(log, LINES, Some(Partition(turn)), &rows.build())?;
        n += count;
    }
    Ok(())
}
