//! Enforces the shape of the source tree: who may use whom, which file may name which crate, sizes, names and
//! words.
//!
//! Reads only text; knows nothing about what the code does. Clippy and rustc check what they can see better
//! (`clippy.toml`, `[lints]` in Cargo.toml). Invariant: each rule is a function from path and text to
//! complaints, with a test that shows that it can fail.

mod cycles;
mod faults;
mod unnamed;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The folders (and single files) of `src/`; each may use only those that come before it.
const ORDER: [&str; 28] = [
    "error",
    "event_loop",
    "failpoint",
    "host",
    "panics",
    "record",
    "config",
    "registry",
    "codec",
    "state",
    "operator",
    "log",
    "source",
    "sink",
    "plan",
    "dstream",
    "ml",
    "sql",
    "task",
    "runtime",
    "observe",
    "ui",
    "sim",
    "context",
    "frames",
    "testing",
    "cli",
    "demo",
];
/// Stricter than the order: `task` names neither end of the path, and the loop names no user-facing API.
const NEVER: [(&str, &[&str]); 2] =
    [("task", &["log", "source", "sink", "dstream", "ml", "sql"]), ("runtime", &["dstream", "ml", "sql"])];
/// Re-exports at the crate root that may be used by their short path.
const ROOT_NAMES: [&str; 3] = ["Error", "Result", "Text"];
/// Crates, and the places that may name them.
const FENCES: [(&str, &[&str]); 30] = [
    ("rdkafka", &["src/log/kafka/"]),
    ("rdkafka_sys", &["src/log/kafka/"]),
    ("rocksdb", &["src/state/rocks.rs", "src/state/rocks_options.rs"]),
    ("prometheus", &["src/observe/metrics.rs"]),
    ("tracing_subscriber", &["src/observe/logging.rs"]),
    ("axum", &["src/ui/"]),
    ("hyper", &["src/ui/connection/"]),
    ("hyper_util", &["src/ui/connection/"]),
    ("tokio_openssl", &["src/ui/connection/"]),
    ("tract_onnx", &["src/ml/onnx.rs"]),
    ("parquet", &["src/sink/files/", "src/sql/connector/bounded/columns.rs"]),
    ("arrow_array", &["src/sink/files/"]),
    ("arrow_json", &["src/sink/files/", "src/sql/format/json/"]),
    ("datafusion_common", &["src/sql/"]),
    ("datafusion_expr", &["src/sql/"]),
    ("datafusion_optimizer", &["src/sql/"]),
    ("datafusion_physical_expr", &["src/sql/"]),
    ("datafusion_sql", &["src/sql/"]),
    ("postgres", &["src/sink/postgres/", "src/sink/mod.rs", "src/dstream/output/mod.rs"]),
    (
        "openssl",
        &[
            "src/sink/postgres/",
            "src/log/kafka/config.rs",
            "src/ui/access/rules.rs",
            "src/ui/connection/tls.rs",
        ],
    ),
    ("tokio", &["src/ui/", "src/context/signals.rs", "src/event_loop.rs"]),
    ("flate2", &["src/source/file_ranges.rs"]),
    ("ureq", &["src/registry/http.rs"]),
    ("boon", &["src/codec/schema/json_schema.rs"]),
    ("serde_avro_fast", &["src/codec/schema/", "src/sql/format/avro/"]),
    ("prost_reflect", &["src/codec/schema/protobuf/", "src/sql/format/protobuf/"]),
    ("prost_types", &["src/codec/schema/protobuf/", "src/sql/format/protobuf/"]),
    ("clap", &["src/main.rs", "src/demo/", "src/cli/", "src/config"]),
    ("comfy_table", &["src/cli/display.rs"]),
    ("toml", &["src/config"]),
];
/// Lints that are disabled only here: at the edges to the operating system, and in the one file that calls C.
const PERMITS: [(&str, &[&str]); 3] = [
    ("unsafe_code", &["src/log/kafka/ffi.rs"]),
    ("clippy::disallowed_types", &[]),
    (
        "clippy::disallowed_methods",
        &[
            "src/failpoint.rs",
            "src/runtime/clock.rs",
            "src/observe/logging.rs",
            "src/context/signals.rs",
            "src/log/kafka",
            "src/log/embedded",
            "src/log/mod.rs",
            "src/registry/",
            "src/ui/",
            "src/sim/",
            "src/main.rs",
            "src/config/file.rs",
        ],
    ),
];
const MAX_LINES: usize = 800;
/// Most source files in one folder, not counting those of its subfolders.
const MAX_FILES: usize = 12;
/// Folders that have more; a number may only fall.
const CROWDED: [(&str, usize); 0] = [];
const BANNED_NAMES: [&str; 11] = [
    "utils", "util", "common", "helpers", "helper", "managers", "manager", "impl", "misc", "shared", "stuff",
];
/// Split, so that this file does not contain them.
const BANNED_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Methods of the builder behind a context; the examples are on the context's own methods.
const WITHOUT_EXAMPLE: [(&str, &[&str]); 3] = [
    ("src/dstream/receiver.rs", &["receiver", "files", "local"]),
    ("src/dstream/source.rs", &["source", "text"]),
    ("src/dstream/stream.rs", &["of", "topology", "start", "stop"]),
];
/// Named like metrics, but tables of a database.
const TABLES: [&str; 2] = ["tidegate_positions", "tidegate_dead_letters"];
const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

