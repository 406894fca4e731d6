//! `tidegate` against a broker, as an operator runs it: what it says of a program that runs, and what it changes of one that does not.

use super::{
    Random,
    client::{Client, Row},
    program::App,
    secure,
    words::Lines,
};
use crate::{
    kafka::{Kafka, free_port},
    subject::bootstrap,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::{Command, Output},
    time::Duration,
};

/// What a subcommand says.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let Output { status, stdout, stderr } = command.args(args).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// About an application; it must succeed.
fn ask(app: &App, line: &str) -> String {
    let mut args: Vec<&str> = line.split(' ').collect();
    let bootstrap = bootstrap();
    args.extend(["--bootstrap", &bootstrap, "--application-id", &app.id]);
    let said = run(&args);
    assert_eq!((said.code, &*said.err), (0, ""), "{line}: {}", said.out);
    said.out
}

fn json(app: &App, line: &str) -> Value {
    serde_json::from_str(&ask(app, &format!("{line} --output json"))).unwrap()
}

/// The last count of each word.
fn last(rows: &[Row]) -> BTreeMap<String, u64> {
    rows.iter().map(|row| (row.key.clone(), row.value.parse().unwrap())).collect()
}

#[test]
fn cli_tells_lag_checkpoint_and_topics_and_resets_with_exact_counts() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with_flag("leave");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut running = app.start("");
    app.catch_up(&client, &mut running);
    let lag = json(&app, "lag");
    assert_eq!((lag["records"].as_u64(), lag["processes"][0].as_str()), (Some(0), Some("pod-1")), "{lag:#}");
    let members =
        run(&["reset", "--to", "earliest", "--bootstrap", &bootstrap(), "--application-id", &app.id]);
    assert_eq!(members.code, 1, "{}", members.err);
    assert!(
        members.err.contains("1 process is in the group") && members.err.contains("pod-1"),
        "{}",
        members.err
    );
    let explained = ask(&app, "explain");
    assert!(explained.contains("pod-1") && explained.contains("table str -> u64"), "{explained}");
    running.stop();

    // What a person sees.
    lines.write(40, 4);
    lines.flush();
    println!("{}", ask(&app, "lag"));
    println!("{}", ask(&app, "checkpoint show"));
    println!("{}", ask(&app, "topics --measure"));
    assert_eq!(json(&app, "lag")["records"], 40);
    let checkpoint = json(&app, "checkpoint show");
    assert!(
        checkpoint["statePartitions"][0]["token"].as_str().unwrap().starts_with("pod-1/1/"),
        "{checkpoint:#}"
    );
    assert_eq!(checkpoint["inputs"][0]["startReads"], "from 100", "{checkpoint:#}");
    let topics = json(&app, "topics");
    let names: Vec<&str> =
        topics["topics"].as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap()).collect();
    let own = ["changelog", "exchange", "meta"].map(|kind| format!("{}-{kind}", app.id));
    assert_eq!(names, [&own[0], &own[1], &own[2], &app.input].map(String::as_str));

    // A directory from before the reset, one that is lost, and one that comes back later: counts are exact each time.
    let elsewhere = app.elsewhere();
    for round in 0..3 {
        let would = json(&app, "reset --to earliest --dry-run");
        assert_eq!(would["inputs"].as_array().unwrap().len(), 4, "{would:#}");
        println!("{}", ask(&app, "reset --to earliest"));
        let here = if round == 1 { &elsewhere } else { &app };
        if round == 0 {
            let mark = ask(&app, "checkpoint show");
            assert!(mark.contains("set by hand"), "{mark}");
        }
        let mut running = here.start("");
        here.catch_up(&client, &mut running);
        running.stop();
        assert_eq!(last(&client.read(&app.output)), lines.truth, "round {round}");
        lines.write(40, 4);
        lines.flush();
        let mut running = here.start("");
        here.catch_up(&client, &mut running);
        running.stop();
        assert_eq!(last(&client.read(&app.output)), lines.truth, "round {round}, gone on");
    }
    reset_to_the_end_counts_only_what_comes_then(&client, &app, &mut lines);
}

fn reset_to_the_end_counts_only_what_comes_then(client: &Client, app: &App, lines: &mut Lines) {
    let done = json(app, "reset --to latest");
    assert!(done["state"]["keys"].as_u64().unwrap() > 400, "{done:#}");
    let before = lines.truth.clone();
    lines.write(40, 4);
    lines.flush();
    let mut running = app.start("");
    app.catch_up(client, &mut running);
    running.stop();
    let now = last(&client.read(&app.output));
    for (word, count) in &lines.truth {
        let new = count - before.get(word).copied().unwrap_or_default();
        assert!(new == 0 || now[word] == new, "{word}: {} is not {new}", now[word]);
    }
}

