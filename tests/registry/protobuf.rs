//! Programs and scripts over topics in Protobuf, with schemas in the registry, and Java's own Protobuf as the other side.

use crate::{
    peer,
    proxy::Proxy,
    registry,
    running::{log_of, put, run, values},
    server, unique,
};
use prost::Message;
use prost_reflect::ReflectMessage;
use std::{fs, io::Write};
use tempfile::NamedTempFile;
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext,
    codec::{DynamicProtobufReader, Encode, ProtobufReader, ProtobufSchema, ProtobufWriter},
    registry::{Registry, RegistryConfig, Schema, SchemaKind, Subject},
    sql::{Script, SourceText},
};

const ORDERS: &str = r#"syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Payment { int64 cents = 1; }
message Order {
  int64 id = 1;
  optional string note = 2;
  repeated sint32 ns = 3;
  map<string, double> prices = 4;
  Kind kind = 5;
  google.protobuf.Timestamp at = 6;
  oneof how { Payment paid = 7; bool free = 8; }
  message Line { string text = 1; }
  repeated Line lines = 9;
}
enum Kind { NONE = 0; LARGE = 1; }
"#;

#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, optional, tag = "2")]
    note: Option<String>,
    #[prost(sint32, repeated, tag = "3")]
    ns: Vec<i32>,
}

fn order(id: i64) -> Order {
    Order { id, note: (id % 2 == 1).then(|| format!("note {id}")), ns: vec![-1, 300] }
}

fn encoded(writer: &ProtobufWriter, order: &Order) -> Vec<u8> {
    let mut out = vec![];
    writer.encode(order, &mut out).unwrap();
    out
}

fn sorted_texts(log: &dyn tidegate::log::Log, topic: &str) -> Vec<String> {
    let rows = values(log, topic, "").into_iter().map(|(value, _)| String::from_utf8(value).unwrap());
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    rows
}

/// A descriptor set of everything that a message needs.
fn descriptor_set(schema: &ProtobufSchema) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&schema.descriptor().parent_pool().encode_to_vec()).unwrap();
    file
}

#[test]
fn messages_are_read_and_written_and_poison_costs_only_itself() {
    let proxy = Proxy::new(server::address());
    let registry = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    let name = unique("protobuf");
    let subject = Subject::new(format!("{name}-value"));
    let (config, log) = log_of(&name, &["orders", "copies"]);
    let schema = ProtobufSchema::parse(ORDERS, "shop.Order").unwrap();
    let writer = ProtobufWriter::register(&registry, &subject, &schema).unwrap();
    assert!(ProtobufWriter::latest(&registry, &subject, "shop.Order").is_ok());
    let told = ProtobufWriter::latest(&registry, &subject, "shop.Odrer").unwrap_err().to_string();
    assert!(
        told.contains("there is no message `shop.Odrer` in it, but `shop.Payment`, `shop.Order`"),
        "{told}"
    );
    let good = encoded(&writer, &order(1));
    assert_eq!(good[5..8], [2, 2, 8], "the second message of its file");
    let payment = [&good[..5], &[0, 8, 1]].concat();
    let unknown = [&[0, 0x7f, 0xff, 0xff, 0xfd], &good[5..]].concat();
    let poison: [(&[u8], &str); 6] = [
        (&good[..good.len() - 1], "not a message `shop.Order`, schema"),
        (&payment, "it is a message `shop.Payment`, not `shop.Order`"),
        (&[&good[..5], &[2, 18]].concat(), "it has no message number 9"),
        (&good[..5], "ends within the message indexes"),
        (b"{\"id\":1}", "0x7b"),
        (&unknown, "schema 2147483645"),
    ];
    let mut all: Vec<&[u8]> = vec![];
    for (bad, _) in poison {
        all.extend([&good[..], bad]);
    }
    put(log.as_ref(), "orders", 0, &all);
    let registered = proxy.requests("POST");
    run(config, |ssc| {
        let options = SourceOptions::topic("orders").on_bad_record(BadRecordPolicy::DeadLetter);
        let orders = ssc.source::<Order>(options, ProtobufReader::new(&registry, "shop.Order"));
        orders.map(|order| Order { id: order.id + 1, ..order }).to_kafka_values("copies", writer.clone());
    });
    assert_eq!(proxy.requests("POST"), registered, "nothing is registered per record");
    let letters = values(log.as_ref(), &format!("{name}-dlq"), "__tidegate.errors.message");
    assert_eq!(letters.len(), poison.len());
    for (bad, told) in poison {
        let (_, why) = letters.iter().find(|(value, _)| value == bad).expect("it is as it came");
        assert!(why.contains(told), "{told}: {why}");
    }
    let copies: Vec<Vec<u8>> =
        values(log.as_ref(), "copies", "").into_iter().map(|(value, _)| value).collect();
    assert_eq!(copies, vec![encoded(&writer, &Order { id: 2, ..order(1) }); 6]);
    // A program that knows no type reads them too.
    let (mut config, _) = log_of(&name, &[]);
    config.application_id = format!("{name}-back");
    run(config, |ssc| {
        let copies = ssc.source(SourceOptions::topic("copies"), DynamicProtobufReader::new(&registry));
        copies
            .map(|copy| {
                format!("{} {}", copy.descriptor().full_name(), copy.get_field_by_name("note").unwrap())
            })
            .to_kafka_values("notes", tidegate::codec::AsText);
    });
    assert_eq!(sorted_texts(log.as_ref(), "notes"), vec!["shop.Order \"note 1\""; 6]);
}

