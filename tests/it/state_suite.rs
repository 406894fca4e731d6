//! What every storage must do, for memory and `RocksDB` alike: tables see what they staged, a batch is applied as a
//! whole or not at all, and what was applied is there after a restart.

use std::{ops::Bound, sync::Arc};
use tempfile::TempDir;
use tidegate::{
    Result, Text,
    record::{Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord},
    state::{
        Backend, MemoryStorage, OrderedTable, Overlay, RocksStorage, RowIndex, RowTable, Storage, Store,
        StoreId, Table, View,
        changelog::{self, Change},
    },
};

/// A storage whose process can die.
pub enum Disk {
    Memory(MemoryStorage),
    Rocks(TempDir),
}

impl Disk {
    pub fn each(test: impl Fn(&Disk)) {
        test(&Disk::Memory(MemoryStorage::default()));
        test(&Disk::Rocks(tempfile::tempdir().unwrap()));
    }

    /// The storage of a new process.
    pub fn start(&self) -> Box<dyn Storage> {
        match self {
            Disk::Memory(storage) => Box::new(storage.clone()),
            Disk::Rocks(directory) => Box::new(RocksStorage::new(directory.path(), 8 << 20).unwrap()),
        }
    }

    /// Partition 3 with the stores of these tests, in a new process.
    pub fn open(&self) -> Arc<dyn Backend> {
        open(&*self.start())
    }
}

pub const COUNTS: &str = "words.counts";
pub const TIMERS: &str = "words.timers";

pub fn open(storage: &dyn Storage) -> Arc<dyn Backend> {
    let opened = storage.open(Partition(3), &[COUNTS.to_owned(), TIMERS.to_owned()]).unwrap();
    assert_eq!(opened.quarantined, None);
    opened.backend
}

pub fn counts(backend: &Arc<dyn Backend>) -> Table<Text, u64> {
    Table::new(COUNTS, Arc::clone(backend))
}

fn timers(backend: &Arc<dyn Backend>) -> OrderedTable<(i64, Text), u32> {
    OrderedTable::new(TIMERS, Arc::clone(backend))
}

/// Commits what a table staged, as a batch called `record`.
pub fn apply(backend: &Arc<dyn Backend>, table: &mut dyn Store, record: &str) -> RawChunk {
    let rows = table.seal().unwrap();
    backend.apply(std::slice::from_ref(&rows), Some(record.as_bytes())).unwrap();
    table.applied();
    rows
}

fn add(table: &mut Table<Text, u64>, word: &str, n: u64) {
    *table.entry(word.into()).unwrap().get_or_insert_with(|| 0) += n;
}

fn changed(table: &mut Table<Text, u64>) -> Vec<(String, Option<u64>)> {
    table.changed().unwrap().map(|(_, word, n)| (word.to_string(), n.copied())).collect()
}

fn due(table: &mut OrderedTable<(i64, Text), u32>, until: i64) -> Vec<(i64, String, u32)> {
    let mut seen = vec![];
    let until: Bound<(i64, Text)> = Bound::Excluded((until, Text::default()));
    table
        .visit((Bound::Unbounded, until), |(at, what), slot| {
            seen.push((*at, what.to_string(), *slot.get().unwrap()));
            Ok(true)
        })
        .unwrap();
    seen
}

#[test]
fn an_empty_database_has_no_record_and_no_row() {
    Disk::each(|disk| {
        let backend = disk.open();
        assert_eq!(backend.record().unwrap(), None);
        assert_eq!(counts(&backend).get(&"a".into()).unwrap(), None);
        backend.scan(StoreId::of(COUNTS), None, &mut |_, _| panic!("a row")).unwrap();
    });
}

