//! Aggregation against a naive recomputation over all rows that are there, after every batch.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::too_many_arguments,
    clippy::too_many_lines,
    clippy::redundant_clone,
    reason = "tests say what they mean"
)]

pub(in crate::sql) mod driver;
mod model;
mod values;

use super::{Aggregate, Aggregation, ByColumns, PartialAggregate, Takes};
use crate::{
    operator::Operator,
    record::{Partition, Stamps, StampsBuilder, partition_of},
    sql::{
        Delta, Payload,
        agg::{AggregateCall, AggregateFunction},
        rows::KeyFormat,
    },
    state::{Handle, StoreId, StoreSpec},
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use driver::{Multiset, Stage, collect, texts};
use model::{Double, Row, append_calls, call, delta_of, distinct_calls, input_schema, linear_calls};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use values::{all_values_calls, answer, by_value_calls, ordered_calls};

/// An aggregation on several source and state partitions.
struct Query<'m> {
    partials: Vec<Stage<'m>>,
    finals: Vec<Stage<'m>>,
}

struct Makers {
    partial: Box<dyn Fn() -> Box<dyn Operator>>,
    last: Box<dyn Fn() -> Box<dyn Operator>>,
    specs: Vec<StoreSpec>,
}

const STORE: &str = "q.aggregate";

fn makers(calls: &[AggregateCall], is_global: bool, takes: Takes) -> Makers {
    makers_of(calls, is_global, takes, true)
}

fn makers_of(calls: &[AggregateCall], is_global: bool, takes: Takes, is_append_only: bool) -> Makers {
    let keys = if is_global { vec![] } else { vec![0] };
    let aggregation =
        Arc::new(Aggregation::new(&input_schema(), keys.clone(), calls.to_vec(), is_append_only).unwrap());
    let mut fields: Vec<Field> = keys.iter().map(|key| input_schema().field(*key).clone()).collect();
    fields.extend(calls.iter().map(|call| Field::new(&call.name, call.data_type.clone(), true)));
    let output: SchemaRef = Arc::new(Schema::new(fields));
    let specs = aggregation.stores(STORE).unwrap();
    let of_partial = aggregation.clone();
    let partial = move || match takes {
        Takes::Partials => Box::new(PartialAggregate::new(of_partial.clone()).unwrap()) as Box<dyn Operator>,
        Takes::Rows => {
            let types: Vec<DataType> = keys.iter().map(|_| DataType::Utf8).collect();
            Box::new(ByColumns::new(keys.clone(), KeyFormat::new(&types).unwrap()))
        }
    };
    let values = aggregation.needs_values().then(|| Handle::at(1));
    let last = move || {
        let aggregate = Aggregate::new(aggregation.clone(), takes, Handle::at(0), values, output.clone());
        Box::new(aggregate.unwrap()) as Box<dyn Operator>
    };
    Makers { partial: Box::new(partial), last: Box::new(last), specs }
}

impl<'m> Query<'m> {
    fn new(makers: &'m Makers, sources: u32, partitions: u32) -> Self {
        let partials = (0..sources).map(|at| Stage::new(&*makers.partial, &[], at, partitions));
        let finals = (0..partitions).map(|at| Stage::new(&*makers.last, &makers.specs, at, partitions));
        Query { partials: partials.collect(), finals: finals.collect() }
    }

    /// One batch: its rows in chunks of this size, alternately from each source. Nothing is durable yet.
    fn compute(
        &mut self,
        rows: &[(Row, i64)],
        chunk_rows: usize,
        has_weights: bool,
    ) -> Vec<crate::record::Chunk> {
        let mut moved = vec![];
        let sources = self.partials.len();
        for (at, rows) in rows.chunks(chunk_rows).enumerate() {
            let ms: StampsBuilder = rows.iter().map(|(row, _)| i64::from(row.group.unwrap_or(9))).collect();
            let chunk = delta_of(rows, has_weights).into_chunk().stamped(ms.build());
            moved.extend(self.partials[at % sources].process(chunk).unwrap());
        }
        for partial in &mut self.partials {
            moved.extend(partial.end_batch().unwrap());
        }
        for (to, chunk) in moved {
            assert!(self.finals[to.0 as usize].process(chunk).unwrap().is_empty());
        }
        let ended = self.finals.iter_mut().map(|stage| stage.end_batch().unwrap());
        ended.flatten().map(|(_, chunk)| chunk).collect()
    }

