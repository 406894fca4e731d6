//! tidegate: a Kafka-native stream processor.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used))]

pub mod codec;
pub mod config;
pub mod context;
pub mod dstream;
pub mod error;
pub mod failpoint;
pub mod log;
pub mod operator;
pub mod plan;
pub mod record;
pub mod runtime;
pub mod sim;
pub mod sink;
pub mod source;
pub mod state;
pub mod task;
pub mod ui;

pub use config::Config;
pub use context::{StreamingContext, program};
pub use dstream::{DStream, SourceOptions};
pub use error::{Error, Result};
pub use record::Text;
pub use source::BadRecordPolicy;
