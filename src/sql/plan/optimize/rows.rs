//! Rows that are there as a node of a logical plan: those that a program gives, that were computed before the rest is, or that a query has kept
//! in memory so far.
//!
//! Knows no operator. Invariants: two nodes are equal if they are of the same rows, whatever these are; names of columns are told apart in the
//! rows, also where those of the plan are not.

use crate::sql::{
    ColumnKind, Span, SqlOption, TableColumn, TableDefinition,
    catalog::TableScanSource,
    connector::bounded::{ROWS, is_bounded},
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    datatypes::{Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion_common::{DFSchemaRef, Result as PlanResult, tree_node::TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering as Memory},
    },
};

/// Gives the rows that are there when it is called.
pub type KeptRows = Arc<dyn Fn() -> Vec<RecordBatch> + Send + Sync>;

/// Rows that are there.
#[derive(Clone)]
pub struct RowsNode {
    rows: Rows,
    /// The columns that they have.
    columns: SchemaRef,
    /// The names and types that the plan knows.
    schema: DFSchemaRef,
    number: u64,
}

#[derive(Clone)]
enum Rows {
    Given(RecordBatch),
    Kept(KeptRows),
}

impl RowsNode {
    /// These rows, whose columns are those of the schema in their order.
    ///
    /// # Errors
    /// If a column is not as its field says.
    pub fn new(rows: &RecordBatch, schema: DFSchemaRef) -> Result<Self, ArrowError> {
        let columns = unique(&schema, &rows.schema());
        let rows = with_columns(rows, &columns)?;
        Ok(RowsNode { rows: Rows::Given(rows), columns, schema, number: next_number() })
    }

    /// The rows that are there when the plan is made, with columns as in the schema.
    pub fn kept(rows: KeptRows, schema: DFSchemaRef) -> Self {
        let columns = unique(&schema, schema.inner());
        RowsNode { rows: Rows::Kept(rows), columns, schema, number: next_number() }
    }

    /// The rows.
    ///
    /// # Errors
    /// If a column is not as its field says.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        match &self.rows {
            Rows::Given(rows) => Ok(rows.clone()),
            Rows::Kept(rows) => {
                let pieces = rows()
                    .iter()
                    .map(|piece| with_columns(piece, &self.columns))
                    .collect::<Result<Vec<_>, _>>();
                concat_batches(&self.columns, &pieces?)
            }
        }
    }

    /// The table that stands for them in a plan.
    pub fn table(&self) -> TableDefinition {
        let span = Span::default();
        let column = |field: &FieldRef| TableColumn {
            name: field.name().clone(),
            span,
            is_required: !field.is_nullable(),
            kind: ColumnKind::Physical(field.data_type().clone()),
        };
        let connector = SqlOption { value: ROWS.to_owned(), key_span: span, value_span: span };
        TableDefinition {
            name: format!("#rows-{}", self.number),
            span,
            columns: self.columns.fields().iter().map(column).collect(),
            watermark: None,
            primary_key: vec![],
            partitioned_by: vec![],
            options: BTreeMap::from([("connector".to_owned(), connector)]),
        }
    }
}

/// Whether a plan is the rows that a query keeps.
pub fn is_kept(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Extension(extension) = plan else { return false };
    let node = extension.node.as_any().downcast_ref::<RowsNode>();
    node.is_some_and(|node| matches!(node.rows, Rows::Kept(_)))
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Memory::Relaxed)
}

/// The columns of rows with the names of a plan, told apart.
fn unique(schema: &DFSchemaRef, of_rows: &Schema) -> SchemaRef {
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let field = |(at, field): (usize, &FieldRef)| {
        let name = names[at];
        let name = if names[..at].contains(&name) { format!("{name}#{at}") } else { name.clone() };
        Field::new(name, field.data_type().clone(), field.is_nullable())
    };
    Arc::new(Schema::new(of_rows.fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}

fn with_columns(rows: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(columns.clone(), rows.columns().to_vec(), &options)
}

/// Whether a plan, as it was written or later, reads tables that are read once, and no others: then its rows have an end.
pub fn reads_once(plan: &LogicalPlan) -> bool {
    let (mut reads_any, mut reads_once) = (false, true);
    // The closure does not fail.
    let _ = plan.apply_with_subqueries(|plan| {
        let is_bounded = match plan {
            LogicalPlan::TableScan(scan) => {
                scan.source.downcast_ref::<TableScanSource>().is_some_and(|of| is_bounded(&of.definition))
            }
            LogicalPlan::Extension(extension) if extension.node.as_any().is::<RowsNode>() => true,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        reads_any = true;
        reads_once &= is_bounded;
        Ok(if reads_once { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    reads_any && reads_once
}

impl fmt::Debug for RowsNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsNode({})", self.number)
    }
}

impl PartialEq for RowsNode {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for RowsNode {}

impl Hash for RowsNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialOrd for RowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.number.cmp(&other.number))
    }
}

impl UserDefinedLogicalNodeCore for RowsNode {
    fn name(&self) -> &'static str {
        "Rows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        match &self.rows {
            Rows::Given(rows) => write!(f, "Rows: {} of ({})", rows.num_rows(), names.join(", ")),
            Rows::Kept(_) => write!(f, "Rows: kept by a query, of ({})", names.join(", ")),
        }
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> PlanResult<Self> {
        Ok(self.clone())
    }
}
