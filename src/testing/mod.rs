//! Runs a stream program on tables of records, in virtual time, and shows what it wrote as a table.
//!
//! Owns the form of the tables, the clock of a test and the ways to disturb a run. Knows no operator and no
//! operation: programs run on the real engine, with a log and state in memory. Invariants: a batch has exactly the
//! time that the test sets; nothing depends on the machine's clock; what is shown was committed.
//!
//! ```
//! use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::Driver};
//!
//! let word_count = |ssc: &StreamingContext| {
//!     let words = ssc.text("lines").flat_map(|line| line.split(' '));
//!     words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
//! };
//! let mut driver = Driver::new(word_count);
//! // topic partition | key | value
//! let written = driver.batch_at(1_000, "lines 0 | - | to be\nlines 1 | - | or not to be\n")?;
//! assert_eq!(written.to_string(), "counts | be | 2\ncounts | not | 1\ncounts | or | 1\ncounts | to | 2\n");
//! driver.restart_without_state();
//! assert_eq!(driver.batch("lines 2 | - | be\n")?.to_string(), "counts | be | 3\n");
//! # Ok::<(), tidegate::Error>(())
//! ```
//!
//! With [`Settings::processes`] several processes run the program, as they do in production: they share the state partitions and the
//! input, and what they write together is what one process writes.
//!
//! ```
//! # use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::{Settings, run}};
//! # let word_count = |ssc: &StreamingContext| {
//! #     let words = ssc.text("lines").flat_map(|line| line.split(' '));
//! #     words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
//! # };
//! let input = "lines 0 | - | to be\nlines 1 | - | or not to be\n---\nlines 2 | - | be\n";
//! let written = run(Settings { processes: 3, ..Settings::default() }, word_count, input)?;
//! assert_eq!(written, run(Settings::default(), word_count, input)?);
//! # Ok::<(), tidegate::Error>(())
//! ```
//!
//! # Tables
//!
//! An input row is `topic partition | key | value`; `-` is null, `''` is empty. Further columns are `@timestamp` in
//! milliseconds and `header=value`. In a table for several batches a line `---` ends a batch. An output row is
//! `topic | key | value`, with headers if there are any, and with its timestamp if the program or the input set one
//! (`docs/event-time.md` says which timestamps outputs carry), or `console | row`; the rows of a batch are sorted, as
//! their order across partitions means nothing. Event times belong to the driver's clock, which begins at 0: one that is
//! more than an hour ahead of it is refused, unless [`Driver::set_now_ms`] sets the clock first.

mod driver;
mod outputs;
mod table;
mod turnstile;

pub use driver::Driver;
pub use outputs::{outputs, outputs_of_two};
pub use table::{Reading, feed};
pub use turnstile::Crash;

use crate::{config::ExchangeThrough, context::StreamingContext, error::Result, record::hash_bytes};
use std::fmt;

/// How a program is run in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time from one batch to the next, milliseconds.
    pub interval_ms: i64,
    /// Partitions of each input topic.
    pub input_partitions: u32,
    /// Number of state partitions.
    pub state_partitions: u32,
    /// Worker threads of each process; 0 = all on one thread.
    pub threads: usize,
    /// Processes that share the program's state partitions, and with them its input, from the first batch on; a program that one
    /// process runs by itself is refused. What happens between two batches happens to all of them, a crash to one.
    pub processes: usize,
    /// What happens to the process between two batches.
    pub between: Between,
    /// How rows get from one stage to the next.
    #[doc(hidden)]
    pub exchange: ExchangeThrough,
}

impl Default for Settings {
    /// One second, 3 input partitions, 8 state partitions, one process without worker threads, nothing between two batches.
    fn default() -> Self {
        Settings {
            interval_ms: 1_000,
            input_partitions: 3,
            state_partitions: 8,
            threads: 0,
            processes: 1,
            between: Between::GoesOn,
            exchange: ExchangeThrough::Memory,
        }
    }
}

/// What happens to the process from one batch to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// It keeps running.
    GoesOn,
    /// It ends and restarts on its local state.
    Restart,
    /// It ends and restarts elsewhere: state is restored from the changelog.
    RestartWithoutState,
    /// Each batch that writes anything is cut off before its commit, and runs again in a new process with the local
    /// state.
    CrashBeforeCommit,
    /// Each batch that writes anything is committed, but its process dies before the local state reflects it.
    CrashAfterCommit,
}

/// Ways to run a program that must not change what it writes: threads, state partitions, restarts and crashes. The
/// first is [`Settings::default`].
#[must_use]
pub fn ways() -> [Settings; 7] {
    let plain = Settings::default();
    [
        plain,
        Settings { threads: 3, ..plain },
        Settings { state_partitions: 1, between: Between::Restart, ..plain },
        Settings { between: Between::RestartWithoutState, ..plain },
        Settings { threads: 2, state_partitions: 3, between: Between::RestartWithoutState, ..plain },
        Settings { between: Between::CrashBeforeCommit, ..plain },
        Settings { between: Between::CrashAfterCommit, ..plain },
    ]
}

