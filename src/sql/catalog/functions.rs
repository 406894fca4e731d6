//! The functions that a query may call, by name.
//!
//! Owns which names there are. Knows no relation. Invariants: aggregate functions that have no durable state here are known by name, so
//! that a query that calls one is told what there is; `sum` is never rewritten into other aggregates, as what is kept in state must not
//! change with the optimizer.

mod as_of;
mod clock;
mod modulo;
mod parts;
mod pattern;
mod plain;
mod texts;
mod times;

pub use as_of::{AS_OF, AS_OF_START};
pub use clock::ClockFunction;

use super::number::Number;
use crate::sql::agg::AggregateFunction;
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::Result as PlanResult;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, HigherOrderUDF, ScalarUDF, Signature, WindowUDF,
    function::{AccumulatorArgs, StateFieldsArgs},
    planner::ExprPlanner,
};
use datafusion_functions_aggregate::sum::Sum;
use modulo::Modulo;
use std::{collections::BTreeMap, sync::Arc};

/// The functions that stand before OVER alone.
pub const WINDOW_FUNCTIONS: [&str; 6] =
    ["row_number", "rank", "dense_rank", "lag", "first_value", "last_value"];
/// What DataFusion has and streaming queries cannot use: functions of times of day, for which there is no type, and of files and metadata
/// of a plan.
const LEFT_OUT: [&str; 12] = [
    "arrow_field",
    "arrow_metadata",
    "current_time",
    "file_row_index",
    "input_file_name",
    "make_time",
    "now",
    "to_time",
    "union_extract",
    "union_tag",
    "version",
    "with_metadata",
];

/// Functions by their names and other names, in small letters.
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    higher_order: BTreeMap<String, Arc<HigherOrderUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    windows: BTreeMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// All of DataFusion's.
    pub fn new() -> Self {
        let mut functions = Functions {
            scalars: BTreeMap::new(),
            higher_order: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            windows: BTreeMap::new(),
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
                Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            ],
        };
        let of_datafusion = datafusion_functions::all_default_functions();
        for function in of_datafusion.into_iter().filter(|function| !LEFT_OUT.contains(&function.name())) {
            functions.add_scalar(function);
        }
        for function in datafusion_functions_nested::all_default_nested_functions() {
            functions.add_scalar(function);
        }
        functions.add_scalar(Arc::new(ScalarUDF::from(Modulo::new())));
        // After DataFusion's, as they take the place of those with their names.
        let own = clock::functions().into_iter().chain(texts::functions()).chain(times::functions());
        let own = own.chain(parts::functions()).chain(as_of::functions());
        own.for_each(|function| functions.add_scalar(Arc::new(function)));
        for function in datafusion_functions_nested::all_default_higher_order_functions() {
            functions.higher_order.insert(function.name().to_owned(), function);
        }
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for name in function.aliases() {
                functions.aggregates.insert(name.clone(), function.clone());
            }
            functions.aggregates.insert(function.name().to_owned(), function);
        }
        for function in datafusion_functions_window::all_default_window_functions() {
            if WINDOW_FUNCTIONS.contains(&function.name()) {
                functions.windows.insert(function.name().to_owned(), function);
            }
        }
        for name in ["row_number", "rank", "dense_rank"] {
            functions.windows.insert(name.to_owned(), Arc::new(WindowUDF::from(Number::new(name))));
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

    /// A function that stands before OVER alone.
    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
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
        let all = self.scalars.keys().chain(self.higher_order.keys()).chain(aggregates).map(String::as_str);
        all.filter(|name| !name.starts_with('$'))
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
