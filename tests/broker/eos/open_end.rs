//! A transaction that stays open in the changelog while state is restored: rows behind it are neither skipped nor
//! reported as lost.
//!
//! The end of the changelog is its high watermark. As long as any transaction is open, the last stable offset lies
//! before what was committed, so a program that takes it for the end misses rows, or believes that the broker lost
//! them.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, Stream, violations},
};
use crate::{contract::unique, subject::bootstrap};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

const CALL: Duration = Duration::from_secs(60);

/// A writer that leaves its transaction open in each of four partitions.
fn leaves_open(client: &Client, topic: &str) -> BaseProducer {
    let mut config = client.config();
    config.set("transactional.id", unique("stranger")).set("transaction.timeout.ms", "600000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(CALL).unwrap();
    producer.begin_transaction().unwrap();
    for partition in 0..4 {
        let record = BaseRecord::to(topic).key("never").payload("committed").partition(partition);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(CALL).unwrap();
    producer
}

/// State is lost while a transaction is open in the changelog, and rebuilt; returns what is wrong afterwards.
fn restored_over_an_open_transaction(failpoints: &str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("open transaction in the changelog: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut run = app.start("");
    app.progress(&client, &mut run);
    let changelog = format!("{}-changelog", app.id);
    let open = leaves_open(&client, &changelog);
    let ends = client.ends(&changelog);
    until("state is committed behind the open transaction", || {
        run.must_run();
        client.ends(&changelog).iter().all(|(p, end)| *end > ends[p] + 10)
    });
    app.progress(&client, &mut run);
    run.kill();
    app.lose_state();
    let mut run = app.start(failpoints);
    let mut wrong = vec![];
    until("the program restores, or ends", || {
        !run.is_running() || run.text().matches("restoring state from the changelog").count() == 4
    });
    open.abort_transaction(CALL).unwrap();
    let truth = stream.finish();
    if run.is_running() && failpoints.is_empty() {
        app.catch_up(&client, &mut run);
        run.stop();
    } else {
        wrong.push(format!(
            "the program ended with {}: {}",
            run.exit_code(),
            run.text().lines().last().unwrap()
        ));
    }
    wrong.extend(violations(&truth, &client.read(&app.output)));
    println!("open transaction in the changelog: {} violations, such as {:?}", wrong.len(), wrong.first());
    wrong
}

#[test]
fn state_is_restored_over_an_open_transaction() {
    assert_eq!(restored_over_an_open_transaction(""), Vec::<String>::new());
}

#[test]
fn a_program_that_takes_the_last_stable_offset_for_the_end_is_detected() {
    let wrong = restored_over_an_open_transaction("mutant-stable-end=mutant");
    assert!(wrong.iter().any(|w| w.contains("the broker lost rows") || w.contains("next:")), "{wrong:?}");
}