#[test]
fn a_batch_survives_a_restart_with_its_record_and_an_aborted_one_does_not() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        add(&mut table, "a", 1);
        add(&mut table, "b", 2);
        assert_eq!(apply(&backend, &mut table, "one").len(), 2);
        add(&mut table, "a", 10);
        add(&mut table, "new", 10);
        assert_eq!(table.get(&"a".into()).unwrap(), Some(11));
        table.aborted();
        assert_eq!((table.staged_bytes(), table.seal().unwrap().len()), (0, 0));
        assert_eq!(table.get(&"a".into()).unwrap(), Some(1));
        drop((table, backend));

        let backend = disk.open();
        assert_eq!(backend.record().unwrap().as_deref(), Some(&b"one"[..]));
        let table = counts(&backend);
        let words = ["a", "b", "new"].map(|word| table.get(&word.into()).unwrap());
        assert_eq!(words, [Some(1), Some(2), None]);
    });
}

#[test]
fn only_real_changes_are_changes_in_the_order_of_first_touch() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        for (word, n) in [("z", 1), ("a", 2), ("m", 3)] {
            add(&mut table, word, n);
        }
        apply(&backend, &mut table, "one");

        let words: Vec<Text> = ["m", "z", "m", "q"].map(Text::from).to_vec();
        table.prefetch(&words).unwrap();
        assert_eq!(table.entry("z".into()).unwrap().get(), Some(&1)); // read
        add(&mut table, "q", 5); // new
        table.entry("m".into()).unwrap().set(9);
        table.entry("m".into()).unwrap().set(3); // written, but as it was
        assert_eq!(table.entry("a".into()).unwrap().take(), Some(2)); // deleted
        assert_eq!(table.entry("b".into()).unwrap().take(), None); // never was
        table.entry("t".into()).unwrap().set(1);
        table.entry("t".into()).unwrap().take(); // inserted and deleted again
        assert_eq!(changed(&mut table), [("q".into(), Some(5)), ("a".into(), None)]);
        let rows = table.seal().unwrap();
        assert_eq!(rows.len(), 2);
        let Some(Change { store, key, value }) = changelog::change(rows.get(1)) else { panic!("no change") };
        assert_eq!((store, key, value), (StoreId::of(COUNTS), &b"a\0\0"[..], None));
        // Still readable, and a change after sealing is seen by the next seal.
        assert_eq!(table.get(&"q".into()).unwrap(), Some(5));
        add(&mut table, "q", 1);
        assert_eq!(changed(&mut table), [("q".into(), Some(6)), ("a".into(), None)]);
    });
}

#[test]
fn keys_that_are_closed_are_handed_over_and_leave_at_most_a_deletion() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        ["old", "same", "read"].iter().for_each(|word| add(&mut table, word, 1));
        apply(&backend, &mut table, "one");

        let long = "a key that is longer than what is kept inline";
        for word in ["new", "old", "stays", long, "gone"] {
            add(&mut table, word, 2);
        }
        table.entry("gone".into()).unwrap().take();
        table.entry("same".into()).unwrap().set(1);
        assert_eq!(table.entry("read".into()).unwrap().get(), Some(&1));
        let before = table.staged_bytes();
        let closed = table.close(|word| **word != *"stays").unwrap();
        assert_eq!(closed, [("new".into(), 2), ("old".into(), 3), (long.into(), 2)]);
        assert!(table.staged_bytes() < before);
        assert_eq!((table.get(&"new".into()).unwrap(), table.get(&"old".into()).unwrap()), (None, None));
        assert_eq!(table.close(|_| false).unwrap(), []);
        let changed: Vec<_> =
            table.changed().unwrap().map(|(_, key, n)| (key.to_string(), n.copied())).collect();
        assert_eq!(changed, [("old".to_owned(), None), ("stays".to_owned(), Some(2))]);
        assert_eq!(apply(&backend, &mut table, "two").len(), 2);
        drop((table, backend));
        let table = counts(&disk.open());
        let found = ["old", "same", "read", "stays", "new"].map(|word| table.get(&word.into()).unwrap());
        assert_eq!(found, [None, Some(1), Some(1), Some(2), None]);
    });
}

