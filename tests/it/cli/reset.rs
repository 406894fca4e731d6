//! A reset: what is read again is counted once, whatever state directories are left, and mistakes change nothing.

use super::{counts, json, tidegate};
use crate::{
    contract::TestConsumer,
    driver::{PLAIN, Session, WAYS, Way},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidegate::{
    SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
    runtime::{self, Env},
    state::MemoryStorage,
};

const ROWS: &str = "n 0 | a | 1\nn 0 | b | 1\nn 1 | a | 1\nn 2 | a | 1\nn 2 | c | 1\n";

fn session(way: Way) -> Session {
    let mut session = Session::new(way);
    session.config.leave = true;
    session
}

/// The last count of each key.
fn last(rows: Vec<String>) -> String {
    let mut last = BTreeMap::new();
    for row in rows {
        assert!(row.starts_with("sums"), "{row}");
        let columns: Vec<&str> = row.split(" | ").collect();
        last.insert(columns[1].to_owned(), columns[2].to_owned());
    }
    last.iter().map(|(key, count)| format!("{key}={count}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn counts_are_exact_after_a_reset_to_the_beginning() {
    for way in WAYS {
        let mut session = session(way);
        assert_eq!(last(session.step(&counts, ROWS)), "a=3 b=1 c=1");
        assert_eq!(last(session.step(&counts, "n 1 | a | 1\n")), "a=4");
        let would = json(&session, "reset --to earliest --dry-run");
        assert_eq!(would["inputs"][0]["again"], 2, "{would:#}");
        assert_eq!(last(session.step(&counts, "n 1 | b | 1\n")), "b=2", "a dry run changes nothing");
        let done = json(&session, "reset --to earliest");
        assert_eq!(done["state"]["keys"], 3, "{done:#}");
        assert_eq!(last(session.step(&counts, "")), "a=4 b=2 c=1", "{way:?}");
        assert_eq!(last(session.step(&counts, "n 0 | c | 1\n")), "c=2", "{way:?}");
    }
}

#[test]
fn to_the_end_begins_with_empty_state_and_new_records() {
    for way in WAYS {
        let mut session = session(way);
        session.step(&counts, ROWS);
        session.feed("n 0 | a | 1\n");
        let done = json(&session, "reset --to latest");
        assert_eq!(done["inputs"][0]["again"], -1, "passed over: {done:#}");
        assert_eq!(last(session.step(&counts, "n 1 | a | 1\n")), "a=1", "{way:?}");
    }
}

#[test]
fn single_offsets_move_and_kept_state_counts_twice() {
    let mut session = session(PLAIN);
    session.step(&counts, ROWS);
    let done = json(&session, "reset --to n-2=1 --keep-state");
    assert_eq!(
        (done["inputs"].as_array().map(Vec::len), &done["state"]["is"]),
        (Some(1), &"kept".into()),
        "{done:#}"
    );
    assert_eq!(last(session.step(&counts, "")), "c=2");
}

/// A state directory from before the reset is used again long after it, when another one has gone on.
#[test]
fn a_state_directory_from_before_the_reset_is_harmless() {
    let mut session = session(PLAIN);
    let before = MemoryStorage::default();
    let run = |session: &mut Session, storage: &MemoryStorage, rows: &str| {
        session.feed(rows);
        let env = Env { storage: Arc::new(storage.clone()), ..session.env() };
        let ssc = StreamingContext::new(session.config.clone());
        counts(&ssc);
        runtime::run(session.config.clone(), ssc.topology(), env).unwrap();
        last(session.new_rows("sums"))
    };
    assert_eq!(run(&mut session, &before, ROWS), "a=3 b=1 c=1");
    tidegate(&session, "reset --to latest");
    let after = MemoryStorage::default();
    assert_eq!(run(&mut session, &after, "n 0 | a | 1\n"), "a=1");
    assert_eq!(run(&mut session, &after, "n 0 | b | 1\nn 0 | b | 1\n"), "b=2");
    assert_eq!(run(&mut session, &before, "n 0 | a | 1\nn 1 | b | 1\nn 1 | c | 1\n"), "a=2 b=3 c=1");
}

/// The state is gone, so its names and types may change.
#[test]
fn another_program_may_follow() {
    let lengths = |ssc: &StreamingContext| {
        let rows = ssc.source::<Message<String>>(SourceOptions::topic("n"), Messages(Utf8));
        let pairs = rows.map(|m| (u32::try_from(m.value.len()).unwrap(), format!("{}.", m.value)));
        pairs.running_reduce_by_key(|a, b| a + &b).named("counts").to_kafka("sums", AsText, Utf8);
    };
    let mut without = session(PLAIN);
    without.step(&counts, ROWS);
    let refused = without.step(&lengths, "").pop().unwrap();
    assert!(refused.contains("this program cannot go on from the existing state"), "{refused}");
    let mut session = session(PLAIN);
    session.step(&counts, ROWS);
    let done = tidegate(&session, "reset --to n-0=1");
    assert!(done.contains("3 keys deleted"), "{done}");
    assert_eq!(last(session.step(&lengths, "n 1 | a | 7\n")), "1=1.7.");
}

#[test]
fn a_reset_is_refused_while_a_process_is_there() {
    let mut session = session(PLAIN);
    session.step(&counts, ROWS);
    let mut member = TestConsumer::join(&session.log, "app", "someone", &["app-exchange"]);
    member.step(Duration::from_millis(10)).unwrap();
    for reset in ["reset --to earliest", "reset --to earliest --dry-run"] {
        let told = tidegate(&session, reset);
        assert!(
            told.contains("1 process is in the group `app`: someone")
                && told.contains("next: stop the application"),
            "{told}"
        );
    }
    member.member.close(true);
    assert!(tidegate(&session, "reset --to earliest").contains("3 keys deleted in 8 state partitions"));
}

#[test]
fn a_wrong_place_is_told_and_changes_nothing() {
    let mut session = session(PLAIN);
    session.step(&counts, ROWS);
    for (to, says) in [
        ("n-7=0", "`n-7` is not an input partition of this application\n  next: choose among n-0, n-1, n-2"),
        ("n-0=3", "n-0 has offsets 0 to 2, not 3"),
        ("tomorrow", "`tomorrow` is not a place"),
    ] {
        let told = tidegate(&session, &format!("reset --to {to}"));
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(last(session.step(&counts, "n 0 | b | 1\n")), "b=2");
}
