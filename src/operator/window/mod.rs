//! Windows: over batch times (rows or panes, emitted again at each slide) and over event time (closed by the
//! watermark).
//!
//! Owns what is kept of past batches and when it expires. Knows no exchange and no clock. Invariant: what a
//! window may still cover is never deleted.

mod emit_schedule;
mod event;
mod event_exchange;
mod event_time;
mod inverse;
mod panes;
mod reduce;
mod rows;
mod sweep;
mod time;

pub use emit_schedule::EmitSchedule;
pub use event::{EventReduce, Gives, WindowValue, Windowed};
pub use event_exchange::{EventFormat, EventLimits, EventRow, EventRows, IntoEventWindows};
pub use event_time::{EventMarks, EventSpans, WindowKey};
pub use inverse::{Invertible, KeepIf, Totals, WindowInverse};
pub use panes::Panes;
pub use reduce::WindowReduce;
pub use rows::{Blocks, WindowRows};
pub use sweep::{Mark, Marks};
pub use time::Slides;
