//! Bytes of keys and rows, and back.

use super::{
    samples::{For, Samples},
    *,
};
use crate::{
    codec::encode_key,
    operator::{ExchangeFormat, RowReader, RowWriter, Upstream, UpstreamMark, UpstreamName},
    record::{Chunk, StampsBuilder, TopicPartition},
    sql::{Delta, Payload},
};
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
        UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    datatypes::{DataType, Field, Schema},
};
use expect_test::expect;
use indexmap::IndexMap;
use proptest::prelude::*;
use std::{fmt::Write, sync::Arc};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn keys(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let format = KeyFormat::new(columns.iter().map(Array::data_type)).unwrap();
    keys_of(&format, columns)
}

fn keys_of(format: &KeyFormat, columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let encoder = format.encoder(columns).unwrap();
    let key = |row| {
        let mut key = vec![];
        encoder.encode(row, &mut key);
        key
    };
    (0..columns[0].len()).map(key).collect()
}

fn house<K: serde::Serialize>(key: &K) -> Vec<u8> {
    let mut out = vec![];
    encode_key(key, &mut out).unwrap();
    out
}

proptest! {
    /// What the typed face makes of a tuple of options.
    #[test]
    fn keys_are_those_of_the_typed_face(
        rows in prop::collection::vec((
            any::<Option<String>>(), any::<Option<i64>>(), any::<Option<bool>>(), any::<Option<f64>>(), any::<Option<i32>>(),
            any::<Option<i128>>(), any::<Option<u64>>(),
        ), 1..20),
        small in prop::collection::vec((any::<Option<i8>>(), any::<Option<i16>>(), any::<Option<u8>>(), any::<Option<u16>>(),
            any::<Option<u32>>(), any::<Option<f32>>()), 1..20),
        zeros in prop::collection::vec(prop::option::of("[\0a]{0,9}"), 1..9),
    ) {
        let columns: [ArrayRef; 9] = [
            Arc::new(rows.iter().map(|row| row.0.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.5).collect::<Decimal128Array>()),
            Arc::new(rows.iter().map(|row| row.6).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<TimestampMillisecondArray>()),
        ];
        let expected: Vec<_> =
            rows.iter().map(|r| house(&(&r.0, r.1, r.2, r.3, r.4, r.5, r.6, r.4, r.1))).collect();
        prop_assert_eq!(keys(&columns), expected);
        let columns: [ArrayRef; 6] = [
            Arc::new(small.iter().map(|row| row.0).collect::<Int8Array>()),
            Arc::new(small.iter().map(|row| row.1).collect::<Int16Array>()),
            Arc::new(small.iter().map(|row| row.2).collect::<UInt8Array>()),
            Arc::new(small.iter().map(|row| row.3).collect::<UInt16Array>()),
            Arc::new(small.iter().map(|row| row.4).collect::<UInt32Array>()),
            Arc::new(small.iter().map(|row| row.5).collect::<Float32Array>()),
        ];
        prop_assert_eq!(keys(&columns), small.iter().map(house).collect::<Vec<_>>());
        let bytes = zeros.iter().map(|text| text.as_ref().map(String::as_bytes)).collect::<BinaryArray>();
        prop_assert_eq!(keys(&[Arc::new(bytes)]), zeros.iter().map(|text| house(&(text,))).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_keys_is_that_of_the_values(
        rows in prop::collection::vec((prop::option::of("[\0ab]{0,4}"), prop::option::of(-2i64..3)), 2..20),
        descending: (bool, bool), null_greatest: (bool, bool),
    ) {
        let columns: [ArrayRef; 2] = [
            Arc::new(rows.iter().map(|row| row.0.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        ];
        let column = |data_type, is_descending, is_null_greatest| KeyColumn { data_type, is_descending, is_null_greatest };
        let format = KeyFormat::ordered([
            column(DataType::Utf8, descending.0, null_greatest.0),
            column(DataType::Int64, descending.1, null_greatest.1),
        ]).unwrap();
        let keys = keys_of(&format, &columns);
        let rank = |is_none: bool, null_greatest: bool| if null_greatest { i8::from(is_none) } else { -i8::from(is_none) };
        let directed = |order: std::cmp::Ordering, descending| if descending { order.reverse() } else { order };
        for (a, of_a) in rows.iter().zip(&keys) {
            for (b, of_b) in rows.iter().zip(&keys) {
                let first = rank(a.0.is_none(), null_greatest.0).cmp(&rank(b.0.is_none(), null_greatest.0));
                let second = rank(a.1.is_none(), null_greatest.1).cmp(&rank(b.1.is_none(), null_greatest.1));
                let expected = directed(first.then(a.0.cmp(&b.0)), descending.0)
                    .then(directed(second.then(a.1.cmp(&b.1)), descending.1));
                prop_assert_eq!(of_a.cmp(of_b), expected);
            }
        }
        let mut decoder = format.decoder(0).unwrap();
        keys.iter().for_each(|key| decoder.push(key).unwrap());
        prop_assert_eq!(decoder.finish().unwrap(), columns);
    }

    #[test]
    fn keys_of_all_types_come_back(seed: u64) {
        let batch = Samples::new(seed, For::Keys).batch();
        let format = KeyFormat::new(batch.columns().iter().map(Array::data_type)).unwrap();
        let keys = keys_of(&format, batch.columns());
        let mut decoder = format.decoder(0).unwrap();
        keys.iter().for_each(|key| decoder.push(key).unwrap());
        let columns = decoder.finish().unwrap();
        // Of NaN and of zero there is one each, so bytes are compared.
        prop_assert_eq!(&keys_of(&format, &columns), &keys);
        for (one, other) in keys.iter().zip(keys.iter().skip(1)) {
            prop_assert!(one == other || !one.starts_with(other) && !other.starts_with(one));
        }
    }

    #[test]
    fn values_of_all_types_come_back(seed: u64) {
        let batch = Samples::new(seed, For::Values).batch();
        let part = batch.slice(batch.num_rows() / 3, batch.num_rows() / 2);
        for batch in [batch, part] {
            let format = RowFormat::of_schema(batch.schema_ref()).unwrap();
            let encoder = format.encoder(7, batch.columns()).unwrap();
            let mut decoder = format.decoder(7, 0).unwrap();
            let mut bytes = vec![];
            for row in 0..batch.num_rows() {
                let start = bytes.len();
                encoder.encode(row, &mut bytes);
                decoder.push(&bytes[start..]).unwrap();
            }
            let columns = decoder.finish().unwrap();
            let again = format.encoder(7, &columns).unwrap();
            let mut bytes_again = vec![];
            (0..batch.num_rows()).for_each(|row| again.encode(row, &mut bytes_again));
            prop_assert_eq!(bytes, bytes_again);
            prop_assert_eq!(format!("{:?}", columns), format!("{:?}", batch.columns()));
        }
    }

    #[test]
    fn damaged_bytes_are_refused_and_leave_no_trace(seed: u64, random: Vec<u8>) {
        let mut samples = Samples::new(seed, For::Keys);
        let batch = samples.batch();
        let format = RowFormat::of_schema(batch.schema_ref()).unwrap();
        let key_format = KeyFormat::new(batch.columns().iter().map(Array::data_type)).unwrap();
        let (mut values, mut keys) = (format.decoder(1, 0).unwrap(), key_format.decoder(0).unwrap());
        let (encoder, key_encoder) =
            (format.encoder(1, batch.columns()).unwrap(), key_format.encoder(batch.columns()).unwrap());
        let mut expected = vec![];
        for row in 0..batch.num_rows() {
            let (mut value, mut key) = (vec![], vec![]);
            encoder.encode(row, &mut value);
            key_encoder.encode(row, &mut key);
            for cut in 0..value.len() {
                prop_assert!(values.push(&value[..cut]).is_err());
            }
            for cut in 0..key.len() {
                prop_assert!(keys.push(&key[..cut]).is_err());
            }
            values.push(&value).unwrap();
            keys.push(&key).unwrap();
            expected.push(key.clone());
            prop_assert!(values.push(&[&value[..], &[0]].concat()).is_err() && keys.push(&[&key[..], &[0]].concat()).is_err());
            let at = samples.below(value.len());
            value[at] ^= 1 << samples.below(8);
            let mut other = format.decoder(1, 0).unwrap();
            let _ = other.push(&value).and_then(|()| other.finish());
        }
        prop_assert_eq!(format!("{:?}", values.finish().unwrap()), format!("{:?}", batch.columns()));
        prop_assert_eq!(keys_of(&key_format, &keys.finish().unwrap()), expected);
        let _ = values.push(&random).and_then(|()| values.finish());
        let _ = values.push(&[&[1], &random[..]].concat()).and_then(|()| values.finish());
        let _ = keys.push(&random).and_then(|()| keys.finish());
    }

    #[test]
    fn the_table_of_keys_numbers_them_as_they_come(keys in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..200)) {
        let (mut table, mut model) = (KeyTable::default(), IndexMap::new());
        for _ in 0..2 {
            for key in &keys {
                let is_new = !model.contains_key(key);
                let next = model.len();
                let index = *model.entry(key.clone()).or_insert(next);
                prop_assert_eq!(table.insert(key), Slot { index, is_new });
                prop_assert_eq!(table.find(key), Some(index));
            }
            prop_assert_eq!(table.iter().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>());
            prop_assert_eq!(table.find(b"other"), None);
            table.clear();
            model.clear();
            prop_assert!(table.is_empty());
        }
    }

    #[test]
    fn rows_travel_with_their_weights_and_timestamps(seed: u64, weights: bool) {
        let mut samples = Samples::new(seed, For::Values);
        let rows = samples.batch();
        let some = |samples: &mut Samples| (0..rows.num_rows()).map(|_| (samples.next() >> 1).cast_signed() | 1).collect();
        let weights = weights.then(|| some(&mut samples));
        let stamps: Vec<i64> = (0..rows.num_rows()).map(|_| (samples.next() % 100).cast_signed()).collect();
        let format = RowsFormat::new(rows.schema(), weights.is_some()).unwrap();
        let delta = Delta { rows: rows.clone(), weights };
        let chunk = delta.clone().into_chunk().stamped(stamps.iter().copied().collect::<StampsBuilder>().build());
        let mut out = vec![];
        let each = chunk.stamps().clone();
        let mut writer = RowWriter::new(&mut out).stamped(each.each(), 1_000);
        format.encode(&chunk, &mut writer).unwrap();
        prop_assert_eq!(usize::try_from(writer.finish()[0].rows).unwrap(), rows.num_rows());
        let mut reader = RowReader::new(&out, rows.num_rows()).stamped(1_000);
        let back = format.decode(&mut reader).unwrap();
        prop_assert_eq!(reader.rest(), 0);
        prop_assert_eq!(&reader.into_stamps().unwrap().build(), chunk.stamps());
        prop_assert_eq!(format!("{:?}", back.view::<Payload>()), format!("{:?}", Payload::Rows(delta)));
    }
}

fn sample() -> RecordBatch {
    let fields = vec![
        Field::new("auction", DataType::Int64, false),
        Field::new("user", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
        Field::new("total", DataType::Decimal128(10, 2), true),
        Field::new("is open", DataType::Boolean, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![-2, 300])),
        Arc::new(StringArray::from(vec![Some("a\0b"), None])),
        Arc::new(Float64Array::from(vec![Some(-0.0), Some(1.5)])),
        Arc::new(Decimal128Array::from(vec![None, Some(125)]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false)])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn the_bytes_of_keys_and_values_stay_as_they_are() {
    let batch = sample();
    let format = RowFormat::of_schema(batch.schema_ref()).unwrap();
    let encoder = format.encoder(1, batch.columns()).unwrap();
    let mut shown = format!("{format}\n");
    for (row, key) in keys(batch.columns()).iter().enumerate() {
        let mut value = vec![];
        encoder.encode(row, &mut value);
        writeln!(shown, "key   {}\nvalue {}", hex(key), hex(&value)).unwrap();
    }
    expect![[r#"
        #1 auction i64, #2 user str, #3 price f64, #4 total decimal(10,2), #5 "is open" bool
        key   01 7f ff ff ff ff ff ff fe 01 61 00 ff 62 00 00 01 80 00 00 00 00 00 00 00 00 01 01
        value 01 08 03 03 61 00 62 00 00 00 00 00 00 00 80 01
        key   01 80 00 00 00 00 00 01 2c 00 01 bf f8 00 00 00 00 00 00 01 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00 7d 01 00
        value 01 02 d8 04 00 00 00 00 00 00 f8 3f 7d 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    "#]]
    .assert_eq(&shown);
}

#[test]
fn the_bytes_of_rows_that_travel_stay_as_they_are() {
    let batch = sample();
    let weights = Some(Int64Array::from(vec![-1, 2]));
    let (added, changed) =
        (RowsFormat::new(batch.schema(), false).unwrap(), RowsFormat::new(batch.schema(), true).unwrap());
    let mut shown = String::new();
    for (format, weights) in [(&added, None), (&changed, weights.clone())] {
        let mut out = vec![];
        let mut writer = RowWriter::new(&mut out);
        let chunk = Delta { rows: batch.clone(), weights }.into_chunk();
        format.encode(&chunk, &mut writer).unwrap();
        let _ = writer.finish();
        writeln!(shown, "{}\n{}", format.name(), hex(&out)).unwrap();
        let back = format.decode(&mut RowReader::new(&out, 2)).unwrap();
        assert_eq!(back.view::<Payload>(), chunk.view::<Payload>());
        assert!(format.decode(&mut RowReader::new(&out[..out.len() - 1], 2)).is_err());
    }
    expect![[r#"
        rows (auction:i64,user:str,price:f64,total:decimal(10,2),"is open":bool)
        00 11 01 08 03 03 61 00 62 00 00 00 00 00 00 00 80 01 00 1e 01 02 d8 04 00 00 00 00 00 00 f8 3f 7d 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        changes (auction:i64,user:str,price:f64,total:decimal(10,2),"is open":bool)
        00 12 01 01 08 03 03 61 00 62 00 00 00 00 00 00 00 80 01 00 1f 04 01 02 d8 04 00 00 00 00 00 00 f8 3f 7d 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    "#]]
    .assert_eq(&shown);
    let chunk = Delta { rows: batch, weights }.into_chunk();
    let refused = added.encode(&chunk, &mut RowWriter::new(&mut vec![])).unwrap_err();
    assert!(refused.to_string().contains("plan bug: rows with weights where none were planned"), "{refused}");
}

#[test]
fn rows_of_a_former_format_are_read_by_the_ids_of_their_columns() {
    let column = |id, name: &str, data_type| RowColumn { id: ColumnId(id), name: name.into(), data_type };
    let former = RowFormat::new([
        column(1, "count", DataType::Int32),
        column(2, "gone", DataType::new_list(DataType::Utf8, true)),
        column(3, "name", DataType::Utf8),
    ])
    .unwrap();
    let now = RowFormat::new([
        column(3, "title", DataType::Utf8),
        column(4, "new", DataType::Boolean),
        column(1, "count", DataType::Int64),
    ])
    .unwrap();
    let mut gone = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    gone.append_value([Some("x"), None]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![-7])),
        Arc::new(gone.finish()),
        Arc::new(StringArray::from(vec!["ada"])),
    ];
    let mut bytes = vec![];
    former.encoder(1, &columns).unwrap().encode(0, &mut bytes);
    let mut decoder = now.decoder(2, 1).unwrap().or(1, &former).unwrap();
    decoder.push(&bytes).unwrap();
    bytes[0] = 3;
    let unknown = decoder.push(&bytes).unwrap_err().to_string();
    assert!(unknown.contains("its format 3 is not known to this program"), "{unknown}");
    let expected: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["ada"])),
        Arc::new(BooleanArray::from(vec![None])),
        Arc::new(Int64Array::from(vec![-7])),
    ];
    assert_eq!(decoder.finish().unwrap(), expected);
    let other = RowFormat::new([column(1, "count", DataType::Utf8)]).unwrap();
    assert!(other.decoder(2, 0).unwrap().or(1, &former).is_err(), "another type");
    assert!(
        RowFormat::new([column(1, "a", DataType::Utf8), column(1, "b", DataType::Utf8)]).is_err(),
        "one id twice"
    );
}

#[test]
fn types_that_cannot_be_in_rows_are_refused() {
    assert!(RowFormat::of_schema(&Schema::new(vec![Field::new("a", DataType::Float16, true)])).is_err());
    let map = Samples::new(0, For::Values).column(&DataType::Utf8, 3);
    let columns: [ArrayRef; 1] = [map];
    assert!(KeyFormat::new([&DataType::Int64]).unwrap().encoder(&columns).is_err(), "another type");
    let entries = DataType::Struct(
        vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Int8, true)].into(),
    );
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    assert!(KeyFormat::new([&map]).is_err());
}

#[test]
fn marks_come_back_and_never_among_rows() {
    let format = RowsFormat::new(sample().schema(), false).unwrap();
    let mark = |name: &str, time_ms, idle| UpstreamMark {
        upstream: UpstreamName::of_part(&Upstream::Source(TopicPartition::new("bid", 1)), name),
        time_ms,
        idle,
    };
    let marks = vec![mark("bid", Some(1_500), false), mark("q", None, true)];
    let chunk = Payload::marks(marks.clone());
    let mut out = vec![];
    format.encode(&chunk, &mut RowWriter::new(&mut out)).unwrap();
    expect!["01 10 01 09 62 69 64 2d 31 20 62 69 64 01 b8 17 00 01 0c 01 07 62 69 64 2d 31 20 71 00 01"]
        .assert_eq(&hex(&out));
    let back = format.decode(&mut RowReader::new(&out, 2)).unwrap();
    assert_eq!(back.view::<Payload>(), &Payload::Marks(marks));

    format.encode(&Delta::added(sample()).into_chunk(), &mut RowWriter::new(&mut out)).unwrap();
    assert!(format.decode(&mut RowReader::new(&out, 4)).err().unwrap().to_string().contains("in one chunk"));
}

#[test]
fn a_chunk_of_another_payload_is_a_plan_bug() {
    let format = RowsFormat::new(sample().schema(), false).unwrap();
    assert_eq!(format.refusal(), None);
    let caught = std::panic::catch_unwind(|| {
        let _ = format.encode(&Chunk::rows(vec![1u8]), &mut RowWriter::new(&mut vec![]));
    });
    assert!(caught.is_err());
}
