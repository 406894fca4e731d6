//! Files, exactly once: written under pending names before the commit, renamed after it.
//!
//! `settings` is what a user says, `content` what a task makes of rows, in the formats `format` (lines) and `parquet` (columns that `shape`
//! finds); `output` takes that to files, which `place` names and `pending` hides until the commit.

mod content;
mod format;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod pending;
mod place;
mod settings;
#[cfg(feature = "parquet")]
mod shape;

pub use settings::{FileSink, TimeUnit};
