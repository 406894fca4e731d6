//! Functions that take long, on a backlog that takes many times longer to compute than a transaction may be open and
//! than the client may go without a poll: everything is counted once, in one life, and probes and signals are
//! answered meanwhile.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, judge},
};
use crate::subject::bootstrap;

#[test]
fn a_backlog_for_a_slow_function_is_counted_in_one_life() {
    let seed = Random::seed();
    eprintln!("slow functions: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("test:slow_words", &client).with("pause-ms", "20");
    // A transaction of a second, and no more than six seconds between two polls; 1,000 lines take some 20 seconds.
    let app = app.with("transaction-timeout-ms", "1000").with("properties", "max.poll.interval.ms=6000");
    client.create(&format!("{}-seen", app.output), 1);
    let mut lines = Lines::new(&client, &app.input, seed);
    lines.write(1_000, 1);
    lines.flush();
    let truth = lines.truth;
    let mut run = app.start("");
    app.progress(&client, &mut run);
    assert_eq!(run.get("/livez").0, 200, "a slow function is alive");
    app.catch_up(&client, &mut run);
    let log = run.stop();
    assert!(!log.contains("given up") && !log.contains("MAXPOLL"), "nothing is computed twice:\n{log}");
    judge(&format!("seed {seed}"), &truth, &client.read(&app.output));
    assert_eq!(client.read(&format!("{}-seen", app.output)).len(), 1_000, "each line once");
}

#[test]
fn a_stop_does_not_wait_longer_than_it_may_and_loses_nothing() {
    let seed = Random::seed();
    let client = Client::new(&bootstrap());
    let app = App::new("test:slow_words", &client).with("pause-ms", "600000").with("stop-timeout-ms", "500");
    client.create(&format!("{}-seen", app.output), 1);
    let mut lines = Lines::new(&client, &app.input, seed);
    lines.write(10, 1);
    lines.flush();
    let truth = lines.truth;
    let mut run = app.start("");
    until("the function is running", || {
        run.must_run();
        run.text().contains("has been running for 10 s")
    });
    assert_eq!(run.get("/livez").0, 200);
    let log = run.stop();
    assert!(log.contains("stopping without waiting any longer for `map (made at"), "{log}");
    let app = app.with("pause-ms", "0");
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    judge(&format!("seed {seed}"), &truth, &client.read(&app.output));
    assert_eq!(client.read(&format!("{}-seen", app.output)).len(), 10, "each line once");
}
