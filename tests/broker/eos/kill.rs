//! SIGKILL at every point of a batch, then at random moments, while lines keep coming.

use super::{
    Random,
    client::Client,
    foreach_batch::FUNCTION_KILLS,
    outputs::{FILE_KILLS, TABLE_KILLS},
    program::App,
    words::{Lines, Stream, judge, shortfalls, violations},
};
use crate::subject::bootstrap;
use std::{thread::sleep, time::Duration};

/// What happens to the local state before a start.
#[derive(Clone, Copy, PartialEq)]
enum State {
    InTurn,
    Lost,
}

/// Failpoints, of which the last one kills; the others bring the program there.
const KILLS: [(&str, State); 27] = [
    ("after-assignment=kill@1", State::InTurn),
    ("after-poll=kill@3", State::InTurn),
    ("during-compute=kill@2", State::InTurn),
    ("after-send=kill@9", State::InTurn),
    ("before-flush=kill@3", State::InTurn),
    ("after-flush=kill@2", State::InTurn),
    ("before-offsets=kill@2", State::InTurn),
    ("after-offsets=kill@3", State::InTurn),
    ("after-offsets=kill@1", State::InTurn),
    // While the end of the transaction is under way.
    ("after-offsets=kill-in:0@2", State::InTurn),
    ("after-offsets=kill-in:1@3", State::InTurn),
    ("after-offsets=kill-in:2@3", State::InTurn),
    ("after-offsets=kill-in:5@2", State::InTurn),
    ("after-commit=kill@2", State::InTurn),
    ("after-commit=kill@1", State::InTurn),
    ("before-apply=kill@3", State::InTurn),
    ("during-apply=kill@2", State::InTurn),
    ("during-apply=kill@7", State::InTurn),
    ("during-restore=kill@1", State::Lost),
    ("before-finish=kill@2", State::InTurn),
    ("after-apply=kill@2", State::InTurn),
    ("fail-flush=fail@2,during-abort=kill@1", State::InTurn),
    ("fail-flush=fail@2,after-drop=kill@1", State::InTurn),
    ("lose-request=fail@2,before-replace=kill@1", State::InTurn),
    ("lose-answer=fail@2,during-settle=kill@1", State::InTurn),
    ("lose-request=fail@2,after-apply=kill@4", State::InTurn),
    ("lose-answer=fail@2,after-apply=kill@4", State::InTurn),
];
const RANDOM_KILLS: u32 = 20;
/// What the log says about a partition whose state is rebuilt.
const RESTORE: &str = "restoring state from the changelog";

#[test]
fn kill_matrix() {
    let seed = Random::seed();
    eprintln!("kill_matrix: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut losses = 0;
    for (number, (failpoints, state)) in KILLS.iter().enumerate() {
        // Some batches first, so that there is something to lose.
        let mut before = app.start("");
        app.progress(&client, &mut before);
        let restores = before.text().lines().any(|l| l.contains(RESTORE) && l.contains("from=0 "));
        assert!(restores || number == 0, "the death before was not followed by a restore: {}", before.text());
        before.kill();
        if *state == State::Lost || number % 2 == 1 {
            app.lose_state();
            losses += 1;
        }
        // What this death leaves behind is recovered twice: first with the local state, by a program that dies at
        // the same point, then without it, in the next iteration.
        app.start(failpoints).dies_at_its_failpoint();
        if *state == State::Lost {
            app.lose_state();
        }
        app.start(failpoints).dies_at_its_failpoint();
        app.lose_state();
        losses += 1;
    }
    let mut last = app.start("during-shutdown=kill@1");
    app.progress(&client, &mut last);
    last.signal("TERM");
    last.dies_at_its_failpoint();
    for number in 0..RANDOM_KILLS {
        if number % 2 == 1 {
            app.lose_state();
        }
        let mut run = app.start("");
        // Half of them are killed while they start, however far they got; half while they work.
        if number % 4 < 2 {
            app.progress(&client, &mut run);
        }
        sleep(Duration::from_millis(50 + random.below(1450)));
        run.kill();
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!(
        "kill_matrix: {} kills at places, {} between, {RANDOM_KILLS} at random, {losses} with the state lost: {} words, {} counts, none lost, none twice",
        2 * KILLS.len() + 1,
        KILLS.len(),
        truth.len(),
        rows.len()
    );
}

/// Without transactions: points where a batch has taken effect in part.
const AT_LEAST_ONCE_KILLS: [&str; 8] = [
    "after-send=kill@9",
    "before-flush=kill@3",
    "after-flush=kill@2",
    "before-offsets=kill@3",
    "after-commit=kill@1",
    "after-commit=kill@3",
    "during-apply=kill@3",
    "after-apply=kill@2",
];

#[test]
fn at_least_once_loses_nothing() {
    let seed = Random::seed();
    eprintln!("at least once: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("guarantee", "at-least-once");
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for (number, failpoints) in AT_LEAST_ONCE_KILLS.iter().enumerate() {
        let mut before = app.start("");
        app.progress(&client, &mut before);
        before.kill();
        if number % 2 == 1 {
            app.lose_state();
        }
        app.start(failpoints).dies_at_its_failpoint();
        if number % 4 > 1 {
            app.lose_state();
        }
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let log = run.stop();
    assert!(log.contains("at least once"), "{log}");
    let rows = client.read(&app.output);
    let (wrong, repeated) = (shortfalls(&truth, &rows), violations(&truth, &rows).len());
    let first: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "seed {seed}: {} words, such as {first:#?}", wrong.len());
    println!(
        "at least once: {} kills, {} words, {} counts, none lost, {repeated} repeated",
        2 * AT_LEAST_ONCE_KILLS.len(),
        truth.len(),
        rows.len()
    );
}

#[test]
fn the_kill_matrix_has_every_place() {
    let points =
        KILLS.iter().map(|(points, _)| points).chain(&FILE_KILLS).chain(&TABLE_KILLS).chain(&FUNCTION_KILLS);
    let points: Vec<&&str> = points.collect();
    let killed = |place: &&&str| points.iter().any(|points| points.contains(&format!("{place}=kill")));
    let left: Vec<&&str> = tidegate::failpoint::PLACES.iter().filter(|p| !killed(p)).collect();
    assert_eq!(
        left,
        [&"during-shutdown", &"fail-flush", &"lose-request", &"lose-answer"],
        "the first is killed last"
    );
}
