//! The order in which all rows of a relation are shown at each batch.
//!
//! Owns where a column that is sorted by is among those of the answer. Invariant: rows are sorted by columns that are shown.

use crate::sql::{
    SqlError, SqlResult,
    op::OrderColumn,
    plan::place::{place_of, place_of_query},
};
use datafusion_expr::{Expr, LogicalPlan, Projection};
use datafusion_sql::sqlparser::ast::{OrderByKind, Query};

/// The order of the rows of a query, by its columns; none if it says none.
///
/// # Errors
/// If it is sorted by something else than its columns.
pub fn order_of(plan: &LogicalPlan, query: &Query) -> SqlResult<Vec<OrderColumn>> {
    // Behind the sort there are only projections, and a limit.
    let (mut at, mut projections) = (plan, vec![]);
    let sort = loop {
        match at {
            LogicalPlan::Projection(projection) => {
                projections.push(projection);
                at = &projection.input;
            }
            LogicalPlan::Limit(limit) => at = &limit.input,
            LogicalPlan::Sort(sort) => break sort,
            _ => return Ok(vec![]),
        }
    };
    let mut order = vec![];
    for (number, by) in sort.expr.iter().enumerate() {
        let column = match &by.expr {
            Expr::Column(column) => sort.input.schema().index_of_column(column).ok(),
            _ => None,
        };
        let shown = projections
            .iter()
            .rev()
            .fold(column, |column, projection| column.and_then(|column| shown_at(column, projection)));
        let Some(column) = shown else { return Err(hidden(query, number)) };
        order.push(OrderColumn {
            column,
            is_descending: !by.asc,
            is_null_greatest: by.nulls_first != by.asc,
        });
    }
    Ok(order)
}

/// Where a projection has a column of its input as it is.
fn shown_at(column: usize, projection: &Projection) -> Option<usize> {
    projection.expr.iter().position(|expr| {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        matches!(expr, Expr::Column(of) if projection.input.schema().index_of_column(of).is_ok_and(|at| at == column))
    })
}

fn hidden(query: &Query, number: usize) -> SqlError {
    let by = query.order_by.as_ref().and_then(|order_by| match &order_by.kind {
        OrderByKind::Expressions(exprs) => exprs.get(number).and_then(|by| place_of(&by.expr)),
        OrderByKind::All(_) => None,
    });
    SqlError::at(
        by.or_else(|| place_of_query(query)),
        "rows are shown in the order of something that is not shown",
    )
    .next("add it to the columns of the query, or leave it out of ORDER BY")
}
