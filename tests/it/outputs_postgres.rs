//! Rows in tables of a real Postgres: what they look like, what is refused, and what a server that dies leaves
//! behind.

use crate::{
    contract::{TestConsumer, tp},
    driver::{PLAIN, Session},
    postgres::Postgres,
};
use expect_test::expect;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};
use tidegate::{
    BadRecordPolicy, PostgresSink, SourceOptions, StreamingContext, Text,
    codec::{Json, Utf8},
    record::{Offset, RawChunk, RawChunkBuilder},
    sink::outbox::{OutboxFailure, OutboxSource, OutboxWriter},
};

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: Option<String>,
    amount: f32,
    tags: Vec<Option<String>>,
    more: BTreeMap<String, i32>,
    blob: Vec<u8>,
    at: String,
    ok: bool,
}

const TABLE: &str = "CREATE TABLE \"Or\"\"ders\" (serial int GENERATED ALWAYS AS IDENTITY, id numeric(20), name varchar(8) DEFAULT 'x', \
    amount real, tags text[], more jsonb, blob bytea, at timestamptz, ok boolean, made timestamptz DEFAULT now())";

fn insert(url: &str) -> impl Fn(&StreamingContext) + use<> {
    let url = url.to_owned();
    move |ssc| {
        let rows = ssc.source::<Row>(SourceOptions::topic("rows"), Json);
        rows.to_postgres(PostgresSink::new(&url, "Or\"ders").named("orders"));
    }
}

fn rows(ids: &[(u64, &str)]) -> String {
    let row = |(id, name): &(u64, &str)| {
        format!(
            "rows 0 | - | {{\"id\":{id},\"name\":{name},\"amount\":0.1,\"tags\":[\"a\\t\\\\\",null],\"more\":{{\"k\":1}},\"blob\":[0,255],\"at\":\"2026-11-22T14:05:05Z\",\"ok\":true}}\n"
        )
    };
    ids.iter().map(row).collect()
}

const SHOW: &str = "SELECT concat_ws(' ', serial, id, coalesce(name, '-'), amount, tags, more, blob, at AT TIME ZONE 'UTC', ok, made IS NOT NULL) \
    FROM \"Or\"\"ders\" ORDER BY serial";

