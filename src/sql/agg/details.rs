//! What a call says besides its function and its arguments.
//!
//! Owns the order of values, what becomes of NULL, and constants. Knows no column. Invariant: they are part of what is computed, so calls
//! that differ in them are never shared.

use std::{fmt::Write, sync::Arc};

/// What a call says besides its function and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallDetails {
    /// The order of its values, for each of its last arguments.
    pub order: Vec<Direction>,
    /// Whether values that are NULL do not count; functions without an order never count them.
    pub ignores_nulls: bool,
    /// A constant.
    pub parameter: Parameter,
}

/// The order of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Direction {
    /// Whether the greatest value comes first.
    pub is_descending: bool,
    /// Whether NULL counts as greater than all values.
    pub is_null_greatest: bool,
}

/// A constant of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parameter {
    /// There is none.
    #[default]
    None,
    /// What stands between texts.
    Separator(Arc<str>),
    /// A part of the values, from 0 to 1: the bits of the double.
    Fraction(u64),
}

impl Parameter {
    /// The separator; nothing if it is none.
    #[must_use]
    pub fn separator(&self) -> &str {
        if let Parameter::Separator(separator) = self { separator } else { "" }
    }

    /// The part of the values; the half if it is none.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        if let Parameter::Fraction(bits) = self { f64::from_bits(*bits) } else { 0.5 }
    }
}

impl CallDetails {
    /// The arguments with these names, and what else is said: durable, as it stands in the formats of stores.
    #[must_use]
    pub fn described(&self, names: &[&str]) -> String {
        let (values, ordered) = names.split_at(names.len() - self.order.len().min(names.len()));
        let mut text = values.join(", ");
        for (at, (name, by)) in ordered.iter().zip(&self.order).enumerate() {
            text += if at == 0 { " order by " } else { ", " };
            text += name;
            text += if by.is_descending { " desc" } else { "" };
            text += if by.is_null_greatest { " null greatest" } else { "" };
        }
        text += if self.ignores_nulls { " ignore nulls" } else { "" };
        let _ = match &self.parameter {
            // a string takes everything
            Parameter::None => Ok(()),
            Parameter::Separator(separator) => write!(text, " separator {separator:?}"),
            Parameter::Fraction(bits) => write!(text, " fraction {:?}", f64::from_bits(*bits)),
        };
        text
    }

    /// The same in SQL: `shown` are the arguments that the query has, without those that values are ordered by, which are `ordered`.
    #[must_use]
    pub fn in_sql(&self, shown: &[String], ordered: &[&str]) -> String {
        let mut text = shown.join(", ");
        for (at, (name, by)) in ordered.iter().zip(&self.order).enumerate() {
            text += if at == 0 { " ORDER BY " } else { ", " };
            text += name;
            text += if by.is_descending { " DESC" } else { "" };
            text += match (by.is_descending, by.is_null_greatest) {
                (false, true) => " NULLS LAST",
                (true, true) => " NULLS FIRST",
                (_, false) => "",
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_says_is_durable() {
        let order = vec![
            Direction { is_descending: true, is_null_greatest: false },
            Direction { is_descending: false, is_null_greatest: true },
        ];
        let parameter = Parameter::Separator("; \"".into());
        let details = CallDetails { order, ignores_nulls: true, parameter };
        let text = "x order by a desc, b null greatest ignore nulls separator \"; \\\"\"";
        assert_eq!(details.described(&["x", "a", "b"]), text);
        assert_eq!(
            details.in_sql(&["x".into(), "', '".into()], &["a", "b"]),
            "x, ', ' ORDER BY a DESC, b NULLS LAST"
        );
        let half =
            CallDetails { parameter: Parameter::Fraction(0.25_f64.to_bits()), ..CallDetails::default() };
        assert_eq!(half.described(&["x"]), "x fraction 0.25");
        assert_eq!(
            CallDetails::default().described(&["a", "b"]),
            "a, b",
            "as it was before there were details"
        );
    }
}
