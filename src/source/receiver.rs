//! Receivers: data that someone sends to us, for example through a socket, and that cannot be read again.
//!
//! Owns the trait that a user implements and the handle through which it hands over rows. Knows no thread: the
//! runtime runs receivers and writes what they store. Invariant: rows that `store_all` has confirmed are in the log
//! (or, at the level `Memory`, in this process) in the order in which they were stored.

pub use super::budget::{Budget, Share};

use super::local::{LocalSource, MakeLocal};
use crate::{
    codec::Encode,
    error::Result,
    log::Log,
    operator::Batch,
    record::{Chunk, Data, RawChunk, RawChunkBuilder},
};
use crossbeam_channel::{
    Receiver as Inbox, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, bounded,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Why a receiver ended; it is restarted after a pause.
pub type ReceiverError = Box<dyn std::error::Error + Send + Sync>;

/// Receives data from outside, on a thread of its own that takes nothing from the workers.
///
/// ```
/// use tidegate::source::{Receiver, ReceiverContext, ReceiverError};
///
/// struct Ticks;
/// impl Receiver<u64> for Ticks {
///     fn receive(&mut self, to: &ReceiverContext<u64>) -> Result<(), ReceiverError> {
///         to.connected(); // to its clock
///         for n in 0.. {
///             if to.is_stopped() {
///                 break;
///             }
///             to.store(n)?;
///             to.sleep(std::time::Duration::from_millis(100));
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Receiver<T>: Send + 'static {
    /// Receives until [`ReceiverContext::is_stopped`]. `Ok` = there is nothing more to receive, ever; an error = it
    /// is restarted after a pause that grows from 100 ms to 10 s.
    ///
    /// # Errors
    /// Whatever keeps it from continuing; shown on the page and reported to listeners.
    fn receive(&mut self, to: &ReceiverContext<T>) -> Result<(), ReceiverError>;
}

/// Where rows are kept: those that a receiver has stored, until their batch is committed, and those that `persist`
/// marks.
///
/// For `persist` the level changes nothing: a stream that several operations read is computed once per batch, its
/// rows are in memory while the batch is computed, and windows are in the state store, which is memory and disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageLevel {
    /// In a topic of the log (`<application.id>-ingest-<name>`): rows that were stored survive a crash and are
    /// processed exactly once. For receivers only; `persist_at` refuses it.
    #[default]
    Log,
    /// In this process: rows that a receiver stored and that were not committed are lost with it. The mark of
    /// `persist` and `cache`.
    Memory,
    /// For receivers the same as `Log`, which is on disk; for `persist_at` the same as `Memory`.
    MemoryAndDisk,
    /// Not marked. Refused for receivers.
    None,
}

/// Rows on their way from a receiver; their share of the receiver's memory is returned when the parcel is dropped.
pub struct Parcel {
    /// The rows or records.
    pub load: Load,
    /// The memory they take.
    pub share: Share,
}

/// What is in a parcel.
pub enum Load {
    /// Records for the receiver's topic, and a sender that is notified when they are stored, or why one of them never will be.
    Records(RawChunk, Option<Sender<Result<(), String>>>),
    /// Typed rows for a source within this process.
    Rows(Chunk),
}

/// The untyped handle of a receiver.
#[derive(Clone)]
pub struct Intake {
    /// Where parcels go.
    pub parcels: Sender<Parcel>,
    /// Bounds the bytes in parcels.
    pub budget: Budget,
    /// Disconnected when the program ends, or when another process has taken over the receiver.
    pub stop: Inbox<()>,
    /// Notified of errors, and when the receiver receives again.
    pub health: Arc<Health>,
    /// The log and topic that the rows go to; `None` at the level `Memory`.
    pub topic: Option<(Arc<dyn Log>, String)>,
    /// Whether everything that was there when it began is in its topic.
    pub has_caught_up: Arc<AtomicBool>,
}

/// Whether a receiver is failing, and whom to notify. A receiver that failed counts as failing until it is
/// connected again or hands over a row, however often it is restarted in between.
pub struct Health {
    failing: AtomicBool,
    report: Box<dyn Fn(Option<&str>) + Send + Sync>,
}

impl Health {
    /// `report` is called with each error, and with `None` when the receiver receives again.
    pub fn new(report: impl Fn(Option<&str>) + Send + Sync + 'static) -> Self {
        Health { failing: AtomicBool::new(false), report: Box::new(report) }
    }

    /// An error occurred.
    pub fn failed(&self, why: &str) {
        self.failing.store(true, Ordering::Relaxed);
        (self.report)(Some(why));
    }

