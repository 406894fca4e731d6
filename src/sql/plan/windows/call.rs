//! The arguments of a windowing function, by position or by name, as Flink has them.
//!
//! Owns which arguments there are and which windows make sense. Knows no schema. Invariants: lengths are positive; a hop is a whole number
//! of slides, and a cumulating window of steps.

use super::group_by::SESSION_OF_GROUP;
use crate::sql::{
    Span, SqlError, SqlResult,
    op::{WindowKind, Windows},
    parse::{ArgumentValue, TableFunctionCall, interval_ms},
    plan::place::{name_of_object, place_of},
};
use datafusion_sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, TableAlias, TableFactor, UnaryOperator,
};

/// The most windows that a row may lie in.
const WINDOWS_MAX: i64 = 10_000;

/// A call of `TUMBLE`, `HOP`, `CUMULATE` or `SESSION`.
#[derive(Debug)]
pub struct WindowCall<'a> {
    /// What it gives windows to.
    pub input: WindowInput<'a>,
    /// The column of event time.
    pub column: &'a Ident,
    /// Where it stands.
    pub column_span: Option<Span>,
    /// The windows.
    pub windows: Windows,
    /// The columns that tell the rows of one session from those of another; `None` = those that rows are grouped by.
    pub partition_by: Option<Vec<&'a Ident>>,
    /// What the result is called.
    pub alias: Option<&'a TableAlias>,
}

/// What windows are given to.
#[derive(Debug)]
pub enum WindowInput<'a> {
    /// A table or view.
    Table(&'a [Ident]),
    /// A query in parentheses.
    Query(&'a Query),
}

impl WindowInput<'_> {
    /// The relation, as it would stand in FROM.
    pub fn relation(&self) -> TableFactor {
        match self {
            WindowInput::Table(name) => TableFactor::Table {
                name: ObjectName::from(name.to_vec()),
                alias: None,
                args: None,
                with_hints: vec![],
                version: None,
                with_ordinality: false,
                partitions: vec![],
                json_path: None,
                sample: None,
                index_hints: vec![],
            },
            WindowInput::Query(query) => TableFactor::Derived {
                lateral: false,
                subquery: Box::new((*query).clone()),
                alias: None,
                sample: None,
            },
        }
    }
}

/// Whether this is the name of one of the functions.
pub fn is_window_function(name: &ObjectName) -> bool {
    Function::of(name).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Tumble,
    Hop,
    Cumulate,
    Session,
    /// Written as a window in GROUP BY.
    SessionOfGroup,
}

impl Function {
    fn of(name: &ObjectName) -> Option<Self> {
        match name_of_object(name).to_lowercase().as_str() {
            "tumble" => Some(Function::Tumble),
            "hop" => Some(Function::Hop),
            "cumulate" => Some(Function::Cumulate),
            "session" => Some(Function::Session),
            SESSION_OF_GROUP => Some(Function::SessionOfGroup),
            _ => None,
        }
    }

    /// The names of its arguments, in order; the last one may be left out.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Function::Tumble => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            Function::Hop => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            Function::Cumulate => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            Function::Session | Function::SessionOfGroup => &["DATA", "TIMECOL", "GAP"],
        }
    }

    fn example(self) -> &'static str {
        match self {
            Function::Tumble => "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
            Function::Hop => "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))",
            Function::Cumulate => {
                "TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR))"
            }
            Function::Session => {
                "TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE))"
            }
            Function::SessionOfGroup => "session_window(ts, '5 minutes')",
        }
    }
}

