//! The log boundary: everything that the engine knows about Kafka.
//!
//! It covers membership and assignment, the records of partitions from offsets (committed data only), high watermarks, committed offsets, topics, and the atomic commit of one batch. Three logs implement it: `kafka`,
//! `embedded` (in this process, in memory or in a directory) and `sim` (embedded in memory plus seeded faults). A
//! program chooses one by its bootstrap string. Knows no task, no operator and no state. Invariant: any implementation
//! that passes the contract tests can be used here.

pub mod embedded;
#[doc(hidden)]
pub mod kafka;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod partitioner;
#[doc(hidden)]
pub mod sim;
mod timestamps;

use crate::{
    error::{Error, Failure, Result},
    record::{Offset, Partition, RawChunk, TopicPartition},
};
pub use limits::RequestSizes;
use std::{any::Any, collections::BTreeMap, sync::Arc, time::Duration};

/// A log: topics, and the handles to read, join and commit. One per process; shared by its threads.
pub trait Log: Send + Sync {
    /// The name to show in messages: `kafka at host:port`, `embedded log in DIR`, `log in memory`.
    fn name(&self) -> String;

    /// Whether a missing topic is created when a program writes to it (the embedded logs do that; Kafka does not).
    fn creates_output_topics(&self) -> bool;

    /// Whether this log deletes what all readers have passed, of topics that ask for it (`delete.consumed.only`); see
    /// [`Log::passed`].
    fn deletes_consumed(&self) -> bool;

    /// Whether there is only one copy of each topic, on this machine, whatever the topic's settings say.
    fn keeps_one_copy(&self) -> bool;

    /// Connects to the log within `timeout`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the step that failed.
    fn connect(&self, timeout: Duration) -> Result;

    /// Describes each topic, in order; `None` = it does not exist.
    ///
    /// # Errors
    /// If the log does not answer.
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicInfo>>>;

    /// Creates a topic. A topic that already exists is left as it is; that is not an error.
    ///
    /// # Errors
    /// If the log refuses, with the reason it gives.
    fn create(&self, topic: &TopicSpec) -> Result;

    /// The high watermark: the offset after the last record written, committed or not. Never the last stable offset.
    ///
    /// # Errors
    /// If the log does not answer, or the partition does not exist.
    fn end_offset(&self, at: &TopicPartition) -> Result<Offset>;

    /// The offset of the first record that is still stored.
    ///
    /// # Errors
    /// As [`Log::end_offset`].
    fn start_offset(&self, at: &TopicPartition) -> Result<Offset>;

    /// The offset of the first record whose timestamp is at least `timestamp_ms`; the high watermark if there is none.
    ///
    /// # Errors
    /// As [`Log::end_offset`].
    fn offset_at(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Offset>;

    /// The names of all topics that this process may read, in any order.
    ///
    /// # Errors
    /// If the log does not answer.
    fn topics(&self) -> Result<Vec<String>>;

    /// A handle to fetch many partitions, without a group. It connects at once, and `spec` says how much it may hold.
    ///
    /// # Errors
    /// If the settings are refused.
    fn fetch(&self, spec: &FetchSpec) -> Result<Box<dyn Fetch>>;

    /// Reads one partition from an offset, without a group. Used to restore state.
    ///
    /// # Errors
    /// If the partition cannot be read.
    fn read(&self, at: &TopicPartition, from: Offset) -> Result<Box<dyn Reader>>;

    /// Reports that a reader without a group, named `reader`, will never read rows before `until` again. A log may then
    /// delete what all readers have passed; a log that deletes by time alone does nothing.
    ///
    /// # Errors
    /// If the log cannot record this; nothing is deleted then.
    fn passed(&self, reader: &str, at: &TopicPartition, until: Offset) -> Result {
        let _ = (reader, at, until);
        Ok(())
    }

    /// Deletes the records before these offsets, which nobody needs any more. A log that deletes by itself what its groups have passed
    /// does nothing.
    ///
    /// # Errors
    /// If the log refuses, or does not answer; some may be deleted then.
    fn delete_before(&self, places: &[(TopicPartition, Offset)]) -> Result {
        let _ = places;
        Ok(())
    }

    /// The members of a consumer group, as the log knows them now: one that has gone silent counts until its session
    /// is over. A group that does not exist has none.
    ///
    /// # Errors
    /// If the log does not answer.
    fn members(&self, group: &str) -> Result<Vec<GroupMember>>;

    /// What a group has committed last for each partition, in order, whatever is pending there in a transaction; for members see
    /// [`Member::committed`].
    ///
    /// # Errors
    /// If the log does not answer.
    fn last_committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Committed>>>;

    /// Joins the consumer group. Returns at once; the assignment arrives as an event. `wake` is called when there may be
    /// an event.
    ///
    /// # Errors
    /// If the settings are refused.
    fn join(&self, group: &GroupSpec, wake: Wake) -> Result<Box<dyn Member>>;

    /// A producer that is not yet ready: call [`Producer::init`] before anything else.
    ///
    /// # Errors
    /// If the settings are refused.
    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>>;
}

/// What a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Identity, which changes when the topic is deleted and recreated; empty = the log has none.
    pub id: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication_factor: u16,
    /// Whether this process may write to it; `None` = the log does not say.
    pub may_write: Option<bool>,
    /// Settings that matter to the guarantee, as the log names them: `cleanup.policy`, `retention.ms`,
    /// `delete.retention.ms`, `min.insync.replicas`, `unclean.leader.election.enable`, `max.message.bytes`,
    /// `message.timestamp.type`, `message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`. Absent = the log
    /// does not say.
    pub config: BTreeMap<String, String>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition; `None` = the broker's default.
    pub replication_factor: Option<u16>,
    /// Settings, under the log's own names.
    pub config: BTreeMap<String, String>,
}

