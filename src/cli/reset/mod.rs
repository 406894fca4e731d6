//! `tidegate reset`: a stopped application reads on from other offsets.
//!
//! Owns what a reset does and what is said of it. Knows no database. Invariants: it is refused while a process of the application is in
//! the group; everything it changes is one transaction, so it happens whole or not at all; unless told otherwise the state goes with
//! the offsets, so that what is read again is not counted twice.

mod commit;
mod emptying;
mod target;

use self::{commit::Change, target::Target};
use super::{
    application::{Application, Place},
    connection::Connection,
    display::{Table, counted, grouped, or_dash, show},
};
use crate::{
    error::{Error, Result, listed},
    log::Committed,
    record::{Offset, TopicPartition},
};
use serde::Serialize;
use std::{io::Write, time::Duration};

/// The flags of `tidegate reset`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
    /// Where to read next: `earliest`, `latest`, a time such as 2026-11-29T16:00:00Z, or offsets such as lines-0=120,lines-1=80
    /// (other partitions stay where they are)
    #[arg(long, value_name = "PLACE")]
    to: Target,
    /// Keep the state: what is read again then counts twice, and what is passed over is missing in it
    #[arg(long)]
    keep_state: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// The log gives the reset up after so long: large state takes a while to empty
    #[arg(long, default_value_t = 600_000)]
    transaction_timeout_ms: u64,
}

/// What a reset does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reset {
    application_id: String,
    dry_run: bool,
    inputs: Vec<Moved>,
    state: State,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    to: u64,
    /// Records that are read again (below 0: passed over).
    again: i64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
enum State {
    /// The application has none.
    None,
    Kept,
    #[serde(rename_all = "camelCase")]
    Emptied {
        partitions: u32,
        /// Keys that were deleted; `None` = not counted, because nothing was changed.
        keys: Option<u64>,
        /// Rows on their way between processes that are dropped.
        rows_dropped: u64,
    },
}

/// Resets.
///
/// # Errors
/// If a process is in the group, an offset does not exist, or the log refuses; nothing is changed then.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    let app = options.connection.application()?;
    refuse_members(&app)?;
    if let Some(notice) = &app.notice {
        return Err(Error::Refused(format!("{notice}\n  next: try again in a while")));
    }
    let inputs = app.input_places()?;
    let to = options.to.offsets(app.log.as_ref(), &inputs)?;
    let states = app.state_places()?;
    let mut reset = Reset {
        application_id: app.id.clone(),
        dry_run: options.dry_run,
        inputs: to.iter().map(|(at, to)| moved(&inputs, at, *to)).collect(),
        state: state(&states, options.keep_state),
    };
    if !options.dry_run {
        let mut offsets: Vec<_> = to.iter().map(|(at, to)| (at.clone(), by_hand(*to))).collect();
        let mut emptied = vec![];
        if matches!(reset.state, State::Emptied { .. }) {
            offsets.extend(states.iter().map(|place| (place.at.clone(), by_hand(place.end))));
            emptied.extend(states.iter().map(|place| app.names.changelog_of(place.at.partition)));
        }
        let rows = app.meta.reset_rows(&to, options.keep_state);
        let timeout = Duration::from_millis(options.transaction_timeout_ms);
        let deleted = commit::commit(&app, &inputs, &states, &Change { offsets, rows, emptied, timeout })?;
        if let State::Emptied { keys, .. } = &mut reset.state {
            *keys = Some(deleted);
        }
    }
    show(out, options.connection.output, &reset, || text(&app, &reset))
}

/// An offset without a record: a start takes it as it is.
fn by_hand(offset: Offset) -> Committed {
    Committed { offset, leader_epoch: None, metadata: String::new() }
}

fn refuse_members(app: &Application) -> Result {
    if app.members.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = app.members.iter().map(|member| member.instance.as_str()).collect();
    Err(Error::Refused(format!(
        "{} in the group `{}`: {}\n  next: stop the application first; a process that was killed, or stopped without --leave, stays in the group until its session timeout (10 s by default)",
        counted(names.len() as u64, "process") + if names.len() == 1 { " is" } else { " are" },
        app.id,
        listed(&names)
    )))
}

fn moved(inputs: &[Place], at: &TopicPartition, to: Offset) -> Moved {
    let place = inputs.iter().find(|place| place.at == *at);
    let committed = place.and_then(|place| place.committed.as_ref()).map(|committed| committed.offset.0);
    let from = committed.or(place.map(|place| place.start.0)).unwrap_or_default();
    let signed = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let again = signed(from).saturating_sub(signed(to.0));
    Moved { topic: at.topic.to_string(), partition: at.partition.0, committed, to: to.0, again }
}

fn state(states: &[Place], keep: bool) -> State {
    if states.is_empty() {
        return State::None;
    }
    if keep {
        return State::Kept;
    }
    let waiting = states.iter().filter(|place| place.committed.is_some()).map(Place::lag).sum();
    State::Emptied {
        partitions: u32::try_from(states.len()).unwrap_or(u32::MAX),
        keys: None,
        rows_dropped: waiting,
    }
}

fn text(app: &Application, reset: &Reset) -> String {
    let what = if reset.dry_run { "what a reset would do (nothing is changed)" } else { "reset" };
    let mut text = format!("{} on {}: {what}\n\n", app.id, app.log.name());
    let mut table =
        Table::new(&["topic", ">partition", ">committed", ">reads next", ">read again", ">passed over"]);
    for moved in &reset.inputs {
        let (again, passed) = if moved.again >= 0 { (moved.again, 0) } else { (0, moved.again) };
        table.row(vec![
            moved.topic.clone(),
            moved.partition.to_string(),
            or_dash(moved.committed.map(grouped)),
            grouped(moved.to),
            grouped(again.unsigned_abs()),
            grouped(passed.unsigned_abs()),
        ]);
    }
    text += &table.text();
    text += "\n";
    text += &match reset.state {
        State::None => "state: this application has none\n".to_owned(),
        State::Kept => "state: kept as it is. What is read again counts twice in it, and what is passed over is missing\n".to_owned(),
        State::Emptied { partitions, keys, rows_dropped } => {
            let keys = keys.map_or_else(|| "all keys".to_owned(), |keys| counted(keys, "key"));
            let verb = if reset.dry_run { "would be deleted" } else { "deleted" };
            let mut line = format!(
                "state: {keys} {verb} in {}; each process deletes them from its state directory when it starts\n",
                counted(u64::from(partitions), "state partition")
            );
            if rows_dropped > 0 {
                line += &format!("rows on their way between processes: {} dropped\n", grouped(rows_dropped));
            }
            line
        }
    };
    text += "outputs: topics, files and tables keep what was written; what is read again is written again\n";
    if !reset.dry_run {
        text += "\nnext: start the application as usual\n";
    }
    text
}
