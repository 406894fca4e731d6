//! `JOIN t FOR SYSTEM_TIME AS OF time`, as a condition of the join.
//!
//! Owns where the clause may stand, and which tables it may follow. Knows no logical plan. Invariant: in the query that is planned there is no
//! such clause; the condition of the join names the time, and a table with versions is marked as such.

use crate::sql::{
    Span, SqlError, SqlResult, TableDefinition,
    catalog::{AS_OF, AS_OF_START, Catalog},
    connector::bounded,
    plan::{
        place::{name_of_function, name_of_object, place_of},
        stream_plan::TableRows,
    },
    walk::walk_mut,
};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, TableAlias, TableFactor,
    TableVersion, VisitorMut,
};
use std::ops::ControlFlow;

/// What the clause is called in messages.
const CLAUSE: &str = "FOR SYSTEM_TIME AS OF";

/// The query without such clauses.
///
/// # Errors
/// If one stands where it cannot, or behind a table that has no versions.
pub fn rewritten(catalog: &Catalog, query: &Query) -> SqlResult<Query> {
    let mut query = query.clone();
    match walk_mut(&mut query, &mut Rewrite { catalog }) {
        ControlFlow::Break(mistake) => Err(*mistake),
        ControlFlow::Continue(()) => Ok(query),
    }
}

/// A table that is marked, as its versions are meant: without the mark, and what it is called.
pub fn versioned(relation: &TableFactor) -> Option<(TableFactor, Option<TableAlias>)> {
    let mut table = relation.clone();
    let TableFactor::Table { version, alias, .. } = &mut table else { return None };
    // A script cannot write this: what can be written is refused where it is read.
    let Some(TableVersion::TimestampAsOf(_)) = version.take() else { return None };
    let alias = alias.take();
    Some((table, alias))
}

struct Rewrite<'a> {
    catalog: &'a Catalog,
}

impl VisitorMut for Rewrite<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        let mut joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
        match joins.try_for_each(|join| self.join(join)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(mistake) => ControlFlow::Break(Box::new(mistake)),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, version: Some(TableVersion::ForSystemTimeAsOf(_)), .. } = factor {
            let mistake = SqlError::at(place_of(name), format!("{CLAUSE} behind a table that nothing joins"))
                .because("it says at which time each row of the table before it looks at this one")
                .next("write FROM stream JOIN table FOR SYSTEM_TIME AS OF stream.ts ON ..");
            return ControlFlow::Break(Box::new(mistake));
        }
        ControlFlow::Continue(())
    }
}

impl Rewrite<'_> {
    fn join(&self, join: &mut Join) -> SqlResult {
        let TableFactor::Table { name, alias, version, .. } = &mut join.relation else { return Ok(()) };
        let Some(TableVersion::ForSystemTimeAsOf(time)) = version.clone() else { return Ok(()) };
        let (called, span) = (name_of_object(name), place_of(name));
        let Some(table) = self.catalog.table(&called) else {
            *version = None;
            // A name that nothing has is told as such.
            return if self.catalog.view(&called).is_some() { Err(of_view(&called, span)) } else { Ok(()) };
        };
        let is_static = bounded::is_bounded(table);
        let column = if is_static { first_column(table) } else { valid_from(table, &time, span)? };
        *version = (!is_static).then(|| TableVersion::TimestampAsOf(time.clone()));
        let relation = alias.as_ref().map_or_else(|| Ident::new(&called), |alias| alias.name.clone());
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)) = &mut join.join_operator
        else {
            return Err(SqlError::at(span, format!("{CLAUSE} in this kind of join"))
                .because(
                    "each row looks at a table once, and leaves with what it finds there, or with nothing",
                )
                .next("write JOIN or LEFT JOIN"));
        };
        if is_static && is_clock(&time) {
            return Ok(());
        }
        let function = if is_static { AS_OF_START } else { AS_OF };
        let column = Expr::CompoundIdentifier(vec![relation, Ident::with_quote('`', column)]);
        let marker = call(function, [time, column]);
        match constraint {
            JoinConstraint::On(on) => {
                let before = std::mem::replace(
                    on,
                    Expr::Value(datafusion_sql::sqlparser::ast::Value::Null.with_empty_span()),
                );
                *on = Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new(before))),
                    op: BinaryOperator::And,
                    right: Box::new(marker),
                };
            }
            JoinConstraint::None => *constraint = JoinConstraint::On(marker),
            // The same at all times.
            _ if is_static => {}
            _ => {
                return Err(
                    SqlError::at(span, format!("{CLAUSE} with USING")).next("write the condition with ON")
                );
            }
        }
        Ok(())
    }
}

fn of_view(name: &str, span: Option<Span>) -> SqlError {
    SqlError::at(span, format!("{CLAUSE} behind the view `{name}`"))
        .because("only tables say since when each of their rows is valid")
        .next("name the table that the view reads; conditions of the view can stand in WHERE")
}

fn first_column(table: &TableDefinition) -> String {
    table.columns.first().map_or_else(String::new, |column| column.name.clone())
}

/// Whether an expression asks the clock.
fn is_clock(time: &Expr) -> bool {
    matches!(time, Expr::Function(Function { name, .. }) if matches!(
        name_of_function(name).as_str(),
        "proctime" | "now" | "current_timestamp" | "localtimestamp" | "current_row_timestamp"
    ))
}

/// The column that says since when a row of the table is valid.
fn valid_from(table: &TableDefinition, time: &Expr, span: Option<Span>) -> SqlResult<String> {
    let name = &table.name;
    if TableRows::of(table) != TableRows::ByKey {
        return Err(SqlError::at(span, format!("table `{name}` has no versions, so none is valid at a time"))
            .because("its rows do not say which row they take the place of")
            .next("declare PRIMARY KEY (..) NOT ENFORCED WITH ('connector' = 'upsert-kafka', ..), and WATERMARK FOR a column that says since when a row is valid"));
    }
    if is_clock(time) {
        return Err(processing_time(name, span));
    }
    match &table.watermark {
        Some(watermark) => Ok(watermark.column.clone()),
        None => Err(SqlError::at(span, format!("table `{name}` does not say since when a row is valid"))
            .because("it has no WATERMARK, so nothing says either when all versions up to a time have come")
            .next("add WATERMARK FOR valid_from AS valid_from to the table; a join without FOR SYSTEM_TIME AS OF takes its rows as they change")),
    }
}

/// A look at a table that changes, at the time of the clock.
pub fn processing_time(table: &str, span: Option<Span>) -> SqlError {
    SqlError::at(span, format!("table `{table}` as of the time of the clock"))
        .because("which row is there when another one comes is a matter of chance, and would be another one after a restart")
        .next("write FOR SYSTEM_TIME AS OF the column of event time; or leave it out: the answer then follows the table as it changes")
}

fn call(name: &str, arguments: [Expr; 2]) -> Expr {
    let args = arguments.map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).to_vec();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
