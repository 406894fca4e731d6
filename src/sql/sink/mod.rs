//! Where rows leave a script: topics, files and the console.
//!
//! Owns the operators that end a path. Knows no log and no terminal.

mod append;
mod blackhole;
mod console;
mod encode;
mod files;
mod print;
mod program;
mod show;
mod upsert;

pub use append::AppendSink;
pub use blackhole::BlackholeSink;
pub use console::{CompleteTable, ConsoleSink, ShownAt, ShownRows, columns_text};
pub use encode::{RecordEncoder, RowEncoder, TableColumns};
pub use files::FileRows;
pub use print::PrintSink;
pub use program::{BatchOfRows, MemoryTable, Outlet, RowsInOrder};
pub use show::{records as shown_records, table as shown_table};
pub use upsert::UpsertSink;
