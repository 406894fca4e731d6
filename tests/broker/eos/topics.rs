//! Input topics that go, return, or are read for the first time while a program runs.

use super::{
    client::Client,
    events,
    program::{App, Run},
    until,
    words::{Lines, Stream, Truth, judge, shortfalls},
};
use crate::{kafka::Kafka, subject::bootstrap};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidegate::log::{GroupEvent, GroupSpec};

/// A program that reads the topics `<input>.*`, and looks for them often.
fn rotating(client: &Client) -> App {
    App::new("test:rotating", client).with("session-timeout-ms", "6000")
}

/// The name of one of its topics.
fn topic(app: &App, name: &str) -> String {
    format!("{}.{name}", app.input)
}

/// Writes lines into a topic, and waits until they have come out, each once more than before.
fn passes(client: &Client, app: &App, run: &mut Run, name: &str, lines: &[&str], seen: &mut Vec<String>) {
    let mut writer = Lines::new(client, &topic(app, name), 1);
    lines.iter().for_each(|line| writer.write_text(0, line));
    writer.flush();
    seen.extend(lines.iter().map(|line| (*line).to_owned()));
    seen.sort();
    let out = || {
        let mut keys: Vec<String> = client.read(&app.output).into_iter().map(|row| row.key).collect();
        keys.sort();
        keys
    };
    until(&format!("{lines:?} of {name} come out (log: {})", run.log.display()), || {
        run.must_run();
        out().len() >= seen.len()
    });
    assert_eq!(out(), *seen);
}

/// Deleting the oldest topic and adding a new one never stops a program, and a deleted name may return.
#[test]
fn topics_of_a_pattern_rotate_under_a_running_program() {
    let client = Client::new(&bootstrap());
    let app = rotating(&client);
    for name in ["1", "2"] {
        client.create(&topic(&app, name), 1);
    }
    let mut run = app.start("");
    let mut seen = vec![];
    passes(&client, &app, &mut run, "1", &["a", "b", "c"], &mut seen);
    passes(&client, &app, &mut run, "2", &["d"], &mut seen);
    client.create(&topic(&app, "3"), 1);
    client.delete(&topic(&app, "1"));
    passes(&client, &app, &mut run, "3", &["e"], &mut seen);
    until("the deleted topic is noticed", || {
        run.must_run();
        run.text().contains("input topics have changed") && run.text().contains(&topic(&app, "1"))
    });
    passes(&client, &app, &mut run, "2", &["f"], &mut seen);
    client.create(&topic(&app, "1"), 1);
    passes(&client, &app, &mut run, "1", &["g", "h", "i", "j"], &mut seen);
    run.stop();
    // It is another topic while the program is down, too.
    client.delete(&topic(&app, "1"));
    client.until_gone(&topic(&app, "1"));
    client.create(&topic(&app, "1"), 1);
    let mut run = app.start("");
    passes(&client, &app, &mut run, "1", &["k", "l"], &mut seen);
    run.kill();
    let mut run = app.start("");
    passes(&client, &app, &mut run, "1", &["m"], &mut seen);
    run.stop();
    println!("rotation: {} lines, each once, the program never stopped", seen.len());
}

