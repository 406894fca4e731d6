//! Membership across restarts and rebalances: it is kept without a configured instance id, and work continues
//! however often others come and go.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::App,
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Longer than anything waited for here: a test that had to wait for the end of a session would be detected by
/// that.
const LONG_SESSION_MS: &str = "240000";

/// The instance id is generated at the first start and kept with the state, so the group recognizes the restarted
/// process and gives it its partitions at once.
#[test]
fn a_process_without_an_instance_id_takes_its_partitions_back() {
    let seed = Random::seed();
    eprintln!("kept instance id: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).without("instance-id");
    let app = app.with("session-timeout-ms", LONG_SESSION_MS);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut members = vec![];
    for _ in 0..3 {
        let mut run = app.start("");
        app.progress(&client, &mut run);
        members.push(client.members(&app.id));
        run.kill();
    }
    let kept = fs::read_to_string(app.folder.join("state").join(&app.id).join("instance.id")).unwrap();
    let is_it = |id: &String| id.starts_with(&format!("{}-", kept.trim()));
    assert!(members.iter().all(|m| m.len() == 1 && is_it(&m[0])), "`{kept}` is not alone in {members:?}");
    // The broker gives a member a new id each time it starts.
    assert!(members.windows(2).all(|m| m[0] != m[1]), "{members:?}");
    let mut run = app.start("");
    let truth = stream.finish();
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!(
        "kept instance id: 3 kills, no session waited for; {} words, {} counts",
        truth.len(),
        rows.len()
    );
}

/// The group has taken two partitions from the first process for the second one; before it gives them back it is
/// killed, and restarted within its session. It is given what it was left with, and the two belong to nobody until
/// someone checks.
#[test]
fn partitions_that_a_killed_process_had_to_give_back_are_read_again() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Events::start(&client, &app.input);
    let mut first = app.start("before-release=kill@1");
    app.progress(&client, &mut first);
    let mut second = other.start("");
    first.dies_at_its_failpoint();
    let mut first = app.start("");
    until("one of the two has noticed", || {
        first.must_run();
        second.must_run();
        [&first, &second].iter().any(|run| run.text().contains("a rebalance did not finish"))
    });
    let written = stream.finish();
    app.catch_up(&client, &mut first);
    second.must_run();
    first.stop();
    second.stop();
    events::judge("killed before giving back", written, &client.read(&app.output));
    println!("killed before giving back: {written} events, each once");
}

/// For at least this long, and this often, a second process joins and leaves.
const UNREST: Duration = Duration::from_secs(20);
const VISITS_MIN: u32 = 5;

#[test]
fn work_continues_under_frequent_rebalances() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let other = app.elsewhere().with("instance-id", "pod-2").with_flag("leave");
    let stream = Events::start(&client, &app.input);
    // The library continues on its own for a while after each rebalance, before anything else is requested of it.
    let mut run = app.start(&["after-answer=sleep:300"; 100].join(","));
    app.progress(&client, &mut run);
    let (begun, mut visits) = (Instant::now(), 0);
    while begun.elapsed() < UNREST || visits < VISITS_MIN {
        let mut second = other.start("");
        until("the second process has committed", || {
            run.must_run();
            second.must_run();
            second.text().contains("joined group") && second.checkpoints("committed") > 0
        });
        app.progress(&client, &mut run);
        second.stop();
        until("the second process is gone", || client.members(&app.id).len() == 1);
        app.progress(&client, &mut run);
        visits += 1;
    }
    let written = stream.finish();
    app.catch_up(&client, &mut run);
    // All partitions are read to their ends; those that are kept must continue from there.
    for _ in 0..VISITS_MIN {
        let mut second = other.start("");
        until("the second process has partitions", || {
            run.must_run();
            second.must_run();
            second.text().contains("joined group")
        });
        second.stop();
        until("the second process is gone", || {
            run.must_run();
            client.members(&app.id).len() == 1
        });
    }
    let stream = Events::start_at(&client, &app.input, written);
    app.progress(&client, &mut run);
    let written = stream.finish();
    app.catch_up(&client, &mut run);
    assert!(run.fired().len() > 10, "{:?}", run.fired());
    run.stop();
    events::judge("rebalances", written, &client.read(&app.output));
    println!(
        "rebalances: a second process came and went {visits} times over new input and {VISITS_MIN} times without; {written} events, each once"
    );
}
