//! The `tidegate` program: its subcommands and exit codes.
//!
//! Owns the command line. Knows the library only through its public interface. Invariant: every failure is printed on
//! standard error with its next step, and its kind determines the exit code.

mod demo;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "tidegate", version, about = "A Kafka-native stream processor")]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts words on a log inside this process; needs no Kafka
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let Program { command: Command::Demo(options) } = Program::parse();
    match demo::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