/// A member of a group, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its member id: a new one each time it joins.
    pub member_id: String,
    /// Its static name (`group.instance.id`), or what a member without one is called.
    pub instance: String,
    /// Where it runs; empty = in this process.
    pub host: String,
}

/// Group and identity of a member.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// The consumer group: the application id.
    pub group: String,
    /// Static member name (`group.instance.id`).
    pub instance: String,
    /// Topics to subscribe to.
    pub topics: Vec<String>,
    /// How long the group keeps a member that is silent.
    pub session_timeout: Duration,
}

/// How much is fetched ahead.
#[derive(Clone, Copy, Debug)]
pub struct FetchSpec {
    /// Upper bound of the bytes that are fetched but not yet taken, over all partitions.
    pub buffer_bytes: usize,
    /// How many partitions are expected. More may come: then each gets a smaller share.
    pub partitions: usize,
}

/// Ends a [`Fetch::wait`], from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Identity and kind of a producer.
#[derive(Clone, Debug)]
pub struct ProducerSpec {
    /// `Some` = exactly once under this transactional id; `None` = idempotent only (at least once).
    pub transactional_id: Option<String>,
    /// The log aborts a transaction by itself when it has been open for this long.
    pub transaction_timeout: Duration,
    /// The group whose offsets are committed.
    pub group: String,
    /// Upper bound of the bytes that are sent but not yet acknowledged.
    pub buffer_bytes: usize,
    /// How much goes into one request.
    pub sizes: RequestSizes,
}

/// A record that the log has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The topic that it was sent to.
    pub topic: String,
    /// Identifies it; see [`limits::fingerprint`].
    pub fingerprint: u64,
    /// Whether it is certain that this record was refused, and not only the batch that it was sent in.
    pub is_named: bool,
    /// What the log said.
    pub why: String,
}

/// A question that the log may take long to answer: it can be asked on any thread, while the member itself is served.
pub type Question<T> = Box<dyn FnOnce() -> Result<T, Failure> + Send>;

/// A place in the group: assignment events and committed offsets. Owned by one thread.
pub trait Member: Send {
    /// Serves the group without blocking: returns what has happened since the last call, in order.
    ///
    /// # Errors
    /// If the membership is lost for good (fenced by a newer member of the same instance, configuration refused).
    fn poll(&mut self) -> Result<Vec<GroupEvent>, Failure>;

    /// Our current identity in the group. The member id is the ownership epoch: if it differs from the one at
    /// assignment, all partitions were lost. Read it before `assignment_lost`.
    ///
    /// # Errors
    /// If this member has not joined the group.
    fn membership(&self) -> Result<Membership, Failure>;

    /// Whether the assignment was lost rather than revoked in order: then nothing of it may be committed.
    fn assignment_lost(&self) -> bool;

    /// The committed offset and metadata of each partition, in order, whether or not the group assigns it. Waits until no
    /// transaction is pending on them; `None` = never committed.
    ///
    /// The answer is a failure if the group's coordinator does not answer in time.
    fn committed(&self, at: &[TopicPartition]) -> Question<Vec<Option<Committed>>>;

    /// Takes over what was assigned: the answer to [`GroupEvent::Assigned`]. Until then the group waits for it. Without
    /// such an event it does nothing.
    ///
    /// # Errors
    /// If the group refuses.
    fn accept(&mut self) -> Result<(), Failure>;

