//! Functions that see other rows than their own.
//!
//! Owns [`Window`] and [`WindowSpec`], which say what rows those are, and `over`. Knows no frame: which windows there can be is said by the planner.

use super::{Column, ColumnOrName, interval, literal};
use datafusion_sql::sqlparser::ast::{
    Expr, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec as Spec, WindowType,
};

/// Where a [`WindowSpec`] begins: Spark's `Window`.
///
/// ```
/// use tidegate::sql::{Window, functions::{col, row_number, sum}};
/// let best_first = Window::partition_by(["shop"]).order_by([col("cents").desc()]);
/// assert_eq!(row_number().over(&best_first).to_string(), "row_number() OVER (PARTITION BY shop ORDER BY cents DESC)");
/// let last_three = Window::partition_by(["shop"]).order_by(["at"]).rows_between(-2, Window::CURRENT_ROW);
/// let text = sum("cents").over(&last_three).to_string();
/// assert_eq!(text, "sum(cents) OVER (PARTITION BY shop ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Window;

impl Window {
    /// From the first row of the partition.
    pub const UNBOUNDED_PRECEDING: i64 = i64::MIN;
    /// To the row itself, or from it.
    pub const CURRENT_ROW: i64 = 0;
    /// To the last row of the partition.
    pub const UNBOUNDED_FOLLOWING: i64 = i64::MAX;

    /// The rows with the same values of these columns.
    pub fn partition_by<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> WindowSpec {
        WindowSpec::default().partition_by(columns)
    }

    /// All rows, in this order.
    pub fn order_by<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> WindowSpec {
        WindowSpec::default().order_by(columns)
    }
}

/// Which rows a function sees, and in which order: see [`Window`].
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `Column::over`"]
pub struct WindowSpec {
    partition_by: Vec<Column>,
    order_by: Vec<Column>,
    frame: Option<WindowFrame>,
}

impl WindowSpec {
    /// The rows with the same values of these columns.
    pub fn partition_by<C: ColumnOrName>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.partition_by = columns.into_iter().map(C::into_column).collect();
        self
    }

    /// In this order.
    pub fn order_by<C: ColumnOrName>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.order_by = columns.into_iter().map(C::into_column).collect();
        self
    }

    /// Of these only some, counted from the row itself: `-1` is the one before it, and [`Window::UNBOUNDED_PRECEDING`] the first one.
    pub fn rows_between(mut self, start: i64, end: i64) -> Self {
        let of = |count: u64| literal(Value::Number(count.to_string(), false));
        self.frame = Some(frame(WindowFrameUnits::Rows, start, end, of));
        self
    }

    /// Of these only those whose times are so many seconds before and after that of the row itself.
    pub fn range_between(mut self, start_s: i64, end_s: i64) -> Self {
        let of = |seconds: u64| interval(&format!("{seconds} seconds"));
        self.frame = Some(frame(WindowFrameUnits::Range, start_s, end_s, of));
        self
    }
}

fn frame(units: WindowFrameUnits, start: i64, end: i64, of: impl Fn(u64) -> Expr) -> WindowFrame {
    let bound = |at: i64| {
        let so_far = Some(Box::new(of(at.unsigned_abs())));
        match at {
            Window::UNBOUNDED_PRECEDING => WindowFrameBound::Preceding(None),
            Window::UNBOUNDED_FOLLOWING => WindowFrameBound::Following(None),
            Window::CURRENT_ROW => WindowFrameBound::CurrentRow,
            at if at < 0 => WindowFrameBound::Preceding(so_far),
            _ => WindowFrameBound::Following(so_far),
        }
    };
    WindowFrame { units, start_bound: bound(start), end_bound: Some(bound(end)) }
}

impl Column {
    /// The function with the rows that it sees, for each row. Which there are over streams says `docs/sql.md`: numbers of rows in an order, of which
    /// the first ones are taken, and what has come before a row by event time.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, Window, functions::{col, row_number}};
    /// let spark = StreamSession::builder("column-over").get_or_create()?;
    /// spark.sql("CREATE TABLE sales (shop STRING, cents BIGINT) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json')")?;
    /// let place = row_number().over(&Window::partition_by(["shop"]).order_by([col("cents").desc()]));
    /// let best = spark.table("sales")?.with_column("place", place)?.filter(col("place").leq(3))?;
    /// assert_eq!(best.columns(), ["shop", "cents", "place"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn over(&self, window: &WindowSpec) -> Column {
        let Expr::Function(mut call) = self.expr() else {
            return Column::wrong(format!("`{self}` is no function; next: call over(..) of a function"));
        };
        call.over = Some(WindowType::WindowSpec(Spec {
            window_name: None,
            partition_by: window.partition_by.iter().map(Column::expr).collect(),
            order_by: window.order_by.iter().map(Column::order_by).collect(),
            window_frame: window.frame.clone(),
        }));
        self.then(Expr::Function(call)).with_mistakes(window.partition_by.iter().chain(&window.order_by))
    }
}
