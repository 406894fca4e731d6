//! The table that rows go to, as the catalog describes it, and the statements on it.
//!
//! Owns quoting and SQL text. Knows no record. Invariant: in statements, names appear only in quotes, and
//! values never appear.

use super::cell::Kind;
use crate::record::Map;
use postgres::{Client, error::SqlState, types::Type};

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its type, without length or precision: a value that is too long is refused, not cut.
    pub type_name: String,
    pub kind: Kind,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Quoted, with the schema if it was given.
    pub name: String,
    pub columns: Map<String, Column>,
}

/// A name, quoted so that SQL takes it literally.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.table` in quotes.
pub(super) fn quoted_table(name: &str) -> String {
    name.splitn(2, '.').map(quoted).collect::<Vec<_>>().join(".")
}

/// Makes a table of ours, if it is missing. Another process may make it at the same time: `IF NOT EXISTS` then fails once that one has
/// committed.
pub(super) fn make(client: &mut Client, name: &str, create: &str) -> Result<(), postgres::Error> {
    if client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])?.try_get(0)? {
        return Ok(());
    }
    let made_meanwhile = [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION];
    match client.batch_execute(create) {
        Err(e) if e.code().is_some_and(|code| made_meanwhile.contains(code)) => Ok(()),
        made => made,
    }
}

const COLUMNS: &str = "SELECT a.attname, format_type(a.atttypid, -1), t.typname, t.typcategory = 'A' \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

impl Table {
    /// Reads a table from the catalog; `None` = it does not exist.
    pub fn read(client: &mut Client, name: &str) -> Result<Option<Self>, postgres::Error> {
        let name = quoted_table(name);
        let statement = client.prepare_typed(COLUMNS, &[Type::TEXT])?;
        let mut columns = Map::default();
        for row in client.query(&statement, &[&name])? {
            let (column, type_name, base, is_array): (String, String, String, bool) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get::<_, String>(2)?, row.try_get(3)?);
            let kind = match base.as_str() {
                "json" | "jsonb" => Kind::Json,
                "bytea" => Kind::Bytes,
                _ if is_array => Kind::Array,
                _ => Kind::Other,
            };
            columns.insert(column, Column { type_name, kind });
        }
        Ok((!columns.is_empty()).then_some(Table { name, columns }))
    }

    /// The statement that reads rows in the text form of COPY.
    pub fn copy(&self, columns: &[&str]) -> String {
        format!("COPY {} ({}) FROM STDIN", self.name, list(columns))
    }

    /// The statement that takes an array of texts for each column.
    pub fn upsert(&self, columns: &[&str], keys: &[String]) -> String {
        let arrays = (1..=columns.len()).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ");
        let names = (1..=columns.len()).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
        let typed = |(n, column): (usize, &&str)| {
            let type_name = self.columns.get(*column).map_or("text", |c| &c.type_name);
            format!("c{n}::{type_name}")
        };
        let values = (1..).zip(columns).map(typed).collect::<Vec<_>>().join(", ");
        let set: Vec<String> = columns
            .iter()
            .filter(|column| !keys.iter().any(|key| key == *column))
            .map(|column| format!("{0} = EXCLUDED.{0}", quoted(column)))
            .collect();
        let action =
            if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        let keys = list(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        format!(
            "INSERT INTO {} ({}) SELECT {values} FROM unnest({arrays}) AS rows({names}) ON CONFLICT ({keys}) DO {action}",
            self.name,
            list(columns)
        )
    }

    /// The statement that takes an array of texts for each column of the key, and deletes the rows that have them.
    pub fn delete(&self, keys: &[String]) -> String {
        let arrays = (1..=keys.len()).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ");
        let names = (1..=keys.len()).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
        let same = |(n, key): (usize, &String)| {
            let type_name = self.columns.get(key).map_or("text", |c| &c.type_name);
            format!("target.{} = rows.c{n}::{type_name}", quoted(key))
        };
        let same = (1..).zip(keys).map(same).collect::<Vec<_>>().join(" AND ");
        format!("DELETE FROM {} AS target USING unnest({arrays}) AS rows({names}) WHERE {same}", self.name)
    }

    /// The statement that tests whether a text is a value of a column.
    pub fn trial(&self, column: &str) -> Option<String> {
        self.columns.get(column).map(|c| format!("SELECT $1::text::{} IS NULL", c.type_name))
    }

    /// The columns, for messages.
    pub fn shown(&self) -> String {
        let column = |(name, column): (&String, &Column)| format!("{name} {}", column.type_name);
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }
}

fn list(columns: &[&str]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_bound() {
        let column = |type_name: &str| Column { type_name: type_name.into(), kind: Kind::Other };
        let columns = [("id".to_owned(), column("bigint")), ("a\"b".to_owned(), column("text"))];
        let table = Table { name: quoted_table("s.t\"; drop"), columns: columns.into_iter().collect() };
        assert_eq!(table.copy(&["id", "a\"b"]), r#"COPY "s"."t""; drop" ("id", "a""b") FROM STDIN"#);
        assert_eq!(
            table.upsert(&["a\"b", "id"], &["id".into()]),
            r#"INSERT INTO "s"."t""; drop" ("a""b", "id") SELECT c1::text, c2::bigint FROM unnest($1::text[], $2::text[]) AS rows(c1, c2) ON CONFLICT ("id") DO UPDATE SET "a""b" = EXCLUDED."a""b""#
        );
        assert!(table.upsert(&["id"], &["id".into()]).ends_with(r#"ON CONFLICT ("id") DO NOTHING"#));
        assert_eq!(
            table.delete(&["id".into(), "a\"b".into()]),
            r#"DELETE FROM "s"."t""; drop" AS target USING unnest($1::text[], $2::text[]) AS rows(c1, c2) WHERE target."id" = rows.c1::bigint AND target."a""b" = rows.c2::text"#
        );
    }
}
