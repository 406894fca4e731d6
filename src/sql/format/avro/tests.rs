//! Avro that becomes rows and rows that become Avro, with another reader and writer as witness.

use super::{plan::named, *};
use crate::{
    codec::{AvroWriter as TypedWriter, Encode},
    record::{Headers, Offset, RawChunkBuilder},
    sql::rows::samples::{For, Samples},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Decimal128Type, Fields, Int32Type, Int64Type, Schema as Columns, TimeUnit},
};
use expect_test::expect;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const OPTIONS: SchemaOptions = SchemaOptions { has_local_times: false };

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// Reads values of this schema.
fn reader(schema: &str, columns: Vec<Field>) -> Result<AvroReader, String> {
    let plan = ReadPlan::new(nodes_of(Some(schema), &columns, OPTIONS)?, &columns)?;
    Ok(AvroReader { schemas: Schemas::Columns(Arc::new(plan)), columns: columns.into() })
}

fn bytes(schema: &str, value: &impl Serialize) -> Vec<u8> {
    let mut out = vec![];
    TypedWriter::unframed(AvroSchema::parse(schema).unwrap()).encode(value, &mut out).unwrap();
    out
}

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"note","type":["null","string"],"default":null},
    {"name":"price","type":"double"},
    {"name":"id","type":"long"},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["Small","Large"]}},
    {"name":"lines","type":{"type":"array","items":"int"}},
    {"name":"tags","type":{"type":"map","values":"string"}},
    {"name":"next","type":["null","Order"],"default":null},
    {"name":"user","type":{"type":"record","name":"User","fields":[
        {"name":"name","type":"string"},{"name":"age","type":["null","int"]}]}}]}"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    note: Option<String>,
    price: f64,
    id: i64,
    kind: String,
    lines: Vec<i32>,
    tags: BTreeMap<String, String>,
    next: Option<Box<Order>>,
    user: User,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: Option<i32>,
}

fn order(id: i64) -> Order {
    let user = User { name: format!("user {id}"), age: (id % 2 == 0).then_some(40) };
    let tags = (0..id % 3).map(|n| (format!("k{n}"), format!("v{n}"))).collect();
    Order {
        note: (id % 3 == 0).then(|| "soon".to_owned()),
        price: 0.5,
        id,
        kind: if id % 2 == 0 { "Small" } else { "Large" }.into(),
        lines: (0..3).collect(),
        tags,
        next: None,
        user,
    }
}

fn order_columns() -> Vec<Field> {
    let map = vec![required("key", DataType::Utf8), optional("value", DataType::Utf8)];
    let user = vec![optional("age", DataType::Int64), optional("name", DataType::Utf8)];
    vec![
        required("id", DataType::Int64),
        optional("kind", DataType::Utf8),
        optional("tags", DataType::Map(Arc::new(required("entries", DataType::Struct(map.into()))), false)),
        optional("lines", DataType::new_list(DataType::Int32, true)),
        optional("user", DataType::Struct(Fields::from(user))),
        optional("note", DataType::Utf8),
        optional("missing", DataType::Float64),
        optional("price", DataType::Float64),
    ]
}

#[test]
fn fields_go_into_columns_by_their_names_and_the_others_are_passed_over() {
    let mut rows = reader(ORDER, order_columns()).unwrap().rows(4).unwrap();
    let with_next = Order { next: Some(Box::new(order(5))), ..order(4) };
    for order in [&order(0), &order(1), &with_next] {
        rows.read_value(&bytes(ORDER, order)).unwrap();
    }
    let columns = rows.finish().unwrap();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[0, 1, 4]);
    let text = |column: &ArrayRef| {
        column.as_string::<i32>().iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(text(&columns[1]), ["Small", "Large", "Small"].map(|kind| Some(kind.into())));
    assert_eq!(text(&columns[5]), [Some("soon".into()), None, None]);
    assert_eq!(columns[2].as_map().value_offsets(), &[0, 0, 1, 2]);
    assert_eq!(
        columns[3].as_list::<i32>().values().as_primitive::<Int32Type>().values(),
        &[0, 1, 2].repeat(3)[..]
    );
    let user = columns[4].as_struct();
    assert_eq!(
        user.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(40), None, Some(40)]
    );
    assert_eq!(text(user.column(1)), ["user 0", "user 1", "user 4"].map(|name| Some(name.into())));
    assert_eq!(columns[6].null_count(), 3);
}

