//! Functions of the program, which queries call by a name.
//!
//! Owns what the planner knows of such a function: its name, the arguments that it takes, and what it gives. Knows no session, and no language
//! that it may be written in. Invariants: none is called while a query is planned; what one gives has a value for each row that it was given,
//! of the type that was said.

use crate::sql::plan::{is_assignable, plain, type_name};
use arrow::{
    array::{Array, ArrayRef, NullArray, new_empty_array},
    compute::cast,
    datatypes::DataType,
};
use datafusion_common::{DataFusionError, Result as PlanResult, ScalarValue, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::{
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    ops::RangeInclusive,
    sync::Arc,
};

/// What the name of a function begins with that no text of SQL can call.
pub const HIDDEN: char = '$';

/// A name of a function as people know it: without the mark of a hidden one, and without the number that may stand behind it.
pub fn shown_function(name: &str) -> &str {
    name.strip_prefix(HIDDEN).map_or(name, |name| name.split(HIDDEN).next().unwrap_or(name))
}

thread_local! {
    static IS_PLANNING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread calls no function of the program: a planner computes what is constant, and a function may take locks of its own.
#[derive(Debug)]
pub struct NoCalls {
    before: bool,
}

impl NoCalls {
    /// From now on.
    pub fn begin() -> Self {
        NoCalls { before: IS_PLANNING.replace(true) }
    }
}

impl Drop for NoCalls {
    fn drop(&mut self) {
        IS_PLANNING.set(self.before);
    }
}

/// Makes a column of columns that have as many rows, or says why it cannot.
pub type Compute = dyn Fn(&[ArrayRef]) -> Result<ArrayRef, String> + Send + Sync;

/// Which arguments a function takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    /// Those of these types.
    Of(Vec<DataType>),
    /// So many, whatever their types are.
    Any(RangeInclusive<usize>),
}

/// A function of the program.
#[derive(Clone)]
pub struct UserDefined {
    /// In small letters.
    pub name: String,
    pub arguments: Arguments,
    pub returns: DataType,
    /// Whether it gives the same value whenever it is given the same arguments.
    pub is_deterministic: bool,
    /// Without arguments it is given a column of NULLs, which says how many rows there are.
    pub compute: Arc<Compute>,
}

impl UserDefined {
    /// As the planner takes it.
    pub fn into_scalar(self) -> ScalarUDF {
        // Stable: what is computed once for a whole query is not computed when the query is planned.
        let volatility = if self.is_deterministic { Volatility::Stable } else { Volatility::Volatile };
        ScalarUDF::from(Call { function: self, signature: Signature::user_defined(volatility) })
    }

    fn name(&self) -> &str {
        shown_function(&self.name)
    }

    /// How it is called.
    fn form(&self) -> String {
        let arguments = match &self.arguments {
            Arguments::Of(types) => types.iter().map(type_name).collect::<Vec<_>>().join(", "),
            Arguments::Any(count) => {
                const SHOWN_MAX: usize = 5;
                let (least, most) = (*count.start(), *count.end());
                let needed = vec!["value"; least].join(", ");
                let more = most.saturating_sub(least);
                let comma = if least == 0 { "" } else { ", " };
                match more {
                    0 => needed,
                    1..=SHOWN_MAX => {
                        let optional: Vec<&str> = vec!["value"; more];
                        format!("{needed}[{comma}{}]", optional.join("[, ") + &"]".repeat(more - 1))
                    }
                    _ => format!("{needed}{comma}.."),
                }
            }
        };
        format!("{}({arguments})", self.name())
    }

    /// What it has given, if it is what it was to give.
    fn checked(&self, given: ArrayRef, rows: usize) -> PlanResult<ArrayRef> {
        let wrong = |what: String| {
            Err(DataFusionError::Execution(format!("the function `{}` has given {what}", self.name())))
        };
        if given.len() != rows {
            return wrong(format!("{} values for {rows} rows", given.len()));
        }
        if *given.data_type() == self.returns {
            return Ok(given);
        }
        if is_assignable(given.data_type(), &self.returns) {
            return Ok(cast(&given, &self.returns)?);
        }
        let (given, returns) = (type_name(given.data_type()), type_name(&self.returns));
        wrong(format!("{given}, and its type is {returns}"))
    }
}

impl fmt::Debug for UserDefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserDefined").field(&self.name).finish()
    }
}

/// Whether a value of one type becomes one of another without a `CAST`: nothing is lost of a value that becomes one.
fn is_taken(given: &DataType, wanted: &DataType) -> bool {
    // A number that is written out is a BIGINT; one that does not fit is found when it is converted.
    is_assignable(given, wanted) || (given.is_integer() && wanted.is_integer())
}

/// A function as the planner knows it.
#[derive(Debug)]
struct Call {
    function: UserDefined,
    signature: Signature,
}

