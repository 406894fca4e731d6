//! Scripts of SQL, batch by batch: what they write, and what is said of their mistakes.

mod aggregates;
mod all_values;
mod as_of;
mod clock;
mod csv;
mod distinct;
mod docs;
mod files;
mod frames;
mod frames_batch;
mod frames_io;
mod functions;
mod fuzz;
mod jdbc;
mod joins;
mod late;
mod nexmark;
mod over;
mod ranks;
mod sessions;
mod stateless;
mod static_joins;
mod udf;
mod upsert;
mod windows;

use tidegate::{
    Result, StreamingContext,
    sql::{Script, SourceText},
    testing::{Driver, Settings},
};

/// A driver of a script called `q.sql`.
pub fn driver(script: &str) -> Driver<'static> {
    driver_with(Settings::default(), script)
}

/// The same with other settings.
pub fn driver_with(settings: Settings, script: &str) -> Driver<'static> {
    let script = parsed(script).unwrap();
    Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script))
}

pub fn parsed(script: &str) -> Result<Script> {
    Script::parse(SourceText::new("q.sql", script))
}

/// What is said of a script with mistakes.
pub fn mistakes(script: &str) -> String {
    parsed(script).unwrap_err().to_string()
}

/// Rows of a topic in the form of the driver: `topic partition | key | value`.
pub fn input(topic: &str, rows: &[&str]) -> String {
    rows.iter().fold(String::new(), |all, row| all + &format!("{topic} 0 | - | {row}\n"))
}
