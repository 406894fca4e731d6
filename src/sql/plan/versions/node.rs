//! The versions of the rows of a table as a node of a logical plan.
//!
//! Knows no stream. Invariant: no predicate passes it, as a version that is left out would show the one before it.

use datafusion_common::{DFSchemaRef, DataFusionError, Result as PlanResult};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::{cmp::Ordering, fmt};

/// The versions of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionsNode {
    /// The table.
    pub input: LogicalPlan,
}

impl PartialOrd for VersionsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for VersionsNode {
    fn name(&self) -> &'static str {
        "Versions"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Versions")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = || DataFusionError::Plan("versions are of one table".to_owned());
        Ok(VersionsNode { input: inputs.pop().ok_or_else(wrong)? })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}
