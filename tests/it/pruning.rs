//! What no output needs is not computed: its topics need not exist, and nothing of it is read or kept.

use crate::contract::rows;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tidegate::{
    Config, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
    log::{self, Log, TopicSpec},
    ml::{StreamingKMeans, Training},
    plan::Fingerprint,
    source::StorageLevel,
};

fn context(name: &str) -> (StreamingContext, Arc<dyn Log>) {
    let mut config = Config::new("app", format!("memory:pruning-{name}"));
    (config.trigger, config.admin_bind, config.threads) = (Trigger::AvailableNow, None, 1);
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    let spec =
        TopicSpec { name: "lines".into(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    log::write(&*log, "lines", None, &rows(&[("", "a"), ("", "b")])).unwrap();
    (StreamingContext::new(config), log)
}

/// Runs the program to its end; returns the topics that it read.
fn topics_read(ssc: &StreamingContext) -> BTreeSet<String> {
    let read: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let into = read.clone();
    ssc.add_listener(move |report| {
        into.lock().unwrap().extend(report.counters.read.keys().map(ToString::to_string));
    });
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    read.lock().unwrap().clone()
}

#[test]
fn what_no_output_needs_is_not_computed() {
    let (ssc, log) = context("dead");
    let lines = ssc.text("lines");
    let never =
        |line: tidegate::record::Text| -> (tidegate::record::Text, u64) { panic!("computed: {line}") };
    let _dead_branch = lines.map(never).running_reduce_by_key(|a, b| a + b);
    let _dead_source = ssc.text("no-such-topic").map(never).running_reduce_by_key(|a, b| a + b);
    let _dead_receiver = ssc.socket_text_stream_at("127.0.0.1", 9, StorageLevel::Log);
    lines.map(|line| (line, 1u64)).to_kafka("out", Utf8, AsText);
    assert_eq!(topics_read(&ssc), BTreeSet::from(["lines".to_owned()]));
    let made = |topic: &str| log.describe(&[topic]).unwrap()[0].is_some();
    assert!(made("out") && !made("app-exchange") && !made("app-changelog"));
    assert!(!made("app-ingest-socket-127-0-0-1-9"));
    assert!(ssc.metrics().is_some());
}

#[test]
fn ids_names_and_the_fingerprint_stay_unchanged() {
    let build = |with_output: bool| {
        let ssc = StreamingContext::builder("app").build();
        let pairs = ssc.text("a").map(|line| (line, 1u64));
        let dead = pairs.reduce_by_key(|a, b| a + b).running_reduce_by_key(|a, b| a + b);
        let live = ssc.text("b").map(|line| (line, 1u64)).running_reduce_by_key(|a, b| a + b);
        live.to_kafka("out", Utf8, AsText);
        if with_output {
            dead.to_kafka("more", Utf8, AsText);
        }
        ssc.topology()
    };
    let (without, with) = (build(false), build(true));
    assert_eq!(Fingerprint::of(&without, 8), Fingerprint::of(&with, 8));
    let computed = without.clone().computed();
    assert_eq!(computed.nodes.len(), without.nodes.len());
    let stores = |plan: &tidegate::plan::Topology| -> Vec<(usize, String)> {
        plan.iter().flat_map(|(id, n)| n.stores.iter().map(move |s| (id.0, s.name.clone()))).collect()
    };
    assert_eq!(stores(&with).len(), 2);
    assert_eq!(stores(&computed), stores(&with)[1..]);
    assert_eq!(computed.sources().map(|(id, s)| (id, s.topics.clone())).collect::<Vec<_>>(), {
        with.sources().skip(1).map(|(id, s)| (id, s.topics.clone())).collect::<Vec<_>>()
    });
    assert_eq!(with.clone().computed().to_string(), with.to_string(), "everything is needed");
}

#[test]
fn a_program_without_any_output_is_refused_and_a_model_is_trained_without_one() {
    let (ssc, _log) = context("none");
    let _ = ssc.text("lines").map(|line| (line, 1u64)).running_reduce_by_key(|a, b| a + b);
    assert!(ssc.start().unwrap_err().to_string().contains("no output operations registered"));
    let (ssc, log) = context("model");
    let spec =
        TopicSpec { name: "points".into(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    log::write(&*log, "points", None, &rows(&[("", "1"), ("", "2")])).unwrap();
    let points = ssc.text("points").map(|line| vec![line.parse::<f64>().unwrap()]);
    let _model = StreamingKMeans::with_random_centers(2, 1, 0.0, 42).train_on(&points);
    ssc.text("lines").print();
    assert_eq!(topics_read(&ssc), BTreeSet::from(["lines".to_owned(), "points".to_owned()]));
}
