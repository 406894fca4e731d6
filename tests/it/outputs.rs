//! Outputs outside the log: what the files contain, what a person reads, and what a function of the program is
//! called with.

use crate::driver::{PLAIN, Session, WAYS, Way, message};
use expect_test::expect;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    BadRecordPolicy, FileSink, SourceOptions, StreamingContext, TimeUnit, codec::Json, config::Trigger,
    source::Queue,
};

/// Every file below a folder, by path, with its text.
pub fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    found
}

/// The same, with the times in names replaced by their rank.
fn shown(root: &Path) -> String {
    let files = files(root);
    let is_time =
        |word: &str| word.len() >= 4 && word.chars().all(|c| c.is_ascii_digit()) && !word.starts_with('0');
    let words =
        |name: &str| name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect::<Vec<_>>();
    let times: BTreeSet<String> = files.keys().flat_map(|name| words(name)).filter(|w| is_time(w)).collect();
    let show = |(name, text): (&String, &String)| {
        let mut name = name.clone();
        for (rank, time) in times.iter().enumerate() {
            name = name.replace(time, &format!("T{rank}"));
        }
        format!("{name}: {}\n", text.replace('\n', "|"))
    };
    files.iter().map(show).collect()
}

const LINES: [&str; 3] = ["lines 0 | - | a b\nlines 1 | - | c\n", "", "lines 0 | - | d\nlines 2 | - | e\n"];

