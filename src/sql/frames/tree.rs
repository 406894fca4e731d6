//! Parts of a query that a DataFrame is made of.
//!
//! Owns how a relation, its rows and its columns become a query. Knows no session and no name of a table. Invariant: what is built here says
//! no place in a text, so that mistakes are told at the line of the program.

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, LimitClause, ObjectName, OrderBy, OrderByExpr, OrderByKind, Query,
    Select, SelectFlavor, SelectItem, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableWithJoins, Value, WildcardAdditionalOptions, helpers::attached_token::AttachedToken,
};

/// The rows of a table or view.
pub fn table(name: &str) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('`', name)]),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// The rows of a query, under a name if there is one.
pub fn derived(query: Query, alias: Option<&str>) -> TableFactor {
    let alias = alias.map(|name| TableAlias {
        explicit: true,
        name: Ident::with_quote('`', name),
        columns: vec![],
        at: None,
    });
    TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None }
}

/// `*`.
pub fn all() -> SelectItem {
    SelectItem::Wildcard(WildcardAdditionalOptions::default())
}

/// A relation by itself.
pub fn alone(relation: TableFactor) -> TableWithJoins {
    TableWithJoins { relation, joins: vec![] }
}

/// A query of these columns.
pub struct Parts {
    pub from: TableWithJoins,
    pub filter: Option<Expr>,
    pub columns: Vec<SelectItem>,
    pub is_distinct: bool,
    pub group_by: Vec<Expr>,
}

impl Parts {
    /// All columns of the rows for which the filter holds.
    pub fn of(from: TableWithJoins, filter: Option<Expr>) -> Self {
        Parts { from, filter, columns: vec![all()], is_distinct: false, group_by: vec![] }
    }

    /// As a query.
    pub fn query(self) -> Query {
        let select = Select {
            select_token: AttachedToken::empty(),
            optimizer_hints: vec![],
            distinct: self.is_distinct.then_some(Distinct::Distinct),
            select_modifiers: None,
            top: None,
            top_before_distinct: false,
            projection: self.columns,
            exclude: None,
            into: None,
            from: vec![self.from],
            lateral_views: vec![],
            prewhere: None,
            selection: self.filter,
            connect_by: vec![],
            group_by: GroupByExpr::Expressions(self.group_by, vec![]),
            cluster_by: vec![],
            distribute_by: vec![],
            sort_by: vec![],
            having: None,
            named_window: vec![],
            qualify: None,
            window_before_qualify: false,
            value_table_mode: None,
            flavor: SelectFlavor::Standard,
        };
        query(SetExpr::Select(Box::new(select)))
    }
}

fn query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
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

/// The rows of both queries.
pub fn union_all(left: Query, right: Query) -> Query {
    query(SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(SetExpr::Query(Box::new(left))),
        right: Box::new(SetExpr::Query(Box::new(right))),
    })
}

/// The rows of one query that are, or are not, rows of another one.
pub fn compared(left: Query, op: SetOperator, right: Query) -> Query {
    query(SetExpr::SetOperation {
        op,
        set_quantifier: SetQuantifier::None,
        left: Box::new(SetExpr::Query(Box::new(left))),
        right: Box::new(SetExpr::Query(Box::new(right))),
    })
}

/// In this order.
pub fn ordered(mut query: Query, by: Vec<OrderByExpr>) -> Query {
    query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(by), interpolate: None });
    query
}

/// The first rows.
pub fn limited(mut query: Query, rows: u64) -> Query {
    let limit = Some(Expr::Value(Value::Number(rows.to_string(), false).into()));
    query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] });
    query
}