    fn crash(&mut self) {
        self.partials.iter_mut().chain(&mut self.finals).for_each(Stage::crash);
    }

    fn commit(&mut self) {
        self.finals.iter_mut().for_each(Stage::commit);
    }

    fn stored_rows(&self) -> u64 {
        self.finals.iter().map(|stage| stage.backend.rows()).sum()
    }
}

fn row() -> impl Strategy<Value = Row> {
    let double = prop_oneof![
        8 => (-5000..5000).prop_map(Double::Dyadic),
        1 => Just(Double::Nan),
        1 => Just(Double::Infinite),
        1 => Just(Double::InfiniteBelow),
    ];
    (
        prop::option::weighted(0.9, 0..4u8),
        prop::option::weighted(0.8, -1000..1000),
        prop::option::weighted(0.8, double),
        prop::option::weighted(0.8, 0..9u8),
        prop::option::weighted(0.8, any::<bool>()),
    )
        .prop_map(|(group, integer, double, text, is_in)| Row { group, integer, double, text, is_in })
}

/// A batch: rows to add, which of those that are there to take away, the size of chunks, and whether it is lost once.
type Step = (Vec<Row>, Vec<prop::sample::Index>, usize, bool);

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec(row(), 0..12),
        prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        1..9usize,
        any::<bool>(),
    )
}

fn run(
    steps: &[Step],
    calls: &[AggregateCall],
    is_global: bool,
    takes: Takes,
    sources: u32,
    partitions: u32,
    is_changing: bool,
) {
    let makers = makers_of(calls, is_global, takes, !is_changing);
    let mut query = Query::new(&makers, sources, partitions);
    let (mut live, mut shown): (Vec<Row>, Multiset) = (vec![], Multiset::new());
    for (added, removed, chunk_rows, is_lost) in steps {
        let mut rows: Vec<(Row, i64)> = added.iter().map(|row| (row.clone(), 1)).collect();
        live.extend(added.iter().cloned());
        if is_changing {
            for index in removed {
                if !live.is_empty() {
                    rows.push((live.swap_remove(index.index(live.len())), -1));
                }
            }
        }
        if *is_lost {
            query.compute(&rows, chunk_rows + 3, is_changing);
            query.crash();
        }
        let mut per_row = BTreeMap::<Vec<String>, [u32; 2]>::new();
        for chunk in query.compute(&rows, *chunk_rows, is_changing) {
            let Payload::Rows(delta) = chunk.view::<Payload>() else { panic!("rows") };
            for row in 0..delta.rows.num_rows() {
                let key = texts(delta, row)[..usize::from(!is_global)].to_vec();
                per_row.entry(key).or_default()[usize::from(delta.weight(row) > 0)] += 1;
            }
            collect(&chunk, &mut shown);
        }
        query.commit();
        assert!(
            per_row.values().flatten().all(|n| *n <= 1),
            "at most one old and one new row of a group: {per_row:?}"
        );
        assert_eq!(shown, answer(&live, calls, is_global));
    }
    let rest: Vec<(Row, i64)> = live.drain(..).map(|row| (row, -1)).collect();
    if is_changing {
        for chunk in query.compute(&rest, 3, true) {
            collect(&chunk, &mut shown);
        }
        query.commit();
        assert_eq!(shown, answer(&[], calls, is_global));
        assert_eq!(query.stored_rows(), u64::from(is_global), "what is empty takes no byte");
    }
}

