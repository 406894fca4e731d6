//! DataFrames: queries over tables that grow for ever, made by methods with Spark's names, and the engines that run them.
//!
//! Owns the objects that a program holds: [`StreamSession`], [`DataFrame`], [`Column`], [`StreamingQuery`]. A DataFrame is a query, kept as the
//! tree that SQL is read into, so both are planned by one planner and refused for the same reasons. It comes after all other layers, since a
//! query that is started is a program of its own. Invariants: a mistake is told by the method that makes it, at its line in the program;
//! nothing runs before `start`, or before the rows of what has an end are asked for (`batch/`).
//!
//! ```text
//! reader -> DataFrame -> writer -> start -> StreamingQuery        session: declarations, queries
//!            Column, functions     |                               udf: functions of the program
//!                                 plan/, build.rs -> Topology -> context/
//! ```

mod batch;
mod column;
mod frame;
pub mod functions;
mod listener;
mod mistake;
mod progress;
mod query;
mod reader;
mod session;
mod streams;
mod table;
mod target;
mod tree;
mod udf;
mod writer;

pub use batch::{DataFrameReader, DataFrameWriter};
pub use column::{Column, ColumnOrLiteral, ColumnOrName, Window, WindowSpec};
pub use frame::{DataFrame, GroupedData, JoinType};
pub use listener::{QueryProgressEvent, QueryStartedEvent, QueryTerminatedEvent, StreamingQueryListener};
pub use progress::{
    QueryId, RunId, SinkProgress, SourceProgress, StateOperatorProgress, StreamingQueryProgress,
};
pub use query::{StreamingQuery, StreamingQueryStatus};
pub use reader::DataStreamReader;
pub use session::{SessionBuilder, StreamSession};
pub use streams::StreamingQueryManager;
pub use table::parse_schema;
pub use udf::{ArgumentTypes, RowFunction, UdfArgument, UdfRegistration, UdfResult, UserDefinedFunction};
pub use writer::DataStreamWriter;

pub use crate::config::Trigger;
