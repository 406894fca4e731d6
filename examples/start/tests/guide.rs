//! docs/start.md says what is here, and what is here runs as it says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tidegate::{
    log,
    record::{Headers, Offset, RawChunkBuilder, RawRecord, TopicPartition},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The block of the guide behind the file name that introduces it.
fn block(file: &str) -> String {
    let guide = text("docs/start.md");
    let (_, behind) =
        guide.split_once(&format!("`{file}`:\n\n```")).unwrap_or_else(|| panic!("the guide has no `{file}`"));
    let (_, block) = behind.split_once('\n').unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_guide_shows_the_files_of_this_project() {
    for file in ["src/lib.rs", "src/main.rs", "tests/totals.rs"] {
        assert_eq!(block(file), text(&format!("examples/start/{file}")), "{file}");
    }
    let own =
        text("examples/start/Cargo.toml").replace("../..", "../tidegate").replace("publish = false\n", "");
    let own = own.split("\n[dev-dependencies]").next().unwrap(); // what only this test needs
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(block("Cargo.toml").lines().collect::<Vec<_>>(), own);
}

/// What `./dev` installs to build is what the guide installs; what the program loads is there at run time.
#[test]
fn the_system_packages_are_those_that_are_needed() {
    let dev = text("dev");
    let (_, needed) = dev.split_once("need_rust() {").unwrap();
    let needed = needed.split_once("[ -d").unwrap().0;
    let is_name =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-".contains(c));
    let packages: Vec<&str> = needed
        .split_whitespace()
        .filter_map(|pair| pair.trim_end_matches('\'').rsplit_once('='))
        .map(|(_, package)| package)
        .filter(is_name)
        .collect();
    assert!(packages.contains(&"clang") && packages.contains(&"libssl-dev"), "{packages:?}");
    let docker = block("Dockerfile");
    let (build, run) = docker.split_once("\nFROM").unwrap();
    for package in packages {
        assert!(
            build.split_whitespace().any(|word| word == package),
            "{package} is needed to build: {build}"
        );
    }
    let ldd = Command::new("ldd").arg(env!("CARGO_BIN_EXE_totals")).output().unwrap();
    let known = [
        ("libssl.so.3", "libssl3"),
        ("libcrypto.so.3", "libssl3"),
        ("libstdc++.so.6", "libstdc++6"),
        ("libgcc_s.so.1", "libgcc-s1"),
    ];
    let of_libc = ["linux-vdso", "libc.so", "libm.so", "libpthread", "libdl.so", "librt.so", "ld-linux"];
    for line in String::from_utf8_lossy(&ldd.stdout).lines() {
        let library =
            line.trim().rsplit('/').next().unwrap_or_default().split_whitespace().next().unwrap_or_default();
        if of_libc.iter().any(|name| line.contains(name)) {
            continue;
        }
        let package = known.iter().find(|(name, _)| line.contains(name)).map(|(_, package)| *package);
        let package =
            package.unwrap_or_else(|| panic!("{library} is in no package that the guide installs: {line}"));
        assert!(run.contains(package), "{package} is needed to run: {run}");
    }
}

fn run(dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_totals"));
    command.args(["--bootstrap", &format!("embedded:{}", dir.join("log").display())]);
    command.arg("--state-dir").arg(dir.join("state"));
    command.args(["--application-id", "totals", "--admin-bind", "off", "--available-now"]).output().unwrap()
}

#[test]
fn the_program_shows_errors_to_people_logs_and_has_the_documented_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let refused = run(dir.path());
    let shown = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{shown}");
    assert!(
        shown.contains("error: topic `orders`: does not exist") && shown.contains("\n  next: "),
        "{shown}"
    );
    {
        let log = log::open(&format!("embedded:{}", dir.path().join("log").display()), &Default::default())
            .unwrap();
        let mut orders = RawChunkBuilder::default();
        let (key, value) = (Some(&b"ada"[..]), Some(&br#"{"item":"tea","cents":250}"#[..]));
        orders.push(RawRecord { offset: Offset(0), timestamp_ms: 0, key, value, headers: Headers::NONE });
        log::write(&*log, "orders", None, &orders.build()).unwrap();
    }
    let done = run(dir.path());
    let shown = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && shown.contains("guarantee: "), "it logs: {shown}");
    let log =
        log::open(&format!("embedded:{}", dir.path().join("log").display()), &Default::default()).unwrap();
    let mut totals = vec![];
    for partition in 0..4 {
        let mut reader = log.read(&TopicPartition::new("totals", partition), Offset(0)).unwrap();
        while let Some(fetched) = reader.next(std::time::Duration::ZERO).unwrap() {
            totals
                .extend(fetched.records.iter().map(|r| (r.key.unwrap().to_vec(), r.value.unwrap().to_vec())));
        }
    }
    assert_eq!(totals, [(b"ada".to_vec(), b"250".to_vec())]);
}
