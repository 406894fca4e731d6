//! Joins against a model that keeps all rows: what has left after every batch, and what is stored at the end.

#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::too_many_arguments,
    clippy::single_match_else,
    clippy::format_collect,
    reason = "tests say what they mean"
)]

use super::{Join, JoinKind, JoinPlan, JoinSide, JoinTime, Side};
use crate::{
    operator::{Operator, Port, Upstream, UpstreamMark, UpstreamName},
    record::{Chunk, TopicPartition},
    sql::{
        Delta, Payload,
        op::tests::driver::{Multiset, Stage, add, collect},
    },
    state::{Handle, StoreSpec},
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion_expr::Operator as Op;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, CastExpr, Column, lit},
};
use proptest::prelude::*;
use std::sync::Arc;

/// Key, value, time.
type Row = (Option<u8>, u8, i64);

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Full, JoinKind::Semi, JoinKind::Anti, JoinKind::Mark];

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields = [("k", DataType::Int64), ("v", DataType::Int64), ("ts", time)];
    Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()))
}

fn output(kind: JoinKind) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema().fields().to_vec();
    if kind.gives_pairs() {
        fields.extend(schema().fields().iter().cloned());
    } else if kind == JoinKind::Mark {
        fields.push(Arc::new(Field::new("mark", DataType::Boolean, false)));
    }
    Arc::new(Schema::new(fields))
}

fn chunk(rows: &[(Row, i64)], has_weights: bool) -> Chunk {
    let rows_only = || rows.iter().map(|(row, _)| row);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows_only().map(|row| row.0.map(i64::from)).collect::<Int64Array>()),
        Arc::new(rows_only().map(|row| Some(i64::from(row.1))).collect::<Int64Array>()),
        Arc::new(rows_only().map(|row| Some(row.2)).collect::<TimestampMillisecondArray>()),
    ];
    let weights = has_weights.then(|| rows.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
    Delta { rows: RecordBatch::try_new(schema(), columns).unwrap(), weights }.into_chunk()
}

fn text((k, v, ts): &Row) -> Vec<String> {
    let time = TimestampMillisecondArray::from(vec![*ts]);
    let time = arrow::util::display::array_value_to_string(&time, 0).unwrap();
    vec![k.map_or_else(|| "-".into(), |k| k.to_string()), v.to_string(), time]
}

/// The answer over all rows.
fn answer(kind: JoinKind, left: &[Row], right: &[Row], meets: &dyn Fn(&Row, &Row) -> bool) -> Multiset {
    let mut rows = Multiset::new();
    let nulls = || vec!["-".to_owned(); 3];
    for a in left {
        let partners: Vec<&Row> = right.iter().filter(|b| meets(a, b)).collect();
        let is_alone = partners.is_empty();
        match kind {
            JoinKind::Semi if !is_alone => add(&mut rows, text(a), 1),
            JoinKind::Anti if is_alone => add(&mut rows, text(a), 1),
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Mark => add(&mut rows, [text(a), vec![(!is_alone).to_string()]].concat(), 1),
            _ => {
                partners.iter().for_each(|b| add(&mut rows, [text(a), text(b)].concat(), 1));
                if is_alone && kind != JoinKind::Inner {
                    add(&mut rows, [text(a), nulls()].concat(), 1);
                }
            }
        }
    }
    if kind == JoinKind::Full {
        for b in right.iter().filter(|b| !left.iter().any(|a| meets(a, b))) {
            add(&mut rows, [nulls(), text(b)].concat(), 1);
        }
    }
    rows
}

fn column(name: &str, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, at))
}

fn compared(a: Arc<dyn PhysicalExpr>, op: Op, b: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(a, op, b))
}

/// The value of the left is at most that of the right.
fn condition() -> Arc<dyn PhysicalExpr> {
    compared(column("v", 1), Op::LtEq, column("v", 4))
}

/// The time of the right less that of the left is between these.
fn within(from_ms: i64, to_ms: i64) -> Arc<dyn PhysicalExpr> {
    let ms = |at| Arc::new(CastExpr::new(column("ts", at), DataType::Int64, None)) as Arc<dyn PhysicalExpr>;
    let difference = || compared(ms(5), Op::Minus, ms(2));
    compared(
        compared(difference(), Op::GtEq, lit(from_ms)),
        Op::And,
        compared(difference(), Op::LtEq, lit(to_ms)),
    )
}

