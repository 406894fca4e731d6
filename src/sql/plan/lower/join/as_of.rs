//! Joins with the versions of a table: `FOR SYSTEM_TIME AS OF` the event time of a stream.
//!
//! Owns what such a join must have: a stream that grows, its event time, and an equality for each column of the table's key. Knows no operator's
//! code. Invariants: each row of the stream meets one version at most, so its key is that of what leaves; conditions on the table decide
//! after the version has been found.

use super::keyed::Keyed;
use crate::{
    operator::Gives,
    sql::{
        SqlError, SqlResult, TableDefinition,
        catalog::{AS_OF, ClockFunction, TableScanSource},
        op::{JoinKind, JoinSide, WindowEnds},
        plan::{
            lower::{Lower, Relation, below::unalias, is_volatile},
            mistakes::plain_text,
            place::place_of_join,
            stream_plan::{ClosingWindows, Properties, StreamNodeId, StreamOperator, TableRows},
            versions::{VersionsNode, processing_time},
        },
        schema::ColumnKind,
    },
};
use arrow::datatypes::{Field, FieldRef};
use datafusion_common::{
    JoinType,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, Join, LogicalPlan,
    utils::{conjunction, split_conjunction},
};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, Column},
    utils::collect_columns,
};
use std::sync::Arc;

/// When rows leave: at each millisecond.
const ENDS: WindowEnds = WindowEnds { step_ms: 1, offset_ms: 0 };

/// The time of which a condition says that the second relation is looked at as of it.
pub(super) fn as_of_time(filter: &Expr) -> Option<&Expr> {
    split_conjunction(filter).into_iter().find_map(|part| match part {
        Expr::ScalarFunction(call) if call.func.name() == AS_OF => call.args.first(),
        _ => None,
    })
}

/// The table and what is taken of its versions.
struct Table {
    definition: Arc<TableDefinition>,
    /// The node, and for each column of the relation its column.
    versions: StreamNodeId,
    columns: Vec<usize>,
    /// What must hold of a version, over the columns of the node.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    schema: datafusion_common::DFSchemaRef,
}

