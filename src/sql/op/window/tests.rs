//! Windows against a model that keeps all rows: what is late, what leaves when, what is stored.

use super::{AssignWindows, WindowAggregate, WindowKind, WindowMarks, WindowStores, Windows};
use crate::{
    operator::{Gives, Operator, Upstream, UpstreamMark, UpstreamName},
    record::{Chunk, Partition, TopicPartition},
    sql::{
        Delta, Payload,
        agg::{AggregateCall, AggregateFunction, CallDetails},
        op::{
            Aggregation, PartialAggregate,
            tests::driver::{Multiset, Stage, add, collect},
        },
    },
    state::StoreId,
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
const WINDOWS: Windows = Windows { kind: WindowKind::Hop { size_ms: 20, slide_ms: 10 }, offset_ms: 3 };

fn schema(names: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Vec<_>>(),
    ))
}

fn windowed() -> SchemaRef {
    let names = [
        ("k", DataType::Utf8),
        ("ts", TIME),
        ("window_start", TIME),
        ("window_end", TIME),
        ("window_time", TIME),
    ];
    schema(&names)
}

fn aggregation() -> Arc<Aggregation> {
    let count = AggregateCall {
        function: AggregateFunction::Count,
        arguments: vec![],
        filter: None,
        is_distinct: false,
        data_type: DataType::Int64,
        name: "count(*)".into(),
        details: CallDetails::default(),
    };
    Arc::new(Aggregation::new(&windowed(), vec![3, 2, 0], vec![count], true).unwrap())
}

fn rows(of: &[(u8, i64)]) -> Chunk {
    let names: StringArray = of.iter().map(|(k, _)| Some(format!("k{k}"))).collect();
    let times: TimestampMillisecondArray = of.iter().map(|(_, ts)| Some(*ts)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(times)];
    Delta::added(RecordBatch::try_new(schema(&[("k", DataType::Utf8), ("ts", TIME)]), columns).unwrap())
        .into_chunk()
}

fn mark(partition: u32, time_ms: i64, idle: bool) -> UpstreamMark {
    let upstream = UpstreamName::of_part(&Upstream::Source(TopicPartition::new("in", partition)), "bid");
    UpstreamMark { upstream, time_ms: Some(time_ms), idle }
}

fn text(ms: i64) -> String {
    let times = TimestampMillisecondArray::from(vec![ms]);
    arrow::util::display::array_value_to_string(&times, 0).unwrap()
}

/// Assigns windows, aggregates before the exchange, and behind it on each of two state partitions.
struct Pipeline<'m> {
    first: Stage<'m>,
    partial: Stage<'m>,
    last: Vec<Stage<'m>>,
}

type Make = Box<dyn Fn() -> Box<dyn Operator>>;

fn makers(gives: Gives) -> [Make; 3] {
    let output = schema(&[
        ("window_end", TIME),
        ("window_start", TIME),
        ("k", DataType::Utf8),
        ("n", DataType::Int64),
    ]);
    [
        Box::new(|| Box::new(AssignWindows { windows: WINDOWS, time_column: 1, schema: windowed() })),
        Box::new(|| Box::new(PartialAggregate::new(aggregation()).unwrap().with_marks())),
        Box::new(move || {
            let made = WindowAggregate::new(
                aggregation(),
                gives,
                WINDOWS.ends(),
                WindowStores::at(&[0, 1]),
                output.clone(),
            );
            Box::new(made.unwrap().sending_marks("q".into()))
        }),
    ]
}

impl<'m> Pipeline<'m> {
    fn new(makers: &'m [Make; 3]) -> Self {
        let mut specs = aggregation().stores("q").unwrap();
        specs.push(WindowMarks::store("q"));
        let last = (0..2).map(|at| Stage::new(&*makers[2], &specs, at, 2)).collect();
        Pipeline {
            first: Stage::new(&*makers[0], &[], 0, 2),
            partial: Stage::new(&*makers[1], &[], 0, 2),
            last,
        }
    }

    /// What leaves in a batch, and the marks of both partitions behind it.
    fn batch(&mut self, of: &[(u8, i64)], marks: Vec<UpstreamMark>) -> (Multiset, Vec<UpstreamMark>) {
        let mut sent = vec![];
        for part in of.chunks(3) {
            for (_, chunk) in self.first.process(rows(part)).unwrap() {
                sent.extend(self.partial.process(chunk).unwrap());
            }
        }
        sent.extend(self.partial.process(Payload::marks(marks)).unwrap());
        sent.extend(self.partial.end_batch().unwrap());
        let mut left = vec![];
        for (Partition(to), chunk) in sent {
            left.extend(self.last[to as usize].process(chunk).unwrap());
        }
        for stage in &mut self.last {
            let chunks = stage.end_batch().unwrap();
            let first_mark = chunks.iter().position(|(_, chunk)| matches!(chunk.view(), Payload::Marks(_)));
            assert!(first_mark.is_none_or(|at| at + 1 == chunks.len()), "marks are behind the rows");
            left.extend(chunks);
        }
        let (mut multiset, mut told) = (Multiset::new(), vec![]);
        for (_, chunk) in left {
            match chunk.view::<Payload>() {
                Payload::Rows(_) => collect(&chunk, &mut multiset),
                Payload::Marks(marks) => told.extend(marks.iter().cloned()),
            }
        }
        (multiset, told)
    }

