//! What can go wrong, and what the engine does about it.
//!
//! Owns the error type of the public API, the exit codes of a program, and the reactions that a failure of the log can
//! require. Knows no log, no store and no operator. Invariant: every message says what happened and where (topic,
//! partition, offset, file, line), and ends with the next step if there is one.

use std::{fmt, io, path::Path, sync::Arc};

/// The result type of everything that can fail.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Any error of the engine. `Display` is written for the person who runs the program, and so is `Debug`, which is what a
/// `fn main() -> tidegate::Result` prints.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is missing, malformed, or contradicts another.
    #[error("configuration: {0}")]
    Config(String),
    /// All mistakes made while the topology was built, one per line, each with file and line.
    #[error("{0}")]
    Plan(String),
    /// The log, or a schema registry, could not be reached; `step` says how far the connection got.
    #[error("cannot reach {target}: {step} failed: {cause}\n  next: {next}")]
    Unreachable {
        /// The address, as the user wrote it.
        target: String,
        /// How far the connection got.
        step: Step,
        /// What the client library said.
        cause: String,
        /// What to try next.
        next: String,
    },
    /// A topic is missing or is not set up as required.
    #[error("topic `{topic}`: {what}")]
    Topic {
        /// Name of the topic.
        topic: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// A schema registry refused a request.
    #[error(
        "{url}: {what} was refused: {message} (HTTP status {status}{})\n  next: {next}",
        if *code > 0 { format!(", code {code}") } else { String::new() }
    )]
    Registry {
        /// The server.
        url: String,
        /// What was asked for, with the subject or the id.
        what: String,
        /// The status of the answer.
        status: u16,
        /// The registry's own code; 0 = none, so the answer may not be one of a registry.
        code: u32,
        /// The registry's own message.
        message: String,
        /// What to try next.
        next: String,
    },
    /// A record could not be decoded or processed and the policy is `fail`.
    #[error(
        "bad record in {topic}-{partition} at offset {offset}: {reason}\n  next: fix the producer, or choose the policy `skip` or `dead-letter` for this source"
    )]
    BadRecord {
        /// Source topic.
        topic: String,
        /// Source partition.
        partition: u32,
        /// Offset of the record.
        offset: u64,
        /// The reason, with the field if there is one.
        reason: String,
    },
    /// A topic that the program writes does not accept a record, and the policy is `fail` or the topic is one of the
    /// engine's own.
    #[error("{place}: the topic does not accept it: {reason}\n  next: {next}")]
    RefusedRecord {
        /// Topic, partition if it is known, key and size; for a row of state its store.
        place: String,
        /// Why.
        reason: String,
        /// What to do.
        next: String,
    },
    /// An operator failed or panicked.
    #[error("operator `{operator}` on partition {partition}: {reason}")]
    Operator {
        /// Name of the node.
        operator: String,
        /// Source or state partition of the task.
        partition: u32,
        /// The error or the panic message.
        reason: String,
    },
    /// An output outside the log failed, or a function of the program that serves as one.
    #[error("{0}\n  next: fix the cause and start again; the batch was not committed")]
    Output(String),
    /// A destination outside the log refused rows that are already committed.
    #[error("{0}\n  next: fix the cause and start again; the rows are kept and will be written then")]
    Undelivered(String),
    /// A function of the program rejected a row.
    #[error("{0}")]
    Row(String),
    /// A key or value cannot be encoded as bytes or decoded.
    #[error("codec: {0}")]
    Codec(String),
    /// The local state cannot be used in its present form.
    #[error("state: {0}")]
    State(String),
    /// The group's offsets contradict what this application has durably recorded. The start is refused rather than
    /// guessing.
    #[error("recovery refused: {0}")]
    Refused(String),
    /// A newer process runs with our instance id: we are the zombie and must not continue.
    #[error("fenced: {0}")]
    Fenced(String),
    /// A call to the log failed.
    #[error(transparent)]
    Log(#[from] Failure),
    /// A call to the operating system failed.
    #[error("{context}: {source}{}", next_step(source))]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The process was asked to end at once (second signal, or a crash in simulation).
    #[error("stopped before the batch was committed")]
    Killed,
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What helps where the system's answer does not say it.
fn next_step(source: &io::Error) -> &'static str {
    // EMFILE and ENFILE of Linux.
    match source.raw_os_error() {
        Some(24) => "\n  next: let the process open more files (ulimit -n)",
        Some(23) => "\n  next: let the system open more files (sysctl fs.file-max)",
        _ => "",
    }
}

