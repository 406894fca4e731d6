//! Tests of the parts together, through the public interface; no Kafka needed.

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
mod driver;
mod embedded_log;
mod key_order;
mod log_contract;
mod rocks_faults;
mod state_directory;
mod state_model;
mod state_suite;
mod topology;
