//! What a person or a machine sees of a running process over HTTP.
//!
//! Knows the runtime's metrics and status only; reads, never changes anything.

mod server;

pub use server::{Server, Settings};
