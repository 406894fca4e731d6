//! Rows that a program gives.
//!
//! Owns how they become a DataFrame, and which types they may have. Knows no query. Invariant: a value is what it was, or the column is refused.

use crate::{
    error::Result,
    sql::{
        SqlError, SqlResult,
        connector::bounded::{BYTES_MAX, bytes_of},
        frames::{
            frame::DataFrame,
            mistake::{At, told, wrong},
            session::StreamSession,
            tree::{self, Parts},
        },
        plan::{plain, type_name},
        rows,
    },
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options, concat_batches},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use std::{panic::Location, sync::Arc};

impl StreamSession {
    /// Rows that the program has. They are kept in memory as long as a DataFrame or a view reads them, 256 MiB at most.
    ///
    /// ```
    /// use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    /// use std::sync::Arc;
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("create-doc").get_or_create()?;
    /// let (ids, names) = (Int64Array::from(vec![1, 2]), StringArray::from(vec!["quay", "mill"]));
    /// let rows = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names) as _)]).unwrap();
    /// let places = spark.create_data_frame([rows])?;
    /// let sales = spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json")
    ///     .schema("id BIGINT, cents BIGINT").load()?;
    /// let joined = sales.join_using(&places, ["id"], "left")?.select(["id", "cents", "name"])?;
    /// assert!(joined.is_streaming());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if there is no batch, their columns differ, two columns have one name, a column has a type that SQL has not,
    /// or there are too many rows.
    #[track_caller]
    pub fn create_data_frame(&self, batches: impl IntoIterator<Item = RecordBatch>) -> Result<DataFrame> {
        let at = Location::caller();
        let batches: Vec<RecordBatch> = batches.into_iter().collect();
        let Some(first) = batches.first() else {
            return Err(wrong(
                at,
                "rows without columns",
                "give at least one RecordBatch, which may be empty",
            ));
        };
        let whole = concat_batches(&first.schema(), &batches);
        let whole = whole.map_err(|e| wrong(at, e.to_string(), "give batches with the same columns"))?;
        self.of_rows(&whole, at)
    }

    /// Numbers from `start` on, up to `end` and without it, as the column `id`; each is `step` more than the one before.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("range-doc").get_or_create()?;
    /// assert_eq!(spark.range(10, 0, -3)?.shown(9, None, false)?, "+---+\n|id |\n+---+\n|10 |\n|7  |\n|4  |\n|1  |\n+---+\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if `step` is 0, or there are more than 33 million numbers.
    #[track_caller]
    pub fn range(&self, start: i64, end: i64, step: i64) -> Result<DataFrame> {
        let at = Location::caller();
        if step == 0 {
            return Err(wrong(at, "a range whose step is 0", "give another step"));
        }
        let (distance, step) = (i128::from(end) - i128::from(start), i128::from(step));
        let count =
            if (distance > 0) == (step > 0) { (distance.abs() + step.abs() - 1) / step.abs() } else { 0 };
        if count > i128::try_from(BYTES_MAX / size_of::<i64>()).unwrap_or_default() {
            return Err(wrong(
                at,
                format!("a range of {count} numbers"),
                "make fewer, or read a stream: read_stream().format(\"rate\")",
            ));
        }
        let number = |at: i128| i64::try_from(i128::from(start) + at * step).unwrap_or_default();
        let numbers = Int64Array::from_iter_values((0..count).map(number));
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(numbers)]);
        self.of_rows(&rows.map_err(|e| told(at, SqlError::at(None, e.to_string())))?, at)
    }

    pub(super) fn of_rows(&self, rows: &RecordBatch, at: At) -> Result<DataFrame> {
        let rows = with_types(rows).map_err(|mistake| told(at, mistake))?;
        if rows.num_columns() == 0 {
            return Err(wrong(at, "rows without columns", "give rows that have a column"));
        }
        let bytes = bytes_of(&rows);
        if bytes > BYTES_MAX {
            let mistake = SqlError::at(None, format!("rows of {} MiB", bytes >> 20)).because(format!(
                "rows of a program are kept in memory, up to {} MiB of them",
                BYTES_MAX >> 20
            ));
            return Err(told(
                at,
                mistake.next("write them to files, or to a topic that is read as a stream"),
            ));
        }
        let name = self.0.hidden_name();
        let query = Parts::of(tree::alone(tree::table(&name.name)), None).query();
        let declared = self.0.planner().declare_rows(&name.name, query, &rows);
        declared.map_err(|mistake| told(at, mistake))?;
        DataFrame::hidden(self, name, at)
    }
}