fn takes() -> impl Strategy<Value = Takes> {
    prop_oneof![Just(Takes::Rows), Just(Takes::Partials)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_over_changing_rows_is_that_of_all_rows_that_are_there(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), takes in takes(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        run(&steps, &linear_calls(), is_global, takes, sources, partitions, true);
    }

    #[test]
    fn the_answer_over_added_rows_is_that_of_all_rows(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), takes in takes(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        let calls: Vec<_> = linear_calls().into_iter().chain(append_calls()).collect();
        run(&steps, &calls, is_global, takes, sources, partitions, false);
    }

    #[test]
    fn values_that_change_give_the_least_the_greatest_and_what_is_distinct(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        let calls: Vec<_> = append_calls().into_iter().chain(distinct_calls()).chain(linear_calls()).collect();
        run(&steps, &calls, is_global, Takes::Rows, sources, partitions, true);
    }

    #[test]
    fn the_values_of_changing_groups_are_those_that_are_there(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        let calls: Vec<_> = all_values_calls().into_iter().chain(ordered_calls()).chain(by_value_calls()).collect();
        run(&steps, &calls, is_global, Takes::Rows, sources, partitions, true);
    }

    #[test]
    fn the_values_of_growing_groups_are_all_that_came(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        let calls: Vec<_> = all_values_calls().into_iter().chain(ordered_calls()).chain(linear_calls()).collect();
        run(&steps, &calls, is_global, Takes::Rows, sources, partitions, false);
    }

    #[test]
    fn the_first_row_in_an_order_needs_a_state_only(
        steps in prop::collection::vec(step(), 1..6),
        is_global in any::<bool>(), takes in takes(), sources in 1..3u32, partitions in 1..5u32,
    ) {
        let calls: Vec<_> = ordered_calls().into_iter().chain(append_calls()).collect();
        run(&steps, &calls, is_global, takes, sources, partitions, false);
    }

    #[test]
    fn any_cut_of_a_batch_gives_the_same_end(
        rows in prop::collection::vec((row(), prop_oneof![Just(1), Just(2)]), 0..40),
        chunk_rows in 1..40usize, takes in takes(),
    ) {
        let makers = makers(&linear_calls(), false, takes);
        let [whole, cut] = [1_000, chunk_rows].map(|chunk_rows| {
            let mut shown = Multiset::new();
            Query::new(&makers, 1, 3).compute(&rows, chunk_rows, true).iter().for_each(|chunk| collect(chunk, &mut shown));
            shown
        });
        prop_assert_eq!(whole, cut);
    }
}

fn plain(group: u8, integer: i32) -> Row {
    Row { group: Some(group), integer: Some(integer), double: None, text: None, is_in: None }
}

#[test]
fn all_rows_are_one_group_that_has_a_row_from_the_first_batch_on() {
    let makers =
        makers(&[call(AggregateFunction::Count, None, false, DataType::Int64)], true, Takes::Partials);
    let mut query = Query::new(&makers, 2, 4);
    let mut each = vec![];
    for rows in [&[][..], &[], &[(plain(1, 1), 1)], &[], &[(plain(1, 1), -1)]] {
        let mut shown = Multiset::new();
        query.compute(rows, 10, true).iter().for_each(|chunk| collect(chunk, &mut shown));
        query.commit();
        each.push(shown.into_iter().map(|(row, weight)| (row.concat(), weight)).collect::<Vec<_>>());
    }
    let row = |count: &str, weight| (count.to_owned(), weight);
    let (zero, nothing) = (vec![row("0", 1)], vec![]);
    let (one, none) = (vec![row("0", -1), row("1", 1)], vec![row("0", 1), row("1", -1)]);
    assert_eq!(each, [zero, nothing.clone(), one, nothing, none]);
}

#[test]
fn a_group_leaves_with_the_greatest_timestamp_of_its_rows_and_nothing_leaves_if_nothing_changes() {
    let sum = call(AggregateFunction::Sum, Some(1), false, DataType::Int64);
    let makers = makers(&[sum], false, Takes::Partials);
    let mut query = Query::new(&makers, 1, 1);
    let rows = [(plain(3, 5), 1), (plain(2, 7), 1), (plain(3, 1), 1)];
    let chunks = query.compute(&rows, 1, false);
    assert_eq!(chunks.len(), 1);
    let stamps: Vec<i64> = chunks[0].stamps().runs(2).flat_map(|run| vec![run.ms; run.rows]).collect();
    assert_eq!(stamps, [3, 2]);
    query.commit();
    let same = [(plain(3, 4), 1), (plain(3, -4), 1)];
    assert!(query.compute(&same, 1, false).is_empty(), "the sum is as it was");
    assert_eq!(Stamps::NONE, -1);
}

#[test]
fn many_groups_leave_in_chunks_of_a_bounded_size() {
    let makers =
        makers(&[call(AggregateFunction::Count, None, false, DataType::Int64)], false, Takes::Partials);
    let mut query = Query::new(&makers, 1, 1);
    let schema = input_schema();
    let many = |n: i64| -> Delta {
        let rows = usize::try_from(n).unwrap();
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| match at {
                0 => Arc::new((0..n).map(|i| Some(format!("k{i}"))).collect::<StringArray>()) as ArrayRef,
                _ => arrow::array::new_null_array(field.data_type(), rows),
            })
            .collect();
        Delta::added(RecordBatch::try_new(schema.clone(), columns).unwrap())
    };
    for _ in 0..2 {
        let mut moved = query.partials[0].process(many(10_000).into_chunk()).unwrap();
        assert_eq!(moved.len(), 1, "keys that do not repeat are sent on at once");
        moved.extend(query.partials[0].end_batch().unwrap());
        for (_, chunk) in moved {
            query.finals[0].process(chunk).unwrap();
        }
        let sizes: Vec<usize> =
            query.finals[0].end_batch().unwrap().iter().map(|(_, chunk)| chunk.len()).collect();
        assert!(sizes.iter().all(|rows| *rows <= 8_192), "{sizes:?}");
        let sum: usize = sizes.iter().sum();
        assert!(sum == 10_000 || sum == 20_000, "{sizes:?}");
        query.commit();
    }
    assert_eq!(query.stored_rows(), 10_000);
}

