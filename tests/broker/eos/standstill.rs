//! A network that is slow, or lets nothing through for longer than a session and a transaction last, in one direction
//! or in both: what was on its way arrives late, and nothing is lost or counted twice. Whoever waits for an answer
//! meanwhile is alive and can be stopped.

use super::{
    client::Client,
    events::{self, Events},
    network::World,
    program::{App, Run},
    until,
};
use crate::{
    proxy::{Api, Fault, Proxy, Way},
    subject::bootstrap,
};
use std::time::{Duration, Instant};

const BOTH: [Way; 2] = [Way::ToBroker, Way::ToClient];

/// The program asks the broker something, which never answers: it is alive, and a request to stop is obeyed.
fn stops_while_it_asks(proxy: &Proxy, api: Api, mut run: Run, what: &str) {
    let question = proxy.on(api, Fault::Hold, u64::MAX);
    run.go_on();
    until(what, || {
        run.must_run();
        question.fired() > 0
    });
    BOTH.iter().for_each(|way| proxy.shut(*way));
    assert_eq!(run.get("/livez").0, 200);
    let log = run.stop();
    assert!(log.contains(&format!("stopping without waiting any longer for {what}")), "{log}");
    BOTH.iter().for_each(|way| proxy.open(*way));
    question.end();
    println!("a broker that stood still: stopped without waiting for {what}");
}

#[test]
fn a_program_that_waits_for_an_answer_outside_a_batch_is_alive_and_stops() {
    let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
    let impatient = |app: App| app.with("stop-timeout-ms", "500");

    // Outside the group.
    let app = App::new("kafka_word_count", &client).with("exchange", "memory");
    let standby = impatient(app.elsewhere().via(proxy.bootstrap()).with("instance-id", "pod-2"));
    let mut first = app.start("");
    app.has_committed(&client, &mut first);
    let mut second = standby.start("");
    until("the second stands by", || {
        second.must_run();
        second.text().contains("this one stands by")
    });
    stops_while_it_asks(&proxy, Api::DescribeGroups, second, "a look at the members of the group");
    first.must_run();
    first.stop();

    // As it begins to recover: what an earlier run left behind, then the offsets of its partitions.
    let asked = [
        ("filter_project", Api::ListOffsets, "reading what an earlier run left behind"),
        ("kafka_word_count", Api::OffsetFetch, "a look at who had the partitions before"),
    ];
    for (program, api, what) in asked {
        let app = impatient(App::new(program, &client).via(proxy.bootstrap()));
        let mut run = app.start("after-assignment=hold");
        run.until_fired("after-assignment");
        stops_while_it_asks(&proxy, api, run, what);
        let mut run = app.start("");
        app.has_committed(&client, &mut run);
        run.stop();
    }
}

#[test]
fn a_program_that_cannot_connect_yet_stops() {
    let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
    let app = App::new("filter_project", &client).via(proxy.bootstrap()).with("stop-timeout-ms", "500");
    BOTH.iter().for_each(|way| proxy.shut(*way));
    let mut run = app.start("");
    until("it asks the broker", || {
        run.must_run();
        proxy.waited(Way::ToBroker) > 0
    });
    let log = run.stop();
    assert!(log.contains("stopping without waiting any longer for connecting to the log"), "{log}");
}

#[test]
fn a_program_behind_a_slow_network_goes_on() {
    let what = "slow network";
    let world = World::new(what);
    let mut run = world.run("");
    world.proxy.slow(Duration::from_millis(100), 300_000);
    for _ in 0..3 {
        world.app.progress(&world.client, &mut run);
    }
    let waited = world.proxy.waited(Way::ToBroker) + world.proxy.waited(Way::ToClient);
    assert!(waited > 50, "only {waited} frames were slow");
    world.proxy.slow(Duration::ZERO, 0);
    let log = world.finish(what, run);
    assert!(!log.contains("batch given up"), "{log}");
}

#[test]
fn batches_go_on_while_a_look_for_new_topics_is_not_answered() {
    let what = "unanswered look";
    let world = World::new(what);
    let mut run = world.run("");
    let asked = world.proxy.on(Api::Metadata, Fault::Hold, u64::MAX);
    let committed = || world.client.committed(&world.app.id, &world.app.input).values().sum::<i64>();
    let (mut sum, mut since) = (committed(), Instant::now());
    until("the program gives the look up", || {
        run.must_run();
        let now = committed();
        if now > sum {
            (sum, since) = (now, Instant::now());
        }
        run.text().contains("a look for new topics and partitions was not possible")
    });
    // Nobody answers for ten seconds before the look is given up.
    assert!(asked.fired() > 0 && since.elapsed() < Duration::from_secs(5), "nothing was committed meanwhile");
    asked.end();
    world.finish(what, run);
}

#[test]
fn a_network_stands_still_in_each_direction() {
    let what = "standstill";
    let world = World::new(what);
    let mut run = world.run("");
    for ways in [&BOTH[..], &[Way::ToClient], &[Way::ToBroker]] {
        let before: Vec<u64> = ways.iter().map(|way| world.proxy.waited(*way)).collect();
        ways.iter().for_each(|way| world.proxy.shut(*way));
        // Its transaction lasts as long as its session.
        until("the group has given the program up", || world.client.members(&world.app.id).is_empty());
        run.must_run();
        for (way, before) in ways.iter().zip(before) {
            assert!(world.proxy.waited(*way) > before, "nothing waited on the way {way:?}");
        }
        ways.iter().for_each(|way| world.proxy.open(*way));
        world.app.progress(&world.client, &mut run);
    }
    world.finish(what, run);
}

#[test]
fn partitions_of_a_process_that_is_cut_off_are_taken_over() {
    let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
    let app = App::new("filter_project", &client).via(proxy.bootstrap());
    let other = app.elsewhere().via(bootstrap()).with("instance-id", "pod-2");
    let events = Events::start(&client, &app.input);
    let mut runs = [app.start(""), other.start("")];
    for cut in 0..3 {
        until("each process commits", || {
            runs.iter_mut().for_each(Run::must_run);
            runs.iter().all(|run| run.text().contains("joined group") && run.checkpoints("committed") > 0)
                && client.members(&app.id).len() == 2
        });
        app.progress(&client, &mut runs[0]);
        for way in BOTH {
            proxy.shut(way);
        }
        until("the group has given the process up", || client.members(&app.id).len() == 1);
        let before = client.committed(&app.id, &app.input);
        until("the other one moves every partition on", || {
            let now = client.committed(&app.id, &app.input);
            before.iter().all(|(p, at)| now.get(p).is_some_and(|now| now > at))
        });
        runs.iter_mut().for_each(Run::must_run);
        for way in BOTH {
            proxy.open(way);
        }
        eprintln!("cut off and taken over: {}", cut + 1);
    }
    let written = events.finish();
    app.catch_up(&client, &mut runs[0]);
    for run in runs {
        run.stop();
    }
    events::judge("cut off", written, &client.read(&app.output));
    println!("cut off: 3 times taken over, {written} events, each once");
}