    fn late(&self) -> usize {
        self.last.iter().map(|stage| stage.late).sum()
    }

    fn stored(&self) -> usize {
        let mut rows = 0;
        for stage in &self.last {
            let mut visit = |_: &[u8], _: &[u8]| {
                rows += 1;
                Ok(true)
            };
            stage.backend.scan(StoreId::of("q"), None, &mut visit).unwrap();
        }
        rows
    }
}

/// Rows of a batch (key, time before now), how far both upstreams have come since the last one, and whether it is computed twice.
type Batch = (Vec<(u8, i64)>, i64, i64, bool);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    prop::collection::vec(
        (prop::collection::vec((0..3u8, 0..60i64), 0..9), 0..25i64, 0..25i64, prop::bool::weighted(0.2)),
        1..20,
    )
}

proptest! {
    #[test]
    fn windows_leave_like_those_of_a_model(batches in batches(), is_final: bool) {
        let makers = makers(if is_final { Gives::Finals } else { Gives::Updates });
        let mut pipeline = Pipeline::new(&makers);
        let mut counts: BTreeMap<(i64, u8), i64> = BTreeMap::new();
        let (mut progress, mut watermark, mut late) = ([100, 100], None::<i64>, 0);
        for (of, a, b, crashes) in batches {
            let now = progress[0].max(progress[1]);
            let of: Vec<(u8, i64)> = of.into_iter().map(|(k, before)| (k, now + 10 - before)).collect();
            progress = [progress[0] + a, progress[1] + b];
            let marks = || vec![mark(0, progress[0], false), mark(1, progress[1], false)];
            if crashes {
                let before = pipeline.late();
                pipeline.batch(&of, marks());
                late += pipeline.late() - before;
                pipeline.last.iter_mut().for_each(Stage::crash);
            }
            let mut expected = Multiset::new();
            let mut touched = BTreeMap::new();
            for (k, ts) in &of {
                WINDOWS.of(*ts, |_, end| {
                    if watermark.is_some_and(|watermark| end <= watermark) {
                        late += 1;
                    } else {
                        let count = counts.entry((end, *k)).or_default();
                        touched.entry((end, *k)).or_insert(*count);
                        *count += 1;
                    }
                });
            }
            let after = progress[0].min(progress[1]);
            let row = |end: i64, k: u8, n: i64| vec![text(end), text(end - 20), format!("k{k}"), n.to_string()];
            if is_final {
                for ((end, k), n) in counts.range(..=(after, u8::MAX)) {
                    add(&mut expected, row(*end, *k, *n), 1);
                }
            } else {
                for ((end, k), before) in touched {
                    if before > 0 {
                        add(&mut expected, row(end, k, before), -1);
                    }
                    add(&mut expected, row(end, k, counts[&(end, k)]), 1);
                }
            }
            counts.retain(|(end, _), _| *end > after);
            watermark = watermark.max(Some(after));
            let (left, told) = pipeline.batch(&of, marks());
            prop_assert_eq!(left, expected);
            prop_assert!(told.iter().all(|mark| mark.time_ms == watermark && !mark.idle));
            pipeline.last.iter_mut().for_each(Stage::commit);
            prop_assert_eq!(pipeline.stored(), counts.len(), "closed windows are not stored");
            prop_assert_eq!(pipeline.late(), late);
        }
    }
}

#[test]
fn while_all_upstreams_are_idle_windows_close_and_then_nothing_is_said() {
    let makers = makers(Gives::Finals);
    let mut pipeline = Pipeline::new(&makers);
    let (left, _) = pipeline.batch(&[(1, 106), (2, 108)], vec![mark(0, 105, false), mark(1, 105, false)]);
    assert!(left.is_empty());
    pipeline.last.iter_mut().for_each(Stage::commit);
    let (mut rows, mut quiet) = (Multiset::new(), vec![]);
    for seconds in 1..8 {
        let time = crate::record::BatchTime(seconds * 5);
        pipeline.last.iter_mut().for_each(|stage| stage.batch.time = time);
        let marks = if seconds == 1 { vec![mark(0, 105, true), mark(1, 105, true)] } else { vec![] };
        let (left, told) = pipeline.batch(&[], marks);
        left.into_iter().for_each(|(row, weight)| add(&mut rows, row, weight));
        quiet.push(told.iter().filter(|mark| mark.idle).count());
        pipeline.last.iter_mut().for_each(Stage::commit);
    }
    assert_eq!(rows.len(), 4, "two windows of each row: {rows:?}");
    assert_eq!(pipeline.stored(), 0);
    assert_eq!(quiet.iter().sum::<usize>(), 2, "each partition says once that no more comes: {quiet:?}");
}
