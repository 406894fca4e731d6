//! Names for columns of a query that have none, or that of another one.
//!
//! Owns the rule: a field of a row is called as the field, an expression [as it is written](column_name), a second column of one name gets a
//! number, and another expression whose name is taken is called `EXPR$` and its position. Knows no plan. Invariant: names that the user gave
//! are never changed.

use crate::sql::{
    column_name::{column_name, is_called_as_column, shown},
    plan::place::name_of,
    walk::walk_mut,
};
use datafusion_sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, TableFactor, VisitorMut};
use std::{collections::BTreeSet, ops::ControlFlow};

/// The query with names for all columns that need one.
pub fn with_names(query: &Query) -> Query {
    let mut query = query.clone();
    // The visitor never stops before the end.
    let _: ControlFlow<()> = walk_mut(&mut query, &mut Names);
    query
}

struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables = table_names(select);
        let mut taken = BTreeSet::new();
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => {
                    taken.insert(name_of(alias));
                }
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                    taken.insert(name_of(ident));
                }
                _ => {}
            }
        }
        // Which names `*` stands for is not known here.
        let has_wildcard = select.projection.iter().any(is_wildcard);
        let mut seen = BTreeSet::new();
        for (at, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let given = match &*expr {
                Expr::Identifier(ident) => {
                    let name = name_of(ident);
                    (!seen.insert(name.clone())).then(|| numbered(&name, &taken))
                }
                Expr::CompoundIdentifier(parts) => compound(parts, &tables, &taken, &mut seen),
                other => {
                    let is_column = is_called_as_column(other);
                    let name = if is_column && has_wildcard { shown(other) } else { column_name(other) };
                    let is_taken = taken.contains(&name) || !seen.insert(name.clone());
                    Some(match is_taken {
                        true if is_column => numbered(&name, &taken),
                        true => format!("EXPR${at}"),
                        false => name,
                    })
                }
            };
            if let Some(name) = given {
                taken.insert(name.clone());
                let alias = Ident::with_quote('"', name);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }
}

/// A name for `table.column` or `row.field`, if it needs one.
fn compound(
    parts: &[Ident],
    tables: &BTreeSet<String>,
    taken: &BTreeSet<String>,
    seen: &mut BTreeSet<String>,
) -> Option<String> {
    let name = parts.last().map(name_of)?;
    let is_column = parts.len() == 2 && parts.first().is_some_and(|first| tables.contains(&name_of(first)));
    if !seen.insert(name.clone()) || (!is_column && taken.contains(&name)) {
        return Some(numbered(&name, taken));
    }
    (!is_column).then_some(name)
}

/// The name with the first number that makes it one of its own.
fn numbered(name: &str, taken: &BTreeSet<String>) -> String {
    let mut number = 0_usize;
    loop {
        let numbered = format!("{name}{number}");
        if !taken.contains(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// What the tables in FROM are called.
fn table_names(select: &Select) -> BTreeSet<String> {
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    factors
        .filter_map(|factor| match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. } => Some(name_of(&alias.name)),
            TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(name_of),
            _ => None,
        })
        .collect()
}
