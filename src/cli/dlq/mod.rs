//! `tidegate dlq`: the dead letters of an application.
//!
//! Owns the subcommands, and which letters they are about. Invariant: the dead-letter topic itself is never changed.

mod letters;
mod list;
mod replay;

use self::letters::{Letter, Origin};
use super::{connection::Connection, reading};
use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, TopicPartition},
    runtime::names::Names,
};
use std::{io::Write, ops::Range, sync::Arc};

/// `tidegate dlq`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists dead letters, the newest last
    List(list::Options),
    /// Shows one dead letter whole
    Show(list::ShowOptions),
    /// Writes the records of dead letters back to where they came from, or to another topic
    Replay(replay::Options),
}

/// Which letters.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only records that came from, or were for, this topic
    #[arg(long, value_name = "TOPIC")]
    from_topic: Option<String>,
    /// Only records that came from this partition
    #[arg(long, value_name = "PARTITION")]
    from_partition: Option<u32>,
    /// Only records that had these offsets where they came from: FIRST..END (without END itself), or one offset
    #[arg(long, value_name = "RANGE", value_parser = range)]
    from_offsets: Option<Range<u64>>,
    /// Only the letters with these offsets in the dead-letter topic
    #[arg(long, value_name = "RANGE", value_parser = range)]
    letters: Option<Range<u64>>,
    /// Only letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        let Filter { from_topic, from_partition, from_offsets, letters, reason } = self;
        from_topic.is_none()
            && from_partition.is_none()
            && from_offsets.is_none()
            && letters.is_none()
            && reason.is_none()
    }

    fn matches(&self, letter: &Letter) -> bool {
        let (partition, offset) = match &letter.origin {
            Origin::Record { at, offset } => (Some(at.partition.0), Some(*offset)),
            _ => (None, None),
        };
        self.from_topic.as_deref().is_none_or(|topic| letter.origin.topic() == Some(topic))
            && self.from_partition.is_none_or(|wanted| partition == Some(wanted))
            && self
                .from_offsets
                .as_ref()
                .is_none_or(|range| offset.is_some_and(|offset| range.contains(&offset)))
            && self.letters.as_ref().is_none_or(|range| range.contains(&letter.offset))
            && self.reason.as_ref().is_none_or(|text| letter.message.contains(text.as_str()))
    }
}

/// `7..9` = 7 and 8; `7..` = from 7 on; `7` = 7 alone.
fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("`{text}` is not an offset: {e}"));
    let range = match text.split_once("..") {
        Some((first, "")) => number(first)?..u64::MAX,
        Some((first, end)) => number(first)?..number(end)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if range.is_empty() {
        Err(format!("`{text}` is empty: the second offset is not part of it"))
    } else {
        Ok(range)
    }
}

/// The dead-letter topic of an application.
struct DeadLetters {
    log: Arc<dyn Log>,
    application_id: String,
    at: TopicPartition,
}

impl DeadLetters {
    fn open(connection: &Connection) -> Result<Self> {
        let log = connection.open()?;
        let (names, application_id) =
            (Names::of(&connection.application_id), connection.application_id.clone());
        if log.describe(&[&names.dead_letters])?[0].is_none() {
            let what = format!(
                "does not exist ({}): no source of this application has the policy dead-letter, and it does not run with --on-refused-record dead-letter, or it never ran\n  next: check --application-id; `tidegate topics` shows what there is",
                log.name()
            );
            return Err(Error::Topic { topic: names.dead_letters.to_string(), what });
        }
        Ok(DeadLetters {
            log,
            application_id,
            at: TopicPartition { topic: names.dead_letters, partition: crate::record::Partition(0) },
        })
    }

    /// Hands over the letters that match, in order.
    fn each(&self, filter: &Filter, take: &mut dyn FnMut(Letter) -> Result) -> Result {
        let from = filter.letters.as_ref().map_or(0, |range| range.start);
        reading::through(self.log.as_ref(), &self.at, Offset(from), &mut |records| {
            for record in records.iter() {
                let letter = Letter::of(&record);
                if filter.matches(&letter) {
                    take(letter)?;
                }
            }
            Ok(())
        })
    }
}

/// Runs a subcommand.
///
/// # Errors
/// If the log cannot be reached, there is no dead-letter topic, or a record cannot be written back.
pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result {
    match command {
        Command::List(options) => list::run(options, out),
        Command::Show(options) => list::show_one(options, out),
        Command::Replay(options) => replay::run(options, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_empty_ones_refused() {
        assert_eq!([range("7"), range("7..9"), range("7..")], [Ok(7..8), Ok(7..9), Ok(7..u64::MAX)]);
        assert!(range("9..9").unwrap_err().contains("is empty"));
        assert!(range("a..9").unwrap_err().contains("`a` is not an offset"));
    }
}