    /// The receiver receives; reported only after an error.
    pub fn receives(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            (self.report)(None);
        }
    }
}

/// A receiver as the runtime runs it.
pub trait RunReceiver: Send {
    /// See [`Receiver::receive`].
    ///
    /// # Errors
    /// See [`Receiver::receive`].
    fn run(&mut self, to: &Intake) -> Result<(), ReceiverError>;
}

/// A receiver in the plan.
#[derive(Clone)]
pub struct ReceiverSpec {
    /// Its name: part of its topic's name, and shown on the page.
    pub name: String,
    /// Where its rows go.
    pub target: ReceiverTarget,
    /// The receiver; taken by the thread that runs it.
    pub receiver: Arc<Mutex<dyn RunReceiver>>,
    /// Whether it says when everything that was there when it began is in its topic: a bounded run waits for that.
    pub catches_up: bool,
}

/// Where the rows of a receiver go.
#[derive(Clone)]
pub enum ReceiverTarget {
    /// To an internal topic.
    Topic {
        /// Its name.
        name: String,
        /// Keeps only the newest record of each key, forever; otherwise records are deleted by age.
        compact: bool,
    },
    /// To a source within this process, within a memory bound.
    Memory(Sender<Parcel>, Budget),
}

/// The handle through which a receiver hands over rows.
///
/// ```
/// use std::{sync::mpsc::{Sender, channel}, time::Duration};
/// use tidegate::{
///     StreamingContext,
///     observe::listener::{ReceiverInfo, StreamingListener},
///     source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
/// };
/// /// A scale whose connection breaks once.
/// struct Scale {
///     connections: u32,
///     seen: Sender<String>,
/// }
/// impl Receiver<u32> for Scale {
///     fn receive(&mut self, to: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
///         self.connections += 1;
///         if self.connections == 1 {
///             to.report_error("it is slow"); // shown as failing, but it continues
///             to.store_many(vec![1, 2])?; // no longer shown as failing
///             return to.restart("the connection broke"); // called again after 100 ms
///         }
///         to.connected(); // no longer shown as failing, even before it has a row
///         to.store_all(vec![3])?; // when it returns, the row is in the log
///         self.seen.send("3 is stored".into())?;
///         while !to.is_stopped() {
///             to.sleep(Duration::from_secs(3_600)); // ends at once when the program does
///         }
///         self.seen.send("stopped".into())?;
///         Ok(())
///     }
/// }
/// /// Passes errors on.
/// struct Errors(Sender<String>);
/// impl StreamingListener for Errors {
///     fn on_receiver_error(&self, receiver: &ReceiverInfo) {
///         let _ = self.0.send(receiver.last_error.clone().unwrap().message);
///     }
/// }
/// let app = StreamingContext::builder("app").batch_interval(Duration::from_millis(50));
/// let ssc = app.configure(|c| c.admin_bind = None).build();
/// let ((seen, saw), (report, stored), (error, errors)) = (channel(), channel(), channel());
/// let weights = ssc.receiver_stream("scale", Scale { connections: 0, seen }, StorageLevel::Log);
/// weights.foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|weight| report.send(*weight))?));
/// ssc.add_streaming_listener(Errors(error));
/// ssc.start()?;
/// assert_eq!(stored.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
/// assert_eq!(errors.iter().take(2).collect::<Vec<_>>(), ["it is slow", "the connection broke"]);
/// assert_eq!(saw.recv().unwrap(), "3 is stored");
/// ssc.stop(true);
/// ssc.await_termination()?;
/// assert_eq!(saw.recv().unwrap(), "stopped");
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct ReceiverContext<T> {
    intake: Intake,
    /// `None` = rows stay in this process.
    encode: Option<Arc<dyn Encode<T>>>,
}

const STOPPED: &str = "the receiver was stopped";
const WAIT: Duration = Duration::from_millis(50);

