//! Input from a transactional producer that aborts some of its transactions: what was aborted does not count.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, Truth, count, violations},
};
use crate::{contract::unique, subject::bootstrap};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

const CALL: Duration = Duration::from_secs(60);
const TRANSACTIONS: u64 = 90;

/// A program reads what was committed and aborted in turn, and is killed now and then; returns what the judge finds.
fn found(failpoints: &str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("aborted input: seed {seed}");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = App::new("kafka_word_count", &client);
    let mut config = client.config();
    let producer: BaseProducer = config.set("transactional.id", unique("writer")).create().unwrap();
    producer.init_transactions(CALL).unwrap();
    let (mut truth, mut number, mut aborted) = (Truth::new(), 0, 0);
    let mut run = app.start(failpoints);
    for transaction in 1..=TRANSACTIONS {
        producer.begin_transaction().unwrap();
        let commit = transaction % 3 != 0 || transaction == TRANSACTIONS;
        for partition in 0..4 {
            for _ in 0..=random.below(4) {
                let line = Lines::line(&mut random, number);
                number += 1;
                let record = BaseRecord::<(), _>::to(&app.input).payload(line.as_str()).partition(partition);
                producer.send(record).map_err(|(e, _)| e).unwrap();
                if commit { count(&line, &mut truth) } else { aborted += 1 }
            }
        }
        // Some aborted records must be on the broker, not only in the producer.
        producer.flush(CALL).unwrap();
        if commit { producer.commit_transaction(CALL) } else { producer.abort_transaction(CALL) }.unwrap();
        if transaction % 30 == 10 {
            run.kill();
            run = app.start(failpoints);
        }
    }
    // The last offset of each partition is the marker of the last commit, which is not a record.
    until("the program has read everything", || {
        run.must_run();
        let (read, ends) = (client.committed(&app.id, &app.input), client.ends(&app.input));
        ends.iter().all(|(p, end)| read.get(p).is_some_and(|at| at + 1 >= *end))
    });
    assert_eq!(run.fired().is_empty(), failpoints.is_empty(), "{failpoints}");
    run.stop();
    let rows = client.read(&app.output);
    let wrong = violations(&truth, &rows);
    assert!(aborted > 50 && rows.len() >= truth.len());
    println!(
        "aborted input: {aborted} aborted lines, {} words, {} counts, {} violations, such as {:?}",
        truth.len(),
        rows.len(),
        wrong.len(),
        wrong.first()
    );
    wrong
}

#[test]
fn aborted_input_does_not_count() {
    assert_eq!(found(""), Vec::<String>::new());
}

#[test]
fn a_program_that_reads_aborted_input_is_detected() {
    let wrong = found("mutant-uncommitted-input=mutant");
    assert!(wrong.iter().any(|w| w.contains("nobody wrote this word")), "{wrong:?}");
}
