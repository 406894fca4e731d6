//! Rows that the program itself takes: a table in memory, and a function that is called with each batch.
//!
//! Owns what the program sees of them. Knows no engine. Invariants: only rows of committed batches are seen; the function is given a batch
//! again only as it was, under the same id.

use super::{ShownRows, TableColumns, columns_text};
use crate::{
    error::{Error, Result},
    operator::{Batch, Context, Operator, Output, Port},
    record::Chunk,
    sink::{Collected, CommittedBatch, ForeachBatch, Rdd, Sink as _, SinkContext, SinkShape, TwoPhaseSink},
    sql::{Payload, rows::KeyFormat},
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use std::{
    error::Error as StdError,
    fmt,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Rows in the memory of the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable {
    rows: Arc<Mutex<Vec<RecordBatch>>>,
    /// Each batch gives all rows.
    is_complete: bool,
}

impl MemoryTable {
    /// Without rows. Those of a batch take the place of all before them if `is_complete`; otherwise they are added.
    #[must_use]
    pub fn new(is_complete: bool) -> Self {
        MemoryTable { rows: Arc::default(), is_complete }
    }

    /// What it holds now.
    #[must_use]
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<RecordBatch>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The output that fills a table in memory.
pub struct KeepRows {
    table: MemoryTable,
    /// The rows of the batch in flight.
    next: Option<Vec<RecordBatch>>,
}

impl TwoPhaseSink for KeepRows {
    fn prepare(&mut self, _: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.next = (!rows.is_empty()).then(|| rows.rows().collect());
        Ok(self.next.is_some().then(Vec::new))
    }

    fn finish(&mut self, _: &[u8]) -> Result {
        let Some(next) = self.next.take() else { return Ok(()) };
        let mut kept = self.table.kept();
        if self.table.is_complete {
            *kept = next;
        } else {
            kept.extend(next);
        }
        Ok(())
    }

    fn discard(&mut self, _: &[u8]) -> Result {
        self.next = None;
        Ok(())
    }
}

type Taken = std::result::Result<(), Box<dyn StdError + Send + Sync>>;

/// A function that is called with the rows of each batch and the batch's id.
pub type BatchOfRows = Arc<dyn Fn(Vec<RecordBatch>, i64) -> Taken + Send + Sync>;

/// Where the program takes rows.
#[derive(Clone)]
pub enum Outlet {
    /// In memory.
    Memory(MemoryTable),
    /// In memory; rows that are only added are in the order in which they came.
    InOrder(MemoryTable),
    /// By a function, which stands here.
    Batches(BatchOfRows, &'static Location<'static>),
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outlet::Memory(_) => "Memory",
            Outlet::InOrder(_) => "InOrder",
            Outlet::Batches(..) => "Batches",
        })
    }
}

impl Outlet {
    /// The output that keeps rows in a table.
    #[must_use]
    pub fn memory(table: &MemoryTable) -> SinkShape<RecordBatch> {
        let table = table.clone();
        SinkShape::two_phase("", move |_| KeepRows { table: table.clone(), next: None })
    }

    /// The output that calls a function with committed batches; `name` is durable.
    ///
    /// # Errors
    /// If `name` cannot be part of a topic's name.
    pub fn batches(
        function: &BatchOfRows,
        at: &'static Location<'static>,
        name: &str,
        application: &str,
        rows: &ShownRows,
    ) -> std::result::Result<SinkShape<Vec<u8>>, String> {
        let (schema, format, function) =
            (rows.columns.schema().clone(), rows.format.clone(), function.clone());
        let call = move |rdd: Rdd<Vec<u8>>, batch: CommittedBatch| {
            let rows = decoded(rdd.iter().map(Vec::as_slice), &schema, &format)?;
            function(rows, batch.id)
        };
        ForeachBatch::new(name, call, at).shape(&SinkContext::of(application))
    }
}

/// Gives the rows that are added to what takes them in memory, in their order.
#[derive(Clone)]
pub struct RowsInOrder(pub TableColumns);

impl Operator for RowsInOrder {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let rows = self.0.rows(&delta.rows)?;
        let (node, from) = (cx.out.node(), cx.out.upstream.clone());
        let (len, bytes) = (1, rows.get_array_memory_size());
        cx.out.output(Output::Collected { node, from, chunk: Chunk::sized(vec![rows], len, bytes) });
        Ok(())
    }
}

/// The rows of a batch from what was kept of them: the text of their columns, then each as a key.
fn decoded<'b>(
    mut rows: impl Iterator<Item = &'b [u8]>,
    schema: &SchemaRef,
    format: &KeyFormat,
) -> Result<Vec<RecordBatch>> {
    let Some(was) = rows.next() else { return Ok(vec![]) };
    let is = columns_text(schema);
    if was != is.as_bytes() {
        let one_line = |text: &str| text.trim_end().replace('\n', ", ");
        return Err(Error::Codec(format!(
            "it was committed with the columns ({}), and the query has ({})\n  next: let the earlier program deliver it, or give the query another name",
            one_line(&String::from_utf8_lossy(was)),
            one_line(&is)
        )));
    }
    let (mut decoder, mut count) = (format.decoder(1_024)?, 0);
    rows.try_for_each(|row| {
        count += 1;
        decoder.push(row)
    })?;
    // There may be no column.
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let rows = RecordBatch::try_new_with_options(schema.clone(), decoder.finish()?, &options)
        .map_err(|e| Error::Codec(format!("rows do not fit their columns: {e}")))?;
    Ok(vec![rows])
}
