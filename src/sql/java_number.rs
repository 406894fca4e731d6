//! Numbers of floating point as Java writes them, and so Spark.
//!
//! Owns their text. Knows no column.

/// A number as Java writes it: `1.5`, `1.0E10`; `scientific` has its shortest digits, such as `1e10`.
#[must_use]
pub fn java_number(number: f64, scientific: &str) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific.to_owned() };
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = digits.replace('.', "");
    let fraction = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    match exponent {
        0..=6 => {
            let whole = usize::try_from(exponent).unwrap_or_default() + 1;
            let padded = format!("{digits:0<whole$}");
            format!("{sign}{}.{}", &padded[..whole], fraction(&padded[whole..]))
        }
        -3..=-1 => {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
        _ => format!("{sign}{}.{}E{exponent}", &digits[..1], fraction(&digits[1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_java_writes_them() {
        let text = |number: f64| java_number(number, &format!("{number:e}"));
        let shown = [0.0, 1.5, -12.0, 1_234_567.0, 12_345_678.0, 0.001, 0.000_12, 1e300, f64::NAN].map(text);
        let java = ["0.0", "1.5", "-12.0", "1234567.0", "1.2345678E7", "0.001", "1.2E-4", "1.0E300", "NaN"];
        assert_eq!(shown, java);
    }
}
