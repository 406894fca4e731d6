//! What is known of a DataFrame before it runs.
//!
//! Owns what is shown of its columns and its plan. Runs nothing.

use super::{DataFrame, told};
use crate::{
    error::Result,
    operator::Gives,
    sql::{
        parse::{CreateView, OnExisting, type_name},
        plan::{self, stream_plan::StreamPlan},
    },
};
use arrow::datatypes::SchemaRef;
use std::{fmt, panic::Location, sync::Arc};

impl DataFrame {
    /// The names of its columns.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-columns").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.columns(), ["line"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Its columns with their types.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-schema").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.schema().field(0).name(), "line");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.schema.as_arrow().clone())
    }

    /// Its columns with their types as a tree, as Spark prints them.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-schema-text").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.schema_text(), "root\n |-- line: STRING (nullable = true)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn schema_text(&self) -> String {
        let line = |field: &arrow::datatypes::FieldRef| {
            format!(
                " |-- {}: {} (nullable = {})\n",
                field.name(),
                type_name(field.data_type()),
                field.is_nullable()
            )
        };
        std::iter::once("root\n".to_owned()).chain(self.schema.fields().iter().map(line)).collect()
    }

    /// Prints [`schema_text`](Self::schema_text) on standard output.
    pub fn print_schema(&self) {
        print!("{}", self.schema_text());
    }

    /// Whether its rows keep coming: it reads a table that is not [read once](crate::sql::StreamSession::read).
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        !self.schema.fields().is_empty() && !self.is_bounded
    }

    /// Its plans: the logical plan, and for rows that keep coming the streaming operators with what each keeps in state, as `EXPLAIN` of SQL
    /// shows them.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-explain").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let plans = spark.table("lines")?.group_by(["line"]).count()?.explained()?;
    /// assert!(plans.contains("state: one row per (line), kept for ever"), "{plans}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if there is no streaming operator for a part of it.
    #[track_caller]
    pub fn explained(&self) -> Result<String> {
        let at = Location::caller();
        self.check(at)?;
        if self.is_bounded {
            let planned = self.session.0.planner().logical_query(&self.query());
            return Ok(plan::explain_logical_plan(&planned.map_err(|mistake| told(at, mistake))?.logical));
        }
        let mut stream = StreamPlan::default();
        let planned = self.session.0.planner().plan_giving(&self.query(), Gives::Finals, &mut stream);
        let planned = planned.map_err(|mistake| told(at, mistake))?;
        Ok(plan::explain(&planned.logical, &stream, planned.root))
    }

    /// Prints [`explained`](Self::explained) on standard output.
    ///
    /// # Errors
    /// As [`explained`](Self::explained).
    #[track_caller]
    pub fn explain(&self) -> Result {
        println!("{}", self.explained()?);
        Ok(())
    }

    /// Gives it a name, which queries in SQL and [`table`](crate::sql::StreamSession::table) know. Another view of that name is replaced; what was
    /// made of that one stays as it is.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::upper};
    /// # let spark = StreamSession::builder("frame-view").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// spark.table("lines")?.select([upper("line").alias("word")])?.create_or_replace_temp_view("words")?;
    /// assert_eq!(spark.sql("SELECT word, count(*) AS n FROM words GROUP BY word")?.columns(), ["word", "n"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if a table has the name.
    #[track_caller]
    pub fn create_or_replace_temp_view(&self, name: &str) -> Result {
        let at = Location::caller();
        self.check(at)?;
        let mut planner = self.session.0.planner();
        if planner.catalog().table(name).is_some() {
            return Err(super::wrong(at, format!("`{name}` is a table"), "choose another name for the view"));
        }
        let view = CreateView {
            name: name.to_owned(),
            span: crate::sql::Span::default(),
            columns: vec![],
            query: Box::new(self.query()),
            on_existing: OnExisting::Replace,
            is_temporary: true,
        };
        planner.declare_view(view).map_err(|mistake| told(at, mistake))
    }
}

impl fmt::Debug for DataFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |field: &arrow::datatypes::FieldRef| {
            format!("{}: {}", field.name(), type_name(field.data_type()))
        };
        let columns: Vec<String> = self.schema.fields().iter().map(column).collect();
        write!(f, "DataFrame[{}]", columns.join(", "))
    }
}
