//! What a script declares: tables with their columns and options.
//!
//! Owns the declarations. Knows no connector. Invariant: names are as the user wrote them.

use super::Span;
use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::ast::Expr;
use std::collections::BTreeMap;

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Whether NULL is refused.
    pub is_required: bool,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// A field of the record.
    Physical(DataType),
    /// `METADATA [FROM 'key'] [VIRTUAL]`: what the log says of the record.
    Metadata {
        /// Which.
        key: MetadataKey,
        /// The type that was declared.
        data_type: DataType,
        /// Whether it is only read, never written.
        is_virtual: bool,
    },
    /// `AS expression`: computed from the columns before it when the table is read.
    Computed(Box<Expr>),
}

/// What the log says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataKey {
    /// The topic's name.
    Topic,
    /// The partition's number.
    Partition,
    /// The offset in the partition.
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// The record's headers.
    Headers,
}

/// `WATERMARK FOR column AS column - INTERVAL ..`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDefinition {
    /// The column of event time.
    pub column: String,
    /// How late rows may be, milliseconds.
    pub delay_ms: i64,
    /// Where it is declared.
    pub span: Span,
}

/// An option of a table: its value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlOption {
    /// As it was written, without quotes.
    pub value: String,
    /// Where its key stands.
    pub key_span: Span,
    /// Where its value stands.
    pub value_span: Span,
}

/// `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Its event time.
    pub watermark: Option<WatermarkDefinition>,
    /// The columns of `PRIMARY KEY (..) NOT ENFORCED`; none = there is none.
    pub primary_key: Vec<String>,
    /// The columns of `PARTITIONED BY (..)`, whose values are in the names of folders.
    pub partitioned_by: Vec<String>,
    /// `WITH (..)`, by key.
    pub options: BTreeMap<String, SqlOption>,
}
