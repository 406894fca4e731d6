//! The functions of `tidegate::sql::functions` by their names.
//!
//! Owns the one list of them, from which calls and the names that Python must have are made. Knows no value.

use super::column::{column_of, operand_of};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyString};
use tidegate::sql::{Column, functions};

/// What a function was given, taken from left to right.
struct Given<'a, 'py> {
    name: &'a str,
    arguments: std::slice::Iter<'a, Bound<'py, PyAny>>,
}

impl<'a, 'py> Given<'a, 'py> {
    fn next(&mut self) -> PyResult<&'a Bound<'py, PyAny>> {
        let name = self.name;
        self.arguments.next().ok_or_else(|| PyTypeError::new_err(format!("`{name}` takes another argument")))
    }

    fn column(&mut self) -> PyResult<Column> {
        column_of(self.next()?)
    }

    fn value(&mut self) -> PyResult<Column> {
        operand_of(self.next()?)
    }

    fn text(&mut self) -> PyResult<&'a str> {
        let (name, given) = (self.name, self.next()?);
        let text = given.cast::<PyString>();
        text.map_err(|_| PyTypeError::new_err(format!("`{name}` takes a text here")))?.to_str()
    }

    fn columns(&mut self) -> PyResult<Vec<Column>> {
        self.arguments.by_ref().map(column_of).collect()
    }
}

/// Makes, of each function with what it takes, a name in the list and a case of the call.
macro_rules! functions {
    ($($name:ident($($kind:ident),*)),* $(,)?) => {
        /// The names of the functions, in alphabetical order.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        fn called(name: &str, given: &mut Given<'_, '_>) -> PyResult<Option<Column>> {
            Ok(match name {
                $(stringify!($name) => Some(functions::$name($(given.$kind()?),*)),)*
                _ => None,
            })
        }
    };
}

functions! {
    abs(column),
    array(columns),
    array_contains(column, value),
    array_distinct(column),
    array_join(column, value),
    avg(column),
    bool_and(column),
    bool_or(column),
    ceil(column),
    coalesce(columns),
    collect_list(column),
    collect_set(column),
    concat(columns),
    concat_ws(text, columns),
    count(column),
    count_distinct(column),
    current_timestamp(),
    date_format(column, value),
    date_trunc(text, column),
    dayofmonth(column),
    exp(column),
    explode(column),
    first(column),
    first_ignoring_nulls(column),
    floor(column),
    from_json(column, value),
    get_json_object(column, value),
    greatest(column, value),
    hour(column),
    initcap(column),
    instr(column, value),
    last(column),
    last_ignoring_nulls(column),
    least(column, value),
    length(column),
    ln(column),
    log10(column),
    lower(column),
    lpad(column, value, value),
    ltrim(column),
    map_keys(column),
    map_values(column),
    max(column),
    max_by(column, column),
    mean(column),
    median(column),
    min(column),
    min_by(column, column),
    minute(column),
    month(column),
    percentile(column, value),
    percentile_approx(column, value),
    pow(column, value),
    regexp_extract(column, value, value),
    regexp_replace(column, value, value),
    repeat(column, value),
    replace(column, value, value),
    reverse(column),
    round(column, value),
    rpad(column, value, value),
    rtrim(column),
    second(column),
    session_window(column, text),
    signum(column),
    size(column),
    sliding_window(column, text, text),
    sort_array(column),
    split(column, value),
    sqrt(column),
    stddev(column),
    stddev_pop(column),
    struct_(columns),
    substring(column, value, value),
    sum(column),
    sum_distinct(column),
    to_date(column),
    to_json(column),
    to_timestamp(column),
    to_timestamp_in(column, value),
    translate(column, value, value),
    trim(column),
    unix_timestamp(column),
    upper(column),
    var_pop(column),
    variance(column),
    when(value, value),
    window(column, text),
    year(column),
}

/// Calls a function by its name.
pub fn call(name: &str, arguments: &[Bound<'_, PyAny>]) -> PyResult<Column> {
    let mut given = Given { name, arguments: arguments.iter() };
    match called(name, &mut given)? {
        Some(column) if given.arguments.as_slice().is_empty() => Ok(column),
        Some(_) => Err(PyTypeError::new_err(format!("`{name}` takes fewer arguments"))),
        None => Err(PyTypeError::new_err(format!("there is no function `{name}`"))),
    }
}

/// The names of all functions.
#[pyfunction]
pub fn function_names() -> Vec<&'static str> {
    NAMES.to_vec()
}
