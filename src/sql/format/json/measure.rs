//! How long JSON takes: figures to look at.

use super::{tests::optional, *};
use crate::sql::{
    format::JsonWriter,
    rows::{
        KeyFormat, KeyTable, RowFormat,
        samples::{For, Samples},
    },
};
use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, Schema},
};
use std::sync::Arc;

/// The events of the benchmarks.
fn events(n: u64) -> Vec<String> {
    let mut samples = Samples::new(1, For::Json);
    let event = |id| {
        let (user, item, price) = (samples.below(10_000), samples.below(1_000), samples.below(10_000));
        format!(
            "{{\"id\":{id},\"user\":\"user-{user:06}\",\"item\":\"item-{item:05}\",\"price\":{}.{:02},\"ts\":{},\"page\":\"/shop/catalog/section-{:02}/{}\"}}",
            price / 100,
            price % 100,
            1_795_984_500_000 + id,
            item % 100,
            "x".repeat(16),
        )
    };
    (0..n).map(event).collect()
}

/// How long this thread has been on a processor, in nanoseconds, as Linux counts it.
fn cpu_ns() -> u64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    counted.split(' ').next().unwrap().parse().unwrap()
}

/// How long an event takes, in nanoseconds: read, written, as a key and as a value. A figure to look at, not a test.
#[test]
#[ignore = "it measures: run it alone, with optimisation"]
#[allow(clippy::redundant_clone, clippy::too_many_lines, reason = "each part measures its own copy")]
fn nanoseconds_for_each_event() {
    let events = events(500_000);
    let bytes: usize = events.iter().map(String::len).sum();
    println!("{} bytes each: {}", bytes / events.len(), events[7]);
    let all = [
        optional("id", DataType::Int64),
        optional("user", DataType::Utf8),
        optional("price", DataType::Float64),
        optional("ts", DataType::Int64),
        optional("item", DataType::Utf8),
        optional("page", DataType::Utf8),
    ];
    let per_event = |what: &str, work: &mut dyn FnMut()| {
        let least = (0..7).map(|_| {
            let start = cpu_ns();
            work();
            cpu_ns() - start
        });
        println!("{what}: {} ns", least.min().unwrap() / events.len() as u64);
    };
    for wanted in [2, 4, 6] {
        let reader = JsonReader::new(all[..wanted].to_vec()).unwrap();
        per_event(&format!("read {wanted} of 6"), &mut || {
            for chunk in events.chunks(8_192) {
                let mut rows = reader.rows(chunk.len()).unwrap();
                chunk.iter().for_each(|event| rows.read(event.as_bytes()).unwrap());
                assert_eq!(rows.finish().unwrap()[0].len(), chunk.len());
            }
        });
        let schema = Arc::new(Schema::new(all[..wanted].to_vec()));
        per_event(&format!("arrow-json {wanted} of 6"), &mut || {
            for chunk in events.chunks(8_192) {
                let mut decoder = arrow_json::ReaderBuilder::new(schema.clone())
                    .with_batch_size(8_192)
                    .build_decoder()
                    .unwrap();
                for event in chunk {
                    decoder.decode(event.as_bytes()).unwrap();
                }
                assert_eq!(decoder.flush().unwrap().unwrap().num_rows(), chunk.len());
            }
        });
    }
    let reader = JsonReader::new(all[..4].to_vec()).unwrap();
    let mut rows = reader.rows(events.len()).unwrap();
    events.iter().for_each(|event| rows.read(event.as_bytes()).unwrap());
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(all[..4].to_vec())), rows.finish().unwrap()).unwrap();
    let writer = JsonWriter::new(batch.schema_ref(), 0..4).unwrap();
    let mut out = Vec::with_capacity(bytes);
    per_event("write 4 fields", &mut || {
        out.clear();
        let encoder = writer.encoder(&batch).unwrap();
        (0..batch.num_rows()).for_each(|row| encoder.encode(row, &mut out).unwrap());
    });
    for columns in [&batch.columns()[1..2], &batch.columns()[..2]] {
        let format = KeyFormat::new(columns.iter().map(Array::data_type)).unwrap();
        per_event(&format!("key of {} columns", columns.len()), &mut || {
            let encoder = format.encoder(columns).unwrap();
            out.clear();
            (0..batch.num_rows()).for_each(|row| encoder.encode(row, &mut out));
        });
        per_event(&format!("key of {} columns into the table", columns.len()), &mut || {
            let (encoder, mut keys, mut key) =
                (format.encoder(columns).unwrap(), KeyTable::default(), vec![]);
            for row in 0..batch.num_rows() {
                key.clear();
                encoder.encode(row, &mut key);
                keys.insert(&key);
            }
        });
    }
    let format = RowFormat::of_schema(batch.schema_ref()).unwrap();
    let mut ends = vec![];
    per_event("value of 4 columns", &mut || {
        out.clear();
        ends.clear();
        let encoder = format.encoder(1, batch.columns()).unwrap();
        for row in 0..batch.num_rows() {
            encoder.encode(row, &mut out);
            ends.push(out.len());
        }
    });
    per_event("4 columns of a value", &mut || {
        let (mut decoder, mut start) = (format.decoder(1, ends.len()).unwrap(), 0);
        for end in &ends {
            decoder.push(&out[start..*end]).unwrap();
            start = *end;
        }
        assert_eq!(decoder.finish().unwrap()[0].len(), ends.len());
    });
}
