//! `config show`, `check`, `completions` and `man`, run as a program: where settings come from, and that no secret is shown.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn run(args: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("app.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const SETTINGS: &str = "\
application-id = \"orders\"
threads = 3
state-partitions = 4
leave = true

[properties]
\"sasl.password\" = \"canary-of-the-file\"
\"client.rack\" = \"r1\"
";

#[test]
fn each_setting_is_shown_with_its_origin_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), SETTINGS);
    let environment = [
        ("TIDEGATE_CONFIG", &*path),
        ("TIDEGATE_THREADS", "5"),
        ("TIDEGATE_PROPERTIES", "ssl.key.password=canary-of-the-environment"),
    ];
    let args = [
        "config",
        "show",
        "--origin",
        "--state-partitions",
        "16",
        "-X",
        "sasl.oauthbearer.client.secret=canary-of-the-flag",
        "--output",
        "json",
    ];
    let (code, out, err) = run(&args, &environment);
    assert_eq!((code, &*err), (0, ""), "{out}");
    let shown: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    let of = |name: &str| {
        let found =
            shown.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("{name}: {out}"));
        (
            found["value"].as_str().unwrap().to_owned(),
            found["origin"].as_str().unwrap().replace(&path, "FILE"),
        )
    };
    let is =
        |name: &str, value: &str, origin: &str| assert_eq!(of(name), (value.into(), origin.into()), "{name}");
    is("--application-id", "orders", "FILE:1");
    is("--threads", "5", "TIDEGATE_THREADS");
    is("--state-partitions", "16", "flag");
    is("--leave", "on", "FILE:4");
    is("--once", "off", "default");
    is("-X client.rack", "r1", "FILE:8");
    is("-X sasl.password", "(not shown)", "FILE:7");
    is("-X ssl.key.password", "(not shown)", "TIDEGATE_PROPERTIES");
    is("-X sasl.oauthbearer.client.secret", "(not shown)", "flag");
    let (_, table, _) = run(&args[..args.len() - 2], &environment);
    assert!(table.contains("--leave") && !out.contains("canary") && !table.contains("canary"), "{table}");
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    for (text, says) in [
        (
            "application-id = \"a\"\nthread = 1\n",
            "app.toml:2:1: `thread` is not a setting; did you mean `threads`?",
        ),
        (
            "application-id = \"a\"\nguarantee = \"canary\"\n",
            "app.toml:2:13: `guarantee` cannot have this value: [possible values: exactly-once, at-least-once]",
        ),
        ("application-id = canary\n", "app.toml:1:18: "),
    ] {
        let path = file(dir.path(), text);
        let (code, out, err) = run(&["lag", "--config", &path], &[]);
        assert_eq!((code, &*out), (3, ""), "{err}");
        assert!(err.starts_with("error: configuration: ") && err.contains(says), "{err}");
        assert!(!err.contains("canary\""), "{err}");
    }
    let (code, _, err) = run(&["lag", "--config=/no/such/file"], &[]);
    assert!(
        code == 3 && err.contains("/no/such/file cannot be read") && err.contains("next: correct --config"),
        "{err}"
    );
}

#[test]
fn check_looks_at_settings_files_and_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = state.to_str().unwrap();
    let base = ["check", "--application-id", "orders", "--state-dir", state];
    let (code, out, _) = run(&base, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("will be created at the first start") && out.ends_with("nothing is in the way\n"),
        "{out}"
    );
    assert!(!Path::new(state).exists(), "a check creates nothing");
    let secret = [&base[..], &["-X", "sasl.password.file=/no/such/secret"]].concat();
    let (code, out, _) = run(&secret, &[]);
    assert!(
        code == 3 && out.contains("FAILED   log") && out.contains("`/no/such/secret` cannot be read"),
        "{out}"
    );
    fs::write(state, "").unwrap();
    let (code, out, _) = run(&base, &[]);
    assert!(code == 3 && out.contains("FAILED   state directory") && out.contains("is a file"), "{out}");
    let unknown = [&base[..], &["-X", "sasl.pasword=canary"]].concat();
    let (code, out, err) = run(&unknown, &[]);
    assert!(
        code == 3 && out.contains("sasl.pasword") && !out.contains("canary") && !err.contains("canary"),
        "{out}"
    );
}

#[test]
fn completions_and_pages_of_the_manual_know_all_subcommands() {
    let (_, script, _) = run(&["completions", "bash"], &[]);
    assert!(["lag", "checkpoint", "dlq", "reset"].iter().all(|name| script.contains(name)));
    let (_, page, _) = run(&["man"], &[]);
    assert!(page.starts_with(".ie") && page.contains("tidegate"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["man", "--dir", dir.path().to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{err}");
    assert!(
        dir.path().join("tidegate-dlq-replay.1").is_file(),
        "{:?}",
        fs::read_dir(dir.path()).unwrap().collect::<Vec<_>>()
    );
}

/// Each subcommand, and each of its flags, is on its page.
#[test]
fn the_page_of_the_command_line_lists_all_flags() {
    use clap::CommandFactory;
    let text = include_str!("../../../docs/cli.md");
    let operations = include_str!("../../../docs/operations.md");
    let mut open = vec![super::Program::command()];
    let mut flags = 0;
    while let Some(command) = open.pop() {
        assert!(command.get_name() == "it" || text.contains(command.get_name()), "{}", command.get_name());
        for flag in command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long())
        {
            let flag = format!("`--{flag}");
            assert!(text.contains(&flag) || operations.contains(&flag), "{} {flag}", command.get_name());
            flags += 1;
        }
        open.extend(command.get_subcommands().cloned());
    }
    assert!(flags > 50, "{flags}");
}