/// Ways in which rows go from stage to stage through the exchange topic.
fn ways_through_topic() -> [Settings; 4] {
    let plain = Settings { exchange: ExchangeThrough::Topic, ..Settings::default() };
    [
        Settings { threads: 2, state_partitions: 3, ..plain },
        Settings { between: Between::RestartWithoutState, ..plain },
        Settings { between: Between::CrashBeforeCommit, ..plain },
        Settings { between: Between::CrashAfterCommit, ..plain },
    ]
}

/// Ways in which several processes share the state: all go on; and one in which something happens to them, which `choice` chooses.
fn ways_of_several(choice: u64) -> [Settings; 3] {
    let of = |processes, between| Settings { processes, between, ..Settings::default() };
    let disturbed = [
        of(3, Between::Restart),
        of(2, Between::RestartWithoutState),
        of(2, Between::CrashBeforeCommit),
        of(3, Between::CrashAfterCommit),
    ];
    let chosen = usize::try_from(choice % disturbed.len() as u64).unwrap_or(0);
    [of(2, Between::GoesOn), of(3, Between::GoesOn), disturbed[chosen]]
}

/// Runs a program over a table of batches, one at each interval; returns what it wrote, with `---` between batches.
///
/// ```
/// use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::{Settings, run}};
///
/// let lengths = |ssc: &StreamingContext| {
///     ssc.text("words").map(|word| (word.clone(), word.len())).to_kafka("lengths", Utf8, AsText);
/// };
/// let written = run(Settings::default(), lengths, "words 0 | - | sea\n---\nwords 2 | - | tide\n")?;
/// assert_eq!(written, "lengths | sea | 3\n---\nlengths | tide | 4\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
///
/// # Errors
/// If the program or the table has mistakes, or the program fails.
pub fn run(settings: Settings, program: impl Fn(&StreamingContext), input: &str) -> Result<String> {
    let mut driver = Driver::with(settings, program);
    let batches: Result<Vec<String>> =
        input.split("---\n").map(|rows| Ok(driver.batch(rows)?.to_string())).collect();
    Ok(batches?.join("---\n"))
}

/// Like [`run`], in each of the [`ways`], with rows that go through the exchange topic, and, if several processes may share the program,
/// with two and three of them; what disturbs these follows from the name of the test and the input. Console rows are not compared where
/// a process dies after a commit: they are shown at most once.
///
/// # Panics
/// If the program fails, or does not write the same in every way; the message shows both.
#[track_caller]
#[must_use]
pub fn run_every_way(program: impl Fn(&StreamingContext), input: &str) -> String {
    let show = |settings| match run(settings, &program, input) {
        Ok(written) => written,
        Err(e) => format!("error: {e}\n"),
    };
    let [plain, others @ ..] = ways();
    let expected = show(plain);
    let of_several = if Driver::new(&program).may_be_shared() {
        let test = std::thread::current().name().map(str::to_owned).unwrap_or_default();
        ways_of_several(hash_bytes(format!("{test} {input}").as_bytes())).to_vec()
    } else {
        vec![]
    };
    for settings in others.into_iter().chain(ways_through_topic()).chain(of_several) {
        let written = show(settings);
        let shown_once = settings.between != Between::CrashAfterCommit;
        let compared = |table: &str| -> Vec<String> {
            let rows = table.lines().filter(|row| shown_once || !row.starts_with("console |"));
            rows.map(str::to_owned).collect()
        };
        assert!(
            compared(&written) == compared(&expected),
            "{settings:?} writes\n{written}\nbut {plain:?} writes\n{expected}"
        );
    }
    expected
}

/// What batches wrote, in order; shown as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Each batch that ran.
    pub batches: Vec<WrittenBatch>,
}

/// What one batch wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBatch {
    /// The batch's time, milliseconds.
    pub time_ms: i64,
    /// Output rows, sorted.
    pub rows: Vec<String>,
}

impl Written {
    /// The rows of all batches.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        self.batches.iter().flat_map(|batch| batch.rows.iter().map(String::as_str))
    }

    /// The batches that wrote something, each under a line `time_ms:`.
    #[must_use]
    pub fn by_time(&self) -> String {
        let wrote = self.batches.iter().filter(|batch| !batch.rows.is_empty());
        let shown: Vec<String> = wrote.map(|batch| format!("{}:\n{batch}", batch.time_ms)).collect();
        shown.concat()
    }
}

impl fmt::Display for WrittenBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, batch) in self.batches.iter().enumerate() {
            let end = if n == 0 { "" } else { "---\n" };
            write!(f, "{end}{batch}")?;
        }
        Ok(())
    }
}
