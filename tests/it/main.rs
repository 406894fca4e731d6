//! Tests of parts together, without Kafka.

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
mod embedded_log;
mod log_contract;
mod sim_world;
