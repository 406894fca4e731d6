//! The rows of a table as they are now.
//!
//! Owns the one statement. Knows no column's type. Invariants: all rows are of one moment; a row is an object of JSON with a field for each
//! column, times with a zone in UTC.

use super::{
    connect::Address,
    table::{quoted, quoted_table},
};
use postgres::{Client, fallible_iterator::FallibleIterator};

/// Reads these columns of all rows of `table`, or `schema.table`, of the database at `url`. What `each` finds wrong with a row ends it.
///
/// # Errors
/// What `each` says, or why the database does not give the rows; no message has a secret.
pub(crate) fn read_rows(
    url: &str,
    table: &str,
    columns: &[&str],
    mut each: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let address = Address::parse(url)?;
    address.check()?;
    let failed = |e: postgres::Error| match e.as_db_error() {
        Some(error) => format!("Postgres at {}: {}", address.shown(), error.message()),
        None => format!("Postgres at {}: {e}", address.shown()),
    };
    let mut client: Client = address.connect().map_err(failed)?;
    client.batch_execute("SET TIME ZONE 'UTC'").map_err(failed)?;
    let list = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let query = format!("SELECT row_to_json(r)::text FROM (SELECT {list} FROM {}) AS r", quoted_table(table));
    let none: [&str; 0] = [];
    let mut rows = client.query_raw(&query, none).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let row: &str = row.try_get(0).map_err(failed)?;
        each(row.as_bytes())?;
    }
    Ok(())
}
