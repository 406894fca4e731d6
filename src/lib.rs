//! tidegate: a Kafka-native stream processor.
//!
//! A program says what to compute with streams, and runs as a plain process in a consumer group. Input offsets, state and outputs of
//! a batch become durable as one, in one transaction.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use tidegate::{Config, StreamingContext, codec::{AsText, Utf8}, program_in};
//!
//! fn main() -> ExitCode {
//!     program_in("info", word_count)
//! }
//!
//! fn word_count() -> tidegate::Result {
//!     let ssc = StreamingContext::new(Config::new("word-count", "127.0.0.1:9092"));
//!     ssc.checkpoint("state");
//!     let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
//!     let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
//!     counts.to_kafka("counts", Utf8, AsText);
//!     ssc.run()
//! }
//! ```
//!
//! # The map
//!
//! ```text
//!              dstream/  ml/  sql/             FACES   say what to compute; never run it
//!                    |
//!                  plan/                       WAIST   one Topology
//!                    |
//!                runtime/                      LOOP    poll, compute, commit; rebalance; clock
//!                    |
//! log -> source/ -> task/ -> operator/ -> sink/ -> log     PATH: a record only moves right
//!        bytes->Chunk   |        |  ^     Chunk->bytes
//!                       |       state/  (RocksDB)
//!                       +- checkpoint: {offsets, state, outputs} become durable as one
//!
//! log/     kafka | embedded | sim              THE LOG: topics, group, atomic commit of a batch
//! record/  codec/  registry/  error.rs  config.rs config/ VOCABULARY: used by all, uses none of the above
//! observe/ ui/                                 WATCHING: metrics, status, history, listeners; the page over HTTP
//! context/ sql/frames/ testing/ sim/ demo/ cli/ AROUND IT: the objects a program holds; tests of programs; simulated worlds; the demo; what operators run
//! ```
//!
//! | for | look at |
//! |---|---|
//! | the object a program holds | [`StreamingContext`], [`Config`] |
//! | what can be done with a stream | [`DStream`] |
//! | formats of keys and values | [`codec`] |
//! | a registry of schemas | `registry` (features `avro`, `json-schema`, `protobuf`) |
//! | what comes in, what goes out | [`source`], [`sink`] |
//! | models that learn from a stream | [`ml`] |
//! | scripts of SQL | `sql::Script`, `StreamingContext::sql` |
//! | DataFrames, and queries that are started | `sql::StreamSession`, `sql::DataFrame`, `sql::StreamingQuery` |
//! | what goes wrong, and exit codes | [`Error`] |
//! | where the program runs: Kafka, a directory, memory | [`log::open`] |
//! | what is told of batches, receivers and outputs | [`observe`] |
//! | the plan, as text | [`Topology`] |
//! | tests of a program, in virtual time | [`testing`] |
//!
//! # A record's path
//!
//! 1. [`log`]: a member of the group fetches bytes, a [`record::RawChunk`] at a time.
//! 2. [`source`]: the record queue of the partition decodes them into a [`record::Chunk`] of rows.
//! 3. `task`: the operators of a stage, one after the other; `map` and `filter` on the source partition, keyed ones
//!    (`operator`) behind an exchange on a state partition. Changes of `state` are staged.
//! 4. [`sink`]: rows become bytes, which the producer takes.
//! 5. `runtime` ends the batch: changelog, offsets and recovery records in the same transaction, then the staged changes into
//!    RocksDB in one atomic write. `task::checkpoint` says what follows what, and what a crash leaves behind.
//!
//! Steps 2 to 4 are pure: the same input and state give the same result, so a batch that fails is dropped and computed again.
//!
//! # Without Kafka
//!
//! The same program runs on a log in a directory or in memory, here to its end:
//!
//! ```
//! use tidegate::{
//!     Config, StreamingContext,
//!     codec::{AsText, Utf8},
//!     config::Trigger,
//!     log,
//!     record::{Headers, Offset, RawChunkBuilder, RawRecord, TopicPartition},
//! };
//!
//! let log = log::open("memory:crate-doc", &Default::default())?;
//! let mut lines = RawChunkBuilder::default();
//! for line in ["to be or", "not to be"] {
//!     let value = Some(line.as_bytes());
//!     lines.push(RawRecord { offset: Offset(0), timestamp_ms: 0, key: None, value, headers: Headers::NONE });
//! }
//! log::write(log.as_ref(), "lines", None, &lines.build())?;
//!
//! let mut config = Config::new("word-count", "memory:crate-doc");
//! config.trigger = Trigger::AvailableNow;
//! config.admin_bind = None;
//! let ssc = StreamingContext::new(config);
//! let words = ssc.text("lines").flat_map(|line| line.split(' '));
//! words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
//! ssc.start()?;
//! ssc.await_termination()?;
//!
//! let mut counts = vec![];
//! for partition in 0..4 {
//!     let at = TopicPartition::new("counts", partition);
//!     let mut reader = log.read(&at, Offset(0))?;
//!     while let Some(fetched) = reader.next(std::time::Duration::ZERO)? {
//!         let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
//!         counts.extend(fetched.records.iter().map(|r| format!("{} {}", text(r.key), text(r.value))));
//!     }
//! }
//! counts.sort();
//! assert_eq!(counts, ["be 2", "not 1", "or 1", "to 2"]);
//! # Ok::<(), tidegate::Error>(())
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used))]

pub mod codec;
pub mod config;
pub mod context;
pub mod dstream;
pub mod error;
mod event_loop;
pub mod log;
pub mod ml;
pub mod observe;
mod panics;
pub mod record;
#[cfg(feature = "registry")]
pub mod registry;
pub mod sink;
pub mod source;
#[cfg(feature = "sql")]
pub mod sql;
pub mod testing;

// Public for the tests of this crate only; no promise is made about them.
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod failpoint;
#[doc(hidden)]
pub mod host;
#[doc(hidden)]
pub mod operator;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod runtime;
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod state;
#[doc(hidden)]
pub mod task;
#[doc(hidden)]
pub mod ui;

pub use config::Config;
pub use context::{StreamingContext, program, program_in};
pub use dstream::{DStream, EventWindow, MapWithStateDStream, SourceOptions, State, StateSpec};
pub use error::{Error, Result};
pub use operator::Windowed;
pub use plan::Topology;
pub use record::{BatchTime, Key, Text, Value};
#[cfg(feature = "postgres")]
pub use sink::PostgresSink;
pub use sink::{CommittedBatch, FileSink, PrintOptions, Rdd, TimeUnit};
pub use source::{BadRecordPolicy, StorageLevel};

/// The program of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The recipes, so that they run.
#[cfg(doctest)]
#[doc = include_str!("../docs/recipes.md")]
struct Recipes;

/// The examples of the guide to schemas, so that they run.
#[cfg(all(doctest, feature = "avro", feature = "json-schema", feature = "protobuf"))]
#[doc = include_str!("../docs/schemas.md")]
struct Schemas;

/// The examples of the guide to DataFrames, so that they run.
#[cfg(all(doctest, feature = "sql"))]
#[doc = include_str!("../docs/dataframes.md")]
struct DataFrames;

/// The example of the migration guide, so that it runs.
#[cfg(doctest)]
#[doc = include_str!("../docs/migration.md")]
struct Migration;
