//! `YEAR(ts)`, `HOUR(ts)` and so on, and `IF(..)`: other ways to write what DataFusion has.
//!
//! Owns what they are planned as. Knows no value. Invariant: nothing of them is left when a plan is lowered.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result as PlanResult, exec_err, plan_err};
use datafusion_expr::{
    Case, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
    lit,
    simplify::{ExprSimplifyResult, SimplifyContext},
    type_coercion::binary::comparison_coercion,
};

/// The name of each, the part of `date_part` that it is, and what is added to it.
const PARTS: [(&str, &[&str], &str, i32); 10] = [
    ("year", &[], "year", 0),
    ("quarter", &[], "quarter", 0),
    ("month", &[], "month", 0),
    ("week", &["weekofyear"], "week", 0),
    ("dayofyear", &[], "doy", 0),
    ("dayofmonth", &["day"], "day", 0),
    // Sunday is 1.
    ("dayofweek", &[], "dow", 1),
    ("hour", &[], "hour", 0),
    ("minute", &[], "minute", 0),
    ("second", &[], "second", 0),
];

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let mut all: Vec<ScalarUDF> = vec![];
    for (name, aliases, part, plus) in PARTS {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        all.push(ScalarUDF::from(PartOfTime { name, aliases, part, plus, signature }));
    }
    all.push(ScalarUDF::from(If { signature: Signature::user_defined(Volatility::Immutable) }));
    all
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartOfTime {
    name: &'static str,
    aliases: Vec<String>,
    part: &'static str,
    plus: i32,
    signature: Signature,
}

impl ScalarUDFImpl for PartOfTime {
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
        Ok(DataType::Int32)
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        match given {
            [time @ (DataType::Timestamp(..) | DataType::Date32)] => Ok(vec![time.clone()]),
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null] => {
                Ok(vec![DataType::Timestamp(TimeUnit::Millisecond, None)])
            }
            _ => plan_err!("`{0}` is called as {0}(TIMESTAMP) or {0}(DATE)", self.name),
        }
    }

    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        let function = datafusion_functions::datetime::date_part();
        let arguments = std::iter::once(lit(self.part)).chain(arguments).collect();
        let part = Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments));
        Ok(ExprSimplifyResult::Simplified(if self.plus == 0 { part } else { part + lit(self.plus) }))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("`{}` was not planned as date_part; this is a bug in the plan", self.name)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct If {
    signature: Signature,
}

impl ScalarUDFImpl for If {
    fn name(&self) -> &'static str {
        "if"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> PlanResult<DataType> {
        Ok(given.get(1).cloned().unwrap_or(DataType::Null))
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let [DataType::Boolean | DataType::Null, yes, no] = given else {
            return plan_err!("`if` is called as if(BOOLEAN, value, value)");
        };
        let both = if yes == no { Some(yes.clone()) } else { comparison_coercion(yes, no) };
        let Some(both) = both else {
            return plan_err!("both values of `if` must be of one type");
        };
        Ok(vec![DataType::Boolean, both.clone(), both])
    }

    fn short_circuits(&self) -> bool {
        true
    }

    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        Ok(match <[Expr; 3]>::try_from(arguments) {
            Ok([condition, yes, no]) => {
                let when = vec![(Box::new(condition), Box::new(yes))];
                ExprSimplifyResult::Simplified(Expr::Case(Case::new(None, when, Some(Box::new(no)))))
            }
            Err(arguments) => ExprSimplifyResult::Original(arguments),
        })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("`if` was not planned as CASE; this is a bug in the plan")
    }
}
