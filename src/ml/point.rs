//! Vectors and labelled points as text, as Spark writes them: `[1.0,2.0]` and `(0.5,[1.0,2.0])`.
//!
//! Knows no model. Invariant: an error names the part that does not parse.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// An example: a label, and the features it was observed with.
///
/// ```
/// use tidegate::ml::LabeledPoint;
/// let point: LabeledPoint = "(0.5,[1.0,-2e3])".parse()?;
/// assert_eq!(point, LabeledPoint { label: 0.5, features: vec![1.0, -2000.0] });
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabeledPoint {
    /// What is to be predicted; 0 or 1 for logistic regression.
    pub label: f64,
    /// What it is predicted from.
    pub features: Vec<f64>,
}

impl FromStr for LabeledPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')'));
        let parts = inner.and_then(|t| t.split_once(','));
        let (label, features) =
            parts.ok_or_else(|| format!("`{text}` is not of the form `(label,[x,y,..])`"))?;
        Ok(LabeledPoint { label: number(label)?, features: parse_vector(features)? })
    }
}

/// Reads a vector from text such as `[1.0,2.0]`.
///
/// ```
/// use tidegate::ml::parse_vector;
/// assert_eq!(parse_vector("[1.0, -2e3]"), Ok(vec![1.0, -2000.0]));
/// assert!(parse_vector("1.0,2.0").is_err());
/// ```
///
/// # Errors
/// If it does not have this form; the message names the part.
pub fn parse_vector(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{text}` is not of the form `[x,y,..]`"))?;
    if inner.trim().is_empty() {
        return Ok(vec![]);
    }
    inner.split(',').map(number).collect()
}

fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_parsed_or_the_bad_part_is_named() {
        assert_eq!(parse_vector(" [1.0, -2.5,3e2] "), Ok(vec![1.0, -2.5, 300.0]));
        assert_eq!(parse_vector("[]"), Ok(vec![]));
        assert_eq!(parse_vector("1.0,2.0").unwrap_err(), "`1.0,2.0` is not of the form `[x,y,..]`");
        assert_eq!(parse_vector("[1.0,,2.0]").unwrap_err(), "`` is not a number");
        let point = |text: &str| text.parse::<LabeledPoint>();
        assert_eq!(point("(1,[0])"), Ok(LabeledPoint { label: 1.0, features: vec![0.0] }));
        assert_eq!(point("[1.0]").unwrap_err(), "`[1.0]` is not of the form `(label,[x,y,..])`");
        assert_eq!(point("(a,[1.0])").unwrap_err(), "`a` is not a number");
        assert_eq!(point("(1,2)").unwrap_err(), "`2` is not of the form `[x,y,..]`");
    }
}
