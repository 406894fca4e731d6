//! Joins with tables that are read once, at the start.
//!
//! Owns which relations those are, which side of a join they can be, and their rows. Knows no operator's code and no file. Invariants: the
//! first side is the stream, whose rows keep their times and keys; a table is read once for all queries of a plan.

use super::keyed::Keyed;
use crate::{
    error::Error,
    sql::{
        SqlError, SqlResult,
        catalog::TableScanSource,
        connector::bounded,
        op::{CalcPlan, JoinKind, JoinSide},
        plan::{
            lower::{Lower, Relation, is_true, is_volatile},
            mistakes::plain_text,
            place::place_of_join,
            stream_plan::{Properties, StaticRows, StreamNodeId, StreamOperator, StreamPlan},
        },
    },
};
use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion_common::{DFSchemaRef, JoinType, NullEquality};
use datafusion_expr::{Expr, Join, LogicalPlan};
use datafusion_physical_expr::expressions::Column;

/// Rows of a table that a stream meets without an equality, at most.
const ROWS_WITHOUT_KEY_MAX: usize = 1_000;

/// The side that is a table.
struct Table {
    rows: StaticRows,
    /// The names and types that the logical plan knows.
    schema: DFSchemaRef,
    columns: usize,
    keys: Vec<usize>,
    /// The columns that it declares as its key, if they are there.
    unique_key: Option<Vec<usize>>,
}

/// Whether a relation is made of a table that is read once, and of nothing else.
pub(super) fn is_static(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan
            .source
            .downcast_ref::<TableScanSource>()
            .is_some_and(|source| bounded::is_bounded(&source.definition)),
        LogicalPlan::SubqueryAlias(alias) => is_static(&alias.input),
        LogicalPlan::Filter(filter) => is_static(&filter.input),
        LogicalPlan::Projection(projection) => is_static(&projection.input),
        _ => false,
    }
}

