//! Comparisons, conditions, conversions and parts of values, under Spark's names.
//!
//! Knows no column but its expression.

use super::{Column, ColumnOrLiteral, call, literal};
use crate::sql::parse;
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, Expr, Value, helpers::attached_token::AttachedToken,
};

macro_rules! comparisons {
    ($($(#[doc = $doc:literal])+ $name:ident $op:ident;)*) => {
        impl Column {$(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $name(&self, other: impl ColumnOrLiteral) -> Column {
                self.binary(BinaryOperator::$op, other)
            }
        )*}
    };
}

comparisons! {
    /// Whether it equals a column or a value; NULL if one of them is.
    ///
    /// ```
    /// use tidegate::sql::functions::{col, lit};
    /// assert_eq!(col("word").eq("tea").to_string(), "word = 'tea'");
    /// assert_eq!(col("a").eq(col("b")).to_string(), "a = b");
    /// ```
    eq Eq;
    /// Whether it differs from a column or a value; NULL if one of them is.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("word").neq("").to_string(), "word <> ''");
    /// ```
    neq NotEq;
    /// Whether it is greater.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("price").gt(1.5).to_string(), "price > CAST('1.5' AS DOUBLE)");
    /// ```
    gt Gt;
    /// Whether it is greater or equal.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").geq(3).to_string(), "n >= 3");
    /// ```
    geq GtEq;
    /// Whether it is less.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").lt(-3).to_string(), "n < (-3)");
    /// ```
    lt Lt;
    /// Whether it is less or equal.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").leq(3).to_string(), "n <= 3");
    /// ```
    leq LtEq;
    /// Whether both conditions hold; the same as `&`.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("a").and(col("b").or(col("c"))).to_string(), "a AND (b OR c)");
    /// ```
    and And;
    /// Whether one of two conditions holds; the same as `|`.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("a").or(col("b")).to_string(), "a OR b");
    /// ```
    or Or;
}

impl Column {
    /// Whether it equals a column or a value, where NULL equals NULL.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("a").eq_null_safe(col("b")).to_string(), "a IS NOT DISTINCT FROM b");
    /// ```
    #[must_use]
    pub fn eq_null_safe(&self, other: impl ColumnOrLiteral) -> Column {
        let other = other.into_operand();
        self.then(Expr::IsNotDistinctFrom(self.operand(), other.operand())).with_mistakes([&other])
    }

    /// Whether it is NULL.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("a").is_null().to_string(), "a IS NULL");
    /// ```
    #[must_use]
    pub fn is_null(&self) -> Column {
        self.then(Expr::IsNull(self.operand()))
    }

    /// Whether it has a value.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("a").is_not_null().to_string(), "a IS NOT NULL");
    /// ```
    #[must_use]
    pub fn is_not_null(&self) -> Column {
        self.then(Expr::IsNotNull(self.operand()))
    }

    /// Whether it lies between two values, both included.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").between(1, 9).to_string(), "n BETWEEN 1 AND 9");
    /// ```
    #[must_use]
    pub fn between(&self, low: impl ColumnOrLiteral, high: impl ColumnOrLiteral) -> Column {
        let (low, high) = (low.into_operand(), high.into_operand());
        let (expr, from, to) = (self.operand(), low.operand(), high.operand());
        self.then(Expr::Between { expr, negated: false, low: from, high: to }).with_mistakes([&low, &high])
    }

    /// Whether it is one of these values.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("word").isin(["tea", "sea"]).to_string(), "word IN ('tea', 'sea')");
    /// ```
    #[must_use]
    pub fn isin<T: ColumnOrLiteral>(&self, values: impl IntoIterator<Item = T>) -> Column {
        let values: Vec<Column> = values.into_iter().map(T::into_operand).collect();
        if values.is_empty() {
            return self.then(literal(Value::Boolean(false)));
        }
        let list = values.iter().map(Column::expr).collect();
        self.then(Expr::InList { expr: self.operand(), list, negated: false }).with_mistakes(&values)
    }

    /// Whether it is like a pattern of SQL: `%` stands for any characters, `_` for one.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").like("%!").to_string(), "line LIKE '%!'");
    /// ```
    #[must_use]
    pub fn like(&self, pattern: &str) -> Column {
        let (expr, pattern) = (self.operand(), Box::new(text(pattern)));
        self.then(Expr::Like { negated: false, any: false, expr, pattern, escape_char: None })
    }

    /// Like [`like`](Self::like), whatever the case of letters.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").ilike("tea%").to_string(), "line ILIKE 'tea%'");
    /// ```
    #[must_use]
    pub fn ilike(&self, pattern: &str) -> Column {
        let (expr, pattern) = (self.operand(), Box::new(text(pattern)));
        self.then(Expr::ILike { negated: false, any: false, expr, pattern, escape_char: None })
    }

    /// Whether a regular expression is found in it.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").rlike("^t").to_string(), "regexp_like(line, '^t')");
    /// ```
    #[must_use]
    pub fn rlike(&self, pattern: &str) -> Column {
        self.then(call("regexp_like", [self.expr(), text(pattern)]))
    }

    /// Whether it begins with a text.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").starts_with("to").to_string(), "starts_with(line, 'to')");
    /// ```
    #[must_use]
    pub fn starts_with(&self, with: impl ColumnOrLiteral) -> Column {
        self.with_argument("starts_with", with)
    }

    /// Whether it ends with a text.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").ends_with("!").to_string(), "ends_with(line, '!')");
    /// ```
    #[must_use]
    pub fn ends_with(&self, with: impl ColumnOrLiteral) -> Column {
        self.with_argument("ends_with", with)
    }

    /// Whether a text stands in it.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").contains("be").to_string(), "contains(line, 'be')");
    /// ```
    #[must_use]
    pub fn contains(&self, text: impl ColumnOrLiteral) -> Column {
        self.with_argument("contains", text)
    }

    fn with_argument(&self, name: &str, argument: impl ColumnOrLiteral) -> Column {
        let argument = argument.into_operand();
        self.then(call(name, [self.expr(), argument.expr()])).with_mistakes([&argument])
    }

    /// A part of a text: `length` characters from `position` on, which counts from 1.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").substr(1, 3).to_string(), "substr(line, 1, 3)");
    /// ```
    #[must_use]
    pub fn substr(&self, position: impl ColumnOrLiteral, length: impl ColumnOrLiteral) -> Column {
        let (position, length) = (position.into_operand(), length.into_operand());
        let part = call("substr", [self.expr(), position.expr(), length.expr()]);
        self.then(part).with_mistakes([&position, &length])
    }

    /// Converted to a type, by its name in SQL; a value that cannot be converted makes the record a bad one.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("n").cast("BIGINT").to_string(), "CAST(n AS BIGINT)");
    /// assert!(col("n").cast("BIGINTEGER(").to_string().contains("no type"));
    /// ```
    #[must_use]
    pub fn cast(&self, data_type: &str) -> Column {
        self.converted(CastKind::Cast, data_type)
    }

    /// Like [`cast`](Self::cast), with NULL for what cannot be converted.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("line").try_cast("INT").to_string(), "TRY_CAST(line AS INT)");
    /// ```
    #[must_use]
    pub fn try_cast(&self, data_type: &str) -> Column {
        self.converted(CastKind::TryCast, data_type)
    }

    fn converted(&self, kind: CastKind, data_type: &str) -> Column {
        match parse::type_of(data_type) {
            Ok(of) => {
                let expr = Box::new(self.expr());
                self.then(Expr::Cast { kind, expr, data_type: of, array: false, format: None })
            }
            Err(why) => Column::wrong(format!("`{data_type}` is no type of SQL: {why}")),
        }
    }

    /// A field of a row, by its name.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("address").get_field("city").to_string(), "get_field(address, 'city')");
    /// ```
    #[must_use]
    pub fn get_field(&self, name: &str) -> Column {
        self.then(call("get_field", [self.expr(), text(name)]))
    }

    /// An element of a list, by its position from 0 on, or the value of a key of a map.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("tags").get_item(0).to_string(), "array_element(tags, 0 + 1)");
    /// assert_eq!(col("ages").get_item("ann").to_string(), "array_element(map_extract(ages, 'ann'), 1)");
    /// ```
    #[must_use]
    pub fn get_item(&self, key: impl ColumnOrLiteral) -> Column {
        let key = key.into_operand();
        let is_text =
            matches!(key.expr(), Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
        if is_text {
            let found = self.then(call("map_extract", [self.expr(), key.expr()]));
            return found
                .then(call("array_element", [found.expr(), literal(Value::Number("1".into(), false))]));
        }
        let position = key.clone() + 1;
        self.then(call("array_element", [self.expr(), position.expr()])).with_mistakes([&key])
    }

    /// One more condition of [`when`](super::super::functions::when), and the value where it is the first that holds.
    ///
    /// ```
    /// use tidegate::sql::functions::{col, when};
    /// let size = when(col("n").gt(9), "large").when(col("n").gt(3), "medium").otherwise("small");
    /// assert!(size.to_string().starts_with("CASE WHEN n > 9 THEN 'large' WHEN"));
    /// ```
    #[must_use]
    pub fn when(&self, condition: impl ColumnOrLiteral, value: impl ColumnOrLiteral) -> Column {
        let (condition, value) = (condition.into_operand(), value.into_operand());
        let mut expr = self.expr();
        let Expr::Case { conditions, else_result: None, .. } = &mut expr else {
            return Column::wrong("`when` follows another `when`, before `otherwise`");
        };
        conditions.push(CaseWhen { condition: condition.expr(), result: value.expr() });
        self.then(expr).with_mistakes([&condition, &value])
    }

    /// The value where no condition of [`when`](super::super::functions::when) holds; without it, NULL.
    ///
    /// ```
    /// use tidegate::sql::functions::{col, when};
    /// assert_eq!(when(col("n").gt(9), 1).otherwise(0).to_string(), "CASE WHEN n > 9 THEN 1 ELSE 0 END");
    /// ```
    #[must_use]
    pub fn otherwise(&self, value: impl ColumnOrLiteral) -> Column {
        let value = value.into_operand();
        let mut expr = self.expr();
        let Expr::Case { else_result: otherwise @ None, .. } = &mut expr else {
            return Column::wrong("`otherwise` follows `when`, once");
        };
        *otherwise = Some(Box::new(value.expr()));
        self.then(expr).with_mistakes([&value])
    }

    /// The first condition and its value.
    pub(in crate::sql::frames) fn first_when(condition: &Column, value: &Column) -> Column {
        let conditions = vec![CaseWhen { condition: condition.expr(), result: value.expr() }];
        let expr = Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions,
            else_result: None,
        };
        Column::of(expr).with_mistakes([condition, value])
    }
}

fn text(text: &str) -> Expr {
    literal(Value::SingleQuotedString(text.to_owned()))
}
