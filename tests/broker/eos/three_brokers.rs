//! A cluster of three brokers of which some end, die, run out of disk or take over too early, under a program with
//! state: while two of the three run the program goes on; while fewer run it waits; nothing is lost or counted twice.
//!
//! All scenarios use one cluster in turn, since it takes long to start. Each shows what its fault did to the cluster.

use super::{
    Random,
    client::Client,
    outputs::must_equal,
    program::{App, Run},
    until,
    words::{Lines, Stream, Truth, count, judge},
};
use crate::{
    cluster::{Cluster, IDS},
    contract::{topic, tp, unique},
};
use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

/// A program, and its input while faults happen.
struct World {
    what: &'static str,
    seed: u64,
    client: Client,
    app: App,
    stream: Stream,
    begun: Instant,
}

impl World {
    fn new(what: &'static str, cluster: &Cluster) -> World {
        let seed = Random::seed();
        eprintln!("{what}: seed {seed}");
        let client = Client::new(&cluster.bootstrap());
        let app = App::new("kafka_word_count", &client);
        let stream = Stream::start_with(Lines::new(&client, &app.input, seed), Duration::from_millis(40));
        World { what, seed, client, app, stream, begun: Instant::now() }
    }

    fn progress(&self, run: &mut Run) {
        self.app.progress(&self.client, run);
    }

    /// One life of the program has seen it all.
    fn finish(self, mut run: Run, faults: &str) {
        let World { what, seed, client, app, stream, begun } = self;
        let truth = stream.finish();
        app.catch_up(&client, &mut run);
        run.stop();
        let rows = client.read(&app.output);
        let mut input = Truth::new();
        client.read(&app.input).iter().for_each(|row| count(&row.value, &mut input));
        must_equal(&format!("{what}, seed {seed}: the input itself"), &truth, &input);
        judge(&format!("{what}, seed {seed}"), &truth, &rows);
        println!(
            "three brokers: {what}: {faults}: {} words, {} counts, none lost, none twice ({} s)",
            truth.len(),
            rows.len(),
            begun.elapsed().as_secs()
        );
    }
}

/// Waits until a partition that a broker led is led by another one.
fn until_moved(client: &Client, topic: &str, partition: i32, from: i32) {
    until(&format!("{topic}-{partition} is led by another broker than {from}"), || {
        client.leader(topic, partition).is_some_and(|leader| leader != from)
    });
}

/// The partition of an internal topic that a name belongs to, as the broker computes it.
fn coordinated_by(client: &Client, topic: &str, name: &str) -> i32 {
    let hash = name.bytes().fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0) % client.partitions(topic)
}

/// The seed chooses one of the scenarios; `TIDEGATE_TEST_WHOLE=1 ./dev test three_brokers` runs all of them, with all
/// victims.
#[test]
fn a_program_lives_through_what_happens_to_three_brokers() {
    let seed = Random::seed();
    eprintln!("three brokers: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats the choice)");
    let (mut cluster, mut random) = (Cluster::start(), Random(seed));
    queries_follow_leaders(&mut cluster);
    let mut scenarios: Vec<Scenario> =
        vec![brokers_end_in_turn, leaders_die, the_quorum_is_lost, a_stale_broker_leads];
    while !is_whole() && scenarios.len() > 1 {
        scenarios.remove(random.index(scenarios.len()));
    }
    scenarios.into_iter().for_each(|scenario| scenario(&mut cluster, &mut random));
}

type Scenario = fn(&mut Cluster, &mut Random);

fn is_whole() -> bool {
    std::env::var_os("TIDEGATE_TEST_WHOLE").is_some()
}

/// What a process asks beside its batches: ends of partitions, members of its group, topics that it has just created.
/// Each broker may answer, and leaders and coordinators that it knows of may be gone.
fn queries_follow_leaders(cluster: &mut Cluster) {
    let log = tidegate::log::open(&cluster.bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(30)).unwrap();
    for _ in 0..20 {
        let name = topic(&log, 4);
        assert!(log.describe(&[&name]).unwrap()[0].is_some(), "{name} cannot be seen after it was created");
    }
    let (client, name) = (Client::new(&cluster.bootstrap()), topic(&log, 1));
    until("the group coordinators are there", || log.members(&unique("group")).is_ok());
    let victim = client.leader(&name, 0).expect("it is led");
    // A group that the same broker coordinates.
    let coordinator = |group: &str| {
        let topic = "__consumer_offsets";
        (topic, coordinated_by(&client, topic, group))
    };
    let is_led = |group: &String| {
        let (topic, partition) = coordinator(group);
        client.leader(topic, partition) == Some(victim)
    };
    let group = std::iter::repeat_with(|| unique("group")).find(is_led).expect("an endless search");
    assert_eq!(log.end_offset(&tp(&name, 0)).unwrap().0, 0);
    log.members(&group).unwrap();
    cluster.node(victim).kill9();
    let (offsets, partition) = coordinator(&group);
    for (topic, partition) in [(name.as_str(), 0), (offsets, partition)] {
        until_moved(&client, topic, partition, victim);
    }
    until("the new leader is asked", || log.end_offset(&tp(&name, 0)).is_ok());
    until("the new coordinator is asked", || log.members(&group).is_ok());
    cluster.node(victim).restart();
    client.until_in_sync();
    println!(
        "three brokers: ends of partitions and members of groups are asked from the broker that took over"
    );
}

