//! The page over a history that the test writes: what is hard to bring about in a program, and what must not change
//! in the meantime.

use crate::{
    browser::{api, ask, document, element, held_back, rows, text},
    screenshot::{Screenshot, is_blue, is_red, rgb},
};
use std::{sync::Arc, thread, time::Duration};
use tidegate::{
    config::Trigger,
    observe::{
        history::{History, Program, Stream},
        listener::{
            BatchInfo, OutputOperationInfo, ReceiverError, ReceiverId, ReceiverInfo, ReceiverStatus,
            StreamInputInfo, StreamingListener, StreamingStarted,
        },
        metrics::Metrics,
        status::{Phase, Status},
    },
    record::TopicPartition,
    ui::{Server, Settings},
};

struct Served {
    history: Arc<History>,
    status: Arc<Status>,
    server: Server,
}

fn serve(interval: Duration) -> Served {
    serve_at(interval, Settings::default().now_ms)
}

fn serve_at(interval: Duration, now_ms: fn() -> i64) -> Served {
    let history = Arc::new(History::new(Program {
        application_id: "orders".into(),
        instance: "pod-0".into(),
        host: "node-a".into(),
        trigger: Trigger::Interval(interval),
        streams: vec![Stream { id: 0, name: "lines".into(), topics: vec!["lines".into()] }],
        operators: vec![],
        settings: vec![("--threads".into(), "<2>".into())],
        operations: vec![("to_kafka counts".into(), "src/main.rs:12:9".into())],
        topology: "stage 0 <b>".into(),
        views: vec![],
        launched_ms: 500,
    }));
    let status = Arc::new(Status::new("orders", "pod-0", "memory"));
    status.phase(Phase::Running);
    let settings = Settings { port: 0, now_ms, ..Settings::default() };
    let metrics = Arc::new(Metrics::new("orders"));
    let server = Server::start(&settings, metrics, status.clone(), history.clone()).unwrap();
    Served { history, status, server }
}

fn receiver(partition: u32, status: ReceiverStatus, error: Option<&str>) -> ReceiverInfo {
    ReceiverInfo {
        stream_id: 0,
        id: ReceiverId::Partition(TopicPartition::new("lines", partition)),
        status,
        instance: "pod-0".into(),
        host: "node-a".into(),
        last_error: error.map(|message| ReceiverError { at_ms: 1_700_000_000_000, message: message.into() }),
    }
}

fn batch(time_ms: i64, records: usize) -> BatchInfo {
    BatchInfo {
        id: 1,
        batch_time_ms: time_ms,
        streams: vec![StreamInputInfo {
            stream_id: 0,
            name: "lines".into(),
            num_records: records,
            ranges: vec![],
        }],
        submission_time_ms: time_ms,
        processing_start_ms: Some(time_ms),
        processing_end_ms: Some(time_ms + 1_500),
        scheduling_delay: Some(Duration::from_millis(7)),
        processing_delay: Some(Duration::from_millis(1_500)),
        total_delay: Some(Duration::from_secs(90)),
        watermark_ms: None,
        output_operations: vec![OutputOperationInfo {
            batch_time_ms: time_ms,
            id: 0,
            name: "to_kafka counts".into(),
            description: "src/main.rs:12:9".into(),
            duration: Some(Duration::from_millis(3)),
            failure_reason: None,
        }],
        ..BatchInfo::default()
    }
}

#[test]
fn before_the_first_batch_the_page_says_so() {
    let served = serve(Duration::from_secs(1));
    let page = document(served.server.address(), "/");
    assert_eq!(text(&page, "running"), "No batch has begun yet.");
    assert_eq!(text(&page, "timelines"), "Timelines (Last 0 batches, 0 active, 0 completed)");
    assert_eq!(text(&page, "completed-title"), "Completed Batches (last 0 out of 0)");
    assert_eq!(page.matches(">No batch has ended yet<").count(), 4, "in each chart");
    assert_eq!(text(&page, "topology"), "stage 0 <b>", "as text");
    let unknown = document(served.server.address(), "/streaming/batch/17");
    assert!(text(&unknown, "problem").starts_with("Unknown batch"), "{unknown}");
}

