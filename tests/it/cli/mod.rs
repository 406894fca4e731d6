//! The subcommands of `tidegate`, on logs in memory: what they say, and what they change.

mod dlq;
mod questions;
mod reset;
mod scripts;
mod settings;

use crate::driver::Session;
use clap::{CommandFactory, FromArgMatches, Parser};
use tidegate::{
    SourceOptions, StreamingContext, cli,
    codec::{AsText, Message, Messages, Utf8},
    config::ConfigFile,
};

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    command: cli::Command,
}

/// What a subcommand says about the application of a session; an error begins with `error: `.
fn tidegate(session: &Session, line: &str) -> String {
    let common = ["--bootstrap", &session.config.bootstrap, "--application-id", "app"];
    let line = ["tidegate"].into_iter().chain(line.split_whitespace()).chain(common);
    let line: Vec<std::ffi::OsString> = line.map(Into::into).collect();
    let (program, file) = (Program::command(), ConfigFile::default());
    let matches = match program.clone().try_get_matches_from(&line) {
        Ok(matches) => matches,
        Err(e) => return format!("usage: {e}"),
    };
    let Program { command } = Program::from_arg_matches(&matches).unwrap();
    let mut out = vec![];
    match cli::run(&command, &cli::Invocation { program, matches, file, line }, &mut out) {
        Ok(_) => without_now(&String::from_utf8(out).unwrap()),
        Err(e) => format!("error: {e}\n"),
    }
}

/// The answer as JSON.
fn json(session: &Session, line: &str) -> serde_json::Value {
    let text = tidegate(session, &format!("{line} --output json"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Without what depends on the number of the log in memory, or on the day.
fn without_now(text: &str) -> String {
    let mut told = String::new();
    for line in text.lines() {
        let words = line.split(' ').collect::<Vec<_>>();
        let is_age = |i: usize| {
            words.get(i + 1) == Some(&"days") && words.get(i + 2).is_some_and(|w| w.starts_with("ago"))
        };
        let words = (0..words.len()).map(|i| if is_age(i) { "N" } else { words[i] });
        told += words.collect::<Vec<_>>().join(" ").trim_end();
        told.push('\n');
    }
    told
}

/// Counts keys of the topic `n`, over everything read so far.
fn counts(ssc: &StreamingContext) {
    let rows = ssc.source::<Message<String>>(SourceOptions::topic("n"), Messages(Utf8));
    let pairs =
        rows.map(|m| (String::from_utf8(m.key.as_deref().unwrap_or_default().to_vec()).unwrap(), 1u64));
    pairs.running_reduce_by_key(|a, b| a + b).named("counts").to_kafka("sums", Utf8, AsText);
}
