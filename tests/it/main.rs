//! Tests of the parts together, through the public interface; no Kafka needed.

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
mod demo;
mod embedded_log;
mod key_order;
mod log_contract;
mod rocks_faults;
mod rocks_kill;
mod sim_world;
mod state_directory;
mod state_golden;
mod state_model;
mod state_suite;
