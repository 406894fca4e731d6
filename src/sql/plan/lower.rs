//! From a logical plan to streaming operators.
//!
//! Owns which operator each logical node becomes. Knows no text of a query beyond the places of its mistakes. Invariants: a column keeps
//! its position in a node for good, also when a later query asks more columns of a source (they come behind); columns of nodes have
//! plain types (no views, no dictionaries); filters and projections that follow each other are one `Calc`.

mod aggregate;
mod below;
mod bounds;
mod deduplicate;
mod event_time;
mod join;
mod over;
mod ranks;
mod sessions;
mod sets;
mod unnest;
mod windows;

use below::{WindowBelow, unalias};
pub use event_time::scan_source;
pub(super) use join::{is_static, rows_of};

use super::{
    mistakes::plain_text,
    optimize::{DeduplicateNode, RowsNode, SetNode},
    place::place_of_query,
    stream_plan::{Properties, StreamNode, StreamNodeId, StreamOperator, StreamPlan, TableRows, WindowEnd},
    types::plain,
    versions::VersionsNode,
    windows::{LateNode, WatermarkNode, WindowsNode},
};
use crate::operator::Gives;
use crate::sql::{
    SqlError, SqlResult, TableDefinition,
    catalog::{Catalog, ClockFunction, TableScanSource},
    connector::bounded,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::{
    DFSchemaRef, ScalarValue,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, Filter, LogicalPlan, Projection, TableScan, Union, execution_props::ExecutionProps,
    physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{
    PhysicalExpr, create_physical_expr,
    expressions::{BinaryExpr, CastExpr, Column},
};
use datafusion_sql::sqlparser::ast::Query;
use std::sync::Arc;

/// The rows of a node as a logical plan sees them: renamed, put in another order, and only those for which the predicate holds.
pub struct Relation {
    /// The node.
    pub node: StreamNodeId,
    /// For each column of the schema the column of the node.
    pub columns: Vec<usize>,
    /// Over the columns of the node.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// The names and types that the logical plan knows.
    pub schema: DFSchemaRef,
}

/// Lowers the plan of one query.
pub struct Lower<'a> {
    /// Where nodes are added.
    pub plan: &'a mut StreamPlan,
    /// What states are named after.
    pub name: &'a str,
    /// For places.
    pub query: &'a Query,
    /// For places in views.
    pub catalog: &'a Catalog,
    /// Which rows of windows leave.
    pub gives: Gives,
    /// Whether all rows are shown at each batch, so that they can have an order.
    pub is_complete: bool,
    /// Whether all rows have an end: tables that are read once are sources, and nothing waits for event time.
    pub is_bounded: bool,
}

/// An expression with the field that it becomes.
pub type Computed = (Arc<dyn PhysicalExpr>, FieldRef);

impl Lower<'_> {
    /// The relation of a logical plan.
    ///
    /// # Errors
    /// If there is no operator for a part of it.
    pub fn lower(&mut self, plan: &LogicalPlan) -> SqlResult<Relation> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.lower(&alias.input)?;
                Ok(Relation { schema: alias.schema.clone(), ..input })
            }
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
                    self.watermark(watermark)
                } else if let Some(windows) = node.downcast_ref::<WindowsNode>() {
                    self.windows(windows)
                } else if let Some(late) = node.downcast_ref::<LateNode>() {
                    self.late(late)
                } else if let Some(versions) = node.downcast_ref::<VersionsNode>() {
                    self.versions(versions)
                } else if let Some(deduplicate) = node.downcast_ref::<DeduplicateNode>() {
                    self.deduplicate(deduplicate)
                } else if let Some(sets) = node.downcast_ref::<SetNode>() {
                    self.set_operation(sets)
                } else if let Some(rows) = node.downcast_ref::<RowsNode>() {
                    self.rows(rows)
                } else {
                    Err(self.refused("a part of this query has no streaming operator"))
                }
            }
            LogicalPlan::Join(join) => self.join(join),
            // How rows are shown is no matter of the plan.
            LogicalPlan::Sort(sort) if self.is_complete => self.lower(&sort.input),
            LogicalPlan::Sort(_) => Err(self.refused("ORDER BY over rows that never end")),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => Err(self
                .refused("a condition of this query is never true, so a part of it has no rows")
                .next("correct the condition")),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                Err(self.refused("a part of this query reads no table"))
            }
            _ => Err(self.refused("a part of this query has no streaming operator")),
        }
    }

    fn refused(&self, message: &str) -> SqlError {
        SqlError::at(place_of_query(self.query), message)
    }

    fn add(
        &mut self,
        operator: StreamOperator,
        inputs: Vec<StreamNodeId>,
        fields: Vec<FieldRef>,
        properties: Properties,
    ) -> StreamNodeId {
        let id = StreamNodeId(self.plan.nodes.len());
        let schema = Arc::new(Schema::new(fields));
        let span = place_of_query(self.query);
        self.plan.nodes.push(StreamNode { operator, inputs, schema, properties, span });
        id
    }

    fn node(&self, id: StreamNodeId) -> &StreamNode {
        &self.plan.nodes[id.0]
    }

    /// Rows that are there, as a table that is read once.
    fn rows(&mut self, node: &RowsNode) -> SqlResult<Relation> {
        let table = Arc::new(node.table());
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        let id = if let Some(id) = self.source_of(&table) {
            id
        } else {
            let rows = node.rows().map_err(|e| self.refused(&e.to_string()))?;
            let fields = rows.schema().fields().to_vec();
            self.plan.static_tables.insert(table.name.clone(), rows);
            let operator = StreamOperator::Source { table, columns: columns.clone(), event_time: None };
            let properties = Properties { is_append_only: true, ..Properties::default() };
            self.add(operator, vec![], fields, properties)
        };
        let schema = datafusion_expr::UserDefinedLogicalNodeCore::schema(node).clone();
        Ok(Relation { node: id, columns, predicate: None, schema })
    }

    /// What reads a table already.
    fn source_of(&self, table: &TableDefinition) -> Option<StreamNodeId> {
        let reads = |node: &StreamNode| match &node.operator {
            StreamOperator::Source { table: other, .. } => other.name == table.name,
            _ => false,
        };
        self.plan.nodes.iter().position(reads).map(StreamNodeId)
    }

    /// One source for each table, which reads every column that anything needs.
    fn scan(&mut self, scan: &TableScan) -> SqlResult<Relation> {
        let Some(source) = scan.source.downcast_ref::<TableScanSource>() else {
            return Err(self.refused("a part of this query reads no table"));
        };
        let table = &source.definition;
        if self.is_bounded && !self.plan.static_tables.contains_key(&table.name) {
            self.plan.static_tables.insert(table.name.clone(), bounded::load(table)?);
        }
        let wanted: Vec<usize> = match &scan.projection {
            Some(columns) => {
                columns.iter().filter_map(|&column| source.positions.get(column).copied()).collect()
            }
            None => source.positions.clone(),
        };
        let id = match self.source_of(table) {
            Some(id) => id,
            None => self.add_source(source),
        };
        let is_followed = !self.is_bounded;
        let node = &mut self.plan.nodes[id.0];
        let StreamOperator::Source { columns, event_time, .. } = &mut node.operator else {
            return Err(SqlError::at(None, "a source is not where it was planned"));
        };
        let mut fields = node.schema.fields().to_vec();
        let computed = source.event_time.as_ref().filter(|time| wanted.contains(&time.position));
        if computed.is_some() {
            *event_time = computed.cloned();
        }
        let mut at = Vec::with_capacity(wanted.len());
        for position in wanted.iter().chain(computed.into_iter().flat_map(|time| &time.reads)) {
            let found = columns.iter().position(|column| column == position);
            if found.is_none() {
                columns.push(*position);
                fields.extend(source.field(*position));
            }
            at.push(found.unwrap_or(columns.len() - 1));
        }
        at.truncate(wanted.len());
        node.schema = Arc::new(Schema::new(fields));
        // A row that may be taken back when its window has closed makes no window close.
        node.properties.time_column = table
            .watermark
            .as_ref()
            .filter(|_| is_followed && TableRows::of(table) == TableRows::Added)
            .and_then(|watermark| {
                node.schema.fields().iter().position(|field| *field.name() == watermark.column)
            });
        Ok(Relation { node: id, columns: at, predicate: None, schema: scan.projected_schema.clone() })
    }

    /// A source of a table that nothing has read so far. The columns of its key, if rows are known by it, are read anyway, and come first.
    fn add_source(&mut self, source: &TableScanSource) -> StreamNodeId {
        let (table, rows) = (&source.definition, TableRows::of(&source.definition));
        let mut columns = vec![];
        if rows == TableRows::ByKey {
            let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
            columns.extend(table.primary_key.iter().filter_map(place));
        }
        let schema = datafusion_expr::TableSource::schema(source);
        let field = |column: &usize| {
            let at = source.positions.iter().position(|position| position == column);
            at.map(|at| schema.fields()[at].clone())
        };
        let fields = columns.iter().filter_map(field).collect();
        let unique_key = (rows == TableRows::ByKey).then(|| (0..columns.len()).collect());
        let is_append_only = rows == TableRows::Added;
        let properties = Properties { is_append_only, unique_key, ..Properties::default() };
        let operator = StreamOperator::Source { table: table.clone(), columns, event_time: None };
        self.add(operator, vec![], fields, properties)
    }

    /// An expression over the columns of the relation's node.
    ///
    /// # Errors
    /// If it cannot be run.
    fn physical(&self, expr: &Expr, relation: &Relation) -> SqlResult<Arc<dyn PhysicalExpr>> {
        self.check_subqueries(expr)?;
        let failed = |error: datafusion_common::DataFusionError| self.refused(&plain_text(&error));
        let over_schema = create_physical_expr(
            expr,
            &relation.schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .map_err(failed)?;
        let over_node = over_schema.transform_down(|expr| {
            Ok(match expr.downcast_ref::<Column>() {
                Some(column) => {
                    let mapped = self.column(relation, column.index());
                    Transformed::new(mapped, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        });
        over_node.map(|transformed| transformed.data).map_err(failed)
    }

    /// A column of the relation as an expression over its node; it has the type that the logical plan knows.
    fn column(&self, relation: &Relation, column: usize) -> Arc<dyn PhysicalExpr> {
        let at = relation.columns[column];
        let field = self.node(relation.node).schema.field(at);
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        let wanted = relation.schema.field(column).data_type();
        if field.data_type() == wanted { expr } else { Arc::new(CastExpr::new(expr, wanted.clone(), None)) }
    }

    fn filter(&mut self, filter: &Filter) -> SqlResult<Relation> {
        if let Some(below) = WindowBelow::of(&filter.input) {
            return self.filtered_window(&filter.predicate, &below, true);
        }
        let input = self.lower(&filter.input)?;
        self.filtered(input, &filter.predicate)
    }

    /// The rows of a relation for which a condition holds.
    fn filtered(&self, mut input: Relation, predicate: &Expr) -> SqlResult<Relation> {
        if is_true(predicate) {
            return Ok(input);
        }
        let predicate = self.physical(predicate, &input)?;
        input.predicate = Some(match input.predicate.take() {
            Some(before) => Arc::new(BinaryExpr::new(before, datafusion_expr::Operator::And, predicate)),
            None => predicate,
        });
        Ok(input)
    }

    fn projection(&mut self, projection: &Projection) -> SqlResult<Relation> {
        let input = match projection.input.as_ref() {
            LogicalPlan::Filter(Filter { predicate, input, .. })
                if let Some(below) = WindowBelow::of(input) =>
            {
                self.filtered_window(predicate, &below, below.uses_function(&projection.expr))?
            }
            input => self.lower(input)?,
        };
        self.projected(&projection.expr, &projection.schema, input)
    }

    /// Expressions over a relation.
    fn projected(&mut self, exprs: &[Expr], schema: &DFSchemaRef, input: Relation) -> SqlResult<Relation> {
        let plain_columns: Option<Vec<usize>> = exprs
            .iter()
            .map(|expr| match unalias(expr) {
                Expr::Column(column) => Some(input.columns[input.schema.index_of_column(column).ok()?]),
                _ => None,
            })
            .collect();
        if let Some(columns) = plain_columns {
            return Ok(Relation { columns, schema: schema.clone(), ..input });
        }
        let computed = exprs
            .iter()
            .zip(schema.fields())
            .map(|(expr, field)| Ok((self.physical(unalias(expr), &input)?, field.clone())))
            .collect::<SqlResult<Vec<_>>>()?;
        let node = self.calc(&input, computed);
        Ok(Relation { node, columns: (0..exprs.len()).collect(), predicate: None, schema: schema.clone() })
    }

    /// A node that computes these columns of the relation.
    pub fn calc(&mut self, input: &Relation, computed: Vec<Computed>) -> StreamNodeId {
        let (columns, fields): (Vec<_>, Vec<_>) = computed
            .into_iter()
            .map(|(expr, field)| {
                let data_type = plain(field.data_type());
                let expr = plain_expr(expr, field.data_type(), &data_type, &self.node(input.node).schema);
                (expr, Arc::new(Field::new(field.name(), data_type, field.is_nullable())))
            })
            .unzip();
        let before = &self.node(input.node).properties;
        let output_of = |wanted: usize| {
            columns
                .iter()
                .position(|expr| expr.downcast_ref::<Column>().is_some_and(|column| column.index() == wanted))
        };
        let properties = Properties {
            is_append_only: before.is_append_only,
            unique_key: before
                .unique_key
                .as_ref()
                .and_then(|key| key.iter().map(|&column| output_of(column)).collect()),
            time_column: before.time_column.and_then(output_of),
            window_end: before
                .window_end
                .and_then(|end| Some(WindowEnd { column: output_of(end.column)?, ends: end.ends })),
        };
        if let Some(operator) = self.fused(input, &columns) {
            let node = &mut self.plan.nodes[input.node.0];
            (node.operator, node.schema, node.properties) =
                (operator, Arc::new(Schema::new(fields)), properties);
            return input.node;
        }
        let operator = StreamOperator::Calc { predicate: input.predicate.clone(), columns };
        self.add(operator, vec![input.node], fields, properties)
    }

    /// A `Calc` and the one before it as one, unless something would be computed twice by it. The one before has no other reader, as each
    /// query makes its own.
    fn fused(&self, input: &Relation, columns: &[Arc<dyn PhysicalExpr>]) -> Option<StreamOperator> {
        let StreamOperator::Calc { predicate: before, columns: inner } = &self.node(input.node).operator
        else {
            return None;
        };
        if before.is_some() && input.predicate.is_some() {
            return None;
        }
        let mut uses = vec![0_usize; inner.len()];
        columns.iter().chain(&input.predicate).for_each(|expr| count_uses(expr, &mut uses));
        let is_plain = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some();
        if inner.iter().zip(uses).any(|(expr, uses)| uses > 1 && !is_plain(expr))
            || inner.iter().any(is_volatile)
        {
            return None;
        }
        let replaced = |expr: &Arc<dyn PhysicalExpr>| {
            let whole = expr.clone().transform_down(|expr| {
                Ok(match expr.downcast_ref::<Column>() {
                    Some(column) => {
                        Transformed::new(inner[column.index()].clone(), true, TreeNodeRecursion::Jump)
                    }
                    None => Transformed::no(expr),
                })
            });
            whole.map(|transformed| transformed.data).ok()
        };
        let predicate = match &input.predicate {
            Some(predicate) => Some(replaced(predicate)?),
            None => before.clone(),
        };
        Some(StreamOperator::Calc {
            predicate,
            columns: columns.iter().map(replaced).collect::<Option<_>>()?,
        })
    }

    /// A node with just the columns of the relation, in their order.
    pub fn exact(&mut self, relation: &Relation) -> StreamNodeId {
        let node = self.node(relation.node);
        let same = relation.predicate.is_none()
            && !matches!(node.operator, StreamOperator::Source { .. })
            && relation.columns.iter().copied().eq(0..node.schema.fields().len());
        if same {
            return relation.node;
        }
        let computed = (0..relation.columns.len())
            .map(|column| (self.column(relation, column), relation.schema.field(column).clone()))
            .collect();
        self.calc(relation, computed)
    }

    fn union(&mut self, union: &Union) -> SqlResult<Relation> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let relation = self.lower(input)?;
            inputs.push(self.exact(&relation));
        }
        let properties: Vec<_> = inputs.iter().map(|&input| self.node(input).properties.clone()).collect();
        let first_time = properties.first().and_then(|first| first.time_column);
        let first_end = properties.first().and_then(|first| first.window_end);
        let properties = Properties {
            is_append_only: properties.iter().all(|input| input.is_append_only),
            unique_key: None,
            time_column: first_time
                .filter(|time| properties.iter().all(|input| input.time_column == Some(*time))),
            window_end: first_end.filter(|end| properties.iter().all(|input| input.window_end == Some(*end))),
        };
        let fields = union
            .schema
            .fields()
            .iter()
            .map(|field| Arc::new(Field::new(field.name(), plain(field.data_type()), field.is_nullable())))
            .collect();
        let node = self.add(StreamOperator::Union, inputs, fields, properties);
        let columns = (0..union.schema.fields().len()).collect();
        Ok(Relation { node, columns, predicate: None, schema: union.schema.clone() })
    }
}

/// With the plain form of its type; a cast from that form is undone instead of cast back.
fn plain_expr(
    expr: Arc<dyn PhysicalExpr>,
    from: &DataType,
    to: &DataType,
    input: &Schema,
) -> Arc<dyn PhysicalExpr> {
    if from == to {
        return expr;
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>()
        && cast.expr().data_type(input).is_ok_and(|inner| inner == *to)
    {
        return cast.expr().clone();
    }
    Arc::new(CastExpr::new(expr, to.clone(), None))
}

fn count_uses(expr: &Arc<dyn PhysicalExpr>, uses: &mut [usize]) {
    match expr.downcast_ref::<Column>() {
        Some(column) => uses[column.index()] += 1,
        None => expr.children().into_iter().for_each(|part| count_uses(part, uses)),
    }
}

/// Whether a predicate keeps every row.
fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

fn is_volatile(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is_volatile_node() || expr.children().into_iter().any(is_volatile)
}

/// Whether an expression could give another value for a row that is taken away than it gave when the row came. The time of a batch cannot
/// if rows are only added.
fn varies(expr: &Arc<dyn PhysicalExpr>, is_append_only: bool) -> bool {
    let is_time = is_append_only && ClockFunction::called_by(expr).is_some();
    (expr.is_volatile_node() && !is_time)
        || expr.children().into_iter().any(|part| varies(part, is_append_only))
}
