//! Decimals beside floating-point numbers.
//!
//! Owns one rule. Invariant: what meets a DOUBLE is computed and compared as DOUBLE, as in other databases. DataFusion would make decimals
//! of both, and fail for each number that a decimal cannot hold; `0.5` is a decimal, so this would be met often.

use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_common::{
    Result as PlanResult,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, cast, expr_rewriter::NamePreserver,
    utils::merge_schema,
};
use datafusion_optimizer::AnalyzerRule;

/// Runs before types are made to agree.
#[derive(Debug)]
pub struct FloatsWithDecimals;

impl AnalyzerRule for FloatsWithDecimals {
    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> PlanResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            let changed = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let changed = expr.transform_up(|expr| Ok(as_doubles(expr, &schema)))?;
                Ok(changed.update_data(|expr| name.restore(expr)))
            })?;
            changed.map_data(LogicalPlan::recompute_schema)
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &'static str {
        "floats_with_decimals"
    }
}

fn as_doubles(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_mixed([&left, &right], schema) => {
            let (left, right) = (double(*left, schema), double(*right, schema));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_mixed([&expr, &low, &high], schema) => {
            let [expr, low, high] = [expr, low, high].map(|expr| Box::new(double(*expr, schema)));
            Transformed::yes(Expr::Between(Between::new(expr, negated, low, high)))
        }
        other => Transformed::no(other),
    }
}

fn is_mixed<const N: usize>(parts: [&Expr; N], schema: &DFSchema) -> bool {
    let types: Vec<_> = parts.into_iter().filter_map(|part| part.get_type(schema).ok()).collect();
    types.iter().any(DataType::is_floating) && types.iter().any(DataType::is_decimal)
}

fn double(expr: Expr, schema: &DFSchema) -> Expr {
    if expr.get_type(schema).is_ok_and(|data_type| data_type.is_decimal()) {
        cast(expr, DataType::Float64)
    } else {
        expr
    }
}
