//! The page of a running program: its numbers against those of the JSON API.

use crate::browser::{api, document, rows, text};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tidegate::{
    BadRecordPolicy, Config, SourceOptions, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
    log::{self, Log},
    record::{Headers, Offset, RawChunkBuilder, RawRecord, Text},
};

pub fn write(log: &Arc<dyn Log>, topic: &str, lines: &[&str]) {
    let mut records = RawChunkBuilder::default();
    for line in lines {
        let value = Some(line.as_bytes());
        records.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value,
            headers: Headers::NONE,
        });
    }
    log::write(log.as_ref(), topic, None, &records.build()).unwrap();
}

/// A program that has processed three waves of lines, one of them with a line that makes it fail; after that,
/// nothing happens in it.
fn at_rest() -> (StreamingContext, SocketAddr, String) {
    let log = log::open("memory:page", &BTreeMap::default()).unwrap();
    let mut config = Config::new("word-count", "memory:page");
    config.trigger = Trigger::AsSoonAsPossible;
    config.admin_bind = Some("127.0.0.1:0".into());
    let ssc = StreamingContext::new(config);
    let options = SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::Skip);
    let lines = ssc.source::<Text>(options, Utf8).map(|line| {
        assert!(&*line != "bad", "a bad line");
        line
    });
    let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
    words.running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
    lines.print();
    write(&log, "lines", &["to be or", "not to be"]);
    ssc.start().unwrap();
    let (server, at) = (ssc.admin_address().unwrap(), "/api/v1/applications/word-count/streaming".to_owned());
    for (records, wave) in [(2, &["that", "is"][..]), (4, &["the", "bad", "question"][..]), (7, &[])] {
        wait(server, &at, 0, |s| s["numProcessedRecords"] == records);
        if !wave.is_empty() {
            write(&log, "lines", wave);
        }
    }
    (ssc, server, at)
}

