//! Messages that become rows and rows that become messages, with `prost` as witness.

use super::*;
use crate::{
    record::RawChunkBuilder,
    sql::rows::samples::{For, Samples},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Decimal128Type, Int32Type, Int64Type, Schema as Columns, TimeUnit, TimestampMillisecondType,
    },
};
use expect_test::expect;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = vec![required("key", key), optional("value", value)];
    DataType::Map(Arc::new(required("entries", DataType::Struct(entries.into()))), false)
}

fn reader(text: &str, message: &str, columns: Vec<Field>) -> Result<ProtobufReader, String> {
    let schema = ProtobufSchema::parse(text, message).map_err(|e| e.to_string())?;
    ProtobufReader::of_message(&schema, columns, ProtobufOptions::default())
}

fn batch(columns: &[Field], arrays: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Columns::new(columns.to_vec())), arrays).unwrap()
}

const ALL: &str = r#"syntax = "proto3"; package t;
import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
message All {
  bool a_bool = 1; int32 a_int32 = 2; int64 a_int64 = 3; uint32 a_uint32 = 4; uint64 a_uint64 = 5;
  sint32 a_sint32 = 6; sint64 a_sint64 = 7; fixed32 a_fixed32 = 8; fixed64 a_fixed64 = 9;
  sfixed32 a_sfixed32 = 10; sfixed64 a_sfixed64 = 11; float a_float = 12; double a_double = 13;
  string a_string = 14; bytes a_bytes = 15; Kind kind = 16; optional int32 maybe = 17; optional string maybe_text = 18;
  repeated int32 numbers = 19; repeated sint64 loose = 20 [packed = false]; repeated string texts = 21;
  map<string, int64> by_text = 22; map<int32, Inner> by_number = 23; Inner inner = 24; repeated Inner inners = 25;
  oneof choice { int64 left = 26; string right = 27; Inner middle = 28; }
  google.protobuf.Timestamp at = 29; google.protobuf.Duration took = 30;
  google.protobuf.Int64Value wrapped = 31; google.protobuf.StringValue wrapped_text = 32; repeated Kind kinds = 33;
  enum Kind { NONE = 0; SMALL = 1; LARGE = 2; BELOW = -1; }
  message Inner { int32 x = 1; optional string y = 2; repeated double zs = 3; Inner deeper = 4; }
}"#;

#[derive(Clone, PartialEq, Message)]
struct All {
    #[prost(bool, tag = "1")]
    a_bool: bool,
    #[prost(int32, tag = "2")]
    a_int32: i32,
    #[prost(int64, tag = "3")]
    a_int64: i64,
    #[prost(uint32, tag = "4")]
    a_uint32: u32,
    #[prost(uint64, tag = "5")]
    a_uint64: u64,
    #[prost(sint32, tag = "6")]
    a_sint32: i32,
    #[prost(sint64, tag = "7")]
    a_sint64: i64,
    #[prost(fixed32, tag = "8")]
    a_fixed32: u32,
    #[prost(fixed64, tag = "9")]
    a_fixed64: u64,
    #[prost(sfixed32, tag = "10")]
    a_sfixed32: i32,
    #[prost(sfixed64, tag = "11")]
    a_sfixed64: i64,
    #[prost(float, tag = "12")]
    a_float: f32,
    #[prost(double, tag = "13")]
    a_double: f64,
    #[prost(string, tag = "14")]
    a_string: String,
    #[prost(bytes = "vec", tag = "15")]
    a_bytes: Vec<u8>,
    #[prost(int32, tag = "16")]
    kind: i32,
    #[prost(int32, optional, tag = "17")]
    maybe: Option<i32>,
    #[prost(string, optional, tag = "18")]
    maybe_text: Option<String>,
    #[prost(int32, repeated, tag = "19")]
    numbers: Vec<i32>,
    #[prost(sint64, repeated, packed = "false", tag = "20")]
    loose: Vec<i64>,
    #[prost(string, repeated, tag = "21")]
    texts: Vec<String>,
    #[prost(btree_map = "string, int64", tag = "22")]
    by_text: BTreeMap<String, i64>,
    #[prost(btree_map = "int32, message", tag = "23")]
    by_number: BTreeMap<i32, Inner>,
    #[prost(message, optional, tag = "24")]
    inner: Option<Inner>,
    #[prost(message, repeated, tag = "25")]
    inners: Vec<Inner>,
    #[prost(oneof = "Choice", tags = "26, 27, 28")]
    choice: Option<Choice>,
    #[prost(message, optional, tag = "29")]
    at: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "30")]
    took: Option<prost_types::Duration>,
    #[prost(message, optional, tag = "31")]
    wrapped: Option<i64>,
    #[prost(message, optional, tag = "32")]
    wrapped_text: Option<String>,
    #[prost(int32, repeated, tag = "33")]
    kinds: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Choice {
    #[prost(int64, tag = "26")]
    Left(i64),
    #[prost(string, tag = "27")]
    Right(String),
    #[prost(message, tag = "28")]
    Middle(Inner),
}