#[test]
fn a_poison_record_anywhere_costs_only_itself_and_says_where() {
    let good = bytes(ORDER, &order(3));
    let longer = [&good[..], &[1, 2, 3]].concat();
    let poisons: [(&[u8], &str); 6] = [
        (&good[..good.len() - 3], "field `user.name` at byte"),
        (&longer, "3 bytes are left behind the record"),
        (b"", "field `note` at byte 0: the record ends within a number"),
        (&[0xff; 12], "field `note` at byte 0: a number has more than 64 bits"),
        (
            &[2, 200, 1, b'x'],
            "field `note` at byte 3: the record ends: 100 more bytes are expected, 1 are there",
        ),
        (&[2, 4, 0xc3, 0x28], "field `note` at byte 2: it is not UTF-8"),
    ];
    for (poison, told) in poisons {
        for place in 0..3 {
            let mut rows = reader(ORDER, order_columns()).unwrap().rows(3).unwrap();
            for index in 0..3 {
                if index == place {
                    let reason = rows.read_value(poison).unwrap_err();
                    assert!(reason.contains(told), "{told}: {reason}");
                } else {
                    rows.read_value(&good).unwrap();
                }
            }
            let columns = rows.finish().unwrap();
            assert!(columns.iter().all(|column| column.len() == 2), "{told}");
            assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[3, 3]);
        }
    }
}

