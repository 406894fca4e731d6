//! The sweep can fail: engines that are deliberately wrong are detected by it, with the seed.

use std::process::Command;

const WORD_COUNT: &str = "count_words::every_seed_counts_every_word_exactly_once";
const STATELESS: &str = "count_words::every_seed_passes_every_line_on_exactly_once_without_state";
const SHARED: &str = "shared_state::every_seed_counts_every_word_exactly_once_in_three_processes";
const AGREES: &str = "agreement::every_seed_agrees_in_three_processes";
const CLOCKS: &str = "agreement::every_seed_agrees_in_processes_whose_clocks_differ_and_jump";
const FULL: &str =
    "agreement::every_seed_agrees_in_two_processes_whose_intervals_have_more_than_a_batch_holds";
const FULL_CLOCKS: &str = "agreement::every_seed_agrees_in_three_processes_with_other_clocks_whose_intervals_have_more_than_a_batch_holds";
const GROWS: &str = "agreement::every_seed_agrees_while_clocks_differ_and_the_input_gets_more_partitions";
const FORGETS: &str = "agreement::every_seed_agrees_in_a_process_that_keeps_its_disk_and_one_that_loses_it";
const SLOW: &str =
    "restores::every_seed_counts_every_word_exactly_once_in_three_processes_whose_restores_take_long";
const CATCHES_UP: &str = "restores::a_state_partition_that_was_restored_catches_up_in_a_few_transactions";
const EVENT_TIME: &str = "event_time::every_seed_gives_each_window_over_event_time_once_with_all_its_rows";
const FILES: &str = "shared_files::every_seed_writes_each_line_once_in_two_processes";
const LOCAL_ROWS: &str = "local_rows::rows_of_the_process_take_effect_once_while_it_lives";

/// Runs a sweep in a process of its own, with a mutant; returns its output.
fn found(mutant: &str, test: &str, seeds: u32) -> String {
    let mut sweep = Command::new(std::env::current_exe().unwrap());
    sweep.args(["--exact", test, "--nocapture"]);
    sweep.env_remove("SIM_SEED").env("SIM_SEEDS", seeds.to_string()).env("RUST_BACKTRACE", "0");
    sweep.env("SIM_FIRST", "1");
    sweep.env("TIDEGATE_FAILPOINT", mutant);
    let ended = sweep.output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(text.contains("running 1 test"), "the sweep did not run:\n{text}");
    assert_eq!(ended.status.success(), mutant.is_empty(), "{mutant}: {text}");
    text
}

#[test]
fn without_a_mutant_the_sweep_finds_nothing() {
    found("", WORD_COUNT, 60);
    found("", STATELESS, 60);
    found("", SHARED, 60);
    found("", AGREES, 60);
}

#[test]
fn each_mutant_is_detected_with_its_seed() {
    for (mutant, test, seeds) in [
        ("mutant-apply-before-commit", WORD_COUNT, 60),
        ("mutant-offsets-outside", WORD_COUNT, 60),
        ("mutant-doubt-means-aborted", WORD_COUNT, 60),
        ("mutant-doubt-means-committed", WORD_COUNT, 60),
        ("mutant-staged-state-kept", WORD_COUNT, 60),
        ("mutant-memory-too-early", SHARED, 100),
        ("mutant-fetch-position", SHARED, 20),
        ("mutant-dropped-before-apply", SHARED, 40),
        ("mutant-witness-from-next", FORGETS, 5_000),
        ("mutant-goes-on-after-release", SHARED, 1_000),
        ("mutant-release-at-once", SHARED, 1_000),
        ("mutant-stable-end", SHARED, 1_000),
        ("mutant-close-without-one", AGREES, 200),
        ("mutant-mark-before-rows", AGREES, 20),
        ("mutant-mark-time-forgotten", CLOCKS, 400),
        ("mutant-mark-with-first-part", FULL, 20),
        ("mutant-part-after-mark", FULL, 20),
        ("mutant-part-time-forgotten", FULL_CLOCKS, 1_000),
        ("mutant-skip-by-closed", GROWS, 3_000),
        ("mutant-taken-up-early", SLOW, 40),
        ("mutant-part-is-whole", SLOW, 40),
        ("mutant-times-apart", SLOW, 40),
        ("mutant-begins-at-once", EVENT_TIME, 100),
        ("mutant-asks-before-commit", EVENT_TIME, 3_000),
        ("mutant-success-early", FILES, 20),
        ("mutant-shares-discarded", FILES, 100),
        // The engine looks at its membership itself, right before the log does: only without both is it found.
        (
            "mutant-expelled-goes-on=mutant,mutant-no-group-metadata=mutant,mutant-nobody-is-gone",
            STATELESS,
            1_000,
        ),
    ] {
        let text = found(&format!("{mutant}=mutant"), test, seeds);
        let seed = text
            .lines()
            .find(|line| line.starts_with("SIM_SEED="))
            .unwrap_or_else(|| panic!("{mutant}: {text}"));
        println!("{mutant}: {}", seed.split(';').next().unwrap());
    }
    for (mutant, test, found_by) in [
        ("mutant-local-rows-again=mutant", LOCAL_ROWS, "worlds failed"),
        ("mutant-one-time=mutant", CATCHES_UP, "batches while it restored"),
    ] {
        let text = found(mutant, test, 0);
        assert!(text.contains(found_by), "{text}");
    }
}
