//! Texts that can never be what they are used as.
//!
//! Owns the search for them. Knows no types of its own. Invariant: what is refused would fail for every row.

use crate::sql::{
    SqlError,
    plan::{
        place::{place_of, place_of_query},
        types::type_name,
    },
    walk::each_expr,
};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr as PlanExpr, LogicalPlan};
use datafusion_sql::sqlparser::ast::{Expr, Query, Value};
use std::ops::ControlFlow;

/// The refusal of a text that is compared with, or converted to, what it can never be, such as `n > 'many'`.
///
/// # Errors
/// The first such text.
pub fn check_literals(query: &Query, plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut wrong = None;
    // The closures do not fail, and nothing is lost if a part of the plan is not looked at.
    let _ = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let PlanExpr::Cast(cast) = part
                    && let PlanExpr::Literal(value, _) = cast.expr.as_ref()
                    && let Some(text) = value.try_as_str().flatten()
                    && value.cast_to(cast.field.data_type()).is_err()
                {
                    wrong = wrong.take().or(Some((text.to_owned(), type_name(cast.field.data_type()))));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    let Some((text, data_type)) = wrong else { return Ok(()) };
    let is_meant = |expr: &Expr| match expr {
        Expr::Value(value) => matches!(&value.value, Value::SingleQuotedString(found) if *found == text),
        _ => false,
    };
    let found = each_expr(query, |expr| {
        if is_meant(expr) { ControlFlow::Break(place_of(expr)) } else { ControlFlow::Continue(()) }
    });
    let span = found.break_value().flatten().or_else(|| place_of_query(query));
    Err(SqlError::at(span, format!("'{text}' is no {data_type}")))
}