/// The group does not assign the inputs of a program with state, so it is not asked.
#[test]
fn topics_and_partitions_are_taken_up_by_a_program_with_state_without_a_rebalance() {
    let client = Client::new(&bootstrap());
    let app = App::new("test:rotating_counts", &client);
    for name in ["1", "2"] {
        client.create(&topic(&app, name), 1);
    }
    let mut run = app.start("");
    let mut truth = Truth::new();
    let mut passes = |run: &mut Run, name: &str, partitions: u64, lines: &[&str]| {
        let mut writer = Lines::new(&client, &topic(&app, name), 1);
        for (number, line) in (0..).zip(lines) {
            writer.write_text(i32::try_from(number % partitions).unwrap(), line);
            *truth.entry((*line).to_owned()).or_default() += 1;
        }
        writer.flush();
        until(&format!("{lines:?} of {name} are counted (log: {})", run.log.display()), || {
            run.must_run();
            shortfalls(&truth, &client.read(&app.output)).is_empty()
        });
        judge(name, &truth, &client.read(&app.output));
    };
    passes(&mut run, "1", 1, &["a", "b", "a"]);
    passes(&mut run, "2", 1, &["b"]);
    let members = client.members(&app.id);
    client.create(&topic(&app, "3"), 3);
    passes(&mut run, "3", 3, &["a", "b", "c"]);
    client.grow(&topic(&app, "3"), 9);
    passes(&mut run, "3", 9, &["d", "e", "f", "g", "h", "i", "j", "k", "l"]);
    client.delete(&topic(&app, "1"));
    until("the deleted topic is noticed", || {
        run.must_run();
        run.text().contains(&format!("gone=[\"{}\"]", topic(&app, "1")))
    });
    passes(&mut run, "2", 1, &["a"]);
    client.create(&topic(&app, "1"), 1);
    passes(&mut run, "1", 1, &["m", "a", "b", "c"]);
    assert_eq!(client.members(&app.id), members, "the same membership");
    assert_eq!(client.committed(&app.id, &topic(&app, "3")).len(), 9);
    let log = run.stop();
    assert!(!log.contains("a new assignment") && log.matches("joined group").count() == 1, "{log}");
    let mut run = app.start("");
    passes(&mut run, "3", 9, &["a"]);
    run.stop();
    println!("with state: topics came, grew, went and returned without a rebalance");
}

/// An earlier version subscribed to the inputs, too. Within the session of its last process the first one of this
/// version is given that assignment.
#[test]
fn a_membership_of_an_earlier_version_is_replaced() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("session-timeout-ms", "240000");
    let stream = Stream::start(Lines::new(&client, &app.input, 3));
    let mut run = app.start("");
    app.progress(&client, &mut run);
    run.stop();
    let log = tidegate::log::open(&bootstrap(), &BTreeMap::new()).unwrap();
    let spec = GroupSpec {
        group: app.id.clone(),
        instance: "pod-1".into(),
        topics: vec![app.input.clone(), format!("{}-exchange", app.id)],
        session_timeout: Duration::from_secs(240),
    };
    let (mut held, mut earlier, mut has_asked) = (vec![], log.join(&spec, Arc::new(|| ())).unwrap(), false);
    until("the earlier version holds its inputs and its state", || {
        for event in earlier.poll().unwrap() {
            match event {
                GroupEvent::Assigned(at) => {
                    held.extend(at);
                    earlier.accept().unwrap();
                }
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    held.retain(|held| !at.contains(held));
                    earlier.release(&at).unwrap();
                }
                GroupEvent::Connection(_) => {}
            }
        }
        if held.len() == 4 && !std::mem::replace(&mut has_asked, true) {
            earlier.rejoin().unwrap(); // it was given what this version has asked for
        }
        held.len() == 8
    });
    earlier.close(false);
    let mut run = app.start("");
    app.progress(&client, &mut run);
    let truth = stream.finish();
    app.catch_up(&client, &mut run);
    let log = run.stop();
    assert!(log.contains("an earlier process of this name has subscribed to"), "{log}");
    judge("taken over", &truth, &client.read(&app.output));
    println!(
        "the membership of an earlier version was replaced, {} words, none lost, none twice",
        truth.len()
    );
}

/// A static member that is back within its session gets its old assignment.
#[test]
fn a_topic_of_a_pattern_that_was_deleted_in_the_meantime_is_given_back() {
    let client = Client::new(&bootstrap());
    let app = rotating(&client).with("session-timeout-ms", "60000");
    for name in ["1", "2"] {
        client.create(&topic(&app, name), 1);
    }
    let mut run = app.start("");
    let mut seen = vec![];
    passes(&client, &app, &mut run, "1", &["a"], &mut seen);
    passes(&client, &app, &mut run, "2", &["b"], &mut seen);
    run.stop();
    client.delete(&topic(&app, "1"));
    client.until_gone(&topic(&app, "1"));
    let mut run = app.start("");
    passes(&client, &app, &mut run, "2", &["c"], &mut seen);
    let log = run.stop();
    assert!(log.contains("asking the group for a new assignment"), "{log}");
    println!("a deleted topic of the old assignment was given back");
}

