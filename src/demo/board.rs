//! What the demo shows: the most frequent words of the committed counts, rates, and the summary at the end.
//!
//! Reads the output topic and draws the screen. Knows no stream. Invariants: only committed records and batches are
//! shown; on a terminal each picture has the same height and replaces the one before.

use super::{COUNTS, KEPT_BYTES};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    io::{IsTerminal, Write as _, stdout},
    path::Path,
    time::Duration,
};
use tidegate::{
    Result,
    log::{Log, Reader},
    observe::{BatchReport, progress::grouped},
    record::TopicPartition,
};

const TOP: usize = 10;
/// The number of seconds over which rates are shown.
const RATE_OVER_S: u64 = 5;

/// The committed counts.
pub struct Board {
    readers: Vec<Box<dyn Reader>>,
    counts: BTreeMap<String, u64>,
}

impl Board {
    /// Reads the topic of counts from its beginning.
    pub fn open(log: &dyn Log, partitions: u32) -> Result<Self> {
        let reader = |partition| {
            let at = TopicPartition::new(COUNTS, partition);
            log.read(&at, log.start_offset(&at)?)
        };
        Ok(Board { readers: (0..partitions).map(reader).collect::<Result<_>>()?, counts: BTreeMap::new() })
    }

    /// Reads what was committed since the last call.
    pub fn read(&mut self) -> Result {
        for reader in &mut self.readers {
            while let Some(fetched) = reader.next(Duration::ZERO)? {
                for record in fetched.records.iter() {
                    let (Some(word), Some(count)) = (record.key, record.value) else { continue };
                    let (word, count) = (String::from_utf8_lossy(word), String::from_utf8_lossy(count));
                    self.counts.insert(word.into_owned(), count.parse().unwrap_or(0));
                }
            }
        }
        Ok(())
    }

    fn top(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.counts.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(TOP);
        all
    }
}

/// Figures of this run's committed batches.
#[derive(Default)]
pub struct Batches {
    /// Lines that earlier runs had counted; `None` = no batch yet.
    resumed_after: Option<u64>,
    records: u64,
    batch_times: Vec<Duration>,
    checkpoint_times: Vec<Duration>,
    /// Number of the last batch, and its time in milliseconds since the epoch.
    last: Option<(u64, i64)>,
    recent: VecDeque<(i64, u64)>,
}

impl Batches {
    /// Adds a committed batch.
    pub fn add(&mut self, batch: &BatchReport) {
        if !batch.committed {
            return;
        }
        let records = batch.counters.records_in as u64;
        if self.resumed_after.is_none() {
            // The offsets of this topic have no gaps, so the position is the number of lines.
            let position: u64 = batch.positions.iter().map(|p| p.next.0).sum();
            self.resumed_after = Some(position.saturating_sub(records));
        }
        self.records += records;
        self.batch_times.push(batch.total);
        self.checkpoint_times.push(batch.checkpoint);
        self.last = Some((batch.id, batch.time_ms));
        self.recent.push_back((batch.time_ms, records));
        // The first batch began with the program, or holds what an earlier run left: it says nothing about the rate.
        if self.batch_times.len() == 2 || self.recent.len() as u64 > RATE_OVER_S {
            self.recent.pop_front();
        }
    }

    /// Lines counted by all runs.
    pub fn lines(&self) -> u64 {
        self.resumed_after.unwrap_or(0) + self.records
    }

    /// Lines per second over the last batches, each of which holds one second.
    fn rate(&self) -> u64 {
        let records: u64 = self.recent.iter().map(|(_, records)| records).sum();
        records / (self.recent.len() as u64).max(1)
    }

    fn beginning(&self) -> String {
        match self.resumed_after {
            None => "starting".to_owned(),
            Some(0) => "first run".to_owned(),
            Some(lines) => format!("resumed after {} lines", grouped(lines)),
        }
    }
}

/// The smallest value that at least 99 of 100 do not exceed.
fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Standard output: a terminal, where pictures replace each other, or anything else, which gets a line per second.
pub struct Screen {
    terminal: bool,
    drawn_lines: usize,
}

impl Screen {
    /// Detects what standard output is.
    pub fn new() -> Self {
        Screen { terminal: stdout().is_terminal(), drawn_lines: 0 }
    }

    /// The lines that stay at the top.
    pub fn header(&self, page: &str, dir: &Path, rate: u32) {
        let rate = grouped(u64::from(rate));
        self.print(&format!(
            "page       {page}\nmetrics    {page}/metrics\ndirectory  {} (keeps all counts and the newest {} MiB of lines)\ncounting the words of {rate} generated lines per second, exactly once; press Ctrl-C to end\n\n",
            dir.display(),
            KEPT_BYTES >> 20
        ));
    }

