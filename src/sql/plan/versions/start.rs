//! Tables that are read once are the same at all times.
//!
//! Owns the check of the time, which is then left out. Knows no table.

use crate::sql::{SqlError, catalog::AS_OF_START, plan::windows::is_time};
use datafusion_common::{
    DataFusionError, Result as PlanResult,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Expr, ExprSchemable, Join, LogicalPlan,
    utils::{conjunction, split_conjunction},
};

/// The plan without times at which such tables are looked at.
///
/// # Errors
/// If one of them is no time.
pub fn without_start(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
        let Some(filter) = join.filter.as_ref().filter(|filter| has_time(filter)) else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let (times, rest): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(filter).into_iter().partition(|part| time_of(part).is_some());
        for time in times.into_iter().filter_map(time_of) {
            let data_type = time.get_type(&join.schema)?;
            if !is_time(&data_type) {
                let what = "FOR SYSTEM_TIME AS OF something that is no TIMESTAMP(3)";
                let mistake =
                    SqlError::at(None, what).next("name a column of event time, or one that is PROCTIME()");
                return Err(DataFusionError::External(Box::new(mistake)));
            }
        }
        let filter = conjunction(rest.into_iter().cloned());
        Ok(Transformed::yes(LogicalPlan::Join(Join { filter, ..join })))
    });
    plan.map(|plan| plan.data)
}

fn time_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == AS_OF_START => call.args.first(),
        _ => None,
    }
}

fn has_time(filter: &Expr) -> bool {
    filter.exists(|expr| Ok(time_of(expr).is_some())).unwrap_or(false)
}