#[test]
fn small_pieces_are_joined_before_they_go_to_another_partition() {
    let make =
        || Box::new(ByColumns::new(vec![0], KeyFormat::new(&[DataType::Utf8]).unwrap())) as Box<dyn Operator>;
    let mut stage = Stage::new(&make, &[], 0, 2);
    let mut sent = vec![];
    for n in 0..200 {
        let rows: Vec<(Row, i64)> = (0..8).map(|i| (plain(i, n), 1)).collect();
        sent.extend(stage.process(delta_of(&rows, n % 2 == 0).into_chunk()).unwrap());
    }
    assert!(sent.iter().all(|(_, chunk)| chunk.len() >= 512));
    sent.extend(stage.end_batch().unwrap());
    assert_eq!(sent.iter().map(|(_, chunk)| chunk.len()).sum::<usize>(), 1_600);
    assert!(sent.len() <= 5, "{}", sent.len());
    for (to, chunk) in &sent {
        let Payload::Rows(delta) = chunk.view::<Payload>() else { panic!("rows") };
        let mut before = -1;
        for row in 0..delta.rows.num_rows() {
            let cells = texts(delta, row);
            let key = [&[1][..], cells[0].as_bytes(), &[0, 0]].concat();
            assert_eq!(partition_of(&key, 2), *to, "placed by the encoded key");
            let n: i64 = cells[1].parse().unwrap();
            assert!(n >= before, "rows keep their order");
            before = n;
        }
    }
}

