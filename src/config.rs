//! Every setting of a program, in one place, with its unit in its name.
//!
//! Owns defaults, the command line flags with their `TIDEGATE_...` twins, and the checks of single settings and of
//! pairs of settings. Does not know who uses them. Invariant: a configuration that has passed `validate` is never the
//! cause of a later failure.

mod admin;
mod file;
pub(crate) mod memory;
pub(crate) mod open_files;
mod settings;

pub use admin::{AdminAccess, AdminToken, Token};
pub use file::ConfigFile;

use crate::error::{Error, Result};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The least time that a log lets a transaction be open.
const TRANSACTION_MIN: Duration = Duration::from_secs(1);
/// A member of the group must be able to give several signs of life within it.
const SESSION_MIN: Duration = Duration::from_millis(100);
const SESSION_MAX: Duration = Duration::from_secs(3_600);

/// The default of `--admin-bind`.
pub const ADMIN_BIND: &str = if cfg!(feature = "page") { "127.0.0.1:4040" } else { "off" };

/// What readers of the output can rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Guarantee {
    /// Each input record takes effect once: outputs, state and offsets are committed in one transaction.
    #[default]
    ExactlyOnce,
    /// No record is lost; after a failure some records take effect again.
    AtLeastOnce,
}

/// What happens to a record of an output that its topic does not accept: it is too large, has no key although the topic
/// is compacted, or its timestamp is too far from the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RefusedRecordPolicy {
    /// The program stops with topic, key, size and reason; the batch is not committed.
    #[default]
    Fail,
    /// It is written to the dead-letter topic instead, in the same transaction.
    DeadLetter,
}

/// Where a program that has never run starts to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StartingOffsets {
    /// At the first record that is still stored.
    #[default]
    Earliest,
    /// After the last record.
    Latest,
}

/// When a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At every multiple of the interval.
    Interval(Duration),
    /// As soon as the available records are processed: lowest latency.
    AsSoonAsPossible,
    /// Processes everything that was available at the start, in as many batches as it takes, then stops.
    AvailableNow,
    /// Like `AvailableNow`, but in a single batch. It is bounded like every batch: by records, bytes and staged bytes.
    /// What does not fit is left for the next run.
    Once,
}