#[test]
fn rows_of_a_struct_are_inserted_by_field() {
    let postgres = Postgres::start();
    postgres.run(TABLE);
    let mut session = Session::new(PLAIN);
    let build = insert(&postgres.url(""));
    session.feed(&rows(&[(u64::MAX, "null"), (2, r#""a\"\n""#)]));
    session.run(&build).unwrap();
    session.run(&build).unwrap();
    expect![[r#"
        1 18446744073709551615 - 0.1 {"a	\\",NULL} {"k": 1} \x00ff 2026-11-22 14:05:05 t t|2 2 a"
         0.1 {"a	\\",NULL} {"k": 1} \x00ff 2026-11-22 14:05:05 t t"#]]
    .assert_eq(&postgres.texts(SHOW).join("|"));
}

fn counts(url: &str) -> impl Fn(&StreamingContext) + use<> {
    let url = url.to_owned();
    move |ssc| {
        let words = ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| (word, 1i64));
        let counts = words.running_reduce_by_key(|a, b| a + b);
        counts.to_postgres(
            PostgresSink::new(&url, "s.counts").columns(["word", "n"]).upsert(["word"]).named("counts"),
        );
        words.map(|(word, _)| word).to_postgres(PostgresSink::new(&url, "words").columns(["word"]));
    }
}

const COUNTS: &str =
    "CREATE SCHEMA s; CREATE TABLE s.counts (word text PRIMARY KEY, n int); CREATE TABLE words (word text)";

#[test]
fn the_last_row_of_a_key_remains() {
    let postgres = Postgres::start();
    postgres.run(COUNTS);
    let mut session = Session::new(PLAIN);
    let build = counts(&postgres.url(""));
    for lines in ["lines 0 | - | a b a\nlines 1 | - | a\n", "lines 0 | - | b c\n", ""] {
        session.feed(lines);
        session.run(&build).unwrap();
    }
    let show = "SELECT word || ' ' || n FROM s.counts ORDER BY 1";
    assert_eq!(postgres.texts(show), ["a 3", "b 2", "c 1"]);
    assert_eq!(postgres.texts("SELECT string_agg(word, '' ORDER BY word) FROM words"), ["aaabbc"]);
    let positions = postgres.texts("SELECT topic || ' ' || position FROM tidegate_positions ORDER BY 1");
    assert_eq!(positions.len(), 2, "{positions:?}");
    // A log that keeps only what is unread knows the writers' positions.
    let topic = "app-postgres-counts";
    let consumer = TestConsumer::join(&session.log, topic, "look", &[]);
    let position = consumer.member.committed(&[tp(topic, 0)])().unwrap().remove(0);
    let position = format!("{topic} {}", position.expect("position").offset);
    assert!(positions.contains(&position), "{position}: {positions:?}");
}

#[test]
fn a_refused_row_stops_the_program_and_is_not_lost() {
    let postgres = Postgres::start();
    postgres.run(COUNTS);
    postgres.run("ALTER TABLE words ADD CHECK (word <> 'bad'); ALTER TABLE words ALTER word TYPE varchar(3)");
    let mut session = Session::new(PLAIN);
    let build = counts(&postgres.url(""));
    session.feed("lines 0 | - | a b c bad d long\n");
    let error_of = |session: &mut Session, port: u16| {
        session.run(&build).unwrap_err().to_string().replace(&port.to_string(), "PORT")
    };
    expect![[r#"
        table `words` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 3 of app-postgres-words is refused: new row for relation "words" violates check constraint "words_word_check" (23514), constraint "words_word_check"; Failing row contains (bad).; COPY words, line 1: "bad"
          next: fix the cause and start again; the rows are kept and will be written then"#]].assert_eq(&error_of(&mut session, postgres.port));
    let words = || postgres.texts("SELECT string_agg(word, ' ' ORDER BY word) FROM words");
    assert_eq!(words(), ["a b c"]);
    postgres.run("ALTER TABLE words DROP CONSTRAINT words_word_check");
    expect![[r#"
        table `words` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 5 of app-postgres-words is refused: value too long for type character varying(3) (22001); COPY words, line 1, column word: "long"
          next: fix the cause and start again; the rows are kept and will be written then"#]].assert_eq(&error_of(&mut session, postgres.port));
    postgres.run("ALTER TABLE words ALTER word TYPE text");
    session.run(&build).unwrap();
    session.run(&build).unwrap();
    assert_eq!(words(), ["a b bad c d long"]);
}

#[test]
fn misfits_are_reported_before_rows_are_lost() {
    let postgres = Postgres::start();
    let mut session = Session::new(PLAIN);
    let build = insert(&postgres.url(""));
    session.feed(&rows(&[(1, "null")]));
    let error_of = |session: &mut Session, _: &str| {
        session.run(&build).unwrap_err().to_string().replace(&postgres.port.to_string(), "PORT")
    };
    let mut all = vec![error_of(&mut session, "no table")];
    postgres.run("CREATE TABLE \"Or\"\"ders\" (id text)");
    all.push(error_of(&mut session, "a column is missing"));
    postgres.run("DROP TABLE \"Or\"\"ders\"");
    postgres.run(TABLE);
    postgres.run("UPDATE tidegate_positions SET position = 1000000");
    all.push(error_of(&mut session, "beyond the end"));
    postgres.run("UPDATE tidegate_positions SET position = 0, topic_id = 'another'");
    if session.log.describe(&["app-postgres-orders"]).unwrap()[0].as_ref().is_some_and(|t| !t.id.is_empty()) {
        all.push(
            session
                .run(&build)
                .unwrap_err()
                .to_string()
                .split("(id ")
                .next()
                .unwrap()
                .replace(&postgres.port.to_string(), "PORT"),
        );
    }
    postgres.run("UPDATE tidegate_positions SET topic_id = ''");
    session.run(&build).unwrap();
    assert_eq!(postgres.texts(SHOW).len(), 1);
    expect![[r#"
        table `Or"ders` of Postgres at 127.0.0.1:PORT/postgres: does not exist, or is not visible
          help: create it with a column for each field of the rows
          next: fix the cause and start again; the rows are kept and will be written then
        table `Or"ders` of Postgres at 127.0.0.1:PORT/postgres: there is no column `amount`; there are: id text
          next: fix the cause and start again; the rows are kept and will be written then
        recovery refused: output `postgres-orders` from app-postgres-orders: rows up to offset 1000000 are written, but the topic ends at 1: it lost its end, or was deleted and recreated
          next: decide what to do with the table, then set the position in tidegate_positions to 0
        table `Or"ders` of Postgres at 127.0.0.1:PORT/postgres: was filled from another topic `app-postgres-orders` "#]].assert_eq(&all.join("\n"));
}

#[test]
fn a_refused_row_is_left_out_or_kept_apart_if_asked_for() {
    let postgres = Postgres::start();
    postgres.run(
        "CREATE TABLE skipped (n int CHECK (n <> 3)); CREATE TABLE kept (n int PRIMARY KEY CHECK (n <> 3))",
    );
    let build = |ssc: &StreamingContext| {
        let numbers = ssc.text("numbers").map(|line| line.to_string());
        let sink = |table: &str| PostgresSink::new(&postgres.url(""), table).columns(["n"]);
        numbers.to_postgres(sink("skipped").on_refused_row(BadRecordPolicy::Skip));
        numbers.to_postgres(sink("kept").upsert(["n"]).on_refused_row(BadRecordPolicy::DeadLetter));
    };
    let mut session = Session::new(PLAIN);
    session.feed("numbers 0 | - | 1\nnumbers 0 | - | 2\nnumbers 0 | - | 3\nnumbers 0 | - | four\nnumbers 0 | - | 3000000000\nnumbers 0 | - | 6\n");
    session.run(&build).unwrap();
    session.run(&build).unwrap();
    for table in ["skipped", "kept"] {
        let rows = postgres.texts(&format!("SELECT string_agg(n::text, ' ' ORDER BY n) FROM {table}"));
        assert_eq!(rows, ["1 2 6"], "{table}");
    }
    let show = "SELECT concat_ws(' ', application, topic, record_offset, destination, content, substring(reason FROM '[(]([0-9A-Z]{5})[)]')) \
        FROM tidegate_dead_letters ORDER BY record_offset";
    expect![[r#"
        app app-postgres-kept 2 kept {"n":"3"} 23514
        app app-postgres-kept 3 kept {"n":"four"} 22P02
        app app-postgres-kept 4 kept {"n":"3000000000"} 22003"#]]
    .assert_eq(&postgres.texts(show).join("\n"));
}

#[test]
fn what_no_column_can_hold_is_a_bad_record_of_its_source_and_what_json_lacks_is_postgres_own() {
    let postgres = Postgres::start();
    postgres.run("CREATE TABLE measured (name text, v float8, all_of float8[])");
    let build = |ssc: &StreamingContext| {
        let options = SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::Skip);
        let lines = ssc.source::<Text>(options, Utf8);
        let rows = lines.map(|line| {
            let v: f64 = line.rsplit(':').next().unwrap_or_default().parse().unwrap_or(1.0);
            (line.replace("NUL", "\0"), v, vec![Some(v), None])
        });
        rows.to_postgres(PostgresSink::new(&postgres.url(""), "measured").columns(["name", "v", "all_of"]));
    };
    let mut session = Session::new(PLAIN);
    let lines = ["ok", "aNULb", "n:NaN", "i:inf", "m:-inf"].map(|line| format!("lines 0 | - | {line}\n"));
    session.feed(&lines.concat());
    session.run(&build).unwrap();
    let rows = postgres.texts("SELECT concat_ws(' ', name, v, all_of) FROM measured ORDER BY name");
    expect![[r#"
        i:inf Infinity {Infinity,NULL}
        m:-inf -Infinity {-Infinity,NULL}
        n:NaN NaN {NaN,NULL}
        ok 1 {1,NULL}"#]]
    .assert_eq(&rows.join("\n"));
}

fn one(value: &str) -> RawChunk {
    let mut chunk = RawChunkBuilder::default();
    let write = |out: &mut Vec<u8>| {
        out.extend(value.as_bytes());
        Ok::<_, ()>(true)
    };
    chunk.push_with(-1, None, write).unwrap();
    chunk.build()
}

#[test]
fn of_two_writers_one_continues() {
    let postgres = Postgres::start();
    postgres.run(COUNTS);
    let ssc = StreamingContext::builder("app").build();
    counts(&postgres.url(""))(&ssc);
    let make = ssc.topology().outboxes[1].make.clone();
    let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: String::new() };
    let log = tidegate::log::open("memory:", &BTreeMap::new()).unwrap();
    let (mut old, mut new): (Box<dyn OutboxWriter>, Box<dyn OutboxWriter>) = (make(), make());
    assert_eq!(
        (old.open(&source, &*log).unwrap(), new.open(&source, &*log).unwrap()),
        (Offset(0), Offset(0))
    );
    new.write(&one(r#"{"word":"new"}"#), Offset(0), Offset(1)).unwrap();
    let late = old.write(&one(r#"{"word":"old"}"#), Offset(0), Offset(1));
    assert!(matches!(late, Err(OutboxFailure::Superseded)), "{late:?}");
    new.write(&one(r#"{"word":"newer"}"#), Offset(1), Offset(2)).unwrap();
    assert_eq!(old.open(&source, &*log).unwrap(), Offset(2));
    assert_eq!(postgres.texts("SELECT string_agg(word, ' ' ORDER BY word) FROM words"), ["new newer"]);
}

#[test]
fn two_processes_make_the_table_of_positions_at_once() {
    let postgres = Postgres::start();
    postgres.run(COUNTS);
    let ssc = StreamingContext::builder("app").build();
    counts(&postgres.url(""))(&ssc);
    let mut writer = (ssc.topology().outboxes[1].make)();
    let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: String::new() };
    let log = tidegate::log::open("memory:", &BTreeMap::new()).unwrap();
    let mut other = postgres::Client::connect(&postgres.url(""), postgres::NoTls).unwrap();
    let mut open = other.transaction().unwrap();
    let create = "CREATE TABLE tidegate_positions (application text, topic text, partition int, position bigint NOT NULL, \
        topic_id text NOT NULL, PRIMARY KEY (application, topic, partition))";
    open.batch_execute(create).unwrap();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| writer.open(&source, &*log).unwrap());
        let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while postgres.texts(waits) != ["1"] {
            assert!(!opened.is_finished(), "it waits for the other one");
        }
        open.commit().unwrap();
        assert_eq!(opened.join().unwrap(), Offset(0));
    });
}

#[test]
fn a_server_that_is_killed_gets_each_row_once() {
    let mut postgres = Postgres::start();
    postgres.run(COUNTS);
    let url = postgres.url("");
    let mut session = Session::new(PLAIN);
    let line = |n: usize, k: usize| format!("lines {} | - | w{n}-{k} all\n", k % 3);
    let words = |n: usize| (0..200).map(|k| line(n, k)).collect::<Vec<_>>().concat();
    for n in 0..5 {
        session.feed(&words(n));
        postgres.kill();
        std::thread::scope(|scope| {
            let (session, url) = (&mut session, &url);
            let program = scope.spawn(move || session.run(&counts(url)));
            std::thread::sleep(Duration::from_millis(150));
            assert!(!program.is_finished(), "it waits for Postgres");
            postgres.restart();
            if n % 2 == 0 {
                std::thread::sleep(Duration::from_millis(5 * n as u64));
                postgres.kill();
                postgres.restart();
            }
            program.join().unwrap().unwrap();
        });
    }
    assert_eq!(
        postgres.texts("SELECT count(*)::text || ' ' || count(DISTINCT word) FROM words"),
        ["2000 1001"]
    );
    assert_eq!(postgres.texts("SELECT n::text FROM s.counts WHERE word = 'all'"), ["1000"]);
}

#[test]
fn the_column_and_the_key_of_a_refused_row_are_reported() {
    let postgres = Postgres::start();
    postgres.run(COUNTS);
    let ssc = StreamingContext::builder("app").build();
    counts(&postgres.url(""))(&ssc);
    let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: String::new() };
    let mut drain = (ssc.topology().outboxes[0].make)();
    let log = tidegate::log::open("memory:", &BTreeMap::new()).unwrap();
    drain.open(&source, &*log).unwrap();
    let error_of = |refused: Result<(), OutboxFailure>| match refused {
        Err(OutboxFailure::Broken(e)) => {
            e.to_string().replace(&postgres.port.to_string(), "PORT").replace('\0', "NUL")
        }
        other => format!("{other:?}"),
    };
    let mut all = vec![];
    for row in [
        r#"{"word":"a","n":"many"}"#,
        r#"{"word":"a\u0000","n":1}"#,
        r#"{"word":null,"n":1}"#,
        r#"{"word":"b","n":3000000000}"#,
    ] {
        all.push(error_of(drain.write(&one(row), Offset(0), Offset(1))));
    }
    expect![[r#"
        table `s.counts` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 0 of t, word = a, column "n" is refused: invalid input syntax for type integer: "many" (22P02)
          next: fix the cause and start again; the rows are kept and will be written then
        table `s.counts` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 0 of t, word = aNUL, column "word" is refused: invalid byte sequence for encoding "UTF8": 0x00 (22021); unnamed portal parameter $2
          next: fix the cause and start again; the rows are kept and will be written then
        table `s.counts` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 0 of t, word = null is refused: null value in column "word" of relation "counts" violates not-null constraint (23502), column "word"; Failing row contains (null, 1).
          next: fix the cause and start again; the rows are kept and will be written then
        table `s.counts` of Postgres at 127.0.0.1:PORT/postgres: the row at offset 0 of t, word = b, column "n" is refused: value "3000000000" is out of range for type integer (22003)
          next: fix the cause and start again; the rows are kept and will be written then"#]].assert_eq(&all.join("\n"));
    drain.write(&one(r#"{"word":"a","n":1}"#), Offset(0), Offset(1)).unwrap();
}

/// A self-signed certificate for `name`.
fn certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"])
        .args([&format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = folder.join(format!("{name}.key"));
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn certificates_are_checked_as_configured() {
    let mut folder = std::path::PathBuf::new();
    let postgres = Postgres::start_with(|at| {
        certificate(at, "db.example");
        certificate(at, "other.example");
        folder = at.to_owned();
        let at = at.display();
        format!("ssl = on\nssl_cert_file = '{at}/db.example.pem'\nssl_key_file = '{at}/db.example.key'")
    });
    postgres.run(COUNTS);
    let open = |settings: &str| {
        let ssc = StreamingContext::builder("app").build();
        let url = format!("{} {settings}", postgres.url(""));
        counts(
            &url.replace("host=127.0.0.1", if settings.contains("hostaddr") { "" } else { "host=127.0.0.1" }),
        )(&ssc);
        let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: String::new() };
        let log = tidegate::log::open("memory:", &BTreeMap::new()).unwrap();
        let opened = (ssc.topology().outboxes[1].make)().open(&source, &*log);
        opened.map(drop).map_err(|e| format!("{e:?}"))
    };
    let at = |name: &str| folder.join(name).display().to_string();
    let (right, wrong) = (at("db.example.pem"), at("other.example.pem"));
    open("sslmode=disable").unwrap();
    open("sslmode=require").unwrap();
    open(&format!("sslmode=verify-ca sslrootcert={right}")).unwrap();
    open(&format!("host=db.example hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={right}")).unwrap();
    for bad in [
        format!("sslmode=verify-full sslrootcert={right}"), // it is not called 127.0.0.1
        format!("sslmode=verify-ca sslrootcert={wrong}"),
        format!("sslmode=require sslrootcert={wrong}"),
        "sslmode=verify-full".to_owned(),
        format!("sslmode=verify-full sslrootcert={}", at("missing.pem")),
    ] {
        let error = open(&bad).unwrap_err();
        assert!(error.contains("Broken") && error.contains("certificate"), "{bad}: {error}");
    }
}
