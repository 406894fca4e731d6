//! Windows over batch times: SIGKILL while lines keep coming, with the state kept and deleted.
//!
//! Which batch a line falls into is chance, so the judge needs no clock: it looks at everything that one instant
//! emits. Each line has a word of its own, so the words of an instant name the lines that its window covers; all
//! other counts must be the sums over exactly these lines, and within each input partition the lines must be
//! consecutive. Three programs with an inverse read the same lines: a window so long that nothing leaves it, which
//! must end with all lines; one that slides; one that tumbles, in which no line may occur twice. All output goes to
//! one partition, so the rows of an instant are those of one transaction: the marker that ends it takes an offset.

use super::{
    Random,
    client::{Client, Row},
    program::App,
    until,
    words::{Lines, Stream, Truth},
};
use crate::{contract::unique, subject::bootstrap};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{collections::BTreeMap, thread::sleep, time::Duration};

const PARTITIONS: usize = 4;
const KILLS: [&str; 7] = [
    "after-poll=kill@3",
    "after-offsets=kill@3",
    "after-offsets=kill-in:1@4",
    "after-commit=kill@3",
    "before-apply=kill@3",
    "during-apply=kill@6",
    "fail-flush=fail@2,after-apply=kill@4",
];
const RANDOM_KILLS: u32 = 10;
/// After every four lines; each instant emits all words of its window once more, so many lines mean much output.
const WRITING_PAUSE: Duration = Duration::from_millis(60);

/// What one instant emitted.
type Given = BTreeMap<String, u64>;

/// A program with this window whose output has one partition.
fn app(client: &Client, window_ms: u64, slide_ms: u64) -> App {
    let mut app = App::new("windowed_word_count", client)
        .with("window-ms", &window_ms.to_string())
        .with("slide-ms", &slide_ms.to_string());
    app.output = unique("eos-given");
    client.create(&app.output, 1);
    app
}

/// The rows of each transaction.
fn given(rows: &[Row]) -> Vec<Given> {
    let transactions = rows.chunk_by(|a, b| a.offset + 1 == b.offset);
    let counts = |rows: &[Row]| rows.iter().map(|r| (r.key.clone(), r.value.parse().unwrap())).collect();
    let given: Vec<Given> = transactions.map(counts).collect();
    assert_eq!(given.iter().map(Given::len).sum::<usize>(), rows.len(), "an instant gave a word twice");
    given
}

/// The lines that a stream of this seed has written, by number.
fn lines(seed: u64, truth: &Truth) -> Vec<String> {
    let mut random = Random(seed);
    let count = truth.keys().filter(|word| word.starts_with("only-")).count();
    (0..count).map(|number| Lines::line(&mut random, number as u64)).collect()
}

/// The numbers of the lines that an instant covers, by input partition.
fn covered(given: &Given) -> [Vec<usize>; PARTITIONS] {
    let mut covered: [Vec<usize>; PARTITIONS] = Default::default();
    for number in given.keys().filter_map(|word| word.strip_prefix("only-")?.parse::<usize>().ok()) {
        covered[number % PARTITIONS].push(number);
    }
    covered.iter_mut().for_each(|numbers| numbers.sort_unstable());
    covered
}

