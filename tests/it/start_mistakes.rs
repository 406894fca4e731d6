//! What a person reads when a program cannot start: every mistake at once, with its place and the next step.

use crate::driver::{PLAIN, Session, Way, message};
use expect_test::expect;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};
use tidegate::{
    Config, SourceOptions, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
};

fn context(bootstrap: &str) -> StreamingContext {
    let mut config = Config::new("app", bootstrap);
    config.trigger = Trigger::AvailableNow;
    config.admin_bind = None;
    StreamingContext::new(config)
}

#[test]
fn all_mistakes_are_reported_at_once_with_file_and_line() {
    let ssc = context("memory:mistakes");
    let nothing = ssc.source::<String>(SourceOptions::topics([""; 0]), Utf8);
    let pairs = ssc.text("lines").map(|l| (l, 1u64));
    let _ = pairs.running_reduce_by_key(|a, b| a + b);
    let _ = pairs.filter(|(_, n)| *n > 0).running_reduce_by_key(u64::max);
    let again = ssc.source::<tidegate::Text>(SourceOptions::topic("lines"), Utf8);
    let _ = ssc.text("lines").union(&again).union(&nothing.map(Into::into));
    expect![[r#"
        tests/it/start_mistakes.rs:26:23: a source without a topic
        no output operations registered, so nothing to execute
          help: end a stream with `.print()`, with `.to_kafka_values("topic", Utf8)`, or, if its rows are pairs, with `.to_kafka("topic", Utf8, Json)`
        tests/it/start_mistakes.rs:29:43: this state and the one made at tests/it/start_mistakes.rs:28:19 would both be called `lines.running_reduce_by_key`
          help: name one of them: `.named("...")`
        tests/it/start_mistakes.rs:30:21: topic `lines` is read here and at tests/it/start_mistakes.rs:27:21, with another codec or other options
          help: read it once and use the stream twice; where the formats differ, read bytes (`Raw`) and decode in `try_map`
    "#]].assert_eq(&message(ssc.start()));
}

#[test]
fn a_topic_that_is_asked_for_as_text_twice_is_read_once() {
    let mut session = Session::new(PLAIN);
    let build = |ssc: &StreamingContext| {
        ssc.text("lines").to_kafka_values("first", Utf8);
        ssc.text("lines").to_kafka_values("second", Utf8);
        assert_eq!(ssc.topology().sources().count(), 1);
    };
    assert_eq!(session.step(&build, "lines 0 | - | x\n"), ["first | - | x", "second | - | x"]);
}

#[test]
fn a_file_in_the_place_of_the_state_directory_is_a_wrong_setting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = Config::new("app", "127.0.0.1:1");
    (config.admin_bind, config.state_dir) = (None, Some(file.path().to_owned()));
    let ssc = StreamingContext::new(config);
    ssc.text("lines").print();
    let refused = ssc.start().unwrap_err();
    assert_eq!(refused.exit_code(), 3);
    let shown = refused.to_string().replace(&file.path().display().to_string(), "FILE");
    expect![[r#"
        configuration: the state directory FILE/app cannot be made: FILE is a file
          next: choose a directory that can be written: `--state-dir`, or `StreamingContext::checkpoint("dir")`"#]].assert_eq(&shown);
    let ssc =
        StreamingContext::builder("app").configure(|c| c.admin_bind = None).checkpoint(file.path()).build();
    ssc.text("lines").print();
    let refused = ssc.start().unwrap_err();
    let shown = refused.to_string();
    assert!(refused.exit_code() == 3 && shown.contains("is a file") && shown.contains("next: "), "{shown}");
}

#[test]
fn state_and_windows_need_a_checkpoint_directory_unless_the_log_is_in_memory() {
    let refused = |build: &dyn Fn(&StreamingContext)| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new("app", format!("embedded:{}", dir.path().display()));
        config.trigger = Trigger::Interval(std::time::Duration::from_secs(1));
        config.admin_bind = None;
        let ssc = StreamingContext::new(config);
        build(&ssc);
        message(ssc.start())
    };
    let second = std::time::Duration::from_secs(1);
    expect![[r#"
        tests/it/start_mistakes.rs:91:69: the checkpoint directory has not been set, but `running_reduce_by_key` keeps state
          help: set it with `StreamingContext::checkpoint("dir")`
    "#]]
    .assert_eq(&refused(&|ssc| ssc.text("lines").map(|l| (l, 1u64)).running_reduce_by_key(|a, b| a + b).print()));
    expect![[r#"
        tests/it/start_mistakes.rs:96:50: the checkpoint directory has not been set, but `window` keeps state
          help: set it with `StreamingContext::checkpoint("dir")`
    "#]]
    .assert_eq(&refused(&|ssc| ssc.text("lines").window(second).print()));
    let ssc = context("memory:without-a-directory");
    let queue = tidegate::source::Queue::default();
    queue.push(vec![("a", 1u64)]);
    ssc.queue_stream(&queue, true)
        .map(|(word, n)| (word.to_owned(), n))
        .running_reduce_by_key(|a, b| a + b)
        .print();
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
}

#[test]
fn two_states_with_the_same_origin_are_distinguished_once_one_is_named() {
    let build = |ssc: &StreamingContext| {
        let pairs = ssc.text("lines").map(|l| (l, 1u64));
        pairs.running_reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
        pairs.running_reduce_by_key(u64::max).named("most").to_kafka("out", Utf8, AsText);
    };
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&build, "lines 0 | - | x\nlines 1 | - | x\n"), ["out | x | 1", "out | x | 2"]);
    assert_eq!(session.step(&build, "lines 0 | - | x\n"), ["out | x | 3"]);
}

#[test]
fn a_changed_program_over_existing_state_is_reported_per_store() {
    let before = |ssc: &StreamingContext| {
        let pairs = ssc.text("lines").map(|l| (l, 1u64));
        pairs.running_reduce_by_key(|a, b| a + b).named("counts").print();
        pairs.running_reduce_by_key(u64::max).named("most").print();
        pairs.running_reduce_by_key(u64::min).named("least").print();
    };
    let after = |ssc: &StreamingContext| {
        let pairs = ssc.text("lines").map(|l| (l, 1i64));
        pairs.running_reduce_by_key(|a, b| a + b).named("counts").print();
        pairs.map_values(i64::unsigned_abs).running_reduce_by_key(u64::max).named("most").print();
        pairs.update_state_by_key(|new: Vec<i64>, _: Option<i64>| new.last().copied()).named("last").print();
    };
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&before, "lines 0 | - | x\n"), ["console | (x,1)"; 3]);
    session.feed("lines 0 | - | y\n");
    expect![[r#"
        recovery refused: this program cannot go on from the existing state:
          incompatible  counts: rows are table str -> u64, the program reads table str -> i64: is of another type
          new           last (starts empty)
          keep          most
          unused        least
          changed edge  counts.exchange: rows were (str,u64), are (str,i64)
          new edge      last.exchange
          unused edge   least.exchange
          next: give a changed store a new name (it is then built from new records), or start under a new application id
          next: to go on with the rows of an unused store, give its name to the operation: `.named("least")`; to begin a new one empty, start once with --accept-state-changes
    "#]]
    .assert_eq(&message(session.run(&after)));
    assert_eq!(session.step(&before, "").len(), 3, "the old program still runs");
}

#[test]
fn the_number_of_state_partitions_is_fixed() {
    let build = |ssc: &StreamingContext| {
        ssc.text("lines").map(|l| (l, 1u64)).running_reduce_by_key(|a, b| a + b).print();
    };
    let mut session = Session::new(Way { state_partitions: 8, ..PLAIN });
    session.step(&build, "lines 0 | - | x\n");
    session.config.state_partitions = 4;
    expect![[r#"
        topic `app-exchange`: has 8 partitions, the program needs 4: the number of state partitions is fixed for the life of an application
          next: start with --state-partitions 8, or under a new application id
    "#]].assert_eq(&message(session.run(&build)));
}

#[test]
fn a_missing_input_topic_is_named() {
    let ssc = context("memory:missing");
    ssc.text("lines").print();
    ssc.start().unwrap();
    expect![[r#"
        topic `lines`: does not exist (log in memory)
          next: no command creates it: let another program write it, or call `tidegate::log::write` or `Log::create`, or correct the name
    "#]]
    .assert_eq(&message(ssc.await_termination()));
    let dir = tempfile::tempdir().unwrap();
    let ssc = on_disk(dir.path());
    ssc.start().unwrap();
    let error = message(ssc.await_termination()).replace(&dir.path().display().to_string(), "DIR");
    expect![[r#"
        topic `lines`: does not exist (embedded log in DIR/log)
          next: no command creates it: let another program write it, or call `tidegate::log::write` or `Log::create`, or correct the name
    "#]]
    .assert_eq(&error);
}

#[test]
fn impossible_settings_are_reported_before_anything_starts() {
    let error_of = |change: fn(&mut Config)| {
        let mut config = Config::new("app", "memory:settings");
        change(&mut config);
        let ssc = StreamingContext::new(config);
        ssc.text("lines").print();
        message(ssc.start())
    };
    let all = [
        error_of(|c| c.application_id = "my app".into()),
        error_of(|c| c.state_partitions = 0),
        error_of(|c| c.admin_bind = Some("localhost".into())),
        error_of(|c| c.bootstrap = "embedded:".into()),
        error_of(|c| c.bootstrap = "localhost".into()),
        error_of(|c| c.trigger = Trigger::Interval(std::time::Duration::ZERO)),
        error_of(|c| c.state_dir = Some("s3://bucket/state".into())),
    ];
    expect![[r#"
        configuration: application id `my app`: 1 to 100 characters of a-z A-Z 0-9 . _ - (it names the group and topics)
        configuration: state partitions: 0 is not between 1 and 1024
          next: correct --state-partitions
        configuration: admin address `localhost` is not IP:PORT, such as 127.0.0.1:4040
        configuration: `embedded:` needs a directory, as in `embedded:./data`
        configuration: `localhost` does not name a log: expected host:port[,host:port] for Kafka, embedded:DIR, or memory:
        configuration: batch interval 0ns is not between 1 ms and a day
        configuration: checkpoint directory `s3://bucket/state`: `s3://` is not a place on this machine; state is kept on the local disk, and is restored from the log if that is lost
          next: name a directory, or a file:/// URL of one
    "#]].assert_eq(&all.concat());
}

#[test]
fn a_context_starts_once_and_is_awaited_after_it_started() {
    let ssc = context("memory:once");
    ssc.text("lines").print();
    assert!(message(ssc.await_termination()).contains("this context was not started"));
    ssc.start().unwrap();
    assert!(message(ssc.start()).contains("has already been started"));
    assert!(message(ssc.await_termination()).contains("`lines`"));
}

/// A program on the embedded log in `dir`, with its state beside it.
fn on_disk(dir: &std::path::Path) -> StreamingContext {
    let mut config = Config::new("app", format!("embedded:{}", dir.join("log").display()));
    config.state_dir = Some(dir.join("state"));
    config.trigger = Trigger::Interval(std::time::Duration::from_millis(50));
    config.admin_bind = None;
    let ssc = StreamingContext::new(config);
    ssc.text("lines").map(|l| (l, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
    ssc
}

const HOLDER: &str = "TIDEGATE_TEST_HOLD";

/// Not a case of its own: another process runs it to hold a log, or a state directory, until its input ends.
#[test]
fn holds_what_another_process_wants() {
    let Ok(dir) = std::env::var(HOLDER) else { return };
    let dir = std::path::PathBuf::from(dir);
    let log = tidegate::log::open(&format!("embedded:{}", dir.join("log").display()), &BTreeMap::default())
        .unwrap();
    let state = tidegate::state::StateDirectory::open(dir.join("state"), "app").unwrap();
    println!("held");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
    drop((log, state));
}

#[test]
fn a_second_process_is_refused_and_the_one_in_the_way_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start_mistakes::holds_what_another_process_wants", "--nocapture"])
        .env(HOLDER, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("held")), "the other process holds both");
    let plain = |text: String| {
        text.replace(&dir.path().display().to_string(), "DIR").replace(&holder.id().to_string(), "PID")
    };
    let log = plain(message(on_disk(dir.path()).start()));
    let mut config = Config::new("app", format!("embedded:{}", dir.path().join("other-log").display()));
    config.state_dir = Some(dir.path().join("state"));
    config.admin_bind = None;
    let ssc = StreamingContext::new(config);
    ssc.text("lines").print();
    let state = plain(message(ssc.start()));
    drop(holder.stdin.take());
    lines.for_each(drop);
    assert!(holder.wait().unwrap().success());
    expect![[r#"
        configuration: embedded:DIR/log is in use by process PID
          next: stop that process, or use another directory
        state: DIR/state/app is in use by process PID
          next: stop it, or give this process its own state directory
    "#]]
    .assert_eq(&format!("{log}{state}"));
}

#[test]
fn a_program_that_reads_what_it_writes_is_refused_with_both_places() {
    let ssc = context("memory:loop");
    let lines = ssc.text("lines").map(|line| (line, 1u64));
    lines.to_kafka("lines", Utf8, AsText);
    lines.to_kafka("other", Utf8, AsText);
    expect![[r#"
        tests/it/start_mistakes.rs:294:11: topic `lines` is written here and read at tests/it/start_mistakes.rs:293:21: the program would read what it writes, without end
          help: write to another topic
    "#]].assert_eq(&message(ssc.start()));
}
