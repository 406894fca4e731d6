//! Three processes that share the state of one program: each counts the words of its share of the state partitions, with rows of
//! all sources. Some are killed, stopped, frozen or lose their disk, again and again; at the end one is left. Each word is counted
//! once, and its counts rise.

use super::{
    Random,
    client::Client,
    program::{App, Run},
    until,
    words::{Lines, Stream, Truth, judge, violations},
};
use crate::subject::bootstrap;
use serde_json::Value;
use std::{thread::sleep, time::Duration};

const STEPS: usize = 8;
/// Longer than a session lasts.
const FROZEN: Duration = Duration::from_secs(8);
const TO_TOPIC: &str = "rows between stages go through the exchange topic";
const TO_MEMORY: &str = "rows between stages are handed over in memory";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Kill,
    KillWithDisk,
    KillForGood,
    Freeze,
    Leave,
}

/// Each once, then at random.
fn steps(random: &mut Random) -> Vec<Step> {
    let all = [Step::Kill, Step::KillWithDisk, Step::KillForGood, Step::Freeze, Step::Leave];
    let mut steps = all.to_vec();
    steps.extend((all.len()..STEPS).map(|_| all[random.index(all.len())]));
    for i in (1..steps.len()).rev() {
        steps.swap(i, random.index(i + 1));
    }
    steps
}

/// Waits until each of them has committed something since, and the group has so many members.
pub fn all_work(client: &Client, id: &str, runs: &mut [Run]) {
    until("all processes serve their pages", || {
        runs.iter_mut().for_each(Run::must_run);
        runs.iter().all(|run| run.text().contains("http://"))
    });
    let before: Vec<u64> = runs.iter().map(|run| run.checkpoints("committed")).collect();
    until(&format!("all {} processes of {id} commit", runs.len()), || {
        runs.iter_mut().for_each(Run::must_run);
        let moved = runs.iter().zip(&before).all(|(run, before)| run.checkpoints("committed") > *before + 3);
        moved && client.members(id).len() == runs.len()
    });
}

/// What a process says of all of them.
fn processes(run: &Run, id: &str) -> Value {
    let (status, text) = run.get(&format!("/api/v1/applications/{id}/processes"));
    if status == 200 { serde_json::from_str(&text).unwrap() } else { Value::Null }
}

