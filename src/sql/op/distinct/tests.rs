//! Set operations against a naive recomputation over all rows that are there, after every batch.

use super::{SetKind, SetOperation, SetPlan};
use crate::{
    operator::{Operator, Port},
    sql::{
        Delta,
        op::tests::driver::{Multiset, Stage, add, collect},
    },
    state::{Handle, StoreSpec},
};
use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

type Row = (Option<u8>, u8);

fn schema() -> SchemaRef {
    let fields = [("a", DataType::Utf8), ("b", DataType::Int32)];
    Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()))
}

fn delta_of(rows: &[(Row, i64)], has_weights: bool) -> Delta {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|((a, _), _)| a.map(|a| a.to_string())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|((_, b), _)| Some(i32::from(*b))).collect::<Int32Array>()),
    ];
    let weights = has_weights.then(|| rows.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
    Delta { rows: RecordBatch::try_new(schema(), columns).unwrap(), weights }
}

fn answer(live: &[Vec<Row>; 2], kind: SetKind) -> Multiset {
    let mut counts = BTreeMap::<Row, [i64; 2]>::new();
    for (side, rows) in live.iter().enumerate() {
        for row in rows {
            counts.entry(*row).or_default()[side] += 1;
        }
    }
    let mut rows = Multiset::new();
    for ((a, b), [first, second]) in counts {
        let count = match kind {
            SetKind::Intersect => i64::from(first > 0 && second > 0),
            SetKind::IntersectAll => first.min(second),
            SetKind::Except => i64::from(first > 0 && second == 0),
            SetKind::ExceptAll => (first - second).max(0),
        };
        if count > 0 {
            add(&mut rows, vec![a.map_or("-".into(), |a| a.to_string()), b.to_string()], count);
        }
    }
    rows
}

/// A batch: rows to add to each side, which of those that are there to take away, the size of chunks, and whether it is lost once.
type Step = ([Vec<Row>; 2], [Vec<prop::sample::Index>; 2], usize, bool);

fn step() -> impl Strategy<Value = Step> {
    let rows = || prop::collection::vec((prop::option::weighted(0.8, 0..3u8), 0..2u8), 0..8);
    let gone = || prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    ([rows(), rows()], [gone(), gone()], 1..9usize, any::<bool>())
}

fn compute(stage: &mut Stage<'_>, rows: &[Vec<(Row, i64)>; 2], chunk_rows: usize) -> Multiset {
    for (side, rows) in (0..).zip(rows) {
        for rows in rows.chunks(chunk_rows) {
            assert!(stage.process_at(Port(side), delta_of(rows, true).into_chunk()).unwrap().is_empty());
        }
    }
    let mut changes = Multiset::new();
    stage.end_batch().unwrap().iter().for_each(|(_, chunk)| collect(chunk, &mut changes));
    changes
}

fn run(steps: &[Step], kind: SetKind, takes_away: bool) {
    // Any order of columns is one of the key.
    let plan = Arc::new(SetPlan::new(kind, vec![1, 0], schema(), !takes_away && kind.grows()).unwrap());
    let specs: Vec<StoreSpec> = vec![plan.store("q.set")];
    let make = move || Box::new(SetOperation::new(plan.clone(), Handle::at(0), None)) as Box<dyn Operator>;
    let mut stage = Stage::new(&make, &specs, 0, 1);
    let (mut live, mut shown): ([Vec<Row>; 2], Multiset) = ([vec![], vec![]], Multiset::new());
    for (added, removed, chunk_rows, is_lost) in steps {
        let mut changes: [Vec<(Row, i64)>; 2] = [vec![], vec![]];
        for side in 0..2 {
            changes[side].extend(added[side].iter().map(|row| (*row, 1)));
            live[side].extend(&added[side]);
            for index in removed[side].iter().filter(|_| takes_away) {
                if !live[side].is_empty() {
                    let at = index.index(live[side].len());
                    changes[side].push((live[side].swap_remove(at), -1));
                }
            }
        }
        if *is_lost {
            compute(&mut stage, &changes, chunk_rows + 3);
            stage.crash();
        }
        for (row, weight) in compute(&mut stage, &changes, *chunk_rows) {
            assert!(takes_away || weight > 0 || !kind.grows(), "it only grows");
            add(&mut shown, row, weight);
        }
        stage.commit();
        assert_eq!(shown, answer(&live, kind));
    }
    if !takes_away {
        return;
    }
    let rest = live.map(|rows| rows.into_iter().map(|row| (row, -1)).collect());
    for (row, weight) in compute(&mut stage, &rest, 3) {
        add(&mut shown, row, weight);
    }
    stage.commit();
    assert_eq!((shown, stage.backend.rows()), (Multiset::new(), 0), "what is empty takes no byte");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_that_of_all_rows_that_are_there(
        steps in prop::collection::vec(step(), 1..6), takes_away in any::<bool>(),
        kind in prop_oneof![
            Just(SetKind::Intersect), Just(SetKind::IntersectAll), Just(SetKind::Except), Just(SetKind::ExceptAll)
        ],
    ) {
        run(&steps, kind, takes_away);
    }
}

#[test]
fn a_row_that_is_not_there_cannot_be_taken_away() {
    let plan = Arc::new(SetPlan::new(SetKind::Except, vec![0, 1], schema(), false).unwrap());
    assert_eq!(plan.store("q.set").format, "rows key(a str, b i32) -> #1 first i64, #2 second i64");
    let specs = vec![plan.store("q.set")];
    let make = move || Box::new(SetOperation::new(plan.clone(), Handle::at(0), None)) as Box<dyn Operator>;
    let mut stage = Stage::new(&make, &specs, 0, 1);
    stage.process(delta_of(&[((None, 1), -1)], true).into_chunk()).unwrap();
    assert!(stage.end_batch().err().unwrap().to_string().contains("contradict each other"));
}

