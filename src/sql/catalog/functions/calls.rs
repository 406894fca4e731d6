//! Calls of aggregates that mean, or are called, something else than DataFusion makes of them.
//!
//! Owns two rules. The value of the greatest or least row is the first one in an order. A conversion in an argument is part of the name of a
//! call: DataFusion calls `sum(n)` and `sum(CAST(n AS DOUBLE))` by one name, under which a query cannot have both. Knows no query. Invariant: a call
//! that neither rule is about stays as it is.

use datafusion_common::{Result as PlanResult, plan_err, tree_node::TreeNode};
use datafusion_expr::{
    Expr,
    expr::{AggregateFunction, Sort},
    planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr},
};
use datafusion_functions_aggregate::first_last::first_value_udaf;

/// The value in the row where another one is the greatest, or the least.
pub const MAX_BY: &str = "max_by";
pub const MIN_BY: &str = "min_by";

/// The rules.
#[derive(Debug)]
pub struct AggregateCalls;

impl ExprPlanner for AggregateCalls {
    fn plan_aggregate(&self, mut call: RawAggregateExpr) -> PlanResult<PlannerResult<RawAggregateExpr>> {
        name_conversions(&mut call.args)?;
        match call.func.name() {
            MAX_BY | MIN_BY => first_of(call).map(PlannerResult::Planned),
            _ => Ok(PlannerResult::Original(call)),
        }
    }

    fn plan_window(&self, mut call: RawWindowExpr) -> PlanResult<PlannerResult<RawWindowExpr>> {
        name_conversions(&mut call.args)?;
        Ok(PlannerResult::Original(call))
    }
}

fn name_conversions(arguments: &mut [Expr]) -> PlanResult<()> {
    for argument in arguments {
        if argument.exists(|expr| Ok(matches!(expr, Expr::Cast(_) | Expr::TryCast(_))))? {
            let name = argument.to_string();
            *argument = std::mem::take(argument).alias(name);
        }
    }
    Ok(())
}

/// `max_by(value, by)` is `first_value(value ORDER BY by DESC) FILTER (WHERE by IS NOT NULL)`.
fn first_of(call: RawAggregateExpr) -> PlanResult<Expr> {
    let Ok([value, by]) = <[Expr; 2]>::try_from(call.args) else {
        return plan_err!("{} takes a value, and what it is chosen by", call.func.name());
    };
    let is_there = by.clone().is_not_null();
    let filter = match call.filter {
        Some(filter) => filter.and(is_there),
        None => is_there,
    };
    let order = vec![Sort::new(by, call.func.name() == MIN_BY, false)];
    Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
        first_value_udaf(),
        vec![value],
        call.distinct,
        Some(Box::new(filter)),
        order,
        None,
    )))
}
