//! A process dies with its transaction open, which the log would end only after ten minutes: who takes its partitions over ends it.

use super::{
    Random,
    client::Client,
    events::{Events, judge as judge_events},
    program::App,
    shared_state::everything_is_counted,
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;

const TIMEOUT_MS: &str = "600000";
const ENDED: &str = "process `pod-2` is gone: what it may have left open is ended";

#[test]
fn what_a_process_with_state_has_left_open_is_ended_by_who_takes_its_partitions_over() {
    let seed = Random::seed();
    eprintln!("gone: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client)
        .with("transaction-timeout-ms", TIMEOUT_MS)
        .with("exchange", "shared");
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut first = app.start("");
    app.progress(&client, &mut first);
    let second = other.start("after-flush=kill@30");
    second.dies_at_its_failpoint();
    until("the other one takes over", || {
        first.must_run();
        first.text().contains(ENDED)
    });
    app.progress(&client, &mut first);
    let truth = stream.finish();
    everything_is_counted(&client, &app.output, &truth, std::slice::from_mut(&mut first));
    first.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("gone: {} words, {} counts, each once", truth.len(), rows.len());
}

#[test]
fn what_a_process_without_state_has_left_open_is_ended_by_who_takes_its_partitions_over() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client).with("transaction-timeout-ms", TIMEOUT_MS);
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Events::start(&client, &app.input);
    let mut first = app.start("");
    app.progress(&client, &mut first);
    let second = other.start("after-flush=kill@10");
    second.dies_at_its_failpoint();
    until("the other one takes over", || {
        first.must_run();
        first.text().contains(ENDED)
    });
    let written = stream.finish();
    app.catch_up(&client, &mut first);
    first.stop();
    judge_events("gone", written, &client.read(&app.output));
}
