//! SIGTERM: the batch in flight is finished and nothing is lost; a second one ends the program at once.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;
use std::{thread::sleep, time::Duration};

#[test]
fn a_program_ends_cleanly_and_resumes() {
    let seed = Random::seed();
    eprintln!("shutdown: seed {seed}");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for number in 0..5 {
        let mut run = app.start("");
        app.progress(&client, &mut run);
        sleep(Duration::from_millis(random.below(400)));
        let log = run.stop();
        assert!(log.contains("ending after the batch in flight"), "{log}");
        let restored = log.contains("restoring state from the changelog");
        assert!(number == 0 || !restored, "after a clean end nothing is restored:\n{log}");
    }
    // A program that is told to end while it starts has nothing to finish.
    let mut early = app.start("after-assignment=sleep:500@1");
    early.until_fired("after-assignment");
    early.signal("TERM");
    assert_eq!(early.exit_code(), 0, "{}", early.text());
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("shutdown: 7 clean ends, {} words, {} counts, none lost, none twice", truth.len(), rows.len());
}

#[test]
fn a_second_signal_ends_at_once() {
    let seed = Random::seed();
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let mut run = app.start("before-flush=sleep:120000@3");
        run.until_fired("before-flush");
        run.signal(first);
        until("the first signal is seen", || run.text().contains("signal again to end at once"));
        run.must_run();
        run.signal(second);
        assert_eq!(run.exit_code(), 130, "{}", run.text());
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("a second signal ends at once with 130; {} words, {} counts", truth.len(), rows.len());
}
