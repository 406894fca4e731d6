//! What is durable in a program: names of stores and edges, formats on the exchange topic, and the plan as it is
//! printed.

use expect_test::expect;
use tidegate::{
    Config, DStream, StreamingContext, Text,
    codec::{AsText, Utf8},
    operator::{ExchangeFormat, Pairs, RowReader, RowWriter, Rows},
    plan::{Fingerprint, Topology},
    record::Chunk,
};

fn plan(build: impl FnOnce(&StreamingContext)) -> Topology {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    build(&ssc);
    ssc.topology()
}

fn words(ssc: &StreamingContext) -> DStream<(Text, u64)> {
    ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| (word, 1))
}

#[test]
fn the_word_count_explained() {
    let plan = plan(|ssc| {
        let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
        let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
        counts.to_kafka("counts", Utf8, AsText);
    });
    expect![[r#"
        stage 0, one task per source partition
           0  source lines
           1  flat_map  <- 0
           2  filter  <- 1
           3  map  <- 2
           4  by_key (lines.running_reduce_by_key.exchange)  <- 3
        stage 1, one task per state partition
           5  running_reduce_by_key  <- 4  [store lines.running_reduce_by_key: table str -> u64]
           6  to_kafka counts  <- 5
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn stateless_operations_change_no_durable_name() {
    let short = plan(|ssc| {
        let counts = words(ssc).running_reduce_by_key(|a, b| a + b);
        counts.map(|(word, n)| (n, word)).reduce_by_key(|a, _| a).print();
    });
    let long = plan(|ssc| {
        let words = ssc.text("lines").map(|l| l).flat_map(|line| line.split(' ')).filter(|w| !w.is_empty());
        words.print();
        let counts = words.map(|word| (word, 1u64)).map_values(|n| n + 1).running_reduce_by_key(|a, b| a + b);
        counts
            .map_values(|n| n * 2)
            .filter(|_| true)
            .map(|(word, n)| (n, word))
            .reduce_by_key(|a, _| a)
            .print();
    });
    let print = Fingerprint::of(&short, 8);
    assert_eq!(print, Fingerprint::of(&long, 8));
    expect![[r#"
        Fingerprint {
            state_partitions: 8,
            placement: "xxh3/1",
            source_placement: "sources/1",
            stores: {
                "lines.running_reduce_by_key": "table str -> u64",
            },
            edges: {
                "lines.running_reduce_by_key.exchange": "(str,u64)",
                "lines.running_reduce_by_key.reduce_by_key.exchange": "(u64,str)",
            },
            store_placements: {
                "lines.running_reduce_by_key": Key,
            },
        }
    "#]]
    .assert_debug_eq(&print);
    expect!["c400a79b93a585f4"].assert_eq(&print.short());
}

#[test]
fn a_name_given_by_the_user_replaces_the_derived_one() {
    let plan = plan(|ssc| {
        let counts = words(ssc).running_reduce_by_key(|a, b| a + b).named("counts");
        counts.map(|(word, n)| (n, word)).update_state_by_key(|_, s: Option<u8>| s).print();
    });
    let print = Fingerprint::of(&plan, 8);
    assert_eq!(print.stores.keys().collect::<Vec<_>>(), ["counts", "counts.update_state_by_key"]);
    assert_eq!(
        print.edges.keys().collect::<Vec<_>>(),
        ["counts.exchange", "counts.update_state_by_key.exchange"]
    );
}

fn encoded(format: &dyn ExchangeFormat, chunk: &Chunk) -> Vec<u8> {
    let mut out = vec![];
    format.encode(chunk, &mut RowWriter::new(&mut out)).unwrap();
    out
}

fn decoded(format: &dyn ExchangeFormat, bytes: &[u8], rows: usize) -> tidegate::Result<Chunk> {
    format.decode(&mut RowReader::new(bytes, rows))
}

fn bytes_of(format: &dyn ExchangeFormat, chunk: &Chunk) -> String {
    let hex = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
        None => "-".into(),
    };
    let bytes = encoded(format, chunk);
    let rows = RowReader::new(&bytes, chunk.len()).map(Result::unwrap);
    let lines = rows.map(|r| format!("{} | {}\n", hex(r.key), hex(r.value)));
    format!("{}\n{}", format.name(), lines.collect::<String>())
}

#[test]
fn rows_on_the_exchange_topic_have_these_bytes_and_come_back() {
    let pairs: Vec<(Text, Option<i64>)> =
        vec![("a".into(), Some(-2)), ("".into(), None), ("\0ä".into(), Some(300))];
    let format = Pairs::<Text, Option<i64>>::default();
    let chunk = Chunk::rows(pairs.clone());
    expect![[r#"
        (str,i64?)
        61 00 00 | 01 01 03
        00 00 | 01 00
        00 ff c3 a4 00 00 | 01 01 d8 04
    "#]]
    .assert_eq(&bytes_of(&format, &chunk));
    let back = decoded(&format, &encoded(&format, &chunk), pairs.len()).unwrap();
    assert_eq!(back.take::<Vec<(Text, Option<i64>)>>(), pairs);

    let rows: Vec<(u64, Vec<String>)> = vec![(7, vec!["x".into(), String::new()]), (u64::MAX, vec![])];
    let format = Rows::<(u64, Vec<String>)>::default();
    let chunk = Chunk::rows(rows.clone());
    expect![[r#"
        (u64,[str])
        - | 01 07 02 01 78 00
        - | 01 ff ff ff ff ff ff ff ff ff 01 00
    "#]]
    .assert_eq(&bytes_of(&format, &chunk));
    let back = decoded(&format, &encoded(&format, &chunk), rows.len()).unwrap();
    assert_eq!(back.take::<Vec<(u64, Vec<String>)>>(), rows);
}

#[test]
fn rows_in_another_format_are_refused() {
    let bytes = b"\x0dno key bytes\x02\x09";
    let row = RowReader::new(bytes, 1).next().unwrap().unwrap();
    assert_eq!((row.key, row.value), (Some(&b"no key bytes"[..]), Some(&[9][..])));
    assert!(decoded(&Pairs::<Text, u64>::default(), bytes, 1).is_err());
    assert!(decoded(&Rows::<u64>::default(), bytes, 1).is_err());
}
