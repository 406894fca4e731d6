//! `tidegate run`: runs a script of SQL as an application.
//!
//! Owns what a script needs besides its text: a name, a log, and settings; also for the questions about a script. Knows no statement.
//! Invariants: a flag, an environment variable and the file of settings go before what the script says; a script that only asks starts
//! nothing.

use super::Invocation;
use crate::{
    config::{Args, Config},
    context::StreamingContext,
    error::{Error, Result},
    observe::logging,
    sql::{Script, SourceText},
};
use clap::FromArgMatches;
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// The flags of `tidegate run`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The script; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    args: Args,
    /// A file of settings (TOML); flags and environment variables take precedence
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The flags that follow from the script, unless they are given.
pub(super) fn arranged(run: clap::Command) -> clap::Command {
    let open = |arg: clap::Arg, help: &'static str| {
        arg.required(false).default_value("").hide_default_value(true).help(help)
    };
    run.mut_arg("application_id", |arg| {
        open(arg, "Name of the application: consumer group, and prefix of internal topics [default: the name of the file]")
    })
    .mut_arg("bootstrap", |arg| {
        open(arg, "The log: host:port (several with commas between them) for Kafka, embedded:DIR, or memory: [default: as the script says; 127.0.0.1:9092 if it reads or writes topics, otherwise a log in the state directory]")
    })
}

/// The same for a question, which is about a script if `--script` is there.
pub(super) fn arranged_for_question(question: clap::Command) -> clap::Command {
    let given = clap::builder::ArgPredicate::IsPresent;
    question
        .mut_arg("application_id", |arg| {
            arg.required(false).required_unless_present("script").default_value_if(
                "script",
                given.clone(),
                "",
            )
        })
        .mut_arg("bootstrap", |arg| arg.default_value_if("script", given, ""))
}

/// Reads and plans a script; `-` is standard input.
///
/// # Errors
/// If it cannot be read, is not UTF-8, is a program in Python, or has mistakes.
pub(super) fn read(file: &Path) -> Result<Script> {
    let name = file.display().to_string();
    if file.extension().is_some_and(|kind| kind == "py") {
        return Err(Error::Config(format!(
            "{name} is a program in Python, and this is a command for scripts of SQL\n  next: run it by `python {name}`, with the Python package of tidegate installed; the command `tidegate run` of the package takes it, too"
        )));
    }
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|e| {
        Error::Config(format!(
            "the script {name} cannot be read: {e}\n  next: name a file of SQL, or `-` for standard input"
        ))
    })?;
    let name = if name == "-" { "standard input".to_owned() } else { name };
    Script::parse(SourceText::new(name, text))
}

/// The application's name, if nobody says another one: that of the file.
fn name_of(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = stem.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    (name != "-" && !name.is_empty()).then_some(name)
}

/// The settings that a script runs with, by the flags of the subcommand that was called.
///
/// # Errors
/// If what the script says is wrong, or contradicts the flags.
pub(super) fn settings(script: &Script, name: &Path, invocation: &Invocation) -> Result<Config> {
    let mut file = invocation.file.clone();
    script.set(&mut file)?;
    let matches = file.defaults(invocation.program.clone()).get_matches_from(&invocation.line);
    let of_subcommand = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    let mut config = Args::from_arg_matches(of_subcommand).unwrap_or_else(|e| e.exit()).config();
    // A question about a script has no defaults for these.
    for (name, set) in [("bootstrap", &mut config.bootstrap), ("application-id", &mut config.application_id)]
    {
        if let Some(value) = file.setting(name).filter(|_| set.is_empty()) {
            value.clone_into(set);
        }
    }
    let mut properties = file.properties();
    properties.append(&mut config.properties);
    config.properties = properties;
    script.configure(&mut config)?;
    if config.application_id.is_empty() {
        config.application_id = name_of(name).ok_or_else(|| {
            Error::Config(
                "a script from standard input has no name\n  next: name the application: --application-id NAME".into(),
            )
        })?;
    }
    Ok(config)
}

/// Runs the script to its end: a signal, a failure, or the end of what is available.
///
/// # Errors
/// What went wrong, with the next step.
pub(super) fn run(options: &Options, invocation: &Invocation, out: &mut dyn Write) -> Result {
    logging::init(options.args.log_format.parse()?, options.args.log_level.as_deref())?;
    let script = read(&options.file)?;
    if !script.answers().is_empty() {
        let answers = script.answers().join("\n\n");
        writeln!(out, "{answers}").map_err(Error::io("writing the answers"))?;
    }
    if !script.has_outputs() {
        return Ok(());
    }
    let ssc = StreamingContext::new(settings(&script, &options.file, invocation)?);
    ssc.sql(&script);
    ssc.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_called_like_its_file() {
        assert_eq!(name_of(Path::new("a/page views.sql")).as_deref(), Some("page-views"));
        assert_eq!(name_of(Path::new("-")), None);
    }

    #[test]
    fn a_program_in_python_is_told_as_one() {
        let told = read(Path::new("pipeline.py")).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told.contains("pipeline.py is a program in Python"), "{told}");
        assert!(told.contains("next: run it by `python pipeline.py`"), "{told}");
    }
}