#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(int32, tag = "1")]
    x: i32,
    #[prost(string, optional, tag = "2")]
    y: Option<String>,
    #[prost(double, repeated, tag = "3")]
    zs: Vec<f64>,
}

fn inner_type() -> DataType {
    DataType::Struct(
        vec![
            required("x", DataType::Int32),
            optional("y", DataType::Utf8),
            required("zs", DataType::new_list(DataType::Float64, true)),
        ]
        .into(),
    )
}

fn all_columns() -> Vec<Field> {
    let required_of = [
        ("a_bool", DataType::Boolean),
        ("a_int32", DataType::Int32),
        ("a_int64", DataType::Int64),
        ("a_uint32", DataType::UInt32),
        ("a_uint64", DataType::Decimal128(20, 0)),
        ("a_sint32", DataType::Int32),
        ("a_sint64", DataType::Int64),
        ("a_fixed32", DataType::UInt32),
        ("a_fixed64", DataType::UInt64),
        ("a_sfixed32", DataType::Int32),
        ("a_sfixed64", DataType::Int64),
        ("a_float", DataType::Float32),
        ("a_double", DataType::Float64),
        ("a_string", DataType::Utf8),
        ("a_bytes", DataType::Binary),
        ("kind", DataType::Utf8),
    ];
    let optional_of = [
        ("maybe", DataType::Int32),
        ("maybe_text", DataType::Utf8),
        ("numbers", DataType::new_list(DataType::Int32, true)),
        ("loose", DataType::new_list(DataType::Int64, true)),
        ("texts", DataType::new_list(DataType::Utf8, true)),
        ("by_text", map_of(DataType::Utf8, DataType::Int64)),
        ("by_number", map_of(DataType::Int32, inner_type())),
        ("inner", inner_type()),
        ("inners", DataType::new_list(inner_type(), true)),
        ("left", DataType::Int64),
        ("right", DataType::Utf8),
        ("middle", inner_type()),
        ("at", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("took", DataType::Decimal128(29, 9)),
        ("wrapped", DataType::Int64),
        ("wrapped_text", DataType::Utf8),
        ("kinds", DataType::new_list(DataType::Utf8, true)),
    ];
    let required_of = required_of.into_iter().map(|(name, of)| required(name, of));
    let mut columns: Vec<Field> =
        required_of.chain(optional_of.into_iter().map(|(name, of)| optional(name, of))).collect();
    columns.reverse(); // the order of columns is not that of fields
    columns
}

fn random_text(samples: &mut Samples) -> String {
    let pool = ["", "a", "tide gate", "ü€😀", "0"];
    pool[samples.below(5)].to_owned()
}

fn random_number(samples: &mut Samples) -> i64 {
    let number = samples.next().cast_signed();
    match samples.below(5) {
        0 => 0,
        1 => number % 100,
        2 => i64::from(i32::MIN),
        3 => i64::MAX,
        _ => number,
    }
}

fn low32(number: i64) -> i32 {
    super::bytes::low(number.cast_unsigned()).cast_signed()
}

fn random_inner(samples: &mut Samples) -> Inner {
    let y = (samples.below(2) == 0).then(|| random_text(samples));
    let zs = (0..samples.below(3)).map(|n| f64::from(u8::try_from(n).unwrap()) / 4.0).collect();
    Inner { x: low32(random_number(samples)), y, zs }
}

fn random_all(samples: &mut Samples) -> All {
    let number = random_number;
    let signs = |s: &mut Samples| if s.below(2) == 0 { 1 } else { -1 };
    let sign = signs(samples);
    All {
        a_bool: samples.below(2) == 0,
        a_int32: low32(number(samples)),
        a_int64: number(samples),
        a_uint32: low32(number(samples)).cast_unsigned(),
        a_uint64: number(samples).cast_unsigned(),
        a_sint32: low32(number(samples)),
        a_sint64: number(samples),
        a_fixed32: low32(number(samples)).cast_unsigned(),
        a_fixed64: number(samples).cast_unsigned(),
        a_sfixed32: low32(number(samples)),
        a_sfixed64: number(samples),
        a_float: [0.0, 1.5, f32::INFINITY, -2e-40][samples.below(4)],
        a_double: [0.0, 1.5, f64::NEG_INFINITY, 5e-324][samples.below(4)],
        a_string: random_text(samples),
        a_bytes: random_text(samples).into_bytes(),
        kind: [0, 1, 2, -1, 77][samples.below(5)],
        maybe: (samples.below(2) == 0).then(|| low32(number(samples))),
        maybe_text: (samples.below(2) == 0).then(|| random_text(samples)),
        numbers: (0..samples.below(4)).map(|_| low32(number(samples))).collect(),
        loose: (0..samples.below(4)).map(|_| number(samples)).collect(),
        texts: (0..samples.below(4)).map(|_| random_text(samples)).collect(),
        by_text: (0..samples.below(4)).map(|_| (random_text(samples), number(samples))).collect(),
        by_number: (0..samples.below(3)).map(|_| (low32(number(samples)), random_inner(samples))).collect(),
        inner: (samples.below(2) == 0).then(|| random_inner(samples)),
        inners: (0..samples.below(3)).map(|_| random_inner(samples)).collect(),
        choice: match samples.below(4) {
            0 => Some(Choice::Left(number(samples))),
            1 => Some(Choice::Right(random_text(samples))),
            2 => Some(Choice::Middle(random_inner(samples))),
            _ => None,
        },
        at: (samples.below(2) == 0).then(|| prost_types::Timestamp {
            seconds: number(samples) % 9_000_000_000,
            nanos: low32(number(samples)).rem_euclid(1_000_000_000),
        }),
        took: (samples.below(2) == 0).then(|| prost_types::Duration {
            seconds: sign * (number(samples) % 1_000_000).abs(),
            nanos: i32::try_from(sign).unwrap() * low32(number(samples)).rem_euclid(1_000_000_000),
        }),
        wrapped: (samples.below(2) == 0).then(|| number(samples)),
        wrapped_text: (samples.below(2) == 0).then(|| random_text(samples)),
        kinds: (0..samples.below(4)).map(|_| [0, 1, 2, -1, 77][samples.below(5)]).collect(),
    }
}

/// What rows are as messages.
fn written(columns: &[Field], rows: &mut ProtobufRows) -> Vec<Vec<u8>> {
    let rows = batch(columns, rows.finish().unwrap());
    let schema = ProtobufSchema::parse(ALL, "t.All").unwrap();
    let writer = ProtobufWriter::new(&schema, columns, (0..columns.len()).collect()).unwrap();
    let encoder = writer.encoder(&rows).unwrap();
    let row = |row| {
        let mut out = vec![];
        encoder.encode(row, &mut out).unwrap();
        out
    };
    (0..rows.num_rows()).map(row).collect()
}

#[test]
fn random_messages_become_rows_and_the_same_messages_again() {
    let columns = all_columns();
    let reader = reader(ALL, "t.All", columns.clone()).unwrap();
    let mut samples = Samples::new(2_026, For::Values);
    for _ in 0..40 {
        let messages: Vec<All> = (0..25).map(|_| random_all(&mut samples)).collect();
        let mut rows = reader.rows(25).unwrap();
        for message in &messages {
            rows.read_value(&message.encode_to_vec()).unwrap();
        }
        for (message, bytes) in messages.iter().zip(written(&columns, &mut rows)) {
            assert_eq!(All::decode(&bytes[..]).unwrap(), *message);
        }
    }
}

#[test]
fn what_is_changed_in_a_message_is_read_as_prost_reads_it_or_not_at_all() {
    let columns = all_columns();
    let reader = reader(ALL, "t.All", columns.clone()).unwrap();
    let mut samples = Samples::new(7, For::Values);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4_000 {
        let mut bytes = random_all(&mut samples).encode_to_vec();
        match samples.below(4) {
            0 => bytes.truncate(samples.below(bytes.len().max(1))),
            // Fields that come twice, in any order.
            1 => bytes.extend(random_all(&mut samples).encode_to_vec()),
            _ if bytes.is_empty() => {}
            _ => {
                let at = samples.below(bytes.len());
                bytes[at] = samples.next().to_le_bytes()[0];
            }
        }
        let expected = All::decode(&bytes[..]);
        let mut rows = reader.rows(1).unwrap();
        match rows.read_value(&bytes) {
            Ok(()) => {
                good += 1;
                let read = All::decode(&written(&columns, &mut rows)[0][..]).unwrap();
                let expected = expected.unwrap();
                // As text, so that NaN is itself.
                assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{bytes:?}");
            }
            Err(why) => {
                bad += 1;
                // Times that are none, which prost does not look at, and bytes where a value is expected that prost passes over.
                let is_stricter = ["nanoseconds", "duration", "too far away", "exact form"];
                if expected.is_ok() {
                    assert!(is_stricter.iter().any(|told| why.contains(told)), "{why}: {bytes:?}");
                }
            }
        }
    }
    assert!(good > 1_500 && bad > 500, "{good} {bad}");
}

#[test]
fn the_bytes_of_a_row_are_these() {
    let text = r#"syntax = "proto3"; message Row { int64 id = 1; optional string note = 2; repeated sint32 ns = 3;
        map<string, bool> flags = 5; double price = 4; E e = 16; enum E { A = 0; B = 1; } }"#;
    let columns = vec![
        required("id", DataType::Int64),
        optional("note", DataType::Utf8),
        required("ns", DataType::new_list(DataType::Int32, true)),
        required("price", DataType::Float64),
        required("flags", map_of(DataType::Utf8, DataType::Boolean)),
        required("e", DataType::Utf8),
    ];
    let mut golden = b"\x08\x96\x01\x12\x00\x1a\x04\x01\x02\xc8\x01".to_vec();
    golden.extend(b"\x21\0\0\0\0\0\0\xf8\x3f\x2a\x05\x0a\x01a\x10\x01\x80\x01\x01");
    let schema = ProtobufSchema::parse(text, "Row").unwrap();
    let reader = ProtobufReader::of_message(&schema, columns.clone(), ProtobufOptions::default()).unwrap();
    let mut rows = reader.rows(2).unwrap();
    rows.read_value(&golden).unwrap();
    rows.read_value(b"").unwrap();
    let rows = batch(&columns, rows.finish().unwrap());
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[150, 0]);
    assert_eq!(rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some(""), None]);
    let numbers = rows.column(2).as_list::<i32>().values().as_primitive::<Int32Type>().values().to_vec();
    assert_eq!(numbers, [-1, 1, 100]);
    assert_eq!(rows.column(5).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("B"), Some("A")]);
    let writer = ProtobufWriter::new(&schema, &columns, (0..6).collect()).unwrap();
    let encoder = writer.encoder(&rows).unwrap();
    let mut out = vec![];
    encoder.encode(0, &mut out).unwrap();
    assert_eq!(out, golden);
    out.clear();
    encoder.encode(1, &mut out).unwrap();
    assert_eq!(out, b"", "nothing but defaults");
}