#[test]
fn an_update_visits_every_key_once_and_stages_only_what_changed() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        for n in 0..1000 {
            add(&mut table, &format!("k{n:03}"), n);
        }
        apply(&backend, &mut table, "one");
        assert_eq!(table.staged_bytes(), 0);

        add(&mut table, "new", 7);
        table.entry("k001".into()).unwrap().take();
        table.entry("gone".into()).unwrap().take();
        add(&mut table, "k002", 100);
        let mut seen = vec![];
        table
            .update_some(None, usize::MAX, |word, slot| {
                seen.push(word.to_string());
                match slot.get().copied().unwrap() {
                    n if n % 100 == 0 && n < 1000 => *slot.get_mut().unwrap() += 1000,
                    5 => drop(slot.take()),
                    n => slot.set(n),
                }
                Ok(())
            })
            .unwrap();
        let mut expected: Vec<String> = (0..1000).filter(|n| *n != 1).map(|n| format!("k{n:03}")).collect();
        expected.push("new".into());
        assert_eq!(seen, expected);
        assert_eq!(table.seal().unwrap().len(), 1 + 1 + 1 + 10 + 1, "new, k001, k002, k*00, k005");
        assert!(table.staged_bytes() < 6000, "{}", table.staged_bytes());
    });
}

#[test]
fn a_table_is_visited_in_parts_each_key_once() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        (0..40).for_each(|n| add(&mut table, &format!("k{n:02}"), n));
        apply(&backend, &mut table, "one");
        add(&mut table, "new", 7);
        table.entry("k14".into()).unwrap().take(); // where the third part would begin
        let (mut parts, mut next, mut seen) = (0, None::<Vec<u8>>, vec![]);
        loop {
            next = table
                .update_some(next.as_deref(), 7, |word, slot| {
                    seen.push(word.to_string());
                    *slot.get_mut().unwrap() += 1000;
                    Ok(())
                })
                .unwrap();
            parts += 1;
            if next.is_none() {
                break;
            }
        }
        let mut expected: Vec<String> = (0..40).filter(|n| *n != 14).map(|n| format!("k{n:02}")).collect();
        expected.push("new".into());
        assert_eq!((parts, seen), (6, expected));
        assert_eq!(table.seal().unwrap().len(), 41);
    });
}

#[test]
fn an_error_in_a_visit_is_returned() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        add(&mut table, "a", 1);
        apply(&backend, &mut table, "one");
        let fail = |_: &Text, _: &mut tidegate::state::Slot<'_, u64>| -> Result {
            Err(tidegate::Error::State("stop here".into()))
        };
        assert_eq!(table.update_some(None, usize::MAX, fail).unwrap_err().to_string(), "state: stop here");
    });
}

#[test]
fn a_value_of_another_type_is_reported_with_the_store() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        add(&mut table, "a", 1);
        apply(&backend, &mut table, "one");
        let mut other: Table<Text, String> = Table::new(COUNTS, Arc::clone(&backend));
        let e = other.entry("a".into()).err().unwrap().to_string();
        assert!(e.starts_with("state: store `words.counts`: value of 2 bytes cannot be decoded"), "{e}");
        assert!(other.prefetch(&[Text::from("b"), Text::from("a")]).is_err());
        assert_eq!((other.staged_bytes(), other.seal().unwrap().len()), (0, 0));
    });
}

#[test]
fn ordered_tables_merge_what_is_staged_with_what_is_stored() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = timers(&backend);
        for (at, what) in [(-5, "b"), (10, "a"), (10, "b"), (20, "c"), (30, "d")] {
            table.insert(&(at, what.into()), 1).unwrap();
        }
        apply(&backend, &mut table, "one");
        table.entry(&(10, "a".into())).unwrap().take();
        table.entry(&(15, "new".into())).unwrap().set(2);
        table.insert(&(-9, "first".into()), 3).unwrap();
        table.insert(&(10, "b".into()), 4).unwrap();
        let expected = [(-9, "first", 3), (-5, "b", 1), (10, "b", 4), (15, "new", 2), (20, "c", 1)];
        assert_eq!(due(&mut table, 30), expected.map(|(at, what, n)| (at, what.to_owned(), n)));
        // A visit may stop early, and take what it sees.
        let mut fired = vec![];
        table
            .visit(.., |(at, _), slot| {
                let due = *at <= 10;
                if due {
                    fired.push((*at, slot.take().unwrap()));
                }
                Ok(due)
            })
            .unwrap();
        assert_eq!(fired, [(-9, 3), (-5, 1), (10, 4)]);
        let left = [(15, "new", 2), (20, "c", 1), (30, "d", 1)].map(|(at, what, n)| (at, what.to_owned(), n));
        assert_eq!(due(&mut table, i64::MAX), left);
        // The first one was inserted and deleted in this batch, but was written blindly: it is deleted all the
        // same.
        assert_eq!(apply(&backend, &mut table, "two").len(), 5);
        drop((table, backend));
        assert_eq!(due(&mut timers(&disk.open()), i64::MAX), left);
    });
}

