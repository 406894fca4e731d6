//! Two processes with the same identity: the newer one works, the older one ends and says why.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::App,
    words::{Lines, Stream, judge, violations},
};
use crate::subject::bootstrap;
use std::{
    sync::atomic::{AtomicU64, Ordering},
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

/// Without state only the meta topic and the group know who is newer.
#[test]
fn the_older_process_of_a_stateless_instance_ends_with_code_5() {
    stateless("150");
}

/// The newer process finds a transaction open whenever it tries to initialize its producer, until the older one
/// leaves it a moment.
#[test]
fn an_older_process_with_a_transaction_always_open_ends_with_code_5() {
    stateless("0");
}

fn stateless(batch_interval_ms: &str) {
    let client = Client::new(&bootstrap());
    let older = App::new("filter_project", &client).with("batch-interval-ms", batch_interval_ms);
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

/// Two processes with the same identity, each restarted shortly after it ends, as supervisors do.
struct Supervised {
    begun: Instant,
    time: Duration,
    failpoints: &'static str,
    fired: AtomicU64,
}

impl Supervised {
    fn goes_on(&self) -> bool {
        self.begun.elapsed() < self.time
    }

    /// The exit codes of one of them.
    fn run(&self, app: &App, mut random: Random) -> Vec<i32> {
        let mut codes = vec![];
        while self.goes_on() {
            let mut run = app.start(self.failpoints);
            while run.is_running() && self.goes_on() {
                sleep(Duration::from_millis(20));
            }
            self.fired.fetch_add(run.fired().len() as u64, Ordering::Relaxed);
            if run.is_running() {
                run.kill();
                break;
            }
            codes.push(run.exit_code());
            sleep(Duration::from_millis(500 + random.below(2500)));
        }
        codes
    }
}

#[test]
fn two_supervised_processes_of_one_instance_make_progress_and_no_mistakes() {
    let wrong = supervised(Duration::from_secs(30), "");
    assert_eq!(wrong, Vec::<String>::new());
}

/// Neither gives way, so they expel each other from the group forever.
#[test]
fn an_older_process_that_does_not_give_way_is_detected() {
    assert!(!supervised(Duration::from_secs(15), "mutant-never-superseded=mutant").is_empty());
}

fn supervised(time: Duration, failpoints: &'static str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("supervised: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let twin = app.elsewhere();
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let both = Supervised { begun: Instant::now(), time, failpoints, fired: AtomicU64::new(0) };
    let mut marks = vec![];
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| both.run(&app, Random(seed)));
        let two = scope.spawn(|| both.run(&twin, Random(seed + 1)));
        while both.goes_on() {
            sleep(time / 5);
            marks.push(client.committed(&app.id, &app.input).values().sum::<i64>());
        }
        (one.join().unwrap(), two.join().unwrap())
    });
    let fired = both.fired.into_inner();
    assert_eq!(fired > 0, !failpoints.is_empty(), "{failpoints} acted {fired} times");
    let mut wrong = vec![];
    if one.iter().chain(&two).any(|code| *code != 5) {
        wrong.push(format!("exit codes {one:?} and {two:?}"));
    }
    if one.len() + two.len() < 4 {
        wrong.push(format!("they hardly gave way to each other: {one:?} and {two:?}"));
    }
    if marks.windows(2).filter(|w| w[1] > w[0]).count() < 2 {
        wrong.push(format!("no progress: {marks:?}"));
    }
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let rows = client.read(&app.output);
    wrong.extend(violations(&truth, &rows));
    println!(
        "supervised: {failpoints} fenced {} and {} times, committed {marks:?}; {} words, {} counts, {} violations, such as {:?}",
        one.len(),
        two.len(),
        truth.len(),
        rows.len(),
        wrong.len(),
        wrong.first()
    );
    wrong
}