mod first {
    use crate::sql::op::{Deduplicate, DeduplicatePlan, Expiry};
    use crate::{
        operator::{Gives, Operator, Upstream, UpstreamMark, UpstreamName},
        record::TopicPartition,
        sql::{
            Delta, Payload,
            op::{
                tests::driver::{Multiset, Stage, add, collect},
                window::{Closing, WindowEnds, WindowMarks},
            },
        },
        state::Handle,
    };
    use arrow::{
        array::{ArrayRef, Int32Array, RecordBatch, TimestampMillisecondArray},
        datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    };
    use proptest::prelude::*;
    use std::{collections::BTreeMap, sync::Arc};

    /// Key, value, time.
    type Row = (i32, i32, i64);

    fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let fields = [("k", DataType::Int32), ("v", DataType::Int32), ("ts", time)];
        Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()))
    }

    fn compute(stage: &mut Stage<'_>, rows: &[Row], watermark: Option<i64>, chunk_rows: usize) -> Multiset {
        for rows in rows.chunks(chunk_rows) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int32Array>()),
                Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int32Array>()),
                Arc::new(rows.iter().map(|row| Some(row.2)).collect::<TimestampMillisecondArray>()),
            ];
            let rows = RecordBatch::try_new(schema(), columns).unwrap();
            assert!(stage.process(Delta::added(rows).into_chunk()).unwrap().is_empty());
        }
        if let Some(time_ms) = watermark {
            let upstream = UpstreamName::of_part(&Upstream::Source(TopicPartition::new("in", 0)), "t");
            let mark = UpstreamMark { upstream, time_ms: Some(time_ms), idle: false };
            stage.process(Payload::marks(vec![mark])).unwrap();
        }
        let mut left = Multiset::new();
        stage.end_batch().unwrap().iter().for_each(|(_, chunk)| collect(chunk, &mut left));
        left
    }

    /// A batch: its rows, how far the watermark goes in it, the size of chunks, and whether it is lost once.
    type Step = (Vec<Row>, i64, usize, bool);

    fn step() -> impl Strategy<Value = Step> {
        let row = (0..4i32, 0..3i32, 0..20i64);
        (prop::collection::vec(row, 0..9), 0..9i64, 1..9usize, any::<bool>())
    }

    fn run(steps: &[Step], expiry: Option<Expiry>) {
        let keys = if expiry.is_some_and(|expiry| expiry.after_ms == 0) { vec![0, 2] } else { vec![0] };
        let plan = Arc::new(DeduplicatePlan::new(&schema(), keys.clone(), expiry).unwrap());
        let mut specs = plan.stores("q.deduplicate");
        specs.push(WindowMarks::store("q.deduplicate"));
        let make = move || {
            let ends = WindowEnds { step_ms: 1, offset_ms: 0 };
            let closing = || Closing::new(Gives::Updates, ends, Handle::at(2), None);
            let expiry = expiry.map(|_| (Handle::at(1), closing()));
            Box::new(Deduplicate::new(plan.clone(), Handle::at(0), expiry)) as Box<dyn Operator>
        };
        let mut stage = Stage::new(&make, &specs, 0, 1);
        // Key -> when it is forgotten.
        let (mut seen, mut watermark) = (BTreeMap::<(i32, Option<i64>), i64>::new(), None::<i64>);
        for (rows, further, chunk_rows, is_lost) in steps {
            let at = watermark.unwrap_or(0);
            let mut rows: Vec<Row> = rows.iter().map(|(k, v, ts)| (*k, *v, ts + at - 5)).collect();
            let next = at + further;
            if *is_lost {
                compute(&mut stage, &rows, Some(next), chunk_rows + 3);
                stage.crash();
            }
            let left = compute(&mut stage, &rows, Some(next), *chunk_rows);
            stage.commit();
            rows.retain(|row| expiry.is_none() || watermark.is_none_or(|watermark| row.2 >= watermark));
            // The least row of each key, by time if there is one that counts.
            rows.sort_by_key(|(k, v, ts)| {
                if expiry.is_some() {
                    (*ts, *k, *v)
                } else {
                    (i64::from(*k), *v, i32::try_from(*ts).unwrap())
                }
            });
            let mut expected = Multiset::new();
            for (k, v, ts) in rows {
                let key = (k, Some(ts).filter(|_| keys.len() == 2));
                if let std::collections::btree_map::Entry::Vacant(entry) = seen.entry(key) {
                    entry.insert(expiry.map_or(i64::MAX, |expiry| ts + expiry.after_ms.max(1)));
                    let times = TimestampMillisecondArray::from(vec![ts]);
                    let ts = arrow::util::display::array_value_to_string(&times, 0).unwrap();
                    add(&mut expected, vec![k.to_string(), v.to_string(), ts], 1);
                }
            }
            assert_eq!(left, expected);
            watermark = Some(next);
            seen.retain(|_, until| *until > next);
            let stored = u64::try_from(seen.len()).unwrap();
            let marks = u64::from(expiry.is_some());
            assert_eq!(stage.backend.rows(), stored * (1 + marks) + marks, "no more is kept");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        #[test]
        fn the_first_row_of_each_key_leaves_until_the_key_is_forgotten(
            steps in prop::collection::vec(step(), 1..7),
            after_ms in prop_oneof![Just(None), Just(Some(0)), Just(Some(7))],
        ) {
            run(&steps, after_ms.map(|after_ms| Expiry { time: 2, after_ms }));
        }
    }
}
