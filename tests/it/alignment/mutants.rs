//! The histories can fail: alignments that are deliberately wrong are found by them.

use std::process::Command;

/// Runs the histories in a process of its own, with a mutant; returns its output.
fn found(mutant: &str) -> String {
    let mut histories = Command::new(std::env::current_exe().unwrap());
    let test = "alignment::lists::each_unit_is_taken_once_in_order_and_never_before_its_time";
    histories.env("PROPTEST_RNG_SEED", "1");
    histories.args(["--exact", test, "--nocapture"]);
    histories
        .env("TIDEGATE_FAILPOINT", mutant)
        .env("RUST_BACKTRACE", "0")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0");
    let ended = histories.output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(text.contains("running 1 test"), "the histories did not run:\n{text}");
    assert!(!ended.status.success(), "{mutant}: {text}");
    text
}

#[test]
fn each_mutant_is_found_by_what_it_breaks() {
    for (mutant, breaks) in [
        ("mutant-close-without-one", &["marked it", "rows of"][..]),
        ("mutant-skip-by-closed", &["is committed, "]),
        ("mutant-fetch-position", &["is committed, "]),
        ("mutant-dropped-before-apply", &["whole units", "after a restart", "is committed, "]),
    ] {
        let text = found(&format!("{mutant}=mutant"));
        assert!(breaks.iter().any(|what| text.contains(what)), "{mutant}: {text}");
    }
}
