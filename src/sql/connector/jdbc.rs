//! Tables that stand for tables of Postgres.
//!
//! Owns the options of `jdbc`, which are Flink's. Knows no connection. Invariant: no message shows a password.

use super::{JdbcTable, Options};
use crate::{
    source::BadRecordPolicy,
    sql::{ColumnKind, SqlError, SqlResult, TableDefinition},
};
use std::fmt::Write;

/// What such a URL begins with.
const PREFIX: &str = "jdbc:postgresql://";

/// The options of `jdbc`.
pub(super) fn table(table: &TableDefinition, options: &mut Options<'_>) -> SqlResult<JdbcTable> {
    let url = options.need("url", "jdbc:postgresql://localhost/shop")?;
    let Some(place) = url.value.strip_prefix(PREFIX) else {
        return Err(SqlError::at(url.value_span, "this is no URL of a Postgres database")
            .because("Postgres is the only database that rows are written to")
            .next("write 'url' = 'jdbc:postgresql://host:5432/database'"));
    };
    if place.split(['/', '?']).next().is_some_and(|host| host.contains('@')) {
        return Err(SqlError::at(url.value_span, "a user in the URL")
            .next("write 'username' = '..' and 'password' = '..' besides 'url'"));
    }
    let name = options.need("table-name", "orders")?.value.clone();
    let user = options.take("username").map(|option| option.value.as_str());
    let password = options.secret("password")?.map(|(password, _)| password);
    options.choice("driver", &[("org.postgresql.Driver", ())])?;
    let policies = [
        ("fail", BadRecordPolicy::Fail),
        ("skip", BadRecordPolicy::Skip),
        ("dead-letter", BadRecordPolicy::DeadLetter),
    ];
    let refused = options.choice("sink.on-refused-row", &policies)?.unwrap_or_default();
    for name in
        ["sink.buffer-flush.max-rows", "sink.buffer-flush.interval", "sink.max-retries", "sink.parallelism"]
    {
        let why = "rows are written as batches are committed, and tried until the database takes them";
        options.refuse(name, why, "leave it out")?;
    }
    for name in [
        "lookup.cache",
        "lookup.cache.max-rows",
        "lookup.cache.ttl",
        "lookup.max-retries",
        "lookup.partial-cache.max-rows",
        "lookup.partial-cache.expire-after-write",
    ] {
        options.refuse(
            name,
            "a table that is read is read once, at the start; no row is asked for later",
            "leave it out",
        )?;
    }
    for name in ["scan.fetch-size", "scan.auto-commit", "scan.partition.column", "scan.partition.num"] {
        options.refuse(name, "a table that is read is read by one statement", "leave it out")?;
    }
    let is_metadata = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata { .. });
    if let Some(column) = table.columns.iter().find(|column| is_metadata(&column.kind)) {
        return Err(SqlError::at(column.span, "rows of a database have no metadata")
            .next("declare the column without METADATA, or leave it out"));
    }
    if cfg!(not(feature = "postgres")) {
        return Err(SqlError::at(
            table.span,
            format!("table `{}`: this build writes to no database", table.name),
        )
        .next("build with the cargo feature `postgres`"));
    }
    let url = with_user(place, user, password.as_deref());
    Ok(JdbcTable { url, table: name, refused })
}

/// The URL of the client: user and password in front of the place.
fn with_user(place: &str, user: Option<&str>, password: Option<&str>) -> String {
    let mut url = "postgres://".to_owned();
    if let Some(user) = user {
        push_encoded(user, &mut url);
        if let Some(password) = password {
            url.push(':');
            push_encoded(password, &mut url);
        }
        url.push('@');
    }
    url + place
}

/// Appends a text as a part of a URL.
fn push_encoded(text: &str, url: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}"); // a string takes everything
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_stand_in_front_of_the_place() {
        let place = "h:5432/db?sslmode=require";
        assert_eq!(with_user(place, None, Some("unused")), "postgres://h:5432/db?sslmode=require");
        assert_eq!(
            with_user(place, Some("me"), Some("p@ss/ü")),
            "postgres://me:p%40ss%2F%C3%BC@h:5432/db?sslmode=require"
        );
    }
}
