//! Functions of the program that queries call: Spark's user-defined functions.
//!
//! Owns how they become known to a session. Knows no query and no row. Invariants: a name is that of one function, and never of one of SQL; a
//! query calls the functions that the session knew when it was started, and is told at its line if there is none.

mod row;
mod value;

pub use row::RowFunction;
pub use value::{UdfArgument, UdfResult};

use super::{
    column::{Column, ColumnOrName},
    functions::call_function,
    mistake::{At, told, wrong},
    session::StreamSession,
};
use crate::{
    error::Result,
    sql::{
        SourceText,
        catalog::{Arguments, Compute, UserDefined},
        parse::{data_type, select_item},
    },
};
use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion_sql::sqlparser::ast::{Expr, SelectItem};
use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
    panic::Location,
    sync::Arc,
};

impl StreamSession {
    /// Makes functions of the program known to queries.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::{call_udf, col}};
    /// let spark = StreamSession::builder("udf-doc").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'json')")?;
    /// let shout = spark.udf().register("shout", |line: &str, n: Option<i64>| {
    ///     format!("{}{}", line.to_uppercase(), "!".repeat(usize::try_from(n.unwrap_or(1)).unwrap_or(0)))
    /// })?;
    /// let lines = spark.table("lines")?;
    /// assert_eq!(lines.select([shout.call(["line", "n"])])?.columns(), ["shout(line, n)"]);
    /// lines.select([call_udf("shout", ["line", "n"]).alias("loud")])?;
    /// lines.select_expr(["shout(line, 3) AS loud"])?;
    /// spark.sql("SELECT shout(line, n) AS loud FROM lines WHERE shout(line, 0) <> 'PSST'")?;
    ///
    /// let told = spark.sql("SELECT shuot(line, n) FROM lines").unwrap_err().to_string();
    /// assert!(told.contains("there is no function `shuot`\n") && told.contains("did you mean `shout`?"), "{told}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn udf(&self) -> UdfRegistration {
        UdfRegistration { session: self.clone() }
    }
}

/// Makes functions of the program known to the queries of a session: see [`StreamSession::udf`].
///
/// A function is a part of the queries that call it, as functions of SQL are: it runs in the process of the query, on several threads at once, and in
/// each process that shares the work of the query. So it must be **deterministic** (the same arguments, the same result, also after a restart
/// and in another process), as rows are computed again after a failure and a row that is taken back is computed a second time; one that is not says
/// [so](UserDefinedFunction::as_nondeterministic). What is durable of a query knows the name of a function at most, and nothing of its code: who
/// changes the code of a function changes what is computed from then on, and nothing that is kept in state.
///
/// It is registered before the query that calls it is made, by each process, at each start.
#[derive(Clone)]
pub struct UdfRegistration {
    session: StreamSession,
}

/// A function of the program that columns are made with. The value of [`UdfRegistration::register`].
#[derive(Clone)]
pub struct UserDefinedFunction {
    session: StreamSession,
    /// As it was given.
    name: String,
    function: UserDefined,
}

/// The types of the arguments of a function over columns: `["STRING", "BIGINT"]`, or [any](Self::any).
#[derive(Clone, Debug)]
pub struct ArgumentTypes(Types);

#[derive(Clone, Debug)]
enum Types {
    /// As texts of SQL.
    Of(Vec<String>),
    Any(RangeInclusive<usize>),
}

impl ArgumentTypes {
    /// So many arguments, of any types: the function looks at the types of the columns that it is given.
    ///
    /// ```
    /// use tidegate::sql::{ArgumentTypes, StreamSession};
    /// use arrow::array::{ArrayRef, StringArray};
    /// use std::sync::Arc;
    /// let spark = StreamSession::builder("udf-any").get_or_create()?;
    /// spark.udf().register_arrow("type_of", ArgumentTypes::any(1..=1), "STRING", |columns| {
    ///     let name = columns[0].data_type().to_string();
    ///     Ok::<_, String>(Arc::new(StringArray::from(vec![name; columns[0].len()])) as ArrayRef)
    /// })?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn any(count: RangeInclusive<usize>) -> Self {
        ArgumentTypes(Types::Any(count))
    }
}

impl<const N: usize> From<[&str; N]> for ArgumentTypes {
    fn from(types: [&str; N]) -> Self {
        ArgumentTypes(Types::Of(types.map(str::to_owned).to_vec()))
    }
}

