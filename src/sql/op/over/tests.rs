//! Functions with OVER against a model that keeps all rows: what leaves when, and with which values.

use super::{Frame, Over, OverCall, OverFunction, OverPlan};
use crate::{
    operator::{Gives, Operator, Upstream, UpstreamMark, UpstreamName},
    record::{Chunk, TopicPartition},
    sql::{
        Delta, Payload,
        agg::{AggregateCall, AggregateFunction, CallDetails},
        op::{
            tests::driver::{Multiset, Stage, add, collect},
            window::{Closing, WindowEnds, WindowMarks},
        },
    },
    state::{Handle, StoreSpec},
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// Partition, value (`None` = NULL), time.
type Row = (u8, Option<i64>, i64);

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn schema() -> SchemaRef {
    let fields = [("k", DataType::Utf8), ("v", DataType::Int64), ("ts", TIME), ("no", DataType::Int64)];
    Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()))
}

fn chunk(rows: &[Row]) -> Chunk {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(k, ..)| Some(format!("k{k}"))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(_, v, _)| *v).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|(.., ts)| Some(*ts)).collect::<TimestampMillisecondArray>()),
        Arc::new(Int64Array::from(vec![-7; rows.len()])),
    ];
    Delta::added(RecordBatch::try_new(schema(), columns).unwrap()).into_chunk()
}

fn mark(time_ms: i64) -> Chunk {
    let upstream = UpstreamName::of_part(&Upstream::Source(TopicPartition::new("in", 0)), "t");
    Payload::marks(vec![UpstreamMark { upstream, time_ms: Some(time_ms), idle: false }])
}

const ROWS: Frame = Frame { by_time: false, preceding: Some(2) };
const ALL_ROWS: Frame = Frame { by_time: false, preceding: None };
const TIMES: Frame = Frame { by_time: true, preceding: Some(4) };
const ALL_TIMES: Frame = Frame { by_time: true, preceding: None };

fn calls() -> Vec<OverCall> {
    let aggregate = |function, frame| {
        let data_type = DataType::Int64;
        let call = AggregateCall {
            function,
            arguments: if function == AggregateFunction::Count { vec![] } else { vec![1] },
            filter: None,
            is_distinct: false,
            data_type,
            name: function.name().into(),
            details: CallDetails::default(),
        };
        OverCall { function: OverFunction::Aggregate(call), frame }
    };
    let of = |function, frame| OverCall { function, frame };
    let mut calls = vec![
        of(OverFunction::RowNumber, ALL_ROWS),
        of(OverFunction::Rank, ALL_ROWS),
        of(OverFunction::DenseRank, ALL_ROWS),
        of(OverFunction::Lag { argument: 1, rows: 2, default: None }, ALL_ROWS),
        of(OverFunction::Lag { argument: 1, rows: 1, default: Some(3) }, ALL_ROWS),
    ];
    for frame in [ROWS, ALL_ROWS, TIMES, ALL_TIMES] {
        calls.push(of(OverFunction::First(1), frame));
        calls.push(of(OverFunction::Last(1), frame));
        for function in
            [AggregateFunction::Count, AggregateFunction::Sum, AggregateFunction::Min, AggregateFunction::Max]
        {
            calls.push(aggregate(function, frame));
        }
    }
    calls
}

struct Maker {
    make: Box<dyn Fn() -> Box<dyn Operator>>,
    specs: Vec<StoreSpec>,
}

fn maker(calls: Vec<OverCall>) -> Maker {
    let mut fields = schema().fields().to_vec();
    for at in 0..calls.len() {
        fields.push(Arc::new(Field::new(format!("c{at}"), DataType::Int64, true)));
    }
    let plan = OverPlan::new(&schema(), vec![0], 2, calls, Arc::new(Schema::new(fields))).unwrap();
    let plan = Arc::new(plan);
    let mut specs = plan.stores("q.over");
    specs.push(WindowMarks::store("q.over"));
    let marks = specs.len() - 1;
    let make = move || {
        let ends = WindowEnds { step_ms: 1, offset_ms: 0 };
        let closing = Closing::new(Gives::Finals, ends, Handle::at(marks), None);
        let kept = plan.keeps_rows().then(|| Handle::at(2));
        Box::new(Over::new(plan.clone(), Handle::at(0), Handle::at(1), kept, closing)) as Box<dyn Operator>
    };
    Maker { make: Box::new(make), specs }
}

/// The values of a call for a row, which is the one at `at` of the sorted rows of its partition.
fn value(call: &OverCall, rows: &[Row], at: usize) -> Option<i64> {
    let time = rows[at].2;
    let first_of_time = rows.iter().position(|row| row.2 == time).unwrap();
    let number = |at: usize| Some(i64::try_from(at).unwrap());
    let frame = call.frame;
    let end = if frame.by_time { rows.iter().filter(|row| row.2 <= time).count() } else { at + 1 };
    let start = match frame.preceding {
        None => 0,
        Some(back) if frame.by_time => rows.iter().filter(|row| row.2 < time - back).count(),
        Some(back) => at.saturating_sub(usize::try_from(back).unwrap()),
    };
    let seen = &rows[start..end];
    let values = || seen.iter().filter_map(|row| row.1);
    match &call.function {
        OverFunction::RowNumber => number(at + 1),
        OverFunction::Rank => number(first_of_time + 1),
        OverFunction::DenseRank => {
            let mut times: Vec<i64> = rows[..=at].iter().map(|row| row.2).collect();
            times.dedup();
            number(times.len())
        }
        OverFunction::Lag { rows: back, default, .. } => match at.checked_sub(*back) {
            Some(earlier) => rows[earlier].1,
            None => default.map(|_| -7),
        },
        OverFunction::First(_) => seen.first().unwrap().1,
        OverFunction::Last(_) => seen.last().unwrap().1,
        OverFunction::Aggregate(call) => match call.function {
            AggregateFunction::Count => number(seen.len()),
            AggregateFunction::Sum => values().reduce(|a, b| a + b),
            AggregateFunction::Min => values().min(),
            _ => values().max(),
        },
    }
}