impl Error {
    /// Wraps an I/O error with what was being done.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let context = context.into();
        move |source| Error::Io { context, source: Arc::new(source) }
    }

    /// A directory that a setting names cannot be made.
    pub(crate) fn no_directory(what: &str, path: &Path, e: &io::Error, setting: &str) -> Error {
        let file = path.ancestors().find(|place| place.is_file());
        let why = file.map_or_else(|| e.to_string(), |file| format!("{} is a file", file.display()));
        Error::Config(format!(
            "{what} {} cannot be made: {why}\n  next: choose a directory that can be written: {setting}",
            path.display()
        ))
    }

    /// The exit code of a program that ends with this error: 1 runtime failure, 3 configuration or plan,
    /// 4 a dependency cannot be reached, 5 fenced by a newer process, 130 killed by a second signal.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Plan(_) => 3,
            Error::Unreachable { .. } | Error::Topic { .. } | Error::Registry { .. } => 4,
            Error::Fenced(_) => 5,
            Error::Log(f) if f.reaction == Reaction::Exit => 5,
            // The group or the transactional id is refused: treated like a missing topic.
            Error::Log(f)
                if f.reaction == Reaction::StopPipeline && matches!(f.stage, Stage::Group | Stage::Init) =>
            {
                4
            }
            Error::Killed => 130,
            _ => 1,
        }
    }
}

/// How many names a message has before "and N more".
const NAMED_MAX: usize = 4;

/// The first of these names, and how many more there are.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let (named, more) = names.split_at(names.len().min(NAMED_MAX));
    let named = named.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    if more.is_empty() { named } else { format!("{named} and {} more", more.len()) }
}

/// The message of a panic.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// How far a first connection got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Name resolution.
    Resolve,
    /// TCP connect.
    Connect,
    /// TLS handshake.
    Tls,
    /// SASL authentication.
    Sasl,
    /// The broker refused the operation because a permission is missing.
    Authorise,
    /// The broker answered, but did not send what was requested (for example metadata) in time.
    Metadata,
    /// A server was connected, but did not answer the request, or not with a result.
    Request,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Resolve => "resolving the name",
            Step::Connect => "the TCP connection",
            Step::Tls => "the TLS handshake",
            Step::Sasl => "SASL authentication",
            Step::Authorise => "authorisation",
            Step::Metadata => "reading metadata",
            Step::Request => "the request",
        })
    }
}

/// A failed call to the log during a batch, with the reaction that it requires.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{stage}: {message}")]
pub struct Failure {
    /// The call that failed.
    pub stage: Stage,
    /// What to do.
    pub reaction: Reaction,
    /// What the client library said, with its error code.
    pub message: String,
}

impl Failure {
    /// A failure of `stage` that requires `reaction`.
    pub fn new(stage: Stage, reaction: Reaction, message: impl Into<String>) -> Self {
        Failure { stage, reaction, message: message.into() }
    }
}

/// The calls of the log that can fail while the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Membership: join, poll, acknowledge.
    Group,
    /// Reading records of a partition.
    Fetch,
    /// Reading committed offsets.
    OffsetFetch,
    /// Making a producer ready and ending what a dead one left open.
    Init,
    /// Opening a transaction.
    Begin,
    /// Producing a record, or its delivery report.
    Produce,
    /// Adding the batch's offsets to the transaction.
    SendOffsets,
    /// Ending the transaction with a commit.
    Commit,
    /// Ending the transaction with an abort.
    Abort,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Group => "consumer group",
            Stage::Fetch => "fetch",
            Stage::OffsetFetch => "fetch of committed offsets",
            Stage::Init => "init of the transactional producer",
            Stage::Begin => "begin of the transaction",
            Stage::Produce => "produce",
            Stage::SendOffsets => "adding offsets to the transaction",
            Stage::Commit => "commit of the transaction",
            Stage::Abort => "abort of the transaction",
        })
    }
}

/// The reaction that a failure of the log requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Nothing has changed: the same call may be repeated after a pause.
    RetrySame,
    /// The transaction must be aborted and the batch replayed from its input offsets.
    AbortReplay,
    /// The commit may or may not have happened: settle it by the token, never guess.
    Unknown,
    /// The producer can no longer be used and has not committed the batch: create a new producer, then replay the
    /// batch.
    RecreateProducer,
    /// The partitions are lost: drop the batch, the buffers and the tasks, and recover the partitions when they are
    /// assigned again.
    CloseTasks,
    /// Retrying cannot help: stop with the message.
    StopPipeline,
    /// A newer process has our identity: exit with a separate exit code and write nothing more.
    Exit,
}

impl Reaction {
    /// Whether waiting may help.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Reaction::RetrySame | Reaction::CloseTasks | Reaction::AbortReplay)
    }
}
