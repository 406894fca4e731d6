//! A process joins others that share the state, and restores its share for as long as the test wants: what comes in meanwhile is counted
//! by the others before that is done, and the newcomer takes its part of the input.

use super::{
    Random,
    client::Client,
    program::App,
    shared_state::{all_work, everything_is_counted},
    until,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;
use serde_json::Value;

#[test]
fn results_of_other_state_partitions_go_on_while_a_process_restores_its_share() {
    let seed = Random::seed();
    eprintln!("restores: seed {seed}");
    let client = Client::new(&bootstrap());
    let first = App::new("kafka_word_count", &client).with("exchange", "shared").with_flag("leave");
    let second = first.elsewhere().with("instance-id", "pod-2");
    let (id, output) = (first.id.clone(), first.output.clone());
    let stream = Stream::start(Lines::new(&client, &first.input, seed));
    let mut runs = vec![first.start("")];
    first.progress(&client, &mut runs[0]);

    // The thread that restores waits at the first rows that it has read, until the test lets it go on.
    let mut joins = second.start("during-restore=hold@1");
    joins.until_fired("during-restore");
    let missing = joins.until_ready(false);
    assert!(missing.contains("being restored"), "{missing}");
    let (status, restores) = joins.get(&format!("/api/v1/applications/{id}/restores"));
    let restores: Value = serde_json::from_str(&restores).unwrap();
    assert!(status == 200 && restores[0]["records"].as_u64().unwrap() > 0, "{restores}");
    let partition = restores[0]["partition"].clone();
    let metrics = joins.get("/metrics").1;
    let series = format!("\ntidegate_restore_records{{partition=\"{partition}\"");
    assert!(metrics.contains(&series), "{series} is missing: {metrics}");

    // What is written from now on is counted before the restore goes on.
    let before = client.ends(&output);
    let mark = client.ends(&first.input);
    let taken = joins.checkpoints("committed");
    until("input that came during the restore is counted, and taken by the process that restores", || {
        runs[0].must_run();
        joins.must_run();
        let ends = client.ends(&output);
        let results: i64 = before.iter().map(|(partition, end)| ends[partition] - end).sum();
        let committed = client.committed(&id, &first.input);
        let is_taken = mark.iter().all(|(partition, end)| committed.get(partition) > Some(end));
        results > 100 && is_taken && joins.checkpoints("committed") > taken + 3
    });
    assert!(!joins.text().contains(" is restored: "), "the restore was to wait:\n{}", joins.text());
    assert_eq!(client.members(&id).len(), 2, "it is a member all the time");

    joins.go_on();
    joins.until_ready(true);
    assert!(joins.text().contains(" is restored: "), "{}", joins.text());
    runs.push(joins);
    all_work(&client, &id, &mut runs);
    let truth = stream.finish();
    everything_is_counted(&client, &output, &truth, &mut runs);
    runs.into_iter().for_each(|run| drop(run.stop()));
    judge(&format!("restores, seed {seed}"), &truth, &client.read(&output));
}
