//! From statements to a plan of streaming operators.

pub mod stream_plan;
