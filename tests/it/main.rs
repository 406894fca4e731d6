//! Tests of parts together, without Kafka.

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
mod log_contract;