/// All violations in what the instants emitted, in their order. With `tumbling` no line may be covered twice.
fn violations(lines: &[String], given: &[Given], tumbling: bool) -> Vec<String> {
    let mut wrong = vec![];
    let mut before: [Option<(usize, usize)>; PARTITIONS] = [None; PARTITIONS];
    for (instant, given) in given.iter().enumerate() {
        let covered = covered(given);
        for (partition, numbers) in covered.iter().enumerate() {
            let gap = numbers.windows(2).find(|pair| pair[0] + PARTITIONS != pair[1]);
            wrong.extend(gap.map(|pair| format!("instant {instant}: nothing between the lines {pair:?}")));
            let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { continue };
            if let Some((first_before, last_before)) = before[partition].replace((*first, *last)) {
                let back = *first < first_before || *last < last_before || tumbling && *first <= last_before;
                if back {
                    let was = (first_before, last_before);
                    wrong.push(format!("instant {instant}: lines {first} to {last} after {was:?}"));
                }
            }
        }
        let mut expected = Given::new();
        for number in covered.iter().flatten() {
            let Some(line) = lines.get(*number) else {
                wrong.push(format!("instant {instant}: nobody wrote line {number}"));
                continue;
            };
            line.split(' ').for_each(|word| *expected.entry(word.to_owned()).or_default() += 1);
        }
        let counted = given.iter().filter(|(word, _)| !word.starts_with("beat-"));
        for (word, count) in counted.clone().filter(|(word, count)| expected.get(*word) != Some(count)) {
            let expected = expected.get(word);
            wrong.push(format!("instant {instant}: {word} {count} times, in its lines {expected:?}"));
        }
        let missing = expected.keys().filter(|word| !given.contains_key(*word));
        wrong.extend(missing.map(|word| format!("instant {instant}: {word} is missing")));
    }
    wrong
}

