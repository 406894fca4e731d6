//! Commits of unknown outcome for real: a program that sleeps through its transaction, a broker that dies or sleeps in a commit.

use super::{
    Random,
    client::Client,
    program::{App, Run},
    until,
    words::{Lines, Stream, judge},
};
use crate::{kafka::Kafka, subject::bootstrap};
use std::{thread::sleep, time::Duration};

fn finish(what: &str, seed: u64, client: &Client, app: &App, mut run: Run, stream: Stream) {
    let truth = stream.finish();
    app.catch_up(client, &mut run);
    let (unknown, aborted) = (run.checkpoints("unknown"), run.checkpoints("aborted"));
    assert!(unknown + aborted > 0, "{what}: no commit was in doubt; log: {}", run.log.display());
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("{what}, seed {seed}"), &truth, &rows);
    println!(
        "{what}: {unknown} unknown and {aborted} aborted commits, {} words, {} counts, none lost, none twice",
        truth.len(),
        rows.len()
    );
}

fn a_program_that_sleeps(what: &str, failpoints: &str, session_ms: &str) {
    let seed = Random::seed();
    eprintln!("{what}: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("session-timeout-ms", session_ms);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut run = app.start(failpoints);
    let place = failpoints.split('=').next().unwrap();
    until(&format!("the program stops at {place}"), || {
        run.must_run();
        run.is_stopped()
    });
    assert_eq!(run.fired(), [place]);
    // Longer than the transaction's 6 s; the coordinator's scan comes when it comes.
    sleep(Duration::from_secs(8));
    client.until_decided(&app.output);
    run.signal("CONT");
    app.progress(&client, &mut run);
    finish(what, seed, &client, &app, run, stream);
}

#[test]
fn a_program_sleeps_through_its_transaction() {
    a_program_that_sleeps("asleep in a batch, still a member", "after-send=stop@30", "30000");
}

#[test]
fn a_program_sleeps_through_its_transaction_and_its_membership() {
    a_program_that_sleeps("asleep in a batch, expelled", "after-send=stop@30", "6000");
}

#[test]
fn a_program_sleeps_in_its_commit() {
    a_program_that_sleeps("asleep before the end of the transaction", "after-offsets=stop@5", "30000");
    a_program_that_sleeps(
        "asleep before the end of the transaction, expelled",
        "after-offsets=stop@5",
        "6000",
    );
}

fn a_broker_that_goes(what: &str, failpoint: &str, meanwhile: impl FnOnce(&mut Kafka)) {
    let seed = Random::seed();
    eprintln!("{what}: seed {seed}");
    let mut kafka = Kafka::start();
    let client = Client::new(&kafka.bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut run = app.start(failpoint);
    run.until_fired(failpoint.split('=').next().unwrap());
    meanwhile(&mut kafka);
    app.progress(&client, &mut run);
    finish(what, seed, &client, &app, run, stream);
}

/// Longer than the program tries to end a transaction: its timeout of 6 s and 10 s more.
const OVER_THE_COMMIT: Duration = Duration::from_secs(22);

#[test]
fn the_broker_dies_before_the_end_of_the_transaction() {
    a_broker_that_goes("broker killed in a commit", "after-offsets=sleep:2000@5", |kafka| {
        kafka.kill9();
        sleep(OVER_THE_COMMIT);
        kafka.restart();
    });
}

#[test]
fn the_broker_sleeps_in_a_commit() {
    a_broker_that_goes("broker asleep in a commit", "after-offsets=sleep:2000@5", |kafka| {
        // The request to commit will lie in the socket of a broker that sleeps, and be read when it wakes up.
        kafka.stop_signal();
        sleep(OVER_THE_COMMIT);
        kafka.cont_signal();
    });
}

#[test]
fn the_broker_sleeps_in_a_batch() {
    a_broker_that_goes("broker asleep in a batch", "after-send=sleep:2000@30", |kafka| {
        kafka.stop_signal();
        sleep(Duration::from_secs(9));
        kafka.cont_signal();
    });
}