fn event(id: u64) -> String {
    format!(r#"{{"id":{id},"user":"u","item":"i","price":99.5,"ts":{id},"page":"p"}}"#)
}

#[test]
fn cli_replays_dead_letters_to_where_they_came_from() {
    let client = Client::new(&bootstrap());
    let app = App::new("filter_project", &client).with("on-bad-record", "dead-letter").with_flag("leave");
    let producer: BaseProducer = client.config().set("enable.idempotence", "true").create().unwrap();
    for id in 0..40 {
        let (partition, value) =
            (i32::try_from(id % 4).unwrap(), if id % 4 == 1 { "no JSON".to_owned() } else { event(id) });
        let record = BaseRecord::<(), _>::to(&app.input).payload(&value).partition(partition);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    let mut running = app.start("");
    app.catch_up(&client, &mut running);
    println!("{}", ask(&app, "dlq list --limit 3"));
    assert_eq!(json(&app, "dlq list")["count"], 10);
    let letter = json(&app, "dlq list")["letters"][0]["letter"].to_string();
    println!("{}", ask(&app, &format!("dlq show {letter}")));
    let before = client.ends(&app.input);
    ask(&app, "dlq replay --all --dry-run");
    assert_eq!(client.ends(&app.input), before, "a dry run writes nothing");
    println!("{}", ask(&app, "dlq replay --from-partition 1 --from-offsets 0..4"));
    app.catch_up(&client, &mut running);
    running.stop();
    assert_eq!(json(&app, "dlq list")["count"], 14, "still bad: four new letters");
    let replayed: Vec<Row> = client
        .read(&app.input)
        .into_iter()
        .filter(|row| row.headers.contains_key("__tidegate.replayed"))
        .collect();
    assert_eq!(replayed.len(), 4);
    client.create(&format!("{}-repaired", app.id), 2);
    let to = json(&app, &format!("dlq replay --all --to {}-repaired", app.id));
    assert_eq!(to["written"][0]["records"], 14, "{to:#}");
    assert_eq!(client.read(&format!("{}-repaired", app.id)).len(), 14);
}

/// The ticks of `check --live`, by name, and all that was said.
fn ticks(args: &[&str]) -> (BTreeMap<String, (String, String)>, Said) {
    let mut all =
        vec!["check", "--live", "--connect-timeout-ms", "8000", "--state-dir", "/tmp", "--output", "json"];
    all.extend(args);
    let said = run(&all);
    let answer: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {} {}", said.out, said.err));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tick = |tick: &Value| (text(&tick["name"]), (text(&tick["outcome"]), text(&tick["detail"])));
    all[7] = "table";
    println!("{}", run(&all).out);
    (answer["ticks"].as_array().unwrap().iter().map(tick).collect(), said)
}

/// The tick that failed, with what it says; all before it are fine, all behind it are skipped.
fn failed(args: &[&str]) -> (String, String, i32) {
    let (ticks, said) = ticks(args);
    let failed: Vec<_> = ticks.iter().filter(|(_, (outcome, _))| outcome == "failed").collect();
    let [(name, (_, detail))] = failed.as_slice() else { panic!("{}", said.out) };
    assert!(detail.contains("next:"), "{detail}");
    assert!(
        !said.out.contains("canary") && !said.err.contains("canary"),
        "a secret is shown: {} {}",
        said.out,
        said.err
    );
    ((*name).clone(), detail.clone(), said.code)
}

#[test]
fn cli_check_names_the_step_that_fails() {
    let kafka = Kafka::start_secure(&secure::properties);
    let (plain, secured) = (kafka.bootstrap(), kafka.secure_bootstrap());
    let client = Client::new(&plain);
    client.create("check-in", 2);
    let closed = format!("127.0.0.1:{}", free_port());
    let id = ["--application-id", "check-app"];
    let with = |more: &[&str]| failed(&[&id[..], more].concat());

    let (name, detail, code) = with(&["--bootstrap", "no-such-host.invalid:9092"]);
    assert_eq!((&*name, code), ("resolve", 4), "{detail}");
    let (name, detail, code) = with(&["--bootstrap", &closed]);
    assert_eq!((&*name, code), ("tcp", 4), "{detail}");
    let (name, detail, _) = with(&["--bootstrap", &plain, "--topic", "check-in", "--topic", "check-out"]);
    assert!(name == "topics" && detail.contains("topic `check-out`: does not exist"), "{name}: {detail}");

    let ca = format!("ssl.ca.location={}", kafka.home().join("broker.crt").display());
    let other = format!("ssl.ca.location={}", kafka.home().join("other.crt").display());
    let secret = kafka.home().join("password");
    let of_file = format!("sasl.password.file={}", secret.display());
    let sasl = [
        "-X",
        "security.protocol=sasl_ssl",
        "-X",
        "sasl.mechanism=PLAIN",
        "-X",
        "sasl.username=app",
        "--bootstrap",
        &secured,
    ];
    std::fs::write(&secret, "canary\n").unwrap();
    let (name, detail, code) = with(&[&sasl[..], &["-X", &ca, "-X", &of_file]].concat());
    assert_eq!((&*name, code), ("sasl", 4), "{detail}");
    let (name, detail, _) = with(&[&sasl[..], &["-X", &ca, "-X", "sasl.password=canary"]].concat());
    assert_eq!(&*name, "sasl", "{detail}");
    let (name, detail, _) = with(&[&sasl[..], &["-X", &other, "-X", "sasl.password=canary"]].concat());
    assert_eq!(&*name, "tls", "{detail}");
    // The password is right, but the user has no right to anything.
    std::fs::write(&secret, "secret\n").unwrap();
    let (name, detail, _) = with(&[&sasl[..], &["-X", &ca, "-X", &of_file, "--topic", "check-in"]].concat());
    assert!(["topics", "rights", "transactions"].contains(&&*name), "{name}: {detail}");

    let (ticks, said) = ticks(&[&id[..], &["--bootstrap", &plain, "--topic", "check-in"]].concat());
    assert_eq!(said.code, 0, "{}", said.out);
    assert_eq!(ticks["replication"].0, "warning", "a single broker: {}", said.out);
    let fine = [
        "settings",
        "log",
        "state directory",
        "resolve",
        "tcp",
        "metadata",
        "topics",
        "rights",
        "transactions",
    ];
    fine.iter().for_each(|name| assert_eq!(ticks[*name].0, "ok", "{name}: {}", said.out));
}