#[test]
fn numbers_times_and_decimals_are_converted_exactly_or_refused() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"tiny","type":"long"},{"name":"wide","type":"int"},
        {"name":"day","type":{"type":"int","logicalType":"date"}},
        {"name":"ms","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"us","type":{"type":"long","logicalType":"local-timestamp-millis"}},
        {"name":"plain","type":"long"},
        {"name":"money","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"whole","type":"int"}]}"#;
    let ms = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Millisecond, zone.map(Into::into));
    let columns = vec![
        optional("tiny", DataType::Int8),
        optional("wide", DataType::Float64),
        optional("day", DataType::Date32),
        optional("ms", ms(Some("UTC"))),
        optional("us", DataType::Timestamp(TimeUnit::Microsecond, None)),
        optional("plain", ms(None)),
        optional("money", DataType::Decimal128(10, 3)),
        optional("whole", DataType::Decimal128(4, 1)),
    ];
    let value = |tiny: i64, money: &[u8], whole: i64, us: i64| {
        let mut out = vec![];
        for number in [tiny, 7, -1, -1_999, us, 1_700_000_000_000] {
            bytes::put_long(number, &mut out);
        }
        bytes::put_sized(money, &mut out);
        bytes::put_long(whole, &mut out);
        out
    };
    let mut rows = reader(schema, columns).unwrap().rows(1).unwrap();
    rows.read_value(&value(-128, &[0xff, 0x85], -99, 5)).unwrap();
    let told = |rows: &mut AvroRows, value: &[u8]| rows.read_value(value).unwrap_err();
    assert_eq!(
        told(&mut rows, &value(128, &[0], 0, 5)),
        "field `tiny` at byte 0: 128 is not from -128 to 127"
    );
    let too_many = told(&mut rows, &value(0, &[0], 1_000, 5));
    assert!(
        too_many.contains("1000 with 0 digits behind the point has no exact form as DECIMAL(4, 1)"),
        "{too_many}"
    );
    assert!(told(&mut rows, &value(0, &[], 0, 5)).contains("a decimal has no bytes"));
    assert!(told(&mut rows, &value(0, &[1; 17], 0, 5)).contains("17 bytes has too many digits"));
    assert!(told(&mut rows, &value(0, &[0], 0, i64::MAX)).contains("a time too far away for its unit"));
    // Bytes that only repeat the sign are no digits.
    let long = [&[0xff; 20][..], &[0x85]].concat();
    rows.read_value(&value(0, &long, 0, 5)).unwrap();
    let columns = rows.finish().unwrap();
    assert_eq!(columns[6].as_primitive::<Decimal128Type>().values(), &[-1_230, -1_230]);
    assert_eq!(columns[7].as_primitive::<Decimal128Type>().values(), &[-990, 0]);
    let shown = |column: &ArrayRef| arrow::util::display::array_value_to_string(column, 0).unwrap();
    let shown: Vec<String> = columns.iter().map(shown).collect();
    expect![[r#"
        [
            "-128",
            "7.0",
            "1969-12-31",
            "1969-12-31T23:59:59.998Z",
            "1970-01-01T00:00:00.005",
            "2023-11-14T22:13:20",
            "-1.230",
            "-99.0",
        ]
    "#]]
    .assert_debug_eq(&shown);
}

#[test]
fn what_a_schema_cannot_give_is_told() {
    let told = |fields: &str, column: Field| {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        reader(&schema, vec![column]).err().unwrap()
    };
    let nested = DataType::Struct(Fields::from(vec![required("b", DataType::Int64)]));
    let all = [
        told(r#"{"name":"a","type":"string"}"#, optional("a", DataType::Int64)),
        told(r#"{"name":"a","type":"double"}"#, optional("a", DataType::Float32)),
        told(r#"{"name":"a","type":["null","long"]}"#, optional("a", DataType::Utf8)),
        told(r#"{"name":"b","type":"long"}"#, required("a", DataType::Int64)),
        told(r#"{"name":"a","type":"null"}"#, required("a", DataType::Int64)),
        told(r#"{"name":"a","type":"int"}"#, optional("a", DataType::Timestamp(TimeUnit::Millisecond, None))),
        told(
            r#"{"name":"a","type":{"type":"long","logicalType":"time-micros"}}"#,
            optional("a", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ),
        told(r#"{"name":"a","type":{"type":"record","name":"I","fields":[]}}"#, optional("a", nested)),
        told(
            r#"{"name":"a","type":{"type":"array","items":"string"}}"#,
            optional("a", DataType::new_list(DataType::Date32, true)),
        ),
        reader("\"long\"", vec![optional("a", DataType::Int64)]).err().unwrap(),
    ];
    expect![[r"
        column `a`: string cannot be BIGINT
        column `a`: double cannot be FLOAT
        column `a`: long cannot be STRING
        column `a` is NOT NULL, and the record `R` has no such field
        column `a`: it is null, and the column is NOT NULL
        column `a`: int cannot be TIMESTAMP(3)
        column `a`: long (time-micros) cannot be TIMESTAMP(3)
        column `a`: column `b` is NOT NULL, and the record `I` has no such field
        column `a`: item: string cannot be DATE
        the schema is long, not a record with a field for each column"]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn a_branch_that_no_column_takes_is_a_bad_record_and_the_others_are_rows() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","long","string"]}]}"#;
    let mut rows = reader(schema, vec![required("a", DataType::Int64)]).unwrap().rows(3).unwrap();
    rows.read_value(&[2, 14]).unwrap();
    assert_eq!(rows.read_value(&[4, 0]).unwrap_err(), "field `a` at byte 0: string cannot be BIGINT");
    assert_eq!(
        rows.read_value(&[0]).unwrap_err(),
        "field `a` at byte 0: it is null, and the column is NOT NULL"
    );
    assert_eq!(rows.read_value(&[6]).unwrap_err(), "field `a` at byte 0: there is no branch 3 among 3");
    assert_eq!(rows.finish().unwrap()[0].as_primitive::<Int64Type>().values(), &[7]);
}

#[test]
fn sequences_in_several_blocks_are_read_and_endless_ones_refused() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"skipped","type":{"type":"array","items":"null"}},{"name":"a","type":{"type":"array","items":"int"}}]}"#;
    let columns = || vec![optional("a", DataType::new_list(DataType::Int32, true))];
    let mut rows = reader(schema, columns()).unwrap().rows(2).unwrap();
    // Three items of no bytes; then a block of two, one of one with its length, and the end.
    rows.read_value(&[6, 0, 4, 2, 4, 1, 2, 6, 0]).unwrap();
    // A block that is passed over by its length.
    rows.read_value(&[1, 4, 9, 9, 0, 0]).unwrap();
    let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(rows.read_value(&endless).unwrap_err().contains("more than the record can have"));
    let columns = rows.finish().unwrap();
    assert_eq!(columns[0].as_list::<i32>().value_offsets(), &[0, 3, 3]);
    assert_eq!(columns[0].as_list::<i32>().values().as_primitive::<Int32Type>().values(), &[1, 2, 3]);
    // Deep nesting in what is passed over.
    let schema = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let mut rows = reader(schema, vec![]).unwrap().rows(1).unwrap();
    let deep = [&vec![2; 100_000][..], &[0]].concat();
    assert!(rows.read_value(&deep).unwrap_err().contains("nested deeper than 128"));
}

#[test]
fn the_schema_of_columns_is_flinks() {
    let of = |columns: &[Field], has_local_times| {
        schema_of("orders", columns, SchemaOptions { has_local_times }).map(|schema| {
            let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
            let fields: Vec<String> =
                schema["fields"].as_array().unwrap().iter().map(ToString::to_string).collect();
            format!("{} {}\n{}\n", schema["type"], schema["name"], fields.join("\n"))
        })
    };
    let user = DataType::Struct(Fields::from(vec![optional("name", DataType::Utf8)]));
    let map = vec![required("key", DataType::Utf8), required("value", DataType::Int32)];
    let columns = [
        required("id", DataType::Int64),
        optional("small", DataType::Int8),
        optional("price", DataType::Decimal128(9, 2)),
        optional("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        required("seen", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        optional("user", user),
        required("tags", DataType::Map(Arc::new(required("entries", DataType::Struct(map.into()))), false)),
        optional("lines", DataType::new_list(DataType::Date32, false)),
    ];
    let schema = of(&columns, false).unwrap();
    expect![[r#"
        "record" "orders"
        {"name":"id","type":"long"}
        {"default":null,"name":"small","type":["null","int"]}
        {"default":null,"name":"price","type":["null",{"logicalType":"decimal","precision":9,"scale":2,"type":"bytes"}]}
        {"default":null,"name":"at","type":["null",{"logicalType":"timestamp-millis","type":"long"}]}
        {"name":"seen","type":{"logicalType":"timestamp-micros","type":"long"}}
        {"default":null,"name":"user","type":["null",{"fields":[{"default":null,"name":"name","type":["null","string"]}],"name":"orders_user","type":"record"}]}
        {"name":"tags","type":{"type":"map","values":"int"}}
        {"default":null,"name":"lines","type":["null",{"items":{"logicalType":"date","type":"int"},"type":"array"}]}
    "#]].assert_eq(&schema);
    let local = of(&columns, true).unwrap();
    assert_eq!(local.matches("\"local-timestamp-millis\"").count(), 1);
    assert_eq!(local.matches("\"timestamp-micros\"").count(), 1);
    let told = |column| of(&[column], false).unwrap_err();
    assert_eq!(
        told(optional("a b", DataType::Int64)),
        "column `a b`: names in Avro are letters, digits and underscores, and do not begin with a digit"
    );
    assert_eq!(told(optional("a", DataType::UInt64)), "column `a`: Avro has no form for UInt64");
    assert_eq!(record_name("page views.2"), "page_views_2");
    assert_eq!(record_name("2"), "_2");
}

#[test]
fn what_a_schema_cannot_take_is_told() {
    let writer = |fields: &str, column: Field| {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        AvroWriter::new(Some(&schema), &[column], vec![0], OPTIONS)
    };
    let told = |fields: &str, column: Field| writer(fields, column).err().unwrap();
    let long = || optional("a", DataType::Int64);
    let all = [
        told(r#"{"name":"a","type":"int"}"#, long()),
        told(r#"{"name":"a","type":["null","string"]}"#, long()),
        told(r#"{"name":"a","type":["long","string"]}"#, long()),
        told(r#"{"name":"b","type":["null","long"]}"#, long()),
        told(r#"{"name":"a","type":"long"},{"name":"b","type":"long"}"#, long()),
        told(
            r#"{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}"#,
            optional("a", DataType::Decimal128(10, 2)),
        ),
    ];
    expect![[r"
        column `a`: BIGINT cannot be int
        column `a`: BIGINT cannot be string
        column `a`: a union of 2 types besides null is not written
        the record `R` has no field for the column `a`
        there is no column for the field `b` of the record `R`, which cannot be null
        column `a`: DECIMAL(10, 2) cannot be bytes (decimal(9, 2))"]]
    .assert_eq(&all.join("\n"));
    let schema = r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["x","y"]}},{"name":"b","type":["int","null"]}"#;
    let writer = writer(schema, optional("a", DataType::Utf8)).unwrap();
    let cells: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("y"), Some("z"), None]));
    let rows = RecordBatch::try_from_iter_with_nullable([("a", cells, true)]).unwrap();
    let encoder = writer.encoder(&rows).unwrap();
    let written = |row| {
        let mut out = vec![9];
        encoder.encode(row, &mut out).map(|()| out)
    };
    assert_eq!(written(0), Ok(vec![9, 2, 2]));
    assert_eq!(written(1).unwrap_err(), "\"a\": 'z' is none of the symbols x, y");
    assert_eq!(written(2).unwrap_err(), "\"a\": it is NULL, and the schema has no null there");
}

#[test]
fn another_reader_reads_what_is_written() {
    let mut rows =
        reader(ORDER, order_columns().into_iter().filter(|column| column.name() != "missing").collect())
            .unwrap()
            .rows(3)
            .unwrap();
    let all = [order(0), order(1), order(2)];
    all.iter().for_each(|order| rows.read_value(&bytes(ORDER, order)).unwrap());
    let columns = rows.finish().unwrap();
    let fields: Vec<Field> =
        order_columns().into_iter().filter(|column| column.name() != "missing").collect();
    let batch = RecordBatch::try_new(Arc::new(Columns::new(fields.clone())), columns).unwrap();
    // `next` has no column: it is null. `age` is an `int` of the schema and a BIGINT of the table.
    let schema = ORDER.replace(r#"["null","int"]"#, r#"["null","long"]"#);
    let writer = AvroWriter::new(Some(&schema), &fields, (0..fields.len()).collect(), OPTIONS).unwrap();
    let encoder = writer.encoder(&batch).unwrap();
    let mut records = RawChunkBuilder::default();
    for row in 0..3 {
        records.push_with(0, None, |out| encoder.encode(row, out).map(|()| true)).unwrap();
    }
    let (mut good, mut bad): (Vec<Order>, _) = (vec![], vec![]);
    let typed = crate::codec::AvroReader::unframed(AvroSchema::parse(&schema).unwrap());
    crate::codec::Decode::decode(&typed, &records.build(), &mut good, &mut bad);
    assert_eq!((good, bad), (all.to_vec(), vec![]));
}

#[test]
fn rows_of_all_types_come_back() {
    let mut tried = 0;
    for seed in 0..300 {
        let mut samples = Samples::new(seed, For::Values);
        let batch = samples.batch();
        let plain = |index: usize, field: &Field| field.clone().with_name(format!("c{index}"));
        let fields: Vec<Field> =
            batch.schema().fields().iter().enumerate().map(|(index, field)| plain(index, field)).collect();
        let options = SchemaOptions { has_local_times: seed % 2 == 0 };
        let columns = (0..fields.len()).collect();
        let Ok(writer) = AvroWriter::new(None, &fields, columns, options) else { continue };
        tried += 1;
        let encoder = writer.encoder(&batch).unwrap();
        let mut rows = AvroReader::of_columns(fields, options).unwrap().rows(batch.num_rows()).unwrap();
        let mut kept = vec![];
        for row in 0..batch.num_rows() {
            let mut out = vec![];
            match encoder.encode(row, &mut out) {
                Ok(()) => {
                    rows.read_value(&out).unwrap_or_else(|why| panic!("seed {seed}, row {row}: {why}"));
                    kept.push(u32::try_from(row).unwrap());
                }
                Err(why) => assert!(why.contains("too far away"), "seed {seed}: {why}"),
            }
        }
        let kept = arrow::array::UInt32Array::from(kept);
        for (before, after) in batch.columns().iter().zip(rows.finish().unwrap()) {
            let before = arrow::compute::take(before, &kept, None).unwrap();
            // NaN is not equal to itself.
            assert_eq!(format!("{before:?}"), format!("{after:?}"), "seed {seed}");
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn keys_and_values_that_are_null_are_bad_records() {
    let mut rows =
        AvroReader::of_columns(vec![optional("a", DataType::Int64)], OPTIONS).unwrap().rows(1).unwrap();
    let record =
        RawRecord { offset: Offset(0), timestamp_ms: 0, key: None, value: None, headers: Headers::NONE };
    for part in [RecordPart::Key, RecordPart::Value] {
        assert_eq!(rows.read(&record, part).unwrap_err(), "it is null, which is no record in Avro");
    }
}

#[test]
fn types_are_called_as_in_avro() {
    let schema = nodes_of(Some(r#"{"type":"fixed","name":"a.F","size":4}"#), &[], OPTIONS).unwrap();
    assert_eq!(named(schema.root()), "the fixed `a.F`");
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_a_bad_record(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for columns in [order_columns(), vec![]] {
            let mut rows = reader(ORDER, columns).unwrap().rows(1).unwrap();
            let good = rows.read_value(&bytes).is_ok();
            let columns = rows.finish().unwrap();
            prop_assert!(columns.iter().all(|column| column.len() == usize::from(good)));
        }
    }

    #[test]
    fn a_record_with_a_bit_turned_is_a_row_or_a_bad_record(id in 0i64..30, at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut value = bytes(ORDER, &order(id));
        let at = at.index(value.len());
        value[at] ^= 1u8 << bit;
        let mut rows = reader(ORDER, order_columns()).unwrap().rows(2).unwrap();
        let good = rows.read_value(&value).is_ok();
        rows.read_value(&bytes(ORDER, &order(id))).unwrap();
        let columns = rows.finish().unwrap();
        prop_assert!(columns.iter().all(|column| column.len() == 1 + usize::from(good)));
    }
}
