//! From a query to the logical plan that is lowered: DataFusion plans it, checks its types and applies a fixed list of rules.
//!
//! Owns the list. Knows no stream. Invariants: a rule enters the list here and nowhere else, so that a newer DataFusion cannot change
//! plans, and with them what is kept in state, by a rule that it adds. Left out are rules that are wrong or of no use for relations that
//! grow: those that look at whether a relation is empty now (`PropagateEmptyRelation`, `EliminateFilter`, `EliminateLimit`), those that
//! compute a state in two steps (`SingleDistinctToGroupBy`), `FilterNullJoinKeys`, since joins drop such keys themselves, and those of
//! operators that do not exist here.

mod deduplicate;
mod floats;
mod names;
mod rows;
mod sets;
mod units;

pub use deduplicate::DeduplicateNode;
pub use rows::{KeptRows, RowsNode, is_kept, reads_once};
pub use sets::SetNode;

use crate::sql::catalog::Catalog;
use datafusion_common::{Result as PlanResult, config::ConfigOptions};
use datafusion_expr::{LogicalPlan, planner::ContextProvider};
use datafusion_optimizer::{
    Analyzer, Optimizer, OptimizerContext, OptimizerRule,
    common_subexpr_eliminate::CommonSubexprEliminate,
    decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
    eliminate_cross_join::EliminateCrossJoin,
    eliminate_duplicated_expr::EliminateDuplicatedExpr,
    eliminate_filter::EliminateFilter,
    eliminate_group_by_constant::EliminateGroupByConstant,
    eliminate_outer_join::EliminateOuterJoin,
    extract_equijoin_predicate::ExtractEquijoinPredicate,
    extract_leaf_expressions::{ExtractLeafExpressions, PushDownLeafProjections},
    optimize_projections::OptimizeProjections,
    optimize_unions::OptimizeUnions,
    push_down_filter::PushDownFilter,
    replace_distinct_aggregate::ReplaceDistinctWithAggregate,
    scalar_subquery_to_join::ScalarSubqueryToJoin,
    simplify_expressions::SimplifyExpressions,
};
use datafusion_sql::{
    planner::{NullOrdering, ParserOptions, SqlToRel},
    sqlparser::ast::{Query, Statement},
};
use floats::FloatsWithDecimals;
use names::with_names;
use sets::SetOperations;
use std::sync::Arc;
pub use units::with_units;

/// DataFusion's planner with the settings of this grammar.
pub fn sql_to_rel(catalog: &Catalog) -> SqlToRel<'_, Catalog> {
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_map_string_types_to_utf8view(false)
        // NULL is less than all values, as in Flink and Spark.
        .with_default_null_ordering(NullOrdering::NullsMin)
        .with_collect_spans(true);
    SqlToRel::new_with_options(catalog, options)
}

/// The plan of a query as it is written.
///
/// # Errors
/// DataFusion's, as they are.
pub fn plan_query(catalog: &Catalog, query: &Query) -> PlanResult<LogicalPlan> {
    sql_to_rel(catalog).sql_statement_to_plan(Statement::Query(Box::new(with_units(with_names(query)))))
}

/// Types are made to agree: casts are written into the plan.
///
/// # Errors
/// DataFusion's, as they are.
pub fn analyze(catalog: &Catalog, plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(FloatsWithDecimals));
    analyzer.rules.push(Arc::new(SetOperations));
    analyzer.execute_and_check(plan, ContextProvider::options(catalog), |_, _| {})
}

/// The same rows with less work.
///
/// # Errors
/// DataFusion's, as they are.
pub fn optimize(options: &ConfigOptions, plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::new(options.clone()))
        .without_query_execution_start_time();
    Optimizer::with_rules(rules()).optimize(plan, &context, |_, _| {})
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        // Before filters are pushed down: a condition that is never true would pass an aggregate without keys, which then has its row.
        Arc::new(EliminateFilter::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(EliminateGroupByConstant::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(ExtractLeafExpressions::new()),
        Arc::new(PushDownLeafProjections::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}
