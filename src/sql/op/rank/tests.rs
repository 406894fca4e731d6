//! Top-N against a naive recomputation over all rows that are there, after every batch.

use super::{OrderColumn, RankFunction, Ranking, TopN, TopNPlan};
use crate::{
    operator::Operator,
    record::StampsBuilder,
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
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// Partition, what is sorted by, and the rest; `None` = NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    part: Option<u8>,
    value: Option<i32>,
    rest: u8,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("rest", DataType::Utf8, true),
        Field::new("value", DataType::Int32, true),
        Field::new("part", DataType::Utf8, true),
    ]))
}

fn delta_of(rows: &[(Row, i64)], has_weights: bool) -> Delta {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(row, _)| Some(format!("r{}", row.rest))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(row, _)| row.value).collect::<Int32Array>()),
        Arc::new(
            rows.iter().map(|(row, _)| row.part.map(|part| format!("p{part}"))).collect::<StringArray>(),
        ),
    ];
    let weights = has_weights.then(|| rows.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
    Delta { rows: RecordBatch::try_new(schema(), columns).unwrap(), weights }
}

fn ranking(function: RankFunction, has_partition: bool, descending: bool, shows_rank: bool) -> Ranking {
    Ranking {
        partition: if has_partition { vec![2] } else { vec![] },
        order: vec![OrderColumn { column: 1, is_descending: descending, is_null_greatest: false }],
        function,
        from: 1,
        to: 2,
        shows_rank,
    }
}

/// What passes of these rows.
fn answer(live: &[Row], ranking: &Ranking) -> Multiset {
    let mut partitions = BTreeMap::<Option<u8>, Vec<Row>>::new();
    for row in live {
        let part = if ranking.partition.is_empty() { None } else { row.part };
        partitions.entry(part).or_default().push(*row);
    }
    let mut passes = Multiset::new();
    for mut rows in partitions.into_values() {
        // Ties: by the other columns, from left to right.
        if ranking.order[0].is_descending {
            rows.sort_by_key(|row| (Reverse(row.value), row.rest, row.part));
        } else {
            rows.sort_by_key(|row| (row.value, row.rest, row.part));
        }
        let (mut number, mut dense) = (0, 0);
        for (at, row) in rows.iter().enumerate() {
            let is_tie = at > 0 && rows[at - 1].value == row.value;
            dense += i64::from(!is_tie);
            number = match ranking.function {
                RankFunction::RowNumber => i64::try_from(at).unwrap() + 1,
                RankFunction::Rank if is_tie => number,
                RankFunction::Rank => i64::try_from(at).unwrap() + 1,
                RankFunction::DenseRank => dense,
            };
            if (ranking.from..=ranking.to).contains(&number) {
                let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
                let mut cells = vec![
                    format!("r{}", row.rest),
                    text(row.value.map(|value| value.to_string())),
                    text(row.part.map(|part| format!("p{part}"))),
                ];
                cells.extend(ranking.shows_rank.then(|| number.to_string()));
                add(&mut passes, cells, 1);
            }
        }
    }
    passes
}

struct Maker {
    make: Box<dyn Fn() -> Box<dyn Operator>>,
    specs: Vec<StoreSpec>,
}

fn maker(ranking: &Ranking, is_append_only: bool) -> Maker {
    let mut fields = schema().fields().to_vec();
    fields.extend(ranking.shows_rank.then(|| Arc::new(Field::new("n", DataType::Int64, false))));
    let output = Arc::new(Schema::new(fields));
    let plan = Arc::new(TopNPlan::new(&schema(), ranking.clone(), false, is_append_only, output).unwrap());
    let specs = vec![plan.store("q.top-n")];
    Maker { make: Box::new(move || Box::new(TopN::new(plan.clone(), Handle::at(0), None))), specs }
}

fn row() -> impl Strategy<Value = Row> {
    (prop::option::weighted(0.9, 0..3u8), prop::option::weighted(0.9, 0..4i32), 0..3u8)
        .prop_map(|(part, value, rest)| Row { part, value, rest })
}

/// A batch: rows to add, which of those that are there to take away, the size of chunks, and whether it is lost once.
type Step = (Vec<Row>, Vec<prop::sample::Index>, usize, bool);

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec(row(), 0..10),
        prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        1..9usize,
        any::<bool>(),
    )
}

fn compute(stage: &mut Stage<'_>, rows: &[(Row, i64)], chunk_rows: usize, has_weights: bool) -> Multiset {
    let mut changes = Multiset::new();
    for rows in rows.chunks(chunk_rows) {
        let ms: StampsBuilder = rows.iter().map(|(row, _)| i64::from(row.rest)).collect();
        let sent = stage.process(delta_of(rows, has_weights).into_chunk().stamped(ms.build())).unwrap();
        assert!(sent.is_empty());
    }
    stage.end_batch().unwrap().iter().for_each(|(_, chunk)| collect(chunk, &mut changes));
    changes
}