fn plan(kind: JoinKind, keys: &[usize]) -> JoinPlan {
    let side = |columns| JoinSide { keys: keys.to_vec(), columns, is_unique: false };
    JoinPlan::new(kind, [&schema(), &schema()], [side(3), side(3)], output(kind)).unwrap()
}

struct Maker {
    make: Box<dyn Fn() -> Box<dyn Operator>>,
    stores: Vec<StoreSpec>,
}

fn maker(plan: JoinPlan) -> Maker {
    let plan = Arc::new(plan);
    let stores = plan.stores("q.join");
    let marks = (stores.len() > 2).then(|| Handle::at(2));
    let make = move || {
        Box::new(Join::new(plan.clone(), [Handle::at(0), Handle::at(1)], marks).unwrap()) as Box<dyn Operator>
    };
    Maker { make: Box::new(make), stores }
}

/// What leaves when a batch is computed: rows of both sides in chunks of this size, in turn.
fn compute(
    stage: &mut Stage<'_>,
    rows: &[(Side, Row, i64)],
    chunk_rows: usize,
    has_weights: bool,
) -> Vec<Chunk> {
    let mut left = vec![];
    for rows in rows.chunks(chunk_rows) {
        for side in Side::BOTH {
            let of_side: Vec<(Row, i64)> =
                rows.iter().filter(|row| row.0 == side).map(|row| (row.1, row.2)).collect();
            if !of_side.is_empty() {
                let port = Port(side.index() as u8);
                left.extend(stage.process_at(port, chunk(&of_side, has_weights)).unwrap());
            }
        }
    }
    left.extend(stage.end_batch().unwrap());
    left.into_iter().map(|(_, chunk)| chunk).collect()
}

fn row() -> impl Strategy<Value = Row> {
    (prop::option::weighted(0.9, 0..3_u8), 0..3_u8, 0..2_i64)
}