impl UdfRegistration {
    /// Registers a function over the values of a row, under the name by which queries call it; capital and small letters are the same. A function
    /// of the program that had the name is replaced: queries that are made from now on, or started, call the new one.
    ///
    /// The function has up to six arguments, whose types must be written; [`UdfArgument`] lists them, and [`UdfResult`] what it may give. A value that is NULL is
    /// `None`; where an argument is no `Option`, the result for NULL is NULL. An error or a panic makes the record behind the row a bad one,
    /// which is handled as [those that cannot be read](crate::BadRecordPolicy).
    ///
    /// ```
    /// use tidegate::{StreamingContext, sql::StreamSession, testing::Driver};
    /// let spark = StreamSession::builder("register-doc").get_or_create()?;
    /// spark.udf().register("port", |address: &str| {
    ///     let port = address.rsplit(':').next().unwrap_or_default();
    ///     port.parse::<i32>().map_err(|e| format!("`{address}` has no port: {e}"))
    /// })?;
    /// let lines = spark.read_stream().format("kafka").option("subscribe", "lines").option("startingOffsets", "earliest")
    ///     .option("value.format", "raw").option("on-bad-record", "skip").schema("line STRING").load()?;
    /// let ports = lines.select_expr(["CAST(port(line) AS STRING) AS value"])?;
    /// let writer = ports.write_stream().format("kafka").option("topic", "ports");
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    /// assert_eq!(driver.batch("lines 0 | - | host:80\nlines 0 | - | nowhere\n")?.to_string(), "ports | - | 80\n");
    /// let bad = driver.take_bad_records();
    /// assert!(bad[0].contains("the function `port` failed: `nowhere` has no port"), "{bad:?}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) with the line of the call: a name that cannot be called, or that SQL has a function of.
    #[track_caller]
    pub fn register<T, F: RowFunction<T>>(&self, name: &str, function: F) -> Result<UserDefinedFunction> {
        let compute: Arc<Compute> = Arc::new(move |columns: &[ArrayRef]| function.column(columns));
        self.registered(name, Arguments::Of(F::arguments()), F::returns(), compute, Location::caller())
    }

    /// Registers a function over columns of Arrow: it is called once for the rows that come together, and gives a column with as many values. `arguments` and
    /// `returns` are types of SQL, such as `BIGINT` or `ARRAY<STRING>`. A function without arguments is given a column of NULLs, which says how many rows there
    /// are. An error fails the rows together; the record behind it is searched for with fewer and fewer rows.
    ///
    /// | type | array |
    /// |---|---|
    /// | `BOOLEAN` | `BooleanArray` |
    /// | `TINYINT`, `SMALLINT`, `INT`, `BIGINT` | `Int8Array`, `Int16Array`, `Int32Array`, `Int64Array` |
    /// | `FLOAT`, `DOUBLE` | `Float32Array`, `Float64Array` |
    /// | `STRING`, `BYTES` | `StringArray`, `BinaryArray` |
    /// | `DECIMAL(p, s)`, `DATE` | `Decimal128Array`, `Date32Array` |
    /// | `TIMESTAMP(3)`, `TIMESTAMP(6)` | `TimestampMillisecondArray`, `TimestampMicrosecondArray`, without a zone; of `TIMESTAMP_LTZ` in UTC |
    /// | `ARRAY<..>`, `MAP<..>`, `ROW<..>` | `ListArray`, `MapArray`, `StructArray` |
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// use arrow::compute::kernels::length::length;
    /// let spark = StreamSession::builder("arrow-doc").get_or_create()?;
    /// let bytes = spark.udf().register_arrow("bytes_of", ["STRING"], "INT", |columns| length(columns[0].as_ref()))?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// spark.table("lines")?.filter(bytes.call(["line"]).gt(80))?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`register`](Self::register), and if a type is none.
    #[track_caller]
    pub fn register_arrow<E: Display>(
        &self,
        name: &str,
        arguments: impl Into<ArgumentTypes>,
        returns: &str,
        function: impl Fn(&[ArrayRef]) -> Result<ArrayRef, E> + Send + Sync + 'static,
    ) -> Result<UserDefinedFunction> {
        let at = Location::caller();
        let (arguments, returns) = types(arguments.into(), returns, at)?;
        self.registered(name, arguments, returns, over_columns(function), at)
    }

