//! A network that is slow, or lets nothing through for longer than a session and a transaction last, in one direction
//! or in both: what was on its way arrives late, and nothing is lost or counted twice.

use super::{
    client::Client,
    events::{self, Events},
    network::World,
    program::{App, Run},
    until,
};
use crate::{
    proxy::{Proxy, Way},
    subject::bootstrap,
};
use std::time::Duration;

const BOTH: [Way; 2] = [Way::ToBroker, Way::ToClient];

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