#[test]
fn a_prefix_selects_the_keys_that_begin_with_it() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table: OrderedTable<(u8, u16), u8> = OrderedTable::new(TIMERS, Arc::clone(&backend));
        for (a, b) in [(0, 1), (1, 0), (1, 0xffff), (2, 0), (0xff, 7)] {
            table.insert(&(a, b), 0).unwrap();
            if a == 1 && b == 0 {
                apply(&backend, &mut table, "one");
            }
        }
        for (prefix, expected) in [(1u8, vec![(1, 0), (1, 0xffff)]), (0xff, vec![(0xff, 7)]), (3, vec![])] {
            let mut seen = vec![];
            table
                .visit_prefix(&prefix, |key, _| {
                    seen.push(*key);
                    Ok(true)
                })
                .unwrap();
            assert_eq!(seen, expected);
        }
        table.visit((2, 0)..(1, 0), |_, _| panic!("an empty range")).unwrap();
    });
}

#[test]
fn staged_bytes_follow_the_size_of_the_values() {
    let backend = Disk::Memory(MemoryStorage::default()).open();
    let mut table: Table<u64, Vec<u64>> = Table::new(COUNTS, Arc::clone(&backend));
    table.entry(1).unwrap().set(vec![]);
    let small = table.staged_bytes();
    assert!(small < 400, "{small}");
    for n in 0..20_000u64 {
        table.entry(1).unwrap().get_mut().unwrap().push(n | 1 << 40);
    }
    assert!(table.staged_bytes() > 60_000, "{}", table.staged_bytes());
    table.entry(2).unwrap().get_or_insert_with(Vec::new).extend(vec![1 << 40; 20_000]);
    assert!(table.staged_bytes() > 160_000, "{}", table.staged_bytes());
    table.aborted();
    assert_eq!(table.staged_bytes(), 0);
}

#[test]
fn a_staged_key_does_not_keep_alive_the_text_it_was_cut_from() {
    let backend = Disk::Memory(MemoryStorage::default()).open();
    let word = "a word of more than twenty-three bytes";
    for prefetched in [false, true] {
        let line = Text::from(format!("{word} {}", "x".repeat(1000)));
        let key = line.clone().split('x').next().unwrap();
        let shared = line.as_ptr()..line[line.len()..].as_ptr();
        assert!(shared.contains(&key.as_ptr()));
        let mut table = counts(&backend);
        if prefetched {
            table.prefetch([&key]).unwrap();
        }
        table.entry(key.clone()).unwrap().set(1);
        let (_, staged, _) = table.changed().unwrap().next().unwrap();
        assert_eq!(*staged, key);
        assert!(!shared.contains(&staged.as_ptr()));
    }
}

#[test]
fn rows_of_other_stores_and_of_the_engine_are_skipped() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut table = counts(&backend);
        add(&mut table, "a", 1);
        let mut rows = RawChunkBuilder::default();
        table.seal().unwrap().iter().for_each(|row| rows.push(row));
        rows.push_with(-1, Some(b"\0\0\0\0marker"), |_| Ok::<_, ()>(true)).unwrap();
        let mut removed: Table<Text, u64> = Table::new("a store of an older plan", Arc::clone(&backend));
        assert!(removed.entry("a".into()).is_err(), "it is not open");
        rows.push_with(-1, Some(b"\x01\x02\x03\x04key"), |out| {
            out.push(1);
            Ok::<_, ()>(true)
        })
        .unwrap();
        backend.apply(&[rows.build()], Some(b"one")).unwrap();
        table.applied();
        assert_eq!(table.get(&"a".into()).unwrap(), Some(1));
        assert_eq!(backend.record().unwrap().as_deref(), Some(&b"one"[..]));
        assert!(removed.get(&"a".into()).is_err());
    });
}

