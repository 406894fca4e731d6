//! Which joins are with tables whose rows are looked up: those that are read once, and those that are looked at as of a time.
//!
//! Decides nothing else.

use crate::sql::{
    catalog::{AS_OF, TableScanSource},
    connector::bounded::is_bounded,
};
use datafusion_expr::{Expr, LogicalPlan, utils::split_conjunction};

/// Whether a relation is made of a table that is read once, and of nothing else.
pub fn is_static(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => {
            scan.source.downcast_ref::<TableScanSource>().is_some_and(|source| is_bounded(&source.definition))
        }
        LogicalPlan::SubqueryAlias(alias) => is_static(&alias.input),
        LogicalPlan::Filter(filter) => is_static(&filter.input),
        LogicalPlan::Projection(projection) => is_static(&projection.input),
        _ => false,
    }
}

/// The time of which a condition says that the second relation is looked at as of it.
pub fn as_of_time(filter: &Expr) -> Option<&Expr> {
    split_conjunction(filter).into_iter().find_map(|part| match part {
        Expr::ScalarFunction(call) if call.func.name() == AS_OF => call.args.first(),
        _ => None,
    })
}
