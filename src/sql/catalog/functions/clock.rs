//! Functions of the clock: `NOW()`, `CURRENT_DATE`, `PROCTIME()` and so on. What they give is the time of the batch.
//!
//! Owns their names and types. Knows no batch: who computes an expression puts the time in their place. Invariant: a batch that is
//! computed again gets the same time, as the times of batches are committed.

use super::{plain::Argument, times::unix_timestamp_of};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result as PlanResult, ScalarValue, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::sync::Arc;

/// What a function gives of the time of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockValue {
    /// The point in time.
    Instant,
    /// The same without a zone, in UTC.
    Local,
    /// The day, in UTC.
    Day,
    /// Seconds since 1970.
    Seconds,
}

/// A function of the clock.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ClockFunction {
    name: &'static str,
    aliases: Vec<String>,
    value: ClockValue,
    signature: Signature,
}

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let of = |name, aliases: &[&str], value| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        // Volatile: it is not computed when a query is planned, nor put together with another call.
        let signature = Signature::nullary(Volatility::Volatile);
        ScalarUDF::from(ClockFunction { name, aliases, value, signature })
    };
    vec![
        of("now", &["current_timestamp", "current_row_timestamp"], ClockValue::Instant),
        of("proctime", &[], ClockValue::Instant),
        of("localtimestamp", &[], ClockValue::Local),
        of("current_date", &["today"], ClockValue::Day),
        of(SECONDS, &[], ClockValue::Seconds),
        ScalarUDF::from(UnixTimestamp { signature: Signature::user_defined(Volatility::Immutable) }),
    ]
}

/// `UNIX_TIMESTAMP()` once it is planned.
const SECONDS: &str = "$unix_timestamp";

impl ClockFunction {
    /// The time of a batch as this function gives it.
    fn at(&self, time_ms: i64) -> ScalarValue {
        match self.value {
            ClockValue::Instant => ScalarValue::TimestampMillisecond(Some(time_ms), Some("UTC".into())),
            ClockValue::Local => ScalarValue::TimestampMillisecond(Some(time_ms), None),
            ClockValue::Day => ScalarValue::Date32(i32::try_from(time_ms.div_euclid(86_400_000)).ok()),
            ClockValue::Seconds => ScalarValue::Int64(Some(time_ms.div_euclid(1_000))),
        }
    }

    /// The function that an expression calls, if it is one of them.
    pub fn called_by(expr: &Arc<dyn PhysicalExpr>) -> Option<&Self> {
        expr.downcast_ref::<ScalarFunctionExpr>()?.fun().inner().downcast_ref::<Self>()
    }

    /// What a call gives in a batch of this time; `None` = the expression is no such call.
    pub fn value_of(expr: &Arc<dyn PhysicalExpr>, time_ms: i64) -> Option<ScalarValue> {
        Self::called_by(expr).map(|function| function.at(time_ms))
    }

    /// Whether it gives a time that windows can be made of.
    pub fn is_time(&self) -> bool {
        matches!(self.value, ClockValue::Instant | ClockValue::Local)
    }
}

impl ScalarUDFImpl for ClockFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.at(0).data_type())
    }

    fn return_field_from_args(
        &self,
        _: datafusion_expr::ReturnFieldArgs<'_>,
    ) -> PlanResult<arrow::datatypes::FieldRef> {
        Ok(Arc::new(arrow::datatypes::Field::new(self.name, self.at(0).data_type(), false)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("`{}` is computed without the time of a batch; this is a bug in the plan", self.name)
    }
}

/// `UNIX_TIMESTAMP(..)` of a time, a text, or the clock.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UnixTimestamp {
    signature: Signature,
}

impl ScalarUDFImpl for UnixTimestamp {
    fn name(&self) -> &'static str {
        "unix_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Int64)
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let is_text = |given: &DataType| Argument::Text.takes(given);
        match given {
            [DataType::Timestamp(..) | DataType::Date32] => {
                Ok(vec![DataType::Timestamp(TimeUnit::Microsecond, None)])
            }
            [text] if is_text(text) => Ok(vec![DataType::Utf8]),
            [text, pattern] if is_text(text) && is_text(pattern) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            _ => plan_err!(
                "`unix_timestamp` is called as unix_timestamp(), unix_timestamp(TIMESTAMP) or unix_timestamp(STRING, STRING)"
            ),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        Ok(ColumnarValue::Array(unix_timestamp_of(&arrays)?))
    }
}
