//! Partitions that the client cannot set to another offset: whatever the engine was doing, it recovers them, and
//! nothing is lost.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::App,
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;

#[test]
fn a_seek_that_fails_after_a_batch_was_given_up_loses_nothing() {
    let seed = Random::seed();
    eprintln!("seeks: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for nth in 1..=4 {
        let mut run = app.start(&format!("fail-flush=fail@2,fail-seek=fail@{nth}"));
        run.until_fired("fail-seek");
        app.progress(&client, &mut run);
        let log = run.stop();
        assert!(log.contains("all partitions are recovered again"), "{log}");
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    judge(&format!("seed {seed}"), &truth, &client.read(&app.output));
    println!(
        "seeks: 4 failed after batches that were given up, {} words, none lost, none twice",
        truth.len()
    );
}

#[test]
fn seeks_that_fail_while_partitions_come_and_go_lose_nothing() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let events = Events::start(&client, &app.input);
    let (mut fired, mut again, mut recovered) = (0, 0, 0);
    for nth in 1..=5 {
        let mut run = app.start(&format!("fail-seek=fail@{nth}"));
        app.has_committed(&client, &mut run);
        let other = app.elsewhere().with("instance-id", "pod-2").with_flag("leave");
        let mut second = other.start("");
        until("the second process has partitions", || {
            second.must_run();
            second.text().contains("joined group")
        });
        app.progress(&client, &mut run);
        second.stop();
        app.progress(&client, &mut run);
        fired += run.fired().len();
        let log = run.stop();
        again += log.matches("a test refuses it; trying again").count();
        recovered += log.matches("a test refuses it; all partitions are recovered again").count();
    }
    let written = events.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    events::judge("seeks", written, &client.read(&app.output));
    println!(
        "seeks: {fired} failed in rebalances, {again} while partitions were started, {recovered} after; {written} events, each once"
    );
    assert!(fired >= 3, "{fired} failed");
}