fn run(steps: &[Step], ranking: &Ranking, is_changing: bool) {
    let maker = maker(ranking, !is_changing);
    let mut stage = Stage::new(&*maker.make, &maker.specs, 0, 1);
    let (mut live, mut shown): (Vec<Row>, Multiset) = (vec![], Multiset::new());
    for (added, removed, chunk_rows, is_lost) in steps {
        let mut rows: Vec<(Row, i64)> = added.iter().map(|row| (*row, 1)).collect();
        live.extend(added);
        if is_changing {
            for index in removed {
                if !live.is_empty() {
                    rows.push((live.swap_remove(index.index(live.len())), -1));
                }
            }
        }
        if *is_lost {
            compute(&mut stage, &rows, chunk_rows + 3, is_changing);
            stage.crash();
        }
        for (row, weight) in compute(&mut stage, &rows, *chunk_rows, is_changing) {
            add(&mut shown, row, weight);
        }
        stage.commit();
        assert_eq!(shown, answer(&live, ranking));
        if !is_changing && ranking.function == RankFunction::RowNumber {
            let parts = if ranking.partition.is_empty() { 1 } else { 4 };
            let most = parts * u64::try_from(ranking.to).unwrap();
            assert!(stage.backend.rows() <= most, "no more is kept than passes");
        }
    }
    if is_changing {
        let rest: Vec<(Row, i64)> = live.drain(..).map(|row| (row, -1)).collect();
        for (row, weight) in compute(&mut stage, &rest, 3, true) {
            add(&mut shown, row, weight);
        }
        stage.commit();
        assert_eq!((shown, stage.backend.rows()), (Multiset::new(), 0), "what is empty takes no byte");
    }
}

fn function() -> impl Strategy<Value = RankFunction> {
    prop_oneof![Just(RankFunction::RowNumber), Just(RankFunction::Rank), Just(RankFunction::DenseRank)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_first_rows_are_those_of_all_rows_that_are_there(
        steps in prop::collection::vec(step(), 1..6), function in function(), has_partition in any::<bool>(),
        descending in any::<bool>(), shows_rank in any::<bool>(), is_changing in any::<bool>(),
        bounds in prop_oneof![Just((1, 2)), Just((1, 1)), Just((2, 2)), Just((2, 4))],
    ) {
        let ranking = Ranking {
            from: bounds.0, to: bounds.1, ..ranking(function, has_partition, descending, shows_rank)
        };
        run(&steps, &ranking, is_changing);
    }

    #[test]
    fn any_cut_of_a_batch_gives_the_same_end(
        rows in prop::collection::vec((row(), 1..3i64), 0..40), chunk_rows in 1..40usize, function in function(),
    ) {
        let maker = maker(&ranking(function, true, true, true), false);
        let [whole, cut] = [1_000, chunk_rows].map(|chunk_rows| {
            compute(&mut Stage::new(&*maker.make, &maker.specs, 0, 1), &rows, chunk_rows, true)
        });
        prop_assert_eq!(whole, cut);
    }
}

#[test]
fn of_a_large_batch_no_more_is_held_than_passes() {
    let ranking = ranking(RankFunction::RowNumber, true, true, false);
    let maker = maker(&ranking, true);
    let mut stage = Stage::new(&*maker.make, &maker.specs, 0, 1);
    let rows: Vec<(Row, i64)> = (0..60_000)
        .map(|n| {
            (Row { part: Some(u8::try_from(n % 3).unwrap()), value: Some(n * 7_919 % 60_000), rest: 0 }, 1)
        })
        .collect();
    let live: Vec<Row> = rows.iter().map(|(row, _)| *row).collect();
    let mut shown = Multiset::new();
    for rows in rows.chunks(1_000) {
        stage.process(delta_of(rows, false).into_chunk()).unwrap();
        assert!(stage.held_bytes() < 2_000_000, "{}", stage.held_bytes());
    }
    stage.end_batch().unwrap().iter().for_each(|(_, chunk)| collect(chunk, &mut shown));
    stage.commit();
    assert_eq!(shown, answer(&live, &ranking));
    assert_eq!(stage.backend.rows(), 6);
}

#[test]
fn a_row_that_is_not_there_cannot_be_taken_away() {
    let maker = maker(&ranking(RankFunction::RowNumber, true, true, false), false);
    let mut stage = Stage::new(&*maker.make, &maker.specs, 0, 1);
    let row = Row { part: None, value: None, rest: 0 };
    stage.process(delta_of(&[(row, -1)], true).into_chunk()).unwrap();
    assert!(stage.end_batch().err().unwrap().to_string().contains("contradict each other"));
}

#[test]
fn the_bytes_of_state_are_these() {
    let ranking = ranking(RankFunction::RowNumber, true, true, false);
    let plan = TopNPlan::new(&schema(), ranking, false, true, schema()).unwrap();
    assert_eq!(
        plan.store("q.top-n").format,
        "row-index key(length, part str; order: value i32 desc nulls last; row: rest str) -> #1 weight i64"
    );
    let row = Row { part: Some(7), value: Some(2), rest: 1 };
    let mut keys = vec![];
    let delta = delta_of(&[(row, 1)], false);
    plan.each_key(&delta.rows, None, |_, key, shared| {
        keys.push((key.to_vec(), shared));
        Ok(())
    })
    .unwrap();
    // The length 5, `p7` as a key; 2 with all bits flipped; `r1`.
    let expected = b"\x05\x01p7\0\0\xfe\x7f\xff\xff\xfd\x01r1\0\0";
    assert_eq!(keys, [(expected.to_vec(), 6)]);
    assert_eq!(plan.columns(keys.iter().map(|(key, _)| &key[..])).unwrap(), delta.rows.columns());
    assert!(plan.columns([&b"\x09\x01"[..]].into_iter()).unwrap_err().to_string().contains("no partition"));
}
