//! Topics by name and pattern, found at the start and later, and where a first start begins.

use super::{collect, context, context_on, create, new_log, stop, write};
use std::{collections::BTreeMap, time::Duration};
use tidegate::{
    SourceOptions,
    codec::{MessageAt, MessagesAt, Utf8},
    log::embedded::Embedded,
    record::{Offset, Text, TopicPartition},
    source::Starting,
};

fn sorted(mut rows: Vec<Text>) -> Vec<String> {
    rows.sort();
    rows.iter().map(ToString::to_string).collect()
}

#[test]
fn topics_and_partitions_that_appear_later_are_read_from_their_beginning() {
    let bootstrap = new_log();
    let (ssc, log) = context_on(&bootstrap, "pattern", |_| {});
    create(&log, "clicks-eu", 1);
    create(&log, "views", 1);
    write(&log, "clicks-eu", 0, &[("before", 1)]);
    let options = SourceOptions::pattern("clicks-.*").starting(Starting::Latest);
    let rows = collect(&ssc.source::<Text>(options, Utf8));
    ssc.start().unwrap();
    // The first start begins at the end; once something is committed, it has begun.
    let mut written = 0;
    while rows.get().is_empty() {
        write(&log, "clicks-eu", 0, &[(&format!("eu-{written}"), 1)]);
        written += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    write(&log, "views", 0, &[("other", 1)]);
    create(&log, "clicks-us", 2);
    write(&log, "clicks-us", 1, &[("us-0", 1), ("us-1", 1)]);
    let seen = |want: &str| rows.get().iter().any(|r| &**r == want);
    crate::contract::until("the new topic is read from its beginning", || seen("us-0") && seen("us-1"));
    let embedded = Embedded::named(bootstrap.strip_prefix("memory:").unwrap());
    embedded.add_partitions("clicks-eu", 3).unwrap();
    write(&log, "clicks-eu", 2, &[("grown", 1)]);
    crate::contract::until("the new partition is read", || seen("grown"));
    write(&log, "clicks-eu", 0, &[("last", 1)]);
    crate::contract::until("the old partition continues", || seen("last"));
    stop(&ssc, false);
    let all = sorted(rows.get());
    assert!(!all.contains(&"before".to_owned()) && !all.contains(&"other".to_owned()), "{all:?}");
    let eu: Vec<&String> = all.iter().filter(|r| r.starts_with("eu-")).collect();
    assert!(!eu.is_empty(), "of {written}: {all:?}"); // at least once, as every `foreach_rdd`: on Kafka the output is counted
}

/// Also those of sinks that an earlier program had.
#[test]
fn a_pattern_passes_over_the_topics_of_the_application_itself() {
    let (ssc, log) = context("shop");
    let own = ["outbox-gone", "postgres-gone", "foreach-gone", "delivered", "ingest-gone", "dlq"];
    let own: Vec<String> = own.iter().map(|name| format!("shop-{name}")).collect();
    let others = ["shop-clicks", "shop-clicks-outbox-gone", "shopping-outbox-gone"];
    for topic in own.iter().map(String::as_str).chain(others) {
        create(&log, topic, 1);
        write(&log, topic, 0, &[(topic, 1)]);
    }
    let rows = collect(&ssc.source::<Text>(SourceOptions::pattern("shop.*"), Utf8));
    ssc.start().unwrap();
    let rows = rows.until(&ssc, others.len());
    stop(&ssc, true);
    assert_eq!(sorted(rows), others);
}

#[test]
fn a_first_start_begins_where_configured_and_later_ones_continue() {
    let at = |offset| Starting::Offsets(BTreeMap::from([(TopicPartition::new("lines", 0), Offset(offset))]));
    for (starting, expected) in [
        (Starting::Timestamp(2_000), vec!["b", "c", "q"]),
        (Starting::Timestamp(9_000), vec![]),
        (at(2), vec!["c", "p", "q"]),
        (Starting::Earliest, vec!["a", "b", "c", "p", "q"]),
    ] {
        let (ssc, log) = context("starting");
        create(&log, "lines", 2);
        write(&log, "lines", 0, &[("a", 1_000), ("b", 2_000), ("c", 3_000)]);
        write(&log, "lines", 1, &[("p", 1_500), ("q", 2_500)]);
        let options = SourceOptions::topic("lines").starting(starting.clone());
        let rows = collect(&ssc.source::<Text>(options, Utf8));
        ssc.start().unwrap();
        rows.until(&ssc, expected.len());
        std::thread::sleep(Duration::from_millis(200)); // anything superfluous has time to arrive
        stop(&ssc, false);
        assert_eq!(sorted(rows.get()), expected, "{starting:?}");
    }
}

#[test]
fn an_offset_that_does_not_exist_is_refused() {
    let (ssc, log) = context("refused");
    create(&log, "lines", 1);
    write(&log, "lines", 0, &[("a", 1_000)]);
    let offsets = BTreeMap::from([(TopicPartition::new("lines", 0), Offset(7))]);
    let options = SourceOptions::topic("lines").starting(Starting::Offsets(offsets));
    collect(&ssc.source::<Text>(options, Utf8));
    ssc.start().unwrap();
    let error = ssc.await_termination().unwrap_err().to_string();
    assert!(error.contains("lines-0: is to be read from 7 on, but there is 0 to 1"), "{error}");
}

#[test]
fn messages_know_where_they_were_read_from() {
    let (ssc, log) = context("places");
    create(&log, "lines", 3);
    write(&log, "lines", 2, &[("a", 1_000), ("b", 2_000)]);
    let rows = collect(&ssc.source::<MessageAt<Text>>(SourceOptions::topic("lines"), MessagesAt(Utf8)));
    ssc.start().unwrap();
    let rows = rows.until(&ssc, 2);
    stop(&ssc, false);
    let facts: Vec<_> = rows
        .iter()
        .map(|m| (m.at.to_string(), m.offset.0, m.message.timestamp_ms, m.message.value.to_string()))
        .collect();
    assert_eq!(facts, [("lines-2".into(), 0, 1_000, "a".into()), ("lines-2".into(), 1, 2_000, "b".into())]);
}

#[test]
fn mistakes_in_patterns_are_reported_at_the_start() {
    let mistake = |pattern: &str| {
        let (ssc, log) = context("mistakes");
        create(&log, "lines", 1);
        let stream = ssc.source::<Text>(SourceOptions::pattern(pattern), Utf8);
        stream.map(|line| (line, ())).map(|(line, ())| (line.clone(), line)).to_kafka(
            "lines-out",
            Utf8,
            Utf8,
        );
        match ssc.start() {
            Err(e) => e.to_string(),
            Ok(()) => ssc.await_termination().unwrap_err().to_string(),
        }
    };
    assert!(mistake("lines(").contains("is not a regular expression"));
    assert!(mistake("lines.*").contains("speaks of topic `lines-out`, which this program writes"));
    assert!(mistake("nothing-.*").contains("matches no topic yet"));
}