#[test]
fn a_row_that_is_not_there_cannot_be_taken_away_and_a_sum_does_not_wrap() {
    let counts = makers(&[call(AggregateFunction::Count, None, false, DataType::Int64)], false, Takes::Rows);
    let mut stage = Stage::new(&*counts.last, &counts.specs, 0, 1);
    stage.process(delta_of(&[(plain(1, 1), -1)], true).into_chunk()).unwrap();
    let error = stage.end_batch().err().unwrap().to_string();
    assert!(error.contains("taken from a group that does not have it"), "{error}");

    let sums = makers(&[call(AggregateFunction::Sum, Some(1), false, DataType::Int64)], false, Takes::Rows);
    let mut stage = Stage::new(&*sums.last, &sums.specs, 0, 1);
    let many = |integer, weight| delta_of(&[(plain(1, integer), weight)], true).into_chunk();
    stage.process(many(1, i64::MAX)).unwrap();
    stage.end_batch().unwrap();
    stage.commit();
    assert!(stage.process(many(1, 1)).is_err(), "more rows than can be counted");
    stage.crash();
    stage.process(many(1, -1)).unwrap();
    stage.process(many(2, 1)).unwrap();
    let error = stage.end_batch().err().unwrap().to_string();
    assert!(error.contains("sum: the result is too large for its type"), "{error}");
}

#[test]
fn an_argument_of_a_wrong_type_is_refused_with_the_name_of_the_call() {
    let refusal = |calls: Vec<AggregateCall>| {
        Aggregation::new(&input_schema(), vec![0], calls, true).unwrap_err().to_string()
    };
    let sum = call(AggregateFunction::Sum, Some(4), false, DataType::Int64);
    assert!(refusal(vec![sum]).contains("sum of a column of type Utf8 is not supported"));
}

