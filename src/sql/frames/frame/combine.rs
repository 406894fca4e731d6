//! Several DataFrames as one.
//!
//! Owns joins, unions and the names of DataFrames. Knows no operator. Invariant: both are of one session.

use super::{DataFrame, tree};
use crate::{
    error::Result,
    sql::frames::{
        column::{Column, call, ident},
        mistake::{At, wrong},
        tree::Parts,
    },
};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, ObjectName, Query, SelectItem, SetOperator,
};
use std::{panic::Location, str::FromStr, sync::Arc};

/// What the sides of a join are called where they have no name.
const LEFT: &str = "#left";
const RIGHT: &str = "#right";

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

    /// Whether rows have the columns of the right side.
    fn has_right_columns(self) -> bool {
        !matches!(self, JoinType::LeftSemi | JoinType::LeftAnti)
    }
}

fn join_type(text: &str, at: At) -> Result<JoinType> {
    let next = "choose inner, left_outer, right_outer, full_outer, left_semi or left_anti";
    text.parse().map_err(|what: String| wrong(at, what, next))
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
        Ok(DataFrame::reading(&self.session, self.relation(Some(name)), at)?.holding(self))
    }

    /// Pairs of rows for which a condition holds. `how` is `inner`, `left_outer`, `right_outer`, `full_outer`, `left_semi` or `left_anti`.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn join(&self, other: &DataFrame, on: Column, how: &str) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_columns([&on], at)?;
        self.beside(other, join_type(how, at)?.operator(JoinConstraint::On(on.into_expr())), at)
    }

    /// Pairs of rows that have the same values in these columns, which are there once and come first: also of a row without a partner, on
    /// whichever side it is.
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
        let at = Location::caller();
        self.check_session(other, at)?;
        let names: Vec<&str> = columns.into_iter().collect();
        let how = join_type(how, at)?;
        if names.is_empty() {
            return Err(wrong(at, "a join by no columns", "say which columns are equal"));
        }
        for name in &names {
            self.check_name(name, at)?;
            other.check_name(name, at)?;
        }
        let is_of_left = !matches!(how, JoinType::RightOuter | JoinType::FullOuter);
        let have_names = self.has_names() && other.has_names() && other.from.joins.is_empty();
        if is_of_left && have_names && self.check_names(other, at).is_ok() {
            self.joined_with_names(other, &names, how, at)
        } else {
            self.joined_by(other, &names, how, at)
        }
    }

    /// Whether each of its columns has the name of a DataFrame or table that a join leaves as it is.
    fn has_names(&self) -> bool {
        let all_have_one = self.schema.iter().all(|(relation, _)| relation.is_some());
        all_have_one && self.filter.is_none() && self.whole.is_none()
    }

    /// Columns stay known by the names of both sides: `a.x`.
    fn joined_with_names(
        &self,
        other: &DataFrame,
        names: &[&str],
        how: JoinType,
        at: At,
    ) -> Result<DataFrame> {
        let using = names.iter().map(|name| ObjectName::from(vec![ident(name)])).collect();
        let joined = self.beside(other, how.operator(JoinConstraint::Using(using)), at)?;
        let is_key = |(name, _): &(String, SelectItem)| names.contains(&name.as_str());
        let (keys, of_left): (Vec<_>, Vec<_>) = self.items().into_iter().partition(is_key);
        let mut of_right: Vec<_> = other.items().into_iter().filter(|item| !is_key(item)).collect();
        if !how.has_right_columns() {
            of_right.clear();
        }
        let key = |name: &&str| keys.iter().find(|(of, _)| of == name).map(|(_, item)| item.clone());
        let others = of_left.into_iter().chain(of_right).map(|(_, item)| item);
        let columns = names.iter().filter_map(key).chain(others).collect();
        let parts = Parts { columns, ..joined.parts() };
        Ok(DataFrame::planned(&self.session, parts, at)?.holding(&joined))
    }

    /// The columns of both sides have new names; where a row may have no partner on the left, its values are those of the right side.
    fn joined_by(&self, other: &DataFrame, names: &[&str], how: JoinType, at: At) -> Result<DataFrame> {
        let named = |frame: &DataFrame, name: &str| -> Result<DataFrame> {
            Ok(DataFrame::reading(&frame.session, frame.relation(Some(name)), at)?.holding(frame))
        };
        let of = |side: &str, name: &str| Expr::CompoundIdentifier(vec![ident(side), ident(name)]);
        let (left, right) = (named(self, LEFT)?, named(other, RIGHT)?);
        let equal = names.iter().map(|name| Expr::BinaryOp {
            left: Box::new(of(LEFT, name)),
            op: BinaryOperator::Eq,
            right: Box::new(of(RIGHT, name)),
        });
        let both = |a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) };
        let on = equal.reduce(both).map_or(JoinConstraint::None, JoinConstraint::On);
        let joined = left.beside(&right, how.operator(on), at)?;
        let mut items = vec![];
        for name in names {
            let expr = match how {
                JoinType::RightOuter => of(RIGHT, name),
                JoinType::FullOuter => call("coalesce", [of(LEFT, name), of(RIGHT, name)]),
                _ => of(LEFT, name),
            };
            items.push(SelectItem::ExprWithAlias { expr, alias: ident(name) });
        }
        let sides = [(LEFT, self), (RIGHT, other)];
        for (side, frame) in sides.into_iter().take(if how.has_right_columns() { 2 } else { 1 }) {
            let others = frame.columns().into_iter().filter(|name| !names.contains(&name.as_str()));
            items.extend(others.map(|name| SelectItem::UnnamedExpr(of(side, &name))));
        }
        joined.then(Parts { columns: items, ..joined.parts() }.query(), at)
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
        Ok(DataFrame::planned(&self.session, Parts::of(from, None), at)?.holding(self).holding(other))
    }

    /// That the columns of both can be told apart: by the names of the DataFrames, if not by their own.
    fn check_names(&self, other: &DataFrame, at: At) -> Result {
        let there: Vec<_> = self.schema.iter().map(|(relation, field)| (relation, field.name())).collect();
        let same = other.schema.iter().find(|(relation, field)| there.contains(&(*relation, field.name())));
        let Some((_, field)) = same else { return Ok(()) };
        let what = format!("both sides of the join have a column `{}`", field.name());
        Err(wrong(at, what, "give both a name before, with `alias(..)`, and say which is meant: a.id"))
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
        Ok(self.then(tree::union_all(self.query(), other.query()), at)?.holding(other))
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
        Ok(self.then(tree::union_all(self.query(), ordered), at)?.holding(other))
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
        Ok(self.then(query, at)?.holding(other))
    }
}
