//! Walks through the parser's trees.
//!
//! Owns how a visitor is called. Knows no visitor. Invariant: whatever visits, the compiler makes the code that goes through a tree once; the
//! parser's own functions make it anew for each visitor, some 2,000 functions each time.

use datafusion_sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};
use std::ops::ControlFlow;

/// Shows a part of a statement, with all that is in it, to a visitor.
pub fn walk<V: Visitor>(part: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = Keeping { visitor, found: None };
    let _ = part.visit(&mut Walk(&mut keeping));
    keeping.found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// The same with a visitor that changes what it sees.
pub fn walk_mut<V: VisitorMut>(part: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = Keeping { visitor, found: None };
    let _ = part.visit(&mut WalkMut(&mut keeping));
    keeping.found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// Shows each expression of a part, wholes before their parts, until `look` breaks.
pub fn each_expr<B>(part: &impl Visit, look: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    struct Looking<F>(F);

    impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Looking<F> {
        type Break = B;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<B> {
            (self.0)(expr)
        }
    }

    walk(part, &mut Looking(look))
}

/// The visitor of every walk.
struct Walk<'v>(&'v mut dyn Visitor<Break = ()>);

/// That of every walk that changes what it sees.
struct WalkMut<'v>(&'v mut dyn VisitorMut<Break = ()>);

/// A visitor, and what it broke with.
struct Keeping<'v, V, B> {
    visitor: &'v mut V,
    found: Option<B>,
}

impl<V, B> Keeping<'_, V, B> {
    fn keep(&mut self, look: impl FnOnce(&mut V) -> ControlFlow<B>) -> ControlFlow<()> {
        match look(self.visitor) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(found) => {
                self.found = Some(found);
                ControlFlow::Break(())
            }
        }
    }
}

/// Passes on what a trait of the parser is shown.
macro_rules! passing_on {
    ($visitor:ident, $walk:ident, $($method:ident($part:ty)),* $(,)?) => {
        impl<V: $visitor> $visitor for Keeping<'_, V, V::Break> {
            type Break = ();
            $(fn $method(&mut self, part: $part) -> ControlFlow<()> {
                self.keep(|visitor| visitor.$method(part))
            })*
        }

        impl $visitor for $walk<'_> {
            type Break = ();
            $(fn $method(&mut self, part: $part) -> ControlFlow<()> {
                self.0.$method(part)
            })*
        }
    };
}

passing_on!(
    Visitor,
    Walk,
    pre_visit_query(&Query),
    post_visit_query(&Query),
    pre_visit_select(&Select),
    post_visit_select(&Select),
    pre_visit_relation(&ObjectName),
    post_visit_relation(&ObjectName),
    pre_visit_table_factor(&TableFactor),
    post_visit_table_factor(&TableFactor),
    pre_visit_expr(&Expr),
    post_visit_expr(&Expr),
    pre_visit_statement(&Statement),
    post_visit_statement(&Statement),
    pre_visit_value(&ValueWithSpan),
    post_visit_value(&ValueWithSpan),
);
passing_on!(
    VisitorMut,
    WalkMut,
    pre_visit_query(&mut Query),
    post_visit_query(&mut Query),
    pre_visit_select(&mut Select),
    post_visit_select(&mut Select),
    pre_visit_relation(&mut ObjectName),
    post_visit_relation(&mut ObjectName),
    pre_visit_table_factor(&mut TableFactor),
    post_visit_table_factor(&mut TableFactor),
    pre_visit_expr(&mut Expr),
    post_visit_expr(&mut Expr),
    pre_visit_statement(&mut Statement),
    post_visit_statement(&mut Statement),
    pre_visit_value(&mut ValueWithSpan),
    post_visit_value(&mut ValueWithSpan),
);
