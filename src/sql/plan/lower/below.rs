//! What stands below a condition: a window function, under projections of columns.
//!
//! Knows no operator and no relation. Invariant: what is read is columns alone, none of them computed.

use arrow::datatypes::DataType;
use datafusion_common::DFSchemaRef;
use datafusion_expr::{Expr, LogicalPlan, Window};

/// A window function, and which of its columns are read: above it there may be projections of columns.
pub struct WindowBelow<'p> {
    /// The function.
    pub window: &'p Window,
    /// For each column of the schema the column of the window function.
    pub columns: Vec<usize>,
    /// What is read.
    pub schema: &'p DFSchemaRef,
}

impl<'p> WindowBelow<'p> {
    /// The one that a plan is; `None` = it is something else.
    pub fn of(plan: &'p LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Window(window) => Some(WindowBelow {
                window,
                columns: (0..window.schema.fields().len()).collect(),
                schema: &window.schema,
            }),
            LogicalPlan::Projection(projection) => {
                let below = WindowBelow::of(&projection.input)?;
                let column = |expr: &Expr| match unalias(expr) {
                    Expr::Column(column) => Some(below.columns[below.schema.index_of_column(column).ok()?]),
                    _ => None,
                };
                let columns = projection.expr.iter().map(column).collect::<Option<_>>()?;
                Some(WindowBelow { columns, schema: &projection.schema, ..below })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                Some(WindowBelow { schema: &alias.schema, ..WindowBelow::of(&alias.input)? })
            }
            _ => None,
        }
    }

    /// How many columns the input has; what functions answer is behind them.
    pub fn inputs(&self) -> usize {
        self.window.input.schema().fields().len()
    }

    /// Whether an expression is what a function answers.
    pub fn is_function(&self, expr: &Expr) -> bool {
        match widened(expr) {
            Expr::Column(column) => {
                self.schema.index_of_column(column).is_ok_and(|at| self.columns[at] >= self.inputs())
            }
            _ => false,
        }
    }

    /// Whether expressions read what a function answers.
    pub fn uses_function(&self, exprs: &[Expr]) -> bool {
        let columns = exprs.iter().flat_map(Expr::column_refs);
        columns.into_iter().any(|column| self.is_function(&Expr::Column(column.clone())))
    }
}

/// Without the names given to it.
pub fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
    }
}

/// Without casts to types that can be compared with a literal.
pub fn widened(expr: &Expr) -> &Expr {
    match unalias(expr) {
        Expr::Cast(cast)
            if matches!(
                cast.field.data_type(),
                DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, 0)
            ) =>
        {
            widened(&cast.expr)
        }
        other => other,
    }
}