/// The settings of a program. Start from [`Config::new`] and change fields, or parse [`Args`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Config {
    /// The log: `host:port[,host:port]` for Kafka, `embedded:DIR`, or `memory:`. Empty = a log in the folder `log` of the state
    /// directory, or in memory if there is none.
    pub bootstrap: String,
    /// Name of the application: the consumer group, and the prefix of internal topics and transactional ids.
    pub application_id: String,
    /// Stable name of this process; default: an id kept in the state directory. On Kubernetes, use the pod name.
    pub instance_id: Option<String>,
    /// Where local state lives (the checkpoint directory); it gets a folder per application. `None` = operations with
    /// state are refused, unless the log is in memory.
    pub state_dir: Option<PathBuf>,
    /// When a batch ends.
    pub trigger: Trigger,
    /// Worker threads; default: one per core. 0 = everything runs on the calling thread, in one order (for tests).
    pub threads: usize,
    /// What readers of the output can rely on.
    pub guarantee: Guarantee,
    /// Where the first start begins to read: a fact of each partition, so it does not matter how many processes start, or
    /// when. Partitions that are added later are read from their beginning.
    pub starting_offsets: StartingOffsets,
    /// What happens to records that the topics of outputs do not accept.
    pub on_refused_record: RefusedRecordPolicy,
    /// Number of state partitions; fixed for the lifetime of an application.
    pub state_partitions: u32,
    /// Copies of internal topics; `None` = the broker's default.
    pub replication_factor: Option<u16>,
    /// Properties of the Kafka client, under librdkafka's names.
    pub properties: BTreeMap<String, String>,
    /// Memory for all local state together (block cache and write buffers), in bytes. The default follows the memory limit of the process's
    /// control group: 96 MiB at 1 GiB or without one, as much less as the limit is lower, and a quarter of what is above 1 GiB more.
    pub state_memory_bytes: usize,
    /// How long the databases of state partitions that have moved to other processes are kept, so that one that comes back is only
    /// rolled forward.
    pub state_kept_for: Duration,
    /// How many bytes these may take together on disk; the oldest are deleted first.
    pub state_kept_bytes: u64,
    /// A batch takes no more input when it holds about this many bytes until its end: changes of state, records to be
    /// sent, and rows that operators and outputs hold back. The bound is lower where the log takes long to receive
    /// them. Where results depend on where a batch begins and ends (windows over batch time, `reduce_by_key`,
    /// `foreach_rdd`, `print`), the interval then goes through the exchange topic in parts, or, where it cannot, what comes later
    /// is left for the next batch; elsewhere a batch ends early, at 48 MiB at the latest, 4 MiB in a program without state. The default
    /// is lower under a memory limit below 1 GiB, in the same proportion.
    pub staged_bytes_max: usize,
    /// A batch takes no more than this many records; then it ends early, or its interval goes on as with
    /// [`staged_bytes_max`](Config::staged_bytes_max).
    pub batch_records_max: usize,
    /// The same for bytes of input.
    pub batch_bytes_max: usize,
    /// Limits the records of each batch by what the batches before it achieved, so that a burst is processed at the
    /// program's own pace while it waits in the log. Needs a batch interval.
    pub backpressure: bool,
    /// With back-pressure: records per second from all sources together until the first batches are done; `None` = no
    /// limit.
    pub initial_rate: Option<u64>,
    /// Maximum number of records per second from each partition; `None` = no limit. Needs a batch interval.
    pub max_rate_per_partition: Option<u64>,
    /// How often to look for topics that match patterns, for new partitions, and for topics that were deleted.
    pub metadata_refresh: Duration,
    /// Bytes that are fetched but not yet processed, over all partitions. The default is lower under a memory limit below 1 GiB, in the
    /// same proportion.
    pub receive_buffer_bytes: usize,
    /// A process takes no input while more bytes of rows than this wait in the exchange topic: for other processes, which are slower, or
    /// for the end of their interval.
    pub waiting_bytes_max: usize,
    /// How long the first connection may take.
    pub connect_timeout: Duration,
    /// The log aborts a transaction that has been open for this long. A transaction is open only while the records of
    /// a finished batch are sent and committed, so this does not limit how long a batch computes.
    pub transaction_timeout: Duration,
    /// How long the group keeps the partitions of a process that has gone silent.
    pub session_timeout: Duration,
    /// After a request to stop, the batch in flight has this long to end; then the program stops without it, and the
    /// next start processes it again.
    pub stop_timeout: Duration,
    /// How often each partition leaves a witness of its position, to protect against lost group offsets.
    pub witness_interval: Duration,
    /// Address of the streaming page, metrics and health; if the port is in use, the next free one is taken. `None` =
    /// no server.
    pub admin_bind: Option<String>,
    /// Who may read the page, the JSON and the metrics there. An address that other machines reach is refused unless this says it.
    pub admin_access: AdminAccess,
    /// Print a progress line every ten seconds if standard error is a terminal.
    pub progress_line: bool,
    /// At a graceful stop, leave the group, because this process does not come back (scale-in).
    pub leave: bool,
    /// The folders of file outputs are on a file system that all processes of the application see: then several may share the state
    /// of a program that writes files.
    pub shared_files: bool,
    /// How long rows of past batches are kept for the program itself, where it asks for them.
    pub remember: Duration,
    /// Accept what contradicts the committed offsets: the group's offsets even where a witness says that more was
    /// consumed; the last known ones where the group has none; state without an offset as it is; and input topics that
    /// were made anew, which are then read from their beginning. For one start, after one was refused.
    pub accept_offsets: bool,
    /// Go on even if a state begins empty where another one is left behind, or is out of date. For one start: it also accepts what
    /// later changes of the program would do.
    pub accept_state_changes: bool,
    /// How rows get from one stage to the next.
    #[doc(hidden)]
    pub exchange: ExchangeThrough,
}

/// How rows get from one stage to the next.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExchangeThrough {
    /// Handed over in memory: all stages run in this process, and others stand by.
    Memory,
    /// Handed over in memory while this process has all state partitions, and through the exchange topic while several
    /// processes share them.
    #[default]
    Shared,
    /// Written to the exchange topic, and read from there.
    Topic,
}

