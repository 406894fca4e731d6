//! `tidegate demo`, run as a program: ended by time, killed, ended by a signal; its counts are checked against an
//! oracle.

use crate::contract::{TestConsumer, read_all, tp};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tidegate::log::{self, Log};

fn demo(dir: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["demo", "--rate", "5000", "--admin-bind", "127.0.0.1:0", "--dir"]).arg(dir).args(more);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads the output up to a line that `found` accepts.
fn until(child: &mut Child, out: &mut dyn BufRead, found: impl Fn(&str) -> bool) {
    let mut line = String::new();
    while !found(&line) {
        line.clear();
        let read = out.read_line(&mut line).unwrap();
        assert!(read > 0, "the demo ended early: {}", child.wait().unwrap());
    }
}

fn wait(mut child: Child, out: &mut dyn Read) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {text}");
    text
}

/// The lines that the program has committed, read back from the log and counted by hand, and how many lines there
/// are.
fn oracle(log: &Arc<dyn Log>) -> (BTreeMap<String, u64>, u64) {
    let partitions = [tp("lines", 0), tp("lines", 1)];
    let consumer = TestConsumer::join(log, "demo", "oracle", &[]);
    let (mut counts, mut lines) = (BTreeMap::new(), 0);
    for (at, committed) in partitions.iter().zip(consumer.member.committed(&partitions)().unwrap()) {
        let committed = usize::try_from(committed.unwrap().offset.0).unwrap();
        let all = read_all(log, at);
        assert!(all.len() >= committed, "nothing was dropped yet");
        lines += committed as u64;
        for (_, line) in &all[..committed] {
            line.split(' ').for_each(|word| *counts.entry(word.to_owned()).or_default() += 1);
        }
    }
    (counts, lines)
}

#[test]
fn counts_stay_exact_across_an_end_a_kill_and_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = demo(dir.path(), &["--seconds", "3"]);
    let mut out = first.stdout.take().unwrap();
    let text = wait(first, &mut out);
    let page = text.lines().next().unwrap().strip_prefix("page       http://127.0.0.1:").expect(&text);
    assert!(text.contains(&format!("\nmetrics    http://127.0.0.1:{page}/metrics\n")), "{text}");
    assert!(
        text.contains("| first run | the ") && text.contains("to resume   start the demo again with --dir "),
        "{text}"
    );

    let mut second = demo(dir.path(), &[]);
    let mut out = BufReader::new(second.stdout.take().unwrap());
    until(&mut second, &mut out, |line| line.contains("| resumed after "));
    until(&mut second, &mut out, |line| line.contains("| resumed after "));
    second.kill().unwrap();
    assert_eq!(second.wait().unwrap().signal(), Some(9), "it was killed while it ran");

    let mut third = demo(dir.path(), &[]);
    let mut out = BufReader::new(third.stdout.take().unwrap());
    until(&mut third, &mut out, |line| line.contains("| resumed after "));
    until(&mut third, &mut out, |line| line.contains("| resumed after "));
    let pid = third.id().to_string();
    // As Ctrl-C would.
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let text = wait(third, &mut out);
    let resume = format!(
        "to resume   start the demo again with --dir {}; to start from scratch, delete the directory first",
        dir.path().canonicalize().unwrap().display()
    );
    for part in ["ended after ", "; resumed after ", "records     ", "checkpoint  batch ", &resume] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }

    let log = log::open(&format!("embedded:{}", dir.path().join("log").display()), &BTreeMap::new()).unwrap();
    let (expected, lines) = oracle(&log);
    assert!(lines > 15_000, "{lines}");
    assert!(text.contains(&format!(" {},{:03} in all", lines / 1000, lines % 1000)), "{lines}: {text}");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for partition in 0..2 {
        for (word, count) in read_all(&log, &tp("counts", partition)) {
            let count = count.parse().unwrap();
            let before = counts.insert(word.clone(), count);
            assert!(
                before.is_none_or(|before| before < count),
                "the count of `{word}` went from {before:?} to {count}"
            );
        }
    }
    assert_eq!(counts, expected);
}
