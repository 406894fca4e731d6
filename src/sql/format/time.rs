//! Dates and times as text: ISO 8601.
//!
//! Owns reading and writing them. Knows no format that they stand in. Invariants: days count from 1970-01-01 in the proleptic Gregorian
//! calendar; what was written is read back as it was.

use arrow::datatypes::TimeUnit;

const DAY_S: i64 = 86_400;

/// Why a text is no date or time.
pub(super) type Reason = &'static str;

struct Digits<'t> {
    rest: &'t [u8],
}

impl Digits<'_> {
    fn skip(&mut self, byte: u8) -> bool {
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        let mut value = 0;
        for digit in number {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        self.rest = rest;
        Some(value)
    }

    fn count(&self) -> usize {
        self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// Days since the epoch.
    fn date(&mut self) -> Result<i64, Reason> {
        const REASON: Reason = "is no date such as 2026-11-29";
        let is_negative = self.rest.first() == Some(&b'-');
        let _ = self.skip(b'-') || self.skip(b'+');
        let sign = if is_negative { -1 } else { 1 };
        let digits = self.count();
        if !(4..=6).contains(&digits) {
            return Err(REASON);
        }
        let year = sign * self.number(digits).ok_or(REASON)?;
        let mut part = || if self.skip(b'-') { self.number(2) } else { None };
        let (Some(month), Some(day)) = (part(), part()) else { return Err(REASON) };
        if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
            return Err("is a day that the calendar does not have");
        }
        Ok(days_of(year, month, day))
    }

    /// Seconds since midnight and the digits of the fraction.
    fn time(&mut self) -> Result<(i64, i64), Reason> {
        const REASON: Reason = "is no time such as 2026-11-29T20:35:00.123Z";
        let hour = self.number(2).ok_or(REASON)?;
        let minute = self.skip(b':').then(|| self.number(2)).flatten().ok_or(REASON)?;
        let mut second = 0;
        let mut nanos = 0;
        if self.skip(b':') {
            second = self.number(2).ok_or(REASON)?;
            if self.skip(b'.') || self.skip(b',') {
                let digits = self.count();
                if !(1..=9).contains(&digits) {
                    return Err("has a fraction of a second that is not 1 to 9 digits");
                }
                let zeros = u32::try_from(9 - digits).unwrap_or_default();
                nanos = self.number(digits).ok_or(REASON)? * 10i64.pow(zeros);
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err("is a time that no day has");
        }
        Ok((hour * 3_600 + minute * 60 + second, nanos))
    }

    /// Seconds that the zone is ahead of UTC; none is UTC.
    fn zone(&mut self) -> Result<i64, Reason> {
        const REASON: Reason = "has a zone that is neither Z nor an offset such as +02:00";
        if self.rest.is_empty() || self.skip(b'Z') || self.skip(b'z') {
            return Ok(0);
        }
        let sign = if self.skip(b'-') {
            -1
        } else if self.skip(b'+') {
            1
        } else {
            return Err(REASON);
        };
        let hours = self.number(2).ok_or(REASON)?;
        let minutes =
            if self.skip(b':') || !self.rest.is_empty() { self.number(2).ok_or(REASON)? } else { 0 };
        if hours > 18 || minutes > 59 { Err(REASON) } else { Ok(sign * (hours * 3_600 + minutes * 60)) }
    }
}

/// Days since the epoch of `2026-11-29`; years have 4 to 6 digits and may have a sign.
pub(super) fn read_date(text: &[u8]) -> Result<i32, Reason> {
    let mut digits = Digits { rest: text };
    let days = digits.date()?;
    if !digits.rest.is_empty() {
        return Err("is no date such as 2026-11-29");
    }
    i32::try_from(days).map_err(|_| "is a date too far away")
}

/// A timestamp: date, `T` or a space, hours and minutes, seconds with a fraction if there are any, and a zone if there is one; without
/// it, the time is UTC's. Digits beyond the unit are cut off.
pub(super) fn read_timestamp(text: &[u8], unit: TimeUnit) -> Result<i64, Reason> {
    let mut digits = Digits { rest: text };
    let days = digits.date()?;
    if !(digits.skip(b'T') || digits.skip(b't') || digits.skip(b' ')) {
        return Err("has no time behind the date, such as 2026-11-29T20:35:00.123Z");
    }
    let (seconds, nanos) = digits.time()?;
    let ahead = digits.zone()?;
    if !digits.rest.is_empty() {
        return Err("has something behind the time");
    }
    let seconds = days * DAY_S + seconds - ahead;
    let (per_second, nanos_each) = parts(unit);
    let whole = seconds.checked_mul(per_second).ok_or("is a time too far away for its unit")?;
    whole.checked_add(nanos / nanos_each).ok_or("is a time too far away for its unit")
}

/// So many of the unit are a second, and so many nanoseconds are one of the unit.
pub(super) fn parts(unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    }
}

/// A time in another unit; digits beyond it are cut off, downwards. `None` = it has no room for it.
pub(super) fn in_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let ((from, _), (to, _)) = (parts(from), parts(to));
    if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) }
}

/// Milliseconds as so many of the unit; `None` = it has no room for them.
pub(super) fn of_ms(ms: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(ms.div_euclid(1_000)),
        TimeUnit::Millisecond => Some(ms),
        TimeUnit::Microsecond => ms.checked_mul(1_000),
        TimeUnit::Nanosecond => ms.checked_mul(1_000_000),
    }
}

