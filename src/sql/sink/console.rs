//! `'connector' = 'console'`: a table on the console for each batch that changed anything, as Spark's streaming queries print it. The same
//! rows can be given to the program.
//!
//! Owns the rows of a batch, and for complete mode all rows, in state. Knows no terminal: what it makes is shown after the commit, at most
//! once. Invariants: all rows of a batch come to one task; rows of complete mode are in the order asked for,
//! then in that of their columns.

use super::{TableColumns, show};
use crate::{
    error::{Error, Result},
    operator::{Context, Heading, Operator, Output, Port, Printed},
    record::{
        Chunk,
        varint::{put_zigzag, take_zigzag},
    },
    sql::{
        Payload,
        op::OrderColumn,
        parse,
        rows::{KeyColumn, KeyFormat, KeyTable, quoted},
    },
    state::{Handle, RowIndex, View},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{FieldRef, Schema},
};

/// What a table shows, and how.
#[derive(Clone)]
pub struct ShownRows {
    /// The columns.
    pub columns: TableColumns,
    /// The same as a key: rows that are equal are one, and are in the order of their keys.
    pub(super) format: KeyFormat,
    /// For each column of the key the column that is shown.
    key_columns: Vec<usize>,
    /// What the order is called; empty = that of the columns.
    order: String,
    /// How many rows are shown.
    pub rows_max: usize,
    /// Where.
    pub place: ShownAt,
}

/// Where the rows of a batch are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownAt {
    /// As a table on the console.
    Console {
        /// Whether long values are cut.
        truncates: bool,
    },
    /// To the program, as columns.
    Memory,
    /// To what comes next, as bytes: the columns, then each row as a key.
    Bytes,
}

/// How many rows there is room for at first.
const ROOM_ROWS: usize = 1_024;

impl ShownRows {
    /// Rows of these columns, sorted by some of them, then by the others from left to right.
    ///
    /// # Errors
    /// If a type cannot be a key.
    pub fn new(
        columns: TableColumns,
        order: &[OrderColumn],
        rows_max: usize,
        place: ShownAt,
    ) -> Result<Self> {
        let plain = |column| OrderColumn { column, is_descending: false, is_null_greatest: false };
        let mut by: Vec<OrderColumn> = vec![];
        for column in order.iter().copied().chain((0..columns.schema().fields().len()).map(plain)) {
            if !by.iter().any(|other| other.column == column.column) {
                by.push(column);
            }
        }
        let format = KeyFormat::ordered(by.iter().map(|by| KeyColumn {
            data_type: columns.schema().field(by.column).data_type().clone(),
            is_descending: by.is_descending,
            is_null_greatest: by.is_null_greatest,
        }))?;
        let text = |by: &OrderColumn| {
            let order = match (by.is_descending, by.is_null_greatest) {
                (false, false) => "",
                (false, true) => " nulls last",
                (true, true) => " desc",
                (true, false) => " desc nulls last",
            };
            format!("{}{order}", quoted(columns.schema().field(by.column).name()))
        };
        let order = order.iter().map(text).collect::<Vec<_>>().join(", ");
        let key_columns = by.iter().map(|by| by.column).collect();
        Ok(ShownRows { columns, format, key_columns, order, rows_max, place })
    }

    /// What the rows of the store are in which all of them are kept.
    #[must_use]
    pub fn store_format(&self, columns: &str) -> String {
        let order = if self.order.is_empty() { String::new() } else { format!(" by ({})", self.order) };
        format!("table {columns}{order} -> weight")
    }

    /// The columns of the keys of rows.
    fn key_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.key_columns.iter().map(|column| rows.column(*column).clone()).collect()
    }

    /// Shows rows, given by their keys.
    fn show<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>, cx: &mut Context<'_>) -> Result {
        if self.place == ShownAt::Bytes {
            let columns = columns_text(self.columns.schema()).into_bytes();
            let rows: Vec<Vec<u8>> =
                std::iter::once(columns).chain(keys.into_iter().map(<[u8]>::to_vec)).collect();
            cx.out.chunk(Chunk::rows(rows));
            return Ok(());
        }
        let mut decoder = self.format.decoder(self.rows_max.min(ROOM_ROWS))?;
        let mut count = 0;
        keys.into_iter().try_for_each(|key| {
            count += 1;
            decoder.push(key)
        })?;
        let by_key = decoder.finish()?;
        let mut columns = by_key.clone();
        for (column, at) in by_key.into_iter().zip(&self.key_columns) {
            columns[*at] = column;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(self.columns.schema().clone(), columns, &options)
            .map_err(|e| Error::Codec(format!("rows do not fit their columns: {e}")))?;
        match self.place {
            ShownAt::Console { truncates } => {
                let rows = show::table(&rows, self.rows_max, truncates.then_some(show::CUT_AT))?;
                let printed = Printed { heading: Heading::Count, rows, rows_max: usize::MAX };
                cx.out.output(Output::Console { node: cx.out.node(), printed });
            }
            ShownAt::Memory | ShownAt::Bytes => {
                let (node, from) = (cx.out.node(), cx.out.upstream.clone());
                let (len, bytes) = (1, rows.get_array_memory_size());
                cx.out.output(Output::Collected { node, from, chunk: Chunk::sized(vec![rows], len, bytes) });
            }
        }
        Ok(())
    }
}