/// `active`: how many batches take input when this returns.
fn wait(server: SocketAddr, at: &str, active: u64, until: impl Fn(&Value) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let statistics = api(server, &format!("{at}/statistics"));
        if until(&statistics) && statistics["numActiveBatches"] == active {
            return;
        }
        assert!(Instant::now() < end, "waited for 60 s: {statistics}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// As the page shows durations below a minute.
fn duration(ms: &Value) -> String {
    let ms = ms.as_f64().unwrap();
    if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", (ms / 100.0).round() / 10.0) }
}

fn records(n: &Value) -> String {
    if *n == 1 { "1 record".into() } else { format!("{n} records") }
}

#[test]
fn the_numbers_on_the_page_agree_with_the_json_api() {
    let (ssc, server, at) = at_rest();
    let asked = || (api(server, &format!("{at}/batches")), api(server, &format!("{at}/statistics")));
    let of_one_moment = || {
        let (batches, page, (again, statistics)) = (asked().0, document(server, "/"), asked());
        (batches == again).then_some((page, batches, statistics))
    };
    let (page, all, statistics) =
        (0..20).find_map(|_| of_one_moment()).expect("no batch ends while the page is drawn");
    let number = |name: &str| statistics[name].to_string();
    let line = text(&page, "running");
    assert!(line.starts_with("Running batches as soon as possible for "), "{line}");
    assert_eq!(text(&page, "completed-batches"), number("numTotalCompletedBatches"));
    assert_eq!((text(&page, "records"), number("numProcessedRecords")), ("7".into(), "7".into()));
    let receivers = statistics["numReceivers"].as_u64().unwrap();
    assert_eq!(text(&page, "receivers"), format!("{receivers} / {receivers} active"));
    assert_eq!(rows(&page, "receiver-table").len() as u64, receivers);

    let (failed, completed): (Vec<_>, Vec<_>) =
        all.as_array().unwrap().iter().partition(|b| b["numFailedOutputOps"] != 0);
    let shown = rows(&page, "completed");
    assert_eq!(shown.len(), completed.len());
    for (row, batch) in shown.iter().zip(&completed) {
        let time = |name: &str| duration(&batch[name]);
        assert_eq!(row[2], records(&batch["inputSize"]), "{batch}");
        let times = ["schedulingDelay", "processingTime", "totalDelay"].map(time);
        assert_eq!((&row[3..6], row[6].as_str()), (&times[..], "2/2"), "{batch}");
    }
    assert!(!failed.is_empty(), "the bad line made a batch fail");
    let shown = rows(&page, "failed");
    assert_eq!(shown.len(), failed.len());
    assert!(shown.iter().all(|row| row[0] == "failing" && row[5].contains("a bad line")), "{shown:?}");
    assert_eq!(page.matches("<canvas").count(), 4, "a chart for each row");
    assert!(page.matches("<rect").count() >= 4, "bars beside them");
    assert!(text(&page, "topology").contains("to_kafka counts"));
    batch_pages(server, &at, completed[0], failed[0]);
    ssc.stop(false);
    ssc.await_termination().unwrap();
}

fn batch_pages(server: SocketAddr, at: &str, completed: &Value, failed: &Value) {
    for (batch, status) in [(completed, "SUCCEEDED"), (failed, "FAILED")] {
        let id = batch["batchId"].to_string();
        let page = document(server, &format!("/streaming/batch/{id}"));
        assert_eq!(text(&page, "input-size"), records(&batch["inputSize"]));
        operators_of(server, at, &id, &page);
        let operations = api(server, &format!("{at}/batches/{id}/operations"));
        let shown = rows(&page, "operations");
        assert_eq!(shown.len(), 2);
        for (row, operation) in shown.iter().zip(operations.as_array().unwrap()) {
            let text = |name: &str| operation[name].as_str().unwrap_or("-").to_owned();
            let place = format!("{} at {}", text("name"), text("description"));
            let took = duration(&operation["duration"]);
            let expected =
                [operation["outputOpId"].to_string(), place, took, status.into(), text("failureReason")];
            assert_eq!(row[1..], expected);
        }
        assert!(shown[0][2].starts_with("to_kafka counts at tests/page/program.rs:"), "{shown:?}");
        let one = api(server, &format!("{at}/batches/{id}"));
        let ranges = one["streams"][0]["ranges"].as_array().unwrap();
        let shown = rows(&page, "inputs");
        if ranges.is_empty() {
            assert_eq!(
                (status, shown[0][1].as_str()),
                ("FAILED", "Nothing was processed before it failed"),
                "{one}"
            );
            continue;
        }
        assert_eq!(shown.len(), ranges.len(), "{one}");
        for (row, range) in shown.iter().zip(ranges) {
            let of = |name: &str| range[name].to_string().trim_matches('"').to_owned();
            let expected = [
                "lines".into(),
                of("topic"),
                of("partition"),
                of("fromOffset"),
                of("untilOffset"),
                of("numRecords"),
            ];
            assert_eq!(row[1..], expected);
        }
    }
}

/// Each stage with its operators, as in the JSON.
fn operators_of(server: SocketAddr, at: &str, id: &str, page: &str) {
    let one = api(server, &format!("{at}/batches/{id}"));
    let operators = one["operators"].as_array().unwrap();
    let names: Vec<_> = operators.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"map") && names.contains(&"running_reduce_by_key"), "{names:?}");
    let shown = rows(page, "operators");
    let (stages, shown): (Vec<_>, Vec<_>) = shown.into_iter().partition(|row| row[0] == "stage");
    assert_eq!(stages.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["Stage 0", "Stage 1"]);
    assert_eq!(shown.len(), operators.len());
    for (row, operator) in shown.iter().zip(operators) {
        let of = |name: &str| operator[name].to_string().trim_matches('"').to_owned();
        let took = duration(&operator["duration"]);
        assert_eq!(row[1..6], [of("operatorId"), of("name"), of("description"), of("numRecords"), took]);
    }
    let parts: u64 = ["input", "end", "flush", "commit", "apply"]
        .map(|part| one["phases"][part].as_u64().unwrap())
        .iter()
        .sum();
    assert!(parts.abs_diff(one["processingTime"].as_u64().unwrap()) <= 3, "rounded: {one}");
}