    /// Makes a function over columns that no text calls, but what this gives. Its name is only shown, and need not be one of its own.
    ///
    /// # Errors
    /// If a type is none.
    #[doc(hidden)]
    #[track_caller]
    pub fn hidden_arrow<E: Display>(
        &self,
        name: &str,
        arguments: ArgumentTypes,
        returns: &str,
        function: impl Fn(&[ArrayRef]) -> Result<ArrayRef, E> + Send + Sync + 'static,
    ) -> Result<UserDefinedFunction> {
        let at = Location::caller();
        let (arguments, returns) = types(arguments, returns, at)?;
        let mut planner = self.session.0.planner();
        let hidden = planner.catalog().functions().hidden_name(name);
        let (name, compute) = (hidden.to_lowercase(), over_columns(function));
        let function = UserDefined { name, arguments, returns, is_deterministic: true, compute };
        planner.declare_function(function.clone()).map_err(|mistake| told(at, mistake))?;
        Ok(UserDefinedFunction { session: self.session.clone(), name: hidden, function })
    }

    fn registered(
        &self,
        name: &str,
        arguments: Arguments,
        returns: DataType,
        compute: Arc<Compute>,
        at: At,
    ) -> Result<UserDefinedFunction> {
        if !can_be_called(name) {
            return Err(wrong(
                at,
                format!("`{name}` cannot be the name of a function"),
                "take letters, digits and underscores that are no word of SQL",
            ));
        }
        let small = name.to_lowercase();
        let function = UserDefined { name: small, arguments, returns, is_deterministic: true, compute };
        let declared = self.session.0.planner().declare_function(function.clone());
        declared.map_err(|mistake| told(at, mistake))?;
        Ok(UserDefinedFunction { session: self.session.clone(), name: name.to_owned(), function })
    }
}

/// Whether a text of SQL can call a function of this name.
fn can_be_called(name: &str) -> bool {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let parsed = select_item(&SourceText::new("name", format!("{name}(x)")));
    is_word
        && matches!(parsed, Ok(SelectItem::UnnamedExpr(Expr::Function(call))) if call.name.to_string() == name)
}

fn over_columns<E: Display>(
    function: impl Fn(&[ArrayRef]) -> Result<ArrayRef, E> + Send + Sync + 'static,
) -> Arc<Compute> {
    Arc::new(move |columns: &[ArrayRef]| function(columns).map_err(|e| e.to_string()))
}

/// What the types mean that were given as texts.
fn types(arguments: ArgumentTypes, returns: &str, at: At) -> Result<(Arguments, DataType)> {
    let type_of = |text: &str| {
        data_type(text).map_err(|mistake| {
            let next =
                mistake.next.unwrap_or_else(|| "write, for instance, BIGINT or ARRAY<STRING>".to_owned());
            wrong(at, format!("`{text}` is no type of SQL: {}", mistake.message), next)
        })
    };
    let arguments = match arguments.0 {
        Types::Of(texts) => Arguments::Of(texts.iter().map(|text| type_of(text)).collect::<Result<_>>()?),
        Types::Any(count) => Arguments::Any(count),
    };
    Ok((arguments, type_of(returns)?))
}

impl UserDefinedFunction {
    /// What it gives for these columns.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::col};
    /// let spark = StreamSession::builder("udf-call").get_or_create()?;
    /// let plus = spark.udf().register("plus", |a: i64, b: i64| a.checked_add(b))?;
    /// assert_eq!((plus.call([col("a"), col("b") * 2]) + 1).to_string(), "plus(a, b * 2) + 1");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn call<C: ColumnOrName>(&self, columns: impl IntoIterator<Item = C>) -> Column {
        call_function(&self.name, columns)
    }

    /// Says that it may give another result for the same arguments, as one does that makes ids or looks something up. Such a function may not
    /// stand where its result is needed a second time: below an aggregate or a join, or in rows that change.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("udf-random").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let id = spark.udf().register("new_id", || format!("{:?}", std::time::Instant::now()))?.as_nondeterministic();
    /// let marked = spark.table("lines")?.with_column("id", id.call::<&str>([]))?;
    /// let told = marked.group_by(["id"]).count()?.explained().unwrap_err().to_string();
    /// assert!(told.contains("a function that gives another value each time cannot stand below an aggregate"), "{told}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use = "it gives a function"]
    pub fn as_nondeterministic(&self) -> Self {
        let function = UserDefined { is_deterministic: false, ..self.function.clone() };
        // The name is that of a function of the program already, so it is not refused.
        let declared = self.session.0.planner().declare_function(function.clone());
        debug_assert!(declared.is_ok());
        UserDefinedFunction { function, ..self.clone() }
    }

    /// The name by which a column calls it.
    #[doc(hidden)]
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for UdfRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdfRegistration of {:?}", self.session)
    }
}

impl fmt::Debug for UserDefinedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserDefinedFunction({})", self.name)
    }
}