/// Columns with their types, one on each line.
#[must_use]
pub fn columns_text(schema: &Schema) -> String {
    let column = |field: &FieldRef| format!("{} {}\n", field.name(), parse::type_name(field.data_type()));
    schema.fields().iter().map(column).collect()
}

/// Shows the rows that a batch added: those of append mode, and the new rows of update mode.
pub struct ConsoleSink {
    shown: ShownRows,
    keys: KeyTable,
    /// How often each came, less how often it went.
    weights: Vec<i64>,
}

impl ConsoleSink {
    /// Shows rows so.
    #[must_use]
    pub fn new(shown: ShownRows) -> Self {
        ConsoleSink { shown, keys: KeyTable::default(), weights: vec![] }
    }
}

impl Operator for ConsoleSink {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let rows = self.shown.columns.rows(&delta.rows)?;
        let columns = self.shown.key_columns(&rows);
        let encoder = self.shown.format.encoder(&columns)?;
        let mut key = vec![];
        for row in 0..delta.rows.num_rows() {
            key.clear();
            encoder.encode(row, &mut key);
            let slot = self.keys.insert(&key);
            if slot.is_new {
                self.weights.push(0);
            }
            self.weights[slot.index] += delta.weight(row);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
        let rows = self.weights.iter().enumerate();
        let rows = rows.flat_map(|(index, weight)| std::iter::repeat_n(self.keys.get(index), times(*weight)));
        let mut rows = rows.take(self.shown.rows_max.saturating_add(1)).peekable();
        if rows.peek().is_some() {
            self.shown.show(rows, cx)?;
        }
        self.keys.clear();
        self.weights.clear();
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.keys.memory_bytes() + self.weights.len() * size_of::<i64>()
    }
}

/// Shows all rows of a relation whenever a batch has changed one.
pub struct CompleteTable {
    shown: ShownRows,
    /// Row -> how often it is there.
    rows: Handle<RowIndex>,
    is_changed: bool,
}

impl CompleteTable {
    /// Shows rows so, and keeps them in this store.
    #[must_use]
    pub fn new(shown: ShownRows, rows: Handle<RowIndex>) -> Self {
        CompleteTable { shown, rows, is_changed: false }
    }
}

/// The weight of a stored row.
fn weight_of(value: Option<&[u8]>) -> Result<i64> {
    let Some(bytes) = value else { return Ok(0) };
    let mut rest = bytes.get(1..).unwrap_or_default();
    take_zigzag(&mut rest).ok_or_else(|| Error::Codec("the weight of a row is no number".into()))
}

impl Operator for CompleteTable {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let rows = self.shown.columns.rows(&delta.rows)?;
        let columns = self.shown.key_columns(&rows);
        let encoder = self.shown.format.encoder(&columns)?;
        let store = cx.stores.open(self.rows);
        let number = store.formats().present();
        let (mut key, mut value) = (vec![], vec![]);
        for row in 0..delta.rows.num_rows() {
            key.clear();
            encoder.encode(row, &mut key);
            store.touch([&key[..]])?;
            let weight = weight_of(store.new_value(&key))? + delta.weight(row);
            if weight == 0 {
                store.delete(&key);
            } else {
                value.clear();
                value.push(number);
                put_zigzag(&mut value, weight);
                store.put(&key, &value);
            }
            self.is_changed = true;
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let most = self.shown.rows_max.saturating_add(1);
        let mut keys: Vec<Vec<u8>> = vec![];
        cx.stores.open(self.rows).visit_prefixes(View::Staged, &[b""], &mut |_, key, value| {
            let times = usize::try_from(weight_of(Some(value))?).unwrap_or(0);
            keys.extend(std::iter::repeat_n(key.to_vec(), times.min(most - keys.len())));
            Ok(keys.len() < most)
        })?;
        self.shown.show(keys.iter().map(Vec::as_slice), cx)
    }
}
