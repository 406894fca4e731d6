//! What the keys of the stores of sessions are.
//!
//! Owns these bytes. Knows no row. Invariants: they are durable; sessions of a group lie together in the order of their starts, and all
//! sessions in the order of their ends in a store of their own.
//!
//! | store | key | value |
//! |---|---|---|
//! | sessions | length of the group's key (varint), that key, start | end, weight, states |
//! | ends | end, key of the group | start |
//!
//! Times have eight bytes, big-endian with the sign bit flipped.

use crate::{
    error::{Error, Result},
    sql::{
        op::{Aggregation, WindowMarks, values::put_group},
        rows::{ColumnId, RowColumn, RowFormat},
    },
    state::{Placement, RowIndex, RowTable, StoreSpec},
};
use arrow::datatypes::DataType;

/// The bytes of a time.
pub fn put_time(time_ms: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(time_ms ^ i64::MIN).to_be_bytes());
}

fn take_time(bytes: &[u8]) -> Result<(i64, &[u8])> {
    let short = || Error::Codec("a key of a session has no time".into());
    let (time, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    Ok((i64::from_be_bytes(*time) ^ i64::MIN, rest))
}

/// The key of a session, and what the keys of its values begin with.
pub fn session_key(group: &[u8], start_ms: i64) -> Vec<u8> {
    let mut key = vec![];
    put_group(group, &mut key);
    put_time(start_ms, &mut key);
    key
}

/// The start in the key of a session, behind what the keys of its group begin with.
pub fn start_of(rest: &[u8]) -> Result<i64> {
    take_time(rest).map(|(start_ms, _)| start_ms)
}

/// The key under which a session closes.
pub fn end_key(end_ms: i64, group: &[u8]) -> Vec<u8> {
    let mut key = vec![];
    put_time(end_ms, &mut key);
    key.extend_from_slice(group);
    key
}

/// The end and the group of such a key.
pub fn end_of(key: &[u8]) -> Result<(i64, &[u8])> {
    take_time(key)
}

/// The first key of sessions that end after a time.
pub fn after(end_ms: i64) -> Vec<u8> {
    end_key(end_ms.saturating_add(1), &[])
}

/// What is stored of a session: its end, and the weight and states.
///
/// # Errors
/// None that the aggregation has not told when it was made.
pub fn session_format(aggregation: &Aggregation) -> Result<RowFormat> {
    let of_groups = aggregation.row_format().columns().iter();
    let shifted = of_groups.map(|column| RowColumn { id: ColumnId(column.id.0 + 1), ..column.clone() });
    let end = RowColumn { id: ColumnId(1), name: "end".into(), data_type: DataType::Int64 };
    RowFormat::new(std::iter::once(end).chain(shifted))
}

/// What is stored of an end.
///
/// # Errors
/// None.
pub fn end_format() -> Result<RowFormat> {
    RowFormat::new([RowColumn { id: ColumnId(1), name: "start".into(), data_type: DataType::Int64 }])
}

/// How the plan declares the stores of sessions, of ends, of values if there are any, and of marks.
///
/// # Errors
/// None that the aggregation has not told when it was made.
pub fn stores(aggregation: &Aggregation, name: &str) -> Result<Vec<StoreSpec>> {
    let group = aggregation.key_line();
    let with_group = |before: &str, after: &str| {
        let parts = [before, &group, after];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<&str>>().join(", ")
    };
    let sessions = format!("key({}) -> {}", with_group("length", "start"), session_format(aggregation)?);
    let ends = format!("key({}) -> {}", with_group("end", ""), end_format()?);
    let mut stores = vec![
        RowIndex::spec(name, &sessions).placed(Placement::KeyAfterLength),
        RowTable::spec(format!("{name}.ends"), &ends).placed(Placement::KeyAfterTime),
    ];
    if aggregation.needs_values() {
        let values = format!("key({}, {}", with_group("length", "start"), aggregation.values_line()?);
        stores.push(RowIndex::spec(format!("{name}.values"), &values).placed(Placement::KeyAfterLength));
    }
    stores.push(WindowMarks::store(name));
    Ok(stores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_times() {
        assert!(session_key(b"a", -1) < session_key(b"a", 0));
        assert!(session_key(b"a", 5) < session_key(b"a", 300));
        assert_eq!(
            session_key(b"ab", 1),
            [2, b'a', b'b', 0x80, 0, 0, 0, 0, 0, 0, 1],
            "these bytes are durable"
        );
        assert_eq!(end_key(-2, b"k"), [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, b'k']);
        assert_eq!(end_of(&end_key(-2, b"k")).unwrap(), (-2, &b"k"[..]));
        assert!(end_key(7, b"z") < after(7) && after(7) <= end_key(8, b""));
        assert!(end_of(b"short").is_err());
    }
}