#[test]
fn files_that_are_imported_are_registered_and_fetched() {
    let (there, name) = (registry(), unique("imports"));
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(&name)).unwrap();
    let write = |file: &str, text: &str| {
        let path = dir.path().join(file);
        fs::write(&path, text).unwrap();
        path
    };
    write(&format!("{name}/unit.proto"), "syntax = \"proto3\"; package a; message Unit { string name = 1; }");
    let import = |file: &str| format!("import \"{name}/{file}\";");
    let text = format!(
        "syntax = \"proto3\"; package a; {} message Money {{ int64 cents = 1; Unit unit = 2; }}",
        import("unit.proto")
    );
    write(&format!("{name}/money.proto"), &text);
    let text = format!(
        "syntax = \"proto3\"; package a; {} message Cart {{ map<string, Money> prices = 1; }}",
        import("money.proto")
    );
    let file = write("cart.proto", &text);
    let schema = ProtobufSchema::from_file(&file, "a.Cart").unwrap();
    let subject = Subject::new(format!("{name}-value"));
    let writer = ProtobufWriter::register(&there, &subject, &schema).unwrap();
    let (_, newest) = there.latest(&subject).unwrap();
    assert_eq!(newest.references()[0].name, format!("{name}/money.proto"));
    // By hand: an entry "x": Money { cents: 5, unit: Unit { name: "EUR" } }.
    let mut record = vec![];
    writer.encode(&Order::default(), &mut record).unwrap();
    record.extend(b"\x0a\x0e\x0a\x01x\x12\x09\x08\x05\x12\x05\x0a\x03EUR");
    let (config, log) = log_of(&name, &["carts"]);
    put(log.as_ref(), "carts", 0, &[&record]);
    let script = format!(
        "CREATE TABLE carts (prices MAP<STRING, ROW<cents BIGINT, unit ROW<name STRING>>>) WITH (
             'connector' = 'kafka', 'topic' = 'carts', 'format' = 'protobuf-confluent', 'protobuf-confluent.url' = '{}');
         CREATE TABLE shown (prices MAP<STRING, ROW<cents BIGINT, unit ROW<name STRING>>>) WITH (
             'connector' = 'kafka', 'topic' = 'shown', 'format' = 'json');
         INSERT INTO shown SELECT prices FROM carts;",
        server::url()
    );
    let script = Script::parse(SourceText::new("test.sql", script)).unwrap_or_else(|e| panic!("{e}"));
    run(config, |ssc: &StreamingContext| ssc.sql(&script));
    assert_eq!(
        sorted_texts(log.as_ref(), "shown"),
        [r#"{"prices":{"x":{"cents":5,"unit":{"name":"EUR"}}}}"#]
    );
}