impl<T: Data> ReceiverContext<T> {
    /// Hands over one row; waits only while too much is under way. The row is not yet stored when this returns: see
    /// [`Self::store_all`]. A row that the log refuses because it is too large is left out and reported as an error of
    /// the receiver, which goes on.
    ///
    /// ```
    /// use tidegate::{
    ///     StreamingContext,
    ///     config::Trigger,
    ///     source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
    /// };
    /// struct Numbers;
    /// impl Receiver<u32> for Numbers {
    ///     fn receive(&mut self, to: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
    ///         (1..=3).try_for_each(|n| to.store(n))
    ///     }
    /// }
    /// let ssc =
    ///     StreamingContext::builder("app").configure(|c| c.admin_bind = None).trigger(Trigger::AsSoonAsPossible).build();
    /// let (report, stored) = std::sync::mpsc::channel();
    /// let numbers = ssc.receiver_stream("numbers", Numbers, StorageLevel::Memory);
    /// numbers.foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|n| report.send(*n))?));
    /// ssc.start()?;
    /// assert_eq!(stored.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
    /// ssc.stop(true);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the row cannot be encoded, or the receiver was stopped.
    pub fn store(&self, row: T) -> Result<(), ReceiverError> {
        self.send(vec![row], None)
    }

    /// Hands over rows in order, like [`Self::store`] for a single row. See also [the example](ReceiverContext).
    ///
    /// ```
    /// use tidegate::source::{Receiver, ReceiverContext, ReceiverError};
    /// struct Words(std::net::TcpStream);
    /// impl Receiver<String> for Words {
    ///     fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
    ///         for line in std::io::BufRead::lines(std::io::BufReader::new(&self.0)) {
    ///             to.store_many(line?.split(' ').map(str::to_owned).collect())?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If a row cannot be encoded, or the receiver was stopped.
    pub fn store_many(&self, rows: Vec<T>) -> Result<(), ReceiverError> {
        if rows.is_empty() { Ok(()) } else { self.send(rows, None) }
    }

    /// Hands over rows and waits until all are stored: a sender that waits for an acknowledgement may then get it.
    /// See also [the example](ReceiverContext).
    ///
    /// ```
    /// use std::io::{BufRead, BufReader, Write};
    /// use tidegate::source::{Receiver, ReceiverContext, ReceiverError};
    /// struct Orders(std::net::TcpStream);
    /// impl Receiver<String> for Orders {
    ///     fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
    ///         for order in BufReader::new(&self.0).lines() {
    ///             to.store_all(vec![order?])?;
    ///             (&self.0).write_all(b"taken\n")?; // it is in the log: the sender may forget it
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If a row cannot be encoded, or the log refuses one because it is too large (the others are stored then), or the
    /// receiver was stopped before they were stored.
    pub fn store_all(&self, rows: Vec<T>) -> Result<(), ReceiverError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (stored, answer) = bounded(1);
        self.send(rows, Some(stored))?;
        loop {
            match answer.recv_timeout(WAIT) {
                Ok(stored) => return stored.map_err(Into::into),
                Err(RecvTimeoutError::Timeout) if !self.is_stopped() => {}
                Err(_) => return Err(STOPPED.into()),
            }
        }
    }

    fn send(&self, rows: Vec<T>, stored: Option<Sender<Result<(), String>>>) -> Result<(), ReceiverError> {
        let Some(encode) = &self.encode else {
            let bytes = rows.len() * size_of::<T>().max(ROW_BYTES_MIN);
            self.intake.send(Load::Rows(Chunk::rows(rows)), bytes)?;
            return stored.map_or(Ok(()), |s| s.send(Ok(())).map_err(Into::into));
        };
        let mut records = RawChunkBuilder::with_capacity(rows.len(), rows.len() * 32);
        for row in &rows {
            records.push_with(-1, None, |out| encode.encode(row, out))?;
        }
        let records = records.build();
        let bytes = records.bytes() + records.len() * ROW_BYTES_MIN;
        self.intake.send(Load::Records(records, stored), bytes)
    }

    /// An error that makes the runtime restart the receiver: `return to.restart("connection closed")`. See also
    /// [the example](ReceiverContext).
    ///
    /// ```
    /// use tidegate::source::{Receiver, ReceiverContext, ReceiverError};
    /// struct Pings(std::net::UdpSocket);
    /// impl Receiver<Vec<u8>> for Pings {
    ///     fn receive(&mut self, to: &ReceiverContext<Vec<u8>>) -> Result<(), ReceiverError> {
    ///         let mut ping = [0; 64];
    ///         match self.0.recv(&mut ping)? {
    ///             0 => to.restart("an empty ping"),
    ///             length => to.store(ping[..length].to_vec()),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Always: that is its purpose.
    pub fn restart(&self, why: impl Into<String>) -> Result<(), ReceiverError> {
        Err(why.into().into())
    }

    /// Reports that it can receive, for instance after it has connected: a receiver that failed before is shown as
    /// failing until it reports this or hands over a row. See [the example](ReceiverContext).
    pub fn connected(&self) {
        self.intake.health.receives();
    }

    /// Reports an error that does not end the receiver; it is shown as failing until it hands over a row or calls
    /// [`Self::connected`]. See also [the example](ReceiverContext).
    ///
    /// ```
    /// use tidegate::source::{Receiver, ReceiverContext, ReceiverError};
    /// struct Numbers(Vec<String>);
    /// impl Receiver<i64> for Numbers {
    ///     fn receive(&mut self, to: &ReceiverContext<i64>) -> Result<(), ReceiverError> {
    ///         for text in self.0.drain(..) {
    ///             match text.parse() {
    ///                 Ok(number) => to.store(number)?,
    ///                 Err(e) => to.report_error(&format!("`{text}`: {e}")), // shown on the page; it continues
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn report_error(&self, what: &str) {
        self.intake.health.failed(what);
    }

    /// Whether the receiver should end. See [the example](ReceiverContext).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.intake.is_stopped()
    }

    /// Waits, but no longer than until the receiver should end. See [the example](ReceiverContext).
    pub fn sleep(&self, time: Duration) {
        self.intake.sleep(time);
    }
}