    /// Gives up partitions: the answer to [`GroupEvent::Revoking`] or [`GroupEvent::Lost`].
    ///
    /// # Errors
    /// If the group refuses.
    fn release(&mut self, at: &[TopicPartition]) -> Result<(), Failure>;

    /// The partitions of these topics (given with their numbers of partitions) that no member of the group holds; empty
    /// if the log cannot say, or cannot say at the moment.
    fn unassigned(&self, topics: &[(String, u32)]) -> Question<Vec<TopicPartition>> {
        let _ = topics;
        Box::new(|| Ok(vec![]))
    }

    /// Leaves the group and joins it again, so that the group computes a new assignment: everything held is revoked or
    /// lost (answer with [`Member::release`]), then partitions are assigned again.
    ///
    /// # Errors
    /// If the subscription is refused.
    fn rejoin(&mut self) -> Result<(), Failure>;

    /// Gives everything back and leaves the group, before this member is replaced by a new one. Otherwise the new one
    /// would inherit its place as it is, and partitions that were revoked but not yet given back would belong to
    /// nobody. Waits for the group, at most some seconds.
    fn leave(&mut self) {}

    /// Ends the membership. With `leave` the member leaves the group at once (scale-in); otherwise the place is kept for a
    /// restart.
    fn close(self: Box<Self>, leave: bool);
}

/// Fetches partitions, without a group. Owned by one thread.
pub trait Fetch: Send {
    /// Begins to fetch partitions at offsets, while others go on. Returns a fetcher for each, in order; dropping it ends
    /// the fetching. A partition has one fetcher at a time.
    ///
    /// # Errors
    /// If the log cannot fetch them.
    fn start(&mut self, at: &[(TopicPartition, Offset)]) -> Result<Vec<Box<dyn Fetcher>>, Failure>;

    /// Blocks until there may be records, until it is woken, or until `timeout` is over.
    fn wait(&mut self, timeout: Duration);

    /// Ends `wait`.
    fn wake(&self) -> Wake;
}

/// What happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// Partitions are ours from now on: answer with [`Member::accept`].
    Assigned(Vec<TopicPartition>),
    /// Partitions are being revoked: finish the batch, then answer with [`Member::release`].
    Revoking(Vec<TopicPartition>),
    /// Partitions are no longer ours: drop everything, then answer with [`Member::release`].
    Lost(Vec<TopicPartition>),
    /// The log cannot be reached (`Some` = why) or can be reached again (`None`). For log lines and readiness only.
    Connection(Option<String>),
}

/// The identity of a member: opaque to the engine except for the member id and the generation, which it compares.
#[derive(Clone)]
pub struct Membership {
    /// The ownership epoch.
    pub member_id: String,
    /// Rises with each rebalance.
    pub generation: i32,
    /// What a producer of the same log needs to commit in this member's name.
    pub handle: Arc<dyn Any + Send + Sync>,
}

/// A committed offset with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the record before it; `None` = unknown.
    pub leader_epoch: Option<i32>,
    /// The metadata that was committed with it.
    pub metadata: String,
}

/// The fetched records of one partition. May be used on any thread. Bounded: when records are not taken, no more are
/// fetched.
pub trait Fetcher: Send {
    /// Takes records in order without blocking, at most `max_records` and about `max_bytes`; `None` = there is nothing
    /// at the moment.
    ///
    /// # Errors
    /// If the offset is out of range, the topic is gone, or data does not match its checksum.
    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure>;

    /// Goes on from another offset; what was already fetched is discarded. If that cannot be done, the next `take` says
    /// why.
    fn seek(&mut self, to: Offset);
}

/// Records taken from a partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The records; may be empty when only control records were skipped.
    pub records: RawChunk,
    /// The next offset to read: after the last record, and after control and aborted records where that is known.
    pub next: Offset,
    /// Leader epoch of the last record; `None` = unknown.
    pub leader_epoch: Option<i32>,
}

/// Reads one partition in order. Used to restore state.
pub trait Reader: Send {
    /// The next records, waiting at most `timeout`; `None` = nothing came. `Fetched::next` skips control records, so a
    /// reader also reaches the high watermark behind an aborted transaction.
    ///
    /// # Errors
    /// As [`Fetcher::take`].
    fn next(&mut self, timeout: Duration) -> Result<Option<Fetched>, Failure>;
}

/// Writes records and commits a batch. Owned by one thread; `send` does not wait for acknowledgements.
pub trait Producer: Send {
    /// Makes the producer ready and ends what a dead process left open under the same id. Once this has returned,
    /// committed offsets and high watermarks can be relied on.
    ///
    /// # Errors
    /// With the reaction that the log's error requires.
    fn init(&mut self) -> Result<(), Failure>;

