//! State that goes on: values of every serde shape come back as they were, types grow and shrink over existing rows, and names and
//! topics change without a state being lost in silence.

use crate::driver::{PLAIN, Session, WAYS, Way, message};
use expect_test::expect;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Debug, time::Duration};
use tidegate::{
    SourceOptions, StreamingContext, Text,
    codec::{AsText, Json, Utf8},
    record::Value,
    source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
};

/// The newest value of each key, over a line such as `a {"n":1}`.
fn newest<V: Value + DeserializeOwned>(ssc: &StreamingContext) {
    let rows = ssc.text("lines").try_map(|line: Text| {
        let (key, json) = line.split_once(' ').ok_or("no key")?;
        Ok::<_, String>((key.to_owned(), serde_json::from_str::<V>(json).map_err(|e| e.to_string())?))
    });
    rows.running_reduce_by_key(|_, new| new).to_kafka("out", Utf8, Json);
}

/// Runs a program twice, and a third time on a value that equals the second one.
fn keeps<V: Value>(first: &str, second: &str) {
    for way in [PLAIN, Way { lose_state: true, ..PLAIN }] {
        let mut session = Session::new(way);
        for json in [first, second] {
            let written = session.step(&newest::<V>, &format!("lines 0 | - | a {json}\n"));
            assert_eq!(written, [format!("out | a | {json}")]);
        }
        let same = session.step(&newest::<V>, &format!("lines 0 | - | a {second}\n"));
        assert_eq!(same, Vec::<String>::new(), "the state is what it was: {second}");
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Up,
    Moved { x: i32, y: Option<i32> },
}
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    None,
    Number(u8),
}
#[derive(Clone, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}
#[derive(Clone, Serialize, Deserialize)]
enum Holey {
    First,
    #[serde(skip)]
    #[expect(dead_code, reason = "serde counts it when it writes, and not when it reads")]
    Never,
    Second,
    Third,
}

