//! Top-N: a window function that numbers rows, with a bound on the number; and `ORDER BY` with `LIMIT`.
//!
//! Owns which numbers pass. Knows no operator's code. Invariants: a bound is a comparison of the number with a literal, and there is an
//! upper one; what decides which rows are kept is the same whenever it is computed.

use super::{
    Lower, Relation,
    below::{WindowBelow, unalias, widened},
};
use crate::{
    operator::Gives,
    sql::{
        SqlError, SqlResult,
        op::{OrderColumn, RankFunction, Ranking},
        plan::{
            mistakes::plain_text,
            stream_plan::{ClosingWindows, Properties, StreamNodeId, StreamOperator, WindowEnd},
        },
    },
};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{
    BinaryExpr, Expr, FetchType, Limit, LogicalPlan, Operator, Projection, SkipType, Sort, SortExpr,
    expr::WindowFunction, utils::conjunction, utils::split_conjunction,
};
use std::sync::Arc;

/// What is numbered, and how.
struct Numbered<'e> {
    partition: &'e [Expr],
    order: &'e [SortExpr],
    function: RankFunction,
    bounds: Bounds,
    /// Whether the number is shown.
    shows_rank: bool,
}

/// The numbers that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    from: i64,
    to: i64,
}

impl Lower<'_> {
    /// Rows of a window function that meet a condition: a top-N if the condition bounds their number. `shows` = something else than the
    /// condition reads the number.
    pub(super) fn filtered_window(
        &mut self,
        predicate: &Expr,
        below: &WindowBelow<'_>,
        shows: bool,
    ) -> SqlResult<Relation> {
        let window = below.window;
        let input = self.lower(&window.input)?;
        let ranking = match &window.window_expr[..] {
            [expr] => ranking_call(expr).filter(|(call, _)| !self.is_final_by_time(&input, call)),
            _ => None,
        };
        let (mut bounds, mut rest) = (Bounds { from: 1, to: i64::MAX }, vec![]);
        for part in split_conjunction(predicate) {
            match bound_of(part, |expr| below.is_function(expr)) {
                Some(Bounds { from, to }) => {
                    bounds = Bounds { from: bounds.from.max(from), to: bounds.to.min(to) };
                }
                None => rest.push(part.clone()),
            }
        }
        let ranking = ranking.filter(|(call, _)| bounds.to < i64::MAX && !call.params.order_by.is_empty());
        let Some((call, function)) = ranking else {
            let relation = self.over_of(&input, window)?;
            return self.filtered(Self::seen(below, relation, true)?, predicate);
        };
        if bounds.from > bounds.to {
            return Err(self
                .refused("a condition of this query is never true, so a part of it has no rows")
                .because("the first number is 1")
                .next("correct the condition"));
        }
        let shows = shows || below.uses_function(&rest);
        let numbered = Numbered {
            partition: &call.params.partition_by,
            order: &call.params.order_by,
            function,
            bounds,
            shows_rank: shows,
        };
        let relation = self.top_n(&input, &numbered)?;
        let relation = Self::seen(below, relation, shows)?;
        match conjunction(rest) {
            Some(rest) => self.filtered(relation, &rest),
            None => Ok(relation),
        }
    }

    /// Whether rows that only grow are numbered in the order of event time: then the number of a row is final when the watermark has passed
    /// it, and a row that passes can leave once. Rows of windows leave when these close, and changes where they are asked for.
    fn is_final_by_time(&self, input: &Relation, call: &WindowFunction) -> bool {
        let properties = &self.node(input.node).properties;
        let place = |expr: &Expr| match unalias(expr) {
            Expr::Column(column) => Some(input.columns[input.schema.index_of_column(column).ok()?]),
            _ => None,
        };
        let [by] = &call.params.order_by[..] else { return false };
        let end = properties.window_end.map(|end| end.column);
        let is_windowed = end.is_some() && call.params.partition_by.iter().any(|expr| place(expr) == end);
        self.gives == Gives::Finals
            && properties.is_append_only
            && by.asc
            && properties.time_column.is_some()
            && place(&by.expr) == properties.time_column
            && !is_windowed
    }

    /// The columns that are read of a relation with those of the window function; without what it answers unless that is shown.
    fn seen(below: &WindowBelow<'_>, relation: Relation, shows: bool) -> SqlResult<Relation> {
        let kept: Vec<usize> =
            (0..below.columns.len()).filter(|at| shows || below.columns[*at] < below.inputs()).collect();
        let columns = kept.iter().map(|at| relation.columns[below.columns[*at]]).collect();
        let fields = kept.iter().map(|at| {
            let (table, field) = below.schema.qualified_field(*at);
            (table.cloned(), field.clone())
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), below.schema.metadata().clone())
            .map_err(|error| SqlError::at(None, plain_text(&error)))?;
        Ok(Relation { columns, schema: Arc::new(schema), ..relation })
    }

    /// `ORDER BY .. LIMIT ..`.
    pub(super) fn limit(&mut self, limit: &Limit) -> SqlResult<Relation> {
        let not_a_number = || self.refused("LIMIT and OFFSET are numbers").next("write LIMIT 10");
        let Ok(SkipType::Literal(skip)) = limit.get_skip_type() else { return Err(not_a_number()) };
        let fetch = match limit.get_fetch_type() {
            Ok(FetchType::Literal(Some(fetch))) => fetch,
            Ok(FetchType::Literal(None)) => {
                return Err(self
                    .refused("OFFSET without LIMIT")
                    .because("a stream has no end, so the rows behind the first ones have none either")
                    .next("add LIMIT"));
            }
            _ => return Err(not_a_number()),
        };
        let as_number = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        let bounds = Bounds {
            from: as_number(skip).saturating_add(1),
            to: as_number(skip).saturating_add(as_number(fetch)),
        };
        if fetch == 0 {
            return Err(self.refused("LIMIT 0 leaves no rows").next("give a number from 1 on"));
        }
        match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => self.sorted(sort, bounds),
            // The columns that are sorted by need not be among those of the answer.
            LogicalPlan::Projection(Projection { expr, input, schema, .. })
                if let LogicalPlan::Sort(sort) = input.as_ref() =>
            {
                let sorted = self.sorted(sort, bounds)?;
                self.projected(expr, schema, sorted)
            }
            _ => Err(self
                .refused("LIMIT without ORDER BY")
                .because("which rows it keeps is a matter of chance, and would change with every restart")
                .next("add ORDER BY")),
        }
    }

    fn sorted(&mut self, sort: &Sort, bounds: Bounds) -> SqlResult<Relation> {
        let input = self.lower(&sort.input)?;
        let numbered = Numbered {
            partition: &[],
            order: &sort.expr,
            function: RankFunction::RowNumber,
            bounds,
            shows_rank: false,
        };
        let schema = sort.input.schema().clone();
        Ok(Relation { schema, ..self.top_n(&input, &numbered)? })
    }

    /// The relation has the columns of the input, then the number if it is shown, but the schema of the input.
    fn top_n(&mut self, input: &Relation, numbered: &Numbered<'_>) -> SqlResult<Relation> {
        let (node, [partition, order]) = self.with_columns(
            input,
            &[numbered.partition.to_vec(), numbered.order.iter().map(|by| by.expr.clone()).collect()],
            "below a top-N",
        )?;
        let order = order
            .into_iter()
            .zip(numbered.order)
            .map(|(column, by)| OrderColumn {
                column,
                is_descending: !by.asc,
                is_null_greatest: by.nulls_first != by.asc,
            })
            .collect();
        let Numbered { function, bounds: Bounds { from, to }, shows_rank, .. } = *numbered;
        let (partition, windows) = self.window_first(node, partition);
        let before = self.node(node).clone();
        let mut fields = before.schema.fields().to_vec();
        let rank = fields.len();
        fields.extend(
            shows_rank
                .then(|| Arc::new(Field::new(format!("{}()", function.name()), DataType::Int64, false))),
        );
        let is_final = windows.is_some_and(|windows| windows.gives == Gives::Finals);
        let of_number = (function == RankFunction::RowNumber && (shows_rank || from == to)).then(|| {
            let number = (shows_rank && from < to).then_some(rank);
            partition.iter().copied().chain(number).collect()
        });
        let properties = Properties {
            is_append_only: is_final,
            unique_key: of_number.or(before.properties.unique_key),
            time_column: before.properties.time_column.filter(|_| windows.is_some()),
            window_end: before.properties.window_end.filter(|_| windows.is_some()),
        };
        let ranking = Ranking { partition, order, function, from, to, shows_rank };
        let name = self.state_name("top-n");
        let operator = StreamOperator::TopN { name, ranking, windows };
        let added = self.add(operator, vec![node], fields, properties);
        let columns = (0..input.columns.len()).chain(shows_rank.then_some(rank)).collect();
        Ok(Relation { node: added, columns, predicate: None, schema: input.schema.clone() })
    }

    /// A node with the columns of a relation, in their order, and behind them what expressions of several kinds are: their columns. None of
    /// that may be another value each time; `place` says where it stands.
    pub(super) fn with_columns<const N: usize>(
        &mut self,
        input: &Relation,
        exprs: &[Vec<Expr>; N],
        place: &str,
    ) -> SqlResult<(StreamNodeId, [Vec<usize>; N])> {
        let mut computed = vec![];
        for column in 0..input.columns.len() {
            computed.push((self.column(input, column), input.schema.field(column).clone()));
        }
        let mut places = [const { vec![] }; N];
        for (exprs, places) in exprs.iter().zip(&mut places) {
            for expr in exprs {
                let physical = self.physical(unalias(expr), input)?;
                let found = computed.iter().position(|(other, _)| other.as_ref() == physical.as_ref());
                if let Some(at) = found {
                    places.push(at);
                } else {
                    let (data_type, is_nullable) = self.type_of(&physical, input)?;
                    let name = crate::sql::plan::explain::expr_text(&physical);
                    places.push(computed.len());
                    computed.push((physical, Arc::new(Field::new(name, data_type, is_nullable))));
                }
            }
        }
        let is_volatile =
            computed.iter().map(|(expr, _)| expr).chain(&input.predicate).any(super::is_volatile);
        if is_volatile || self.is_volatile_below(input.node) {
            return Err(self.volatile_mistake(place));
        }
        let node = if computed.len() == input.columns.len() {
            self.exact(input)
        } else {
            self.calc(input, computed)
        };
        Ok((node, places))
    }

    /// The columns that rows are divided by, each once, with the end of the window in front if it is one of them; then a partition closes
    /// with its window.
    pub(super) fn window_first(
        &self,
        node: StreamNodeId,
        columns: Vec<usize>,
    ) -> (Vec<usize>, Option<ClosingWindows>) {
        let mut once: Vec<usize> = vec![];
        for column in columns {
            if !once.contains(&column) {
                once.push(column);
            }
        }
        let end = self.node(node).properties.window_end;
        let Some(WindowEnd { column, ends }) = end.filter(|end| once.contains(&end.column)) else {
            return (once, None);
        };
        once.retain(|other| *other != column);
        once.insert(0, column);
        (once, Some(ClosingWindows { ends, gives: self.gives }))
    }
}

