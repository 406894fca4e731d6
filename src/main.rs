//! The `tidegate` program: its subcommands and exit codes.
//!
//! Owns the command line. Knows the library only through its public interface. Invariant: every failure is printed on
//! standard error with its next step, and its kind determines the exit code.

mod demo;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;
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
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Command {
    /// Counts words on a log inside this process; needs no Kafka
    Demo(demo::Options),
    #[command(flatten)]
    Operator(cli::Command),
}

fn main() -> ExitCode {
    exit_code(run())
}

fn run() -> Result<u8> {
    let line: Vec<_> = std::env::args_os().collect();
    let file = ConfigFile::of_command_line(&line)?;
    let program = cli::arranged(Program::command());
    let matches = file.defaults(program.clone()).get_matches_from(&line);
    let Program { command } = Program::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    match &command {
        Command::Demo(options) => demo::run(options).map(|()| 0),
        Command::Operator(command) => {
            if !command.runs_an_application() {
                logging::init(LogFormat::Text, Some("error"))?;
            }
            cli::run(command, &Invocation { program, matches, file, line }, &mut std::io::stdout())
        }
    }
}

fn exit_code(result: Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
