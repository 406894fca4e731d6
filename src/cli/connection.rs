//! How a subcommand gets to the log and the application that it is about.
//!
//! Owns the flags that all of them share. Knows no question. Invariants: the flags and their environment variables are those that
//! programs have; nothing is created by looking.

use super::{application::Application, display::Output};
use crate::{
    config::{Config, ConfigFile},
    error::{Error, Result},
    log::{self, Log},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The log and the application.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// The log: host:port (several with commas between them) for Kafka, or embedded:DIR
    #[arg(long, env = "TIDEGATE_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub(super) bootstrap: String,
    /// Name of the application
    #[arg(long, env = "TIDEGATE_APPLICATION_ID")]
    pub(super) application_id: String,
    /// How long the first connection may take
    #[arg(long, env = "TIDEGATE_CONNECT_TIMEOUT_MS", default_value_t = 30_000)]
    pub(super) connect_timeout_ms: u64,
    /// Property of the Kafka client, key=value; may be repeated; in the environment `TIDEGATE_PROPERTIES`, with commas
    #[arg(short = 'X', value_name = "KEY=VALUE", value_parser = crate::config::property)]
    properties: Vec<(String, String)>,
    /// The same from the environment, separated by commas; the flag takes precedence
    #[arg(long = "properties", hide = true, value_name = "KEY=VALUE,...", value_parser = crate::config::property, env = "TIDEGATE_PROPERTIES", value_delimiter = ',')]
    properties_before: Vec<(String, String)>,
    /// A file of settings (TOML); flags and environment variables take precedence
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

impl Connection {
    /// Opens the log and connects.
    ///
    /// # Errors
    /// If a setting is wrong, or the log cannot be reached.
    pub(super) fn open(&self) -> Result<Arc<dyn Log>> {
        Config::new(&self.application_id, &self.bootstrap).validate()?;
        must_exist(&self.bootstrap)?;
        let log = log::open(&self.bootstrap, &self.properties()?)?;
        log.connect(Duration::from_millis(self.connect_timeout_ms))?;
        Ok(log)
    }

    /// Opens the log and reads what the application has committed.
    ///
    /// # Errors
    /// As [`Connection::open`]; or if there is no such application.
    pub(super) fn application(&self) -> Result<Application> {
        Application::read(self.open()?, &self.application_id)
    }

    fn properties(&self) -> Result<BTreeMap<String, String>> {
        let mut all =
            self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)?.properties();
        all.extend(self.properties_before.iter().chain(&self.properties).cloned());
        Ok(all)
    }
}

/// To look at a directory that is not there would create it.
///
/// # Errors
/// [`Error::Config`] if it is not there.
pub(super) fn must_exist(bootstrap: &str) -> Result {
    match bootstrap.strip_prefix("embedded:") {
        Some(dir) if !dir.is_empty() && !Path::new(dir).is_dir() => Err(Error::Config(format!(
            "there is no log in `{dir}`: the directory does not exist\n  next: correct --bootstrap"
        ))),
        _ => Ok(()),
    }
}
