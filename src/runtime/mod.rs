//! The loop and what it tells the outside about itself.
//!
//! Knows no face.

pub mod logging;
pub mod metrics;
pub mod progress;
pub mod status;
