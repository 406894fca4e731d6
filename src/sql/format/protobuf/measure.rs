//! How long an event takes in each format: figures to look at.

use crate::{
    codec::ProtobufSchema,
    sql::{
        format::{
            AvroWriter, CsvOptions, CsvWriter, JsonWriter, ProtobufOptions, ProtobufWriter, RecordFormat,
            RowReader, SchemaOptions,
        },
        rows::samples::{For, Samples},
    },
};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use std::sync::Arc;

const EVENT: &str = r#"syntax = "proto3"; message Event { int64 id = 1; string user = 2; double price = 3; int64 ts = 4;
    string item = 5; string page = 6; }"#;

fn columns() -> Vec<Field> {
    let of = |name: &str, data_type| Field::new(name, data_type, false);
    vec![
        of("id", DataType::Int64),
        of("user", DataType::Utf8),
        of("price", DataType::Float64),
        of("ts", DataType::Int64),
        of("item", DataType::Utf8),
        of("page", DataType::Utf8),
    ]
}

/// The events of the benchmarks.
fn events(n: u64) -> RecordBatch {
    let mut samples = Samples::new(1, For::Json);
    let mut rows = RowReader::new(RecordFormat::Json, columns()).unwrap().rows(8_192).unwrap();
    for id in 0..n {
        let (user, item, price) = (samples.below(10_000), samples.below(1_000), samples.below(10_000));
        let event = format!(
            "{{\"id\":{id},\"user\":\"user-{user:06}\",\"item\":\"item-{item:05}\",\"price\":{}.{:02},\"ts\":{},\"page\":\"/shop/catalog/section-{:02}/{}\"}}",
            price / 100,
            price % 100,
            1_795_984_500_000 + id,
            item % 100,
            "x".repeat(16),
        );
        rows.read(Some(event.as_bytes())).unwrap();
    }
    RecordBatch::try_new(Arc::new(Schema::new(columns())), rows.finish().unwrap()).unwrap()
}

/// How long this thread has been on a processor, in nanoseconds, as Linux counts it.
fn cpu_ns() -> u64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    counted.split(' ').next().unwrap().parse().unwrap()
}

/// The least CPU of seven runs, for each event.
fn least(events: usize, work: &mut dyn FnMut()) -> u64 {
    let times = (0..7).map(|_| {
        let start = cpu_ns();
        work();
        cpu_ns() - start
    });
    times.min().unwrap() / events as u64
}

/// How long an event of six fields takes in each format, in nanoseconds of CPU. A figure to look at, not a test.
#[test]
#[ignore = "it measures: run it alone, with optimisation"]
fn nanoseconds_for_each_event_of_a_format() {
    let rows = events(8_192);
    let all: Vec<usize> = (0..6).collect();
    let schema = ProtobufSchema::parse(EVENT, "Event").unwrap();
    let avro = SchemaOptions { has_local_times: false };
    let json = JsonWriter::new(rows.schema_ref(), all.clone()).unwrap();
    let csv = CsvWriter::new(CsvOptions::default(), rows.schema_ref(), all.clone()).unwrap();
    let avro_writer = AvroWriter::new(None, &columns(), all.clone(), avro).unwrap();
    let protobuf = ProtobufWriter::new(&schema, &columns(), all).unwrap();
    let names: Vec<String> = columns().iter().map(|column| column.name().clone()).collect();
    let formats = [
        ("JSON", RecordFormat::Json),
        ("CSV", RecordFormat::Csv(CsvOptions::default(), names)),
        ("Avro", RecordFormat::Avro(avro)),
        ("Protobuf", RecordFormat::Protobuf(schema, ProtobufOptions::default())),
    ];
    for (name, format) in formats {
        let write = |row: usize, out: &mut Vec<u8>| match name {
            "JSON" => json.encoder(&rows).unwrap().encode(row, out),
            "CSV" => csv.encoder(&rows).unwrap().encode(row, out),
            "Avro" => avro_writer.encoder(&rows).unwrap().encode(row, out),
            _ => protobuf.encoder(&rows).unwrap().encode(row, out),
        };
        let records: Vec<Vec<u8>> = (0..rows.num_rows())
            .map(|row| {
                let mut out = vec![];
                write(row, &mut out).unwrap();
                out
            })
            .collect();
        let bytes: usize = records.iter().map(Vec::len).sum();
        let times = 20;
        let mut out = Vec::with_capacity(bytes);
        let written = least(rows.num_rows() * times, &mut || {
            for _ in 0..times {
                out.clear();
                let row = 0..rows.num_rows();
                match name {
                    "JSON" => {
                        json.encoder(&rows).map(|of| row.for_each(|row| of.encode(row, &mut out).unwrap()))
                    }
                    "CSV" => {
                        csv.encoder(&rows).map(|of| row.for_each(|row| of.encode(row, &mut out).unwrap()))
                    }
                    "Avro" => avro_writer
                        .encoder(&rows)
                        .map(|of| row.for_each(|row| of.encode(row, &mut out).unwrap())),
                    _ => protobuf
                        .encoder(&rows)
                        .map(|of| row.for_each(|row| of.encode(row, &mut out).unwrap())),
                }
                .unwrap();
            }
        });
        let read = |wanted: usize| {
            let reader = RowReader::new(format.clone(), columns()[..wanted].to_vec()).unwrap();
            least(rows.num_rows() * times, &mut || {
                for _ in 0..times {
                    let mut into = reader.rows(records.len()).unwrap();
                    records.iter().for_each(|record| into.read(Some(record)).unwrap());
                    assert_eq!(into.finish().unwrap()[0].len(), records.len());
                }
            })
        };
        // Avro without a registry has the schema of the columns.
        let two = if name == "Avro" { "-".to_owned() } else { read(2).to_string() };
        println!(
            "{name}: {} bytes, read all {} ns, read 2 of 6 {two} ns, write {written} ns",
            bytes / records.len(),
            read(6)
        );
    }
}
