//! `MOD(a, b)`, which Flink SQL has as a function.
//!
//! Owns its types. Invariant: it is planned as `a % b`.

use arrow::{compute::kernels::numeric::rem, datatypes::DataType};
use datafusion_common::Result as PlanResult;
use datafusion_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility, binary_expr,
    simplify::{ExprSimplifyResult, SimplifyContext},
};

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Modulo {
    signature: Signature,
}

impl Modulo {
    /// The function.
    pub fn new() -> Self {
        Modulo { signature: Signature::numeric(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Modulo {
    fn name(&self) -> &'static str {
        "mod"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        Ok(ColumnarValue::Array(rem(&arrays[0], &arrays[1])?))
    }

    fn simplify(
        &self,
        mut arguments: Vec<Expr>,
        _context: &SimplifyContext,
    ) -> PlanResult<ExprSimplifyResult> {
        Ok(match (arguments.pop(), arguments.pop()) {
            (Some(right), Some(left)) => {
                ExprSimplifyResult::Simplified(binary_expr(left, Operator::Modulo, right))
            }
            _ => ExprSimplifyResult::Original(arguments),
        })
    }
}
