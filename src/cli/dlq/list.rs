//! `tidegate dlq list` and `tidegate dlq show`.
//!
//! Owns how letters are listed. Invariant: only the letters that are shown are kept in memory.

use super::{DeadLetters, Filter, Letter};
use crate::{
    cli::{
        connection::Connection,
        display::{Table, bytes, counted, grouped, readable, show, time},
    },
    error::{Error, Result},
};
use serde_json::{Value, json};
use std::{collections::VecDeque, io::Write};

/// How much of a reason a line shows; `dlq show` has all of it.
const WHY_CHARS_MAX: usize = 200;

/// The flags of `tidegate dlq list`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filter: Filter,
    /// The most letters that are listed: the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// The flags of `tidegate dlq show`.
#[derive(Debug, clap::Args)]
pub struct ShowOptions {
    #[command(flatten)]
    connection: Connection,
    /// The letter: its offset in the dead-letter topic
    letter: u64,
}

/// Lists.
///
/// # Errors
/// As for all subcommands.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    let letters = DeadLetters::open(&options.connection)?;
    let (mut newest, mut count) = (VecDeque::new(), 0);
    letters.each(&options.filter, &mut |letter| {
        count += 1;
        newest.push_back(letter);
        if newest.len() > options.limit {
            newest.pop_front();
        }
        Ok(())
    })?;
    let listed: Vec<Value> = newest.iter().map(Letter::json).collect();
    let topic = &*letters.at.topic;
    let answer =
        json!({"applicationId": letters.application_id, "topic": topic, "count": count, "letters": listed});
    show(out, options.connection.output, &answer, || {
        let mut text = format!("{topic} on {}: {}", letters.log.name(), counted(count, "dead letter"));
        if count > newest.len() as u64 {
            text += &format!(", the newest {} (--limit)", grouped(newest.len() as u64));
        }
        let mut table = Table::new(&[">letter", "written", "from", "key", "value", ">bytes", "why"]);
        for letter in &newest {
            table.row(vec![
                letter.offset.to_string(),
                time(letter.written_ms),
                letter.origin.text(),
                letter.key_text(24),
                letter.value_text(40),
                bytes(letter.value.as_ref().map_or(0, |value| value.len() as u64)),
                readable(letter.message.as_bytes(), WHY_CHARS_MAX),
            ]);
        }
        if newest.is_empty() { text + "\n" } else { text + "\n\n" + &table.text() }
    })
}

/// Shows one letter.
///
/// # Errors
/// As for all subcommands; if there is no such letter.
pub(super) fn show_one(options: &ShowOptions, out: &mut dyn Write) -> Result {
    let letters = DeadLetters::open(&options.connection)?;
    let one = options.letter..options.letter.saturating_add(1);
    let filter = Filter { letters: Some(one), ..Filter::default() };
    let mut found = None;
    letters.each(&filter, &mut |letter| {
        found.get_or_insert(letter);
        Ok(())
    })?;
    let Some(letter) = found else {
        let (start, end) = (letters.log.start_offset(&letters.at)?, letters.log.end_offset(&letters.at)?);
        return Err(Error::Config(format!(
            "there is no letter {}: {} holds offsets {start} to {end}, and some of them are ends of transactions\n  next: `tidegate dlq list` shows which there are",
            options.letter, letters.at
        )));
    };
    show(out, options.connection.output, &letter.json(), || {
        let lines = letter.lines();
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    })
}
