//! `'connector' = 'print'`: a line on the console for each change, as Flink prints it.
//!
//! Owns the operator. Knows no terminal: what it makes is shown after the commit, at most once. Invariant: a row that another one of its key
//! takes the place of is told as an update; one that only comes or goes, as an insertion or deletion.

use super::{TableColumns, show};
use crate::{
    error::Result,
    operator::{Context, Heading, Operator, Output, Port, Printed},
    record::Chunk,
    sql::{
        Delta, Payload,
        rows::{KeyFormat, KeyTable},
    },
};
use arrow::datatypes::Schema;

/// Shows each change on a line.
#[derive(Clone)]
pub struct PrintSink {
    /// Stands before each line, with a `>`.
    prefix: Option<String>,
    /// How many of a batch are shown.
    rows_max: usize,
    columns: TableColumns,
    /// The columns of the input that say which row a change is of, if rows change.
    key: Option<(Vec<usize>, KeyFormat)>,
}

impl PrintSink {
    /// Shows these columns of rows of a schema; `key` says which row a change is of, if rows change.
    ///
    /// # Errors
    /// If a column cannot be in a key.
    pub fn new(
        prefix: Option<String>,
        rows_max: usize,
        columns: TableColumns,
        schema: &Schema,
        key: Option<Vec<usize>>,
    ) -> Result<Self> {
        let key = key.map(|columns| {
            let format = KeyFormat::new(columns.iter().map(|column| schema.field(*column).data_type()))?;
            Ok::<_, crate::Error>((columns, format))
        });
        Ok(PrintSink { prefix, rows_max, columns, key: key.transpose()? })
    }

    /// What happened to each row.
    fn kinds(&self, delta: &Delta) -> Result<Vec<&'static str>> {
        let rows = 0..delta.rows.num_rows();
        let plain = |row: usize| if delta.weight(row) < 0 { "-D" } else { "+I" };
        let Some((columns, format)) = &self.key else { return Ok(rows.map(plain).collect()) };
        let columns: Vec<_> = columns.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let encoder = format.encoder(&columns)?;
        // Of each key, whether rows went and came.
        let (mut keys, mut went_and_came) = (KeyTable::default(), vec![]);
        let mut of_rows = Vec::with_capacity(rows.len());
        let mut key = vec![];
        for row in rows {
            key.clear();
            encoder.encode(row, &mut key);
            let slot = keys.insert(&key);
            if slot.is_new {
                went_and_came.push((false, false));
            }
            let (went, came) = &mut went_and_came[slot.index];
            *(if delta.weight(row) < 0 { went } else { came }) = true;
            of_rows.push(slot.index);
        }
        let kind = |(row, index): (usize, &usize)| match (went_and_came[*index], delta.weight(row) < 0) {
            ((true, true), true) => "-U",
            ((true, true), false) => "+U",
            _ => plain(row),
        };
        Ok(of_rows.iter().enumerate().map(kind).collect())
    }
}

impl Operator for PrintSink {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let kinds = self.kinds(delta)?;
        let mut rows = vec![];
        let shown = self.columns.rows(&delta.rows)?;
        for (row, line) in show::changes(&shown, |row| kinds[row])?.into_iter().enumerate() {
            let line = match &self.prefix {
                Some(prefix) => format!("{prefix}> {line}"),
                None => line,
            };
            let times = usize::try_from(delta.weight(row).unsigned_abs()).unwrap_or(usize::MAX);
            rows.extend(std::iter::repeat_n(line, times.min(self.rows_max.saturating_add(1))));
        }
        let printed = Printed { heading: Heading::None, rows, rows_max: self.rows_max };
        cx.out.output(Output::Console { node: cx.out.node(), printed });
        Ok(())
    }
}
