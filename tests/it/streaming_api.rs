//! The JSON API and the events of the page, served from a history that the test writes.

use expect_test::expect;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use tidegate::{
    config::Trigger,
    observe::{
        history::{History, OperatorDescription, Position, Program, Stream},
        listener::{
            BatchInfo, BatchPhases, OffsetRange, OperatorInfo, OutputOperationInfo, ReceiverError,
            ReceiverId, ReceiverInfo, ReceiverStatus, StreamInputInfo, StreamingListener, StreamingStarted,
        },
        metrics::Metrics,
        status::{Phase, Status},
    },
    record::{Offset, Partition, TopicPartition},
    ui::{Server, Settings},
};

const SECOND: Trigger = Trigger::Interval(Duration::from_secs(1));

fn stream(id: usize, name: &str, topic: &str) -> Stream {
    Stream { id, name: name.into(), topics: vec![topic.into()] }
}

fn operator(id: usize, stage: u32, name: &str) -> OperatorDescription {
    OperatorDescription { id, stage, name: name.into(), place: format!("src/main.rs:{}:9", 10 + id).into() }
}

fn program(trigger: Trigger) -> Program {
    Program {
        application_id: "orders".into(),
        instance: "pod-0".into(),
        host: "node-a".into(),
        trigger,
        streams: vec![stream(0, "lines", "lines"), stream(3, "clicks", "orders-ingest-clicks")],
        operations: vec![
            ("to_kafka counts".into(), "src/main.rs:12:9".into()),
            ("print".into(), "src/main.rs:14:9".into()),
        ],
        operators: vec![
            operator(0, 0, "source"),
            operator(1, 0, "map"),
            operator(2, 1, "reduce_by_key"),
            operator(3, 0, "source"),
        ],
        settings: vec![("--threads".into(), "2".into()), ("-X sasl.password".into(), "(not shown)".into())],
        topology: "stage 0".into(),
        views: vec![],
        launched_ms: 500,
    }
}

fn receiver(partition: u32, status: ReceiverStatus, error: Option<&str>) -> ReceiverInfo {
    ReceiverInfo {
        stream_id: 0,
        id: ReceiverId::Partition(TopicPartition::new("lines", partition)),
        status,
        instance: "pod-0".into(),
        host: "node-a".into(),
        last_error: error.map(|message| ReceiverError { at_ms: 2_500, message: message.into() }),
    }
}

/// A batch of `records` lines from offset 100 on, which took 30 ms, 10 of them before its time.
fn batch(time_ms: i64, records: usize, failure: Option<&str>) -> BatchInfo {
    let operation = |id: usize, name: &str| OutputOperationInfo {
        batch_time_ms: time_ms,
        id,
        name: name.into(),
        description: format!("src/main.rs:{}:9", 12 + 2 * id).into(),
        duration: Some(Duration::from_micros(2_600)),
        failure_reason: failure.map(Into::into),
    };
    let range = OffsetRange {
        at: TopicPartition::new("lines", 1),
        from: Offset(100),
        until: Offset(101 + records as u64),
        records,
    };
    let stream = |stream_id, name: &str, ranges: Vec<OffsetRange>| StreamInputInfo {
        stream_id,
        name: name.into(),
        num_records: ranges.iter().map(|r| r.records).sum(),
        ranges,
    };
    BatchInfo {
        id: 1,
        batch_time_ms: time_ms,
        streams: vec![stream(0, "lines", vec![range]), stream(3, "clicks", vec![])],
        submission_time_ms: time_ms,
        processing_start_ms: Some(time_ms + 4),
        processing_end_ms: Some(time_ms + 24),
        scheduling_delay: Some(Duration::from_millis(4)),
        processing_delay: Some(Duration::from_millis(30)),
        total_delay: Some(Duration::from_millis(24)),
        watermark_ms: None,
        output_operations: vec![operation(0, "to_kafka counts"), operation(1, "print")],
        phases: Some(BatchPhases {
            input: Duration::from_millis(10),
            end: Duration::from_millis(9),
            flush: Duration::from_millis(6),
            commit: Duration::from_millis(4),
            apply: Duration::from_millis(1),
        }),
        operators: vec![
            OperatorInfo { id: 1, num_records: records, duration: Duration::from_millis(18) },
            OperatorInfo { id: 2, num_records: 5, duration: Duration::from_micros(600) },
        ],
    }
}