#[test]
fn the_header_is_a_sentence_as_in_spark() {
    for (interval_ms, words) in [(1_000, "1 second"), (90_250, "1 minute 30 seconds")] {
        let served = serve(Duration::from_millis(interval_ms));
        let time_ms = chrono::Utc::now().timestamp_millis() - 2 * 3_600_000 - 3 * 60_000;
        served.history.on_streaming_started(&StreamingStarted { time_ms });
        (1..=3).for_each(|n| served.history.on_batch_completed(&batch(n * 1_000, 1_500)));
        let page = document(served.server.address(), "/streaming");
        let line = text(&page, "running");
        assert!(line.starts_with(&format!("Running batches of {words} for 2 hours 3 minutes ")), "{line}");
        assert!(
            line.contains(" since 20") && line.ends_with(" (3 completed batches, 4500 records)"),
            "{line}"
        );
        let strong: Vec<&str> = element(&page, "running").matches("<strong").collect();
        assert_eq!(strong.len(), 5);
    }
}

#[test]
fn a_failing_receiver_is_red() {
    let served = serve(Duration::from_secs(1));
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    served.history.on_receiver_started(&receiver(0, ReceiverStatus::Active, None));
    served.history.on_receiver_error(&receiver(1, ReceiverStatus::Error, Some("no broker <answers>")));
    served.history.on_receiver_stopped(&receiver(2, ReceiverStatus::Inactive, None));
    let page = document(served.server.address(), "/");
    assert_eq!(text(&page, "receivers-title"), "Receivers (1 / 3 active)");
    let rows = rows(&page, "receiver-table");
    assert_eq!(
        (rows[0][0].as_str(), &rows[0][1..4]),
        ("", &["lines-0", "ACTIVE", "pod-0 / node-a"].map(String::from)[..])
    );
    assert_eq!(
        (rows[1][0].as_str(), rows[1][2].as_str(), rows[1][7].as_str()),
        ("failing", "ERROR", "no broker <answers>")
    );
    assert!(rows[1][6].starts_with("2023/11/1"), "{:?}", rows[1]);
    assert_eq!((rows[2][0].as_str(), rows[2][2].as_str()), ("", "INACTIVE"));

    let screenshot = Screenshot::of(served.server.address());
    let row = |n: usize| &screenshot.parts["receivers"][n];
    let red = |n: usize| screenshot.count(row(n), is_red);
    assert!(row(1)["cells"].as_array().unwrap().iter().all(|c| is_red(&rgb(&c["color"]))), "{}", row(1));
    assert_ne!(rgb(&row(1)["background"]), [0; 3], "{}", row(1));
    assert!(!is_red(&rgb(&row(0)["cells"][0]["color"])), "{}", row(0));
    assert!(red(1) > 200, "text of the failing one: {}", red(1));
    assert_eq!((red(0), red(2)), (0, 0), "and of no others");
}

/// Batches with these scheduling delays, processing times and total delays in milliseconds, and an interval of one
/// second.
fn screenshot_of(times_ms: &[[u64; 3]]) -> Screenshot {
    let served = serve(Duration::from_secs(1));
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    for (times, time_ms) in times_ms.iter().zip(1i64..) {
        let [scheduling_delay, processing_delay, total_delay] =
            times.map(|ms| Some(Duration::from_millis(ms)));
        served.history.on_batch_completed(&BatchInfo {
            scheduling_delay,
            processing_delay,
            total_delay,
            ..batch(time_ms * 1_000, 10)
        });
    }
    Screenshot::of(served.server.address())
}

