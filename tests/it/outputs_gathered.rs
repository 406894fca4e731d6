//! Outputs that take the rows of a whole batch: in a program with state they come to one state partition, and give the same
//! there, whichever way the rows take.

use crate::outputs::files;
use expect_test::expect;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tidegate::{
    BatchTime, Config, DStream, FileSink, StreamingContext, Text,
    codec::{AsText, Utf8},
    config::{ExchangeThrough, Trigger},
    log,
    ml::{StreamingKMeans, Training},
    plan::{Fingerprint, Topology},
    sink::{Batch, Collected, Sink, SinkContext, SinkShape, TwoPhaseSink, to_display},
    testing::{Crash, Driver, Settings, run_every_way},
};

const LINES: &str = "lines 0 | - | a b\nlines 1 | - | a\n---\n---\nlines 2 | - | a c d\n";

fn words(ssc: &StreamingContext) -> DStream<Text> {
    ssc.text("lines").flat_map(|line| line.split(' '))
}

fn counts(ssc: &StreamingContext) -> DStream<(Text, u64)> {
    words(ssc).map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b)
}

#[test]
fn rows_are_printed_the_same_whichever_way_they_take() {
    let written = run_every_way(
        |ssc| {
            let counts = counts(ssc);
            words(ssc).map(|word| format!("word {word}")).print_rows(2);
            counts.print();
            counts.map(|(word, _)| word).count().map(|n| format!("{n} words")).print();
        },
        LINES,
    );
    expect![[r#"
        console | (a,2)
        console | (b,1)
        console | ...
        console | 2 words
        console | word a
        console | word b
        ---
        console | 0 words
        ---
        console | (a,3)
        console | (c,1)
        console | (d,1)
        console | ...
        console | 3 words
        console | word a
        console | word c
    "#]]
    .assert_eq(&written);
}

/// The partitions of each call, with the time.
type Calls = Vec<(i64, Vec<Vec<String>>)>;

/// What functions are called with, in order: of a stream before any exchange, of one behind it, and of committed batches.
fn called(exchange: ExchangeThrough) -> BTreeMap<&'static str, Calls> {
    let calls: Arc<Mutex<BTreeMap<&'static str, Calls>>> = Arc::default();
    let mut driver = Driver::with(Settings { exchange, ..Settings::default() }, |ssc| {
        let record = |name: &'static str| {
            let calls = calls.clone();
            move |time: i64, rows: &[Vec<String>]| {
                calls.lock().unwrap().entry(name).or_default().push((time, rows.to_vec()));
            }
        };
        let more = ssc.text("more");
        let all = words(ssc).union(&more).map(|word| word.to_string());
        let counts = counts(ssc).map(|(word, n)| format!("{word}{n}"));
        let (rdd, batch) = (record("words"), record("batches of words"));
        all.foreach_rdd(move |rows, time| rdd(time.0, rows.partitions()));
        all.foreach_batch("words", move |rows, of| batch(of.time.0, rows.partitions()));
        let (rdd, batch) = (record("counts"), record("batches of counts"));
        counts.foreach_rdd(move |rows, time| rdd(time.0, rows.partitions()));
        counts.foreach_batch("counts", move |rows, of| batch(of.time.0, rows.partitions()));
    });
    driver.batch("more 1 | - | x\nmore 0 | - | y\nlines 1 | - | a b\nlines 0 | - | a\n").unwrap();
    driver.batch("").unwrap();
    driver.batch("lines 2 | - | c\nmore 1 | - | z\n").unwrap();
    drop(driver);
    Arc::into_inner(calls).unwrap().into_inner().unwrap()
}

#[test]
fn functions_get_the_rows_of_each_task_whichever_way_they_take() {
    let in_memory = called(ExchangeThrough::Memory);
    let rows = |partitions: &[&[&str]]| -> Vec<Vec<String>> {
        partitions.iter().map(|rows| rows.iter().map(ToString::to_string).collect()).collect()
    };
    // Tasks of all topics count on: first those of `lines`, then those of `more`.
    let words = [
        (1_000, rows(&[&["a"], &["a", "b"], &["y"], &["x"]])),
        (2_000, vec![]),
        (3_000, rows(&[&["c"], &["z"]])),
    ];
    assert_eq!(in_memory["words"], words);
    assert_eq!(in_memory["batches of words"], [words[0].clone(), words[2].clone()]);
    let times = |calls: &Calls| calls.iter().map(|(time, _)| *time).collect::<Vec<_>>();
    assert_eq!(times(&in_memory["counts"]), [1_000, 2_000, 3_000]);
    let mut first = in_memory["counts"][0].1.concat();
    first.sort();
    assert_eq!(first, ["a2", "b1"]);
    assert_eq!(called(ExchangeThrough::Topic), in_memory);
}