impl<'a> WindowCall<'a> {
    /// Reads the arguments of a call of one of the functions.
    ///
    /// # Errors
    /// If one is missing, is not what it must be, or makes no windows.
    pub fn of(call: &TableFunctionCall<'a>) -> SqlResult<Self> {
        let span = place_of(call.name);
        let function =
            Function::of(call.name).ok_or_else(|| SqlError::at(span, "this is no window function"))?;
        let mut values = arguments(call, function, span)?;
        let mut take = |name: &str| {
            let at = function.arguments().iter().position(|known| *known == name);
            at.and_then(|at| values[at].take())
        };
        let missing = |name: &str| {
            SqlError::at(span, format!("{} lacks its argument {name}", call.name))
                .next(format!("write {}", function.example()))
        };
        let (input, partition_by) = input(&take("DATA").ok_or_else(|| missing("DATA"))?, span, function)?;
        let column = take("TIMECOL").ok_or_else(|| missing("TIMECOL"))?;
        let (column, column_span) = time_column(&column, span)?;
        let mut length = |name: &str, is_positive: bool| {
            take(name).map(|value| length_ms(name, &value, is_positive, span)).transpose()
        };
        if matches!(function, Function::Session | Function::SessionOfGroup) {
            let (gap_ms, _) = length("GAP", true)?.ok_or_else(|| missing("GAP"))?;
            let windows = Windows { kind: WindowKind::Session { gap_ms }, offset_ms: 0 };
            let partition_by = (function == Function::Session).then_some(partition_by);
            return Ok(WindowCall { input, column, column_span, windows, partition_by, alias: call.alias });
        }
        let (size_ms, size_span) = length("SIZE", true)?.ok_or_else(|| missing("SIZE"))?;
        let other = match function {
            Function::Tumble | Function::Session | Function::SessionOfGroup => None,
            Function::Hop => Some(length("SLIDE", true)?.ok_or_else(|| missing("SLIDE"))?.0),
            Function::Cumulate => Some(length("STEP", true)?.ok_or_else(|| missing("STEP"))?.0),
        };
        let (offset_ms, _) = length("OFFSET", false)?.unwrap_or((0, None));
        if let Some(other_ms) = other {
            check(function, size_ms, other_ms, size_span)?;
        }
        let kind = match (function, other) {
            (Function::Hop, Some(slide_ms)) => WindowKind::Hop { size_ms, slide_ms },
            (Function::Cumulate, Some(step_ms)) => WindowKind::Cumulate { size_ms, step_ms },
            _ => WindowKind::Tumble { size_ms },
        };
        let windows = Windows { kind, offset_ms };
        Ok(WindowCall { input, column, column_span, windows, partition_by: None, alias: call.alias })
    }
}

fn check(function: Function, size_ms: i64, other_ms: i64, span: Option<Span>) -> SqlResult {
    let (what, example) = match function {
        Function::Cumulate => ("steps", "INTERVAL '1' MINUTE, INTERVAL '1' HOUR"),
        _ => ("slides", "INTERVAL '5' SECOND, INTERVAL '10' SECOND"),
    };
    if size_ms % other_ms != 0 {
        return Err(SqlError::at(span, format!("the size of a window must be a whole number of its {what}"))
            .next(format!("write, for instance, {example}; the size comes last")));
    }
    if size_ms / other_ms > WINDOWS_MAX {
        let windows = size_ms / other_ms;
        return Err(SqlError::at(span, format!("each row would lie in {windows} windows"))
            .because(format!("a row is counted once in each of its windows; {WINDOWS_MAX} are allowed"))
            .next(format!("choose longer {what}, or a shorter size")));
    }
    Ok(())
}

/// The arguments in the order of the function's; all of them have names, or none.
fn arguments<'a>(
    call: &TableFunctionCall<'a>,
    function: Function,
    span: Option<Span>,
) -> SqlResult<Vec<Option<ArgumentValue<'a>>>> {
    let known = function.arguments();
    let mut values: Vec<Option<ArgumentValue<'a>>> = known.iter().map(|_| None).collect();
    let list = known.join(", ");
    let named = call.arguments.iter().filter(|argument| argument.name.is_some()).count();
    if named != 0 && named != call.arguments.len() {
        return Err(SqlError::at(
            span,
            format!("some arguments of {} have a name, and some have none", call.name),
        )
        .next(format!("give all of them names, or none: {list}")));
    }
    if call.arguments.len() > known.len() {
        let given = call.arguments.len();
        return Err(SqlError::at(
            span,
            format!("{} takes {} arguments, and has {given}", call.name, known.len()),
        )
        .next(if known.contains(&"OFFSET") {
            format!("they are {list}; OFFSET may be left out")
        } else {
            format!("they are {list}")
        }));
    }
    for (at, argument) in call.arguments.iter().enumerate() {
        let at = match argument.name {
            None => at,
            Some(name) => {
                let found = known.iter().position(|known| name.value.eq_ignore_ascii_case(known));
                found.ok_or_else(|| {
                    SqlError::at(
                        place_of_ident(name),
                        format!("{} has no argument {}", call.name, name.value),
                    )
                    .next(format!("they are {list}"))
                })?
            }
        };
        if values[at].replace(argument.value.clone()).is_some() {
            return Err(SqlError::at(span, format!("the argument {} is there twice", known[at])));
        }
    }
    Ok(values)
}

