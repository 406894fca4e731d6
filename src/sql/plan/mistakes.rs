//! What DataFusion finds wrong with a query, told in words of SQL and at its place.
//!
//! Owns the search for the place: each expression of the query is planned alone over the columns that it can see, innermost first, and the
//! first that fails is the mistake. Knows no stream. Invariants: the text of DataFusion's errors is shown only if nothing better is known,
//! and never the debug form of anything.

mod literals;

pub use literals::check_literals;

use super::{
    optimize::{plan_query, sql_to_rel, with_units},
    place::{name_of, name_of_function, place_of, place_of_query},
    types::type_name,
};
use crate::sql::{
    Span, SqlError,
    catalog::{Catalog, shown_function},
    closest::closest,
    walk::{each_expr, walk},
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{DFSchema, DataFusionError, Result as PlanResult};
use datafusion_expr::{Expr as PlanExpr, ExprSchemable, LogicalPlan, simplify::SimplifyContext};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_sql::{
    planner::PlannerContext,
    sqlparser::ast::{
        BinaryOperator, Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
        JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, Visitor,
        WildcardAdditionalOptions, With, helpers::attached_token::AttachedToken,
    },
};
use std::{ops::ControlFlow, sync::Arc};

/// The mistake of a query that DataFusion refused.
pub fn explain_mistake(catalog: &Catalog, query: &Query, error: &DataFusionError) -> SqlError {
    if let Some(mistake) = super::windows::inner(error) {
        return mistake.clone();
    }
    let search = Search { catalog };
    search
        .query(&with_units(query.clone()), &[])
        .or_else(|| known_mistake(query, error))
        .unwrap_or_else(|| unknown_mistake(query, error))
}

/// The mistake of an expression over these columns; `None` if it is right.
pub fn expr_mistake(catalog: &Catalog, expr: &Expr, schema: &DFSchema) -> Option<SqlError> {
    Search { catalog }.expr(&with_units(expr.clone()), schema)
}

/// An expression over these columns, with types that agree.
///
/// # Errors
/// DataFusion's, as they are.
pub fn plan_expr(catalog: &Catalog, expr: &Expr, schema: &DFSchema) -> PlanResult<(PlanExpr, DataType)> {
    let planned =
        sql_to_rel(catalog).sql_to_expr(with_units(expr.clone()), schema, &mut PlannerContext::new())?;
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    let planned = ExprSimplifier::new(context).coerce(planned, schema)?;
    let data_type = planned.get_type(schema)?;
    Ok((planned, data_type))
}

struct Search<'a> {
    catalog: &'a Catalog,
}

