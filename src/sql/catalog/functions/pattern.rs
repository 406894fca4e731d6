//! Patterns of dates and times as Java has them: `yyyy-MM-dd HH:mm:ss`.
//!
//! Owns the letters. Knows no function. Invariant: what is written with a pattern of numbers is read back with it.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use std::fmt::Write;

/// The pattern that functions take if none is said.
pub const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter, and how often it is there.
    Field(char, usize),
}

impl Pattern {
    /// A pattern.
    ///
    /// # Errors
    /// If a letter means nothing, with the reason.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let (mut parts, mut chars) = (vec![], pattern.chars().peekable());
        let text = |parts: &mut Vec<Part>, c: char| match parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => parts.push(Part::Text(c.to_string())),
        };
        while let Some(c) = chars.next() {
            if c == '\'' {
                // Two quotes are one; otherwise it is text up to the next one.
                if chars.next_if_eq(&'\'').is_some() {
                    text(&mut parts, '\'');
                    continue;
                }
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => text(&mut parts, '\''),
                        Some('\'') => break,
                        Some(c) => text(&mut parts, c),
                        None => return Err(format!("a quote in the pattern '{pattern}' is not closed")),
                    }
                }
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !"yuMdDHhmsSaE".contains(c) {
                    return Err(format!(
                        "the letter `{c}` of the pattern '{pattern}' is not supported; there are y, M, d, D, H, h, m, s, S, a and E"
                    ));
                }
                parts.push(Part::Field(c, count));
            } else {
                text(&mut parts, c);
            }
        }
        Ok(Pattern(parts))
    }

    /// A time as text.
    pub fn format(&self, time: NaiveDateTime) -> String {
        let mut out = String::new();
        for part in &self.0 {
            let (letter, width) = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(letter, width) => (*letter, *width),
            };
            let mut number = |number: i64| {
                // A String takes all that is written to it.
                let _ = write!(out, "{number:0width$}");
            };
            match letter {
                'y' | 'u' if width == 2 => number(i64::from(time.year().rem_euclid(100))),
                'y' | 'u' => number(i64::from(time.year())),
                'M' if width > 2 => out.push_str(named(MONTHS[time.month0() as usize], width)),
                'M' => number(i64::from(time.month())),
                'd' => number(i64::from(time.day())),
                'D' => number(i64::from(time.ordinal())),
                'H' => number(i64::from(time.hour())),
                'h' => number(i64::from(time.hour12().1)),
                'm' => number(i64::from(time.minute())),
                's' => number(i64::from(time.second())),
                'S' => {
                    let digits = format!("{:09}", time.nanosecond() % 1_000_000_000);
                    out.extend(digits.chars().chain(std::iter::repeat('0')).take(width));
                }
                'a' => out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
                _ => {
                    let day = DAYS[time.weekday().num_days_from_monday() as usize];
                    out.push_str(named(day, width));
                }
            }
        }
        out
    }

    /// The time that a text says; `None` if it is not of this pattern.
    pub fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut rest = text;
        let (mut year, mut month, mut day, mut nanos) = (1970, 1, 1, 0);
        let (mut hour, mut minute, mut second, mut afternoon) = (0, 0, 0, None);
        let mut day_of_year = None;
        for (at, part) in self.0.iter().enumerate() {
            let (letter, width) = match part {
                Part::Text(text) => {
                    rest = rest.strip_prefix(text.as_str())?;
                    continue;
                }
                Part::Field(letter, width) => (*letter, *width),
            };
            match letter {
                'M' if width > 2 => {
                    let (number, after) = one_of(&MONTHS, rest)?;
                    (month, rest) = (number + 1, after);
                }
                'E' => rest = one_of(&DAYS, rest)?.1,
                'a' => {
                    let half = rest.get(..2)?.to_ascii_uppercase();
                    afternoon = Some(match half.as_str() {
                        "AM" => false,
                        "PM" => true,
                        _ => return None,
                    });
                    rest = &rest[2..];
                }
                _ => {
                    // Fields that touch one another have the width of the pattern.
                    let touches = matches!(self.0.get(at + 1), Some(Part::Field(..)));
                    let most = if touches || letter == 'S' { width.max(1) } else { 9 };
                    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                    let (number, after) = rest.split_at(digits);
                    rest = after;
                    let value: u32 = number.parse().ok()?;
                    match letter {
                        'y' | 'u' if width == 2 => year = 2_000 + i32::try_from(value).ok()?,
                        'y' | 'u' => year = i32::try_from(value).ok()?,
                        'M' => month = value,
                        'd' => day = value,
                        'D' => day_of_year = Some(value),
                        'H' | 'h' => hour = value,
                        'm' => minute = value,
                        's' => second = value,
                        _ => {
                            let missing = 9_u32.checked_sub(u32::try_from(digits).ok()?)?;
                            nanos = value.checked_mul(10_u32.checked_pow(missing)?)?;
                        }
                    }
                }
            }
        }
        if let Some(afternoon) = afternoon {
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        if !rest.is_empty() {
            return None;
        }
        let date = match day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, month, day)?,
        };
        Some(date.and_time(NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?))
    }
}

