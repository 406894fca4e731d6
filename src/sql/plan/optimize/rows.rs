//! Rows that are there as a node of a logical plan: those that a program gives, or that were computed before the rest is.
//!
//! Knows no operator. Invariants: two nodes are equal if they are of the same rows, whatever these are; names of columns are told apart in the
//! rows, also where those of the plan are not.

use crate::sql::{
    ColumnKind, Span, SqlOption, TableColumn, TableDefinition,
    catalog::TableScanSource,
    connector::bounded::{ROWS, is_bounded},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, Schema},
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

/// Rows that are there.
#[derive(Clone)]
pub struct RowsNode {
    /// The rows.
    pub rows: RecordBatch,
    /// The names and types that the plan knows.
    schema: DFSchemaRef,
    number: u64,
}

impl RowsNode {
    /// These rows, whose columns are those of the schema in their order.
    ///
    /// # Errors
    /// If a column is not as its field says.
    pub fn new(rows: &RecordBatch, schema: DFSchemaRef) -> Result<Self, ArrowError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        let unique = |(at, field): (usize, &FieldRef)| {
            let name = names[at];
            let name = if names[..at].contains(&name) { format!("{name}#{at}") } else { name.clone() };
            Field::new(name, field.data_type().clone(), field.is_nullable())
        };
        let fields: Vec<Field> = rows.schema().fields().iter().enumerate().map(unique).collect();
        let columns: Vec<ArrayRef> = rows.columns().to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(RowsNode { rows, schema, number: NEXT.fetch_add(1, Memory::Relaxed) })
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
            columns: self.rows.schema().fields().iter().map(column).collect(),
            watermark: None,
            primary_key: vec![],
            partitioned_by: vec![],
            options: BTreeMap::from([("connector".to_owned(), connector)]),
        }
    }
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
        write!(f, "RowsNode({}, {} rows)", self.number, self.rows.num_rows())
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
        write!(f, "Rows: {} of ({})", self.rows.num_rows(), names.join(", "))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> PlanResult<Self> {
        Ok(self.clone())
    }
}
