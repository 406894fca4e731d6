//! Where files go, and what they are called.
//!
//! Knows no file system. Invariant: a name is determined by the place, the time of the batch and the number
//! of the task.

use crate::record::BatchTime;

/// Where the files of a batch go.
#[derive(Clone, Debug)]
pub enum Place {
    /// Into a folder of its own, `prefix-TIME[.suffix]`, with a file `_SUCCESS` that is written last.
    FolderPerBatch {
        /// The path and the beginning of the name.
        prefix: String,
        /// The end of the name; may be empty.
        suffix: String,
    },
    /// Into one folder, or folders below it.
    Tree {
        /// Its path.
        root: String,
        /// The extension of the files, such as `json`.
        extension: &'static str,
    },
}

impl Place {
    /// The name of the place in messages and, durably, in the log.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Place::FolderPerBatch { prefix, suffix } if suffix.is_empty() => format!("{prefix}-TIME"),
            Place::FolderPerBatch { prefix, suffix } => format!("{prefix}-TIME.{suffix}"),
            Place::Tree { root, .. } => root.clone(),
        }
    }

    /// The folder that holds pending and final files.
    pub(super) fn root(&self) -> &str {
        match self {
            Place::FolderPerBatch { prefix, .. } => match prefix.rsplit_once('/') {
                Some(("", _)) => "/",
                Some((root, _)) => root,
                None => "",
            },
            Place::Tree { root, .. } => root,
        }
    }

    /// Below the root: where the files of a batch end up.
    pub(super) fn folder(&self, time: BatchTime) -> String {
        match self {
            Place::FolderPerBatch { prefix, suffix } => {
                let name = prefix.rsplit_once('/').map_or(prefix.as_str(), |(_, name)| name);
                if suffix.is_empty() { format!("{name}-{time}") } else { format!("{name}-{time}.{suffix}") }
            }
            Place::Tree { .. } => String::new(),
        }
    }

    pub(super) fn file(&self, task: u32, time: BatchTime) -> String {
        match self {
            Place::FolderPerBatch { .. } => format!("part-{task:05}"),
            Place::Tree { extension, .. } => format!("part-{time}-{task:05}.{extension}"),
        }
    }

    pub(super) fn mark(&self) -> Option<&'static str> {
        matches!(self, Place::FolderPerBatch { .. }).then_some("_SUCCESS")
    }
}