/// A call of a function that numbers rows.
fn ranking_call(expr: &Expr) -> Option<(&WindowFunction, RankFunction)> {
    let Expr::WindowFunction(call) = unalias(expr) else { return None };
    let function = match call.fun.name() {
        "row_number" => RankFunction::RowNumber,
        "rank" => RankFunction::Rank,
        "dense_rank" => RankFunction::DenseRank,
        _ => return None,
    };
    call.params.filter.is_none().then_some((call, function))
}

/// The numbers for which a comparison with a literal is true; `None` = it is no such comparison.
fn bound_of(expr: &Expr, is_number: impl Fn(&Expr) -> bool) -> Option<Bounds> {
    if let Expr::Between(between) = expr
        && !between.negated
        && is_number(&between.expr)
    {
        return Some(Bounds { from: integer(&between.low)?, to: integer(&between.high)? });
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (op, literal) = if is_number(left) {
        (*op, integer(right)?)
    } else if is_number(right) {
        (op.swap()?, integer(left)?)
    } else {
        return None;
    };
    let (all, none) = (1, i64::MAX);
    Some(match op {
        Operator::Eq => Bounds { from: literal, to: literal },
        Operator::Lt => Bounds { from: all, to: literal.saturating_sub(1) },
        Operator::LtEq => Bounds { from: all, to: literal },
        Operator::Gt => Bounds { from: literal.saturating_add(1), to: none },
        Operator::GtEq => Bounds { from: literal, to: none },
        _ => return None,
    })
}

/// A whole number that is written there.
fn integer(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = widened(expr) else { return None };
    if !value.data_type().is_integer() && !matches!(value.data_type(), DataType::Decimal128(_, 0)) {
        return None;
    }
    match value.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}
