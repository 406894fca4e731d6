//! The tables and views of a script, and the functions that its queries may call.
//!
//! Owns names: which relation and which function a name means. Knows no query and no operator. It answers DataFusion's planner directly,
//! without a session and without a runtime. Invariants: a name means one relation; a scan reads physical and metadata columns and that of
//! event time only, since other computed columns are expressions above it.

use super::{
    ColumnKind, Span, SqlError, SqlResult, TableColumn as Column, TableDefinition,
    closest::closest,
    plan::{LATE, LateNode, stream_plan::ComputedTime},
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{
    Column as PlanColumn, DataFusionError, Result as PlanResult, TableReference, config::ConfigOptions,
    plan_datafusion_err,
};
use datafusion_expr::{
    AggregateUDF, Extension, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource,
    WindowUDF,
    planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner},
};
use datafusion_sql::sqlparser::ast::Query;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

mod functions;
mod number;

use functions::Functions;
pub use functions::WINDOW_FUNCTIONS;

pub(super) use functions::{
    AS_OF, AS_OF_START, Arguments, ClockFunction, Compute, NoCalls, TIMESTAMPADD, TIMESTAMPDIFF, UserDefined,
    shown_function,
};

/// What a script has declared so far.
pub struct Catalog {
    relations: BTreeMap<String, CatalogRelation>,
    functions: Functions,
    relation_planners: [Arc<dyn RelationPlanner>; 2],
    options: ConfigOptions,
}

/// What a name of a relation means.
enum CatalogRelation {
    Table { definition: Arc<TableDefinition>, source: Arc<dyn TableSource> },
    View { span: Span, query: Arc<Query>, source: Arc<dyn TableSource> },
}

impl Catalog {
    /// Without relations, with all functions.
    #[must_use]
    pub fn new() -> Self {
        let mut options = ConfigOptions::new();
        options.execution.time_zone = Some("UTC".to_owned());
        // Rows that have an end stay in the order of a query below; others have none without LIMIT.
        options.sql_parser.enable_subquery_sort_elimination = false;
        Catalog {
            relations: BTreeMap::new(),
            functions: Functions::new(),
            relation_planners: [
                Arc::new(super::plan::WindowsPlanner),
                Arc::new(super::plan::VersionsPlanner),
            ],
            options,
        }
    }

