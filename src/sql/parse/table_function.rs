//! Calls of table functions in FROM, read from the tree of a query.
//!
//! Owns the forms that such a call can have. Knows no function. Invariant: both `TABLE(f(..))` and `f(..)` give the same call.

use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, TableAlias, TableFactor,
    WindowType,
};

/// A call such as `TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS w`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableFunctionCall<'a> {
    /// The function.
    pub name: &'a ObjectName,
    /// What it is given, in order.
    pub arguments: Vec<TableFunctionArgument<'a>>,
    /// What the result is called.
    pub alias: Option<&'a TableAlias>,
}

/// An argument of such a call.
#[derive(Clone, Debug, PartialEq)]
pub struct TableFunctionArgument<'a> {
    /// `SIZE` of `SIZE => INTERVAL '10' SECOND`.
    pub name: Option<&'a Ident>,
    /// What is given.
    pub value: ArgumentValue<'a>,
}

/// What an argument is.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgumentValue<'a> {
    /// `TABLE t [PARTITION BY ..]`.
    Table {
        /// The parts of its name.
        name: &'a [Ident],
        /// The keys behind it.
        partition_by: &'a [Expr],
    },
    /// A query in parentheses.
    Query(&'a Query),
    /// `DESCRIPTOR(ts)`: the names of columns.
    Descriptor(Vec<&'a Ident>),
    /// Anything else; a single name may be meant as a table or a column.
    Expr(&'a Expr),
    /// `*` or `t.*`.
    Wildcard,
}

impl<'a> TableFunctionCall<'a> {
    /// The call that a relation is; `None` if it is none.
    #[must_use]
    pub fn of(relation: &'a TableFactor) -> Option<Self> {
        let (name, arguments, alias) = match relation {
            TableFactor::TableFunction { expr: Expr::Function(call), alias } => {
                let FunctionArguments::List(list) = &call.args else { return None };
                (&call.name, &list.args, alias)
            }
            TableFactor::Table { name, args: Some(arguments), alias, .. } => (name, &arguments.args, alias),
            TableFactor::Function { name, args, alias, .. } => (name, args, alias),
            _ => return None,
        };
        let arguments = arguments.iter().map(TableFunctionArgument::of).collect();
        Some(TableFunctionCall { name, arguments, alias: alias.as_ref() })
    }

    /// Whether the function is called so, whatever the case of letters.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is_named(self.name, name)
    }
}

impl<'a> TableFunctionArgument<'a> {
    fn of(argument: &'a FunctionArg) -> Self {
        let (name, value) = match argument {
            FunctionArg::Named { name, arg, .. } => (Some(name), arg),
            FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg) => (None, arg),
        };
        let value = match value {
            FunctionArgExpr::Expr(expr) => ArgumentValue::of(expr),
            _ => ArgumentValue::Wildcard,
        };
        TableFunctionArgument { name, value }
    }
}

impl<'a> ArgumentValue<'a> {
    fn of(expr: &'a Expr) -> Self {
        let call = match expr {
            Expr::Subquery(query) => return ArgumentValue::Query(query),
            Expr::Function(call) => call,
            _ => return ArgumentValue::Expr(expr),
        };
        let FunctionArguments::List(list) = &call.args else { return ArgumentValue::Expr(expr) };
        let plain = |argument: &'a FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        };
        if is_named(&call.name, "TABLE") {
            let name = match list.args.first().and_then(plain) {
                Some(Expr::Identifier(name)) => std::slice::from_ref(name),
                Some(Expr::CompoundIdentifier(parts)) => parts,
                _ => return ArgumentValue::Expr(expr),
            };
            let partition_by = match &call.over {
                Some(WindowType::WindowSpec(window)) => window.partition_by.as_slice(),
                _ => &[],
            };
            return ArgumentValue::Table { name, partition_by };
        }
        if is_named(&call.name, "DESCRIPTOR") {
            let column = |expr: &'a Expr| match expr {
                Expr::Identifier(name) => Some(name),
                _ => None,
            };
            let columns: Option<Vec<_>> =
                list.args.iter().map(|argument| plain(argument).and_then(column)).collect();
            return columns.map_or(ArgumentValue::Expr(expr), ArgumentValue::Descriptor);
        }
        ArgumentValue::Expr(expr)
    }
}

fn is_named(name: &ObjectName, expected: &str) -> bool {
    let [part] = name.0.as_slice() else { return false };
    part.as_ident().is_some_and(|part| part.value.eq_ignore_ascii_case(expected))
}