/// For each batch what to do: a row to add to a side, or the number of one to take from it.
fn batches() -> impl Strategy<Value = Vec<Vec<(bool, Row, Option<usize>)>>> {
    let change = (any::<bool>(), row(), prop::option::weighted(0.4, 0..100_usize));
    prop::collection::vec(prop::collection::vec(change, 0..14), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_has_left_is_the_join_of_all_rows(
        batches in batches(),
        kind in prop::sample::select(KINDS.to_vec()),
        has_condition in any::<bool>(),
        chunks in 1..9_usize,
        crashes in any::<u8>(),
    ) {
        let plan = plan(kind, &[0]).when(has_condition.then(condition));
        let maker = maker(plan);
        let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
        let mut other = Stage::new(&*maker.make, &maker.stores, 0, 1);
        let meets = |a: &Row, b: &Row| a.0.is_some() && a.0 == b.0 && (!has_condition || a.1 <= b.1);
        let (mut live, mut rows) = ([vec![], vec![]], Multiset::new());
        let mut all_away = vec![];
        for (number, batch) in batches.iter().enumerate() {
            let mut changes = vec![];
            for (is_left, row, taken) in batch {
                let side = if *is_left { Side::Left } else { Side::Right };
                let live: &mut Vec<Row> = &mut live[side.index()];
                match taken.filter(|_| !live.is_empty()) {
                    Some(at) => changes.push((side, live.swap_remove(at % live.len()), -1)),
                    None => {
                        live.push(*row);
                        changes.push((side, *row, 1));
                    }
                }
            }
            if crashes >> (number % 8) & 1 == 1 {
                compute(&mut stage, &changes, chunks + 1, true);
                stage.crash();
            }
            let (mut cut, mut whole) = (rows.clone(), rows.clone());
            compute(&mut stage, &changes, chunks, true).iter().for_each(|chunk| collect(chunk, &mut cut));
            compute(&mut other, &changes, 1_000, true).iter().for_each(|chunk| collect(chunk, &mut whole));
            stage.commit();
            other.commit();
            rows = answer(kind, &live[0], &live[1], &meets);
            prop_assert_eq!(&cut, &rows, "{:?} after batch {}", kind, number);
            prop_assert_eq!(&whole, &rows, "{:?} after batch {}, in one chunk", kind, number);
        }
        for side in Side::BOTH {
            all_away.extend(live[side.index()].iter().map(|row| (side, *row, -1)));
        }
        compute(&mut stage, &all_away, chunks, true).iter().for_each(|chunk| collect(chunk, &mut rows));
        stage.commit();
        prop_assert_eq!(rows, Multiset::new());
        prop_assert_eq!(stage.backend.rows(), 0, "nothing is stored");
    }

    #[test]
    fn a_row_that_comes_and_goes_in_one_batch_leaves_nothing(
        rows in prop::collection::vec((any::<bool>(), row()), 1..8),
        kind in prop::sample::select(KINDS.to_vec()),
        has_condition in any::<bool>(),
        chunks in 1..5_usize,
    ) {
        let maker = maker(plan(kind, &[0]).when(has_condition.then(condition)));
        let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
        let side = |is_left: bool| if is_left { Side::Left } else { Side::Right };
        let changes: Vec<(Side, Row, i64)> = [1, -1]
            .into_iter()
            .flat_map(|weight| rows.iter().map(move |(is_left, row)| (side(*is_left), *row, weight)))
            .collect();
        let mut left = Multiset::new();
        compute(&mut stage, &changes, chunks, true).iter().for_each(|chunk| collect(chunk, &mut left));
        stage.commit();
        prop_assert_eq!(left, Multiset::new());
        prop_assert_eq!(stage.backend.rows(), 0);
    }

    #[test]
    fn with_a_bound_of_time_nothing_is_lost_and_everything_goes(
        batches in prop::collection::vec(
            (prop::collection::vec((any::<bool>(), row(), -12..4_i64), 0..10), 0..9_i64),
            1..8,
        ),
        kind in prop::sample::select(KINDS.to_vec()),
        bounds in prop::sample::select(vec![(-5, 7), (0, 0), (0, 12), (-9, -2), (3, 40), (-1, 1)]),
        is_append_only in any::<bool>(),
        chunks in 1..6_usize,
    ) {
        let (from_ms, to_ms) = bounds;
        let time = JoinTime::Bound { times: [2, 2], from_ms, to_ms };
        let plan = plan(kind, &[0])
            .when(Some(within(from_ms, to_ms)))
            .growing(true, is_append_only || !kind.waits_for_absence())
            .bounded(Some(time));
        timed(&batches, kind, plan, chunks, time, is_append_only, &|a, b| {
            a.0.is_some() && a.0 == b.0 && (from_ms..=to_ms).contains(&(b.2 - a.2))
        })?;
    }

    #[test]
    fn windows_go_when_they_are_closed(
        batches in prop::collection::vec(
            (prop::collection::vec((any::<bool>(), row(), -12..4_i64), 0..10), 0..9_i64),
            1..8,
        ),
        kind in prop::sample::select(KINDS.to_vec()),
        is_append_only in any::<bool>(),
        chunks in 1..6_usize,
    ) {
        // The time is the end of a window of 5.
        let in_windows: Vec<_> = batches
            .iter()
            .map(|(rows, step)| {
                let ended = rows.iter().map(|(side, row, ts)| (*side, *row, *ts));
                (ended.collect::<Vec<_>>(), *step)
            })
            .collect();
        let at = crate::sql::op::WindowEnds { step_ms: 1, offset_ms: 0 };
        let time = JoinTime::Windows { ends: [2, 2], at };
        let plan = plan(kind, &[2, 0])
            .growing(true, is_append_only || !kind.waits_for_absence())
            .bounded(Some(time));
        timed(&in_windows, kind, plan, chunks, time, is_append_only, &|a, b| {
            a.0.is_some() && a.0 == b.0 && a.2 == b.2
        })?;
    }
}

type TimedBatch = (Vec<(bool, Row, i64)>, i64);

/// Rows whose times are near a watermark that goes on with each batch, and then one that is far ahead.
fn timed(
    batches: &[TimedBatch],
    kind: JoinKind,
    plan: JoinPlan,
    chunks: usize,
    time: JoinTime,
    is_append_only: bool,
    meets: &dyn Fn(&Row, &Row) -> bool,
) -> Result<(), TestCaseError> {
    let maker = maker(plan);
    let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
    let (mut watermark, mut before) = (20_i64, None);
    let (mut live, mut rows, mut late) = ([vec![], vec![]], Multiset::new(), 0);
    let far = (vec![], 10_000);
    for (batch, step) in batches.iter().chain([&far]) {
        let mut changes = vec![];
        for (is_left, (k, v, _), near) in batch {
            let side = if *is_left { Side::Left } else { Side::Right };
            let row = (*k, *v, watermark + near + 5);
            if time.is_late(row.2, before) {
                late += 1;
            } else {
                live[side.index()].push(row);
            }
            changes.push((side, row, 1));
        }
        watermark += step;
        let mark = |partition| UpstreamMark {
            upstream: UpstreamName::of_part(&Upstream::Source(TopicPartition::new("in", partition)), "t"),
            time_ms: Some(watermark),
            idle: false,
        };
        for (port, partition) in [(Port(0), 0), (Port(1), 1), (Port(1), 0)] {
            stage.process_at(port, Payload::marks(vec![mark(partition)])).unwrap();
        }
        for chunk in compute(&mut stage, &changes, chunks, false) {
            collect(&chunk, &mut rows);
        }
        stage.commit();
        before = Some(watermark);
        if !is_append_only || matches!(kind, JoinKind::Inner | JoinKind::Semi) {
            prop_assert_eq!(&rows, &answer(kind, &live[0], &live[1], meets), "{:?} at {}", kind, watermark);
        }
    }
    prop_assert_eq!(&rows, &answer(kind, &live[0], &live[1], meets), "{:?} at the end", kind);
    prop_assert_eq!(stage.late, late);
    prop_assert_eq!(stage.backend.rows(), 1, "the marks alone are stored");
    Ok(())
}

#[test]
fn a_row_that_was_never_there_cannot_be_taken() {
    let maker = maker(plan(JoinKind::Inner, &[0]));
    let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
    stage.process_at(Port(1), chunk(&[((Some(1), 1, 1), -1)], true)).unwrap();
    let told = stage.end_batch().map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("a row was taken from a side of a join that does not have it"), "{told}");
}

