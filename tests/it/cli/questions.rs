//! Questions: `lag`, `topics`, `checkpoint show`. They change nothing.

use super::{counts, json, tidegate};
use crate::driver::{PLAIN, Session, Way};
use expect_test::expect;
use tidegate::{
    SourceOptions, StreamingContext,
    codec::{Message, Messages, Utf8},
};

fn session() -> Session {
    let mut session = Session::new(Way { state_partitions: 2, ..PLAIN });
    session.config.leave = true;
    session
}

#[test]
fn lag_counts_from_committed_offsets() {
    let mut session = session();
    session.step(&counts, "n 0 | a | 1\nn 0 | b | 1\nn 2 | a | 1\n");
    session.feed("n 0 | a | 1\nn 1 | c | 1\nn 1 | c | 1\n");
    expect![[r#"
        app on log in memory: 0 processes in the group
        3 records behind, in 3 input partitions

        TOPIC  PARTITION  COMMITTED  END  LAG  PROCESS  LAST BATCH      NOTE
        n              0          2    3    1  test     N days ago
        n              1          0    2    2  test     N days ago
        n              2          1    1    0  test     N days ago
    "#]]
    .assert_eq(&tidegate(&session, "lag"));
    let lag = json(&session, "lag");
    assert_eq!((lag["records"].as_u64(), lag["inputs"][1]["lag"].as_u64()), (Some(3), Some(2)), "{lag:#}");
    assert_eq!(lag["inputs"][0]["process"], "test", "{lag:#}");
}

#[test]
fn topics_say_why_they_are_there() {
    let mut session = session();
    session.step(&counts, "n 0 | a | 1\nn 0 | b | 1\nn 2 | a | 1\n");
    expect![[r#"
        app on log in memory: 0 processes in the group

        TOPIC          PARTITIONS  COPIES  CLEANUP  OFFSETS  RECORDS  BYTES  WHY
        app-changelog           2       1  compact        2        2   18 B  changes of state, from which lost state is rebuilt
        app-exchange            2       1  delete         0        0    0 B  rows on their way between processes; the group assigns state partitions by it
        app-meta                1       1  compact        7        7  433 B  what the application knows of itself: topology, inputs, witnesses of offsets, processes
        n                       3       1  delete         3        3    6 B  input
    "#]].assert_eq(&tidegate(&session, "topics --measure"));
    let topics = json(&session, "topics");
    assert_eq!(topics["topics"].as_array().unwrap().len(), 4, "{topics:#}");
}

#[test]
fn a_checkpoint_shows_tokens_and_the_ends_of_the_changelog() {
    let mut session = session();
    session.step(&counts, "n 0 | a | 1\nn 0 | b | 1\nn 2 | a | 1\n");
    expect![[r#"
        app on log in memory: 0 processes in the group
        program: fingerprint 2a032bae70bf2471

        inputs
        TOPIC  PARTITION  FIRST  COMMITTED  END  WITNESS  TOKEN     BATCH TIME            A START READS
        n              0      0          2    2        2  test/1/1  1970-01-01T00:00:01Z  from 2
        n              1      0          0    0        0  test/1/1  1970-01-01T00:00:01Z  from 0
        n              2      0          1    1        1  test/1/1  1970-01-01T00:00:01Z  from 1

        state partitions
        PARTITION  TOKEN     BATCH TIME            EXCHANGE  CHANGELOG FIRST  CHANGELOG COMMITTED  CHANGELOG END  RESULTS UP TO  NOTE
                0  test/1/1  1970-01-01T00:00:01Z         0                0                    1              1  -
                1  test/1/1  1970-01-01T00:00:01Z         0                0                    1              1  -

        processes that ran
        INSTANCE  INCARNATION  IN THE GROUP
        test                1  no
    "#]].assert_eq(&tidegate(&session, "checkpoint show"));
    let shown = json(&session, "checkpoint show");
    assert_eq!(shown["inputs"][0]["token"], "test/1/1", "{shown:#}");
    assert_eq!(shown["stores"]["counts"], "table str -> u64", "{shown:#}");
}

#[test]
fn a_program_without_state_has_inputs_only() {
    let copy = |ssc: &StreamingContext| {
        let rows = ssc.source::<Message<String>>(SourceOptions::topic("n"), Messages(Utf8));
        rows.map(|m| m.value).to_kafka_values("o", Utf8);
    };
    let mut session = session();
    assert_eq!(session.step(&copy, "n 0 | a | 1\n").len(), 1);
    let shown = tidegate(&session, "checkpoint show");
    assert!(shown.contains("\nno state partitions\n"), "{shown}");
    let done = tidegate(&session, "reset --to earliest");
    assert!(done.contains("state: this application has none"), "{done}");
    assert_eq!(session.step(&copy, "").len(), 1, "read again");
}

#[test]
fn an_application_that_is_not_there_is_told_with_those_that_are() {
    let mut session = session();
    for question in ["lag", "topics", "checkpoint show", "reset --to earliest"] {
        let told = tidegate(&session, question);
        assert!(
            told.contains("topic `app-meta`: does not exist")
                && told.contains("no application has run here yet"),
            "{told}"
        );
    }
    session.config.application_id = "other".into();
    session.step(&counts, "n 0 | a | 1\n");
    let told = tidegate(&session, "lag");
    assert!(told.contains("there are: other\n  next: correct --application-id"), "{told}");
}

#[test]
fn looking_at_a_directory_that_is_not_there_does_not_create_it() {
    let mut session = session();
    session.config.bootstrap = "embedded:no/such/dir".into();
    let told = tidegate(&session, "lag");
    assert!(
        told.contains("there is no log in `no/such/dir`") && told.contains("next: correct --bootstrap"),
        "{told}"
    );
    assert!(!std::path::Path::new("no").exists());
}
