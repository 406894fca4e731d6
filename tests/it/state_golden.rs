//! The state format as bytes: what was written in format 1 must be read, and written again, byte for byte.
//!
//! `golden/state-format.txt` contains keys, values and changelog rows; `golden/state-1` is a database that was
//! written by the first program with this format. If one of these tests fails, the format has changed: it needs a
//! new number.

use super::state_suite::apply;
use expect_test::expect_file;
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, path::Path, sync::Arc};
use tidegate::{
    Text,
    codec::{decode_value, encode_key, encode_value},
    record::{Bytes, Partition, RawChunkBuilder},
    state::{Backend, MemoryStorage, OrderedTable, RocksStorage, Storage, Store, Table},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Last {
    Never,
    At { ms: i64, page: Text },
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Visits {
    count: u64,
    last: Last,
    tags: Vec<Text>,
    ratio: Option<f64>,
}

/// A type without a plain form: its values carry the names of their parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Described {
    Nothing,
    Some {
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        numbers: (i16, u32, i64, f64),
        last: Last,
        tags: Vec<Option<Text>>,
        pages: std::collections::BTreeMap<String, bool>,
    },
}

fn described() -> [Described; 3] {
    let some = |first, last| Described::Some {
        first,
        numbers: (-2, 300, -1, 0.5),
        last,
        tags: vec![None, Some("ä".into())],
        pages: [("/".to_owned(), true)].into(),
    };
    [
        Described::Nothing,
        some(None, Last::Never),
        some(Some(7), Last::At { ms: 1_700_000_000_000, page: "/start".into() }),
    ]
}

const VISITS: &str = "clicks.visits";
const TIMERS: &str = "clicks.timers";
type VisitTable = Table<(Text, u32), Visits>;
type TimerTable = OrderedTable<(i64, Text), ()>;

fn visits() -> [((Text, u32), Visits); 2] {
    let at = Last::At { ms: 1_700_000_000_000, page: "/start".into() };
    [
        (
            ("anna".into(), 7),
            Visits { count: 300, last: at, tags: vec!["a".into(), "ä".into()], ratio: Some(0.5) },
        ),
        (("b\0b".into(), 0), Visits { count: 0, last: Last::Never, tags: vec![], ratio: None }),
    ]
}

fn timers() -> [(i64, Text); 3] {
    [(-1, "before 1970".into()), (0, Text::default()), (1_700_000_000_000, "anna".into())]
}

/// Fills both tables with a batch, and deletes a key that an earlier batch created.
fn write(backend: &Arc<dyn Backend>) -> RawChunkBuilder {
    let mut table: VisitTable = Table::new(VISITS, Arc::clone(backend));
    let gone: (Text, u32) = ("gone".into(), 1);
    table.entry(gone.clone()).unwrap().set(visits()[1].1.clone());
    apply(backend, &mut table, "record 1");
    for (key, value) in visits() {
        table.entry(key).unwrap().set(value);
    }
    table.entry(gone).unwrap().take();
    let mut ordered: TimerTable = OrderedTable::new(TIMERS, Arc::clone(backend));
    for key in timers() {
        ordered.insert(&key, ()).unwrap();
    }
    let chunks = [table.seal().unwrap(), ordered.seal().unwrap()];
    backend.apply(&chunks, Some(b"record 2")).unwrap();
    let mut rows = RawChunkBuilder::default();
    chunks.iter().flat_map(tidegate::record::RawChunk::iter).for_each(|row| rows.push(row));
    rows
}

fn stores() -> [String; 2] {
    [VISITS.to_owned(), TIMERS.to_owned()]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

#[test]
fn keys_values_and_changelog_rows_are_written_as_before() {
    let mut out = String::new();
    writeln!(out, "# store formats").unwrap();
    for spec in [VisitTable::spec(VISITS), TimerTable::spec(TIMERS)] {
        writeln!(out, "{}: {}", spec.name, spec.format).unwrap();
    }
    writeln!(out, "\n# changelog rows: key = value").unwrap();
    let backend = MemoryStorage::default().open(Partition(0), &stores()).unwrap().backend;
    for row in write(&backend).build().iter() {
        writeln!(out, "{} = {}", hex(row.key.unwrap()), row.value.map_or("null".into(), hex)).unwrap();
    }
    writeln!(out, "\n# keys").unwrap();
    let mut key = |name: &str, encode: &dyn Fn(&mut Vec<u8>) -> tidegate::Result| {
        let mut bytes = vec![];
        encode(&mut bytes).unwrap();
        writeln!(out, "{name} = {}", hex(&bytes)).unwrap();
    };
    key("(1u8, -1i8, 2u16, -2i16)", &|out| encode_key(&(1u8, -1i8, 2u16, -2i16), out));
    key("(3u32, -3i32, 4u64, -4i64)", &|out| encode_key(&(3u32, -3i32, 4u64, -4i64), out));
    key("(5u128, -5i128)", &|out| encode_key(&(5u128, -5i128), out));
    key("(true, 'z', ())", &|out| encode_key(&(true, 'z', ()), out));
    key("(1.5f32, -1.5f64)", &|out| encode_key(&(1.5f32, -1.5f64), out));
    key("(\"a\\0b\", b\"\\0\")", &|out| encode_key(&("a\0b", Bytes::from(&b"\0"[..])), out));
    key("(Some(1u8), None::<u8>, [1u8, 2], vec![3u8])", &|out| {
        encode_key(&(Some(1u8), None::<u8>, [1u8, 2], vec![3u8]), out)
    });
    key("(Never, At { ms: 1, page: \"p\" })", &|out| {
        encode_key(&(Last::Never, Last::At { ms: 1, page: "p".into() }), out)
    });
    writeln!(out, "\n# described values").unwrap();
    for value in described() {
        let mut bytes = vec![];
        encode_value(&value, &mut bytes).unwrap();
        assert_eq!(decode_value::<Described>(&bytes).unwrap(), value);
        writeln!(out, "{} = {}", serde_json::to_string(&value).unwrap(), hex(&bytes)).unwrap();
    }
    expect_file!["golden/state-format.txt"].assert_eq(&out);
}

#[test]
fn a_database_of_this_format_opens_and_holds_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    copy(&golden().join("3"), &directory.path().join("3"));
    let opened = RocksStorage::new(directory.path(), 8 << 20).unwrap().open(Partition(3), &stores()).unwrap();
    assert_eq!(opened.quarantined, None);
    assert_eq!(opened.backend.record().unwrap().as_deref(), Some(&b"record 2"[..]));
    let mut table: VisitTable = Table::new(VISITS, Arc::clone(&opened.backend));
    let mut rows = vec![];
    table
        .update_some(None, usize::MAX, |key, slot| {
            rows.push((key.clone(), slot.get().unwrap().clone()));
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, visits());
    let mut keys = vec![];
    TimerTable::new(TIMERS, Arc::clone(&opened.backend))
        .visit(.., |key, _| {
            keys.push(key.clone());
            Ok(true)
        })
        .unwrap();
    assert_eq!(keys, timers());
}

/// How `golden/state-1` was created; to be run once for a new format, never to make a failing test pass.
#[test]
#[ignore = "writes the golden directory of a new format"]
fn write_a_golden_directory() {
    let storage = RocksStorage::new(golden(), 8 << 20).unwrap();
    write(&storage.open(Partition(3), &stores()).unwrap().backend);
    for entry in fs::read_dir(golden().join("3")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("LOG") || name.starts_with("OPTIONS") || name == "LOCK" {
            fs::remove_file(path).unwrap();
        }
    }
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/state-1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
