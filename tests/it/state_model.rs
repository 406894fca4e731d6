//! Tables against a plain map, under random operations, aborts and restarts.

use super::state_suite::{COUNTS, Disk, apply};
use proptest::prelude::*;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};
use tidegate::state::{Backend, MemoryStorage, OrderedTable, Store, Table};

#[derive(Clone, Debug)]
enum Op {
    Set(u8, u8),
    Add(u8),
    Take(u8),
    Blind(u8, u8),
    Prefetch(Vec<u8>),
    /// Adds 1 to values with this remainder modulo 3, deletes those where the sum is a multiple of 5.
    UpdateAll(u8),
    Visit(Bound<u8>, Bound<u8>),
    Apply,
    Abort,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..24u8;
    let bound = prop_oneof![
        key.clone().prop_map(Bound::Included),
        key.clone().prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ];
    prop_oneof![
        6 => (key.clone(), 0..4u8).prop_map(|(k, v)| Op::Set(k, v)),
        4 => key.clone().prop_map(Op::Add),
        3 => key.clone().prop_map(Op::Take),
        2 => (key.clone(), 0..4u8).prop_map(|(k, v)| Op::Blind(k, v)),
        2 => prop::collection::vec(key, 0..10).prop_map(Op::Prefetch),
        2 => (0..3u8).prop_map(Op::UpdateAll),
        3 => (bound.clone(), bound).prop_map(|(from, to)| Op::Visit(from, to)),
        3 => Just(Op::Apply),
        1 => Just(Op::Abort),
        1 => Just(Op::Restart),
    ]
}

type Model = BTreeMap<u8, u8>;

fn rule(remainder: u8, value: u8) -> Option<u8> {
    let sum = value.wrapping_add(u8::from(value % 3 == remainder));
    (sum % 5 != 0).then_some(sum)
}

fn update_all(model: &mut Model, remainder: u8) {
    let next = |(k, v): (&u8, &u8)| rule(remainder, *v).map(|v| (*k, v));
    *model = model.iter().filter_map(next).collect();
}

/// Rows that a batch must have: where the model differs from the committed one.
fn differences(committed: &Model, model: &Model) -> usize {
    (0..=255u8).filter(|key| committed.get(key) != model.get(key)).count()
}

fn stored(backend: &Arc<dyn Backend>) -> Model {
    let mut table: OrderedTable<u8, u8> = OrderedTable::new(COUNTS, Arc::clone(backend));
    let mut all = Model::new();
    table
        .visit(.., |key, slot| {
            all.insert(*key, *slot.get().unwrap());
            Ok(true)
        })
        .unwrap();
    all
}

fn run_table(disk: &Disk, ops: &[Op]) {
    let mut backend = disk.open();
    let mut table: Table<u8, u8> = Table::new(COUNTS, Arc::clone(&backend));
    let (mut committed, mut model) = (Model::new(), Model::new());
    for op in ops {
        match op {
            Op::Set(key, value) | Op::Blind(key, value) => {
                table.entry(*key).unwrap().set(*value);
                model.insert(*key, *value);
            }
            Op::Add(key) => {
                let mut slot = table.entry(*key).unwrap();
                let value = slot.get_or_insert_with(|| 0);
                *value = value.wrapping_add(1);
                let value = model.entry(*key).or_default();
                *value = value.wrapping_add(1);
            }
            Op::Take(key) => assert_eq!(table.entry(*key).unwrap().take(), model.remove(key)),
            Op::Prefetch(keys) => table.prefetch(keys).unwrap(),
            Op::UpdateAll(remainder) => {
                table
                    .update_some(None, usize::MAX, |_, slot| {
                        match rule(*remainder, *slot.get().unwrap()) {
                            Some(value) => slot.set(value),
                            None => drop(slot.take()),
                        }
                        Ok(())
                    })
                    .unwrap();
                update_all(&mut model, *remainder);
            }
            Op::Visit(..) => {
                let changed: Model =
                    table.changed().unwrap().filter_map(|(_, key, value)| Some((*key, *value?))).collect();
                let expected = model.iter().filter(|(key, value)| committed.get(key) != Some(value));
                assert_eq!(changed, expected.map(|(key, value)| (*key, *value)).collect());
            }
            Op::Apply => {
                assert_eq!(apply(&backend, &mut table, "r").len(), differences(&committed, &model));
                committed.clone_from(&model);
                assert_eq!(stored(&backend), committed);
            }
            Op::Abort => {
                table.aborted();
                model.clone_from(&committed);
            }
            Op::Restart => {
                drop((table, backend));
                backend = disk.open();
                table = Table::new(COUNTS, Arc::clone(&backend));
                model.clone_from(&committed);
            }
        }
        for key in 0..24 {
            assert_eq!(table.get(&key).unwrap(), model.get(&key).copied(), "key {key} after {op:?}");
        }
    }
}

