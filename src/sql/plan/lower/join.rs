//! Joins: which columns they meet by, what bounds them, and what is known of the rows that leave.
//!
//! Owns the form of a join. Knows no operator's code. Invariants: the first side is the one whose rows are kept without a partner; what a
//! row meets by are columns of its input; a relation is only said to grow if no row of it is ever taken back.

mod as_of;
mod keyed;
mod static_join;

use keyed::Keyed;

use super::{Lower, Relation, below::unalias, bounds::Timed, is_true, is_volatile};
use crate::{
    operator::Gives,
    sql::{
        SqlError, SqlResult,
        op::{JoinKind, JoinSide, JoinTime},
        plan::{
            mistakes::plain_text,
            place::{place_of_join, place_of_subquery},
            placement::lies_by,
            stream_plan::{Properties, StreamOperator, WindowEnd},
            types::plain,
        },
    },
};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use as_of::as_of_time;
use datafusion_common::{
    DFSchema, JoinType, NullEquality,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, Join, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{
    PhysicalExpr, create_physical_expr,
    expressions::{CastExpr, Column},
};
pub(in crate::sql::plan) use static_join::{is_static, rows_of};
use std::sync::Arc;

impl Lower<'_> {
    /// Rows of two relations with equal keys.
    pub(super) fn join(&mut self, join: &Join) -> SqlResult<Relation> {
        let (kind, is_swapped) = kind_of(join.join_type);
        if join.null_aware {
            return Err(self.not_in());
        }
        if let Some(is_swapped) = self.looked_up(join) {
            return self.static_join(join, is_swapped);
        }
        if let Some(filter) = &join.filter
            && let Some(time) = as_of_time(filter)
        {
            return self.as_of(join, filter, time);
        }
        if join.on.is_empty() {
            return Err(self.without_equality(join));
        }
        let (left, right) = (self.lower(&join.left)?, self.lower(&join.right)?);
        let (on_left, on_right): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(a, b)| (a, b)).unzip();
        let [(first, on_first), (second, on_second)] = if is_swapped {
            [(right, on_right), (left, on_left)]
        } else {
            [(left, on_left), (right, on_right)]
        };
        let filter = join.filter.as_ref().filter(|filter| !is_true(filter));
        let a = self.keyed(&first, &on_first, true)?;
        let b = self.keyed(&second, &on_second, kind.gives_pairs() || filter.is_some())?;
        let schema = first.schema.join(&second.schema).map_err(|e| self.refused(&plain_text(&e)))?;
        let of_pair = [&a, &b].map(|side| (self.node(side.node).schema.clone(), side.columns));
        let condition = filter.map(|filter| self.pair_condition(filter, &schema, &of_pair)).transpose()?;
        let is_repeatable = ![a.node, b.node].iter().any(|node| self.is_volatile_below(*node));
        if !is_repeatable || condition.as_ref().is_some_and(is_volatile) {
            return Err(self.volatile_mistake("below a join"));
        }
        let (a, b) = self.in_order(a, b);
        let pairs: Vec<(usize, usize)> = a.keys.iter().copied().zip(b.keys.iter().copied()).collect();
        let of_both = [a.node, b.node].map(|node| self.node(node).properties.clone());
        let timed = Timed {
            schema: &schema,
            of_first: a.columns,
            properties: [&of_both[0], &of_both[1]],
            keys: &pairs,
        };
        let time = Lower::join_time(&timed, filter);
        let is_unique = |side: &Keyed, of: &Properties| {
            let covers = |key: &Vec<usize>| key.iter().all(|column| side.keys.contains(column));
            side.columns == 0 || of.unique_key.as_ref().is_some_and(covers)
        };
        let sides = [(&a, &of_both[0]), (&b, &of_both[1])].map(|(side, of)| JoinSide {
            keys: side.keys.clone(),
            columns: side.columns,
            is_unique: is_unique(side, of),
        });
        let properties = self.join_properties(kind, [&a, &b], &of_both, &sides, time);
        let fields = Self::join_fields(kind, &of_pair, join);
        let inputs = vec![a.node, b.node];
        let name = self.state_name("join");
        let nulls_match = join.null_equality == NullEquality::NullEqualsNull;
        let operator = StreamOperator::Join { name, kind, sides, condition, time, nulls_match };
        let columns = if !kind.gives_pairs() {
            (0..a.columns + usize::from(kind == JoinKind::Mark)).collect()
        } else if is_swapped {
            (a.columns..a.columns + b.columns).chain(0..a.columns).collect()
        } else if kind == JoinKind::Inner {
            self.equal_columns([&a, &b], time)
        } else {
            (0..a.columns + b.columns).collect()
        };
        let node = self.add(operator, inputs, fields, properties);
        Ok(Relation { node, columns, predicate: None, schema: join.schema.clone() })
    }

    pub(super) fn not_in(&self) -> SqlError {
        let what = "NOT IN over columns that can be NULL is not supported";
        SqlError::at(place_of_subquery(self.query), what)
            .because(
                "one NULL in the subquery would take away all rows, and each row would have to know of it",
            )
            .next("write NOT EXISTS (SELECT .. WHERE a = b), or declare the columns NOT NULL")
    }

    fn without_equality(&self, join: &Join) -> SqlError {
        let is_one_row = |plan: &datafusion_expr::LogicalPlan| plan.max_rows() == Some(1);
        let error = SqlError::at(place_of_join(self.query), "a join without an equality");
        if is_one_row(&join.left) || is_one_row(&join.right) {
            return error
                .because("each change of the one row would touch every row of the other side")
                .next("join by a column that both sides have, such as that of a GROUP BY");
        }
        error
            .because("each row would meet every row of the other side, and all of them would be kept")
            .next("add a condition such as a.id = b.id")
    }

    /// A node with the columns of a relation, if they are needed, and those that it meets by.
    pub(super) fn keyed(
        &mut self,
        relation: &Relation,
        on: &[&Expr],
        needs_columns: bool,
    ) -> SqlResult<Keyed> {
        let plain_keys: Option<Vec<usize>> = on
            .iter()
            .map(|expr| match unalias(expr) {
                Expr::Column(column) => relation.schema.index_of_column(column).ok(),
                _ => None,
            })
            .collect();
        let columns = if needs_columns { relation.columns.len() } else { 0 };
        if let Some(keys) = &plain_keys
            && needs_columns
        {
            return Ok(Keyed { node: self.exact(relation), columns, keys: keys.clone() });
        }
        let mut computed = (0..columns)
            .map(|column| (self.column(relation, column), relation.schema.field(column).clone()))
            .collect::<Vec<(Arc<dyn PhysicalExpr>, FieldRef)>>();
        let mut keys = vec![];
        for expr in on {
            let key = self.physical(unalias(expr), relation)?;
            if let Some(at) = computed.iter().position(|(other, _)| other.as_ref() == key.as_ref()) {
                keys.push(at);
                continue;
            }
            let schema = &self.node(relation.node).schema;
            let known = key.data_type(schema).and_then(|data_type| Ok((data_type, key.nullable(schema)?)));
            let (data_type, is_nullable) = known.map_err(|e| self.refused(&plain_text(&e)))?;
            let name = crate::sql::plan::explain::expr_text(&key);
            keys.push(computed.len());
            computed.push((key, Arc::new(Field::new(name, data_type, is_nullable))));
        }
        Ok(Keyed { node: self.calc(relation, computed), columns, keys })
    }

    /// A condition over the columns of both sides: of each the first ones of a schema.
    fn pair_condition(
        &self,
        filter: &Expr,
        schema: &DFSchema,
        [(a, of_first), (b, _)]: &[(SchemaRef, usize); 2],
    ) -> SqlResult<Arc<dyn PhysicalExpr>> {
        self.check_subqueries(filter)?;
        let failed = |e: datafusion_common::DataFusionError| self.refused(&plain_text(&e));
        let context = PhysicalPlanningContext::default();
        let over_schema =
            create_physical_expr(filter, schema, &ExecutionProps::new(), &context).map_err(failed)?;
        let over_pair = over_schema.transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let at = column.index();
            let field = match at.checked_sub(*of_first) {
                None => a.field(at),
                Some(at) => b.field(at),
            };
            let wanted = schema.field(at).data_type();
            let plain: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
            let same = field.data_type() == wanted;
            let mapped = if same { plain } else { Arc::new(CastExpr::new(plain, wanted.clone(), None)) as _ };
            Ok(Transformed::new(mapped, true, TreeNodeRecursion::Jump))
        });
        over_pair.map(|transformed| transformed.data).map_err(failed)
    }

    /// The keys in the order in which a side lies already, if it lies by all of them: a column may be among either more than once.
    fn in_order(&self, mut a: Keyed, mut b: Keyed) -> (Keyed, Keyed) {
        let order_of = |side: &Keyed| -> Option<Vec<usize>> {
            let mut order = vec![];
            for column in lies_by(self.plan, side.node)? {
                let key = (0..side.keys.len()).find(|at| side.keys[*at] == column && !order.contains(at))?;
                order.push(key);
            }
            (order.len() == side.keys.len()).then_some(order)
        };
        if let Some(order) = order_of(&a).or_else(|| order_of(&b)) {
            for side in [&mut a, &mut b] {
                side.keys = order.iter().map(|at| side.keys[*at]).collect();
            }
        }
        if a.keys.len() > 1 && crate::failpoint::passes("mutant-key-column-forgotten") {
            [&mut a, &mut b].into_iter().for_each(|side| side.keys.truncate(1));
        }
        (a, b)
    }

    fn join_fields(kind: JoinKind, [a, b]: &[(SchemaRef, usize); 2], join: &Join) -> Vec<FieldRef> {
        let of = |(schema, columns): &(SchemaRef, usize), can_be_absent: bool| -> Vec<FieldRef> {
            let fields = schema.fields().iter().take(*columns);
            fields
                .map(|field| {
                    let is_nullable = field.is_nullable() || can_be_absent;
                    Arc::new(Field::new(field.name(), plain(field.data_type()), is_nullable))
                })
                .collect()
        };
        let mut fields = of(a, kind == JoinKind::Full);
        if kind.gives_pairs() {
            fields.extend(of(b, kind != JoinKind::Inner));
        } else if kind == JoinKind::Mark {
            let mark = join.schema.fields().last().map_or("mark", |field| field.name());
            fields.push(Arc::new(Field::new(mark, DataType::Boolean, false)));
        }
        fields
    }

    fn join_properties(
        &self,
        kind: JoinKind,
        [a, b]: [&Keyed; 2],
        of_both: &[Properties; 2],
        sides: &[JoinSide; 2],
        time: Option<JoinTime>,
    ) -> Properties {
        let [first, second] = of_both;
        let inputs_grow = first.is_append_only && second.is_append_only;
        let waits = time.is_some() && self.gives == Gives::Finals;
        let is_append_only = inputs_grow && (waits || !kind.waits_for_absence());
        let kept = |column: &usize| *column < a.columns;
        let keyed = |of: &Properties, side: &Keyed| {
            of.unique_key.clone().filter(|key| key.iter().all(|column| *column < side.columns))
        };
        let moved = |key: Vec<usize>| key.into_iter().map(|column| a.columns + column);
        let unique_key = match (keyed(first, a), keyed(second, b)) {
            (of_a, _) if !kind.gives_pairs() => of_a,
            (Some(of_a), _) if sides[1].is_unique && b.columns > 0 && kind != JoinKind::Full => Some(of_a),
            (_, Some(of_b)) if sides[0].is_unique && kind == JoinKind::Inner => {
                // Of two equal columns the first is meant.
                let column = |column: usize| self.same_in_first([a, b], column).unwrap_or(a.columns + column);
                Some(of_b.into_iter().map(column).collect())
            }
            (Some(of_a), Some(of_b)) => {
                let is_equal = |column: &usize| b.keys.contains(column);
                let rest: Vec<usize> = match kind {
                    JoinKind::Full => moved(of_b).collect(),
                    _ => moved(of_b.into_iter().filter(|column| !is_equal(column)).collect()).collect(),
                };
                Some(of_a.into_iter().chain(rest).collect())
            }
            _ => None,
        };
        let is_timed = time.is_some() && kind != JoinKind::Full;
        let time_column = first.time_column.filter(|column| is_timed && kept(column));
        let window_end = first
            .window_end
            .filter(|end| matches!(time, Some(JoinTime::Windows { .. })) && is_timed && kept(&end.column));
        Properties {
            is_append_only,
            unique_key,
            time_column,
            window_end: window_end.map(|end| WindowEnd { column: end.column, ends: end.ends }),
        }
    }

    /// The column of the first side that a row meets by a column of the second side, if equal cells of both are the same in every
    /// respect.
    fn same_in_first(&self, [a, b]: [&Keyed; 2], of_second: usize) -> Option<usize> {
        let data_type =
            |side: &Keyed, column: usize| self.node(side.node).schema.field(column).data_type().clone();
        let wanted = data_type(b, of_second);
        let is_exact = wanted.is_integer()
            || matches!(
                wanted,
                DataType::Utf8
                    | DataType::Binary
                    | DataType::Boolean
                    | DataType::Date32
                    | DataType::Timestamp(..)
                    | DataType::Decimal128(..)
            );
        if !is_exact || of_second >= b.columns {
            return None;
        }
        let pairs = a.keys.iter().zip(&b.keys).filter(|(_, key)| **key == of_second);
        pairs.map(|(of_a, _)| *of_a).find(|of_a| *of_a < a.columns && data_type(a, *of_a) == wanted)
    }

    /// The columns of a pair, where those of the second side that equal one of the first are that one.
    fn equal_columns(&self, [a, b]: [&Keyed; 2], time: Option<JoinTime>) -> Vec<usize> {
        let of_first = 0..a.columns;
        let of_second =
            (0..b.columns).map(|column| self.same_in_first([a, b], column).unwrap_or(a.columns + column));
        let mut columns: Vec<usize> = of_first.chain(of_second).collect();
        // In windows with one end the last time is one, too.
        let [of_a, of_b] = [a, b].map(|side| self.node(side.node).properties.time_column);
        if let (Some(JoinTime::Windows { .. }), Some(of_a), Some(of_b)) = (time, of_a, of_b) {
            let types = [(a, of_a), (b, of_b)]
                .map(|(side, at)| self.node(side.node).schema.field(at).data_type().clone());
            if of_a < a.columns && of_b < b.columns && types[0] == types[1] {
                columns[a.columns + of_b] = of_a;
            }
        }
        columns
    }

    /// Queries in expressions that did not become joins.
    pub(super) fn check_subqueries(&self, expr: &Expr) -> SqlResult {
        let is_subquery = |expr: &Expr| {
            Ok(matches!(
                expr,
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
            ))
        };
        if !expr.exists(is_subquery).unwrap_or(true) {
            return Ok(());
        }
        let is_scalar = expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_)))).unwrap_or(false);
        let error =
            SqlError::at(place_of_subquery(self.query), "a query inside of an expression is not supported");
        Err(if is_scalar {
            error
                .because("each change of its answer would touch every row that was compared with it")
                .next("join with a query that is grouped by a column of both")
        } else {
            error
                .because("EXISTS and IN become joins only as conditions of WHERE, with equalities of columns of both queries")
                .next("write it as a condition of WHERE, or as a LEFT JOIN")
        })
    }
}

/// Which rows a join gives, and whether the second relation is the one that stays.
fn kind_of(join_type: JoinType) -> (JoinKind, bool) {
    match join_type {
        JoinType::Inner => (JoinKind::Inner, false),
        JoinType::Left => (JoinKind::Left, false),
        JoinType::Right => (JoinKind::Left, true),
        JoinType::Full => (JoinKind::Full, false),
        JoinType::LeftSemi => (JoinKind::Semi, false),
        JoinType::RightSemi => (JoinKind::Semi, true),
        JoinType::LeftAnti => (JoinKind::Anti, false),
        JoinType::RightAnti => (JoinKind::Anti, true),
        JoinType::LeftMark => (JoinKind::Mark, false),
        JoinType::RightMark => (JoinKind::Mark, true),
    }
}
