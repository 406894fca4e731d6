//! JSON read and written, against other readers of it.

#![allow(clippy::too_many_lines, clippy::redundant_clone, reason = "tables of values")]

use super::*;
use crate::sql::{
    format::JsonWriter,
    rows::samples::{For, Samples},
};
use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{fmt::Write, sync::Arc};

pub(super) fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn read_one(field: Field, text: &str) -> Result<ArrayRef, String> {
    let mut rows = JsonReader::new([field]).unwrap().rows(1).unwrap();
    rows.read(text.as_bytes())?;
    Ok(rows.finish().unwrap()[0].clone())
}

fn cell(data_type: DataType, text: &str) -> Result<ArrayRef, String> {
    read_one(optional("a", data_type), &format!("{{\"a\":{text}}}"))
}

fn shown(data_type: DataType, text: &str) -> String {
    let array = cell(data_type, text).unwrap();
    arrow::util::display::array_value_to_string(&array, 0).unwrap()
}

#[test]
fn values_are_read_by_the_types_of_their_columns() {
    let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
    for (data_type, text, expected) in [
        (DataType::Int8, "-128", "-128"),
        (DataType::Int64, "-9223372036854775808", "-9223372036854775808"),
        (DataType::Int64, "-0", "0"),
        (DataType::UInt64, "18446744073709551615", "18446744073709551615"),
        (DataType::Boolean, "true", "true"),
        (DataType::Utf8, r#""a\n\"\\\/\u00e9\ud83d\ude00é""#, "a\n\"\\/é😀é"),
        (DataType::Utf8, r#""""#, ""),
        (DataType::Binary, r#""AAH/""#, "0001ff"),
        (DataType::Binary, r#""AA""#, "00"),
        (DataType::Date32, r#""2026-11-29""#, "2026-11-29"),
        (ms.clone(), r#""2026-11-29T20:35:00.123Z""#, "2026-11-29T20:35:00.123"),
        (ms.clone(), r#""2026-11-29 22:35:00.5+02:00""#, "2026-11-29T20:35:00.500"),
        (ms.clone(), "1795984500123", "2026-11-29T20:35:00.123"),
        (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), "-1", "1969-12-31T23:59:59.999Z"),
        (DataType::Decimal128(10, 2), "1.5", "1.50"),
        (DataType::Decimal128(10, 2), "-12e-1", "-1.20"),
        (DataType::Decimal128(3, 2), "9.9900000000000000000000000000000000000000000000", "9.99"),
        (
            DataType::Decimal128(38, 0),
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
        (DataType::Decimal128(5, 2), "0.000000000000000000000000000000000000000e99", "0.00"),
        (DataType::Float64, "1e-5", "0.00001"),
        (DataType::Float32, "16777217", "16777216.0"),
        (DataType::new_list(DataType::Int64, true), "[1, null ,3]", "[1, , 3]"),
        (DataType::new_list(DataType::Int64, true), "[ ]", "[]"),
    ] {
        assert_eq!(shown(data_type.clone(), text), expected, "{data_type} {text}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_field_and_byte() {
    let row =
        DataType::Struct(vec![Field::new("x", DataType::Int64, false), optional("y", DataType::Utf8)].into());
    let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
    for (data_type, text, reason) in [
        (DataType::Int64, "\"1\"", "field `a` at byte 5: expected an integer, found a string"),
        (DataType::Int64, "1.0", "field `a` at byte 5: 1.0 is no integer"),
        (DataType::Int64, "1e3", "field `a` at byte 5: 1e3 is no integer"),
        (DataType::Int8, "128", "field `a` at byte 5: 128 is out of the range of an integer of 8 bits"),
        (
            DataType::Int64,
            "9223372036854775808",
            "field `a` at byte 5: 9223372036854775808 is out of the range of an integer of 64 bits",
        ),
        (
            DataType::UInt8,
            "-1",
            "field `a` at byte 5: -1 is out of the range of an unsigned integer of 8 bits",
        ),
        (DataType::Int64, "01", "field `a` at byte 5: a number begins with a superfluous 0"),
        (DataType::Int64, "-", "field `a` at byte 6: expected a digit, found `}`"),
        (DataType::Float64, "1.", "field `a` at byte 7: expected a digit, found `}`"),
        (DataType::Float64, "1e400", "field `a` at byte 5: 1e400 is out of the range of DOUBLE"),
        (DataType::Utf8, "12345678901234567890", "field `a` at byte 5: expected a string, found a number"),
        (DataType::Utf8, "tru", "field `a` at byte 5: expected a string, found a boolean"),
        (DataType::Utf8, r#""\ud83d""#, "field `a` at byte 6: the escape in a string is no character"),
        (DataType::Utf8, r#""\ude00\ud83d""#, "field `a` at byte 6: the escape in a string is no character"),
        (DataType::Utf8, r#""ab\x""#, "field `a` at byte 8: a string has an escape that JSON does not know"),
        (
            DataType::Utf8,
            "\"a\nb\"",
            "field `a` at byte 7: the control character `\\n` in a string is not escaped",
        ),
        (DataType::Utf8, "\"abcdefgh", "field `a` at byte 15: the string has no end"),
        (DataType::Boolean, "1", "field `a` at byte 5: expected a boolean, found a number"),
        (
            DataType::Date32,
            "\"2026-02-29\"",
            "field `a` at byte 6: \"2026-02-29\" is a day that the calendar does not have",
        ),
        (
            ms.clone(),
            "\"2026-11-29\"",
            "field `a` at byte 6: \"2026-11-29\" has no time behind the date, such as 2026-11-29T20:35:00.123Z",
        ),
        (ms, "1.5", "field `a` at byte 5: 1.5 is no integer"),
        (
            DataType::Decimal128(10, 1),
            "1.25",
            "field `a` at byte 5: 1.25 cannot be written exactly as DECIMAL(10,1)",
        ),
        (DataType::Decimal128(3, 1), "100", "field `a` at byte 5: 100 has too many digits for DECIMAL(3,1)"),
        (DataType::Decimal128(3, 1), "\"1\"", "field `a` at byte 5: expected a number, found a string"),
        (
            row.clone(),
            "{\"y\":\"\"}",
            "field `a.x` at byte 13: the field is missing, and its column is NOT NULL",
        ),
        (
            row.clone(),
            "{\"x\":null}",
            "field `a.x` at byte 10: the field is null, and its column is NOT NULL",
        ),
        (row.clone(), "{\"x\":1,\"x\":2}", "field `a.x` at byte 12: the field is there twice"),
        (
            DataType::new_list(row, true),
            "[null,{\"x\":1},{\"x\":[]}]",
            "field `a[2].x` at byte 24: expected an integer, found an array",
        ),
    ] {
        assert_eq!(cell(data_type, text).unwrap_err(), reason);
    }
    let base64 = cell(DataType::Binary, "\"A\"").unwrap_err();
    assert!(base64.starts_with("field `a` at byte 6: it is no base64"), "{base64}");
    for (record, reason) in [
        ("", "at byte 0: expected an object, found the end"),
        ("[]", "at byte 0: expected an object, found an array"),
        ("{} {}", "at byte 3: expected the end behind the object, found an object"),
        ("{\"a\":1,}", "at byte 7: expected the name of a field, found `}`"),
        ("{\"a\":1 \"b\":2}", "at byte 7: expected `,` or `}`, found a string"),
        ("{\"a\":1,\"a\":2}", "field `a` at byte 7: the field is there twice"),
        ("{\"a\":1,\"\\u0061\":2}", "field `a` at byte 7: the field is there twice"),
        ("{\"b\":{\"c\":[1,2}}", "at byte 14: expected `,` or `]`, found `}`"),
        ("{\"b\":tru}", "at byte 5: expected a value, found a boolean"),
        ("{\"b\":\"\\uD800\"}", "at byte 6: the escape in a string is no character"),
    ] {
        assert_eq!(read_one(optional("a", DataType::Int64), record).unwrap_err(), reason, "{record}");
    }
    let deep = format!("{{\"b\":{}1{}}}", "[".repeat(129), "]".repeat(129));
    assert!(
        read_one(optional("a", DataType::Int64), &deep).unwrap_err().contains("nested more than 128 deep")
    );
    let invalid = [&b"{\"b\":\"abc\xff\"}"[..], b"{\"\xc3\":1}"];
    for record in invalid {
        let mut rows = JsonReader::new([]).unwrap().rows(1).unwrap();
        assert!(rows.read(record).unwrap_err().contains("the string is not UTF-8"));
    }
}

#[test]
fn types_without_a_form_in_json_and_equal_names_are_refused() {
    assert!(JsonReader::new([optional("a", DataType::Float16)]).is_err());
    assert!(JsonReader::new([optional("a", DataType::Int8), optional("a", DataType::Utf8)]).is_err());
}

#[test]
fn fields_in_any_order_and_of_any_number_are_found() {
    let mut rows = JsonReader::new([optional("a", DataType::Int64), optional("b", DataType::Utf8)])
        .unwrap()
        .rows(0)
        .unwrap();
    for n in 0..200 {
        let other = format!("\"x{n}\":[{{\"a\":{n}}}]");
        let text = match n % 4 {
            0 => format!("{{\"a\":{n},\"b\":\"{n}\",{other}}}"),
            1 => format!(" {{ \"b\" : \"{n}\" , {other}, \"a\"\t:\r\n{n} }} "),
            2 => format!("{{{other},\"\\u0062\":\"{n}\",\"a\":{n}}}"),
            _ => format!("{{\"b\":null,\"a\":{n}}}"),
        };
        rows.read(text.as_bytes()).unwrap();
    }
    let columns = rows.finish().unwrap();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &(0..200).collect::<Vec<i64>>()[..]);
    let texts = columns[1].as_string::<i32>();
    assert!((0..200).all(|n| if n % 4 == 3 { texts.is_null(n) } else { texts.value(n) == n.to_string() }));
}

#[test]
fn entries_of_a_map_come_once() {
    let entries = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), optional("value", DataType::Int64)].into(),
    );
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    assert_eq!(shown(map.clone(), "{\"x\":1,\"y\":null}"), "{x: 1, y: }");
    let twice = cell(map.clone(), "{\"x\":1,\"y\":2,\"\\u0078\":3}").unwrap_err();
    assert_eq!(twice, "field `a` at byte 5: an entry of the map is there twice");
    assert_eq!(
        cell(map, "{\"x\":[]}").unwrap_err(),
        "field `a.x` at byte 10: expected an integer, found an array"
    );
}

/// Random JSON, mostly right.
fn random(samples: &mut Samples, depth: usize, out: &mut String) {
    let ws =
        |samples: &mut Samples, out: &mut String| out.push_str(["", "", "", " ", "\n\t"][samples.below(5)]);
    ws(samples, out);
    match samples.below(if depth == 0 { 6 } else { 8 }) {
        0 => out.push_str(["null", "true", "false", "-0", "0", "1e3"][samples.below(6)]),
        1 => write!(out, "{}", samples.next().cast_signed() >> samples.below(64)).unwrap(),
        2 => write!(out, "{}", f64::from_bits(samples.next() >> 2)).unwrap(),
        3 => write!(out, "{:e}", f64::from_bits(samples.next() >> 2)).unwrap(),
        4 => out.push_str(
            ["\"\"", "\"é\"", "\"a\\n\\u00e9\\ud83d\\ude00\"", "\"\\ud800\"", "\"0123456789\""]
                [samples.below(5)],
        ),
        5 => out.push_str("12"),
        6 => {
            out.push('[');
            for index in 0..samples.below(4) {
                out.push_str(if index > 0 { "," } else { "" });
                random(samples, depth - 1, out);
            }
            out.push(']');
        }
        _ => object_of(samples, &["a", "b", "c", "zz", "\\u0062"], depth - 1, out),
    }
    ws(samples, out);
}

fn object_of(samples: &mut Samples, names: &[&str], depth: usize, out: &mut String) {
    out.push('{');
    let first = samples.below(names.len());
    for index in 0..samples.below(names.len() + 1) {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}\"{}\":", names[(first + index) % names.len()]).unwrap();
        random(samples, depth, out);
    }
    out.push('}');
}

/// Whether a value fits a type, as far as this test knows.
fn fits(value: &Value, data_type: &DataType) -> bool {
    match (value, data_type) {
        (Value::Null, _) => true,
        (Value::Number(number), DataType::Int64) => number.is_i64() || number.as_f64() == Some(0.0),
        (Value::Number(_), DataType::Float64)
        | (Value::String(_), DataType::Utf8)
        | (Value::Bool(_), DataType::Boolean) => true,
        (Value::Array(items), DataType::List(item)) => {
            items.iter().all(|value| fits(value, item.data_type()))
        }
        (Value::Object(fields), DataType::Struct(parts)) => {
            parts.iter().all(|part| fields.get(part.name()).is_none_or(|value| fits(value, part.data_type())))
        }
        _ => false,
    }
}

fn is_same(value: &Value, array: &dyn Array, row: usize) -> bool {
    match value {
        Value::Null => array.is_null(row),
        _ if array.is_null(row) => false,
        Value::Number(number) if *array.data_type() == DataType::Int64 => {
            number.as_i64().unwrap_or(0) == array.as_primitive::<Int64Type>().value(row)
        }
        Value::Number(number) => {
            let (expected, read) = (number.as_f64().unwrap(), array.as_primitive::<Float64Type>().value(row));
            (expected - read).abs() <= expected.abs() * 1e-15
        }
        Value::String(text) => array.as_string::<i32>().value(row) == text,
        Value::Bool(value) => array.as_boolean().value(row) == *value,
        Value::Array(items) => {
            let read = array.as_list::<i32>().value(row);
            read.len() == items.len()
                && items.iter().enumerate().all(|(index, item)| is_same(item, &read, index))
        }
        Value::Object(fields) => {
            let DataType::Struct(parts) = array.data_type() else { return false };
            parts
                .iter()
                .zip(array.as_struct().columns())
                .all(|(part, column)| is_same(fields.get(part.name()).unwrap_or(&Value::Null), column, row))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// serde_json says what is JSON.
    #[test]
    fn records_are_read_as_serde_json_reads_them(seed: u64) {
        let mut samples = Samples::new(seed, For::Json);
        let row = DataType::Struct(vec![optional("a", DataType::Int64), optional("zz", DataType::Float64)].into());
        let types = [DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Boolean,
            DataType::new_list(DataType::Float64, true), row];
        let fields = ["a", "b", "c"].map(|name| optional(name, types[samples.below(types.len())].clone()));
        let mut rows = JsonReader::new(fields.clone()).unwrap().rows(0).unwrap();
        let mut expected = vec![];
        for _ in 0..8 {
            let mut text = String::new();
            object_of(&mut samples, &["a", "b", "c", "d"], 3, &mut text);
            let mut text = text.into_bytes();
            if samples.below(3) == 0 {
                let at = samples.below(text.len());
                match samples.below(3) {
                    0 => text.truncate(at),
                    1 => text[at] = b"\"\\{}[],:0e-.\x01\xff u"[samples.below(16)],
                    _ => { text.remove(at); }
                }
            }
            let shown = String::from_utf8_lossy(&text).into_owned();
            let read = rows.read(&text);
            if read.as_ref().is_err_and(|reason| reason.contains("twice")) {
                continue; // serde_json takes the last
            }
            match serde_json::from_slice::<Value>(&text) {
                Err(e) if e.to_string().contains("out of range") => {
                    if read.is_ok() {
                        rows.truncate(expected.len());
                    }
                }
                Err(e) => prop_assert!(read.is_err(), "{shown}: {e}"),
                Ok(value) => {
                    let all = value.as_object().is_some_and(|object| {
                        fields.iter().all(|field| object.get(field.name()).is_none_or(|value| fits(value, field.data_type())))
                    });
                    // -0.0 and 0e9 are zeros to serde_json, and no integers here.
                    if all && read.as_ref().is_err_and(|reason| reason.contains("is no integer")) {
                        continue;
                    }
                    prop_assert_eq!(read.is_ok(), all, "{}: {:?}", shown, read);
                    if all {
                        expected.push(value);
                    }
                }
            }
        }
        prop_assert_eq!(rows.len(), expected.len());
        let columns = rows.finish().unwrap();
        for (index, value) in expected.iter().enumerate() {
            for (field, column) in fields.iter().zip(&columns) {
                let value = value.get(field.name()).unwrap_or(&Value::Null);
                prop_assert!(is_same(value, column, index), "{} {} {:?}", value, field, column);
            }
        }
    }

    #[test]
    fn doubles_are_those_that_parse_gives(digits in "[0-9]{1,22}", fraction in "[0-9]{1,22}", power in -330i32..310, any: u64) {
        let any = f64::from_bits(any);
        let digits = digits.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        for text in [format!("{digits}.{fraction}e{power}"), format!("-{digits}e{power}"), format!("{digits}.{fraction}"),
            format!("{any}"), format!("{any:e}")] {
            let expected: f64 = text.parse().unwrap();
            let double = cell(DataType::Float64, &text);
            if expected.is_finite() {
                prop_assert_eq!(double.unwrap().as_primitive::<Float64Type>().value(0).to_bits(), expected.to_bits(), "{}", text);
            } else {
                prop_assert!(double.is_err());
            }
            let expected: f32 = text.parse().unwrap();
            if expected.is_finite() {
                let float = cell(DataType::Float32, &text).unwrap();
                prop_assert_eq!(float.as_primitive::<Float32Type>().value(0).to_bits(), expected.to_bits(), "{}", text);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(seed: u64, bytes: Vec<u8>) {
        let batch = Samples::new(seed, For::Json).batch();
        let fields = batch.schema().fields().iter().map(|field| (**field).clone()).collect::<Vec<_>>();
        let mut rows = JsonReader::new(fields).unwrap().rows(0).unwrap();
        let _ = rows.read(&bytes);
        let _ = rows.read(&[b"{\"a\":", &bytes[..]].concat());
        rows.truncate(0);
        prop_assert_eq!(rows.finish().unwrap()[0].len(), 0);
    }

    /// What is written is JSON to serde_json, comes back as it was, also with records between that break off, and is the same to arrow-json.
    #[test]
    fn what_is_written_is_read_back(seed: u64) {
        let mut samples = Samples::new(seed, For::Json);
        let batch = samples.batch();
        let fields = batch.schema().fields().iter().map(|field| (**field).clone()).collect::<Vec<_>>();
        let writer = JsonWriter::new(batch.schema_ref(), 0..fields.len()).unwrap();
        let encoder = writer.encoder(&batch).unwrap();
        let mut rows = JsonReader::new(fields).unwrap().rows(0).unwrap();
        let mut lines = vec![];
        for row in 0..batch.num_rows() {
            let mut record = vec![];
            encoder.encode(row, &mut record).unwrap();
            serde_json::from_slice::<Value>(&record).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let cut = samples.below(record.len());
            prop_assert!(rows.read(&record[..cut]).is_err());
            rows.read(&record).map_err(|e| TestCaseError::fail(format!("{e}: {}", String::from_utf8_lossy(&record))))?;
            lines.extend_from_slice(&record);
            lines.push(b'\n');
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let back = RecordBatch::try_new_with_options(batch.schema(), rows.finish().unwrap(), &options).unwrap();
        prop_assert_eq!(&back, &batch);
        if !batch.schema().fields().iter().any(|field| is_other_in_arrow(field.data_type())) {
            let mut reader = arrow_json::ReaderBuilder::new(batch.schema()).with_batch_size(100).build(&lines[..]).unwrap();
            if let Some(read) = reader.next() {
                prop_assert_eq!(&read.unwrap(), &batch);
            }
        }
    }
}

/// arrow-json writes byte strings in hexadecimal, and rounds some numbers.
fn is_other_in_arrow(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..) => true,
        DataType::List(item) => is_other_in_arrow(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| is_other_in_arrow(field.data_type())),
        DataType::Map(..) => true,
        _ => false,
    }
}
