//! The sweep can fail: engines that are deliberately wrong are detected by it, with the seed.

use std::process::Command;

/// Runs the sweep of the word count in a process of its own, with a mutant; returns its output.
fn found(mutant: &str) -> String {
    let mut sweep = Command::new(std::env::current_exe().unwrap());
    sweep.args(["--exact", "count_words::every_seed_counts_every_word_exactly_once", "--nocapture"]);
    sweep.env_remove("SIM_SEED").env("SIM_SEEDS", "60").env("RUST_BACKTRACE", "0");
    sweep.env("TIDEGATE_FAILPOINT", mutant);
    let ended = sweep.output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(text.contains("running 1 test"), "the sweep did not run:\n{text}");
    assert_eq!(ended.status.success(), mutant.is_empty(), "{mutant}: {text}");
    text
}

#[test]
fn without_a_mutant_the_sweep_finds_nothing() {
    found("");
}

#[test]
fn each_mutant_is_detected_with_its_seed() {
    for mutant in [
        "mutant-apply-before-commit",
        "mutant-offsets-outside",
        "mutant-doubt-means-aborted",
        "mutant-doubt-means-committed",
    ] {
        let text = found(&format!("{mutant}=mutant"));
        let seed = text
            .lines()
            .find(|line| line.starts_with("SIM_SEED="))
            .unwrap_or_else(|| panic!("{mutant}: {text}"));
        println!("{mutant}: {}", seed.split(';').next().unwrap());
    }
}