#[test]
fn values_whose_structure_is_seen_only_in_themselves_come_back_in_the_next_batch() {
    keeps::<Untagged>("1", r#""two""#);
    keeps::<Tagged>(r#"{"kind":"Up"}"#, r#"{"kind":"Moved","x":-1,"y":null}"#);
    keeps::<Adjacent>(r#"{"t":"None"}"#, r#"{"t":"Number","c":7}"#);
    keeps::<Flat>(r#"{"id":1,"a":[1,"x"]}"#, r#"{"id":2,"b":{"c":1.5}}"#);
    keeps::<serde_json::Value>(r#"{"a":[1,null]}"#, r#"[{"b":-1},"c"]"#);
    keeps::<Holey>(r#""Second""#, r#""Third""#);
}

#[derive(Clone, Serialize, Deserialize)]
struct OfUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    clicks: u8,
    pages: Vec<u8>,
}

#[test]
fn a_field_that_is_left_out_does_not_become_another_one() {
    let program = |ssc: &StreamingContext| {
        let numbers = ssc.text("lines").try_map(|n| n.parse::<u8>()).map(|n| ("user".to_owned(), n));
        let states = numbers.update_state_by_key(|new: Vec<u8>, state: Option<OfUser>| {
            let mut state = state.unwrap_or(OfUser { first: None, clicks: 0, pages: vec![] });
            for n in new {
                state.pages.push(n);
                state.clicks += u8::from(n != 0);
            }
            Some(state)
        });
        states.to_kafka("out", Utf8, Json);
    };
    for way in WAYS {
        let mut session = Session::new(way);
        assert_eq!(
            session.step(&program, "lines 0 | - | 3\nlines 0 | - | 0\n"),
            [r#"out | user | {"clicks":1,"pages":[3,0]}"#]
        );
        assert_eq!(
            session.step(&program, "lines 0 | - | 9\n"),
            [r#"out | user | {"clicks":2,"pages":[3,0,9]}"#]
        );
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unwritten {
    #[serde(skip_serializing)]
    a: u8,
    b: u8,
}
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Name(String),
}

#[test]
fn what_cannot_come_back_is_refused_at_the_start_with_its_place() {
    let refused = |build: &dyn Fn(&StreamingContext)| message(Session::new(PLAIN).run(build));
    expect![[r#"
        tests/it/state_changes.rs:LINE: `it::state_changes::Unwritten` does not come back as it was written: field `a` has no default
          help: make its `Serialize` and `Deserialize` agree, or use another type
    "#]]
    .assert_eq(&without_line(&refused(&|ssc| {
        let rows = ssc.text("lines").map(|line| (line, Unwritten { a: 1, b: 2 }));
        rows.running_reduce_by_key(|_, new| new).map(|(_, row)| row.a + row.b).print();
    })));
    // Rows of stage 1 that go past it, to meet those of stage 2.
    expect![[r#"
        tests/it/state_changes.rs:LINE: `it::state_changes::Unwritten` does not come back as it was written: field `a` has no default
          help: make its `Serialize` and `Deserialize` agree, or use another type
    "#]]
    .assert_eq(&without_line(&refused(&|ssc| {
        let placed = ssc.text("lines").map(|line| (line, 1u8)).partition_by();
        let late = placed.swap().partition_by().map(|(a, _)| Unwritten { a, b: 1 });
        placed.map(|(_, a)| Unwritten { a, b: 2 }).union(&late).map(|row| row.a + row.b).print();
    })));
    expect![[r#"
        tests/it/state_changes.rs:LINE: `it::state_changes::Id` cannot be a key: serde has to look at the value (`untagged`, `tag`, `flatten`, or a type such as a JSON value)
          help: make its `Serialize` and `Deserialize` agree, or use another type
    "#]]
    .assert_eq(&without_line(&refused(&|ssc| {
        ssc.text("lines").map(|line| (Id::Name(line.to_string()), 1)).reduce_by_key(|a, b| a + b).print();
    })));
}

/// Line and column are left out, so that they may change.
fn without_line(text: &str) -> String {
    let (before, after) = text.split_once(".rs:").unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    format!("{before}.rs:LINE: {}", after.trim_start())
}

#[derive(Clone, Serialize, Deserialize)]
struct Visit {
    count: u32,
    place: String,
}
#[derive(Clone, Serialize, Deserialize)]
struct LaterVisit {
    #[serde(default)]
    last: Option<i64>,
    count: u64,
}

fn visits(ssc: &StreamingContext) {
    let rows = ssc.text("lines").map(|line| (line, Visit { count: 1, place: "p".into() }));
    let counts = rows.running_reduce_by_key(|a, b| Visit { count: a.count + b.count, place: b.place });
    counts.named("visits").to_kafka("out", Utf8, Json);
}

fn later_visits(ssc: &StreamingContext) {
    let rows = ssc.text("lines").map(|line| (line, LaterVisit { count: 1, last: Some(7) }));
    let counts = rows.running_reduce_by_key(|a, b| LaterVisit { count: a.count + b.count, last: b.last });
    counts.named("visits").to_kafka("out", Utf8, Json);
}

#[test]
fn structs_gain_and_lose_fields_over_their_rows_and_may_go_back() {
    for way in WAYS {
        let mut session = Session::new(way);
        let rows = "lines 0 | - | x\nlines 1 | - | y\n";
        assert_eq!(
            session.step(&visits, rows),
            [r#"out | x | {"count":1,"place":"p"}"#, r#"out | y | {"count":1,"place":"p"}"#]
        );
        assert_eq!(session.step(&later_visits, "lines 0 | - | x\n"), [r#"out | x | {"last":7,"count":2}"#]);
        assert_eq!(session.step(&later_visits, "lines 0 | - | y\n"), [r#"out | y | {"last":7,"count":2}"#]);
        let refused = session.step(&visits, "lines 0 | - | z\n").concat();
        assert!(
            refused.contains("incompatible  visits: rows are table str -> {last:i64?,count:u64}")
                && refused.contains("`count`: is of another type"),
            "{refused}"
        );
        assert_eq!(session.step(&later_visits, ""), [r#"out | z | {"last":7,"count":1}"#]);
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Grown {
    count: u32,
    #[serde(default)]
    place: String,
    #[serde(default)]
    more: u8,
}

#[test]
fn rows_of_a_newer_program_are_read_by_the_older_one_after_a_rollback() {
    let newer = |ssc: &StreamingContext| {
        let rows = ssc.text("lines").map(|line| (line, Grown { count: 1, place: "q".into(), more: 9 }));
        let counts = rows.running_reduce_by_key(|a, b| Grown { count: a.count + b.count, ..b });
        counts.named("visits").to_kafka("out", Utf8, Json);
    };
    let mut session = Session::new(PLAIN);
    session.step(&visits, "lines 0 | - | x\nlines 0 | - | y\n");
    assert_eq!(session.step(&newer, "lines 0 | - | x\n"), [r#"out | x | {"count":2,"place":"q","more":9}"#]);
    assert_eq!(session.step(&visits, "lines 0 | - | x\n"), [r#"out | x | {"count":3,"place":"p"}"#]);
    assert_eq!(
        session.step(&newer, "lines 0 | - | x\nlines 0 | - | y\n"),
        [r#"out | x | {"count":4,"place":"q","more":9}"#, r#"out | y | {"count":2,"place":"q","more":9}"#]
    );
}

fn counting(topics: &'static [&'static str], name: Option<&'static str>) -> impl Fn(&StreamingContext) {
    move |ssc| {
        let words = ssc.source::<Text>(SourceOptions::topics(topics.iter().copied()), Utf8);
        let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
        let counts = match name {
            Some(name) => counts.named(name),
            None => counts,
        };
        counts.to_kafka("out", Utf8, AsText);
    }
}

#[test]
fn a_topic_that_is_added_or_goes_does_not_touch_the_state_of_a_source() {
    for way in [PLAIN, Way { lose_state: true, ..PLAIN }] {
        let mut session = Session::new(way);
        let (one, two) = (counting(&["a"], None), counting(&["b", "a"], None));
        assert_eq!(session.step(&one, "a 0 | - | x\n"), ["out | x | 1"]);
        assert_eq!(session.step(&two, "a 0 | - | x\nb 0 | - | x\n").last().unwrap(), "out | x | 3");
        assert_eq!(session.step(&counting(&["b", "c"], None), "c 0 | - | x\n"), ["out | x | 4"]);
        let pattern = |ssc: &StreamingContext| {
            let words = ssc.source::<Text>(SourceOptions::pattern("[bcd]"), Utf8);
            let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
            counts.to_kafka("out", Utf8, AsText);
        };
        assert_eq!(session.step(&pattern, "b 0 | - | x\n"), ["out | x | 5"]);
        assert_eq!(session.step(&counting(&["d", "c"], None), "d 0 | - | x\n"), ["out | x | 6"]);
    }
}

#[test]
fn a_source_that_shares_no_topic_is_another_one() {
    let mut session = Session::new(PLAIN);
    session.step(&counting(&["a"], None), "a 0 | - | x\n");
    expect![[r#"
        recovery refused: this program cannot go on from the existing state:
          new           b.running_reduce_by_key (starts empty)
          unused        a.running_reduce_by_key
          new edge      b.running_reduce_by_key.exchange
          unused edge   a.running_reduce_by_key.exchange
          next: to go on with the rows of an unused store, give its name to the operation: `.named("a.running_reduce_by_key")`; to begin a new one empty, start once with --accept-state-changes
    "#]]
    .assert_eq(&message(session.run(&counting(&["b"], None))));
}

#[test]
fn a_renamed_state_is_refused_and_an_old_one_does_not_come_back_in_silence() {
    let mut session = Session::new(PLAIN);
    let (plain, named) = (counting(&["a"], None), counting(&["a"], Some("counts")));
    assert_eq!(session.step(&plain, "a 0 | - | x\n"), ["out | x | 1"]);
    session.feed("a 0 | - | x\n");
    let refused = message(session.run(&named));
    assert!(refused.contains("new           counts (starts empty)"), "{refused}");
    let kept = counting(&["a"], Some("a.running_reduce_by_key"));
    assert_eq!(session.step(&kept, ""), ["out | x | 2"], "the way out that the message names");

    session.config.accept_state_changes = true;
    assert_eq!(session.step(&named, "a 0 | - | x\n"), ["out | x | 1"], "accepted: it starts empty");
    session.config.accept_state_changes = false;
    assert_eq!(session.step(&named, "a 0 | - | x\n"), ["out | x | 2"]);

    session.feed("a 0 | - | x\n");
    let refused = message(session.run(&plain));
    assert!(
        refused.contains("  out of date   a.running_reduce_by_key (not used since 1970-01-01 ")
            && refused.contains("  unused        counts")
            && refused.contains("start once with --accept-state-changes"),
        "{refused}"
    );
    session.config.accept_state_changes = true;
    assert_eq!(session.step(&plain, ""), ["out | x | 3"], "accepted: what the other version read is missing");
    session.config.accept_state_changes = false;
    assert_eq!(session.step(&plain, "a 0 | - | x\n"), ["out | x | 4"], "and accepted once");
    assert!(message(session.run(&named)).contains("out of date   counts"));
}

#[test]
fn a_name_that_the_user_gave_stays_although_it_looks_like_that_of_a_source() {
    let mut session = Session::new(PLAIN);
    let both = counting(&["a", "b"], Some("b.total"));
    assert_eq!(session.step(&both, "b 0 | - | x\n"), ["out | x | 1"]);
    let one = counting(&["b"], Some("b.total"));
    assert_eq!(session.step(&one, "b 0 | - | x\n"), ["out | x | 2"], "the source goes on as `a+b`");
}

#[test]
fn a_source_that_is_split_into_two_is_refused() {
    let split = |ssc: &StreamingContext| {
        for topic in ["a", "b"] {
            let counts = ssc.text(topic).map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
            counts.to_kafka("out", Utf8, AsText);
        }
    };
    let mut session = Session::new(PLAIN);
    session.step(&counting(&["a"], None), "a 0 | - | x\n");
    session.step(&counting(&["a", "b"], None), "b 0 | - | x\n");
    let refused = message(session.run(&split));
    assert!(
        refused.contains("keep          a.running_reduce_by_key")
            && refused.contains("new           b.running_reduce_by_key")
            && refused.contains("split         a: several sources read its topics now")
            && refused.contains("start once with --accept-state-changes"),
        "{refused}"
    );
}

struct Silent;

impl<T: Value> Receiver<T> for Silent {
    fn receive(&mut self, to: &ReceiverContext<T>) -> Result<(), ReceiverError> {
        while !to.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[test]
fn rows_that_wait_in_the_topic_of_a_receiver_are_not_read_as_another_type() {
    fn receiving<T: Value + Debug>(ssc: &StreamingContext) {
        ssc.receiver_stream::<T>("rows", Silent, StorageLevel::Log).map(|row| format!("{row:?}")).print();
        ssc.text("lines").print();
    }
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&receiving::<(u32, u32)>, "lines 0 | - | x\n"), ["console | x"]);
    let refused = message(session.run(&receiving::<(u16, i32)>));
    assert!(
        refused.contains(
            "changed rows  rows: those that wait in its topic are (u32,u32), the program reads (u16,i32)"
        ) && refused.contains("let the former program process what its receiver has stored"),
        "{refused}"
    );
    assert_eq!(session.step(&receiving::<(u32, u32)>, "lines 0 | - | y\n"), ["console | y"]);
    let refused = message(Session::new(PLAIN).run(&receiving::<Unwritten>));
    assert!(
        refused.contains("state_changes.rs:") && refused.contains("field `a` has no default"),
        "{refused}"
    );
}

/// A state that no output needs is not computed, so it is out of date when an output comes back.
#[test]
fn a_state_that_was_not_computed_for_a_while_is_out_of_date() {
    let with = |ssc: &StreamingContext, is_read: bool| {
        let words = ssc.text("lines").map(|word| (word, 1u64));
        words.count().print();
        let counts = words.running_reduce_by_key(|a, b| a + b);
        if is_read {
            counts.to_kafka("out", Utf8, AsText);
        }
    };
    let mut session = Session::new(PLAIN);
    session.step(&|ssc| with(ssc, true), "lines 0 | - | x\n");
    session.step(&|ssc| with(ssc, false), "lines 0 | - | x\n");
    let refused = session.step(&|ssc| with(ssc, true), "lines 0 | - | x\n").concat();
    assert!(refused.contains("out of date   lines.running_reduce_by_key"), "{refused}");
}