impl Search<'_> {
    /// Parts first, so that what is found is the innermost query that is wrong.
    fn query(&self, query: &Query, outer: &[Cte]) -> Option<SqlError> {
        let mut with = outer.to_vec();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            if let Some(mistake) = self.query(&cte.query, &with) {
                return Some(mistake);
            }
            with.push(cte.clone());
        }
        self.body(&query.body, &with)
    }

    fn body(&self, body: &SetExpr, with: &[Cte]) -> Option<SqlError> {
        match body {
            SetExpr::Select(select) => self.select(select, with),
            SetExpr::Query(query) => self.query(query, with),
            SetExpr::SetOperation { left, right, .. } => self
                .body(left, with)
                .or_else(|| self.body(right, with))
                .or_else(|| self.union(left, right, with)),
            _ => None,
        }
    }

    fn union(&self, left: &SetExpr, right: &SetExpr, with: &[Cte]) -> Option<SqlError> {
        let columns = |body: &SetExpr| Some(self.plan(body.clone(), with).ok()?.schema().fields().clone());
        let (first, second) = (columns(left)?, columns(right)?);
        let span = place_of(right).map(|span| Span { width: "SELECT".len().try_into().unwrap_or(1), ..span });
        if first.len() != second.len() {
            let (first, second) = (first.len(), second.len());
            return Some(
                SqlError::at(span, format!("UNION of {} and {}", columns_text(first), columns_text(second)))
                    .next("let both queries give as many columns"),
            );
        }
        let (a, b) = first.iter().zip(&second).find(|(a, b)| {
            datafusion_expr::type_coercion::binary::type_union_coercion(a.data_type(), b.data_type())
                .is_none()
        })?;
        Some(
            SqlError::at(
                span,
                format!(
                    "UNION of column `{}`, which is {}, and `{}`, which is {}",
                    a.name(),
                    type_name(a.data_type()),
                    b.name(),
                    type_name(b.data_type())
                ),
            )
            .next("convert one of them: CAST(.. AS ..)"),
        )
    }

    fn plan(&self, body: SetExpr, with: &[Cte]) -> PlanResult<LogicalPlan> {
        let cte_tables = with.to_vec();
        let with = With { with_token: AttachedToken::empty(), recursive: false, cte_tables };
        let query = Query {
            with: (!with.cte_tables.is_empty()).then_some(with),
            body: Box::new(body),
            order_by: None,
            limit_clause: None,
            fetch: None,
            locks: Vec::new(),
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators: Vec::new(),
        };
        plan_query(self.catalog, &query)
    }

    fn select(&self, select: &Select, with: &[Cte]) -> Option<SqlError> {
        for table in &select.from {
            if let TableFactor::Derived { subquery, .. } = &table.relation
                && let Some(mistake) = self.query(subquery, with)
            {
                return Some(mistake);
            }
        }
        if let Some(mistake) = self.joins(select, with) {
            return Some(mistake);
        }
        let mut from = select.clone();
        from.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        from.selection = None;
        from.distinct = None;
        from.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
        from.having = None;
        let schema = self.plan(SetExpr::Select(Box::new(from)), with).ok()?.schema().as_ref().clone();
        // Plans of `SELECT *` lose the names of tables only if there is a projection of expressions, which there is not.
        let mut seen = schema.clone();
        let boolean = |expr: &Expr, schema: &DFSchema, clause: &str| self.condition(expr, schema, clause);
        if let Some(mistake) = select.selection.as_ref().and_then(|expr| boolean(expr, &schema, "WHERE")) {
            return Some(mistake);
        }
        for item in &select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                continue;
            };
            if let Some(mistake) = self.expr(expr, &schema) {
                return Some(mistake);
            }
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                seen = self.with_alias(seen, &name_of(alias), expr, &schema);
            }
        }
        if let GroupByExpr::Expressions(exprs, _) = &select.group_by
            && let Some(mistake) = exprs.iter().find_map(|expr| self.expr(expr, &seen))
        {
            return Some(mistake);
        }
        select.having.as_ref().and_then(|expr| boolean(expr, &seen, "HAVING"))
    }

    /// The first condition of a join that is wrong, over the columns of what stands before it.
    fn joins(&self, select: &Select, with: &[Cte]) -> Option<SqlError> {
        for table in &select.from {
            for (at, join) in table.joins.iter().enumerate() {
                if let TableFactor::Derived { subquery, .. } = &join.relation
                    && let Some(mistake) = self.query(subquery, with)
                {
                    return Some(mistake);
                }
                let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) else { continue };
                let mut all = select.clone();
                all.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
                (all.selection, all.distinct, all.having) = (None, None, None);
                all.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
                let mut table = table.clone();
                table.joins.truncate(at + 1);
                for join in &mut table.joins {
                    join.join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
                }
                all.from = vec![table];
                let schema = self.plan(SetExpr::Select(Box::new(all)), with).ok()?.schema().as_ref().clone();
                if let Some(mistake) = self.condition(condition, &schema, "ON") {
                    return Some(mistake);
                }
            }
        }
        None
    }

    /// The columns with one more that has a name given by `AS`, which GROUP BY and HAVING may use.
    fn with_alias(&self, seen: DFSchema, alias: &str, expr: &Expr, schema: &DFSchema) -> DFSchema {
        if seen.has_column_with_unqualified_name(alias) {
            return seen;
        }
        let Ok((_, data_type)) = plan_expr(self.catalog, expr, schema) else { return seen };
        let field = Field::new(alias, data_type, true);
        match DFSchema::try_from(Schema::new(vec![field])) {
            Ok(more) => seen.join(&more).unwrap_or(seen),
            Err(_) => seen,
        }
    }

    fn condition(&self, expr: &Expr, schema: &DFSchema, clause: &str) -> Option<SqlError> {
        if let Some(mistake) = self.expr(expr, schema) {
            return Some(mistake);
        }
        let (_, data_type) = plan_expr(self.catalog, expr, schema).ok()?;
        (!matches!(data_type, DataType::Boolean | DataType::Null)).then(|| {
            SqlError::at(
                place_of(expr),
                format!("{clause} needs a condition, but this is {}", type_name(&data_type)),
            )
            .next("compare it with something")
        })
    }

    fn expr(&self, expr: &Expr, schema: &DFSchema) -> Option<SqlError> {
        let mut visitor = Innermost { search: self, schema, depth: 0 };
        match walk(expr, &mut visitor) {
            ControlFlow::Break(mistake) => Some(*mistake),
            ControlFlow::Continue(()) => None,
        }
    }

    fn type_of(&self, expr: &Expr, schema: &DFSchema) -> String {
        plan_expr(self.catalog, expr, schema)
            .map_or_else(|_| "?".to_owned(), |(_, data_type)| type_name(&data_type))
    }

    /// What is wrong with an expression whose parts are right.
    fn describe(&self, expr: &Expr, schema: &DFSchema, error: &DataFusionError) -> SqlError {
        let span = place_of(expr);
        match expr {
            Expr::Identifier(ident) => column_mistake(span, None, &name_of(ident), schema),
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [table, column] => column_mistake(span, Some(&name_of(table)), &name_of(column), schema),
                _ => SqlError::at(span, format!("there is no column {}", quoted(&expr.to_string()))),
            },
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (self.type_of(left, schema), self.type_of(right, schema));
                binary_mistake(span, op, &left, &right)
            }
            Expr::Function(function) => self.function_mistake(function, schema, error),
            Expr::Cast { expr, data_type, .. } => {
                let from = self.type_of(expr, schema);
                SqlError::at(span, format!("{from} cannot be converted to {data_type}"))
            }
            Expr::UnaryOp { op, expr } => {
                SqlError::at(span, format!("`{op}` does not take {}", self.type_of(expr, schema)))
            }
            Expr::Between { expr, low, high, .. } => {
                let types = [expr, low, high].map(|expr| self.type_of(expr, schema));
                SqlError::at(
                    span,
                    format!("{} cannot be compared with {} and {}", types[0], types[1], types[2]),
                )
                .next("convert them to one type: CAST(.. AS ..)")
            }
            Expr::InList { expr, .. } => SqlError::at(
                span,
                format!("not everything in the list can be compared with {}", self.type_of(expr, schema)),
            )
            .next("convert them to one type: CAST(.. AS ..)"),
            Expr::Substring { expr: text, .. } => {
                let mistake =
                    SqlError::at(span, format!("`substr` does not take ({})", self.type_of(text, schema)));
                mistake.next("it is called as substr(str, start_pos[, length])")
            }
            Expr::Case { .. } => SqlError::at(span, "the answers of CASE have types that do not agree")
                .next("convert them to one type: CAST(.. AS ..)"),
            Expr::Like { expr, .. } | Expr::ILike { expr, .. } | Expr::SimilarTo { expr, .. } => {
                SqlError::at(span, format!("LIKE takes STRING, but this is {}", self.type_of(expr, schema)))
                    .next("convert it: CAST(.. AS STRING)")
            }
            _ => SqlError::at(span, plain_text(error)),
        }
    }

    fn function_mistake(&self, function: &Function, schema: &DFSchema, error: &DataFusionError) -> SqlError {
        let name = name_of_function(&function.name);
        let span = place_of(&function.name);
        let arguments: Vec<_> = match &function.args {
            FunctionArguments::List(list) => {
                list.args.iter().map(|argument| self.argument(argument, schema)).collect()
            }
            _ => Vec::new(),
        };
        let shown = shown_function(&name);
        let message = if arguments.is_empty() {
            format!("`{shown}` needs arguments")
        } else {
            format!("`{shown}` does not take ({})", arguments.join(", "))
        };
        let mistake = SqlError::at(span, message);
        if let Some(syntax) = self.catalog.functions().syntax(&name) {
            return mistake.next(format!("it is called as {syntax}"));
        }
        let text = plain_text(error);
        // That of a function of our own is inside of DataFusion's.
        let why = text.rsplit_once("Error during planning: ").map_or(text.as_str(), |(_, why)| why);
        match why.split_once(" is called as ") {
            Some((_, forms)) => mistake.next(format!("it is called as {forms}")),
            None => mistake.because(why),
        }
    }

    fn argument(&self, argument: &FunctionArg, schema: &DFSchema) -> String {
        let expr = match argument {
            FunctionArg::Named { arg, .. }
            | FunctionArg::ExprNamed { arg, .. }
            | FunctionArg::Unnamed(arg) => arg,
        };
        match expr {
            FunctionArgExpr::Expr(expr) => self.type_of(expr, schema),
            _ => "*".to_owned(),
        }
    }
}

