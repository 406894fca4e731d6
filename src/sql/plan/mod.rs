//! From statements to a plan of streaming operators.
//!
//! Owns the way of a query: refusals read from its text, DataFusion's logical plan with types that agree, a fixed list of rules, and the
//! operators it becomes. Knows no grammar of statements and no operator's code. Invariants: a mistake of the user is told in words of SQL
//! and at its place; one plan holds all queries of a script, and each table is read by one source.
//!
//! ```text
//! Query -> refuse -> optimize (DataFusion) -> sink (columns, types) -> lower -> StreamPlan -> explain
//!                       | on an error: mistakes (what, where)
//! ```

mod explain;
mod lower;
mod mistakes;
mod optimize;
mod place;
mod placement;
mod refuse;
mod sink;
mod stages;
pub mod stream_plan;
#[cfg(test)]
mod tests;
mod types;
mod versions;
mod windows;

pub use explain::{
    all_sinks, explain, logical_plan as explain_logical_plan, stream_plan as explain_stream_plan,
};

pub use optimize::DeduplicateNode;
pub use stages::{RESULT, Stage, Stages};

pub(super) use placement::lies_by;
pub(super) use sink::{FOREACH_BATCH, MEMORY, written_columns};
pub(super) use types::{SqlTypes, is_assignable, plain, type_name};
pub(super) use versions::VersionsPlanner;
pub(super) use windows::{
    ADDED as WINDOW_COLUMNS, LATE, LateNode, WatermarkNode, WindowsNode, WindowsPlanner, is_time,
};

use self::{
    lower::Lower,
    mistakes::{explain_mistake, expr_mistake, plain_text, plan_expr},
    optimize::{KeptRows, RowsNode, is_kept, reads_once},
    place::place_of_query,
    refuse::MaySort,
    sink::Targets,
    stream_plan::{StreamNodeId, StreamPlan},
};
use super::{
    Span, SqlError, SqlResult, TableDefinition,
    catalog::{Catalog, UserDefined},
    op::OrderColumn,
    parse::{CreateTable, CreateView, Drop, Insert, OnExisting},
    schema::ColumnKind,
};
use crate::operator::Gives;
use arrow::{array::RecordBatch, datatypes::Schema};
use datafusion_common::{Column as PlanColumn, DFSchema, DFSchemaRef};
use datafusion_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::sqlparser::ast::Query;
use std::sync::Arc;

/// A query that became part of a plan.
#[derive(Debug)]
pub struct Planned {
    /// DataFusion's plan, after all rules.
    pub logical: LogicalPlan,
    /// The node that ends it.
    pub root: StreamNodeId,
}

/// What is known of the rows of a query before it is planned.
#[derive(Debug)]
pub struct QueryColumns {
    /// Their columns, with the names of the relations that they are of.
    pub schema: DFSchemaRef,
    /// Whether they have an end: all tables that the query reads are read once.
    pub is_bounded: bool,
}

/// A query as it is lowered.
#[derive(Debug)]
pub struct LogicalQuery {
    query: Box<Query>,
    /// DataFusion's plan, after all rules.
    pub logical: LogicalPlan,
}

/// The same of a query that a table takes.
#[derive(Debug)]
pub struct LogicalInsert {
    insert: Insert,
    targets: Targets,
    order: Vec<OrderColumn>,
    is_complete: bool,
    /// DataFusion's plan, after all rules.
    pub logical: LogicalPlan,
}

/// Plans the statements of one script, one after the other.
#[derive(Debug, Default)]
pub struct Planner {
    catalog: Catalog,
}

impl Planner {
    /// For a script that has declared nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the script has declared.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Adds a function of the program, in the place of one that had its name. What was planned with that one keeps it.
    ///
    /// # Errors
    /// If SQL has a function of this name.
    pub(super) fn declare_function(&mut self, function: UserDefined) -> SqlResult {
        self.catalog.declare_function(function)
    }