pub(super) fn place_of_ident(name: &Ident) -> Option<Span> {
    place_of(&ObjectName::from(vec![name.clone()]))
}

fn input<'a>(
    value: &ArgumentValue<'a>,
    span: Option<Span>,
    function: Function,
) -> SqlResult<(WindowInput<'a>, Vec<&'a Ident>)> {
    let whole = |input| Ok((input, vec![]));
    match value {
        ArgumentValue::Table { name, partition_by: [] } => whole(WindowInput::Table(name)),
        ArgumentValue::Table { name, partition_by } if function == Function::Session => {
            let column = |key: &'a Expr| match key {
                Expr::Identifier(column) => Ok(column),
                Expr::CompoundIdentifier(parts) if parts.len() == 2 => Ok(&parts[1]),
                other => {
                    let mistake = "sessions are partitioned by columns";
                    Err(SqlError::at(place_of(other).or(span), mistake)
                        .next("compute the column in a query or view before, and name it"))
                }
            };
            let columns = partition_by.iter().map(column).collect::<SqlResult<_>>()?;
            Ok((WindowInput::Table(name), columns))
        }
        ArgumentValue::Table { partition_by: [key, ..], .. } => {
            Err(SqlError::at(place_of(key).or(span), "PARTITION BY makes no difference to these windows")
                .next("leave it out, and name the column in GROUP BY"))
        }
        ArgumentValue::Query(query) => whole(WindowInput::Query(query)),
        ArgumentValue::Expr(Expr::Identifier(name)) => whole(WindowInput::Table(std::slice::from_ref(name))),
        ArgumentValue::Expr(Expr::CompoundIdentifier(parts)) => whole(WindowInput::Table(parts)),
        ArgumentValue::Expr(_) | ArgumentValue::Descriptor(_) | ArgumentValue::Wildcard => {
            Err(SqlError::at(span, "the first argument of a window function is a table")
                .next(format!("write {}", function.example())))
        }
    }
}

fn time_column<'a>(value: &ArgumentValue<'a>, span: Option<Span>) -> SqlResult<(&'a Ident, Option<Span>)> {
    let column = match value {
        ArgumentValue::Descriptor(columns) => match columns[..] {
            [column] => Some(column),
            _ => None,
        },
        ArgumentValue::Expr(Expr::Identifier(column)) => Some(column),
        _ => None,
    };
    let wrong = || {
        SqlError::at(span, "a window function takes its times from one column").next("write DESCRIPTOR(ts)")
    };
    let column = column.ok_or_else(wrong)?;
    Ok((column, place_of_ident(column).or(span)))
}

fn length_ms(
    name: &str,
    value: &ArgumentValue<'_>,
    is_positive: bool,
    span: Option<Span>,
) -> SqlResult<(i64, Option<Span>)> {
    let wrong = |span| {
        SqlError::at(span, format!("the {} of a window is an interval", name.to_lowercase()))
            .next("write, for instance, INTERVAL '10' SECOND")
    };
    let ArgumentValue::Expr(expr) = value else { return Err(wrong(span)) };
    let place = place_of(*expr).or(span);
    let (interval, sign) = match expr {
        Expr::Interval(interval) => (interval, 1),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Interval(interval) => (interval, -1),
            _ => return Err(wrong(place)),
        },
        _ => return Err(wrong(place)),
    };
    let ms = sign * interval_ms(interval, place.unwrap_or_default())?;
    if is_positive && ms <= 0 {
        return Err(SqlError::at(
            place,
            format!("the {} of a window must be longer than nothing", name.to_lowercase()),
        ));
    }
    Ok((ms, place))
}
