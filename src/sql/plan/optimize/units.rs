//! Units of time that are written as names: `TIMESTAMPADD(DAY, 1, ts)`, `TIMESTAMPDIFF(HOUR, a, b)`, and Spark's `DATEADD` and `DATEDIFF` with a unit.
//!
//! Owns what they are written as: a call with a text. Knows no time. Invariant: a call that has no unit stays as it is.

use crate::sql::{
    catalog::{TIMESTAMPADD, TIMESTAMPDIFF},
    plan::place::name_of_function,
    walk::walk_mut,
};
use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// A query or an expression with units as texts.
pub fn with_units<P: VisitMut>(mut part: P) -> P {
    // The visitor never stops before the end.
    let _: ControlFlow<()> = walk_mut(&mut part, &mut Units);
    part
}

struct Units;

impl VisitorMut for Units {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let name = match name_of_function(&call.name).as_str() {
            "timestampadd" | "dateadd" | "date_add" => TIMESTAMPADD,
            "timestampdiff" | "datediff" | "date_diff" => TIMESTAMPDIFF,
            _ => return ControlFlow::Continue(()),
        };
        if let FunctionArguments::List(list) = &mut call.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(unit)), _, _] = list.args.as_mut_slice()
            && let Expr::Identifier(written) = unit
        {
            let text = Value::SingleQuotedString(written.value.clone());
            *unit = Expr::Value(text.into());
            let place = call.name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.span);
            let named = place.map_or_else(|| Ident::new(name), |span| Ident::with_span(span, name));
            call.name = ObjectName::from(vec![named]);
        }
        ControlFlow::Continue(())
    }
}
