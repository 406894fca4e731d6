//! Operators of Rust over columns: `+ - * / %` compute, `& | !` combine conditions.
//!
//! Knows no column but its expression. Invariant: what was put together first is computed first, as in Rust.

use super::{Column, ColumnOrLiteral};
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// In parentheses, unless it needs none.
fn nested(expr: Expr) -> Box<Expr> {
    let is_simple = !matches!(
        expr,
        Expr::BinaryOp { .. }
            | Expr::UnaryOp { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::InList { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
    );
    Box::new(if is_simple { expr } else { Expr::Nested(Box::new(expr)) })
}

/// How strongly an operator binds its operands, of those that are used here.
fn strength(op: &BinaryOperator) -> u8 {
    match op {
        BinaryOperator::Or => 0,
        BinaryOperator::And => 1,
        BinaryOperator::Plus | BinaryOperator::Minus => 3,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => 4,
        _ => 2,
    }
}

/// In parentheses, unless it binds more strongly than the operator beside it, which is all that is read from the text of it.
fn operand(expr: Expr, beside: &BinaryOperator) -> Box<Expr> {
    match &expr {
        Expr::BinaryOp { op, .. } if strength(op) > strength(beside) => Box::new(expr),
        _ => nested(expr),
    }
}

impl Column {
    pub(super) fn binary(&self, op: BinaryOperator, other: impl ColumnOrLiteral) -> Column {
        let other = other.into_operand();
        let left = operand(self.expr(), &op);
        let right = operand(other.expr(), &op);
        self.then(Expr::BinaryOp { left, op, right }).with_mistakes([&other])
    }

    pub(super) fn operand(&self) -> Box<Expr> {
        nested(self.expr())
    }
}

macro_rules! binary {
    ($($trait:ident $method:ident $op:ident),*) => {$(
        impl<T: ColumnOrLiteral> std::ops::$trait<T> for Column {
            type Output = Column;
            fn $method(self, other: T) -> Column {
                self.binary(BinaryOperator::$op, other)
            }
        }
    )*};
}
binary!(
    Add add Plus,
    Sub sub Minus,
    Mul mul Multiply,
    Div div Divide,
    Rem rem Modulo,
    BitAnd bitand And,
    BitOr bitor Or
);

impl std::ops::Neg for Column {
    type Output = Column;
    fn neg(self) -> Column {
        let expr = self.operand();
        self.then(Expr::UnaryOp { op: UnaryOperator::Minus, expr })
    }
}

impl std::ops::Not for Column {
    type Output = Column;
    fn not(self) -> Column {
        let expr = self.operand();
        self.then(Expr::UnaryOp { op: UnaryOperator::Not, expr })
    }
}
