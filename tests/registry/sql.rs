//! Scripts of SQL over topics in Avro, with schemas in the registry.

use crate::{
    NEW, OLD, framed,
    keys::Keys,
    order, peer,
    proxy::{Mode, Proxy},
    registry,
    running::{PATIENCE, log_of, put, run, values},
    server, unique,
};
use serde::{Deserialize, Serialize};
use std::{fs, sync::Arc, time::Instant};
use tidegate::{
    Config, Error, StreamingContext,
    codec::{AvroReader, BadRecord, Decode},
    config::Trigger,
    log::Log,
    record::RawChunkBuilder,
    registry::{Registry, RegistryConfig, Schema, SchemaKind, Subject},
    sql::{Script, SourceText},
};

fn script(text: &str) -> Script {
    Script::parse(SourceText::new("test.sql", text)).unwrap_or_else(|e| panic!("{e}"))
}

/// A script with `orders`, which are read, and `big`, which is written; `url` is where the schemas are.
fn orders_to_big(name: &str, url: &str, more: &str) -> Script {
    script(&format!(
        "CREATE TABLE orders (id BIGINT NOT NULL, `user` STRING, price DECIMAL(9, 2), note STRING) WITH (
             'connector' = 'kafka', 'topic' = 'orders', 'on-bad-record' = 'dead-letter',
             'format' = 'avro-confluent', 'avro-confluent.url' = '{url}' {more});
         CREATE TABLE big (id BIGINT NOT NULL, who STRING, price DOUBLE, note STRING, tags ARRAY<STRING>) WITH (
             'connector' = 'kafka', 'topic' = '{name}-big', 'key.format' = 'avro-confluent', 'key.fields' = 'id',
             'key.avro-confluent.url' = '{url}', 'value.format' = 'avro-confluent', 'value.avro-confluent.url' = '{url}');
         INSERT INTO big SELECT id, upper(`user`), price_as_double * 2, note, array[note, 'x'] FROM
             (SELECT id, `user`, CAST(price AS DOUBLE) AS price_as_double, note FROM orders);"
    ))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Big {
    id: i64,
    who: Option<String>,
    price: Option<f64>,
    note: Option<String>,
    tags: Option<Vec<Option<String>>>,
}

/// The values of a topic as rows, by their ids.
fn read_back(registry: &Registry, values: &[Vec<u8>]) -> Vec<Big> {
    let mut records = RawChunkBuilder::default();
    for value in values {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(value);
            Ok::<_, ()>(true)
        };
        records.push_with(0, None, write).unwrap();
    }
    let (mut good, mut bad): (Vec<Big>, Vec<BadRecord>) = (vec![], vec![]);
    AvroReader::new(registry).decode(&records.build(), &mut good, &mut bad);
    assert_eq!(bad, []);
    good.sort_by_key(|row| row.id);
    good
}

fn values_of(log: &dyn Log, topic: &str) -> Vec<Vec<u8>> {
    values(log, topic, "").into_iter().map(|(value, _)| value).collect()
}

/// A schema with a decimal, so that not all is text and double.
const MONEY: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
  {"name":"user","type":["string","null"]},{"name":"id","type":"int"}]}"#;

