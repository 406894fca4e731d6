//! Examples as processes of a test: started, watched, killed; and what must hold for sources across kills, on any
//! log.
//!
//! Knows no log: a test supplies the command that starts a program and the way to read what it wrote. Invariant: a
//! process ends with its test.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(90);

/// A process that is killed with its test, and what it prints.
pub struct Process {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        Process { child, out, err }
    }

    pub fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    pub fn until(&mut self, what: &str, holds: impl Fn(&Process) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || holds(self), "ended before {what}: {}\n{}", self.out(), self.err());
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain until {what}:\n{}\n{}",
                self.out(),
                self.err()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL; the process must have been alive until then.
    pub fn kill(mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "it ended by itself: {}\n{}",
            self.out(),
            self.err()
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended, for whatever reason.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// It has ended successfully.
    pub fn succeeded(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}\n{}", self.out(), self.err());
    }

    /// SIGTERM, and a clean end.
    pub fn end(mut self) {
        let ok = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(ok.success());
        self.until("it ends", |_| true);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}\n{}", self.out(), self.err());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text: Arc<Mutex<String>> = Arc::default();
    let into = text.clone();
    std::thread::spawn(move || {
        let (mut buffer, mut rest) = ([0; 4096], vec![]);
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..n]);
            let whole = String::from_utf8_lossy(&rest).into_owned();
            into.lock().unwrap().push_str(&whole);
            rest.clear();
        }
    });
    text
}

/// An example, built along with this test.
pub fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path: PathBuf = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --release --examples", path.display());
    Command::new(path)
}

/// A server that sends numbered lines, each again until it is acknowledged.
struct Server {
    listener: TcpListener,
    /// It sends no more lines than this.
    limit: AtomicU64,
    answered: AtomicU64,
    /// Lines whose acknowledgement was cut off.
    sent_again: Mutex<BTreeSet<String>>,
}

impl Server {
    fn run(&self) {
        let is_over = || self.answered.load(SeqCst) >= self.limit.load(SeqCst);
        while !is_over() {
            let (mut stream, _) = self.listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            while !is_over() {
                let (line, mut answer) = (format!("line-{}", self.answered.load(SeqCst)), String::new());
                let sent = stream.write_all(format!("{line}\n").as_bytes());
                if sent.is_err() || !matches!(answers.read_line(&mut answer), Ok(3)) {
                    self.sent_again.lock().unwrap().insert(line);
                    break;
                }
                self.answered.fetch_add(1, SeqCst);
            }
        }
    }
}

/// Ends a server when the test ends, also when it fails: else the test would wait for it for ever.
struct Ending<'a>(&'a Server);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.limit.store(0, SeqCst);
        self.0.listener.local_addr().and_then(TcpStream::connect).ok();
    }
}

/// Everything that was acknowledged is in the topic once; lines whose acknowledgement was cut off by a kill may be
/// there twice.
pub fn acknowledged_lines_survive_kills(
    command: &dyn Fn(u16) -> Command,
    received: &dyn Fn() -> Vec<String>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (limit, answered) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
    let server = Server { listener, limit, answered, sent_again: Mutex::default() };
    std::thread::scope(|scope| {
        let (serving, _ending) = (scope.spawn(|| server.run()), Ending(&server));
        for round in 1..=5u64 {
            let before = server.answered.load(SeqCst);
            let mut program = Process::start(&mut command(port));
            program.until("lines are received", |_| server.answered.load(SeqCst) >= before + 17 * round);
            std::thread::sleep(Duration::from_millis(61 * round)); // some moment of receiving, batching and committing
            program.kill();
        }
        server.limit.store(server.answered.load(SeqCst) + 50, SeqCst);
        let mut program = Process::start(&mut command(port));
        program.until("the last line is acknowledged", |_| serving.is_finished());
        let last = server.answered.load(SeqCst);
        let expected: BTreeSet<String> = (0..last).map(|n| format!("line-{n}")).collect();
        let there = || received().into_iter().collect::<BTreeSet<_>>();
        program.until("everything acknowledged is processed", |_| there().is_superset(&expected));
        program.end();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        received().into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
        let sent_again = server.sent_again.lock().unwrap();
        assert!(!sent_again.is_empty(), "no kill had an effect");
        assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), expected);
        let wrong = |(line, count): &(&String, &u64)| **count > 1 && !sent_again.contains(*line);
        assert_eq!(counts.iter().find(wrong), None);
    });
}

pub fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let hidden = dir.join(format!(".{name}"));
    fs::write(&hidden, text).unwrap();
    fs::rename(hidden, dir.join(name)).unwrap();
}

#[cfg(feature = "failpoints")]
/// Kills the program at every step of a listing and at other moments while files appear; each of their words is
/// counted once.
pub fn files_are_counted_once_over_kills(
    command: &dyn Fn(&Path) -> Command,
    counts: &dyn Fn() -> Vec<(String, String)>,
) {
    let dir = tempfile::tempdir().unwrap();
    let (input, fired) = (dir.path().join("in"), dir.path().join("fired"));
    fs::create_dir(&input).unwrap();
    let (mut number, mut expected) = (0, BTreeSet::new());
    let mut more = |files: usize, lines: usize| {
        for _ in 0..files {
            let words: Vec<String> = (0..lines).map(|line| format!("f{number}-l{line}")).collect();
            put(&input, &format!("file-{number}"), words.join("\n"));
            expected.extend(words);
            number += 1;
        }
    };
    for place in [
        "before-listing=kill@2",
        "after-listing=kill@2",
        "after-commit=kill@2",
        "before-apply=kill@2",
        "after-poll=kill@4",
    ] {
        more(3, 50);
        let mut run = command(&input);
        run.env("TIDEGATE_FAILPOINT", place).env("TIDEGATE_FAILPOINT_LOG", &fired);
        let mut program = Process::start(&mut run);
        let begun = Instant::now();
        while !program.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "{place} did not fire: {}", program.err());
            more(1, 20);
            std::thread::sleep(Duration::from_millis(300));
        }
        let text = fs::read_to_string(&fired).unwrap_or_default();
        let name = place.split('=').next().unwrap();
        assert!(text.lines().any(|l| l.contains(name)), "{place} fired: {text} {}", program.err());
    }
    more(2, 10);
    let mut program = Process::start(&mut command(&input));
    let words = || counts().into_iter().map(|(word, _)| word).collect::<BTreeSet<_>>();
    program.until("all words are counted", |_| words() == expected);
    program.end();
    let twice: Vec<_> = counts().into_iter().filter(|(_, count)| count != "1").collect();
    assert!(twice.is_empty(), "counted more than once: {twice:?}");
}