struct Served {
    history: Arc<History>,
    server: Server,
}

fn serve(trigger: Trigger) -> Served {
    serve_at(trigger, || 5_900)
}

fn serve_at(trigger: Trigger, now_ms: fn() -> i64) -> Served {
    let history = Arc::new(History::new(program(trigger)));
    let status = Arc::new(Status::new("orders", "pod-0", "memory"));
    status.phase(Phase::Running);
    let settings = Settings { port: 0, now_ms, ..Settings::default() };
    let server = Server::start(&settings, Arc::new(Metrics::new("orders")), status, history.clone()).unwrap();
    Served { history, server }
}

fn request(to: SocketAddr, path: &str, header: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n").unwrap();
    BufReader::new(stream)
}

fn get(served: &Served, path: &str) -> (u16, Value) {
    let mut answer = String::new();
    let path = format!("/api/v1/applications{path}");
    request(served.server.address(), &path, "").read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// One member per line, in the order of the response's text.
fn shown(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn running(trigger: Trigger) -> Served {
    let served = serve(trigger);
    let history = &served.history;
    history.on_streaming_started(&StreamingStarted { time_ms: 900 });
    history.on_receiver_started(&receiver(0, ReceiverStatus::Active, None));
    history.on_receiver_started(&receiver(1, ReceiverStatus::Active, None));
    history.on_receiver_error(&receiver(0, ReceiverStatus::Error, Some("broker down")));
    history.position(&TopicPartition::new("lines", 1), Position { next: Offset(141), end: Offset(150) });
    history.state_bytes(&[(Partition(0), 1_000), (Partition(1), 24)]);
    history.on_batch_completed(&batch(2_000, 40, None));
    history.on_batch_completed(&batch(3_000, 7, Some("no luck")));
    history.on_batch_completed(&batch(4_000, 7, None));
    history.takes_input(4, 5_000, 4_100);
    served
}

#[test]
fn statistics_have_the_names_and_units_of_spark() {
    let (code, statistics) = get(&running(SECOND), "/orders/streaming/statistics");
    assert_eq!(code, 200);
    // 47 records in the second of the first batch and the two up to the third: a batch that was given up is not
    // input of its own.
    expect![[r#"
        {
          "avgInputRate": 15.666666666666666,
          "avgProcessingTime": 30,
          "avgSchedulingDelay": 4,
          "avgTotalDelay": 24,
          "batchDuration": 1000,
          "numActiveBatches": 1,
          "numActiveReceivers": 1,
          "numFailedBatches": 1,
          "numInactiveReceivers": 1,
          "numProcessedRecords": 47,
          "numReceivedRecords": 47,
          "numReceivers": 2,
          "numRetainedCompletedBatches": 2,
          "numTotalCompletedBatches": 2,
          "startTime": "1970-01-01T00:00:00.900GMT",
          "stateBytes": 1024
        }"#]]
    .assert_eq(&shown(&statistics));
}

#[test]
fn before_the_first_batch_no_numbers_are_made_up() {
    let (code, statistics) = get(&serve(Trigger::AsSoonAsPossible), "/orders/streaming/statistics");
    assert_eq!(code, 200);
    expect![[r#"
        {
          "batchDuration": 0,
          "numActiveBatches": 0,
          "numActiveReceivers": 0,
          "numFailedBatches": 0,
          "numInactiveReceivers": 0,
          "numProcessedRecords": 0,
          "numReceivedRecords": 0,
          "numReceivers": 0,
          "numRetainedCompletedBatches": 0,
          "numTotalCompletedBatches": 0,
          "stateBytes": 0
        }"#]]
    .assert_eq(&shown(&statistics));
    let (code, batches) = get(&serve(SECOND), "/orders/streaming/batches");
    assert_eq!((code, batches), (200, Value::Array(vec![])));
}

#[test]
fn receivers_report_their_errors_and_rates() {
    let served = running(SECOND);
    let (_, receivers) = get(&served, "/orders/streaming/receivers");
    expect![[r#"
        [
          {
            "avgEventRate": 0.0,
            "eventRates": [
              [
                2000,
                0.0
              ],
              [
                4000,
                0.0
              ]
            ],
            "executorHost": "node-a",
            "executorId": "pod-0",
            "isActive": false,
            "lastErrorMessage": "broker down",
            "lastErrorTime": "1970-01-01T00:00:02.500GMT",
            "partition": 0,
            "status": "ERROR",
            "streamId": 0,
            "streamName": "lines-0",
            "topic": "lines"
          },
          {
            "avgEventRate": 15.666666666666666,
            "endOffset": 150,
            "eventRates": [
              [
                2000,
                40.0
              ],
              [
                4000,
                3.5
              ]
            ],
            "executorHost": "node-a",
            "executorId": "pod-0",
            "isActive": true,
            "lag": 9,
            "nextOffset": 141,
            "partition": 1,
            "status": "ACTIVE",
            "streamId": 0,
            "streamName": "lines-1",
            "topic": "lines"
          }
        ]"#]]
    .assert_eq(&shown(&receivers));
    assert_eq!(get(&served, "/orders/streaming/receivers/0").1, receivers);
    assert_eq!(get(&served, "/orders/streaming/receivers/3").1, Value::Array(vec![]));
    assert_eq!(get(&served, "/orders/streaming/receivers/1").0, 404);
}

#[test]
fn batches_whose_time_has_passed_meanwhile_are_queued() {
    let served = serve_at(SECOND, || 7_100);
    served.history.takes_input(4, 5_000, 4_100);
    let (_, all) = get(&served, "/orders/streaming/batches");
    let text = |b: &Value| format!("{} {}", b["batchId"], b["status"]);
    let all: Vec<String> = all.as_array().unwrap().iter().map(text).collect();
    assert_eq!(all, ["7000 \"QUEUED\"", "6000 \"QUEUED\"", "5000 \"PROCESSING\""]);
    assert_eq!(get(&served, "/orders/streaming/statistics").1["numActiveBatches"], 3);
    let (_, queued) = get(&served, "/orders/streaming/batches?status=queued");
    assert_eq!(queued.as_array().unwrap().len(), 2);
}

#[test]
fn batches_are_listed_newest_first_and_a_single_one_has_its_offsets() {
    let served = running(SECOND);
    let (_, all) = get(&served, "/orders/streaming/batches");
    let brief = |all: &Value| {
        let text = |b: &Value| format!("{} {} {}", b["batchId"], b["status"], b["numFailedOutputOps"]);
        all.as_array().unwrap().iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        brief(&all),
        ["5000 \"PROCESSING\" 0", "4000 \"COMPLETED\" 0", "3000 \"COMPLETED\" 2", "2000 \"COMPLETED\" 0"]
    );
    assert_eq!(brief(&get(&served, "/orders/streaming/batches?status=processing").1), brief(&all)[..1]);
    assert_eq!(brief(&get(&served, "/orders/streaming/batches?status=COMPLETED").1), brief(&all)[1..]);
    assert_eq!(get(&served, "/orders/streaming/batches?status=lost").0, 400);
    let (code, mut one) = get(&served, "/orders/streaming/batches/3000");
    assert_eq!(code, 200);
    for of_its_own_test in ["operators", "phases"] {
        assert!(one.as_object_mut().unwrap().remove(of_its_own_test).is_some());
    }
    expect![[r#"
        {
          "batchDuration": 1000,
          "batchId": 3000,
          "batchTime": "1970-01-01T00:00:03.000GMT",
          "firstFailureReason": "no luck",
          "inputSize": 7,
          "numActiveOutputOps": 0,
          "numCompletedOutputOps": 0,
          "numFailedOutputOps": 2,
          "numTotalOutputOps": 2,
          "processingTime": 30,
          "schedulingDelay": 4,
          "status": "COMPLETED",
          "streams": [
            {
              "numRecords": 7,
              "ranges": [
                {
                  "fromOffset": 100,
                  "numRecords": 7,
                  "partition": 1,
                  "topic": "lines",
                  "untilOffset": 108
                }
              ],
              "streamId": 0,
              "streamName": "lines"
            },
            {
              "numRecords": 0,
              "ranges": [],
              "streamId": 3,
              "streamName": "clicks"
            }
          ],
          "takingInput": false,
          "totalDelay": 24
        }"#]]
    .assert_eq(&shown(&one));
}

#[test]
fn a_single_batch_shows_where_its_time_went() {
    let served = running(SECOND);
    let (_, one) = get(&served, "/orders/streaming/batches/3000");
    let brief = |o: &Value| {
        let field = |name: &str| o[name].to_string().trim_matches('"').to_owned();
        ["stage", "operatorId", "name", "description", "numRecords", "duration"].map(field).join(" ")
    };
    let operators: Vec<_> = one["operators"].as_array().unwrap().iter().map(brief).collect();
    let expected = [
        "0 0 source src/main.rs:10:9 0 0",
        "0 1 map src/main.rs:11:9 7 18",
        "0 3 source src/main.rs:13:9 0 0",
        "1 2 reduce_by_key src/main.rs:12:9 5 1",
    ];
    assert_eq!(operators, expected, "by stage, also those that did nothing");
    let phases = serde_json::json!({ "input": 10, "end": 9, "flush": 6, "commit": 4, "apply": 1 });
    assert_eq!(one["phases"], phases);
}

#[test]
fn the_batch_in_progress_shows_its_input_so_far_and_what_is_running() {
    let served = running(SECOND);
    let history = &served.history;
    history.progress(26, Some("`map (made at src/main.rs:11:9)`"));
    let (_, one) = get(&served, "/orders/streaming/batches/5000");
    let of = |name: &str| one[name].to_string();
    assert_eq!(
        [of("status"), of("takingInput"), of("inputSize"), of("cutTime"), of("running")],
        [
            "\"PROCESSING\"",
            "true",
            "26",
            "\"1970-01-01T00:00:04.100GMT\"",
            "\"`map (made at src/main.rs:11:9)`\""
        ]
    );
    assert_eq!(get(&served, "/orders/streaming/statistics").1["numReceivedRecords"], 47 + 26);
    // Its input is complete: the number is exact, and the cut is the same.
    history.on_batch_started(&BatchInfo { id: 4, processing_end_ms: None, ..batch(5_000, 30, None) });
    let (_, one) = get(&served, "/orders/streaming/batches/5000");
    let of = |name: &str| one[name].to_string();
    assert_eq!(
        [of("takingInput"), of("inputSize"), of("cutTime")],
        ["false", "30", "\"1970-01-01T00:00:04.100GMT\""]
    );
    history.closed();
    assert_eq!(get(&served, "/orders/streaming/batches/5000").0, 404, "no batch is in flight any more");
}

#[test]
fn a_receiver_with_a_name_has_the_lag_of_the_topic_that_it_fills() {
    let served = running(SECOND);
    let named = ReceiverInfo {
        stream_id: 3,
        id: ReceiverId::Named("clicks".into()),
        ..receiver(0, ReceiverStatus::Active, None)
    };
    served.history.on_receiver_started(&named);
    let lag = || get(&served, "/orders/streaming/receivers/3").1[0]["lag"].clone();
    assert_eq!(lag(), Value::Null, "not known yet");
    let at = TopicPartition::new("orders-ingest-clicks", 0);
    served.history.position(&at, Position { next: Offset(5), end: Offset(90) });
    assert_eq!(lag(), 85);
    served.history.owned(&[TopicPartition::new("lines", 1)]);
    assert_eq!(lag(), Value::Null, "another process reads it");
}

#[test]
fn the_environment_lists_the_settings() {
    let (code, environment) = get(&running(SECOND), "/orders/environment");
    assert_eq!(code, 200);
    expect![[r#"
        {
          "settings": [
            [
              "--threads",
              "2"
            ],
            [
              "-X sasl.password",
              "(not shown)"
            ]
          ],
          "tidegateVersion": "VERSION"
        }"#]]
    .assert_eq(&shown(&environment).replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn operations_of_a_batch_show_how_long_they_took_and_why_they_failed() {
    let served = running(SECOND);
    let (_, operations) = get(&served, "/orders/streaming/batches/4000/operations");
    expect![[r#"
        [
          {
            "description": "src/main.rs:12:9",
            "duration": 3,
            "endTime": "1970-01-01T00:00:04.024GMT",
            "jobIds": [],
            "name": "to_kafka counts",
            "outputOpId": 0,
            "startTime": "1970-01-01T00:00:04.004GMT"
          },
          {
            "description": "src/main.rs:14:9",
            "duration": 3,
            "endTime": "1970-01-01T00:00:04.024GMT",
            "jobIds": [],
            "name": "print",
            "outputOpId": 1,
            "startTime": "1970-01-01T00:00:04.004GMT"
          }
        ]"#]]
    .assert_eq(&shown(&operations));
    let (_, failed) = get(&served, "/orders/streaming/batches/3000/operations/1");
    assert_eq!((&failed["name"], &failed["failureReason"]), (&"print".into(), &"no luck".into()));
}

#[test]
fn unknown_resources_are_404_with_a_reason() {
    let served = running(SECOND);
    for (path, why) in [
        ("/other/streaming/statistics", "unknown application: other; this is orders"),
        ("/orders/streaming/batches/17", "unknown batch: 17; the last 1,000 are kept"),
        ("/orders/streaming/batches/x/operations", "unknown batch: x; the last 1,000 are kept"),
        ("/orders/streaming/batches/4000/operations/9", "unknown output operation: 9"),
        ("/orders/jobs", "no such resource; see docs/api.md"),
    ] {
        let (code, answer) = get(&served, path);
        assert_eq!((code, answer["error"].as_str()), (404, Some(why)), "{path}");
    }
    assert_eq!(get(&served, "").1[0]["id"], "orders");
    assert_eq!(get(&served, "/orders/topology").1["text"], "stage 0");
}

#[test]
fn without_an_interval_rates_are_over_the_time_between_batches() {
    let (_, statistics) = get(&running(Trigger::AsSoonAsPossible), "/orders/streaming/statistics");
    // 40 records in the 30 ms of the first batch, then 7 in 2 s.
    let expected = 47.0 * 1000.0 / 2030.0;
    assert!((statistics["avgInputRate"].as_f64().unwrap() - expected).abs() < 1e-9, "{statistics}");
    assert_eq!(statistics["batchDuration"], 0);
}

/// The next event: its id and its data.
fn event(events: &mut impl BufRead) -> (String, Value) {
    let (mut id, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(value) = line.strip_prefix("id: ") {
            value.trim().clone_into(&mut id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            return (id, serde_json::from_str(data).unwrap());
        }
    }
}

fn ended(update: &Value) -> Vec<i64> {
    update["ended"].as_array().unwrap().iter().map(|b| b["batchId"].as_i64().unwrap()).collect()
}

#[test]
fn events_carry_what_is_new_and_resume_after_an_interruption() {
    let served = running(SECOND);
    let mut events = request(served.server.address(), "/api/v1/events", "");
    let (_, all) = event(&mut events);
    assert_eq!((&all["reset"], ended(&all)), (&Value::Bool(true), vec![2_000, 3_000, 4_000]));
    served.history.on_batch_completed(&batch(5_000, 1, None));
    let (id, update) = event(&mut events);
    assert_eq!((&update["reset"], ended(&update)), (&Value::Bool(false), vec![5_000]));
    assert_eq!(update["statistics"]["numTotalCompletedBatches"], 3);
    assert_eq!(id, "500/4");
    drop(events);
    served.history.on_batch_completed(&batch(6_000, 1, None));
    let mut again = request(served.server.address(), "/api/v1/events", &format!("Last-Event-ID: {id}\r\n"));
    let (_, update) = event(&mut again);
    assert_eq!((&update["reset"], ended(&update)), (&Value::Bool(false), vec![6_000]));
    for stale in ["Last-Event-ID: 499/4\r\n", "Last-Event-ID: 500/9\r\n", "Last-Event-ID: nonsense\r\n"] {
        let (_, update) = event(&mut request(served.server.address(), "/api/v1/events", stale));
        assert_eq!((&update["reset"], ended(&update).len()), (&Value::Bool(true), 5), "{stale}");
    }
}

#[test]
fn a_batch_that_was_given_up_is_told_until_a_later_one_is_completed() {
    let served = running(SECOND);
    let mut events = request(served.server.address(), "/api/v1/events", "");
    assert_eq!(event(&mut events).1["givenUp"], Value::Null);
    served.history.on_batch_completed(&batch(5_000, 1, Some("no luck")));
    let given_up = event(&mut events).1["givenUp"].clone();
    assert_eq!((&given_up["batchId"], &given_up["reason"]), (&5_000.into(), &"no luck".into()));
    served.history.on_batch_completed(&batch(5_001, 1, None));
    assert_eq!(event(&mut events).1["givenUp"], Value::Null);
}

#[test]
fn an_open_page_does_not_hold_up_the_end() {
    let served = running(SECOND);
    let mut events = request(served.server.address(), "/api/v1/events", "");
    event(&mut events);
    drop(served.server);
    let mut rest = vec![];
    events.read_to_end(&mut rest).unwrap(); // ended cleanly, not by a timeout
}
