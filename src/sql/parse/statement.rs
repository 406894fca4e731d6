//! The statements of a script.
//!
//! Owns their form. Knows neither text nor plan. Invariant: each statement knows where it stands; names are as they were written.

use crate::sql::{Span, SqlOption, TableDefinition};
use datafusion_sql::sqlparser::ast::Query;

/// A name, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// As it was written.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `CREATE TABLE`.
    CreateTable(CreateTable),
    /// `CREATE VIEW`.
    CreateView(CreateView),
    /// `DROP TABLE` or `DROP VIEW`.
    Drop(Drop),
    /// `INSERT INTO .. SELECT`.
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN .. END`.
    StatementSet(StatementSet),
    /// `SET 'key' = 'value'`.
    Set {
        /// The setting.
        key: String,
        /// Its value and where both stand.
        option: SqlOption,
    },
    /// `RESET`, of one setting or all.
    Reset {
        /// The setting; `None` = all of them.
        key: Option<Name>,
        /// Where it stands.
        span: Span,
    },
    /// `SHOW TABLES` and its like.
    Show {
        /// What is asked for.
        what: Show,
        /// Where it stands.
        span: Span,
    },
    /// `DESCRIBE table`.
    Describe(Name),
    /// `EXPLAIN`.
    Explain {
        /// Which plans are asked for.
        kind: ExplainKind,
        /// A SELECT, an INSERT or a set of INSERTs.
        statement: Box<Statement>,
        /// Where it stands.
        span: Span,
    },
    /// A query whose rows go nowhere.
    Select(Select),
}

impl Statement {
    /// Where it stands: its first word, or the name that it makes or writes.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Statement::CreateTable(create) => create.definition.span,
            Statement::CreateView(create) => create.span,
            Statement::Drop(drop) => drop.name.span,
            Statement::Insert(insert) => insert.span,
            Statement::StatementSet(set) => set.span,
            Statement::Set { option, .. } => option.key_span,
            Statement::Describe(name) => name.span,
            Statement::Select(select) => select.span,
            Statement::Reset { span, .. }
            | Statement::Show { span, .. }
            | Statement::Explain { span, .. } => *span,
        }
    }
}

/// What becomes of a table or view of the same name that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// The statement is refused.
    #[default]
    Refuse,
    /// `IF NOT EXISTS`: it stays.
    Keep,
    /// `CREATE OR REPLACE`: it is replaced.
    Replace,
}

/// `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// What is declared.
    pub definition: TableDefinition,
    /// What becomes of a table of that name.
    pub on_existing: OnExisting,
    /// `CREATE TEMPORARY TABLE`.
    pub is_temporary: bool,
}

/// `CREATE VIEW`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// What its columns are called; none = as in the query.
    pub columns: Vec<Name>,
    /// Its rows.
    pub query: Box<Query>,
    /// What becomes of a view of that name.
    pub on_existing: OnExisting,
    /// `CREATE TEMPORARY VIEW`.
    pub is_temporary: bool,
}

/// `DROP TABLE` or `DROP VIEW`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// Which.
    pub name: Name,
    /// Whether it must be a view.
    pub is_view: bool,
    /// `IF EXISTS`: it need not be there.
    pub if_exists: bool,
}

/// `INSERT INTO table [(columns)] query [EMIT ..]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The table that is written.
    pub table: String,
    /// Where its name stands.
    pub span: Span,
    /// The columns that are written; none = all, in order.
    pub columns: Vec<Name>,
    /// The rows.
    pub query: Box<Query>,
    /// How changes are written; `None` = as the table or the query asks for.
    pub mode: Option<Emit>,
}

/// A set of INSERTs.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementSet {
    /// The statements.
    pub inserts: Vec<Insert>,
    /// Where its first word stands.
    pub span: Span,
}

/// A SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The query.
    pub query: Box<Query>,
    /// How changes are shown.
    pub mode: Option<Emit>,
    /// Where its first word stands.
    pub span: Span,
}

/// `EMIT ..` and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emit {
    /// What is asked for.
    pub mode: EmitMode,
    /// Where it stands.
    pub span: Span,
}

/// How the changes of a query leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitMode {
    /// `EMIT CHANGES`: each new row of a key, at each batch.
    Changes,
    /// `EMIT ON WINDOW CLOSE`: rows that do not change any more.
    OnWindowClose,
    /// `EMIT COMPLETE`: all rows, at each batch.
    Complete,
}

/// What `SHOW` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// `SHOW TABLES`: tables and views.
    Tables,
    /// `SHOW VIEWS`.
    Views,
    /// `SHOW FUNCTIONS`.
    Functions,
}

/// Which plans `EXPLAIN` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainKind {
    /// `EXPLAIN` or `EXPLAIN PLAN FOR`: all of them.
    #[default]
    All,
    /// `EXPLAIN LOGICAL`: the optimised plan of the query.
    Logical,
    /// `EXPLAIN STREAM`: the streaming operators.
    Stream,
    /// `EXPLAIN TOPOLOGY`: the nodes that run.
    Topology,
}