#[test]
fn a_folder_for_each_batch_with_rows() {
    let mut first = None;
    for way in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("out/words");
        let build = |ssc: &StreamingContext| {
            let words = ssc.text("lines").flat_map(|line| line.split(' '));
            words.save_as_text_files(prefix.to_str().unwrap(), "txt");
            words.map(|w| (w, 1)).save_as_json_files(prefix.to_str().unwrap(), "");
        };
        let mut session = Session::new(way);
        for lines in LINES {
            assert_eq!(session.step(&build, lines), [""; 0]);
        }
        let text = shown(dir.path());
        assert_eq!(*first.get_or_insert(text.clone()), text, "{way:?}");
    }
    expect![[r#"
        out/words-T0.txt/_SUCCESS: 
        out/words-T0.txt/part-00000: a|b|
        out/words-T0.txt/part-00001: c|
        out/words-T0/_SUCCESS: 
        out/words-T0/part-00000: ["a",1]|["b",1]|
        out/words-T0/part-00001: ["c",1]|
        out/words-T1.txt/_SUCCESS: 
        out/words-T1.txt/part-00000: d|
        out/words-T1.txt/part-00002: e|
        out/words-T1/_SUCCESS: 
        out/words-T1/part-00000: ["d",1]|
        out/words-T1/part-00002: ["e",1]|
    "#]]
    .assert_eq(&first.unwrap());
}

#[test]
fn tasks_of_two_topics_have_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("both");
    let build = |ssc: &StreamingContext| {
        ssc.text("a").union(&ssc.text("b")).save_as_text_files(prefix.to_str().unwrap(), "");
    };
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&build, "a 1 | - | x\nb 1 | - | y\n"), [""; 0]);
    expect![[r#"
        both-T0/_SUCCESS: 
        both-T0/part-00001: x|
        both-T0/part-00004: y|
    "#]]
    .assert_eq(&shown(dir.path()));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    at_ms: i64,
    note: Option<String>,
    sizes: Vec<f32>,
}

const ORDERS: &str = concat!(
    r#"orders 0 | - | {"id":1,"at_ms":1795356305000,"note":null,"sizes":[0.1,2]}"#,
    "\n",
    r#"orders 0 | - | {"id":2,"at_ms":1795359905000,"note":"x","sizes":[]}"#,
    "\n",
    r#"orders 0 | - | {"id":18446744073709551615,"at_ms":1795356306000,"note":"","sizes":[3]}"#,
    "\n",
);

#[test]
fn folders_by_the_time_of_the_row_or_of_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let build = |ssc: &StreamingContext| {
        let orders = ssc.source::<Order>(SourceOptions::topic("orders"), Json);
        let by_row = FileSink::json(&at("rows")).partition_by(TimeUnit::Hour).time(|o: &Order| o.at_ms);
        orders.to_files(by_row);
        orders.map(|o| o.id).to_files(FileSink::text(&at("batches")).partition_by(TimeUnit::Day));
    };
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&build, ORDERS), [""; 0]);
    expect![[r#"
        batches/date=T1-01-01/part-T0-00000.txt: 1|2|18446744073709551615|
        rows/date=T2-11-22/hour=14/part-T0-00000.json: {"id":1,"at_ms":1795356305000,"note":null,"sizes":[0.1,2.0]}|{"id":18446744073709551615,"at_ms":1795356306000,"note":"","sizes":[3.0]}|
        rows/date=T2-11-22/hour=15/part-T0-00000.json: {"id":2,"at_ms":1795359905000,"note":"x","sizes":[]}|
    "#]]
    .assert_eq(&shown(dir.path()));
}

#[test]
fn parquet_files_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let build = |ssc: &StreamingContext| {
        let orders = ssc.source::<Order>(SourceOptions::topic("orders"), Json);
        orders.save_as_parquet_files(&at("orders"), "parquet");
        orders.map(|o| (o.note, o.id)).to_files(FileSink::parquet(&at("pairs")));
        orders.map(|o| o.at_ms).to_files(FileSink::parquet(&at("times")));
    };
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&build, ORDERS), [""; 0]);
    let mut rows = vec![];
    for name in files(dir.path()).keys().filter(|name| !name.ends_with("_SUCCESS")) {
        let reader = SerializedFileReader::new(fs::File::open(dir.path().join(name)).unwrap()).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            assert!(row.len() < 5 && (row.len() != 2 || row.get_ulong(1).is_ok()), "{row}");
            rows.push(format!("{} {row}\n", name.split('-').next().unwrap()));
        }
    }
    expect![[r#"
        orders {id: 1, at_ms: 1795356305000, note: null, sizes: [0.1, 2.0]}
        orders {id: 2, at_ms: 1795359905000, note: "x", sizes: []}
        orders {id: 18446744073709551615, at_ms: 1795356306000, note: "", sizes: [3.0]}
        pairs/part {_1: null, _2: 1}
        pairs/part {_1: "x", _2: 2}
        pairs/part {_1: "", _2: 18446744073709551615}
        times/part {value: 1795356305000}
        times/part {value: 1795359905000}
        times/part {value: 1795356306000}
    "#]]
    .assert_eq(&rows.concat());
}

#[test]
fn a_row_that_cannot_be_encoded_is_a_bad_record() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("rows").to_str().unwrap().to_owned();
    let build = |ssc: &StreamingContext| {
        let options = SourceOptions::topic("orders").on_bad_record(BadRecordPolicy::DeadLetter);
        let orders = ssc.source::<Order>(options, Json);
        let sink = FileSink::text(&root).partition_by(TimeUnit::Day).time(|o: &u64| {
            assert_ne!(*o, 2, "no time");
            0
        });
        orders.map(|o| o.id).to_files(sink);
    };
    let mut session = Session::new(PLAIN);
    let written = session.step(&build, ORDERS);
    assert!(written.len() == 1 && written[0].contains("no time"), "{written:?}");
    let mut rows: Vec<String> = files(dir.path()).into_values().collect();
    rows.sort();
    assert_eq!(rows.concat(), "1\n18446744073709551615\n");
}

#[derive(Clone, Serialize, Deserialize)]
enum Shapeless {
    Of(u8),
}

