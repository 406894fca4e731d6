//! Numbers of JSON as the values of columns: exact, or refused.
//!
//! Owns ranges and rounding. Knows no column. Invariants: integers and decimals are exact; floats are the nearest ones, as
//! `str::parse` gives them.

use super::scan::Number;
use crate::sql::format::fault::Fault;

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl Number<'_> {
    fn shown(&self) -> String {
        let shown = &self.text[..self.text.len().min(48)];
        format!("{}{}", shown.escape_ascii(), if shown.len() < self.text.len() { ".." } else { "" })
    }

    #[cold]
    fn refused<T>(&self, reason: &str) -> Result<T, Fault> {
        Err(Fault::at(self.at, format!("{} {reason}", self.shown())))
    }

    /// A signed integer of so many bits.
    #[inline]
    pub fn signed(&self, bits: u32) -> Result<i64, Fault> {
        if !self.is_integer {
            return self.refused("is no integer");
        }
        let magnitude_max = (1u64 << (bits - 1)) - u64::from(!self.is_negative);
        if !self.is_exact || self.digits > magnitude_max {
            return self.refused(&format!("is out of the range of an integer of {bits} bits"));
        }
        let value = self.digits.cast_signed();
        Ok(if self.is_negative { value.wrapping_neg() } else { value })
    }

    /// An unsigned integer of so many bits.
    #[inline]
    pub fn unsigned(&self, bits: u32) -> Result<u64, Fault> {
        if !self.is_integer {
            return self.refused("is no integer");
        }
        if !self.is_exact
            || self.digits > u64::MAX >> (u64::BITS - bits)
            || self.is_negative && self.digits > 0
        {
            return self.refused(&format!("is out of the range of an unsigned integer of {bits} bits"));
        }
        Ok(self.digits)
    }

    /// The nearest double.
    #[inline]
    pub fn double(&self) -> Result<f64, Fault> {
        // Both parts are doubles then, and one operation rounds once.
        let power = POWERS.get(self.exponent.unsigned_abs() as usize);
        if let (true, true, Some(power)) = (self.is_exact, self.digits <= 1 << 53, power) {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
            let digits = self.digits as f64;
            let value = if self.exponent < 0 { digits / power } else { digits * power };
            return Ok(if self.is_negative { -value } else { value });
        }
        self.parsed(f64::is_finite, "DOUBLE")
    }

    /// The nearest float.
    pub fn float(&self) -> Result<f32, Fault> {
        self.parsed(f32::is_finite, "FLOAT")
    }

    fn parsed<T: std::str::FromStr + Copy>(&self, is_finite: fn(T) -> bool, name: &str) -> Result<T, Fault> {
        let value = std::str::from_utf8(self.text).ok().and_then(|text| text.parse::<T>().ok());
        match value.filter(|value| is_finite(*value)) {
            Some(value) => Ok(value),
            None => self.refused(&format!("is out of the range of {name}")),
        }
    }

    /// A decimal of so many digits, `scale` of them behind the point, without the point.
    pub fn decimal(&self, precision: u8, scale: i8) -> Result<i128, Fault> {
        let (digits, exponent) = if self.is_exact {
            (i128::from(self.digits), i64::from(self.exponent))
        } else {
            let Some(all) = self.all_digits() else {
                return self.refused(&format!("has too many digits for DECIMAL({precision},{scale})"));
            };
            all
        };
        let Some(value) = shifted(digits, exponent + i64::from(scale)) else {
            return self.refused(&format!("cannot be written exactly as DECIMAL({precision},{scale})"));
        };
        if value.unsigned_abs() >= 10u128.pow(u32::from(precision).min(38)) {
            return self.refused(&format!("has too many digits for DECIMAL({precision},{scale})"));
        }
        Ok(if self.is_negative { -value } else { value })
    }

    /// All digits without superfluous zeros, and the power of ten; `None` = more than any decimal has.
    fn all_digits(&self) -> Option<(i128, i64)> {
        let mantissa = self.text.split(|byte| matches!(byte, b'e' | b'E')).next()?;
        let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit());
        let mut digits: Vec<u8> = digits.skip_while(|byte| **byte == b'0').copied().collect();
        let before = digits.len();
        digits.truncate(digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1));
        if digits.len() > 38 {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        Some((value, i64::from(self.exponent).saturating_add_unsigned((before - digits.len()) as u64)))
    }
}

/// `digits * 10^power`; `None` = it is no integer, or too large.
fn shifted(digits: i128, power: i64) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let ten = 10i128.checked_pow(u32::try_from(power.unsigned_abs()).ok()?)?;
    if power >= 0 { digits.checked_mul(ten) } else { (digits % ten == 0).then(|| digits / ten) }
}
