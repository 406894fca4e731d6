//! Drives operators without a task: batches in, rows out, state in memory, crashes between them.

#![allow(clippy::cast_precision_loss, clippy::needless_pass_by_value, reason = "few rows")]

use crate::{
    error::Result,
    operator::{Batch, Context, Counters, EdgeId, Emitter, NodeId, Operator, Output, Port, Target, Upstream},
    record::{BatchId, BatchTime, Chunk, Partition, Size, TaskId},
    sql::{Delta, Payload},
    state::{Backend, MemoryStorage, Storage, StoreSpec, Stores},
};
use arrow::util::display::array_value_to_string;
use std::{collections::BTreeMap, sync::Arc};

/// One operator on one state partition, with its store in memory if it has one.
pub(in crate::sql) struct Stage<'m> {
    make: &'m dyn Fn() -> Box<dyn Operator>,
    operator: Box<dyn Operator>,
    pub backend: Arc<dyn Backend>,
    stores: Stores,
    partition: Partition,
    partitions: u32,
    pub batch: Batch,
    /// How many rows were late since it was made.
    pub late: usize,
}

impl<'m> Stage<'m> {
    pub fn new(
        make: &'m dyn Fn() -> Box<dyn Operator>,
        specs: &[StoreSpec],
        partition: u32,
        partitions: u32,
    ) -> Self {
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let backend = MemoryStorage::default().open(Partition(partition), &names).unwrap().backend;
        let open = |spec: &StoreSpec| (spec.open)(&spec.name, Arc::clone(&backend), &spec.formats);
        let stores = Stores(specs.iter().map(open).collect());
        let batch = Batch::new(BatchId(1), BatchTime(0));
        let (operator, partition) = (make(), Partition(partition));
        Stage { make, operator, backend, stores, partition, partitions, batch, late: 0 }
    }

    fn call(
        &mut self,
        run: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Result,
    ) -> Result<Vec<(Partition, Chunk)>> {
        let (mut outputs, mut counters) = (vec![], Counters::default());
        let upstream = Upstream::Task(TaskId { stage: 1, partition: self.partition });
        let targets = [vec![Target::Edge(EdgeId(1))]];
        let mut context = Context {
            batch: &self.batch,
            stores: &mut self.stores,
            counters: &mut counters,
            caught_up: BatchTime(0),
            sender: &upstream,
            out: Emitter {
                node: NodeId(0),
                targets: &targets,
                queues: &mut [],
                outputs: &mut outputs,
                time: BatchTime(0),
                newest_ms: None,
                given: Size::default(),
                upstream: &upstream,
                partition: self.partition,
                partitions: self.partitions,
            },
        };
        let ran = run(&mut *self.operator, &mut context);
        self.late += counters.late;
        ran?;
        let rows = |output| match output {
            Output::Rows { to, envelope } => (to, envelope.chunk),
            _ => panic!("rows only"),
        };
        Ok(outputs.into_iter().map(rows).collect())
    }

    pub fn process(&mut self, chunk: Chunk) -> Result<Vec<(Partition, Chunk)>> {
        self.process_at(Port(0), chunk)
    }

    pub fn process_at(&mut self, port: Port, chunk: Chunk) -> Result<Vec<(Partition, Chunk)>> {
        self.call(|operator, cx| operator.process(port, chunk, cx))
    }

    pub fn end_batch(&mut self) -> Result<Vec<(Partition, Chunk)>> {
        let mut sent = self.call(|operator, cx| operator.end_batch(cx))?;
        while self.operator.has_more() {
            sent.extend(self.call(|operator, cx| operator.end_batch(cx))?);
        }
        Ok(sent)
    }

    pub fn held_bytes(&self) -> usize {
        self.operator.held_bytes()
    }

    /// The batch is durable.
    pub fn commit(&mut self) {
        for store in &mut self.stores.0 {
            self.backend.apply(&[store.seal().unwrap()], None).unwrap();
            store.applied();
        }
    }

    /// The batch is lost.
    pub fn crash(&mut self) {
        self.stores.0.iter_mut().for_each(|store| store.aborted());
        self.operator = (self.make)();
    }
}

/// Rows as text, each with its weight.
pub(in crate::sql) type Multiset = BTreeMap<Vec<String>, i64>;

/// Adds the rows of a chunk; those that cancel out disappear.
pub(in crate::sql) fn collect(chunk: &Chunk, into: &mut Multiset) {
    let Payload::Rows(delta) = chunk.view::<Payload>() else { panic!("rows") };
    for row in 0..delta.rows.num_rows() {
        add(into, texts(delta, row), delta.weight(row));
    }
}

pub(in crate::sql) fn add(rows: &mut Multiset, row: Vec<String>, weight: i64) {
    let sum = rows.entry(row.clone()).or_default();
    *sum += weight;
    if *sum == 0 {
        rows.remove(&row);
    }
}

/// The cells of a row as text; `-` = NULL, doubles to six digits behind the point.
pub(in crate::sql) fn texts(delta: &Delta, row: usize) -> Vec<String> {
    let cell = |column: &arrow::array::ArrayRef| {
        if column.is_null(row) {
            return "-".to_owned();
        }
        let text = array_value_to_string(column, row).unwrap();
        match column.data_type().is_floating().then(|| text.parse::<f64>()) {
            Some(Ok(number)) => float(number),
            _ => text,
        }
    };
    delta.rows.columns().iter().map(cell).collect()
}

/// How a double is shown: a little above it, so that one which is exactly between two others is rounded like its neighbours.
pub(in crate::sql) fn float(number: f64) -> String {
    format!("{:.6}", number + 3.1e-8)
}