#[test]
fn mistakes_are_reported_before_anything_runs() {
    let ssc =
        StreamingContext::builder("app").log("memory:output-mistakes").trigger(Trigger::AvailableNow).build();
    let lines = ssc.text("lines");
    lines.save_as_text_files("s3://bucket/lines", "");
    lines.save_as_text_files("out/lines", "x");
    lines.save_as_json_files("out/lines", "x");
    lines.to_files(FileSink::text("out").time(|_| 0));
    lines.map(|_| Shapeless::Of(1)).to_files(FileSink::parquet("shapeless"));
    expect![[r#"
        tests/it/outputs.rs:216:11: `save_as_text_files`: `s3://bucket/lines` is not a path of a file system
        tests/it/outputs.rs:219:11: `to_files`: a time for rows is set, but files are not in folders by time
          help: add `.partition_by(TimeUnit::Hour)`
        tests/it/outputs.rs:220:37: `to_files`: rows of this type cannot be written as Parquet: an enum whose variants carry data has no column
        tests/it/outputs.rs:218:11: `out/lines-TIME.x` is written here and at tests/it/outputs.rs:217:11
          help: choose another place for one of them
    "#]].assert_eq(&message(ssc.start()));
}

type Calls = Arc<Mutex<Vec<(Vec<Vec<String>>, i64)>>>;

fn recording(calls: &Calls, ssc: &StreamingContext, fail_on: &'static str, panics: bool) {
    let calls = calls.clone();
    ssc.text("lines").map(|line| line.to_string()).foreach_rdd(move |rdd, time| {
        let fails = rdd.iter().any(|row| row == fail_on);
        calls.lock().unwrap().push((rdd.partitions().to_vec(), time.0));
        assert!(!(fails && panics), "on purpose");
        if fails { Err("the bank is closed".into()) } else { Ok(()) }
    });
}

#[test]
fn a_function_gets_the_rows_of_each_batch_by_task_in_order() {
    let calls = Calls::default();
    let mut session = Session::new(Way { threads: 3, ..PLAIN });
    for lines in [LINES[0], LINES[2]] {
        assert_eq!(session.step(&|ssc| recording(&calls, ssc, "", false), lines), [""; 0]);
    }
    let calls = calls.lock().unwrap();
    let rows: Vec<&Vec<Vec<String>>> = calls.iter().map(|(rows, _)| rows).collect();
    assert_eq!(rows, [&[["a b"], ["c"]], &[["d"], ["e"]]]);
}

#[test]
fn a_function_is_called_for_empty_batches_too() {
    let calls = Calls::default();
    let ssc = StreamingContext::builder("app").batch_interval(Duration::from_millis(10)).build();
    let queue = Queue::default();
    queue.push(vec![1, 2]);
    queue.push(vec![3]);
    let numbers = ssc.queue_stream(&queue, true);
    let seen = calls.clone();
    numbers.map(|n| n.to_string()).foreach_rdd(move |rdd, time| {
        seen.lock().unwrap().push((rdd.partitions().to_vec(), time.0));
    });
    ssc.start().unwrap();
    while calls.lock().unwrap().len() < 5 {
        assert!(!ssc.await_termination_or_timeout(Duration::from_millis(10)).unwrap(), "it ended early");
    }
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let calls = calls.lock().unwrap();
    let rows: Vec<Vec<String>> =
        calls.iter().map(|(rows, _)| rows.concat()).filter(|r| !r.is_empty()).collect();
    assert_eq!(rows, [vec!["1", "2"], vec!["3"]]);
    assert!(calls.is_sorted_by(|a, b| a.1 < b.1), "times rise");
}

#[test]
fn a_function_that_fails_stops_the_program_and_the_rows_come_again() {
    let calls = Calls::default();
    let mut session = Session::new(PLAIN);
    let error = session.step(&|ssc| recording(&calls, ssc, "c", false), LINES[0]);
    let time = calls.lock().unwrap()[0].1;
    assert_eq!(error.len(), 1);
    let shown = error[0].replace(&time.to_string(), "TIME");
    expect![[r#"
        error: foreach_rdd at tests/it/outputs.rs:235:52 in the batch of TIME: the bank is closed
          next: fix the cause and start again; the batch was not committed"#]]
    .assert_eq(&shown);
    let error = session.step(&|ssc| recording(&calls, ssc, "c", true), "");
    assert!(error[0].contains("panicked: on purpose"), "{error:?}");
    assert_eq!(session.step(&|ssc| recording(&calls, ssc, "", false), ""), [""; 0]);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|(rows, _)| *rows == calls[0].0), "the same rows each time: {calls:?}");
}