#[test]
fn a_poison_record_anywhere_costs_only_itself_and_says_where() {
    let good = random_all(&mut Samples::new(5, For::Values)).encode_to_vec();
    let poisons: [(&[u8], &str); 8] = [
        (&[0x10], "field `a_int32` at byte 1: the record ends within a number"),
        (
            &[0x12, 1, 0],
            "field `a_int32` at byte 1: it is written as a length and bytes, and should be a varint",
        ),
        (&[0x72, 2, 0xc3, 0x28], "field `a_string` at byte 2: it is not UTF-8"),
        (&[0xff; 12], "at byte 0: a number has more than 64 bits"),
        (&[0xc2, 1, 4, 0x12, 2, 0xc3, 0x28], "field `inner.y` at byte 5: it is not UTF-8"),
        (
            &[0xc2, 1, 9, 0],
            "field `inner` at byte 3: the record ends: 9 more bytes are expected, 1 are there",
        ),
        (
            &[0xca, 1, 0, 0xca, 1, 2, 8, 0x80],
            "field `inners[1].x` at byte 7: the record ends within a number",
        ),
        (
            &[0xb2, 1, 5, 0x0a, 1, b'k', 0x12, 0],
            "field `by_text` at byte 7: an entry has a length and bytes, and should have a varint",
        ),
    ];
    for (poison, told) in poisons {
        for place in 0..3 {
            let mut rows = reader(ALL, "t.All", all_columns()).unwrap().rows(3).unwrap();
            for index in 0..3 {
                if index == place {
                    assert_eq!(rows.read_value(poison).unwrap_err(), told);
                } else {
                    rows.read_value(&good).unwrap();
                }
            }
            let columns = rows.finish().unwrap();
            assert!(columns.iter().all(|column| column.len() == 2), "{told}");
        }
    }
}