#[test]
fn java_and_a_script_read_what_the_other_writes() {
    let (there, name) = (registry(), unique("protobuf-java"));
    let subject = Subject::new(format!("{name}-orders"));
    let id = there.register(&subject, &Schema::new(SchemaKind::Protobuf, ORDERS)).unwrap();
    let schema = ProtobufSchema::parse(ORDERS, "shop.Order").unwrap();
    let set = descriptor_set(&schema);
    let set = set.path().to_str().unwrap();
    let orders = r#"{"id":"7","note":"","ns":[-1,300],"prices":{"x":1.5},"kind":"LARGE","at":"2026-01-02T03:04:05.006Z","paid":{"cents":"9"},"lines":[{"text":"a"},{}]}
{"free":true}
"#;
    let prefix = format!("00{:08x}0202", id.0);
    let written = peer::java("ProtobufPeer.java", &["write", set, "shop.Order", &prefix], orders);
    let (config, log) = log_of(&name, &["orders"]);
    let records: Vec<Vec<u8>> = written.iter().map(|line| peer::bytes(line)).collect();
    put(log.as_ref(), "orders", 0, &records.iter().map(|record| &record[..]).collect::<Vec<_>>());
    let url = server::url();
    let columns = "id BIGINT NOT NULL, note STRING, ns ARRAY<INT>, prices MAP<STRING, DOUBLE>, kind STRING NOT NULL,
        `at` TIMESTAMP(3), paid ROW<cents BIGINT NOT NULL>, free BOOLEAN, lines ARRAY<ROW<text STRING NOT NULL>>";
    let script = format!(
        "CREATE TABLE orders ({columns}) WITH ('connector' = 'kafka', 'topic' = 'orders',
             'format' = 'protobuf-confluent', 'protobuf-confluent.url' = '{url}', 'protobuf-confluent.message' = 'shop.Order');
         CREATE TABLE shown ({columns}) WITH ('connector' = 'kafka', 'topic' = '{name}-shown', 'format' = 'json');
         CREATE TABLE copies ({columns}) WITH ('connector' = 'kafka', 'topic' = '{name}-copies', 'format' = 'protobuf-confluent',
             'protobuf-confluent.url' = '{url}', 'protobuf-confluent.message' = 'shop.Order', 'protobuf-confluent.schema' = '{ORDERS}');
         CREATE TABLE own (id BIGINT NOT NULL, `at` TIMESTAMP(3), tags ARRAY<STRING>) WITH ('connector' = 'kafka', 'topic' = '{name}-own',
             'format' = 'protobuf-confluent', 'protobuf-confluent.url' = '{url}', 'key.format' = 'protobuf-confluent', 'key.fields' = 'id',
             'key.protobuf-confluent.url' = '{url}');
         INSERT INTO shown SELECT * FROM orders;
         INSERT INTO copies SELECT * FROM orders;
         INSERT INTO own SELECT id, `at`, array[note, 'x'] FROM orders WHERE note IS NOT NULL;"
    );
    let script = Script::parse(SourceText::new("test.sql", script)).unwrap_or_else(|e| panic!("{e}"));
    run(config, |ssc: &StreamingContext| ssc.sql(&script));
    let shown = [
        r#"{"id":0,"note":null,"ns":[],"prices":{},"kind":"NONE","at":null,"paid":null,"free":true,"lines":[]}"#,
        r#"{"id":7,"note":"","ns":[-1,300],"prices":{"x":1.5},"kind":"LARGE","at":"2026-01-02T03:04:05.006Z","paid":{"cents":9},"free":null,"lines":[{"text":"a"},{"text":""}]}"#,
    ];
    assert_eq!(sorted_texts(log.as_ref(), &format!("{name}-shown")), shown);
    // What we write is byte for byte what Java wrote, but for the id: it is under another subject.
    let copies: Vec<Vec<u8>> =
        values(log.as_ref(), &format!("{name}-copies"), "").into_iter().map(|(value, _)| value).collect();
    let sorted = |records: &[Vec<u8>]| {
        let mut bodies: Vec<Vec<u8>> = records.iter().map(|record| record[5..].to_vec()).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(sorted(&copies), sorted(&records));
    let mut read = peer::java("ProtobufPeer.java", &["read", set, "shop.Order", "7"], &peer::hex(&copies));
    read.sort_by_key(|line| line.contains("free"));
    assert_eq!(format!("{}\n{}\n", read[0], read[1]), orders);
    let (_, own) = there.latest(&Subject::new(format!("{name}-own-value"))).unwrap();
    let own = ProtobufSchema::parse(own.text(), "own").unwrap();
    let set = descriptor_set(&own);
    let set = set.path().to_str().unwrap();
    let rows: Vec<Vec<u8>> =
        values(log.as_ref(), &format!("{name}-own"), "").into_iter().map(|(value, _)| value).collect();
    let read = peer::java("ProtobufPeer.java", &["read", set, "own", "6"], &peer::hex(&rows));
    assert_eq!(read, [r#"{"id":"7","at":"2026-01-02T03:04:05.006Z","tags":["","x"]}"#]);
}