/// Appends `2026-11-29`.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = date_of(days);
    if (0..=9_999).contains(&year) {
        put_digits(year, 4, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        put_digits(year.abs(), if year.abs() > 99_999 { 6 } else { 5 }, out);
    }
    out.push(b'-');
    put_digits(month, 2, out);
    out.push(b'-');
    put_digits(day, 2, out);
}

/// Appends `2026-11-29T20:35:00.123Z`: in UTC; the fraction has 3, 6 or 9 digits, as many as are needed, or is left out.
///
/// # Errors
/// If the year has more than 6 digits.
pub(super) fn write_timestamp(value: i64, unit: TimeUnit, out: &mut Vec<u8>) -> Result<(), Reason> {
    let (per_second, nanos_each) = parts(unit);
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    if !is_writable(days) {
        return Err("is a time too far away to be written");
    }
    write_date(days, out);
    out.push(b'T');
    put_digits(second / 3_600, 2, out);
    out.push(b':');
    put_digits(second / 60 % 60, 2, out);
    out.push(b':');
    put_digits(second % 60, 2, out);
    let nanos = fraction * nanos_each;
    if nanos % 1_000 != 0 {
        out.push(b'.');
        put_digits(nanos, 9, out);
    } else if nanos % 1_000_000 != 0 {
        out.push(b'.');
        put_digits(nanos / 1_000, 6, out);
    } else if nanos != 0 {
        out.push(b'.');
        put_digits(nanos / 1_000_000, 3, out);
    }
    out.push(b'Z');
    Ok(())
}

/// Whether the year of a day has at most 6 digits.
pub(super) fn is_writable(days: i64) -> bool {
    (days_of(-999_999, 1, 1)..=days_of(999_999, 12, 31)).contains(&days)
}

fn put_digits(mut value: i64, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Years begin in March here, so that the leap day is the last of them; 400 of them have 146,097 days.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + day_of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (cycle, of_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let day_of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (cycle * 400 + year + i64::from(month < 3), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Datelike, NaiveDate};

    #[test]
    fn days_are_those_of_the_calendar() {
        for days in (-1_000_000..1_000_000).step_by(37).chain(-800..800) {
            let date = NaiveDate::from_epoch_days(days).unwrap();
            let (year, month, day) = date_of(i64::from(days));
            assert_eq!((year, month, day), (i64::from(date.year()), date.month().into(), date.day().into()));
            assert_eq!(days_of(year, month, day), i64::from(days));
            let mut text = vec![];
            write_date(i64::from(days), &mut text);
            assert_eq!(read_date(&text), Ok(days), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn timestamps_are_read_as_iso_8601_and_written_so() {
        let ms = |text: &str| read_timestamp(text.as_bytes(), TimeUnit::Millisecond);
        let at = DateTime::parse_from_rfc3339("2026-11-29T20:35:00.123Z").unwrap().timestamp_millis();
        for text in [
            "2026-11-29T20:35:00.123Z",
            "2026-11-29 20:35:00.123",
            "2026-11-29T22:35:00.123+02:00",
            "2026-11-29T22:35:00.123456789+0200",
            "2026-11-29T18:35:00,1239-02",
            "+2026-11-29T20:35:00.123z",
        ] {
            assert_eq!(ms(text), Ok(at), "{text}");
        }
        assert_eq!(ms("2026-11-29T20:35"), Ok(at - 123));
        assert_eq!(ms("1969-12-31T23:59:59.9999"), Ok(-1), "digits are cut off towards the past");
        for text in [
            "",
            "2026-11-29",
            "2026-11-29T",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-11-29T24:00",
            "2026-11-29T20:35:60",
            "2026-11-29T20:35:00.",
            "2026-11-29T20:35:00.1234567890",
            "2026-11-29T20:35:00 Z",
            "2026-11-29T20:35:00+2",
            "2026-11-29T20:35:00+02:0",
            "2026-11-29T20:35:00Zx",
            "26-11-29T20:35",
            "2026-1-29T20:35",
            "--2026-11-29T20:35",
            "+-2026-11-29T20:35",
            "2026/11/29 20:35",
            "2026-11-29T20:35:00+19:00",
        ] {
            assert!(ms(text).is_err(), "{text}");
        }
        let written = |value, unit| {
            let mut out = vec![];
            write_timestamp(value, unit, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(at, TimeUnit::Millisecond), "2026-11-29T20:35:00.123Z");
        assert_eq!(written(at - 123, TimeUnit::Millisecond), "2026-11-29T20:35:00Z");
        assert_eq!(written(-1, TimeUnit::Microsecond), "1969-12-31T23:59:59.999999Z");
        assert_eq!(written(1, TimeUnit::Nanosecond), "1970-01-01T00:00:00.000000001Z");
        assert!(write_timestamp(i64::MAX, TimeUnit::Millisecond, &mut vec![]).is_err());
        assert_eq!(
            read_timestamp(b"999999-12-31T23:59:59", TimeUnit::Nanosecond),
            Err("is a time too far away for its unit")
        );
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read_back(seconds in -30_000_000_000_000i64..30_000_000_000_000, part in 0i64..1_000_000) {
            for (unit, value) in [
                (TimeUnit::Second, seconds), (TimeUnit::Millisecond, seconds * 1_000 + part % 1_000),
                (TimeUnit::Microsecond, seconds / 1_000_000 * 1_000_000 + part), (TimeUnit::Nanosecond, seconds * 1_000 + part),
            ] {
                let mut out = vec![];
                write_timestamp(value, unit, &mut out).unwrap();
                proptest::prop_assert_eq!(read_timestamp(&out, unit), Ok(value));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = (read_date(&text), read_timestamp(&text, TimeUnit::Nanosecond));
        }
    }
}
