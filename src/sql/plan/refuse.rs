//! What a query may not say, read from the query itself before it is planned.
//!
//! Owns the refusals that need no types: names of relations and functions that do not exist, clauses that make no sense over rows that
//! never end, and what no operator does yet. Knows no plan. Invariant: each refusal has a place, a reason or the next step.

use super::{
    place::{name_of, name_of_function, name_of_object, place_of, place_of_query},
    windows::{WindowCall, WindowInput, is_window_function},
};
use crate::sql::{
    SqlError, SqlResult,
    agg::AggregateFunction,
    catalog::{Catalog, WINDOW_FUNCTIONS},
    closest::closest,
    parse::TableFunctionCall,
    walk::{each_expr, walk},
};
use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Join, JoinOperator,
    LimitClause, ObjectName, OrderByKind, Query, Select, SetExpr, SetOperator, Spanned, TableFactor, Visit,
    Visitor,
};
use std::ops::ControlFlow;

/// The aggregate functions that there are, for messages.
pub const AGGREGATES: &str = "count, sum, avg, min, max, bool_and, bool_or, var_samp, var_pop, stddev_samp, stddev_pop, first_value, \
     last_value, any_value, array_agg, collect_list, collect_set, string_agg, median, percentile_cont and percentile_disc";

/// Functions of the clock.
const CLOCK_FUNCTIONS: [&str; 7] = [
    "now",
    "current_timestamp",
    "current_row_timestamp",
    "current_date",
    "localtimestamp",
    "today",
    "proctime",
];

/// Functions of other dialects and what they are called here.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("ifnull", "coalesce"),
    ("isnull", "coalesce"),
    ("len", "length"),
    ("substring_index", "split_part"),
    ("unix_millis", "to_unixtime"),
    ("approx_count_distinct", "count(DISTINCT ..)"),
    ("count_distinct", "count(DISTINCT ..)"),
    ("truncate", "trunc"),
    ("rand", "random"),
];

/// Functions that are about right, and those that are.
const EXACT: [(&str, &str); 3] = [
    ("approx_distinct", "count(DISTINCT ..)"),
    ("approx_median", "median(..)"),
    ("approx_percentile_cont", "percentile_cont(..) WITHIN GROUP (ORDER BY ..)"),
];

/// Where a query may have ORDER BY without LIMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaySort {
    /// Nowhere.
    Nowhere,
    /// At its end: all rows are shown, again and again.
    AtTheEnd,
    /// Everywhere, and LIMIT without ORDER BY too: its rows have an end.
    Everywhere,
}

/// Finds the first thing in a query that cannot be.
///
/// # Errors
/// That thing.
pub fn check_query(catalog: &Catalog, query: &Query, may_sort: MaySort) -> Result<(), SqlError> {
    let mut check = Check { catalog, with: Vec::new(), in_call: vec![], may_sort };
    match walk(query, &mut check) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The same for a single expression, such as that of a computed column.
///
/// # Errors
/// The first thing that cannot be.
pub fn check_expr(catalog: &Catalog, expr: &Expr) -> Result<(), SqlError> {
    let mut check = Check { catalog, with: Vec::new(), in_call: vec![], may_sort: MaySort::Nowhere };
    let ControlFlow::Break(error) = walk(expr, &mut check) else { return Ok(()) };
    Err(*error)
}

struct Check<'a> {
    catalog: &'a Catalog,
    /// Names of `WITH`, of the queries around.
    with: Vec<Vec<String>>,
    /// Whether this is inside of a call of a windowing function, and not in a query in it; of the queries around too.
    in_call: Vec<bool>,
    may_sort: MaySort,
}

type Found = ControlFlow<Box<SqlError>>;

fn refuse(error: SqlError) -> Found {
    ControlFlow::Break(Box::new(error))
}

fn not_yet(part: &impl Spanned, what: &str) -> SqlError {
    SqlError::at(place_of(part), format!("{what} not supported"))
}

const GO_ON: Found = ControlFlow::Continue(());

