//! Several DataFrames as one.
//!
//! Owns joins, unions and the names of DataFrames. Knows no operator. Invariant: both are of one session.

use super::{DataFrame, tree};
use crate::{
    error::Result,
    sql::frames::{
        column::{Column, ident},
        mistake::{At, wrong},
        tree::Parts,
    },
};
use datafusion_sql::sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, ObjectName, Query, SelectItem, SetOperator,
};
use std::{panic::Location, str::FromStr, sync::Arc};

/// Which rows a join gives; each has Spark's names, such as `left_outer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinType {
    /// Pairs of rows.
    Inner,
    /// Pairs, and rows of the left side without a partner.
    LeftOuter,
    /// Pairs, and rows of the right side without a partner.
    RightOuter,
    /// Pairs, and rows of both sides without a partner.
    FullOuter,
    /// Rows of the left side that have a partner.
    LeftSemi,
    /// Rows of the left side that have none.
    LeftAnti,
}

impl FromStr for JoinType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().replace('_', "").as_str() {
            "inner" => Ok(JoinType::Inner),
            "left" | "leftouter" => Ok(JoinType::LeftOuter),
            "right" | "rightouter" => Ok(JoinType::RightOuter),
            "outer" | "full" | "fullouter" => Ok(JoinType::FullOuter),
            "semi" | "leftsemi" => Ok(JoinType::LeftSemi),
            "anti" | "leftanti" => Ok(JoinType::LeftAnti),
            _ => Err(format!("there is no join `{text}`")),
        }
    }
}

impl JoinType {
    fn operator(self, constraint: JoinConstraint) -> JoinOperator {
        match self {
            JoinType::Inner => JoinOperator::Inner(constraint),
            JoinType::LeftOuter => JoinOperator::LeftOuter(constraint),
            JoinType::RightOuter => JoinOperator::RightOuter(constraint),
            JoinType::FullOuter => JoinOperator::FullOuter(constraint),
            JoinType::LeftSemi => JoinOperator::LeftSemi(constraint),
            JoinType::LeftAnti => JoinOperator::LeftAnti(constraint),
        }
    }
}

