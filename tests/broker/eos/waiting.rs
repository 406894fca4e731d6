//! What a program waits for, and what stands in its way, is told by name: open transactions of others, a group that
//! others use, a listener of another kind.

use super::{client::Client, program::App, until};
use crate::{contract::unique, kafka::Kafka, subject::bootstrap};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::time::Duration;

const CALL: Duration = Duration::from_secs(60);

/// A producer that has a transaction open on a partition.
fn open_transaction(client: &Client, topic: &str, value: &str) -> BaseProducer {
    let mut config = client.config();
    config.set("transactional.id", unique("other")).set("transaction.timeout.ms", "300000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(CALL).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<str, str>::to(topic).key("other").payload(value).partition(0);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(CALL).unwrap();
    producer
}

const EVENT: &str = r#"{"id":1,"user":"u","item":"i","price":99.5,"ts":1,"page":"p"}"#;

fn write(client: &Client, topic: &str, partition: i32, value: &str) {
    let producer: BaseProducer = client.config().create().unwrap();
    let record = BaseRecord::<(), _>::to(topic).payload(value).partition(partition);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(CALL).unwrap();
}

#[test]
fn a_transaction_that_is_open_on_an_internal_topic_is_waited_for() {
    let client = Client::new(&bootstrap());
    for topic in ["meta", "changelog"] {
        let app = App::new("kafka_word_count", &client);
        write(&client, &app.input, 0, "tide");
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        run.stop();
        let other = open_transaction(&client, &format!("{}-{topic}", app.id), "1");
        if topic == "changelog" {
            app.lose_state(); // so that it must be read
        }
        write(&client, &app.input, 0, "tide");
        let mut run = app.start("");
        let said = format!("{}-{topic}-0 can be read only up to", app.id);
        until("the program says what it waits for", || {
            run.must_run();
            run.text().contains(&said)
        });
        other.abort_transaction(CALL).unwrap();
        app.catch_up(&client, &mut run);
        run.stop();
        let counts: Vec<_> = client.read(&app.output).into_iter().map(|row| row.value).collect();
        assert_eq!(counts, ["1", "2"], "{topic}");
    }
    println!(
        "a transaction open on the meta topic or the changelog: told, waited for, and then the program goes on"
    );
}

#[test]
fn a_transaction_that_is_open_on_the_input_is_told() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let mut run = app.start("");
    app.has_committed(&client, &mut run);
    let other = open_transaction(&client, &app.input, EVENT);
    let said = format!("waiting for {}-0: nothing can be read from offset 0 on", app.input);
    until("the program says what it waits for", || {
        run.must_run();
        run.text().contains(&said)
    });
    other.commit_transaction(CALL).unwrap();
    until("the record comes out", || {
        run.must_run();
        client.read(&app.output).len() == 1
    });
    run.stop();
    println!("a transaction open on the input: told by partition and offset");
}

#[test]
fn a_group_that_another_program_uses_is_named() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let mut config = client.config();
    config.set("group.id", &app.id).set("partition.assignment.strategy", "range");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&app.input]).unwrap();
    until("the consumer is in the group", || {
        let _ = consumer.poll(Duration::from_millis(50));
        !client.members(&app.id).is_empty()
    });
    let mut run = app.start("");
    until("the program ends", || {
        let _ = consumer.poll(Duration::from_millis(50));
        !run.is_running()
    });
    assert_eq!(run.exit_code(), 4, "{}", run.text());
    for part in
        [format!("the group `{}` has members that divide partitions in another way", app.id), "next:".into()]
    {
        assert!(run.text().contains(&part), "`{part}` is not in:\n{}", run.text());
    }

    // The same name, used by a program with another input a moment ago.
    let first = App::new("filter_project", &client);
    let mut run = first.start("");
    first.has_committed(&client, &mut run);
    run.stop();
    let mut second = App::new("filter_project", &client);
    second.id.clone_from(&first.id);
    let mut run = second.start("");
    let text = loop {
        if !run.is_running() {
            break run.text();
        }
        if client.committed(&second.id, &second.input).len() == 4 {
            println!("the group gave the second program its own input at once");
            return run.kill();
        }
    };
    for part in [
        format!("the group `{}` assigned {}-", first.id, first.input),
        "application id".into(),
        "next:".into(),
    ] {
        assert!(text.contains(&part), "`{part}` is not in:\n{text}");
    }
    println!("a group that an ordinary consumer or another program uses: named, with the next step");
}

#[test]
fn a_listener_of_another_kind_is_told_with_the_property_to_check() {
    let secure = |home: &std::path::Path| super::secure::properties(home);
    let kafka = Kafka::start_secure(&secure);
    let client = Client::new(&kafka.bootstrap());
    let app = || App::new("filter_project", &client).with("connect-timeout-ms", "6000");
    let plain_to_tls = app().via(kafka.secure_bootstrap());
    let tls_to_plain = app().property("security.protocol", "ssl");
    let sasl_to_plain = app()
        .property("security.protocol", "sasl_plaintext")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", "app")
        .property("sasl.password", "secret");
    let sasl_to_tls = app()
        .via(kafka.secure_bootstrap())
        .property("security.protocol", "sasl_plaintext")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", "app")
        .property("sasl.password", "secret");
    for app in [plain_to_tls, tls_to_plain, sasl_to_plain, sasl_to_tls] {
        let mut run = app.start("");
        assert_eq!(run.exit_code(), 4, "{}", run.text());
        let text = run.text();
        let error =
            text.lines().skip_while(|line| !line.starts_with("error:")).collect::<Vec<_>>().join("\n");
        println!("{error}\n");
        assert!(error.contains("cannot reach") && error.contains("`security.protocol`"), "{text}");
        assert!(!error.contains("nc -z") && !text.contains("secret"), "{text}");
    }
    println!("a listener of another kind: the property to check is named");
}
