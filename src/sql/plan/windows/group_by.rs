//! Other ways to write windows: Spark's `window(ts, '10 minutes')` and `session_window(ts, '5 minutes')`, and Flink's older
//! `TUMBLE(ts, INTERVAL '10' MINUTE)`, all in GROUP BY.
//!
//! Owns their forms: each becomes a windowing function in FROM, with `window_start` and `window_end` in GROUP BY. Knows no catalog and no
//! plan. Invariants: what is written anew keeps the places of what was written; a query without such a call stays as it is.
//!
//! | in the query | becomes |
//! |---|---|
//! | `FROM t WHERE p GROUP BY window(ts, '10 minutes')` | `FROM TABLE(TUMBLE((SELECT * FROM t WHERE p), DESCRIPTOR(ts), INTERVAL '10 minutes')) AS t GROUP BY window_start, window_end` |
//! | `window`, or the call again | `named_struct('start', window_start, 'end', window_end)` |
//! | `window.start`, `TUMBLE_START(..)` | `window_start`; `.end` and `_END` likewise |
//! | `TUMBLE_ROWTIME(..)` | `window_time`, which is in GROUP BY then |
//! | `UNIX_TIMESTAMP()` | the function of the clock |

use crate::sql::{
    SqlError, SqlResult,
    plan::place::{name_of, name_of_function, place_of},
    walk::walk_mut,
};
use datafusion_sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, Interval, ObjectName, Query, Select, SelectItem, SetExpr,
    Subscript, TableAlias, TableFactor, TableWithJoins, Value, VisitorMut, WildcardAdditionalOptions,
    helpers::attached_token::AttachedToken,
};
use datafusion_sql::sqlparser::tokenizer::Span as ParserSpan;
use std::ops::ControlFlow;

/// Sessions whose rows are of one group, whatever GROUP BY says besides the window. Scripts cannot write this name.
pub const SESSION_OF_GROUP: &str = "$session";

/// The query with windows in FROM.
///
/// # Errors
/// If such a call has other arguments than it can have, or stands where it cannot.
pub fn rewritten(query: &Query) -> SqlResult<Query> {
    let mut query = query.clone();
    match walk_mut(&mut query, &mut Rewrite) {
        ControlFlow::Break(mistake) => Err(*mistake),
        ControlFlow::Continue(()) => Ok(query),
    }
}

/// The same for an expression alone.
pub fn rewritten_expr(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    // Nothing in an expression is a mistake.
    let _ = walk_mut(&mut expr, &mut Rewrite);
    expr
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = Box<SqlError>;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        match windows_in_from(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(mistake) => ControlFlow::Break(Box::new(mistake)),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = expr
            && list.args.is_empty()
            && name_of_function(name) == "unix_timestamp"
        {
            *name = ObjectName::from(vec![Ident::with_span(span_of(name), "$unix_timestamp")]);
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = expr {
            fields_by_name(root, access_chain);
        }
        ControlFlow::Continue(())
    }
}

/// `m['x'].name` and `f(x).name`: what follows something other than a name is a field of it, and no column.
fn fields_by_name(root: &Expr, chain: &mut [AccessExpr]) {
    let is_name = |access: &AccessExpr| matches!(access, AccessExpr::Dot(Expr::Identifier(_)));
    let names = match root {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            chain.iter().take_while(|access| is_name(access)).count()
        }
        _ => 0,
    };
    for access in &mut chain[names..] {
        if let AccessExpr::Dot(Expr::Identifier(field)) = access {
            let name = Value::SingleQuotedString(field.value.clone());
            *access = AccessExpr::Dot(Expr::Value(name.with_span(field.span)));
        }
    }
}

/// The ways to write a window in GROUP BY.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `window(time, size[, slide[, start]])`
    Window,
    /// `session_window(time, gap)`
    SessionWindow,
    /// `TUMBLE(time, size)`
    Tumble,
    /// `HOP(time, slide, size)`
    Hop,
    /// `SESSION(time, gap)`
    Session,
}

impl Form {
    fn of(name: &ObjectName) -> Option<Self> {
        Some(match name_of_function(name).as_str() {
            "window" => Form::Window,
            "session_window" => Form::SessionWindow,
            "tumble" => Form::Tumble,
            "hop" => Form::Hop,
            "session" => Form::Session,
            _ => return None,
        })
    }

