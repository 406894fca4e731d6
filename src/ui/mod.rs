//! What a person or a machine sees of a running process over HTTP.
//!
//! Knows the runtime's metrics, status and history only; reads, never changes anything. Without the cargo feature `page` there is no HTTP,
//! and an address to listen on is refused.

#[cfg(not(feature = "page"))]
mod absent;
#[cfg(feature = "page")]
mod api;
#[cfg(feature = "page")]
mod events;
#[cfg(feature = "page")]
mod page;
#[cfg(feature = "page")]
mod server;
mod settings;

#[cfg(not(feature = "page"))]
pub use absent::Server;
#[cfg(feature = "page")]
pub use server::Server;
pub use settings::Settings;
