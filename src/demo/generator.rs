//! Writes generated lines to the log at a steady rate.
//!
//! Owns one thread. Knows no stream. Invariants: the lines go on after the last one in the log; a line that is late is written,
//! but what a whole second could not hold is left out.

use super::{LINES, PARTITIONS, lines::Lines};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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

/// A thread that generates until it is stopped.
pub struct Generator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result>,
}

impl Generator {
    /// Starts to write `rate` lines a second.
    pub fn start(log: Arc<dyn Log>, rate: u32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = thread::Builder::new().name("generator".into());
        let thread = thread.spawn(move || generate(log.as_ref(), u64::from(rate), &asked));
        Ok(Generator { stop, thread: thread.map_err(Error::io("starting the generator's thread"))? })
    }

    /// Whether it ended before it was stopped.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops; the reason if it had failed.
    pub fn stop(self) -> Result {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn generate(log: &dyn Log, rate: u64, stop: &AtomicBool) -> Result {
    let lines = Lines::new();
    let mut n = 0;
    for partition in 0..PARTITIONS {
        n += log.end_offset(&TopicPartition::new(LINES, partition))?.0;
    }
    let (mut began, mut written, mut text, mut turn) = (Instant::now(), 0, String::new(), 0);
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(PAUSE);
        let due = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) / 100 * rate / 10_000;
        let count = (due - written).min(rate);
        if due - written > rate {
            (began, written) = (Instant::now(), 0); // the machine was too slow, or asleep
        } else {
            written = due;
        }
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