fn run_ordered(disk: &Disk, ops: &[Op]) {
    let mut backend = disk.open();
    let mut table: OrderedTable<u8, u8> = OrderedTable::new(COUNTS, Arc::clone(&backend));
    let (mut committed, mut model) = (Model::new(), Model::new());
    for op in ops {
        match op {
            Op::Set(key, value) => {
                table.entry(key).unwrap().set(*value);
                model.insert(*key, *value);
            }
            Op::Blind(key, value) => {
                table.insert(key, *value).unwrap();
                model.insert(*key, *value);
            }
            Op::Add(key) => {
                let add = |value: &mut u8| {
                    *value = value.wrapping_add(1);
                    *value
                };
                assert_eq!(table.entry(key).unwrap().get_mut().map(add), model.get_mut(key).map(add));
            }
            Op::Take(key) => assert_eq!(table.entry(key).unwrap().take(), model.remove(key)),
            Op::Prefetch(keys) => table.prefetch(keys).unwrap(),
            Op::UpdateAll(remainder) => {
                table
                    .visit(.., |_, slot| {
                        match rule(*remainder, *slot.get().unwrap()) {
                            Some(value) => slot.set(value),
                            None => drop(slot.take()),
                        }
                        Ok(true)
                    })
                    .unwrap();
                update_all(&mut model, *remainder);
            }
            Op::Visit(from, to) => {
                let mut seen = vec![];
                table
                    .visit((*from, *to), |key, slot| {
                        seen.push((*key, *slot.get().unwrap()));
                        Ok(seen.len() < 7)
                    })
                    .unwrap();
                let within = |(key, _): &(&u8, &u8)| std::ops::RangeBounds::contains(&(*from, *to), *key);
                let expected: Vec<_> = model.iter().filter(within).map(|(k, v)| (*k, *v)).take(7).collect();
                assert_eq!(seen, expected);
            }
            Op::Apply => {
                assert!(apply(&backend, &mut table, "r").len() >= differences(&committed, &model));
                committed.clone_from(&model);
                assert_eq!(stored(&backend), committed);
            }
            Op::Abort => {
                table.aborted();
                model.clone_from(&committed);
            }
            Op::Restart => {
                drop((table, backend));
                backend = disk.open();
                table = OrderedTable::new(COUNTS, Arc::clone(&backend));
                model.clone_from(&committed);
            }
        }
        for key in 0..24 {
            assert_eq!(table.get(&key).unwrap(), model.get(&key).copied(), "key {key} after {op:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn tables_in_memory_are_maps(ops in prop::collection::vec(op(), 1..80)) {
        run_table(&Disk::Memory(MemoryStorage::default()), &ops);
    }

    #[test]
    fn ordered_tables_in_memory_are_maps(ops in prop::collection::vec(op(), 1..80)) {
        run_ordered(&Disk::Memory(MemoryStorage::default()), &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn tables_in_rocksdb_are_maps(ops in prop::collection::vec(op(), 1..80)) {
        run_table(&Disk::Rocks(tempfile::tempdir().unwrap()), &ops);
        run_ordered(&Disk::Rocks(tempfile::tempdir().unwrap()), &ops);
    }
}