    /// Opens a transaction.
    ///
    /// # Errors
    /// As [`Producer::init`].
    fn begin(&mut self) -> Result<(), Failure>;

    /// Hands over records; waits only while the buffer is full. With `partition` `None` they are placed by key, as Java
    /// clients place them.
    ///
    /// # Errors
    /// If a record is refused (too large, unknown topic). That is deterministic, so the reaction is `StopPipeline`, and
    /// [`Producer::take_refused`] names the records.
    fn send(&mut self, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result<(), Failure>;

    /// Waits until all records are acknowledged.
    ///
    /// # Errors
    /// The first delivery failure.
    fn flush(&mut self) -> Result<(), Failure>;

    /// Commits the open transaction with these offsets in the member's name.
    ///
    /// # Errors
    /// `AbortReplay`, `RecreateProducer`, `CloseTasks`, `Exit`: certainly not committed. `Unknown`: the outcome must be
    /// settled by the token.
    fn commit(&mut self, offsets: &[(TopicPartition, Committed)], member: &Membership)
    -> Result<(), Failure>;

    /// Aborts the open transaction: readers of committed data see nothing of it.
    ///
    /// # Errors
    /// `RecreateProducer` if this producer can no longer be used.
    fn abort(&mut self) -> Result<(), Failure>;

    /// The records that were refused since the last call, as far as the log names them: there is nothing else wrong with
    /// the transaction.
    fn take_refused(&mut self) -> Vec<RefusedRecord> {
        vec![]
    }

    /// Whether a request of the last transaction was slow, retried or cut off, so that a late copy of it could hit the
    /// next transaction. If so, the producer must be replaced before it begins again.
    fn suspect(&self) -> bool;
}

/// The prefix of the bootstrap string of a log in memory.
const IN_MEMORY: &str = "memory:";

/// Whether a bootstrap string names a log that ends with this process, so that nothing else need outlive the process
/// either.
#[must_use]
pub fn ends_with_process(bootstrap: &str) -> bool {
    bootstrap.starts_with(IN_MEMORY)
}

/// Opens the log that a bootstrap string names: `host:port[,..]`, `embedded:DIR`, `memory:` or `memory:NAME`.
///
/// ```
/// let log = tidegate::log::open("memory:", &Default::default())?;
/// assert_eq!(log.name(), "log in memory");
/// # Ok::<(), tidegate::Error>(())
/// ```
///
/// # Errors
/// If the string or a client property is invalid, or the directory cannot be used.
pub fn open(bootstrap: &str, properties: &BTreeMap<String, String>) -> Result<Arc<dyn Log>> {
    if let Some(name) = bootstrap.strip_prefix(IN_MEMORY) {
        return Ok(embedded::Embedded::named(name));
    }
    if let Some(dir) = bootstrap.strip_prefix("embedded:") {
        if dir.is_empty() {
            return Err(Error::Config("`embedded:` needs a directory, as in `embedded:./data`".into()));
        }
        return Ok(embedded::Embedded::directory(dir, embedded::Options::from_properties(properties)?)?);
    }
    let is_place = |place: &str| {
        place
            .trim()
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !bootstrap.split(',').all(is_place) {
        return Err(Error::Config(format!(
            "`{bootstrap}` does not name a log: expected host:port[,host:port] for Kafka, embedded:DIR, or memory:"
        )));
    }
    Ok(Arc::new(kafka::KafkaLog::new(bootstrap, properties)?))
}

/// A log in memory is no longer needed: it is gone with its last user. Of other logs nothing is changed.
#[cfg(feature = "sql")]
pub(crate) fn forget(bootstrap: &str) {
    if let Some(name) = bootstrap.strip_prefix(IN_MEMORY) {
        embedded::Embedded::forget(name);
    }
}

/// Writes records to a topic at once, without a transaction, and returns when they are acknowledged. For tests,
/// generators and tools.
///
/// # Errors
/// If the topic is missing and the log does not create it on writing, or the log refuses a record.
pub fn write(log: &dyn Log, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result {
    let spec = ProducerSpec {
        transactional_id: None,
        transaction_timeout: Duration::from_secs(15),
        group: String::new(),
        buffer_bytes: 64 << 20,
        sizes: RequestSizes::default(),
    };
    let mut producer = log.producer(&spec)?;
    producer.init()?;
    producer.begin()?;
    producer.send(topic, partition, records)?;
    Ok(producer.flush()?)
}