#[test]
fn the_newest_model_and_past_batches_are_shown_whichever_way_rows_take() {
    for exchange in [ExchangeThrough::Memory, ExchangeThrough::Topic] {
        let (shown, remembered) = (Mutex::new(None), Mutex::new(None));
        let mut driver = Driver::with(Settings { exchange, ..Settings::default() }, |ssc| {
            let points = ssc.text("points").map(|line| vec![line.parse::<f64>().unwrap()]);
            let model =
                StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]).train_on(&points);
            *shown.lock().unwrap() = Some(model.latest());
            *remembered.lock().unwrap() = Some(words(ssc).remembered());
        });
        driver.batch("points 0 | - | 1\npoints 1 | - | 3\npoints 2 | - | 8\nlines 0 | - | a b\n").unwrap();
        driver.batch("").unwrap();
        let words = remembered.lock().unwrap().clone().unwrap().slice(BatchTime(0), BatchTime(2_000));
        let words: Vec<(i64, String)> =
            words.into_iter().map(|(time, rows)| (time.0, to_display(&rows).unwrap())).collect();
        assert_eq!(words, [(1_000, "[a,b]".to_owned()), (2_000, "[]".to_owned())], "{exchange:?}");
        let (time, model) = shown.lock().unwrap().clone().unwrap().get().unwrap();
        assert_eq!((time.0, model.centers), (1_000, vec![vec![2.0], vec![8.0]]), "{exchange:?}");
    }
}

fn plan(build: impl FnOnce(&StreamingContext)) -> Topology {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    build(&ssc);
    ssc.topology()
}

fn may_be_shared(build: impl FnOnce(&StreamingContext)) -> bool {
    plan(build).computed().may_be_shared()
}

/// A two-phase sink of the program itself.
struct Alone;

impl<T: tidegate::record::Data> Sink<T> for Alone {
    fn shape(self, _: &SinkContext) -> Result<SinkShape<T>, String> {
        struct Nothing;
        impl TwoPhaseSink for Nothing {
            fn prepare(&mut self, _: &Batch, _: Collected) -> tidegate::Result<Option<Vec<u8>>> {
                Ok(None)
            }
        }
        Ok(SinkShape::two_phase("alone", |_| Nothing))
    }
}

/// Tasks have files of their own, in as many processes as share the program; and in one in which notes on them go through the topic.
#[test]
fn files_are_the_same_however_many_processes_write_them() {
    let input = ["lines 0 | - | a b\nlines 1 | - | c\n", "", "lines 0 | - | d a\nlines 2 | - | e\n"];
    let written = |settings: Settings, crash: Option<Crash>| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let mut driver = Driver::with(settings, |ssc| {
            words(ssc).save_as_text_files(&at("words"), "txt");
            counts(ssc).save_as_json_files(&at("counts"), "");
            words(ssc).map(|word| word.to_string()).to_files(FileSink::text(&at("tree")));
        });
        for rows in input {
            crash.into_iter().for_each(|crash| driver.crash_at(crash));
            driver.batch(rows).unwrap();
        }
        driver.batch("").unwrap(); // state that was restored beside the loop is taken up between batches
        let crashes = driver.crashes();
        drop(driver);
        (files(dir.path()), crashes)
    };
    let (expected, _) = written(Settings::default(), None);
    assert_eq!(expected.keys().filter(|name| name.ends_with("_SUCCESS")).count(), 4, "{expected:?}");
    let plain = Settings::default();
    let crash = [Crash::BeforeCommit, Crash::AfterCommit];
    let of_several = [2, 3].map(|processes| (Settings { processes, ..plain }, None));
    let crashing = crash.map(|crash| (Settings { processes: 2, ..plain }, Some(crash)));
    let through_topic =
        crash.map(|crash| (Settings { exchange: ExchangeThrough::Topic, ..plain }, Some(crash)));
    for (settings, crash) in of_several.into_iter().chain(crashing).chain(through_topic) {
        let (mut found, crashes) = written(settings, crash);
        if crash == Some(Crash::BeforeCommit) {
            found.retain(|name, _| !name.contains("/share-")); // what a process wrote in vain before it died stays for a day
        }
        assert_eq!(found, expected, "{settings:?} {crash:?}");
        assert_eq!(crashes > 0, crash.is_some(), "{settings:?}");
    }
}

