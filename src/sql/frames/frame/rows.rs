//! Rows by their values and their order: without duplicates, in an order, the first of them.
//!
//! Owns the methods. Knows no state.

use super::{DataFrame, beneath::ordered, tree};
use crate::{
    error::Result,
    sql::frames::{column::ColumnOrName, mistake::told, tree::Parts},
};
use datafusion_sql::sqlparser::ast::Expr;
use std::panic::Location;

impl DataFrame {
    /// Each row once.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-distinct").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.distinct()?.columns(), ["line"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn distinct(&self) -> Result<DataFrame> {
        self.then(Parts { is_distinct: true, ..self.parts() }.query(), Location::caller())
    }

    /// In the order of these columns: of rows that never end only the [first ones](Self::limit) are known.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn order_by<C: ColumnOrName>(&self, columns: impl IntoIterator<Item = C>) -> Result<DataFrame> {
        let at = Location::caller();
        let columns = self.columns_given(columns, at)?;
        let by: Vec<_> = columns.iter().map(super::Column::order_by).collect();
        if !self.is_bounded() {
            // Whether an order is possible is known once the number of rows is.
            return Ok(ordered(self, by));
        }
        let exprs: Vec<&Expr> = by.iter().map(|by| &by.expr).collect();
        self.with_left_out(&exprs, at, |frame| {
            let frame = ordered(frame, by.clone());
            frame.session.0.planner().logical_query(&frame.query()).map_err(|mistake| told(at, mistake))?;
            Ok(frame)
        })
    }

    /// The first rows of an [order](Self::order_by); of rows that have an end also without one.
    ///
    /// # Errors
    /// As [`select`](Self::select), and if rows that keep coming have no order: which are kept would be a matter of chance.
    #[track_caller]
    pub fn limit(&self, rows: u64) -> Result<DataFrame> {
        self.then(tree::limited(self.query(), rows), Location::caller())
    }
}
