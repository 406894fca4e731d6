//! The progress line of a program that runs on a terminal.
//!
//! Pure: two snapshots of the counters in, one line out. Knows no clock and no terminal.

use crate::record::BatchId;

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When, in milliseconds of any clock.
    pub at_ms: i64,
    /// Records read since the start.
    pub records_in: u64,
    /// Records written since the start.
    pub records_out: u64,
    /// Records between the position and the end of all owned partitions; `None` = not known yet.
    pub lag: Option<u64>,
    /// When the last checkpoint ended, by the same clock; `None` = there has been none.
    pub last_checkpoint_ms: Option<i64>,
    /// The last batch.
    pub batch: BatchId,
}

/// One line about the time from `before` to `now`.
///
/// ```
/// use tidegate::{record::BatchId, observe::progress::{Snapshot, line}};
/// let before = Snapshot::default();
/// let now = Snapshot {
///     at_ms: 10_000,
///     records_in: 12_345_678,
///     records_out: 9_876,
///     lag: Some(0),
///     last_checkpoint_ms: Some(9_600),
///     batch: BatchId(1234),
/// };
/// assert_eq!(
///     line(&before, &now),
///     "12,345,678 in, 9,876 out | 1.23 M/s | lag 0 | last checkpoint 0.4 s ago | batch 1234"
/// );
/// ```
#[must_use]
pub fn line(before: &Snapshot, now: &Snapshot) -> String {
    let elapsed_ms = u64::try_from(now.at_ms - before.at_ms).unwrap_or(0);
    let records = now.records_in.saturating_sub(before.records_in);
    let per_second = u128::from(records) * 1000 / u128::from(elapsed_ms.max(1));
    let lag = now.lag.map_or_else(|| "lag not known yet".to_string(), |n| format!("lag {}", grouped(n)));
    let checkpoint = match now.last_checkpoint_ms {
        Some(at) => format!("last checkpoint {} ago", seconds(now.at_ms - at)),
        None => "no checkpoint yet".to_string(),
    };
    format!(
        "{} in, {} out | {} | {lag} | {checkpoint} | batch {}",
        grouped(now.records_in),
        grouped(now.records_out),
        rate(u64::try_from(per_second).unwrap_or(u64::MAX)),
        now.batch
    )
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Records per second with three significant digits.
fn rate(per_second: u64) -> String {
    let (unit, name) = match per_second {
        0..1_000 => return format!("{per_second}/s"),
        1_000..1_000_000 => (1_000, "k/s"),
        1_000_000..1_000_000_000 => (1_000_000, "M/s"),
        _ => (1_000_000_000, "G/s"),
    };
    let (whole, hundredths) = (per_second / unit, per_second % unit * 100 / unit);
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {name}"),
        10..100 => format!("{whole}.{} {name}", hundredths / 10),
        _ => format!("{whole} {name}"),
    }
}

/// A duration with the precision a reader needs: tenths below ten seconds, then whole seconds, minutes, hours.
fn seconds(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_significant_digits_at_every_magnitude() {
        let shown = [0, 7, 999, 1_000, 1_234, 12_345, 123_456, 999_999, 1_210_000, 12_300_000, 5_000_000_000]
            .map(rate);
        let expected = [
            "0/s", "7/s", "999/s", "1.00 k/s", "1.23 k/s", "12.3 k/s", "123 k/s", "999 k/s", "1.21 M/s",
            "12.3 M/s", "5.00 G/s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn ages_get_coarser_as_they_grow() {
        let shown = [-5, 0, 449, 9_999, 10_000, 119_999, 120_000, 7_199_999, 7_200_000].map(seconds);
        assert_eq!(shown, ["0.0 s", "0.0 s", "0.4 s", "9.9 s", "10 s", "119 s", "2 min", "119 min", "2 h"]);
    }

    #[test]
    fn before_the_first_checkpoint_unknowns_are_named_and_nothing_divides_by_zero() {
        let start = Snapshot { at_ms: 5, ..Snapshot::default() };
        assert_eq!(
            line(&start, &start),
            "0 in, 0 out | 0/s | lag not known yet | no checkpoint yet | batch 0"
        );
        let back = Snapshot { at_ms: 1, ..start };
        assert_eq!(
            line(&start, &back),
            "0 in, 0 out | 0/s | lag not known yet | no checkpoint yet | batch 0"
        );
    }

    #[test]
    fn the_rate_covers_the_time_between_two_snapshots() {
        let before = Snapshot { at_ms: 1_000, records_in: 1_000_000, ..Snapshot::default() };
        let now = Snapshot { at_ms: 11_000, records_in: 1_050_000, lag: Some(12_000), ..before };
        assert_eq!(
            line(&before, &now),
            "1,050,000 in, 0 out | 5.00 k/s | lag 12,000 | no checkpoint yet | batch 0"
        );
    }
}