#[test]
fn a_store_added_later_is_empty_and_the_others_stay() {
    Disk::each(|disk| {
        let storage = disk.start();
        let opened = storage.open(Partition(0), &["one".to_owned()]).unwrap();
        assert_eq!(opened.added, [""; 0]);
        let mut one: Table<u64, u64> = Table::new("one", Arc::clone(&opened.backend));
        one.entry(1).unwrap().set(2);
        apply(&opened.backend, &mut one, "r");
        drop((one, opened, storage));
        let opened = disk.start().open(Partition(0), &["two".to_owned(), "one".to_owned()]).unwrap();
        assert_eq!((opened.quarantined, opened.added), (None, vec!["two".to_owned()]));
        let get = |name| Table::<u64, u64>::new(name, Arc::clone(&opened.backend)).get(&1).unwrap();
        assert_eq!((get("one"), get("two")), (Some(2), None));
    });
}

#[test]
fn a_store_added_later_stays_new_until_a_record_is_written() {
    Disk::each(|disk| {
        let open = |stores: &[&str]| {
            let stores: Vec<String> = stores.iter().map(|name| (*name).to_owned()).collect();
            disk.start().open(Partition(0), &stores).unwrap()
        };
        open(&["one"]).backend.apply(&[], Some(b"r")).unwrap();
        // The changelog is applied again for it; whatever interrupts that must not be mistaken for its end.
        for _ in 0..2 {
            let opened = open(&["one", "two"]);
            assert_eq!(opened.added, ["two"]);
            opened.backend.restore(&[], b"p").unwrap();
        }
        open(&["one", "two"]).backend.apply(&[], Some(b"s")).unwrap();
        assert_eq!(open(&["one", "two"]).added, [""; 0]);
    });
}

#[test]
fn a_restore_that_was_cut_off_is_found_with_its_progress_and_ends_with_a_record() {
    Disk::each(|disk| {
        let rows = |word: &str, n: u64| {
            let mut table = counts(&open(&MemoryStorage::default()));
            table.entry(word.into()).unwrap().set(n);
            table.seal().unwrap()
        };
        let pieces = [(rows("a", 1), b"1"), (rows("b", 2), b"2"), (rows("a", 3), b"3")];
        for (piece, progress) in &pieces {
            disk.open().restore(std::slice::from_ref(piece), *progress).unwrap();
            let backend = disk.open();
            assert_eq!(
                (backend.record().unwrap(), backend.progress().unwrap()),
                (None, Some(progress.to_vec()))
            );
        }
        let backend = disk.open();
        backend.restore(&[rows("c", 4)], b"4").unwrap();
        backend.apply(&[rows("b", 5)], Some(b"r")).unwrap();
        drop(backend);
        let backend = disk.open();
        assert_eq!((backend.record().unwrap(), backend.progress().unwrap()), (Some(b"r".to_vec()), None));
        let get = |word: &str| counts(&backend).get(&word.into()).unwrap();
        assert_eq!((get("a"), get("b"), get("c")), (Some(3), Some(5), Some(4)));
    });
}

#[test]
fn the_last_of_several_rows_of_a_key_counts() {
    Disk::each(|disk| {
        let backend = disk.open();
        let row = |n: Option<u64>| {
            let mut table = counts(&backend);
            let mut slot = table.entry("a".into()).unwrap();
            slot.set(n.unwrap_or(0));
            if n.is_none() {
                slot.take();
            }
            drop(slot);
            table.seal().unwrap()
        };
        backend.apply(&[row(Some(1)), row(Some(3)), row(Some(2))], Some(b"r")).unwrap();
        assert_eq!(counts(&backend).get(&"a".into()).unwrap(), Some(2));
        let (gone, back) = (row(None), row(Some(7)));
        backend.apply(&[back.clone(), gone.clone()], Some(b"s")).unwrap();
        assert_eq!(counts(&backend).get(&"a".into()).unwrap(), None);
        backend.apply(&[gone, back], Some(b"t")).unwrap();
        assert_eq!(counts(&backend).get(&"a".into()).unwrap(), Some(7));
    });
}

