//! The time of `FOR SYSTEM_TIME AS OF`, which stands in the condition of a join while a query is planned.
//!
//! Owns the names, which scripts cannot write. Knows no join. Invariant: it is never computed; who plans the join takes it away.

use arrow::datatypes::DataType;
use datafusion_common::{Result as PlanResult, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Of a table whose rows have versions: the time of the row, and the column of the table that says since when a version is valid.
pub const AS_OF: &str = "$as_of";
/// Of a table that is read once, and so is the same at all times.
pub const AS_OF_START: &str = "$as_of_start";

/// Both.
pub fn functions() -> Vec<ScalarUDF> {
    let of = |name| AsOf { name, signature: Signature::any(2, Volatility::Immutable) };
    [AS_OF, AS_OF_START].into_iter().map(of).map(ScalarUDF::from).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsOf {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for AsOf {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("`{}` is computed as a function; this is a bug in the plan", self.name)
    }
}