#[test]
fn numbers_times_and_decimals_are_converted_exactly_or_refused() {
    let text = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
        message M { int64 tiny = 1; int32 day = 2; int64 ms = 3; string money = 4; uint32 whole = 5;
            google.protobuf.Timestamp at = 6; google.protobuf.Duration took = 7; float wide = 8; }"#;
    let ms = || DataType::Timestamp(TimeUnit::Millisecond, None);
    let columns = vec![
        optional("tiny", DataType::Int8),
        optional("day", DataType::Date32),
        optional("ms", DataType::Timestamp(TimeUnit::Second, Some("UTC".into()))),
        optional("money", DataType::Decimal128(9, 2)),
        optional("whole", DataType::Decimal128(4, 1)),
        optional("at", ms()),
        optional("took", DataType::Decimal128(9, 3)),
        optional("wide", DataType::Float64),
    ];
    let of = reader(text, "M", columns).unwrap();
    let mut rows = of.rows(1).unwrap();
    let good = b"\x08\x85\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\xcf\x0f\x22\x04-1.5\x28\x63\x32\x06\x08\x02\x10\xc0\x84\x3d\x3a\x06\x08\x01\x10\x80\x89\x7a\x22\x04-1.5";
    rows.read_value(good).unwrap();
    let told = |rows: &mut ProtobufRows, bytes: &[u8]| rows.read_value(bytes).unwrap_err();
    assert_eq!(
        told(&mut rows, b"\x08\x80\x01\x22\x010"),
        "field `tiny` at byte 1: 128 is not from -128 to 127"
    );
    assert_eq!(
        told(&mut rows, b"\x22\x010\x28\xe8\x07"),
        "field `whole` at byte 4: 1000 has no exact form as DECIMAL(4, 1)"
    );
    assert_eq!(told(&mut rows, b"\x22\x03abc"), "field `money` at byte 2: \"abc\" is no number");
    assert_eq!(
        told(&mut rows, b"\x22\x010\x32\x02\x10\x7f\x32\x06\x10\xff\xff\xff\xff\x07"),
        "field `at` at byte 5: 2147483647 are no nanoseconds of a timestamp"
    );
    assert_eq!(
        told(&mut rows, b"\x22\x010\x3a\x02\x10\x01"),
        "field `took` at byte 5: 1 ns have no exact form as DECIMAL(9, 3)"
    );
    let arrays = rows.finish().unwrap();
    assert_eq!(arrays[2].as_primitive::<arrow::datatypes::TimestampSecondType>().values(), &[1]);
    assert_eq!(arrays[3].as_primitive::<Decimal128Type>().values(), &[-150]);
    assert_eq!(arrays[4].as_primitive::<Decimal128Type>().values(), &[990]);
    assert_eq!(arrays[5].as_primitive::<TimestampMillisecondType>().values(), &[2_001]);
    assert_eq!(arrays[6].as_primitive::<Decimal128Type>().values(), &[1_002]);
}

