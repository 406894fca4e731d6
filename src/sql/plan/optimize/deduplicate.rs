//! One row of each key as a node of a logical plan: `drop_duplicates`, for which SQL has no words.
//!
//! Knows no stream. Invariant: all columns of the input are needed, as they decide which row of a key passes.

use datafusion_common::{Column, DFSchemaRef, DataFusionError, Result as PlanResult};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::{cmp::Ordering, fmt};

/// The first row of each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeduplicateNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The columns of the key.
    pub keys: Vec<Column>,
    /// Whether a key is forgotten once the watermark has passed the time of its first row by as much as rows may be late.
    pub within_watermark: bool,
}

impl PartialOrd for DeduplicateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.keys, self.within_watermark).cmp(&(&other.keys, other.within_watermark)) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for DeduplicateNode {
    fn name(&self) -> &'static str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "Deduplicate: {}", keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = || DataFusionError::Plan("a deduplication has one input and columns as keys".to_owned());
        let keys = exprs.into_iter().map(|expr| match expr {
            Expr::Column(column) => Ok(column),
            _ => Err(wrong()),
        });
        let keys = keys.collect::<PlanResult<_>>()?;
        Ok(DeduplicateNode {
            input: inputs.pop().ok_or_else(wrong)?,
            keys,
            within_watermark: self.within_watermark,
        })
    }
}