#[test]
fn a_quarantined_partition_starts_empty_and_the_others_stay() {
    Disk::each(|disk| {
        let storage = disk.start();
        let stores = [COUNTS.to_owned()];
        for partition in [Partition(0), Partition(1)] {
            let opened = storage.open(partition, &stores).unwrap();
            let mut table = counts(&opened.backend);
            add(&mut table, "a", 1);
            apply(&opened.backend, &mut table, "one");
        }
        storage.quarantine(Partition(0), "ahead of the log").unwrap();
        let record = |partition| storage.open(partition, &stores).unwrap().backend.record().unwrap();
        assert_eq!((record(Partition(0)), record(Partition(1))), (None, Some(b"one".to_vec())));
    });
}

#[test]
fn two_names_of_one_id_are_refused() {
    Disk::each(|disk| {
        let e =
            disk.start().open(Partition(0), &["one".to_owned(), "one".to_owned()]).err().unwrap().to_string();
        assert!(e.contains("`one` and `one` have the same id"), "{e}");
    });
}

#[test]
fn a_plan_declares_tables_with_their_format() {
    let spec = Table::<Text, Vec<u64>>::spec("a");
    assert_eq!((spec.name.as_str(), spec.format.as_str()), ("a", "table str -> [u64]"));
    let spec = OrderedTable::<(i64, Text), ()>::spec("b");
    assert_eq!((spec.name.as_str(), spec.format.as_str()), ("b", "ordered (i64,str) -> ()"));
}

/// A changelog chunk for the store of timers.
fn changes(rows: &[(&[u8], Option<&[u8]>)]) -> RawChunk {
    let mut chunk = RawChunkBuilder::default();
    for (key, value) in rows {
        let key = [&StoreId::of(TIMERS).0.to_be_bytes()[..], key].concat();
        let (offset, headers) = (Offset(0), Headers::NONE);
        chunk.push(RawRecord { offset, timestamp_ms: 0, key: Some(&key), value: *value, headers });
    }
    chunk.build()
}

/// What a visit of prefixes sees, at most `most` rows of each.
fn prefixed(backend: &dyn Backend, prefixes: &[&[u8]], most: usize) -> Vec<(usize, Vec<u8>)> {
    let (mut seen, mut of_prefix) = (vec![], vec![0; prefixes.len()]);
    let visit = &mut |index: usize, key: &[u8], value: &[u8]| {
        assert_eq!(key, value, "the rows of this test");
        seen.push((index, key.to_vec()));
        of_prefix[index] += 1;
        Ok(of_prefix[index] < most)
    };
    backend.scan_prefixes(StoreId::of(TIMERS), prefixes, visit).unwrap();
    seen
}

