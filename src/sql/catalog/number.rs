//! Functions that number rows: `ROW_NUMBER`, `RANK` and `DENSE_RANK`.
//!
//! Knows no operator. Invariant: a number is a BIGINT, as in Flink; DataFusion's own functions answer unsigned numbers, which SQL has no
//! words for.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result as PlanResult};
use datafusion_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDFImpl,
    function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
};
use std::sync::Arc;

/// One of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Number {
    name: &'static str,
    signature: Signature,
}

impl Number {
    /// The one of this name.
    pub fn new(name: &'static str) -> Self {
        Number { name, signature: Signature::nullary(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for Number {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> PlanResult<Box<dyn PartitionEvaluator>> {
        Err(DataFusionError::Plan(format!("`{}` is computed by an operator of its own", self.name)))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, false)))
    }
}