fn brokers_end_in_turn(cluster: &mut Cluster, _: &mut Random) {
    let world = World::new("each broker ends and is started again", cluster);
    let mut run = world.app.start("");
    world.progress(&mut run);
    for id in IDS {
        let led = (0..4).filter(|p| world.client.leader(&world.app.input, *p) == Some(id)).count();
        cluster.node(id).end();
        for partition in 0..4 {
            until_moved(&world.client, &world.app.input, partition, id);
        }
        world.progress(&mut run);
        cluster.node(id).restart();
        world.client.until_in_sync();
        eprintln!("broker {id}, which led {led} partitions of the input, ended and came back");
    }
    assert!(run.text().contains("survives 1 broker failure"), "{}", run.text());
    world.finish(run, "3 clean restarts");
}

fn leaders_die(cluster: &mut Cluster, random: &mut Random) {
    let world = World::new("leaders and coordinators die", cluster);
    let mut run = world.app.start("after-offsets=stop@5");
    until("the program stops with its offsets sent and its transaction open", || {
        run.must_run();
        run.is_stopped()
    });
    let group = coordinated_by(&world.client, "__consumer_offsets", &world.app.id);
    let id = format!("{}-pod-1", world.app.id);
    let transaction = coordinated_by(&world.client, "__transaction_state", &id);
    let changelog = format!("{}-changelog", world.app.id);
    let mut victims =
        vec![("__consumer_offsets", group), (world.app.input.as_str(), 0), (changelog.as_str(), 0)];
    while !is_whole() && victims.len() > 1 {
        victims.remove(random.index(victims.len()));
    }
    victims.insert(0, ("__transaction_state", transaction));
    let faults = victims.len();
    for (topic, partition) in victims {
        let victim = world.client.leader(topic, partition).expect("it is led");
        let is_full = topic == changelog;
        if is_full {
            cluster.node(victim).fill_disk();
        } else {
            cluster.node(victim).kill9();
        }
        if topic == "__transaction_state" {
            run.signal("CONT");
        }
        until_moved(&world.client, topic, partition, victim);
        world.progress(&mut run);
        cluster.node(victim).restart();
        world.client.until_in_sync();
        eprintln!(
            "broker {victim}, which led {topic}-{partition}, died and came back; its disk was full: {is_full}"
        );
    }
    world.finish(run, &format!("{faults} of them"));
}

fn the_quorum_is_lost(cluster: &mut Cluster, _: &mut Random) {
    let world = World::new("one broker is gone, then two", cluster);
    let mut run = world.app.start("");
    world.progress(&mut run);
    let first = cluster.controller();
    cluster.node(first).kill9();
    until("another node is the controller", || cluster.controller() != first);
    world.progress(&mut run);
    run.until_ready(true);
    let second = cluster.controller();
    cluster.node(second).kill9();
    let why = run.until_ready(false);
    let before = run.checkpoints("committed");
    sleep(Duration::from_secs(5));
    run.must_run();
    assert_eq!(run.checkpoints("committed"), before, "a single broker accepts no write");
    for id in [first, second] {
        cluster.node(id).start_again();
    }
    for id in [first, second] {
        cluster.node(id).must_answer();
    }
    run.until_ready(true);
    world.progress(&mut run);
    world.client.until_in_sync();
    eprintln!("with one broker of three left: {why}");
    world.finish(run, "two controllers killed");
}

/// A broker that had missed the last records becomes the leader of the input, as the topic allows: what the program has
/// read is not there any more. It stops and says so.
fn a_stale_broker_leads(cluster: &mut Cluster, _: &mut Random) {
    let what = "a stale broker leads";
    let client = Client::new(&cluster.bootstrap());
    let mut app = App::new("kafka_word_count", &client);
    app.input = unique("unclean");
    client.create_on(
        &app.input,
        &[1, 2],
        &[("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")],
    );
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 1);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let leader = client.leader(&app.input, 0).expect("it is led");
    let stale = 3 - leader;
    cluster.node(stale).kill9();
    lines.write(400, 1);
    lines.flush();
    app.catch_up(&client, &mut run);
    cluster.node(leader).kill9();
    cluster.node(stale).start_again();
    cluster.node(stale).must_answer();
    until("the stale broker leads", || client.leader(&app.input, 0) == Some(stale));
    assert_eq!(client.ends(&app.input)[&0], 400, "records are lost");
    let is_refused = |run: &mut Run| {
        assert_ne!(run.exit_code(), 0, "{}", run.text());
        let text = run.text();
        for part in [&format!("{}-0", app.input), "next:"] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    };
    is_refused(&mut run);
    cluster.node(leader).restart();
    client.until_in_sync();
    is_refused(&mut app.start(""));
    judge(what, &lines.truth, &client.read(&app.output));
    println!("three brokers: {what}: 400 records are lost, and the program says so");
}
