//! A command line, with the file of settings that it names.
//!
//! Owns what a subcommand needs to know of the whole command line. Knows no subcommand.

use crate::config::ConfigFile;
use clap::{ArgMatches, Command, parser::ValueSource};
use std::ffi::OsString;

/// A command line that was parsed.
#[derive(Debug)]
pub struct Invocation {
    /// All subcommands and flags, as they are documented.
    pub program: Command,
    /// What the command line and the environment say.
    pub matches: ArgMatches,
    /// The file of settings.
    pub file: ConfigFile,
    /// The command line itself.
    pub line: Vec<OsString>,
}

impl Invocation {
    /// Where a setting comes from: `flag`, an environment variable, a place in a file, or `default`. `name` is that of its flag, of a
    /// property (`-X sasl.username`), or of a field without a flag.
    pub(super) fn origin(&self, name: &str) -> String {
        let mut matches = &self.matches;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        let of_file = || self.file.origin(name).unwrap_or_else(|| "default".to_owned());
        if let Some(property) = name.strip_prefix("-X ") {
            let has = |id: &str| {
                let mut given =
                    matches.try_get_many::<(String, String)>(id).ok().flatten().into_iter().flatten();
                given.any(|(key, _)| key == property)
            };
            return match () {
                () if has("properties") => "flag".into(),
                () if has("properties_before") => "TIDEGATE_PROPERTIES".into(),
                () => of_file(),
            };
        }
        let Some(flag) = name.strip_prefix("--") else { return "default".into() };
        let mut id = flag.replace('-', "_");
        if id == "admin_token_file" && matches!(matches.try_contains_id("admin_token"), Ok(true)) {
            "admin_token".clone_into(&mut id); // the token itself, in the place of its file
        }
        if matches.try_contains_id(&id).is_err() {
            return of_file();
        }
        match matches.value_source(&id) {
            Some(ValueSource::CommandLine) => "flag".into(),
            Some(ValueSource::EnvVariable) => format!("TIDEGATE_{}", id.to_uppercase()),
            _ => of_file(),
        }
    }
}
