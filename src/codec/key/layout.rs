//! The marker bytes of a key, and the error when bytes do not fit them.
//!
//! Knows neither encoder nor decoder. Invariant: the marker bytes are documented in `docs/state-format.md` and never
//! change.

use serde::ser;
use std::fmt;

/// Ends a string; a zero byte inside is escaped, so nothing sorts below the end.
pub(super) const END: [u8; 2] = [0, 0];
/// A zero byte within a string.
pub(super) const ESCAPED_ZERO: [u8; 2] = [0, 0xff];
/// Precedes each element of a sequence.
pub(super) const MORE: u8 = 1;
/// Ends a sequence.
pub(super) const NO_MORE: u8 = 0;
/// A variant number from this value on takes four more bytes.
pub(super) const WIDE_VARIANT: u8 = 0xff;

/// serde's error message.
#[derive(Debug)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Fault {}
impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault(message.to_string())
    }
}
impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault(message.to_string())
    }
}
