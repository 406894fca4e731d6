//! Places of parts of a query in the script.
//!
//! Owns the way from the parser's places to ours. Knows no plan.

use crate::sql::{Span, walk::each_expr};
use datafusion_common::Span as PlannerSpan;
use datafusion_sql::sqlparser::ast::{Expr, Function, Ident, ObjectName, Query, SetExpr, Spanned};
use std::ops::ControlFlow;

/// Where a part of a statement stands; `None` if the parser does not say.
pub fn place_of(part: &impl Spanned) -> Option<Span> {
    PlannerSpan::try_from_sqlparser_span(part.span()).and_then(Span::of)
}

/// Where a query begins.
pub fn place_of_query(query: &Query) -> Option<Span> {
    place_of(query).map(|span| Span { width: "SELECT".len().try_into().unwrap_or(1), ..span })
}

/// Where the second relation of the first join of a query stands, or the query, if it does not say.
pub fn place_of_join(query: &Query) -> Option<Span> {
    let SetExpr::Select(select) = query.body.as_ref() else { return place_of_query(query) };
    let joined = select.from.iter().find_map(|from| from.joins.first()).map(|join| &join.relation);
    let second = joined.or_else(|| select.from.get(1).map(|from| &from.relation));
    second.and_then(place_of).or_else(|| place_of_query(query))
}

/// Where the first query inside of an expression begins.
pub fn place_of_subquery(query: &Query) -> Option<Span> {
    let found = each_expr(query, |expr| match expr {
        Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } | Expr::Subquery(subquery) => {
            ControlFlow::Break(place_of_query(subquery))
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value().flatten().or_else(|| place_of_query(query))
}

/// The name of a column or relation as the planner sees it: as it was written.
pub fn name_of(ident: &Ident) -> String {
    ident.value.clone()
}

/// The name of a function: in small letters unless it is quoted.
pub fn name_of_function(name: &ObjectName) -> String {
    let small = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(small).collect();
    parts.join(".")
}

/// The name of a relation as the planner sees it.
pub fn name_of_object(name: &ObjectName) -> String {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(name_of).collect();
    parts.join(".")
}

/// Where the first call of one of these functions stands.
pub fn find_call(query: &Query, is_meant: impl Fn(&str) -> bool) -> Option<(String, Span)> {
    let found = each_expr(query, |expr| match expr {
        Expr::Function(Function { name, .. }) if is_meant(&name_of_function(name)) => {
            ControlFlow::Break(place_of(name).map(|span| (name_of_function(name), span)))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => None,
    }
}

/// Where the first call of a function with OVER stands.
pub fn find_over(query: &Query, wanted: &str) -> Option<Span> {
    let found = each_expr(query, |expr| match expr {
        Expr::Function(Function { name, over: Some(_), .. }) if name_of_function(name) == wanted => {
            ControlFlow::Break(place_of(name))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => None,
    }
}
