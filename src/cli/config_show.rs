//! `tidegate config show`: the settings that a program would run with, and where each comes from.
//!
//! Owns no setting. Invariant: the value of a property that may be a secret is never shown.

use super::{
    display::{Output, Table, show},
    invocation::Invocation,
};
use crate::{
    config::{Args, Config, ConfigFile, memory},
    error::Result,
};
use serde::Serialize;
use std::{io::Write, path::PathBuf};

/// `tidegate config`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows the settings that flags, environment and file give together
    Show(Options),
}

/// All settings of a program.
#[derive(Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    args: Args,
    /// A file of settings (TOML); flags and environment variables take precedence
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

impl Settings {
    /// The settings together.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn config(&self) -> Result<Config> {
        let mut config = self.args.config();
        let file = self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)?;
        let mut properties = file.properties();
        properties.append(&mut config.properties);
        config.properties = properties;
        Ok(config)
    }
}

/// The flags of `tidegate config show`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Show where each setting comes from
    #[arg(long)]
    origin: bool,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    value: String,
    origin: String,
}

/// Answers.
///
/// # Errors
/// If the file cannot be read, or a setting is not valid.
pub(super) fn run(Command::Show(options): &Command, invocation: &Invocation, out: &mut dyn Write) -> Result {
    let config = options.settings.config()?;
    let settings = config.settings().into_iter();
    let origin = |name: &str| match invocation.origin(name) {
        default if default == "default" && memory::decides(name) => "default, by the memory limit".to_owned(),
        origin => origin,
    };
    let shown: Vec<Shown> =
        settings.map(|(name, value)| Shown { origin: origin(&name), name, value }).collect();
    show(out, options.settings.output, &shown, || {
        let mut table =
            Table::new(if options.origin { &["setting", "value", "from"] } else { &["setting", "value"] });
        for Shown { name, value, origin } in &shown {
            let mut cells = vec![name.clone(), value.clone()];
            cells.extend(options.origin.then(|| origin.clone()));
            table.row(cells);
        }
        table.text()
    })?;
    config.validate()
}
