//! Records of the exchange topic: the bytes of format 1, random records there and back, their division, and what damage does.
//!
//! If the golden file changes, processes of two versions do not understand each other: the format needs a new number.

use expect_test::{expect, expect_file};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tidegate::{
    BatchTime, Config, EventWindow, SourceOptions, StreamingContext, Text,
    codec::{AsText, Message, Messages, Utf8},
    operator::{EdgeId, Envelope, EventRow, EventRows, Upstream, UpstreamMark, UpstreamName, WindowKey},
    plan::Topology,
    record::{Bytes, Chunk, Partition, Stamps, StampsBuilder, TaskId, TopicPartition},
    task::exchange_record::{
        ExchangeEdges, Mark, Part, RECORD_BYTES_MAX, RecordReader, RecordWriter, Unreadable,
    },
};

type Pair = (Text, u64);

const TIME: i64 = 1_700_000_000_000;
/// Rows of pairs by key, of stage 0.
const PAIRS: &str = "lines.partition_by.partition_by.exchange";
/// Rows without a key, of stage 0.
const TEXTS: &str = "lines.repartition.repartition.exchange";
/// Rows of windows over event time, of stage 0.
const WINDOWS: &str = "users.count_by_key_and_event_window.exchange";
/// Rows of stage 1 that go past it, as a union asks for them.
const CARRIED: &str = "lines.partition_by.reduce_by_key.carried-1";
/// As a join asks for them.
const CARRIED_BY_KEY: &str = "lines.partition_by.group_by_key.carried-1";

fn program(ssc: &StreamingContext) {
    let lines = ssc.text("lines");
    lines.repartition(2).to_kafka_values("out", Utf8);
    let keyed = lines.map(|line| (line, 1u64)).partition_by();
    let sums = keyed.reduce_by_key(|a, b| a + b);
    let texts = sums.map(|(key, n)| (Text::from(format!("{key}{n}")), n)).partition_by();
    sums.union(&texts).to_kafka("out", Utf8, AsText);
    let groups = keyed.group_by_key();
    groups.join(&texts).map_values(|(_, n)| n).to_kafka("out", Utf8, AsText);
    let users = ssc.source::<Message<String>>(SourceOptions::topic("users"), Messages(Utf8));
    let window = EventWindow::tumbling(Duration::from_secs(10));
    users.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
}

fn plan(build: impl FnOnce(&StreamingContext)) -> Topology {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    build(&ssc);
    ssc.topology().computed()
}

fn edges() -> Arc<ExchangeEdges> {
    Arc::new(ExchangeEdges::of(&plan(program)))
}

fn source(topic: &str, partition: u32) -> Upstream {
    Upstream::Source(TopicPartition::new(topic, partition))
}

fn task(stage: u32, partition: u32) -> Upstream {
    Upstream::Task(TaskId { stage, partition: Partition(partition) })
}

fn pairs(rows: &[(&str, u64)]) -> Chunk {
    Chunk::rows::<Pair>(rows.iter().map(|(key, n)| (Text::from(*key), *n)).collect())
}

fn texts(rows: impl IntoIterator<Item = String>) -> Chunk {
    Chunk::rows::<Text>(rows.into_iter().map(Text::from).collect())
}

fn block(edge: &str, upstream: Upstream, chunk: Chunk) -> Envelope {
    Envelope { edge: EdgeId::of(edge), upstream, time: BatchTime(TIME), chunk }
}

/// A block of each kind, and marks of each kind of upstream.
fn every_kind() -> (Vec<Envelope>, Vec<Mark>) {
    let window = WindowKey { start_ms: TIME, key: "u".to_owned() };
    let marks = vec![UpstreamMark {
        upstream: UpstreamName::from(&source("users", 3)),
        time_ms: Some(TIME),
        idle: false,
    }];
    let rows = vec![EventRow { window, value: 2u64, newest_ms: TIME + 9, records: 2 }];
    let windows = Chunk::new(EventRows::<String, u64> { rows, marks }, 2);
    let each = stamps_of([TIME - 5, -1, TIME - 300]);
    let blocks = vec![
        block(PAIRS, source("lines", 0), pairs(&[("a", 1), ("", 300)])),
        block(TEXTS, source("lines", 300), texts(["x".to_owned()]).stamped(Stamps::Greatest(TIME - 7))),
        block(PAIRS, task(0, 1), pairs(&[("now", 1), ("never", 2), ("before", 3)]).stamped(each)),
        block(WINDOWS, source("users", 3), windows),
        block(CARRIED, task(1, 7), pairs(&[("c", 5)]).stamped(Stamps::Greatest(-1))),
        block(CARRIED_BY_KEY, task(1, 7), Chunk::rows::<(Text, Vec<u64>)>(vec![("g".into(), vec![1, 2])])),
        block(TEXTS, source("lines", 1), texts(["l".repeat(130)])),
    ];
    let mark = |upstream, time| Mark { upstream, time: BatchTime(time) };
    (blocks, vec![mark(source("lines", 300), TIME), mark(task(0, 1), TIME + 1), mark(task(1, 7), -1)])
}

