//! What people and programs see of a running process over HTTP.
//!
//! Knows metrics, status and history only; reads, never changes anything.

mod api;
mod events;
mod page;
mod server;
mod state;

pub use server::{Server, Settings};
