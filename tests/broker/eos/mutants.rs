//! The judge of the kill tests can fail: it detects programs that are deliberately wrong.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Lines, Stream, violations},
};
use crate::subject::bootstrap;

/// Runs the program to its death at the failpoints, twice, then normally; returns what the judge finds.
fn found(failpoints: &str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("{failpoints}: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for _ in 0..2 {
        let mut before = app.start("");
        app.progress(&client, &mut before);
        before.kill();
        let mut wrong = app.start(failpoints);
        wrong.end();
        for point in failpoints.split(',') {
            let place = point.split('=').next().unwrap();
            assert!(wrong.fired().iter().any(|f| f == place), "{place} did not fire:\n{}", wrong.text());
        }
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let wrong = violations(&truth, &client.read(&app.output));
    println!("{failpoints}: {} violations, such as {:?}", wrong.len(), wrong.first());
    wrong
}

#[test]
fn without_a_mutant_the_judge_finds_nothing() {
    assert_eq!(found("after-offsets=kill@3"), Vec::<String>::new());
}

#[test]
fn state_that_is_written_before_the_commit_is_detected() {
    assert!(!found("mutant-apply-before-commit=mutant,after-offsets=kill@3").is_empty());
}

#[test]
fn offsets_that_are_committed_outside_the_transaction_are_detected() {
    assert!(!found("mutant-offsets-outside=mutant,after-offsets=kill@4").is_empty());
}

#[test]
fn a_doubtful_commit_that_is_taken_for_aborted_is_detected() {
    assert!(!found("mutant-doubt-means-aborted=mutant,lose-answer=fail@3,after-apply=kill@5").is_empty());
}

#[test]
fn a_doubtful_commit_that_is_taken_for_committed_is_detected() {
    assert!(!found("mutant-doubt-means-committed=mutant,lose-request=fail@3,after-apply=kill@5").is_empty());
}
