//! One row of each key.
//!
//! Owns the methods. Knows no state. Invariant: the row that passes is the first one that came, and it passes at once.

use super::DataFrame;
use crate::{
    error::Result,
    sql::{SqlError, SqlResult, closest::closest, plan::DeduplicateNode},
};
use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Extension, LogicalPlan};
use std::{panic::Location, sync::Arc};

impl DataFrame {
    /// The first row of each value of these columns; without columns, of all of them. A key is kept for ever, unless the column of the
    /// [watermark](Self::with_watermark) is part of it: then until the watermark has passed it, and rows that are later are dropped.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-duplicates").get_or_create()?;
    /// # spark.sql("CREATE TABLE clicks (id BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json')")?;
    /// let clicks = spark.table("clicks")?.with_watermark("ts", "10 seconds")?;
    /// assert_eq!(clicks.drop_duplicates(["id", "ts"])?.columns(), ["id", "ts"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select), and if rows of the DataFrame change: a first row that has left could not be taken back.
    #[track_caller]
    pub fn drop_duplicates<'c>(&self, columns: impl IntoIterator<Item = &'c str>) -> Result<DataFrame> {
        self.first_of_each(columns, false)
    }

    /// The same, but a key is forgotten once the watermark has passed the time of its first row by as much as rows may be late: duplicates that
    /// lie no further apart in event time than that are dropped, and the state has an end.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-duplicates-within").get_or_create()?;
    /// # spark.sql("CREATE TABLE clicks (id BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json')")?;
    /// let clicks = spark.table("clicks")?.with_watermark("ts", "10 seconds")?;
    /// assert_eq!(clicks.drop_duplicates_within_watermark(["id"])?.columns(), ["id", "ts"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`drop_duplicates`](Self::drop_duplicates), and if there is no watermark.
    #[track_caller]
    pub fn drop_duplicates_within_watermark<'c>(
        &self,
        columns: impl IntoIterator<Item = &'c str>,
    ) -> Result<DataFrame> {
        self.first_of_each(columns, true)
    }

    #[track_caller]
    fn first_of_each<'c>(
        &self,
        columns: impl IntoIterator<Item = &'c str>,
        within_watermark: bool,
    ) -> Result<DataFrame> {
        let names: Vec<&str> = columns.into_iter().collect();
        self.above(Location::caller(), |input| {
            let schema = input.schema();
            let found = |name: &&str| {
                if let Some(column) = schema.iter().find(|(_, field)| field.name() == name) {
                    return Ok(PlanColumn::from(column));
                }
                let mistake = SqlError::at(None, format!("there is no column `{name}`"));
                let names = schema.fields().iter().map(|field| field.name().as_str());
                Err(match closest(name, names) {
                    Some(close) => mistake.next(format!("did you mean `{close}`?")),
                    None => mistake.next("name a column of the DataFrame"),
                })
            };
            let keys = if names.is_empty() {
                schema.columns()
            } else {
                names.iter().map(found).collect::<SqlResult<_>>()?
            };
            let node = DeduplicateNode { input, keys, within_watermark };
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        })
    }
}
