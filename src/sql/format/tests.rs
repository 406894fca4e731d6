//! Records that become rows, and those that do not.

use super::*;
use crate::{
    codec::BadRecord,
    record::{Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, TopicPartition},
    source::DecodeChunk,
    sql::{Delta, MetadataKey, Payload},
};
use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType},
};
use std::sync::Arc;

/// Key, value and timestamp.
type Sample<'a> = (Option<&'a str>, Option<&'a [u8]>, i64);

fn records(all: &[Sample<'_>]) -> RawChunk {
    let mut builder = RawChunkBuilder::default();
    for (key, value, timestamp_ms) in all {
        let key = key.map(str::as_bytes);
        let (offset, timestamp_ms) = (Offset(0), *timestamp_ms);
        builder.push(RawRecord { offset, timestamp_ms, key, value: *value, headers: Headers::NONE });
    }
    let at = TopicPartition { topic: "events".into(), partition: Partition(3) };
    builder.build().placed(Offset(40), 0).from_partition(&at)
}

fn decoded(decoder: &RecordDecoder, records: &RawChunk) -> (RecordBatch, Vec<BadRecord>) {
    let (chunk, bad) = decoder.decode(records);
    assert_eq!(chunk.len() + bad.len(), records.len());
    let Payload::Rows(Delta { rows, weights: None }) = chunk.take::<Payload>() else {
        panic!("rows without weights")
    };
    (rows, bad)
}

fn value(name: &str, data_type: DataType) -> RecordColumn {
    RecordColumn::Value(Field::new(name, data_type, true))
}

#[test]
fn columns_of_values_keys_and_the_log_come_in_declared_order() {
    let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
    let metadata =
        |key, name: &str, data_type| RecordColumn::Metadata(key, Field::new(name, data_type, true));
    let columns = vec![
        metadata(MetadataKey::Offset, "at", DataType::Int64),
        value("a", DataType::Int64),
        metadata(MetadataKey::Topic, "topic", DataType::Utf8),
        RecordColumn::Key(Field::new("user", DataType::Utf8, false)),
        metadata(MetadataKey::Timestamp, "ts", ms),
        value("b", DataType::Utf8),
        metadata(MetadataKey::Partition, "p", DataType::Int32),
    ];
    let decoder =
        RecordDecoder::new(columns, Changes::Additions(RecordFormat::Json), RecordFormat::Raw).unwrap();
    let (rows, bad) = decoded(
        &decoder,
        &records(&[
            (Some("ada"), Some(br#"{"a":1,"b":"x"}"#), 7),
            (None, Some(br#"{"a":2}"#), 8),
            (Some("bob"), Some(br#"{"a":"#), 9),
            (Some("bob"), None, 9),
            (Some("eve"), Some(br#"{"b":"z"}"#), 10),
        ]),
    );
    let reasons: Vec<_> = bad.iter().map(|bad| (bad.index, bad.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (1, "key: it is null, and its column is NOT NULL"),
            (2, "value: field `a` at byte 5: expected an integer, found the end"),
            (3, "value: it is null, which is no object of JSON"),
        ]
    );
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["at", "a", "topic", "user", "ts", "b", "p"]);
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[40, 44]);
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(rows.column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("events"); 2]);
    assert_eq!(rows.column(3).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ada"), Some("eve")]);
    assert_eq!(rows.column(4).as_primitive::<TimestampMillisecondType>().values(), &[7, 10]);
    assert_eq!(rows.column(5).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), Some("z")]);
    assert_eq!(rows.column(6).as_primitive::<Int32Type>().values(), &[3, 3]);
}

#[test]
fn headers_are_a_map_with_the_last_value_of_each_name() {
    let mut builder = RawChunkBuilder::default();
    let headers = Headers::NONE;
    let record = |value| RawRecord { offset: Offset(0), timestamp_ms: 1, key: None, value, headers };
    builder.push(record(Some(b"{}")));
    for (name, value) in [("trace", Some(&b"1"[..])), ("none", None), ("trace", Some(b"2"))] {
        builder.push_header(name, value);
    }
    builder.push(record(Some(b"{")));
    builder.push_header("lost", Some(b"x"));
    builder.push(record(Some(b"{}")));
    let entries = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into(),
    );
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    let column = RecordColumn::Metadata(MetadataKey::Headers, Field::new("h", map, false));
    let decoder =
        RecordDecoder::new(vec![column], Changes::Additions(RecordFormat::Json), RecordFormat::Json).unwrap();
    let (rows, bad) = decoded(&decoder, &builder.build());
    assert_eq!((rows.num_rows(), bad.len()), (2, 1));
    let map = rows.column(0).as_map();
    assert_eq!((map.value_length(0), map.value_length(1)), (2, 0));
    assert_eq!(map.keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["trace", "none"]);
    let values: Vec<_> = map.values().as_binary::<i32>().iter().collect();
    assert_eq!(values, [Some(&b"2"[..]), None]);
}

#[test]
fn without_columns_records_are_only_counted() {
    let decoder =
        RecordDecoder::new(vec![], Changes::Additions(RecordFormat::Json), RecordFormat::Json).unwrap();
    let (rows, bad) = decoded(
        &decoder,
        &records(&[(None, Some(b"{}"), 1), (None, Some(b"{"), 1), (None, Some(b"{\"a\":[]}"), 1)]),
    );
    assert_eq!((rows.num_rows(), rows.num_columns(), bad.len()), (2, 0, 1));
}

#[test]
fn raw_records_are_strings_or_bytes() {
    let of = |data_type| {
        RecordDecoder::new(
            vec![value("line", data_type)],
            Changes::Additions(RecordFormat::Raw),
            RecordFormat::Raw,
        )
        .unwrap()
    };
    let all = records(&[
        (None, Some("é".as_bytes()), 1),
        (None, Some(b"a\xff"), 1),
        (None, None, 1),
        (None, Some(b""), 1),
    ]);
    let (rows, bad) = decoded(&of(DataType::Utf8), &all);
    assert_eq!(rows.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("é"), None, Some("")]);
    assert_eq!(bad, [BadRecord { index: 1, reason: "value: at byte 1: it is not UTF-8".into() }]);
    let (rows, bad) = decoded(&of(DataType::Binary), &all);
    let expected = [Some("é".as_bytes()), Some(b"a\xff"), None, Some(b"")];
    assert_eq!(rows.column(0).as_binary::<i32>().iter().collect::<Vec<_>>(), expected);
    assert!(bad.is_empty());
    assert!(
        RecordDecoder::new(
            vec![value("n", DataType::Int64)],
            Changes::Additions(RecordFormat::Raw),
            RecordFormat::Raw
        )
        .is_err()
    );
}

#[test]
fn metadata_of_another_type_is_refused() {
    let column = RecordColumn::Metadata(MetadataKey::Timestamp, Field::new("ts", DataType::Utf8, true));
    let refused =
        RecordDecoder::new(vec![column], Changes::Additions(RecordFormat::Json), RecordFormat::Json)
            .err()
            .unwrap();
    let expected = "column `ts`: METADATA FROM 'timestamp' is of type TIMESTAMP(3), TIMESTAMP_LTZ(3), or BIGINT for milliseconds, not Utf8";
    assert_eq!(refused, expected);
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn written(rows: &RecordBatch) -> Vec<Result<String, String>> {
    let writer = JsonWriter::new(rows.schema_ref(), 0..rows.num_columns()).unwrap();
    let encoder = writer.encoder(rows).unwrap();
    let one = |row| {
        let mut out = b"before ".to_vec();
        let written = encoder.encode(row, &mut out);
        assert!(written.is_ok() || out == b"before ", "nothing is left of a row that has no JSON");
        written.map(|()| String::from_utf8(out[7..].to_vec()).unwrap())
    };
    (0..rows.num_rows()).map(one).collect()
}

#[test]
fn values_are_written_as_documented() {
    let decimals = |values: Vec<i128>, scale| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(10, scale).unwrap()) as ArrayRef
    };
    let rows = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![Some(-1), None])) as ArrayRef),
        ("t\"", Arc::new(StringArray::from(vec!["a\"\\\u{1}\n", "é😀"]))),
        ("x", Arc::new(Float64Array::from(vec![1.0, 1e300]))),
        ("y", Arc::new(Float32Array::from(vec![0.1, -0.0]))),
        ("d", decimals(vec![-5, 12345], 2)),
        ("e", decimals(vec![0, -7], -2)),
        ("b", Arc::new(BinaryArray::from(vec![&b"\x00\x01\xff\xfe"[..], b""]))),
        ("day", Arc::new(Date32Array::from(vec![-1, 20_786]))),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![1_795_984_500_123, 1_795_984_500_000]))),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![1, 1_000]).with_timezone("UTC"))),
    ]);
    let expected = [
        r#"{"n":-1,"t\"":"a\"\\\u0001\n","x":1.0,"y":0.1,"d":-0.05,"e":0,"b":"AAH//g==","day":"1969-12-31","ms":"2026-11-29T20:35:00.123Z","us":"1970-01-01T00:00:00.000001Z"}"#,
        r#"{"n":null,"t\"":"é😀","x":1e+300,"y":-0.0,"d":123.45,"e":-700,"b":"","day":"2026-11-29","ms":"2026-11-29T20:35:00Z","us":"1970-01-01T00:00:00.001Z"}"#,
    ];
    assert_eq!(written(&rows).into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
}

