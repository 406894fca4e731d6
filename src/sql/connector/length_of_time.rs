//! Lengths of time as Flink writes them.

/// Milliseconds of `500 ms`, `10 s`, `1 min` or `500`; `None` = it is no length of time.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "min" | "m" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_length_of_time_has_a_unit_of_flink() {
        assert_eq!(milliseconds("10 s"), Some(10_000));
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds("3min"), Some(180_000));
        assert_eq!(milliseconds("7"), Some(7));
        assert_eq!(milliseconds("soon"), None);
    }
}