#[test]
fn what_may_be_computed_by_several_processes() {
    let with = |end: fn(&StreamingContext, &DStream<Text>)| {
        may_be_shared(|ssc| {
            counts(ssc).to_kafka("out", Utf8, AsText);
            end(ssc, &words(ssc));
        })
    };
    assert!(with(|_, words| words.print()));
    assert!(with(|_, words| words.foreach_rdd(|_, _| {})));
    assert!(with(|_, words| drop(words.remembered())));
    assert!(with(|_, words| words.foreach_batch("words", |_, _| {})));
    assert!(with(|_, words| words.to_kafka_values("words", Utf8)));
    assert!(with(|_, words| {
        let points = words.map(|word| vec![f64::from(u32::try_from(word.len()).unwrap())]);
        let _ = StreamingKMeans::with_centers(vec![vec![0.0]], vec![0.0]).train_on(&points).latest();
    }));
    // Whether all processes see the files is a setting.
    assert!(with(|_, words| words.map(|word| word.to_string()).to_files(FileSink::text("out"))));
    assert!(!with(|_, words| words.to_sink(Alone)));
    // Receivers run in each process on its own.
    assert!(!with(|ssc, _| ssc.queue_stream(&tidegate::source::Queue::<u32>::default(), true).print()));
    assert!(!may_be_shared(|ssc| words(ssc).print()), "without state there is nothing to share");
}

#[test]
fn outputs_change_nothing_that_outlives_a_program() {
    let without = plan(|ssc| counts(ssc).to_kafka("out", Utf8, AsText));
    let with = plan(|ssc| {
        let counts = counts(ssc);
        counts.to_kafka("out", Utf8, AsText);
        counts.print();
        counts.foreach_rdd(|_, _| {});
    });
    assert_eq!(Fingerprint::of(&with, 8), Fingerprint::of(&without, 8));
    let names =
        |plan: &Topology| -> Vec<String> { plan.edges().map(|(_, edge)| edge.name.clone()).collect() };
    let (before, mut now) = (names(&without.computed()), names(&with.computed()));
    now.retain(|name| !name.contains(".print.") && !name.contains(".foreach_rdd."));
    assert_eq!(now, before);
}

#[test]
fn outputs_of_a_program_without_state_stay_in_each_task() {
    let plan = plan(|ssc| {
        words(ssc).print();
        words(ssc).foreach_rdd(|_, _| {});
        let _without_output = counts(ssc);
    });
    assert_eq!(plan.computed().stages(), 1);
    let name = "memory:print-without-state";
    let log = log::open(name, &BTreeMap::new()).unwrap();
    let spec = log::TopicSpec {
        name: "lines".into(),
        partitions: 2,
        replication_factor: None,
        config: BTreeMap::new(),
    };
    log.create(&spec).unwrap();
    let ssc = StreamingContext::builder("app").log(name).trigger(Trigger::AvailableNow);
    let ssc = ssc.configure(|config| config.admin_bind = None).build();
    ssc.text("lines").print();
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    assert!(log.describe(&["app-exchange"]).unwrap()[0].is_none());
}

/// Comes back from bytes without what it counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing)]
    count: u64,
}

#[test]
fn rows_that_bytes_would_change_are_passed_on_as_they_are_by_one_process() {
    let build = |seen: &Arc<Mutex<u64>>, ssc: &StreamingContext| {
        let seen = seen.clone();
        counts(ssc).map(|(_, count)| OneWay { count }).foreach_rdd(move |rdd, _| {
            *seen.lock().unwrap() += rdd.iter().map(|row| row.count).sum::<u64>();
        });
    };
    for exchange in [ExchangeThrough::Memory, ExchangeThrough::Topic] {
        let seen = Arc::default();
        let mut driver = Driver::with(Settings { exchange, ..Settings::default() }, |ssc| build(&seen, ssc));
        driver.batch("lines 0 | - | a b a\nlines 1 | - | b\n").unwrap();
        assert_eq!(*seen.lock().unwrap(), 4, "{exchange:?}");
        assert!(!may_be_shared(|ssc| build(&seen, ssc)));
    }
}