    /// The function in FROM, with the names of its arguments behind the time, in the order of this form.
    fn arguments(self, count: usize) -> Option<(&'static str, &'static [&'static str])> {
        Some(match (self, count) {
            (Form::Window | Form::Tumble, 2) => ("TUMBLE", &["SIZE"]),
            (Form::Window, 3) => ("HOP", &["SIZE", "SLIDE"]),
            (Form::Window, 4) => ("HOP", &["SIZE", "SLIDE", "OFFSET"]),
            (Form::Hop, 3) => ("HOP", &["SLIDE", "SIZE"]),
            (Form::SessionWindow | Form::Session, 2) => (SESSION_OF_GROUP, &["GAP"]),
            _ => return None,
        })
    }

    fn example(self) -> &'static str {
        match self {
            Form::Window => "window(ts, '10 minutes') or window(ts, '10 minutes', '5 minutes')",
            Form::SessionWindow => "session_window(ts, '5 minutes')",
            Form::Tumble => "TUMBLE(ts, INTERVAL '10' MINUTE)",
            Form::Hop => "HOP(ts, INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)",
            Form::Session => "SESSION(ts, INTERVAL '5' MINUTE)",
        }
    }
}

/// A window in GROUP BY.
struct GroupWindow {
    form: Form,
    call: Function,
    span: ParserSpan,
}

impl GroupWindow {
    /// The call that an expression is.
    fn of(expr: &Expr) -> Option<Self> {
        let Expr::Function(call) = expr else { return None };
        let form = Form::of(&call.name)?;
        Some(GroupWindow { form, call: call.clone(), span: span_of(&call.name) })
    }

    /// What it becomes among the columns of a query.
    fn column(&self, name: &str) -> Expr {
        Expr::Identifier(Ident::with_span(self.span, name))
    }

    /// Start and end as one value.
    fn row(&self) -> Expr {
        let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).with_empty_span());
        let arguments = [text("start"), self.column("window_start"), text("end"), self.column("window_end")];
        call(Ident::with_span(self.span, "named_struct"), arguments.into_iter().map(unnamed).collect())
    }

    /// The name of the row.
    fn name(&self) -> &'static str {
        match self.form {
            Form::SessionWindow | Form::Session => "session_window",
            Form::Window | Form::Tumble | Form::Hop => "window",
        }
    }
}

fn span_of(name: &ObjectName) -> ParserSpan {
    name.0.first().and_then(|part| part.as_ident()).map_or_else(ParserSpan::empty, |ident| ident.span)
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn call(name: Ident, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Moves the window of GROUP BY into FROM.
fn windows_in_from(select: &mut Select) -> SqlResult {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Ok(()) };
    // `SELECT window(..) AS w .. GROUP BY w`
    let meant = |key: &Expr| match key {
        Expr::Identifier(name) => select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias == name => GroupWindow::of(expr),
            _ => None,
        }),
        key => GroupWindow::of(key),
    };
    let mut windows = keys.iter().enumerate().filter_map(|(at, key)| Some((at, meant(key)?)));
    let Some((at, window)) = windows.next() else { return Ok(()) };
    if let Some((_, second)) = windows.next() {
        return Err(SqlError::at(place_of(&second.call.name), "rows are grouped by two windows")
            .because("a row lies in the windows of one function at a time")
            .next("group by one of them here, and by the other one in a query around it"));
    }
    let span = place_of(&window.call.name);
    let (function, arguments) = arguments(&window)?;
    let from = match &select.from[..] {
        [from] if from.joins.is_empty() => from.relation.clone(),
        _ => {
            return Err(SqlError::at(span, format!("`{}` over a join", window.call.name))
                .next("write the join as a view or a query in FROM, and group its rows"));
        }
    };
    let mut rewriting = Columns { window: &window, uses_time: false };
    for item in &mut select.projection {
        rewriting.item(item);
    }
    for part in select.having.iter_mut().chain(&mut select.qualify) {
        let _ = walk_mut(part, &mut rewriting);
    }
    let mut added = vec![window.column("window_start"), window.column("window_end")];
    if rewriting.uses_time {
        added.push(window.column("window_time"));
    }
    let alias = alias_of(&from);
    let input = rows_of(select, from);
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.splice(at..=at, added);
        for key in keys {
            let _ = walk_mut(key, &mut rewriting);
        }
    }
    let mut args = vec![named("DATA", Expr::Subquery(Box::new(input)))];
    args.extend(arguments);
    let expr = call(Ident::with_span(window.span, function), args);
    let relation = TableFactor::TableFunction { expr, alias };
    select.from = vec![TableWithJoins { relation, joins: vec![] }];
    Ok(())
}

fn named(name: &str, expr: Expr) -> FunctionArg {
    FunctionArg::Named {
        name: Ident::new(name),
        arg: FunctionArgExpr::Expr(expr),
        operator: FunctionArgOperator::RightArrow,
    }
}