#[test]
fn equal_rows_are_as_many_as_there_are() {
    for is_append_only in [false, true] {
        let plan = plan(JoinKind::Inner, &[0]).growing(is_append_only, is_append_only);
        let maker = maker(plan);
        let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
        let row = (Some(1), 2, 0);
        let twice = [(Side::Left, row, 1), (Side::Left, row, 1)];
        assert!(compute(&mut stage, &twice, 9, !is_append_only).is_empty());
        stage.commit();
        let mut rows = Multiset::new();
        let thrice = [(Side::Right, row, 1), (Side::Right, row, 1), (Side::Right, row, 1)];
        compute(&mut stage, &thrice, 2, !is_append_only).iter().for_each(|chunk| collect(chunk, &mut rows));
        assert_eq!(rows.values().sum::<i64>(), 6);
    }
}

#[test]
fn stores_have_these_formats_and_keys() {
    let stores = |plan: JoinPlan| -> Vec<String> {
        plan.stores("q.join")
            .iter()
            .map(|spec| format!("{} ({}): {}", spec.name, spec.placement, spec.format))
            .collect()
    };
    let untimed = stores(plan(JoinKind::Left, &[0]));
    assert_eq!(
        untimed,
        [
            "q.join.left (by the part of the key whose length comes first): row-index key(length, k i64, row) -> [weight, #1 k i64, #2 v i64, #3 ts ts_ms]",
            "q.join.right (by the part of the key whose length comes first): row-index key(length, k i64, row) -> [weight, #1 k i64, #2 v i64, #3 ts ts_ms]",
        ]
    );
    let time = JoinTime::Bound { times: [2, 2], from_ms: -2_000, to_ms: 2_000 };
    let timed = plan(JoinKind::Left, &[0]).growing(true, true).bounded(Some(time));
    assert_eq!(
        stores(timed.clone())[0],
        "q.join.left (by the part of the key whose length comes after a time): row-index key(time, length, k i64, row) -> [weight, matched, #1 k i64, #2 v i64, #3 ts ts_ms]"
    );
    let maker = maker(timed);
    let mut stage = Stage::new(&*maker.make, &maker.stores, 0, 1);
    compute(&mut stage, &[(Side::Left, (Some(7), 1, 5_000), 1)], 9, false);
    stage.commit();
    let mut shown = vec![];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    stage
        .backend
        .scan(crate::state::StoreId::of("q.join.left"), None, &mut |key, value| {
            shown.push(format!("{} {}", hex(key), hex(value)));
            Ok(true)
        })
        .unwrap();
    // It can go when the watermark is at 8000: a second, a quarter of the bound, is the step.
    let key = ["8000000000001f40", "09", "018000000000000007", "9ecbb76e0bc2ea49"].concat();
    // Length, weight, that it has met nobody, and the row: format 1, no NULL, 7, 1, 5000.
    let value = ["08", "02", "00", "01", "00", "0e", "02", "904e"].concat();
    assert_eq!(shown, [format!("{key} {value}")]);
}
