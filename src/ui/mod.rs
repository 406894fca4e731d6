//! What a person or a machine sees of a running process over HTTP.
//!
//! Knows the runtime's metrics, status and history only; reads, never changes anything.

mod api;
mod events;
mod page;
mod server;
mod state;

pub use server::{Server, Settings};