impl DataFrame {
    /// The same rows under a name, so that its columns can be told from others: `a.id`.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::col};
    /// # let spark = StreamSession::builder("frame-alias").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.alias("a")?.select([col("a.line")])?.columns(), ["line"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn alias(&self, name: &str) -> Result<DataFrame> {
        let at = Location::caller();
        self.check(at)?;
        DataFrame::reading(&self.session, self.relation(Some(name)), at)
    }

    /// Pairs of rows for which a condition holds. `how` is `inner`, `left_outer`, `right_outer`, `full_outer`, `left_semi` or `left_anti`.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn join(&self, other: &DataFrame, on: Column, how: &str) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_columns([&on], at)?;
        self.joined(other, how, JoinConstraint::On(on.into_expr()), at)
    }

    /// Pairs of rows that have the same values in these columns, which are there once.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn join_using<'s>(
        &self,
        other: &DataFrame,
        columns: impl IntoIterator<Item = &'s str>,
        how: &str,
    ) -> Result<DataFrame> {
        let columns = columns.into_iter().map(|name| ObjectName::from(vec![ident(name)])).collect();
        let at = Location::caller();
        self.check_session(other, at)?;
        let (left, right) = (self.told_apart(other, "#left", at)?, other.told_apart(self, "#right", at)?);
        left.joined(&right, how, JoinConstraint::Using(columns), at)
    }

    fn joined(&self, other: &DataFrame, how: &str, on: JoinConstraint, at: At) -> Result<DataFrame> {
        let next = "choose inner, left_outer, right_outer, full_outer, left_semi or left_anti";
        let how: JoinType = how.parse().map_err(|what: String| wrong(at, what, next))?;
        self.beside(other, how.operator(on), at)
    }

    fn beside(&self, other: &DataFrame, join_operator: JoinOperator, at: At) -> Result<DataFrame> {
        self.check_session(other, at)?;
        self.check_names(other, at)?;
        let join = Join { relation: other.relation(None), global: false, join_operator };
        let mut from = match (&self.filter, &self.whole) {
            (None, None) => self.from.clone(),
            _ => tree::alone(self.relation(None)),
        };
        from.joins.push(join);
        DataFrame::planned(&self.session, from, None, at)
    }

    /// That the columns of both can be told apart: by the names of the DataFrames, if not by their own.
    fn check_names(&self, other: &DataFrame, at: At) -> Result {
        let there: Vec<_> = self.schema.iter().map(|(relation, field)| (relation, field.name())).collect();
        let same = other.schema.iter().find(|(relation, field)| there.contains(&(*relation, field.name())));
        let Some((_, field)) = same else { return Ok(()) };
        let what = format!("both sides of the join have a column `{}`", field.name());
        Err(wrong(at, what, "give both a name before, with `alias(..)`, and say which is meant: a.id"))
    }

    /// It under a name that no program has, unless it has one: `join_using` names each column once.
    fn told_apart(&self, other: &DataFrame, name: &str, at: At) -> Result<DataFrame> {
        match self.check_names(other, at) {
            Ok(()) => Ok(self.clone()),
            Err(_) => DataFrame::reading(&self.session, self.relation(Some(name)), at),
        }
    }

    fn check_session(&self, other: &DataFrame, at: At) -> Result {
        self.check(at)?;
        other.check(at)?;
        if Arc::ptr_eq(&self.session.0, &other.session.0) {
            return Ok(());
        }
        Err(wrong(at, "these DataFrames are of two sessions", "make both with one session"))
    }

    /// The rows of both; columns are matched by position. Rows that are equal stay: see [`distinct`](Self::distinct).
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-union").get_or_create()?;
    /// # spark.sql("CREATE TABLE a (x INT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
    /// #     CREATE TABLE b (y INT) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json')")?;
    /// assert_eq!(spark.table("a")?.union(&spark.table("b")?)?.columns(), ["x"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn union(&self, other: &DataFrame) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_session(other, at)?;
        self.then(tree::union_all(self.query(), other.query()), at)
    }

    /// The rows of both; columns are matched by name.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-union-by-name").get_or_create()?;
    /// # spark.sql("CREATE TABLE a (x INT, y INT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
    /// #     CREATE TABLE b (y INT, x INT) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json')")?;
    /// assert_eq!(spark.table("a")?.union_by_name(&spark.table("b")?)?.columns(), ["x", "y"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select), and if one of them has a column that the other one has not.
    #[track_caller]
    pub fn union_by_name(&self, other: &DataFrame) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_session(other, at)?;
        let names = self.columns();
        names.iter().try_for_each(|name| other.check_name(name, at))?;
        other.columns().iter().try_for_each(|name| self.check_name(name, at))?;
        let column = |name: &String| SelectItem::UnnamedExpr(Expr::Identifier(ident(name)));
        let columns = names.iter().map(column).collect();
        let ordered = Parts { columns, ..other.parts() }.query();
        self.then(tree::union_all(self.query(), ordered), at)
    }

    /// The rows of this one that are also rows of the other one, each once.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn intersect(&self, other: &DataFrame) -> Result<DataFrame> {
        self.compared(other, SetOperator::Intersect, Location::caller())
    }

    /// The rows of this one that are no rows of the other one, each once.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn except(&self, other: &DataFrame) -> Result<DataFrame> {
        self.compared(other, SetOperator::Except, Location::caller())
    }

    fn compared(&self, other: &DataFrame, op: SetOperator, at: At) -> Result<DataFrame> {
        self.check_session(other, at)?;
        let query: Query = tree::compared(self.query(), op, other.query());
        self.then(query, at)
    }
}
