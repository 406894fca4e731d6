//! A broker that forgets a transactional id and the producer behind it because both were idle: the program takes a new
//! producer and goes on.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Lines, Truth, judge},
};
use crate::kafka::Kafka;
use std::{thread::sleep, time::Duration};

#[test]
fn a_program_that_was_idle_for_too_long_goes_on() {
    let kafka = Kafka::start_configured(
        "transactional.id.expiration.ms=2000\n\
         transaction.remove.expired.transaction.cleanup.interval.ms=500\n\
         producer.id.expiration.ms=2000\n\
         producer.id.expiration.check.interval.ms=500",
    );
    let client = Client::new(&kafka.bootstrap());
    let app = App::new("kafka_word_count", &client);
    let mut run = app.start("");
    let mut truth = Truth::new();
    for round in 0..3 {
        let mut lines = Lines::new(&client, &app.input, Random::seed());
        lines.number = 100 * round;
        lines.truth = truth;
        lines.write(40, 4);
        lines.flush();
        truth = lines.truth;
        app.catch_up(&client, &mut run);
        // Ids and producers are forgotten after two seconds.
        sleep(Duration::from_secs(5));
    }
    let log = run.stop();
    assert!(log.contains("InvalidProducerIdMapping"), "the id was not forgotten:\n{log}");
    judge("an id that was forgotten", &truth, &client.read(&app.output));
    println!("a transactional id forgotten by the broker: {} words, none lost, none twice", truth.len());
}
