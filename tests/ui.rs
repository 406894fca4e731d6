//! What the compiler says about a wrong program: each `tests/ui/NAME.rs` must fail with the text in `NAME.stderr`.
//!
//! Runs rustc against the library that was built for the tests, so nothing is compiled again. Line numbers of the
//! library and the compiler's own files are omitted. `UPDATE_EXPECT=1` rewrites the texts. Invariant: the case
//! `accepted` compiles, so the others fail because of what they show.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: &str = "tests/ui";

/// Where cargo put this test and the library with everything it uses.
fn deps() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The library as it was last built.
fn library(deps: &Path) -> PathBuf {
    let files = fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let is_ours = |path: &PathBuf| name(path).starts_with("libtidegate-");
    let ours = files.filter(|path| is_ours(path) && path.extension().is_some_and(|e| e == "rlib"));
    ours.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("the library was built")
}

/// What rustc says about a file, or nothing if it compiles.
fn compile(case: &str, library: &Path, deps: &Path, out: &Path) -> Option<String> {
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--emit=metadata",
            "--color=never",
            "--diagnostic-width=140",
        ])
        .arg("--cap-lints=allow")
        .arg(format!("--extern=tidegate={}", library.display()))
        .arg(format!("-Ldependency={}", deps.display()))
        .arg("--out-dir")
        .arg(out)
        .arg(format!("{FOLDER}/{case}.rs"))
        .output()
        .expect("rustc can be started");
    (!output.status.success()).then(|| normalise(&String::from_utf8(output.stderr).unwrap()))
}

/// Removes what differs between machines, and line numbers, which change with every edit of the library.
fn normalise(output: &str) -> String {
    let mut lines: Vec<String> = vec![];
    for line in output.lines() {
        let inner = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let is_margin =
            ["| ", "--> ", "::: ", "= ", "..."].iter().any(|m| inner.starts_with(m)) || inner == "|";
        let is_temporary = inner.contains("long-type-")
            || inner.contains("--verbose")
            || inner.starts_with("For more information");
        if is_temporary {
            continue;
        }
        let place = inner.strip_prefix("--> ").or(inner.strip_prefix("::: "));
        lines.push(match place {
            Some(place) => format!("  {}{}", &inner[..4], place_of(place)),
            None if is_margin => format!("  {inner}").trim_end().to_owned(),
            None if line.starts_with(' ') => format!("    {}", line.trim_start()),
            None => line.to_owned(),
        });
    }
    // Whether the compiler shortens this path depends on what else in the library is `Send`.
    let lines: Vec<String> = lines.into_iter().map(|l| l.replace("std::marker::Send", "Send")).collect();
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn place_of(place: &str) -> String {
    if place.starts_with(FOLDER) {
        return place.to_owned();
    }
    let file = place.split(".rs:").next().unwrap_or(place);
    let from = ["/library/", "/src/"].iter().find_map(|part| file.find(part));
    let file = if file.starts_with("src/") { file } else { from.map_or(file, |at| &file[at + 1..]) };
    format!("{file}.rs")
}

#[test]
fn each_wrong_program_gets_an_error_that_says_what_is_wrong() {
    let (deps, out) = (deps(), tempfile::tempdir().unwrap());
    let library = library(&deps);
    assert_eq!(compile("accepted", &library, &deps, out.path()), None);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let names = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let mut cases: Vec<PathBuf> = names.filter(|p| p.extension().is_some_and(|e| e == "rs")).collect();
    cases.sort();
    assert!(cases.len() > 8, "the cases were not found");
    let mut wrong = vec![];
    for case in cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "accepted" {
            continue;
        }
        let Some(output) = compile(&name, &library, &deps, out.path()) else {
            wrong.push(format!("{name} compiles"));
            continue;
        };
        let golden = case.with_extension("stderr");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&golden, &output).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != output {
            wrong.push(format!("{name}: the compiler says\n\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 accepts these texts", wrong.join("\n"));
}

#[test]
fn places_are_the_same_on_every_machine() {
    let output = "error: no\n   --> tests/ui/a.rs:7:3\n    |\n128 |     x();\n    |     ^\nnote: by\n  --> /home/a/tide/src/dstream/pair.rs:62:12\n   = note: at\n   ::: /rustc/59/library/core/src/iter.rs:9:1\n";
    let plain = "error: no\n  --> tests/ui/a.rs:7:3\n  |\n  |     x();\n  |     ^\nnote: by\n  --> src/dstream/pair.rs\n  = note: at\n  ::: library/core/src/iter.rs\n";
    assert_eq!(normalise(output), plain);
}
