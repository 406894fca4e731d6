//! Tests against a real Apache Kafka: the reference for the log's contract.
//!
//! The broker's address comes from `TIDEGATE_TEST_BOOTSTRAP`; without a broker every test fails and says how to start one.

#[macro_use]
#[path = "../contract/mod.rs"]
mod contract;
#[cfg(feature = "failpoints")]
mod cluster;
#[cfg(feature = "failpoints")]
mod eos;
mod faults;
mod kafka;
mod log;
mod order;
#[cfg(feature = "failpoints")]
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../programs/mod.rs"]
mod programs;
#[cfg(feature = "failpoints")]
mod proxy;
mod sources;
mod subject;
