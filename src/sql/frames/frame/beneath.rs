//! Columns that a selection has left out, for a condition or an order that names them, as in Spark.
//!
//! Owns what is beneath a selection. Knows no operator. Invariants: a name means a column of the selection if that has one; what the selection
//! has left out is not in the result; only a selection itself knows what is beneath it, not what was made of it.

use super::{At, DataFrame, tree};
use crate::{
    error::Result,
    sql::{
        frames::{column::ident, tree::Parts},
        walk::each_expr,
    },
};
use datafusion_sql::sqlparser::ast::{Expr, SelectItem};
use std::{ops::ControlFlow, sync::Arc};

/// What a selection was made of.
#[derive(Clone)]
pub struct Beneath {
    frame: Arc<DataFrame>,
    selected: Vec<SelectItem>,
}

impl DataFrame {
    /// The rows of a query over this DataFrame, which it makes of these columns.
    pub(super) fn selected(&self, columns: Vec<SelectItem>, at: At) -> Result<DataFrame> {
        let mut selected = self.then(Parts { columns: columns.clone(), ..self.parts() }.query(), at)?;
        // What is below two selections is as far away for Spark.
        let frame = Arc::new(DataFrame { beneath: None, ..self.clone() });
        selected.beneath = Some(Beneath { frame, selected: columns });
        Ok(selected)
    }

    /// What `make` gives of this DataFrame, or, if that has a mistake, of the same with the columns that these expressions name and the selection
    /// has left out.
    pub(super) fn with_left_out(
        &self,
        exprs: &[&Expr],
        at: At,
        make: impl Fn(&DataFrame) -> Result<DataFrame>,
    ) -> Result<DataFrame> {
        let mistake = match make(self) {
            Ok(made) => return Ok(made),
            Err(mistake) => mistake,
        };
        let Some(Beneath { frame, selected }) = &self.beneath else { return Err(mistake) };
        let left_out = self.left_out(exprs, frame);
        if left_out.is_empty() {
            return Err(mistake);
        }
        let columns = selected.iter().cloned().chain(left_out).collect();
        let wider = frame.then(Parts { columns, ..frame.parts() }.query(), at);
        let Ok(made) = wider.and_then(|wider| make(&wider)) else { return Err(mistake) };
        let own = self.items().into_iter().map(|(_, item)| item).collect();
        made.then(Parts { columns: own, ..made.parts() }.query(), at).map_err(|_| mistake)
    }

    /// The columns of `beneath` that expressions name, and this DataFrame has not.
    fn left_out(&self, exprs: &[&Expr], beneath: &DataFrame) -> Vec<SelectItem> {
        let has =
            |frame: &DataFrame, name: &str| frame.schema.fields().iter().any(|field| field.name() == name);
        let mut names: Vec<String> = vec![];
        for expr in exprs {
            let _ = each_expr::<()>(*expr, |expr| {
                let name = match expr {
                    Expr::Identifier(name) => Some(name),
                    Expr::CompoundIdentifier(parts) => parts.first(),
                    _ => None,
                };
                if let Some(name) = name
                    && !has(self, &name.value)
                    && has(beneath, &name.value)
                    && !names.contains(&name.value)
                {
                    names.push(name.value.clone());
                }
                ControlFlow::Continue(())
            });
        }
        names.iter().map(|name| SelectItem::UnnamedExpr(Expr::Identifier(ident(name)))).collect()
    }
}

/// The query in an order.
pub(super) fn ordered(frame: &DataFrame, by: Vec<datafusion_sql::sqlparser::ast::OrderByExpr>) -> DataFrame {
    DataFrame { whole: Some(tree::ordered(frame.query(), by)), beneath: None, ..frame.clone() }
}
