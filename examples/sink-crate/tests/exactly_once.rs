//! Programs with the sinks of this crate: crashes, restarts, and truncated files.

use journal_sink::{JournalSink, ReportSink, rows};
use std::{collections::BTreeMap, fs, io::Write};
use tidegate::{
    StreamingContext,
    config::Trigger,
    log,
    record::{Headers, Offset, RawChunkBuilder, RawRecord},
    testing::{Crash, Driver},
};

#[test]
fn a_journal_has_each_row_once_wherever_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("words.journal");
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        ssc.text("lines").flat_map(|line| line.split(' ')).to_sink(JournalSink::new(&path));
    });
    let mut expected = vec![];
    for n in 0..12 {
        if n % 3 > 0 {
            driver.crash_at(if n % 3 == 1 { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let written = driver.batch(&format!("lines {} | - | a{n} b{n}\n", n % 3)).unwrap();
        assert_eq!(written.rows().count(), 2, "in the internal topic: {written}");
        expected.extend([format!("\"a{n}\""), format!("\"b{n}\"")]);
        if n % 4 == 3 {
            driver.restart();
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(b"row \"torn\"\nrow \"to")
                .unwrap();
        }
    }
    driver.batch("").unwrap();
    assert_eq!(driver.crashes(), 8);
    assert_eq!(rows(&path).unwrap(), expected);
}

#[test]
fn a_report_shows_committed_batches_only_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("lines").to_sink(ReportSink::new(&path)));
    for (n, crash) in [None, Some(Crash::BeforeCommit), Some(Crash::AfterCommit)].into_iter().enumerate() {
        if let Some(crash) = crash {
            driver.crash_at(crash);
        }
        driver.batch(&format!("lines 0 | - | {n}\n")).unwrap();
        driver.batch("").unwrap(); // if the crash came after the commit, the next process finishes
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{n}\n"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no pending file");
    }
    assert_eq!(driver.crashes(), 2);
}

/// Runs the program over the available input, as a process would: with threads, on a log in a directory.
fn run(dir: &std::path::Path) {
    let log = format!("embedded:{}", dir.join("log").display());
    let ssc = StreamingContext::builder("app")
        .log(&log)
        .checkpoint(dir.join("state"))
        .trigger(Trigger::AvailableNow)
        .configure(|config| config.admin_bind = None)
        .build();
    let words = ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
    let counts = words.running_reduce_by_key(|a, b| a + b);
    counts.to_sink(JournalSink::new(dir.join("counts")));
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
}

#[test]
fn a_program_that_runs_again_continues_after_its_last_row() {
    let dir = tempfile::tempdir().unwrap();
    let log = log::open(&format!("embedded:{}", dir.path().join("log").display()), &BTreeMap::new()).unwrap();
    let write = |line: &str| {
        let mut lines = RawChunkBuilder::default();
        let value = Some(line.as_bytes());
        lines.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value,
            headers: Headers::NONE,
        });
        log::write(log.as_ref(), "lines", None, &lines.build()).unwrap();
    };
    write("tide");
    run(dir.path());
    run(dir.path());
    write("tide");
    run(dir.path());
    assert_eq!(rows(dir.path().join("counts")).unwrap(), [r#"["tide",1]"#, r#"["tide",2]"#]);
}

#[test]
fn mistakes_are_reported_with_their_position() {
    let ssc =
        StreamingContext::builder("app").log("memory:sink-crate").trigger(Trigger::AvailableNow).build();
    let lines = ssc.text("lines");
    lines.to_sink(JournalSink::new("journal").named("a/b"));
    lines.to_sink(ReportSink::new("/"));
    lines.to_sink(JournalSink::new("one"));
    lines.to_sink(JournalSink::new("another").named("one"));
    let told = ssc.start().unwrap_err().to_string();
    for part in [
        "exactly_once.rs:",
        "`to_sink`: `a/b` cannot be",
        "`/` is not a file name",
        "`one` is written to twice",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
