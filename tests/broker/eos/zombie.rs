//! Two processes of one identity: the newer one works, the older one ends and says why.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::App,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

#[test]
fn the_older_process_of_an_instance_ends_with_code_5() {
    let seed = Random::seed();
    eprintln!("zombie: seed {seed}");
    let client = Client::new(&bootstrap());
    let older = App::new("kafka_word_count", &client);
    let newer = older.elsewhere();
    let stream = Stream::start(Lines::new(&client, &older.input, seed));
    let mut first = older.start("");
    older.progress(&client, &mut first);
    let mut second = newer.start("");
    assert_eq!(first.exit_code(), 5, "{}", first.text());
    let text = first.text();
    for part in ["error: fenced", "`pod-1`", "writes nothing more", "next:"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    newer.progress(&client, &mut second);
    let truth = stream.finish();
    newer.catch_up(&client, &mut second);
    second.stop();
    let rows = client.read(&newer.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("zombie: the older process ended with 5; {} words, {} counts", truth.len(), rows.len());
}

/// Without state nothing but the meta topic and the group know who is newer.
#[test]
fn the_older_process_of_a_stateless_instance_ends_with_code_5() {
    let client = Client::new(&bootstrap());
    let older = App::new("filter_project", &client);
    let newer = older.elsewhere();
    let stream = Events::start(&client, &older.input);
    let mut first = older.start("");
    older.progress(&client, &mut first);
    let mut second = newer.start("");
    assert_eq!(first.exit_code(), 5, "{}", first.text());
    for part in ["error: fenced", "`pod-1`", "writes nothing more", "next:"] {
        assert!(first.text().contains(part), "`{part}` is not in:\n{}", first.text());
    }
    newer.progress(&client, &mut second);
    let written = stream.finish();
    newer.catch_up(&client, &mut second);
    second.stop();
    events::judge("stateless zombie", written, &client.read(&newer.output));
    println!("stateless zombie: the older process ended with 5; {written} events, each once");
}

const SUPERVISED: Duration = Duration::from_secs(30);

/// Starts the program again and again, each time a little after its end, as a supervisor does; the exit codes.
fn supervise(app: &App, begun: Instant, mut random: Random) -> Vec<i32> {
    let mut codes = vec![];
    while begun.elapsed() < SUPERVISED {
        let mut run = app.start("");
        while run.is_running() && begun.elapsed() < SUPERVISED {
            sleep(Duration::from_millis(20));
        }
        if run.is_running() {
            run.kill();
            break;
        }
        codes.push(run.exit_code());
        sleep(Duration::from_millis(500 + random.below(2500)));
    }
    codes
}

#[test]
fn two_supervised_processes_of_one_instance_make_progress_and_no_mistake() {
    let seed = Random::seed();
    eprintln!("supervised: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let twin = app.elsewhere();
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let begun = Instant::now();
    let mut marks = vec![];
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| supervise(&app, begun, Random(seed)));
        let two = scope.spawn(|| supervise(&twin, begun, Random(seed + 1)));
        while begun.elapsed() < SUPERVISED {
            sleep(SUPERVISED / 5);
            marks.push(client.committed(&app.id, &app.input).values().sum::<i64>());
        }
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(one.iter().chain(&two).all(|code| *code == 5), "exit codes {one:?} and {two:?}");
    assert!(one.len() + two.len() >= 4, "they hardly met: {one:?} and {two:?}");
    assert!(marks.windows(2).filter(|w| w[1] > w[0]).count() >= 2, "no progress: {marks:?}");
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!(
        "supervised: fenced {} and {} times, committed {marks:?}; {} words, {} counts, none lost, none twice",
        one.len(),
        two.len(),
        truth.len(),
        rows.len()
    );
}
