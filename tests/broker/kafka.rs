//! A Kafka broker that belongs to one test: started on ports of its own, killed, stopped, ended, restarted.
//!
//! Owns the process and its folder; both go when the value is dropped. Knows no client: a test connects to
//! `bootstrap()` with what it tests. `./dev test` sets `TIDEGATE_KAFKA_LIBS` (jars, and a formatted folder to
//! copy). Several of them are a cluster (`cluster.rs`). Invariant: a restart keeps address and data.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

const PROPERTIES: &str = include_str!("kafka/server.properties");
const PATIENCE: Duration = Duration::from_secs(120);

/// A running broker.
pub struct Kafka {
    home: PathBuf,
    port: u16,
    libs: PathBuf,
    process: Child,
    /// The port of the listener with TLS, if it has one.
    secure_port: Option<u16>,
    heap_mb: u32,
}

/// Properties of a second listener, `SASL_SSL`, for the given folder of the broker.
pub type Secure<'a> = &'a dyn Fn(&Path) -> String;

impl Kafka {
    /// Starts a broker with an empty log and waits until it answers.
    pub fn start() -> Kafka {
        Kafka::start_with("", None)
    }

    /// The same, with a listener that requires TLS and a password.
    pub fn start_secure(secure: Secure<'_>) -> Kafka {
        Kafka::start_with("", Some(secure))
    }

    /// The same, with properties of its own.
    pub fn start_configured(properties: &str) -> Kafka {
        Kafka::start_with(properties, None)
    }

    /// Starts one node of a cluster on these ports (of the broker and of the controller). It answers only when most
    /// of the nodes run, so this does not wait.
    pub fn start_node(id: i32, ports: (u16, u16), properties: &str) -> Kafka {
        let (libs, home) = (libs(), home(ports.0));
        lay_out(&libs, &home, ports.0, ports.1, &format!("{properties}node.id={id}\n"));
        // The formatted folder is that of another node; the node gives its folder a name of its own.
        let formatted = fs::read_to_string(home.join("data/meta.properties")).expect("just copied");
        let mine = formatted.replace("node.id=1", &format!("node.id={id}"));
        let mine: Vec<&str> = mine.lines().filter(|line| !line.starts_with("directory.id")).collect();
        fs::write(home.join("data/meta.properties"), mine.join("\n")).expect("meta.properties");
        let heap_mb = 256;
        let process = spawn(&libs, &home, heap_mb);
        Kafka { process, home, port: ports.0, libs, secure_port: None, heap_mb }
    }

