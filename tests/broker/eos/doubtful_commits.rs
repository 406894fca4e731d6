//! Real commits of unknown outcome: a program that sleeps through its transaction, a broker that dies or sleeps
//! during a commit.

use super::{
    Random,
    client::Client,
    program::{App, Run},
    until,
    words::{Lines, Stream, judge},
};
use crate::{kafka::Kafka, subject::bootstrap};
use std::{thread::sleep, time::Duration};

/// What must have become of a commit, according to the program's own counts.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Unknown,
    UnknownOrAborted,
    /// Unknown at first, then recognized as aborted by its token.
    Aborted,
}

/// A program, its input, and the fault it meets.
struct World<'a> {
    what: &'a str,
    seed: u64,
    client: Client,
    app: App,
    stream: Stream,
}

impl<'a> World<'a> {
    /// A program with this session timeout.
    fn new(what: &'a str, bootstrap: &str, session_ms: &str) -> World<'a> {
        let seed = Random::seed();
        eprintln!("{what}: seed {seed}");
        let client = Client::new(bootstrap);
        let app = App::new("kafka_word_count", &client).with("session-timeout-ms", session_ms);
        let stream = Stream::start(Lines::new(&client, &app.input, seed));
        World { what, seed, client, app, stream }
    }

    /// A program that has stopped itself at the failpoint.
    fn stopped(&self, failpoint: &str) -> Run {
        let mut run = self.app.start(failpoint);
        let place = failpoint.split('=').next().unwrap();
        until(&format!("the program stops at {place}"), || {
            run.must_run();
            run.is_stopped()
        });
        assert_eq!(run.fired(), [place]);
        run
    }

    fn finish(self, mut run: Run, outcome: Outcome) {
        let World { what, seed, client, app, stream } = self;
        app.progress(&client, &mut run);
        let truth = stream.finish();
        app.catch_up(&client, &mut run);
        let (unknown, aborted) = (run.checkpoints("unknown"), run.checkpoints("aborted"));
        let fired = match outcome {
            Outcome::Unknown => unknown,
            Outcome::UnknownOrAborted => unknown + aborted,
            Outcome::Aborted => unknown.min(aborted),
        };
        let log = run.log.display();
        assert!(fired > 0, "{what}: {unknown} commits were unknown, {aborted} aborted; log: {log}");
        let log = run.stop();
        let mut settled = log.lines().filter(|line| line.contains("settled by its token"));
        let is_found = settled.any(|line| line.contains("committed=false"));
        assert!(outcome != Outcome::Aborted || is_found, "{what}: no token was found missing:\n{log}");
        let rows = client.read(&app.output);
        judge(&format!("{what}, seed {seed}"), &truth, &rows);
        println!(
            "{what}: {unknown} unknown and {aborted} aborted commits, {} words, {} counts, none lost, none twice",
            truth.len(),
            rows.len()
        );
    }
}

fn a_program_that_sleeps(what: &str, failpoints: &str, session_ms: &str, outcome: Outcome) {
    let world = World::new(what, &bootstrap(), session_ms);
    let run = world.stopped(failpoints);
    // Longer than the transaction's 6 s; when the coordinator scans is up to it.
    sleep(Duration::from_secs(8));
    world.client.until_decided(&world.app.output);
    run.signal("CONT");
    world.finish(run, outcome);
}

#[test]
fn a_program_sleeps_through_its_transaction() {
    let what = "asleep in a batch, still a member";
    a_program_that_sleeps(what, "after-send=stop@30", "30000", Outcome::UnknownOrAborted);
}

#[test]
fn a_program_sleeps_through_its_transaction_and_its_membership() {
    let what = "asleep in a batch, expelled";
    a_program_that_sleeps(what, "after-send=stop@30", "6000", Outcome::UnknownOrAborted);
}

/// Outputs and offsets are with the broker, so it is the broker that has a transaction to abort; and it has done so
/// before the program continues, as nothing is open any more. The program learns so little that only the token can
/// tell it the outcome; while it is a member, this is checked.
#[test]
fn a_program_sleeps_in_its_commit() {
    let what = "asleep before the end of the transaction";
    a_program_that_sleeps(what, "after-offsets=stop@5", "30000", Outcome::Aborted);
    let what = "asleep before the end of the transaction, expelled";
    a_program_that_sleeps(what, "after-offsets=stop@5", "6000", Outcome::UnknownOrAborted);
}

/// `meanwhile` begins with the program stopped at the failpoint, so that the broker goes away before the program
/// continues.
fn a_broker_that_goes(
    what: &str,
    failpoint: &str,
    outcome: Outcome,
    meanwhile: impl FnOnce(&mut Kafka, &mut Run),
) {
    let mut kafka = Kafka::start();
    let world = World::new(what, &kafka.bootstrap(), "6000");
    let mut run = world.stopped(failpoint);
    meanwhile(&mut kafka, &mut run);
    world.finish(run, outcome);
}

/// The program gives up ending a transaction after its timeout of 6 s and 10 s more.
fn until_it_gives_up(run: &mut Run) {
    run.signal("CONT");
    until("the outcome of a commit is unknown", || {
        run.must_run();
        run.checkpoints("unknown") > 0
    });
}

#[test]
fn the_broker_dies_before_the_end_of_the_transaction() {
    a_broker_that_goes(
        "broker killed in a commit",
        "after-offsets=stop@5",
        Outcome::Unknown,
        |kafka, run| {
            kafka.kill9();
            until_it_gives_up(run);
            let why = run.until_ready(false);
            assert!(why.contains("the log cannot be reached"), "{why}");
            kafka.restart();
            run.until_ready(true);
        },
    );
}

#[test]
fn the_broker_sleeps_in_a_commit() {
    a_broker_that_goes(
        "broker asleep in a commit",
        "after-offsets=stop@5",
        Outcome::Unknown,
        |kafka, run| {
            // The request to commit will lie in the socket of a sleeping broker, and be read when it wakes up.
            kafka.stop_signal();
            until_it_gives_up(run);
            kafka.cont_signal();
        },
    );
}

#[test]
fn the_broker_sleeps_in_a_batch() {
    let either = Outcome::UnknownOrAborted;
    a_broker_that_goes("broker asleep in a batch", "after-send=stop@30", either, |kafka, run| {
        kafka.stop_signal();
        run.signal("CONT");
        sleep(Duration::from_secs(9));
        kafka.cont_signal();
    });
}

/// The library waits without a limit for a coordinator of the group that is gone, whatever it was told.
#[test]
fn offsets_that_the_library_never_sends_are_given_up() {
    let world = World::new("offsets never sent", &bootstrap(), "6000");
    let mut run = world.app.start("during-offsets=sleep:3600000@5");
    run.until_fired("during-offsets");
    world.app.progress(&world.client, &mut run);
    assert!(run.text().contains("the client library has not sent the offsets"), "{}", run.text());
    let World { what, seed, client, app, stream } = world;
    let truth = stream.finish();
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("{what}, seed {seed}"), &truth, &rows);
    println!("{what}: a new producer took over, {} words, none lost, none twice", truth.len());
}
