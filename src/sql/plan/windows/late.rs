//! `t$late`: the rows of a table with a watermark that came too late.
//!
//! Owns the name, and the node of the logical plan. Knows no operator. Invariant: no predicate passes it, as it would have to be computed
//! of all rows.

use datafusion_common::{Column, DFSchemaRef, DataFusionError, Result as PlanResult};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::{cmp::Ordering, fmt};

/// What stands behind the name of a table.
pub const LATE: &str = "$late";

/// The late rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LateNode {
    /// All rows.
    pub input: LogicalPlan,
    /// The column of event time.
    pub time: Column,
}

impl PartialOrd for LateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.time.cmp(&other.time) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for LateNode {
    fn name(&self) -> &'static str {
        "Late"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.time.clone())]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Late: by {}", self.time)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = || DataFusionError::Plan("late rows have one input and one column of time".to_owned());
        let (Some(Expr::Column(time)), Some(input)) = (exprs.into_iter().next(), inputs.pop()) else {
            return Err(wrong());
        };
        Ok(LateNode { input, time })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // Its columns are those of its input, so none can be left out alone.
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}
