//! Joins with tables that are read once, at the start.
//!
//! Owns which relations those are, which side of a join they can be, and their rows. Knows no operator's code and no file. Invariants: the
//! first side is the stream, whose rows keep their times and keys; a table is read once for all queries of a plan.

use super::keyed::Keyed;
use crate::{
    error::Error,
    sql::{
        SqlError, SqlResult, TableDefinition,
        catalog::TableScanSource,
        connector::bounded,
        op::{CalcPlan, JoinKind, JoinSide},
        plan::{
            lower::{Lower, Relation, is_true, is_volatile},
            mistakes::plain_text,
            optimize::RowsNode,
            place::{place_of_join, place_of_query},
            stream_plan::{Properties, StaticRows, StreamNodeId, StreamOperator, StreamPlan},
        },
    },
};
use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion_common::{DFSchemaRef, JoinType, NullEquality};
use datafusion_expr::{Expr, Join, LogicalPlan};
use datafusion_physical_expr::expressions::Column;
use std::collections::BTreeMap;

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
pub(in crate::sql::plan) fn is_static(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan
            .source
            .downcast_ref::<TableScanSource>()
            .is_some_and(|source| bounded::is_bounded(&source.definition)),
        LogicalPlan::Extension(extension) => extension.node.as_any().is::<RowsNode>(),
        LogicalPlan::SubqueryAlias(alias) => is_static(&alias.input),
        LogicalPlan::Filter(filter) => is_static(&filter.input),
        LogicalPlan::Projection(projection) => is_static(&projection.input),
        _ => false,
    }
}

/// What a join gives in which one side is looked up in the other, which is the first one if it `is_swapped`; `None` = rows of that side would
/// leave by themselves.
fn kind_of_lookup(join_type: JoinType, is_swapped: bool) -> Option<JoinKind> {
    Some(match (join_type, is_swapped) {
        (JoinType::Inner, _) => JoinKind::Inner,
        (JoinType::Left, false) | (JoinType::Right, true) => JoinKind::Left,
        (JoinType::LeftSemi, false) | (JoinType::RightSemi, true) => JoinKind::Semi,
        (JoinType::LeftAnti, false) | (JoinType::RightAnti, true) => JoinKind::Anti,
        (JoinType::LeftMark, false) | (JoinType::RightMark, true) => JoinKind::Mark,
        _ => return None,
    })
}

impl Lower<'_> {
    /// Whether a side of a join is looked up, and if so whether it is the first one.
    pub(super) fn looked_up(&self, join: &Join) -> Option<bool> {
        let (left, right) = (is_static(&join.left), is_static(&join.right));
        if !self.is_bounded {
            return (left || right).then_some(left);
        }
        // The rows of both have an end: it is the second one, if it can be.
        let can_be = |is_swapped| kind_of_lookup(join.join_type, is_swapped).is_some();
        if right && can_be(false) { Some(false) } else { (left && can_be(true)).then_some(true) }
    }

    /// Rows of a stream with those of a table that is read once, which is the first side if it `is_swapped`.
    pub(super) fn static_join(&mut self, join: &Join, is_swapped: bool) -> SqlResult<Relation> {
        let refused = |what| {
            SqlError::at(place_of_join(self.query), what)
                .because("it is looked up for each row of a stream, which never ends")
                .next("write FROM stream JOIN table, or FROM stream LEFT JOIN table")
        };
        if !self.is_bounded && is_static(&join.left) && is_static(&join.right) {
            return Err(refused("a join of two tables that are read once is not supported"));
        }
        let kind = kind_of_lookup(join.join_type, is_swapped).ok_or_else(|| {
            refused("rows of a table that is read once cannot leave without a row of the stream")
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
        let static_tables = self.plan.static_tables.clone();
        let of_query = std::mem::replace(self.plan, StreamPlan { static_tables, ..StreamPlan::default() });
        let planned = self.lower(plan).and_then(|relation| {
            let keyed = self.keyed(&relation, on, true)?;
            if self.is_volatile_below(keyed.node) {
                return Err(self.volatile_mistake("over a table that is read once"));
            }
            Ok((keyed, relation.schema))
        });
        let of_table = std::mem::replace(self.plan, of_query);
        let (Keyed { node, columns, keys }, schema) = planned?;
        self.plan.static_tables.extend(of_table.static_tables.clone());
        for table in of_table.tables() {
            self.load(table)?;
        }
        let rows = rows_of(&of_table, node, &self.plan.static_tables);
        let rows = rows.map_err(|mistake| mistake.or_at(place_of_query(self.query)))?;
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

    /// Reads a table, unless that was done for another query.
    fn load(&mut self, table: &TableDefinition) -> SqlResult {
        if !self.plan.static_tables.contains_key(&table.name) {
            self.plan.static_tables.insert(table.name.clone(), bounded::load(table)?);
        }
        Ok(())
    }

    /// Whether the rows of a plan, which is all that was lowered, can be computed here and now, without a batch and its time.
    pub(in crate::sql::plan) fn is_there(&self, plan: &LogicalPlan) -> bool {
        let is_same = |operator: &StreamOperator| match operator {
            StreamOperator::Calc { predicate, columns } => !columns.iter().chain(predicate).any(is_volatile),
            _ => true,
        };
        is_static(plan) && self.plan.nodes.iter().all(|node| is_same(&node.operator))
    }
}

/// The rows of a node of a plan that is made of one table, which was read.
pub(in crate::sql::plan) fn rows_of(
    plan: &StreamPlan,
    id: StreamNodeId,
    tables: &BTreeMap<String, RecordBatch>,
) -> SqlResult<StaticRows> {
    let node = &plan.nodes[id.0];
    match &node.operator {
        StreamOperator::Source { table, columns, .. } => {
            let gone =
                || SqlError::at(table.span, format!("a column of table `{}` is not there", table.name));
            let all = tables.get(&table.name).ok_or_else(gone)?;
            let column = |position: &usize| all.column_by_name(&table.columns[*position].name).cloned();
            let columns = columns.iter().map(column).collect::<Option<Vec<_>>>().ok_or_else(gone)?;
            let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
            let rows = RecordBatch::try_new_with_options(node.schema.clone(), columns, &options);
            let rows = rows.map_err(|e| SqlError::at(None, e.to_string()))?;
            Ok(StaticRows { name: table.name.clone(), rows })
        }
        StreamOperator::Calc { predicate, columns } => {
            let StaticRows { name, rows } = rows_of(plan, node.inputs[0], tables)?;
            let calc = CalcPlan::new(predicate.clone(), columns, node.schema.clone());
            let rows = calc.and_then(|calc| calc.of_table(&rows)).map_err(|e| {
                let what = match e {
                    Error::Row(what) | Error::Plan(what) => what,
                    other => other.to_string(),
                };
                SqlError::at(None, format!("a row of table `{name}`, which is read once: {what}"))
                    .next("correct the row, or leave it out with WHERE")
            })?;
            Ok(StaticRows { name, rows })
        }
        _ => Err(SqlError::at(None, "a part of this query has no streaming operator")),
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
