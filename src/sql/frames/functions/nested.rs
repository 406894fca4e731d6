//! Functions of lists, maps and rows.
//!
//! Owns their names, which are Spark's. Knows no value: the functions are those of SQL.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName};

/// A row for each element of a list; none if there is no element.
#[must_use]
pub fn explode(column: impl ColumnOrName) -> Column {
    scalar("unnest", [column.into_column()])
}

/// The number of elements of a list.
#[must_use]
pub fn size(column: impl ColumnOrName) -> Column {
    scalar("array_length", [column.into_column()])
}

/// Whether a value is among the elements of a list.
#[must_use]
pub fn array_contains(column: impl ColumnOrName, value: impl ColumnOrLiteral) -> Column {
    scalar("array_has", [column.into_column(), value.into_operand()])
}

/// The elements of a list as one text.
#[must_use]
pub fn array_join(column: impl ColumnOrName, delimiter: impl ColumnOrLiteral) -> Column {
    scalar("array_to_string", [column.into_column(), delimiter.into_operand()])
}

/// The different elements of a list.
#[must_use]
pub fn array_distinct(column: impl ColumnOrName) -> Column {
    scalar("array_distinct", [column.into_column()])
}

/// The elements of a list in order.
#[must_use]
pub fn sort_array(column: impl ColumnOrName) -> Column {
    scalar("array_sort", [column.into_column()])
}

/// The keys of a map.
#[must_use]
pub fn map_keys(column: impl ColumnOrName) -> Column {
    scalar("map_keys", [column.into_column()])
}

/// The values of a map.
#[must_use]
pub fn map_values(column: impl ColumnOrName) -> Column {
    scalar("map_values", [column.into_column()])
}

/// What a text of JSON has at a path such as `$.a.b`, as a text.
#[must_use]
pub fn get_json_object(column: impl ColumnOrName, path: impl ColumnOrLiteral) -> Column {
    scalar("get_json_object", [column.into_column(), path.into_operand()])
}

/// What texts of JSON are, with these columns or of this type: `"a INT, b ARRAY<STRING>"`, `"MAP<STRING, INT>"`. A value of another type is NULL, and
/// so are all values of what is no JSON, as in Spark; [`select`](crate::sql::DataFrame::select) of `"name.*"` takes the fields apart.
///
/// ```
/// use tidegate::sql::{StreamSession, functions::{from_json, lit}};
/// let spark = StreamSession::builder("from-json-doc").get_or_create()?;
/// let texts = spark.range(0, 1, 1)?.select([lit("{\"place\": \"quay\", \"n\": 3}").alias("value")])?;
/// let rows = texts.select([from_json("value", "place STRING, n INT").alias("row")])?.select(["row.*"])?;
/// assert_eq!(rows.shown(9, None, false)?, "+-----+---+\n|place|n  |\n+-----+---+\n|quay |3  |\n+-----+---+\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[must_use]
pub fn from_json(column: impl ColumnOrName, columns: impl ColumnOrLiteral) -> Column {
    scalar("from_json", [column.into_column(), columns.into_operand()])
}

/// A row, a list or a map as a text of JSON. A field that is NULL is left out.
///
/// ```
/// use tidegate::sql::{StreamSession, functions::{col, lit, struct_, to_json}};
/// let spark = StreamSession::builder("to-json-doc").get_or_create()?;
/// let texts = spark.range(3, 4, 1)?.select([to_json(struct_([col("id"), lit("quay").alias("place")])).alias("value")])?;
/// assert_eq!(texts.shown(9, None, false)?, "+-----------------------+\n|value                  |\n+-----------------------+\n|{\"id\":3,\"place\":\"quay\"}|\n+-----------------------+\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[must_use]
pub fn to_json(column: impl ColumnOrName) -> Column {
    scalar("to_json", [column.into_column()])
}

/// A list of these columns.
#[must_use]
pub fn array<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> Column {
    scalar("make_array", columns.into_iter().map(C::into_column).collect::<Vec<_>>())
}

/// A row of these columns, with their names; those without one are called by their place, `col1`, `col2` and so on.
#[must_use]
pub fn struct_<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> Column {
    let columns: Vec<Column> = columns.into_iter().map(C::into_column).collect();
    let named = columns.into_iter().enumerate().flat_map(|(at, column)| {
        let name = column.name().map_or_else(|| format!("col{}", at + 1), str::to_owned);
        [name.as_str().into_operand(), column]
    });
    scalar("named_struct", named.collect::<Vec<_>>())
}
