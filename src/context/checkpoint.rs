//! The checkpoint directory, as a user names it.
//!
//! Owns what is accepted as a directory: a path, or a `file:` URL as Spark takes it. Knows no state. Invariant: a name
//! that is not a place on this machine's disk is refused, not taken as the name of a folder.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The directory that `named` stands for.
pub(super) fn directory(named: &Path) -> Result<PathBuf> {
    let Some((scheme, rest)) = named.to_str().and_then(|text| text.split_once(':')) else {
        return Ok(named.into());
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let refused = |why: &str| {
        Err(Error::Config(format!(
            "checkpoint directory `{}`: {why}; state is kept on the local disk, and is restored from the log if that is lost\n  next: name a directory, or a file:/// URL of one",
            named.display()
        )))
    };
    match (scheme, rest) {
        ("file", _) => match rest.strip_prefix("//").unwrap_or(rest) {
            path if path.starts_with('/') => Ok(path.into()),
            _ => refused("a file: URL has an absolute path and no host, as in file:///var/lib/app"),
        },
        _ if rest.starts_with("//")
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(letters) =>
        {
            refused(&format!("`{scheme}://` is not a place on this machine"))
        }
        _ => Ok(named.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_path_or_a_file_url() {
        for (named, expected) in [
            ("state", "state"),
            ("/var/lib/app", "/var/lib/app"),
            ("file:///var/lib/app", "/var/lib/app"),
            ("file:/var/lib/app", "/var/lib/app"),
            ("12:30/state", "12:30/state"),
            ("C:\\state", "C:\\state"),
        ] {
            assert_eq!(directory(Path::new(named)).unwrap(), Path::new(expected), "{named}");
        }
        for named in ["s3://bucket/x", "hdfs://name:8020/x", "s3a://b/x", "file://host/x", "file:x"] {
            let message = directory(Path::new(named)).unwrap_err().to_string();
            assert!(message.contains(named) && message.contains("name a directory"), "{message}");
        }
    }
}