/// Plans each expression alone, parts before wholes, and stops at the first that fails.
struct Innermost<'a> {
    search: &'a Search<'a>,
    schema: &'a DFSchema,
    depth: usize,
}

impl Visitor for Innermost<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match plan_expr(self.search.catalog, expr, self.schema) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(self.search.describe(expr, self.schema, &error))),
        }
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

fn columns_text(count: usize) -> String {
    if count == 1 { "1 column".to_owned() } else { format!("{count} columns") }
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn binary_mistake(span: Option<Span>, op: &BinaryOperator, left: &str, right: &str) -> SqlError {
    let compares = matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    );
    let logical = matches!(op, BinaryOperator::And | BinaryOperator::Or);
    if compares {
        SqlError::at(span, format!("{left} cannot be compared with {right}"))
            .next("convert one of them: CAST(.. AS ..)")
    } else if logical {
        SqlError::at(span, format!("{op} takes conditions, but these are {left} and {right}"))
    } else {
        SqlError::at(span, format!("`{op}` does not take {left} and {right}"))
            .next("convert one of them: CAST(.. AS ..)")
    }
}

fn column_mistake(span: Option<Span>, table: Option<&str>, column: &str, schema: &DFSchema) -> SqlError {
    let in_table = |qualifier: Option<&datafusion_common::TableReference>| {
        table.is_none_or(|table| qualifier.is_some_and(|qualifier| qualifier.table() == table))
    };
    let tables: std::collections::BTreeSet<_> = schema
        .iter()
        .filter_map(|(table, _)| table)
        .map(|t| t.table().to_owned())
        .filter(|t| !t.starts_with('#'))
        .collect();
    if let Some(table) = table
        && !tables.contains(table)
    {
        let error = SqlError::at(span, format!("there is no table `{table}` in this FROM"));
        let tables: Vec<_> = tables.iter().map(|table| quoted(table)).collect();
        return error.next(format!("its columns are those of {}", tables.join(", ")));
    }
    let homes: Vec<_> = schema
        .iter()
        .filter(|(qualifier, field)| in_table(*qualifier) && field.name() == column)
        .filter_map(|(qualifier, _)| qualifier.map(|table| format!("`{}.{column}`", table.table())))
        .collect();
    if homes.len() > 1 {
        return SqlError::at(span, format!("column `{column}` is in more than one table"))
            .next(format!("write {}", homes.join(" or ")));
    }
    let names: Vec<&str> = schema
        .iter()
        .filter(|(qualifier, _)| in_table(*qualifier))
        .map(|(_, field)| field.name().as_str())
        .collect();
    let of = match (table, tables.iter().next()) {
        (Some(table), _) => format!(" in `{table}`"),
        (None, Some(only)) if tables.len() == 1 => format!(" in `{only}`"),
        _ => String::new(),
    };
    let error = SqlError::at(span, format!("there is no column `{column}`{of}"));
    if let Some(close) = closest(column, names.iter().copied()) {
        return error.next(format!("did you mean `{close}`?"));
    }
    let names: Vec<_> = names.into_iter().map(quoted).collect();
    error.next(format!("there are: {}", names.join(", ")))
}

