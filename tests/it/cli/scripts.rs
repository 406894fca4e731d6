//! `run`, `check --script` and `explain --script`, run as programs: what is said of scripts of SQL.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(dir: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const RIGHT: &str = "\
SET 'threads' = '3';
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED)
    WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'format' = 'json');
INSERT INTO counts SELECT line, count(*) FROM lines GROUP BY line;
";
const WRONG: &str = "\
CREATE TABLE seen (n INT) WITH ('connector' = 'prnt');
INSERT INTO seen SELECT 1 FROM nothing;
";

#[test]
fn a_script_is_checked_with_its_settings_and_pictures_of_its_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("counts.sql"), RIGHT).unwrap();
    fs::write(dir.path().join("wrong.sql"), WRONG).unwrap();
    let (code, out, err) = run(dir.path(), &["check", "--script", "counts.sql"], "");
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert!(out.contains("ok       script           no mistakes; topics: counts, lines\n"), "{out}");
    assert!(
        out.contains("kafka at 127.0.0.1:9092") && out.contains(".state/counts will be created"),
        "{out}"
    );

    // The file of settings goes before the script, and the flag before both.
    fs::write(dir.path().join("app.toml"), "application-id = \"of-file\"\nbootstrap = \"embedded:log\"\n")
        .unwrap();
    let args = ["check", "--script", "counts.sql", "--config", "app.toml"];
    let (code, out, _) = run(dir.path(), &args, "");
    assert!(
        code == 3 && out.contains("there is no log in `log`") && out.contains(".state/of-file will"),
        "{out}"
    );
    let (code, out, _) = run(
        dir.path(),
        &[&args[..], &["--application-id", "of-flag", "--bootstrap", "memory:"]].concat(),
        "",
    );
    assert_eq!(code, 0, "{out}");

    let (code, out, _) = run(dir.path(), &["check", "--script", "wrong.sql"], "");
    assert_eq!(code, 3, "{out}");
    let first = "\
FAILED   script           wrong.sql:1:47: there is no connector 'prnt'
                          1 | CREATE TABLE seen (n INT) WITH ('connector' = 'prnt');
                            |                                               ^^^^^^
                          next: did you mean 'print'?
";
    assert!(out.contains(first), "{out}");
    assert!(out.contains("wrong.sql:2:32: there is no table or view `nothing`"), "{out}");
    assert!(out.contains("skipped  settings         the script has mistakes"), "{out}");

    let (code, _, err) = run(dir.path(), &["check"], "");
    assert!(code == 2 && err.contains("--application-id"), "{err}");
}

#[test]
fn a_script_is_explained_without_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(dir.path(), &["explain", "--script", "-"], RIGHT);
    assert_eq!((code, &*err), (0, ""), "{out}");
    for part in [
        "stream plan:\n  Sink counts: ",
        "state: one row per (line), kept for ever",
        "topology:\n  stage 0, ",
    ] {
        assert!(out.contains(part), "`{part}`: {out}");
    }
    let (_, out, _) = run(dir.path(), &["explain", "--script", "-", "--output", "json"], RIGHT);
    let plans: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(plans["streamPlan"].as_str().unwrap().contains("Aggregate counts.aggregate"), "{plans}");
    assert!(plans["topology"].as_str().unwrap().contains("source lines"), "{plans}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is created");
}

#[test]
fn what_keeps_a_script_from_running_is_told_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    for (args, script, says) in [
        (
            &["no.sql"][..],
            "",
            "the script no.sql cannot be read: No such file or directory (os error 2)\n  next: name a file",
        ),
        (&["."], "", "the script . cannot be read: Is a directory"),
        (
            &["-"],
            RIGHT,
            "a script from standard input has no name\n  next: name the application: --application-id NAME",
        ),
        (
            &["-"],
            "CREATE TABLE a (n INT) WITH ('connector' = 'print')",
            "standard input: the script writes nowhere",
        ),
        (&["-"], WRONG, "standard input:1:47: there is no connector 'prnt'"),
        (
            &["-"],
            &format!("SET 'thread' = '2';\n{RIGHT}"),
            "standard input:1:5: `thread` is not a setting\n  1 | SET 'thread' = '2';\n    |     ^^^^^^^^\n  next: did you mean `threads`?",
        ),
        (
            &["-"],
            "CREATE TABLE a (n INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE b (n INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
INSERT INTO b SELECT n FROM a;",
            "standard input:2:14: the topic `t` is written here, and read by the table `a`",
        ),
        (
            &["-"],
            "CREATE TABLE a (n INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE b (n INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE c (n INT) WITH ('connector' = 'print');
INSERT INTO c SELECT n FROM a UNION ALL SELECT n FROM b;",
            "standard input:2:14: the topic `t` is read by the tables `a` and `b`",
        ),
        (&["-"], &format!("SET 'a.b' = '2';\n{RIGHT}"), "`a.b` is not a setting"),
        (
            &["-"],
            &format!("SET 'threads' = 'two';\n{RIGHT}"),
            "standard input:1:17: `threads` cannot have this value",
        ),
        (
            &["-"],
            &format!("SET 'table.exec.state.ttl' = '1 h';\n{RIGHT}"),
            "standard input:1:5: the setting 'table.exec.state.ttl' is not supported",
        ),
    ] {
        let (code, out, err) = run(dir.path(), &[&["run"], args].concat(), script);
        assert_eq!((code, &*out), (3, ""), "{err}");
        assert!(err.starts_with("error: ") && err.contains(says), "{says}\nis not in\n{err}");
    }
    let secret = RIGHT.replace("'raw'", "'raw', 'properties.sasl.password' =\n'canary-of-the-script'");
    let args = ["run", "-", "--application-id", "a", "-X", "sasl.password=canary-of-the-flag"];
    let (code, _, err) = run(dir.path(), &args, &secret);
    assert!(code == 3 && err.contains("'properties.sasl.password' is not what -X sasl.password"), "{err}");
    assert!(!err.contains("canary"), "{err}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is created");
}

#[test]
fn a_script_that_only_asks_ends_after_its_answers() {
    let dir = tempfile::tempdir().unwrap();
    let script = "CREATE TABLE a (n INT NOT NULL, words ARRAY<STRING>) WITH ('connector' = 'print');
        SHOW TABLES; SHOW VIEWS; DESCRIBE a;";
    let (code, out, err) = run(dir.path(), &["run", "-"], script);
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert_eq!(out, "a\n\n(none)\n\nn      INT NOT NULL\nwords  ARRAY<STRING>\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is created");
}
