//! Facts that contradict what the program has committed: it refuses to continue, and names the place and the next
//! step.

use super::{
    Random,
    client::Client,
    events,
    program::App,
    words::{Lines, judge},
};
use crate::subject::bootstrap;
use std::{thread::sleep, time::Duration};

/// A program that has committed something, and whose group is empty.
fn ran(program: &'static str) -> (Client, App, Lines) {
    let client = Client::new(&bootstrap());
    let app = App::new(program, &client).with_flag("leave");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    if program == "kafka_word_count" {
        lines.write(400, 4);
    } else {
        lines.write_events(400);
    }
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    (client, app, lines)
}

fn refuses(app: &App, code: i32, parts: &[&str]) {
    let mut run = app.start("");
    assert_eq!(run.exit_code(), code, "{}", run.text());
    let text = run.text();
    for part in parts.iter().chain(&["next:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn deleted_offsets_of_a_stateful_program_are_refused_until_the_state_is_accepted() {
    for has_directory in [true, false] {
        let (client, app, lines) = ran("kafka_word_count");
        let before = client.read(&app.output).len();
        client.delete_group(&app.id);
        if !has_directory {
            app.lose_state();
        }
        let place = format!("{}-", app.input);
        refuses(&app, 1, &["recovery refused", &place, "expired or were deleted", "--accept-offsets"]);
        assert_eq!(client.read(&app.output).len(), before, "nothing was written");
        // The next step that it names does help, and is needed once.
        continues(&client, app.with_flag("accept-offsets"), lines, true);
    }
    println!("deleted offsets, with state: refused, then accepted with and without local state");
}

/// More lines are counted on top of what was counted, at first with the app as it is and then without
/// `--accept-offsets`.
fn continues(client: &Client, app: App, lines: Lines, accepts: bool) {
    let mut more = Lines::new(client, &app.input, 5);
    more.continue_after(lines);
    more.write(200, 4);
    more.flush();
    let mut run = app.start("");
    app.catch_up(client, &mut run);
    let log = run.stop();
    assert!(log.contains("WARN") && log.contains("the state is taken as it is"), "{log}");
    assert_eq!(log.contains("the group has no offset; reading begins at"), accepts, "{log}");
    let app = app.without("accept-offsets");
    more.write(200, 4);
    more.flush();
    let mut run = app.start("");
    app.catch_up(client, &mut run);
    let log = run.stop();
    assert!(!log.contains("as it is"), "{log}");
    judge("the state was kept", &more.truth, &client.read(&app.output));
}

/// Offsets of all topics of the group, set with Kafka's own tool, which cannot write tidegate's record.
#[test]
fn offsets_that_were_set_for_all_topics_are_taken_with_the_state() {
    for has_directory in [true, false] {
        let (client, app, lines) = ran("kafka_word_count");
        let ends = client.committed(&app.id, &app.input);
        client.delete_group(&app.id);
        if !has_directory {
            app.lose_state();
        }
        let ends: Vec<(i32, i64)> = ends.into_iter().collect();
        client.set_offsets(&app.id, &app.input, &ends);
        client.set_offsets(&app.id, &format!("{}-exchange", app.id), &[(0, 0), (1, 0), (2, 0), (3, 0)]);
        continues(&client, app, lines, false);
    }
    println!("offsets set for all topics: the state is kept, with and without its directory");
}

#[test]
fn deleted_offsets_of_a_stateless_program_are_refused_and_can_be_set_again() {
    let (client, app, _) = ran("filter_project");
    client.delete_group(&app.id);
    app.lose_state();
    refuses(&app, 1, &["recovery refused", &format!("{}-0", app.input), "set the group's offset to 100"]);
    // The next step that it names does help.
    client.set_offsets(&app.id, &app.input, &[(0, 100), (1, 100), (2, 100), (3, 100)]);
    let before = client.read(&app.output).len();
    let mut more = Lines::new(&client, &app.input, 1);
    more.write_events(40);
    more.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    assert_eq!(client.read(&app.output).len(), before + 40);
    println!("deleted offsets, stateless: refused; with offsets set by hand it continues");
}

#[test]
fn a_stateless_program_that_takes_deleted_offsets_for_a_first_start_is_detected() {
    let (client, app, _) = ran("filter_project");
    client.delete_group(&app.id);
    app.lose_state();
    let mut run = app.start("mutant-no-witness=mutant");
    app.catch_up(&client, &mut run);
    assert!(run.fired().iter().any(|f| f == "mutant-no-witness"));
    run.stop();
    let wrong = events::violations(400, &client.read(&app.output));
    assert!(!wrong.is_empty());
    println!("deleted offsets without a witness: {} violations, such as {:?}", wrong.len(), wrong.first());
}

#[test]
fn offsets_that_were_set_back_are_refused() {
    for program in ["kafka_word_count", "filter_project"] {
        let (client, app, _) = ran(program);
        let before = client.read(&app.output).len();
        client.set_offsets(&app.id, &app.input, &[(2, 30)]);
        let place = format!("{}-2: the group's offset 30 lies before 100", app.input);
        refuses(&app, 1, &["recovery refused", &place, "--accept-offsets"]);
        assert_eq!(client.read(&app.output).len(), before, "nothing was written");
        let again = app.with_flag("accept-offsets");
        let mut run = again.start("");
        again.catch_up(&client, &mut run);
        run.stop();
        assert!(client.read(&again.output).len() > before, "70 records are processed again, as was asked");
    }
    println!("offsets set back: refused with partition and offsets; taken with --accept-offsets");
}

#[test]
fn an_input_topic_that_was_recreated_is_refused() {
    let (client, app, _) = ran("kafka_word_count");
    client.delete(&app.input);
    client.create(&app.input, 4);
    refuses(
        &app,
        4,
        &[&format!("topic `{}`", app.input), "deleted and made anew", "--accept-offsets", "application id"],
    );
    println!("an input topic recreated while the program was down: refused");
}

#[test]
fn a_program_stops_when_its_input_topic_is_recreated() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    client.delete(&app.input);
    client.create(&app.input, 4);
    let mut other = Lines::new(&client, &app.input, 1);
    other.write(40, 4);
    other.flush();
    assert_ne!(run.exit_code(), 0, "{}", run.text());
    assert!(run.text().contains(&app.input), "{}", run.text());
    judge("what came before", &lines.truth, &client.read(&app.output));
    println!("an input topic recreated under the running program: it stops");
}

/// A program with an input topic that grew from four partitions to six while it was down, with more lines in all of
/// them.
fn grown(program: &'static str) -> (Client, App, Lines) {
    let client = Client::new(&bootstrap());
    // The membership is kept, with the old assignment; and a first start would have begun at the end.
    let app = App::new(program, &client).with("session-timeout-ms", "60000");
    let app = app.with("starting-offsets", "latest");
    let mut run = app.start("");
    app.has_committed(&client, &mut run);
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    app.catch_up(&client, &mut run);
    run.stop();
    client.grow(&app.input, 6);
    // A new producer learns of the new partitions at once.
    let mut more = Lines::new(&client, &app.input, 7);
    more.continue_after(lines);
    let mut lines = more;
    lines.write(600, 6);
    lines.flush();
    (client, app, lines)
}

#[test]
fn partitions_that_were_added_in_the_meantime_are_read_from_their_start() {
    for program in ["kafka_word_count", "test:echo"] {
        let (client, app, lines) = grown(program);
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        assert_eq!(client.committed(&app.id, &app.input).len(), 6);
        run.stop();
        let rows = client.read(&app.output);
        if program == "kafka_word_count" {
            judge("six partitions", &lines.truth, &rows);
        } else {
            assert_eq!(rows.len(), 1_000);
        }
    }
    println!("two partitions added while the program was down: all read from their start");
}

/// A static member gets its old assignment back, and nobody ever checks for new partitions. (With state, source
/// partitions are not assigned.)
#[test]
fn a_program_that_does_not_ask_for_added_partitions_is_detected() {
    let (client, app, _) = grown("test:echo");
    let mut run = app.start("mutant-no-rejoin=mutant");
    run.until_fired("mutant-no-rejoin");
    // For the length of a session, after which the group has told everyone everything it has to tell.
    sleep(Duration::from_secs(8));
    assert_eq!(client.committed(&app.id, &app.input).len(), 4);
    println!("added partitions: never assigned to a program that does not ask");
    run.kill();
}

#[test]
fn an_internal_topic_with_wrong_settings_is_refused() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let changelog = format!("{}-changelog", app.id);
    for (partitions, setting, part) in [
        (4, ("cleanup.policy", "delete"), "has cleanup.policy=delete, but needs compact"),
        (4, ("cleanup.policy", "compact,delete"), "has cleanup.policy=compact,delete, but needs compact"),
        (6, ("cleanup.policy", "compact"), "has 6 partitions, the program needs 4"),
    ] {
        client.create_with(&changelog, partitions, setting);
        refuses(&app, 4, &[&format!("topic `{changelog}`"), part]);
        client.delete(&changelog);
        client.until_gone(&changelog);
    }
    assert!(client.read(&app.output).is_empty(), "nothing was written");
    println!("an internal topic with another policy or number of partitions: refused");
}

