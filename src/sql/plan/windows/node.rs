//! The node of a logical plan that gives rows their windows.
//!
//! Knows no text. Invariants: no predicate passes it; columns of the input that nothing needs are left out below it.

use crate::sql::op::{WindowKind, Windows};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{Column, DFSchema, DFSchemaRef, DataFusionError, ExprSchema, Result as PlanResult};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The columns that are added.
pub const ADDED: [&str; 3] = ["window_start", "window_end", "window_time"];

/// Rows with their windows.
#[derive(Clone, Debug)]
pub struct WindowsNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The column of event time.
    pub time: Column,
    /// The windows.
    pub windows: Windows,
    /// The columns that tell the rows of one session from those of another; `None` = those that rows are grouped by.
    pub partition_by: Option<Vec<Column>>,
    schema: DFSchemaRef,
}

/// Whether windows can be made of a column of this type.
pub fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _))
}

impl WindowsNode {
    /// The windows of this column, which is a time.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn new(
        input: LogicalPlan,
        time: Column,
        windows: Windows,
        partition_by: Option<Vec<Column>>,
    ) -> PlanResult<Self> {
        let zone = match input.schema().as_ref().field_from_column(&time)?.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let added = ADDED.map(|name| {
            let zone = zone.clone().filter(|_| name == ADDED[2]);
            (None, Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, zone), false)))
        });
        let before = input.schema().iter().map(|(table, field)| (table.cloned(), field.clone()));
        let fields = before.chain(added).collect();
        let schema =
            Arc::new(DFSchema::new_with_metadata(fields, DFSchema::metadata(input.schema()).clone())?);
        Ok(WindowsNode { input, time, windows, partition_by, schema })
    }
}

/// Windows in words, such as `HOP size 10 s slide 5 s`.
pub fn windows_text(windows: &Windows) -> String {
    let text = match windows.kind {
        WindowKind::Tumble { size_ms } => format!("TUMBLE size {}", length(size_ms)),
        WindowKind::Hop { size_ms, slide_ms } => {
            format!("HOP size {} slide {}", length(size_ms), length(slide_ms))
        }
        WindowKind::Cumulate { size_ms, step_ms } => {
            format!("CUMULATE size {} step {}", length(size_ms), length(step_ms))
        }
        WindowKind::Session { gap_ms } => format!("SESSION gap {}", length(gap_ms)),
    };
    if windows.offset_ms == 0 { text } else { format!("{text} offset {}", length(windows.offset_ms)) }
}

/// A length of time in its greatest unit.
pub fn length(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = units.iter().find(|(unit_ms, _)| ms != 0 && ms % unit_ms == 0);
    unit.map_or_else(|| format!("{ms} ms"), |(unit_ms, name)| format!("{} {name}", ms / unit_ms))
}

impl PartialEq for WindowsNode {
    fn eq(&self, other: &Self) -> bool {
        self.time == other.time
            && self.windows == other.windows
            && self.partition_by == other.partition_by
            && self.input == other.input
    }
}

impl Eq for WindowsNode {}

impl Hash for WindowsNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.time.hash(state);
        self.windows.hash(state);
        self.partition_by.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for WindowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.time, self.windows, &self.partition_by).cmp(&(
            &other.time,
            other.windows,
            &other.partition_by,
        )) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowsNode {
    fn name(&self) -> &'static str {
        "Windows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let partition_by = self.partition_by.iter().flatten();
        std::iter::once(&self.time).chain(partition_by).cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Windows: {} of {}", windows_text(&self.windows), self.time)?;
        match self.partition_by.as_deref() {
            None | Some([]) => Ok(()),
            Some(columns) => {
                let names: Vec<String> = columns.iter().map(ToString::to_string).collect();
                write!(f, " by {}", names.join(", "))
            }
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = || DataFusionError::Plan("windows have one input and one column of time".to_owned());
        let columns = exprs.into_iter().map(|expr| match expr {
            Expr::Column(column) => Ok(column),
            _ => Err(wrong()),
        });
        let mut columns = columns.collect::<PlanResult<Vec<_>>>()?.into_iter();
        let (Some(time), Some(input)) = (columns.next(), inputs.pop()) else {
            return Err(wrong());
        };
        let partition_by = self.partition_by.as_ref().map(|_| columns.collect());
        WindowsNode::new(input, time, self.windows, partition_by)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let of_input = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < of_input).collect()])
    }
}