type Complaints = Vec<String>;

// ---- the rules --------------------------------------------------------------------------------------------------

fn direction(path: &str, text: &str) -> Complaints {
    let Some(own) = folder(path) else { return vec![] };
    let Some(rank) = ORDER.iter().position(|f| *f == own) else {
        return vec![format!("{path}: `{own}` is not in the order of tests/tidy/main.rs")];
    };
    let code = code(text);
    let mut bad = vec![];
    for used in crate_uses(&code) {
        let allowed = match ORDER.iter().position(|f| *f == used) {
            Some(other) => {
                other <= rank && !NEVER.iter().any(|(f, no)| *f == own && no.contains(&used.as_str()))
            }
            None => ROOT_NAMES.contains(&used.as_str()),
        };
        if !allowed {
            bad.push(format!("{path}: `{own}` must not use `crate::{used}`"));
        }
    }
    let is_root =
        path.ends_with("/mod.rs") && path.matches('/').count() == 2 || path.matches('/').count() == 1;
    // In a file with modules of its own, `super::` is the file itself.
    let has_modules = code.lines().any(|l| l.ends_with('{') && words(l).any(|(w, _)| w == "mod"));
    if code.contains("super::super") || (is_root && !has_modules && code.contains("super::")) {
        bad.push(format!("{path}: name modules of other folders by `crate::`, not by `super::`"));
    }
    bad
}

fn fences(path: &str, text: &str) -> Complaints {
    let code = code(text);
    let mut bad = vec![];
    for (name, places) in FENCES {
        let named = words(&code)
            .any(|(word, rest)| word == name && (rest.starts_with("::") || rest.starts_with(';')));
        if named && path.starts_with("src/") && !places.iter().any(|p| path.starts_with(p)) {
            bad.push(format!("{path}: `{name}` may be named only in {}", places.join(", ")));
        }
    }
    bad
}

fn permits(path: &str, text: &str) -> Complaints {
    let code = code(text);
    let mut bad = vec![];
    for open in ["allow(", "expect("] {
        for (at, _) in code.match_indices(open) {
            let before = code[..at].trim_end_matches(|c: char| c.is_whitespace());
            if !before.ends_with(['[', ',']) || !code[..at].rsplit('\n').take(3).any(|l| l.contains('#')) {
                continue; // a call, not an attribute
            }
            let lints = code[at + open.len()..].split(')').next().unwrap_or_default();
            if !lints.contains("reason") {
                bad.push(format!("{path}: `{open}{lints})` does not state its reason"));
            }
            for (lint, places) in PERMITS {
                if lints.contains(lint) && !places.iter().any(|p| path.starts_with(p)) {
                    bad.push(format!("{path}: `{lint}` must stay on here"));
                }
            }
        }
    }
    bad
}

fn header(path: &str, text: &str) -> Complaints {
    if text.starts_with("//! ") {
        return vec![];
    }
    vec![format!("{path}: does not start with `//! ` (what it owns, what it does not know, its invariants)")]
}

fn size(path: &str, text: &str) -> Complaints {
    let lines = without_tests(text).lines().count();
    if lines <= MAX_LINES { vec![] } else { vec![format!("{path}: {lines} lines, the limit is {MAX_LINES}")] }
}

