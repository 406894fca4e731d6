//! The files of a log in a directory: frames in segments, appended to, read at open, compacted.
//!
//! Knows no lock of the store, no group and no transaction. Invariants: one commit is one checksummed frame, either
//! complete or absent; bytes that have been written are never written again, only replaced together with their file.

mod compact;
mod directory;
mod frame;
mod opening;
mod segment;

pub use compact::{Rules, compact};
pub use directory::{Directory, Fsync, Options};
pub use frame::{Entry, GroupOffset, Records, Reserved};
pub use opening::Opening;
pub use segment::{Segment, Span};
