//! `tidegate check`: whether an application can start, one tick after the other.
//!
//! Owns the list of ticks. Knows no program but a script of SQL: what an application reads is known if it ran before, is named, or stands
//! in the script. Invariants: a tick that fails says what to do next; what cannot be looked at because of an earlier failure is said to be skipped, never passed over.

mod live;
mod offline;

use super::{
    Invocation,
    config_show::Settings,
    display::{first_line, show},
};
use crate::{
    config::Config,
    error::{Error, Result},
    plan::Look,
};
use serde::Serialize;
use std::io::Write;

/// The flags of `tidegate check`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Also ask the log: connection, topics, rights, replication
    #[arg(long)]
    live: bool,
    /// With --live: a topic that must exist, such as an input or an output; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// A script of SQL: whether it is right; with --live, its topics must exist
    #[cfg(feature = "sql")]
    #[arg(long, value_name = "FILE")]
    script: Option<std::path::PathBuf>,
}

/// How a tick ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Ok,
    /// It works, but not as it should.
    Warning,
    Failed,
    /// Something before it failed, or it does not apply.
    Skipped,
}

#[derive(PartialEq, Eq, Serialize)]
struct Tick {
    name: &'static str,
    outcome: Outcome,
    /// What was found, and the next step.
    detail: String,
}

/// The ticks so far.
#[derive(Default)]
struct Ticks {
    ticks: Vec<Tick>,
    /// The exit code that the first failure calls for.
    exit_code: u8,
}

impl Ticks {
    /// One that is there already is not told again: two tables may need the same.
    fn push(&mut self, name: &'static str, outcome: Outcome, detail: impl Into<String>) {
        let tick = Tick { name, outcome, detail: detail.into() };
        if !self.ticks.contains(&tick) {
            self.ticks.push(tick);
        }
    }

    fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, Outcome::Ok, detail);
    }

    fn failed(&mut self, name: &'static str, error: &Error) {
        self.exit_code = if self.exit_code == 0 { error.exit_code() } else { self.exit_code };
        self.push(name, Outcome::Failed, error.to_string());
    }

    /// Notes what was found, or how it failed.
    fn note<T>(
        &mut self,
        name: &'static str,
        found: Result<T>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match found {
            Ok(found) => {
                self.ok(name, detail(&found));
                Some(found)
            }
            Err(e) => {
                self.failed(name, &e);
                None
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    application_id: &'a str,
    ok: bool,
    ticks: &'a [Tick],
}

/// Checks; returns the exit code.
///
/// # Errors
/// If the file of settings cannot be read.
pub(super) fn run(options: &Options, invocation: &Invocation, out: &mut dyn Write) -> Result<u8> {
    let mut ticks = Ticks::default();
    let program = program(options, invocation, &mut ticks)?;
    if let Some(Program { config, topics, looks }) = &program {
        let log = offline::check(config, &mut ticks);
        match config.bootstrap.is_empty() {
            true if options.live => {
                ticks.push("connection", Outcome::Skipped, "the log is in the state directory");
            }
            false if options.live => live::check(config, log.as_deref(), topics, &mut ticks),
            _ => {}
        }
        if options.live {
            looks.iter().for_each(|look| drop(ticks.note("registry", look(), Clone::clone)));
        }
    } else {
        for name in ["settings", "log", "state directory"] {
            ticks.push(name, Outcome::Skipped, "the script has mistakes");
        }
    }
    let failed = ticks.ticks.iter().filter(|tick| tick.outcome == Outcome::Failed).count();
    let answer = Answer {
        application_id: program.as_ref().map_or("", |program| &program.config.application_id),
        ok: failed == 0,
        ticks: &ticks.ticks,
    };
    show(out, options.settings.output, &answer, || text(&ticks, failed))?;
    Ok(ticks.exit_code)
}

/// What is checked.
struct Program {
    config: Config,
    /// Those that must exist.
    topics: Vec<String>,
    /// What a script needs outside the log: registries of schemas.
    looks: Vec<Look>,
}

impl Program {
    fn unknown(options: &Options) -> Result<Program> {
        Ok(Program { config: options.settings.config()?, topics: options.topics.clone(), looks: vec![] })
    }
}

/// None if there is a script that is wrong.
#[cfg(feature = "sql")]
fn program(options: &Options, invocation: &Invocation, ticks: &mut Ticks) -> Result<Option<Program>> {
    let Some(file) = &options.script else {
        return Program::unknown(options).map(Some);
    };
    let found = super::run::read(file).and_then(|script| {
        let config = super::run::settings(&script, file, invocation)?;
        Ok((script, config))
    });
    let told = |(script, _): &(crate::sql::Script, Config)| match script.topics().as_slice() {
        _ if !script.has_outputs() => "no mistakes; it writes nothing".to_owned(),
        [] => "no mistakes; it reads and writes no topic".to_owned(),
        topics => format!("no mistakes; topics: {}", topics.join(", ")),
    };
    let found = ticks.note("script", found, told);
    Ok(found.map(|(script, config)| {
        let topics = [script.topics(), options.topics.clone()].concat();
        Program { config, topics, looks: script.looks() }
    }))
}

#[cfg(not(feature = "sql"))]
fn program(options: &Options, _: &Invocation, _: &mut Ticks) -> Result<Option<Program>> {
    Program::unknown(options).map(Some)
}

fn text(ticks: &Ticks, failed: usize) -> String {
    let width = ticks.ticks.iter().map(|tick| tick.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Tick { name, outcome, detail } in &ticks.ticks {
        let mark = match outcome {
            Outcome::Ok => "ok     ",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED ",
            Outcome::Skipped => "skipped",
        };
        text += format!("{mark}  {name:width$}  {}", first_line(detail)).trim_end();
        text.push('\n');
        for line in detail.lines().skip(1) {
            // What is indented further is a picture.
            let line = line.strip_prefix("  ").unwrap_or(line);
            text += &format!("{:indent$}{line}\n", "", indent = 11 + width);
        }
    }
    text + &match failed {
        0 => "\nnothing is in the way\n".to_owned(),
        1 => "\n1 tick failed\n".to_owned(),
        n => format!("\n{n} ticks failed\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_gives_the_exit_code_and_next_steps_are_aligned() {
        let mut ticks = Ticks::default();
        ticks.ok("settings", "34");
        ticks.failed("tcp", &Error::Config("no\n  next: go".into()));
        ticks.failed("metadata", &Error::Topic { topic: "t".into(), what: "no".into() });
        assert_eq!(ticks.exit_code, 3);
        let text = text(&ticks, 2);
        assert_eq!(
            text,
            "ok       settings  34\nFAILED   tcp       configuration: no\n                   next: go\nFAILED   metadata  topic `t`: no\n\n2 ticks failed\n"
        );
    }
}
