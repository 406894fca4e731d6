//! A program under test as a child process: started with flags and failpoints, signalled, watched, and killed with
//! the test.
//!
//! Owns the folder of one application (state, logs); it is removed after a test that passed and kept, with its path
//! printed, after one that failed. Knows no topic's content.

use super::{client::Client, deadline, until};
use crate::contract::unique;
use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Duration,
};

/// One application: a program, its topics and its state.
pub struct App {
    pub id: String,
    pub input: String,
    pub output: String,
    pub folder: PathBuf,
    program: &'static str,
    bootstrap: String,
    flags: Vec<(String, Option<String>)>,
    properties: Vec<String>,
    /// What a shell does before it becomes the program.
    before: Option<String>,
    runs: AtomicU32,
}

impl App {
    /// An application of the example `program`, or, with the prefix `test:`, of a program in `programs.rs`, with
    /// new topics of four partitions.
    pub fn new(program: &'static str, client: &Client) -> App {
        let id = unique("eos");
        let (input, output) = (format!("{id}-in"), format!("{id}-out"));
        client.create(&input, 4);
        client.create(&output, 4);
        App::on(program, &client.bootstrap, id, input, output)
    }

    fn on(program: &'static str, bootstrap: &str, id: String, input: String, output: String) -> App {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("eos"));
        fs::create_dir_all(&folder).unwrap();
        let mut app = App {
            id,
            input,
            output,
            folder,
            program,
            bootstrap: bootstrap.into(),
            flags: vec![],
            properties: vec![],
            before: None,
            runs: AtomicU32::new(0),
        };
        for (name, value) in [
            ("instance-id", "pod-1"),
            ("batch-interval-ms", "150"),
            ("transaction-timeout-ms", "6000"),
            ("session-timeout-ms", "6000"),
            ("state-partitions", "4"),
            ("admin-bind", "127.0.0.1:0"),
            ("log-level", "info"),
        ] {
            app = app.with(name, value);
        }
        app
    }

    /// Connects to the broker through this address.
    pub fn via(mut self, bootstrap: String) -> App {
        self.bootstrap = bootstrap;
        self
    }

    /// The same application in another folder, as on another machine.
    pub fn elsewhere(&self) -> App {
        let (id, input, output) = (self.id.clone(), self.input.clone(), self.output.clone());
        let mut other = App::on(self.program, &self.bootstrap, id, input, output);
        other.flags.clone_from(&self.flags);
        other.properties.clone_from(&self.properties);
        other
    }

    pub fn with(mut self, name: &str, value: &str) -> App {
        self.flags.retain(|(n, _)| n != name);
        self.flags.push((name.into(), Some(value.into())));
        self
    }

    pub fn without(mut self, name: &str) -> App {
        self.flags.retain(|(n, _)| n != name);
        self
    }

    /// A property of the Kafka client.
    pub fn property(mut self, name: &str, value: &str) -> App {
        self.properties.push(format!("{name}={value}"));
        self
    }

    /// A shell runs these commands, such as `ulimit`, and then becomes the program.
    pub fn after(mut self, commands: &str) -> App {
        self.before = Some(commands.into());
        self
    }

    pub fn with_flag(mut self, name: &str) -> App {
        self.flags.push((name.into(), None));
        self
    }

    /// Deletes the local state, as if the disk were lost.
    pub fn lose_state(&self) {
        let _ = fs::remove_dir_all(self.folder.join("state"));
    }

    /// Starts the program with these failpoints (empty = none).
    pub fn start(&self, failpoints: &str) -> Run {
        self.start_in(failpoints, &[])
    }

    /// The same, with an environment that only this run has.
    pub fn start_in(&self, failpoints: &str, environment: &[(&str, &str)]) -> Run {
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let log = self.folder.join(format!("run-{run:02}.log"));
        let fired = self.folder.join(format!("run-{run:02}.fired"));
        let out = fs::File::create(&log).unwrap();
        let mut command = match &self.before {
            None => self.command(),
            Some(commands) => in_shell(commands, &self.command()),
        };
        command.env("TIDEGATE_FAILPOINT", failpoints).env("TIDEGATE_FAILPOINT_LOG", &fired);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap();
        Run { child, log, fired, failpoints: failpoints.into() }
    }

    fn command(&self) -> Command {
        let state = self.folder.join("state");
        if let Some(name) = self.program.strip_prefix("test:") {
            return in_this_binary(name, self, &state);
        }
        let mut command = Command::new(example(self.program));
        command.args(["--bootstrap", &self.bootstrap, "--application-id", &self.id]);
        command.args(["--input", &self.input]);
        if self.program != "output_operations" {
            command.args(["--output", &self.output]); // that one names its outputs otherwise
        }
        command.arg("--state-dir").arg(state);
        for (name, value) in &self.flags {
            let dashes = if name.len() == 1 { "-" } else { "--" };
            command.arg(format!("{dashes}{name}")).args(value);
        }
        for property in &self.properties {
            command.args(["-X", property]);
        }
        command
    }

    /// Waits until the group's offsets are at the end of the input, while the program runs.
    pub fn catch_up(&self, client: &Client, run: &mut Run) {
        until(&format!("{} catches up (log: {})", self.id, run.log.display()), || {
            run.must_run();
            client.committed(&self.id, &self.input) == client.ends(&self.input)
        });
    }

