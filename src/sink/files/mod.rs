//! Files, exactly once: written under pending names before the commit, renamed after it.
//!
//! `settings` is what a user specifies, `content` what tasks encode rows into, in the formats `format`
//! (lines) and `parquet` (columns that `shape` derives); `output` writes that to files, which `place` names
//! and `pending` hides until the commit.

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

#[cfg(feature = "sql")]
pub use content::Content as FileContent;
#[cfg(feature = "sql")]
pub use output::{EncodeBlocks, EncodeChunks, FileBlock};
pub use settings::{FileSink, TimeUnit};
