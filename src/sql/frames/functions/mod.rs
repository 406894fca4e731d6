//! Functions over columns, under Spark's names.
//!
//! Owns the names. Knows no value: each is a function of SQL, and what SQL has besides is called by [`expr`], or by its name with
//! [`call_function`]. Where a function takes a column, a text is the name of one; where it takes a value, a text is a value, as in Spark.
//!
//! ```
//! use tidegate::sql::functions::{col, count, explode, expr, lit, split};
//! let word = explode(split("line", " ")).alias("word");
//! assert_eq!(word.to_string(), "unnest(string_to_array(line, ' ')) AS word");
//! assert_eq!(count(lit(1)).to_string(), "count(1)");
//! assert_eq!(expr("price * 2 AS double").to_string(), "price * 2 AS double");
//! ```

mod aggregates;
mod nested;
mod numbers;
mod ranks;
mod texts;
mod times;

pub use aggregates::{
    any_value, approx_count_distinct, array_agg, avg, bool_and, bool_or, collect_list, collect_set, count,
    count_distinct, first, first_ignoring_nulls, last, last_ignoring_nulls, max, max_by, mean, median, min,
    min_by, percentile, percentile_approx, stddev, stddev_pop, string_agg, sum, sum_distinct, var_pop,
    variance,
};
pub use nested::{
    array, array_contains, array_distinct, array_join, explode, from_json, get_json_object, map_keys,
    map_values, size, sort_array, struct_, to_json,
};
pub use numbers::{abs, ceil, exp, floor, greatest, least, ln, log10, pow, round, signum, sqrt};
pub use ranks::{dense_rank, lag, rank, row_number};
pub use texts::{
    initcap, instr, length, lower, lpad, ltrim, regexp_extract, regexp_replace, repeat, replace, reverse,
    rpad, rtrim, split, substring, translate, trim, upper,
};
pub use times::{
    current_timestamp, date_format, date_trunc, dayofmonth, hour, minute, month, second, session_window,
    sliding_window, to_date, to_timestamp, to_timestamp_in, unix_timestamp, window, year,
};

use super::column::{Column, ColumnOrLiteral, ColumnOrName, call};

/// A column, by its name: of `"a.b"` the column `b` of the DataFrame called `a`, or the field `b` of the row `a`. Backticks around a part keep
/// its dots.
#[must_use]
pub fn col(name: &str) -> Column {
    Column::named(name)
}

/// A value: a number, a text, a truth value or NULL.
#[must_use]
pub fn lit(value: impl ColumnOrLiteral) -> Column {
    value.into_operand()
}

/// What a text of SQL says, with a name if it has `AS`.
#[must_use]
pub fn expr(sql: &str) -> Column {
    Column::parsed(sql)
}

/// A function of SQL, by its name.
///
/// ```
/// use tidegate::sql::functions::{call_function, col};
/// assert_eq!(call_function("levenshtein", [col("a"), col("b")]).to_string(), "levenshtein(a, b)");
/// ```
#[must_use]
pub fn call_function<C: ColumnOrName>(name: &str, columns: impl IntoIterator<Item = C>) -> Column {
    scalar(name, columns.into_iter().map(C::into_column).collect::<Vec<_>>())
}

/// A function of the program, by the name under which it was [registered](crate::sql::UdfRegistration::register).
///
/// ```
/// use tidegate::sql::functions::call_udf;
/// assert_eq!(call_udf("shout", ["line"]).to_string(), "shout(line)");
/// ```
#[must_use]
pub fn call_udf<C: ColumnOrName>(name: &str, columns: impl IntoIterator<Item = C>) -> Column {
    call_function(name, columns)
}

/// The value where a condition holds; see [`Column::when`] and [`Column::otherwise`].
///
/// ```
/// use tidegate::sql::functions::{col, when};
/// assert_eq!(when(col("n").gt(9), "many").to_string(), "CASE WHEN n > 9 THEN 'many' END");
/// ```
#[must_use]
pub fn when(condition: impl ColumnOrLiteral, value: impl ColumnOrLiteral) -> Column {
    Column::first_when(&condition.into_operand(), &value.into_operand())
}

/// The first of these columns that has a value.
#[must_use]
pub fn coalesce<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> Column {
    scalar("coalesce", columns.into_iter().map(C::into_column).collect::<Vec<_>>())
}

/// These columns as one text; NULL if one is.
#[must_use]
pub fn concat<C: ColumnOrName>(columns: impl IntoIterator<Item = C>) -> Column {
    scalar("concat", columns.into_iter().map(C::into_column).collect::<Vec<_>>())
}

/// These columns as one text with `separator` between them, without those that are NULL.
#[must_use]
pub fn concat_ws<C: ColumnOrName>(separator: &str, columns: impl IntoIterator<Item = C>) -> Column {
    let columns = columns.into_iter().map(C::into_column);
    scalar("concat_ws", std::iter::once(separator.into_operand()).chain(columns).collect::<Vec<_>>())
}

/// A call of a function of SQL.
fn scalar(name: &str, arguments: impl AsRef<[Column]>) -> Column {
    let arguments = arguments.as_ref();
    Column::of(call(name, arguments.iter().map(Column::expr))).with_mistakes(arguments)
}