#[test]
fn a_field_that_is_not_set_is_null_or_its_default() {
    let text = r#"syntax = "proto2"; message M { optional int32 n = 1 [default = 5]; required string s = 2;
        optional E e = 3; enum E { SECOND = 2; FIRST = 1; } optional sint64 z = 4 [default = -3]; }"#;
    let schema = ProtobufSchema::parse(text, "M").unwrap();
    let columns = || {
        ["n", "s", "e", "z"].map(|name| {
            optional(name, if name == "s" || name == "e" { DataType::Utf8 } else { DataType::Int64 })
        })
    };
    let shown = |reads_defaults: bool| {
        let of = ProtobufReader::of_message(&schema, columns().to_vec(), ProtobufOptions { reads_defaults });
        let mut rows = of.unwrap().rows(1).unwrap();
        rows.read_value(b"").unwrap();
        let arrays = rows.finish().unwrap();
        let texts = [&arrays[1], &arrays[2]]
            .map(|array| array.as_string::<i32>().iter().next().unwrap().map(str::to_owned));
        let numbers =
            [&arrays[0], &arrays[3]].map(|array| array.as_primitive::<Int64Type>().iter().next().unwrap());
        (numbers, texts)
    };
    assert_eq!(shown(false), ([None, None], [None, None]));
    assert_eq!(shown(true), ([Some(5), Some(-3)], [Some(String::new()), Some("SECOND".into())]));
    let of =
        ProtobufReader::of_message(&schema, vec![required("n", DataType::Int64)], ProtobufOptions::default());
    let told = of.unwrap().rows(1).unwrap().read_value(b"").unwrap_err();
    assert_eq!(told, "field `n` at byte 0: it is not set, and the column is NOT NULL");
}