impl Visitor for Check<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with.push(with.map(|cte| name_of(&cte.alias.name)).collect());
        self.in_call.push(false);
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            let error = not_yet(with, "WITH RECURSIVE is");
            return refuse(error.because("each new row would have to start the recursion again"));
        }
        if let Some(error) = self.order_mistake(query) {
            return refuse(error);
        }
        if !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            let what = "FOR, SETTINGS, FORMAT and |> behind a query are";
            return refuse(
                SqlError::at(place_of_query(query), format!("{what} not supported")).next("leave it out"),
            );
        }
        check_body(&query.body)
    }

    fn post_visit_query(&mut self, _query: &Query) -> Found {
        self.with.pop();
        self.in_call.pop();
        GO_ON
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        if let Some(error) = self.select_mistake(select) { refuse(error) } else { GO_ON }
    }

    fn post_visit_table_factor(&mut self, _factor: &TableFactor) -> Found {
        self.in_call.last_mut().into_iter().for_each(|in_call| *in_call = false);
        GO_ON
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Found {
        if let Some(call) = TableFunctionCall::of(factor).filter(|call| is_window_function(call.name)) {
            self.in_call.last_mut().into_iter().for_each(|in_call| *in_call = true);
            return match self.window_mistake(&call) {
                Err(mistake) => refuse(mistake),
                Ok(()) => GO_ON,
            };
        }
        let error = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                table_function(&name_of_function(name), name)
            }
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                table_function(&name_of_function(&function.name), &function.name)
            }
            TableFactor::Table { name, sample: Some(_), .. } => {
                not_yet(name, "TABLESAMPLE is").because("another run would keep other rows")
            }
            TableFactor::Table { .. } | TableFactor::Derived { sample: None, lateral: false, .. } => {
                return GO_ON;
            }
            TableFactor::Derived { lateral: true, .. } => not_yet(factor, "LATERAL is"),
            TableFactor::NestedJoin { .. } => return GO_ON,
            TableFactor::UNNEST { .. } => not_yet(factor, "UNNEST in FROM is"),
            TableFactor::MatchRecognize { .. } => not_yet(factor, "MATCH_RECOGNIZE is"),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => not_yet(factor, "PIVOT is")
                .next("write one aggregate per column: sum(x) FILTER (WHERE y = ..)"),
            _ => not_yet(factor, "this kind of table is"),
        };
        refuse(error)
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Found {
        let name = name_of_object(relation);
        if self.is_in_call() {
            return GO_ON;
        }
        if self.catalog.can_read(&name) || self.with.iter().flatten().any(|with| *with == name) {
            return GO_ON;
        }
        let with = self.with.iter().flatten().map(String::as_str);
        refuse(self.catalog.unknown_relation(&name, place_of(relation), with))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        let error = match expr {
            // What the arguments of a windowing function are has been looked at.
            Expr::Function(_) | Expr::Subquery(_) if self.is_in_call() => None,
            Expr::Function(function) => self.function_mistake(function),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => match right.as_ref() {
                Expr::Subquery(subquery) => Some(subquery_mistake(subquery)),
                _ => None,
            },
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => Some(
                not_yet(expr, "GROUPING SETS, CUBE and ROLLUP are")
                    .next("write one query for each grouping and put UNION ALL between them"),
            ),
            _ => None,
        };
        error.map_or(GO_ON, refuse)
    }
}

fn check_body(body: &SetExpr) -> Found {
    match body {
        SetExpr::SetOperation {
            op: SetOperator::Union | SetOperator::Intersect | SetOperator::Except,
            ..
        }
        | SetExpr::Select(_)
        | SetExpr::Query(_) => GO_ON,
        SetExpr::SetOperation { right, op, .. } => {
            refuse(SqlError::at(place_of(right.as_ref()).map(first), format!("{op} is not supported")))
        }
        SetExpr::Values(values) => refuse(
            SqlError::at(place_of(values), "VALUES is not supported")
                .because("a query reads at least one table, as rows come from topics"),
        ),
        SetExpr::Table(_) => {
            refuse(SqlError::at(None, "TABLE t is not supported").next("write SELECT * FROM t"))
        }
        other => refuse(SqlError::at(place_of(other), "a query begins with SELECT or WITH")),
    }
}