/// A name in full, or its first three letters.
fn named(name: &'static str, width: usize) -> &'static str {
    if width > 3 { name } else { &name[..3] }
}

/// Which of the names a text begins with, in full or short, and what follows.
fn one_of<'t>(names: &[&str], text: &'t str) -> Option<(u32, &'t str)> {
    let begins = |name: &str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    (0u32..).zip(names).find_map(|(number, name)| {
        let length = [name.len(), 3].into_iter().find(|length| begins(&name[..*length]))?;
        Some((number, &text[length..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, 3, 7).unwrap().and_hms_micro_opt(15, 4, 5, 120_034).unwrap()
    }

    fn written(pattern: &str) -> String {
        Pattern::parse(pattern).unwrap().format(time())
    }

    fn read(pattern: &str, text: &str) -> Option<String> {
        Pattern::parse(pattern).unwrap().read(text).map(|time| time.to_string())
    }

    #[test]
    fn letters_are_those_of_java() {
        assert_eq!(written("yyyy-MM-dd HH:mm:ss.SSS"), "2026-03-07 15:04:05.120");
        assert_eq!(written("d.M.yy h 'o''clock' a"), "7.3.26 3 o'clock PM");
        assert_eq!(written("EEE, d MMM yyyy EEEE MMMM D"), "Sat, 7 Mar 2026 Saturday March 66");
        assert_eq!(written("yyyyMMddHHmmssSSSSSS"), "20260307150405120034");
    }

    #[test]
    fn what_was_written_is_read() {
        for pattern in ["yyyy-MM-dd HH:mm:ss.SSSSSS", "yyyyMMddHHmmssSSSSSS", "d MMM yyyy h:m:s.SSSSSS a"] {
            assert_eq!(Pattern::parse(pattern).unwrap().read(&written(pattern)), Some(time()), "{pattern}");
        }
        assert_eq!(read("yyyy-MM-dd", "2026-03-07").as_deref(), Some("2026-03-07 00:00:00"));
        assert_eq!(read("yyyy-MM-dd", "2026-3-7").as_deref(), Some("2026-03-07 00:00:00"));
        assert_eq!(read("yyyy-DDD", "2026-066").as_deref(), Some("2026-03-07 00:00:00"));
        for wrong in ["2026-02-30", "2026-03", "2026-03-07x", "", "x"] {
            assert_eq!(read("yyyy-MM-dd", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn letters_that_mean_nothing_are_told() {
        assert!(Pattern::parse("yyyy-MM-dd z").unwrap_err().contains("`z`"));
        assert!(Pattern::parse("'open").unwrap_err().contains("not closed"));
    }
}