impl Intake {
    /// Hands over about `bytes` of rows; waits while too much is under way.
    ///
    /// # Errors
    /// If the receiver was stopped.
    pub fn send(&self, load: Load, bytes: usize) -> Result<(), ReceiverError> {
        let share = loop {
            if self.is_stopped() {
                return Err(STOPPED.into());
            }
            if let Some(share) = self.budget.take(bytes, WAIT) {
                break share;
            }
        };
        let mut parcel = Parcel { load, share };
        loop {
            match self.parcels.send_timeout(parcel, WAIT) {
                Ok(()) => {
                    self.health.receives();
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(_)) if self.is_stopped() => return Err(STOPPED.into()),
                Err(SendTimeoutError::Timeout(back)) => parcel = back,
                Err(SendTimeoutError::Disconnected(_)) => return Err(STOPPED.into()),
            }
        }
    }

    /// Whether the receiver should end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Everything that was there when the receiver began is in its topic.
    pub fn caught_up(&self) {
        self.has_caught_up.store(true, Ordering::Release);
    }

    /// Waits, but no longer than until the receiver should end.
    pub fn sleep(&self, time: Duration) {
        let _ = self.stop.recv_timeout(time); // nothing is ever sent: either the time is over, or the receiver is stopped
    }
}

/// A typed receiver in the form that the plan keeps; `encode` `None` = its rows stay in this process.
pub fn erased<T: Data>(
    receiver: impl Receiver<T>,
    encode: Option<Arc<dyn Encode<T>>>,
) -> Arc<Mutex<dyn RunReceiver>> {
    struct Typed<T, R>(R, Option<Arc<dyn Encode<T>>>);
    impl<T: Data, R: Receiver<T>> RunReceiver for Typed<T, R> {
        fn run(&mut self, to: &Intake) -> Result<(), ReceiverError> {
            self.0.receive(&ReceiverContext { intake: to.clone(), encode: self.1.clone() })
        }
    }
    Arc::new(Mutex::new(Typed(receiver, encode)))
}

/// How many parcels may be under way.
pub const PARCELS_MAX: usize = 4_096;
/// A row counts as at least this many bytes.
const ROW_BYTES_MIN: usize = 32;
/// How many bytes the rows of each receiver in this process may take; for rows with strings and vectors, only the
/// rows themselves are counted.
const MEMORY_BYTES: usize = 128 << 20;

/// A channel from a receiver to a source within this process.
#[must_use]
pub fn in_memory() -> (ReceiverTarget, MakeLocal) {
    let (parcels, inbox) = bounded(PARCELS_MAX);
    let make: MakeLocal = Arc::new(move || Box::new(Received { inbox: inbox.clone(), taken: vec![] }));
    (ReceiverTarget::Memory(parcels, Budget::new(MEMORY_BYTES)), make)
}

/// Rows count until their batch is committed: only then are they out of memory for good.
struct Received {
    inbox: Inbox<Parcel>,
    taken: Vec<Share>,
}

impl LocalSource for Received {
    fn take(&mut self, _: &Batch) -> Result<Option<Chunk>> {
        while let Ok(Parcel { load, share }) = self.inbox.try_recv() {
            if let Load::Rows(chunk) = load {
                self.taken.push(share);
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn has_more(&self) -> bool {
        !self.inbox.is_empty()
    }

    fn committed(&mut self) {
        self.taken.clear();
    }
}