    /// A table by its name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<TableDefinition>> {
        match self.relations.get(name) {
            Some(CatalogRelation::Table { definition, .. }) => Some(definition),
            _ => None,
        }
    }

    /// The query of a view, by its name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&Arc<Query>> {
        match self.relations.get(name) {
            Some(CatalogRelation::View { query, .. }) => Some(query),
            _ => None,
        }
    }

    /// The plan of a view, by its name.
    pub(super) fn plan(&self, name: &str) -> Option<Cow<'_, LogicalPlan>> {
        match self.relations.get(name) {
            Some(CatalogRelation::View { source, .. }) => source.get_logical_plan(),
            _ => None,
        }
    }

    /// Whether a table or a view has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.relations.contains_key(name)
    }

    /// Whether a query can read this name: a table, a view, or the late rows of a table.
    #[must_use]
    pub fn can_read(&self, name: &str) -> bool {
        self.has(name) || self.late_rows(name).is_some()
    }

    /// `t$late`: the rows of a table with a watermark that came too late.
    fn late_rows(&self, name: &str) -> Option<Arc<dyn TableSource>> {
        let Some(CatalogRelation::Table { definition, source }) =
            self.relations.get(name.strip_suffix(LATE)?)
        else {
            return None;
        };
        let watermark = definition.watermark.as_ref()?;
        let all = LogicalPlanBuilder::scan(definition.name.as_str(), source.clone(), None);
        let input = all.and_then(LogicalPlanBuilder::build).ok()?;
        let (table, field) = input.schema().iter().find(|(_, field)| *field.name() == watermark.column)?;
        let time = PlanColumn::from((table, field));
        let node = Arc::new(LateNode { input, time });
        Some(Arc::new(Inlined::new(LogicalPlan::Extension(Extension { node }))))
    }

    /// The names of all tables and views, in alphabetical order, without those that only a DataFrame knows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(String::as_str).filter(|name| !name.starts_with('#'))
    }

    /// The columns of a table or a view; of a table with the computed ones.
    #[must_use]
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        self.relations.get(name).map(|relation| match relation {
            CatalogRelation::Table { source, .. } | CatalogRelation::View { source, .. } => source.schema(),
        })
    }

    /// The names of all functions, in alphabetical order.
    #[must_use]
    pub fn function_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.functions.names().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The functions.
    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Adds a function of the program, in the place of one that had its name.
    ///
    /// # Errors
    /// If SQL has a function of this name.
    pub(super) fn declare_function(&mut self, function: UserDefined) -> SqlResult {
        self.functions.declare(function)
    }

    /// Adds a table whose queries see `inlined` (its computed columns above a scan), or the scan itself.
    ///
    /// # Errors
    /// If the name is taken, unless it replaces what has the name.
    pub(super) fn insert_table(
        &mut self,
        definition: Arc<TableDefinition>,
        inlined: Option<LogicalPlan>,
        replaces: bool,
    ) -> SqlResult {
        if !replaces {
            self.check_free(&definition.name, definition.span)?;
        }
        let source: Arc<dyn TableSource> = match inlined {
            Some(plan) => Arc::new(Inlined::new(plan)),
            None => Arc::new(TableScanSource::new(definition.clone())),
        };
        self.relations.insert(definition.name.clone(), CatalogRelation::Table { definition, source });
        Ok(())
    }

    /// Adds a view with the plan of its query.
    ///
    /// # Errors
    /// If the name is taken, unless it replaces what has the name.
    pub(super) fn insert_view(
        &mut self,
        name: &str,
        span: Span,
        query: Arc<Query>,
        plan: LogicalPlan,
        replaces: bool,
    ) -> SqlResult {
        if !replaces {
            self.check_free(name, span)?;
        }
        let source = Arc::new(Inlined::new(plan));
        self.relations.insert(name.to_owned(), CatalogRelation::View { span, query, source });
        Ok(())
    }

    /// Forgets a name.
    pub(super) fn remove(&mut self, name: &str) {
        self.relations.remove(name);
    }

    fn check_free(&self, name: &str, span: Span) -> SqlResult {
        let Some(relation) = self.relations.get(name) else { return Ok(()) };
        let (kind, first) = match relation {
            CatalogRelation::Table { definition, .. } => ("table", definition.span),
            CatalogRelation::View { span, .. } => ("view", *span),
        };
        Err(SqlError::at(span, format!("there is a {kind} `{name}` already, in line {}", first.line))
            .next("give one of them another name"))
    }

    /// The mistake of a name that no relation has.
    pub(super) fn unknown_relation<'a>(
        &'a self,
        name: &str,
        span: impl Into<Option<Span>>,
        also: impl Iterator<Item = &'a str>,
    ) -> SqlError {
        let error = SqlError::at(span, format!("there is no table or view `{name}`"));
        if let Some(table) = name.strip_suffix(LATE).and_then(|table| self.table(table)) {
            return error
                .because(format!("table `{}` has no watermark, so none of its rows is late", table.name))
                .next("add WATERMARK FOR ts AS ts - INTERVAL '5' SECOND to the table");
        }
        match closest(name, self.names().chain(also)) {
            Some(close) => error.next(format!("did you mean `{close}`?")),
            None if self.names().next().is_none() => error.next("declare it before the query: CREATE TABLE"),
            None => {
                let names: Vec<_> = self.names().take(10).map(|name| format!("`{name}`")).collect();
                error.next(format!("declare it before the query; there are: {}", names.join(", ")))
            }
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl ContextProvider for Catalog {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        match (&name, self.relations.get(name.table())) {
            (
                TableReference::Bare { .. },
                Some(CatalogRelation::Table { source, .. } | CatalogRelation::View { source, .. }),
            ) => Ok(source.clone()),
            (TableReference::Bare { table }, None) => {
                self.late_rows(table).ok_or_else(|| unknown_table(&name))
            }
            _ => Err(unknown_table(&name)),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.functions.planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(super::plan::SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn unknown_table(name: &TableReference) -> DataFusionError {
    plan_datafusion_err!("table '{name}' not found")
}

/// What a scan of a table reads: its physical and metadata columns, and that of event time.
pub(super) struct TableScanSource {
    /// The table.
    pub definition: Arc<TableDefinition>,
    /// For each column of the scan its position in the declaration.
    pub positions: Vec<usize>,
    /// The column of event time, if it is computed.
    pub event_time: Option<Arc<ComputedTime>>,
    schema: SchemaRef,
}

impl TableScanSource {
    /// A scan of this table.
    pub fn new(definition: Arc<TableDefinition>) -> Self {
        let (positions, fields): (Vec<_>, Vec<_>) = definition
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((at, read_field(&definition, column)?)))
            .unzip();
        TableScanSource { schema: Arc::new(Schema::new(fields)), positions, event_time: None, definition }
    }

    /// A scan that has the computed column of event time, too.
    pub fn with_event_time(definition: Arc<TableDefinition>, time: ComputedTime, field: Field) -> Self {
        let mut scan = Self::new(definition);
        let at = scan.positions.partition_point(|position| *position < time.position);
        let mut fields = scan.schema.fields().to_vec();
        fields.insert(at, Arc::new(field));
        scan.positions.insert(at, time.position);
        TableScanSource { schema: Arc::new(Schema::new(fields)), event_time: Some(Arc::new(time)), ..scan }
    }

    /// The field of a column, by its position in the declaration.
    pub fn field(&self, position: usize) -> Option<FieldRef> {
        let at = self.positions.iter().position(|other| *other == position)?;
        self.schema.fields().get(at).cloned()
    }
}

/// The field of a column that is read as it is; `None` for a computed one.
fn read_field(table: &TableDefinition, column: &Column) -> Option<Field> {
    let data_type = match &column.kind {
        ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, .. } => data_type.clone(),
        ColumnKind::Computed(_) => return None,
    };
    let is_required = column.is_required || table.primary_key.contains(&column.name);
    Some(Field::new(&column.name, data_type, !is_required))
}

impl TableSource for TableScanSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// A relation whose plan takes the place of its name.
struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Inlined {
    fn new(plan: LogicalPlan) -> Self {
        Inlined { schema: Arc::new(plan.schema().as_arrow().clone()), plan }
    }
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
