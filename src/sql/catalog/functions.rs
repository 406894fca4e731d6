//! The functions that a query may call, by name.
//!
//! Owns which names there are. Knows no relation. Invariants: aggregate functions that have no durable state here are known by name, so
//! that a query that calls one is told what there is; `sum` is never rewritten into other aggregates, as what is kept in state must not
//! change with the optimizer.

use super::modulo::Modulo;
use crate::sql::agg::AggregateFunction;
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::Result as PlanResult;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, HigherOrderUDF, ScalarUDF, Signature,
    function::{AccumulatorArgs, StateFieldsArgs},
    planner::ExprPlanner,
};
use datafusion_functions_aggregate::sum::Sum;
use std::{collections::BTreeMap, sync::Arc};

/// Functions by their names and other names, in small letters.
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    higher_order: BTreeMap<String, Arc<HigherOrderUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// All of DataFusion's.
    pub fn new() -> Self {
        let mut functions = Functions {
            scalars: BTreeMap::new(),
            higher_order: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
                Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            ],
        };
        for function in datafusion_functions::all_default_functions() {
            functions.add_scalar(function);
        }
        functions.add_scalar(Arc::new(ScalarUDF::from(Modulo::new())));
        for function in datafusion_functions_nested::all_default_nested_functions() {
            functions.add_scalar(function);
        }
        for function in datafusion_functions_nested::all_default_higher_order_functions() {
            functions.higher_order.insert(function.name().to_owned(), function);
        }
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for name in function.aliases() {
                functions.aggregates.insert(name.clone(), function.clone());
            }
            functions.aggregates.insert(function.name().to_owned(), function);
        }
        functions.aggregates.insert("sum".to_owned(), Arc::new(AggregateUDF::from(PlainSum(Sum::new()))));
        functions
    }

    /// One more.
    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        for name in function.aliases() {
            self.scalars.insert(name.clone(), function.clone());
        }
        self.scalars.insert(function.name().to_owned(), function);
    }

    /// How operators of the grammar become functions.
    pub fn planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    /// A scalar function.
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    /// A function that takes a function.
    pub fn higher_order(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.higher_order.get(name).cloned()
    }

    /// An aggregate function, also one that cannot be run.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    /// The function that a call of this name has in state; `None` if there is none.
    pub fn durable(&self, name: &str) -> Option<AggregateFunction> {
        Some(match self.aggregates.get(name)?.name() {
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Avg,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            "bool_and" => AggregateFunction::BoolAnd,
            "bool_or" => AggregateFunction::BoolOr,
            "var" => AggregateFunction::VarSamp,
            "var_pop" => AggregateFunction::VarPop,
            "stddev" => AggregateFunction::StddevSamp,
            "stddev_pop" => AggregateFunction::StddevPop,
            _ => return None,
        })
    }

    /// All names that a query may call.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let aggregates = self.aggregates.keys().filter(|name| self.durable(name).is_some());
        self.scalars.keys().chain(self.higher_order.keys()).chain(aggregates).map(String::as_str)
    }

    /// How a function is called, as its documentation says.
    pub fn syntax(&self, name: &str) -> Option<String> {
        let documentation = match self.scalars.get(name) {
            Some(function) => function.documentation(),
            None => self.aggregates.get(name)?.documentation(),
        };
        documentation.map(|documentation| documentation.syntax_example.clone())
    }
}

/// The sum, which stays what it is: DataFusion rewrites `sum(a + 1)` to `sum(a) + count(a)` when there are several.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PlainSum(Sum);

impl AggregateUDFImpl for PlainSum {
    fn name(&self) -> &'static str {
        "sum"
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
}
