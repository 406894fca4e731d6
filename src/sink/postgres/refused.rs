//! Rows that the table refuses, where the sink goes on without them.
//!
//! Owns the table of dead letters. Knows no policy. Invariant: a dead letter and the position after its row become durable in one
//! transaction.

use super::table;
use postgres::{Client, Transaction};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS tidegate_dead_letters (application text NOT NULL, topic text NOT NULL, \
    record_offset bigint NOT NULL, destination text NOT NULL, content text NOT NULL, reason text NOT NULL, \
    refused_at timestamptz NOT NULL DEFAULT now())";
const INSERT: &str = "INSERT INTO tidegate_dead_letters (application, topic, record_offset, destination, content, reason) \
    VALUES ($1, $2, $3, $4, $5, $6)";

/// A row that was refused.
pub(super) struct DeadLetter<'a> {
    pub application: &'a str,
    /// The internal topic.
    pub topic: &'a str,
    pub offset: i64,
    /// The table that refused it.
    pub destination: &'a str,
    /// The row as JSON.
    pub content: &'a str,
    pub reason: &'a str,
}

/// Makes the table of dead letters, if it is missing.
pub(super) fn create(client: &mut Client) -> Result<(), postgres::Error> {
    table::make(client, "tidegate_dead_letters", CREATE)
}

impl DeadLetter<'_> {
    /// Puts it into the table.
    pub fn insert(&self, tx: &mut Transaction<'_>) -> Result<(), postgres::Error> {
        let DeadLetter { application, topic, offset, destination, content, reason } = self;
        tx.execute(INSERT, &[application, topic, offset, destination, content, reason]).map(drop)
    }
}
