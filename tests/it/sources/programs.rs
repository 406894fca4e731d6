//! The examples of sources as processes: a real `nc`, kills, and files that appear while they run.

use crate::{
    contract::{read_all, tp},
    programs::{Process, acknowledged_lines_survive_kills, example, files_are_counted_once_over_kills},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `nc -lk`, into which a test types.
struct Nc {
    child: Child,
    keys: ChildStdin,
}

impl Nc {
    fn listen(port: u16) -> Nc {
        let mut nc = Command::new("nc");
        nc.args(["-lk", "127.0.0.1", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = nc.spawn().expect("nc is there: ./dev installs netcat-openbsd");
        let keys = child.stdin.take().unwrap();
        Nc { child, keys }
    }

    fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

impl Drop for Nc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LINE: &str = "-------------------------------------------\n";

/// Splits what was printed into the time and rows of each batch; every byte must have Spark's form.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = vec![];
    let whole = text.rfind("\n\n").map_or("", |at| &text[..at + 2]);
    for block in whole.split_inclusive("\n\n") {
        let rest = block.strip_prefix(LINE).unwrap_or_else(|| panic!("{block:?}"));
        let rest = rest.strip_prefix("Time: ").unwrap_or_else(|| panic!("{block:?}"));
        let (time, rest) = rest.split_at("2014-10-14 15:25:21".len());
        let digits: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(digits, "0000-00-00 00:00:00");
        let rest =
            rest.strip_prefix('\n').and_then(|r| r.strip_prefix(LINE)).unwrap_or_else(|| panic!("{block:?}"));
        let rows = rest.strip_suffix('\n').unwrap();
        blocks.push((time.to_owned(), rows.lines().map(str::to_owned).collect()));
    }
    blocks
}

fn rows(text: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (_, rows) in blocks(text) {
        assert!(rows.len() <= 11);
        for row in rows.iter().filter(|r| *r != "...") {
            let (word, count) =
                row.strip_prefix('(').unwrap().strip_suffix(')').unwrap().rsplit_once(',').unwrap();
            *sums.entry(word.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
    }
    sums
}

#[test]
fn network_word_count_against_a_real_nc() {
    let port = free_port();
    let mut nc = Nc::listen(port);
    let mut program = Process::start(example("network_word_count").args(["127.0.0.1", &port.to_string()]));
    nc.type_in("hello world\r\nhello ");
    program.until("the first line is counted", |p| rows(&p.out()).contains_key("world"));
    assert!(!rows(&program.out()).contains_key(""), "the end of a line is not a word");
    nc.type_in("again\nthe la");
    program.until("a word in two packets is whole", |p| rows(&p.out()).contains_key("again"));
    nc.type_in("st");
    assert!(!rows(&program.out()).contains_key("the"), "the last line has no end yet");
    std::thread::sleep(Duration::from_millis(300)); // nc hands over what was typed
    drop(nc);
    program.until("the last line is counted", |p| rows(&p.out()).contains_key("last"));
    program.until("the end of nc is reported", |p| {
        p.err().contains("closed the connection") || p.err().contains("cannot connect")
    });
    let mut nc = Nc::listen(port);
    nc.type_in("hello once more\n");
    program.until("it continues", |p| rows(&p.out()).contains_key("more"));
    let words: Vec<String> = (0..12).map(|n| format!("w{n}")).collect();
    nc.type_in(&format!("{}\n", words.join(" ")));
    program.until("ten rows and no more are shown", |p| {
        blocks(&p.out()).iter().any(|(_, rows)| rows.len() == 11 && rows[10] == "...")
    });
    let before = blocks(&program.out()).len();
    program.until("idle seconds are printed, too", |p| blocks(&p.out()).len() >= before + 3);
    let blocks = blocks(&program.out());
    let times: BTreeSet<&String> = blocks.iter().map(|(time, _)| time).collect();
    assert_eq!(times.len(), blocks.len(), "one block per second");
    assert!(blocks.last().unwrap().1.is_empty());
    nc.type_in("a  b\n");
    program.until("the empty word between two spaces is counted, as Spark does", |p| {
        self::blocks(&p.out()).iter().any(|(_, rows)| rows.contains(&"(,1)".to_owned()))
    });
    let sums = rows(&program.out());
    let counted = ["hello", "world", "again", "the", "last", "once", "more", "a", "", "b"].map(|w| sums[w]);
    assert_eq!(counted, [3, 1, 1, 1, 1, 1, 1, 1, 1, 1], "{sums:?}");
    program.end();
}

#[test]
fn the_recoverable_count_continues_after_a_kill() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out");
    let start = || {
        let mut command = example("recoverable_network_word_count");
        Process::start(
            command.args(["127.0.0.1", &port.to_string()]).arg(dir.path().join("checkpoint")).arg(&output),
        )
    };
    let counted =
        |word: &str| fs::read_to_string(&output).unwrap_or_default().contains(&format!("({word},1)"));
    let mut nc = Nc::listen(port);
    let mut first = start();
    nc.type_in("one two\n");
    first.until("words are counted", |_| counted("two"));
    first.kill();
    let mut second = start();
    nc.type_in("three\n");
    second.until("words are counted after the kill", |_| counted("three"));
    second.end();
    assert!(fs::read_to_string(&output).unwrap().starts_with("Counts at time "));
}

#[test]
fn the_stateful_count_begins_with_its_initial_state_and_keeps_it() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let start = || {
        let mut command = example("stateful_network_word_count");
        Process::start(command.args(["127.0.0.1", &port.to_string()]).arg(dir.path()))
    };
    let mut nc = Nc::listen(port);
    let mut first = start();
    nc.type_in("hello you\n");
    first.until("hello began with one", |p| p.out().contains("(hello,2)\n") && p.out().contains("(you,1)\n"));
    first.kill();
    let mut second = start();
    nc.type_in("hello you\n");
    second.until("counts went on", |p| p.out().contains("(hello,3)\n") && p.out().contains("(you,2)\n"));
    second.end();
}

#[test]
fn the_queue_is_counted_and_the_program_ends() {
    let mut program = Process::start(example("queue_stream").arg("2"));
    program.until("it ends", |p| p.out().matches("(9,100)\n").count() == 2);
    let text = program.out();
    assert!((0..10).all(|digit| text.matches(&format!("({digit},100)\n")).count() == 2), "{text}");
}

/// The content of a topic in the log of a running program: the directory belongs to that program, so a copy is
/// read.
fn values_of(checkpoint: &Path, topic: &str) -> Vec<(String, String)> {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&checkpoint.join("log"), copy.path());
    match tidegate::log::open(&format!("embedded:{}", copy.path().display()), &BTreeMap::new()) {
        Ok(log) if log.describe(&[topic]).unwrap()[0].is_some() => {
            (0..4).flat_map(|p| read_all(&log, &tp(topic, p))).collect()
        }
        _ => vec![], // not there yet, or changed while it was copied
    }
}

#[test]
fn lines_that_a_receiver_acknowledged_survive_kills() {
    let dir = tempfile::tempdir().unwrap();
    let command = |port: u16| {
        let mut command = example("custom_receiver");
        command.args(["127.0.0.1", &port.to_string()]).arg(dir.path());
        command
    };
    let received = || values_of(dir.path(), "received").into_iter().map(|(_, line)| line).collect();
    acknowledged_lines_survive_kills(&command, &received);
}

#[test]
fn the_custom_receiver_answers_lines_that_want_an_answer() {
    let (dir, server) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port().to_string();
    let mut command = example("custom_receiver");
    let mut program = Process::start(command.args(["127.0.0.1", &port]).arg(dir.path()));
    let (mut stream, _) = server.accept().unwrap();
    stream.write_all(b"~quick\n\nsure\n~last\n").unwrap();
    let mut answers = [0; 9];
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(str::from_utf8(&answers), Ok("empty\nok\n"));
    let received = || values_of(dir.path(), "received").into_iter().map(|(_, line)| line).collect::<Vec<_>>();
    program.until("all lines are processed", |_| received().len() == 3);
    program.end();
    assert_eq!(
        received().into_iter().collect::<BTreeSet<_>>(),
        ["last", "quick", "sure"].map(String::from).into()
    );
}

#[cfg(feature = "failpoints")]
#[test]
fn files_are_counted_once_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let command = |input: &Path| {
        let mut command = example("directory_word_count");
        command.arg(input).arg(dir.path()).arg("--all");
        command
    };
    files_are_counted_once_over_kills(&command, &|| values_of(dir.path(), "counts"));
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        } else {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        }
    }
}
