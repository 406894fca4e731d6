//! Three processes without state in one group: some or all of them are killed, or end and start again one after the
//! other, while events keep coming. Each event comes out once.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::{App, Run},
    until,
};
use crate::subject::bootstrap;
use std::{thread::sleep, time::Duration};

const KILLS: usize = 8;
/// What a log must not say if everything ends in order; a rebalance may still meet a batch.
const DISORDER: [&str; 2] = ["fenced", "ERROR"];

/// The processes, and their input.
struct World {
    client: Client,
    apps: [App; 3],
    events: Events,
    random: Random,
    seed: u64,
}

impl World {
    fn new(what: &str) -> World {
        let seed = Random::seed();
        eprintln!("{what}: seed {seed}");
        let client = Client::new(&bootstrap());
        let first = App::new("filter_project", &client);
        let [second, third] = ["pod-2", "pod-3"].map(|id| first.elsewhere().with("instance-id", id));
        let events = Events::start(&client, &first.input);
        World { client, apps: [first, second, third], events, random: Random(seed), seed }
    }

    fn start(&self) -> Vec<Run> {
        self.apps.iter().map(|app| app.start("")).collect()
    }

    /// Waits until each process has committed something, which it has read from partitions of its own.
    fn all_work(&self, runs: &mut [Run]) {
        for run in runs.iter_mut() {
            let has_served = |run: &Run| run.text().contains("joined group");
            until(&format!("each process commits (log: {})", run.log.display()), || {
                run.must_run();
                has_served(run) && run.checkpoints("committed") > 0
            });
        }
        assert_eq!(self.client.members(&self.apps[0].id).len(), 3);
    }

    /// Waits until every partition has moved on.
    fn all_move(&self, runs: &mut [Run]) {
        let committed = || self.client.committed(&self.apps[0].id, &self.apps[0].input);
        let before = committed();
        until("every partition moves on", || {
            runs.iter_mut().for_each(Run::must_run);
            let now = committed();
            (0..4).all(|p| now.get(&p).is_some_and(|at| at > before.get(&p).unwrap_or(&0)))
        });
    }

    fn finish(self, what: &str, mut runs: Vec<Run>, faults: &str) -> Vec<String> {
        let written = self.events.finish();
        self.apps[0].catch_up(&self.client, &mut runs[0]);
        let logs = runs.into_iter().map(Run::stop).collect();
        let rows = self.client.read(&self.apps[0].output);
        events::judge(&format!("{what}, seed {}", self.seed), written, &rows);
        println!("three processes: {what}: {faults}, {written} events, each once");
        logs
    }
}

#[test]
fn one_of_three_processes_is_killed_again_and_again() {
    let what = "killed one by one";
    let mut world = World::new(what);
    let mut runs = world.start();
    world.all_work(&mut runs);
    let mut taken_over = 0;
    for kill in 0..KILLS {
        sleep(Duration::from_millis(world.random.below(700)));
        let victim = world.random.index(3);
        runs.remove(victim).kill();
        // Every fourth stays away until the others have its partitions.
        if kill % 4 == 1 {
            until("the group is without it", || world.client.members(&world.apps[0].id).len() == 2);
            world.all_move(&mut runs);
            taken_over += 1;
        }
        runs.insert(victim, world.apps[victim].start(""));
    }
    world.all_work(&mut runs);
    world.all_move(&mut runs);
    world.finish(what, runs, &format!("{KILLS} kills, {taken_over} of them taken over by the others"));
}

#[test]
fn all_of_three_processes_are_killed_at_once() {
    let what = "killed all at once";
    let mut world = World::new(what);
    for _ in 0..3 {
        let mut runs = world.start();
        world.all_move(&mut runs);
        sleep(Duration::from_millis(world.random.below(500)));
        runs.into_iter().for_each(Run::kill);
    }
    let mut runs = world.start();
    world.all_work(&mut runs);
    world.finish(what, runs, "3 times");
}

#[test]
fn three_processes_are_restarted_one_after_the_other() {
    let what = "restarted one after the other";
    let world = World::new(what);
    let mut runs = world.start();
    world.all_work(&mut runs);
    let mut logs = vec![];
    for number in 0..3 {
        logs.push(runs.remove(number).stop());
        runs.insert(number, world.apps[number].start(""));
        world.all_work(&mut runs);
        world.all_move(&mut runs);
    }
    logs.extend(world.finish(what, runs, "3 clean ends"));
    for log in &logs {
        assert!(!DISORDER.iter().any(|word| log.contains(word)), "{log}");
    }
}