/// The rows with the types that SQL has.
fn with_types(rows: &RecordBatch) -> SqlResult<RecordBatch> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (vec![], vec![]);
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let name = field.name();
        let data_type = of_sql(column.data_type());
        if rows::type_name(&data_type).is_none() {
            let of = type_name(column.data_type());
            return Err(SqlError::at(
                None,
                format!("column `{name}` is {of}, which rows of a query cannot be"),
            )
            .next("convert it before, or leave it out"));
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let cast = cast_with_options(column, &data_type, &options);
        columns.push(cast.map_err(|e| SqlError::at(None, format!("column `{name}`: {e}")))?);
        fields.push(Field::new(name, data_type, field.is_nullable()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|e| SqlError::at(None, e.to_string()))
}

/// The type of SQL that has room for all values of a type.
pub(super) fn of_sql(data_type: &DataType) -> DataType {
    match plain(data_type) {
        DataType::Null => DataType::Utf8,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal256(precision @ ..=38, scale) => DataType::Decimal128(precision, scale),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => TimeUnit::Millisecond,
                TimeUnit::Microsecond | TimeUnit::Nanosecond => TimeUnit::Microsecond,
            };
            DataType::Timestamp(unit, zone.map(|_| "UTC".into()))
        }
        DataType::List(item) => {
            let data_type = of_sql(item.data_type());
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(data_type)))
        }
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| {
                let data_type = of_sql(field.data_type());
                Arc::new(field.as_ref().clone().with_data_type(data_type))
            };
            DataType::Struct(fields.iter().map(field).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Array, AsArray, Date64Array, LargeStringArray, TimestampNanosecondArray, UInt16Array, UInt64Array,
    };
    use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

    #[test]
    fn values_of_other_types_have_room_in_those_of_sql() {
        let rows = RecordBatch::try_from_iter([
            ("text", Arc::new(LargeStringArray::from(vec![Some("a"), None])) as ArrayRef),
            ("number", Arc::new(UInt16Array::from(vec![65_535, 0])) as _),
            ("time", Arc::new(TimestampNanosecondArray::from(vec![1_999, -1])) as _),
            ("day", Arc::new(Date64Array::from(vec![86_400_000, 0])) as _),
        ]);
        let typed = with_types(&rows.unwrap()).unwrap();
        assert_eq!(typed.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
        assert_eq!(typed.column(1).as_primitive::<Int32Type>().value(0), 65_535);
        assert_eq!(typed.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1);
        assert_eq!(typed.column(3).data_type(), &DataType::Date32);
        let large =
            RecordBatch::try_from_iter([("n", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)]);
        let told = with_types(&large.unwrap()).unwrap_err();
        assert!(told.message.starts_with("column `n`: "), "{told}");
    }

    #[test]
    fn rows_are_forgotten_with_the_last_data_frame_that_reads_them() {
        let spark = StreamSession::builder("unit-forgotten").get_or_create().unwrap();
        let rows = |name: &str| spark.0.planner().catalog().has(name);
        let numbers = spark.range(0, 9, 1).unwrap();
        assert!(rows("#1"));
        let some = numbers.alias("a").unwrap().distinct().unwrap().limit(3).unwrap();
        drop(numbers);
        assert!(rows("#1"));
        some.create_or_replace_temp_view("some").unwrap();
        drop(some);
        assert!(!rows("#1"));
        assert_eq!(spark.table("some").unwrap().count().unwrap(), 3);
    }

    #[test]
    fn a_type_that_sql_has_not_is_refused() {
        let durations = arrow::array::DurationSecondArray::from(vec![1]);
        let rows = RecordBatch::try_from_iter([("wait", Arc::new(durations) as ArrayRef)]).unwrap();
        let told = with_types(&rows).unwrap_err();
        assert_eq!(told.message, "column `wait` is INTERVAL, which rows of a query cannot be");
    }
}
