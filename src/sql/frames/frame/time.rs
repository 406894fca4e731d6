//! Event time: watermarks, and windows to group by.
//!
//! Owns how both get into the plan. Knows no operator. Invariant: the columns of a DataFrame stay as they are, save that windows add theirs.

use super::DataFrame;
use crate::{
    error::Result,
    sql::{
        Span, SqlError, SqlResult,
        closest::closest,
        frames::{
            column::{Column, interval},
            mistake::{At, told, wrong},
        },
        op::{WindowKind, Windows},
        parse::{interval_ms, type_name},
        plan::{WINDOW_COLUMNS, WatermarkNode, WindowsNode, is_time},
    },
};
use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Extension, LogicalPlan};
use datafusion_sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Value};
use std::{panic::Location, sync::Arc};

/// The most windows that a row may lie in.
const WINDOWS_MAX: i64 = 10_000;

/// A window of event time that rows are grouped by.
#[derive(Debug)]
pub(super) struct WindowKey {
    /// The column of event time.
    time: Expr,
    windows: Windows,
}

impl WindowKey {
    /// What a column says, if it is a call of `window`.
    pub fn of(column: &Column) -> Option<Result<Self>> {
        let expr = column.expr();
        let Expr::Function(call) = unnested(&expr) else { return None };
        if call.name.to_string() != "window" {
            return None;
        }
        let FunctionArguments::List(list) = &call.args else { return None };
        let arguments: Vec<Expr> = list.args.iter().filter_map(plain).collect();
        Some(
            Self::of_arguments(&arguments)
                .map_err(|mistake| crate::Error::Plan(format!("{column}: {}", mistake.message))),
        )
    }

    fn of_arguments(arguments: &[Expr]) -> SqlResult<Self> {
        let (time, lengths) =
            arguments.split_first().ok_or_else(|| SqlError::at(None, "it needs a column of time"))?;
        let lengths = lengths.iter().map(length_ms).collect::<SqlResult<Vec<i64>>>()?;
        let kind = match lengths[..] {
            [size_ms] if size_ms > 0 => WindowKind::Tumble { size_ms },
            [size_ms, slide_ms] if size_ms > 0 && slide_ms > 0 => {
                if size_ms % slide_ms != 0 {
                    return Err(SqlError::at(
                        None,
                        "the size of a window must be a whole number of its slides",
                    ));
                }
                if size_ms / slide_ms > WINDOWS_MAX {
                    let what = format!("a row would lie in more than {WINDOWS_MAX} windows");
                    return Err(SqlError::at(None, what));
                }
                WindowKind::Hop { size_ms, slide_ms }
            }
            _ => return Err(SqlError::at(None, "it takes a column of time, a size, and perhaps a slide")),
        };
        Ok(WindowKey { time: time.clone(), windows: Windows { kind, offset_ms: 0 } })
    }
}

/// The expression without parentheses.
fn unnested(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

fn plain(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

/// A length of time such as `'10 minutes'`.
fn length_ms(expr: &Expr) -> SqlResult<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => parsed_ms(text),
            _ => Err(SqlError::at(None, "a length of time is a text such as '10 minutes'")),
        },
        Expr::Interval(interval) => interval_ms(interval, Span::default()),
        _ => Err(SqlError::at(None, "a length of time is a text such as '10 minutes'")),
    }
}

/// The milliseconds of a text such as `10 minutes`.
pub fn parsed_ms(text: &str) -> SqlResult<i64> {
    match interval(text) {
        Expr::Interval(interval) => interval_ms(&interval, Span::default()),
        _ => Err(SqlError::at(None, "this is no length of time")),
    }
}

impl DataFrame {
    /// Says which column is the event time, and how late rows may be: `delay` is a length of time such as `10 minutes`. Windows of this column
    /// close when the watermark, the greatest time so far less the delay, has passed their end. It stands before rows are grouped.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::{col, window}};
    /// let spark = StreamSession::builder("frame-watermark").get_or_create()?;
    /// spark.sql("CREATE TABLE clicks (page STRING, ts TIMESTAMP(3)) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json')")?;
    /// let clicks = spark.table("clicks")?.with_watermark("ts", "10 seconds")?;
    /// let counts = clicks.group_by([window("ts", "1 minute"), col("page")]).count()?;
    /// assert_eq!(counts.columns(), ["window", "page", "count"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select), and if the column is no time.
    #[track_caller]
    pub fn with_watermark(&self, column: &str, delay: &str) -> Result<DataFrame> {
        let at = Location::caller();
        let delay_ms = parsed_ms(delay)
            .map_err(|mistake| told(at, mistake.next("write a length of time such as `10 minutes`")))?;
        self.above(at, |input| {
            let time = time_column(&input, column)?;
            let node = WatermarkNode { input, time, delay_ms };
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        })
    }

    /// The rows with their windows.
    pub(super) fn in_windows(&self, key: &WindowKey, at: At) -> Result<DataFrame> {
        let name = match &key.time {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(parts) => {
                parts.last().map_or_else(String::new, |part: &Ident| part.value.clone())
            }
            other => {
                return Err(wrong(
                    at,
                    format!("the time of a window is a column, not `{other}`"),
                    "give it a name with `with_column` before",
                ));
            }
        };
        let windows = key.windows;
        self.above(at, |input| {
            let taken =
                WINDOW_COLUMNS.iter().find(|added| input.schema().has_column_with_unqualified_name(added));
            if let Some(taken) = taken {
                let mistake = SqlError::at(None, format!("there is a column `{taken}` already"));
                return Err(mistake.next("rename it before rows are grouped by windows"));
            }
            let time = time_column(&input, &name)?;
            let node = WindowsNode::new(input, time, windows, None)
                .map_err(|e| SqlError::at(None, e.to_string()))?;
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        })
    }
}

fn time_column(input: &LogicalPlan, name: &str) -> SqlResult<PlanColumn> {
    let schema = input.schema();
    let Some((relation, field)) = schema.iter().find(|(_, field)| field.name() == name) else {
        let mistake = SqlError::at(None, format!("there is no column `{name}` to take the time from"));
        return Err(match closest(name, schema.fields().iter().map(|field| field.name().as_str())) {
            Some(close) => mistake.next(format!("did you mean `{close}`?")),
            None => mistake.next("name a column of type TIMESTAMP"),
        });
    };
    if !is_time(field.data_type()) {
        let what =
            format!("event time is a TIMESTAMP, and column `{name}` is {}", type_name(field.data_type()));
        return Err(SqlError::at(None, what).next("convert it before: with_column(.., to_timestamp(..))"));
    }
    Ok(PlanColumn::from((relation, field)))
}
