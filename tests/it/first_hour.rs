//! What a newcomer meets: outputs without ceremony, printed blocks in order, errors and exit codes of programs.

use crate::{contract::unique, programs::example};
use std::{
    net::TcpListener,
    process::{Command, Output},
    sync::{Arc, Mutex},
};
use tidegate::{Config, Error, StreamingContext, config::Trigger, source::Queue, testing::Driver};

/// Runs a test of this program in a process of its own, in which `TIDEGATE_TEST_FIRST_HOUR` is set.
fn alone(test: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test]).env("TIDEGATE_TEST_FIRST_HOUR", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn printed_blocks_come_in_the_order_of_the_program_with_milliseconds_where_there_are_any() {
    if std::env::var("TIDEGATE_TEST_FIRST_HOUR").is_err() {
        let test = "first_hour::printed_blocks_come_in_the_order_of_the_program_with_milliseconds_where_there_are_any";
        let output = alone(test);
        let text = String::from_utf8_lossy(&output.stdout);
        let rows: Vec<&str> =
            text.lines().filter(|line| line.starts_with("block ") && *line != "block 0").collect();
        assert_eq!(rows, ["block (a,1)", "block 1", "block a", "block 1"], "{text}");
        let times: Vec<&str> = text.lines().filter(|line| line.starts_with("Time: ")).collect();
        let has_ms = |time: &&str| time.as_bytes()[time.len() - 7] == b'.';
        assert!(times.len() >= 4 && times.iter().any(has_ms), "{text}");
        return;
    }
    let queue = Queue::default();
    let ssc = StreamingContext::builder("printing")
        .batch_interval(std::time::Duration::from_millis(40))
        .configure(|c| c.admin_bind = None)
        .build();
    let words = ssc.queue_stream(&queue, true);
    let show = |text: String| format!("block {text}");
    words
        .map(|word: String| (word, 1))
        .reduce_by_key(|a, b| a + b)
        .map(move |(w, n)| show(format!("({w},{n})")))
        .print();
    words.count().map(move |n| show(n.to_string())).print();
    words.map(show).print();
    words.filter(|word| word == "a").count().map(move |n| show(n.to_string())).print();
    let (seen, has_seen) = std::sync::mpsc::channel();
    words.foreach_rdd(move |rdd, _| Ok(rdd.into_iter().try_for_each(|word| seen.send(word))?));
    // Batches without the word print zeros, which the test does not look for.
    let ms_of_batches = Arc::new(Mutex::new(vec![]));
    let times = ms_of_batches.clone();
    ssc.add_listener(move |report| times.lock().unwrap().push(report.time_ms));
    ssc.start().unwrap();
    queue.push(vec!["a".to_owned()]);
    has_seen.recv().unwrap();
    while ms_of_batches.lock().unwrap().len() < 4 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    ssc.stop(false);
    ssc.await_termination().unwrap();
}

#[test]
fn an_output_function_gives_nothing_or_a_result_and_rows_are_iterated() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let words = ssc.text("words");
        let (all, borrowed, delivered) = (seen.clone(), seen.clone(), seen.clone());
        words.foreach_rdd(move |rdd, _| {
            for word in rdd {
                all.lock().unwrap().push(word.to_string());
            }
        });
        words.foreach_rdd(move |rdd, _| {
            for word in &rdd {
                let number: u32 = word.parse()?;
                borrowed.lock().unwrap().push(format!("{number} of {}", rdd.count()));
            }
            Ok(())
        });
        words.foreach_batch("words", move |rdd, _| {
            delivered.lock().unwrap().push(format!("{} delivered", rdd.count()));
        });
    });
    driver.batch("words 0 | - | 7\n").unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["1 delivered", "7", "7 of 1"]);
    let failed = driver.batch("words 0 | - | x\n").unwrap_err().to_string();
    assert!(
        failed.contains("foreach_rdd at tests/it/first_hour.rs:") && failed.contains("invalid digit"),
        "{failed}"
    );
}

/// What `fn main() -> tidegate::Result` prints.
#[test]
fn an_error_is_shown_to_people_also_as_debug_output() {
    let error = Error::Topic { topic: "t".into(), what: "does not exist\n  next: create it".into() };
    assert_eq!(format!("{error:?}"), "topic `t`: does not exist\n  next: create it");
}

#[test]
fn a_missing_topic_of_the_embedded_log_is_reported_with_the_way_to_make_it_and_a_port_that_moved_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut command = example("kafka_word_count");
    command.args(["--bootstrap", &format!("embedded:{}", dir.path().join("log").display())]);
    command.args(["--state-dir", &dir.path().join("state").display().to_string(), "--application-id", "a"]);
    command.args(["--input", "lines", "--output", "counts", "--log-level", "warn"]);
    let output = command.args(["--admin-bind", &format!("127.0.0.1:{port}")]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{shown}");
    assert!(shown.contains("error: topic `lines`: does not exist"), "{shown}");
    assert!(shown.contains("next: no command creates it: let another program write it"), "{shown}");
    assert!(
        shown.contains(&format!("port {port} is in use: streaming page, metrics and health are at http://")),
        "{shown}"
    );
}

#[test]
fn a_program_is_told_to_have_an_output_with_calls_that_compile() {
    let mut config = Config::new("app", format!("memory:{}", unique("none")));
    (config.trigger, config.admin_bind) = (Trigger::AvailableNow, None);
    let ssc = StreamingContext::new(config);
    let _ = ssc.text("lines");
    let told = ssc.start().unwrap_err().to_string();
    assert!(told.contains("`.to_kafka_values(\"topic\", Utf8)`"), "{told}");
}