#[test]
fn what_json_has_no_form_for_is_an_error_of_its_row() {
    let rows = batch(vec![
        ("x", Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, 1.5, 0.5])) as ArrayRef),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![0, 0, i64::MAX, 0]))),
    ]);
    let written = written(&rows);
    assert_eq!(written[0], Err("\"x\": JSON has no number for NaN".into()));
    assert_eq!(written[1], Err("\"x\": JSON has no number for -inf".into()));
    assert_eq!(written[2], Err("\"ms\": 9223372036854775807 is a time too far away to be written".into()));
    assert_eq!(written[3].as_deref(), Ok(r#"{"x":0.5,"ms":"1970-01-01T00:00:00Z"}"#));
    assert!(JsonWriter::new(&Schema::new(vec![Field::new("a", DataType::Float16, true)]), [0]).is_err());
}

#[test]
fn records_have_a_key_of_some_columns_and_a_value_or_none() {
    let rows = batch(vec![
        ("user", Arc::new(StringArray::from(vec!["ada", "bob"])) as ArrayRef),
        ("x", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
    ]);
    let (key, value) = (
        JsonWriter::new(rows.schema_ref(), [0]).unwrap(),
        JsonWriter::new(rows.schema_ref(), [1, 0]).unwrap(),
    );
    let (key, value) = (key.encoder(&rows).unwrap(), value.encoder(&rows).unwrap());
    let mut out = RawChunkBuilder::default();
    push_json(0, 5, Some(&key), Some(&value), &mut out).unwrap();
    assert!(push_json(1, 5, Some(&key), Some(&value), &mut out).is_err());
    push_json(1, 6, Some(&key), None, &mut out).unwrap();
    push_json(0, 7, None, Some(&value), &mut out).unwrap();
    let chunk = out.build();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let all: Vec<_> =
        chunk.iter().map(|record| (record.timestamp_ms, text(record.key), text(record.value))).collect();
    let (ada, bob) = (Some(r#"{"user":"ada"}"#.to_owned()), Some(r#"{"user":"bob"}"#.to_owned()));
    let first = Some(r#"{"x":1.0,"user":"ada"}"#.to_owned());
    assert_eq!(all, [(5, ada, first.clone()), (6, bob, None), (7, None, first)]);
}
