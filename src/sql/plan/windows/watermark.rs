//! The node of a logical plan that says which column of rows event time follows: `with_watermark` of a DataFrame.
//!
//! Knows no text. Invariants: no predicate passes it, since rows that are left out later have their times all the same; columns of the
//! input that nothing needs are left out below it.

use datafusion_common::{Column, DFSchemaRef, DataFusionError, Result as PlanResult};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::fmt;

/// Rows as they are, whose times windows follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WatermarkNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The column of event time.
    pub time: Column,
    /// How late rows may be, milliseconds.
    pub delay_ms: i64,
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (&self.time, self.delay_ms).cmp(&(&other.time, other.delay_ms)) {
            std::cmp::Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &'static str {
        "Watermark"
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
        write!(f, "Watermark: {} - {}", self.time, super::length(self.delay_ms))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = || DataFusionError::Plan("a watermark has one input and one column of time".to_owned());
        let (Some(Expr::Column(time)), Some(input)) = (exprs.into_iter().next(), inputs.pop()) else {
            return Err(wrong());
        };
        Ok(WatermarkNode { input, time, delay_ms: self.delay_ms })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let time = self.input.schema().index_of_column(&self.time).ok()?;
        let mut columns = output_columns.to_vec();
        if !columns.contains(&time) {
            columns.push(time);
            columns.sort_unstable();
        }
        Some(vec![columns])
    }
}
