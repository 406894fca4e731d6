//! How answers look: tables for people, JSON for machines.
//!
//! Owns alignment, and how numbers, bytes and times are written. Knows no log. Invariants: a table and its JSON say the same; JSON
//! has plain numbers, bytes, and milliseconds since the epoch.

use crate::error::{Error, Result};
use chrono::DateTime;
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};
use serde::Serialize;
use std::{fmt::Display, io::Write};

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document, for machines.
    Json,
}

/// Writes an answer in the chosen form.
///
/// # Errors
/// If the reader of the output is gone.
pub(super) fn show(
    out: &mut dyn Write,
    output: Output,
    answer: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result {
    let text = match output {
        Output::Table => text(),
        Output::Json => {
            let json = serde_json::to_string_pretty(answer);
            json.map_err(|e| Error::Config(format!("the answer cannot be written as JSON: {e}")))? + "\n"
        }
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("writing the answer"))
}

/// Columns without borders; those whose title begins with `>` are aligned to the right.
pub(super) struct Table(Grid);

impl Table {
    pub(super) fn new(titles: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(titles.iter().map(|title| title.trim_start_matches('>').to_uppercase()));
        for (column, title) in grid.column_iter_mut().zip(titles) {
            column.set_padding((0, 2));
            if title.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Table(grid)
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.0.add_row(cells);
    }

    /// The lines, each ended.
    pub(super) fn text(&self) -> String {
        self.0.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}

/// A number with a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 record`, `2,000 records`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let ending = match (number, what) {
        (1, _) => "",
        (_, what) if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {what}{ending}", grouped(number))
}

/// What there is, or a dash.
pub(super) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A number of bytes in the greatest unit that leaves at least 1.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let (mut value, mut unit) = (number as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time, milliseconds since the epoch, in UTC.
pub(super) fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(|| format!("{ms} ms"), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long ago a time was.
pub(super) fn ago(now_ms: i64, then_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1_000;
    match seconds {
        ..0 => format!("in {} s", -seconds),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// The first line of a message.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Bytes as people read them: text with control characters escaped, or hexadecimal digits; at most about `max` characters.
pub(super) fn readable(bytes: &[u8], max: usize) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text
            .chars()
            .flat_map(|c| {
                if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
                    .chars()
                    .collect::<Vec<_>>()
            })
            .collect(),
        Err(_) => format!("0x{}", hexadecimal(&bytes[..bytes.len().min(max)])),
    };
    if text.chars().count() <= max {
        return text;
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// Two digits for each byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_bytes_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [counted(1, "process"), counted(0, "process"), counted(2_000, "record")],
            ["1 process", "0 processes", "2,000 records"]
        );
        assert_eq!([12, 1_536, 5 << 20, 3 << 40].map(bytes), ["12 B", "1.5 KiB", "5.0 MiB", "3.0 TiB"]);
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20Z");
        let ages = [2_000, -60_000, 3_600_000, 7_200_000, 200_000_000].map(|ms| ago(ms, 0));
        assert_eq!(ages, ["2 s ago", "in 60 s", "60 min ago", "2 h ago", "2 days ago"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_digits_and_long_ones_are_cut() {
        assert_eq!(readable("a\tb ü".as_bytes(), 20), "a\\tb ü");
        assert_eq!(readable(&[0xff, 0], 20), "0xff00");
        assert_eq!(readable("größer".as_bytes(), 4), "grö…");
    }

    #[test]
    fn columns_are_aligned_without_spaces_at_the_end() {
        let mut table = Table::new(&["topic", ">lag"]);
        table.row(vec!["a".into(), "1,000".into()]);
        table.row(vec!["longer".into(), "7".into()]);
        assert_eq!(table.text(), "TOPIC     LAG\na       1,000\nlonger      7\n");
    }
}
