//! The fuzzer can fail: engines that are deliberately wrong are detected by it, with the seed.

use std::process::Command;

/// A mutant, the test that finds it, and within how many cases.
const MUTANTS: [(&str, &str, u32); 6] = [
    ("mutant-weights-forgotten", "what_has_left_a_query_is_the_answer_of_a_batch_engine", 100),
    ("mutant-old-row-stays", "what_has_left_a_query_is_the_answer_of_a_batch_engine", 100),
    ("mutant-key-column-forgotten", "what_has_left_a_query_is_the_answer_of_a_batch_engine", 1_000),
    ("mutant-match-forgotten", "rows_that_have_gone_are_not_missed", 200),
    ("mutant-goes-early", "rows_that_have_gone_are_not_missed", 200),
    (
        "mutant-closes-early",
        "windows::what_has_left_windows_is_the_answer_of_a_batch_engine_over_rows_in_time",
        200,
    ),
];

#[test]
fn each_mutant_is_detected_with_its_seed() {
    for (mutant, test, cases) in MUTANTS {
        let mut fuzzer = Command::new(std::env::current_exe().unwrap());
        fuzzer.args(["--exact", &format!("sql::fuzz::{test}"), "--nocapture"]);
        fuzzer.env("SQL_FUZZ_FIRST", "1").env("SQL_FUZZ_CASES", cases.to_string()).env("RUST_BACKTRACE", "0");
        fuzzer.env("TIDEGATE_FAILPOINT", format!("{mutant}=mutant"));
        let ended = fuzzer.output().unwrap();
        let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert!(text.contains("running 1 test"), "the fuzzer did not run:\n{text}");
        assert!(!ended.status.success(), "{mutant} was not found in {cases} cases");
        let seed = text.split("seed ").nth(1).and_then(|rest| rest.split([' ', ':', ',']).next());
        println!("{mutant}: seed {}", seed.unwrap_or_else(|| panic!("{mutant}: no seed is told:\n{text}")));
    }
}
