//! Bad records: written to the dead-letter topic once each, or ending the program.

use super::{
    Random,
    client::{Client, Row},
    program::App,
    until,
};
use crate::subject::bootstrap;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{collections::BTreeMap, time::Duration};

fn event(id: u64, price: f64) -> String {
    format!(r#"{{"id":{id},"user":"u{}","item":"i","price":{price},"ts":{id},"page":"p"}}"#, id % 7)
}

fn write(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record = BaseRecord::<(), _>::to(topic).payload(value).partition(partition);
    producer.send(record).map_err(|(e, _)| e).unwrap();
}

fn once(rows: &[Row], key: impl Fn(&Row) -> String) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    rows.iter().for_each(|row| *times.entry(key(row)).or_default() += 1);
    times
}

#[test]
fn each_record_goes_to_the_output_or_to_the_dead_letters_once() {
    let seed = Random::seed();
    eprintln!("dead letters: seed {seed}");
    let (client, mut random) = (Client::new(&bootstrap()), Random(seed));
    let app = App::new("filter_project", &client).with("on-bad-record", "dead-letter");
    let producer: BaseProducer = client.config().set("enable.idempotence", "true").create().unwrap();
    let (mut good, mut bad, mut cheap) = (BTreeMap::new(), BTreeMap::new(), 0);
    let (mut run, mut dying) = (Some(app.start("")), None);
    for part in 0..60 {
        for id in part * 50..(part + 1) * 50 {
            let partition = i32::try_from(id % 4).unwrap();
            match random.below(10) {
                0 | 1 => {
                    let value = format!("{{\"id\":{id}, this is not JSON");
                    write(&producer, &app.input, partition, &value);
                    bad.insert(value, 1);
                }
                2 => {
                    write(&producer, &app.input, partition, &event(id, 50.0));
                    cheap += 1;
                }
                _ => {
                    write(&producer, &app.input, partition, &event(id, 99.5));
                    good.insert(id.to_string(), 1);
                }
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        if [10, 20, 30, 40].contains(&part) {
            run.take().unwrap().kill();
            let places = ["after-send", "after-offsets", "after-commit", "after-flush"];
            let place = places[usize::try_from(part).unwrap() / 10 - 1];
            dying = Some(app.start(&format!("{place}=kill@1")));
        } else if let Some(dying) = dying.take() {
            dying.dies_at_its_failpoint();
            run = Some(app.start(""));
        }
    }
    let mut run = run.unwrap();
    app.catch_up(&client, &mut run);
    run.stop();
    let (output, dead_letters) = (client.read(&app.output), client.read(&format!("{}-dlq", app.id)));
    let id = |row: &Row| serde_json::from_str::<serde_json::Value>(&row.value).unwrap()["id"].to_string();
    assert_eq!(once(&output, id), good, "output, seed {seed}");
    assert_eq!(once(&dead_letters, |row| row.value.clone()), bad, "dead letters, seed {seed}");
    for dead_letter in &dead_letters {
        let header = |name: &str| dead_letter.headers[&format!("__tidegate.errors.{name}")].as_str();
        assert_eq!((header("application"), header("topic")), (app.id.as_str(), app.input.as_str()));
        let id: u64 = dead_letter.value["{\"id\":".len()..].split(',').next().unwrap().parse().unwrap();
        assert_eq!(header("partition"), (id % 4).to_string());
        assert_eq!(header("offset"), (id / 4).to_string());
        assert!(!header("message").is_empty());
    }
    assert!(good.len() > 1000 && bad.len() > 300 && cheap > 100);
    println!("dead letters: {} written, {} dead letters, {cheap} filtered, each once", good.len(), bad.len());
}

#[test]
fn a_bad_record_ends_the_program_unless_configured_otherwise() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client);
    let producer: BaseProducer = client.config().create().unwrap();
    write(&producer, &app.input, 1, &event(0, 60.0));
    write(&producer, &app.input, 1, "{]");
    producer.flush(Duration::from_secs(60)).unwrap();
    let mut run = app.start("");
    assert_eq!(run.exit_code(), 1, "{}", run.text());
    for part in [format!("bad record in {}-1 at offset 1", app.input), "next:".into(), "dead-letter".into()] {
        assert!(run.text().contains(&part), "`{part}` is not in:\n{}", run.text());
    }
    let mut skipping = App::with(app.elsewhere(), "on-bad-record", "skip").start("");
    until("the good record comes out", || {
        skipping.must_run();
        client.read(&app.output).len() == 1
    });
    println!("a bad record ends the program with its place; with `skip` it continues");
}
