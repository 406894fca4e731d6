//! Two processes that share the state of a program that writes files: each writes its share of a batch, and one of them finishes it. Both
//! may die at every step; each line is in one file, each count too, and each batch has its `_SUCCESS`.

use super::{
    Random,
    client::Client,
    outputs::{must_equal, words_of_files},
    program::{App, Run},
    shared_state::all_work,
    until,
    words::{Lines, Stream, Truth, judge, violations},
};
use crate::subject::bootstrap;
use std::{fs, path::Path, thread::sleep, time::Duration};

/// Failpoints, of which the last one kills whichever of the processes comes there.
const KILLS: [&str; 9] = [
    "after-prepare=kill@2",
    "before-flush=kill@3",
    "after-offsets=kill-in:2@3",
    "after-commit=kill@2",
    "before-finish=kill@3",
    "during-finish=kill@1",
    "during-finish=kill@2",
    "fail-flush=fail@2,before-finish=kill@3",
    "lose-answer=fail@2,before-finish=kill@2",
];

/// Starts both with these failpoints, and waits until at least one has died there.
fn one_dies(apps: &[App; 2], failpoints: &str) {
    let place = failpoints.rsplit(',').next().unwrap().split('=').next().unwrap();
    let mut runs: Vec<Run> = apps.iter().map(|app| app.start(failpoints)).collect();
    until(&format!("{place} kills one"), || runs.iter_mut().any(|run| !run.is_running()));
    for mut run in runs {
        if run.is_running() {
            run.kill();
        } else {
            run.dies_at_its_failpoint();
        }
    }
}

/// Folders of batches without `_SUCCESS`, and how many there are in all.
fn unfinished(root: &Path) -> (Vec<String>, usize) {
    let batches = fs::read_dir(root).into_iter().flatten().map(|entry| entry.unwrap().path());
    let batches: Vec<_> =
        batches.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("of-")).collect();
    let open = batches.iter().filter(|path| !path.join("_SUCCESS").exists());
    (open.map(|path| path.display().to_string()).collect(), batches.len())
}

#[test]
fn each_line_is_in_one_file_of_two_processes() {
    let seed = Random::seed();
    eprintln!("shared files: seed {seed}");
    let client = Client::new(&bootstrap());
    let first = App::new("test:lines_and_counts_in_files", &client).with_flag("shared-files");
    let dir = first.folder.join("files");
    let first = first.with("files", dir.to_str().unwrap());
    let second = first.elsewhere().with("instance-id", "pod-2");
    let (id, input, output) = (first.id.clone(), first.input.clone(), first.output.clone());
    let apps = [first, second];
    let stream = Stream::start(Lines::new(&client, &input, seed));
    for failpoints in KILLS {
        let mut before: Vec<Run> = apps.iter().map(|app| app.start("")).collect();
        all_work(&client, &id, &mut before);
        before.into_iter().for_each(Run::kill);
        one_dies(&apps, failpoints);
    }
    let truth: Truth = stream.finish();
    let mut runs: Vec<Run> = apps.iter().map(|app| app.start("")).collect();
    until("everything is counted and in files", || {
        runs.iter_mut().for_each(Run::must_run);
        sleep(Duration::from_millis(300));
        let in_files: u64 = words_of_files(&dir.join("lines")).0.values().sum();
        violations(&truth, &client.read(&output)).is_empty() && in_files >= truth.values().sum()
    });
    until("each batch is finished", || {
        ["lines", "counts"].iter().all(|of| unfinished(&dir.join(of)).0.is_empty())
    });
    runs.into_iter().for_each(|run| drop(run.stop()));
    let rows = client.read(&output);
    judge(&format!("seed {seed}"), &truth, &rows);
    let (words, files) = words_of_files(&dir.join("lines"));
    must_equal(&format!("lines, seed {seed}"), &truth, &words);
    let mut counts: Vec<String> = rows.iter().map(|row| format!("({},{})", row.key, row.value)).collect();
    let mut in_files = vec![];
    for batch in fs::read_dir(dir.join("counts")).unwrap().map(|entry| entry.unwrap().path()) {
        let is_part = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("part-");
        let parts =
            fs::read_dir(batch).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_part(path));
        in_files.extend(parts.flat_map(|part| {
            fs::read_to_string(part).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        }));
    }
    counts.sort();
    in_files.sort();
    assert!(counts == in_files, "seed {seed}: {} counts, {} in files", counts.len(), in_files.len());
    for instance in ["pod-1", "pod-2"] {
        let shares = dir.join("lines/.tidegate-pending").join(format!("_{id}/_{instance}"));
        assert!(shares.is_dir(), "{instance} has written files");
    }
    println!(
        "{} kills, {} batches, {files} files, {} counts",
        KILLS.len(),
        unfinished(&dir.join("lines")).1,
        counts.len()
    );
}

#[test]
fn a_second_process_asks_for_the_files_to_be_shared() {
    let client = Client::new(&bootstrap());
    let first = App::new("test:lines_and_counts_in_files", &client);
    let dir = first.folder.join("files");
    let first = first.with("files", dir.to_str().unwrap());
    let second = first.elsewhere().with("instance-id", "pod-2");
    let stream = Stream::start(Lines::new(&client, &first.input, Random::seed()));
    let mut alone = first.start("");
    first.progress(&client, &mut alone);
    let waits = second.start("");
    until("the second one says what it needs", || waits.text().contains("with --shared-files"));
    assert!(waits.text().contains("this one stands by"), "{}", waits.text());
    waits.kill();
    let sharing = second.with_flag("shared-files");
    let mut refused = sharing.start("");
    assert_eq!(refused.exit_code(), 3, "{}", refused.text());
    assert!(
        refused.text().contains("`pod-1` of this application runs without --shared-files"),
        "{}",
        refused.text()
    );
    drop(stream.finish());
    alone.stop();
}
