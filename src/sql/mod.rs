//! Streaming SQL: a topic is a table that grows for ever, and the answer to a query is kept up to date.
//!
//! Owns the words of SQL, the planner and the operators over rows of columns. Knows no log and no thread: a script becomes one topology,
//! which the engine runs like any other. Invariant: at the end of every batch, the rows that have left a query, weighted and summed,
//! are the answer of a batch engine to the input so far (in append mode: to its closed windows).
//!
//! ```text
//! text -> parse/ -> Statement -> plan/ -> StreamPlan -> build.rs -> Topology
//!                                 (DataFusion plans and optimises)
//! at run time: format/ (bytes -> columns) -> op/ (Delta -> Delta, state in rows/) -> sink/ (columns -> bytes)
//! ```

mod build;
mod catalog;
mod closest;
mod column_name;
mod delta;
mod error;
mod java_number;
mod schema;
mod script;
mod source_text;
mod walk;

pub mod agg;
pub mod connector;
pub mod format;
mod frames;
pub mod op;
pub mod parse;
pub mod plan;
pub mod rows;
pub mod sink;

pub use delta::{Delta, Payload};
pub use error::{SqlError, SqlResult};
pub use frames::{
    ArgumentTypes, Column, ColumnOrLiteral, ColumnOrName, DataFrame, DataFrameReader, DataFrameWriter,
    DataStreamReader, DataStreamWriter, GroupedData, JoinType, QueryId, QueryProgressEvent,
    QueryStartedEvent, QueryTerminatedEvent, RowFunction, RunId, SessionBuilder, SinkProgress,
    SourceProgress, StateOperatorProgress, StreamSession, StreamingQuery, StreamingQueryListener,
    StreamingQueryManager, StreamingQueryProgress, StreamingQueryStatus, Trigger, UdfArgument,
    UdfRegistration, UdfResult, UserDefinedFunction, Window, WindowSpec, functions, parse_schema,
};
pub use schema::{
    Column as TableColumn, ColumnKind, MetadataKey, SqlOption, TableDefinition, WatermarkDefinition,
};
pub use script::Script;
pub use source_text::{SourceText, Span};
