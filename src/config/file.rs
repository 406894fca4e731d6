//! Settings in a file (TOML): the flags by their names, and the properties of the Kafka client.
//!
//! Owns the form of the file, and where each setting stands in it. Knows no program: which settings there are follows from the
//! flags. Invariants: what is not a setting, or has no possible value, is an error with line and column; flags and environment
//! variables take precedence; no message shows a value, because it may be a secret.

use super::Args;
use crate::error::{Error, Result};
use clap::{Arg, ArgAction, Args as _, Command};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::OsString,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// The table of client properties.
const PROPERTIES: &str = "properties";
/// The flag and the variable that name the file.
const FLAG: &str = "--config";
const VARIABLE: &str = "TIDEGATE_CONFIG";
/// A name this similar to another one is taken for a slip.
const SIMILAR: f64 = 0.7;

/// What a file of settings says.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    path: PathBuf,
    settings: BTreeMap<String, Setting>,
    /// Properties of the Kafka client.
    properties: BTreeMap<String, Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    value: String,
    line: usize,
}

impl ConfigFile {
    /// The file that a command line names, or the environment; an empty one if they name none.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the file comes before clap, which reads all other variables"
    )]
    pub fn of_command_line(line: &[OsString]) -> Result<Self> {
        let mut args = line.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
        let mut named = None;
        while let Some(arg) = args.next() {
            if arg == FLAG {
                named = args.next().map(Cow::into_owned);
            } else if let Some(path) = arg.strip_prefix(FLAG).and_then(|rest| rest.strip_prefix('=')) {
                named = Some(path.to_owned());
            }
        }
        let named = named.or_else(|| std::env::var(VARIABLE).ok().filter(|path| !path.is_empty()));
        named.map_or_else(|| Ok(ConfigFile::default()), |path| Self::read(Path::new(&path)))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Config`] with the place of what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::Config(format!(
                "the file {} cannot be read: {e}\n  next: correct {FLAG} ({VARIABLE})",
                path.display()
            ))
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |span: Option<Range<usize>>, what: &str| {
            let (line, column) = place(text, span.map_or(0, |span| span.start));
            Error::Config(format!("{}:{line}:{column}: {what}", path.display()))
        };
        let table = DeTable::parse(text).map_err(|e| wrong(e.span(), e.message()))?;
        let known = known();
        let mut file = ConfigFile { path: path.to_owned(), ..ConfigFile::default() };
        for (key, value) in table.get_ref() {
            let (name, span) = (key.get_ref().as_ref(), Some(key.span()));
            if name == PROPERTIES {
                let Some(properties) = value.get_ref().as_table() else {
                    return Err(wrong(
                        span,
                        "`properties` is a table: write [properties] on a line of its own, and the properties below it",
                    ));
                };
                for (key, value) in properties {
                    let name = key.get_ref().as_ref();
                    let Some(value) = scalar(value.get_ref()) else {
                        let what = format!(
                            "the property `{name}` is a string, a number, true or false; quote names with dots: \"{name}.x\" = .."
                        );
                        return Err(wrong(Some(key.span()), &what));
                    };
                    let line = place(text, key.span().start).0;
                    file.properties.insert(name.to_owned(), Setting { value, line });
                }
                continue;
            }
            let Some(arg) = known.iter().find(|arg| arg.get_long() == Some(name)) else {
                return Err(wrong(span, &unknown(name, &known)));
            };
            let Some(setting) = scalar(value.get_ref()) else {
                return Err(wrong(
                    Some(value.span()),
                    &format!("`{name}` is a string, a number, true or false"),
                ));
            };
            check(arg, name, &setting).map_err(|what| wrong(Some(value.span()), &what))?;
            let line = place(text, key.span().start).0;
            file.settings.insert(name.to_owned(), Setting { value: setting, line });
        }
        Ok(file)
    }

    /// Says a setting as another text does: a setting of the file goes before it.
    ///
    /// # Errors
    /// If there is no such setting, or it cannot have this value.
    pub fn add(&mut self, name: &str, value: &str, line: usize) -> Result<(), String> {
        let known = known();
        let arg =
            known.iter().find(|arg| arg.get_long() == Some(name)).ok_or_else(|| unknown(name, &known))?;
        check(arg, name, value)?;
        self.settings.entry(name.to_owned()).or_insert(Setting { value: value.to_owned(), line });
        Ok(())
    }

    /// The command with what the file says as its defaults, in all subcommands.
    #[must_use]
    pub fn defaults(&self, command: Command) -> Command {
        let named: Vec<(clap::Id, String)> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().clone(), self.settings.get(arg.get_long()?)?.value.clone())))
            .collect();
        let command = named.into_iter().fold(command, |command, (id, value)| {
            command.mut_arg(id, |arg| arg.default_value(value).required(false))
        });
        command.mut_subcommands(|subcommand| self.defaults(subcommand))
    }

    /// Whether there is a setting of this name.
    #[must_use]
    pub fn is_setting(name: &str) -> bool {
        known().iter().any(|arg| arg.get_long() == Some(name))
    }

    /// What it says of a setting, by the name of its flag.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|setting| setting.value.as_str())
    }

    /// The properties of the Kafka client.
    #[must_use]
    pub fn properties(&self) -> BTreeMap<String, String> {
        self.properties.iter().map(|(name, setting)| (name.clone(), setting.value.clone())).collect()
    }

    /// Where a setting stands, by the name of its flag, or of a property.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<String> {
        let of_property = name.strip_prefix("-X ").and_then(|name| self.properties.get(name));
        let setting = of_property.or_else(|| self.settings.get(name.trim_start_matches('-')))?;
        Some(format!("{}:{}", self.path.display(), setting.line))
    }
}

/// The flags that a file may set.
fn known() -> Vec<Arg> {
    let command = Args::augment_args(Command::new(""));
    let is_setting = |arg: &&Arg| !arg.is_hide_set() && arg.get_long().is_some();
    command.get_arguments().filter(is_setting).cloned().collect()
}

/// Whether a flag takes a value.
fn check(arg: &Arg, name: &str, value: &str) -> Result<(), String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let is_switch = ["true", "false"].contains(&value);
        return if is_switch { Ok(()) } else { Err(format!("`{name}` is true or false")) };
    }
    let bare = arg.clone().required(false).env(None::<&str>);
    let parsed =
        Command::new("").no_binary_name(true).arg(bare).try_get_matches_from([format!("--{name}={value}")]);
    parsed.map(drop).map_err(|e| {
        let said = e.to_string();
        let possible = said.lines().map(str::trim).find(|line| line.starts_with('[')).map(str::to_owned);
        let why =
            said.lines().next().and_then(|line| line.rsplit_once(": ")).map(|(_, why)| why.trim().to_owned());
        format!("`{name}` cannot have this value: {}", possible.or(why).unwrap_or_default())
    })
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn unknown(name: &str, known: &[Arg]) -> String {
    let names = || known.iter().filter_map(Arg::get_long).chain([PROPERTIES]);
    let nearest = names().map(|known| (strsim::jaro_winkler(&name.replace('_', "-"), known), known));
    let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(similar, _)| *similar > SIMILAR);
    match nearest {
        _ if name.contains('.') => format!(
            "`{name}` is not a setting; properties of the Kafka client stand below [properties], with quotes"
        ),
        Some((_, known)) => format!("`{name}` is not a setting; did you mean `{known}`?"),
        None => {
            format!("`{name}` is not a setting; settings are named as the flags are (docs/operations.md)")
        }
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        ConfigFile::parse(text, Path::new("app.toml")).unwrap_err().to_string()
    }

    #[test]
    fn settings_have_the_names_of_flags() {
        let text = "application-id = \"a\"\nthreads = 1_0\nleave = true\n\n[properties]\n\"sasl.username\" = \"u\"\n";
        let file = ConfigFile::parse(text, Path::new("app.toml")).unwrap();
        assert_eq!(file.settings["threads"].value, "10");
        assert_eq!(file.origin("--leave").as_deref(), Some("app.toml:3"));
        assert_eq!(file.origin("-X sasl.username").as_deref(), Some("app.toml:6"));
        assert_eq!((file.origin("--once"), file.properties().len()), (None, 1));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_without_their_value() {
        assert_eq!(
            told("\nthread = 1"),
            "configuration: app.toml:2:1: `thread` is not a setting; did you mean `threads`?"
        );
        let underscore = told("application_id = \"a\"");
        assert!(underscore.ends_with("did you mean `application-id`?"), "{underscore}");
        assert!(told("xyz = 1").contains("named as the flags are"));
        assert!(
            told("sasl.password = \"canary\"").contains("below [properties]")
                || told("sasl.password = \"canary\"").contains("is not a setting")
        );
        assert!(told("threads = 1\nthreads = 2").starts_with("configuration: app.toml:2:1: "));
        for (text, at) in [
            ("threads = \"canary\"", "1:11"),
            ("leave = \"canary\"", "1:9"),
            ("guarantee = \"canary\"", "1:13"),
            ("threads = [1]", "1:11"),
        ] {
            let told = told(text);
            assert!(told.contains(&format!("app.toml:{at}: ")) && !told.contains("canary"), "{told}");
        }
        assert!(
            told("guarantee = \"once\"").contains("exactly-once, at-least-once"),
            "{}",
            told("guarantee = \"once\"")
        );
        assert!(told("properties = 1").contains("is a table"));
        assert!(told("[properties]\nsasl.password = \"canary\"").contains("quote names with dots"));
        assert!(told("a = ").starts_with("configuration: app.toml:1:"));
    }

    #[test]
    fn flags_and_variables_take_precedence() {
        let file =
            ConfigFile::parse("threads = 3\napplication-id = \"a\"\nleave = true\n", Path::new("f")).unwrap();
        let command = || file.defaults(Args::augment_args(Command::new("p")));
        let parsed = command().try_get_matches_from(["p"]).unwrap();
        assert_eq!(parsed.get_one::<usize>("threads"), Some(&3));
        assert_eq!(
            (parsed.get_one::<String>("application_id").map(String::as_str), parsed.get_flag("leave")),
            (Some("a"), true)
        );
        let parsed = command().try_get_matches_from(["p", "--threads", "5"]).unwrap();
        assert_eq!(parsed.get_one::<usize>("threads"), Some(&5));
    }
}