    /// Waits until the group has committed something.
    pub fn has_committed(&self, client: &Client, run: &mut Run) {
        until(&format!("{} commits (log: {})", self.id, run.log.display()), || {
            run.must_run();
            client.committed(&self.id, &self.input).len() == 4
        });
    }

    /// Waits until the group has committed more than before.
    pub fn progress(&self, client: &Client, run: &mut Run) {
        let sum = || client.committed(&self.id, &self.input).values().sum::<i64>();
        let before = sum();
        until(&format!("{} makes progress (log: {})", self.id, run.log.display()), || {
            run.must_run();
            sum() > before
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs and state of {}: {}", self.id, self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The command after others, without its environment.
fn in_shell(commands: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{commands}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// A program of `programs.rs`, which gets everything through its environment.
fn in_this_binary(name: &str, app: &App, state: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--nocapture", "--exact", &format!("eos::programs::{name}")]);
    command.env("TIDEGATE_TEST_PROGRAM", name).env("TIDEGATE_STATE_DIR", state);
    command.env("TIDEGATE_BOOTSTRAP", &app.bootstrap).env("TIDEGATE_APPLICATION_ID", &app.id);
    command.env("TIDEGATE_INPUT", &app.input).env("TIDEGATE_OUTPUT", &app.output);
    for (name, value) in &app.flags {
        let name = format!("TIDEGATE_{}", name.replace('-', "_").to_uppercase());
        command.env(name, value.as_deref().unwrap_or("true"));
    }
    command
}

/// The examples are built next to the tests.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: run through ./dev test, which builds the examples",
        path.display()
    );
    path
}

/// One run of a program.
pub struct Run {
    child: Child,
    pub log: PathBuf,
    fired: PathBuf,
    failpoints: String,
}

impl Run {
    /// The failpoints that have fired.
    pub fn fired(&self) -> Vec<String> {
        fs::read_to_string(&self.fired).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn until_fired(&mut self, place: &str) {
        until(&format!("{place} fires (log: {})", self.log.display()), || {
            let fired = self.fired().iter().any(|f| f == place);
            if !fired {
                self.must_run();
            }
            fired
        });
    }

    /// Ends the action `hold`.
    pub fn go_on(&self) {
        let mut go = self.fired.clone().into_os_string();
        go.push(".go");
        fs::write(go, "").unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the program ended with {status}:\n{}", self.tail());
        }
    }

    /// Waits for the end.
    pub fn end(&mut self) -> ExitStatus {
        let patience = deadline();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            patience.check(&format!("{:?} ends (log: {})", self.failpoints, self.log.display()));
            sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the exit code.
    pub fn exit_code(&mut self) -> i32 {
        let status = self.end();
        status.code().unwrap_or_else(|| panic!("{status}:\n{}", self.tail()))
    }

    /// Waits until the program has died at the last of its failpoints.
    pub fn dies_at_its_failpoint(mut self) {
        let status = self.end();
        let place = self.failpoints.rsplit(',').next().unwrap().split('=').next().unwrap();
        assert!(self.fired().iter().any(|f| f == place), "{place} did not fire; {status}:\n{}", self.tail());
        assert_eq!(status.signal(), Some(9), "{place}: {status}:\n{}", self.tail());
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "SIG{name} could not be sent");
    }

    /// SIGKILL; fails if the program had already ended.
    pub fn kill(mut self) {
        self.must_run();
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// SIGTERM, and a clean end.
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.exit_code(), 0, "{}", self.tail());
        self.text()
    }

    /// The peak resident memory of the process, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Whether every thread of the process has stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// The response of the program's own HTTP server: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap()
    }

    /// The same; it may be about to end.
    fn try_get(&self, path: &str) -> io::Result<(u16, String)> {
        let text = self.text();
        let address = text.split("http://").nth(1).and_then(|t| t.split('/').next()).expect("admin address");
        let mut socket = TcpStream::connect(address)?;
        write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).expect("a status line").parse().unwrap();
        Ok((status, body.to_owned()))
    }

    /// Waits until the program reports that it is ready, or that it is not; it is alive either way.
    pub fn until_ready(&mut self, ready: bool) -> String {
        let mut answer = String::new();
        until(&format!("ready is {ready} (log: {})", self.log.display()), || {
            self.must_run();
            let (status, body) = self.get("/readyz");
            let (alive, why) = self.get("/livez");
            assert_eq!(alive, 200, "{why}");
            answer = body;
            status == if ready { 200 } else { 503 }
        });
        answer
    }

    /// How often a checkpoint ended this way, according to the program's metrics.
    pub fn checkpoints(&self, status: &str) -> u64 {
        self.try_checkpoints(status).unwrap()
    }

    /// The same; it may be about to end.
    pub fn try_checkpoints(&self, status: &str) -> io::Result<u64> {
        let (_, metrics) = self.try_get("/metrics")?;
        let label = format!("status=\"{status}\"");
        let line =
            metrics.lines().find(|l| l.starts_with("tidegate_checkpoints_total{") && l.contains(&label));
        Ok(line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
    }

    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        format!("{}\n(whole log: {})", lines[lines.len().saturating_sub(25)..].join("\n"), self.log.display())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
