//! From a logical plan to streaming operators.
//!
//! Owns which operator each logical node becomes. Knows no text of a query beyond the places of its mistakes. Invariants: a column keeps
//! its position in a node for good, also when a later query asks more columns of a source (they come behind); columns of nodes have
//! plain types (no views, no dictionaries); filters and projections that follow each other are one `Calc`.

use super::{
    explain::{call_text, expr_text},
    mistakes::plain_text,
    place::{find_call, place_of_query},
    stream_plan::{Properties, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    types::plain,
};
use crate::sql::{
    SqlError, SqlResult,
    agg::{AggregateCall, AggregateFunction},
    catalog::{Catalog, TableScanSource},
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::{
    DFSchemaRef, ScalarValue,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Aggregate, Expr, Filter, LogicalPlan, Projection, TableScan, Union, execution_props::ExecutionProps,
    expr::AggregateFunction as PlanAggregate, physical_planning_context::PhysicalPlanningContext,
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
            LogicalPlan::Join(_) => Err(self.refused("joins are not supported yet")),
            LogicalPlan::Sort(_) => Err(self.refused("ORDER BY over rows that never end")),
            LogicalPlan::Limit(_) => Err(self.refused("LIMIT is not supported")),
            LogicalPlan::Window(_) => Err(self.refused("functions with OVER are not supported")),
            LogicalPlan::Unnest(_) => Err(self.refused("unnest is not supported")),
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

    /// One source for each table, which reads every column that anything needs.
    fn scan(&mut self, scan: &TableScan) -> SqlResult<Relation> {
        let Some(source) = scan.source.downcast_ref::<TableScanSource>() else {
            return Err(self.refused("a part of this query reads no table"));
        };
        let table = &source.definition;
        if is_changelog(table) {
            return Err(SqlError::at(
                place_of_query(self.query),
                format!("table `{}` cannot be read yet", table.name),
            )
            .because("its records are changes of rows, and only tables that grow can be read")
            .next("read the topic with 'connector' = 'kafka' and a plain format"));
        }
        let wanted: Vec<usize> = match &scan.projection {
            Some(columns) => {
                columns.iter().filter_map(|&column| source.positions.get(column).copied()).collect()
            }
            None => source.positions.clone(),
        };
        let found = self.plan.nodes.iter().position(
            |node| matches!(&node.operator, StreamOperator::Source { table: other, .. } if other.name == table.name),
        );
        let id = match found {
            Some(at) => StreamNodeId(at),
            None => self.add(
                StreamOperator::Source { table: table.clone(), columns: Vec::new() },
                Vec::new(),
                Vec::new(),
                Properties { is_append_only: true, ..Properties::default() },
            ),
        };
        let node = &mut self.plan.nodes[id.0];
        let StreamOperator::Source { columns, .. } = &mut node.operator else {
            return Err(SqlError::at(None, "a source is not where it was planned"));
        };
        let mut fields = node.schema.fields().to_vec();
        let mut at = Vec::with_capacity(wanted.len());
        for (output, position) in wanted.into_iter().enumerate() {
            at.push(columns.iter().position(|&column| column == position).unwrap_or_else(|| {
                columns.push(position);
                fields.push(scan.projected_schema.field(output).clone());
                fields.len() - 1
            }));
        }
        node.schema = Arc::new(Schema::new(fields));
        node.properties.time_column = table.watermark.as_ref().and_then(|watermark| {
            node.schema.fields().iter().position(|field| *field.name() == watermark.column)
        });
        Ok(Relation { node: id, columns: at, predicate: None, schema: scan.projected_schema.clone() })
    }

    /// An expression over the columns of the relation's node.
    ///
    /// # Errors
    /// If it cannot be run.
    fn physical(&self, expr: &Expr, relation: &Relation) -> SqlResult<Arc<dyn PhysicalExpr>> {
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
        let mut input = self.lower(&filter.input)?;
        if is_true(&filter.predicate) {
            return Ok(input);
        }
        let predicate = self.physical(&filter.predicate, &input)?;
        input.predicate = Some(match input.predicate.take() {
            Some(before) => Arc::new(BinaryExpr::new(before, datafusion_expr::Operator::And, predicate)),
            None => predicate,
        });
        Ok(input)
    }

    fn projection(&mut self, projection: &Projection) -> SqlResult<Relation> {
        let input = self.lower(&projection.input)?;
        let plain_columns: Option<Vec<usize>> = projection
            .expr
            .iter()
            .map(|expr| match unalias(expr) {
                Expr::Column(column) => Some(input.columns[input.schema.index_of_column(column).ok()?]),
                _ => None,
            })
            .collect();
        if let Some(columns) = plain_columns {
            return Ok(Relation { columns, schema: projection.schema.clone(), ..input });
        }
        let computed = projection
            .expr
            .iter()
            .zip(projection.schema.fields())
            .map(|(expr, field)| Ok((self.physical(unalias(expr), &input)?, field.clone())))
            .collect::<SqlResult<Vec<_>>>()?;
        let node = self.calc(&input, computed);
        let columns = (0..projection.expr.len()).collect();
        Ok(Relation { node, columns, predicate: None, schema: projection.schema.clone() })
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
        let properties = Properties {
            is_append_only: properties.iter().all(|input| input.is_append_only),
            unique_key: None,
            time_column: first_time
                .filter(|time| properties.iter().all(|input| input.time_column == Some(*time))),
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

    fn aggregate(&mut self, aggregate: &Aggregate) -> SqlResult<Relation> {
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
                let place = |slot: &mut usize| *slot = at[*slot];
                keys.iter_mut().for_each(place);
                for call in &mut calls {
                    call.arguments.iter_mut().chain(&mut call.filter).for_each(place);
                }
                input.node
            }
            None => self.calc(&input, needed.columns),
        };
        let properties = Properties {
            // The rows of SELECT DISTINCT over rows that only grow are only added.
            is_append_only: calls.is_empty() && !keys.is_empty() && self.node(node).properties.is_append_only,
            unique_key: Some((0..keys.len()).collect()),
            time_column: None,
        };
        let fields: Vec<_> = names
            .iter()
            .chain(calls.iter().map(|call| &call.name))
            .zip(aggregate.schema.fields())
            .map(|(name, field)| Arc::new(Field::new(name, plain(field.data_type()), field.is_nullable())))
            .collect();
        let name = self.state_name("aggregate");
        let columns = (0..fields.len()).collect();
        let node = self.add(StreamOperator::Aggregate { name, keys, calls }, vec![node], fields, properties);
        Ok(Relation { node, columns, predicate: None, schema: aggregate.schema.clone() })
    }

    fn call(
        &self,
        call: &PlanAggregate,
        field: &FieldRef,
        input: &Relation,
        needed: &mut Needed,
    ) -> SqlResult<AggregateCall> {
        let name = call.func.name();
        let Some(function) = self.catalog.functions().durable(name) else {
            return Err(self.refused(&format!("the aggregate `{name}` is not supported")));
        };
        let params = &call.params;
        let counts_rows = function == AggregateFunction::Count
            && !params.distinct
            && params
                .args
                .iter()
                .all(|arg| matches!(unalias(arg), Expr::Literal(value, _) if !value.is_null()));
        let arguments = if counts_rows { &[][..] } else { &params.args[..] };
        let mut add = |expr: &Expr| -> SqlResult<usize> {
            let physical = self.physical(unalias(expr), input)?;
            let (data_type, is_nullable) = self.type_of(&physical, input)?;
            Ok(needed.add(physical, data_type, is_nullable))
        };
        let arguments = arguments.iter().map(&mut add).collect::<SqlResult<Vec<_>>>()?;
        let filter = params.filter.as_deref().map(&mut add).transpose()?;
        let name_of = |slot: usize| needed.columns[slot].1.name().as_str();
        let text = call_text(
            function,
            params.distinct,
            arguments.iter().map(|&slot| name_of(slot)),
            filter.map(name_of),
        );
        Ok(AggregateCall {
            function,
            arguments,
            filter,
            is_distinct: params.distinct,
            data_type: plain(field.data_type()),
            name: text,
        })
    }

    fn type_of(&self, expr: &Arc<dyn PhysicalExpr>, input: &Relation) -> SqlResult<(DataType, bool)> {
        let schema = &self.node(input.node).schema;
        let known = expr.data_type(schema).and_then(|data_type| Ok((data_type, expr.nullable(schema)?)));
        known.map_err(|error| self.refused(&plain_text(&error)))
    }

    /// A name that no state of the script has.
    fn state_name(&self, kind: &str) -> String {
        let is_taken = |wanted: &str| {
            self.plan.nodes.iter().any(
                |node| matches!(&node.operator, StreamOperator::Aggregate { name, .. } if name == wanted),
            )
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
        if here.into_iter().any(is_volatile) || self.is_volatile_below(input.node) {
            return Err(self.volatile_mistake("below an aggregate"));
        }
        Ok(())
    }

    /// Whether a node, or one before it, calls a function that gives another value each time.
    pub fn is_volatile_below(&self, node: StreamNodeId) -> bool {
        let node = self.node(node);
        let here = match &node.operator {
            StreamOperator::Calc { predicate, columns } => columns.iter().chain(predicate).any(is_volatile),
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
            |name| format!("`{name}`"),
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

/// Without the names given to it.
fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
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

fn is_volatile(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is_volatile_node() || expr.children().into_iter().any(is_volatile)
}

/// Whether records of a table say how rows change.
fn is_changelog(table: &crate::sql::TableDefinition) -> bool {
    let option = |key: &str| table.options.get(key).map_or("", |option| option.value.as_str());
    option("connector") == "upsert-kafka"
        || ["format", "value.format"].into_iter().any(|key| option(key).starts_with("debezium"))
}

/// Whether a predicate keeps every row.
fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