/// Folders that are missing from a picture of the source tree.
fn unseen(path: &str, text: &str, folders: &BTreeSet<&str>) -> Complaints {
    let missing = folders.iter().filter(|folder| !text.contains(&format!("{folder}/")));
    missing.map(|folder| format!("{path}: the picture lacks `{folder}/`")).collect()
}

/// The block of text that contains the last line of the picture.
fn picture(text: &str) -> &str {
    let end = text.find("AROUND IT:").unwrap_or_default();
    let begin = text[..end].rfind("```").unwrap_or_default();
    &text[begin..end]
}

/// Folders with too many files, by the paths of all files.
fn crowded<'p>(paths: impl IntoIterator<Item = &'p str>) -> Complaints {
    let mut counts: BTreeMap<&str, usize> = CROWDED.iter().map(|(folder, _)| (*folder, 0)).collect();
    for (folder, _) in paths.into_iter().filter_map(|path| path.rsplit_once('/')) {
        *counts.entry(folder).or_default() += 1;
    }
    let known = |folder: &str| CROWDED.iter().find(|(f, _)| *f == folder).map(|(_, files)| *files);
    let complaint = |(folder, files): (&str, usize)| match known(folder) {
        Some(most) if files < most => {
            Some(format!("{folder}: only {files} files are left: lower the number in the list"))
        }
        most if files > most.unwrap_or(MAX_FILES) => Some(format!(
            "{folder}: {files} files, the limit is {}: make a folder",
            most.unwrap_or(MAX_FILES)
        )),
        _ => None,
    };
    counts.into_iter().filter_map(complaint).collect()
}

fn names(path: &str) -> Complaints {
    let parts = path.split('/').map(|p| p.split('.').next().unwrap_or(p));
    parts
        .filter(|p| BANNED_NAMES.contains(p))
        .map(|p| format!("{path}: `{p}` says nothing about its content"))
        .collect()
}

fn banned_words(path: &str, text: &str) -> Complaints {
    let mut bad = vec![];
    for (n, line) in text.lines().enumerate() {
        if ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
            bad.push(format!("{path}:{}: an unresolved merge", n + 1));
        }
        for (word, _) in words(line).filter(|(w, _)| BANNED_WORDS.contains(w)) {
            bad.push(format!(
                "{path}:{}: `{word}`: do it, or write down the limit in the documentation",
                n + 1
            ));
        }
    }
    bad
}

/// Files and folders that a document names by a path, and that are not there; `x` stands for what a reader adds.
fn missing_paths(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Complaints {
    let is_path = |name: &&str| {
        name.contains('/')
            && (name.ends_with('/') || Path::new(name).extension().is_some_and(|end| end == "rs"))
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
    };
    let is_example = |name: &&str| name.split(['/', '.', '_']).any(|part| part == "x");
    let named = text.split('`').skip(1).step_by(2).filter(is_path).filter(|name| !is_example(name));
    let is_there = |name: &str| exists(name) || exists(&format!("src/{name}"));
    named.filter(|name| !is_there(name)).map(|name| format!("{path}: there is no `{name}`")).collect()
}

/// Metrics that a document names and `metrics` (the text of observe/metrics.rs) does not contain.
fn unknown_metrics(path: &str, text: &str, metrics: &str) -> Complaints {
    let known: BTreeSet<&str> =
        words(metrics).map(|(w, _)| w).filter(|w| w.starts_with("tidegate_")).chain(TABLES).collect();
    let is_name = |w: &&str| w.strip_prefix("tidegate_").is_some_and(|rest| !rest.is_empty());
    let named: BTreeSet<&str> = words(text).map(|(w, _)| w).filter(is_name).collect();
    let is_known = |name: &str| {
        let series = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
        known.contains(name) || series.is_some_and(|s| known.contains(s))
    };
    named.iter().filter(|n| !is_known(n)).map(|n| format!("{path}: no metric is called `{n}`")).collect()
}

/// Public methods whose doc comment has no example.
fn examples(path: &str, text: &str) -> Complaints {
    let except = WITHOUT_EXAMPLE.iter().find(|(file, _)| *file == path).map_or(&[][..], |(_, names)| names);
    let (mut bad, mut has_fence, mut in_attribute) = (vec![], None, false);
    for line in without_tests(text).lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            has_fence = Some(has_fence == Some(true) || doc.trim_start().starts_with("```"));
        } else if in_attribute || line.starts_with("#[") {
            in_attribute = !line.ends_with(']');
        } else {
            let method = line.strip_prefix("pub fn ").and_then(|rest| words(rest).next());
            if let (Some((name, _)), Some(false)) = (method, has_fence)
                && !except.contains(&name)
            {
                bad.push(format!("{path}: `{name}` has no example in its doc comment"));
            }
            has_fence = None;
        }
    }
    bad
}

