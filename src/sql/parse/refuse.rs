//! Parts of queries that the parser reads and the planner would pass over, or name by words of its own.
//!
//! Owns what is refused by its form alone. Knows no table and no plan. Invariant: nothing that is written in a query is silently left
//! out of its meaning.

use crate::sql::{Span, SqlError, walk::walk};
use datafusion_sql::sqlparser::ast::{Query, SetExpr, Spanned, TableFactor, TableVersion, Visitor};
use std::ops::ControlFlow;

/// What of a query can't be taken.
pub(super) fn refuse(query: &Query) -> Vec<SqlError> {
    let mut found = Found::default();
    let _ = walk(query, &mut found);
    found.mistakes
}

#[derive(Default)]
struct Found {
    mistakes: Vec<SqlError>,
}

impl Found {
    fn add(&mut self, node: &impl Spanned, what: &str, next: &str) {
        self.mistakes.push(SqlError::at(Span::of_node(node), format!("{what} is not supported")).next(next));
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            self.add(with, "WITH RECURSIVE", "write the steps as views, as many as there can be");
        }
        if !query.locks.is_empty() || query.for_clause.is_some() {
            self.add(query, "FOR at the end of a query", "take it away");
        }
        if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) =
            query.body.as_ref()
        {
            self.add(
                query,
                "a statement that writes, behind WITH",
                "write INSERT INTO table WITH .. SELECT ..",
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        match relation {
            TableFactor::Table {
                name,
                version,
                sample,
                with_hints,
                partitions,
                with_ordinality,
                index_hints,
                json_path,
                ..
            } => {
                if !matches!(version, None | Some(TableVersion::ForSystemTimeAsOf(_))) {
                    self.add(name, "a version of a table", "take it away");
                }
                if sample.is_some() {
                    self.add(name, "TABLESAMPLE", "take it away, or filter by the hash of a column");
                }
                if !with_hints.is_empty() || !index_hints.is_empty() {
                    self.add(name, "a hint of a table", "write it as an option of the table");
                }
                if !partitions.is_empty() {
                    self.add(name, "PARTITION", "filter by a column");
                }
                if *with_ordinality {
                    self.add(name, "WITH ORDINALITY", "take it away");
                }
                if json_path.is_some() {
                    self.add(name, "a path behind a table", "declare the field as ROW or ARRAY");
                }
            }
            TableFactor::MatchRecognize { .. } => {
                self.add(relation, "MATCH_RECOGNIZE", "write the pattern as joins within a bound of time");
            }
            TableFactor::Pivot { .. } => {
                self.add(relation, "PIVOT", "write sum(..) FILTER (WHERE ..) for each column");
            }
            TableFactor::Unpivot { .. } => {
                self.add(relation, "UNPIVOT", "write a SELECT for each column, with UNION ALL");
            }
            TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::XmlTable { .. } => {
                self.add(
                    relation,
                    "a table of a document",
                    "declare the field as ARRAY<ROW<..>> and use UNNEST",
                );
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
