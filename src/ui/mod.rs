//! What people and programs see of a running process over HTTP.
//!
//! Knows metrics, status, history and the board of queries only; reads, never changes anything. Who may read what is decided in `access`, how much
//! of the process a caller can take up in `connection`.

#[cfg(not(feature = "page"))]
mod absent;
#[cfg(feature = "page")]
mod access;
#[cfg(feature = "page")]
mod api;
#[cfg(feature = "page")]
mod connection;
#[cfg(feature = "page")]
mod events;
#[cfg(feature = "page")]
mod openapi;
#[cfg(feature = "page")]
mod page;
#[cfg(feature = "page")]
mod queries;
#[cfg(feature = "page")]
mod server;
mod settings;
#[cfg(feature = "page")]
mod state;

#[cfg(not(feature = "page"))]
pub use absent::Server;
#[cfg(feature = "page")]
pub use server::Server;
pub use settings::{Limits, Settings};
