//! Streaming models as programs use them: queried for their newest version, across restarts, and the examples as
//! processes.

use crate::{
    contract::{read_all, record, tp, unique, until},
    programs::{Process, example},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tidegate::{
    StreamingContext,
    log::{self, Log, TopicSpec},
    ml::{KMeansModel, StreamingKMeans, Training, parse_vector},
    record::RawChunkBuilder,
    sink::Latest,
};

fn clusters(bootstrap: &str) -> (StreamingContext, Latest<KMeansModel>) {
    let ssc = StreamingContext::builder("clusters")
        .log(bootstrap)
        .batch_interval(Duration::from_millis(50))
        .configure(|c| c.admin_bind = Some("127.0.0.1:0".into()))
        .build();
    let points = ssc.text("points").try_map(|line| parse_vector(&line));
    let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]);
    let latest = kmeans.train_on(&points).named("clusters").latest();
    (ssc, latest)
}

/// The response for a path below the application.
fn ask(server: SocketAddr, path: &str) -> Value {
    let mut stream = TcpStream::connect(server).unwrap();
    let of = "/api/v1/applications/clusters";
    write!(stream, "GET {of}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn write_lines(log: &Arc<dyn Log>, topic: &str, lines: &[&str]) {
    let mut chunk = RawChunkBuilder::default();
    lines.iter().for_each(|line| chunk.push(record(None, Some(line.as_bytes()))));
    log::write(log.as_ref(), topic, None, &chunk.build()).unwrap();
}

#[test]
fn the_newest_model_is_available_in_the_program_and_over_http_even_after_a_restart() {
    let bootstrap = format!("memory:{}", unique("latest"));
    let log = log::open(&bootstrap, &BTreeMap::new()).unwrap();
    write_lines(&log, "points", &["[1.0]", "[3.0]", "[8.0]"]);
    let learned = [vec![2.0], vec![8.0]];
    for run in 0..2 {
        let (ssc, latest) = clusters(&bootstrap);
        assert!(latest.get().is_none(), "nothing was computed in run {run}");
        ssc.start().unwrap();
        until("the model is there", || latest.get().is_some_and(|(_, model)| model.centers == learned));
        let server = ssc.admin_address().unwrap();
        let all = ask(server, "/models");
        let (time, model) = latest.get().unwrap();
        let expected = json!({ "centers": model.centers, "weights": model.weights });
        assert_eq!((all[0]["name"].as_str(), &all[0]["model"]), (Some("clusters"), &expected));
        assert_eq!(all[0]["batchId"], time.0);
        assert_eq!(all.as_array().map(Vec::len), Some(1));
        assert_eq!(ask(server, "/models/clusters"), all[0]);
        let unknown = ask(server, "/models/other").to_string();
        assert!(unknown.contains("unknown model: other"), "{unknown}");
        ssc.stop(true);
        ssc.await_termination().unwrap();
    }
}

/// Runs an example on a log in `dir` over the input that is there.
fn run(dir: &Path, name: &str, more: &[&str]) {
    let log = format!("embedded:{}", dir.join("log").display());
    let mut command = example(name);
    command.args(["--bootstrap", &log, "--input", "training", "--test", "test", "--output", "answers"]);
    command.args(["--application-id", name, "--available-now", "--admin-bind", "off"]);
    command.arg("--state-dir").arg(dir.join("state")).args(more);
    let mut process = Process::start(&mut command);
    while !process.has_ended() {
        std::thread::sleep(Duration::from_millis(10));
    }
    process.succeeded();
}

/// What an example predicts for `test`, after it has learned from `training` in `rounds` runs of its own.
fn answers(
    name: &str,
    more: &[&str],
    rounds: usize,
    training: &[&str],
    test: &[&str],
) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || log::open(&format!("embedded:{}", dir.path().join("log").display()), &BTreeMap::new()).unwrap();
    let log = open();
    for name in ["training", "test"] {
        let config = BTreeMap::new();
        log.create(&TopicSpec { name: name.into(), partitions: 1, replication_factor: None, config })
            .unwrap();
    }
    drop(log);
    for _ in 0..rounds {
        write_lines(&open(), "training", training);
        run(dir.path(), name, more);
    }
    write_lines(&open(), "test", test);
    run(dir.path(), name, more);
    let log = open();
    let count = log.describe(&["answers"]).unwrap()[0].as_ref().expect("there are answers").partitions;
    let mut rows: Vec<_> = (0..count).flat_map(|p| read_all(&log, &tp("answers", p))).collect();
    rows.sort();
    rows
}

#[test]
fn the_k_means_example_learns_in_one_run_and_predicts_in_the_next() {
    let more = ["--clusters", "2", "--dimensions", "2"];
    let training = ["[1.0,1.0]", "[1.2,0.8]", "[-5.0,-5.0]", "[-5.2,-4.8]"];
    let test = ["(1,[1.1,1.1])", "(2,[0.9,1.0])", "(3,[-5.1,-5.0])", "(4,[-4.0,-5.0])"];
    let rows = answers("streaming_kmeans", &more, 2, &training, &test);
    let cluster: Vec<&str> = rows.iter().map(|(_, cluster)| cluster.as_str()).collect();
    assert_eq!(rows.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    assert_eq!((cluster[0], cluster[2]), (cluster[1], cluster[3]), "{rows:?}");
    assert_ne!(cluster[0], cluster[2], "{rows:?}");
}

#[test]
fn the_linear_regression_example_learns_in_one_run_and_predicts_in_the_next() {
    let training = ["(2.0,[1.0])", "(4.0,[2.0])", "(6.0,[3.0])"];
    let more = ["--features", "1", "--step-size", "0.2"];
    let rows = answers("streaming_linear_regression", &more, 3, &training, &["(10,[5.0])", "(-2,[-1.0])"]);
    assert_eq!(rows.len(), 2);
    for (label, answer) in rows {
        let [label, answer] = [label, answer].map(|x| x.parse::<f64>().unwrap());
        assert!((label - answer).abs() < 0.1, "{answer} for {label}");
    }
}