#[test]
fn more_copies_than_brokers_are_refused_with_the_topic_that_wants_them() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("replication-factor", "2");
    let why = "the broker refuses to create it: copies: 2; InvalidReplicationFactor";
    let next = "next: start with --replication-factor of at most the number of brokers";
    refuses(&app, 4, &[&format!("topic `{}-", app.id), why, next]);
    assert!(client.read(&app.output).is_empty(), "nothing was written");
    println!("more copies than brokers: refused");
}

#[test]
fn the_guarantee_is_reported_at_the_start_with_the_topics_that_weaken_it() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let mut run = app.start("");
    app.has_committed(&client, &mut run);
    let log = run.stop();
    let line = log.lines().find(|l| l.contains("guarantee:")).unwrap_or_else(|| panic!("{log}"));
    let expected = format!(
        "guarantee: exactly once; survives 0 broker failures: replication factor 1 of {}, {}-meta, {}-exchange, {}-changelog",
        app.output, app.id, app.id, app.id
    );
    assert!(line.contains(&expected) && line.contains("(next: "), "{line}");
    println!("{line}");
}

#[test]
fn a_process_that_cuts_other_batches_does_not_join_those_that_share_the_state() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("exchange", "shared").with_flag("leave");
    let other = app.elsewhere().with("instance-id", "pod-2").with("batch-interval-ms", "250");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let parts = ["configuration: process", "shares the state", "this one with an interval of 250 ms"];
    refuses(&other, 3, &parts);
    run.must_run();
    assert_eq!(client.members(&app.id).len(), 1, "it did not disturb the first one");
    // Of a process that has ended nobody is reminded.
    run.stop();
    lines.write(200, 4);
    lines.flush();
    let mut run = other.start("");
    other.catch_up(&client, &mut run);
    run.stop();
}