impl Config {
    /// The defaults for an application on the log `bootstrap`.
    #[must_use]
    pub fn new(application_id: impl Into<String>, bootstrap: impl Into<String>) -> Self {
        let memory = memory::Parts::of_process();
        Config {
            bootstrap: bootstrap.into(),
            application_id: application_id.into(),
            instance_id: None,
            state_dir: None,
            trigger: Trigger::Interval(Duration::from_secs(1)),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            guarantee: Guarantee::default(),
            starting_offsets: StartingOffsets::default(),
            on_refused_record: RefusedRecordPolicy::default(),
            state_partitions: 8,
            replication_factor: None,
            properties: BTreeMap::new(),
            state_memory_bytes: memory.state,
            state_kept_for: Duration::from_secs(86_400),
            state_kept_bytes: 10 << 30,
            staged_bytes_max: memory.staged,
            batch_records_max: 10_000_000,
            batch_bytes_max: 1 << 30,
            backpressure: false,
            initial_rate: None,
            max_rate_per_partition: None,
            metadata_refresh: Duration::from_secs(30),
            receive_buffer_bytes: memory.receive_buffer,
            waiting_bytes_max: 256 << 20,
            connect_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(15),
            session_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(20),
            witness_interval: Duration::from_secs(5),
            admin_bind: (ADMIN_BIND != "off").then(|| ADMIN_BIND.into()),
            admin_access: AdminAccess::default(),
            progress_line: true,
            leave: false,
            shared_files: false,
            remember: Duration::from_secs(60),
            accept_offsets: false,
            accept_state_changes: false,
            exchange: ExchangeThrough::default(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting, its value and what is allowed.
    pub fn validate(&self) -> Result {
        let id = &self.application_id;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > 100 || !id.chars().all(allowed) || id == "." || id == ".." {
            return Err(Error::Config(format!(
                "application id `{id}`: 1 to 100 characters of a-z A-Z 0-9 . _ - (it names the group and topics)"
            )));
        }
        if let Some(i) = &self.instance_id
            && (i.is_empty() || i.len() > 100 || !i.chars().all(allowed))
        {
            return Err(Error::Config(format!(
                "instance id `{i}`: 1 to 100 characters of a-z A-Z 0-9 . _ -"
            )));
        }
        for (name, value, range, setting) in [
            ("state partitions", self.state_partitions as usize, 1..=1024, "--state-partitions"),
            ("threads", self.threads, 0..=1024, "--threads"),
            ("staged bytes", self.staged_bytes_max, 1 << 16..=1 << 33, "staged_bytes_max"),
            ("state memory bytes", self.state_memory_bytes, 8 << 20..=1 << 40, "--state-memory-bytes"),
            ("receive buffer bytes", self.receive_buffer_bytes, 1 << 16..=1 << 33, "receive_buffer_bytes"),
            ("batch records", self.batch_records_max, 1..=usize::MAX, "batch_records_max"),
        ] {
            if !range.contains(&value) {
                let what = format!(
                    "{name}: {value} is not between {} and {}\n  next: correct {setting}",
                    range.start(),
                    range.end()
                );
                return Err(Error::Config(what));
            }
        }
        if let Trigger::Interval(i) = self.trigger
            && (i.is_zero() || i > Duration::from_secs(86_400))
        {
            return Err(Error::Config(format!("batch interval {i:?} is not between 1 ms and a day")));
        }
        self.validate_rates()?;
        if self.transaction_timeout < TRANSACTION_MIN {
            return Err(Error::Config(format!(
                "transaction timeout {:?} is below {TRANSACTION_MIN:?}, the least that a log takes\n  next: set at least {} ms",
                self.transaction_timeout,
                TRANSACTION_MIN.as_millis()
            )));
        }
        if !(SESSION_MIN..=SESSION_MAX).contains(&self.session_timeout) {
            return Err(Error::Config(format!(
                "session timeout {:?} is not between {SESSION_MIN:?} and an hour\n  next: set another one (--session-timeout-ms); brokers take 6 s to 30 min by default",
                self.session_timeout
            )));
        }
        match &self.admin_bind {
            Some(bind) if !cfg!(feature = "page") => Err(Error::Config(format!(
                "admin address `{bind}`: this program was built without the streaming page\n  next: set no address (--admin-bind off), or build with the cargo feature `page`"
            ))),
            bind => self.admin_access.validate(bind.as_deref()),
        }
    }

    fn validate_rates(&self) -> Result {
        let is_bounded = self.backpressure || self.max_rate_per_partition.is_some();
        if is_bounded && !matches!(self.trigger, Trigger::Interval(_)) {
            let what = "back-pressure and a rate per partition limit the records of an interval, but batches have no interval: set a batch interval, or limit batches by `batch_records_max`";
            return Err(Error::Config(what.into()));
        }
        for (name, rate) in
            [("initial rate", self.initial_rate), ("rate per partition", self.max_rate_per_partition)]
        {
            if rate == Some(0) {
                return Err(Error::Config(format!("{name}: 0 records per second would never make progress")));
            }
        }
        if self.metadata_refresh.is_zero() {
            return Err(Error::Config("metadata refresh: 0 s is not a valid interval".into()));
        }
        Ok(())
    }
}

/// The command line flags of a program; every flag that `--help` shows has a twin among the environment variables.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct Args {
    /// The log: host:port (several with commas between them) for Kafka, embedded:DIR, or memory:
    #[arg(long, env = "TIDEGATE_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// Name of the application: consumer group, and prefix of internal topics
    #[arg(long, env = "TIDEGATE_APPLICATION_ID")]
    pub application_id: String,
    /// Stable name of this process [default: an id kept in the state directory]
    #[arg(long, env = "TIDEGATE_INSTANCE_ID")]
    pub instance_id: Option<String>,
    /// Where local state lives
    #[arg(long, env = "TIDEGATE_STATE_DIR", default_value = ".state")]
    pub state_dir: PathBuf,
    /// Batch interval; 0 = as soon as possible
    #[arg(long, env = "TIDEGATE_BATCH_INTERVAL_MS", default_value_t = 1000)]
    pub batch_interval_ms: u64,
    /// Process what is available, then stop: what topics have at the start, and the complete files of directories
    #[arg(long, env = "TIDEGATE_AVAILABLE_NOW")]
    pub available_now: bool,
    /// Process one batch of what is available, then stop; what does not fit is left for the next run
    #[arg(long, env = "TIDEGATE_ONCE", conflicts_with = "available_now")]
    pub once: bool,
    /// Worker threads [default: one per core]
    #[arg(long, env = "TIDEGATE_THREADS")]
    pub threads: Option<usize>,
    /// What readers of the output can rely on
    #[arg(long, env = "TIDEGATE_GUARANTEE", value_enum, default_value_t)]
    pub guarantee: Guarantee,
    /// Where the first start begins to read
    #[arg(long, env = "TIDEGATE_STARTING_OFFSETS", value_enum, default_value_t)]
    pub starting_offsets: StartingOffsets,
    /// What happens to records that the topics of outputs do not accept
    #[arg(long, env = "TIDEGATE_ON_REFUSED_RECORD", value_enum, default_value_t)]
    pub on_refused_record: RefusedRecordPolicy,
    /// Number of state partitions; fixed for the lifetime of the application
    #[arg(long, env = "TIDEGATE_STATE_PARTITIONS", default_value_t = 8)]
    pub state_partitions: u32,
    /// Copies of internal topics [default: the broker's]
    #[arg(long, env = "TIDEGATE_REPLICATION_FACTOR")]
    pub replication_factor: Option<u16>,
    /// Memory for all local state together, in bytes [default: follows the memory limit of the container; 96 MiB without one]
    #[arg(long, env = "TIDEGATE_STATE_MEMORY_BYTES")]
    pub state_memory_bytes: Option<usize>,
    /// How long databases of state partitions are kept that have moved to other processes
    #[arg(long, env = "TIDEGATE_STATE_KEPT_FOR_MS", default_value_t = 86_400_000)]
    pub state_kept_for_ms: u64,
    /// How many bytes these may take together; the oldest are deleted first
    #[arg(long, env = "TIDEGATE_STATE_KEPT_BYTES", default_value_t = 10 << 30)]
    pub state_kept_bytes: u64,
    /// How long the first connection may take
    #[arg(long, env = "TIDEGATE_CONNECT_TIMEOUT_MS", default_value_t = 30_000)]
    pub connect_timeout_ms: u64,
    /// The log aborts a transaction that has been open for this long; one is open only while a finished batch is sent
    #[arg(long, env = "TIDEGATE_TRANSACTION_TIMEOUT_MS", default_value_t = 15_000)]
    pub transaction_timeout_ms: u64,
    /// How long the group keeps the partitions of a silent process
    #[arg(long, env = "TIDEGATE_SESSION_TIMEOUT_MS", default_value_t = 10_000)]
    pub session_timeout_ms: u64,
    /// After a request to stop, how long the batch in flight may take to end
    #[arg(long, env = "TIDEGATE_STOP_TIMEOUT_MS", default_value_t = 20_000)]
    pub stop_timeout_ms: u64,
    /// Address of the streaming page, metrics and health, or `off`; if the port is in use, the next free one is taken
    #[arg(long, env = "TIDEGATE_ADMIN_BIND", default_value = ADMIN_BIND)]
    pub admin_bind: String,
    /// Who may read there.
    #[command(flatten)]
    pub admin_access: AdminAccess,
    /// At a graceful stop, leave the group, because this process does not come back
    #[arg(long, env = "TIDEGATE_LEAVE")]
    pub leave: bool,
    /// The folders of file outputs are on a file system that all processes see: then several may share the state
    #[arg(long, env = "TIDEGATE_SHARED_FILES")]
    pub shared_files: bool,
    /// Accept the group's offsets, or the last known ones where they are lost, and state and topics as they are now
    #[arg(long, env = "TIDEGATE_ACCEPT_OFFSETS")]
    pub accept_offsets: bool,
    /// For one start: go on even if a state begins empty where another one is left behind, or is out of date
    #[arg(long, env = "TIDEGATE_ACCEPT_STATE_CHANGES")]
    pub accept_state_changes: bool,
    /// How rows get from one stage to the next; for tests
    #[arg(long, hide = true, value_enum, default_value_t)]
    pub exchange: ExchangeThrough,
    /// Log format: text or json
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", default_value = "text")]
    pub log_format: String,
    /// Log level: error, warn, info, debug or trace [default: info; `RUST_LOG` also works]
    #[arg(long, env = "TIDEGATE_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Property of the Kafka client, key=value; may be repeated; in the environment `TIDEGATE_PROPERTIES`, with commas
    #[arg(short = 'X', value_name = "KEY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// The same from the environment, separated by commas; the flag takes precedence
    #[arg(long = "properties", hide = true, value_name = "KEY=VALUE,...", value_parser = property, env = "TIDEGATE_PROPERTIES", value_delimiter = ',')]
    pub properties_before: Vec<(String, String)>,
}

/// The topics of a program that reads one and writes one, as flags beside [`Args`].
#[derive(Clone, Debug, clap::Args)]
pub struct Topics {
    /// Topic to read
    #[arg(long, env = "TIDEGATE_INPUT")]
    pub input: String,
    /// Topic to write
    #[arg(long, env = "TIDEGATE_OUTPUT")]
    pub output: String,
}

/// The name and the value of a property of the client.
pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Args {
    /// The settings that these flags describe.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new(&self.application_id, &self.bootstrap);
        config.instance_id.clone_from(&self.instance_id);
        config.state_dir = Some(self.state_dir.clone());
        config.trigger = match self.batch_interval_ms {
            _ if self.available_now => Trigger::AvailableNow,
            _ if self.once => Trigger::Once,
            0 => Trigger::AsSoonAsPossible,
            ms => Trigger::Interval(Duration::from_millis(ms)),
        };
        config.threads = self.threads.unwrap_or(config.threads);
        config.guarantee = self.guarantee;
        config.starting_offsets = self.starting_offsets;
        config.on_refused_record = self.on_refused_record;
        config.state_partitions = self.state_partitions;
        config.replication_factor = self.replication_factor;
        config.state_memory_bytes = self.state_memory_bytes.unwrap_or(config.state_memory_bytes);
        config.state_kept_for = Duration::from_millis(self.state_kept_for_ms);
        config.state_kept_bytes = self.state_kept_bytes;
        config.connect_timeout = Duration::from_millis(self.connect_timeout_ms);
        config.transaction_timeout = Duration::from_millis(self.transaction_timeout_ms);
        config.session_timeout = Duration::from_millis(self.session_timeout_ms);
        config.stop_timeout = Duration::from_millis(self.stop_timeout_ms);
        config.admin_bind = (self.admin_bind != "off").then(|| self.admin_bind.clone());
        config.admin_access = self.admin_access.clone();
        config.leave = self.leave;
        config.shared_files = self.shared_files;
        config.accept_offsets = self.accept_offsets;
        config.accept_state_changes = self.accept_state_changes;
        config.exchange = self.exchange;
        config.properties = self.properties_before.iter().chain(&self.properties).cloned().collect();
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
        #[command(flatten)]
        topics: Topics,
    }

    #[test]
    fn a_program_with_other_topics_needs_no_input_and_no_output() {
        #[derive(Parser)]
        struct Own {
            #[command(flatten)]
            args: Args,
        }
        assert_eq!(
            Own::try_parse_from(["p", "--application-id", "a"]).unwrap().args.config().application_id,
            "a"
        );
        let both = ["p", "--application-id", "a", "--input", "i", "--output", "o"];
        let topics = Program::try_parse_from(both).unwrap().topics;
        assert_eq!((&*topics.input, &*topics.output), ("i", "o"));
        assert!(Program::try_parse_from(&both[..5]).is_err());
    }

    #[test]
    fn a_comma_on_the_command_line_belongs_to_the_property() {
        let line = ["p", "--input", "i", "--output", "o", "--application-id", "a", "-X", "debug=cgrp,broker"];
        let more = ["-X", "b=2", "--properties", "a=1,b=1"]; // as the environment would pass it
        let config = Program::try_parse_from(line.into_iter().chain(more)).unwrap().args.config();
        let expected = [("a", "1"), ("b", "2"), ("debug", "cgrp,broker")];
        assert_eq!(config.properties, expected.map(|(k, v)| (k.into(), v.into())).into());
    }

    #[test]
    fn flags_become_settings() {
        let line = "p --input i --output o --application-id a --batch-interval-ms 0 -X a.b=c -X d=e=f --guarantee at-least-once";
        let config = Program::try_parse_from(line.split(' ')).unwrap().args.config();
        assert_eq!(config.trigger, Trigger::AsSoonAsPossible);
        assert_eq!(config.guarantee, Guarantee::AtLeastOnce);
        let once = Program::try_parse_from(line.split(' ').chain(["--once"])).unwrap().args.config();
        assert_eq!(once.trigger, Trigger::Once);
        assert_eq!(config.properties["d"], "e=f");
        config.validate().unwrap();
    }

    #[test]
    fn the_documentation_lists_every_flag_with_its_environment_variable() {
        use clap::CommandFactory;
        let text = include_str!("../docs/operations.md");
        for arg in Program::command().get_arguments() {
            let (Some(env), long) = (arg.get_env(), arg.get_long().filter(|_| !arg.is_hide_set())) else {
                continue;
            };
            let env = env.to_string_lossy();
            // What is hidden is for the environment only.
            let flag = long.map_or(String::new(), |long| format!("| `--{long}` | "));
            assert!(text.contains(&format!("{flag}`{env}`")), "{flag} {env}");
        }
    }

    #[test]
    fn each_invalid_setting_is_named() {
        let bad = |change: fn(&mut Config)| {
            let mut c = Config::new("app", "memory:");
            change(&mut c);
            c.validate().unwrap_err().to_string()
        };
        assert!(bad(|c| c.application_id = "a/b".into()).contains("a/b"));
        assert!(bad(|c| c.state_partitions = 0).contains("state partitions: 0"));
        assert!(bad(|c| c.trigger = Trigger::Interval(Duration::ZERO)).contains("batch interval"));
        assert!(bad(|c| c.instance_id = Some(String::new())).contains("instance id"));
        let short = bad(|c| c.transaction_timeout = Duration::from_millis(999));
        assert!(
            short.contains("timeout 999ms is below 1s") && short.contains("next: set at least 1000 ms"),
            "{short}"
        );
        for session in [Duration::ZERO, Duration::from_secs(3_601)] {
            let mut config = Config::new("app", "memory:");
            config.session_timeout = session;
            let told = config.validate().unwrap_err().to_string();
            assert!(told.contains(&format!("session timeout {session:?} is not between")), "{told}");
            assert!(told.contains("next: set another one (--session-timeout-ms)"), "{told}");
        }
        let mut enough = Config::new("app", "memory:");
        enough.trigger = Trigger::AvailableNow;
        enough.transaction_timeout = Duration::from_secs(1);
        enough.validate().unwrap();
    }
}
