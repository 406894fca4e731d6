//! `'connector' = 'print'` and `'connector' = 'console'`: rows for the person at the terminal.
//!
//! Owns the operators that show them. Knows no terminal: what they make is shown after the commit, at most once. Invariant: what a batch
//! added is shown after what it took away.

use super::show;
use crate::{
    error::{Error, Result},
    operator::{Context, Heading, Operator, Output, Port, Printed, SinglePartition},
    record::Chunk,
    sql::{Delta, Payload},
};
use arrow::{compute::concat_batches, datatypes::SchemaRef};

/// Shows each change on a line.
pub struct PrintSink {
    /// Stands before each line, with a `>`.
    pub prefix: Option<String>,
    /// How many of a batch are shown.
    pub rows_max: usize,
    /// Whether a row that was taken away has one that came in its place.
    pub has_key: bool,
}

impl PrintSink {
    fn kind(&self, weight: i64) -> &'static str {
        match (weight < 0, self.has_key) {
            (true, true) => "-U",
            (true, false) => "-D",
            (false, _) => "+I",
        }
    }
}

impl Operator for PrintSink {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let lines = show::changes(&delta.rows, |row| self.kind(delta.weight(row)))?;
        let mut rows = vec![];
        for (row, line) in lines.into_iter().enumerate() {
            let line = match &self.prefix {
                Some(prefix) => format!("{prefix}> {line}"),
                None => line,
            };
            let times = usize::try_from(delta.weight(row).unsigned_abs()).unwrap_or(usize::MAX);
            rows.extend(std::iter::repeat_n(line, times.min(self.rows_max + 1)));
        }
        let printed = Printed { heading: Heading::None, rows, rows_max: self.rows_max };
        cx.out.output(Output::Console { node: cx.out.node(), printed });
        Ok(())
    }
}