#[test]
fn several_prefixes_are_visited_in_one_go_each_until_its_visitor_ends_it() {
    let keys: [&[u8]; 7] = [b"a", b"b\x00", b"b\x01x", b"b\xff", b"bb", b"c", b"\xff\xff"];
    let all: Vec<(&[u8], Option<&[u8]>)> = keys.iter().map(|key| (*key, Some(*key))).collect();
    let prefixes: [&[u8]; 4] = [b"a", b"b", b"d", b"\xff"];
    let expected: Vec<(usize, Vec<u8>)> = [(0, 0), (1, 1), (1, 2), (1, 4), (1, 3), (3, 6)]
        .map(|(prefix, key): (usize, usize)| (prefix, keys[key].to_vec()))
        .to_vec();
    Disk::each(|disk| {
        let backend = disk.open();
        assert_eq!(prefixed(&*backend, &prefixes, 9), []);
        backend.apply(&[changes(&all)], Some(b"one")).unwrap();
        assert_eq!(prefixed(&*backend, &prefixes, 9), expected);
        assert_eq!(prefixed(&*backend, &[], 9), []);
        let first: Vec<_> = [0, 1, 5].map(|at| expected[at].clone()).to_vec();
        assert_eq!(prefixed(&*backend, &prefixes, 1), first, "the next prefix is visited all the same");
        assert_eq!(prefixed(&*backend, &[b"b"], 9).len(), 4);
        assert_eq!(prefixed(&*backend, &[b""], 9).len(), 7, "the empty prefix is that of all rows");

        // The same rows, half of them in front of the database.
        let (below, above): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let gone: Vec<_> = above.iter().map(|(_, (key, _))| (*key, None)).collect();
        backend.apply(&[changes(&gone)], None).unwrap();
        let overlay = Overlay::over(backend);
        assert_eq!(prefixed(&overlay, &prefixes, 9).len(), below.len());
        let above: Vec<_> = above.into_iter().map(|(_, row)| *row).collect();
        overlay.add(&[changes(&above)]);
        assert_eq!(prefixed(&overlay, &prefixes, 9), expected);
        assert_eq!(prefixed(&overlay, &prefixes, 1), first);
        let gone: [(&[u8], Option<&[u8]>); 2] = [(b"a", None), (b"bb", None)];
        overlay.add(&[changes(&gone)]);
        assert_eq!(prefixed(&overlay, &prefixes, 9), [1, 2, 4, 5].map(|at| expected[at].clone()));
    });
}

#[test]
fn a_row_table_gives_old_and_new_bytes_of_what_was_touched() {
    Disk::each(|disk| {
        let backend = disk.open();
        let open = || RowTable::new(TIMERS, "rows key(str) -> bytes", Arc::clone(&backend));
        let mut table = open();
        let mut places = vec![];
        table.touch([&b"b"[..], b"a", b"b", b""], &mut places).unwrap();
        assert_eq!((&places[..], table.touched()), (&[0, 1, 0, 2][..], 3));
        for place in 0..3 {
            assert_eq!((table.old(place), table.new_value(place)), (None, None));
            table.put(place, &[u8::try_from(place).unwrap(); 40]);
        }
        table.delete(1);
        assert!(table.staged_bytes() > 80);
        let rows = apply(&backend, &mut table, "one");
        let keys: Vec<_> = rows.iter().map(|row| row.key.unwrap()[4..].to_vec()).collect();
        assert_eq!(keys, [&b"b"[..], b""], "in the order of first touch; what came and went is no change");
        assert_eq!((table.touched(), table.staged_bytes()), (0, 0));

        let mut table = open();
        places.clear();
        table.touch([&b"a"[..], b"b"], &mut places).unwrap();
        table.touch([&b""[..], b"a"], &mut places).unwrap();
        assert_eq!(places, [0, 1, 2, 0]);
        assert_eq!((table.key(1), table.old(1)), (&b"b"[..], Some(&[0; 40][..])));
        table.put(1, &[9]);
        table.put(1, &[0; 40]);
        assert_eq!(table.seal().unwrap().len(), 0, "as it was");
        table.put(0, b"new");
        table.delete(2);
        let mut seen = vec![];
        let next = table
            .visit_some(None, 1, |key, _| {
                seen.push(key.to_vec());
                Ok(())
            })
            .unwrap();
        assert_eq!((&seen[..], next.as_deref()), (&[][..], Some(&b"b"[..])), "the first one is deleted");
        let rest = table.visit_some(next.as_deref(), 9, |key, _| {
            seen.push(key.to_vec());
            Ok(())
        });
        assert_eq!(rest.unwrap(), None);
        assert_eq!(seen, [b"b", b"a"], "committed ones in order, then new ones");
        assert_eq!(apply(&backend, &mut table, "two").len(), 2);
    });
}

