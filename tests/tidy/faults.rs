//! The list of faults names only tests that exist.

use super::files;

/// The tests that a document names, as suite, file and test.
fn named(document: &str) -> Vec<(String, String, String)> {
    let quoted = document.split('`').skip(1).step_by(2);
    let parts = quoted.filter_map(|text| {
        let (suite, rest) = text.split_once(' ')?;
        let (file, test) = rest.split_once("::")?;
        Some((suite.to_owned(), file.to_owned(), test.to_owned()))
    });
    parts.collect()
}

/// Those that there are not.
fn missing(document: &str, tests: &[(String, String)]) -> Vec<String> {
    let is_there = |suite: &str, file: &str, test: &str| {
        let is_file = |path: &str| {
            path.starts_with(&format!("tests/{suite}/"))
                && (path.ends_with(&format!("/{file}.rs")) || path.contains(&format!("/{file}/")))
        };
        tests.iter().any(|(path, text)| is_file(path) && text.contains(&format!("fn {test}(")))
    };
    let named = named(document).into_iter().filter(|(suite, file, test)| !is_there(suite, file, test));
    named.map(|(suite, file, test)| format!("{suite} {file}::{test}")).collect()
}

#[test]
fn the_list_of_faults_names_tests_that_exist() {
    let document = &files(&["docs/faults.md"], &[".md"])[0].1;
    let tests = files(&["tests"], &[".rs"]);
    assert!(named(document).len() > 50, "{}", named(document).len());
    assert_eq!(missing(document, &tests), Vec::<String>::new());
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let tests = [("tests/broker/eos/kill.rs".to_owned(), "#[test]\nfn kill_matrix() {}".to_owned())];
    assert!(missing("| crash | `broker kill::kill_matrix` |", &tests).is_empty());
    for wrong in ["broker kill::kill", "broker murder::kill_matrix", "sim kill::kill_matrix"] {
        assert_eq!(missing(&format!("`{wrong}`"), &tests), [wrong]);
    }
}
