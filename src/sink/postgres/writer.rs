//! Writes records of the internal topic into the table.
//!
//! Owns the transaction of rows and position, and what an error of Postgres means. Knows no thread.
//! Invariants: the position is moved first, by compare and set, so two writers wait for each other and only
//! one of them continues; a row is written as text, which Postgres converts and checks; a row that is passed over is
//! told, and as a dead letter it is durable with the position after it.

use super::{
    Settings, cell,
    connect::Address,
    parts,
    refused::{self, DeadLetter},
    table::{self, Table, quoted},
};
use crate::{
    error::Error,
    log::Log,
    record::{Map, Offset, RawChunk},
    sink::outbox::{OutboxFailure, OutboxSource, OutboxWriter, RefusedRow},
    source::BadRecordPolicy,
};
use postgres::{Client, Transaction, types::ToSql};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::Arc,
};

const CREATE_POSITIONS: &str = "CREATE TABLE IF NOT EXISTS tidegate_positions (application text, topic text, \
    partition int, position bigint NOT NULL, topic_id text NOT NULL, PRIMARY KEY (application, topic, partition))";
const ADD_POSITION: &str = "INSERT INTO tidegate_positions (application, topic, partition, position, topic_id) \
    VALUES ($1, $2, 0, 0, $3) ON CONFLICT DO NOTHING";
const POSITION: &str = "SELECT position, topic_id FROM tidegate_positions WHERE application = $1 AND topic = $2 AND partition = 0";
const MOVE_POSITION: &str = "UPDATE tidegate_positions SET position = $4 \
    WHERE application = $1 AND topic = $2 AND partition = 0 AND position = $3";

/// A connection to the table of one sink.
pub struct PostgresWriter {
    address: Arc<Address>,
    settings: Arc<Settings>,
    open: Option<Open>,
    passed_over: Vec<RefusedRow>,
}

struct Open {
    client: Client,
    table: Table,
    source: OutboxSource,
}

/// Rows of one transaction, by column.
struct Rows {
    columns: Vec<String>,
    /// By column, then by row.
    cells: Vec<Vec<Option<String>>>,
    count: usize,
    /// The keys of rows that are deleted, by column.
    deleted: Vec<Vec<Option<String>>>,
}

impl PostgresWriter {
    pub(super) fn new(address: Arc<Address>, settings: Arc<Settings>) -> Self {
        PostgresWriter { address, settings, open: None, passed_over: vec![] }
    }

    fn broken(&self, what: impl std::fmt::Display) -> OutboxFailure {
        let place = self.address.shown();
        let table = &self.settings.table;
        OutboxFailure::Broken(Error::Undelivered(format!("table `{table}` of Postgres at {place}: {what}")))
    }

    /// What an error means, other than one about the rows.
    fn failure(&self, e: &postgres::Error) -> OutboxFailure {
        let reason = reason(e);
        let class = e.code().map_or("", |code| &code.code()[..2]);
        match class {
            // Data, constraints, and what triggers and views report.
            "21" | "22" | "23" | "27" | "44" | "P0" => OutboxFailure::Record(reason),
            // Connection, rollback, resources, locks, shutdown, a standby.
            "08" | "25" | "40" | "53" | "55" | "57" | "58" | "XX" => OutboxFailure::Unavailable(reason),
            "" if reason.contains("certificate verify failed") => {
                self.broken(format!("{reason}\n  help: check `sslrootcert`"))
            }
            "" => OutboxFailure::Unavailable(reason),
            _ => self.broken(reason),
        }
    }

    fn try_open(&self, source: &OutboxSource) -> Result<(Open, Offset), OutboxFailure> {
        let failure = |e: postgres::Error| match self.failure(&e) {
            OutboxFailure::Record(reason) => OutboxFailure::Unavailable(reason), // no row was sent
            other => other,
        };
        self.address.check().map_err(|e| self.broken(e))?;
        let mut client = self.address.connect().map_err(failure)?;
        let Some(table) = Table::read(&mut client, &self.settings.table).map_err(failure)? else {
            let columns = if self.settings.columns.is_empty() {
                "a column for each field of the rows".into()
            } else {
                format!("the columns {}", self.settings.columns.join(", "))
            };
            return Err(
                self.broken(format!("does not exist, or is not visible\n  help: create it with {columns}"))
            );
        };
        table::make(&mut client, "tidegate_positions", CREATE_POSITIONS).map_err(failure)?;
        if self.settings.refused == BadRecordPolicy::DeadLetter {
            refused::create(&mut client).map_err(failure)?;
        }
        client
            .execute(ADD_POSITION, &[&source.application, &source.topic, &source.topic_id])
            .map_err(failure)?;
        let row = client.query_one(POSITION, &[&source.application, &source.topic]).map_err(failure)?;
        let (position, topic_id): (i64, String) = (row.get(0), row.get(1));
        if !topic_id.is_empty() && !source.topic_id.is_empty() && topic_id != source.topic_id {
            return Err(self.broken(format!(
                "was filled from another topic `{}` (id {topic_id}, now {}): the topic was deleted and recreated\n  help: delete its row from tidegate_positions to begin at the start of the new topic",
                source.topic, source.topic_id
            )));
        }
        let position = u64::try_from(position).map_err(|_| self.broken("its position is below 0"))?;
        Ok((Open { client, table, source: source.clone() }, Offset(position)))
    }

