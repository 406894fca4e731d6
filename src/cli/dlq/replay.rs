//! `tidegate dlq replay`: records of dead letters, written back.
//!
//! Owns which record goes where. Invariants: what is written is one transaction, all or nothing; a record is written as it came, with
//! a header that names its letter; a record of which a part was cut is written only if that is asked for.

use super::{DeadLetters, Filter, Letter, Origin};
use crate::{
    cli::{
        connection::Connection,
        display::{Table, counted, show},
    },
    error::{Error, Result},
    log::{Membership, Producer, ProducerSpec, RequestSizes},
    record::Partition,
};
use serde::Serialize;
use std::{collections::BTreeMap, io::Write, sync::Arc, time::Duration};

/// The log ends a transaction that has been open for so long.
const TRANSACTION: Duration = Duration::from_secs(300);
const BUFFER_BYTES: usize = 32 << 20;
/// Letters that are left out, of which the reason is told one by one.
const TOLD_MAX: usize = 10;

/// The flags of `tidegate dlq replay`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filter: Filter,
    /// All letters
    #[arg(long)]
    all: bool,
    /// Where to; records are then placed by key [default: the topic and partition that the record came from]
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Also records of which a part was cut
    #[arg(long)]
    include_cut: bool,
    /// The most records that are written: the oldest ones
    #[arg(long)]
    limit: Option<usize>,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    topic: String,
    dry_run: bool,
    /// Records by destination.
    written: Vec<Group>,
    left_out: Vec<LeftOut>,
    /// The letter after the last one that was written.
    next_letter: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    from: String,
    to: String,
    partition: Option<u32>,
    records: u64,
    first_letter: u64,
    last_letter: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    letter: u64,
    why: String,
}

/// Where a record goes; without a partition it is placed by key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Destination {
    topic: String,
    partition: Option<u32>,
}

/// Writes back.
///
/// # Errors
/// As for all subcommands; nothing is written then.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    if options.filter.is_empty() && !options.all {
        return Err(Error::Config(
            "which letters?\n  next: choose them with --letters, --from-topic, --from-partition, --from-offsets or --reason, or take --all; --dry-run only shows what would be written".into(),
        ));
    }
    let letters = DeadLetters::open(&options.connection)?;
    let mut writing = Writing::begin(&letters, options)?;
    let mut limit = options.limit.unwrap_or(usize::MAX);
    letters.each(&options.filter, &mut |letter| {
        if limit > 0 && writing.take(&letter)? {
            limit -= 1;
        }
        Ok(())
    })?;
    let replayed = writing.end()?;
    show(out, options.connection.output, &replayed, || text(&letters, &replayed))
}

struct Writing<'a> {
    letters: &'a DeadLetters,
    options: &'a Options,
    /// `None` = nothing is written.
    producer: Option<Box<dyn Producer>>,
    /// The number of partitions of each topic that was looked at.
    partitions: BTreeMap<String, u32>,
    groups: BTreeMap<(String, Destination), (u64, u64, u64)>,
    replayed: Replayed,
}

impl<'a> Writing<'a> {
    fn begin(letters: &'a DeadLetters, options: &'a Options) -> Result<Self> {
        let mut producer = None;
        if !options.dry_run {
            let spec = ProducerSpec {
                transactional_id: Some(format!("{}-dlq-replay", letters.application_id)),
                transaction_timeout: TRANSACTION,
                group: letters.application_id.clone(),
                buffer_bytes: BUFFER_BYTES,
                sizes: RequestSizes::default(),
            };
            let mut made = letters.log.producer(&spec)?;
            made.init()?;
            made.begin()?;
            producer = Some(made);
        }
        let replayed =
            Replayed { topic: letters.at.topic.to_string(), dry_run: options.dry_run, ..Replayed::default() };
        Ok(Writing {
            letters,
            options,
            producer,
            partitions: BTreeMap::new(),
            groups: BTreeMap::new(),
            replayed,
        })
    }

    /// Writes a record back; `false` = it is left out.
    fn take(&mut self, letter: &Letter) -> Result<bool> {
        let to = match self.destination(letter)? {
            Ok(to) => to,
            Err(why) => {
                self.replayed.left_out.push(LeftOut { letter: letter.offset, why });
                return Ok(false);
            }
        };
        if let Some(producer) = &mut self.producer {
            let place = format!("{}@{}", self.letters.at, letter.offset);
            let sent = producer.send(&to.topic, to.partition.map(Partition), &letter.record(&place));
            if let Err(e) = sent {
                let _ = producer.abort();
                return Err(e.into());
            }
        }
        let from = letter.origin.topic().unwrap_or("-").to_owned();
        let group = self.groups.entry((from, to)).or_insert((0, letter.offset, letter.offset));
        (group.0, group.2) = (group.0 + 1, letter.offset);
        self.replayed.next_letter = Some(letter.offset + 1);
        Ok(true)
    }

