//! Parts of the tree of a query.
//!
//! Owns how names, literals and calls are written there. Knows no column and no frame. Invariant: names are as they were given.

use crate::sql::{catalog::shown_function, walk::walk_mut};
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, SelectItem, Value, VisitorMut,
};
use std::ops::ControlFlow;

/// A name of one part, in quotes if it needs them.
pub fn ident(name: &str) -> Ident {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { Ident::new(name) } else { Ident::with_quote('`', name) }
}

/// The parts of a name with dots; backticks around a part keep its dots.
fn parts(name: &str) -> Vec<Ident> {
    let (mut parts, mut part, mut is_quoted) = (vec![], String::new(), false);
    for c in name.chars() {
        match c {
            '`' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(ident(&std::mem::take(&mut part))),
            c => part.push(c),
        }
    }
    parts.push(ident(&part));
    parts
}

/// A name of a relation.
pub fn object(name: &str) -> ObjectName {
    ObjectName::from(parts(name))
}

/// What a name stands for: a column, a column of a named relation, or a field of a row.
pub fn lookup(name: &str) -> Expr {
    let mut parts = parts(name);
    match parts.len() {
        1 => Expr::Identifier(parts.remove(0)),
        _ => Expr::CompoundIdentifier(parts),
    }
}

/// A value that is written out.
pub fn literal(value: Value) -> Expr {
    Expr::Value(value.into())
}

/// `INTERVAL '10 minutes'`.
pub fn interval(text: &str) -> Expr {
    use datafusion_sql::sqlparser::ast::Interval;
    Expr::Interval(Interval {
        value: Box::new(literal(Value::SingleQuotedString(text.to_owned()))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// A call of a function.
pub fn function(
    name: &str,
    arguments: impl IntoIterator<Item = FunctionArgExpr>,
    is_distinct: bool,
) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: is_distinct.then_some(DuplicateTreatment::Distinct),
            args: arguments.into_iter().map(FunctionArg::Unnamed).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    }
}

/// A call of a function with these arguments.
pub fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function(function(name, arguments.into_iter().map(FunctionArgExpr::Expr), false))
}

/// An item as text, in which functions have the names that people know.
pub fn text_of(item: &SelectItem) -> String {
    let text = item.to_string();
    if !text.contains('$') {
        return text;
    }
    let mut item = item.clone();
    // The visitor never stops before the end.
    let _: ControlFlow<()> = walk_mut(&mut item, &mut ShownNames);
    item.to_string()
}

struct ShownNames;

impl VisitorMut for ShownNames {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && let [ObjectNamePart::Identifier(name)] = call.name.0.as_mut_slice()
        {
            name.value = shown_function(&name.value).to_owned();
        }
        ControlFlow::Continue(())
    }
}
