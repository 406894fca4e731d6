//! `YEAR(ts)`, `HOUR(ts)` and so on, `IF(..)` and `ELEMENT_AT(..)`: other ways to write what DataFusion has.
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
use datafusion_functions_nested::{extract::array_element_udf, map_extract::map_extract_udf};
use std::sync::Arc;

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
    all.push(ScalarUDF::from(ElementAt { signature: Signature::user_defined(Volatility::Immutable) }));
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

/// An element of a list, from 1 on, or the value of a key of a map, as in Spark.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ElementAt {
    signature: Signature,
}

impl ElementAt {
    /// The type of a key of a map, or of a position, and that of what is there.
    fn types(of: &DataType) -> PlanResult<(DataType, DataType)> {
        match of {
            DataType::List(item) => Ok((DataType::Int64, item.data_type().clone())),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Ok((fields[0].data_type().clone(), fields[1].data_type().clone()))
                }
                other => plan_err!("a map has entries of {other}"),
            },
            _ => plan_err!("`element_at` is called as element_at(ARRAY, position) or element_at(MAP, key)"),
        }
    }
}

impl ScalarUDFImpl for ElementAt {
    fn name(&self) -> &'static str {
        "element_at"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> PlanResult<DataType> {
        Ok(ElementAt::types(given.first().unwrap_or(&DataType::Null))?.1)
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        let [of, _] = given else {
            return plan_err!("`element_at` takes a list and a position, or a map and a key");
        };
        Ok(vec![of.clone(), ElementAt::types(of)?.0])
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        let arguments = match arguments.first() {
            Some(of) if matches!(context.get_data_type(of)?, DataType::Map(..)) => {
                vec![call(map_extract_udf(), arguments), lit(1_i64)]
            }
            _ => arguments,
        };
        Ok(ExprSimplifyResult::Simplified(call(array_element_udf(), arguments)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("`element_at` was not planned as array_element; this is a bug in the plan")
    }
}

fn call(function: Arc<ScalarUDF>, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}
