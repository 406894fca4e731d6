//! A broker with TLS, passwords and access control lists: a program that has all it needs runs, and one that lacks
//! something says what.
//!
//! The certificates are created by `openssl`; the access control lists are sent to the broker as frames of Kafka's
//! protocol, as the client library has no call for them.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Lines, judge},
};
use crate::kafka::Kafka;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

const USERS: [&str; 5] = ["app", "no-output", "no-group", "no-transaction", "no-create"];

/// Creates a key and a certificate that is signed with it: `NAME.crt`, and both as `NAME.pem`.
fn certificate(folder: &Path, name: &str) {
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args([&"-keyout".into(), &file("key"), &"-out".into(), &file("crt")])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is there: ./dev test installs it").success());
    let both = [fs::read(file("key")).unwrap(), fs::read(file("crt")).unwrap()].concat();
    fs::write(file("pem"), both).unwrap();
}

/// Properties of a listener with TLS and passwords.
pub fn properties(home: &Path) -> String {
    certificate(home, "broker");
    certificate(home, "other");
    let users = USERS.map(|user| format!("user_{user}=\"secret\"")).join(" ");
    format!(
        "ssl.keystore.type=PEM\n\
         ssl.keystore.location={}\n\
         sasl.enabled.mechanisms=PLAIN\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n",
        home.join("broker.pem").display()
    )
}

/// The resources and operations of an access control list, by their numbers in the protocol.
const TOPIC: u8 = 2;
const GROUP: u8 = 3;
const TRANSACTIONAL_ID: u8 = 5;
const READ: u8 = 3;
const WRITE: u8 = 4;
const CREATE: u8 = 5;
const DESCRIBE: u8 = 8;
const DESCRIBE_CONFIGS: u8 = 10;

/// A right of a user to everything whose name begins with this prefix.
type Grant<'a> = (u8, &'a str, u8);

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.as_bytes());
}

const ALLOW: u8 = 3;
const PREFIXED: u8 = 4;

/// Sends a request of version 1 as the user that may do everything; returns what follows the throttle time and the
/// number of results.
fn call(broker: &str, api: i16, number: usize, body: &[u8]) -> Vec<u8> {
    let mut request = [api.to_be_bytes(), 1i16.to_be_bytes()].concat();
    request.extend(7i32.to_be_bytes());
    text(&mut request, "test");
    request.extend(i32::try_from(number).unwrap().to_be_bytes());
    request.extend(body);
    let mut socket = TcpStream::connect(broker).unwrap();
    socket.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    socket.write_all(&request).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    socket.read_exact(&mut answer).unwrap();
    answer.split_off(12)
}