#[test]
fn the_page_is_drawn() {
    let screenshot = screenshot_of(&[300, 100, 700, 500].map(|ms| [ms, ms, ms]));
    let charts = screenshot.parts["charts"].as_object().unwrap();
    assert_eq!(charts.len(), 4);
    for (name, chart) in charts {
        let bars = &screenshot.parts["histograms"][name];
        assert!(
            screenshot.count(chart, is_blue) > 200,
            "the line of {name}: {}",
            screenshot.count(chart, is_blue)
        );
        assert!(
            screenshot.count(bars, is_blue) > 200,
            "the bars of {name}: {}",
            screenshot.count(bars, is_blue)
        );
    }
}

#[test]
fn the_batch_interval_is_a_line_in_the_chart_of_processing_times_if_it_is_in_range() {
    // Where the line is, in hundredths of the height from above: the scale ends at 2 s, or at 1 s.
    for (scale, line_at) in [(2, None), (900, Some(50)), (450, Some(0))] {
        let times_ms = [1, 2, 1, 2].map(|n| [0, n * scale, n * scale]);
        let screenshot = screenshot_of(&times_ms);
        for (name, chart) in screenshot.parts["charts"].as_object().unwrap() {
            let red = screenshot.lines(chart, is_red);
            let Some(line_at) = line_at.filter(|_| name == "processing-time") else {
                assert!(red.iter().all(|n| *n == 0), "{name} has no limit at this scale");
                continue;
            };
            let width = usize::try_from(chart["box"][2].as_u64().unwrap()).unwrap();
            let line = red.iter().position(|n| *n > width * 4 / 10);
            let line = line.unwrap_or_else(|| panic!("no line of dashes over {width} pixels: {red:?}"));
            assert!(line.abs_diff(red.len() * line_at / 100) <= 2, "at pixel {line} of {}", red.len());
            let words = if line_at == 0 { line + 3..line + 16 } else { line - 14..line - 2 };
            assert!(red[words].iter().sum::<usize>() > 100, "words beside it, whole: {red:?}");
        }
    }
}

#[test]
fn the_three_delays_have_one_scale() {
    let screenshot = screenshot_of(&[[1_000, 2_000, 4_000]; 5]);
    // The scale ends at 5 s for all of them.
    for (name, tenths) in [("scheduling-delay", 2), ("processing-time", 4), ("total-delay", 8)] {
        let blue = screenshot.lines(&screenshot.parts["charts"][name], is_blue);
        let line = (0..blue.len()).max_by_key(|y| blue[*y]).unwrap();
        let expected = blue.len() * (10 - tenths) / 10;
        assert!(line.abs_diff(expected) <= 3, "{name} at pixel {line} of {}, not {expected}", blue.len());
    }
}

fn at_9_500() -> i64 {
    9_500
}

#[test]
fn the_batch_in_progress_shows_its_input_and_what_waits_is_one_row() {
    let served = serve_at(Duration::from_secs(1), at_9_500);
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    served.history.on_batch_completed(&batch(4_000, 10));
    served.history.takes_input(2, 5_000, 4_100);
    served.history.progress(26, Some("`map (made at <main>:3:9)`"));
    let page = document(served.server.address(), "/");
    assert_eq!(text(&page, "timelines"), "Timelines (Last 6 batches, 5 active, 1 completed)");
    assert_eq!(text(&page, "active-title"), "Active Batches (5, 4 of them queued)");
    let shown = rows(&page, "active");
    assert_eq!((shown.len(), shown[0][2].as_str()), (2, "26 records so far"), "{shown:?}");
    assert!(shown[0][4].ends_with(" s"), "for how long: {shown:?}");
    assert_eq!(shown[0][6], "taking input, in `map (made at <main>:3:9)`");
    assert!(shown[1][1].starts_with("from ") && shown[1][6] == "4 queued", "{shown:?}");
    let page = document(served.server.address(), "/streaming/batch/5000");
    assert_eq!(text(&page, "input-size"), "26 records so far");
    assert!(text(&page, "status").ends_with("taking input, in `map (made at <main>:3:9)`"), "{page}");
}