#[test]
fn columns_that_a_message_cannot_give_are_told_before_a_record_comes() {
    let text = r#"syntax = "proto3"; message M { int32 n = 1; repeated int32 ns = 2; map<string, int32> m = 3; M next = 4; string s = 5; }"#;
    let told = |column: Field| reader(text, "M", vec![column]).err().unwrap();
    assert_eq!(told(optional("n", DataType::Utf8)), "column `n`: int32 cannot be STRING");
    assert_eq!(told(optional("ns", DataType::Int32)), "column `ns`: a repeated field cannot be INT");
    assert_eq!(told(optional("m", DataType::Utf8)), "column `m`: a map cannot be STRING");
    assert_eq!(told(optional("next", DataType::Utf8)), "column `next`: the message `M` cannot be STRING");
    assert_eq!(
        told(required("gone", DataType::Utf8)),
        "column `gone` is NOT NULL, and the message `M` has no such field"
    );
    let nested = DataType::Struct(vec![optional("s", DataType::Int32)].into());
    assert_eq!(told(optional("next", nested)), "column `next`: column `s`: string cannot be INT");
    let schema = ProtobufSchema::parse(text, "M").unwrap();
    let told = |column: Field| ProtobufWriter::new(&schema, &[column], vec![0]).unwrap_err();
    assert_eq!(told(optional("n", DataType::Int64)), "column `n`: int32 cannot be BIGINT");
    assert_eq!(told(optional("gone", DataType::Int64)), "the message `M` has no field for the column `gone`");
}