// ---- reading the text -------------------------------------------------------------------------------------------

/// The folder or single file of `src/` that a path belongs to; `None` for the crate roots and for other trees.
fn folder(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    // The part of SQL that runs queries comes after what runs programs.
    let rest = rest.strip_prefix("sql/").filter(|inner| inner.starts_with("frames/")).unwrap_or(rest);
    let first = rest.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then_some(first)
}

/// The text without its inline test modules.
fn without_tests(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(")
            && words(line).any(|(w, _)| w == "test")
            && lines.peek().is_some_and(|l| l.starts_with("mod ") && l.ends_with('{'))
        {
            for inner in lines.by_ref() {
                if inner == "}" {
                    break;
                }
            }
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The text without tests and comments.
fn code(text: &str) -> String {
    let lines = without_tests(text);
    let lines = lines.lines().filter(|l| !l.trim_start().starts_with("//"));
    lines.map(|l| l.split(" // ").next().unwrap_or(l)).collect::<Vec<_>>().join("\n")
}

/// Each identifier of the text together with what follows it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(is_word)?;
        let tail = &rest[start..];
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        rest = &tail[end..];
        Some((&tail[..end], rest))
    })
}

/// The first names of all paths that begin with `crate::`, groups in braces included.
fn crate_uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut first_name = |s: &str| found.extend(words(s).next().map(|(w, _)| w.to_string()));
    for (at, path) in code.match_indices("crate::") {
        let after = &code[at + path.len()..];
        if !after.starts_with('{') {
            first_name(after);
            continue;
        }
        let (mut depth, mut start) = (0, 1);
        for (i, c) in after.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (c == ',' && depth == 1) || depth == 0 {
                first_name(&after[start..i]);
                start = i + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

// ---- the tree ---------------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below the given folders (or the files themselves) that end in one of `ends`, by path relative to
/// the root.
fn files(at: &[&str], ends: &[&str]) -> Vec<(String, String)> {
    let mut todo: Vec<PathBuf> = at.iter().map(|p| root().join(p)).collect();
    let mut found = vec![];
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.ends_with("target") {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if ends.iter().any(|e| path.to_string_lossy().ends_with(e)) && path.is_file() {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    files(&["src", "tests", "examples", "benches"], &[".rs"])
}

fn assert_none(complaints: impl IntoIterator<Item = String>) {
    let all: Vec<String> = complaints.into_iter().collect();
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

#[test]
fn files_use_only_what_comes_before_them() {
    let sources = files(&["src"], &[".rs"]);
    assert!(sources.len() > 10, "the sources were not found");
    assert_none(sources.iter().flat_map(|(p, t)| direction(p, t)));
}

#[test]
fn no_files_of_a_folder_use_each_other_in_cycles() {
    assert_none(cycles::cycles(&files(&["src"], &[".rs"])));
}

#[test]
fn every_public_item_is_used() {
    let shown =
        files(&["examples", "benches", "docs", "python/src", "README.md", "src/main.rs"], &[".rs", ".md"]);
    assert_none(unnamed::unnamed(&files(&["src"], &[".rs"]), &shown));
}

#[test]
fn the_pictures_show_every_folder() {
    let sources = files(&["src"], &[".rs"]);
    let folders = sources.iter().filter(|(path, _)| path.matches('/').count() > 1);
    let folders: BTreeSet<&str> = folders.filter_map(|(path, _)| folder(path)).collect();
    let places = files(&["ARCHITECTURE.md", "src/lib.rs"], &[".md", ".rs"]);
    assert_eq!(places.len(), 2);
    assert_none(places.iter().flat_map(|(path, text)| unseen(path, picture(text), &folders)));
}

#[test]
fn folders_are_small_enough_to_survey() {
    let sources = files(&["src"], &[".rs"]);
    assert_none(crowded(sources.iter().map(|(path, _)| path.as_str())));
}

#[test]
fn crates_stay_behind_their_fences() {
    assert_none(rust_files().iter().flat_map(|(p, t)| fences(p, t)));
}

#[test]
fn lints_are_disabled_only_with_a_reason_and_at_the_edges() {
    assert_none(files(&["src"], &[".rs"]).iter().flat_map(|(p, t)| permits(p, t)));
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    assert_none(rust_files().iter().flat_map(|(p, t)| [header(p, t), size(p, t)].concat()));
}

#[test]
fn names_are_meaningful_and_no_work_is_left_open() {
    let all = files(
        &[
            "src",
            "tests",
            "examples",
            "benches",
            "docs",
            "README.md",
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "dev",
        ],
        &[".rs", ".md", ".toml", ".py", ".java", ".sh", "dev"],
    );
    assert_none(all.iter().flat_map(|(p, t)| [names(p), banned_words(p, t)].concat()));
}

#[test]
fn each_stream_method_has_an_example() {
    let faces = files(&["src/dstream", "src/ml"], &[".rs"]);
    assert!(faces.len() > 20, "the faces were not found");
    assert_none(faces.iter().flat_map(|(p, t)| examples(p, t)));
}

#[test]
fn the_architecture_names_only_paths_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert_none(missing_paths("ARCHITECTURE.md", &text, |name| root().join(name).exists()));
}

#[test]
fn documents_exist_and_name_only_existing_metrics() {
    for name in DOCUMENTS {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
    let metrics = fs::read_to_string(root().join("src/observe/metrics.rs")).unwrap();
    let docs = files(&["README.md", "ARCHITECTURE.md", "docs"], &[".md", ".json", ".yaml"]);
    assert_none(docs.iter().flat_map(|(p, t)| unknown_metrics(p, t, &metrics)));
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let made = metrics.split("#[cfg(test)]").next().unwrap();
    assert_none(unknown_metrics("docs/operations.md lacks a metric", made, &operations));
}

// ---- each rule can fail -----------------------------------------------------------------------------------------

#[test]
fn the_direction_rule_sees_every_way_to_name_a_module() {
    let bad = |path: &str, text: &str| !direction(path, text).is_empty();
    assert!(bad("src/record/a.rs", "use crate::log::Log;"));
    assert!(bad("src/record/a.rs", "use crate::{error::Error, log::{Log, Member}};"));
    assert!(bad("src/record/a.rs", "use crate::{\n    error::{Error, Result},\n    runtime,\n};"));
    assert!(bad("src/record/a.rs", "fn f() { crate::plan::go() }"));
    assert!(bad("src/record/a.rs", "use super::super::plan;"));
    assert!(bad("src/record/mod.rs", "use super::plan;"));
    assert!(bad("src/error.rs", "use super::plan;"));
    assert!(bad("src/task/a.rs", "use crate::source::Source;"));
    assert!(bad("src/runtime/a.rs", "use crate::dstream::DStream;"));
    assert!(bad("src/record/a.rs", "use crate::Context;"));
    assert!(bad("src/elsewhere/a.rs", ""));
    assert!(!bad(
        "src/log/a.rs",
        "use crate::{Result, error::{Error, Failure}, record::{Offset, Partition}};"
    ));
    assert!(!bad("src/record/a.rs", "use super::ids; // and crate::log\n/// [`crate::log`]"));
    assert!(!bad("src/record/a.rs", "\n#[cfg(test)]\nmod tests {\n    use crate::log::Log;\n}\n"));
    assert!(!bad("src/error.rs", "#[cfg(all(test, unix))]\nmod tests {\n    use super::*;\n}\n"));
    assert!(!bad("src/main.rs", "use crate::context::Context;"));
}

#[test]
fn the_fence_rule_sees_paths_and_imports() {
    assert!(!fences("src/task/a.rs", "use rocksdb::DB;").is_empty());
    assert!(!fences("src/task/a.rs", "let c = rdkafka::config::ClientConfig::new();").is_empty());
    assert!(!fences("src/task/a.rs", "use tokio;").is_empty());
    assert!(fences("src/state/rocks.rs", "use rocksdb::DB;").is_empty());
    assert!(fences("src/task/a.rs", "let rocksdb_path = 1; // rocksdb::DB").is_empty());
}

#[test]
fn the_permit_rule_sees_lints_without_reason_and_out_of_place() {
    assert!(!permits("src/task/a.rs", "#[allow(dead_code)]\nfn f() {}").is_empty());
    assert!(!permits("src/task/a.rs", "#![allow(unsafe_code, reason = \"C\")]").is_empty());
    assert!(
        !permits("src/task/a.rs", "#[expect(\n    clippy::disallowed_types,\n    reason = \"x\"\n)]")
            .is_empty()
    );
    assert!(!permits("src/task/a.rs", "#[cfg_attr(test, allow(dead_code))]").is_empty());
    assert!(permits("src/task/a.rs", "#[allow(dead_code, reason = \"x\")]\nfn f() {}").is_empty());
    assert!(permits("src/log/kafka/ffi.rs", "#![allow(unsafe_code, reason = \"C\")]").is_empty());
    assert!(permits("src/task/a.rs", "let x = y.expect(\"z\");\nallow(1);").is_empty());
}

#[test]
fn the_rule_of_examples_sees_a_method_without_one() {
    let bad = |text: &str| !examples("src/dstream/state.rs", text).is_empty();
    assert!(bad("/// Gives.\npub fn give() {}"));
    assert!(bad(
        "    /// Gives.\n    #[expect(\n        x,\n        reason = \"y\"\n    )]\n    #[must_use]\n    pub fn give(&self) {}"
    ));
    assert!(bad(
        "/// Takes.\n///\n/// ```\n/// take();\n/// ```\npub fn take() {}\n\n/// Gives.\npub fn give() {}"
    ));
    assert!(!bad("/// Gives.\n///\n/// ```\n/// give();\n/// ```\n#[must_use]\npub fn give() {}"));
    assert!(!bad("/// Gives.\npub(super) fn give() {}"));
    assert!(!bad("pub fn of_a_trait_of_the_crate() {}"));
    assert!(examples("src/dstream/source.rs", "/// Reads.\npub fn source() {}").is_empty());
    assert!(!examples("src/dstream/source.rs", "/// Reads.\npub fn read() {}").is_empty());
}

#[test]
fn the_other_rules_can_fail() {
    assert!(!header("a.rs", "use std::fmt;\n//! late").is_empty());
    assert!(header("a.rs", "//! Owns.").is_empty());
    let long = "fn a() {}\n".repeat(MAX_LINES + 1);
    assert!(!size("a.rs", &long).is_empty());
    assert!(size("a.rs", &format!("x\n#[cfg(test)]\nmod tests {{\n{long}}}\n")).is_empty());
    let two = BTreeSet::from(["log", "sink"]);
    assert_eq!(unseen("a.md", picture("log/\n```\nsink/\nAROUND IT: log/\n```\n"), &two).len(), 1);
    let many: Vec<String> = (0..=MAX_FILES).map(|n| format!("src/log/f{n}.rs")).collect();
    let many = || many.iter().map(String::as_str);
    assert_eq!(crowded(many()).len() - crowded(many().skip(1)).len(), 1);
    assert!(!names("src/log/utils.rs").is_empty());
    assert!(!names("src/common/ids.rs").is_empty());
    assert!(names("src/log/mod.rs").is_empty());
    assert!(!banned_words("a.rs", &format!("// {}: later", BANNED_WORDS[0])).is_empty());
    assert!(!banned_words("a.md", "<<<<<<< HEAD").is_empty());
    assert!(banned_words("a.rs", "// to do later, tidegate_todos").is_empty());
    let metrics = "const A: &str = \"tidegate_batch_duration_seconds\";";
    let exists = |name: &str| ["src/log/mod.rs", "tests/it/"].contains(&name);
    assert!(missing_paths("a.md", "`log/mod.rs`, `tests/it/`, `sink/x.rs`, `a/b`", exists).is_empty());
    assert!(!missing_paths("a.md", "`log/gone.rs`", exists).is_empty());
    assert!(!unknown_metrics("README.md", "`tidegate_batches`", metrics).is_empty());
    assert!(
        unknown_metrics("README.md", "tidegate_batch_duration_seconds_bucket{le=\"1\"}", metrics).is_empty()
    );
}