    /// One picture.
    pub fn draw(&mut self, board: &Board, batches: &Batches, age: Duration) {
        if !self.terminal {
            let top: Vec<_> = board.top().iter().map(|(w, n)| format!("{w} {}", grouped(*n))).collect();
            let (rate, lines) = (grouped(batches.rate()), grouped(batches.lines()));
            let (age, beginning) = (age.as_secs(), batches.beginning());
            self.print(&format!(
                "{age} s | {rate} lines/s | {lines} lines | {beginning} | {}\n",
                top.join(", ")
            ));
            return;
        }
        let picture = picture(board, batches);
        // A line that is wider than the terminal is cut off: if it wrapped, the picture would be taller.
        let mut out = "\x1b[?7l".to_owned();
        if self.drawn_lines > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn_lines);
        }
        self.drawn_lines = picture.lines().count();
        for line in picture.lines() {
            let _ = writeln!(out, "\x1b[2K{line}");
        }
        out.push_str("\x1b[?7h");
        self.print(&out);
    }

    /// The end of a run.
    pub fn summary(&self, batches: &Batches, age: Duration, dir: &Path, default_dir: bool) {
        let dir = dir.display();
        let flag = if default_dir { String::new() } else { format!(" with --dir {dir}") };
        let last =
            batches.last.map_or("none".to_owned(), |(id, at)| format!("batch {id}, {}", clock_time(at)));
        self.print(&format!(
            "\nended after {} s; {}\n\
             records     {} lines in this run, {} in all\n\
             batches     {}, time p99 {} ms, of which the checkpoint p99 {} ms\n\
             checkpoint  {last}\n\
             state       {dir} (log: topics, state: RocksDB)\n\
             to resume   start the demo again{flag}; to start from scratch, delete the directory first\n",
            age.as_secs(),
            batches.beginning(),
            grouped(batches.records),
            grouped(batches.lines()),
            grouped(batches.batch_times.len() as u64),
            p99(&batches.batch_times).as_millis(),
            p99(&batches.checkpoint_times).as_millis(),
        ));
    }

    /// A closed pipe must not keep the run from ending in order.
    #[expect(clippy::unused_self, reason = "only a screen prints")]
    fn print(&self, text: &str) {
        let mut out = stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The picture; it always has the same number of lines.
fn picture(board: &Board, batches: &Batches) -> String {
    let (mut out, top) = (String::new(), board.top());
    for rank in 0..TOP {
        let _ = match top.get(rank) {
            Some((word, count)) => writeln!(out, "{:>4}  {word:<14}{:>16}", rank + 1, grouped(*count)),
            None => writeln!(out, "{:>4}", rank + 1),
        };
    }
    let checkpoint =
        batches.last.map_or("no checkpoint yet".to_owned(), |(id, _)| format!("checkpoint {id}"));
    let _ = writeln!(
        out,
        "\n{} lines/s | {} lines | {} different words\n{checkpoint} | {}",
        grouped(batches.rate()),
        grouped(batches.lines()),
        grouped(board.counts.len() as u64),
        batches.beginning()
    );
    out
}

/// UTC, as `2025-03-09 12:00:00 UTC`.
fn clock_time(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .map_or_else(|| format!("{at_ms} ms"), |t| t.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate::{
        observe::{Counters, SourcePosition},
        record::Offset,
    };

    fn batch(id: u64, records_in: usize, position: u64) -> BatchReport {
        let at = TopicPartition::new("lines", 0);
        let positions = vec![SourcePosition { at, next: Offset(position), newest_ms: None }];
        let time_ms = i64::try_from(id * 1000).unwrap();
        let total = Duration::from_millis(id);
        let counters = Counters { records_in, ..Counters::default() };
        BatchReport { id, time_ms, counters, positions, total, committed: true, ..BatchReport::default() }
    }

    #[test]
    fn lines_continue_from_what_earlier_runs_counted() {
        let mut batches = Batches::default();
        assert_eq!(batches.beginning(), "starting");
        batches.add(&batch(8, 100, 1_100));
        batches.add(&batch(9, 300, 1_400));
        assert_eq!((batches.beginning().as_str(), batches.lines()), ("resumed after 1,000 lines", 1_400));
        assert_eq!(batches.rate(), 300, "the first batch does not count");
        let counters = Counters { records_in: 7, ..Counters::default() };
        batches.add(&BatchReport { counters, ..BatchReport::default() });
        assert_eq!(batches.lines(), 1_400, "not committed");
    }

    #[test]
    fn a_picture_always_has_the_same_height() {
        let mut board = Board { readers: vec![], counts: BTreeMap::new() };
        let empty = picture(&board, &Batches::default()).lines().count();
        for n in 0..20 {
            board.counts.insert(format!("w{n}"), n * 1000);
            assert_eq!(picture(&board, &Batches::default()).lines().count(), empty);
        }
        assert!(picture(&board, &Batches::default()).starts_with("   1  w19"));
    }

    #[test]
    fn the_99th_percentile_is_a_measured_value() {
        let times = |n: u64| (1..=n).map(Duration::from_millis).collect::<Vec<_>>();
        let values = [0, 1, 50, 100, 200].map(|n| p99(&times(n)).as_millis());
        assert_eq!(values, [0, 1, 50, 99, 198]);
    }
}
