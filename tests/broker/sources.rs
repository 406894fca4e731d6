//! Sources on a real broker: what a receiver acknowledged and what a directory contained is processed once,
//! whatever is killed.

use crate::{
    contract::{texts, tp, unique},
    programs,
    subject::{bootstrap, kafka},
};
#[cfg(feature = "failpoints")]
use std::path::Path;
use std::{sync::Arc, time::Duration};
use tidegate::{
    log::{Log, TopicSpec},
    record::{Offset, TopicPartition},
};

fn topic(log: &Arc<dyn Log>) -> String {
    let (name, config) = (unique("sources"), std::collections::BTreeMap::new());
    log.create(&TopicSpec { name: name.clone(), partitions: 4, replication_factor: None, config }).unwrap();
    name
}

fn rows(log: &Arc<dyn Log>, topic: &str) -> Vec<(String, String)> {
    (0..4).flat_map(|p| committed(log, &tp(topic, p))).collect()
}

/// What is committed now; a transaction may be open at the same time.
fn committed(log: &Arc<dyn Log>, at: &TopicPartition) -> Vec<(String, String)> {
    let (end, mut next, mut silent) = (log.end_offset(at).unwrap(), Offset(0), 0);
    let mut reader = log.read(at, next).unwrap();
    let mut all = vec![];
    while next < end && silent < 10 {
        let Some(fetched) = reader.next(Duration::from_millis(100)).unwrap() else {
            silent += 1;
            continue;
        };
        next = fetched.next;
        all.extend(texts(&fetched.records));
    }
    all
}

#[test]
fn lines_that_a_receiver_acknowledged_survive_kills_on_kafka() {
    let (log, dir, app) = (kafka(), tempfile::tempdir().unwrap(), unique("answering"));
    let output = topic(&log);
    let command = |port: u16| {
        let mut command = programs::example("custom_receiver");
        command.args(["127.0.0.1", &port.to_string()]).arg(dir.path());
        command.args(["--bootstrap", &bootstrap(), "--name", &app, "--output", &output]);
        command
    };
    let received = || rows(&log, &output).into_iter().map(|(_, line)| line).collect();
    programs::acknowledged_lines_survive_kills(&command, &received);
}

#[cfg(feature = "failpoints")]
#[test]
fn files_are_counted_once_whatever_is_killed_on_kafka() {
    let (log, dir, app) = (kafka(), tempfile::tempdir().unwrap(), unique("files"));
    let output = topic(&log);
    let command = |input: &Path| {
        let mut command = programs::example("directory_word_count");
        command.arg(input).arg(dir.path()).arg("--all");
        command.args(["--bootstrap", &bootstrap(), "--name", &app, "--output", &output]);
        command
    };
    programs::files_are_counted_once_over_kills(&command, &|| rows(&log, &output));
}

#[cfg(feature = "failpoints")]
#[test]
fn topics_and_partitions_that_appear_later_are_read_from_their_beginning_on_kafka() {
    use crate::{contract::until, eos::client::Client};
    use tidegate::{
        SourceOptions, StreamingContext,
        codec::Utf8,
        record::{Partition, Text},
        source::Starting,
    };
    let (log, client, app, dir) =
        (kafka(), Client::new(&bootstrap()), unique("pattern"), tempfile::tempdir().unwrap());
    let (output, first, second) = (topic(&log), format!("{app}-in-1"), format!("{app}-in-2"));
    client.create(&first, 1);
    let write = |topic: &str, partition: u32, value: &str| {
        let rows = crate::contract::rows(&[("", value)]);
        tidegate::log::write(&*log, topic, Some(Partition(partition)), &rows).unwrap();
    };
    write(&first, 0, "before");
    let builder = StreamingContext::builder(&app).log(&bootstrap()).checkpoint(dir.path());
    let ssc = builder
        .batch_interval(Duration::from_millis(200))
        .configure(|c| {
            c.admin_bind = None;
            c.metadata_refresh = Duration::from_millis(500);
        })
        .build();
    let options = SourceOptions::pattern(format!("{app}-in-.*")).starting(Starting::Latest);
    let lines = ssc.source::<Text>(options, Utf8);
    lines.map(|line| (line.clone(), line)).to_kafka(&output, Utf8, Utf8);
    ssc.start().unwrap();
    let values = || rows(&log, &output).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    let mut written = 0;
    until("the first topic is read from its end on", || {
        write(&first, 0, &format!("first-{written}"));
        written += 1;
        !values().is_empty()
    });
    client.create(&second, 2);
    write(&second, 1, "second");
    until("the new topic is read", || values().contains(&"second".to_owned()));
    client.grow(&first, 3);
    until("the broker shows the new partition", || log.end_offset(&tp(&first, 2)).is_ok());
    write(&first, 2, "grown");
    write(&first, 0, "last");
    until("the new and the old partition are read", || {
        let values = values();
        ["grown", "last"].iter().all(|v| values.contains(&(*v).to_owned()))
    });
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let (values, mut once) = (values(), values());
    once.sort();
    once.dedup();
    assert_eq!(once.len(), values.len(), "each record once: {values:?}");
    assert!(!values.contains(&"before".to_owned()));
}

