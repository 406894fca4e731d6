//! What each operation produces, across batches, threads, state partitions and restarts.

use crate::driver::{Invariant, PLAIN, Session, check, check_any_batches};
use expect_test::expect;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tidegate::{
    DStream, SourceOptions, StreamingContext, Text,
    codec::{AsText, Message, Messages, Raw, Utf8},
    record::Bytes,
};

const LINES: &str = "\
lines 0 | - | to be or
lines 1 | - | not to be
lines 2 | - | that
---
lines 0 | - | is
---
---
lines 1 | - | be be
lines 2 | - | or
";

fn words(ssc: &StreamingContext) -> DStream<(Text, u64)> {
    ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| (word, 1))
}

#[test]
fn map_flat_map_and_filter_keep_every_row() {
    let build = |ssc: &StreamingContext| {
        let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| word.len() > 2);
        words.map(|word| (word.to_uppercase(), word.len())).to_kafka("long", Utf8, AsText);
    };
    check_any_batches(
        Invariant::Rows,
        build,
        LINES,
        &expect![[r#"
        long | NOT | 3
        long | THAT | 4
        ---
        ---
        ---
    "#]],
    );
}

#[test]
fn rows_of_a_partition_keep_their_order() {
    let mut session = Session::new(PLAIN);
    let build = |ssc: &StreamingContext| {
        ssc.text("lines").key_by(|_| "one".to_owned()).to_kafka("out", Utf8, Utf8);
    };
    let rows: String = (0..500).fold(String::new(), |all, n| all + &format!("lines 1 | - | {n}\n"));
    session.feed(&rows);
    session.run(&build).unwrap();
    let expected: Vec<String> = (0..500).map(|n| format!("out | one | {n}")).collect();
    assert_eq!(session.new_rows("out"), expected);
}

#[test]
fn reduce_by_key_sees_one_batch() {
    check(
        |ssc| words(ssc).reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText),
        LINES,
        &expect![[r#"
            counts | be | 2
            counts | not | 1
            counts | or | 1
            counts | that | 1
            counts | to | 2
            ---
            counts | is | 1
            ---
            ---
            counts | be | 2
            counts | or | 1
        "#]],
    );
}

#[test]
fn running_reduce_emits_one_row_per_changed_key_and_batch() {
    check_any_batches(
        Invariant::LastPerKey,
        |ssc| words(ssc).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText),
        LINES,
        &expect![[r#"
            counts | be | 2
            counts | not | 1
            counts | or | 1
            counts | that | 1
            counts | to | 2
            ---
            counts | is | 1
            ---
            ---
            counts | be | 4
            counts | or | 2
        "#]],
    );
}

#[test]
fn map_values_and_filter_keep_the_partitioning_and_need_no_second_exchange() {
    let build = |ssc: &StreamingContext| {
        let counts = words(ssc).reduce_by_key(|a, b| a + b).map_values(|n| n * 10).filter(|(_, n)| *n > 10);
        counts.running_reduce_by_key(|a, b| a + b).to_kafka("tens", Utf8, AsText);
        assert_eq!(ssc.topology().stages(), 2);
    };
    check(
        build,
        LINES,
        &expect![[r#"
        tens | be | 20
        tens | to | 20
        ---
        ---
        ---
        tens | be | 40
    "#]],
    );
}

#[test]
fn update_state_visits_all_keys_in_each_batch_and_stages_only_changes() {
    // Keeps a sum; a key whose values add up to a negative number is dropped.
    let build = |ssc: &StreamingContext| {
        let pairs = ssc.source::<Message<Text>>(SourceOptions::topic("n"), Messages(Utf8));
        let pairs = pairs.map(|m| (key_text(&m), m.value.parse::<i64>().unwrap()));
        let sums = pairs.update_state_by_key(|new: Vec<i64>, sum: Option<i64>| {
            let sum = sum.unwrap_or(0) + new.into_iter().sum::<i64>();
            (sum >= 0).then_some(sum)
        });
        sums.to_kafka("sums", Utf8, AsText);
    };
    let batches = [
        "n 0 | a | 1\nn 1 | b | 2\nn 2 | c | 3\n",
        "n 0 | a | 4\n",
        "n 2 | b | -9\n",
        "n 1 | b | 5\nn 0 | a | 0\n",
    ];
    check(
        build,
        &batches.join("---\n"),
        &expect![[r#"
        sums | a | 1
        sums | b | 2
        sums | c | 3
        ---
        sums | a | 5
        sums | b | 2
        sums | c | 3
        ---
        sums | a | 5
        sums | c | 3
        ---
        sums | a | 5
        sums | b | 5
        sums | c | 3
    "#]],
    );
    let mut session = Session::new(PLAIN);
    let mut staged = String::new();
    for batch in batches {
        session.step(&build, batch);
        let mut rows = session.new_rows("app-changelog");
        rows.sort();
        staged = staged + &rows.join("\n") + "\n---\n";
    }
    expect![[r#"
        app-changelog | \x1b\xff\r\xa7a\x00\x00 | \x01\x02
        app-changelog | \x1b\xff\r\xa7b\x00\x00 | \x01\x04
        app-changelog | \x1b\xff\r\xa7c\x00\x00 | \x01\x06
        ---
        app-changelog | \x1b\xff\r\xa7a\x00\x00 | \x01\n
        ---
        app-changelog | \x1b\xff\r\xa7b\x00\x00 | -
        ---
        app-changelog | \x1b\xff\r\xa7b\x00\x00 | \x01\n
        ---
    "#]]
    .assert_eq(&staged);
}

fn key_text<T>(message: &Message<T>) -> String {
    String::from_utf8(message.key.as_deref().unwrap_or_default().to_vec()).unwrap()
}

#[test]
fn union_of_two_sources() {
    let build = |ssc: &StreamingContext| {
        let both =
            ssc.text("a").map(|t| (t, "a".to_owned())).union(&ssc.text("b").map(|t| (t, "b".to_owned())));
        both.to_kafka("both", Utf8, Utf8);
        assert_eq!(ssc.topology().stages(), 1);
    };
    check_any_batches(
        Invariant::Rows,
        build,
        "a 0 | - | x\nb 0 | - | y\n---\nb 1 | - | z\na 2 | - | x\n",
        &expect![[r#"
            both | x | a
            both | y | b
            ---
            both | x | a
            both | z | b
        "#]],
    );
}

#[test]
fn union_of_streams_of_different_stages_spreads_the_one_without_a_key() {
    let build = |ssc: &StreamingContext| {
        let sums = words(ssc).running_reduce_by_key(|a, b| a + b);
        let raw = ssc.text("extra").map(|t| (t, 1000u64));
        raw.union(&sums).to_kafka("all", Utf8, AsText);
        sums.union(&raw).map(|(word, n)| (n, word)).to_kafka("swapped", AsText, Utf8);
    };
    check(
        build,
        "lines 0 | - | a a\nextra 1 | - | e\n---\nextra 1 | - | f\nlines 0 | - | a\n",
        &expect![[r#"
        all | a | 2
        all | e | 1000
        swapped | 1000 | e
        swapped | 2 | a
        ---
        all | a | 3
        all | f | 1000
        swapped | 1000 | f
        swapped | 3 | a
    "#]],
    );
}

#[test]
fn a_stream_joined_with_another_within_each_batch() {
    let build = |ssc: &StreamingContext| {
        let left = ssc.text("l").map(|t| (t.len(), t));
        let right = ssc.text("r").map(|t| (t.len(), t));
        left.join(&right).map(|(k, (l, r))| (k, format!("{l}-{r}"))).to_kafka("joined", AsText, Utf8);
    };
    let input = "l 0 | - | a\nl 1 | - | b\nr 2 | - | x\nr 0 | - | yy\n---\nl 0 | - | cc\n---\nr 0 | - | z\nl 2 | - | d\nr 1 | - | z\n";
    check(
        build,
        input,
        &expect![[r#"
        joined | 1 | a-x
        joined | 1 | b-x
        ---
        ---
        joined | 1 | d-z
        joined | 1 | d-z
    "#]],
    );
}

#[test]
fn a_diamond_is_computed_once_and_joined_without_a_further_exchange() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let build = move |ssc: &StreamingContext| {
        let calls = counted.clone();
        let pairs = ssc.text("lines").flat_map(|l| l.split(' ')).map(move |w| {
            calls.fetch_add(1, Ordering::Relaxed);
            (w.clone(), w.len() as u64)
        });
        let sums = pairs.running_reduce_by_key(|a, b| a + b);
        let least = sums.map_values(|n| n + 1);
        let most = sums.map_values(|n| n * 100);
        let joined = least.join(&most).join(&sums);
        joined.map(|(w, ((a, b), c))| (w, format!("{a} {b} {c}"))).to_kafka("joined", Utf8, Utf8);
        assert_eq!(ssc.topology().stages(), 2);
    };
    check(
        &build,
        LINES,
        &expect![[r#"
        joined | be | 5 400 4
        joined | not | 4 300 3
        joined | or | 3 200 2
        joined | that | 5 400 4
        joined | to | 5 400 4
        ---
        joined | is | 3 200 2
        ---
        ---
        joined | be | 9 800 8
        joined | or | 5 400 4
    "#]],
    );
    calls.store(0, Ordering::Relaxed);
    Session::new(PLAIN).step(&build, LINES.split("---").next().unwrap());
    assert_eq!(calls.load(Ordering::Relaxed), 7, "one call per word");
}

#[test]
fn streams_of_different_stages_are_joined_at_the_later_one() {
    let build = |ssc: &StreamingContext| {
        let counts = words(ssc).reduce_by_key(|a, b| a + b);
        let by_count = counts.map(|(word, n)| (n, word.to_string())).reduce_by_key(Ord::max);
        let names = ssc.text("names").map(|t| (t.len() as u64, t)).reduce_by_key(|_, b| b);
        assert_eq!(ssc.topology().stages(), 3);
        by_count.join(&names).map(|(n, (w, name))| (n, format!("{w} {name}"))).to_kafka("j", AsText, Utf8);
        names.join(&by_count).map(|(n, (name, w))| (n, format!("{name} {w}"))).to_kafka("k", AsText, Utf8);
    };
    check(
        build,
        "lines 0 | - | a b a\nnames 1 | - | ii\nlines 2 | - | c\n---\nnames 0 | - | i\nlines 0 | - | q\n",
        &expect![[r#"
        j | 2 | a ii
        k | 2 | ii a
        ---
        j | 1 | q i
        k | 1 | i q
    "#]],
    );
}

#[test]
fn a_stream_with_several_readers_is_computed_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let build = move |ssc: &StreamingContext| {
        let calls = counted.clone();
        let lines = ssc.text("lines").map(move |line| {
            calls.fetch_add(1, Ordering::Relaxed);
            line
        });
        lines.key_by(|line: &Text| line.len()).to_kafka("one", AsText, Utf8);
        lines.filter(|line| line.len() == 2).map(|line| (line, 0)).to_kafka("two", Utf8, AsText);
        lines.map(|line| (line, 1)).to_kafka("two", Utf8, AsText); // two sinks of one topic
        lines.print();
    };
    check_any_batches(
        Invariant::Rows,
        &build,
        LINES,
        &expect![[r#"
        console | not to be
        console | that
        console | to be or
        one | 4 | that
        one | 8 | to be or
        one | 9 | not to be
        two | not to be | 1
        two | that | 1
        two | to be or | 1
        ---
        console | is
        one | 2 | is
        two | is | 0
        two | is | 1
        ---
        ---
        console | be be
        console | or
        one | 2 | or
        one | 5 | be be
        two | be be | 1
        two | or | 0
        two | or | 1
    "#]],
    );
    calls.store(0, Ordering::Relaxed);
    Session::new(PLAIN).step(&build, "lines 0 | - | a\nlines 1 | - | b\n");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn print_shows_the_first_rows_of_each_batch() {
    let build = |ssc: &StreamingContext| {
        words(ssc).reduce_by_key(|a, b| a + b).print_rows(2);
    };
    let mut session = Session::new(PLAIN);
    let rows = session.step(&build, "lines 0 | - | x x\n");
    assert_eq!(rows, ["console | (x,2)"]);
    let rows = session.step(&build, "lines 0 | - | a b c d\n");
    assert_eq!((rows.len(), rows[0].as_str()), (3, "console | (a,1)").max((3, rows[0].as_str())));
    assert!(rows.contains(&"console | ...".to_owned()), "{rows:?}");
}

#[test]
fn messages_keep_key_timestamp_and_headers() {
    let build = |ssc: &StreamingContext| {
        let all = ssc.source::<Message<Text>>(SourceOptions::topics(["a", "b"]), Messages(Utf8));
        all.filter(|m| &*m.value != "drop").to_kafka("out", Utf8);
    };
    let input = "a 0 | k | v | @17 | h=1 | i=x\nb 1 | - | w\na 2 | k | drop\n---\nb 0 | '' | '' | @5\n";
    check_any_batches(
        Invariant::Rows,
        build,
        input,
        &expect![[r#"
        out | - | w
        out | k | v | @17 | h=1 | i=x
        ---
        out |  |  | @5
    "#]],
    );
}

#[test]
fn null_values_are_not_empty_ones() {
    let build = |ssc: &StreamingContext| {
        let all = ssc.source::<Message<Option<Bytes>>>(SourceOptions::topic("in"), Messages(Raw));
        all.to_kafka("copy", Raw);
        all.map(|m| (m.key.clone(), u8::from(m.value.is_none())))
            .filter(|(k, _)| k.is_some())
            .to_kafka("null", Raw, AsText);
    };
    check_any_batches(
        Invariant::Rows,
        build,
        "in 0 | a | -\nin 0 | a | ''\nin 1 | - | -\n",
        &expect![[r#"
        copy | - | -
        copy | a | 
        copy | a | -
        null | a | 0
        null | a | 1
    "#]],
    );
}

#[test]
fn a_run_without_input_writes_nothing() {
    check(
        |ssc| {
            words(ssc).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
            words_of(ssc, "other").reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
        },
        "",
        &expect![[""]],
    );
}

fn words_of(ssc: &StreamingContext, topic: &str) -> DStream<(Text, u64)> {
    ssc.text(topic).map(|word| (word, 1))
}