#[test]
fn a_row_that_a_message_has_no_form_for_is_told() {
    let text = r#"syntax = "proto3"; message M { int32 n = 1; uint64 u = 2; oneof c { int32 a = 3; int32 b = 4; }
        repeated string ts = 5; E e = 6; enum E { A = 0; B = 1; } }"#;
    let schema = ProtobufSchema::parse(text, "M").unwrap();
    let told = |json: &str| {
        let fields = vec![
            optional("n", DataType::Int32),
            optional("u", DataType::Int64),
            optional("a", DataType::Int32),
            optional("b", DataType::Int32),
            optional("ts", DataType::new_list(DataType::Utf8, true)),
            optional("e", DataType::Utf8),
        ];
        let mut rows = crate::sql::format::JsonReader::new(fields.clone()).unwrap().rows(1).unwrap();
        rows.read(json.as_bytes()).unwrap();
        let rows = batch(&fields, rows.finish().unwrap());
        let writer = ProtobufWriter::new(&schema, &fields, (0..6).collect()).unwrap();
        let mut out = b"before".to_vec();
        let why = writer.encoder(&rows).unwrap().encode(0, &mut out).unwrap_err();
        assert_eq!(out, b"before");
        why + "\n"
    };
    let all = [
        r#"{"u":1,"e":"A"}"#,
        r#"{"n":1,"u":-1,"e":"A"}"#,
        r#"{"n":1,"u":1,"e":"C"}"#,
        r#"{"n":1,"u":1,"e":"B","a":0,"b":0}"#,
        r#"{"n":1,"u":1,"e":"B","ts":["x",null]}"#,
    ];
    expect![[r#"
        "n": it is NULL, and the field has no presence: write `optional` before it in the schema
        "u": -1 is not from 0 to 18446744073709551615
        "e": 'C' is none of the values A, B
        "a" and "b" are both set, and `M` can have only one of them
        "ts": item 1: it is NULL, which Protobuf does not have in arrays and maps
    "#]]
    .assert_eq(&all.map(told).concat());
}

#[test]
fn the_message_of_columns_is_this() {
    let row = DataType::Struct(vec![optional("a b", DataType::Int32)].into());
    let columns = vec![
        required("id", DataType::Int64),
        optional("name", DataType::Utf8),
        optional("price", DataType::Decimal128(9, 2)),
        optional("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        optional("tags", DataType::new_list(DataType::Utf8, true)),
        optional("by", map_of(DataType::Utf8, inner_type())),
        optional("inner", inner_type()),
        optional("day", DataType::Date32),
    ];
    let message = message_of("shop.big orders", &columns).unwrap();
    assert_eq!(message.name(), "shop.big_orders");
    expect![[r#"
        syntax = "proto3";
        package shop;
        import "google/protobuf/timestamp.proto";
        message big_orders {
          int64 id = 1;
          optional string name = 2;
          optional string price = 3;
          optional google.protobuf.Timestamp at = 4;
          repeated string tags = 5;
          message by_row {
            int32 x = 1;
            optional string y = 2;
            repeated double zs = 3;
          }
          map<string, by_row> by = 6;
          message inner_row {
            int32 x = 1;
            optional string y = 2;
            repeated double zs = 3;
          }
          optional inner_row inner = 7;
          optional int32 day = 8;
        }
    "#]]
    .assert_eq(message.text().unwrap());
    let told = |column: Field| message_of("m", &[column]).unwrap_err();
    assert_eq!(
        told(optional("row", row)),
        "column `row`: column `a b`: names in Protobuf are letters, digits and underscores, and do not begin with a digit"
    );
    let nested = DataType::new_list(DataType::new_list(DataType::Int32, true), true);
    assert_eq!(
        told(optional("n", nested)),
        "column `n`: ARRAY<INT> in an array or a map has no form in Protobuf"
    );
    assert_eq!(
        told(optional("m", map_of(DataType::Float64, DataType::Int32))),
        "column `m`: keys of a map cannot be DOUBLE in Protobuf"
    );
}

#[test]
fn an_unnamed_record_is_no_message() {
    let of = reader(ALL, "t.All", all_columns()).unwrap();
    let mut records = RawChunkBuilder::default();
    records.push_with(0, None, |_| Ok::<_, ()>(false)).unwrap();
    let records = records.build();
    let told = of.rows(1).unwrap().read(&records.get(0), RecordPart::Value).unwrap_err();
    assert_eq!(told, "it is null, which is no message of Protobuf");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_bytes_are_a_row_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut rows = reader(ALL, "t.All", all_columns()).unwrap().rows(1).unwrap();
        let read = rows.read_value(&bytes);
        prop_assert_eq!(rows.finish().unwrap()[0].len(), usize::from(read.is_ok()));
    }
}
