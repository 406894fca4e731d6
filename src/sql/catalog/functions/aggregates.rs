//! Aggregate functions that are planned in another way than DataFusion's, or that it does not have.
//!
//! Owns their names and types. Knows no state: none of them computes anything here. Invariant: a call stays what it is, as what is kept in
//! state must not change with the optimizer.

use super::calls::{MAX_BY, MIN_BY};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as PlanResult, ScalarValue, not_impl_err};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility,
    function::{AccumulatorArgs, StateFieldsArgs},
};
use datafusion_functions_aggregate::{percentile_cont::PercentileCont, sum::Sum};
use std::sync::Arc;

/// Other names of aggregate functions: those of Spark and of standard SQL.
pub const OTHER_NAMES: [(&str, &str); 6] = [
    ("first", "first_value"),
    ("last", "last_value"),
    ("listagg", "string_agg"),
    ("percentile", "percentile_cont"),
    ("percentile_approx", "percentile_disc"),
    ("approx_percentile", "percentile_disc"),
];

/// The functions.
pub fn functions() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::from(PlainSum(Sum::new())),
        AggregateUDF::from(PlainPercentile(PercentileCont::new())),
        AggregateUDF::from(OfValues::new("percentile_disc", &[2, 3])),
        AggregateUDF::from(OfValues::new("collect_list", &[1])),
        AggregateUDF::from(OfValues::new("collect_set", &[1])),
        AggregateUDF::from(OfValues::new(MAX_BY, &[2])),
        AggregateUDF::from(OfValues::new(MIN_BY, &[2])),
    ]
}

macro_rules! as_it_is {
    ($name:literal) => {
        fn name(&self) -> &'static str {
            $name
        }

        fn signature(&self) -> &Signature {
            self.0.signature()
        }

        fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
            self.0.return_type(types)
        }

        fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
            self.0.accumulator(args)
        }

        fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
            self.0.state_fields(args)
        }
    };
}

/// The sum, which stays what it is: DataFusion rewrites `sum(a + 1)` to `sum(a) + count(a)` when there are several.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PlainSum(Sum);

impl AggregateUDFImpl for PlainSum {
    as_it_is!("sum");
}

/// The percentile, which stays what it is: DataFusion makes the least value of that of 0.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PlainPercentile(PercentileCont);

impl AggregateUDFImpl for PlainPercentile {
    as_it_is!("percentile_cont");

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// A function of the values of a group: lists of them, or one of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfValues {
    name: &'static str,
    signature: Signature,
}

impl OfValues {
    fn new(name: &'static str, arguments: &[usize]) -> Self {
        let counts = arguments.iter().map(|count| TypeSignature::Any(*count)).collect();
        OfValues { name, signature: Signature::one_of(counts, Volatility::Immutable) }
    }

    fn is_list(&self) -> bool {
        self.name.starts_with("collect_")
    }
}

impl AggregateUDFImpl for OfValues {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        let of = types[0].clone();
        Ok(if self.is_list() { DataType::List(Arc::new(Field::new_list_field(of, true))) } else { of })
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        not_impl_err!("{} is computed by an operator", self.name)
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        not_impl_err!("{} is computed by an operator", self.name)
    }

    /// What it is of no rows.
    fn default_value(&self, data_type: &DataType) -> PlanResult<ScalarValue> {
        match data_type {
            DataType::List(item) if self.is_list() => {
                Ok(ScalarValue::List(ScalarValue::new_list_nullable(&[], item.data_type())))
            }
            other => ScalarValue::try_from(other),
        }
    }

    fn supports_within_group_clause(&self) -> bool {
        !self.is_list()
    }
}
