//! A real schema registry (Apicurio) for all tests of this program, started by the first test that needs it.
//!
//! Knows no test. Invariants: it listens only on this machine, on ports that were free; it ends with the process of the tests,
//! however that ends, because a shell waits for the end of a pipe that only this process holds open.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// The path of Confluent's protocol.
pub const PATH: &str = "/apis/ccompat/v7";
/// A loaded machine takes minutes to start Java.
const PATIENCE: Duration = Duration::from_secs(400);

struct Server {
    at: SocketAddr,
    log: PathBuf,
    /// The registry lives as long as this.
    _alive: Mutex<(Child, Option<ChildStdin>)>,
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: run these tests with `./dev test registry`"))
        .into()
}

/// The program `java` of the registry.
pub fn java() -> PathBuf {
    variable("TIDEGATE_REGISTRY_JAVA")
}

/// The class path of Apache Avro and of Google's Protobuf as they come with the registry.
pub fn class_path() -> String {
    let home = variable("TIDEGATE_REGISTRY_HOME");
    format!("{0}/lib/main/*:{0}/lib/*", home.display())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start() -> Server {
    let (home, port, management) = (variable("TIDEGATE_REGISTRY_HOME"), free_port(), free_port());
    let jars = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path());
    let is_program = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "quarkus-run.jar" || name.ends_with("-runner.jar")
    };
    let program = jars.into_iter().find(is_program).expect("the registry is there");
    let log = std::env::temp_dir().join(format!("tidegate-registry-{port}.log"));
    let mut child = Command::new("sh")
        .args([
            "-c",
            "log=\"$1\"; shift; \"$@\" >\"$log\" 2>&1 </dev/null & pid=$!; read -r _; kill -9 $pid",
            "registry",
        ])
        .arg(&log)
        .arg(java())
        .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"])
        .args(["-Dquarkus.management.host=127.0.0.1", "-Dquarkus.log.level=WARN"])
        .arg(format!("-Dquarkus.http.port={port}"))
        .arg(format!("-Dquarkus.management.port={management}"))
        .arg("-jar")
        .arg(program)
        .current_dir(&home)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let server = Server { at: ([127, 0, 0, 1], port).into(), log, _alive: Mutex::new((child, stdin)) };
    let begun = Instant::now();
    while get(server.at, "/schemas/types").is_none_or(|(status, _)| status != 200) {
        let told = || std::fs::read_to_string(&server.log).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "the registry does not start: {}", told());
        thread::sleep(Duration::from_millis(200));
    }
    server
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

/// Where the registry listens.
pub fn address() -> SocketAddr {
    server().at
}

/// Its URL.
pub fn url() -> String {
    format!("http://{}{PATH}", address())
}

/// A request that the client of tidegate does not have: status and body.
pub fn put(path: &str, body: &str) -> (u16, String) {
    send(address(), "PUT", path, body).expect("the registry answers")
}

fn get(at: SocketAddr, path: &str) -> Option<(u16, String)> {
    send(at, "GET", path, "")
}

fn send(at: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    write!(
        stream,
        "{method} {PATH}{path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let (mut first, mut rest) = (String::new(), vec![]);
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut first).ok()?;
    let _ = reader.read_to_end(&mut rest);
    let status = first.split(' ').nth(1)?.parse().ok()?;
    Some((status, String::from_utf8_lossy(&rest).into_owned()))
}
