//! Files of a directory: found once, read once, whatever happens to the program or the files.

use super::{collect, context, context_on, new_log, stop};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tidegate::{
    BadRecordPolicy,
    codec::Json,
    config::Trigger,
    source::{FileOptions, LossyText},
};

fn options(dir: &Path) -> FileOptions {
    FileOptions::new(dir).named("files").look_every(Duration::from_millis(20)).settle_time(Duration::ZERO)
}

/// Writes a file the recommended way: elsewhere, then renamed.
fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let hidden = dir.join(format!(".{name}"));
    fs::write(&hidden, text).unwrap();
    fs::rename(hidden, dir.join(name)).unwrap();
}

#[test]
fn files_are_read_once_across_restarts_and_large_ones_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = new_log();
    let (first, _) = context_on(&bootstrap, "files", |_| {});
    put(dir.path(), "a.txt", "one\r\ntwo\n\nthree");
    put(dir.path(), "_tmp", "no\n");
    let rows = collect(&first.file_stream(options(dir.path()), LossyText));
    first.start().unwrap();
    rows.until(&first, 4);
    put(dir.path(), "b.txt", b"\xffb\n");
    rows.until(&first, 5);
    stop(&first, false);
    let texts: Vec<String> = rows.get().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["one", "two", "", "three", "\u{fffd}b"]);

    // 20 MB are three parts; line numbers show whether each line is there once, in order.
    let lines: Vec<String> = (0..1_200_000).map(|n| format!("{n:015}")).collect();
    put(dir.path(), "large", lines.join("\n"));
    let (second, _) = context_on(&bootstrap, "files", |_| {});
    let rows =
        collect(&second.file_stream(options(dir.path()), LossyText).map(|l| l.parse::<u64>().unwrap()));
    second.start().unwrap();
    rows.until(&second, 1_200_000);
    stop(&second, false);
    assert!(
        rows.get().into_iter().eq(0..1_200_000),
        "nothing of the first run, and each line of the large file once"
    );
}

/// What is available in a directory are the files that are complete, also before any of them was listed. One that grows is not waited for.
#[test]
fn a_run_of_what_is_available_reads_the_files_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = new_log();
    let run = |trigger: Trigger| {
        let (ssc, _) = context_on(&bootstrap, "available", |config| config.trigger = trigger);
        let rows =
            collect(&ssc.file_stream(options(dir.path()).settle_time(Duration::from_millis(60)), LossyText));
        ssc.start().unwrap();
        ssc.await_termination().unwrap();
        rows.get().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(run(Trigger::AvailableNow).is_empty(), "there is no file");
    put(dir.path(), "a", "one\ntwo\n");
    put(dir.path(), "b", "three\n");
    assert_eq!(run(Trigger::AvailableNow), ["one", "two", "three"]);
    assert!(run(Trigger::AvailableNow).is_empty(), "each file is read once");
    put(dir.path(), "c", "four\n");
    let (is_over, grows) = (AtomicBool::new(false), dir.path().join("grows"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for size in 1.. {
                fs::write(&grows, "x".repeat(size)).unwrap();
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let rows = run(Trigger::Once);
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(rows, ["four"]);
    });
    assert!(run(Trigger::Once)[0].starts_with('x'));
}

#[test]
fn only_new_files_are_read_if_asked_for_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "old", "old\n");
    let bootstrap = new_log();
    let (first, log) = context_on(&bootstrap, "files", |_| {});
    let rows = collect(&first.file_stream(options(dir.path()).new_files_only(), LossyText));
    first.start().unwrap();
    let at = tidegate::record::TopicPartition::new("files-ingest-files", 0);
    crate::contract::until("the first scan was written", || log.end_offset(&at).is_ok_and(|end| end.0 >= 2));
    stop(&first, false);
    assert!(rows.get().is_empty());
    put(dir.path(), "while-away", "new\n");
    let (second, _) = context_on(&bootstrap, "files", |_| {});
    let rows = collect(&second.file_stream(options(dir.path()).new_files_only(), LossyText));
    second.start().unwrap();
    assert_eq!(rows.until(&second, 1).iter().map(ToString::to_string).collect::<Vec<_>>(), ["new"]);
    stop(&second, true);
}

#[test]
fn bad_lines_and_changed_files_are_bad_records() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.json", "1\nx\n3\n");
    let (ssc, log) = context("files");
    let policy = BadRecordPolicy::DeadLetter;
    let rows =
        collect(&ssc.file_stream::<u64>(options(dir.path()).suffix(".json").on_bad_record(policy), Json));
    ssc.start().unwrap();
    assert_eq!(rows.until(&ssc, 2), [1, 3]);
    stop(&ssc, true);
    let dead_letters = crate::contract::tp("files-dlq", 0);
    let mut reader = log.read(&dead_letters, tidegate::record::Offset(0)).unwrap();
    let fetched = reader.next(Duration::from_secs(5)).unwrap().unwrap();
    let dead_letter = fetched.records.get(0);
    let reason =
        dead_letter.headers.iter().find(|(name, _)| *name == "__tidegate.errors.message").unwrap().1.unwrap();
    let reason = String::from_utf8_lossy(reason);
    assert!(reason.starts_with("a.json, the line at byte 2: "), "{reason}");

    // Policy `Fail`: a file that is gone when its lines are needed stops the program, which names the file.
    let gone = tempfile::tempdir().unwrap();
    put(gone.path(), "a.txt", "1\n");
    let bootstrap = new_log();
    let (ssc, log) = context_on(&bootstrap, "gone", |_| {});
    let rows = collect(&ssc.file_stream(options(gone.path()), LossyText));
    ssc.start().unwrap();
    rows.until(&ssc, 1);
    stop(&ssc, false);
    let mut stale = tidegate::record::RawChunkBuilder::default();
    let value = r#"{"range":{"file":{"name":"b.txt","mtime_ns":1,"len":2},"from":0,"to":2}}"#;
    stale.push(crate::contract::record(Some(b"b"), Some(value.as_bytes())));
    tidegate::log::write(&*log, "gone-ingest-files", None, &stale.build()).unwrap();
    let (ssc, _) = context_on(&bootstrap, "gone", |_| {});
    collect(&ssc.file_stream(options(gone.path()), LossyText));
    ssc.start().unwrap();
    let error = ssc.await_termination().unwrap_err().to_string();
    assert!(error.contains("b.txt") && error.contains("No such file"), "{error}");
}

#[test]
fn packed_files_are_read_and_a_file_that_changed_after_it_was_listed_is_read_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = new_log();
    let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut packer, b"\xef\xbb\xbfone\ntwo\n").unwrap();
    put(dir.path(), "a.gz", packer.finish().unwrap());
    let (ssc, log) = context_on(&bootstrap, "packed", |_| {});
    let rows = collect(&ssc.file_stream(options(dir.path()), LossyText));
    ssc.start().unwrap();
    rows.until(&ssc, 2);
    let mut stale = tidegate::record::RawChunkBuilder::default();
    let value = r#"{"range":{"file":{"name":"b.txt","mtime_ns":1,"len":2},"from":0,"to":2}}"#;
    stale.push(crate::contract::record(Some(b"b"), Some(value.as_bytes())));
    put(dir.path(), "b.txt", "three\n");
    tidegate::log::write(&*log, "packed-ingest-files", None, &stale.build()).unwrap();
    let rows = rows.until(&ssc, 3);
    stop(&ssc, true);
    assert_eq!(rows.iter().map(|row| &**row).collect::<Vec<_>>(), ["one", "two", "three"]);
}