#[test]
fn a_row_index_visits_what_was_before_the_batch_and_what_it_has_become() {
    Disk::each(|disk| {
        let backend = disk.open();
        let mut index = RowIndex::new(TIMERS, "rows key(str, i64) -> bytes", Arc::clone(&backend));
        let seen = |index: &RowIndex, view| {
            let mut seen = vec![];
            let visit = &mut |at: usize, key: &[u8], value: &[u8]| {
                seen.push(format!("{at}{}{}", key.escape_ascii(), value.escape_ascii()));
                Ok(true)
            };
            index.visit_prefixes(view, &[b"a", b"b", b"c"], visit).unwrap();
            seen.join(" ")
        };
        for key in [&b"a1"[..], b"a2", b"b1", b"c1", b"c2", b"c3", b"d1"] {
            index.put(key, b"=");
        }
        assert_eq!(seen(&index, View::Committed), "");
        apply(&backend, &mut index, "one");
        index.touch([&b"a1"[..], b"b1", b"b2"]).unwrap();
        index.put(b"a1", b"+");
        index.delete(b"b1");
        index.put(b"b2", b"+");
        index.put(b"a0", b"+");
        index.delete(b"c2");
        assert_eq!((index.old(b"a1"), index.new_value(b"a1")), (Some(&b"="[..]), Some(&b"+"[..])));
        assert_eq!(seen(&index, View::Committed), "0a1= 0a2= 1b1= 2c1= 2c2= 2c3=");
        assert_eq!(seen(&index, View::Staged), "0a0+ 0a1+ 0a2= 1b2+ 2c1= 2c3=");
        index.put(b"c9", b"+");
        let left = index.delete_range(b"c", b"d", 2).unwrap();
        assert_eq!(left.as_deref(), Some(&b"c3"[..]));
        assert_eq!(seen(&index, View::Staged), "0a0+ 0a1+ 0a2= 1b2+ 2c3= 2c9+");
        assert_eq!(index.delete_range(b"c3", b"d", 9).unwrap(), None);
        assert_eq!(index.delete_range(b"d", b"c", 9).unwrap(), None);
        assert_eq!(seen(&index, View::Staged), "0a0+ 0a1+ 0a2= 1b2+");
        apply(&backend, &mut index, "two");
        assert_eq!(seen(&index, View::Committed), "0a0+ 0a1+ 0a2= 1b2+");
        assert_eq!(index.staged_bytes(), 0);
        index.put(b"a0", b"x");
        index.aborted();
        assert_eq!(seen(&index, View::Staged), "0a0+ 0a1+ 0a2= 1b2+");
    });
}

#[test]
fn a_range_of_a_row_index_is_taken_in_parts_with_what_the_batch_has_made_of_it() {
    Disk::each(|disk| {
        for limit in [1, 2, 3, 9] {
            let backend = disk.open();
            let mut index = RowIndex::new(TIMERS, "rows key(str, i64) -> bytes", Arc::clone(&backend));
            let mut seen = vec![];
            let mut from = b"b".to_vec();
            for key in [&b"a1"[..], b"b1", b"b2", b"b3", b"b4", b"b6", b"c1"] {
                index.put(key, b"=");
            }
            apply(&backend, &mut index, "one");
            index.delete(b"b1");
            index.delete(b"b2");
            index.touch([&b"b3"[..]]).unwrap();
            index.put(b"b3", b"+");
            index.put(b"b5", b"+");
            index.put(b"b7", b"+");
            loop {
                let mut part = 0;
                let left = index.take_range(&from, b"c", limit, |key, value| {
                    seen.push(format!("{}{}", key.escape_ascii(), value.escape_ascii()));
                    part += 1;
                    Ok(())
                });
                assert!(part <= limit);
                match left.unwrap() {
                    Some(next) => from = next,
                    None => break,
                }
            }
            assert_eq!(seen.join(" "), "b3+ b4= b5+ b6= b7+", "{limit}");
            apply(&backend, &mut index, "two");
            let mut rest = vec![];
            let visit = &mut |_: usize, key: &[u8], _: &[u8]| {
                rest.push(key.escape_ascii().to_string());
                Ok(true)
            };
            index.visit_prefixes(View::Staged, &[b"a", b"b", b"c"], visit).unwrap();
            assert_eq!(rest, ["a1", "c1"]);
            index.delete(b"a1");
            index.delete(b"c1");
            apply(&backend, &mut index, "three");
        }
    });
}
