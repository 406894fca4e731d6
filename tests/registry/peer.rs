//! Java's own Avro writes what we read, and reads what we write.

use crate::{NEW, Order, framed, order, registry, server, unique};
use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::NamedTempFile;
use tidegate::{
    codec::{AvroReader, BadRecord, Decode},
    record::RawChunkBuilder,
    registry::{Schema, SchemaId, SchemaKind, Subject},
};

/// Runs a Java program, and gives the lines that it prints.
pub fn java(program: &str, args: &[&str], input: &str) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry").join(program);
    let mut child = Command::new(server::java())
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &server::class_path()])
        .arg(source)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Records that Java writes, each behind this id.
pub fn write(schema: &str, id: SchemaId, count: usize) -> Vec<Vec<u8>> {
    let file = file_of(schema);
    let lines =
        java("Peer.java", &["write", file.path().to_str().unwrap(), &id.to_string(), &count.to_string()], "");
    lines.iter().map(|line| bytes(line)).collect()
}

/// What Java reads from these values: the id and the record.
pub fn read(schema: &str, values: &[Vec<u8>]) -> Vec<String> {
    let hex = hex(values);
    java("Peer.java", &["read", file_of(schema).path().to_str().unwrap()], &hex)
}

/// A line for each value.
pub fn hex(values: &[Vec<u8>]) -> String {
    let mut hex = String::new();
    for value in values {
        value.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        hex.push('\n');
    }
    hex
}

fn file_of(schema: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), schema).unwrap();
    file
}

pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

#[test]
fn java_writes_what_we_read_and_reads_what_we_write() {
    let (registry, name) = (registry(), unique("java"));
    let subject = Subject::new(format!("{name}-value"));
    let id = registry.register(&subject, &Schema::new(SchemaKind::Avro, NEW)).unwrap();

    let mut records = RawChunkBuilder::default();
    for record in write(NEW, id, 5) {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(&record);
            Ok::<_, ()>(true)
        };
        records.push_with(0, None, write).unwrap();
    }
    let (mut good, mut bad): (Vec<Order>, Vec<BadRecord>) = (vec![], vec![]);
    AvroReader::new(&registry).decode(&records.build(), &mut good, &mut bad);
    assert_eq!(bad, []);
    let note = |n: i64| (n % 2 == 1).then(|| format!("note {n}"));
    let expected: Vec<Order> = (0..5i32)
        .map(|n| Order { price: f64::from(n) * 0.5, ..order(n.into(), note(n.into()).as_deref()) })
        .collect();
    assert_eq!(good, expected);

    let ours = expected.iter().map(|order| framed(&registry, &subject.to_string(), NEW, order));
    let read = read(NEW, &ours.collect::<Vec<_>>());
    assert_eq!(read.len(), 5);
    assert_eq!(read[3], format!(r#"{id} {{"id": 3, "user": "user 3", "price": 1.5, "note": "note 3"}}"#));
    assert_eq!(read[0], format!(r#"{id} {{"id": 0, "user": "user 0", "price": 0.0, "note": null}}"#));
}
