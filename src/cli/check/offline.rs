//! What can be looked at without the log: settings, properties of the client, the state directory.
//!
//! Invariant: nothing is created that was not there; a file that is tried is gone when the answer is given.

use super::{Outcome, Ticks};
use crate::{
    cli::connection::must_exist,
    config::Config,
    error::{Error, Result},
    log::{self, Log},
    state::StateDirectory,
};
use std::{path::Path, sync::Arc};

/// Checks; returns the log, not connected, if its settings are right.
pub(super) fn check(config: &Config, ticks: &mut Ticks) -> Option<Arc<dyn Log>> {
    ticks.note("settings", config.validate(), |()| format!("{} settings are valid", config.settings().len()));
    let log = if config.bootstrap.is_empty() {
        ticks.ok("log", "a log in the state directory");
        None
    } else {
        let opened =
            must_exist(&config.bootstrap).and_then(|()| log::open(&config.bootstrap, &config.properties));
        ticks.note("log", opened, |log| match config.properties.len() {
            0 => log.name(),
            n => format!("{}, with {n} {}", log.name(), if n == 1 { "property" } else { "properties" }),
        })
    };
    match &config.state_dir {
        Some(_) if log::ends_with_process(&config.bootstrap) => {
            ticks.push("state directory", Outcome::Skipped, "a log in memory needs none");
        }
        // Beside such a log, state has a folder of its own.
        Some(dir) if config.bootstrap.is_empty() => {
            drop(ticks.note(
                "state directory",
                directory(&dir.join("state"), &config.application_id),
                Clone::clone,
            ));
        }
        Some(dir) => {
            drop(ticks.note("state directory", directory(dir, &config.application_id), Clone::clone));
        }
        None => ticks.push("state directory", Outcome::Skipped, "none is set"),
    }
    log
}

/// Whether this process could use the directory now.
fn directory(dir: &Path, application_id: &str) -> Result<String> {
    let of_application = StateDirectory::place(dir, application_id);
    if of_application.is_dir() {
        let directory = StateDirectory::open(dir, application_id)?;
        can_write(directory.path())?;
        return Ok(format!("{} is there, and no process uses it", directory.path().display()));
    }
    let there = dir.ancestors().find(|place| place.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return Err(Error::Config(format!(
            "{} is a file\n  next: choose another directory (--state-dir)",
            there.display()
        )));
    }
    can_write(there)?;
    Ok(format!("{} will be created at the first start", of_application.display()))
}

fn can_write(dir: &Path) -> Result {
    let tried = tempfile::tempfile_in(dir);
    tried.map(drop).map_err(|e| {
        Error::Config(format!(
            "{} cannot be written: {e}\n  next: choose another directory (--state-dir), or change its owner or rights",
            dir.display()
        ))
    })
}
