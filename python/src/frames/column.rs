//! Columns as the Python package holds them.
//!
//! Owns what a Python object is where a column or a value is taken. Knows no frame. Invariant: an object that is neither is a `TypeError`, and
//! never a text of SQL.

use super::functions::call;
use pyo3::{
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use tidegate::sql::{Column, Window, functions};

/// An expression over columns.
#[pyclass(frozen, name = "Column", module = "tidegate._tidegate")]
pub struct ColumnOfPython(pub Column);

/// The column that an object holds; objects of the package hold one of ours as `_column`.
pub fn held(object: &Bound<'_, PyAny>) -> Option<Column> {
    if let Ok(column) = object.cast::<ColumnOfPython>() {
        return Some(column.get().0.clone());
    }
    let held = object.getattr(intern!(object.py(), "_column")).ok()?;
    Some(held.cast::<ColumnOfPython>().ok()?.get().0.clone())
}

/// A column, or the name of one.
pub fn column_of(object: &Bound<'_, PyAny>) -> PyResult<Column> {
    if let Ok(name) = object.cast::<PyString>() {
        return Ok(functions::col(name.to_str()?));
    }
    held(object).ok_or_else(|| {
        let kind = kind_of(object);
        PyTypeError::new_err(format!(
            "a column or the name of one is taken here, not an object of type {kind}"
        ))
    })
}

fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().fully_qualified_name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// A column, or a value.
pub fn operand_of(object: &Bound<'_, PyAny>) -> PyResult<Column> {
    if let Some(column) = held(object) {
        return Ok(column);
    }
    let py = object.py();
    if object.is_none() {
        return Ok(functions::lit(None::<i64>));
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(functions::lit(truth.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return object.extract::<i64>().map(functions::lit).map_err(|_| {
            PyOverflowError::new_err("a number has more than 64 bits\n  next: use decimal.Decimal")
        });
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(functions::lit(number.value()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(functions::lit(text.to_str()?));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        let digits: Vec<String> = bytes.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        return Ok(functions::expr(&format!("X'{}'", digits.concat())));
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let parts = object.try_iter()?.map(|part| operand_of(&part?)).collect::<PyResult<Vec<_>>>()?;
        return Ok(functions::array(parts));
    }
    let (datetime, decimal) = (py.import(intern!(py, "datetime"))?, py.import(intern!(py, "decimal"))?);
    if object.is_instance(&datetime.getattr("datetime")?)? {
        let utc = datetime.getattr("timezone")?.getattr("utc")?;
        let is_naive = object.getattr("tzinfo")?.is_none();
        let time = if is_naive { object.clone() } else { object.call_method1("astimezone", (utc,))? };
        let text: String = time.call_method1("strftime", ("%Y-%m-%d %H:%M:%S.%f",))?.extract()?;
        return Ok(functions::lit(text).cast("TIMESTAMP(6)"));
    }
    if object.is_instance(&datetime.getattr("date")?)? {
        return Ok(functions::lit(object.str()?.to_str()?).cast("DATE"));
    }
    if object.is_instance(&decimal.getattr("Decimal")?)? {
        return decimal_of(object);
    }
    let kind = kind_of(object);
    Err(PyTypeError::new_err(format!(
        "an object of type {kind} is no value of a column\n  next: use None, bool, int, float, str, bytes, Decimal, date, datetime or a list of these"
    )))
}

fn decimal_of(object: &Bound<'_, PyAny>) -> PyResult<Column> {
    let text: String = object.call_method1("__format__", ("f",))?.extract()?;
    let digits = text.trim_start_matches('-');
    if !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(PyValueError::new_err(format!("{text} is no decimal")));
    }
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let precision = digits.chars().filter(char::is_ascii_digit).count().max(1);
    Ok(functions::lit(text).cast(&format!("DECIMAL({precision}, {scale})")))
}

#[pymethods]
impl ColumnOfPython {
    /// The column of a name.
    #[staticmethod]
    fn named(name: &str) -> Self {
        ColumnOfPython(functions::col(name))
    }

    /// A value.
    #[staticmethod]
    fn literal(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        operand_of(value).map(ColumnOfPython)
    }

    /// What a text of SQL says.
    #[staticmethod]
    fn parsed(sql: &str) -> Self {
        ColumnOfPython(functions::expr(sql))
    }

    /// A function of `tidegate::sql::functions`.
    #[staticmethod]
    fn function(name: &str, arguments: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        call(name, &arguments).map(ColumnOfPython)
    }

    /// A function of SQL, of columns.
    #[staticmethod]
    fn call(name: &str, arguments: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let columns = arguments.iter().map(operand_of).collect::<PyResult<Vec<_>>>()?;
        Ok(ColumnOfPython(functions::call_function(name, columns)))
    }

    /// What an operator makes of it and another one.
    fn binary(&self, operator: &str, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (column, other) = (self.0.clone(), operand_of(other)?);
        Ok(ColumnOfPython(match operator {
            "+" => column + other,
            "-" => column - other,
            "*" => column * other,
            "/" => column / other,
            "%" => column % other,
            "=" => column.eq(other),
            "<>" => column.neq(other),
            ">" => column.gt(other),
            ">=" => column.geq(other),
            "<" => column.lt(other),
            "<=" => column.leq(other),
            "and" => column.and(other),
            "or" => column.or(other),
            "is" => column.eq_null_safe(other),
            "starts_with" => column.starts_with(other),
            "ends_with" => column.ends_with(other),
            "contains" => column.contains(other),
            "item" => column.get_item(other),
            _ => return Err(PyValueError::new_err(format!("there is no operator `{operator}`"))),
        }))
    }

    /// What an operator makes of it.
    fn unary(&self, operator: &str) -> PyResult<Self> {
        let column = self.0.clone();
        Ok(ColumnOfPython(match operator {
            "-" => -column,
            "not" => !column,
            "is null" => column.is_null(),
            "is not null" => column.is_not_null(),
            "asc" => column.asc_nulls_first(),
            "asc nulls last" => column.asc_nulls_last(),
            "desc" => column.desc_nulls_last(),
            "desc nulls first" => column.desc_nulls_first(),
            _ => return Err(PyValueError::new_err(format!("there is no operator `{operator}`"))),
        }))
    }

    /// The function with the rows that it sees; `between` counts rows, or seconds.
    fn over(
        &self,
        partition_by: Vec<Bound<'_, PyAny>>,
        order_by: Vec<Bound<'_, PyAny>>,
        units: &str,
        between: Option<(i64, i64)>,
    ) -> PyResult<Self> {
        let columns = |of: &[Bound<'_, PyAny>]| of.iter().map(column_of).collect::<PyResult<Vec<_>>>();
        let window = Window::partition_by(columns(&partition_by)?).order_by(columns(&order_by)?);
        let window = match between {
            Some((start, end)) if units == "rows" => window.rows_between(start, end),
            Some((start, end)) => window.range_between(start, end),
            None => window,
        };
        Ok(ColumnOfPython(self.0.over(&window)))
    }

    /// Whether it matches a pattern: `like`, `ilike` or `rlike`.
    fn matches(&self, kind: &str, pattern: &str) -> PyResult<Self> {
        Ok(ColumnOfPython(match kind {
            "like" => self.0.like(pattern),
            "ilike" => self.0.ilike(pattern),
            "rlike" => self.0.rlike(pattern),
            _ => return Err(PyValueError::new_err(format!("there is no pattern `{kind}`"))),
        }))
    }

    fn between(&self, low: &Bound<'_, PyAny>, high: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(ColumnOfPython(self.0.between(operand_of(low)?, operand_of(high)?)))
    }

    fn isin(&self, values: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let values = values.iter().map(operand_of).collect::<PyResult<Vec<_>>>()?;
        Ok(ColumnOfPython(self.0.isin(values)))
    }

    fn substr(&self, position: &Bound<'_, PyAny>, length: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(ColumnOfPython(self.0.substr(operand_of(position)?, operand_of(length)?)))
    }

    fn cast(&self, data_type: &str) -> Self {
        ColumnOfPython(self.0.cast(data_type))
    }

    fn try_cast(&self, data_type: &str) -> Self {
        ColumnOfPython(self.0.try_cast(data_type))
    }

    fn get_field(&self, name: &str) -> Self {
        ColumnOfPython(self.0.get_field(name))
    }

    fn when(&self, condition: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(ColumnOfPython(self.0.when(operand_of(condition)?, operand_of(value)?)))
    }

    fn otherwise(&self, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(ColumnOfPython(self.0.otherwise(operand_of(value)?)))
    }

    fn alias(&self, name: &str) -> Self {
        ColumnOfPython(self.0.alias(name))
    }

    /// As SQL.
    fn text(&self) -> String {
        self.0.to_string()
    }
}