impl Lower<'_> {
    /// Rows of a stream with those of a table that is read once.
    pub(super) fn static_join(&mut self, join: &Join) -> SqlResult<Relation> {
        let is_swapped = is_static(&join.left);
        let kind = match (join.join_type, is_swapped) {
            _ if is_swapped && is_static(&join.right) => {
                Err("a join of two tables that are read once is not supported")
            }
            (JoinType::Inner, _) => Ok(JoinKind::Inner),
            (JoinType::Left, false) | (JoinType::Right, true) => Ok(JoinKind::Left),
            (JoinType::LeftSemi, false) | (JoinType::RightSemi, true) => Ok(JoinKind::Semi),
            (JoinType::LeftAnti, false) | (JoinType::RightAnti, true) => Ok(JoinKind::Anti),
            (JoinType::LeftMark, false) | (JoinType::RightMark, true) => Ok(JoinKind::Mark),
            _ => Err("rows of a table that is read once cannot leave without a row of the stream"),
        };
        let kind = kind.map_err(|what| {
            SqlError::at(place_of_join(self.query), what)
                .because("it is looked up for each row of a stream, which never ends")
                .next("write FROM stream JOIN table, or FROM stream LEFT JOIN table")
        })?;
        let (on_left, on_right): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(a, b)| (a, b)).unzip();
        let [(first, on_first), (second, on_second)] = if is_swapped {
            [(&join.right, on_right), (&join.left, on_left)]
        } else {
            [(&join.left, on_left), (&join.right, on_right)]
        };
        let table = self.static_table(second, &on_second)?;
        let first = self.lower(first)?;
        let a = self.keyed(&first, &on_first, true)?;
        let filter = join.filter.as_ref().filter(|filter| !is_true(filter));
        let schema = first.schema.join(&table.schema).map_err(|e| self.refused(&plain_text(&e)))?;
        let of_pair =
            [(self.node(a.node).schema.clone(), a.columns), (table.rows.rows.schema(), table.columns)];
        let condition = filter.map(|filter| self.pair_condition(filter, &schema, &of_pair)).transpose()?;
        if condition.as_ref().is_some_and(is_volatile) {
            return Err(self.volatile_mistake("below a join"));
        }
        let before = self.node(a.node).properties.clone();
        let kept = |column: &usize| *column < a.columns;
        let has_one = table.unique_key.is_some_and(|key| key.iter().all(|at| table.keys.contains(at)));
        let properties = Properties {
            unique_key: before
                .unique_key
                .filter(|key| key.iter().all(kept) && (has_one || !kind.gives_pairs())),
            time_column: before.time_column.filter(kept),
            window_end: before.window_end.filter(|end| kept(&end.column)),
            ..before
        };
        let fields = Self::join_fields(kind, &of_pair, join);
        let columns = match kind {
            JoinKind::Semi | JoinKind::Anti => (0..a.columns).collect(),
            JoinKind::Mark => (0..=a.columns).collect(),
            _ if is_swapped => (a.columns..a.columns + table.columns).chain(0..a.columns).collect(),
            _ => (0..a.columns + table.columns).collect(),
        };
        let side = |keys, columns| JoinSide { keys, columns, is_unique: false };
        let operator = StreamOperator::StaticJoin {
            kind,
            sides: [side(a.keys, a.columns), side(table.keys, table.columns)],
            condition,
            nulls_match: join.null_equality == NullEquality::NullEqualsNull,
            table: table.rows,
        };
        let node = self.add(operator, vec![a.node], fields, properties);
        Ok(Relation { node, columns, predicate: None, schema: join.schema.clone() })
    }

    /// The side of a join that is a table, as rows.
    fn static_table(&mut self, plan: &LogicalPlan, on: &[&Expr]) -> SqlResult<Table> {
        // What is computed of the table is a plan of its own, which runs now.
        let of_query = std::mem::take(self.plan);
        let planned = self.lower(plan).and_then(|relation| {
            let keyed = self.keyed(&relation, on, true)?;
            if self.is_volatile_below(keyed.node) {
                return Err(self.volatile_mistake("over a table that is read once"));
            }
            Ok((keyed, relation.schema))
        });
        let of_table = std::mem::replace(self.plan, of_query);
        let (Keyed { node, columns, keys }, schema) = planned?;
        let rows = self.static_rows(&of_table, node)?;
        if on.is_empty() && rows.rows.num_rows() > ROWS_WITHOUT_KEY_MAX {
            let what = format!(
                "a join without an equality with table `{}`, which has {} rows",
                rows.name,
                rows.rows.num_rows()
            );
            return Err(SqlError::at(place_of_join(self.query), what)
                .because(format!(
                    "each row of the stream would meet each of them; it can be done with up to {ROWS_WITHOUT_KEY_MAX}"
                ))
                .next("add a condition such as a.id = b.id"));
        }
        Ok(Table { unique_key: declared_key(&of_table, node), rows, schema, columns, keys })
    }

    /// The rows of a node of a plan that is made of one table.
    fn static_rows(&mut self, plan: &StreamPlan, id: StreamNodeId) -> SqlResult<StaticRows> {
        let node = &plan.nodes[id.0];
        match &node.operator {
            StreamOperator::Source { table, columns, .. } => {
                if !self.plan.static_tables.contains_key(&table.name) {
                    let rows = bounded::load(table)?;
                    self.plan.static_tables.insert(table.name.clone(), rows);
                }
                let all = &self.plan.static_tables[&table.name];
                let column = |position: &usize| all.column_by_name(&table.columns[*position].name).cloned();
                let columns: Option<Vec<_>> = columns.iter().map(column).collect();
                let what =
                    || SqlError::at(table.span, format!("a column of table `{}` is not there", table.name));
                let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
                let columns = columns.ok_or_else(what)?;
                let rows = RecordBatch::try_new_with_options(node.schema.clone(), columns, &options);
                let rows = rows.map_err(|e| self.refused(&e.to_string()))?;
                Ok(StaticRows { name: table.name.clone(), rows })
            }
            StreamOperator::Calc { predicate, columns } => {
                let StaticRows { name, rows } = self.static_rows(plan, node.inputs[0])?;
                let calc = CalcPlan::new(predicate.clone(), columns, node.schema.clone());
                let rows = calc.and_then(|calc| calc.of_table(&rows)).map_err(|e| {
                    let what = match e {
                        Error::Row(what) | Error::Plan(what) => what,
                        other => other.to_string(),
                    };
                    self.refused(&format!("a row of table `{name}`, which is read once: {what}"))
                        .next("correct the row, or leave it out with WHERE")
                })?;
                Ok(StaticRows { name, rows })
            }
            _ => Err(self.refused("a part of this query has no streaming operator")),
        }
    }
}

/// The columns that a table declares as its key, if they are among those of the node.
fn declared_key(plan: &StreamPlan, id: StreamNodeId) -> Option<Vec<usize>> {
    let node = &plan.nodes[id.0];
    match &node.operator {
        StreamOperator::Source { table, columns, .. } => {
            let place = |name: &String| {
                let position = table.columns.iter().position(|column| column.name == *name)?;
                columns.iter().position(|column| *column == position)
            };
            let key: Vec<usize> = table.primary_key.iter().map(place).collect::<Option<_>>()?;
            (!key.is_empty()).then_some(key)
        }
        StreamOperator::Calc { columns, .. } => {
            let output_of = |wanted: usize| {
                columns.iter().position(|expr| {
                    expr.downcast_ref::<Column>().is_some_and(|column| column.index() == wanted)
                })
            };
            declared_key(plan, *node.inputs.first()?)?.into_iter().map(output_of).collect()
        }
        _ => None,
    }
}
