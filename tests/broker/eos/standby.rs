//! A program with state in two processes: one computes, the other stands by and takes over.

use super::{
    Random,
    client::Client,
    program::{App, Run},
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;

/// A program whose state one process has.
fn alone(client: &Client) -> App {
    App::new("kafka_word_count", client).with("exchange", "memory")
}

fn stands_by(run: &mut Run, for_whom: &str) {
    until("it stands by", || {
        run.must_run();
        run.text().contains("http://") && run.get("/readyz").1.contains("\"standby\"")
    });
    let (status, ready) = run.get("/readyz");
    assert_eq!(status, 200, "{ready}");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert!(
        ready["phase"]["owner"].as_str().unwrap().starts_with(&format!("instance `{for_whom}` at ")),
        "{ready}"
    );
    assert!(ready["notice"].as_str().unwrap().contains("takes over when that one ends"), "{ready}");
    let text = run.text();
    let warned = text.lines().find(|line| line.contains("this one stands by")).unwrap();
    assert!(warned.contains("WARN") && warned.contains(for_whom), "{warned}");
    assert_eq!(run.checkpoints("committed"), 0);
}

#[test]
fn a_second_process_stands_by_until_the_first_ends() {
    let seed = Random::seed();
    eprintln!("standby: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = alone(&client);
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut first = app.start("");
    app.progress(&client, &mut first);
    let mut second = other.start("");
    stands_by(&mut second, "pod-1");
    for _ in 0..3 {
        app.progress(&client, &mut first);
    }
    assert_eq!(client.members(&app.id).len(), 1, "it is not in the group");
    first.until_ready(true);
    // A restart within the session gives it back to the first.
    first.stop();
    let mut first = app.start("");
    app.progress(&client, &mut first);
    stands_by(&mut second, "pod-1");
    first.kill();
    app.progress(&client, &mut second);
    let mut first = app.start("");
    stands_by(&mut first, "pod-2");
    let truth = stream.finish();
    app.catch_up(&client, &mut second);
    second.stop();
    first.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("standby: took over after a kill; {} words, {} counts", truth.len(), rows.len());
}

/// Both have found the group empty before either joins: the earlier claim decides.
#[test]
fn of_two_that_start_at_once_exactly_one_computes() {
    let seed = Random::seed();
    eprintln!("two at once: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = alone(&client);
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut runs = [app.start("before-join=hold"), other.start("before-join=hold")];
    runs.iter_mut().for_each(|run| run.until_fired("before-join"));
    runs.iter().for_each(Run::go_on);
    until("one of them computes, and the other stands by", || {
        runs.iter_mut().for_each(Run::must_run);
        let [one, other] =
            [&runs[0], &runs[1]].map(|run| (run.checkpoints("committed") > 0, run.get("/readyz").1));
        let is_standby = |(_, ready): &(bool, String)| ready.contains("\"standby\"");
        (one.0 && is_standby(&other)) || (other.0 && is_standby(&one))
    });
    let owner = usize::from(runs[1].checkpoints("committed") > 0);
    app.progress(&client, &mut runs[owner]);
    assert_eq!(runs[1 - owner].checkpoints("committed"), 0);
    let truth = stream.finish();
    app.catch_up(&client, &mut runs[owner]);
    runs.into_iter().for_each(|run| drop(run.stop()));
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("two at once: one computed; {} words, {} counts", truth.len(), rows.len());
}

/// The second found the group empty, then the first started: the second joins, notices, and leaves.
#[test]
fn one_that_joins_by_mistake_leaves_the_first_alone() {
    let seed = Random::seed();
    eprintln!("joined by mistake: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = alone(&client);
    let other = app.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut second = other.start("before-join=hold");
    second.until_fired("before-join");
    let mut first = app.start("");
    app.progress(&client, &mut first);
    second.go_on();
    until("the second has joined and left again", || {
        first.must_run();
        second.must_run();
        second.text().contains("was first to claim the state")
    });
    stands_by(&mut second, "pod-1");
    for _ in 0..3 {
        app.progress(&client, &mut first);
    }
    let truth = stream.finish();
    app.catch_up(&client, &mut first);
    first.stop();
    second.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("joined by mistake: the first went on; {} words, {} counts", truth.len(), rows.len());
}