/// Fixes the bytes that `docs/state-format.md` shows.
#[test]
fn the_stored_bytes_of_each_function_are_these() {
    let stored = |calls: &[AggregateCall], rows: &[(Row, i64)]| {
        let makers = makers(calls, false, Takes::Partials);
        let mut query = Query::new(&makers, 1, 1);
        query.compute(rows, 10, true);
        query.commit();
        let mut found = vec![];
        let visit = &mut |key: &[u8], value: &[u8]| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            found.push(format!("{} -> {}", hex(key), hex(value)));
            Ok(true)
        };
        query.finals[0].backend.scan(StoreId::of(STORE), None, visit).unwrap();
        (makers.specs[0].format.clone(), found)
    };
    let of = |integer, double, text, is_in| Row {
        group: Some(1),
        integer: Some(integer),
        double: Some(double),
        text: Some(text),
        is_in: Some(is_in),
    };
    let rows = [(of(7, Double::Dyadic(512), 1, true), 1), (of(-2, Double::Nan, 0, false), 2)];
    let mut all = String::new();
    for call in linear_calls().into_iter().chain(append_calls()).chain(ordered_calls()) {
        let (format, found) = stored(std::slice::from_ref(&call), &rows);
        all += &format!("{format}\n    {}\n", found.join("\n    "));
    }
    expect_test::expect![[r#"
        rows key(g str) -> #1 weight i64, #2 "count().count" i64
            0167310000 -> 01000606
        rows key(g str) -> #1 weight i64, #2 "count(i where b).count" i64
            0167310000 -> 01000602
        rows key(g str) -> #1 weight i64, #2 "sum(i).sum" i64, #3 "sum(i).count" i64
            0167310000 -> 0100060606
        rows key(g str) -> #1 weight i64, #2 "sum(d).sum" f64, #3 "sum(d).finite" i64, #4 "sum(d).nan" i64, #5 "sum(d).infinite" i64, #6 "sum(d).infinite_below" i64
            0167310000 -> 013006000000000000e03f0204
        rows key(g str) -> #1 weight i64, #2 "avg(d where b).sum" f64, #3 "avg(d where b).finite" i64, #4 "avg(d where b).nan" i64, #5 "avg(d where b).infinite" i64, #6 "avg(d where b).infinite_below" i64
            0167310000 -> 013806000000000000e03f02
        rows key(g str) -> #1 weight i64, #2 "sum(m where b).sum" decimal(38,2), #3 "sum(m where b).count" i64
            0167310000 -> 0100060700000000000000000000000000000002
        rows key(g str) -> #1 weight i64, #2 "avg(m).sum" decimal(38,2), #3 "avg(m).count" i64
            0167310000 -> 0100060300000000000000000000000000000006
        rows key(g str) -> #1 weight i64, #2 "bool_and(b).false" i64, #3 "bool_and(b).true" i64
            0167310000 -> 0100060402
        rows key(g str) -> #1 weight i64, #2 "bool_or(b).false" i64, #3 "bool_or(b).true" i64
            0167310000 -> 0100060402
        rows key(g str) -> #1 weight i64, #2 "var_samp(d).count" i64, #3 "var_samp(d).mean" f64, #4 "var_samp(d).squares" f64, #5 "var_samp(d).removed_count" i64, #6 "var_samp(d).removed_mean" f64, #7 "var_samp(d).removed_squares" f64, #8 "var_samp(d).not_finite" i64
            0167310000 -> 01700602000000000000e03f000000000000000004
        rows key(g str) -> #1 weight i64, #2 "stddev_pop(d).count" i64, #3 "stddev_pop(d).mean" f64, #4 "stddev_pop(d).squares" f64, #5 "stddev_pop(d).removed_count" i64, #6 "stddev_pop(d).removed_mean" f64, #7 "stddev_pop(d).removed_squares" f64, #8 "stddev_pop(d).not_finite" i64
            0167310000 -> 01700602000000000000e03f000000000000000004
        rows key(g str) -> #1 weight i64, #2 "sum(u).sum" decimal(38,0), #3 "sum(u).count" i64
            0167310000 -> 0100060b00000000000000000000000000000006
        rows key(g str) -> #1 weight i64, #2 "min(i).min" i64
            0167310000 -> 01000603
        rows key(g str) -> #1 weight i64, #2 "max(d).max" f64
            0167310000 -> 010006000000000000f87f
        rows key(g str) -> #1 weight i64, #2 "min(d where b).min" f64
            0167310000 -> 010006000000000000e03f
        rows key(g str) -> #1 weight i64, #2 "max(m).max" decimal(10,2)
            0167310000 -> 01000607000000000000000000000000000000
        rows key(g str) -> #1 weight i64, #2 "max(s where b).max" str
            0167310000 -> 010006057878787878
        rows key(g str) -> #1 weight i64, #2 "min(s).min" str
            0167310000 -> 01000600
        rows key(g str) -> #1 weight i64, #2 "max(b).max" bool
            0167310000 -> 01000601
        rows key(g str) -> #1 weight i64, #2 "max(u).max" u64
            0167310000 -> 01000607
        rows key(g str) -> #1 weight i64, #2 "first_value(i order by s desc null greatest).row" bytes
            0167310000 -> 01000611fe8787878787ffff018000000000000007
        rows key(g str) -> #1 weight i64, #2 "last_value(i order by s null greatest ignore nulls where b).row" bytes
            0167310000 -> 01000611fe8787878787fffffe7ffffffffffffff8
        rows key(g str) -> #1 weight i64, #2 "last_value(s order by d desc, i).row" bytes
            0167310000 -> 0100061a01bfe0000000000000fe7ffffffffffffff8fe8787878787ffff
    "#]].assert_eq(&all);
}

#[test]
fn a_partition_without_rows_of_the_one_group_says_nothing() {
    let makers =
        makers(&[call(AggregateFunction::Count, None, false, DataType::Int64)], true, Takes::Partials);
    let home = partition_of(&[], 4);
    for at in 0..4 {
        let mut stage = Stage::new(&*makers.last, &makers.specs, at, 4);
        let chunks = stage.end_batch().unwrap();
        assert_eq!(chunks.len(), usize::from(Partition(at) == home), "partition {at}");
    }
}

/// Fixes the bytes of the keys of values.
#[test]
fn the_stored_bytes_of_values_are_these() {
    let of = |integer, text| Row {
        group: Some(1),
        integer,
        double: Some(Double::Dyadic(512)),
        text: Some(text),
        is_in: Some(true),
    };
    let rows = [(of(Some(7), 1), 1), (of(None, 0), 2)];
    let mut all = String::new();
    for call in all_values_calls().into_iter().chain(ordered_calls()) {
        let makers = makers_of(std::slice::from_ref(&call), false, Takes::Rows, false);
        let mut query = Query::new(&makers, 1, 1);
        query.compute(&rows, 10, true);
        query.commit();
        all += &format!("{}\n", makers.specs[1].format);
        let visit = &mut |key: &[u8], value: &[u8]| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            all += &format!("    {} -> {}\n", hex(key), hex(value));
            Ok(true)
        };
        let store = StoreId::of(&makers.specs[1].name);
        query.finals[0].backend.scan(store, None, visit).unwrap();
    }
    expect_test::expect![[r#"
        row-index key(length, g str, call, value: 0 array_agg(i)) -> #1 weight i64
            0501673100000000 -> 010004
            05016731000000018000000000000007 -> 010002
        row-index key(length, g str, call, value: 0 array_agg(distinct i)) -> #1 weight i64
            0501673100000000 -> 010004
            05016731000000018000000000000007 -> 010002
        row-index key(length, g str, call, value: 0 array_agg(i order by s desc, d null greatest ignore nulls)) -> #1 weight i64
            05016731000000fe8787878787ffff01bfe0000000000000018000000000000007 -> 010002
        row-index key(length, g str, call, value: 0 collect_list(distinct s order by s desc ignore nulls where b)) -> #1 weight i64
            05016731000000fe8787878787ffff0178787878780000 -> 010002
            05016731000000feffff010000 -> 010004
        row-index key(length, g str, call, value: 0 collect_list(s ignore nulls)) -> #1 weight i64
            05016731000000010000 -> 010004
            050167310000000178787878780000 -> 010002
        row-index key(length, g str, call, value: 0 string_agg(s order by i ignore nulls separator ", " where b)) -> #1 weight i64
            0501673100000000010000 -> 010004
            050167310000000180000000000000070178787878780000 -> 010002
        row-index key(length, g str, call, value: 0 median(d)) -> #1 weight i64
            0501673100000001bfe0000000000000 -> 010006
        row-index key(length, g str, call, value: 0 median(distinct m where b)) -> #1 weight i64
            050167310000000180000000000000000000000000000007 -> 010002
        row-index key(length, g str, call, value: 0 percentile_cont(d fraction 0.25)) -> #1 weight i64
            0501673100000001bfe0000000000000 -> 010006
        row-index key(length, g str, call, value: 0 percentile_disc(s fraction 0.4)) -> #1 weight i64
            05016731000000010000 -> 010004
            050167310000000178787878780000 -> 010002
        row-index key(length, g str, call, value: 0 percentile_disc(i order by i desc fraction 0.7 where b)) -> #1 weight i64
            05016731000000fe7ffffffffffffff8018000000000000007 -> 010002
        row-index key(length, g str, call, value: 0 first_value(i order by s desc null greatest)) -> #1 weight i64
            05016731000000fe8787878787ffff018000000000000007 -> 010002
            05016731000000feffff00 -> 010004
        row-index key(length, g str, call, value: 0 last_value(i order by s null greatest ignore nulls where b)) -> #1 weight i64
            05016731000000fe8787878787fffffe7ffffffffffffff8 -> 010002
        row-index key(length, g str, call, value: 0 last_value(s order by d desc, i)) -> #1 weight i64
            0501673100000001bfe0000000000000fe7ffffffffffffff8fe8787878787ffff -> 010002
            0501673100000001bfe0000000000000fffeffff -> 010004
    "#]].assert_eq(&all);
}
