//! Tests of the parts together, through the public interface; no Kafka needed.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
mod alignment;
mod bad_records;
mod cli;
mod demo;
mod driver;
mod embedded_examples;
mod embedded_log;
mod embedded_retention;
mod event_time;
mod exchange_record;
mod failing_records;
mod failing_rows;
mod first_hour;
mod foreach_batch;
mod http_access;
mod intervals;
mod kept_state;
mod key_order;
mod keyed_state;
#[path = "../registry/keys.rs"]
mod keys;
mod log_contract;
mod log_trouble;
mod ml;
mod ml_programs;
mod names_and_formats;
mod null_values;
mod on_disk;
mod once_trigger;
mod operations;
mod operations_model;
mod outputs;
mod outputs_gathered;
mod outputs_postgres;
mod outputs_sim;
mod parts;
mod past_batches;
mod plan;
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../programs/mod.rs"]
mod programs;
mod progress;
mod pruning;
mod quarantine;
mod recovery_refused;
mod rocks_faults;
mod rocks_kill;
mod rocks_reads;
mod silent_log;
mod sim_world;
mod sources;
mod sql;
mod start_mistakes;
mod state_changes;
mod state_directory;
mod state_golden;
mod state_model;
mod state_suite;
mod stopping;
mod streaming_api;
mod streaming_listener;
mod testing;
mod timestamps;
mod topology;
mod topology_model;
mod windows;
mod windows_cost;
mod windows_event;
mod windows_golden;
mod windows_model;