#[test]
fn a_batch_that_was_given_up_is_a_banner_and_stands_before_those_that_are_done() {
    let served = serve(Duration::from_secs(1));
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    served.history.on_batch_completed(&batch(1_000, 10));
    let mut failed = batch(2_000, 3);
    failed.output_operations[0].failure_reason = Some("no <luck>".into());
    served.history.on_batch_completed(&failed);
    let page = document(served.server.address(), "/");
    assert!(text(&page, "given-up").ends_with("): no <luck>. Its input comes again."), "{page}");
    assert!(text(&page, "running").ends_with(" (1 completed batches, 1 given up, 10 records)"), "{page}");
    assert_eq!((rows(&page, "failed").len(), rows(&page, "completed").len()), (1, 1));
    assert!(page.find("id=\"failed\"") < page.find("id=\"completed\""));
    served.history.on_batch_completed(&batch(3_000, 10));
    let page = document(served.server.address(), "/");
    assert!(!page.contains("Its input comes again."), "a later batch is done");
    assert!(text(&page, "running").contains("1 given up"), "and it is still counted");
}

#[test]
fn what_is_waited_for_is_the_text_of_the_readiness_probe() {
    let served = serve(Duration::from_secs(1));
    let why = "waiting for 3 source partitions that pod-1 holds";
    served.status.phase(Phase::WaitingForAssignment { why: why.into() });
    let page = document(served.server.address(), "/");
    assert_eq!(text(&page, "problem"), format!("Not ready: {why}"));
    let mut answer = String::new();
    let mut readyz = ask(served.server.address(), "GET /readyz HTTP/1.1\r\nHost: localhost\r\n");
    std::io::Read::read_to_string(&mut readyz, &mut answer).unwrap();
    assert!(answer.contains(&format!("\"missing\":[\"{why}\"]")), "{answer}");
}

#[test]
fn settings_and_long_names_of_processes_are_readable() {
    let served = serve(Duration::from_secs(1));
    served.history.on_receiver_started(&ReceiverInfo {
        instance: "0123456789abcdef0123456789abcdef".into(),
        ..receiver(0, ReceiverStatus::Active, None)
    });
    let page = document(served.server.address(), "/");
    assert_eq!(rows(&page, "receiver-table")[0][3], "01234567... / node-a");
    assert!(page.contains("title=\"0123456789abcdef0123456789abcdef / node-a\""), "the whole name");
    assert_eq!(rows(&page, "setting-table"), [["", "--threads", "<2>"]]);
    for id in ["state", "settings"] {
        assert!(
            page.contains(&format!("href=\"/streaming#{id}\"")) && page.contains(&format!("id=\"{id}\""))
        );
    }
}

#[test]
fn an_open_page_follows_the_program() {
    let served = serve(Duration::from_secs(1));
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    served.history.on_batch_completed(&batch(1_000, 10));
    let (server, listens) = held_back(served.server.address(), "\"numTotalCompletedBatches\":5,");
    let history = served.history.clone();
    let writer = thread::spawn(move || {
        listens.recv().unwrap();
        (2..=5).for_each(|n| history.on_batch_completed(&batch(n * 1_000, 10)));
    });
    let page = document(server, "/");
    writer.join().unwrap();
    assert!(
        page.contains("\"numTotalCompletedBatches\":1,"),
        "the data in the page is from when it was loaded"
    );
    assert_eq!(text(&page, "completed-batches"), "5");
    assert_eq!(rows(&page, "completed").len(), 5);
    let statistics = api(served.server.address(), "/api/v1/applications/orders/streaming/statistics");
    assert_eq!(statistics["numProcessedRecords"], 50);
    assert_eq!(text(&page, "records"), "50");
}
