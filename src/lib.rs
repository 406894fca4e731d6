//! tidegate: a Kafka-native stream processor.

pub mod error;
pub mod log;
pub mod operator;
pub mod record;
pub mod runtime;
pub mod sim;
pub mod state;

pub use error::{Error, Result};
pub use record::Text;
