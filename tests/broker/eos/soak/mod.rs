//! Many processes under everything that can happen to them, against a broker of their own: a program with two keyed stages, windows
//! and running counts, whose state three processes share, goes through random faults, and then is judged.
//!
//! Owns the rounds. A round is one application from its first line to its judgement; its seed decides its steps, and is printed.
//! `./dev soak MINUTES` runs rounds of many steps for so long; otherwise there is one short round.

mod judge;
mod world;

pub use judge::group;

use super::{
    PATIENCE, Random,
    client::Row,
    words::{Lines, Stream, Truth},
};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};
use world::{STEPS, Step, World};

/// Partitions of the input.
pub const INPUTS: u64 = 6;
/// The windows of the program.
pub const WINDOW_MS: i64 = 3_000;
/// How often they are given.
pub const SLIDE_MS: i64 = 1_000;

const STEPS_SHORT: usize = 8;
const STEPS_LONG: usize = 30;
/// After a line for each partition; each window gives all words once more, so many lines mean much output.
const WRITING_PAUSE: Duration = Duration::from_millis(100);
/// When nothing has been written for so long, nothing more comes: the last windows are empty.
const QUIET: Duration = Duration::from_secs(5);

/// Different ones first, as far as there are.
fn steps(count: usize, random: &mut Random) -> Vec<Step> {
    let mut steps = vec![];
    while steps.len() < count {
        let mut all = STEPS.to_vec();
        while !all.is_empty() && steps.len() < count {
            steps.push(all.swap_remove(random.index(all.len())));
        }
    }
    steps
}

/// Reads the output once nothing more is written.
fn read_at_rest(world: &mut World) -> Vec<Row> {
    let output = world.app().output.clone();
    let (mut ends, mut since) = (world.client.ends(&output), Instant::now());
    let began = Instant::now();
    while since.elapsed() < QUIET {
        assert!(began.elapsed() < PATIENCE, "the output does not come to rest");
        world.must_run();
        sleep(Duration::from_millis(200));
        let now = world.client.ends(&output);
        if now != ends {
            (ends, since) = (now, Instant::now());
        }
    }
    world.client.read(&output)
}

/// What is read is judged again as long as something is missing and it may still come.
fn read_and_judge(world: &mut World, lines: u64, truth: &Truth) -> usize {
    let began = Instant::now();
    loop {
        let rows = read_at_rest(world);
        let wrong = judge::violations(lines, truth, &rows);
        if wrong.is_empty() {
            return rows.len();
        }
        if began.elapsed() > PATIENCE {
            let path = world.app().folder.join("output");
            let text = rows
                .iter()
                .map(|row| format!("{}-{} {} = {}\n", row.partition, row.offset, row.key, row.value));
            fs::write(&path, text.collect::<String>()).unwrap();
            let first: Vec<&String> = wrong.iter().take(20).collect();
            panic!("{} violations, such as {first:#?}\nthe output: {}", wrong.len(), path.display());
        }
    }
}

fn round(seed: u64, count: usize) {
    let began = Instant::now();
    let mut random = Random(seed);
    let steps = steps(count, &mut random);
    eprintln!("soak: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it): {steps:?}");
    let mut world = World::new(random.next());
    let stream =
        Stream::start_over(Lines::new(&world.client, &world.app().input, seed), INPUTS, WRITING_PAUSE);
    world.start();
    world.all_work();
    for (number, step) in steps.iter().enumerate() {
        sleep(Duration::from_millis(random.below(1_500)));
        let what = world.take(*step);
        eprintln!("soak: {} s: step {number}: {what}", began.elapsed().as_secs());
        // Some faults meet what is left of the one before.
        if random.below(4) > 0 {
            world.all_work();
        }
    }
    world.all_work();
    let truth = stream.finish();
    let lines = truth.keys().filter(|word| word.starts_with("only-")).count() as u64;
    let rows = read_and_judge(&mut world, lines, &truth);
    let (aside, stopped) = (world.moved_aside(), world.stopped_by_damage);
    world.stop();
    assert!(rows as u64 > lines && lines > 100, "{rows} rows of {lines} lines are too few for a test");
    println!(
        "soak: seed {seed}: {count} steps in {} s, {aside} databases moved aside, {stopped} of them after a stop; {lines} lines, {rows} rows, none lost, none twice, all in order",
        began.elapsed().as_secs()
    );
}

#[test]
fn many_processes_go_through_everything_that_can_happen() {
    let minutes: Option<u64> = std::env::var("TIDEGATE_SOAK_MINUTES").ok().map(|text| text.parse().unwrap());
    let (began, mut rounds) = (Instant::now(), 0);
    loop {
        round(Random::seed(), if minutes.is_some() { STEPS_LONG } else { STEPS_SHORT });
        rounds += 1;
        if minutes.is_none_or(|minutes| began.elapsed() > Duration::from_secs(60 * minutes)) {
            break;
        }
    }
    println!("soak: {rounds} rounds");
}
