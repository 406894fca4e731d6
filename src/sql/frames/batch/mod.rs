//! DataFrames whose rows have an end: where they come from, and how a program gets them.
//!
//! Owns the reader of what is read once, rows that a program gives, what asks for rows, and the writer of files. Knows no operator: a query over such rows is run as
//! a query of streams, in stages, on a log in memory that nobody else sees. Invariants: rows are computed anew whenever they are asked for;
//! nothing outlives the call; rows that keep coming are refused.

mod actions;
mod create;
mod reader;
mod run;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::DataFrameReader;
pub use writer::DataFrameWriter;

pub(super) use run::{beside_streams, without_rows};