/// What has left when the watermark is at some time.
fn answer(accepted: &[Row], calls: &[OverCall], watermark: i64) -> Multiset {
    let mut partitions = BTreeMap::<u8, Vec<Row>>::new();
    for row in accepted {
        partitions.entry(row.0).or_default().push(*row);
    }
    let mut left = Multiset::new();
    for mut rows in partitions.into_values() {
        rows.sort_by_key(|row| (row.2, row.1));
        for at in (0..rows.len()).filter(|at| rows[*at].2 < watermark) {
            let text = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
            let (k, v, ts) = rows[at];
            let times = TimestampMillisecondArray::from(vec![ts]);
            let ts = arrow::util::display::array_value_to_string(&times, 0).unwrap();
            let mut cells = vec![format!("k{k}"), text(v), ts, "-7".to_owned()];
            cells.extend(calls.iter().map(|call| text(value(call, &rows, at))));
            add(&mut left, cells, 1);
        }
    }
    left
}

/// A batch: its rows, how far the watermark goes in it, the size of chunks, and whether it is lost once.
type Step = (Vec<Row>, i64, usize, bool);

fn step() -> impl Strategy<Value = Step> {
    let row = (0..3u8, prop::option::weighted(0.85, -5..5i64), 0..30i64);
    (prop::collection::vec(row, 0..14), 0..9i64, 1..9usize, any::<bool>())
}

fn compute(stage: &mut Stage<'_>, rows: &[Row], watermark: i64, chunk_rows: usize) -> Multiset {
    for rows in rows.chunks(chunk_rows) {
        assert!(stage.process(chunk(rows)).unwrap().is_empty());
    }
    stage.process(mark(watermark)).unwrap();
    let mut left = Multiset::new();
    stage.end_batch().unwrap().iter().for_each(|(_, chunk)| collect(chunk, &mut left));
    left
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn each_row_leaves_once_with_what_all_rows_before_it_make(
        steps in prop::collection::vec(step(), 1..7),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let all = calls();
        let calls: Vec<OverCall> = chosen.iter().map(|index| index.get(&all).clone()).collect();
        let maker = maker(calls.clone());
        let mut stage = Stage::new(&*maker.make, &maker.specs, 0, 1);
        let (mut accepted, mut left, mut watermark): (Vec<Row>, _, i64) = (vec![], Multiset::new(), 0);
        for (rows, further, chunk_rows, is_lost) in &steps {
            let rows: Vec<Row> = rows.iter().map(|(k, v, ts)| (*k, *v, ts + watermark - 5)).collect();
            // In the first batch there is no watermark yet.
            let is_late = |row: &Row| stage.backend.rows() > 0 && row.2 < watermark;
            let late = rows.iter().filter(|row| is_late(row)).count();
            accepted.extend(rows.iter().filter(|row| !is_late(row)));
            let next = watermark + further;
            if *is_lost {
                compute(&mut stage, &rows, next, chunk_rows + 3);
                stage.crash();
            }
            let before = stage.late;
            for (row, weight) in compute(&mut stage, &rows, next, *chunk_rows) {
                prop_assert!(weight > 0);
                add(&mut left, row, weight);
            }
            prop_assert_eq!(stage.late - before, late);
            stage.commit();
            watermark = next;
            prop_assert_eq!(&left, &answer(&accepted, &calls, watermark));
        }
    }
}

#[test]
fn no_more_is_kept_than_a_frame_can_see() {
    let of = |function, frame| OverCall { function, frame };
    let kept = |call: OverCall| {
        let maker = maker(vec![call]);
        let mut stage = Stage::new(&*maker.make, &maker.specs, 0, 1);
        for ts in 0..100 {
            compute(&mut stage, &[(0, Some(1), ts)], ts, 1);
            stage.commit();
        }
        compute(&mut stage, &[], 200, 1);
        stage.commit();
        // Without the row of marks and that of the partition.
        stage.backend.rows() - 2
    };
    assert_eq!(kept(of(OverFunction::RowNumber, ALL_ROWS)), 0);
    assert_eq!(kept(of(OverFunction::Lag { argument: 1, rows: 3, default: None }, ALL_ROWS)), 3);
    assert_eq!(kept(of(OverFunction::First(1), ROWS)), 2);
    assert_eq!(kept(of(OverFunction::First(1), ALL_TIMES)), 1);
    assert_eq!(kept(of(OverFunction::First(1), TIMES)), 0);
}

#[test]
fn the_formats_of_state_are_these() {
    let all = maker(calls());
    let formats: Vec<String> =
        all.specs.iter().map(|spec| format!("{}: {}", spec.name, spec.format)).collect();
    assert_eq!(
        formats[1..3],
        [
            "q.over.waiting: row-index key(end, length, k str; order: ts ts_ms; row: v i64, no i64) -> #1 weight i64",
            "q.over.rows: row-index key(length, k str; number i64) -> #1 ts ts_ms, #2 v i64",
        ]
    );
    let two = maker(calls().into_iter().filter(|call| call.frame == ALL_ROWS).collect());
    assert_eq!(
        two.specs[0].format,
        "rows key(k str) -> #1 rows i64, #2 times i64, #3 \"count(*).count\" i64, #4 \"sum(v).sum\" i64, \
         #5 \"sum(v).count\" i64, #6 \"min(v).min\" i64, #7 \"max(v).max\" i64"
    );
}
