//! The page over a history that the test writes: what is hard to bring about in a program, and what must not change
//! in the meantime.

use crate::{
    browser::{api, document, element, held_back, rows, text},
    screenshot::{Screenshot, is_blue, is_red, rgb},
};
use std::{sync::Arc, thread, time::Duration};
use tidegate::{
    config::Trigger,
    observe::{
        history::{History, Program},
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
    server: Server,
}

fn serve(interval: Duration) -> Served {
    let history = Arc::new(History::new(Program {
        application_id: "orders".into(),
        instance: "pod-0".into(),
        host: "node-a".into(),
        trigger: Trigger::Interval(interval),
        streams: vec![(0, "lines".into())],
        operations: vec![("to_kafka counts".into(), "src/main.rs:12:9".into())],
        topology: "stage 0 <b>".into(),
        views: vec![],
        launched_ms: 500,
    }));
    let status = Arc::new(Status::new("orders", "pod-0", "memory"));
    status.phase(Phase::Running);
    let settings = Settings { port: 0, ..Settings::default() };
    let server = Server::start(settings, Arc::new(Metrics::new("orders")), status, history.clone()).unwrap();
    Served { history, server }
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
    }
}

#[test]
fn before_the_first_batch_the_page_says_so() {
    let served = serve(Duration::from_secs(1));
    let page = document(served.server.address(), "/");
    assert_eq!(text(&page, "running"), "No batch has begun yet.");
    assert_eq!(text(&page, "timelines"), "Timelines (Last 0 batches, 0 active, 0 completed)");
    assert_eq!(text(&page, "completed-title"), "Completed Batches (last 0 out of 0)");
    assert_eq!(page.matches(">No batches yet<").count(), 4, "in each chart");
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

/// Batches whose processing took these many milliseconds, with an interval of one second.
fn screenshot_of(processing_ms: &[u64]) -> Screenshot {
    let served = serve(Duration::from_secs(1));
    served.history.on_streaming_started(&StreamingStarted { time_ms: 1_000 });
    for (n, time_ms) in processing_ms.iter().zip(1i64..) {
        let processing_delay = Some(Duration::from_millis(*n));
        served.history.on_batch_completed(&BatchInfo { processing_delay, ..batch(time_ms * 1_000, 10) });
    }
    Screenshot::of(served.server.address())
}

#[test]
fn the_page_is_drawn() {
    let screenshot = screenshot_of(&[300, 100, 700, 500]);
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
fn the_batch_interval_is_a_line_in_the_chart_of_processing_times_however_short_these_are() {
    for processing_ms in [[2, 3, 2, 1], [900, 1_100, 1_500, 400]] {
        let screenshot = screenshot_of(&processing_ms);
        for (name, chart) in screenshot.parts["charts"].as_object().unwrap() {
            let red = screenshot.lines(chart, is_red);
            if name != "processing-time" {
                assert!(red.iter().all(|n| *n == 0), "{name} has no limit");
                continue;
            }
            let width = usize::try_from(chart["box"][2].as_u64().unwrap()).unwrap();
            let line = red.iter().position(|n| *n > width * 4 / 10);
            let line = line.unwrap_or_else(|| panic!("no line of dashes over {width} pixels: {red:?}"));
            // The scale ends at 2 s.
            assert!(line.abs_diff(red.len() / 2) <= 2, "at pixel {line} of {}", red.len());
            assert!(red[line - 14..line - 2].iter().sum::<usize>() > 100, "words above it: {red:?}");
        }
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
