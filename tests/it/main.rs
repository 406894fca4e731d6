//! Tests of the parts together, through the public interface.

mod key_order;
mod rocks_faults;
mod rocks_kill;
mod state_directory;
mod state_golden;
mod state_model;
mod state_suite;