    fn start_with(properties: &str, secure: Option<Secure<'_>>) -> Kafka {
        let (libs, heap_mb) = (libs(), 512);
        let mut last = String::new();
        for _ in 0..5 {
            let (port, controller) = (free_port(), free_port());
            let home = home(port);
            let secure_port = secure.map(|_| free_port());
            lay_out(&libs, &home, port, controller, properties);
            if let (Some(secure), Some(secure_port)) = (secure, secure_port) {
                add_secure_listener(&home, secure_port, &secure(&home));
            }
            let process = spawn(&libs, &home, heap_mb);
            let mut kafka = Kafka { process, home, port, libs: libs.clone(), secure_port, heap_mb };
            match kafka.wait_until_it_answers() {
                Ok(()) => return kafka,
                Err(log) => last = log, // for example another program took the port meanwhile
            }
        }
        panic!("no broker started; the last one said: {last}");
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the listener with TLS.
    pub fn secure_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port.expect("started with a secure listener"))
    }

    /// The broker's folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// SIGKILL: the process is gone when this returns, its data stays.
    pub fn kill9(&mut self) {
        self.process.kill().expect("the broker runs");
        self.process.wait().expect("the broker is our child");
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub fn stop_signal(&self) {
        self.signal("STOP");
        while self.process_state() != Some('T') {
            sleep(Duration::from_millis(1));
        }
    }

    /// SIGCONT: ends a `stop_signal`.
    pub fn cont_signal(&self) {
        self.signal("CONT");
    }

    /// SIGTERM: the broker hands over what it leads, and ends.
    pub fn end(&mut self) {
        self.signal("TERM");
        self.until_ended();
        assert!(self.log().contains("shut down completed"), "not a clean end: {}", self.home.display());
    }

    /// From now on no file of the broker can grow, as on a full disk: it gives up at its next write, and this waits for
    /// that.
    pub fn fill_disk(&mut self) {
        let limit = ["--pid", &self.process.id().to_string(), "--fsize=0"];
        let limited = Command::new("prlimit").args(limit).status();
        assert!(limited.expect("prlimit is there").success(), "the limit could not be set");
        let status = self.until_ended();
        assert!(status.code().is_some_and(|code| code != 0), "it did not end by itself: {status}");
    }

    fn until_ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < end, "the broker does not end: {}", self.home.display());
            sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Starts again after its end, on the same address and data, and waits until it answers.
    pub fn restart(&mut self) {
        self.start_again();
        self.must_answer();
    }

    /// The same without waiting: for a node that does not answer before others do.
    pub fn start_again(&mut self) {
        assert!(self.process.try_wait().expect("our child").is_some(), "a restart comes after the end");
        self.process = spawn(&self.libs, &self.home, self.heap_mb);
    }

    /// Waits until it answers.
    pub fn must_answer(&mut self) {
        if let Err(log) = self.wait_until_it_answers() {
            panic!("the broker does not answer: {log}");
        }
    }

    /// The state letter of the process, as `ps` shows it; `None` = gone.
    fn process_state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn signal(&self, name: &str) {
        let ok = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(ok.expect("kill is there").success(), "SIG{name} could not be sent");
    }

    /// The end of its log if it ends instead, or says nothing for long.
    pub fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.log();
            if text.contains("Kafka Server started") && TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if self.process.try_wait().expect("our child").is_some() || Instant::now() > end {
                let tail: Vec<&str> = text.lines().rev().take(10).collect();
                return Err(tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// If a property occurs twice, the last one counts.
fn lay_out(libs: &Path, home: &Path, port: u16, controller: u16, properties: &str) {
    let data = home.join("data");
    fs::create_dir_all(&data).expect("the temporary folder can be written");
    for file in fs::read_dir(libs.join("formatted")).expect("run through ./dev test").flatten() {
        fs::copy(file.path(), data.join(file.file_name())).expect("copy of the formatted folder");
    }
    let own = format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}\n",
        data.display()
    );
    fs::write(home.join("server.properties"), format!("{PROPERTIES}{own}{properties}\n"))
        .expect("server.properties");
}

fn add_secure_listener(home: &Path, port: u16, properties: &str) {
    let path = home.join("server.properties");
    let text = fs::read_to_string(&path).expect("just written");
    let listeners = text.lines().rfind(|l| l.starts_with("listeners=")).expect("just written");
    let own = format!(
        "{listeners},SASL_SSL://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n"
    );
    fs::write(&path, format!("{text}{own}{properties}")).expect("server.properties");
}

fn libs() -> PathBuf {
    PathBuf::from(std::env::var_os("TIDEGATE_KAFKA_LIBS").expect("run through ./dev test"))
}

fn home(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-broker-{port}"))
}

fn spawn(libs: &Path, home: &Path, heap_mb: u32) -> Child {
    let log = fs::File::create(home.join("log")).expect("log file");
    let process = Command::new("java")
        .args([&format!("-Xmx{heap_mb}m"), "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(libs.join("*"))
        .arg("kafka.Kafka")
        .arg(home.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log file"))
        .stderr(log)
        .spawn()
        .expect("java is there: ./dev test installs it");
    // For `./dev test`, which ends what a killed test process left behind.
    fs::write(home.join("pid"), process.id().to_string()).expect("pid file");
    process
}

/// A port below the range of ephemeral ports, so that nothing takes it while the broker is down (and no client can
/// connect to itself there).
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(37);
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = u16::try_from(port).expect("below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_test_broker_can_be_stopped_killed_and_restarted() {
    let mut kafka = Kafka::start();
    let address = kafka.bootstrap();
    kafka.stop_signal();
    assert_eq!(kafka.process_state(), Some('T'));
    kafka.cont_signal();
    assert_ne!(kafka.process_state(), Some('T'));
    kafka.kill9();
    assert!(TcpStream::connect(&address).is_err());
    kafka.restart();
    assert_eq!(kafka.bootstrap(), address);
    assert!(TcpStream::connect(&address).is_ok());
    let home = kafka.home.clone();
    drop(kafka);
    assert!(TcpStream::connect(&address).is_err());
    assert!(!home.exists());
}
