//! What asks for the rows of a DataFrame.
//!
//! Owns the methods, which have Spark's names. Knows no engine. Invariant: each computes the rows anew.

use super::run::rows;
use crate::{
    error::Result,
    sql::{
        SqlError,
        frames::{
            frame::DataFrame,
            mistake::{At, told},
        },
        sink::{shown_records, shown_table},
    },
};
use arrow::array::RecordBatch;
use std::panic::Location;

/// Rows that are shown if nothing else is said, as in Spark.
const SHOWN: usize = 20;
/// Characters of a value that are shown then.
const CUT_AT: usize = 20;

impl DataFrame {
    /// The rows, now.
    fn rows(&self, at: At) -> Result<RecordBatch> {
        self.check(at)?;
        if self.is_streaming() {
            let mistake =
                SqlError::at(None, "queries with streaming sources must be executed with write_stream().start()")
                    .because("the rows of this DataFrame keep coming, so there is no last one")
                    .next("write them to `memory` or `console`, with trigger(Trigger::AvailableNow) if it should end; foreach_batch(..) is given the rows of each batch");
            return Err(told(at, mistake));
        }
        rows(self, at)
    }

    /// All rows. Those of an [order](Self::order_by) are in that order, those of a table as they stand there; others in no particular one.
    ///
    /// ```
    /// use arrow::array::AsArray;
    /// use tidegate::sql::{StreamSession, functions::{col, sum}};
    /// let spark = StreamSession::builder("batch-collect").configure(|config| config.admin_bind = None).get_or_create()?;
    /// let numbers = spark.range(0, 10, 1)?.with_column("odd", (col("id") % 2).eq(1))?;
    /// let sums = numbers.group_by(["odd"]).agg([sum("id").alias("sum")])?.order_by([col("sum").desc()])?;
    /// let rows = sums.collect()?;
    /// assert_eq!(rows.column(0).as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    ///
    /// let ticks = spark.read_stream().format("rate").load()?;
    /// let told = ticks.collect().unwrap_err().to_string();
    /// assert!(told.contains("must be executed with write_stream().start()"), "{told}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) with the line of the call if rows keep coming, or for a part of the query that there is no operator for;
    /// or why a row could not be read or computed.
    #[track_caller]
    pub fn collect(&self) -> Result<RecordBatch> {
        self.rows(Location::caller())
    }

    /// The first `n` rows, or all if there are fewer.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("batch-take").get_or_create()?;
    /// assert_eq!(spark.range(0, 10, 1)?.take(3)?.num_rows(), 3);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn take(&self, n: usize) -> Result<RecordBatch> {
        self.first_rows(n, Location::caller())
    }

    fn first_rows(&self, n: usize, at: At) -> Result<RecordBatch> {
        let rows = self.rows(at)?;
        Ok(rows.slice(0, n.min(rows.num_rows())))
    }

    /// The first row, if there is one.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("batch-first").get_or_create()?;
    /// assert!(spark.range(0, 0, 1)?.first()?.is_none());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn first(&self) -> Result<Option<RecordBatch>> {
        let row = self.first_rows(1, Location::caller())?;
        Ok((row.num_rows() == 1).then_some(row))
    }

    /// The number of rows.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::col};
    /// # let spark = StreamSession::builder("batch-count").get_or_create()?;
    /// assert_eq!(spark.range(0, 10, 1)?.filter(col("id").geq(4))?.count()?, 6);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn count(&self) -> Result<usize> {
        Ok(self.rows(Location::caller())?.num_rows())
    }

    /// Whether there is no row.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("batch-empty").get_or_create()?;
    /// assert!(spark.range(5, 5, 1)?.is_empty()?);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.rows(Location::caller())?.num_rows() == 0)
    }

    /// Prints the first twenty rows as a table, as Spark does; values of more than twenty characters are cut.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn show(&self) -> Result {
        println!("{}", self.text(SHOWN, Some(CUT_AT), false, Location::caller())?);
        Ok(())
    }

    /// The text that is shown of the first `rows` rows: a table, or `vertical`, a line for each value. Values of more characters than `cut_at` are cut.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("batch-shown").get_or_create()?;
    /// let shown = spark.range(0, 3, 1)?.shown(2, Some(20), false)?;
    /// assert_eq!(shown, "+---+\n| id|\n+---+\n|  0|\n|  1|\n+---+\nonly showing top 2 rows\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    #[track_caller]
    pub fn shown(&self, rows: usize, cut_at: Option<usize>, vertical: bool) -> Result<String> {
        self.text(rows, cut_at, vertical, Location::caller())
    }

    fn text(&self, rows_max: usize, cut_at: Option<usize>, vertical: bool, at: At) -> Result<String> {
        let rows = self.rows(at)?;
        let draw = if vertical { shown_records } else { shown_table };
        let lines = draw(&rows, rows_max, cut_at)?;
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }
}