    /// Declares a table.
    ///
    /// # Errors
    /// If its name is taken, or a computed column cannot be computed.
    pub fn declare_table(&mut self, create: CreateTable) -> SqlResult {
        let table = Arc::new(create.definition);
        if create.on_existing == OnExisting::Keep && self.catalog.table(&table.name).is_some() {
            return Ok(());
        }
        let is_computed = table.columns.iter().any(|column| matches!(column.kind, ColumnKind::Computed(_)));
        let inlined = if is_computed { Some(self.with_computed(&table)?) } else { None };
        self.catalog.insert_table(table, inlined, create.on_existing == OnExisting::Replace)
    }

    /// A scan with the computed columns above it (but that of event time, which the scan has), each over those before it.
    fn with_computed(&self, table: &Arc<TableDefinition>) -> SqlResult<LogicalPlan> {
        let failed = |error: datafusion_common::DataFusionError| SqlError::at(table.span, plain_text(&error));
        let source = lower::scan_source(&self.catalog, table)?;
        let in_scan = source.event_time.as_ref().map(|time| time.position);
        let source = Arc::new(source);
        let mut plan = LogicalPlanBuilder::scan(table.name.as_str(), source, None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        for (position, column) in table.columns.iter().enumerate() {
            let ColumnKind::Computed(expr) = &column.kind else { continue };
            if in_scan == Some(position) {
                continue;
            }
            let expr = &windows::rewritten_expr(expr);
            refuse::check_expr(&self.catalog, expr).map_err(|error| error.or_at(column.span))?;
            let (value, _) = plan_expr(&self.catalog, expr, plan.schema()).map_err(|error| {
                let mistake = expr_mistake(&self.catalog, expr, plan.schema());
                mistake.unwrap_or_else(|| SqlError::at(None, plain_text(&error))).or_at(column.span)
            })?;
            let before =
                plan.schema().iter().map(|(table, field)| Expr::Column(PlanColumn::from((table, field))));
            let exprs: Vec<_> = before.chain([value.alias(&column.name)]).collect();
            plan = LogicalPlanBuilder::from(plan)
                .project(exprs)
                .and_then(LogicalPlanBuilder::build)
                .map_err(failed)?;
        }
        let in_order: Vec<_> = table
            .columns
            .iter()
            .filter_map(|column| plan.schema().iter().find(|(_, field)| *field.name() == column.name))
            .map(|(table, field)| Expr::Column(PlanColumn::from((table, field))))
            .collect();
        LogicalPlanBuilder::from(plan).project(in_order).and_then(LogicalPlanBuilder::build).map_err(failed)
    }

    /// Declares a view; its columns are called as the query calls them, or by the names that it gives them. Views that read a table or
    /// view that is replaced later keep what it was.
    ///
    /// # Errors
    /// If its name is taken or its query has a mistake.
    pub fn declare_view(&mut self, create: CreateView) -> SqlResult {
        let CreateView { name, span, columns, query, on_existing, .. } = create;
        if on_existing == OnExisting::Keep && self.catalog.view(&name).is_some() {
            return Ok(());
        }
        let query = Box::new(windows::rewritten(&query)?);
        let mut plan = self.logical(&query, MaySort::Nowhere)?;
        let count = plan.schema().fields().len();
        if !columns.is_empty() {
            if columns.len() != count {
                let named = columns.len();
                return Err(SqlError::at(
                    span,
                    format!("view `{name}` names {named} columns, and its query gives {count}"),
                ));
            }
            let fields: Vec<_> =
                plan.schema().iter().map(|(table, field)| PlanColumn::from((table, field))).collect();
            let renamed = fields
                .into_iter()
                .zip(&columns)
                .map(|(field, column)| Expr::Column(field).alias(&column.text));
            plan = LogicalPlanBuilder::from(plan)
                .project(renamed)
                .and_then(LogicalPlanBuilder::build)
                .map_err(|error| SqlError::at(span, plain_text(&error)))?;
        }
        // A view that no query reads is checked too.
        let analyzed = optimize::analyze(&self.catalog, plan.clone())
            .map_err(|error| explain_mistake(&self.catalog, &query, &error))?;
        mistakes::check_literals(&query, &analyzed)?;
        self.catalog.insert_view(&name, span, Arc::from(query), plan, on_existing == OnExisting::Replace)
    }

    /// Forgets a table or view.
    ///
    /// # Errors
    /// If there is none of that name and kind.
    pub fn drop_relation(&mut self, drop: &Drop) -> SqlResult {
        let Drop { name, is_view, if_exists } = drop;
        let kind = if *is_view { "view" } else { "table" };
        let is_there = if *is_view {
            self.catalog.view(&name.text).is_some()
        } else {
            self.catalog.table(&name.text).is_some()
        };
        if is_there {
            self.catalog.remove(&name.text);
        } else if self.catalog.has(&name.text) {
            let other = if *is_view { "table" } else { "view" };
            return Err(SqlError::at(name.span, format!("`{}` is a {other}", name.text))
                .next(format!("write DROP {}", other.to_uppercase())));
        } else if !if_exists {
            return Err(self
                .catalog
                .unknown_relation(&name.text, name.span, std::iter::empty())
                .or_at(name.span)
                .because(format!("only a {kind} that was declared can be dropped")));
        }
        Ok(())
    }

    /// Adds a query and the table it writes to, to a plan. The plan is as it was if there is a mistake.
    ///
    /// # Errors
    /// The first mistake.
    pub fn plan_insert(&mut self, insert: &Insert, plan: &mut StreamPlan) -> SqlResult<Planned> {
        let table = self.target(insert)?;
        self.plan_into(&table, insert, plan)
    }

    /// The same, for a table that need not be declared.
    ///
    /// # Errors
    /// The first mistake.
    pub fn plan_into(
        &self,
        table: &Arc<TableDefinition>,
        insert: &Insert,
        plan: &mut StreamPlan,
    ) -> SqlResult<Planned> {
        self.lower_insert(self.logical_insert(table, insert)?, table, plan)
    }

    /// The first half of [`plan_into`](Self::plan_into).
    ///
    /// # Errors
    /// The first mistake.
    pub fn logical_insert(&self, table: &TableDefinition, insert: &Insert) -> SqlResult<LogicalInsert> {
        let is_complete = sink::is_complete(table, insert);
        let query = Box::new(windows::rewritten(&insert.query)?);
        let insert = Insert { query, ..insert.clone() };
        let may_sort = if is_complete { MaySort::AtTheEnd } else { MaySort::Nowhere };
        let logical = self.analyzed(&insert.query, may_sort)?;
        let targets = sink::match_columns(table, &insert, logical.schema().fields().len())?;
        let logical = sink::with_target_types(table, &targets, &insert.query, logical)?;
        let logical = self.optimized(&insert.query, logical)?;
        let order = if is_complete { sink::order_of(&logical, &insert.query)? } else { vec![] };
        Ok(LogicalInsert { insert, targets, order, is_complete, logical })
    }

    /// The second half of [`plan_into`](Self::plan_into).
    ///
    /// # Errors
    /// The first mistake.
    pub fn lower_insert(
        &self,
        planned: LogicalInsert,
        table: &Arc<TableDefinition>,
        plan: &mut StreamPlan,
    ) -> SqlResult<Planned> {
        let LogicalInsert { insert, targets, order, is_complete, logical } = planned;
        let insert = &insert;
        let (mut longer, is_bounded) = (plan.clone(), plan.is_bounded);
        let mut lower = Lower {
            plan: &mut longer,
            name: &insert.table,
            query: &insert.query,
            catalog: &self.catalog,
            gives: sink::gives(table, insert),
            is_complete,
            is_bounded,
        };
        let relation = lower.lower(&logical)?;
        let root = sink::add_sink(&mut lower, table, &targets, insert, &relation, &order)?;
        windows::check_sessions(&longer, &insert.query)?;
        *plan = longer;
        Ok(Planned { logical, root })
    }

    /// Adds a query that no table takes, to look at its plan.
    ///
    /// # Errors
    /// The first mistake.
    pub fn plan_query(&mut self, query: &Query, plan: &mut StreamPlan) -> SqlResult<Planned> {
        self.plan_giving(query, Gives::Finals, plan)
    }

    /// The same, with the rows of windows that are asked for.
    ///
    /// # Errors
    /// The first mistake.
    pub fn plan_giving(&self, query: &Query, gives: Gives, plan: &mut StreamPlan) -> SqlResult<Planned> {
        self.lower_query(self.logical_query(query)?, gives, plan)
    }

    /// The first half of [`plan_giving`](Self::plan_giving).
    ///
    /// # Errors
    /// The first mistake.
    pub fn logical_query(&self, query: &Query) -> SqlResult<LogicalQuery> {
        let query = Box::new(windows::rewritten(query)?);
        let logical = self.analyzed(&query, MaySort::Nowhere)?;
        let logical = self.optimized(&query, logical)?;
        Ok(LogicalQuery { query, logical })
    }

    /// The second half of [`plan_giving`](Self::plan_giving).
    ///
    /// # Errors
    /// The first mistake.
    pub fn lower_query(
        &self,
        planned: LogicalQuery,
        gives: Gives,
        plan: &mut StreamPlan,
    ) -> SqlResult<Planned> {
        let LogicalQuery { query, logical } = planned;
        let query = &*query;
        let mut longer = plan.clone();
        let mut lower = Lower {
            plan: &mut longer,
            name: "query",
            query,
            catalog: &self.catalog,
            gives,
            is_complete: false,
            is_bounded: false,
        };
        let relation = lower.lower(&logical)?;
        let root = lower.exact(&relation);
        windows::check_sessions(&longer, query)?;
        *plan = longer;
        Ok(Planned { logical, root })
    }

    /// The columns that a query gives.
    ///
    /// # Errors
    /// The first mistake.
    pub fn columns_of(&self, query: &Query) -> SqlResult<QueryColumns> {
        let query = &windows::rewritten(query)?;
        let logical = self.analyzed(query, MaySort::Nowhere)?;
        mistakes::check_literals(query, &logical)?;
        Ok(QueryColumns { schema: logical.schema().clone(), is_bounded: reads_once(&logical) })
    }

    /// What is left to do of a query whose rows have an end, once all that it depends on is there: see [`Stages`].
    ///
    /// # Errors
    /// If there is no operator for a part of it.
    pub fn stage(&self, plan: &LogicalPlan, query: &Query) -> SqlResult<Stage> {
        let mut stream = StreamPlan { is_bounded: true, ..StreamPlan::default() };
        let mut lower = Lower {
            plan: &mut stream,
            name: RESULT,
            query,
            catalog: &self.catalog,
            gives: Gives::Updates,
            is_complete: false,
            is_bounded: true,
        };
        let relation = lower.lower(plan)?;
        let root = lower.exact(&relation);
        let is_there = lower.is_there(plan);
        if !is_there {
            stages::add_sink(&mut lower, root)?;
        }
        windows::check_sessions(&stream, query)?;
        Ok(if is_there { Stage::There(stream, root) } else { Stage::Runs(stream) })
    }

    /// Gives rows that are there a name; they are read as those of a view are. The query says the same: it reads that name.
    ///
    /// # Errors
    /// If two columns have one name.
    pub fn declare_rows(&mut self, name: &str, query: Query, rows: &RecordBatch) -> SqlResult {
        let wrong = |e: &dyn std::fmt::Display| SqlError::at(None, e.to_string());
        let schema =
            DFSchema::try_from(rows.schema().as_ref().clone()).map_err(|e| wrong(&plain_text(&e)))?;
        let node = RowsNode::new(rows, Arc::new(schema)).map_err(|e| wrong(&e))?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        self.catalog.insert_view(name, Span::default(), Arc::new(query), plan, true)
    }

    /// Gives the rows that a query keeps a name; they are read as those of a view are, each time as they are then. The query says the same: it
    /// reads that name.
    ///
    /// # Errors
    /// If two columns have one name, or something else has this name.
    pub fn declare_kept(&mut self, name: &str, query: Query, columns: &Schema, rows: KeptRows) -> SqlResult {
        if self.catalog.has(name) && !self.catalog.plan(name).is_some_and(|plan| is_kept(&plan)) {
            let mistake = format!(
                "there is a table or view `{name}`, and the rows that a query keeps in memory have its name"
            );
            return Err(SqlError::at(None, mistake).next("give the query another name"));
        }
        let schema = DFSchema::try_from(columns.clone()).map_err(|e| SqlError::at(None, plain_text(&e)))?;
        let node = Arc::new(RowsNode::kept(rows, Arc::new(schema)));
        let plan = LogicalPlan::Extension(Extension { node });
        self.catalog.insert_view(name, Span::default(), Arc::new(query), plan, true)
    }

    /// Forgets a name that only DataFrames know.
    pub fn forget(&mut self, name: &str) {
        self.catalog.remove(name);
    }

    /// Gives a query under a name, with something above its plan; it is read as a view is.
    ///
    /// # Errors
    /// If the query has a mistake, or what is above it refuses it.
    pub fn declare_above(
        &mut self,
        name: &str,
        query: &Query,
        above: impl FnOnce(LogicalPlan) -> SqlResult<LogicalPlan>,
    ) -> SqlResult {
        let plan = above(self.logical(query, MaySort::Nowhere)?)?;
        self.catalog.insert_view(name, Span::default(), Arc::new(query.clone()), plan, true)
    }

    fn target(&self, insert: &Insert) -> SqlResult<Arc<TableDefinition>> {
        let name = insert.table.as_str();
        match self.catalog.table(name) {
            Some(table) => Ok(table.clone()),
            None if self.catalog.view(name).is_some() => Err(SqlError::at(
                insert.span,
                format!("`{name}` is a view, and only tables can be written to"),
            )),
            None => Err(self.catalog.unknown_relation(name, insert.span, std::iter::empty())),
        }
    }

    /// `may_sort` is for a query whose rows have no end.
    fn logical(&self, query: &Query, may_sort: MaySort) -> SqlResult<LogicalPlan> {
        let query = &versions::rewritten(&self.catalog, query)?;
        // Which tables it reads is known from its plan.
        let plan = optimize::plan_query(&self.catalog, query);
        let may_sort = if plan.as_ref().is_ok_and(reads_once) { MaySort::Everywhere } else { may_sort };
        refuse::check_query(&self.catalog, query, may_sort)
            .map_err(|error| error.or_at(place_of_query(query)))?;
        plan.map_err(|error| explain_mistake(&self.catalog, query, &error))
    }

    fn analyzed(&self, query: &Query, may_sort: MaySort) -> SqlResult<LogicalPlan> {
        let logical = self.logical(query, may_sort)?;
        optimize::analyze(&self.catalog, logical)
            .map_err(|error| explain_mistake(&self.catalog, query, &error))
    }

    fn optimized(&self, query: &Query, plan: LogicalPlan) -> SqlResult<LogicalPlan> {
        mistakes::check_literals(query, &plan)?;
        let plan =
            versions::without_start(plan).map_err(|error| explain_mistake(&self.catalog, query, &error))?;
        let options = datafusion_expr::planner::ContextProvider::options(&self.catalog);
        optimize::optimize(options, plan)
            .map_err(|error| SqlError::at(place_of_query(query), plain_text(&error)))
    }
}
