//! `tidegate completions` and `tidegate man`.
//!
//! Owns nothing: both are made from the command line's own description.

use crate::error::{Error, Result};
use clap_complete::Shell;
use std::{io::Write, path::PathBuf};

/// The flags of `tidegate completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsOptions {
    /// The shell
    shell: Shell,
}

/// The flags of `tidegate man`.
#[derive(Debug, clap::Args)]
pub struct ManOptions {
    /// Write a page for each subcommand into this directory, instead of the first one to standard output
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Writes completions.
///
/// # Errors
/// If the reader of the output is gone.
pub(super) fn completions(
    options: &CompletionsOptions,
    program: &clap::Command,
    out: &mut dyn Write,
) -> Result {
    let mut script = vec![];
    clap_complete::generate(options.shell, &mut program.clone(), program.get_name(), &mut script);
    out.write_all(&script).map_err(Error::io("writing the completions"))
}

/// Writes pages of the manual.
///
/// # Errors
/// If the directory cannot be written, or the reader of the output is gone.
pub(super) fn man(options: &ManOptions, program: &clap::Command, out: &mut dyn Write) -> Result {
    let Some(dir) = &options.dir else {
        return clap_mangen::Man::new(program.clone()).render(out).map_err(Error::io("writing the page"));
    };
    let failed = || Error::io(format!("writing pages to {}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed())?;
    clap_mangen::generate_to(program.clone(), dir).map_err(failed())
}
