//! `FOR SYSTEM_TIME AS OF`: each row of a stream looks at a table as it was at a time.
//!
//! Owns what becomes of the clause until a join is lowered. Knows no operator. Invariant: a table that is read once is the same at all times;
//! of another one the versions of its rows are meant.

mod node;
mod rewrite;
mod start;

pub use node::VersionsNode;
pub use rewrite::{processing_time, rewritten};
pub use start::without_start;

use datafusion_common::Result as PlanResult;
use datafusion_expr::{
    Extension, LogicalPlan,
    planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
};
use datafusion_sql::sqlparser::ast::TableFactor;
use std::sync::Arc;

/// Plans tables whose versions are meant.
#[derive(Debug)]
pub struct VersionsPlanner;

impl RelationPlanner for VersionsPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let Some((table, alias)) = rewrite::versioned(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let node = Arc::new(VersionsNode { input: context.plan(table)? });
        let plan = LogicalPlan::Extension(Extension { node });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}