#[test]
fn a_script_reads_all_versions_and_writes_what_java_reads() {
    let proxy = Proxy::new(server::address());
    let (there, name) = (registry(), unique("script"));
    let subject = Subject::new(format!("{name}-orders"));
    let (config, log) = log_of(&name, &["orders"]);
    let register = |schema: &str| there.register(&subject, &Schema::new(SchemaKind::Avro, schema)).unwrap();
    let money = register(MONEY);
    // By hand: 1.25 as two digits behind the point, a branch and a text, the id.
    let good = [&[0][..], &money.0.to_be_bytes(), &[2, 125, 0, 6], b"ann", &[14]].concat();
    let unknown = [&[0, 0x7f, 0xff, 0xff, 0xfe], &good[5..]].concat();
    let of_doubles = framed(&there, &format!("{name}-doubles"), OLD, &order(1, None));
    let poison: [(&[u8], &str); 6] = [
        (&good[..good.len() - 1], "field `id` at byte 12: the record ends within a number"),
        (&[&good[..], b"more"].concat(), "4 bytes are left"),
        (b"\x01\0\0\0\x01rest", "0x01"),
        (b"", "is empty"),
        (&unknown, "schema 2147483646"),
        (&of_doubles, "column `price`: double cannot be DECIMAL(9, 2)"),
    ];
    let mut all: Vec<&[u8]> = vec![];
    for (bad, _) in poison {
        all.extend([&good[..], bad]);
    }
    all.push(&good);
    put(log.as_ref(), "orders", 0, &all);
    let posted = proxy.requests("POST");
    run(config, |ssc| ssc.sql(&orders_to_big(&name, &proxy.url(), "")));
    assert_eq!(proxy.requests("POST") - posted, 2, "a key and a value, once, at the start");
    assert_eq!(proxy.requests(&format!("/schemas/ids/{money} ")), 1);
    let letters = values(log.as_ref(), &format!("{name}-dlq"), "__tidegate.errors.message");
    assert_eq!(letters.len(), poison.len());
    for (bad, told) in poison {
        let (_, why) = letters.iter().find(|(value, _)| value == bad).expect("it is as it came");
        assert!(why.contains(told), "{told}: {why}");
    }
    let topic = format!("{name}-big");
    let written = values_of(log.as_ref(), &topic);
    let expected = Big {
        id: 7,
        who: Some("ANN".into()),
        price: Some(2.5),
        note: None,
        tags: Some(vec![None, Some("x".into())]),
    };
    assert_eq!(read_back(&there, &written), vec![expected; 7]);
    let (id, schema) = there.latest(&Subject::new(format!("{topic}-value"))).unwrap();
    let told = peer::read(schema.text(), &written);
    assert_eq!(told.len(), 7);
    let row = r#"{"id": 7, "who": "ANN", "price": 2.5, "note": null, "tags": [null, "x"]}"#;
    assert_eq!(told[0], format!("{id} {row}"));
    let (_, key) = there.latest(&Subject::new(format!("{topic}-key"))).unwrap();
    assert!(key.text().contains(r#"{"name":"id","type":"long"}"#), "a key is never null: {}", key.text());
}

#[test]
fn what_java_writes_is_read_by_a_script() {
    let (there, name) = (registry(), unique("from-java"));
    let subject = Subject::new(format!("{name}-orders"));
    let id = there.register(&subject, &Schema::new(SchemaKind::Avro, NEW)).unwrap();
    let (config, log) = log_of(&name, &["orders"]);
    let records = peer::write(NEW, id, 5);
    put(log.as_ref(), "orders", 1, &records.iter().map(|record| &record[..]).collect::<Vec<_>>());
    run(config, |ssc| {
        ssc.sql(&script(&format!(
            "CREATE TABLE orders (id INT, note STRING) WITH ('connector' = 'kafka', 'topic' = 'orders',
                 'format' = 'avro-confluent', 'avro-confluent.url' = '{}');
             CREATE TABLE noted (id INT, note STRING) WITH ('connector' = 'kafka', 'topic' = 'noted', 'format' = 'json');
             INSERT INTO noted SELECT id, note FROM orders WHERE note IS NOT NULL;",
            server::url()
        )));
    });
    let mut rows: Vec<String> =
        values_of(log.as_ref(), "noted").into_iter().map(|value| String::from_utf8(value).unwrap()).collect();
    rows.sort();
    assert_eq!(rows, [r#"{"id":1,"note":"note 1"}"#, r#"{"id":3,"note":"note 3"}"#]);
}

/// A script that writes what is in `ticks` to a topic, with these columns and options.
fn copying(topic: &str, url: &str, columns: &str, more: &str, values: &str) -> Script {
    script(&text_of_copying(topic, url, columns, more, values))
}

fn text_of_copying(topic: &str, url: &str, columns: &str, more: &str, values: &str) -> String {
    format!(
        "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'ticks', 'format' = 'json');
         CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'avro-confluent',
             'avro-confluent.url' = '{url}' {more});
         INSERT INTO t SELECT {values} FROM ticks;"
    )
}

/// A log with one tick.
fn with_a_tick(name: &str) -> (Config, Arc<dyn Log>) {
    let (config, log) = log_of(name, &["ticks"]);
    put(log.as_ref(), "ticks", 0, &[br#"{"n":1}"#]);
    (config, log)
}

/// Runs a script under a name that has read nothing.
fn run_anew(config: &Config, script: &Script) {
    let config = Config { application_id: unique("anew"), ..config.clone() };
    run(config, |ssc| ssc.sql(script));
}

fn refused(config: Config, script: &Script) -> Error {
    let ssc = StreamingContext::new(config);
    ssc.sql(script);
    ssc.start().unwrap_err()
}

#[test]
fn a_schema_follows_the_one_before_or_the_start_is_refused() {
    let (there, name) = (registry(), unique("evolves"));
    let subject = Subject::new(format!("{name}-t-value"));
    let before = r#"{"type":"record","name":"Tick","namespace":"a.b","fields":[{"name":"n","type":"long"}]}"#;
    there.register(&subject, &Schema::new(SchemaKind::Avro, before)).unwrap();
    let (status, told) = server::put(&format!("/config/{subject}"), r#"{"compatibility":"BACKWARD"}"#);
    assert_eq!(status, 200, "{told}");
    let topic = format!("{name}-t");
    let (config, log) = with_a_tick(&name);
    let longer = copying(&topic, &server::url(), "n BIGINT NOT NULL, note STRING", "", "n, 'new'");
    run_anew(&config, &longer);
    assert_eq!(values_of(log.as_ref(), &topic).len(), 1);
    let (id, newest) = there.latest(&subject).unwrap();
    let parts = [r#""name":"Tick","namespace":"a.b""#, "note"];
    assert!(parts.iter().all(|part| newest.text().contains(part)), "{}", newest.text());
    let told = refused(
        config.clone(),
        &copying(
            &topic,
            &server::url(),
            "n BIGINT NOT NULL, note STRING, k BIGINT NOT NULL",
            "",
            "n, 'x', 1",
        ),
    );
    assert_eq!(told.exit_code(), 4);
    let told = told.to_string();
    assert!(told.contains("409") && told.contains(&subject.to_string()) && told.contains("next: "), "{told}");
    assert_eq!(there.latest(&subject).unwrap().0, id, "nothing was registered");
    assert_eq!(values_of(log.as_ref(), &topic).len(), 1, "and nothing was written");

    // Where somebody else registers, the schema must be there.
    let only_known = ", 'avro-confluent.properties.auto.register.schemas' = 'false'";
    let columns = "n BIGINT NOT NULL, note STRING";
    run_anew(&config, &copying(&topic, &server::url(), columns, only_known, "n, 'again'"));
    assert_eq!(values_of(log.as_ref(), &topic).len(), 2);
    let told =
        refused(config.clone(), &copying(&topic, &server::url(), "n BIGINT", only_known, "n")).to_string();
    assert!(told.contains("looking up a schema") && told.contains("404"), "{told}");

    // A schema of one's own, under a subject of one's own.
    let schema = r#"{"type":"record","name":"Own","fields":[{"name":"kind","type":{"type":"enum","name":"K","symbols":["A","B"]}},
        {"name":"n","type":"long","doc":"how many"}]}"#;
    let more = format!(", 'avro-confluent.subject' = '{name}-own', 'avro-confluent.schema' = '{schema}'");
    run_anew(
        &config,
        &copying(&topic, &server::url(), "n BIGINT NOT NULL, kind STRING NOT NULL", &more, "n, 'B'"),
    );
    let (id, own) = there.latest(&Subject::new(format!("{name}-own"))).unwrap();
    assert!(own.text().contains("how many"));
    let written = values_of(log.as_ref(), &topic);
    let expected = [&[0][..], &id.0.to_be_bytes(), &[2, 2]].concat();
    assert!(written.contains(&expected), "{written:?}");
}

#[test]
fn a_check_asks_the_registry_and_registers_nothing() {
    let (there, name) = (registry(), unique("checked"));
    let topic = format!("{name}-t");
    let subject = Subject::new(format!("{topic}-value"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("copy.sql");
    let ticks = |url: &str, columns: &str, more: &str, values: &str| -> Vec<(String, String)> {
        fs::write(&file, text_of_copying(&topic, url, columns, more, values)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["check", "--live", "--bootstrap", "memory:", "--output", "json", "--script"])
            .arg(&file);
        let answer: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let of_registry =
            answer["ticks"].as_array().unwrap().iter().filter(|tick| tick["name"] == "registry");
        let text = |tick: &serde_json::Value, name: &str| tick[name].as_str().unwrap().to_owned();
        of_registry.map(|tick| (text(tick, "outcome"), text(tick, "detail"))).collect()
    };
    let answers = ("ok".to_owned(), format!("{} answers", server::url()));
    let found = |outcome: &str, detail: String| vec![answers.clone(), (outcome.to_owned(), detail)];
    let url = server::url();
    let none = format!("subject `{subject}` has no schema yet: the start registers one");
    assert_eq!(ticks(&url, "n BIGINT NOT NULL", "", "n"), found("ok", none));
    let before = r#"{"type":"record","name":"Tick","namespace":"a.b","fields":[{"name":"n","type":"long"}]}"#;
    let id = there.register(&subject, &Schema::new(SchemaKind::Avro, before)).unwrap();
    let (status, told) = server::put(&format!("/config/{subject}"), r#"{"compatibility":"BACKWARD"}"#);
    assert_eq!(status, 200, "{told}");
    let follows = format!("subject `{subject}`: the schema of what is written may follow schema {id}");
    assert_eq!(ticks(&url, "n BIGINT NOT NULL, note STRING", "", "n, 'x'"), found("ok", follows));
    let refused = &ticks(&url, "n BIGINT NOT NULL, k BIGINT NOT NULL", "", "n, 1")[1];
    assert!(
        refused.0 == "failed" && refused.1.contains("may not follow") && refused.1.contains("next: "),
        "{refused:?}"
    );
    let only_known = ", 'avro-confluent.properties.auto.register.schemas' = 'false'";
    let is = format!("subject `{subject}`: what is written has schema {id}");
    assert_eq!(ticks(&url, "n BIGINT NOT NULL", only_known, "n"), found("ok", is));
    assert_eq!(ticks(&url, "n BIGINT", only_known, "n")[1].0, "failed");
    assert_eq!(there.latest(&subject).unwrap().0, id, "nothing was registered");
    let demanding = Proxy::demanding(server::address(), "Bearer abc.def");
    let unknown = &ticks(&demanding.url(), "n BIGINT", "", "n")[0];
    assert!(unknown.0 == "failed" && unknown.1.contains("401"), "{unknown:?}");
    let nobody = &ticks("http://127.0.0.1:1", "n BIGINT", "", "n")[0];
    assert!(nobody.0 == "failed" && nobody.1.contains("http://127.0.0.1:1"), "{nobody:?}");
}

#[test]
fn a_script_shows_who_it_is_and_secrets_come_from_files() {
    let keys = Keys::new();
    let secret = Proxy::demanding(server::address(), "Basic YW5uOnPDpGNyZXQ6IQ=="); // ann:säcret:!
    let bearer = Proxy::demanding(server::address(), "Bearer abc.def");
    let mutual = Proxy::with_tls(server::address(), &keys, true);
    let dir = tempfile::tempdir().unwrap();
    let (user, token) = (dir.path().join("user"), dir.path().join("token"));
    fs::write(&user, "ann:säcret:!\n").unwrap();
    fs::write(&token, "abc.def").unwrap();
    let (certificate, key) = keys.client();
    let tls = format!(
        ", 'avro-confluent.ssl.ca.location' = '{}', 'avro-confluent.ssl.certificate.location' = '{}', 'avro-confluent.ssl.key.location' = '{}'",
        keys.authority().display(),
        certificate.display(),
        key.display()
    );
    let of = |proxy: &Proxy, more: &str| {
        let name = unique("secrets");
        let (config, log) = with_a_tick(&name);
        let topic = format!("{name}-t");
        run_anew(&config, &copying(&topic, &proxy.url(), "n BIGINT", more, "n"));
        assert_eq!(values_of(log.as_ref(), &topic).len(), 1, "{more}");
    };
    of(
        &secret,
        ", 'avro-confluent.basic-auth.user-info' = 'ann:säcret:!', 'avro-confluent.basic-auth.credentials-source' = 'USER_INFO'",
    );
    of(&secret, &format!(", 'avro-confluent.basic-auth.user-info.file' = '{}'", user.display()));
    of(&bearer, &format!(", 'avro-confluent.bearer-auth.token.file' = '{}'", token.display()));
    of(&mutual, &tls);
    let (config, _) = with_a_tick(&unique("secrets"));
    let wrong =
        copying("t", &secret.url(), "n BIGINT", ", 'avro-confluent.basic-auth.user-info' = 'ann:guess'", "n");
    let told = refused(config, &wrong).to_string();
    assert!(told.contains("401") && !told.contains("guess"), "{told}");
}

#[test]
fn the_start_waits_for_the_registry_and_records_wait_for_it_later() {
    let proxy = Proxy::new(server::address());
    let (there, name) = (registry(), unique("script-waits"));
    let subject = format!("{name}-value");
    let known = framed(&there, &subject, OLD, &order(1, None));
    let later = framed(&there, &subject, NEW, &order(2, Some("x")));
    let (mut config, log) = log_of(&name, &["orders"]);
    config.trigger = Trigger::AsSoonAsPossible;
    put(log.as_ref(), "orders", 0, &[&known]);
    let ssc = StreamingContext::new(config);
    ssc.sql(&script(&format!(
        "CREATE TABLE orders (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'avro-confluent',
             'avro-confluent.url' = '{}');
         CREATE TABLE ids (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'ids', 'format' = 'json');
         INSERT INTO ids SELECT id FROM orders;",
        proxy.url()
    )));
    proxy.set(Mode::Away);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| ssc.start());
        while proxy.requests("/schemas/types") < 3 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        proxy.set(Mode::Pass);
        starting.join().unwrap().unwrap();
    });
    let until = |what: &str, rows: usize| {
        let begun = Instant::now();
        while values_of(log.as_ref(), "ids").len() != rows {
            assert!(begun.elapsed() < PATIENCE && ssc.is_running(), "{what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    until("the first is read", 1);
    proxy.set(Mode::Away);
    put(log.as_ref(), "orders", 0, &[&known, &later, &known]);
    put(log.as_ref(), "orders", 1, &[&known]);
    until("what is known goes on", 3);
    let asked = proxy.requests("/schemas/ids/");
    let begun = Instant::now();
    while proxy.requests("/schemas/ids/") < asked + 2 {
        assert!(begun.elapsed() < PATIENCE, "it is asked for again");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    proxy.set(Mode::Pass);
    until("nothing is lost", 5);
    ssc.stop(true);
    ssc.await_termination().unwrap();
}

#[test]
fn several_servers_are_asked_in_turn() {
    let (gone, there) = (Proxy::new(server::address()), Proxy::new(server::address()));
    gone.set(Mode::Away);
    let name = unique("servers");
    let (config, log) = with_a_tick(&name);
    let urls = format!("{}, {}", gone.url(), there.url());
    run_anew(&config, &copying(&format!("{name}-t"), &urls, "n BIGINT", "", "n"));
    assert_eq!(values_of(log.as_ref(), &format!("{name}-t")).len(), 1);
    assert!(gone.requests("") > 0 && there.requests("POST") > 0);
    Registry::connect(&RegistryConfig::new(&urls)).unwrap();
}

#[test]
fn the_script_of_the_guide_runs() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas.md")).unwrap();
    let (_, rest) = page.split_once("```sql\n").expect("the guide shows a script");
    let (text, _) = rest.split_once("```").unwrap();
    let text = text.replace("http://127.0.0.1:8081", &server::url());
    assert_eq!(text.matches(&server::url()).count(), 2);
    let (there, name) = (registry(), unique("guide"));
    let schema = r#"{"type":"record","name":"Order","fields":[{"name":"price","type":"double"},{"name":"id","type":"long"}]}"#;
    let id = there
        .register(&Subject::new(format!("{name}-orders")), &Schema::new(SchemaKind::Avro, schema))
        .unwrap();
    let order = |price: f64, n: u8| [&[0][..], &id.0.to_be_bytes(), &price.to_le_bytes(), &[n * 2]].concat();
    let (config, log) = log_of(&name, &["orders"]);
    put(log.as_ref(), "orders", 0, &[&order(49.5, 1), &order(50.5, 2)]);
    run(config, |ssc| ssc.sql(&script(&text)));
    let written = values_of(log.as_ref(), "expensive");
    let (id, _) = there.latest(&Subject::new("expensive-value")).unwrap();
    let row = [&[0][..], &id.0.to_be_bytes(), &[4, 2], &50.5f64.to_le_bytes()].concat();
    assert_eq!(written, [row]);
}

#[test]
fn a_table_by_key_is_written_and_read_in_avro_and_a_row_that_goes_is_a_null() {
    let (there, name, url) = (registry(), unique("by-key"), server::url());
    let (config, log) = log_of(&name, &["orders"]);
    let open = format!(
        "CREATE TABLE open (`user` STRING NOT NULL, orders BIGINT, PRIMARY KEY (`user`) NOT ENFORCED) WITH (
             'connector' = 'upsert-kafka', 'topic' = '{name}-open',
             'key.format' = 'avro-confluent', 'key.avro-confluent.url' = '{url}',
             'value.format' = 'avro-confluent', 'value.avro-confluent.url' = '{url}');"
    );
    let counts = script(&format!(
        "CREATE TABLE orders (`user` STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
         {open}
         INSERT INTO open SELECT `user`, sum(n) FROM orders GROUP BY `user` HAVING sum(n) > 0;"
    ));
    for orders in [
        [r#"{"user":"ann","n":2}"#, r#"{"user":"bob","n":1}"#],
        [r#"{"user":"bob","n":-1}"#, r#"{"user":"cy","n":5}"#],
    ] {
        put(log.as_ref(), "orders", 0, &orders.map(str::as_bytes));
        run(config.clone(), |ssc| ssc.sql(&counts));
    }
    let written = values_of(log.as_ref(), &format!("{name}-open"));
    assert_eq!(
        (written.len(), written.iter().filter(|value| value.is_empty()).count()),
        (4, 1),
        "{written:?}"
    );
    for part in ["key", "value"] {
        let (_, schema) = there.latest(&Subject::new(format!("{name}-open-{part}"))).unwrap();
        assert!(schema.text().contains("user"), "{}", schema.text());
    }
    let copy = script(&format!(
        "{open}
         CREATE TABLE copy (`user` STRING, orders BIGINT, PRIMARY KEY (`user`) NOT ENFORCED) WITH (
             'connector' = 'upsert-kafka', 'topic' = '{name}-copy', 'format' = 'json');
         INSERT INTO copy SELECT `user`, orders FROM open;"
    ));
    run_anew(&config, &copy);
    let mut rows: Vec<String> = values_of(log.as_ref(), &format!("{name}-copy"))
        .into_iter()
        .map(|value| String::from_utf8(value).unwrap())
        .filter(|value| !value.is_empty() && !value.contains("bob"))
        .collect();
    rows.sort();
    assert_eq!(rows, [r#"{"user":"ann","orders":2}"#, r#"{"user":"cy","orders":5}"#]);
}
