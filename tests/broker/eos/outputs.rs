//! Files and tables while the program is killed at every step of an output: each line once.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, Stream, Truth, count},
};
use crate::{postgres::Postgres, subject::bootstrap};
use std::{collections::BTreeMap, fs, path::Path};

/// Failpoints, of which the last one kills.
pub const FILE_KILLS: [&str; 15] = [
    "after-prepare=kill@1",
    "after-prepare=kill@3",
    "before-flush=kill@2",
    "before-offsets=kill@2",
    "after-offsets=kill@3",
    "after-offsets=kill-in:2@2",
    "after-commit=kill@1",
    "after-commit=kill@3",
    "before-finish=kill@2",
    "during-finish=kill@1",
    "during-finish=kill@6",
    "after-apply=kill@2",
    "fail-flush=fail@2,after-drop=kill@1",
    "lose-request=fail@2,before-finish=kill@3",
    "lose-answer=fail@2,before-finish=kill@2",
];

/// Failpoints of the writer, and of the batch that it reads.
pub const TABLE_KILLS: [&str; 9] = [
    "before-drained=kill@1",
    "before-drained=kill@4",
    "after-drained=kill@1",
    "after-drained=kill@3",
    "after-drained=kill@6",
    "after-offsets=kill-in:2@2",
    "after-commit=kill@2",
    "fail-flush=fail@2,after-drained=kill@2",
    "lose-answer=fail@2,before-drained=kill@3",
];

/// The words of all final files below a folder.
pub fn words_of_files(root: &Path) -> (Truth, usize) {
    let (mut words, mut number, mut folders) = (Truth::new(), 0, vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(['.', '_']) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            number += 1;
            for line in fs::read_to_string(&path).unwrap().lines() {
                count(line.trim_matches('"'), &mut words);
            }
        }
    }
    (words, number)
}

pub fn must_equal(what: &str, truth: &Truth, found: &Truth) {
    let words = truth.keys().chain(found.keys());
    let wrong: Vec<String> = words
        .filter(|word| truth.get(*word) != found.get(*word))
        .map(|word| format!("{word}: {:?} instead of {:?}", found.get(word), truth.get(word)))
        .collect();
    assert!(wrong.is_empty(), "{what}: {} words, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(!truth.is_empty(), "{what}: nothing was tested");
}

pub fn kill_at(client: &Client, app: &App, kills: &[&str]) {
    for failpoints in kills {
        let mut before = app.start("");
        app.progress(client, &mut before);
        before.kill();
        app.start(failpoints).dies_at_its_failpoint();
    }
}

#[test]
fn each_line_is_in_one_file() {
    let seed = Random::seed();
    eprintln!("files: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("output_operations", &client);
    let dir = app.folder.join("files");
    let app = app.with("dir", dir.to_str().unwrap());
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    kill_at(&client, &app, &FILE_KILLS);
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    for output in ["batches", "tree"] {
        let (words, files) = words_of_files(&dir.join(output));
        must_equal(&format!("{output}, seed {seed}"), &truth, &words);
        println!(
            "{output}: {} kills, {files} files, {} words, none lost, none twice",
            FILE_KILLS.len(),
            words.len()
        );
    }
    let pending = walk(&dir).into_iter().filter(|p| p.contains("part-") && p.contains(".tidegate-pending"));
    assert_eq!(pending.collect::<Vec<_>>(), [""; 0], "nothing pending is left");
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn each_line_is_one_row() {
    let seed = Random::seed();
    eprintln!("tables: seed {seed}");
    let mut postgres = Postgres::start();
    postgres.run("CREATE TABLE lines (line text); CREATE TABLE counts (word text PRIMARY KEY, n bigint)");
    let client = Client::new(&bootstrap());
    let app = App::new("output_operations", &client);
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port);
    let app = app.with("postgres", &url);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let (first, rest) = TABLE_KILLS.split_at(5);
    kill_at(&client, &app, first);
    // The server dies while the program runs, which continues without it for a while.
    let mut run = app.start("");
    app.progress(&client, &mut run);
    postgres.kill();
    app.progress(&client, &mut run);
    postgres.restart();
    app.progress(&client, &mut run);
    run.kill();
    kill_at(&client, &app, rest);
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let lines = || postgres.texts("SELECT count(*)::text FROM lines").remove(0).parse::<usize>().unwrap();
    let wanted = truth.keys().filter(|word| word.starts_with("only-")).count();
    until("all lines are written", || {
        run.must_run();
        lines() >= wanted
    });
    let pairs = || {
        let rows = postgres.texts("SELECT word || ' ' || n FROM counts");
        let pair =
            |row: &String| row.split_once(' ').map(|(w, n)| (w.to_owned(), n.parse().unwrap())).unwrap();
        rows.iter().map(pair).collect::<BTreeMap<String, u64>>()
    };
    until("all counts are written", || {
        run.must_run();
        pairs().len() >= truth.len() && pairs() == truth || lines() > wanted
    });
    run.stop();
    let mut words = Truth::new();
    postgres.texts("SELECT line FROM lines").iter().for_each(|line| count(line, &mut words));
    must_equal(&format!("lines, seed {seed}"), &truth, &words);
    must_equal(&format!("counts, seed {seed}"), &truth, &pairs());
    println!(
        "tables: {} kills and one of the server, {} words, none lost, none twice",
        TABLE_KILLS.len(),
        words.len()
    );
}
