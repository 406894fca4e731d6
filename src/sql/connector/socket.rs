//! Tables that stand for what a TCP server sends, line by line.
//!
//! Owns the options of `socket`. Knows no connection.

use super::{Options, SocketTable, formats};
use crate::sql::{ColumnKind, MetadataKey, SqlError, SqlResult, TableDefinition};

const FORMATS: [&str; 4] = ["raw", "text", "json", "csv"];

/// The options of `socket`.
pub(super) fn table(table: &TableDefinition, options: &mut Options<'_>) -> SqlResult<SocketTable> {
    let host = options.need("hostname", "localhost")?.value.clone();
    let port = options.number("port", "9999")?.ok_or_else(|| options.missing("port", "9999"))?;
    let format = formats::value_format(table, options, &FORMATS)?;
    let policy = formats::policy(options)?;
    options.choice("byte-delimiter", &[("10", ())])?;
    let is_metadata = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata { key, .. } if *key != MetadataKey::Timestamp);
    if let Some(column) = table.columns.iter().find(|column| is_metadata(&column.kind)) {
        return Err(SqlError::at(
            column.span,
            "lines of a socket have no metadata but the time of their receipt",
        )
        .next("write METADATA FROM 'timestamp', or leave the column out"));
    }
    Ok(SocketTable { host, port, format, policy })
}