/// Waits until each process says that these are there, and that together they own all state partitions.
fn all_show(id: &str, runs: &mut [Run], instances: &[&str]) {
    let shows = |seen: &Value| {
        let members = seen["members"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = members.iter().map(|member| member["instance"].as_str().unwrap()).collect();
        let states = seen["statePartitions"].as_array().cloned().unwrap_or_default();
        names == instances
            && !states.is_empty()
            && states.iter().all(|state| names.contains(&state["owner"].as_str().unwrap_or_default()))
            && members.iter().all(|member| !member["statePartitions"].as_array().unwrap().is_empty())
    };
    until(&format!("each process of {id} shows {instances:?}"), || {
        runs.iter_mut().for_each(Run::must_run);
        runs.iter().all(|run| shows(&processes(run, id)))
    });
}

pub fn everything_is_counted(client: &Client, output: &str, truth: &Truth, runs: &mut [Run]) {
    until("everything is counted", || {
        runs.iter_mut().for_each(Run::must_run);
        sleep(Duration::from_millis(300));
        violations(truth, &client.read(output)).is_empty()
    });
}

#[test]
fn three_processes_share_the_state_and_come_and_go() {
    let seed = Random::seed();
    let mut random = Random(seed);
    let steps = steps(&mut random);
    eprintln!("shared: seed {seed}: {steps:?}");
    let client = Client::new(&bootstrap());
    let first = App::new("kafka_word_count", &client).with("exchange", "shared").with_flag("leave");
    let [second, third] = ["pod-2", "pod-3"].map(|id| first.elsewhere().with("instance-id", id));
    let apps = [first, second, third];
    let (id, output) = (apps[0].id.clone(), apps[0].output.clone());
    let stream = Stream::start(Lines::new(&client, &apps[0].input, seed));
    let mut runs = vec![apps[0].start("")];
    apps[0].progress(&client, &mut runs[0]);
    assert!(!runs[0].text().contains(TO_TOPIC), "alone it needs no topic");
    runs.extend(apps[1..].iter().map(|app| app.start("")));
    all_work(&client, &id, &mut runs);
    assert!(runs[0].text().contains(TO_TOPIC), "{}", runs[0].text());
    all_show(&id, &mut runs, &["pod-1", "pod-2", "pod-3"]);
    for (number, step) in steps.iter().enumerate() {
        sleep(Duration::from_millis(random.below(1_500)));
        let victim = random.index(3);
        eprintln!("shared: step {number}: {step:?} of {victim}");
        match step {
            Step::Freeze => {
                runs[victim].signal("STOP");
                sleep(FROZEN);
                assert_eq!(client.members(&id).len(), 2, "it was expelled");
                runs[victim].signal("CONT");
            }
            Step::Leave => drop(runs.remove(victim).stop()),
            Step::Kill | Step::KillWithDisk | Step::KillForGood => runs.remove(victim).kill(),
        }
        match step {
            Step::KillWithDisk => apps[victim].lose_state(),
            Step::KillForGood | Step::Leave => {
                until("the group is without it", || client.members(&id).len() == 2);
                all_work(&client, &id, &mut runs);
            }
            Step::Kill | Step::Freeze => {}
        }
        if *step != Step::Freeze {
            runs.insert(victim, apps[victim].start(""));
        }
        all_work(&client, &id, &mut runs);
    }
    // One is left, and needs the topic no more.
    let mut last = runs.remove(random.index(3));
    runs.into_iter().for_each(|run| drop(run.stop()));
    let returned = |run: &Run| run.text().rfind(TO_MEMORY) > run.text().rfind(TO_TOPIC);
    until("it has all the state", || {
        last.must_run();
        returned(&last)
    });
    until("what was taken of the exchange topic is deleted", || {
        last.must_run();
        client.cut(&format!("{id}-exchange")) > 0
    });
    let truth = stream.finish();
    let mut last = [last];
    everything_is_counted(&client, &output, &truth, &mut last);
    last.into_iter().for_each(|run| drop(run.stop()));
    let rows = client.read(&output);
    judge(&format!("seed {seed}"), &truth, &rows);
    println!("shared: {} steps, {} words, {} counts, each once", steps.len(), truth.len(), rows.len());
}

#[test]
fn who_holds_results_back_is_shown_by_the_others() {
    let seed = Random::seed();
    let client = Client::new(&bootstrap());
    let first = App::new("kafka_word_count", &client)
        .with("exchange", "shared")
        .with("session-timeout-ms", "30000")
        .with("batch-interval-ms", "500");
    let second = first.elsewhere().with("instance-id", "pod-2");
    let (id, output) = (first.id.clone(), first.output.clone());
    let stream = Stream::start(Lines::new(&client, &first.input, seed));
    let mut runs = vec![first.start(""), second.start("")];
    all_work(&client, &id, &mut runs);
    all_show(&id, &mut runs, &["pod-1", "pod-2"]);
    runs[1].signal("STOP");
    until("the other one is named", || processes(&runs[0], &id)["heldBack"]["by"] == "pod-2");
    let metrics = runs[0].get("/metrics").1;
    for name in ["tidegate_processes{", "tidegate_exchange_lag_records{", "tidegate_input_time_seconds{"] {
        assert!(metrics.contains(&format!("\n{name}")), "{name} is missing: {metrics}");
    }
    runs[1].signal("CONT");
    until("nobody is named any more", || processes(&runs[0], &id)["heldBack"] == Value::Null);
    let truth = stream.finish();
    everything_is_counted(&client, &output, &truth, &mut runs);
    runs.into_iter().for_each(|run| drop(run.stop()));
    judge(&format!("held back, seed {seed}"), &truth, &client.read(&output));
}
