//! What an operator asks and does: the subcommands of `tidegate` besides the demo.
//!
//! Owns the command line. Knows an application by its id only: all answers come from what is committed in the log's topics and in the
//! group, so it does not matter which program it is. Invariants: a question changes nothing; what changes something has a
//! `--dry-run`, and is refused while processes of the application run; a mistake is told with its next step.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "an answer is put together once, from lines that are read by people"
)]

mod application;
mod check;
mod checkpoint;
mod config_show;
mod connection;
mod display;
mod dlq;
mod explain;
mod invocation;
mod lag;
mod manual;
mod reading;
mod reset;
#[cfg(feature = "sql")]
mod run;
mod topics;

use crate::error::Result;
pub use invocation::Invocation;
use std::io::Write;

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Runs a script of SQL
    #[cfg(feature = "sql")]
    Run(Box<run::Options>),
    /// Checks settings and, with --live, the log, before an application is started
    Check(Box<check::Options>),
    /// Shows how far an application is behind
    Lag(lag::Options),
    /// Shows the topics of an application, and why they are there
    Topics(topics::Options),
    /// Shows what an application has committed
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// Shows records that could not be processed, and writes them back
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Sets where a stopped application reads next, and empties its state
    Reset(reset::Options),
    /// Explains what an application computes
    Explain(explain::Options),
    /// Shows settings
    #[command(subcommand)]
    Config(Box<config_show::Command>),
    /// Writes a script that completes commands in a shell
    Completions(manual::CompletionsOptions),
    /// Writes pages of the manual
    Man(manual::ManOptions),
}

impl Command {
    /// Whether it is an application, with logs of its own, and no question about one.
    #[must_use]
    pub fn runs_an_application(&self) -> bool {
        #[cfg(feature = "sql")]
        return matches!(self, Command::Run(_));
        #[cfg(not(feature = "sql"))]
        false
    }
}

/// The command line with what subcommands know better than the flags that they share.
#[must_use]
pub fn arranged(program: clap::Command) -> clap::Command {
    #[cfg(feature = "sql")]
    let program = program
        .mut_subcommand("run", run::arranged)
        .mut_subcommand("check", run::arranged_for_question)
        .mut_subcommand("explain", run::arranged_for_question);
    program
}

/// Runs a subcommand; the answer goes to `out`. Returns the exit code.
///
/// # Errors
/// What went wrong, with the next step.
pub fn run(command: &Command, invocation: &Invocation, out: &mut dyn Write) -> Result<u8> {
    match command {
        #[cfg(feature = "sql")]
        Command::Run(options) => run::run(options, invocation, out),
        Command::Check(options) => return check::run(options, invocation, out),
        Command::Lag(options) => lag::run(options, out),
        Command::Topics(options) => topics::run(options, out),
        Command::Checkpoint(command) => checkpoint::run(command, out),
        Command::Dlq(command) => dlq::run(command, out),
        Command::Reset(options) => reset::run(options, out),
        Command::Explain(options) => explain::run(options, out),
        Command::Config(command) => config_show::run(command, invocation, out),
        Command::Completions(options) => manual::completions(options, &invocation.program, out),
        Command::Man(options) => manual::man(options, &invocation.program, out),
    }?;
    Ok(0)
}