#[test]
fn a_batch_that_takes_long_is_seen_with_its_input_while_it_runs() {
    let log = log::open("memory:page-slow", &BTreeMap::default()).unwrap();
    let mut config = Config::new("slow", "memory:page-slow");
    config.trigger = Trigger::AsSoonAsPossible;
    config.threads = 2;
    config.admin_bind = Some("127.0.0.1:0".into());
    let ssc = StreamingContext::new(config);
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let (may_go, lines) = (Mutex::new(may_go), ssc.source::<Text>(SourceOptions::topic("lines"), Utf8));
    let slow = lines.map(move |line| {
        let _ = may_go.lock().unwrap().recv(); // the end of the test also lets it go
        thread::sleep(Duration::from_millis(20));
        line
    });
    slow.map(|line| (line, 1u64)).to_kafka("out", Utf8, AsText);
    write(&log, "lines", &["a", "b", "c"]);
    ssc.start().unwrap();
    let (server, at) =
        (ssc.admin_address().unwrap(), "/api/v1/applications/slow/streaming/batches".to_owned());
    let batch = until(|| {
        let batches = api(server, &format!("{at}?status=processing"));
        Some(batches[0].clone()).filter(|batch| batch["running"].is_string())
    });
    assert_eq!(batch["inputSize"], 3, "{batch}");
    let running = batch["running"].as_str().unwrap();
    assert!(running.starts_with("`map (made at tests/page/program.rs:"), "{running}");
    let page = document(server, "/");
    let shown = rows(&page, "active");
    assert_eq!(
        (shown[0][2].as_str(), &*shown[0][6]),
        ("3 records so far", &*format!("taking input, in {running}"))
    );
    let lag =
        until(|| Some(rows(&document(server, "/"), "receiver-table")[0][5].clone()).filter(|lag| lag != "-"));
    assert_eq!(lag, "3", "known before the first batch has ended");
    drop(go);
    let id = batch["batchId"].to_string();
    let done = until(|| Some(api(server, &format!("{at}/{id}"))).filter(|b| b["status"] == "COMPLETED"));
    let operators = done["operators"].as_array().unwrap();
    let map = operators.iter().find(|o| o["name"] == "map").unwrap();
    assert_eq!(map["numRecords"], 3);
    let output = api(server, &format!("{at}/{id}/operations/0"));
    let (map, output) = (map["duration"].as_u64().unwrap(), output["duration"].as_u64().unwrap());
    let processing = done["processingTime"].as_u64().unwrap();
    assert!(map >= 60 && output >= map && output <= processing, "{map} {output} {processing}");
    ssc.stop(false);
    ssc.await_termination().unwrap();
}

fn until<T>(mut known: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = known() {
            return found;
        }
        assert!(Instant::now() < end, "waited for 60 s");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_receiver_that_cannot_connect_is_red_and_says_why() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::new("network", "memory:page-network");
    config.trigger = Trigger::Interval(Duration::from_secs(1));
    config.admin_bind = Some("127.0.0.1:0".into());
    let ssc = StreamingContext::new(config);
    ssc.socket_text_stream("127.0.0.1", nobody).print();
    ssc.start().unwrap();
    let server = ssc.admin_address().unwrap();
    let at = "/api/v1/applications/network/streaming".to_owned();
    wait(server, &at, 1, |s| {
        s["numInactiveReceivers"] == 1 && s["numTotalCompletedBatches"].as_u64() > Some(3)
    });
    let rows = rows(&document(server, "/"), "receiver-table");
    assert_eq!((rows.len(), rows[0][1].as_str()), (1, &*format!("socket-127-0-0-1-{nobody}")));
    assert_eq!((rows[0][0].as_str(), rows[0][2].as_str()), ("failing", "ERROR"));
    assert!(rows[0][6].starts_with("20") && rows[0][7].contains("refused"), "{rows:?}");
    ssc.stop(false);
    ssc.await_termination().unwrap();
}