fn judge(what: &str, wrong: &[String]) {
    let first: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{what}: {} violations, such as {first:#?}", wrong.len());
}

/// Writes a line that the judge ignores, so that time advances in the program.
fn beat(client: &Client, topic: &str, number: u32) {
    let producer: BaseProducer = client.config().create().unwrap();
    let line = format!("beat-{number}");
    producer.send(BaseRecord::<(), _>::to(topic).payload(&line).partition(0)).map_err(|(e, _)| e).unwrap();
    until("the beat is written", || {
        let _ = producer.flush(Duration::from_secs(1));
        producer.in_flight_count() == 0
    });
}

/// Lets the program emit windows until one has nothing but beats; returns everything emitted.
fn until_all_has_left(client: &Client, app: &App) -> Vec<Given> {
    let (mut all, mut beats) = (vec![], 0);
    until(&format!("everything leaves the window of {}", app.id), || {
        beat(client, &app.input, beats);
        beats += 1;
        sleep(Duration::from_millis(500));
        all = given(&client.read(&app.output));
        all.last().is_some_and(|last: &Given| last.keys().all(|word| word.starts_with("beat-")))
    });
    all
}

#[test]
fn windowed_word_counts_are_killed() {
    let seed = Random::seed();
    eprintln!("windowed_word_counts_are_killed: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed ^ 1));
    let mut apps = [(3_600_000, 1_200), (3_000, 600), (600, 600)].map(|(w, s)| app(&client, w, s));
    let input = apps[0].input.clone();
    apps.iter_mut().for_each(|app| app.input.clone_from(&input));
    let stream = Stream::start_with(Lines::new(&client, &input, seed), WRITING_PAUSE);
    let mut losses = 0;
    for (number, failpoints) in KILLS.iter().enumerate() {
        let mut before = apps.each_ref().map(|app| app.start(""));
        apps.iter().zip(&mut before).for_each(|(app, run)| app.progress(&client, run));
        before.into_iter().for_each(super::program::Run::kill);
        if number % 2 == 1 {
            apps.iter().for_each(App::lose_state);
            losses += 1;
        }
        let wrong = apps.each_ref().map(|app| app.start(failpoints));
        wrong.into_iter().for_each(super::program::Run::dies_at_its_failpoint);
    }
    for number in 0..RANDOM_KILLS {
        if number % 3 == 2 {
            apps.iter().for_each(App::lose_state);
            losses += 1;
        }
        let runs = apps.each_ref().map(|app| app.start(""));
        sleep(Duration::from_millis(50 + random.below(2_000)));
        runs.into_iter().for_each(super::program::Run::kill);
    }
    let lines = lines(seed, &stream.finish());
    let [everything, sliding, tumbling] = &apps;

    let mut run = everything.start("");
    everything.catch_up(&client, &mut run);
    let mut all = vec![];
    until("an instant covers all lines", || {
        all = given(&client.read(&everything.output));
        all.last().is_some_and(|last| covered(last).concat().len() == lines.len())
    });
    run.stop();
    judge(&format!("seed {seed}, everything"), &violations(&lines, &all, false));

    for (app, tumbles) in [(sliding, false), (tumbling, true)] {
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        let all = until_all_has_left(&client, app);
        run.stop();
        judge(&format!("seed {seed}, tumbling {tumbles}"), &violations(&lines, &all, tumbles));
        let seen: Vec<usize> = all.iter().flat_map(|given| covered(given).concat()).collect();
        let distinct: std::collections::BTreeSet<&usize> = seen.iter().collect();
        println!(
            "windowed_word_count, tumbling {tumbles}: {} instants cover {} of {} lines, {} times",
            all.len(),
            distinct.len(),
            lines.len(),
            seen.len()
        );
        assert!(all.len() > KILLS.len(), "{} instants are too few for a test", all.len());
    }
    println!(
        "windowed_word_count: {} kills at places, {RANDOM_KILLS} at random, {losses} with the state lost, of three programs: {} lines, none lost, none twice",
        KILLS.len(),
        lines.len()
    );
}

/// In this window a batch is still covered after the restart that follows it.
const LONG_MS: u64 = 60_000;

/// Runs the program to its death at the failpoints, twice, then normally; returns what the judge finds.
fn found(window_ms: u64, failpoints: &str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("windows, {failpoints}: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = app(&client, window_ms, 300);
    let stream = Stream::start_with(Lines::new(&client, &app.input, seed), WRITING_PAUSE);
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
    let mut run = app.start("");
    app.progress(&client, &mut run);
    let truth = stream.finish();
    let instants = || given(&client.read(&app.output)).len();
    let before = instants();
    until("more windows are emitted", || instants() > before + 8);
    run.must_run();
    run.stop();
    let wrong = violations(&lines(seed, &truth), &given(&client.read(&app.output)), false);
    println!("windows, {failpoints}: {} violations, such as {:?}", wrong.len(), wrong.first());
    wrong
}

#[test]
fn without_a_mutant_the_judge_of_windows_finds_nothing() {
    assert_eq!(found(LONG_MS, "after-offsets=kill@4"), Vec::<String>::new());
}

/// A batch that dies without rows leaves no trace: it has three attempts.
#[test]
fn windows_that_are_written_before_the_commit_are_detected() {
    let failpoints = "mutant-apply-before-commit=mutant,after-offsets=kill@4";
    assert!((0..3).any(|_| !found(LONG_MS, failpoints).is_empty()));
}

#[test]
fn windows_that_nothing_leaves_in_one_run_are_detected() {
    assert!(!found(1_200, "mutant-nothing-leaves=mutant,after-apply=kill@16").is_empty());
}

#[test]
fn the_judge_of_windows_sees_each_kind_of_mistake() {
    let lines: Vec<String> = (0..16).map(|n| format!("only-{n} w")).collect();
    let of = |numbers: &[usize]| -> Given {
        let only = numbers.iter().map(|n| (format!("only-{n}"), 1));
        only.chain([("w".to_owned(), numbers.len() as u64)]).collect()
    };
    let good = [of(&[0, 1, 4]), of(&[1, 4, 8]), of(&[8, 12, 5])];
    assert_eq!(violations(&lines, &good, false), Vec::<String>::new());
    assert!(!violations(&lines, &good, true).is_empty(), "4 is covered twice");
    let finds = |given: &[Given], part: &str| {
        let wrong = violations(&lines, given, false);
        assert!(wrong.iter().any(|w| w.contains(part)), "{wrong:?}");
    };
    finds(&[of(&[0, 8])], "nothing between the lines [0, 8]");
    finds(&[of(&[4, 8]), of(&[0, 4, 8])], "lines 0 to 8 after (4, 8)");
    finds(&[of(&[4, 8]), of(&[4])], "lines 4 to 4 after (4, 8)");
    finds(&[of(&[16])], "nobody wrote line 16");
    let mut twice = of(&[0]);
    twice.insert("only-0".into(), 2);
    finds(&[twice], "only-0 2 times");
    let mut less = of(&[0, 1]);
    less.insert("w".into(), 1);
    finds(&[less], "w 1 times, in its lines Some(2)");
    let mut missing = of(&[0]);
    missing.remove("w");
    finds(&[missing], "w is missing");
}
