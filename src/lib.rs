//! tidegate: a Kafka-native stream processor.

#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, unreachable_pub)
)]

pub mod error;
pub mod log;
pub mod operator;
pub mod record;
pub mod runtime;
pub mod state;
pub mod ui;

pub use error::{Error, Result};
pub use record::Text;