/// Mistakes of a whole SELECT, which DataFusion tells by its text only.
fn known_mistake(query: &Query, error: &DataFusionError) -> Option<SqlError> {
    let text = error.strip_backtrace();
    let at_diagnostic = error.diagnostic().and_then(|diagnostic| diagnostic.span).and_then(Span::of);
    if text.contains("must appear in the GROUP BY clause")
        || text.contains("could not be resolved from available columns")
    {
        let column = text.split('"').nth(1).unwrap_or_default();
        let column = column.rsplit('.').next().unwrap_or_default();
        let span = at_diagnostic.or_else(|| find_column(query, column)).or_else(|| place_of_query(query));
        return Some(
            SqlError::at(span, format!("column `{column}` is not in GROUP BY"))
                .because("a group has many rows, and each may have another value of it")
                .next(format!("add it to GROUP BY, or take one value of the group: max({column})")),
        );
    }
    if text.contains("require unique expression names") {
        let name = text.split('"').nth(1).unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default();
        let span = find_column(query, name).or_else(|| place_of_query(query));
        return Some(
            SqlError::at(span, format!("two columns of this query are called `{name}`"))
                .next("give one of them another name: AS .."),
        );
    }
    None
}

/// The last place in a query where a column of this name stands.
fn find_column(query: &Query, name: &str) -> Option<Span> {
    let mut found = None;
    let _: ControlFlow<()> = each_expr(query, |expr| {
        let last = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last(),
            _ => None,
        };
        if last.is_some_and(|ident| name_of(ident) == name) {
            found = found.or(place_of(expr));
        }
        ControlFlow::Continue(())
    });
    found
}

fn unknown_mistake(query: &Query, error: &DataFusionError) -> SqlError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).and_then(Span::of);
    SqlError::at(span.or_else(|| place_of_query(query)), plain_text(error))
}

/// The first sentence of an error, without the words of its layers.
pub fn plain_text(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text) => text.clone(),
        other => other.strip_backtrace(),
    };
    let text = text.lines().next().unwrap_or_default().trim().trim_end_matches('.').to_owned();
    if text.contains(" { ") || text.is_empty() {
        return "this cannot be computed".to_owned();
    }
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text,
    }
}