impl PartialEq for Call {
    /// Of two functions that had one name one after the other, each is one of its own: a view keeps the one that it was made with.
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
            && self.signature == other.signature
            && Arc::ptr_eq(&self.function.compute, &other.function.compute)
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.function.returns.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        match &self.function.arguments {
            Arguments::Of(types)
                if types.len() == given.len()
                    && given.iter().zip(types).all(|(given, wanted)| is_taken(given, wanted)) =>
            {
                Ok(types.clone())
            }
            Arguments::Any(count) if count.contains(&given.len()) => {
                let taken = |given: &DataType| match given {
                    // A column of NULLs alone stands for no argument at all.
                    DataType::Null => DataType::Utf8,
                    other => plain(other),
                };
                Ok(given.iter().map(taken).collect())
            }
            _ => plan_err!("`{}` is called as {}", self.function.name(), self.function.form()),
        }
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let function = &self.function;
        let failed =
            |what: &str| DataFusionError::Execution(format!("the function `{}` {what}", function.name()));
        if IS_PLANNING.get() {
            return Err(failed("is not called while a query is planned"));
        }
        let is_value = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
        let is_constant =
            function.is_deterministic && !given.args.is_empty() && given.args.iter().all(is_value);
        let rows = if is_constant { given.number_rows.min(1) } else { given.number_rows };
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&function.returns)));
        }
        let columns = given.args.into_iter().map(|argument| argument.into_array(rows));
        let mut columns = columns.collect::<PlanResult<Vec<_>>>()?;
        if columns.is_empty() {
            columns.push(Arc::new(NullArray::new(rows)));
        }
        let values = (function.compute)(&columns).map_err(|why| failed(&format!("failed: {why}")))?;
        let values = function.checked(values, rows)?;
        if is_constant {
            return ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int32Array, Int64Array, StringArray},
        datatypes::Field,
    };
    use datafusion_common::config::ConfigOptions;

    fn function(arguments: Arguments, compute: Arc<Compute>) -> UserDefined {
        let (name, returns) = ("$f$2".to_owned(), DataType::Int64);
        UserDefined { name, arguments, returns, is_deterministic: true, compute }
    }

    fn called(
        function: UserDefined,
        args: Vec<ColumnarValue>,
        number_rows: usize,
    ) -> PlanResult<ColumnarValue> {
        let field = |argument: &ColumnarValue| Arc::new(Field::new("x", argument.data_type(), true));
        let arg_fields = args.iter().map(field).collect();
        function.into_scalar().invoke_with_args(ScalarFunctionArgs {
            args,
            arg_fields,
            number_rows,
            return_field: Arc::new(Field::new("f", DataType::Int64, true)),
            config_options: Arc::new(ConfigOptions::new()),
        })
    }

    fn lengths() -> Arc<Compute> {
        Arc::new(|columns: &[ArrayRef]| {
            Ok(Arc::new(Int64Array::from(vec![i64::try_from(columns[0].len()).unwrap(); columns[0].len()])))
        })
    }

    fn text(result: PlanResult<ColumnarValue>) -> String {
        match result {
            Ok(ColumnarValue::Array(values)) => {
                format!("{:?}", cast(&values, &DataType::Utf8).unwrap().len())
            }
            Ok(ColumnarValue::Scalar(value)) => value.to_string(),
            Err(e) => e.strip_backtrace(),
        }
    }

    #[test]
    fn a_function_is_called_once_for_all_rows_and_once_for_a_constant() {
        let of = || function(Arguments::Any(0..=1), lengths());
        let rows = || ColumnarValue::Array(Arc::new(Int32Array::from(vec![1, 2, 3])));
        let one = || ColumnarValue::Scalar(ScalarValue::Int32(Some(1)));
        assert_eq!(text(called(of(), vec![rows()], 3)), "3");
        assert_eq!(text(called(of(), vec![one()], 3)), "1");
        let varies = UserDefined { is_deterministic: false, ..of() };
        assert_eq!(text(called(varies, vec![one()], 3)), "3");
        assert_eq!(text(called(of(), vec![], 3)), "3");
        assert_eq!(text(called(of(), vec![], 0)), "0");
    }

    #[test]
    fn a_function_is_not_called_while_a_query_is_planned() {
        let of = || function(Arguments::Any(1..=1), Arc::new(|_| Err("called".to_owned())));
        let one = || vec![ColumnarValue::Scalar(ScalarValue::Int32(Some(1)))];
        let outer = NoCalls::begin();
        drop(NoCalls::begin());
        let told = "Execution error: the function `f` is not called while a query is planned";
        assert_eq!(text(called(of(), one(), 1)), told);
        drop(outer);
        assert_eq!(text(called(of(), one(), 1)), "Execution error: the function `f` failed: called");
    }

    #[test]
    fn what_a_function_gives_is_what_was_said() {
        let giving =
            |values: ArrayRef| function(Arguments::Any(1..=1), Arc::new(move |_| Ok(values.clone())));
        let rows = || vec![ColumnarValue::Array(Arc::new(Int32Array::from(vec![1, 2])))];
        let given = |values: ArrayRef| text(called(giving(values), rows(), 2));
        assert_eq!(given(Arc::new(Int32Array::from(vec![1, 2]))), "2");
        let told = given(Arc::new(StringArray::from(vec!["a", "b"])));
        assert_eq!(told, "Execution error: the function `f` has given STRING, and its type is BIGINT");
        let told = given(Arc::new(Int64Array::from(vec![1])));
        assert_eq!(told, "Execution error: the function `f` has given 1 values for 2 rows");
    }

    #[test]
    fn the_form_of_a_call_says_what_is_optional() {
        let form = |arguments| function(arguments, lengths()).form();
        assert_eq!(form(Arguments::Of(vec![DataType::Utf8, DataType::Int64])), "f(STRING, BIGINT)");
        assert_eq!(form(Arguments::Any(2..=2)), "f(value, value)");
        assert_eq!(form(Arguments::Any(0..=2)), "f([value[, value]])");
        assert_eq!(form(Arguments::Any(1..=2)), "f(value[, value])");
        assert_eq!(form(Arguments::Any(1..=255)), "f(value, ..)");
        assert_eq!(form(Arguments::Any(0..=0)), "f()");
    }
}
