//! The command `tidegate` of the wheel.
//!
//! Owns its command line: that of the program `tidegate` without the demo. Knows the engine as that program does. Invariant: every failure is
//! printed on standard error with its next step, and its kind determines the exit code.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use pyo3::prelude::*;
use std::ffi::OsString;
use tidegate::{
    Result,
    cli::{self, Invocation},
    config::ConfigFile,
    observe::logging::{self, LogFormat},
};

#[derive(Parser)]
#[command(name = "tidegate", version, about = "A Kafka-native stream processor")]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Operator(cli::Command),
}

/// Runs a command line, whose first word is the name of the program; returns the exit code.
#[pyfunction]
pub fn command(py: Python<'_>, line: Vec<OsString>) -> u8 {
    py.detach(|| {
        run(line).unwrap_or_else(|e| {
            eprintln!("error: {e}");
            e.exit_code()
        })
    })
}

fn run(line: Vec<OsString>) -> Result<u8> {
    let file = ConfigFile::of_command_line(&line)?;
    let program = cli::arranged(Program::command());
    let matches = file.defaults(program.clone()).get_matches_from(&line);
    let Program { command: Command::Operator(command) } =
        Program::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    if !command.runs_an_application() {
        logging::init(LogFormat::Text, Some("error"))?;
    }
    cli::run(&command, &Invocation { program, matches, file, line }, &mut std::io::stdout())
}