    fn rows(&self, table: &Table, records: &RawChunk) -> Result<Rows, OutboxFailure> {
        // A record whose value is null deletes the row of its key.
        let (mut objects, mut is_deleted): (Vec<BTreeMap<String, &str>>, Vec<bool>) = (vec![], vec![]);
        for record in records.iter() {
            is_deleted.push(record.value.is_none());
            let text = record.value.or(record.key).unwrap_or_default();
            let text = std::str::from_utf8(text).unwrap_or_default();
            let members = parts::members(text).map_err(|e| {
                self.broken(format!("the record at offset {} is not ours: {e}", record.offset))
            })?;
            objects.push(members.into_iter().collect());
        }
        let columns: BTreeSet<&String> = objects.iter().flat_map(BTreeMap::keys).collect();
        for column in columns.iter().copied().chain(&self.settings.keys) {
            if !table.columns.contains_key(column) {
                let columns = table.shown();
                return Err(self.broken(format!("there is no column `{column}`; there are: {columns}")));
            }
        }
        let columns: Vec<String> = columns.into_iter().cloned().collect();
        let cell = |object: &BTreeMap<String, &str>, column: &String| {
            object.get(column).and_then(|value| cell::text(value, table.columns[column].kind))
        };
        let mut deleted = vec![];
        if !self.settings.keys.is_empty() {
            // One statement may not change a row twice: the last one of each key remains.
            let mut last: Map<Vec<Option<String>>, usize> = Map::default();
            for (index, object) in objects.iter().enumerate() {
                last.insert(self.settings.keys.iter().map(|key| cell(object, key)).collect(), index);
            }
            let mut kept: Vec<usize> = last.into_values().collect();
            kept.sort_unstable();
            let (gone, there): (Vec<usize>, Vec<usize>) =
                kept.into_iter().partition(|index| is_deleted[*index]);
            let keys = self.settings.keys.iter();
            deleted =
                keys.map(|key| gone.iter().map(|index| cell(&objects[*index], key)).collect()).collect();
            objects = there.into_iter().map(|index| std::mem::take(&mut objects[index])).collect();
        }
        let cells = columns.iter().map(|column| objects.iter().map(|o| cell(o, column)).collect()).collect();
        Ok(Rows { columns, cells, count: objects.len(), deleted })
    }

    fn insert(&self, tx: &mut Transaction<'_>, table: &Table, rows: &Rows) -> Result<(), postgres::Error> {
        let columns: Vec<&str> = rows.columns.iter().map(String::as_str).collect();
        if self.settings.keys.is_empty() {
            let mut writer = tx.copy_in(&table.copy(&columns))?;
            let mut text = vec![];
            for row in 0..rows.count {
                for (index, column) in rows.cells.iter().enumerate() {
                    if index > 0 {
                        text.push(b'\t');
                    }
                    cell::push_copied(column[row].as_deref(), &mut text);
                }
                text.push(b'\n');
            }
            // What the server refuses meanwhile is reported by `finish`.
            let _ = writer.write_all(&text);
            writer.finish().map(drop)
        } else {
            let values: Vec<&(dyn ToSql + Sync)> =
                rows.cells.iter().map(|c| c as &(dyn ToSql + Sync)).collect();
            tx.execute(&table.upsert(&columns, &self.settings.keys), &values).map(drop)
        }
    }

    /// Why a single row was refused: with its position, its key, and the column.
    fn blame(&self, open: &mut Open, records: &RawChunk, why: &str) -> Result<String, OutboxFailure> {
        let offset = records.iter().next().map(|r| r.offset).unwrap_or_default();
        let rows = self.rows(&open.table, records)?;
        let (mut column, mut key) = (String::new(), String::new());
        for (name, cells) in rows.columns.iter().zip(&rows.cells) {
            let value = cells.first().cloned().flatten();
            let trial = open.table.trial(name).unwrap_or_default();
            let refused = open.client.query_one(&trial, &[&value]).is_err();
            if refused && !open.client.is_closed() && column.is_empty() {
                column = format!(", column {}", quoted(name));
            }
            if self.settings.keys.contains(name) {
                let value = value.unwrap_or_else(|| "null".into());
                key = format!("{key}, {name} = {value}");
            }
        }
        let topic = &open.source.topic;
        Ok(format!("the row at offset {offset} of {topic}{key}{column} is refused: {why}"))
    }