/// The function in FROM and its arguments behind the rows.
fn arguments(window: &GroupWindow) -> SqlResult<(&'static str, Vec<FunctionArg>)> {
    let name = &window.call.name;
    let span = place_of(name);
    let wrong = |what: String| SqlError::at(span, what).next(format!("write {}", window.form.example()));
    let FunctionArguments::List(list) = &window.call.args else {
        return Err(wrong(format!("`{name}` has no arguments")));
    };
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    let given: Vec<Expr> = list
        .args
        .iter()
        .map(|argument| {
            plain(argument).ok_or_else(|| wrong(format!("the arguments of `{name}` have no names")))
        })
        .collect::<SqlResult<_>>()?;
    let Some((function, names)) = window.form.arguments(given.len()) else {
        return Err(wrong(format!("`{name}` in GROUP BY cannot have {} arguments", given.len())));
    };
    let column = match &given[0] {
        Expr::Identifier(column) => column,
        Expr::CompoundIdentifier(parts) if parts.len() == 2 => &parts[1],
        other => {
            return Err(SqlError::at(place_of(other).or(span), format!("the time of `{name}` is a column"))
                .because("an expression has no watermark")
                .next("compute it in the table that has the WATERMARK: ts AS .."));
        }
    };
    let descriptor = call(Ident::new("DESCRIPTOR"), vec![unnamed(Expr::Identifier(column.clone()))]);
    let mut arguments = vec![named("TIMECOL", descriptor)];
    for (argument, value) in names.iter().zip(&given[1..]) {
        let length = match value {
            Expr::Value(text) => match &text.value {
                Value::SingleQuotedString(_) => Expr::Interval(Interval {
                    value: Box::new(value.clone()),
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                }),
                _ => value.clone(),
            },
            other => other.clone(),
        };
        arguments.push(named(argument, length));
    }
    Ok((function, arguments))
}

/// What the columns of the relation are called after.
fn alias_of(relation: &TableFactor) -> Option<TableAlias> {
    let alias = |name: &Ident| TableAlias { explicit: true, name: name.clone(), columns: vec![], at: None };
    match relation {
        TableFactor::Table { alias: Some(of), .. }
        | TableFactor::Derived { alias: Some(of), .. }
        | TableFactor::TableFunction { alias: Some(of), .. } => Some(alias(&of.name)),
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(alias),
        _ => None,
    }
}

/// `SELECT * FROM relation WHERE ..`; the condition is taken from the query.
fn rows_of(select: &mut Select, relation: TableFactor) -> Query {
    let mut rows = select.clone();
    rows.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions {
        wildcard_token: AttachedToken::empty(),
        ..WildcardAdditionalOptions::default()
    })];
    rows.distinct = None;
    rows.from = vec![TableWithJoins { relation, joins: vec![] }];
    rows.selection = select.selection.take();
    rows.group_by = GroupByExpr::Expressions(vec![], vec![]);
    rows.having = None;
    rows.qualify = None;
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(rows))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}

/// Puts the columns of the window in the place of what stands for them.
struct Columns<'w> {
    window: &'w GroupWindow,
    uses_time: bool,
}

impl Columns<'_> {
    fn item(&mut self, item: &mut SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let before = expr.clone();
                let _ = walk_mut(expr, self);
                // What was a window is called so, and its parts as they are.
                let name = match (&before, &*expr) {
                    (_, Expr::Function(_)) if self.is_row(&before) => Some(self.window.name()),
                    (_, Expr::Identifier(column)) if before != *expr => match column.value.as_str() {
                        "window_start" if is_part(&before) => Some("start"),
                        "window_end" if is_part(&before) => Some("end"),
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(name) = name {
                    let alias = Ident::with_quote('"', name);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => {
                let _ = walk_mut(expr, self);
            }
            _ => {}
        }
    }

    /// Whether an expression is the window as a whole.
    fn is_row(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Function(call) => *call == self.window.call,
            Expr::Identifier(name) => name_of(name) == self.window.name(),
            _ => false,
        }
    }

    /// The column that a part of the window is.
    fn part(&mut self, part: &str) -> Option<Expr> {
        let name = match part.to_lowercase().as_str() {
            "start" => "window_start",
            "end" => "window_end",
            "rowtime" => {
                self.uses_time = true;
                "window_time"
            }
            _ => return None,
        };
        Some(self.window.column(name))
    }
}

fn is_part(expr: &Expr) -> bool {
    matches!(expr, Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. })
}

impl VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let new = match &*expr {
            expr if self.is_row(expr) => Some(self.window.row()),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [window, part] if name_of(window) == self.window.name() => self.part(&part.value.clone()),
                _ => None,
            },
            Expr::CompoundFieldAccess { root, access_chain } if self.is_row(root) => {
                match &access_chain[..] {
                    [AccessExpr::Dot(Expr::Identifier(part))] => self.part(&part.value.clone()),
                    [AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) })] => {
                        match &value.value {
                            Value::SingleQuotedString(part) => self.part(&part.clone()),
                            _ => None,
                        }
                    }
                    _ => None,
                }
            }
            Expr::Function(Function { name, .. }) => {
                let name = name_of_function(name);
                match name.split_once('_') {
                    Some(("tumble" | "hop" | "session", part)) if name != "session_window" => self.part(part),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(new) = new {
            *expr = new;
        }
        ControlFlow::Continue(())
    }
}