/// `CreateAcls`.
fn grant(broker: &str, user: &str, grants: &[Grant<'_>]) {
    const CREATE_ACLS: i16 = 30;
    let mut body = vec![];
    for (resource, name, operation) in grants {
        body.push(*resource);
        text(&mut body, name);
        body.push(PREFIXED);
        text(&mut body, &format!("User:{user}"));
        text(&mut body, "*");
        body.extend([*operation, ALLOW]);
    }
    let answer = call(broker, CREATE_ACLS, grants.len(), &body);
    // Each result is an error code and a message that may be null.
    let mut rest = &answer[..];
    for (resource, name, operation) in grants {
        let code = i16::from_be_bytes([rest[0], rest[1]]);
        assert_eq!(code, 0, "{user}: resource {resource} `{name}`, operation {operation} is refused");
        let message = usize::try_from(i16::from_be_bytes([rest[2], rest[3]])).unwrap_or(0);
        rest = &rest[4 + message..];
    }
}

/// `DeleteAcls`: takes a right back.
fn revoke(broker: &str, user: &str, (resource, name, operation): Grant<'_>) {
    const DELETE_ACLS: i16 = 31;
    let mut body = vec![resource];
    text(&mut body, name);
    body.push(PREFIXED);
    text(&mut body, &format!("User:{user}"));
    text(&mut body, "*");
    body.extend([operation, ALLOW]);
    let answer = call(broker, DELETE_ACLS, 1, &body);
    let message = usize::try_from(i16::from_be_bytes([answer[2], answer[3]])).unwrap_or(0);
    let deleted = &answer[4 + message..];
    let deleted = i32::from_be_bytes([deleted[0], deleted[1], deleted[2], deleted[3]]);
    assert_eq!(
        (i16::from_be_bytes([answer[0], answer[1]]), deleted),
        (0, 1),
        "`{name}`, operation {operation}"
    );
}

/// Everything that a word count needs, except for what is left out.
fn grant_all_but(broker: &str, user: &str, app: &App, left_out: &str) {
    let internal = ["meta", "changelog", "exchange"].map(|suffix| format!("{}-{suffix}", app.id));
    let mut grants: Vec<Grant<'_>> = vec![];
    for operation in [READ, DESCRIBE, DESCRIBE_CONFIGS] {
        grants.push((TOPIC, &app.id, operation));
    }
    grants.extend(internal.iter().map(|name| (TOPIC, name.as_str(), WRITE)));
    for (what, grant) in [
        ("create", (TOPIC, app.id.as_str(), CREATE)),
        ("output", (TOPIC, app.output.as_str(), WRITE)),
        ("group", (GROUP, app.id.as_str(), READ)),
        ("transaction", (TRANSACTIONAL_ID, app.id.as_str(), WRITE)),
    ] {
        grants.extend(Some(grant).filter(|_| what != left_out));
    }
    grant(broker, user, &grants);
}

/// A word count that connects to the broker with TLS and a password.
fn secure(kafka: &Kafka, client: &Client, user: &str, password: &str, ca: &str) -> App {
    App::new("kafka_word_count", client)
        .via(kafka.secure_bootstrap())
        .with("connect-timeout-ms", "15000")
        .property("security.protocol", "sasl_ssl")
        .property("ssl.ca.location", kafka.home().join(ca).to_str().unwrap())
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", user)
        .property("sasl.password", password)
}

fn refused(app: &App, parts: &[&str]) {
    let mut run = app.start("");
    assert_eq!(run.exit_code(), 4, "{}", run.text());
    let text = run.text();
    for part in parts.iter().chain(&["next:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("hunter2"), "a password is shown:\n{text}");
}

#[test]
fn a_program_with_all_rights_runs_and_one_that_lacks_something_names_it() {
    let kafka = Kafka::start_secure(&properties);
    let (broker, client) = (kafka.bootstrap(), Client::new(&kafka.bootstrap()));
    let app = secure(&kafka, &client, "app", "secret", "broker.crt");
    grant_all_but(&broker, "app", &app, "");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    judge("with TLS, a password and access lists", &lines.truth, &client.read(&app.output));

    // The topics exist now: nothing needs to be created any more.
    grant_all_but(&broker, "no-create", &app, "create");
    let mut later = secure(&kafka, &client, "no-create", "secret", "broker.crt");
    (later.id, later.input, later.output) = (app.id.clone(), app.input.clone(), app.output.clone());
    lines.write(400, 4);
    lines.flush();
    let mut run = later.start("");
    later.catch_up(&client, &mut run);
    run.stop();
    judge("without the right to create topics", &lines.truth, &client.read(&app.output));

    let wrong = secure(&kafka, &client, "app", "hunter2", "broker.crt");
    refused(&wrong, &["cannot reach", "SASL authentication failed", "`sasl.password`"]);
    let untrusted = secure(&kafka, &client, "app", "secret", "other.crt");
    // Several times, because a process that ends while its clients are still closing must not crash in what OpenSSL
    // has torn down.
    for _ in 0..20 {
        refused(&untrusted, &["cannot reach", "the TLS handshake failed", "`ssl.ca.location`"]);
    }
    for left_out in ["output", "group", "transaction"] {
        let user = format!("no-{left_out}");
        let app = secure(&kafka, &client, &user, "secret", "broker.crt");
        grant_all_but(&broker, &user, &app, left_out);
        let place = match left_out {
            "output" => format!("topic `{}`", app.output),
            "group" => format!("READ on the group `{}`", app.id),
            _ => format!("the transactional id `{}-pod-1`", app.id),
        };
        refused(&app, &["authorisation failed", &place]);
    }
    println!("TLS, SASL, access lists: one program ran, five were refused with what they lack");
    rights_are_taken_back(&kafka, &client);
}

/// A program that loses a right while it runs ends and says which one; with the right given back it goes on from where
/// it was. Nothing that it says or shows has its password, however much it logs.
fn rights_are_taken_back(kafka: &Kafka, client: &Client) {
    let broker = kafka.bootstrap();
    let app = secure(kafka, client, "app", "secret", "broker.crt").with("log-level", "debug");
    grant_all_but(&broker, "app", &app, "");
    // Rights to one name alone, in place of those to all names that begin with the application's.
    let id = format!("{}-pod-1", app.id);
    revoke(&broker, "app", (TRANSACTIONAL_ID, &app.id, WRITE));
    grant(&broker, "app", &[(TRANSACTIONAL_ID, &id, WRITE)]);
    let mut lines = Lines::new(client, &app.input, Random::seed());
    for (right, place) in [
        ((TOPIC, app.output.as_str(), WRITE), "WRITE on the topics".into()),
        ((TRANSACTIONAL_ID, id.as_str(), WRITE), format!("the transactional id `{id}`")),
        ((GROUP, app.id.as_str(), READ), "READ on the group".into()),
    ] {
        lines.write(400, 4);
        lines.flush();
        let mut run = app.start("");
        app.catch_up(client, &mut run);
        let pages = ["/", "/metrics", "/readyz", "/livez"].map(|path| run.get(path).1).concat();
        assert!(pages.contains("not shown") && !pages.contains("=secret"), "the page shows a password");
        revoke(&broker, "app", right);
        lines.write(400, 4);
        lines.flush();
        assert_ne!(run.exit_code(), 0, "{}", run.text());
        let text = run.text();
        for part in [place.as_str(), "uthori", "next:"] {
            assert!(text.contains(part), "`{part}` is not in:\n{}", text.lines().last().unwrap());
        }
        assert!(!text.contains("secret"), "a password is shown");
        grant(&broker, "app", &[right]);
    }
    let mut run = app.start("");
    app.catch_up(client, &mut run);
    run.stop();
    judge("rights taken back", &lines.truth, &client.read(&app.output));
    println!(
        "rights taken back: three ends with the right that is lacking, no password shown, nothing lost or twice"
    );
}