fn written(blocks: &[Envelope], marks: &[Mark]) -> Vec<Vec<u8>> {
    let mut writer = RecordWriter::new(edges());
    for block in blocks {
        writer.add_block(block).unwrap();
    }
    marks.iter().for_each(|mark| writer.add_mark(&mark.upstream, mark.time));
    writer.finish()
}

fn golden() -> Vec<u8> {
    let (blocks, marks) = every_kind();
    let mut records = written(&blocks, &marks);
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// What is read of a record until it is found wanting.
fn read(edges: &ExchangeEdges, value: &[u8]) -> Result<Vec<Part>, Unreadable> {
    RecordReader::new(edges, Bytes::from(value))?.collect()
}

/// Rows one by one: whether a block was divided does not show.
fn shown(envelope: &Envelope) -> Vec<String> {
    let Envelope { edge, upstream, time, chunk } = envelope;
    let name = [PAIRS, TEXTS, WINDOWS, CARRIED, CARRIED_BY_KEY]
        .into_iter()
        .find(|n| EdgeId::of(n) == *edge)
        .unwrap();
    let chunk = chunk.clone();
    let (stamps, len) = (chunk.stamps().clone(), chunk.len());
    let rows: Vec<String> = match name {
        TEXTS => chunk.take::<Vec<Text>>().iter().map(|row| format!("{row:?}")).collect(),
        CARRIED_BY_KEY => {
            chunk.take::<Vec<(Text, Vec<u64>)>>().iter().map(|row| format!("{row:?}")).collect()
        }
        WINDOWS => {
            let EventRows { rows, marks } = chunk.take::<EventRows<String, u64>>();
            let rows = rows.iter().map(|row| format!("{row:?}"));
            rows.chain(marks.iter().map(|mark| format!("{mark:?}"))).collect()
        }
        _ => chunk.take::<Vec<Pair>>().iter().map(|row| format!("{row:?}")).collect(),
    };
    assert_eq!(rows.len(), len);
    let mut each = stamps.each();
    let mut ms = || (stamps != Stamps::Unknown).then_some(each.next_ms());
    let line = |row| format!("{name} {upstream:?} {time} {:?}: {row}", ms());
    rows.into_iter().map(line).collect()
}

fn shown_parts(parts: &[Part]) -> (Vec<String>, Vec<Mark>) {
    let (mut rows, mut marks) = (vec![], vec![]);
    for part in parts {
        match part {
            Part::Block(block) => rows.extend(shown(&block.envelope().unwrap())),
            Part::Mark(mark) => marks.push(mark.clone()),
        }
    }
    (rows, marks)
}

#[test]
fn a_record_is_written_as_before() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let (blocks, marks) = every_kind();
    let mut out = String::from("# edges: id, name, format\n");
    for (id, edge) in plan(program).edges() {
        writeln!(out, "{id} {}: {:?}", edge.name, edge.format).unwrap();
    }
    let mut record = golden();
    writeln!(out, "\n# head, then blocks, then marks\n{}", hex(&record.drain(..9).collect::<Vec<_>>()))
        .unwrap();
    for block in &blocks {
        let alone = &written(std::slice::from_ref(block), &[])[0][9..];
        assert_eq!(record.drain(..alone.len()).collect::<Vec<_>>(), alone);
        writeln!(out, "{}", shown(block).join("\n")).unwrap();
        writeln!(out, "  {}", hex(alone)).unwrap();
    }
    for mark in marks {
        let alone = &written(&[], std::slice::from_ref(&mark))[0][9..];
        assert_eq!(record.drain(..alone.len()).collect::<Vec<_>>(), alone);
        writeln!(out, "{mark:?}\n  {}", hex(alone)).unwrap();
    }
    assert!(record.is_empty());
    expect_file!["golden/exchange-records.txt"].assert_eq(&out);
}