    /// Where a record goes, or why it is left out.
    fn destination(&mut self, letter: &Letter) -> Result<Result<Destination, String>> {
        if let Some(cut) = letter.cut.as_ref().filter(|_| !self.options.include_cut) {
            return Ok(Err(format!("a part was cut ({cut}); --include-cut takes it as it is")));
        }
        let (topic, partition) = match (&self.options.to, &letter.origin) {
            (_, Origin::Row { .. }) => {
                return Ok(Err("it is a row on its way between stages, not a record of a topic".into()));
            }
            (Some(to), _) => (to.clone(), None),
            (None, Origin::Record { at, .. }) => (at.topic.to_string(), Some(at.partition.0)),
            (None, Origin::Output { topic }) => (topic.clone(), None),
            (None, Origin::Unknown) => {
                return Ok(Err("it does not say where it came from; --to TOPIC says where it goes".into()));
            }
        };
        if topic == *self.letters.at.topic {
            return Ok(Err("it would come back to the dead-letter topic itself".into()));
        }
        let count = if let Some(count) = self.partitions.get(&topic) {
            *count
        } else {
            let found = self.letters.log.describe(&[&topic])?.remove(0);
            let Some(info) = found else {
                let next = "create it, or choose another one with --to";
                let what = format!("does not exist ({})\n  next: {next}", self.letters.log.name());
                return Err(Error::Topic { topic, what });
            };
            self.partitions.insert(topic.clone(), info.partitions);
            info.partitions
        };
        Ok(Ok(Destination { partition: partition.filter(|partition| *partition < count), topic }))
    }

    fn end(mut self) -> Result<Replayed> {
        if let Some(mut producer) = self.producer.take() {
            let nobody = Membership { member_id: String::new(), generation: -1, handle: Arc::new(()) };
            let committed = producer.flush().and_then(|()| producer.commit(&[], &nobody));
            if let Err(e) = committed {
                let _ = producer.abort();
                return Err(e.into());
            }
        }
        let group =
            |((from, to), (records, first_letter, last_letter)): ((String, Destination), (u64, u64, u64))| {
                Group { from, to: to.topic, partition: to.partition, records, first_letter, last_letter }
            };
        self.replayed.written = self.groups.into_iter().map(group).collect();
        Ok(self.replayed)
    }
}

fn text(letters: &DeadLetters, replayed: &Replayed) -> String {
    let count: u64 = replayed.written.iter().map(|group| group.records).sum();
    let what = if replayed.dry_run { "would be written" } else { "written" };
    let mut text =
        format!("{} on {}: {} {what}", replayed.topic, letters.log.name(), counted(count, "record"));
    text += if replayed.dry_run || count == 0 { "\n" } else { " in one transaction\n" };
    if !replayed.written.is_empty() {
        let mut table = Table::new(&["from", "to", "partition", ">records", "letters"]);
        for group in &replayed.written {
            table.row(vec![
                group.from.clone(),
                group.to.clone(),
                group.partition.map_or_else(|| "by key".into(), |partition| partition.to_string()),
                crate::cli::display::grouped(group.records),
                match (group.first_letter, group.last_letter) {
                    (first, last) if first == last => first.to_string(),
                    (first, last) => format!("{first} to {last}"),
                },
            ]);
        }
        text += &format!("\n{}", table.text());
    }
    if !replayed.left_out.is_empty() {
        text += &format!("\n{} left out\n", counted(replayed.left_out.len() as u64, "letter"));
        for left in replayed.left_out.iter().take(TOLD_MAX) {
            text += &format!("  letter {}: {}\n", left.letter, left.why);
        }
        if replayed.left_out.len() > TOLD_MAX {
            text +=
                &format!("  and {} more (--output json lists them)\n", replayed.left_out.len() - TOLD_MAX);
        }
    }
    if let Some(next) = replayed.next_letter.filter(|_| !replayed.dry_run) {
        text += &format!(
            "\nThe letters stay where they are, and nothing keeps them from being written again: next time begin with --letters {next}..\n"
        );
    }
    text
}
