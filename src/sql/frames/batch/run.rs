//! Runs queries whose rows have an end.
//!
//! Owns the engine of a stage: its log, its settings, its rows. Knows no plan but where it is cut. Invariant: the planner is free while a stage
//! runs, so that functions of the program may use the session.

use crate::{
    config::{Config, ExchangeThrough, Guarantee, Trigger},
    context::StreamingContext,
    error::Result,
    log,
    sql::{
        SourceText, SqlError, build,
        frames::{
            frame::DataFrame,
            mistake::{At, told},
        },
        plan::{
            RESULT, Stages, plain,
            stream_plan::{OutputMode, StreamOperator, StreamPlan},
        },
        sink::{MemoryTable, Outlet},
    },
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion_expr::LogicalPlan;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// State partitions of a stage: what it keeps is in memory.
const STATE_PARTITIONS_MAX: usize = 8;

/// All rows of a DataFrame whose rows have an end.
pub(super) fn rows(frame: &DataFrame, at: At) -> Result<RecordBatch> {
    let planned = frame.session.0.planner().logical_query(&frame.query());
    let logical = planned.map_err(|mistake| told(at, mistake))?.logical;
    let mut run = |plan: &LogicalPlan| stage(frame, plan, at);
    let rows = Stages { run: &mut run, told: &|mistake| told(at, mistake) }.rows(logical)?;
    named(&rows, &frame.schema()).map_err(|mistake| told(at, mistake))
}

/// A plan of streams of a DataFrame, with the rows of what has an end and more operators than a lookup knows.
pub fn beside_streams(frame: &DataFrame, logical: LogicalPlan, at: At) -> Result<LogicalPlan> {
    let mut run = |plan: &LogicalPlan| stage(frame, plan, at);
    Stages { run: &mut run, told: &|mistake| told(at, mistake) }.beside_streams(logical)
}

/// The same plan, where only its columns matter.
pub fn without_rows(logical: LogicalPlan, at: At) -> Result<LogicalPlan> {
    let mut run = |plan: &LogicalPlan| {
        let fields = plan.schema().fields().iter();
        let fields = fields.map(|field| Field::new(field.name(), plain(field.data_type()), true));
        Ok(RecordBatch::new_empty(Arc::new(Schema::new(fields.collect::<Vec<_>>()))))
    };
    Stages { run: &mut run, told: &|mistake| told(at, mistake) }.beside_streams(logical)
}

/// The rows with the names that a program knows.
fn named(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let field = |(field, column): (&Arc<Field>, &arrow::array::ArrayRef)| {
        let is_nullable = field.is_nullable() || column.null_count() > 0;
        Field::new(field.name(), column.data_type().clone(), is_nullable)
    };
    let fields: Vec<Field> = schema.fields().iter().zip(rows.columns()).map(field).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), rows.columns().to_vec(), &options)
        .map_err(|e| SqlError::at(None, e.to_string()))
}

/// The rows of a plan that nothing cuts.
fn stage(frame: &DataFrame, plan: &LogicalPlan, at: At) -> Result<RecordBatch> {
    let mistaken = |mistake| told(at, mistake);
    let stage = frame.session.0.planner().stage(plan, &frame.query()).map_err(mistaken)?;
    match stage.rows().map_err(mistaken)? {
        Ok(rows) => Ok(rows),
        Err(stream) => result_of(frame, &stream, at),
    }
}

/// The rows of a plan that ends at the table [`RESULT`].
fn result_of(frame: &DataFrame, stream: &StreamPlan, at: At) -> Result<RecordBatch> {
    let Some(sink) = stream.nodes.last() else {
        return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
    };
    let is_complete = matches!(sink.operator, StreamOperator::Sink { mode: OutputMode::Complete, .. });
    let memory = MemoryTable::new(is_complete);
    let taken = build::Taken { table: RESULT.to_owned(), outlet: Outlet::InOrder(memory.clone()) };
    run(&frame.session.0.config, stream, Some(&taken), at)?;
    let pieces = memory.rows();
    let schema = pieces.first().map_or_else(|| sink.schema.clone(), RecordBatch::schema);
    concat_batches(&schema, &pieces).map_err(|e| told(at, SqlError::at(None, e.to_string())))
}

/// Runs a plan whose rows have an end, as a program of its own.
pub(super) fn run(session: &Config, stream: &StreamPlan, taken: Option<&build::Taken>, at: At) -> Result {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let name = format!("rows-{}", RUNS.fetch_add(1, Ordering::Relaxed));
    let log = format!("memory:{name}");
    let config = Config {
        bootstrap: log.clone(),
        application_id: name.clone(),
        instance_id: None,
        state_dir: None,
        trigger: Trigger::AvailableNow,
        guarantee: Guarantee::default(),
        state_partitions: u32::try_from(session.threads.clamp(1, STATE_PARTITIONS_MAX)).unwrap_or(1),
        properties: BTreeMap::new(),
        batch_records_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        backpressure: false,
        initial_rate: None,
        max_rate_per_partition: None,
        admin_bind: None,
        progress_line: false,
        exchange: ExchangeThrough::Memory,
        ..session.clone()
    };
    let context = StreamingContext::new(config);
    let place = SourceText::at_program(at);
    let built = context.add_plan(|topology| build::build_with(stream, &place, &name, taken, topology));
    built.map_err(|mistake| told(at, mistake))?;
    let ended = context.start().and_then(|()| context.await_termination());
    drop(context);
    log::forget(&log);
    ended
}