    /// Handles the only row of `records`, which the table refused: stops, or goes on behind it.
    fn refused(
        &mut self,
        open: &mut Open,
        records: &RawChunk,
        between: (Offset, Offset),
        why: &str,
    ) -> Result<(), OutboxFailure> {
        let reason = self.blame(open, records, why)?;
        let kept = match self.settings.refused {
            BadRecordPolicy::Fail => return Err(self.broken(reason)),
            BadRecordPolicy::Skip => false,
            BadRecordPolicy::DeadLetter => true,
        };
        let record = records.get(0);
        let offset = i64::try_from(record.offset.0).map_err(|_| self.broken("its position is too large"))?;
        let content = String::from_utf8_lossy(record.value.unwrap_or_default());
        let (application, topic) = (open.source.application.clone(), open.source.topic.clone());
        let table = self.settings.table.clone();
        self.in_transaction(open, between, |tx| {
            let (application, topic, destination) = (&*application, &*topic, &*table);
            let letter =
                DeadLetter { application, topic, offset, destination, content: &content, reason: &reason };
            if kept { letter.insert(tx) } else { Ok(()) }
        })?;
        self.passed_over.push(RefusedRow { offset: record.offset, reason, kept });
        Ok(())
    }
}

impl OutboxWriter for PostgresWriter {
    fn open(&mut self, source: &OutboxSource, _: &dyn Log) -> Result<Offset, OutboxFailure> {
        let (open, position) = self.try_open(source)?;
        self.open = Some(open);
        Ok(position)
    }

    fn write(&mut self, records: &RawChunk, from: Offset, to: Offset) -> Result<(), OutboxFailure> {
        let mut open = self.open.take().expect("opened before");
        let written = self.try_write(&mut open, records, from, to);
        let result = match written {
            Err(OutboxFailure::Record(why)) if records.len() == 1 => {
                self.refused(&mut open, records, (from, to), &why)
            }
            other => other,
        };
        self.open = Some(open);
        result
    }

    fn take_refused(&mut self) -> Vec<RefusedRow> {
        std::mem::take(&mut self.passed_over)
    }

    fn reposition(&self, start: Offset) -> String {
        format!("decide what to do with the table, then set the position in tidegate_positions to {start}")
    }
}

impl PostgresWriter {
    fn try_write(
        &self,
        open: &mut Open,
        records: &RawChunk,
        from: Offset,
        to: Offset,
    ) -> Result<(), OutboxFailure> {
        let rows = self.rows(&open.table, records)?;
        let table = open.table.clone();
        self.in_transaction(open, (from, to), |tx| {
            if rows.deleted.iter().any(|column| !column.is_empty()) {
                let keys: Vec<&(dyn ToSql + Sync)> =
                    rows.deleted.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
                tx.execute(&table.delete(&self.settings.keys), &keys)?;
            }
            if rows.count > 0 { self.insert(tx, &table, &rows) } else { Ok(()) }
        })
    }

    /// Moves the position and does `work`, in one transaction.
    fn in_transaction(
        &self,
        open: &mut Open,
        (from, to): (Offset, Offset),
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), postgres::Error>,
    ) -> Result<(), OutboxFailure> {
        let failure = |e: postgres::Error| self.failure(&e);
        let position =
            |offset: Offset| i64::try_from(offset.0).map_err(|_| self.broken("its position is too large"));
        let (from, to) = (position(from)?, position(to)?);
        let mut tx = open.client.transaction().map_err(failure)?;
        let moved = tx.execute(MOVE_POSITION, &[&open.source.application, &open.source.topic, &from, &to]);
        if moved.map_err(failure)? != 1 {
            return Err(OutboxFailure::Superseded); // dropping the transaction rolls it back
        }
        work(&mut tx).map_err(failure)?;
        let _ = crate::failpoint::passes("before-drained");
        tx.commit().map_err(failure)?;
        let _ = crate::failpoint::passes("after-drained");
        Ok(())
    }
}

/// What Postgres reports, with the detail and the name of what refused.
fn reason(e: &postgres::Error) -> String {
    let Some(db) = e.as_db_error() else {
        let cause = std::error::Error::source(e).map(|s| format!(": {s}")).unwrap_or_default();
        return format!("{e}{cause}");
    };
    let mut text = format!("{} ({})", db.message(), db.code().code());
    for (what, part) in [("column", db.column()), ("constraint", db.constraint())] {
        if let Some(part) = part {
            text = format!("{text}, {what} {}", quoted(part));
        }
    }
    for part in [db.detail(), db.where_()].into_iter().flatten() {
        text = format!("{text}; {part}");
    }
    text
}