#[test]
fn a_program_is_not_ready_while_a_topic_that_it_names_is_gone_and_stops_when_it_is_made_anew() {
    let client = Client::new(&bootstrap());
    let app = App::new("test:looking", &client);
    let mut lines = Lines::new(&client, &app.input, 1);
    lines.write(40, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.until_ready(true);
    client.delete(&app.input);
    let answer = run.until_ready(false);
    assert!(answer.contains(&format!("input topics that do not exist any more: {}", app.input)), "{answer}");
    let text = run.text();
    let ours: Vec<&str> =
        text.lines().filter(|line| line.contains("WARN") && line.contains("any more")).collect();
    assert_eq!(ours.len(), 1, "{text}");
    client.create(&app.input, 4);
    let mut more = Lines::new(&client, &app.input, 2);
    more.write(20, 4);
    more.flush();
    assert_eq!(run.exit_code(), 4, "{}", run.text());
    let text = run.text();
    assert!(text.contains("was deleted and made anew") && text.contains("--accept-offsets"), "{text}");
    let before = client.read(&app.output).len();
    let again = app.with_flag("accept-offsets");
    let mut run = again.start("");
    again.catch_up(&client, &mut run);
    run.stop();
    assert_eq!(client.read(&again.output).len(), before + 20, "the new topic is read from its beginning");
    println!("a deleted topic: not ready; made anew: stopped, then read from its beginning");
}

/// Each of two processes begins its partitions at the end, even if the other one has committed before.
#[test]
fn a_first_start_at_the_end_is_one_in_every_process() {
    // By default a broker waits three seconds for more members before it makes the first assignment.
    let kafka = Kafka::start_configured("group.initial.rebalance.delay.ms=3000");
    let client = Client::new(&kafka.bootstrap());
    let app = App::new("filter_project", &client).with("starting-offsets", "latest");
    let other = app.elsewhere().with("instance-id", "pod-2");
    let mut lines = Lines::new(&client, &app.input, 1);
    lines.write_events(400);
    lines.flush();
    let mut second = other.start("after-assignment=hold@1");
    let mut first = app.start("");
    second.until_fired("after-assignment");
    until("the first has committed its part", || {
        first.must_run();
        !client.committed(&app.id, &app.input).is_empty()
    });
    assert_eq!(client.committed(&app.id, &app.input).len(), 2, "each has a part");
    second.go_on();
    until("each partition has an offset", || {
        first.must_run();
        second.must_run();
        client.committed(&app.id, &app.input).len() == 4
    });
    assert_eq!(client.committed(&app.id, &app.input), client.ends(&app.input));
    assert_eq!(client.read(&app.output).len(), 0, "records from before the first start came out");
    first.stop();
    second.stop();
    println!("two processes, first start at the end: nothing of before");
}

/// Taking over the group of another consumer is a migration, and is told.
#[test]
fn offsets_that_another_consumer_left_are_used_and_reported() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let mut lines = Lines::new(&client, &app.input, 1);
    lines.write_events(400);
    lines.flush();
    client.set_offsets(&app.id, &app.input, &[(0, 100), (1, 60), (2, 0), (3, 100)]);
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let log = run.stop();
    let said = log.lines().find(|line| line.contains("another consumer of the group")).expect(&log);
    assert!(said.contains("WARN") && said.contains("the 260 records before them are not read"), "{said}");
    let mut partitions = BTreeMap::<u64, u64>::new();
    for row in client.read(&app.output) {
        let event: serde_json::Value = serde_json::from_str(&row.value).unwrap();
        *partitions.entry(event["id"].as_u64().unwrap() % 4).or_default() += 1;
    }
    assert_eq!(partitions, BTreeMap::from([(1, 40), (2, 100)]));
    assert!(!events::violations(400, &client.read(&app.output)).is_empty());
    println!("offsets of another consumer: used, with the number of records that are passed over");
}
