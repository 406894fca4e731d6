//! Aggregates, and what may not stand below them.
//!
//! Owns which columns an aggregate reads and the names of states. Knows no function's code. Invariants: what an aggregate reads are
//! columns of its input, each once; no function that gives another value each time decides what is kept in state.

mod call;
mod share;

use super::{
    Computed, Lower, Relation, below::unalias, sessions::SessionKeys, varies, windows::WindowedKeys,
};
use crate::operator::Gives;
use crate::sql::{
    SqlError, SqlResult,
    agg::AggregateCall,
    catalog::shown_function,
    op::{SessionColumn, WindowEnds},
    plan::{
        explain::expr_text,
        mistakes::plain_text,
        place::{find_call, place_of_query},
        stream_plan::{Properties, StreamNodeId, StreamOperator, WindowEnd},
        types::plain,
    },
};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_expr::{Aggregate, Expr};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column};
use std::sync::Arc;

impl Lower<'_> {
    /// One row for each group.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> SqlResult<Relation> {
        let start = self.plan.nodes.len();
        let input = self.lower(&aggregate.input)?;
        let mut needed = Needed { columns: Vec::new() };
        let mut keys = Vec::with_capacity(aggregate.group_expr.len());
        for (expr, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Err(self.refused("GROUPING SETS, CUBE and ROLLUP are not supported"));
            }
            let key = self.physical(unalias(expr), &input)?;
            let (data_type, is_nullable) = (field.data_type().clone(), field.is_nullable());
            keys.push(needed.add(key, data_type, is_nullable));
        }
        let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
        // A key is called as the query calls it, if it does.
        let called =
            |(expr, field): (&Expr, &FieldRef)| matches!(expr, Expr::Column(_)).then(|| field.name().clone());
        let names: Vec<String> = aggregate
            .group_expr
            .iter()
            .zip(aggregate.schema.fields())
            .zip(&keys)
            .map(|(key, &slot)| called(key).unwrap_or_else(|| needed.columns[slot].1.name().clone()))
            .collect();
        for (expr, field) in aggregate.aggr_expr.iter().zip(aggregate.schema.fields().iter().skip(keys.len()))
        {
            let Expr::AggregateFunction(call) = unalias(expr) else {
                return Err(self.refused("a part of this query is no aggregate"));
            };
            calls.push(self.call(call, field, &input, &mut needed)?);
        }
        self.check_repeatable(&input, &needed)?;
        let direct: Option<Vec<usize>> =
            needed.columns.iter().map(|(expr, _)| Some(expr.downcast_ref::<Column>()?.index())).collect();
        let node = match direct.filter(|_| input.predicate.is_none()) {
            Some(at) => {
                moved_to(&at, &mut keys, &mut calls);
                input.node
            }
            None => self.calc(&input, needed.columns),
        };
        if let Some(sessions) = self.session_keys(node, &keys, &calls)? {
            return Ok(self.sessions(node, aggregate, &names, calls, sessions));
        }
        let WindowedKeys { order, windows } = self.windowed_keys(node, &keys);
        let before = &self.node(node).properties;
        let key_of = |column: usize| order.iter().position(|key| keys[*key] == column);
        let is_final = windows.is_some_and(|windows| windows.gives == Gives::Finals);
        let properties = Properties {
            // The rows of SELECT DISTINCT over rows that only grow are only added.
            is_append_only: is_final || calls.is_empty() && !keys.is_empty() && before.is_append_only,
            unique_key: Some((0..keys.len()).collect()),
            time_column: before.time_column.filter(|_| windows.is_some()).and_then(key_of),
            window_end: windows.map(|windows| WindowEnd { column: 0, ends: windows.ends }),
        };
        let all: Vec<usize> =
            order.iter().copied().chain(keys.len()..aggregate.schema.fields().len()).collect();
        let names: Vec<&String> = names.iter().chain(calls.iter().map(|call| &call.name)).collect();
        let fields: Vec<_> = all
            .iter()
            .map(|at| (names[*at], aggregate.schema.field(*at)))
            .map(|(name, field)| Arc::new(Field::new(name, plain(field.data_type()), field.is_nullable())))
            .collect();
        let mut columns = vec![0; all.len()]; // of the query, among those of the node
        all.iter().enumerate().for_each(|(here, at)| columns[*at] = here);
        let keys = order.iter().map(|key| keys[*key]).collect();
        let name = self.state_name("aggregate");
        let operator = StreamOperator::Aggregate { name, keys, calls, windows };
        let node = match self.take_shared(&operator, node, start) {
            Some(shared) => shared,
            None => self.add(operator, vec![node], fields, properties),
        };
        Ok(Relation { node, columns, predicate: None, schema: aggregate.schema.clone() })
    }

    /// One row for each session.
    fn sessions(
        &mut self,
        input: StreamNodeId,
        aggregate: &Aggregate,
        names: &[String],
        calls: Vec<AggregateCall>,
        sessions: SessionKeys,
    ) -> Relation {
        let gives = sessions.gives(self.gives);
        let SessionKeys { columns, group, time, gap_ms, closes } = sessions;
        let position = |wanted| columns.iter().position(|column| *column == wanted).filter(|_| closes);
        let ends = WindowEnds { step_ms: 1, offset_ms: 0 };
        let properties = Properties {
            is_append_only: gives == Gives::Finals,
            unique_key: Some((0..columns.len()).collect()),
            time_column: position(SessionColumn::Time),
            window_end: position(SessionColumn::End).map(|column| WindowEnd { column, ends }),
        };
        let names = names.iter().chain(calls.iter().map(|call| &call.name));
        let fields: Vec<_> = names
            .zip(aggregate.schema.fields())
            .map(|(name, field)| Arc::new(Field::new(name, plain(field.data_type()), field.is_nullable())))
            .collect();
        let name = self.state_name("sessions");
        let count = fields.len();
        let operator = StreamOperator::Sessions { name, group, calls, columns, time, gap_ms, closes, gives };
        let node = self.add(operator, vec![input], fields, properties);
        Relation { node, columns: (0..count).collect(), predicate: None, schema: aggregate.schema.clone() }
    }

    pub(super) fn type_of(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        input: &Relation,
    ) -> SqlResult<(DataType, bool)> {
        let schema = &self.node(input.node).schema;
        let known = expr.data_type(schema).and_then(|data_type| Ok((data_type, expr.nullable(schema)?)));
        known.map_err(|error| self.refused(&plain_text(&error)))
    }

    /// A name that no state of the script has.
    pub(super) fn state_name(&self, kind: &str) -> String {
        let is_taken = |wanted: &str| {
            self.plan.nodes.iter().any(|node| node.operator.state().is_some_and(|state| state.name == wanted))
        };
        let first = format!("{}.{kind}", self.name);
        if !is_taken(&first) {
            return first;
        }
        let mut number = 2;
        loop {
            let name = format!("{first}-{number}");
            if !is_taken(&name) {
                return name;
            }
            number += 1;
        }
    }

    /// What state depends on must be the same when a row is taken away as when it was added.
    fn check_repeatable(&self, input: &Relation, needed: &Needed) -> SqlResult {
        let here = needed.columns.iter().map(|(expr, _)| expr).chain(&input.predicate);
        let is_append_only = self.node(input.node).properties.is_append_only;
        if here.into_iter().any(|expr| varies(expr, is_append_only)) || self.is_volatile_below(input.node) {
            return Err(self.volatile_mistake("below an aggregate"));
        }
        Ok(())
    }

    /// Whether a node, or one before it, calls a function that gives another value each time. That of the clock does not, over rows that
    /// are only added.
    pub fn is_volatile_below(&self, node: StreamNodeId) -> bool {
        let node = self.node(node);
        let grows = |input: &StreamNodeId| self.node(*input).properties.is_append_only;
        let is_append_only = node.inputs.iter().all(grows);
        let here = match &node.operator {
            StreamOperator::Calc { predicate, columns } => {
                columns.iter().chain(predicate).any(|expr| varies(expr, is_append_only))
            }
            _ => false,
        };
        here || node.inputs.iter().any(|&input| self.is_volatile_below(input))
    }

    /// The refusal of such a function.
    pub fn volatile_mistake(&self, place: &str) -> SqlError {
        let is_volatile = |name: &str| {
            self.catalog.functions().scalar(name).is_some_and(|function| {
                function.signature().volatility == datafusion_expr::Volatility::Volatile
            })
        };
        let views = self.catalog.names().filter_map(|name| self.catalog.view(name));
        let found = find_call(self.query, is_volatile)
            .or_else(|| views.into_iter().find_map(|view| find_call(view, is_volatile)));
        let (name, span) =
            found.map_or((None, place_of_query(self.query)), |(name, span)| (Some(name), Some(span)));
        let name = name.map_or_else(
            || "a function that gives another value each time".to_owned(),
            |name| format!("`{}`", shown_function(&name)),
        );
        SqlError::at(span, format!("{name} cannot stand {place}"))
            .because("a change could not be taken back, as the function gives another value each time")
            .next("compute it in the last query, from rows that only grow")
    }
}

/// The columns that an aggregate reads, each once.
struct Needed {
    columns: Vec<Computed>,
}

impl Needed {
    fn add(&mut self, expr: Arc<dyn PhysicalExpr>, data_type: DataType, is_nullable: bool) -> usize {
        if let Some(at) = self.columns.iter().position(|(other, _)| other.as_ref() == expr.as_ref()) {
            return at;
        }
        let name = expr_text(&expr);
        self.columns.push((expr, Arc::new(Field::new(name, data_type, is_nullable))));
        self.columns.len() - 1
    }
}

/// Keys and calls that read these columns in the place of their slots.
fn moved_to(columns: &[usize], keys: &mut [usize], calls: &mut [AggregateCall]) {
    let place = |slot: &mut usize| *slot = columns[*slot];
    keys.iter_mut().for_each(place);
    calls.iter_mut().for_each(|call| call.arguments.iter_mut().chain(&mut call.filter).for_each(place));
}
