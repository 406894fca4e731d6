//! Streaming SQL: an aggregate and an aggregate of it, and an outer join of two aggregates, killed at places of a batch and between, by one
//! process and by two.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Lines, Stream, Truth, judge},
};
use crate::subject::bootstrap;
use std::{thread::sleep, time::Duration};

/// Failpoints that kill, and whether the local state is lost before the next start.
const KILLS: [(&str, bool); 9] = [
    ("during-compute=kill@2", false),
    ("after-send=kill@9", true),
    ("before-flush=kill@3", false),
    ("after-offsets=kill@3", true),
    ("after-offsets=kill-in:1@3", false),
    ("after-commit=kill@2", false),
    ("during-apply=kill@2", true),
    ("lose-request=fail@2,before-replace=kill@1", false),
    ("lose-answer=fail@2,during-settle=kill@1", true),
];
const RANDOM_KILLS: u32 = 6;

fn app(client: &Client) -> App {
    let app = App::new("test:sql_word_count", client);
    client.create(&format!("{}-totals", app.output), 2);
    app
}

/// The counts, and the last sums over them.
fn is_right(client: &Client, app: &App, truth: &Truth, what: &str) {
    judge(what, truth, &client.read(&app.output));
    let totals = client.read(&format!("{}-totals", app.output));
    let last = totals.last().unwrap_or_else(|| panic!("{what}: no sums"));
    let (words, n) = (truth.len(), truth.values().sum::<u64>());
    assert_eq!(last.key, "{\"kind\":\"all\"}", "{what}");
    assert_eq!(last.value, format!("{{\"kind\":\"all\",\"words\":{words},\"n\":{n}}}"), "{what}");
}

#[test]
fn counts_and_sums_over_them_are_exact_whatever_is_killed() {
    let seed = Random::seed();
    eprintln!("sql: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = app(&client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for (failpoints, is_lost) in KILLS {
        let mut before = app.start("");
        app.progress(&client, &mut before);
        before.kill();
        if is_lost {
            app.lose_state();
        }
        app.start(failpoints).dies_at_its_failpoint();
    }
    for number in 0..RANDOM_KILLS {
        if number % 2 == 1 {
            app.lose_state();
        }
        let mut run = app.start("");
        if number % 4 < 2 {
            app.progress(&client, &mut run);
        }
        sleep(Duration::from_millis(50 + random.below(1_450)));
        run.kill();
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    is_right(&client, &app, &truth, &format!("seed {seed}"));
}

/// The counts, and the last sums over them and over those of frequent words.
fn is_joined_right(client: &Client, app: &App, truth: &Truth, what: &str) {
    judge(what, truth, &client.read(&app.output));
    let totals = client.read(&format!("{}-totals", app.output));
    let last = totals.last().unwrap_or_else(|| panic!("{what}: no sums"));
    let frequent: Vec<u64> = truth.values().copied().filter(|n| *n > 100).collect();
    assert!(!frequent.is_empty(), "{what}: no word is frequent");
    let (words, n) = (truth.len(), truth.values().sum::<u64>());
    let (count, m) = (frequent.len(), frequent.iter().sum::<u64>());
    let expected = format!("{{\"kind\":\"all\",\"words\":{words},\"n\":{n},\"frequent\":{count},\"m\":{m}}}");
    assert_eq!(last.value, expected, "{what}");
}

#[test]
fn an_outer_join_is_exact_whatever_is_killed() {
    let seed = Random::seed();
    eprintln!("sql: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = App::new("test:sql_outer_join", &client);
    client.create(&format!("{}-totals", app.output), 2);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for (failpoints, is_lost) in KILLS.into_iter().step_by(2) {
        let mut before = app.start("");
        app.progress(&client, &mut before);
        before.kill();
        if is_lost {
            app.lose_state();
        }
        app.start(failpoints).dies_at_its_failpoint();
    }
    for number in 0..RANDOM_KILLS {
        if number % 2 == 1 {
            app.lose_state();
        }
        let mut run = app.start("");
        if number % 4 < 2 {
            app.progress(&client, &mut run);
        }
        sleep(Duration::from_millis(50 + random.below(1_450)));
        run.kill();
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    is_joined_right(&client, &app, &truth, &format!("seed {seed}"));
}

#[test]
fn two_processes_share_the_state_of_a_script_and_one_of_them_dies() {
    let seed = Random::seed();
    eprintln!("sql: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let client = Client::new(&bootstrap());
    let first = app(&client);
    let second = first.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &first.input, seed));
    let mut alone = first.start("");
    first.progress(&client, &mut alone);
    let mut joined = second.start("");
    until_shared(&client, &first);
    first.progress(&client, &mut alone);
    alone.kill();
    second.progress(&client, &mut joined);
    let mut again = first.start("");
    first.progress(&client, &mut again);
    let truth = stream.finish();
    second.catch_up(&client, &mut joined);
    again.stop();
    joined.stop();
    // What a process that stops leaves open, the next one closes.
    let mut last = first.start("");
    first.catch_up(&client, &mut last);
    super::until("the sums are those of all lines", || {
        let n = truth.values().sum::<u64>();
        let totals = client.read(&format!("{}-totals", first.output));
        totals.last().is_some_and(|row| row.value.ends_with(&format!("\"n\":{n}}}")))
    });
    last.stop();
    is_right(&client, &first, &truth, &format!("seed {seed}"));
}

/// Both processes are members of the group.
fn until_shared(client: &Client, app: &App) {
    super::until("two processes are in the group", || client.members(&app.id).len() >= 2);
}