/// A static member that comes back is given what it had, which is the first topic.
#[cfg(feature = "failpoints")]
#[test]
fn a_topic_that_was_added_while_the_program_was_down_is_read_on_kafka() {
    use crate::{contract::until, eos::client::Client};
    use tidegate::{
        SourceOptions, StreamingContext,
        codec::Utf8,
        record::{Partition, Text},
        source::Starting,
    };
    let (log, client, app, dir) =
        (kafka(), Client::new(&bootstrap()), unique("added"), tempfile::tempdir().unwrap());
    let (output, first, second) = (topic(&log), format!("{app}-in-1"), format!("{app}-in-2"));
    let write = |topic: &str, partition: u32, value: &str| {
        let rows = crate::contract::rows(&[("", value)]);
        tidegate::log::write(&*log, topic, Some(Partition(partition)), &rows).unwrap();
    };
    let values = || {
        let mut values: Vec<String> = rows(&log, &output).into_iter().map(|(_, value)| value).collect();
        values.sort();
        values
    };
    let run_until = |expected: &[&str]| {
        let builder = StreamingContext::builder(&app).log(&bootstrap()).checkpoint(dir.path());
        let ssc = builder
            .batch_interval(Duration::from_millis(200))
            .configure(|c| {
                c.admin_bind = None;
                c.session_timeout = Duration::from_secs(240); // nothing here waits for it to expire
            })
            .build();
        let options = SourceOptions::pattern(format!("{app}-in-.*")).starting(Starting::Earliest);
        ssc.source::<Text>(options, Utf8).map(|line| (line.clone(), line)).to_kafka(&output, Utf8, Utf8);
        ssc.start().unwrap();
        until(&format!("{expected:?} is there"), || values() == expected);
        ssc.stop(false);
        ssc.await_termination().unwrap();
    };
    client.create(&first, 1);
    write(&first, 0, "before");
    run_until(&["before"]);
    client.create(&second, 2);
    write(&second, 1, "added");
    write(&first, 0, "later");
    run_until(&["added", "before", "later"]);
}

/// A line that no record can hold, and rows that the broker refuses: what is behind them is received, and a stop ends.
#[cfg(feature = "failpoints")]
#[test]
fn what_is_too_large_for_a_topic_holds_up_nothing_on_kafka() {
    use crate::contract::until;
    use std::{io::Write, net::TcpListener, sync::mpsc};
    use tidegate::{
        StreamingContext,
        codec::Utf8,
        source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
    };
    /// Sends the answers of the log on.
    struct Large(mpsc::Sender<Result<(), String>>);
    impl Receiver<String> for Large {
        fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
            for row in ["one".to_owned(), "z".repeat(1_200_000), "two".to_owned()] {
                self.0.send(to.store_all(vec![row]).map_err(|e| e.to_string()))?;
            }
            to.store_many(vec!["three".into(), "z".repeat(5_000_000), "four".into()])?;
            while !to.is_stopped() {
                to.sleep(Duration::from_secs(60));
            }
            Ok(())
        }
    }
    let (log, app, dir) = (kafka(), unique("large"), tempfile::tempdir().unwrap());
    let output = topic(&log);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = StreamingContext::builder(&app).log(&bootstrap()).checkpoint(dir.path());
    let ssc = builder.batch_interval(Duration::from_millis(200)).configure(|c| c.admin_bind = None).build();
    let (send, answers) = mpsc::channel();
    let rows_of_large = ssc.receiver_stream("large", Large(send), StorageLevel::Log);
    let lines = ssc.socket_text_stream("127.0.0.1", server.local_addr().unwrap().port());
    let lengths = lines.map(|line| format!("{} {}", line.chars().next().unwrap_or('-'), line.len()));
    rows_of_large.union(&lengths).to_kafka_values(&output, Utf8);
    ssc.start().unwrap();
    let mut connection = server.accept().unwrap().0;
    let long = "z".repeat(1_200_000);
    connection.write_all(format!("before\n{long}\nafter\n").as_bytes()).unwrap();
    let expected = ["a 5", "b 6", "four", "one", "three", "two", "z 216960", "z 983040"];
    let values = || {
        let mut values: Vec<String> = rows(&log, &output).into_iter().map(|(_, value)| value).collect();
        values.sort();
        values
    };
    until("all that fits is there", || values() == expected);
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true], "{answers:?}");
    assert!(answers[1].as_ref().unwrap_err().contains("too large"), "{answers:?}");
    ssc.stop(true);
    ssc.await_termination().unwrap();
}
