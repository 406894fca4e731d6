//! The functions that a query may call, by name.
//!
//! Owns which names there are. Knows no relation. Invariants: aggregate functions that have no durable state here are known by name, so
//! that a query that calls one is told what there is; no aggregate is rewritten into others, as what is kept in state must not change
//! with the optimizer.

mod aggregates;
mod as_of;
mod calls;
mod clock;
mod dates;
mod json;
mod modulo;
mod parts;
mod pattern;
mod plain;
mod texts;
mod times;
mod user_defined;

pub use as_of::{AS_OF, AS_OF_START};
pub use clock::ClockFunction;
pub use dates::{TIMESTAMPADD, TIMESTAMPDIFF};
pub use user_defined::{Arguments, Compute, NoCalls, UserDefined, shown_function};

use super::number::Number;
use crate::sql::{SqlError, SqlResult, agg::AggregateFunction};
use calls::{MAX_BY, MIN_BY};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF, planner::ExprPlanner};
use modulo::Modulo;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use user_defined::HIDDEN;

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

/// What looks like a call and is none of a function here: windows, and what has a refusal of its own.
const NOT_FREE: [&str; 11] = [
    "cumulate",
    "current_time",
    "hop",
    "localtime",
    "make_time",
    "session",
    "session_window",
    "to_time",
    "tumble",
    "unnest",
    "window",
];

/// Functions by their names and other names, in small letters.
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    /// Which of them are functions of the program.
    user_defined: BTreeSet<String>,
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
            user_defined: BTreeSet::new(),
            higher_order: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            windows: BTreeMap::new(),
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
                Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
                Arc::new(calls::AggregateCalls),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(texts::Substring),
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
        let own = clock::functions()
            .into_iter()
            .chain(texts::functions())
            .chain(times::functions())
            .chain(dates::functions());
        let own = own.chain(parts::functions()).chain(json::functions()).chain(as_of::functions());
        own.for_each(|function| functions.add_scalar(Arc::new(function)));
        for function in datafusion_functions_nested::all_default_higher_order_functions() {
            functions.higher_order.insert(function.name().to_owned(), function);
        }
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            functions.add_aggregate(function);
        }
        // After DataFusion's, as they take the place of those with their names.
        aggregates::functions().into_iter().for_each(|function| functions.add_aggregate(Arc::new(function)));
        for (other, name) in aggregates::OTHER_NAMES {
            if let Some(function) = functions.aggregate(name) {
                functions.aggregates.insert(other.to_owned(), function);
            }
        }
        for function in datafusion_functions_window::all_default_window_functions() {
            if WINDOW_FUNCTIONS.contains(&function.name()) {
                functions.windows.insert(function.name().to_owned(), function);
            }
        }
        for name in ["row_number", "rank", "dense_rank"] {
            functions.windows.insert(name.to_owned(), Arc::new(WindowUDF::from(Number::new(name))));
        }
        functions
    }

    /// One more, or another one in the place of one.
    fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        for name in function.aliases() {
            self.aggregates.insert(name.clone(), function.clone());
        }
        self.aggregates.insert(function.name().to_owned(), function);
    }

    /// One more.
    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        for name in function.aliases() {
            self.scalars.insert(name.clone(), function.clone());
        }
        self.scalars.insert(function.name().to_owned(), function);
    }

    /// Adds a function of the program, in the place of one that had its name.
    ///
    /// # Errors
    /// If SQL has a function of this name.
    pub fn declare(&mut self, function: UserDefined) -> SqlResult {
        let name = function.name.as_str();
        let is_of_sql = self.scalars.contains_key(name)
            || self.higher_order.contains_key(name)
            || self.aggregates.contains_key(name)
            || self.windows.contains_key(name)
            || NOT_FREE.contains(&name);
        if is_of_sql && !self.user_defined.contains(name) {
            return Err(SqlError::at(None, format!("`{name}` is a function of SQL"))
                .because("a query that calls it would mean either of two")
                .next("give the function another name"));
        }
        self.user_defined.insert(function.name.clone());
        self.scalars.insert(function.name.clone(), Arc::new(function.into_scalar()));
        Ok(())
    }

    /// A name that no function has and no text of SQL can call, which is shown as this one.
    pub fn hidden_name(&self, name: &str) -> String {
        // Only of these letters it is agreed what a small one is.
        let name = if name.is_ascii() { name.to_owned() } else { name.to_lowercase() };
        let first = format!("{HIDDEN}{name}");
        let others = (2_u64..).map(|number| format!("{first}{HIDDEN}{number}"));
        let mut names = std::iter::once(first.clone()).chain(others);
        names.find(|name| !self.scalars.contains_key(&name.to_lowercase())).unwrap_or(first)
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
            "first_value" | "any_value" | MAX_BY | MIN_BY => AggregateFunction::First,
            "last_value" => AggregateFunction::Last,
            "array_agg" => AggregateFunction::ArrayAgg,
            "collect_list" | "collect_set" => AggregateFunction::CollectList,
            "string_agg" => AggregateFunction::StringAgg,
            "median" => AggregateFunction::Median,
            "percentile_cont" => AggregateFunction::PercentileCont,
            "percentile_disc" => AggregateFunction::PercentileDisc,
            _ => return None,
        })
    }

    /// All names that a query may call.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let aggregates = self.aggregates.keys().filter(|name| self.durable(name).is_some());
        let all = self.scalars.keys().chain(self.higher_order.keys()).chain(aggregates).map(String::as_str);
        all.filter(|name| !name.starts_with(HIDDEN))
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
