//! Functions with `OVER` that are no top-N: by event time, over rows that only grow.
//!
//! Owns what they may be. Knows no operator's code. Invariant: each refusal says what to write instead.

use super::{Lower, Relation, below::unalias};
use crate::{
    operator::Gives,
    sql::{
        SqlError, SqlResult,
        agg::{AggregateCall, CallDetails},
        op::{Frame, OverCall, OverFunction, WindowEnds},
        plan::{
            explain::call_text,
            place::{find_over, place_of_query},
            stream_plan::{ClosingWindows, Properties, StreamOperator},
            types::plain,
        },
    },
};
use arrow::datatypes::{DataType, Field};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    Expr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    expr::{NullTreatment, WindowFunction},
};
use std::sync::Arc;

/// What a call needs: its arguments, then its filter if there is one.
struct Needs {
    arguments: Vec<Expr>,
    has_filter: bool,
}

impl Lower<'_> {
    /// Each row with what functions make of the rows before it.
    pub(super) fn over(&mut self, window: &Window) -> SqlResult<Relation> {
        let input = self.lower(&window.input)?;
        self.over_of(&input, window)
    }

    /// The same of rows that are lowered already.
    pub(super) fn over_of(&mut self, input: &Relation, window: &Window) -> SqlResult<Relation> {
        let calls = window.window_expr.iter().map(|expr| match unalias(expr) {
            Expr::WindowFunction(call) => Ok(call.as_ref()),
            _ => Err(self.refused("a part of this query is no function with OVER")),
        });
        let calls = calls.collect::<SqlResult<Vec<&WindowFunction>>>()?;
        let Some(first) = calls.first() else {
            return Err(self.refused("a part of this query is no function with OVER"));
        };
        let [by] = &first.params.order_by[..] else {
            let order = if first.params.order_by.is_empty() { "no ORDER BY" } else { "several columns" };
            return Err(self
                .over_mistake(first, &format!("with OVER has {order}"))
                .because("rows that never end have an order by event time only")
                .next("write ORDER BY and the column of the table's WATERMARK"));
        };
        let needs = calls.iter().map(|call| self.needs(call)).collect::<SqlResult<Vec<_>>>()?;
        let arguments: Vec<Expr> = needs.iter().flat_map(|needs| needs.arguments.clone()).collect();
        let exprs = [first.params.partition_by.clone(), vec![by.expr.clone()], arguments];
        let (node, [partition, time, arguments]) =
            self.with_columns(input, &exprs, "below a function with OVER")?;
        let time = time.first().copied().unwrap_or_default();
        let before = self.node(node).clone();
        if !before.properties.is_append_only {
            return Err(self
                .over_mistake(first, "with OVER reads rows that change")
                .because("a row leaves once, when the watermark has passed it, and could not be taken back")
                .next("compute it from a table that grows, or from windows that close"));
        }
        if before.properties.time_column != Some(time) || !by.asc {
            return Err(self.not_by_time(first, window, before.properties.time_column.is_some()));
        }
        let (partition, _) = self.window_first(node, partition);
        let mut fields = before.schema.fields().to_vec();
        let (mut of_calls, mut left) = (vec![], &arguments[..]);
        for (at, (call, needs)) in calls.iter().zip(&needs).enumerate() {
            let (own, rest) = left.split_at(needs.arguments.len());
            left = rest;
            let field = window.schema.field(window.input.schema().fields().len() + at);
            let function = self.function(call, own, needs, plain(field.data_type()), &before.schema)?;
            let name = if let OverFunction::Aggregate(call) = &function {
                call.name.clone()
            } else {
                let columns: Vec<&str> =
                    own.iter().map(|at| before.schema.field(*at).name().as_str()).collect();
                format!("{}({})", call.fun.name(), columns.join(", "))
            };
            fields.push(Arc::new(Field::new(name, plain(field.data_type()), field.is_nullable())));
            of_calls.push(OverCall { frame: self.frame(call, &function)?, function });
        }
        let windows = ClosingWindows { ends: WindowEnds { step_ms: 1, offset_ms: 0 }, gives: Gives::Finals };
        let properties = Properties { is_append_only: true, ..before.properties };
        let name = self.state_name("over");
        let own = before.schema.fields().len();
        let count = of_calls.len();
        let operator = StreamOperator::Over { name, partition, time, calls: of_calls, windows };
        let added = self.add(operator, vec![node], fields, properties);
        let columns = (0..input.columns.len()).chain(own..own + count).collect();
        Ok(Relation { node: added, columns, predicate: None, schema: window.schema.clone() })
    }

    fn over_mistake(&self, call: &WindowFunction, what: &str) -> SqlError {
        let name = call.fun.name();
        let place = find_over(self.query, name).or_else(|| place_of_query(self.query));
        SqlError::at(place, format!("`{name}` {what}"))
    }

    /// The order is another one than that of event time.
    fn not_by_time(&self, call: &WindowFunction, window: &Window, has_time: bool) -> SqlError {
        let error = self
            .over_mistake(call, "with OVER is not in the order of event time")
            .because("rows that never end have no other order that is known when a row leaves");
        let time = window
            .input
            .schema()
            .fields()
            .iter()
            .find(|field| matches!(field.data_type(), DataType::Timestamp(..)));
        match (call.fun.name(), has_time, time) {
            ("row_number" | "rank" | "dense_rank", ..) => error.next(
                "for the first rows put a bound on it: SELECT .. FROM (SELECT *, ROW_NUMBER() OVER (..) AS n FROM ..) WHERE n <= 10",
            ),
            (_, true, _) => error.next("write ORDER BY and the column of the table's WATERMARK, ascending"),
            (_, false, Some(time)) => error.next(format!(
                "add WATERMARK FOR {0} AS {0} - INTERVAL '5' SECOND to its table, and write ORDER BY {0}",
                time.name()
            )),
            _ => error.next("add a column of time with WATERMARK to its table, and order by it"),
        }
    }

    /// What a call reads.
    fn needs(&self, call: &WindowFunction) -> SqlResult<Needs> {
        let params = &call.params;
        if params.distinct {
            return Err(self.over_mistake(call, "with DISTINCT and OVER is not supported"));
        }
        if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
            return Err(self.over_mistake(call, "with IGNORE NULLS is not supported"));
        }
        let is_literal = |expr: &Expr| matches!(unalias(expr), Expr::Literal(value, _) if !value.is_null());
        let mut arguments = match call.fun.name() {
            "row_number" | "rank" | "dense_rank" => vec![],
            "count" if params.args.iter().all(is_literal) => vec![],
            // The second argument of `lag` is a number of rows.
            "lag" => {
                let column = params.args.first().cloned();
                column.into_iter().chain(params.args.get(2).cloned()).collect()
            }
            _ => params.args.clone(),
        };
        arguments.extend(params.filter.as_deref().cloned());
        Ok(Needs { arguments, has_filter: params.filter.is_some() })
    }

    fn function(
        &self,
        call: &WindowFunction,
        columns: &[usize],
        needs: &Needs,
        data_type: DataType,
        schema: &arrow::datatypes::Schema,
    ) -> SqlResult<OverFunction> {
        let first = || columns.first().copied().ok_or_else(|| self.over_mistake(call, "needs an argument"));
        Ok(match call.fun.name() {
            "row_number" => OverFunction::RowNumber,
            "rank" => OverFunction::Rank,
            "dense_rank" => OverFunction::DenseRank,
            "first_value" => OverFunction::First(first()?),
            "last_value" => OverFunction::Last(first()?),
            "lag" => {
                let rows = match call.params.args.get(1).map(unalias) {
                    None => Some(1),
                    Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Int64) {
                        Ok(ScalarValue::Int64(Some(rows))) => usize::try_from(rows).ok(),
                        _ => None,
                    },
                    _ => None,
                };
                let Some(rows) = rows else {
                    return Err(self
                        .over_mistake(call, "goes back by something else than a number")
                        .next("write lag(column, 1)"));
                };
                let default = columns.get(1).copied();
                let types_differ = default.is_some_and(|default| {
                    schema.field(default).data_type() != schema.field(columns[0]).data_type()
                });
                if types_differ {
                    return Err(self
                        .over_mistake(call, "has a default of another type than its column")
                        .next("convert it: CAST(.. AS ..)"));
                }
                OverFunction::Lag { argument: first()?, rows, default }
            }
            name => {
                let function = self.catalog.functions().durable(name);
                let Some(function) = function.filter(|function| function.has_frames()) else {
                    return Err(self.over_mistake(call, "with OVER is not supported"));
                };
                let (arguments, filter) = match (needs.has_filter, columns.split_last()) {
                    (true, Some((filter, arguments))) => (arguments, Some(*filter)),
                    _ => (columns, None),
                };
                let name_of = |at: usize| schema.field(at).name().as_str();
                let text =
                    call_text(function, false, arguments.iter().map(|at| name_of(*at)), filter.map(name_of));
                OverFunction::Aggregate(AggregateCall {
                    function,
                    arguments: arguments.to_vec(),
                    filter,
                    is_distinct: false,
                    data_type,
                    name: text,
                    details: CallDetails::default(),
                })
            }
        })
    }

    fn frame(&self, call: &WindowFunction, function: &OverFunction) -> SqlResult<Frame> {
        let WindowFrame { units, start_bound, end_bound, .. } = &call.params.window_frame;
        let numbers = matches!(
            function,
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank | OverFunction::Lag { .. }
        );
        if numbers {
            return Ok(Frame { by_time: false, preceding: None });
        }
        if *end_bound != WindowFrameBound::CurrentRow {
            return Err(self
                .over_mistake(call, "sees rows behind the current one")
                .because("a row would have to wait for others that may never come")
                .next("end the frame with it: ROWS BETWEEN 10 PRECEDING AND CURRENT ROW"));
        }
        let by_time = match units {
            WindowFrameUnits::Rows => false,
            WindowFrameUnits::Range => true,
            WindowFrameUnits::Groups => {
                return Err(self
                    .over_mistake(call, "with GROUPS is not supported")
                    .next("write ROWS or RANGE"));
            }
        };
        let preceding = match start_bound {
            WindowFrameBound::CurrentRow => Some(0),
            WindowFrameBound::Preceding(value) if value.is_null() => None,
            WindowFrameBound::Preceding(value) => {
                let length = if by_time { interval_ms(value) } else { number_of(value) };
                let wrong = if by_time {
                    "has no length of time in its frame"
                } else {
                    "has no number of rows in its frame"
                };
                Some(length.ok_or_else(|| {
                    self.over_mistake(call, wrong)
                        .next("write RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW, or ROWS BETWEEN 10 PRECEDING AND CURRENT ROW")
                })?)
            }
            WindowFrameBound::Following(_) => {
                return Err(self.over_mistake(call, "sees rows behind the current one"));
            }
        };
        Ok(Frame { by_time, preceding })
    }
}

fn number_of(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(Some(rows)) => Some(rows).filter(|rows| *rows >= 0),
        _ => None,
    }
}

/// A length of time without months.
fn interval_ms(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(length)) if length.months == 0 => {
            let days_ms = i64::from(length.days).checked_mul(86_400_000)?;
            days_ms.checked_add(length.nanoseconds / 1_000_000)
        }
        ScalarValue::IntervalDayTime(Some(length)) => {
            i64::from(length.days).checked_mul(86_400_000)?.checked_add(i64::from(length.milliseconds))
        }
        _ => None,
    }
    .filter(|ms| *ms >= 0)
}