impl Lower<'_> {
    /// The versions of a table.
    pub(in crate::sql::plan::lower) fn versions(&mut self, node: &VersionsNode) -> SqlResult<Relation> {
        let LogicalPlan::TableScan(scan) = &node.input else {
            return Err(self
                .refused("FOR SYSTEM_TIME AS OF a table with computed columns is not supported")
                .because("a column is computed of the row as it is, and here a row has versions")
                .next("leave such columns out of the query, and compute them behind the join"));
        };
        let Some(source) = scan.source.downcast_ref::<TableScanSource>() else {
            return Err(self.refused("a part of this query reads no table"));
        };
        let table = &source.definition;
        let read = |column: &&crate::sql::TableColumn| !matches!(column.kind, ColumnKind::Computed(_));
        let names: Vec<&str> = table.columns.iter().filter(read).map(|column| column.name.as_str()).collect();
        let scanned = datafusion_expr::TableSource::schema(source);
        // Of a row that went, nothing but the key is known.
        let field = |name: &&str| -> SqlResult<FieldRef> {
            let field = scanned.field_with_name(name).map_err(|e| self.refused(&e.to_string()))?;
            let is_key = table.primary_key.iter().any(|key| key == name);
            Ok(Arc::new(Field::new(*name, field.data_type().clone(), !is_key)))
        };
        let fields = names.iter().map(field).collect::<SqlResult<Vec<_>>>()?;
        let wanted = scan.projected_schema.fields().iter();
        let place = |name: &str| names.iter().position(|other| *other == name);
        let columns: Option<Vec<usize>> = wanted.map(|field| place(field.name())).collect();
        let columns = columns.ok_or_else(|| {
            self.refused("a computed column of event time cannot say since when a row is valid")
                .next("declare it as a column of the records, or TIMESTAMP(3) METADATA FROM 'timestamp'")
        })?;
        let found = self.plan.nodes.iter().position(
            |node| matches!(&node.operator, StreamOperator::Versions { table: other } if other.name == table.name),
        );
        let node = match found {
            Some(at) => StreamNodeId(at),
            None => self.add(
                StreamOperator::Versions { table: table.clone() },
                vec![],
                fields,
                Properties::default(),
            ),
        };
        Ok(Relation { node, columns, predicate: None, schema: scan.projected_schema.clone() })
    }

    /// Rows of a stream with the versions of a table that were valid at their times.
    pub(super) fn as_of(&mut self, join: &Join, filter: &Expr, time: &Expr) -> SqlResult<Relation> {
        let place = place_of_join(self.query);
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            _ => {
                return Err(SqlError::at(place, "FOR SYSTEM_TIME AS OF in this kind of join")
                    .next("write JOIN or LEFT JOIN"));
            }
        };
        let table = self.table_as_of(&join.right)?;
        let first = self.lower(&join.left)?;
        let (on, mut rest) = self.by_key(&table, join)?;
        let a = self.keyed(&first, &on, true)?;
        if self.is_volatile_below(a.node) {
            return Err(self.volatile_mistake("below a join"));
        }
        let time = self.stream_time(&a, &first, time, &table)?;
        if !self.node(a.node).properties.is_append_only {
            return Err(SqlError::at(place, "rows that change cannot look at a table as of their time")
                .because("a row that is taken back later would have to meet the version that it met, which may be forgotten")
                .next("read a table that only grows, or leave FOR SYSTEM_TIME AS OF out"));
        }
        let (b, kept, since) = self.kept_of(&table)?;
        let schema = first.schema.join(&table.schema).map_err(|e| self.refused(&plain_text(&e)))?;
        let of_pair = [&a, &b].map(|side| (self.node(side.node).schema.clone(), side.columns));
        let is_time = |part: &&Expr| as_of_time(part).is_none();
        rest.extend(split_conjunction(filter).into_iter().filter(is_time).cloned());
        let condition =
            conjunction(rest).map(|rest| self.pair_condition(&rest, &schema, &of_pair)).transpose()?;
        let condition = both(condition, self.of_version(&table, &kept, a.columns)?);
        if condition.as_ref().is_some_and(is_volatile) {
            return Err(self.volatile_mistake("below a join"));
        }
        let before = self.node(a.node).properties.clone();
        let shown = |column: &usize| *column < a.columns;
        let properties = Properties {
            is_append_only: true,
            unique_key: before.unique_key.filter(|key| key.iter().all(shown)),
            time_column: Some(time),
            window_end: None,
        };
        let fields = Self::join_fields(kind, &of_pair, join);
        let columns = (0..a.columns + table.columns.len()).collect();
        let sides = [&a, &b].map(|side| JoinSide {
            keys: side.keys.clone(),
            columns: side.columns,
            is_unique: false,
        });
        let operator = StreamOperator::AsOf {
            name: self.state_name("as-of"),
            kind,
            sides,
            condition,
            times: [time, since],
            windows: ClosingWindows { ends: ENDS, gives: Gives::Finals },
        };
        let node = self.add(operator, vec![a.node, b.node], fields, properties);
        Ok(Relation { node, columns, predicate: None, schema: join.schema.clone() })
    }

    /// The second side with what is kept of a version: the node, for each of its columns that of the versions, and the column of time.
    fn kept_of(&mut self, table: &Table) -> SqlResult<(Keyed, Vec<usize>, usize)> {
        // What is kept of a version: the columns that are asked for, then those of the key, of time and of its condition.
        let mut kept = table.columns.clone();
        let mut keep = |column: usize| {
            kept.iter().position(|other| *other == column).unwrap_or_else(|| {
                kept.push(column);
                kept.len() - 1
            })
        };
        let of_versions = |name: &String| self.node(table.versions).schema.index_of(name).ok();
        let lost = || self.refused("a column of the table is not there");
        let keys: Option<Vec<usize>> = table.definition.primary_key.iter().map(of_versions).collect();
        let keys: Vec<usize> = keys.ok_or_else(lost)?.into_iter().map(&mut keep).collect();
        let since = table.definition.watermark.as_ref().and_then(|watermark| of_versions(&watermark.column));
        let since = keep(since.ok_or_else(lost)?);
        table.predicate.iter().flat_map(collect_columns).for_each(|column| {
            keep(column.index());
        });
        let of_node = self.node(table.versions).schema.clone();
        let computed = kept.iter().map(|column| {
            let field = of_node.field(*column);
            (
                Arc::new(Column::new(field.name(), *column)) as Arc<dyn PhysicalExpr>,
                of_node.fields()[*column].clone(),
            )
        });
        let all =
            Relation { node: table.versions, columns: vec![], predicate: None, schema: table.schema.clone() };
        let b = Keyed { node: self.calc(&all, computed.collect()), columns: kept.len(), keys };
        Ok((b, kept, since))
    }

    /// The second side: versions, under conditions and with names.
    fn table_as_of(&mut self, plan: &LogicalPlan) -> SqlResult<Table> {
        let relation = self.lower(plan)?;
        let StreamOperator::Versions { table } = &self.node(relation.node).operator else {
            return Err(self
                .refused("something is computed of a table before FOR SYSTEM_TIME AS OF looks at it")
                .next("compute it in the list of SELECT"));
        };
        let Relation { node, columns, predicate, schema } = relation;
        debug_assert_eq!(TableRows::of(table), TableRows::ByKey);
        Ok(Table { definition: table.clone(), versions: node, columns, predicate, schema })
    }

    /// What of the stream equals each column of the table's key, in its order, and the equalities of other columns.
    fn by_key<'j>(&self, table: &Table, join: &'j Join) -> SqlResult<(Vec<&'j Expr>, Vec<Expr>)> {
        let schema = &self.node(table.versions).schema;
        let name_of = |expr: &Expr| match unalias(expr) {
            Expr::Column(column) => {
                let at = table.schema.index_of_column(column).ok()?;
                Some(schema.field(table.columns[at]).name().clone())
            }
            _ => None,
        };
        let key = &table.definition.primary_key;
        let (mut on, mut rest): (Vec<Option<&Expr>>, _) = (vec![None; key.len()], vec![]);
        for (of_stream, of_table) in &join.on {
            let name = name_of(of_table);
            match key.iter().position(|column| Some(column) == name.as_ref()) {
                Some(at) if on[at].is_none() => on[at] = Some(of_stream),
                _ => rest.push(of_stream.clone().eq(of_table.clone())),
            }
        }
        let missing = key.iter().zip(&on).find(|(_, on)| on.is_none());
        if let Some((column, _)) = missing {
            let name = &table.definition.name;
            let what = format!(
                "nothing of the stream equals `{column}`, which is part of the key of table `{name}`"
            );
            return Err(SqlError::at(place_of_join(self.query), what)
                .because("versions are known by the whole key, as it is declared")
                .next(format!("add a condition such as stream.id = {name}.{column}; if its type differs, cast the other side")));
        }
        Ok((on.into_iter().flatten().collect(), rest))
    }

    /// The column of the stream's event time.
    fn stream_time(&self, a: &Keyed, first: &Relation, time: &Expr, table: &Table) -> SqlResult<usize> {
        let place = place_of_join(self.query);
        let at = match unalias(time) {
            Expr::Column(column) => first.schema.index_of_column(column).ok(),
            _ => None,
        };
        let node = self.node(a.node);
        if let Some(at) = at.filter(|at| node.properties.time_column == Some(*at)) {
            return Ok(at);
        }
        let is_clock = |at: &usize| match &node.operator {
            StreamOperator::Calc { columns, .. } => {
                columns.get(*at).is_some_and(|expr| ClockFunction::called_by(expr).is_some())
            }
            _ => false,
        };
        if at.as_ref().is_some_and(is_clock) {
            return Err(processing_time(&table.definition.name, place));
        }
        let what = format!(
            "FOR SYSTEM_TIME AS OF `{}`, which is not the event time of the stream",
            plain_name(time)
        );
        Err(SqlError::at(place, what)
            .because(
                "rows wait until all versions up to their time have come, and only the watermark says when",
            )
            .next("write the column of the first table that its WATERMARK is declared for"))
    }

    /// The condition on a version, over the columns of a pair.
    fn of_version(
        &self,
        table: &Table,
        kept: &[usize],
        of_first: usize,
    ) -> SqlResult<Option<Arc<dyn PhysicalExpr>>> {
        let Some(predicate) = &table.predicate else { return Ok(None) };
        let moved = predicate.clone().transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let at = kept.iter().position(|kept| *kept == column.index()).unwrap_or_default();
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), of_first + at));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        moved.map(|moved| Some(moved.data)).map_err(|e| self.refused(&plain_text(&e)))
    }
}

fn both(a: Option<Arc<dyn PhysicalExpr>>, b: Option<Arc<dyn PhysicalExpr>>) -> Option<Arc<dyn PhysicalExpr>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Arc::new(BinaryExpr::new(a, datafusion_expr::Operator::And, b))),
        (a, b) => a.or(b),
    }
}

/// The name of a column alone; other expressions as they are.
fn plain_name(expr: &Expr) -> String {
    match unalias(expr) {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}
