//! Dead letters: listed, shown, and written back once the program can take them.

use super::{json, tidegate};
use crate::driver::{PLAIN, Session};
use expect_test::expect;
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
    log::TopicSpec,
};

const ROWS: &str = "\
n 0 | a | 1
n 0 | b | 2
n 1 | a | ten | @7 | h=x
n 1 | b | 3
n 2 | c | five
n 2 | c | 4
";

/// Sums by key; `words` = it understands numbers as words, too.
fn sums(words: bool) -> impl Fn(&StreamingContext) {
    move |ssc| {
        let source = SourceOptions::topic("n").on_bad_record(BadRecordPolicy::DeadLetter);
        let rows = ssc.source::<Message<String>>(source, Messages(Utf8));
        let pairs = rows.try_map(move |m| {
            let key = String::from_utf8(m.key.as_deref().unwrap_or_default().to_vec()).unwrap();
            match m.value.as_str() {
                "ten" if words => Ok((key, 10)),
                "five" if words => Ok((key, 5)),
                text => text.parse::<i64>().map(|n| (key, n)),
            }
        });
        pairs.running_reduce_by_key(|a, b| a + b).named("sums").to_kafka("sums", Utf8, AsText);
    }
}

fn session() -> Session {
    let mut session = Session::new(PLAIN);
    session.config.leave = true;
    session.step(&sums(false), ROWS);
    session
}

/// The last sum of each key.
fn last(rows: Vec<String>) -> Vec<String> {
    let mut last = std::collections::BTreeMap::new();
    rows.into_iter().filter(|row| row.starts_with("sums")).for_each(|row| {
        last.insert(row.rsplit_once(" | ").unwrap().0.to_owned(), row);
    });
    last.into_values().collect()
}

#[test]
fn letters_are_listed_and_shown() {
    let session = session();
    expect![[r#"
        app-dlq on log in memory: 2 dead letters

        LETTER  WRITTEN               FROM      KEY  VALUE  BYTES  WHY
             0  ....-..-..T..:..:..Z  n-1 at 0  a    ten      3 B  operator `try_map (made at HERE)` on partition 1: invalid digit found in string
             1  ....-..-..T..:..:..Z  n-2 at 0  c    five     4 B  operator `try_map (made at HERE)` on partition 2: invalid digit found in string
    "#]].assert_eq(&without_written(&tidegate(&session, "dlq list")));
    let one = json(&session, "dlq list --from-topic n --from-partition 2");
    assert_eq!(
        (one["count"].as_u64(), &one["letters"][0]["from"]["offset"]),
        (Some(1), &0.into()),
        "{one:#}"
    );
    let letter = one["letters"][0]["letter"].as_u64().unwrap();
    assert_eq!(json(&session, &format!("dlq show {letter}"))["value"], "five");
    assert_eq!(json(&session, "dlq list --reason nothing")["count"], 0);
    assert_eq!(json(&session, "dlq list --from-offsets 0")["count"], 2);
    assert_eq!(json(&session, "dlq list --from-offsets 1..")["count"], 0);
    let told = tidegate(&session, "dlq show 999");
    assert!(told.contains("there is no letter 999") && told.contains("next: "), "{told}");
}

/// Without the time at which a letter was written, and the place of the operator in this file.
fn without_written(text: &str) -> String {
    text.lines()
        .map(|line| {
            line.split(' ')
                .map(|word| match word {
                    _ if word.ends_with('Z') => "....-..-..T..:..:..Z",
                    _ if word.contains("dlq.rs:") => "HERE)`",
                    _ => word,
                })
                .collect::<Vec<_>>()
                .join(" ")
                + "\n"
        })
        .collect()
}

#[test]
fn what_is_replayed_takes_effect_once_the_program_can_take_it() {
    let mut session = session();
    let refused = tidegate(&session, "dlq replay");
    assert!(refused.contains("which letters?") && refused.contains("next: choose them"), "{refused}");
    let would = tidegate(&session, "dlq replay --all --dry-run");
    assert!(would.contains("2 records would be written"), "{would}");
    assert_eq!(session.step(&sums(true), "").len(), 0, "a dry run writes nothing");
    expect![[r#"
        app-dlq on log in memory: 2 records written in one transaction

        FROM  TO  PARTITION  RECORDS  LETTERS
        n     n   1                1  0
        n     n   2                1  1

        The letters stay where they are, and nothing keeps them from being written again: next time begin with --letters 2..
    "#]].assert_eq(&tidegate(&session, "dlq replay --all"));
    let rows = session.step(&sums(true), "");
    expect![[r#"
        sums | a | 11 | @7
        sums | c | 9
    "#]]
    .assert_eq(&crate::driver::show(&[last(rows)]));
    let input = session.new_rows("n").join("\n");
    assert!(
        input.contains("n | b | 3\nn | a | ten | @7 | h=x | __tidegate.replayed=app-dlq-0@0\n"),
        "{input}"
    );
}

#[test]
fn a_record_that_is_still_bad_comes_back_as_a_letter_of_its_own() {
    let mut session = session();
    tidegate(&session, "dlq replay --from-partition 1 --all");
    session.step(&sums(false), "");
    let list = json(&session, "dlq list");
    assert_eq!(list["count"], 3, "{list:#}");
    assert_eq!(
        list["letters"][2]["from"]["offset"], 2,
        "the offset of the record that was written back: {list:#}"
    );
    tidegate(&session, "dlq replay --letters 2..");
    let rows = session.new_rows("n").join("\n");
    assert_eq!(rows.matches("__tidegate.replayed=").count(), 2, "one header each: {rows}");
}

#[test]
fn another_topic_is_placed_by_key_and_must_exist() {
    let mut session = session();
    let told = tidegate(&session, "dlq replay --all --to repaired");
    assert!(told.contains("topic `repaired`: does not exist") && told.contains("next: create it"), "{told}");
    let spec =
        TopicSpec { name: "repaired".into(), partitions: 2, replication_factor: None, config: [].into() };
    session.log.create(&spec).unwrap();
    let told = json(&session, "dlq replay --all --to repaired --limit 1");
    assert_eq!(
        (told["written"][0]["to"].as_str(), told["written"][0]["records"].as_u64()),
        (Some("repaired"), Some(1)),
        "{told:#}"
    );
    assert_eq!(session.new_rows("repaired").len(), 1);
    let told = tidegate(&session, "dlq replay --all --to app-dlq");
    assert!(
        told.contains("0 records written") && told.contains("back to the dead-letter topic itself"),
        "{told}"
    );
}

#[test]
fn without_a_dead_letter_topic_the_reason_is_told() {
    let session = Session::new(PLAIN);
    let told = tidegate(&session, "dlq list");
    assert!(
        told.contains("topic `app-dlq`: does not exist") && told.contains("policy dead-letter"),
        "{told}"
    );
}