#[test]
fn nothing_makes_no_record() {
    let mut writer = RecordWriter::new(edges());
    writer.add_block(&block(PAIRS, source("lines", 0), pairs(&[]))).unwrap();
    writer.append(RecordWriter::new(edges()));
    assert_eq!((writer.bytes(), writer.finish().len()), (0, 0));
}

#[test]
fn records_of_other_programs_are_refused() {
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut record = golden();
        change(&mut record);
        read(&edges(), &record).unwrap_err().to_string()
    };
    expect![[r#"
        the record has format 2, and this build reads format 1: this process is older than the one that wrote it
          next: run the version of the program that the other processes run"#]]
    .assert_eq(&refused(&|record| record[0] = 2));
    let unknown = refused(&|record| record[10] ^= 1);
    assert!(unknown.contains("which this program does not have"), "{unknown}");
    assert!(unknown.contains("older or younger than the one that wrote it"), "{unknown}");
    let damaged = refused(&|record| record[9] = 9);
    expect![[r#"
        the record is damaged, or was not written by tidegate: there is neither a block nor a mark before this at byte 10
          next: check what else writes to this topic, and the disks of the brokers"#]]
    .assert_eq(&damaged);
    let head_only = refused(&|record| record.truncate(9));
    assert!(head_only.contains("the record ends at byte 9"), "{head_only}");

    let other = |build: fn(&StreamingContext)| ExchangeEdges::of(&plan(build));
    let more = other(|ssc| {
        program(ssc);
        ssc.text("lines").map(|line| (line, 1u64)).group_by_key().print();
    });
    let refused = read(&more, &golden()).unwrap_err();
    assert!(matches!(refused, Unreadable::OtherEdges { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(
        refused.contains("older or younger than the one that wrote it\n  next: run the same version"),
        "{refused}"
    );
}

#[test]
fn the_fingerprint_is_of_names_formats_and_stages() {
    let print = |build: fn(&StreamingContext)| plan(build).edge_fingerprint();
    let first = print(|ssc| ssc.text("a").map(|l| (l, 1u64)).group_by_key().print());
    // Code and what has no edge may change.
    let same: fn(&StreamingContext) = |ssc| {
        ssc.text("a")
            .filter(|l| !l.is_empty())
            .map(|l| (l, 2u64))
            .group_by_key()
            .map_values(|v| v.len())
            .print();
        ssc.text("b").to_kafka_values("out", Utf8);
    };
    assert_eq!(first, print(same));
    let others: [fn(&StreamingContext); 3] = [
        |ssc| ssc.text("a").map(|l| (l, 1u32)).group_by_key().print(),
        |ssc| ssc.text("b").map(|l| (l, 1u64)).group_by_key().print(),
        // The same name and format, but one stage later.
        |ssc| ssc.text("a").repartition(1).named("a").map(|l| (l, 1u64)).group_by_key().print(),
    ];
    for other in others {
        assert_ne!(first, print(other));
    }
}

/// A row that cannot be encoded if it is `x`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Picky(#[serde(serialize_with = "not_x")] String);

fn not_x<S: Serializer>(text: &str, out: S) -> Result<S::Ok, S::Error> {
    if text == "x" { Err(S::Error::custom("not x")) } else { out.serialize_str(text) }
}

#[test]
fn a_row_that_cannot_be_encoded_leaves_nothing_of_its_block() {
    let plan = plan(|ssc| ssc.text("lines").map(|_| Picky(String::new())).repartition(2).count().print());
    let edges = Arc::new(ExchangeEdges::of(&plan));
    let rows = |rows: &[&str]| {
        block(TEXTS, source("lines", 0), Chunk::rows(rows.iter().map(|text| Picky((*text).into())).collect()))
    };
    let (mut writer, mut other) = (RecordWriter::new(edges.clone()), RecordWriter::new(edges.clone()));
    writer.add_block(&rows(&["a", "b"])).unwrap();
    let refused = writer.add_block(&rows(&["c", "x"])).unwrap_err().to_string();
    assert!(refused.contains("not x"), "{refused}");
    writer.add_block(&rows(&["d"])).unwrap();
    assert!(other.add_block(&rows(&["x"])).is_err());
    assert_eq!(other.finish().len(), 0);
    let mut found = vec![];
    for part in read(&edges, &writer.finish()[0]).unwrap() {
        let Part::Block(block) = part else { panic!("{part:?}") };
        found.extend(block.envelope().unwrap().chunk.take::<Vec<Picky>>());
    }
    assert_eq!(found, ["a", "b", "d"].map(|text| Picky(text.into())));
}

#[test]
fn large_blocks_are_divided_and_marks_come_last() {
    let (_, marks) = every_kind();
    let lengths = [900 * 1024, 10, 300 * 1024, 300 * 1024, 10, RECORD_BYTES_MAX, 5, 5];
    let rows: Vec<String> =
        (0u8..).zip(lengths).map(|(n, length)| char::from(b'a' + n).to_string().repeat(length)).collect();
    let each: Vec<i64> = (TIME - 4..).take(rows.len()).collect();
    let small = block(PAIRS, source("lines", 1), pairs(&[("a", 1)]));
    let large = block(TEXTS, source("lines", 1), texts(rows).stamped(stamps_of(each)));
    let many = block(TEXTS, source("lines", 2), texts((0..150_000).map(|n| n.to_string())));
    let blocks = [small.clone(), large, many, small];
    let records = written(&blocks, &marks);
    let (mut rows, mut told, mut lone) = (vec![], vec![], 0);
    for (number, record) in records.iter().enumerate() {
        let parts = read(&edges(), record).unwrap();
        if record.len() > RECORD_BYTES_MAX {
            assert!(matches!(&parts[..], [Part::Block(only)] if only.rows == 1), "record {number}");
            lone += 1;
        }
        let (of_record, marks) = shown_parts(&parts);
        assert!(marks.is_empty() || number == records.len() - 1);
        rows.extend(of_record);
        told.extend(marks);
    }
    assert_eq!((told, lone), (marks, 2));
    assert!(rows.iter().eq(&blocks.iter().flat_map(shown).collect::<Vec<_>>()));
    // a | the large row | b c | d e | the row of the limit | f g, many | many | many | many, a, marks
    let sizes: Vec<usize> = records.iter().map(|record| record.len() * 100 / RECORD_BYTES_MAX).collect();
    expect!["[0, 175, 58, 58, 100, 99, 99, 64]"].assert_eq(&format!("{sizes:?}"));
}

#[test]
fn writers_of_several_sources_become_one() {
    let sources: Vec<Vec<Envelope>> = (0..4u32)
        .map(|n| {
            let rows = if n % 2 == 1 { 200_000 } else { 2 };
            vec![block(TEXTS, source("lines", n), texts((0..rows).map(|row| format!("{n} {row}"))))]
        })
        .collect();
    let mut all = RecordWriter::new(edges());
    for (number, blocks) in (0..).zip(&sources) {
        let mut writer = RecordWriter::new(edges());
        blocks.iter().for_each(|block| writer.add_block(block).unwrap());
        writer.add_mark(&source("lines", number), BatchTime(TIME));
        all.append(writer);
    }
    let bytes = all.bytes();
    let records = all.finish();
    assert_eq!(records.iter().map(Vec::len).sum::<usize>(), bytes);
    assert!(records.iter().all(|record| record.len() <= RECORD_BYTES_MAX + 100), "apart from marks");
    let parts: Vec<Part> = records.iter().flat_map(|record| read(&edges(), record).unwrap()).collect();
    let (rows, marks) = shown_parts(&parts);
    assert!(rows.iter().eq(&sources.iter().flatten().flat_map(shown).collect::<Vec<_>>()));
    assert_eq!(marks.len(), 4);
    assert!(matches!(parts[parts.len() - 4..], [Part::Mark(_), Part::Mark(_), Part::Mark(_), Part::Mark(_)]));
}

/// Reads all that a value claims to have; answers whether it was refused.
fn is_refused(edges: &ExchangeEdges, value: &[u8]) -> bool {
    let Ok(reader) = RecordReader::new(edges, Bytes::from(value)) else { return true };
    let mut refused = false;
    for part in reader {
        match part {
            Ok(Part::Block(block)) => {
                assert!(block.rows <= block.bytes() / 2 && block.bytes() <= value.len());
                refused |= block.envelope().is_err();
            }
            Ok(Part::Mark(_)) => {}
            Err(_) => refused = true,
        }
    }
    refused
}

#[test]
fn a_record_that_is_cut_off_or_has_a_wrong_byte_gives_an_error_or_other_rows() {
    let (edges, whole) = (edges(), golden());
    assert!(!is_refused(&edges, &whole));
    let (mut cuts, mut others) = (0, 0);
    for length in 0..whole.len() {
        cuts += usize::from(!is_refused(&edges, &whole[..length]));
    }
    assert_eq!(cuts, 9, "only between two parts");
    let expected = format!("{:?}", shown_parts(&read(&edges, &whole).unwrap()));
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        for byte in (0..=u8::MAX).filter(|byte| *byte != whole[at]) {
            bad[at] = byte;
            if !is_refused(&edges, &bad) {
                others += 1;
                assert_ne!(
                    format!("{:?}", shown_parts(&read(&edges, &bad).unwrap())),
                    expected,
                    "byte {at}: {byte}"
                );
            }
        }
    }
    assert!(others > 0, "a letter of a row is another row");
}

fn upstream(stage: u32) -> impl Strategy<Value = Upstream> {
    let topic = "[a-z._-]{1,12}|ä{1,3}";
    let source = (topic, any::<u32>()).prop_map(|(topic, partition)| source(&topic, partition));
    let own = any::<u32>().prop_map(move |partition| task(stage, partition));
    if stage == 0 { prop_oneof![source, own].boxed() } else { own.boxed() }
}

fn stamps_of(each: impl IntoIterator<Item = i64>) -> Stamps {
    each.into_iter().collect::<StampsBuilder>().build()
}

fn stamps(rows: usize) -> impl Strategy<Value = Stamps> {
    let near = prop_oneof![TIME - 10_000..TIME, Just(-1), any::<i64>()];
    let each = prop::collection::vec(near.clone(), rows).prop_map(stamps_of);
    prop_oneof![Just(Stamps::Unknown), near.prop_map(Stamps::Greatest), each]
}

/// What a random block is made of.
#[derive(Clone, Debug)]
struct Sent {
    edge: &'static str,
    upstream: Upstream,
    time: i64,
    rows: Vec<(String, u64)>,
    stamps: Stamps,
}

impl Sent {
    fn envelope(&self) -> Envelope {
        let Sent { edge, upstream, time, rows, stamps } = self;
        let chunk = if *edge == TEXTS {
            texts(rows.iter().map(|(text, _)| text.clone()))
        } else {
            Chunk::rows::<Pair>(rows.iter().map(|(text, n)| (text.as_str().into(), *n)).collect())
        };
        let chunk = chunk.stamped(stamps.clone());
        Envelope { time: BatchTime(*time), ..block(edge, upstream.clone(), chunk) }
    }
}

fn any_block() -> impl Strategy<Value = Sent> {
    let time = prop_oneof![TIME - 5_000..TIME + 5_000, any::<i64>()];
    let text = prop_oneof![9 => ".{0,12}", 1 => "[a-z]{120,140}"];
    let rows = prop::collection::vec((text, any::<u64>()), 1..9);
    let edge = prop_oneof![Just((PAIRS, 0)), Just((TEXTS, 0)), Just((CARRIED, 1))];
    (edge, time, rows)
        .prop_flat_map(|((edge, stage), time, rows)| {
            (Just((edge, time)), stamps(rows.len()), Just(rows), upstream(stage))
        })
        .prop_map(|((edge, time), stamps, rows, upstream)| Sent { edge, upstream, time, rows, stamps })
}

fn any_mark() -> impl Strategy<Value = Mark> {
    let upstream = prop_oneof![upstream(0), upstream(1), upstream(u32::MAX - 1)];
    (upstream, any::<i64>()).prop_map(|(upstream, time)| Mark { upstream, time: BatchTime(time) })
}

proptest! {
    #[test]
    fn random_records_come_back(
        blocks in prop::collection::vec(any_block(), 0..6),
        marks in prop::collection::vec(any_mark(), 0..4),
    ) {
        let blocks: Vec<Envelope> = blocks.iter().map(Sent::envelope).collect();
        let parts: Vec<Part> = written(&blocks, &marks).iter().flat_map(|r| read(&edges(), r).unwrap()).collect();
        let (rows, told) = shown_parts(&parts);
        prop_assert_eq!(rows, blocks.iter().flat_map(shown).collect::<Vec<_>>());
        prop_assert_eq!(told, marks);
    }

    #[test]
    fn random_damage_never_panics(
        blocks in prop::collection::vec(any_block(), 1..4),
        holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let edges = edges();
        let blocks: Vec<Envelope> = blocks.iter().map(Sent::envelope).collect();
        let mut record = written(&blocks, &[]).remove(0);
        for (at, byte) in holes {
            let at = 9 + at.index(record.len() - 9);
            record[at] = byte;
        }
        is_refused(&edges, &record);
        record.truncate(9 + cut.index(record.len() - 9));
        record.extend(&noise);
        is_refused(&edges, &record);
        is_refused(&edges, &noise);
    }
}