/// A place of one character, where something longer begins.
fn first(span: crate::sql::Span) -> crate::sql::Span {
    crate::sql::Span { width: 1, ..span }
}

fn subquery_mistake(subquery: &Query) -> SqlError {
    SqlError::at(place_of_query(subquery), "a comparison with ANY or ALL rows of a query is not supported")
        .because("each change of its answer would touch every row that was compared with it")
        .next("write IN, EXISTS or NOT EXISTS, with an equality of columns of both queries")
}

fn table_function(name: &str, part: &impl Spanned) -> SqlError {
    const WINDOWS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];
    if WINDOWS.contains(&name) {
        return not_yet(part, &format!("the window function {} is", name.to_uppercase()));
    }
    let error = SqlError::at(place_of(part), format!("there is no table function `{name}`"));
    match closest(name, WINDOWS) {
        Some(close) => error.next(format!("did you mean `{close}`?")),
        None => error.next("in FROM stand the names of tables and views, or queries in parentheses"),
    }
}

impl Check<'_> {
    /// ORDER BY without LIMIT, or the other way round.
    fn order_mistake(&self, query: &Query) -> Option<SqlError> {
        if let Some(fetch) = &query.fetch {
            return Some(not_yet(fetch, "FETCH FIRST is").next("write LIMIT and the number of rows"));
        }
        if self.may_sort == MaySort::Everywhere {
            return None;
        }
        match (&query.order_by, &query.limit_clause) {
            (Some(order_by), None) => {
                if self.may_sort == MaySort::AtTheEnd && self.with.len() == 1 {
                    return None;
                }
                let place = match &order_by.kind {
                    OrderByKind::Expressions(exprs) => exprs.first().and_then(|by| place_of(&by.expr)),
                    OrderByKind::All(_) => None,
                };
                let error = SqlError::at(
                    place.or_else(|| place_of_query(query)),
                    "ORDER BY over rows that never end",
                )
                .because("a stream has no end to sort by");
                Some(error.next("add LIMIT, or leave ORDER BY out; a table WITH ('connector' = 'console', 'output_mode' = 'complete') shows all rows in order"))
            }
            (None, Some(limit)) => {
                let place = match limit {
                    LimitClause::LimitOffset { limit: Some(limit), .. }
                    | LimitClause::OffsetCommaLimit { limit, .. } => place_of(limit),
                    limit @ LimitClause::LimitOffset { .. } => place_of(limit),
                };
                Some(
                    SqlError::at(place.or_else(|| place_of_query(query)), "LIMIT without ORDER BY")
                        .because(
                            "which rows it keeps is a matter of chance, and would change with every restart",
                        )
                        .next("add ORDER BY, or leave LIMIT out"),
                )
            }
            _ => None,
        }
    }

    fn is_in_call(&self) -> bool {
        self.in_call.last().is_some_and(|in_call| *in_call)
    }

    fn window_mistake(&self, call: &TableFunctionCall<'_>) -> SqlResult {
        let WindowInput::Table(name) = WindowCall::of(call)?.input else { return Ok(()) };
        let table = ObjectName::from(name.to_vec());
        let name = name_of_object(&table);
        if self.catalog.can_read(&name) || self.with.iter().flatten().any(|with| *with == name) {
            return Ok(());
        }
        let with = self.with.iter().flatten().map(String::as_str);
        Err(self.catalog.unknown_relation(&name, place_of(&table), with))
    }

    fn select_mistake(&self, select: &Select) -> Option<SqlError> {
        let at = || place_of(select).map(|span| crate::sql::Span { width: 6, ..span });
        if let Some(Distinct::On(_)) = &select.distinct {
            return Some(SqlError::at(at(), "DISTINCT ON is not supported"));
        }
        if select.from.is_empty() {
            return Some(
                SqlError::at(at(), "this query reads no table")
                    .because("rows come from topics, so every query has a FROM")
                    .next("add FROM and the name of a table or view"),
            );
        }
        if let Some(error) = select.from.iter().flat_map(|from| &from.joins).find_map(join_mistake) {
            return Some(error);
        }
        if select.top.is_some()
            || select.into.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || !select.named_window.is_empty()
        {
            let what = "TOP, INTO, LATERAL VIEW, PREWHERE, CONNECT BY, CLUSTER BY, DISTRIBUTE BY, SORT BY and WINDOW are";
            return Some(SqlError::at(at(), format!("{what} not supported")).next("leave it out"));
        }
        let mut conditions = select.selection.iter().chain(&select.having);
        let mut on = select.from.iter().flat_map(|from| &from.joins).map(|join| &join.join_operator);
        if let Some((name, span)) = conditions.find_map(clock_in).or_else(|| on.find_map(clock_in)) {
            return Some(
                SqlError::at(span, format!("`{name}` cannot stand in a condition"))
                    .because("rows would have to leave the answer as time passes, without any input")
                    .next("group by windows of a column with WATERMARK, or join within bounds of time"),
            );
        }
        let aggregate = |expr: &Expr| self.aggregate_in(expr);
        if let Some((name, span)) = select.selection.as_ref().and_then(aggregate) {
            return Some(
                SqlError::at(span, format!("the aggregate `{name}` cannot stand in WHERE"))
                    .because("WHERE chooses rows before they are grouped")
                    .next(format!("write HAVING behind GROUP BY, or {name}(..) FILTER (WHERE ..)")),
            );
        }
        if let GroupByExpr::Expressions(exprs, modifiers) = &select.group_by {
            if let Some((name, span)) = exprs.iter().find_map(aggregate) {
                return Some(
                    SqlError::at(span, format!("the aggregate `{name}` cannot stand in GROUP BY"))
                        .because("a group is known before anything is computed of it"),
                );
            }
            if !modifiers.is_empty() {
                return Some(
                    SqlError::at(
                        place_of(&select.group_by),
                        "WITH ROLLUP, CUBE and TOTALS are not supported",
                    )
                    .next("write one query for each grouping and put UNION ALL between them"),
                );
            }
        }
        None
    }

    fn function_mistake(&self, function: &Function) -> Option<SqlError> {
        let name = name_of_function(&function.name);
        let span = place_of(&function.name);
        let functions = self.catalog.functions();
        if function.over.is_some() {
            let has_frames = functions.durable(&name).is_some_and(AggregateFunction::has_frames);
            let is_known = functions.window(&name).is_some() || has_frames;
            return (!is_known).then(|| {
                let others = "the aggregates that keep no values";
                SqlError::at(span, format!("`{name}` with OVER is not supported"))
                    .next(format!("there are {}, and {others}", WINDOW_FUNCTIONS.join(", ")))
            });
        }
        if ["current_time", "localtime", "make_time", "to_time"].contains(&name.as_str()) {
            return Some(
                SqlError::at(span, format!("`{name}` is not supported"))
                    .because("there is no type for a time of day")
                    .next("write CURRENT_TIMESTAMP, and take its parts: HOUR(..), MINUTE(..)"),
            );
        }
        if functions.aggregate(&name).is_some() {
            return self.aggregate_mistake(&name, function);
        }
        if name == "unnest" || functions.scalar(&name).is_some() || functions.higher_order(&name).is_some() {
            return None;
        }
        let error = SqlError::at(span, format!("there is no function `{name}`"));
        let close = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, here)| *here);
        Some(match close.or_else(|| closest(&name, functions.names())) {
            Some(close) => error.next(format!("did you mean `{close}`?")),
            None => error.next("the functions are listed in docs/sql.md"),
        })
    }

    /// What an aggregate cannot say.
    fn aggregate_mistake(&self, name: &str, function: &Function) -> Option<SqlError> {
        let span = place_of(&function.name);
        let functions = self.catalog.functions();
        let (Some(of), Some(planned)) = (functions.durable(name), functions.aggregate(name)) else {
            let exact = EXACT.iter().find(|(about, _)| *about == name);
            let next = exact.map_or_else(
                || format!("there are {AGGREGATES}"),
                |(_, exact)| format!("write {exact}, which is exact"),
            );
            let error = SqlError::at(span, format!("the aggregate `{name}` is not supported"));
            return Some(error.because("what it keeps of a group has no durable form yet").next(next));
        };
        if !function.within_group.is_empty() && !planned.supports_within_group_clause() {
            let error = SqlError::at(span, format!("`{name}` with WITHIN GROUP is not supported"));
            return Some(if of.is_ordered() {
                error.next(format!("put the order inside: {name}(.. ORDER BY ..)"))
            } else {
                error
            });
        }
        let FunctionArguments::List(arguments) = &function.args else { return None };
        if let Some((inner, span)) = self.aggregate_in_arguments(&function.args) {
            return Some(
                SqlError::at(span, format!("the aggregate `{inner}` cannot stand inside of `{name}`"))
                    .because("one SELECT groups once")
                    .next("compute the inner one in a query in FROM, or in a view"),
            );
        }
        let is_taken = |clause: &FunctionArgumentClause| match clause {
            FunctionArgumentClause::OrderBy(_) => of.is_ordered(),
            FunctionArgumentClause::IgnoreOrRespectNulls(_) => planned.supports_null_handling_clause(),
            _ => false,
        };
        if arguments.clauses.iter().all(is_taken) {
            return None;
        }
        if of.is_ordered() {
            let error = SqlError::at(
                span,
                format!("clauses other than ORDER BY inside of `{name}` are not supported"),
            );
            return Some(error.next("a separator is the second argument: string_agg(x, ', ')"));
        }
        let what = format!("ORDER BY and other clauses inside of `{name}` are not supported");
        Some(SqlError::at(span, what).because("its answer does not depend on the order of rows"))
    }

    fn aggregate_in_arguments(
        &self,
        arguments: &FunctionArguments,
    ) -> Option<(String, Option<crate::sql::Span>)> {
        self.first_aggregate(|visitor| walk(arguments, visitor))
    }

    /// The first aggregate of an expression, not of queries inside of it.
    fn aggregate_in(&self, expr: &Expr) -> Option<(String, Option<crate::sql::Span>)> {
        self.first_aggregate(|visitor| walk(expr, visitor))
    }

    fn first_aggregate(
        &self,
        visit: impl FnOnce(&mut FirstAggregate<'_>) -> ControlFlow<(String, Option<crate::sql::Span>)>,
    ) -> Option<(String, Option<crate::sql::Span>)> {
        let mut visitor = FirstAggregate { catalog: self.catalog, depth: 0 };
        match visit(&mut visitor) {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }
}

/// The first function of the clock in a condition, not in queries inside of it.
fn clock_in(condition: &impl Visit) -> Option<(String, Option<crate::sql::Span>)> {
    let found = each_expr(condition, |expr| match expr {
        Expr::Function(Function { name, .. })
            if CLOCK_FUNCTIONS.contains(&name_of_function(name).as_str()) =>
        {
            ControlFlow::Break((name_of_function(name), place_of(name)))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

fn join_mistake(join: &Join) -> Option<SqlError> {
    let what = match &join.join_operator {
        JoinOperator::AsOf { .. } => "ASOF JOIN is",
        JoinOperator::CrossApply | JoinOperator::OuterApply => "APPLY is",
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            "ARRAY JOIN is"
        }
        JoinOperator::StraightJoin(_) => "STRAIGHT_JOIN is",
        _ => return None,
    };
    let error = not_yet(&join.relation, what);
    Some(error.next("write JOIN, LEFT JOIN, RIGHT JOIN or FULL JOIN with ON"))
}

struct FirstAggregate<'a> {
    catalog: &'a Catalog,
    depth: usize,
}

impl Visitor for FirstAggregate<'_> {
    type Break = (String, Option<crate::sql::Span>);

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(Function { name, .. }) if self.depth == 0 => {
                let called = name_of_function(name);
                if self.catalog.functions().aggregate(&called).is_some() {
                    return ControlFlow::Break((called, place_of(name)));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
